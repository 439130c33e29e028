/* sql_sync.c - the source side of semi-synchronous replication, at the primary only, and when the standby has caught up: it has received
 * everything. What it has yet to execute is kept in its relay log, and a promotion executes that first. */
#include "replication/routines.h"

#include <time.h>

static const unsigned long beyond_reach_ms =
	4294967295ul; /* 49 days; hactl alone lets a primary run without its standby */

static int64_t clients(struct task *t, const struct semi_words *w, struct err *e)
{
	char v[64];
	/* SHOW STATUS has the value in its second column; both dialects have the same name in these tables */
	if (sql_value(t->db, v, sizeof(v), e,
		    "SELECT VARIABLE_VALUE FROM %s WHERE VARIABLE_NAME = 'Rpl_semi_sync_%s_clients'",
		    t->dialect->mariadb ? "information_schema.GLOBAL_STATUS" : "performance_schema.global_status",
		    w->source) < 0)
		return -1;
	return strtoll(v, NULL, 10);
}

int semi_source_wait(struct task *t, struct err *e)
{
	const struct semi_words *w = semi_words_of(t->db, e);

	if (!w)
		return -1;
	return sql_run(t->db, e,
		"SET GLOBAL rpl_semi_sync_%s_wait_point = AFTER_SYNC; SET GLOBAL rpl_semi_sync_%s_timeout = %lu; SET "
		"GLOBAL rpl_semi_sync_%s_wait_no_%s = ON; SET GLOBAL rpl_semi_sync_%s_enabled = ON",
		w->source, w->source, beyond_reach_ms, w->source, w->replica, w->source);
}

/* MySQL: a commit that had passed the point where it would wait before the waiting began is in its log, is acknowledged in a moment, and
 * is not in gtid_executed yet (seen on 9.7: under eight writers one enabling in seven left some out). It owns its GTID meanwhile. */
static const us_t commit_takes = US_PER_SEC; /* at most, or somebody holds it up */

static int await_entered(struct task *t, struct err *e)
{
	us_t wait = task_left(t) < commit_takes ? task_left(t) : commit_takes;
	auto_free char *entered = xcalloc(1, GTID_TEXT), *literal = xcalloc(1, QUOTED_MAX);
	char v[32];

	if (!task_stmt(t, ST_ENTERED))
		return 0;
	if (sql_value(t->db, entered, GTID_TEXT, e, task_stmt(t, ST_ENTERED)) < 0)
		return -1;
	if (!entered[0])
		return 0;
	sql_quote(t->db, entered, literal, QUOTED_MAX);
	if (sql_value(t->db, v, sizeof(v), e, task_stmt(t, ST_WAIT), literal, (double)wait / US_PER_SEC) < 0)
		return -1;
	return str_eq(v, "0")
		       ? 0
		       : err_set(e,
				 "commits begun before semi-sync was on have not ended, or a session holds their GTIDs "
				 "(GTID_NEXT): %.120s",
				 entered);
}

/* Returns the position after the enabling: every later commit waits for the standby, so a standby that has received this position holds
 * every acknowledged write. The caller compares; nothing is written here. */
int routine_sync_on(void *db, const char *args, char *out, size_t cap, struct err *e)
{
	auto_task struct task t;
	const struct semi_words *w;
	struct timespec pause = { 0, 2000000 };
	int64_t n;
	int ro;

	if (task_open(&t, db, args, out, cap, e) < 0)
		return -1;
	ro = read_only(&t, e);
	if (ro)
		return ro < 0 ? -1
			      : err_set(e, "this server is read-only: on a replica the source side of semi-sync stalls "
					   "the applier");
	w = semi_words_of(db, e);
	if (!w)
		return -1;
	/* a client must be registered before commits begin to wait for one */
	while ((n = clients(&t, w, e)) == 0 && task_left(&t))
		nanosleep(&pause, NULL);
	if (n <= 0)
		return n < 0 ? -1 : err_set(e, "no semi-sync replica is connected to this server");
	if (semi_source_wait(&t, e) < 0 || await_entered(&t, e) < 0)
		return -1;
	return sql_value(db, out, cap, e, task_stmt(&t, ST_POSITION));
}

int routine_receive(void *db, const char *args, char *out, size_t cap, struct err *e)
{
	auto_task struct task t;
	auto_free char *position = xcalloc(1, GTID_TEXT), *have = xcalloc(1, GTID_TEXT);
	auto_free struct channel *c = xcalloc(1, sizeof(*c));
	struct timespec pause = { 0, 10000000 };

	if (task_open(&t, db, args, out, cap, e) < 0)
		return -1;
	if (gtid_as_position(t.dialect->mariadb, task_text(&t, "position"), position, GTID_TEXT) < 0)
		return err_set(e, "\"%.80s\" is no position of %s", task_text(&t, "position"), t.dialect->name);
	for (;; nanosleep(&pause, NULL)) {
		int64_t left;
		if (channel_read(&t, c, e) < 0 || executed_set(&t, have, GTID_TEXT, e) < 0)
			return -1;
		if (!c->configured || !c->gtid || !c->io_running)
			return err_set(e, "the receiver does not run%s%s", c->io_error[0] ? ": " : "", c->io_error);
		left = gtid_unreceived(t.dialect->mariadb, position, have, c->received);
		if (left < 0)
			return err_set(e, "\"%.80s\" cannot be compared with what was received", position);
		if (!left)
			return task_say(&t, "received");
		if (!task_left(&t))
			return err_set(e, "%lld transactions not received when time was up", (long long)left);
	}
}

int routine_sync_off(void *db, const char *args, char *out, size_t cap, struct err *e)
{
	auto_task struct task t;
	if (task_open(&t, db, args, out, cap, e) < 0)
		return -1;
	return set_semi_source(&t, false, e);
}
