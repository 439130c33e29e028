/* mysql.h - inside the room: the MySQL driver's own state, shared by mysql.c (observation, connections) and mysql_ops.c. */
#ifndef REPLICATION_MYSQL_H
#define REPLICATION_MYSQL_H

#include "replication/db.h"

#include <jansson.h>

enum { MYSQL_SLOTS = 8, MYSQL_SLOTS_KEPT = 2, MYSQL_LOST_LOOKS = 50 };

/* A promotion that is not done begins its text with one of these; enum db_outcome has them apart. */
#define PROMOTE_MORE  "draining: "
#define PROMOTE_WAITS "waiting: "

struct mysql_slot {
	struct sqlproc *proc;
	bool used;
};

struct mysql {
	struct db *db;
	struct sqlproc *watch; /* observation's own connection */
	struct mysql_slot slots[MYSQL_SLOTS];
	struct mysql_slot *forgetting; /* the clean-up after a promotion is under way */
	struct mysql_slot *warming;
	struct mysql_slot *afterwards; /* what goes on after a call's end */
	int64_t warmed;		       /* db_start for which an operations connection was made */
	bool observing;
	int lost_looks; /* observations in a row whose connection broke */
	us_t began;
	char arrival[256]; /* as last seen; "" no source */
	us_t arrived_at;   /* when it last changed; US_UNKNOWN */
	bool slow;	   /* the last look was answered late */
	bool held_up;	   /* the last look saw a trouble that may be gone by the next */
	int64_t acked;	   /* by the standby, as last seen */
	us_t stalled_at;   /* since when commits wait and `acked` stands still; 0 not */
	struct mysql_call *calls;
	unsigned tags; /* makes the tags of freezes unique */
};

struct mysql_slot *mysql_slot_get(struct mysql *m); /* NULL: all in use */
struct mysql_slot *mysql_slot_spare(struct mysql *m);
void mysql_slot_put(struct mysql *m, struct mysql_slot *s);
void mysql_warm(struct mysql *m);
void mysql_forget(struct mysql *m, bool released);
void mysql_forget_stop(struct mysql *m);

struct db_call *mysql_start(struct db *d, enum db_op op, const char *arg_text, us_t timeout, struct err *e);
void mysql_cancel(struct db_call *c);
void mysql_cancel_all(struct mysql *m);

#endif
