/* sql_sync.c - the source side of semi-synchronous replication, at the primary only. */
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
		"SET GLOBAL rpl_semi_sync_%s_wait_point = AFTER_SYNC; SET GLOBAL rpl_semi_sync_%s_timeout = %lu; "
		"SET GLOBAL rpl_semi_sync_%s_wait_no_%s = ON; SET GLOBAL rpl_semi_sync_%s_enabled = ON",
		w->source, w->source, beyond_reach_ms, w->source, w->replica, w->source);
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
	if (semi_source_wait(&t, e) < 0)
		return -1;
	return sql_value(db, out, cap, e, task_stmt(&t, ST_POSITION));
}

int routine_sync_off(void *db, const char *args, char *out, size_t cap, struct err *e)
{
	auto_task struct task t;
	if (task_open(&t, db, args, out, cap, e) < 0)
		return -1;
	return set_semi_source(&t, false, e);
}
