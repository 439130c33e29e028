/* mysql_ops.c - operations on MySQL and MariaDB: which routines on how many connections, and what their answers mean. */
#include "replication/mysql.h"

#include <unistd.h>

static const char *const routines[OP_COUNT] = {
	[OP_PROMOTE] = "promote",
	[OP_VERIFY_PRIMARY] = "verify",
	[OP_FREEZE] = "freeze",
	[OP_UNFREEZE] = "unfreeze",
	[OP_POSITION] = "position",
	[OP_REACH] = "reach",
	[OP_RECEIVE] = "receive",
	[OP_DEMOTE] = "demote", /* with "freeze" on a second connection */
	[OP_FOLLOW] = "follow",
	[OP_SYNC_ON] = "sync_on",
	[OP_SYNC_OFF] = "sync_off",
	[OP_KILL_CLIENTS] = "kill_clients",
	[OP_PRECHECK] = "precheck",
	[OP_EXPORT] = "export",
	[OP_CLONE] = "clone",
	[OP_CLONED] = "cloned",
	[OP_EVENTS] = "events",
	[OP_EVENTS_ON] = "events_on",
	[OP_EVENTS_OFF] = "events_off",
};

struct mysql_call {
	struct db_call base;
	struct mysql_call *next;
	struct mysql *mysql;
	struct mysql_slot *main, *freezing, *aborting; /* NULL once its answer is in */
	struct timer *eve;			       /* of a freeze's deadline */
	bool retried, over, released, quiet;	       /* the last two: what the operation's arg says */
	enum db_outcome outcome;
	char *text; /* the result */
	char tag[48], *args;
};

static void release(struct mysql_call *c, struct mysql_slot **slot)
{
	if (!*slot)
		return;
	sqlproc_cancel((*slot)->proc);
	mysql_slot_put(c->mysql, *slot);
	*slot = NULL;
}

static void call_free(struct mysql_call *c)
{
	for (struct mysql_call **at = &c->mysql->calls; *at; at = &(*at)->next)
		if (*at == c) {
			*at = c->next;
			break;
		}
	release(c, &c->main);
	release(c, &c->freezing);
	release(c, &c->aborting);
	timer_free(c->eve);
	if (c->args)
		explicit_bzero(c->args, strlen(c->args));
	free(c->args);
	free(c->text);
	free(c);
}

static us_t left(const struct mysql_call *c)
{
	us_t span = c->base.end - now_us();
	return span > US_PER_MS ? span : US_PER_MS;
}

/* --- arguments ------------------------------------------------------------------------------------------------------------- */

static bool speaks_to_peer(enum db_op op)
{
	return op == OP_FOLLOW || op == OP_PRECHECK || op == OP_EXPORT || op == OP_CLONE;
}

static const char *argument_name(enum db_op op)
{
	return op == OP_EXPORT ? "dir" : op == OP_PROMOTE ? "until" : op == OP_EVENTS_ON ? "known" : "position";
}

static char *make_args(const struct mysql_call *c, const char *position)
{
	const struct db_target *t = &c->mysql->db->target;
	json_t *o = json_object();
	char *text;

	json_object_set_new(o, "timeout_ms", json_integer(left(c) / US_PER_MS));
	json_object_set_new(o, "tag", json_string(c->tag));
	json_object_set_new(o, "brief", json_boolean(c->mysql->forgetting != NULL));
	json_object_set_new(o, "released", json_boolean(c->released));
	json_object_set_new(o, "quiet", json_boolean(c->quiet));
	json_object_set_new(o, "events", json_boolean(t->events));
	json_object_set_new(o, "required", json_boolean(t->semi_required));
	if (position)
		json_object_set_new(o, argument_name(c->base.op), json_string(position));
	if (speaks_to_peer(c->base.op)) {
		json_object_set_new(o, "tool", json_string(t->binlog_tool));
		json_object_set_new(o, "own_host", json_string(t->own_host));
		json_object_set_new(o, "own_port", json_integer(t->at.port));
		json_object_set_new(o, "host", json_string(t->peer_host));
		json_object_set_new(o, "host_port", json_integer(t->peer_port));
		json_object_set_new(o, "user", json_string(t->at.user));
		json_object_set_new(o, "password", json_string(t->at.password));
		json_object_set_new(o, "tls", json_boolean(t->repl_tls));
		json_object_set_new(o, "ca_file", json_string(t->at.ca_file));
		json_object_set_new(o, "repl_host", json_string(t->peer_host));
		json_object_set_new(o, "repl_user", json_string(t->repl_user));
		json_object_set_new(o, "repl_password", json_string(t->repl_password));
		json_object_set_new(o, "repl_tls", json_boolean(t->repl_tls));
		json_object_set_new(o, "repl_ca_file", json_string(t->repl_ca_file));
		json_object_set_new(o, "semi_sync", json_boolean(t->semi_sync));
	}
	text = json_dumps(o, JSON_COMPACT);
	json_decref(o);
	return text ? text : xstrdup("{}");
}

/* --- what goes on after a call's end ---------------------------------------------------------------------------------- */

static void on_afterwards(void *arg, const struct sql_reply *r)
{
	struct mysql *m = arg;
	(void)r; /* the facts show what has become of it */
	mysql_slot_put(m, m->afterwards);
	m->afterwards = NULL;
}

/* One at a time, and nobody waits for it. */
static void run_afterwards(struct mysql *m, const char *routine, const char *args)
{
	struct err e;
	if (m->afterwards)
		return;
	m->afterwards = mysql_slot_spare(m);
	if (m->afterwards &&
		sqlproc_call(m->afterwards->proc, routine, args, 3 * US_PER_SEC, on_afterwards, m, &e) < 0) {
		mysql_slot_put(m, m->afterwards);
		m->afterwards = NULL;
	}
}

/* --- the end of a call --------------------------------------------------------------------------------------------------------- */

static void settle(struct mysql_call *c, enum db_outcome outcome, const char *text)
{
	c->outcome = outcome;
	free(c->text);
	c->text = xstrdup(text);
	c->over = true;
}

/* A promotion may come back before it is done. */
static void settle_ok(struct mysql_call *c, const char *out)
{
	static const struct {
		const char *begin;
		enum db_outcome outcome;
	} unfinished[] = { { PROMOTE_MORE, DB_MORE }, { PROMOTE_WAITS, DB_WAITS } };

	for (size_t i = 0; c->base.op == OP_PROMOTE && i < ARRAY_LEN(unfinished); i++)
		if (str_starts(out, unfinished[i].begin)) {
			settle(c, unfinished[i].outcome, out + strlen(unfinished[i].begin));
			return;
		}
	settle(c, DB_OK, out);
}

static void finish(struct mysql_call *c)
{
	db_done_fn *done = c->base.done;
	void *arg = c->base.arg;
	us_t took = now_us() - c->base.started_at;
	enum db_outcome outcome = c->outcome;
	struct mysql *m = c->mysql;
	auto_free char *text = c->text;

	c->text = NULL;
	if (c->base.op == OP_PROMOTE && outcome == DB_OK)
		mysql_forget(m, c->released);
	if (c->base.op == OP_DEMOTE && outcome == DB_OK && !str_eq(text, "dead") && !m->db->facts.mariadb)
		run_afterwards(m, "sync_off", "{\"timeout_ms\":3000}"); /* a second on MySQL: see routine_demote */
	call_free(c);
	done(arg, outcome, took, text); /* may free the db */
}

static void finish_when_all_answered(struct mysql_call *c)
{
	if (!c->main && !c->freezing && c->over)
		finish(c);
}

/* --- answers -------------------------------------------------------------------------------------------------------------------- */

static void on_main(void *arg, const struct sql_reply *r);

static int run_main(struct mysql_call *c, struct err *e)
{
	return sqlproc_call(c->main->proc, routines[c->base.op], c->args, left(c), on_main, c, e);
}

static bool dead_is_fine(const struct mysql_call *c, const struct sql_reply *r)
{
	return c->base.op == OP_DEMOTE && r->status == SQL_REFUSED;
}

static void on_main(void *arg, const struct sql_reply *r)
{
	struct mysql_call *c = arg;
	struct err e;

	/* the connection broke under the routine: routines are idempotent, and a fresh connection tells whether the server is dead */
	if (r->status == SQL_GONE && !c->retried) {
		c->retried = true;
		if (run_main(c, &e) == 0)
			return;
	}
	if (dead_is_fine(c, r)) {
		settle(c, DB_OK, "dead");
		release(c, &c->freezing);
	} else if (r->status == SQL_OK) {
		settle_ok(c, r->out);
	} else {
		settle(c, r->status == SQL_TIMEOUT ? DB_TIMED_OUT : DB_FAILED, r->text);
	}
	mysql_slot_put(c->mysql, c->main); /* last: a spare helper is freed, and the answer with it */
	c->main = NULL;
	finish_when_all_answered(c);
}

/* A demotion's freeze. Whether the server is read-only in the end is the main routine's word; this one only adds the reason. */
static void on_freezing(void *arg, const struct sql_reply *r)
{
	struct mysql_call *c = arg;
	mysql_slot_put(c->mysql, c->freezing);
	c->freezing = NULL;
	if (c->over && c->outcome == DB_FAILED && r->status == SQL_FAILED) {
		auto_free char *both = str_printf("%s; %s", c->text, r->text);
		settle(c, DB_FAILED, both);
	}
	finish_when_all_answered(c);
}

static void on_aborted(void *arg, const struct sql_reply *r)
{
	struct mysql_call *c = arg;
	(void)r; /* the freeze's own answer tells */
	mysql_slot_put(c->mysql, c->aborting);
	c->aborting = NULL;
}

/* A freeze is ended on the server before its deadline, so that its outcome is known and nothing fires later. */
static void on_eve(void *arg, us_t now)
{
	struct mysql_call *c = arg;
	struct err e;
	(void)now;
	c->aborting = mysql_slot_get(c->mysql);
	if (c->aborting && sqlproc_call(c->aborting->proc, "abort", c->args, left(c), on_aborted, c, &e) < 0)
		release(c, &c->aborting);
}

/* --- start ------------------------------------------------------------------------------------------------------------------------ */

static int begin(struct mysql_call *c, us_t timeout, struct err *e)
{
	c->main = mysql_slot_get(c->mysql);
	if (!c->main)
		return err_set(e, "too many operations are under way on %s", c->mysql->db->target.label);
	if (c->base.op == OP_DEMOTE) {
		c->freezing = mysql_slot_get(c->mysql);
		if (!c->freezing || sqlproc_call(c->freezing->proc, "freeze", c->args, left(c), on_freezing, c, e) < 0)
			return err_set(e, "too many operations are under way on %s", c->mysql->db->target.label);
	}
	if (c->base.op == OP_FREEZE) {
		c->eve = timer_new(c->mysql->db->loop, on_eve, c);
		timer_in(c->eve, timeout - timeout / 5);
	}
	return run_main(c, e);
}

struct db_call *mysql_start(struct db *d, enum db_op op, const char *arg_text, us_t timeout, struct err *e)
{
	struct mysql *m = d->own;
	struct mysql_call *c;

	if (!routines[op]) {
		err_set(e, "\"%s\" is no operation of MySQL", db_op_names[op]);
		return NULL;
	}
	if (op == OP_FOLLOW)
		mysql_forget_stop(m); /* it would forget the new source */
	c = xcalloc(1, sizeof(*c));
	c->base = (struct db_call){ .db = d, .op = op, .end = now_us() + timeout };
	c->mysql = m;
	c->released = op == OP_PROMOTE && arg_text && strstr(arg_text, "released");
	c->quiet = op == OP_PRECHECK && arg_text;
	snprintf(c->tag, sizeof(c->tag), "hactl freeze %d-%u", (int)getpid(), ++m->tags);
	c->args = make_args(c, arg_text);
	c->next = m->calls;
	m->calls = c;
	if (begin(c, timeout, e) == 0)
		return &c->base;
	call_free(c);
	return NULL;
}

void mysql_cancel(struct db_call *call)
{
	struct mysql_call *c = (struct mysql_call *)call;
	if (call->op == OP_FREEZE && c->main) /* a statement that nobody waits for any more would still fire */
		run_afterwards(c->mysql, "abort", c->args);
	call_free(c);
}

void mysql_cancel_all(struct mysql *m)
{
	while (m->calls)
		call_free(m->calls);
}
