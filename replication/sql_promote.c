/* sql_promote.c - a replica becomes a primary, without losing what it received and without waiting for the dead source.
 *
 * Order (FACTS, measured): drain with the applier running; stop the applier only; semi-sync source off, or a lone primary's commits
 * wait; open writes. The receiver is stopped and the configuration forgotten afterwards by routine_forget on another connection, because
 * stopping it waits for a dead source. MariaDB throws relay logs away when both threads are stopped and one is started: an applier that
 * is found stopped is started only while the receiver still runs.
 */
#include "replication/routines.h"

#include <time.h>

static const us_t slice = 200 * US_PER_MS; /* of waiting, between looks at the applier's errors */

static int64_t behind(struct task *t, const struct channel *c)
{
	auto_free char *have = xcalloc(1, GTID_TEXT);
	struct err ignored;
	if (!c->gtid || executed_set(t, have, GTID_TEXT, &ignored) < 0)
		return -1;
	return gtid_missing(t->dialect->mariadb, c->received, have);
}

static int refuse_reason(struct task *t, const struct channel *c, struct err *e)
{
	if (c->sql_errno)
		return err_set(e, "the applier stopped with error %d: %s", c->sql_errno, c->sql_error);
	if (c->delay_s)
		return err_set(e, "the replica is configured to be %lld s late; remove the delay first",
			(long long)c->delay_s);
	if (!c->gtid && !task_stmt(t, ST_WAIT_FILE))
		return err_set(
			e, "replication runs by file and offset, not by GTID: what was received cannot be judged");
	return 0;
}

/* Waits a slice for the applier. */
static int wait_received(struct task *t, const struct channel *c, struct err *e)
{
	us_t wait = task_left(t) < slice ? task_left(t) : slice;
	auto_free char *literal = xcalloc(1, QUOTED_MAX);
	char v[32];
	if (!c->gtid) {
		sql_quote(t->db, c->read_file, literal, QUOTED_MAX);
		return sql_value(t->db, v, sizeof(v), e, task_stmt(t, ST_WAIT_FILE), literal, c->read_pos, 1);
	}
	/* MariaDB waits for a position, one GTID a domain; Gtid_IO_Pos is one */
	sql_quote(t->db, c->received, literal, QUOTED_MAX);
	return sql_value(t->db, v, sizeof(v), e, task_stmt(t, ST_WAIT), literal, (double)wait / US_PER_SEC);
}

static int start_applier(struct task *t, const struct channel *c, struct err *e)
{
	if (t->dialect->mariadb && !c->io_running && !c->connecting)
		return err_set(e,
			"both replication threads are stopped with %lld received transactions not applied: starting "
			"either makes this "
			"server discard them; export them from the relay log first",
			(long long)behind(t, c));
	return sql_run(t->db, e, task_stmt(t, ST_START_APPLIER));
}

/* Everything received is executed and the applier is stopped, or -1. The receiver may go on receiving meanwhile (a source that is cut
 * off from us, not from it): then what arrived between wait and stop is drained too. A source that is shut sends nothing more: its
 * applier need not be waited for (on a busy machine MySQL's threads take 10 to 100 ms to end). */
static int drain_and_stop(struct task *t, struct channel *c, struct err *e)
{
	bool released = task_bool(t, "released");

	for (;;) {
		int done;
		if (channel_read(t, c, e) < 0)
			return -1;
		if (!c->configured)
			return 0;
		if (refuse_reason(t, c, e) < 0)
			return -1;
		done = drained(t, c, e);
		if (done < 0)
			return -1;
		if (done && (released || !c->sql_running))
			return 0;
		if (!task_left(t))
			return err_set(e, "received transactions are not applied yet: %lld left when time was up",
				(long long)behind(t, c));
		if (done		  ? sql_run(t->db, e, task_stmt(t, ST_STOP_APPLIER)) < 0
			: !c->sql_running ? start_applier(t, c, e) < 0
					  : wait_received(t, c, e) < 0)
			return -1;
	}
}

int routine_promote(void *db, const char *args, char *out, size_t cap, struct err *e)
{
	auto_task struct task t;
	auto_free struct channel *c = xcalloc(1, sizeof(*c));
	us_t start = now_us(), drained_at;
	int ro;

	if (task_open(&t, db, args, out, cap, e) < 0)
		return -1;
	/* on a replica the source side stalls the applier for every event: off before draining */
	if (set_semi_source(&t, false, e) < 0 || drain_and_stop(&t, c, e) < 0)
		return -1;
	drained_at = now_us();
	if (sql_run(db, e, task_stmt(&t, ST_UNFREEZE)) < 0)
		return -1;
	ro = read_only(&t, e);
	if (ro)
		return ro < 0 ? -1 : err_set(e, "the server accepted the order to open writes and is still read-only");
	return task_say(&t, "drained in %.1f ms, open after %.1f ms", (double)(drained_at - start) / 1000,
		(double)(now_us() - start) / 1000);
}

/* A stopped applier cannot write, so a source whose removal still waits for the net timeout is no obstacle. */
int routine_verify(void *db, const char *args, char *out, size_t cap, struct err *e)
{
	auto_task struct task t;
	auto_free struct channel *c = xcalloc(1, sizeof(*c));
	int ro;

	if (task_open(&t, db, args, out, cap, e) < 0)
		return -1;
	ro = read_only(&t, e);
	if (ro)
		return ro < 0 ? -1 : err_set(e, "the server is read-only");
	if (task_bool(&t, "brief"))
		return task_say(&t, "writable; the old source is still being removed");
	if (channel_read(&t, c, e) < 0)
		return -1;
	if (c->configured && c->sql_running)
		return err_set(e, "the server is writable and still applies what %s:%d sends", c->host, c->port);
	return task_say(&t,
		c->configured ? "writable; the old source is still configured, its applier is stopped" : "writable");
}

/* The slow end of a promotion. Does nothing when the server has become a replica again meanwhile. */
int routine_forget(void *db, const char *args, char *out, size_t cap, struct err *e)
{
	auto_task struct task t;
	auto_free struct channel *c = xcalloc(1, sizeof(*c));
	int ro;

	if (task_open(&t, db, args, out, cap, e) < 0)
		return -1;
	ro = read_only(&t, e);
	if (ro < 0 || channel_read(&t, c, e) < 0)
		return -1;
	if (ro || !c->configured || (c->sql_running && !task_bool(&t, "released")))
		return task_say(&t, "nothing to forget");
	if (c->sql_running && sql_run(db, e, task_stmt(&t, ST_STOP_APPLIER)) < 0)
		return -1;
	if (sql_run(db, e, task_stmt(&t, ST_STOP_RECEIVER)) < 0)
		return -1;
	return sql_run(db, e, task_stmt(&t, ST_FORGET));
}

int routine_reach(void *db, const char *args, char *out, size_t cap, struct err *e)
{
	auto_task struct task t;
	auto_free char *position = xcalloc(1, GTID_TEXT), *literal = xcalloc(1, QUOTED_MAX),
		       *have = xcalloc(1, GTID_TEXT);
	auto_free struct channel *c = xcalloc(1, sizeof(*c));

	if (task_open(&t, db, args, out, cap, e) < 0)
		return -1;
	if (gtid_as_position(t.dialect->mariadb, task_text(&t, "position"), position, GTID_TEXT) < 0)
		return err_set(e, "\"%.80s\" is no position of %s", task_text(&t, "position"), t.dialect->name);
	sql_quote(db, position, literal, QUOTED_MAX);
	for (;;) {
		us_t wait = task_left(&t) < slice ? task_left(&t) : slice;
		char v[32];
		if (executed_set(&t, have, GTID_TEXT, e) < 0)
			return -1;
		if (gtid_contains(t.dialect->mariadb, have, position) == 1)
			return task_say(&t, "reached");
		if (!wait)
			return err_set(e, "%lld transactions behind when time was up",
				(long long)gtid_missing(t.dialect->mariadb, position, have));
		if (channel_read(&t, c, e) < 0)
			return -1;
		if (c->sql_errno || !c->sql_running)
			return err_set(e, "the applier is stopped%s%s", c->sql_errno ? ": " : "", c->sql_error);
		if (sql_value(db, v, sizeof(v), e, task_stmt(&t, ST_WAIT), literal, (double)wait / US_PER_SEC) < 0)
			return -1;
	}
}
