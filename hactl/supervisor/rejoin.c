/* rejoin.c - a quarantined node: what only it holds is exported, and when somebody or the configuration says so it gets the primary's
 * data and follows again. Nothing is replaced before a whole export lies on the disk.
 *
 * One thing at a time, in stages; every stage has its bound and ends with the node quarantined as it was, or one stage further.
 */
#include "hactl/supervisor/rejoin.h"

static const us_t hold_timeout = 10 * US_PER_SEC, export_timeout = 600 * US_PER_SEC, export_again = US_PER_SEC,
		  export_again_at_most = 30 * US_PER_SEC, follow_timeout = 60 * US_PER_SEC,
		  look_every = 200 * US_PER_MS;

const struct conf_mysql *rejoin_conf(const struct sup *s)
{
	return &s->conf->node[s->me].mysql;
}

struct db *rejoin_mysql(const struct sup *s)
{
	return s->server[s->me][DB_MYSQL].db;
}

static bool reseed_off(const struct sup *s)
{
	return str_eq(rejoin_conf(s)->reseed, "off") || !rejoin_conf(s)->reseed[0];
}

/* --- what is told ------------------------------------------------------------------------------------------------------------------ */

void rejoin_tell(struct rejoin *j, const char *step, double ms, const char *outcome, const char *text)
{
	log_info("rejoin: %s %s after %.1f ms%s%s", step, outcome, ms, text[0] ? ": " : "", text);
	if (j->request)
		control_progress(j->request, json_pack("{s:{s:s, s:f, s:s, s:o}}", "progress", "step", step, "ms", ms,
						     "outcome", outcome, "text", text_json(text)));
}

void rejoin_tell_stage(struct rejoin *j, const char *step, const char *text)
{
	rejoin_tell(j, step, (double)(now_us() - j->stage_began) / 1000, "ok", text);
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
void rejoin_fail(struct rejoin *j, const char *fmt, ...)
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

void rejoin_enter(struct rejoin *j, enum stage stage, us_t bound)
{
	j->stage = stage;
	j->stage_began = now_us();
	j->until = j->stage_began + bound;
	timer_in(j->timer, look_every);
}

/* --- export --------------------------------------------------------------------------------------------------------------------------- */

static void export_failed(struct rejoin *j, const char *text)
{
	bool news = !str_eq(j->trouble, text);

	STR_COPY(j->trouble, text);
	if (!j->unfinished) /* else the export of before stands */
		j->file[0] = '\0';
	if (j->request) {
		rejoin_fail(j, "nothing was discarded: what only this node holds could not be exported: %s", text);
	} else {
		stop(j);
		if (news)
			hooks_alert(j->s, LOG_LVL_WARN, "what only this node holds could not be exported: %s", text);
	}
	timer_in(j->timer, j->export_pause);
	j->export_pause = j->export_pause * 2 < export_again_at_most ? j->export_pause * 2 : export_again_at_most;
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
	rejoin_tell_stage(j, "export", said);
	if (!j->reseed && rejoin_conf(j->s)->reseed_automatic && !reseed_off(j->s) && !j->tried &&
		(j->file[0] || j->unfinished))
		j->reseed = j->tried = true;
	if (!j->reseed)
		stop(j);
	else if (j->file[0] || j->needed || j->unfinished)
		reseed_begin(j);
	else
		rejoin_follow(j); /* nothing is only here (any more) */
}

static void begin_export(struct rejoin *j)
{
	struct err e;

	rejoin_enter(j, STAGE_EXPORT, US_NEVER / 2);
	timer_off(j->timer);
	j->call = db_start(rejoin_mysql(j->s), OP_EXPORT, j->s->cli->state_dir, export_timeout, on_exported, j, &e);
	if (!j->call)
		export_failed(j, e.text);
}

/* --- following -------------------------------------------------------------------------------------------------------------------------- */

void rejoin_follow(struct rejoin *j)
{
	struct core_command c = { .kind = CMD_REJOIN, .to = NOBODY, .timeout = follow_timeout };

	rejoin_enter(j, STAGE_FOLLOW, follow_timeout);
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
		rejoin_tell_stage(j, "follow", "");
		snprintf(text, sizeof(text), "this node follows %s again after %.1f s",
			j->s->conf->node[j->s->peer].name, (double)(now_us() - j->began) / US_PER_SEC);
		stop(j);
		hooks_alert(j->s, LOG_LVL_NOTICE, "rejoin: %s%s%s", text,
			j->file[0] ? "; what only it held is in " : "", j->file);
		answer(j, EXIT_DONE, text);
		j->file[0] = '\0';
	} else if (j->stood_by && v.role == ROLE_QUARANTINED) {
		rejoin_fail(j, "the node was quarantined again; `hactl events` says why");
	}
}

static const struct {
	void (*look)(struct rejoin *j);
	const char *late;
} stages[] = {
	[STAGE_NONE] = { NULL, "" },
	[STAGE_HOLD] = { NULL, "this node could not be set aside to be rebuilt" },
	[STAGE_EXPORT] = { NULL, "the export has not ended in time" },
	[STAGE_RESEED] = { reseed_look_command, "the reseed has not ended in time" },
	[STAGE_RESTART] = { reseed_look_server,
		"the database server did not come back: start it, then type `hactl rejoin`" },
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
		rejoin_fail(j, "%s", stages[j->stage].late);
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
	s->rejoin->export_pause = export_again;
	s->rejoin->timer = timer_new(s->loop, on_timer, s->rejoin);
	snprintf(s->rejoin->mark, sizeof(s->rejoin->mark), "%.500s/reseed.unfinished", s->cli->state_dir);
	reseed_find_mark(s->rejoin);
	snprintf(s->rejoin->progress, sizeof(s->rejoin->progress), "%.500s/reseed.progress", s->cli->state_dir);
	return s->rejoin;
}

void rejoin_role(struct sup *s, enum role to)
{
	struct rejoin *j;

	if (!rejoin_mysql(s) || (!s->rejoin && to != ROLE_QUARANTINED))
		return;
	j = rejoin_of(s);
	if (to == ROLE_PROMOTING && j->stage != STAGE_NONE) {
		rejoin_fail(j, "this node is being promoted");
	} else if (to == ROLE_QUARANTINED && j->stage == STAGE_HOLD) {
		begin_export(j);
	} else if (to == ROLE_QUARANTINED && j->stage == STAGE_NONE) {
		j->tried = false;
		j->export_pause = export_again; /* a session that somebody ended costs a second, not half a minute */
		j->began = now_us();
		j->trouble[0] = '\0';
		if (!j->unfinished)
			j->file[0] = '\0';
		begin_export(j);
	}
}

void rejoin_discard(struct sup *s, struct control_request *r)
{
	struct rejoin *j = rejoin_mysql(s) ? rejoin_of(s) : NULL;
	struct core_view v;

	core_look(s->core, now_us(), &v);
	if (v.role != ROLE_QUARANTINED && (v.role != ROLE_STANDBY || s->facts.following)) {
		control_done(r, EXIT_REFUSED, NULL, "this node is %s%s: there is nothing to discard",
			role_names[v.role], v.role == ROLE_STANDBY ? " and follows" : "");
	} else if (!j || reseed_off(s)) {
		control_done(r, EXIT_REFUSED, NULL,
			"mysql.reseed is \"off\": set it to \"clone\" (MySQL) or to a command such as the "
			"reseed-mariadb that comes with hactl; or rebuild this node's database from the primary by "
			"hand and type `hactl rejoin`%s%s",
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
		rejoin_enter(j, STAGE_HOLD, hold_timeout);
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
	if (rejoin_mysql(s))
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
			"there; only it held: %.100s",
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
