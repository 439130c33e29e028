/* redis.h - inside the room: the Redis driver's own state, shared by redis.c (observation) and redis_call.c (operations). */
#ifndef REPLICATION_REDIS_H
#define REPLICATION_REDIS_H

#include "replication/redis_conn.h"

struct redis {
	struct db *db;
	struct redis_conn watch; /* observation's own connection, kept */
	struct timer *deadline;	 /* of the observation under way */
	bool observing;
	int refused, broken; /* within this observation */
	us_t began;
	struct redis_info info;
	bool have_info;
	us_t frozen_until; /* our own CLIENT PAUSE; INFO does not show it */
	struct redis_call *calls;
};

struct db_call *redis_start(struct db *d, enum db_op op, const char *arg_text, us_t timeout, struct err *e);
void redis_cancel(struct db_call *c);
void redis_cancel_all(struct redis *r);

#endif
