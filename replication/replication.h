/* replication.h - MySQL, MariaDB and Redis: observe, promote, freeze, demote, follow.
 *
 * Knows nothing of roles or authority: it does what it is asked, verifies it by reading back, and reports. Asynchronous on the
 * loop; every call has a deadline of ours. MySQL runs in helper processes (base.h's sqlproc; dialect differences stand in one
 * table, dialect.c); Redis by hiredis. Sources: MySQL 8.0/8.4/9.x and MariaDB 10.11 manuals (replication), redis.io commands.
 */
#ifndef REPLICATION_REPLICATION_H
#define REPLICATION_REPLICATION_H

#include "hactl/base/base.h"

enum db_kind { DB_MYSQL /* MariaDB too */, DB_REDIS, DB_KIND_COUNT };

struct db_target {
	enum db_kind kind;
	struct sql_target at;	  /* also for Redis: host, port, user, password */
	char label[NAME_MAX_LEN]; /* "mysql on n1": for sentences */
	/* how this server's other half reaches it and the account to replicate with */
	char peer_host[64];
	int peer_port;
	char own_host[64];     /* the node's address, also when `at` names a socket */
	char binlog_tool[256]; /* MySQL: command that reads a server's binary log; "" the dialect's own */
	char repl_user[64], repl_password[256];
	bool repl_tls;
	char repl_ca_file[256];
	char peer_user[64], peer_password[256]; /* Redis: masterauth */
	us_t max_lag;
	bool semi_sync; /* auto or required: the semi-sync sides are ours to set */
	bool events;	/* MySQL: scheduled events are ours to switch with the role */
	bool semi_required; /* this server takes no writes without the source side */
};

enum db_life {
	DB_UNKNOWN, /* not yet observed */
	DB_UP,
	DB_DEAD,	/* confirmed: connection refused twice, or the server ended and refuses */
	DB_HUNG,	/* accepts connections but does not answer in time */
	DB_DENIED,	/* alive, but our account is refused or connections are used up */
	DB_UNREACHABLE, /* no route or no answer to connect: says nothing about the server */
	DB_LIFE_COUNT
};
extern const char *const db_life_names[DB_LIFE_COUNT];

struct db_facts {
	enum db_life life;
	us_t seen_at;		    /* of this observation */
	char trouble[SENTENCE_MAX]; /* "" when life is DB_UP and nothing is wrong; an error of replication stands in `error` alone */
	char version[64];
	bool mariadb;
	bool writable; /* MySQL: read_only off. Redis: role:master (and not paused) */
	bool replica;  /* a replication source is configured (running or not) */
	bool io_running, sql_running, connecting;
	char source_host[64];
	int source_port;
	bool from_peer;		  /* that source is peer_host:peer_port */
	char error[SENTENCE_MAX]; /* replication error of either thread, "" none */
	int applier_error;	  /* number of the error that stopped the applier; 0: it runs, or somebody stopped it */
	char applier_waits[64];	  /* the lock that the applier waits for, as the server calls it; "" none */
	us_t delay;		  /* configured delay */
	us_t lag;		  /* apply lag as the server knows it; US_UNKNOWN for NULL */
	us_t silence;		  /* since anything arrived from the source; US_UNKNOWN */
	int64_t unapplied;	  /* received, not executed: transactions; -1 unknown */
	char origin[40]; /* MySQL: the name this server's own transactions carry: server_uuid, MariaDB server_id; "" unknown */
	char executed[GTID_MAX], received[GTID_MAX], purged[GTID_MAX];
	bool semi_source_on, semi_replica_on;
	int semi_clients;  /* semi-sync replicas connected to this source */
	int semi_waiting;  /* commits that wait here for an acknowledgement */
	int connections, max_connections; /* taken, and how many there are; 0 unknown */
	us_t semi_stalled; /* for how long commits have waited here without one being acknowledged */
	int64_t db_start;  /* changes with every restart of the server; 0 unknown */
	char pid_file[108]; /* MySQL: as the server itself names it; "" unknown */
	uint64_t offset;   /* Redis: master_repl_offset / slave offset */
	bool link_up, sync_in_progress, loading, sentinel; /* Redis */
	int replicas;					   /* connected replicas */
};

enum db_op {
	OP_PROMOTE, /* idempotent: drain what was received (no loss), open writes, stop replicating afterwards. Source side of
		       semi-sync off; with semi_required on, before writes are open. MySQL: comes
		       back every second with DB_MORE or DB_WAITS while it drains; start it again until it is done. arg: the moment
		       (now_us) from which writes must not be opened any more, or NULL; with " released" behind it the source is
		       known to be shut, and its applier, too, is stopped afterwards */
	OP_VERIFY_PRIMARY, /* writable and no replica, with semi_required its source side on; read only */
	OP_FREEZE, /* planned, bounded on the server; refused cleanly: still writable. Sessions' open work may commit before. Result
		      text: MySQL's position as of then */
	OP_UNFREEZE,
	OP_POSITION, /* result text: executed position (MySQL GTID set / MariaDB gtid_binlog_pos; Redis offset) */
	OP_REACH,    /* arg: a position; waits until this server has executed it */
	OP_RECEIVE,  /* MySQL. arg: a position; waits until this replica has it: executed, or received and kept for the applier */
	OP_DEMOTE, /* live old primary: freeze started, clients ended, semi-sync source off, freeze awaited. Dead: fine */
	OP_FOLLOW,   /* replicate from peer_host unless diverged ("diverged: …"); read-only first; idempotent */
	OP_HANDOVER, /* Redis, on the master: FAILOVER to the peer, awaited, clients ended */
	OP_RECLAIM,  /* Redis, undo of HANDOVER: master again, peer follows */
	OP_SYNC_ON, /* semi-sync source on (fallback timer beyond reach, AFTER_SYNC), then position in the result text */
	OP_SYNC_OFF,
	OP_KILL_CLIENTS, /* end client sessions, ours and replication's excepted */
	OP_PRECHECK, /* planned change away from this server: no long statements or table locks in the way, the way back works; text says
			what will be cut short. MySQL: with an arg ("quiet") that is refused, too */
	OP_EXPORT, /* MySQL. arg: a folder. What this server holds and the peer lacks, into a new file there, proven whole. Text: JSON
		      {file, lacking, transactions, bytes}; file "" when there is nothing */
	OP_CLONE, /* MySQL's, not MariaDB's: this server's data are replaced by the peer's. OK: the server ends now and is to be started.
		     DB_FAILED: nothing was touched, unless the text holds CLONE_TOUCHED */
	OP_CLONED, /* did that clone end well? */
	OP_EVENTS, /* MySQL. Text: JSON of the scheduled events' states here, {"db.name": "ENABLED" | "DISABLED" | "SLAVESIDE_DISABLED"} */
	OP_EVENTS_ON, /* MySQL, on the new primary. arg: such a JSON, the states on the primary before; "" nobody knows them. Events that
			 came by replication get those, definers kept, not in the binary log. Text: what was done, "" nothing */
	OP_EVENTS_OFF, /* MySQL, before it stops being primary: events are disabled as on a replica. Never fails for an event's sake */
	OP_COUNT
};
#define CLONE_TOUCHED "this server's own data may be gone"
extern const char *const db_op_names[OP_COUNT];

enum db_outcome {
	DB_OK,
	DB_FAILED,
	DB_TIMED_OUT, /* may still happen on the server */
	DB_MORE,      /* OP_PROMOTE: not done yet; text says what is left */
	DB_WAITS      /* the same, and nothing has moved meanwhile */
};
typedef void db_done_fn(void *arg, enum db_outcome outcome, us_t took_us, const char *text);

struct db;
/* observed: after every observation, and at once when the server ends. */
typedef void db_observed_fn(void *arg, const struct db_facts *f);
struct db *db_new(
	struct loop *l, const struct db_target *t, us_t interval, db_observed_fn *observed, void *arg, struct err *e);
void db_free(struct db *d);
const struct db_facts *db_look(const struct db *d);
void db_hurry(struct db *d);		       /* observe now */
void db_interval(struct db *d, us_t interval); /* faster under suspicion */
/* Starts op; several may be under way on one server (observation never waits behind them). done exactly once unless cancelled.
 * arg_text: OP_REACH's and OP_RECEIVE's position, OP_EXPORT's folder, OP_PROMOTE's end of authority, OP_PRECHECK's "quiet" or NULL, else
 * NULL. Returns a handle for db_cancel, or NULL with e. */
struct db_call;
struct db_call *db_start(
	struct db *d, enum db_op op, const char *arg_text, us_t timeout, db_done_fn *done, void *arg, struct err *e);
void db_cancel(struct db_call *c);

/* MySQL: is everything in `have` contained in `of`? Pure; MySQL GTID sets or MariaDB positions by dialect. -1: not understood. */
int gtid_contains(bool mariadb, const char *of, const char *have);
/* MySQL: does `theirs` hold transactions that `origin` wrote and `own` lacks? What a server lost that wrote them, and might number a second
 * time. -1: not understood. */
int gtid_lost(bool mariadb, const char *own, const char *theirs, const char *origin);
/* Transactions in `of` that `have` lacks; -1 unknown. */
int64_t gtid_missing(bool mariadb, const char *of, const char *have);
/* Transactions in `of` that a replica has neither executed nor received; -1 unknown. MySQL's set of what was received begins with the
 * replica's configuration and is no history. */
int64_t gtid_unreceived(bool mariadb, const char *of, const char *executed, const char *received);

/* For `hactl doctor`: everything about a server that its judgment needs, read and never changed. MySQL: the helper's routines "examine"
 * (as hactl's account), "examine_admin" (as the server's administrator), "examine_self" (any account); see sql_doctor.c. Redis:
 * redis_examine, whose fn is called exactly once, from the loop: doc (JSON text, valid during the call), or NULL with life and text:
 * {"info": {}, "config": {}, "denied": [{"command", "error"}], "sentinel": count, "trouble": {}}. See redis_doctor.c. */
typedef void redis_examined_fn(void *arg, const char *doc, enum db_life life, const char *text);
int redis_examine(struct loop *l, const struct sql_target *t, us_t timeout, redis_examined_fn *fn, void *arg, struct err *e);

extern const struct sql_routine replication_sql_routines[]; /* ends with a NULL name; for sqlproc_main */

#endif
