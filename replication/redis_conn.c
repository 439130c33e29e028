/* redis_conn.c - one hiredis connection on the loop, its loss explained; INFO read. hiredis has no deadline of its own: callers have. */
#include "replication/redis_conn.h"

#include <errno.h>
#include <inttypes.h>

/* --- replies ------------------------------------------------------------------------------------------------------------ */

struct waiting {
	redis_reply_fn *fn;
	void *arg;
};

/* hiredis answers everything outstanding with NULL when the connection ends; ac->data is NULL once we have let it go. */
static void on_reply(redisAsyncContext *ac, void *reply, void *privdata)
{
	struct waiting w = *(struct waiting *)privdata;
	free(privdata);
	if (ac->data && reply)
		w.fn(w.arg, reply);
}

void redis_conn_send(struct redis_conn *c, redis_reply_fn *fn, void *arg, const char *fmt, ...)
{
	struct waiting *w;
	va_list ap;
	if (!c->ac)
		return; /* lost meanwhile: `lost` has told */
	w = xcalloc(1, sizeof(*w));
	*w = (struct waiting){ .fn = fn, .arg = arg };
	va_start(ap, fmt);
	if (redisvAsyncCommand(c->ac, on_reply, w, fmt, ap) != REDIS_OK)
		free(w);
	va_end(ap);
}

/* --- loss ------------------------------------------------------------------------------------------------------------------ */

static enum db_life life_of_error(const char *text)
{
	if (str_eq(text, strerror(ECONNREFUSED)) || str_eq(text, strerror(ENOENT)))
		return DB_DEAD;
	if (str_eq(text, strerror(EACCES)) || str_eq(text, strerror(EPERM)))
		return DB_DENIED;
	return DB_UNREACHABLE;
}

/* hiredis frees the context after either of these. */
static void on_connect(const redisAsyncContext *ac, int status)
{
	struct redis_conn *c = ac->data;
	char text[512];
	if (!c)
		return;
	if (status == REDIS_OK) {
		c->connected = true;
		return;
	}
	STR_COPY(text, ac->errstr);
	((redisAsyncContext *)(uintptr_t)ac)->data = NULL;
	c->ac = NULL;
	c->lost(c->arg, life_of_error(text), text);
}

static void on_disconnect(const redisAsyncContext *ac, int status)
{
	struct redis_conn *c = ac->data;
	char text[512];
	(void)status;
	if (!c)
		return;
	snprintf(text, sizeof(text), "the connection ended: %.200s",
		ac->errstr && ac->errstr[0] ? ac->errstr : "closed by the server");
	c->ac = NULL;
	c->lost(c->arg, DB_UNKNOWN, text);
}

static void on_auth(void *arg, const redisReply *r)
{
	struct redis_conn *c = arg;
	char text[512];
	if (r->type != REDIS_REPLY_ERROR)
		return;
	STR_COPY(text, r->str);
	redis_conn_close(c);
	c->lost(c->arg, DB_DENIED, text);
}

/* --- opening and closing ------------------------------------------------------------------------------------------------------ */

int redis_conn_open(struct redis_conn *c, struct loop *l, const struct sql_target *t, redis_lost_fn *lost, void *arg,
	enum db_life *why, char text[512])
{
	redisAsyncContext *ac = t->socket[0] ? redisAsyncConnectUnix(t->socket) : redisAsyncConnect(t->host, t->port);

	if (!ac || ac->err) {
		str_copy(text, 512, ac ? ac->errstr : "out of memory");
		*why = life_of_error(text);
		if (ac)
			redisAsyncFree(ac);
		return -1;
	}
	*c = (struct redis_conn){ .ac = ac, .lost = lost, .arg = arg };
	ac->data = c;
	redis_attach(l, ac);
	redisAsyncSetConnectCallback(ac, on_connect);
	redisAsyncSetDisconnectCallback(ac, on_disconnect);
	if (t->password[0] && t->user[0])
		redis_conn_send(c, on_auth, c, "AUTH %s %s", t->user, t->password);
	else if (t->password[0])
		redis_conn_send(c, on_auth, c, "AUTH %s", t->password);
	return 0;
}

void redis_conn_close(struct redis_conn *c)
{
	redisAsyncContext *ac = c->ac;
	if (!ac)
		return;
	c->ac = NULL;
	ac->data = NULL;
	redisAsyncFree(ac); /* answers what is outstanding with NULL, which on_reply swallows */
}

/* --- reading -------------------------------------------------------------------------------------------------------------------- */

bool redis_denied(const char *error)
{
	static const char *const words[] = { "NOAUTH", "WRONGPASS", "NOPERM", "ERR invalid password",
		"ERR max number of clients", "DENIED" };
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (str_starts(error, words[i]))
			return true;
	return false;
}

/* Value of "name:value\r\n"; "" when absent. */
static void field(const char *text, const char *name, char *out, size_t size)
{
	size_t n = strlen(name);
	const char *line = text;
	out[0] = '\0';
	while (line) {
		if (strncmp(line, name, n) == 0 && line[n] == ':') {
			size_t len = strcspn(line + n + 1, "\r\n");
			snprintf(out, size, "%.*s", (int)(len < size ? len : size - 1), line + n + 1);
			return;
		}
		line = strchr(line, '\n');
		line = line ? line + 1 : NULL;
	}
}

static int64_t number(const char *text, const char *name, int64_t otherwise)
{
	char v[32], *end;
	int64_t n;
	field(text, name, v, sizeof(v));
	n = strtoll(v, &end, 10);
	return end == v ? otherwise : n;
}

int redis_info_parse(const char *text, struct redis_info *out)
{
	struct redis_info i = { 0 };
	char role[16], link[16];

	field(text, "role", role, sizeof(role));
	if (!role[0])
		return -1;
	i.master = str_eq(role, "master");
	field(text, "master_link_status", link, sizeof(link));
	i.link_up = str_eq(link, "up");
	field(text, "redis_version", i.version, sizeof(i.version));
	field(text, "run_id", i.run_id, sizeof(i.run_id));
	field(text, "master_host", i.master_host, sizeof(i.master_host));
	i.master_port = (int)number(text, "master_port", 0);
	i.loading = number(text, "loading", 0) != 0;
	i.sync_in_progress = number(text, "master_sync_in_progress", 0) != 0;
	i.replica_read_only = number(text, "slave_read_only", 1) != 0;
	i.replicas = (int)number(text, "connected_slaves", 0);
	i.silent_s = number(text, "master_last_io_seconds_ago", -1);
	i.offset = (uint64_t)number(text, i.master ? "master_repl_offset" : "slave_repl_offset", 0);
	*out = i;
	return 0;
}

bool redis_sentinel_seen(const redisReply *r)
{
	return r->type == REDIS_REPLY_ARRAY && r->elements == 2 && r->element[1]->type == REDIS_REPLY_INTEGER &&
	       r->element[1]->integer > 0;
}
