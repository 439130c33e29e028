/* steps.c - the core's steps brought about. One table: which room does a step, with which operations in which order on which server.
 *
 * Every step has the core's deadline and is answered exactly once; should a room forget, the core gives the step up a second later and
 * cancels it here.
 */
#include "hactl/supervisor/private.h"

enum whose { LOCAL, PEER };

struct stage { /* one database operation of a step */
	enum db_op op;
	enum whose whose;
	enum db_kind kind;
};

typedef int now_fn(struct sup *s, us_t until, struct err *e); /* a step that is over when the call returns */

struct step_row {
	enum { BY_CALL, BY_DATABASE, BY_FENCE } by;
	now_fn *call;
	struct stage stage[7];
	int n_stages;
};

static int do_address_add(struct sup *s, us_t until, struct err *e)
{
	(void)until;
	return address_add(s, e);
}

static int do_address_del(struct sup *s, us_t until, struct err *e)
{
	(void)until;
	return address_remove(s, e);
}

static int do_announce(struct sup *s, us_t until, struct err *e)
{
	(void)until;
	(void)e;
	if (s->vips)
		vips_announce(s->vips);
	return 0;
}

static int do_upstreams(struct sup *s, us_t until, struct err *e)
{
	struct core_view v;

	(void)until;
	(void)e;
	core_look(s->core, now_us(), &v);
	if (s->upstreams)
		upstreams_primary(s->upstreams, v.primary);
	return 0;
}

static int do_hooks(struct sup *s, us_t until, struct err *e)
{
	struct core_view v;

	(void)until;
	(void)e;
	core_look(s->core, now_us(), &v);
	hooks_role(s, v.role == ROLE_PRIMARY || v.role == ROLE_PROMOTING);
	return 0;
}

#define ONE(kind_, op_, whose_)                                                                                        \
	{                                                                                                              \
		.by = BY_DATABASE, .stage = { { op_, whose_, kind_ } }, .n_stages = 1                                  \
	}
#define TWO(op_, whose_, kind_, op2_, whose2_, kind2_)                                                                 \
	{                                                                                                              \
		.by = BY_DATABASE, .stage = { { op_, whose_, kind_ }, { op2_, whose2_, kind2_ } }, .n_stages = 2       \
	}

static const struct step_row rows[] = {
	[STEP_FENCE] = { .by = BY_FENCE },
	[STEP_MYSQL_PROMOTE] = ONE(DB_MYSQL, OP_PROMOTE, LOCAL),
	[STEP_MYSQL_VERIFY] = ONE(DB_MYSQL, OP_VERIFY_PRIMARY, LOCAL),
	[STEP_REDIS_PROMOTE] = ONE(DB_REDIS, OP_PROMOTE, LOCAL),
	[STEP_REDIS_VERIFY] = ONE(DB_REDIS, OP_VERIFY_PRIMARY, LOCAL),
	[STEP_ADDRESS_ADD] = { .by = BY_CALL, .call = do_address_add },
	[STEP_GATE_OPEN] = { .by = BY_CALL, .call = address_gate_step },
	[STEP_ANNOUNCE] = { .by = BY_CALL, .call = do_announce },
	[STEP_UPSTREAMS] = { .by = BY_CALL, .call = do_upstreams },
	[STEP_HOOKS] = { .by = BY_CALL, .call = do_hooks },
	[STEP_ADDRESS_DEL] = { .by = BY_CALL, .call = do_address_del },
	/* the standby executes what was written up to now, twice: what the freeze will have to wait for is what came in meanwhile.
	 * Scheduled events go before the freeze, whose time is the writers': MariaDB's go on under read_only */
	[STEP_PRECHECK] = { .by = BY_DATABASE,
		.n_stages = 7,
		.stage = { { OP_PRECHECK, LOCAL, DB_MYSQL }, { OP_PRECHECK, LOCAL, DB_REDIS },
			{ OP_POSITION, LOCAL, DB_MYSQL }, { OP_REACH, PEER, DB_MYSQL },
			{ OP_EVENTS_OFF, LOCAL, DB_MYSQL }, { OP_POSITION, LOCAL, DB_MYSQL },
			{ OP_REACH, PEER, DB_MYSQL } } },
	[STEP_MYSQL_FREEZE] = ONE(DB_MYSQL, OP_FREEZE, LOCAL),
	[STEP_MYSQL_UNFREEZE] = ONE(DB_MYSQL, OP_UNFREEZE, LOCAL),
	[STEP_MYSQL_REACH] = ONE(DB_MYSQL, OP_REACH, PEER),
	[STEP_REDIS_HANDOVER] = ONE(DB_REDIS, OP_HANDOVER, LOCAL),
	[STEP_REDIS_RECLAIM] = ONE(DB_REDIS, OP_RECLAIM, LOCAL),
	[STEP_MYSQL_DEMOTE] = ONE(DB_MYSQL, OP_DEMOTE, LOCAL),
	[STEP_REDIS_DEMOTE] = ONE(DB_REDIS, OP_DEMOTE, LOCAL),
	[STEP_MYSQL_FOLLOW] = ONE(DB_MYSQL, OP_FOLLOW, LOCAL),
	[STEP_REDIS_FOLLOW] = ONE(DB_REDIS, OP_FOLLOW, LOCAL),
	/* commits wait for the standby from the moment of the enabling: it must have received everything before. It need not have executed
	 * it: a promotion does, and under load it may never be done with it. */
	[STEP_SYNC_ON] = { .by = BY_DATABASE,
		.n_stages = 4,
		.stage = { { OP_POSITION, LOCAL, DB_MYSQL }, { OP_RECEIVE, PEER, DB_MYSQL },
			{ OP_SYNC_ON, LOCAL, DB_MYSQL }, { OP_RECEIVE, PEER, DB_MYSQL } } },
	[STEP_SYNC_OFF] = ONE(DB_MYSQL, OP_SYNC_OFF, LOCAL),
};
_Static_assert(ARRAY_LEN(rows) == STEP_KIND_COUNT, "every step can be brought about");

static struct running *slot(struct sup *s)
{
	for (size_t i = 0; i < MAX_RUNNING; i++)
		if (!s->running[i].used)
			return &s->running[i];
	return NULL;
}

void steps_end(struct running *r, enum step_outcome outcome, const char *text)
{
	static const enum log_level level[] = {
		[STEP_OK] = LOG_LVL_INFO, [STEP_FAILED] = LOG_LVL_WARN, [STEP_UNKNOWN] = LOG_LVL_WARN
	};
	static const char *const word[] = {
		[STEP_OK] = "done", [STEP_FAILED] = "failed", [STEP_UNKNOWN] = "not known to have ended"
	};
	us_t took = now_us() - r->started;

	log_at(level[outcome], "step %s %s after %.1f ms%s%s", step_names[r->kind], word[outcome], (double)took / 1000,
		*text ? ": " : "", text);
	r->used = false;
	pump_step(r->s, r->serial, outcome, took, text);
}

static bool next_stage(struct running *r, struct err *e);

/* What the room observed before or during an operation of ours is old news: forget it and look again. Last of all in a callback: the
 * look may answer at once, and what the core then does may take the slot of the step that has just ended. */
static void look_again(struct server *v)
{
	v->stale = STALE;
	db_hurry(v->db);
}

/* A position that was cut would be reached before the writes it leaves out. */
static bool keep_position(struct running *r, const char *text, struct err *e)
{
	enum db_op op = rows[r->kind].stage[r->stage].op;
	bool gives = op == OP_POSITION || op == OP_FREEZE || op == OP_SYNC_ON;
	char *keep = !gives ? NULL : r->kind == STEP_SYNC_ON ? r->reach : r->s->frozen_at;

	if (!keep || str_copy(keep, GTID_MAX, text))
		return true;
	err_set(e, "the replication position is longer than %d bytes and cannot be compared", GTID_MAX - 1);
	return false;
}

static void keep_words(struct running *r, const char *text)
{
	const struct stage *g = &rows[r->kind].stage[r->stage];

	if (g->op == OP_PRECHECK && g->kind == DB_MYSQL)
		STR_COPY(r->said, text);
}

/* A pair may have one kind of database only: what a step asks of the other kind is left out. Everything left out: done. */
static bool skip_stages(struct running *r)
{
	const struct step_row *row = &rows[r->kind];

	while (r->kind == STEP_PRECHECK && r->stage < row->n_stages &&
		(!r->s->server[r->s->me][row->stage[r->stage].kind].db ||
			(row->stage[r->stage].op == OP_EVENTS_OFF && !events_going(r->s))))
		r->stage++;
	return r->stage == row->n_stages;
}

/* --- a promotion that drains ---------------------------------------------------------------------------------------------------------- */

static const us_t drain_turn = 10 * US_PER_SEC, /* of one operation: the server answers within it, or is hung */
	drain_stuck = 7 * US_PER_SEC, drain_told = 5 * US_PER_SEC;

/* How far it is, for the status and, now and then, for the journal. */
static void tell_drain(struct running *r, const char *text)
{
	us_t now = now_us();

	snprintf(r->far, sizeof(r->far), "%.200s, for %lld s now", text, (long long)((now - r->started) / US_PER_SEC));
	if (r->told_at && now - r->told_at < drain_told)
		return;
	r->told_at = now;
	journal_add(r->s->journal, LOG_LVL_NOTICE, "note", NULL,
		"mysql on %s applies what it has received before it is opened: %s", r->s->conf->node[r->s->me].name,
		r->far);
}

/* A drain goes on as long as something moves, under an authority that is renewed meanwhile: only what it is now counts. */
static bool drain_on(struct running *r, enum db_outcome outcome, const char *text, struct err *e)
{
	bool moves = outcome == DB_MORE || strstr(text, "were ended");
	uint32_t serial = r->serial;
	struct server *server = r->server;
	us_t now = now_us();
	struct core_view v;

	tell_drain(r, text);
	if (moves || !r->moved_at) {
		r->moved_at = now;
		r->deadline = now + r->timeout;
	}
	if (moves)
		pump_step(r->s, serial, STEP_MORE, now - r->started, "");
	if (!r->used || r->serial != serial) { /* the core has given it up meanwhile */
		look_again(server);
		return true;
	}
	core_look(r->s->core, now, &v);
	if (!v.held) {
		err_set(e, "authority ended while it drained: %.180s", text);
		return false;
	}
	if (now - r->moved_at > drain_stuck) {
		err_set(e, "nothing was applied for %lld s: %.180s", (long long)((now - r->moved_at) / US_PER_SEC),
			text);
		return false;
	}
	r->until = now + v.remaining_us;
	return next_stage(r, e);
}

static bool unfinished(enum db_outcome outcome)
{
	return outcome == DB_MORE || outcome == DB_WAITS;
}

static void on_operation(void *arg, enum db_outcome outcome, us_t took, const char *text)
{
	struct running *r = arg;
	struct server *v = r->server;
	struct err e = { "" };

	if (outcome == DB_OK && rows[r->kind].n_stages > 1) /* which of them the time went into */
		log_info("step %s: %s took %.1f ms", step_names[r->kind], db_op_names[rows[r->kind].stage[r->stage].op],
			(double)took / 1000);
	r->call = NULL;
	v->ops--;
	if (unfinished(outcome) && drain_on(r, outcome, text, &e))
		return;
	if (unfinished(outcome)) {
		outcome = DB_FAILED;
		text = e.text;
	}
	v->stale = STALE; /* before the core hears of the end: what is known of the server is from before */
	if (outcome != DB_OK && r->kind == STEP_MYSQL_DEMOTE && killer_start(r, outcome, text))
		return;
	if (outcome != DB_OK)
		steps_end(r, outcome == DB_FAILED ? STEP_FAILED : STEP_UNKNOWN, text);
	else if (!keep_position(r, text, &e))
		steps_end(r, STEP_FAILED, e.text);
	else if (keep_words(r, text), r->stage++, skip_stages(r))
		steps_end(r, STEP_OK, r->kind == STEP_PRECHECK ? r->said : text);
	else if (!next_stage(r, &e))
		steps_end(r, STEP_FAILED, e.text);
	look_again(v);
}

/* A standby may catch up for longer than one lease lasts: the core takes back what it asked for when authority ends. */
static bool authority_ended(const struct running *r)
{
	struct core_view v;

	if (now_us() < r->until)
		return false;
	core_look(r->s->core, now_us(), &v);
	return r->kind != STEP_SYNC_ON || v.role != ROLE_PRIMARY || !v.held;
}

static bool next_stage(struct running *r, struct err *e)
{
	const struct stage *g = &rows[r->kind].stage[r->stage];
	struct sup *s = r->s;
	us_t left = r->deadline - now_us();
	bool drains = g->op == OP_PROMOTE && g->kind == DB_MYSQL;
	char until[40];
	const char *arg = g->op == OP_RECEIVE ? r->reach : g->op == OP_REACH ? s->frozen_at : drains ? until : NULL;

	if (left <= 0) {
		err_set(e, "no time was left for %s", db_op_names[g->op]);
		return false;
	}
	if (authority_ended(r)) { /* the stages before took long, or this process stood still */
		err_set(e, "authority ended before %s", db_op_names[g->op]);
		return false;
	}
	if (r->kind == STEP_MYSQL_DEMOTE && !r->killed)
		left = killer_patience(s, left);
	r->server = &s->server[g->whose == LOCAL ? s->me : s->peer][g->kind];
	if (!r->server->db) {
		err_set(e, "no such server is configured");
		return false;
	}
	snprintf(until, sizeof(until), "%lld%s", (long long)r->until, r->released ? " released" : "");
	r->call = db_start(
		r->server->db, g->op, arg, drains && left > drain_turn ? drain_turn : left, on_operation, r, e);
	if (!r->call)
		return false;
	if (drains)
		r->server->applier_ours = true;
	r->server->ops++;
	return true;
}

void steps_killed(struct running *r, const char *trouble)
{
	struct err e = { "" };

	if (trouble[0])
		steps_end(r, STEP_FAILED, trouble);
	else if (!next_stage(r, &e)) /* dead, or started again already: then it is frozen */
		steps_end(r, STEP_FAILED, e.text);
}

void steps_start(struct sup *s, const struct core_action *a)
{
	const struct step_row *row = &rows[a->step];
	struct running *r = slot(s);
	us_t now = now_us();
	struct err e = { "" };

	if (!r) {
		pump_step(s, a->serial, STEP_FAILED, 0, "too many steps at once");
		return;
	}
	*r = (struct running){ .s = s,
		.used = true,
		.serial = a->serial,
		.kind = a->step,
		.started = now,
		.until = a->until,
		.released = a->released };
	r->timeout = a->timeout_us;
	r->deadline = now + a->timeout_us;
	/* the core was right when it asked; a stall since then may have ended the authority */
	if (now >= a->until) {
		steps_end(r, STEP_FAILED, "authority ended before the step could start");
		return;
	}
	if (row->stage[0].kind == DB_MYSQL && a->db_start && a->db_start != s->server[s->me][DB_MYSQL].facts.db_start) {
		steps_end(r, STEP_FAILED, "the database server was restarted since it was known to be in sync");
		return;
	}
	switch (row->by) {
	case BY_CALL:
		if (row->call(s, a->until, &e))
			steps_end(r, STEP_FAILED, e.text);
		else
			steps_end(r, STEP_OK, "");
		return;
	case BY_DATABASE:
		if (skip_stages(r))
			steps_end(r, STEP_OK, "");
		else if (!next_stage(r, &e))
			steps_end(r, STEP_FAILED, e.text);
		return;
	case BY_FENCE:
		if (fence_start(r, &e))
			steps_end(r, STEP_FAILED, e.text);
		return;
	}
}

void steps_cancel(struct sup *s, uint32_t serial)
{
	for (size_t i = 0; i < MAX_RUNNING; i++) {
		struct running *r = &s->running[i];

		if (!r->used || r->serial != serial)
			continue;
		r->used = false;
		fence_cancel(r);
		killer_cancel(r);
		if (!r->call)
			return;
		db_cancel(r->call);
		r->server->ops--;
		look_again(r->server);
		return;
	}
}
