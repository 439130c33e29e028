/* sql_promote.c - a replica becomes a primary, without losing what it received and without waiting for the dead source.
 *
 * Order (FACTS, measured): drain with the applier running; stop the applier only; semi-sync source off, or a lone primary's commits
 * wait; open writes. "required" is the other way round: on, before writes are open. The receiver is stopped and the configuration forgotten afterwards by routine_forget on another connection, because
 * stopping it waits for a dead source. MariaDB throws relay logs away when both threads are stopped and one is started: an applier that
 * is found stopped is started only while the receiver still runs.
 *
 * A drain may take long, and nobody may wait blindly for it: the routine comes back every second with what is left, and the caller
 * looks whether it still may promote and starts it again. A session on this server that holds a lock (a backup's, somebody's LOCK
 * TABLES) can hold the applier up for ever: after a second in which nothing moved, client sessions are ended.
 */
#include "replication/mysql.h"
#include "replication/routines.h"

#include <time.h>

static const us_t slice = 200 * US_PER_MS; /* of waiting, between looks at the applier's errors */
static const us_t turn = US_PER_SEC;	   /* of draining, between words to the caller */

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
			"either makes this server discard them; export them from the relay log first",
			(long long)behind(t, c));
	return sql_run(t->db, e, task_stmt(t, ST_START_APPLIER));
}

/* What is left, and whether anything moves: the caller's reasons to wait on or to give up. */
static int say_left(struct task *t, const struct channel *c, bool moves, const char *ended)
{
	char late[80] = "";

	if (c->delay_s)
		snprintf(late, sizeof(late), "; the replica is configured to be %lld s late", (long long)c->delay_s);
	return task_say(t, "%s%lld transactions left%s%s%s%s", moves ? PROMOTE_MORE : PROMOTE_WAITS,
		(long long)behind(t, c), late, c->applier[0] && !moves ? "; the applier: " : "",
		moves ? "" : c->applier, ended);
}

/* The applier waits for a lock, and has got nowhere for a whole turn: whoever holds it is ended, an hour of backup is worth less than an
 * hour of service. */
static void end_holders(struct task *t, char *said, size_t size)
{
	char refused[128] = "";
	size_t ended = 0;
	struct err e = { "" };

	if (end_sessions(t, &ended, refused, sizeof(refused), &e) < 0)
		snprintf(said, size, "; client sessions could not be ended: %.200s", e.text);
	else
		snprintf(said, size, "; %zu client sessions were ended, one of them held that lock%s%s", ended,
			refused[0] ? "; not ours to end: " : "", refused);
}

enum drain { DRAIN_FAILED = -1, DRAIN_DONE, DRAIN_NOT_YET /* the result's text says what is left */ };

/* The end of a turn. */
static int not_yet(struct task *t, const struct channel *c, const char *had)
{
	auto_free char *have = xcalloc(1, GTID_TEXT);
	char ended[400] = "";
	struct err e;
	bool idle = !c->applier[0] || strstr(c->applier, "has read all relay log"), moves;

	if (executed_set(t, have, GTID_TEXT, &e) < 0)
		str_copy(have, GTID_TEXT, had);
	/* a long transaction shows nothing until its end but that the applier is at it */
	moves = !str_eq(have, had) || c->delay_s || (!idle && !applier_waits(c));
	if (!moves && applier_waits(c))
		end_holders(t, ended, sizeof(ended));
	say_left(t, c, moves, ended);
	return DRAIN_NOT_YET;
}

/* Everything received is executed and the applier is stopped, unless it takes longer than a turn. The receiver may go on receiving
 * meanwhile (a source that is cut off from us, not from it): then what arrived between wait and stop is drained too. A source that is shut
 * sends nothing more: its applier need not be waited for (on a busy machine MySQL's threads take 10 to 100 ms to end). */
static enum drain drain_and_stop(struct task *t, struct channel *c, struct err *e)
{
	us_t end = now_us() + (turn < task_left(t) ? turn : task_left(t));
	auto_free char *had = xcalloc(1, GTID_TEXT), *have = xcalloc(1, GTID_TEXT);
	bool released = task_bool(t, "released");

	for (bool first = true;; first = false) {
		int done;
		if (channel_read(t, c, e) < 0)
			return DRAIN_FAILED;
		if (!c->configured)
			return DRAIN_DONE;
		if (refuse_reason(t, c, e) < 0)
			return DRAIN_FAILED;
		done = drained(t, c, first ? had : have, e);
		if (done < 0)
			return DRAIN_FAILED;
		if (done && (released || !c->sql_running))
			return DRAIN_DONE;
		if (!done && now_us() >= end)
			return not_yet(t, c, had);
		if (done		  ? sql_run(t->db, e, task_stmt(t, ST_STOP_APPLIER)) < 0
			: !c->sql_running ? start_applier(t, c, e) < 0
					  : wait_received(t, c, e) < 0)
			return DRAIN_FAILED;
	}
}

/* The caller's right to open writes may have ended while it stood still. */
static bool too_late(const struct task *t)
{
	int64_t until = strtoll(task_text(t, "until"), NULL, 10);

	return until && now_us() >= until;
}

/* And reads it back. */
static int open_writes(struct task *t, struct err *e)
{
	json_t *sets = sql_fetch(t->db, e, "%s; %s", task_stmt(t, ST_UNFREEZE), task_stmt(t, ST_READ_ONLY));
	int ro;

	if (!sets)
		return -1;
	ro = json_array_size(sets) == 2 ? atoi(set_text(sets, 1)) : WRITES_HALF;
	json_decref(sets);
	return ro ? err_set(e, "the server accepted the order to open writes and is still read-only") : 0;
}

int routine_promote(void *db, const char *args, char *out, size_t cap, struct err *e)
{
	auto_task struct task t;
	auto_free struct channel *c = xcalloc(1, sizeof(*c));
	us_t start = now_us(), drained_at;
	char ended[400] = "";
	enum drain drain;
	bool required;
	int ro;

	if (task_open(&t, db, args, out, cap, e) < 0 || (ro = read_only(&t, e)) < 0)
		return -1;
	required = task_bool(&t, "required");
	/* On a replica the source side stalls the applier for every event: off before draining. Where commits may wait (the server is
	 * not wholly read-only) that would acknowledge them. */
	if (!(required && ro != WRITES_SHUT) && set_semi_source(&t, false, e) < 0)
		return -1;
	drain = drain_and_stop(&t, c, e);
	if (drain != DRAIN_DONE)
		return drain == DRAIN_FAILED ? -1 : 0;
	if (required && semi_source_wait(&t, e) < 0)
		return -1;
	drained_at = now_us();
	if (too_late(&t))
		return task_say(&t, PROMOTE_MORE "nothing left");
	if (strstr(c->backup, "GLOBAL")) /* every write would wait for that lock's holder */
		end_holders(&t, ended, sizeof(ended));
	if (open_writes(&t, e) < 0)
		return -1;
	return task_say(&t, "drained in %.1f ms, open after %.1f ms%s", (double)(drained_at - start) / 1000,
		(double)(now_us() - start) / 1000, ended);
}

static int semi_source_is_on(struct task *t, struct err *e)
{
	const struct semi_words *w = semi_words_of(t->db, e);
	char v[16];

	if (!w || sql_value(t->db, v, sizeof(v), e, "SELECT @@global.rpl_semi_sync_%s_enabled", w->source) < 0)
		return -1;
	return v[0] == '1';
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
	if (task_bool(&t, "required") && semi_source_is_on(&t, e) <= 0)
		return e->text[0] ? -1 : err_set(e, "the server is writable and its source side of semi-sync is off");
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
