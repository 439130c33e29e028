/* sql_follow.c - a server becomes the replica of the other one, unless it holds transactions that the other lacks.
 *
 * Own set first (frozen), then the other's: under load the other order shows a divergence that is none. MySQL by itself accepts a
 * diverged replica, so the comparison is ours. The replica side of semi-sync goes on before the receiver connects: it is announced at
 * connecting only.
 */
#include "hactl/base/sqlproc.h"
#include "replication/export.h"

#include <time.h>

static const int net_timeout_s = 5; /* five lost heartbeats; also bounds STOP against a dead source */

MYSQL *open_peer(struct task *t, bool replication, struct err *e)
{
	struct sql_target peer = { .port = (int)task_int(t, "host_port"), .tls = task_bool(t, "tls") };
	enum sql_status status = SQL_FAILED;
	char text[512] = "";
	int code = 0;
	MYSQL *db;
	STR_COPY(peer.host, task_text(t, "host"));
	STR_COPY(peer.user, task_text(t, replication ? "repl_user" : "user"));
	STR_COPY(peer.password, task_text(t, replication ? "repl_password" : "password"));
	STR_COPY(peer.ca_file, task_text(t, "ca_file"));
	db = sqlproc_connect(&peer, task_left(t), &status, &code, text);
	explicit_bzero(&peer, sizeof(peer));
	if (!db)
		err_set(e, "account \"%s\" cannot log in at %s port %lld: %s",
			task_text(t, replication ? "repl_user" : "user"), task_text(t, "host"),
			(long long)task_int(t, "host_port"), text);
	return db;
}

int check_way_back(struct task *t, struct err *e)
{
	struct err why = { "" };
	MYSQL *db = task_text(t, "repl_user")[0] ? open_peer(t, true, &why) : NULL;
	if (!db && why.text[0])
		return err_set(e, "this server could not replicate from the other one afterwards: %s", why.text);
	if (db)
		mysql_close(db);
	return 0;
}

/* extra: what the new primary lacks. When all of it is its own, it is the one that lost something (a crash: see export_compare.c), and
 * nothing here is to be given up. */
static int say_extra(struct task *p, const char *extra, struct err *e)
{
	char origin[64];

	if (sql_value(p->db, origin, sizeof(origin), e, "SELECT @@global.server_%s",
		    p->dialect->mariadb ? "id" : "uuid") < 0)
		return -1;
	if (gtid_all_by(p->dialect->mariadb, extra, origin))
		return err_set(e,
			"the primary's server lost transactions of its own that this server holds (%.200s): this node "
			"should be primary",
			extra);
	return err_set(e, "diverged: this server holds transactions that the new primary lacks: %.300s", extra);
}

/* t: this server, already read-only. reused: why it is not known that no GTID was given twice; "" it is known. */
static int compare(struct task *t, struct err *reused, struct err *e)
{
	auto_free char *own = xcalloc(4, GTID_TEXT);
	char *theirs = own + GTID_TEXT, *purged = theirs + GTID_TEXT, *extra = purged + GTID_TEXT;
	struct task p = *t;
	int r = -1;

	if (executed_set(t, own, GTID_TEXT, e) < 0)
		return -1;
	struct err why = { "" };
	p.db = open_peer(t, false, &why);
	if (!p.db)
		return err_set(e, "cannot compare with the new primary: %s", why.text);
	p.dialect = dialect_of(p.db, e);
	if (!p.dialect)
		goto out;
	if (p.dialect->mariadb != t->dialect->mariadb) {
		err_set(e, "this server is %s and the new primary is %s: their positions cannot be compared",
			t->dialect->name, p.dialect->name);
		goto out;
	}
	if (executed_set(&p, theirs, GTID_TEXT, e) < 0 ||
		sql_value(p.db, purged, GTID_TEXT, e, task_stmt(&p, ST_PURGED)) < 0)
		goto out;
	if (gtid_extra(t->dialect->mariadb, theirs, own, extra, GTID_TEXT) < 0) {
		err_set(e, "the positions of the two servers are not understood: \"%.100s\" and \"%.100s\"", own,
			theirs);
		goto out;
	}
	if (extra[0]) {
		say_extra(&p, extra, e);
		goto out;
	}
	if (t->dialect->mariadb && same_content(t, theirs, NULL, 0, reused) == 0) {
		err_set(e, "diverged: a GTID was given twice: %.300s", reused->text);
		goto out;
	}
	if (gtid_contains(t->dialect->mariadb, own, purged) != 1) {
		err_set(e, "the new primary has purged transactions this server still needs: it must be reseeded");
		goto out;
	}
	r = 0;
out:
	mysql_close(p.db);
	return r;
}

static int replica_semi(struct task *t, struct err *e)
{
	const struct semi_words *w;
	if (set_semi_source(t, false, e) < 0)
		return -1;
	if (!task_bool(t, "semi_sync"))
		return 0;
	w = semi_words_of(t->db, e);
	return w ? sql_run(t->db, e, "SET GLOBAL rpl_semi_sync_%s_enabled = ON", w->replica) : -1;
}

static int set_source(struct task *t, struct err *e)
{
	char host[160], user[160], password[600], ca[600] = "''", tls[700];
	int r = -1;
	if (!sql_quote(t->db, task_text(t, "repl_host"), host, sizeof(host)) ||
		!sql_quote(t->db, task_text(t, "repl_user"), user, sizeof(user)) ||
		!sql_quote(t->db, task_text(t, "repl_password"), password, sizeof(password)) ||
		!sql_quote(t->db, task_text(t, "repl_ca_file"), ca, sizeof(ca)))
		return err_set(e, "the replication account's name, password or CA file is too long");
	snprintf(tls, sizeof(tls), task_stmt(t, task_bool(t, "repl_tls") ? ST_SOURCE_TLS : ST_SOURCE_PLAIN), ca);
	if (sql_run(t->db, e, task_stmt(t, ST_STOP)) == 0 && sql_run(t->db, e, task_stmt(t, ST_FORGET)) == 0 &&
		sql_run(t->db, e, task_stmt(t, ST_BEFORE_SOURCE)) == 0 &&
		sql_run(t->db, e, task_stmt(t, ST_NET_TIMEOUT), net_timeout_s) == 0)
		r = sql_run(
			t->db, e, task_stmt(t, ST_SOURCE), host, (int)task_int(t, "host_port"), user, password, tls);
	explicit_bzero(password, sizeof(password));
	return r;
}

/* Receiver connected and applier running, or the sentence why not. The configuration stays: it goes on trying. */
static int await_running(struct task *t, struct channel *c, struct err *e)
{
	struct timespec pause = { 0, 3000000 };
	for (;;) {
		if (channel_read(t, c, e) < 0)
			return -1;
		if (c->io_running && c->sql_running)
			return 0;
		if (c->sql_errno)
			return err_set(e, "the applier stopped with error %d: %s", c->sql_errno, c->sql_error);
		if (c->io_errno == 1045)
			return err_set(e, "%s:%d refuses the replication account \"%s\": %s", c->host, c->port,
				task_text(t, "repl_user"), c->io_error);
		if (c->io_errno == 1236 || c->io_errno == 13114)
			return err_set(e, "the new primary cannot send what this server lacks, it must be reseeded: %s",
				c->io_error);
		if (c->io_errno && !c->connecting)
			return err_set(e, "the receiver stopped with error %d: %s", c->io_errno, c->io_error);
		if (!task_left(t))
			return err_set(e, "not connected to %s:%d in time%s%s", c->host, c->port,
				c->io_errno ? ": " : "", c->io_error);
		nanosleep(&pause, NULL);
	}
}

/* The relay log cannot be read: what it holds must be fetched again. MySQL's "Server error reference", ER_REPLICA_FATAL_ERROR,
 * ER_REPLICA_RELAY_LOG_READ_FAILURE, …_WRITE_FAILURE, ER_RPL_RELAY_LOG_READ_FAILURE; the first three are MariaDB's too. */
static bool relay_log_broken(const struct channel *c)
{
	static const int numbers[] = { 1593, 1594, 1595, 13121 };

	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		if (c->sql_errno == numbers[i])
			return true;
	return false;
}

/* It follows the right server, and at most was stopped, by somebody or by an error of the applier. What it has received and not executed is
 * kept then: it may be all that is left of acknowledged writes a moment later. */
static bool goes_on(const struct task *t, const struct channel *c)
{
	bool right = c->configured && c->gtid && str_eq(c->host, task_text(t, "repl_host")) &&
		     c->port == task_int(t, "host_port");
	/* MariaDB has discarded it already when both are stopped */
	bool kept = c->io_running || c->connecting || c->sql_running;
	/* one that tries again by itself, and not with a password that is refused */
	bool retries = c->connecting && c->io_errno != 1045;

	return right && kept && !relay_log_broken(c) && (!c->io_errno || retries);
}

/* An applier that had stopped with an error tries once: it may have been a deadlock, or somebody has repaired the row. */
static int try_applier(struct task *t, int before, struct err *e)
{
	auto_free struct channel *c = xcalloc(1, sizeof(*c));
	struct timespec while_it_tries = { 0, 300000000 };

	if (sql_run(t->db, e, task_stmt(t, ST_START_APPLIER)) < 0)
		return -1;
	if (!before)
		return 0;
	nanosleep(&while_it_tries, NULL);
	if (channel_read(t, c, e) < 0)
		return -1;
	return c->sql_errno ? err_set(e, "the applier stopped again with error %d: %s", c->sql_errno, c->sql_error) : 0;
}

static int go_on(struct task *t, const struct channel *c, struct err *e)
{
	if (!c->sql_running && try_applier(t, c->sql_errno, e) < 0)
		return -1;
	return c->io_running || c->connecting ? 0 : sql_run(t->db, e, task_stmt(t, ST_START_RECEIVER));
}

static int begin_anew(struct task *t, struct err *e)
{
	return set_source(t, e) < 0 ? -1 : sql_run(t->db, e, task_stmt(t, ST_START));
}

int routine_follow(void *db, const char *args, char *out, size_t cap, struct err *e)
{
	auto_task struct task t;
	auto_free struct channel *c = xcalloc(1, sizeof(*c));
	struct err reused = { "" };
	char events[SENTENCE_MAX];
	int ro;

	if (task_open(&t, db, args, out, cap, e) < 0)
		return -1;
	ro = read_only(&t, e);
	if (ro < 0 || (ro != WRITES_SHUT && freeze(&t, task_text(&t, "tag"), task_left(&t), e) < 0))
		return -1;
	/* a server that was killed as primary still has them enabled; one that cannot be changed is doctor's to name */
	if ((task_bool(&t, "events") && events_away(&t, events, sizeof(events), e) < 0) || channel_read(&t, c, e) < 0)
		return -1;
	if (goes_on(&t, c) && c->io_running && c->sql_running)
		return replica_semi(&t, e) < 0 ? -1 : task_say(&t, "followed already");
	if (compare(&t, &reused, e) < 0 || replica_semi(&t, e) < 0 ||
		(goes_on(&t, c) ? go_on(&t, c, e) : begin_anew(&t, e)) < 0 || await_running(&t, c, e) < 0)
		return -1;
	return task_say(&t, "follows %s:%d%s%.200s", c->host, c->port,
		reused.text[0] ? "; whether a GTID was given twice is not known: " : "", reused.text);
}
