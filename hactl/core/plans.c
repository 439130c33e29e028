/* plans.c - the order of steps, as tables, and the short driver. Phases run one after the other, equal ones together. */
#include "hactl/core/inside.h"

const char *const step_names[STEP_KIND_COUNT] = {
	[STEP_FENCE] = "fence",
	[STEP_MYSQL_PROMOTE] = "mysql promote",
	[STEP_MYSQL_VERIFY] = "mysql verify",
	[STEP_REDIS_PROMOTE] = "redis promote",
	[STEP_REDIS_VERIFY] = "redis verify",
	[STEP_ADDRESS_ADD] = "address add",
	[STEP_GATE_OPEN] = "gate open",
	[STEP_ANNOUNCE] = "announce",
	[STEP_UPSTREAMS] = "upstreams",
	[STEP_HOOKS] = "hooks",
	[STEP_ADDRESS_DEL] = "address del",
	[STEP_PRECHECK] = "precheck",
	[STEP_MYSQL_FREEZE] = "mysql freeze",
	[STEP_MYSQL_UNFREEZE] = "mysql unfreeze",
	[STEP_MYSQL_REACH] = "mysql reach",
	[STEP_REDIS_HANDOVER] = "redis handover",
	[STEP_REDIS_RECLAIM] = "redis reclaim",
	[STEP_MYSQL_DEMOTE] = "mysql demote",
	[STEP_REDIS_DEMOTE] = "redis demote",
	[STEP_MYSQL_FOLLOW] = "mysql follow",
	[STEP_REDIS_FOLLOW] = "redis follow",
	[STEP_SYNC_ON] = "sync on",
	[STEP_SYNC_OFF] = "sync off",
};
_Static_assert(ARRAY_LEN(step_names) == STEP_KIND_COUNT, "every step has its name");

#define NO_SERVER ((int64_t)-1) /* no server's start is ever this */

#define NO_UNDO                                                                                                        \
	{                                                                                                              \
		NO_STEP, NO_STEP                                                                                       \
	}

/* Before a takeover, and not under authority: it is what gives it (alone.c). Its time is the configured one. */
static const struct step_def fence_steps[] = {
	{ "fence", 0, STEP_FENCE, 0, NO_UNDO, false, false },
};

static const struct step_def takeover_steps[] = {
	{ "mysql promote", 1, STEP_MYSQL_PROMOTE, 10 * US_PER_SEC, NO_UNDO, true, false },
	{ "redis promote", 1, STEP_REDIS_PROMOTE, 2 * US_PER_SEC, NO_UNDO, true, false },
	{ "mysql verify", 2, STEP_MYSQL_VERIFY, US_PER_SEC, NO_UNDO, true, false },
	{ "redis verify", 2, STEP_REDIS_VERIFY, US_PER_SEC, NO_UNDO, true, false },
	{ "address add", 3, STEP_ADDRESS_ADD, US_PER_SEC, NO_UNDO, true, false },
	{ "gate open", 4, STEP_GATE_OPEN, US_PER_SEC, NO_UNDO, true, false },
	{ "announce", 5, STEP_ANNOUNCE, US_PER_SEC, NO_UNDO, true, true },
	{ "upstreams", 5, STEP_UPSTREAMS, 10 * US_PER_SEC, NO_UNDO, false, true },
	{ "hooks", 5, STEP_HOOKS, US_PER_SEC, NO_UNDO, false, true },
};

static const struct step_def demotion_steps[] = {
	{ "address del", 0, STEP_ADDRESS_DEL, US_PER_SEC, NO_UNDO, false, false },
	{ "mysql demote", 1, STEP_MYSQL_DEMOTE, 5 * US_PER_SEC, NO_UNDO, false, false },
	{ "redis demote", 1, STEP_REDIS_DEMOTE, 2 * US_PER_SEC, NO_UNDO, false, false },
	{ "upstreams", 2, STEP_UPSTREAMS, 10 * US_PER_SEC, NO_UNDO, false, true },
	{ "hooks", 2, STEP_HOOKS, US_PER_SEC, NO_UNDO, false, true },
};

static const struct step_def switchover_steps[] = {
	{ "precheck", 0, STEP_PRECHECK, 2 * US_PER_SEC, NO_UNDO, true, false },
	{ "mysql freeze", 1, STEP_MYSQL_FREEZE, 4 * US_PER_SEC, { STEP_MYSQL_UNFREEZE, NO_STEP }, true, false },
	{ "mysql reach", 2, STEP_MYSQL_REACH, 4 * US_PER_SEC, NO_UNDO, true, false },
	{ "address del", 3, STEP_ADDRESS_DEL, US_PER_SEC, { STEP_ADDRESS_ADD, STEP_GATE_OPEN }, true, false },
	{ "redis handover", 4, STEP_REDIS_HANDOVER, 2 * US_PER_SEC, { STEP_REDIS_RECLAIM, NO_STEP }, true, false },
};

static const struct step_def follow_steps[] = {
	{ "mysql follow", 0, STEP_MYSQL_FOLLOW, 5 * US_PER_SEC, NO_UNDO, false, false },
	{ "redis follow", 0, STEP_REDIS_FOLLOW, 3 * US_PER_SEC, NO_UNDO, false, false },
};

/* How each undo runs; the order is the reverse of what was begun. */
static const struct step_def undo_steps[] = {
	{ "redis reclaim", 0, STEP_REDIS_RECLAIM, 2 * US_PER_SEC, NO_UNDO, true, false },
	{ "address add", 0, STEP_ADDRESS_ADD, US_PER_SEC, NO_UNDO, true, false },
	{ "gate open", 0, STEP_GATE_OPEN, US_PER_SEC, NO_UNDO, true, false },
	{ "mysql unfreeze", 0, STEP_MYSQL_UNFREEZE, 2 * US_PER_SEC, NO_UNDO, true, false },
};

struct plan_def {
	const char *name;
	const struct step_def *step;
	size_t n;
	bool carry_on; /* a failed step does not keep the later ones from being tried */
};

static const struct plan_def plans[PLAN_COUNT] = {
	[PLAN_NONE] = { "", NULL, 0, false },
	[PLAN_FENCE] = { "takeover", fence_steps, ARRAY_LEN(fence_steps), false },
	[PLAN_TAKEOVER] = { "takeover", takeover_steps, ARRAY_LEN(takeover_steps), false },
	[PLAN_DEMOTION] = { "demotion", demotion_steps, ARRAY_LEN(demotion_steps), true },
	[PLAN_SWITCHOVER] = { "switchover", switchover_steps, ARRAY_LEN(switchover_steps), false },
	[PLAN_UNDO] = { "undo", undo_steps, ARRAY_LEN(undo_steps), false },
	[PLAN_FOLLOW] = { "follow", follow_steps, ARRAY_LEN(follow_steps), true },
};
_Static_assert(ARRAY_LEN(plans) == PLAN_COUNT, "every plan has its table");

/* What a step needs to have configured to be part of a plan here. */
static bool step_used(const struct core_conf *conf, enum step_kind kind)
{
	switch (kind) {
	case STEP_FENCE:
		return conf->mode == CORE_FENCE;
	case STEP_MYSQL_PROMOTE:
	case STEP_MYSQL_VERIFY:
	case STEP_MYSQL_FREEZE:
	case STEP_MYSQL_UNFREEZE:
	case STEP_MYSQL_REACH:
	case STEP_MYSQL_DEMOTE:
	case STEP_MYSQL_FOLLOW:
		return conf->has_mysql;
	case STEP_REDIS_PROMOTE:
	case STEP_REDIS_VERIFY:
	case STEP_REDIS_HANDOVER:
	case STEP_REDIS_RECLAIM:
	case STEP_REDIS_DEMOTE:
	case STEP_REDIS_FOLLOW:
		return conf->has_redis;
	case STEP_ADDRESS_ADD:
	case STEP_ADDRESS_DEL:
	case STEP_GATE_OPEN:
	case STEP_ANNOUNCE:
		return conf->has_vip;
	case STEP_UPSTREAMS:
		return conf->has_upstreams;
	case STEP_HOOKS:
		return conf->has_hooks;
	default:
		return true;
	}
}

const char *plan_name(enum plan_id id)
{
	return plans[id].name;
}

size_t core_plan_steps(
	const struct core_conf *conf, const char *plan, enum step_kind out[CORE_MAX_STEPS], int phase[CORE_MAX_STEPS])
{
	size_t n = 0;

	for (size_t p = 1; p < PLAN_COUNT; p++) {
		if (strcmp(plans[p].name, plan))
			continue;
		for (size_t i = 0; i < plans[p].n; i++) {
			if (!step_used(conf, plans[p].step[i].action))
				continue;
			out[n] = plans[p].step[i].action;
			phase[n++] = plans[p].step[i].phase;
		}
	}
	return n;
}

/* --- the record of a change -------------------------------------------------------------------------------------------------- */

void change_begin(struct core *c, const char *kind, int from, int to, us_t since, const char *reason)
{
	struct core_change *h = &c->pending;

	if (c->changing)
		change_end(c, false);
	memset(h, 0, sizeof(*h));
	snprintf(h->kind, sizeof(h->kind), "%s", kind);
	h->from = from;
	h->to = to;
	h->started_at = since;
	say(h->reason, "%s", reason);
	c->changing = true;
}

void change_step(struct core *c, enum step_kind kind, us_t took, enum step_outcome outcome)
{
	struct core_change *h = &c->pending;

	if (!c->changing || h->n_steps == CORE_MAX_STEPS)
		return;
	h->steps[h->n_steps].step = kind;
	h->steps[h->n_steps].took_us = took;
	h->steps[h->n_steps++].outcome = outcome;
}

void change_end(struct core *c, bool ok)
{
	if (!c->changing)
		return;
	c->changing = false;
	c->pending.ok = ok;
	c->pending.total_us = c->now - c->pending.started_at;
	c->change = c->pending;
}

/* --- the driver ------------------------------------------------------------------------------------------------------------------ */

bool plan_busy(const struct core *c)
{
	return c->run.id != PLAN_NONE && !c->run.served;
}

void plan_cancel(struct core *c)
{
	for (size_t i = 0; c->run.id != PLAN_NONE && i < c->run.n; i++) {
		struct run_step *s = &c->run.step[i];

		if (s->state == RUNNING) {
			act(c, ACT_STEP_CANCEL)->serial = s->serial;
			change_step(c, s->def->action, c->now - s->at, STEP_UNKNOWN);
		}
	}
	c->run.id = PLAN_NONE;
	c->run.gen++;
}

static void add_step(struct core *c, const struct step_def *def)
{
	if (step_used(&c->conf, def->action) && c->run.n < CORE_MAX_STEPS)
		c->run.step[c->run.n++] = (struct run_step){ .def = def, .state = TODO };
}

static void run_begin(struct core *c, enum plan_id id)
{
	plan_cancel(c);
	c->run.id = id;
	c->run.served = false;
	c->run.started = c->now;
	c->run.n = 0;
	c->run.text[0] = '\0';
	c->again = true;
}

void plan_start(struct core *c, enum plan_id id)
{
	run_begin(c, id);
	for (size_t i = 0; i < plans[id].n; i++)
		add_step(c, &plans[id].step[i]);
}

static const struct step_def *undo_def(int kind)
{
	for (size_t i = 0; i < ARRAY_LEN(undo_steps); i++)
		if ((int)undo_steps[i].action == kind)
			return &undo_steps[i];
	return NULL;
}

/* What was begun (its outcome may be unknown), taken back in reverse order, one after the other. */
void plan_undo(struct core *c)
{
	const struct step_def *back[CORE_MAX_STEPS];
	size_t n = 0;

	for (size_t i = c->run.n; i-- > 0;) {
		const struct run_step *s = &c->run.step[i];

		for (size_t u = 0; s->state != TODO && u < MAX_UNDO; u++) {
			const struct step_def *def = undo_def(s->def->undo[u]);

			if (def && n < CORE_MAX_STEPS)
				back[n++] = def;
		}
	}
	run_begin(c, PLAN_UNDO);
	for (size_t i = 0; i < n; i++)
		add_step(c, back[i]);
}

/* Undoing a freeze opens writes as they were: only on a server that was open, and protected if the record relies on it. */
static bool may_unfreeze(const struct core *c)
{
	bool relied =
		c->conf.lossless && (sync_strict(c) || c->sync_maybe || c->sync == SYNC_IN || c->sync == SYNC_WRITING);

	return c->facts.mysql_writable && (c->facts.semi_on || !relied);
}

static us_t time_for(const struct core *c, const struct step_def *def)
{
	if (def->action == STEP_MYSQL_FREEZE) /* the server itself gives it up by then */
		return min_us(def->timeout, c->conf.max_freeze);
	return def->action == STEP_FENCE ? c->conf.fence_timeout : def->timeout;
}

static void dispatch(struct core *c, struct run_step *s)
{
	struct core_action *a;

	if (c->run.id == PLAN_SWITCHOVER && s->def->action == STEP_ADDRESS_DEL) {
		core_gate_shut(c);
		c->gate_on = false; /* until the undo opens it again */
	}
	if (s->def->action == STEP_GATE_OPEN) { /* it may open even when the answer is that it failed */
		c->pristine = false;
		c->gate_until = -1;
	}
	a = act(c, ACT_STEP);
	s->state = RUNNING;
	s->serial = a->serial = ++c->serial;
	s->at = c->now;
	if (!s->first_at)
		s->first_at = c->now;
	s->until = s->def->needs_authority ? authority_until(c) : US_NEVER;
	a->step = s->def->action;
	a->timeout_us = time_for(c, s->def);
	a->until = s->until;
	a->db_start = s->def->action == STEP_MYSQL_PROMOTE    ? c->disk.bound_db
		      : s->def->action == STEP_MYSQL_UNFREEZE ? c->frozen_db
							      : 0;
	a->released = s->def->action == STEP_MYSQL_PROMOTE && c->won_by_word;
	if (s->def->action == STEP_MYSQL_FREEZE)
		c->frozen_db = may_unfreeze(c) ? c->facts.db_start : NO_SERVER;
}

static bool plan_ok(const struct core *c)
{
	return !c->run.text[0];
}

static void follow_concluded(struct core *c, bool ok, const char *text)
{
	const char *diverged = strstr(text, "diverged");

	if (ok) {
		c->follow_at = c->now + US_PER_SEC; /* the facts come a moment later */
		return;
	}
	c->follow_at = c->now + back_off(c->follow_tries++);
	if (diverged)
		role_event(c, RE_DIVERGED, "%s", diverged);
}

/* What a plan's end means: the role table decides; the operator's plans go back to command.c. */
static void conclude(struct core *c, bool ok)
{
	char text[SENTENCE_MAX];

	say(text, "%s", c->run.text);
	switch (c->run.id) {
	case PLAN_FENCE:
		fence_concluded(c, ok, text);
		break;
	case PLAN_FOLLOW:
		follow_concluded(c, ok, text);
		break;
	case PLAN_SWITCHOVER:
		switchover_concluded(c, ok, text);
		break;
	case PLAN_UNDO:
		undo_concluded(c, ok, text);
		break;
	default:
		if (ok)
			role_event(c, RE_PLAN_OK, NULL);
		else
			role_event(c, RE_PLAN_FAILED, "%s", text);
	}
}

/* A step whose authority ran out under it, while the lease was renewed meanwhile, is tried again: it is idempotent. */
static bool again_under_new_lease(struct core *c, struct run_step *s, enum step_outcome outcome)
{
	bool expired = s->def->needs_authority && outcome == STEP_FAILED && c->now >= s->until;

	if (!expired || !authority(c) || c->now - max_us(s->first_at, s->moved) > 2 * s->def->timeout)
		return false;
	s->state = TODO;
	return true;
}

/* Everything received is executed: from here on the data of this term do not rest on the server's memory. Stored before the
 * gate can open: before the next steps, which a disk that refuses must keep from being taken (the simulation has found that). */
static void promoted(struct core *c)
{
	if (!c->conf.lossless || (c->disk.served == c->disk.term && !c->disk.bound_db))
		return;
	c->disk.served = c->disk.term;
	c->disk.bound_db = 0;
	c->disk.bound_prev = 0;
	persist(c);
}

static void step_ended(struct core *c, struct run_step *s, enum step_outcome outcome, us_t took, const char *text)
{
	if (again_under_new_lease(c, s, outcome))
		return;
	s->state = ENDED;
	s->outcome = outcome;
	change_step(c, s->def->action, took, outcome);
	if (c->run.id == PLAN_SWITCHOVER || c->run.id == PLAN_UNDO || c->run.id == PLAN_TAKEOVER)
		command_progress(c, s->def->action, took, outcome, text);
	if (s->def->action == STEP_GATE_OPEN && outcome == STEP_OK && c->holding) {
		c->gate_on = true;
		c->gate_until = -1;
	}

	if (s->def->action == STEP_MYSQL_PROMOTE && outcome == STEP_OK && c->holding)
		promoted(c);
	if (outcome == STEP_OK)
		return;
	note(c, s->def->tail ? 5 : 4, "%s %s: %s", s->def->name,
		outcome == STEP_FAILED ? "failed" : "has no known outcome",
		text[0]			 ? text
		: outcome == STEP_FAILED ? "no reason given"
					 : "its time ran out");
	if (!s->def->tail && !c->run.text[0])
		snprintf(c->run.text, sizeof(c->run.text), "%s: %.200s", s->def->name,
			text[0]			 ? text
			: outcome == STEP_FAILED ? "failed"
						 : "its time ran out");
}

bool plan_step(struct core *c, uint32_t serial, enum step_outcome outcome, us_t took, const char *text)
{
	for (size_t i = 0; c->run.id != PLAN_NONE && i < c->run.n; i++) {
		struct run_step *s = &c->run.step[i];

		if (s->serial != serial || s->state != RUNNING)
			continue;
		if (outcome == STEP_MORE) {
			s->moved = c->now;
			return true;
		}
		step_ended(c, s, outcome, took, text);
		c->again = true;
		return true;
	}
	return false;
}

/* The shell answers every step; should it not (a list cut short by a failing disk), the plan does not wait for ever. */
static bool still_running(struct core *c)
{
	bool running = false;

	for (size_t i = 0; i < c->run.n; i++) {
		struct run_step *s = &c->run.step[i];
		us_t end = max_us(s->at, s->moved) + time_for(c, s->def) + US_PER_SEC;

		if (s->state != RUNNING)
			continue;
		if (c->now >= end) {
			act(c, ACT_STEP_CANCEL)->serial = s->serial;
			step_ended(c, s, STEP_UNKNOWN, c->now - s->at, "no answer");
		}
		if (s->state != RUNNING)
			continue;
		alarm_at(c, end);
		running = true;
	}
	return running;
}

/* First step still to do; -1 none. */
static int next_step(const struct core *c)
{
	for (size_t i = 0; i < c->run.n; i++)
		if (c->run.step[i].state == TODO)
			return (int)i;
	return -1;
}

static int phase_of(const struct step_def *def)
{
	return core_broken.gate_early && def->action == STEP_GATE_OPEN ? 1 : def->phase;
}

static void dispatch_phase(struct core *c, size_t first)
{
	for (size_t i = first; i < c->run.n; i++) {
		struct run_step *s = &c->run.step[i];
		bool together =
			c->run.id == PLAN_UNDO ? i == first : phase_of(s->def) == phase_of(c->run.step[first].def);

		if (s->state == TODO && together)
			dispatch(c, s);
	}
}

/* Authority is held, and nothing in the register says that the standby holds what will be written from now on. */
static void begin_takeover(struct core *c)
{
	bool may = c->takeover_waits && c->holding && c->role == ROLE_PROMOTING && c->facts.known;

	if (!may || (c->sync_maybe && c->conf.lossless))
		return;
	c->takeover_waits = false;
	plan_start(c, PLAN_TAKEOVER);
}

void plan_run(struct core *c)
{
	bool failed, ended, ok;
	int first;

	begin_takeover(c);
	if (c->run.id == PLAN_NONE || still_running(c))
		return;
	first = next_step(c);
	ok = plan_ok(c);
	failed = !ok && !plans[c->run.id].carry_on;
	ended = first < 0 || failed;
	if (!c->run.served && (ended || c->run.step[first].def->tail)) {
		unsigned gen = c->run.gen;

		c->run.served = true;
		conclude(c, ok);
		c->again = true;
		if (c->run.gen != gen)
			return; /* the end led to another plan */
	}
	if (ended) {
		change_end(c, ok);
		c->run.id = PLAN_NONE;
		return;
	}
	dispatch_phase(c, (size_t)first);
}
