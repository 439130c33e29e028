/* redis_conn.h - inside the room: one hiredis connection on the loop, its loss explained; INFO read. */
#ifndef REPLICATION_REDIS_CONN_H
#define REPLICATION_REDIS_CONN_H

#include "replication/db.h"

#include <hiredis/async.h>
#include <hiredis/hiredis.h>

/* why: DB_DEAD refused, DB_DENIED, DB_UNREACHABLE; DB_UNKNOWN: an established connection ended, a new one tells more. */
typedef void redis_lost_fn(void *arg, enum db_life why, const char *text);

struct redis_conn {
	redisAsyncContext *ac; /* NULL: closed */
	bool connected;	       /* the kernel of the other side has answered */
	redis_lost_fn *lost;   /* once a connection, never from redis_conn_open or redis_conn_close */
	void *arg;
};

/* Begins to connect and queues AUTH. -1: failed at once, with why and text (512) filled. */
int redis_conn_open(struct redis_conn *c, struct loop *l, const struct sql_target *t, redis_lost_fn *lost, void *arg,
	enum db_life *why, char text[512]);
void redis_conn_close(struct redis_conn *c);
/* fn gets a reply that is never NULL; lost connections are told by `lost` only. */
typedef void redis_reply_fn(void *arg, const redisReply *r);
void redis_conn_send(struct redis_conn *c, redis_reply_fn *fn, void *arg, const char *fmt, ...);

bool redis_denied(const char *error); /* NOAUTH, WRONGPASS, NOPERM, connections used up */

struct redis_info {
	bool master, loading, link_up, sync_in_progress, replica_read_only;
	char version[32], run_id[48], master_host[64];
	int master_port, replicas;
	int64_t silent_s; /* since anything came from the master; -1 unknown */
	uint64_t offset;  /* as far as this server's data goes in the replication stream */
};
/* text: INFO's answer. Pure. -1: it has no role. */
int redis_info_parse(const char *text, struct redis_info *out);
/* PUBSUB NUMSUB __sentinel__:hello */
bool redis_sentinel_seen(const redisReply *r);

#endif
