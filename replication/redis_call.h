/* redis_call.h - inside the room: one operation on Redis under way. redis_call.c drives its steps, redis_ops.c says what they are.
 */
#ifndef REPLICATION_REDIS_CALL_H
#define REPLICATION_REDIS_CALL_H

#include "replication/redis.h"

enum side { OLD, NEW }; /* of a handover; every other operation has OLD only: the server itself */
enum verdict { NEXT, AGAIN /* the same step in a millisecond */, JUMP /* to c->jump */, DONE, FAIL };

struct redis_call;
struct step {
	enum side side;
	void (*send)(struct redis_call *c, struct redis_conn *k);
	enum verdict (*took)(struct redis_call *c, const redisReply *r);
};

struct redis_call {
	struct db_call base;
	struct redis_call *next;
	struct redis *redis;
	struct redis_conn conn[2];
	struct sql_target at[2];	       /* where each side is and our account there */
	const struct step *step, *jump, *undo; /* undo: what a failure from here on has to take back */
	struct timer *deadline, *again;
	struct redis_info info; /* as the step before asked for it */
	uint64_t offset;	/* to be reached */
	us_t patience;		/* moment after which a demotion no longer waits for its replica */
	bool sentinel, undoing, retried;
	char bad[300]; /* the first error among a step's replies */
	char text[512];
};

/* redis_call.c: what a step's commands answer to. The last one of a step decides; errors of the others count too. */
void redis_on_last(void *call, const redisReply *r);
void redis_on_quiet(void *call, const redisReply *r);
void redis_on_info(void *call, const redisReply *r); /* into c->info */

/* redis_ops.c */
const struct step *redis_steps(enum db_op op, const char *arg); /* NULL: no operation of Redis */
/* A lost connection that the operation can do without; GO_ON and OVER have set c->step or c->text. */
enum excuse { NO_EXCUSE, IGNORE, GO_ON, OVER };
enum excuse redis_do_without(struct redis_call *c, enum side side, enum db_life why);
const char *redis_awaited(const struct redis_call *c);	/* what the present step waits for, in words */
bool redis_changed_nothing(const struct redis_call *c); /* so far: a failure is certain, not only likely */
bool redis_only_paused(const struct redis_call *c);	/* so far: nothing but the pause to take back */

#endif
