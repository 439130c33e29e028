/* redis_doctor.c - what `hactl doctor` asks a Redis: INFO, settings, a Sentinel's trace, and which of hactl's commands its account may run.
 *
 * Permission is asked without doing anything: the access list is checked when a command is queued in a transaction, and the transaction is
 * discarded (redis.io, "Transactions" and "ACL"; seen on 7.0). A renamed command shows the same way.
 */
#include "replication/redis_conn.h"

#include <jansson.h>

/* Every command that redis.c and redis_ops.c send, with arguments of the right number, as the access list names them. */
static const struct {
	const char *acl, *command;
} queued[] = {
	{ "role", "ROLE" },
	{ "ping", "PING" },
	{ "replicaof", "REPLICAOF NO ONE" },
	{ "failover", "FAILOVER ABORT" },
	{ "config|set", "CONFIG SET min-replicas-to-write 0" },
	{ "client|kill", "CLIENT KILL TYPE normal" },
	{ "client|pause", "CLIENT PAUSE 1 WRITE" },
	{ "client|unpause", "CLIENT UNPAUSE" },
	{ "wait", "WAIT 0 1" },
};

static const char *const settings[] = { "appendonly", "save", "repl-timeout", "min-replicas-to-write",
	"min-replicas-max-lag", "replica-announce-ip", "replica-announce-port", "replica-read-only", "masterauth" };

struct redis_exam {
	struct redis_conn conn;
	struct timer *deadline;
	redis_examined_fn *fn;
	void *arg;
	json_t *doc;
	size_t config, command; /* answers taken so far */
};

static void end(struct redis_exam *x, enum db_life life, const char *text)
{
	auto_free char *doc = text ? NULL : json_dumps(x->doc, JSON_COMPACT);
	redis_conn_close(&x->conn);
	timer_free(x->deadline);
	x->fn(x->arg, doc, life, text);
	json_decref(x->doc);
	free(x);
}

static void on_lost(void *arg, enum db_life why, const char *text)
{
	end(arg, why == DB_UNKNOWN ? DB_HUNG : why, text);
}

static void on_deadline(void *arg, us_t now)
{
	struct redis_exam *x = arg;
	bool connected = x->conn.connected;
	(void)now;
	end(x, connected ? DB_HUNG : DB_UNREACHABLE,
		connected ? "it accepts a connection and does not answer" : "no answer to the connection attempt");
}

static void denied(struct redis_exam *x, const char *command, const redisReply *r)
{
	json_t *error;
	if (r->type != REDIS_REPLY_ERROR || (!redis_denied(r->str) && !strstr(r->str, "unknown command")))
		return;
	error = json_string(r->str);
	json_array_append_new(json_object_get(x->doc, "denied"),
		json_pack("{s:s, s:o}", "command", command, "error", error ? error : json_null()));
}

static void put_info(json_t *info, const char *text)
{
	for (const char *line = text; line && *line; line = strchr(line, '\n'), line = line ? line + 1 : NULL) {
		size_t name = strcspn(line, ":\r\n"), value = strcspn(line + name, "\r\n");
		if (line[0] == '#' || line[name] != ':' || name > 60)
			continue;
		auto_free char *key = strndup(line, name);
		json_t *v = json_stringn(line + name + 1, value - 1);
		if (key && v)
			json_object_set_new(info, key, v);
	}
}

static void on_info(void *arg, const redisReply *r)
{
	struct redis_exam *x = arg;
	denied(x, "info", r);
	if (r->type == REDIS_REPLY_STRING)
		put_info(json_object_get(x->doc, "info"), r->str);
}

/* The password itself stays here: whether there is one is all that is asked. */
static void on_config(void *arg, const redisReply *r)
{
	struct redis_exam *x = arg;
	const char *name = settings[x->config++], *value;
	json_t *v;
	if (x->config == 1)
		denied(x, "config|get", r);
	if (r->type != REDIS_REPLY_ARRAY || r->elements < 2 || r->element[1]->type != REDIS_REPLY_STRING)
		return;
	value = r->element[1]->str;
	v = str_eq(name, "masterauth") ? json_string(value[0] ? "set" : "") : json_string(value);
	if (v)
		json_object_set_new(json_object_get(x->doc, "config"), name, v);
}

static void on_numsub(void *arg, const redisReply *r)
{
	struct redis_exam *x = arg;
	denied(x, "pubsub|numsub", r);
	json_object_set_new(x->doc, "sentinel", json_boolean(redis_sentinel_seen(r)));
}

static void on_multi(void *arg, const redisReply *r)
{
	denied(arg, "multi", r);
}

static void on_queued(void *arg, const redisReply *r)
{
	struct redis_exam *x = arg;
	denied(x, queued[x->command++].acl, r);
}

/* Outside a transaction EXEC answers with an error that is not about permission. */
static void on_exec(void *arg, const redisReply *r)
{
	denied(arg, "exec", r);
	end(arg, DB_UP, NULL);
}

/* EXEC is asked for only when the transaction is gone for sure; otherwise it ends with the connection. */
static void on_discard(void *arg, const redisReply *r)
{
	struct redis_exam *x = arg;
	denied(x, "discard", r);
	if (r->type == REDIS_REPLY_ERROR)
		end(x, DB_UP, NULL);
	else
		redis_conn_send(&x->conn, on_exec, x, "EXEC");
}

/* Without the right to MULTI nothing may be sent that would then be done. */
static void on_multi_first(void *arg, const redisReply *r)
{
	struct redis_exam *x = arg;
	on_multi(arg, r);
	if (r->type == REDIS_REPLY_ERROR) {
		end(x, DB_UP, NULL);
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(queued); i++)
		redis_conn_send(&x->conn, on_queued, x, queued[i].command);
	redis_conn_send(&x->conn, on_discard, x, "DISCARD");
}

int redis_examine(
	struct loop *l, const struct sql_target *t, us_t timeout, redis_examined_fn *fn, void *arg, struct err *e)
{
	struct redis_exam *x = xcalloc(1, sizeof(*x));
	enum db_life why;
	char text[512];

	if (redis_conn_open(&x->conn, l, t, on_lost, x, &why, text) < 0) {
		free(x);
		return err_set(e, "%.400s", text);
	}
	x->fn = fn;
	x->arg = arg;
	x->doc = json_pack("{s:{}, s:{}, s:[]}", "info", "config", "denied");
	x->deadline = timer_new(l, on_deadline, x);
	timer_in(x->deadline, timeout);
	redis_conn_send(&x->conn, on_info, x, "INFO");
	for (size_t i = 0; i < ARRAY_LEN(settings); i++)
		redis_conn_send(&x->conn, on_config, x, "CONFIG GET %s", settings[i]);
	redis_conn_send(&x->conn, on_numsub, x, "PUBSUB NUMSUB __sentinel__:hello");
	redis_conn_send(&x->conn, on_multi_first, x, "MULTI");
	return 0;
}
