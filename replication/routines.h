/* routines.h - what the routines of the MySQL helper share. Inside the helper process: blocking, one statement after the other.
 *
 * Arguments are a JSON object; "timeout_ms" is what the caller gives the routine. A routine ends by itself before that, so that the
 * outcome is known; the caller's SIGKILL is for servers that do not answer.
 */
#ifndef REPLICATION_ROUTINES_H
#define REPLICATION_ROUTINES_H

#include "replication/dialect.h"
#include "replication/gtid.h"

enum { GTID_TEXT = 16 * 1024, /* a position as the server prints it */ QUOTED_MAX = 2 * GTID_TEXT + 3 };

struct task {
	MYSQL *db;
	const struct dialect *dialect;
	json_t *args;
	us_t end; /* when the routine must have ended */
	char *out;
	size_t cap;
};

/* Fills t; -1 with e. task_close afterwards in either case. */
int task_open(struct task *t, void *db, const char *args, char *out, size_t cap, struct err *e);
void task_close(struct task *t);
#define auto_task __attribute__((cleanup(task_close)))
us_t task_left(const struct task *t);			      /* not negative */
const char *task_text(const struct task *t, const char *key); /* "" when absent */
int64_t task_int(const struct task *t, const char *key);
bool task_bool(const struct task *t, const char *key);
const char *task_stmt(const struct task *t, enum stmt s);
int task_say(struct task *t, const char *fmt, ...)
	__attribute__((format(printf, 2, 3))); /* the result's text; returns 0 */

/* One replication source as configured on this server. */
struct channel {
	bool configured;
	size_t count; /* sources; more than one is nothing we can judge */
	bool io_running, connecting, sql_running;
	char host[64];
	int port;
	bool gtid; /* positions by GTID, not by file and offset */
	int io_errno, sql_errno;
	char io_error[SENTENCE_MAX], sql_error[SENTENCE_MAX];
	char applier[64]; /* what the applier does, in the server's words */
	char backup[32];  /* MySQL: the locks that sessions hold on the whole server: "GLOBAL", "BACKUP LOCK" */
	int64_t delay_s, lag_s; /* lag_s -1: the server does not know */
	char received[GTID_TEXT];
	char read_file[256], exec_file[256]; /* MariaDB: file positions, for replication without GTID */
	char read_pos[24], exec_pos[24];
	char arrival[256]; /* changes with everything that arrives */
};
void channel_of_row(const json_t *row, struct channel *c);
int channel_read(struct task *t, struct channel *c, struct err *e);
bool applier_waits(const struct channel *c); /* for a lock that somebody else holds */

/* MySQL's super_read_only reads ON as soon as its SET begins to wait, read_only only when it has ended (seen on 9.7): WRITES_HALF is both
 * that moment and a server that lets accounts with SUPER write. */
enum writes { WRITES_OPEN, WRITES_HALF, WRITES_SHUT };
int read_only(struct task *t, struct err *e);				 /* enum writes, or -1 */
int set_semi_source(struct task *t, bool on, struct err *e);		 /* absent plugin: fine when off */
int semi_source_wait(struct task *t, struct err *e); /* on, and every commit waits for a replica, however long it takes */
int executed_set(struct task *t, char *out, size_t size, struct err *e); /* all of this server's history */
/* Has the applier executed all that was received? have, of GTID_TEXT: what was executed, asked after c was read. */
int drained(struct task *t, const struct channel *c, char *have, struct err *e);
const char *set_text(const json_t *sets, size_t i); /* of sql_fetch: the first value of the i-th set, "" none */
int end_sessions(struct task *t, size_t *ended, char *refused, size_t size, struct err *e);
/* The other server, as the control account or as the one that replicates. NULL with e. */
MYSQL *open_peer(struct task *t, bool replication, struct err *e);
/* Can the account that this server would replicate with log in at the other one? */
int check_way_back(struct task *t, struct err *e);
/* Takes the server's write lock, the position then as the result's text; -1 and still writable when it cannot be had in time. tag: text
 * for ST_PENDING. */
int freeze(struct task *t, const char *tag, us_t bound, struct err *e);
/* Scheduled events are not to run here any more. left: what could not be changed, "" nothing. */
int events_away(struct task *t, char *left, size_t size, struct err *e);

sql_routine_fn routine_observe, routine_ping, routine_promote, routine_verify, routine_forget, routine_freeze,
	routine_abort, routine_unfreeze, routine_demote, routine_at_rest, routine_position, routine_reach, routine_receive, routine_follow,
	routine_sync_on, routine_sync_off, routine_kill_clients, routine_precheck, routine_examine,
	routine_examine_admin, routine_examine_self, routine_export, routine_clone, routine_cloned,
	routine_events, routine_events_on, routine_events_off;

#endif
