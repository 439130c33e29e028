/* redis_call.c - the driver of an operation on Redis: one step after the other, a verdict on each last reply, undo, deadline, lost
 * connections, which are made anew once: steps are idempotent.
 */
#include "replication/redis_call.h"

/* --- the end -------------------------------------------------------------------------------------------------------------------- */

static void call_free(struct redis_call *c)
{
	for (struct redis_call **at = &c->redis->calls; *at; at = &(*at)->next)
		if (*at == c) {
			*at = c->next;
			break;
		}
	redis_conn_close(&c->conn[OLD]);
	redis_conn_close(&c->conn[NEW]);
	timer_free(c->deadline);
	timer_free(c->again);
	explicit_bzero(c->at, sizeof(c->at));
	free(c);
}

static void finish(struct redis_call *c, enum db_outcome outcome, const char *text)
{
	db_done_fn *done = c->base.done;
	void *arg = c->base.arg;
	us_t took = now_us() - c->base.started_at;
	char copy[512];
	STR_COPY(copy, text);
	call_free(c);
	done(arg, outcome, took, copy);
}

static void run(struct redis_call *c);

static void fail(struct redis_call *c, const char *text)
{
	const struct step *undo = c->undo;
	if (!undo || c->undoing) {
		finish(c, DB_FAILED, c->undoing ? c->text : text);
		return;
	}
	STR_COPY(c->text, text);
	c->undoing = true;
	c->step = undo;
	run(c);
}

/* --- sending ---------------------------------------------------------------------------------------------------------------------- */

void redis_on_last(void *arg, const redisReply *r)
{
	struct redis_call *c = arg;
	enum verdict v;

	if (r->type == REDIS_REPLY_ERROR && !c->bad[0])
		STR_COPY(c->bad, r->str);
	for (size_t i = 0; r->type == REDIS_REPLY_ARRAY && i < r->elements;
		i++) /* EXEC reports a failed command inside */
		if (r->element[i]->type == REDIS_REPLY_ERROR && !c->bad[0])
			STR_COPY(c->bad, r->element[i]->str);
	if (c->bad[0]) {
		snprintf(c->text, sizeof(c->text), "Redis refused: %s", c->bad);
		v = FAIL;
	} else {
		v = c->step->took ? c->step->took(c, r) : NEXT;
	}
	switch (v) {
	case NEXT:
		if (!c->step[1].send) {
			if (c->undoing)
				finish(c, DB_FAILED, c->text);
			else
				finish(c, DB_OK, c->text);
			return;
		}
		c->step++;
		run(c);
		return;
	case JUMP:
		c->step = c->jump;
		run(c);
		return;
	case AGAIN:
		timer_in(c->again, US_PER_MS);
		return;
	case DONE:
		finish(c, DB_OK, c->text);
		return;
	case FAIL: {
		char why[512];
		STR_COPY(why, c->text);
		fail(c, why);
		return;
	}
	}
}

void redis_on_quiet(void *arg, const redisReply *r)
{
	struct redis_call *c = arg;
	if (r->type == REDIS_REPLY_ERROR && !c->bad[0])
		STR_COPY(c->bad, r->str);
}

void redis_on_info(void *arg, const redisReply *r)
{
	struct redis_call *c = arg;
	if (r->type == REDIS_REPLY_ERROR)
		redis_on_quiet(arg, r);
	else if (r->type != REDIS_REPLY_STRING || redis_info_parse(r->str, &c->info) < 0)
		STR_COPY(c->bad, "an answer to INFO that is not Redis's");
}

static void lost(struct redis_call *c, enum side side, enum db_life why, const char *text);

static void on_lost_old(void *arg, enum db_life why, const char *text)
{
	lost(arg, OLD, why, text);
}

static void on_lost_new(void *arg, enum db_life why, const char *text)
{
	lost(arg, NEW, why, text);
}

static void run(struct redis_call *c)
{
	enum side side = c->step->side;
	struct redis_conn *k = &c->conn[side];
	enum db_life why = DB_UNKNOWN;
	char text[512];

	c->bad[0] = '\0';
	if (!k->ac && redis_conn_open(k, c->base.db->loop, &c->at[side], side == OLD ? on_lost_old : on_lost_new, c,
			      &why, text) < 0) {
		lost(c, side, why, text);
		return;
	}
	c->step->send(c, k);
}

static void on_again(void *arg, us_t now)
{
	(void)now;
	run(arg);
}

/* --- loss of a connection ----------------------------------------------------------------------------------------------------------------------------- */

static void lost(struct redis_call *c, enum side side, enum db_life why, const char *text)
{
	char sentence[512];

	switch (redis_do_without(c, side, why)) {
	case IGNORE:
		return;
	case GO_ON:
		run(c);
		return;
	case OVER:
		finish(c, DB_OK, c->text);
		return;
	case NO_EXCUSE:
		break;
	}
	if (why == DB_UNKNOWN && c->step->side != side)
		return; /* a side that is not being spoken to; its next step connects anew */
	if (why == DB_UNKNOWN && !c->retried) {
		c->retried = true; /* steps are idempotent */
		run(c);
		return;
	}
	snprintf(sentence, sizeof(sentence), "%s %s: %.300s",
		side == OLD && c->base.op != OP_RECLAIM ? c->base.db->target.label : "Redis at", c->at[side].host,
		text);
	fail(c, sentence);
}

/* The deadline. Before anything was changed a failure is certain; afterwards the other side's state is not known. */
static void on_deadline(void *arg, us_t now)
{
	struct redis_call *c = arg;
	char text[512];
	(void)now;
	snprintf(text, sizeof(text), "no end in time, at: %s", redis_awaited(c));
	if (redis_only_paused(c)) { /* give the undo a moment */
		timer_in(c->deadline, 200 * US_PER_MS);
		timer_off(c->again);
		redis_conn_close(&c->conn[NEW]);
		fail(c, text);
		return;
	}
	finish(c, redis_changed_nothing(c) ? DB_FAILED : DB_TIMED_OUT, text);
}

/* --- start --- */

static struct sql_target peer_of(const struct db_target *t)
{
	struct sql_target p = { .port = t->peer_port };
	STR_COPY(p.host, t->peer_host);
	STR_COPY(p.user, t->peer_user);
	STR_COPY(p.password, t->peer_password);
	return p;
}

/* The first step runs from the loop: a failure at once must not call back before the caller has its handle. */
struct db_call *redis_start(struct db *d, enum db_op op, const char *arg_text, us_t timeout, struct err *e)
{
	struct redis *r = d->own;
	struct redis_call *c;

	if (!redis_steps(op, arg_text)) {
		err_set(e, "\"%s\" is no operation of Redis", db_op_names[op]);
		return NULL;
	}
	c = xcalloc(1, sizeof(*c));
	c->base = (struct db_call){ .db = d, .op = op, .end = now_us() + timeout };
	c->redis = r;
	c->step = redis_steps(op, arg_text);
	c->at[op == OP_RECLAIM ? NEW : OLD] = d->target.at;
	c->at[op == OP_RECLAIM ? OLD : NEW] = peer_of(&d->target);
	c->offset = arg_text ? strtoull(arg_text, NULL, 10) : 0;
	c->deadline = timer_new(d->loop, on_deadline, c);
	c->again = timer_new(d->loop, on_again, c);
	timer_at(c->deadline, c->base.end);
	timer_in(c->again, 0);
	c->next = r->calls;
	r->calls = c;
	return &c->base;
}

void redis_cancel(struct db_call *call)
{
	call_free((struct redis_call *)call);
}

void redis_cancel_all(struct redis *r)
{
	while (r->calls)
		call_free(r->calls);
}
