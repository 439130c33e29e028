/* db.h - inside the room: what MySQL and Redis have in common. replication.h's functions are thin calls of a driver. */
#ifndef REPLICATION_DB_H
#define REPLICATION_DB_H

#include "replication/replication.h"

struct db {
	const struct db_driver *driver;
	struct loop *loop;
	struct db_target target;
	us_t interval;
	db_observed_fn *observed;
	void *arg;
	struct db_facts facts;
	struct timer *next; /* observation */
	bool look_again;    /* asked for while one was under way: what that one shows may be old news */
	void *own;	    /* the driver's */
};

/* Base of the drivers' own call structs. */
struct db_call {
	struct db *db;
	enum db_op op;
	us_t started_at, end;
	db_done_fn *done;
	void *arg;
};

struct db_driver {
	int (*open)(struct db *d, struct err *e);
	void (*close)(struct db *d);
	void (*look)(struct db *d); /* observe now; harmless while observing */
	struct db_call *(*start)(struct db *d, enum db_op op, const char *arg_text, us_t timeout, struct err *e);
	void (*cancel)(struct db_call *c); /* frees it */
};
extern const struct db_driver mysql_driver, redis_driver;

/* The next observation is due an interval after this one began. */
void db_looked(struct db *d, us_t began);
/* Facts of a server that did not answer as it should: what was known stays, except that a dead server accepts no writes. */
void db_silent(struct db *d, enum db_life life, const char *trouble);
/* Deadline of one observation: the interval, within bounds. */
us_t db_look_timeout(const struct db *d);

#endif
