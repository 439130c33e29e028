/* types.h - the plain types that every room shares: time, errors, nodes, roles, the heartbeat's message and the
 * arbiter's entry. Nothing here does I/O or allocates; hactl/core and hactl/wire include this and nothing else.
 *
 * Units: every us_t is microseconds. A moment (…_at, now, until) is on this node's own CLOCK_BOOTTIME unless its
 * comment says otherwise; moments of different nodes are never compared. A span (…_us, timeout) is a length.
 */
#ifndef HACTL_BASE_TYPES_H
#define HACTL_BASE_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef int64_t us_t;

#define US_PER_MS  ((us_t)1000)
#define US_PER_SEC ((us_t)1000000)
#define US_NEVER   INT64_MAX /* a moment that does not come */
#define US_UNKNOWN (-1)	     /* a span nobody has measured; printed as null, never as 0 */

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

enum {
	NODES = 2,	   /* a pair: indexes 0 and 1 in the order of `nodes` in the configuration */
	NOBODY = -1,	   /* no node */
	NAME_MAX_LEN = 64, /* a node's, probe's or cluster's name, with its NUL */
	GTID_MAX = 1024,   /* a replication position as the server prints it, with its NUL; longer ones are hashed */
	SENTENCE_MAX = 256 /* a sentence for a person, with its NUL */
};

/* An error is a return of -1 and a sentence a person can act on. On success the struct is untouched. */
struct err {
	char text[512];
};
/* Fills e (which may be NULL) and returns -1, so that `return err_set(...)` reads well. */
int err_set(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Where a node stands; CONTRACT's `role`. The core owns it. */
enum role {
	ROLE_STARTING,	 /* booted, has not yet learned who is primary */
	ROLE_STANDBY,	 /* follows, or waits to be told whom */
	ROLE_PROMOTING,	 /* holds authority; its databases are being opened; no address yet */
	ROLE_PRIMARY,	 /* holds authority and answers for the virtual IP */
	ROLE_DEMOTING,	 /* has given authority up or lost it; withdrawing and freezing */
	ROLE_QUARANTINED, /* holds rows the primary lacks; must not follow before a person or the reseed decides */
	ROLE_COUNT
};
extern const char *const role_names[ROLE_COUNT];

/* --- what one node tells the other -------------------------------------------------------------------------- */

enum msg_kind {
	MSG_BEAT,     /* "I am here": status only, asks nothing */
	MSG_RENEW,    /* a primary (or one that resumes its term) asks for a promise; the answer is MSG_PROMISE */
	MSG_PROMISE,  /* the promise: no takeover for W from the moment the request was received */
	MSG_HIGHER,   /* refusal: the sender knows `term`, which is newer or spent */
	MSG_RELEASED, /* the sender has stopped being primary of `term`, its databases are read-only or dead */
	MSG_CLAIM,    /* asks for the other's vote in `term` (the arbiter is away) */
	MSG_VOTE,     /* the vote */
	MSG_KIND_COUNT
};
extern const char *const msg_kind_names[MSG_KIND_COUNT];

enum msg_flag {
	FLAG_READY = 1 << 0,	   /* could be promoted now, as far as its own data and servers say */
	FLAG_WRITABLE = 1 << 1,	   /* its database accepts writes */
	FLAG_REPLICATING = 1 << 2, /* its database is configured as a replica */
	FLAG_PAUSED = 1 << 3,	   /* it has stored that automatic role changes are paused */
	FLAG_FOLLOWING = 1 << 4,   /* its database replicates from the other node without error */
	FLAG_ILL = 1 << 5,	   /* a service that decides (database, on_failure = "failover") is confirmed dead here */
	FLAG_STOPPING = 1 << 6,	   /* its supervisor is being stopped */
	FLAG_SYNC_OK = 1 << 7,	   /* MSG_RELEASED: the receiver is known to hold every acknowledged write */
	FLAG_WANT = 1 << 8,	   /* asks the primary for a switchover to itself (`switchover --to` typed on the standby) */
	FLAG_WANT_PAUSE = 1 << 9,  /* pause was typed on the sender and the primary has not stored it yet */
	FLAG_WANT_RESUME = 1 << 10, /* resume was typed on the sender and is not done yet */
	FLAG_UNSEEN = 1 << 11,	   /* it has not observed its servers yet: what it does not say of them is unknown, not false */
};

/* The sections of the configuration file that both nodes must agree on, each with a digest of its own, so that a node can
 * name what differs. A number is never reused; MSG_SECTIONS leaves room for later ones. */
enum conf_section {
	SECTION_NODES,
	SECTION_HEARTBEAT,
	SECTION_AUTHORITY,
	SECTION_VIPS,
	SECTION_MYSQL,
	SECTION_REDIS,
	SECTION_PROBES,
	SECTION_UPSTREAMS,
	SECTION_COUNT
};
enum { MSG_SECTIONS = 12 };
extern const char *const conf_section_names[SECTION_COUNT]; /* as written in the file */

/* One heartbeat packet's content. Kind and term mean what section 2 of the design says; the rest is status that
 * every kind carries. wire/ turns it into bytes; core/ reads it. */
struct msg {
	uint8_t kind;	      /* enum msg_kind */
	int8_t from;	      /* sender: 0 or 1 */
	uint8_t role;	      /* sender's enum role */
	int8_t primary;	      /* who the sender believes is primary; NOBODY when it does not know */
	uint16_t flags;	      /* enum msg_flag, or-ed */
	uint64_t term;	      /* sender's term */
	uint64_t incarnation; /* random, new at each start of the sender's supervisor, never 0 */
	uint64_t counter;     /* rises by one with every packet of an incarnation, from 1 */
	uint64_t echo_incarnation; /* newest incarnation and counter the sender accepted from the receiver; 0 none. */
	uint64_t echo_counter;	   /*   proves freshness of a new incarnation and gives the round-trip time */
	uint64_t nonce;		   /* RENEW, CLAIM: the request's number. PROMISE, VOTE: the request being answered */
	uint64_t for_incarnation;  /* PROMISE, VOTE: the incarnation that asked. RENEW without a register: the receiver is in sync
				      (record sync_term, sync_seq) as of its answer to the request of this number; 0 no such word.
				      0 otherwise */
	uint64_t boot;		   /* hash of the sender's kernel boot id */
	int64_t db_start;	   /* opaque: changes whenever the sender's database server was restarted; 0 unknown */
	uint64_t sync_term, sync_seq; /* in-sync record the sender has stored last as false (standby), or asks to be
					 stored as false (primary); 0, 0 none */
	uint64_t config;	      /* digest of the configuration both nodes must share */
	uint64_t redis_offset;	      /* replication offset of the sender's Redis; 0 unknown */
	char note[SENTENCE_MAX];      /* why the sender refuses or waits, for the other side's operator; "" nothing */
	char gtid[GTID_MAX];	      /* executed position of the sender's database, as it prints it; "" unknown */
	uint32_t section[MSG_SECTIONS]; /* digest of each enum conf_section; 0 unknown (a sender of wire version 1.0) */
	uint64_t hold_us;	      /* primary: for so long another automatic failover is held; 0 it is not */
	/* of the heartbeat path this copy travels on: the newest counter that came over it, and how long ago; 0, 0 none */
	uint64_t path_echo, path_held_us;
};

/* --- what the arbiter keeps ------------------------------------------------------------------------------------ */

enum reg_mode { REG_PEER, REG_SOLO }; /* peer: the other's promise carries the primary; solo: this entry does */

/* "The standby holds every acknowledged write": true only for exactly this standby, boot, server start and term. */
struct sync_record {
	bool in_sync;
	int8_t standby;	  /* node the record speaks of, NOBODY when false */
	uint64_t boot;	  /* that node's boot (struct msg.boot) */
	int64_t db_start; /* that node's database server (struct msg.db_start) */
	uint64_t seq;	  /* rises within a term with every change of in_sync; the standby voids records up to one */
};

/* The single value in the register, changed only by compare-and-swap on its revision. */
struct reg_value {
	int8_t holder;	/* node that holds the term */
	uint8_t mode;	/* enum reg_mode */
	uint64_t term;
	uint64_t nonce; /* the attempt's own number: an ambiguous answer is settled by reading it back */
	struct sync_record sync;
};

enum reg_outcome {
	REG_OK,	    /* read: value is valid (or absent). swap: we won */
	REG_LOST,   /* swap: somebody else's revision stands; value and revision are what stands now */
	REG_UNKNOWN /* no answer in time, or an error: it may or may not have happened */
};

#endif
