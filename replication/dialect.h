/* dialect.h - what differs between MariaDB and the versions of MySQL: statements as text, one table. Inside the helper process. */
#ifndef REPLICATION_DIALECT_H
#define REPLICATION_DIALECT_H

#include "replication/sql.h"

enum stmt {
	ST_OBSERVE, /* one row: version, read_only, executed, applied, purged, db_start, replicas; then rows (name, value) of
			     semi-sync settings and counters */
	ST_REPLICA, /* a row a source, under the column names of MariaDB's SHOW ALL SLAVES STATUS, and `arrival`: changes with
			     everything that arrives from the source */
	ST_READ_ONLY, /* value: a number, enum writes */
	ST_POSITION,  /* value: executed position, fit for ST_WAIT on the other server */
	ST_EXECUTED,  /* value: everything this server ever executed, for comparing histories */
	ST_APPLIED,   /* value: what the applier has reached (MariaDB keeps it apart from ST_EXECUTED) */
	ST_PURGED,    /* value: what it can no longer send; "" when the dialect has no such word */
	ST_WAIT,      /* formats: position literal, seconds. Value "0": reached */
	ST_WAIT_FILE, /* formats: file literal, offset, seconds. Value not negative: reached. NULL: no such way */
	ST_START,     /* both threads */
	ST_STOP,      /* both threads; blocks for up to the net timeout when the source is dead */
	ST_START_APPLIER,
	ST_STOP_APPLIER, /* does not touch the source */
	ST_START_RECEIVER,
	ST_STOP_RECEIVER, /* blocks as ST_STOP */
	ST_FORGET,	  /* source configuration and relay logs away */
	ST_BEFORE_SOURCE, /* before ST_SOURCE: where to begin */
	ST_SOURCE,	  /* formats: host literal, port, user literal, password literal, TLS clause */
	ST_SOURCE_TLS,	  /* formats: CA file literal */
	ST_SOURCE_PLAIN,
	ST_NET_TIMEOUT, /* formats: seconds; how long a silent source is waited for */
	ST_FREEZE,	/* formats: tag. Takes the server's write lock; bounded by lock_wait_timeout */
	ST_UNFREEZE,
	ST_SESSIONS,   /* rows (id, user): client sessions that are neither ours nor replication's */
	ST_PENDING,    /* formats: tag. Rows (id): connections that execute a freeze of that tag */
	ST_OPEN,       /* formats: seconds. Rows (id, user, seconds): transactions that have written and wait for their client */
	ST_LOCKED,     /* rows (id, user): holders of LOCK TABLES; absent where nothing shows them */
	ST_BUSY,       /* formats: seconds. Rows (id, user, seconds, info): statements that may hold up a freeze */
	ST_EVENTS, /* rows (db, name, definer, status, charset, collation) */
	ST_EVENT_AWAY, /* the words of ALTER EVENT for "not here: this server is the replica" */
	ST_PRIVILEGED, /* rows (id, user): client sessions that read_only does not stop, as far as the account may know */
	ST_COUNT
};

struct dialect {
	const char *name;
	bool mariadb;
	unsigned long since; /* MAJOR * 10000 + MINOR * 100 + PATCH, as mysql_get_server_version has it */
	const char *text[ST_COUNT];
};

const struct dialect *dialect_find(bool mariadb, unsigned long version); /* NULL: too old */
const struct dialect *dialect_of(MYSQL *db, struct err *e);

/* The semi-sync plugins' words: MariaDB and MySQL's old plugin say master/slave, the new plugin source/replica. */
struct semi_words {
	const char *source, *replica;
};
/* Which pair this server has loaded, or NULL with e: how to load it. */
const struct semi_words *semi_words_of(MYSQL *db, struct err *e);

#endif
