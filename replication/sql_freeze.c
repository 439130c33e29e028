/* sql_freeze.c - the end of writing: planned (freeze, bounded, undone cleanly) and on a live old primary (demote).
 *
 * The bound stands on the server: lock_wait_timeout, and KILL QUERY by routine_abort from a second connection. A statement that only its
 * client gave up would fire later. Idle transactions and long SELECTs do not hold it up; LOCK TABLES and running writes do.
 */
#include "replication/routines.h"

#include <errno.h>
#include <time.h>

static const char any_freeze[] = "hactl freeze %"; /* LIKE */

static void nap(us_t us)
{
	struct timespec ts = { us / US_PER_SEC, us % US_PER_SEC * 1000 };
	nanosleep(&ts, NULL);
}

/* Who may be in the way, for the sentence. */
static void name_busy(struct task *t, int seconds, char *out, size_t size)
{
	struct err ignored;
	json_t *sets = sql_fetch(t->db, &ignored, task_stmt(t, ST_BUSY), seconds), *row;
	size_t i, len = 0;
	out[0] = '\0';
	json_array_foreach(json_array_get(sets, 0), i, row)
	{
		str_add(out, size, &len, "%s%s (id %s, %s s): %s", i ? "; " : "", row_text(row, "user"),
			row_text(row, "id"), row_text(row, "seconds"), row_text(row, "info"));
	}
	json_decref(sets);
}

/* Read back, and where it stands: nothing is written after that, unless by *xa transactions that the freeze does not hold up. They are
 * counted before the position is read. */
static int frozen_at(struct task *t, long *xa, struct err *e)
{
	const char *count = task_stmt(t, ST_XA) ? task_stmt(t, ST_XA) : "SELECT 0";
	json_t *sets = sql_fetch(t->db, e, "%s; %s; %s", task_stmt(t, ST_READ_ONLY), count, task_stmt(t, ST_POSITION));
	int r = sets ? 0 : -1;

	*xa = strtol(set_text(sets, 1), NULL, 10);
	if (sets && !str_copy(t->out, t->cap, set_text(sets, 2)))
		r = err_set(e, "the server's position is too long to carry");
	if (sets && atoi(set_text(sets, 0)) < WRITES_SHUT)
		r = err_set(e, "the server accepted the freeze and is still writable");
	json_decref(sets);
	return r;
}

/* INNODB_TRX is a copy that InnoDB renews only when nobody has read it for a tenth of a second (trx0i_s.cc): asked more often, it never changes. */
static const us_t trx_renewed = 120 * US_PER_MS;

/* A planned freeze: none may begin any more, and those under way may be ended by whoever coordinates them, in half of the time. */
static int await_xa(struct task *t, long xa, struct err *e)
{
	us_t end = now_us() + task_left(t) / 2;

	while (xa > 0 && now_us() < end) {
		nap(trx_renewed);
		if (frozen_at(t, &xa, e) < 0)
			return -1;
	}
	return xa <= 0 ? 0
		       : err_set(e, "XA transactions are under way, and this server lets them commit after a freeze: "
				    "end them (XA RECOVER), then try again");
}

int freeze(struct task *t, const char *tag, us_t bound, struct err *e)
{
	long long seconds = (bound + US_PER_SEC - 1) / US_PER_SEC;
	char busy[256];
	struct err why = { "" };
	long xa;
	int ro;

	auto_free char *both = str_printf(
		"SET SESSION lock_wait_timeout = %lld; %s", seconds > 0 ? seconds : 1, task_stmt(t, ST_FREEZE));
	if (sql_run(t->db, &why, both, tag) == 0)
		return frozen_at(t, &xa, e) < 0 ? -1 : task_bool(t, "planned") ? await_xa(t, xa, e) : 0;
	if (mysql_errno(t->db) != 1205 && mysql_errno(t->db) != 1317)
		return err_set(e, "%s", why.text);
	ro = read_only(t, e);
	if (ro < 0)
		return -1;
	name_busy(t, 0, busy, sizeof(busy));
	return err_set(e, "not frozen in time, %s: a client holds table locks or a write is running%s%s",
		ro ? "read-only now" : "still writable", busy[0] ? ": " : "", busy);
}

int routine_freeze(void *db, const char *args, char *out, size_t cap, struct err *e)
{
	auto_task struct task t;

	if (task_open(&t, db, args, out, cap, e) < 0)
		return -1;
	return freeze(&t, task_text(&t, "tag"), task_left(&t), e);
}

/* Ends freezes under way, so that their outcome is known and nothing fires later. tag: of one, or a LIKE pattern. */
static int end_freezes(struct task *t, const char *tag, struct err *e)
{
	json_t *sets = sql_fetch(t->db, e, task_stmt(t, ST_PENDING), tag), *row;
	size_t i;

	if (!sets)
		return -1;
	json_array_foreach(json_array_get(sets, 0), i, row)
	{
		struct err gone; /* it may have ended by itself */
		sql_run(t->db, &gone, "KILL QUERY %lld", (long long)row_int(row, "id", 0));
	}
	json_decref(sets);
	return 0;
}

int routine_abort(void *db, const char *args, char *out, size_t cap, struct err *e)
{
	auto_task struct task t;
	if (task_open(&t, db, args, out, cap, e) < 0)
		return -1;
	return end_freezes(&t, task_text(&t, "tag"), e);
}

int routine_unfreeze(void *db, const char *args, char *out, size_t cap, struct err *e)
{
	auto_task struct task t;
	auto_free struct channel *c = xcalloc(1, sizeof(*c));
	int ro;

	if (task_open(&t, db, args, out, cap, e) < 0 || channel_read(&t, c, e) < 0)
		return -1;
	if (c->configured)
		return err_set(e, "this server replicates from %s:%d: its writes stay shut", c->host, c->port);
	/* a freeze whose caller gave up must not fire after this */
	if (end_freezes(&t, any_freeze, e) < 0 || sql_run(db, e, task_stmt(&t, ST_UNFREEZE)) < 0)
		return -1;
	ro = read_only(&t, e);
	return ro > WRITES_OPEN ? err_set(e, "the server is still read-only") : ro;
}

int end_sessions(struct task *t, size_t *ended, char *refused, size_t size, struct err *e)
{
	json_t *sets = sql_fetch(t->db, e, task_stmt(t, ST_SESSIONS)), *row;
	size_t i, len = 0;
	if (!sets)
		return -1;
	refused[0] = '\0';
	json_array_foreach(json_array_get(sets, 0), i, row)
	{
		struct err why;
		if (sql_run(t->db, &why, "KILL CONNECTION %lld", (long long)row_int(row, "id", 0)) == 0)
			++*ended;
		else if (mysql_errno(t->db) != 1094) /* ER_NO_SUCH_THREAD: it ended by itself */
			str_add(refused, size, &len, "%s%s", len ? ", " : "", row_text(row, "user"));
	}
	json_decref(sets);
	return 0;
}

enum progress { NOT_BEGUN, BEGUN, FROZEN };

/* Of the freeze on the other connection: enum progress, or -1. The variables alone may run ahead of the statement. */
static int freeze_progress(struct task *t, const char *tag, struct err *e)
{
	json_t *sets;
	size_t pending;
	int ro;

	sets = sql_fetch(t->db, e, task_stmt(t, ST_PENDING), tag);
	if (!sets)
		return -1;
	pending = json_array_size(json_array_get(sets, 0));
	json_decref(sets);
	ro = read_only(t, e);
	if (ro < 0)
		return -1;
	return pending ? BEGUN : ro == WRITES_SHUT ? FROZEN : NOT_BEGUN;
}

/* The second connection of a demotion; the first executes routine_freeze. Sessions are ended once the freeze has begun (before it, an
 * app comes back and commits again), semi-sync goes off once they are ended (before it, waiting commits that nobody received are
 * acknowledged), and new ones are ended until the server is read-only.
 *
 * MySQL's "off" releases the waiting commits at once and then takes up to a second to return (9.7: it waits for the thread that collects
 * acknowledgements). Only a freeze that is held up by such a commit is worth that second; otherwise the caller turns it off afterwards. */
static const us_t patience = 30 * US_PER_MS;

int routine_demote(void *db, const char *args, char *out, size_t cap, struct err *e)
{
	auto_task struct task t;
	char refused[128] = "", events[SENTENCE_MAX] = "";
	size_t ended = 0;
	bool released = false;
	us_t semi_at;
	int now;

	if (task_open(&t, db, args, out, cap, e) < 0)
		return -1;
	while ((now = freeze_progress(&t, task_text(&t, "tag"), e)) == NOT_BEGUN && task_left(&t))
		nap(US_PER_MS);
	if (now <= NOT_BEGUN)
		return now < 0 ? -1 : err_set(e, "the freeze did not begin in time");
	semi_at = now_us() + (t.dialect->mariadb ? 0 : patience);
	do {
		if (end_sessions(&t, &ended, refused, sizeof(refused), e) < 0)
			return -1;
		if (!released && now_us() >= semi_at) {
			if (set_semi_source(&t, false, e) < 0)
				return -1;
			released = true;
		}
		now = freeze_progress(&t, task_text(&t, "tag"), e);
	} while (now >= 0 && now != FROZEN && task_left(&t) && (nap(2 * US_PER_MS), true));
	if (now != FROZEN)
		return now < 0 ? -1
			       : err_set(e, "still writable: the freeze waits although client sessions were ended");
	/* before the last sessions are ended: the runs of events under way are among them */
	if (task_bool(&t, "events") && events_away(&t, events, sizeof(events), e) < 0)
		return -1;
	if (end_sessions(&t, &ended, refused, sizeof(refused), e) < 0)
		return -1;
	return task_say(&t, "read-only, %zu client sessions ended%s%s%s%s", ended,
		refused[0] ? "; not ours to end: " : "", refused, events[0] ? "; not disabled: " : "", events);
}

/* Before a demotion that may find nothing to do: a server that is read-only, with no freeze under way, and replicates. Its readers are
 * nobody's trouble. The result's text is empty when it is anything else. */
int routine_at_rest(void *db, const char *args, char *out, size_t cap, struct err *e)
{
	auto_task struct task t;
	auto_free struct channel *c = xcalloc(1, sizeof(*c));
	int now;

	if (task_open(&t, db, args, out, cap, e) < 0)
		return -1;
	out[0] = '\0';
	now = freeze_progress(&t, any_freeze, e);
	if (now < 0 || channel_read(&t, c, e) < 0)
		return -1;
	if (now != FROZEN || !c->configured || !c->sql_running || !(c->io_running || c->connecting))
		return 0;
	if (t.dialect->mariadb &&
		set_semi_source(&t, false, e) < 0) /* MySQL's takes a second: the caller does it afterwards */
		return -1;
	return task_say(&t, "read-only and replicating already: nothing was ended");
}

/* Rows (id, user, perhaps seconds) as words; how many. */
static size_t name_rows(struct task *t, const char *stmt, int seconds, char *out, size_t size)
{
	struct err ignored;
	json_t *sets = stmt ? sql_fetch(t->db, &ignored, stmt, seconds) : NULL, *rows = json_array_get(sets, 0), *row;
	size_t i, len = 0, n = json_array_size(rows);
	out[0] = '\0';
	json_array_foreach(rows, i, row)
	{
		if (i == 3)
			break;
		str_add(out, size, &len, "%s%s (id %s", i ? ", " : "", row_text(row, "user"), row_text(row, "id"));
		str_add(out, size, &len, row_has(row, "seconds") ? ", %s s)" : ")%s", row_text(row, "seconds"));
	}
	if (n > 3)
		str_add(out, size, &len, " and %zu more", n - 3);
	json_decref(sets);
	return n;
}

/* What would hold up a planned change, and whether the way back is open: the account this server would replicate with must be able to
 * log in at the other one. "quiet": what is merely cut short counts, too. */
int routine_precheck(void *db, const char *args, char *out, size_t cap, struct err *e)
{
	auto_task struct task t;
	char names[256], privileged[128];
	bool quiet;
	size_t n;
	int ro;

	if (task_open(&t, db, args, out, cap, e) < 0)
		return -1;
	quiet = task_bool(&t, "quiet");
	ro = read_only(&t, e);
	if (ro)
		return ro < 0 ? -1 : err_set(e, "this server is read-only: it is not the primary");
	name_busy(&t, quiet ? 1 : 2, names, sizeof(names));
	if (names[0])
		return err_set(e, "long statements are in the way of a freeze: %s", names);
	if (name_rows(&t, task_stmt(&t, ST_LOCKED), 0, names, sizeof(names)))
		return err_set(e, "LOCK TABLES is in the way of a freeze, held by %s", names);
	if (check_way_back(&t, e) < 0)
		return -1;
	n = name_rows(&t, task_stmt(&t, ST_OPEN), 1, names, sizeof(names));
	if (n && quiet)
		return err_set(e, "%zu open transaction%s would be rolled back: %s", n, n == 1 ? "" : "s", names);
	name_rows(&t, task_stmt(&t, ST_PRIVILEGED), 0, privileged, sizeof(privileged));
	return task_say(&t, "%s%s%s%s", n ? "open transactions that will be rolled back: " : "", n ? names : "",
		privileged[0] ? n ? "; read_only does not stop " : "read_only does not stop " : "", privileged);
}
