/* reseed.c - a quarantined node's data replaced by the primary's: MySQL's CLONE or the operator's command. That it began is on the disk
 * before anything is touched, and stays there until it has ended well.
 */
#include "hactl/supervisor/rejoin.h"

#include <errno.h>
#include <unistd.h>

static const us_t restart_timeout = 600 * US_PER_SEC, start_timeout = 120 * US_PER_SEC, start_again = 30 * US_PER_SEC,
		  verify_timeout = 10 * US_PER_SEC;

/* --- data that are not whole --------------------------------------------------------------------------------------------------- */

/* An emptied server has an empty position, which lacks nothing that another one has: only this file knows that it must not follow. */
static int mark_unfinished(struct rejoin *j, struct err *e)
{
	if (file_replace(j->mark, j->file, strlen(j->file), 0600, e))
		return -1;
	j->unfinished = true;
	return 0;
}

static void mark_whole(struct rejoin *j)
{
	if (unlink(j->mark) && errno != ENOENT)
		log_warn("%s cannot be removed: %s", j->mark, strerror(errno));
	j->unfinished = false;
}

void reseed_find_mark(struct rejoin *j)
{
	auto_free char *file = NULL;

	if (file_read(j->mark, sizeof(j->file) - 1, &file, NULL, NULL))
		return;
	j->unfinished = true;
	STR_COPY(j->file, file);
}

/* --- reseed --------------------------------------------------------------------------------------------------------------------------- */

static void on_cloned(void *arg, enum db_outcome outcome, us_t took, const char *text)
{
	struct rejoin *j = arg;

	(void)took;
	j->call = NULL;
	if (outcome == DB_FAILED && !strstr(text, CLONE_TOUCHED) && !j->was_unfinished)
		mark_whole(j);
	if (outcome != DB_OK) {
		rejoin_fail(j, "%s", text);
		return;
	}
	rejoin_tell_stage(j, "clone", text);
	j->start_at = 0;
	rejoin_enter(j, STAGE_RESTART, restart_timeout);
}

/* Lines "STEP MS TEXT" that the command has appended since. */
void reseed_look_command(struct rejoin *j)
{
	auto_file FILE *f = fopen(j->progress, "re");
	auto_free char *line = NULL;
	size_t cap = 0;

	if (!f || fseek(f, j->progress_at, SEEK_SET))
		return;
	while (getline(&line, &cap, f) > 0 && line[strlen(line) - 1] == '\n') {
		char step[24], text[200] = "", clean[400];
		double ms;

		j->progress_at = ftell(f);
		if (sscanf(line, "%23s %lf %199[^\n]", step, &ms, text) < 2)
			continue;
		str_escape(text, strlen(text), clean, sizeof(clean));
		rejoin_tell(j, step, ms, "ok", clean);
	}
}

static void on_reseeded(void *arg, const struct proc_result *r)
{
	struct rejoin *j = arg;
	size_t n = strlen(r->output);

	j->proc = NULL;
	reseed_look_command(j);
	/* it has put the old data back, unless it was killed; the end of what it says is what it failed at */
	if (!r->timed_out && (!r->status || !j->was_unfinished))
		mark_whole(j);
	if (r->timed_out)
		rejoin_fail(j, "the reseed command did not end within mysql.reseed_timeout and was ended: %.300s",
			r->output + (n > 300 ? n - 300 : 0));
	else if (r->status)
		rejoin_fail(j, "the reseed command failed with status %d: %.300s", r->status,
			r->output + (n > 300 ? n - 300 : 0));
	else {
		rejoin_tell_stage(j, "reseed", "");
		j->old_start = 0; /* it was left started */
		rejoin_enter(j, STAGE_RESTART, restart_timeout);
	}
}

/* The node's password goes by standard input. */
static void run_command(struct rejoin *j, struct err *e)
{
	struct sup *s = j->s;
	const struct conf_node *me = &s->conf->node[s->me], *primary = &s->conf->node[s->peer];
	auto_free char *input = str_printf("user=%s\npassword=%s\n", me->mysql.user, me->mysql.password);
	char *set[] = { str_printf("HACTL_NODE=%s", me->name), str_printf("HACTL_PRIMARY=%s", primary->name),
		str_printf("HACTL_PRIMARY_HOST=%s", primary->address),
		str_printf("HACTL_PRIMARY_PORT=%d", primary->mysql.port), str_printf("HACTL_PORT=%d", me->mysql.port),
		str_printf("HACTL_SOCKET=%s", me->mysql.socket), str_printf("HACTL_EXPORT=%s", j->file),
		str_printf("HACTL_PROGRESS=%s", j->progress), NULL };

	unlink(j->progress);
	j->progress_at = 0;
	j->proc = proc_start(s->loop, me->mysql.reseed, (const char *const *)set, input, me->mysql.reseed_timeout,
		on_reseeded, j, e);
	explicit_bzero(input, strlen(input));
	for (size_t i = 0; set[i]; i++)
		free(set[i]);
}

void reseed_begin(struct rejoin *j)
{
	const struct conf_mysql *m = rejoin_conf(j->s);
	struct core_view v;
	struct err e = { "" };

	core_look(j->s->core, now_us(), &v);
	if (v.role != ROLE_QUARANTINED || v.primary != j->s->peer || v.peer != PEER_ALIVE) {
		rejoin_fail(j, "%s is not known to be primary now: there is nobody to take the data from",
			j->s->conf->node[j->s->peer].name);
		return;
	}
	j->was_unfinished = j->unfinished;
	if (mark_unfinished(j, &e)) {
		rejoin_fail(j, "nothing was discarded: %s", e.text);
		return;
	}
	rejoin_enter(j, STAGE_RESEED, m->reseed_timeout + 10 * US_PER_SEC);
	j->old_start = j->s->server[j->s->me][DB_MYSQL].facts.db_start;
	journal_add(j->s->journal, LOG_LVL_WARN, "note", NULL,
		"the data of this node's database are replaced by those of %s", j->s->conf->node[j->s->peer].name);
	if (str_eq(m->reseed, "clone"))
		j->call = db_start(rejoin_mysql(j->s), OP_CLONE, NULL, m->reseed_timeout, on_cloned, j, &e);
	else
		run_command(j, &e);
	if (j->call || j->proc)
		return;
	if (!j->was_unfinished)
		mark_whole(j);
	rejoin_fail(j, "%s", e.text);
}

/* --- the server comes back ------------------------------------------------------------------------------------------------------------ */

static void on_verified(void *arg, enum db_outcome outcome, us_t took, const char *text)
{
	struct rejoin *j = arg;

	(void)took;
	j->call = NULL;
	if (outcome != DB_OK) {
		rejoin_fail(j, "the clone did not end well: %s", text);
		return;
	}
	mark_whole(j);
	rejoin_tell_stage(j, "verify", text);
	rejoin_follow(j);
}

static void begin_verify(struct rejoin *j)
{
	struct err e;

	rejoin_enter(j, STAGE_VERIFY, verify_timeout + US_PER_SEC);
	j->call = db_start(rejoin_mysql(j->s), OP_CLONED, NULL, verify_timeout, on_verified, j, &e);
	if (!j->call)
		rejoin_fail(j, "%s", e.text);
}

static void on_started(void *arg, const struct proc_result *r)
{
	struct rejoin *j = arg;

	j->starter = NULL;
	j->start_at = now_us() + start_again;
	if (r->timed_out || r->status)
		journal_add(j->s->journal, LOG_LVL_WARN, "hook", NULL, "mysql.start failed (status %d): %.300s",
			r->status, r->output);
}

void reseed_look_server(struct rejoin *j)
{
	const struct db_facts *f = &j->s->server[j->s->me][DB_MYSQL].facts;
	struct err e;

	if (f->life == DB_UP && f->db_start != j->old_start) {
		rejoin_tell_stage(j, "restart", "");
		if (j->old_start)
			begin_verify(j);
		else
			rejoin_follow(j);
		return;
	}
	if (f->life != DB_DEAD || !j->old_start || !rejoin_conf(j->s)->start[0] || j->starter || now_us() < j->start_at)
		return;
	j->starter = proc_start(j->s->loop, rejoin_conf(j->s)->start, NULL, NULL, start_timeout, on_started, j, &e);
	if (!j->starter)
		log_warn("mysql.start: %s", e.text);
}
