/* rejoin.c - a quarantined node: what only it holds is exported, and when somebody or the configuration says so it gets the primary's
 * data and follows again. Nothing is replaced before a whole export lies on the disk.
 *
 * One thing at a time, in stages; every stage has its bound and ends with the node quarantined as it was, or one stage further.
 */
#include "hactl/supervisor/private.h"

#include <errno.h>
#include <unistd.h>

enum stage { STAGE_NONE, STAGE_HOLD, STAGE_EXPORT, STAGE_RESEED, STAGE_RESTART, STAGE_VERIFY, STAGE_FOLLOW };

static const us_t hold_timeout = 10 * US_PER_SEC, export_timeout = 600 * US_PER_SEC, export_again = 30 * US_PER_SEC,
		  restart_timeout = 600 * US_PER_SEC, start_timeout = 120 * US_PER_SEC,
		  verify_timeout = 10 * US_PER_SEC, follow_timeout = 60 * US_PER_SEC, start_again = 30 * US_PER_SEC,
		  look_every = 200 * US_PER_MS;

struct rejoin {
	struct sup *s;
	enum stage stage;
	bool reseed;			 /* goes on after the export */
	bool needed;			 /* also when nothing is only here: it cannot follow without */
	bool tried;			 /* the automatic one, in this quarantine */
	struct control_request *request; /* who waits for it; NULL nobody */
	struct db_call *call;
	struct proc *proc;    /* the reseed command */
	struct proc *starter; /* the start command */
	us_t start_at;	      /* not before */
	struct timer *timer;
	us_t began, stage_began, until;
	int64_t old_start;	    /* STAGE_RESTART: of the server before */
	bool stood_by;		    /* STAGE_FOLLOW: the core let it go */
	char file[512];		    /* of this quarantine's export; "" none */
	char trouble[SENTENCE_MAX]; /* why there is none */
	bool was_unfinished;	    /* before the reseed that runs */
	bool unfinished;    /* a reseed began and has not ended well: the data are not whole, also after a restart */
	char mark[520];	    /* the file that says so; it holds the export's name */
	char progress[520]; /* where the reseed command says what it does */
	long progress_at;
};

static void begin_reseed(struct rejoin *j);
static void begin_follow(struct rejoin *j);

static const struct conf_mysql *mine(const struct sup *s)
{
	return &s->conf->node[s->me].mysql;
}

static struct db *my_mysql(const struct sup *s)
{
	return s->server[s->me][DB_MYSQL].db;
}

static bool reseed_off(const struct sup *s)
{
	return str_eq(mine(s)->reseed, "off") || !mine(s)->reseed[0];
}

/* --- what is told ------------------------------------------------------------------------------------------------------------------ */

static void tell(struct rejoin *j, const char *step, double ms, const char *outcome, const char *text)
{
	log_info("rejoin: %s %s after %.1f ms%s%s", step, outcome, ms, text[0] ? ": " : "", text);
	if (j->request)
		control_progress(j->request, json_pack("{s:{s:s, s:f, s:s, s:o}}", "progress", "step", step, "ms", ms,
						     "outcome", outcome, "text", text_json(text)));
}

static void tell_stage(struct rejoin *j, const char *step, const char *text)
{
	tell(j, step, (double)(now_us() - j->stage_began) / 1000, "ok", text);
}

static void stop(struct rejoin *j)
{
	db_cancel(j->call);
	j->call = NULL;
	if (j->proc)
		proc_cancel(j->proc);
	if (j->starter)
		proc_cancel(j->starter);
	j->proc = j->starter = NULL;
	timer_off(j->timer);
	j->stage = STAGE_NONE;
	j->reseed = j->needed = false;
}

static void answer(struct rejoin *j, int exit_status, const char *text)
{
	struct control_request *r = j->request;

	j->request = NULL;
	if (r)
		control_done(r, exit_status, NULL, "%s", text);
}

/* The node is what it was: quarantined. */
static void fail(struct rejoin *j, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void fail(struct rejoin *j, const char *fmt, ...)
{
	char text[1024];
	size_t len;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	stop(j);
	len = strlen(text);
	if (j->file[0])
		str_add(text, sizeof(text), &len, "; what only this node held is in %s", j->file);
	hooks_alert(j->s, LOG_LVL_WARN, "rejoin failed: %.450s", text);
	answer(j, EXIT_REFUSED, text);
}

static void enter(struct rejoin *j, enum stage stage, us_t bound)
{
	j->stage = stage;
	j->stage_began = now_us();
	j->until = j->stage_began + bound;
	timer_in(j->timer, look_every);
}

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

static void find_mark(struct rejoin *j)
{
	auto_free char *file = NULL;

	if (file_read(j->mark, sizeof(j->file) - 1, &file, NULL, NULL))
		return;
	j->unfinished = true;
	STR_COPY(j->file, file);
}

/* --- export --------------------------------------------------------------------------------------------------------------------------- */

static void export_failed(struct rejoin *j, const char *text)
{
	bool news = !str_eq(j->trouble, text);

	STR_COPY(j->trouble, text);
	if (!j->unfinished) /* else the export of before stands */
		j->file[0] = '\0';
	if (j->request) {
		fail(j, "nothing was discarded: what only this node holds could not be exported: %s", text);
	} else {
		stop(j);
		if (news)
			hooks_alert(j->s, LOG_LVL_WARN, "what only this node holds could not be exported: %s", text);
	}
	timer_in(j->timer, export_again);
}

/* What stands in the answer goes to j; false: it is not understood. */
static bool take_export(struct rejoin *j, const char *text, char said[SENTENCE_MAX])
{
	json_t *o = json_loads(text, 0, NULL);
	const char *file = json_string_value(json_object_get(o, "file")),
		   *lacking = json_string_value(json_object_get(o, "lacking"));
	bool ok = file && lacking;

	if (ok) {
		if (file[0] || !j->unfinished)
			STR_COPY(j->file, file);
		j->trouble[0] = '\0';
		snprintf(said, SENTENCE_MAX, "%lld transactions (%.60s), %lld bytes: %.120s",
			(long long)json_integer_value(json_object_get(o, "transactions")), lacking,
			(long long)json_integer_value(json_object_get(o, "bytes")), file[0] ? file : "nothing");
	}
	json_decref(o);
	return ok;
}

static void on_exported(void *arg, enum db_outcome outcome, us_t took, const char *text)
{
	struct rejoin *j = arg;
	char said[SENTENCE_MAX], before[sizeof(j->file)];

	(void)took;
	j->call = NULL;
	STR_COPY(before, j->file);
	if (outcome != DB_OK && j->unfinished && j->file[0]) {
		snprintf(said, sizeof(said), "made before: %.200s", j->file);
	} else if (outcome != DB_OK || !take_export(j, text, said)) {
		export_failed(j, text);
		return;
	}
	if (j->file[0] && !str_eq(j->file, before))
		hooks_alert(j->s, LOG_LVL_NOTICE, "what only this node holds was exported: %s", said);
	tell_stage(j, "export", said);
	if (!j->reseed && mine(j->s)->reseed_automatic && !reseed_off(j->s) && !j->tried &&
		(j->file[0] || j->unfinished))
		j->reseed = j->tried = true;
	if (!j->reseed)
		stop(j);
	else if (j->file[0] || j->needed || j->unfinished)
		begin_reseed(j);
	else
		begin_follow(j); /* nothing is only here (any more) */
}

static void begin_export(struct rejoin *j)
{
	struct err e;

	enter(j, STAGE_EXPORT, US_NEVER / 2);
	timer_off(j->timer);
	j->call = db_start(my_mysql(j->s), OP_EXPORT, j->s->cli->state_dir, export_timeout, on_exported, j, &e);
	if (!j->call)
		export_failed(j, e.text);
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
		fail(j, "%s", text);
		return;
	}
	tell_stage(j, "clone", text);
	j->start_at = 0;
	enter(j, STAGE_RESTART, restart_timeout);
}

/* Lines "STEP MS TEXT" that the command has appended since. */
static void read_progress(struct rejoin *j)
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
		tell(j, step, ms, "ok", clean);
	}
}

static void on_reseeded(void *arg, const struct proc_result *r)
{
	struct rejoin *j = arg;
	size_t n = strlen(r->output);

	j->proc = NULL;
	read_progress(j);
	/* it has put the old data back, unless it was killed; the end of what it says is what it failed at */
	if (!r->timed_out && (!r->status || !j->was_unfinished))
		mark_whole(j);
	if (r->timed_out)
		fail(j, "the reseed command did not end within mysql.reseed_timeout and was ended: %.300s",
			r->output + (n > 300 ? n - 300 : 0));
	else if (r->status)
		fail(j, "the reseed command failed with status %d: %.300s", r->status,
			r->output + (n > 300 ? n - 300 : 0));
	else {
		tell_stage(j, "reseed", "");
		j->old_start = 0; /* it was left started */
		enter(j, STAGE_RESTART, restart_timeout);
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

static void begin_reseed(struct rejoin *j)
{
	const struct conf_mysql *m = mine(j->s);
	struct core_view v;
	struct err e = { "" };

	core_look(j->s->core, now_us(), &v);
	if (v.role != ROLE_QUARANTINED || v.primary != j->s->peer || v.peer != PEER_ALIVE) {
		fail(j, "%s is not known to be primary now: there is nobody to take the data from",
			j->s->conf->node[j->s->peer].name);
		return;
	}
	j->was_unfinished = j->unfinished;
	if (mark_unfinished(j, &e)) {
		fail(j, "nothing was discarded: %s", e.text);
		return;
	}
	enter(j, STAGE_RESEED, m->reseed_timeout + 10 * US_PER_SEC);
	j->old_start = j->s->server[j->s->me][DB_MYSQL].facts.db_start;
	journal_add(j->s->journal, LOG_LVL_WARN, "note", NULL,
		"the data of this node's database are replaced by those of %s", j->s->conf->node[j->s->peer].name);
	if (str_eq(m->reseed, "clone"))
		j->call = db_start(my_mysql(j->s), OP_CLONE, NULL, m->reseed_timeout, on_cloned, j, &e);
	else
		run_command(j, &e);
	if (j->call || j->proc)
		return;
	if (!j->was_unfinished)
		mark_whole(j);
	fail(j, "%s", e.text);
}

/* --- the server comes back ------------------------------------------------------------------------------------------------------------ */

static void on_verified(void *arg, enum db_outcome outcome, us_t took, const char *text)
{
	struct rejoin *j = arg;

	(void)took;
	j->call = NULL;
	if (outcome != DB_OK) {
		fail(j, "the clone did not end well: %s", text);
		return;
	}
	mark_whole(j);
	tell_stage(j, "verify", text);
	begin_follow(j);
}

static void begin_verify(struct rejoin *j)
{
	struct err e;

	enter(j, STAGE_VERIFY, verify_timeout + US_PER_SEC);
	j->call = db_start(my_mysql(j->s), OP_CLONED, NULL, verify_timeout, on_verified, j, &e);
	if (!j->call)
		fail(j, "%s", e.text);
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

static void look_restart(struct rejoin *j)
{
	const struct db_facts *f = &j->s->server[j->s->me][DB_MYSQL].facts;
	struct err e;

	if (f->life == DB_UP && f->db_start != j->old_start) {
		tell_stage(j, "restart", "");
		if (j->old_start)
			begin_verify(j);
		else
			begin_follow(j);
		return;
	}
	if (f->life != DB_DEAD || !j->old_start || !mine(j->s)->start[0] || j->starter || now_us() < j->start_at)
		return;
	j->starter = proc_start(j->s->loop, mine(j->s)->start, NULL, NULL, start_timeout, on_started, j, &e);
	if (!j->starter)
		log_warn("mysql.start: %s", e.text);
}

/* --- following -------------------------------------------------------------------------------------------------------------------------- */

static void begin_follow(struct rejoin *j)
{
	struct core_command c = { .kind = CMD_REJOIN, .to = NOBODY, .timeout = follow_timeout };

	enter(j, STAGE_FOLLOW, follow_timeout);
	j->stood_by = false;
	pump_command(j->s, &c);
}

static void look_follow(struct rejoin *j)
{
	struct core_view v;
	char text[256];

	core_look(j->s->core, now_us(), &v);
	j->stood_by |= v.role == ROLE_STANDBY;
	if (v.role == ROLE_STANDBY && j->s->facts.following) {
		tell_stage(j, "follow", "");
		snprintf(text, sizeof(text), "this node follows %s again after %.1f s",
			j->s->conf->node[j->s->peer].name, (double)(now_us() - j->began) / US_PER_SEC);
		stop(j);
		hooks_alert(j->s, LOG_LVL_NOTICE, "rejoin: %s%s%s", text,
			j->file[0] ? "; what only it held is in " : "", j->file);
		answer(j, EXIT_DONE, text);
		j->file[0] = '\0';
	} else if (j->stood_by && v.role == ROLE_QUARANTINED) {
		fail(j, "the node was quarantined again; `hactl events` says why");
	}
}

static const struct {
	void (*look)(struct rejoin *j);
	const char *late;
} stages[] = {
	[STAGE_NONE] = { NULL, "" },
	[STAGE_HOLD] = { NULL, "this node could not be set aside to be rebuilt" },
	[STAGE_EXPORT] = { NULL, "the export has not ended in time" },
	[STAGE_RESEED] = { read_progress, "the reseed has not ended in time" },
	[STAGE_RESTART] = { look_restart, "the database server did not come back: start it, then type `hactl rejoin`" },
	[STAGE_VERIFY] = { NULL, "the database server does not say how the clone ended" },
	[STAGE_FOLLOW] = { look_follow,
		"the data were replaced, and the node does not follow yet; `hactl status` says why" },
};

static void on_timer(void *arg, us_t now)
{
	struct rejoin *j = arg;
	struct core_view v;

	if (j->stage == STAGE_NONE) { /* an export that failed is tried again */
		core_look(j->s->core, now, &v);
		if (v.role == ROLE_QUARANTINED && !j->file[0])
			begin_export(j);
		return;
	}
	timer_in(j->timer, look_every);
	if (now > j->until)
		fail(j, "%s", stages[j->stage].late);
	else if (stages[j->stage].look)
		stages[j->stage].look(j);
}

/* --- face ------------------------------------------------------------------------------------------------------------------------------- */

static struct rejoin *rejoin_of(struct sup *s)
{
	if (s->rejoin)
		return s->rejoin;
	s->rejoin = xcalloc(1, sizeof(*s->rejoin));
	s->rejoin->s = s;
	s->rejoin->timer = timer_new(s->loop, on_timer, s->rejoin);
	snprintf(s->rejoin->mark, sizeof(s->rejoin->mark), "%.500s/reseed.unfinished", s->cli->state_dir);
	find_mark(s->rejoin);
	snprintf(s->rejoin->progress, sizeof(s->rejoin->progress), "%.500s/reseed.progress", s->cli->state_dir);
	return s->rejoin;
}

void rejoin_role(struct sup *s, enum role to)
{
	struct rejoin *j;

	if (!my_mysql(s) || (!s->rejoin && to != ROLE_QUARANTINED))
		return;
	j = rejoin_of(s);
	if (to == ROLE_PROMOTING && j->stage != STAGE_NONE) {
		fail(j, "this node is being promoted");
	} else if (to == ROLE_QUARANTINED && j->stage == STAGE_HOLD) {
		begin_export(j);
	} else if (to == ROLE_QUARANTINED && j->stage == STAGE_NONE) {
		j->tried = false;
		j->began = now_us();
		j->trouble[0] = '\0';
		if (!j->unfinished)
			j->file[0] = '\0';
		begin_export(j);
	}
}

void rejoin_discard(struct sup *s, struct control_request *r)
{
	struct rejoin *j = my_mysql(s) ? rejoin_of(s) : NULL;
	struct core_view v;

	core_look(s->core, now_us(), &v);
	if (v.role != ROLE_QUARANTINED && (v.role != ROLE_STANDBY || s->facts.following)) {
		control_done(r, EXIT_REFUSED, NULL, "this node is %s%s: there is nothing to discard",
			role_names[v.role], v.role == ROLE_STANDBY ? " and follows" : "");
	} else if (!j || reseed_off(s)) {
		control_done(r, EXIT_REFUSED, NULL,
			"mysql.reseed is \"off\": set it to \"clone\" (MySQL) or to a command such as the "
			"reseed-mariadb that comes with "
			"hactl; or rebuild this node's database from the primary by hand and type `hactl rejoin`%s%s",
			j && j->file[0] ? "; what only this node holds is in " : "", j ? j->file : "");
	} else if (j->reseed || j->request) {
		control_done(r, EXIT_REFUSED, NULL, "a rejoin is under way already");
	} else {
		stop(j); /* an export under way begins again: the same one, with somebody who waits */
		j->request = r;
		j->reseed = j->tried = true;
		j->began = now_us();
		if (v.role == ROLE_QUARANTINED) {
			begin_export(j);
			return;
		}
		j->needed = true; /* the primary has purged what it lacks, or its data are beyond use */
		enter(j, STAGE_HOLD, hold_timeout);
		facts_update(s);
	}
}

bool rejoin_holds(const struct sup *s)
{
	return s->rejoin && (s->rejoin->stage == STAGE_HOLD || s->rejoin->unfinished);
}

bool rejoin_unfinished(const struct sup *s)
{
	return s->rejoin && s->rejoin->unfinished;
}

/* A standby whose server was away has given up for longer and longer: it follows now. */
void rejoin_server_up(struct sup *s)
{
	struct core_command c = { .kind = CMD_REJOIN, .to = NOBODY, .timeout = follow_timeout };
	struct core_view v;

	core_look(s->core, now_us(), &v);
	if (v.role == ROLE_STANDBY && !s->facts.following)
		pump_command(s, &c);
}

void rejoin_open(struct sup *s)
{
	if (my_mysql(s))
		rejoin_of(s);
}

bool rejoin_busy(const struct sup *s)
{
	return s->rejoin && s->rejoin->stage > STAGE_EXPORT;
}

bool rejoin_blocker(const struct sup *s, char out[SENTENCE_MAX])
{
	const struct rejoin *j = s->rejoin;
	static const char *const doing[] = { [STAGE_RESEED] = "its data are being replaced by the primary's",
		[STAGE_RESTART] = "its database server restarts with the primary's data",
		[STAGE_VERIFY] = "its database server restarts with the primary's data",
		[STAGE_FOLLOW] = "it begins to follow" };

	if (rejoin_busy(s))
		snprintf(out, SENTENCE_MAX, "%s is being rebuilt: %s", s->conf->node[s->me].name, doing[j->stage]);
	else if (j && j->unfinished)
		snprintf(out, SENTENCE_MAX,
			"a reseed of %s was cut short and its data are not whole: `hactl rejoin --discard-divergent` "
			"there; only it "
			"held: %.100s",
			s->conf->node[s->me].name, j->file[0] ? j->file : "nothing");
	else if (j && j->file[0])
		snprintf(out, SENTENCE_MAX, "what only %s holds was exported to %.180s", s->conf->node[s->me].name,
			j->file);
	else if (j && j->trouble[0])
		snprintf(out, SENTENCE_MAX, "what only %s holds could not be exported: %.160s",
			s->conf->node[s->me].name, j->trouble);
	else
		return false;
	return true;
}

void rejoin_close(struct sup *s)
{
	struct rejoin *j = s->rejoin;

	if (!j)
		return;
	stop(j);
	answer(j, EXIT_DEGRADED,
		"hactl ended before the rejoin did; the node is looked at again when hactl runs again");
	timer_free(j->timer);
	free(j);
	s->rejoin = NULL;
}
