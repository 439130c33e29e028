/* mysql.c - SELECT 1 through the helper process that owns the connection: the client library blocks, the loop must not.
 *
 * The connection is kept from probe to probe (a fresh login each time costs the server a thread and a password hash);
 * a break of the idle one is news, and the next probe makes a new one.
 */
#include "probes/run.h"

#include <mysql.h>

enum { RETRIES = 1 };

struct mysql {
	struct sqlproc *proc;
	bool flying;
	int tries;
};

/* --- in the helper ------------------------------------------------------------------------------------------------ */

static int probe_routine(void *db, const char *args, char *out, size_t cap, struct err *e)
{
	MYSQL_RES *res;
	MYSQL_ROW row;

	(void)args;
	if (mysql_query(db, "SELECT 1, @@GLOBAL.read_only"))
		return err_set(e, "%s", mysql_error(db));
	res = mysql_store_result(db);
	row = res ? mysql_fetch_row(res) : NULL;
	if (!row || !str_eq(row[0], "1")) {
		mysql_free_result(res);
		return err_set(e, "SELECT 1 gave no 1");
	}
	/* MariaDB 12 answers with words: OFF, or some way of being on */
	bool writable = str_eq(row[1], "0") || str_eq(row[1], "OFF");
	snprintf(out, cap, "%s", writable ? "writable" : "read-only");
	mysql_free_result(res);
	return 0;
}

const struct sql_routine probe_sql_routines[] = { { "probe", probe_routine }, { NULL, NULL } };

/* --- in the supervisor -------------------------------------------------------------------------------------------- */

/* Denied and busy are answers of a living server: a password mistake or a full house must not move a pair. */
static const struct {
	bool ok;
	enum probe_layer layer;
} meaning[SQL_STATUS_COUNT] = {
	[SQL_OK] = { true, PL_OK },
	[SQL_REFUSED] = { false, PL_REFUSED },
	[SQL_DENIED] = { true, PL_STATUS },
	[SQL_BUSY] = { true, PL_STATUS },
	[SQL_FAILED] = { false, PL_STATUS },
	[SQL_GONE] = { false, PL_PROTOCOL },
	[SQL_TIMEOUT] = { false, PL_TIMEOUT },
	[SQL_UNREACHABLE] = { false, PL_SOCKET },
};

static void ask(struct mysql *m, struct run *r);

static void on_reply(void *arg, const struct sql_reply *reply)
{
	struct run *r = arg;
	struct mysql *m = r->kind;
	char text[200];

	m->flying = false;
	if (reply->status == SQL_GONE &&
		m->tries++ < RETRIES) { /* the kept connection was stale: is a new one taken? */
		ask(m, r);
		return;
	}
	if (reply->status == SQL_OK)
		str_escape(reply->out, reply->out_len, text, sizeof(text));
	else
		str_escape(reply->text, strlen(reply->text), text, sizeof(text));
	run_settle(r, meaning[reply->status].ok, meaning[reply->status].layer, "%s%s",
		meaning[reply->status].ok && reply->status != SQL_OK ? "alive, but: " : "", text);
}

static void ask(struct mysql *m, struct run *r)
{
	us_t left = r->started + r->spec->timeout - now_us();
	struct err e;

	/* the run's deadline comes first and gives the sentence; the helper's own is a second line */
	if (sqlproc_call(m->proc, "probe", "", left + 100 * US_PER_MS, on_reply, r, &e))
		run_settle(r, false, PL_SOCKET, "%.200s", e.text);
	else
		m->flying = true;
}

static void on_gone(void *arg)
{
	struct run *r = arg;

	if (r->news)
		r->news(r->news_arg);
}

static int mysql_prepare(struct run *r, struct err *e)
{
	const struct probe_spec *s = r->spec;
	struct sql_target t = { .port = s->port, .tls = s->tls };
	struct mysql *m = r->kind;

	bool local = s->host[0] == '/'; /* the path of the server's socket */

	if (!local && !host_is_numeric(s->host))
		return err_set(e, "\"%s\" is neither a numeric address nor the path of a socket", s->host);
	if (!(local ? STR_COPY(t.socket, s->host) : STR_COPY(t.host, s->host)) || !STR_COPY(t.user, s->user) ||
		!STR_COPY(t.password, s->password) || !STR_COPY(t.ca_file, s->ca_file))
		return err_set(e, "address, user, password or ca_file is too long");
	m->proc = sqlproc_new(r->loop, &t, s->name, on_gone, r);
	explicit_bzero(t.password, sizeof(t.password));
	return m->proc ? 0 : err_set(e, "no helper process for the database");
}

static void mysql_start(struct run *r)
{
	struct mysql *m = r->kind;

	m->tries = 0;
	ask(m, r);
}

static void mysql_stop(struct run *r)
{
	struct mysql *m = r->kind;

	if (m->flying)
		sqlproc_cancel(m->proc);
	m->flying = false;
}

static void mysql_release(struct run *r)
{
	sqlproc_free(((struct mysql *)r->kind)->proc);
}

static const char *mysql_awaits(const struct run *r)
{
	(void)r;
	return "the server neither greets nor answers";
}

const struct run_ops run_mysql = {
	.size = sizeof(struct mysql),
	.prepare = mysql_prepare,
	.start = mysql_start,
	.stop = mysql_stop,
	.release = mysql_release,
	.awaits = mysql_awaits,
};
