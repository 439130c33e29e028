/* core.h - the decisions, pure. Who may be primary, when a step may run, what a late answer means.
 *
 * Event in, list of actions out: no I/O, no clock, no allocation. The shell (hactl/supervisor, or tests/sim) performs
 * the actions strictly in the order given and feeds what comes back as events. Rules: section 2 of the design; the
 * executable model is the reference for authority (lease.c), rows of roles.c for roles, plans.c for the order of steps.
 *
 * Time: `now` is the node's own monotonic clock in microseconds and never goes back between calls.
 * Promises to the shell: an action list never names an effect of a term before the ACT_PERSIST that stores the term;
 * every ACT_STEP gets exactly one EV_STEP with its serial (or none after ACT_STEP_CANCEL), and before it any number that say
 * STEP_MORE; unknown serials are ignored.
 * Duties of the shell: if ACT_PERSIST fails, perform nothing more of that list and feed EV_DISK_FAILED as the very next
 * event, before any that is queued already (the core takes back what the list would have stored); before an effect
 * of a step whose `authority_until` is set read the clock again, and when it has passed report STEP_FAILED instead.
 */
#ifndef HACTL_CORE_CORE_H
#define HACTL_CORE_CORE_H

#include "hactl/base/types.h"

/* --- what it is told once ---------------------------------------------------------------------------------------- */

enum core_mode { CORE_ARBITER, CORE_MANUAL, CORE_REFERENCE, CORE_FENCE };

struct core_conf {
	int me;			/* 0 or 1 */
	int prefer;		/* node marked `prefer`, or NOBODY */
	char name[NODES][NAME_MAX_LEN];
	enum core_mode mode;
	us_t lease;		/* D */
	us_t interval;		/* between heartbeats */
	us_t arbiter_timeout;	/* an attempt at the register is UNKNOWN after this */
	us_t witness_timeout;	/* CORE_REFERENCE: an ACT_WITNESS is answered by then, or counts as not reached */
	us_t fence_timeout;	/* CORE_FENCE: for STEP_FENCE, the confirmation included */
	us_t fence_delay;	/* CORE_FENCE: the node that is not preferred (without `prefer`: the second) waits so long before it fences, so
				   that two do not fence each other. The same number on both nodes: core_alone_us rests on it */
	bool has_mysql, has_redis, has_vip, has_upstreams, has_hooks;
	bool lossless;		/* semi_sync is auto or required, and MySQL is configured: the in-sync record gates */
	bool required;		/* semi_sync is required: semi-sync is on whenever this node takes writes, so that while the standby is away
				   commits wait; with lossless only */
	us_t max_freeze;	/* a switchover that holds writes longer is undone */
	us_t flap_window;	/* at most one automatic failover within it; 0 off */
};

/* D·(1+rho)/(1-rho)+eps: how long a promise binds the promiser (rho 5 %, eps 20 ms) */
us_t core_promise_us(us_t lease);
/* Without a register (CORE_REFERENCE, CORE_FENCE; lossless) the standby believes for core_word_us that it is in sync, from when it
 * sent the packet that the primary's word answers; a primary that lost its standby goes on alone core_alone_us after it gave
 * that word last, unless the standby itself says sooner that it has dropped it: so long may commits wait. 0 in other modes. */
us_t core_word_us(const struct core_conf *conf);
us_t core_alone_us(const struct core_conf *conf);

/* What must survive a power cut. The shell stores it whole (file_replace) before it goes on. Zeroed = first start. */
struct core_disk {
	uint64_t term;
	int8_t voted;		/* who got this node's vote in term; NOBODY none */
	int8_t owner;		/* last known primary; NOBODY after a release */
	uint64_t other_term;	/* highest term the other node may have held: a record or a claim from before it says nothing */
	uint64_t released;	/* highest term this node has released by its word; it never holds it again */
	uint64_t void_term, void_seq; /* in-sync records of void_term up to void_seq are void */
	uint64_t held;		/* highest term this node has won; `term` alone may be a vote spent in vain */
	uint64_t served;	/* highest term in which this node opened its gate: it had executed everything then */
	int64_t bound_db;	/* the term on disk was won on what this database server (its start) had received, and is not
				   served yet: without that server's memory the data are not complete. 0 no such bond */
	uint64_t bound_prev;	/* with bound_db: the other's term before; its data stand as they stood then */
	uint64_t alone;		/* CORE_REFERENCE, CORE_FENCE: in this term of ours the other has not been told that it is in sync, or no longer
				   believes it: it cannot have taken over by itself */
	uint64_t held_boot;	/* this host's boot (struct msg.boot) when the term was won or confirmed: a node that was fenced boots anew */
	uint64_t sync_floor;	/* sequences of in-sync records up to here were set aside for this or earlier starts */
	bool paused;
	bool flap;		/* the window after an automatic failover runs. No clock survives a power cut, so a start that finds
				   it counts a full window from then on: longer than needed, never shorter */
	bool pause_mine;	/* asked for here and not yet taken over by the primary */
	char pause_reason[SENTENCE_MAX];
};

/* --- what it is told while it runs --------------------------------------------------------------------------------- */

/* This node's servers as last observed. The shell sends it on every change, and at least once a second. */
struct core_facts {
	bool known;	   /* false: nothing observed yet; the rest is then meaningless */
	bool writable;	   /* a local database accepts writes */
	bool replicating;  /* a local database is configured as a replica (running or not) */
	bool following;	   /* every local database replicates from the other node without error */
	bool frozen;	   /* every local database is read-only or confirmed dead */
	bool shut;	   /* some local database is up and takes no writes (read-only, or a replica): news on a primary */
	bool ready;	   /* servers and data here allow promotion (lag, errors, delay: `why` says what not). The in-sync
			      record is not part of it; the core adds that gate itself */
	bool ill;	   /* a deciding service is confirmed dead here (`why`) */
	bool diverged;	   /* holds transactions that the present primary lacks (`why`) */
	bool mysql_writable; /* MySQL itself is up and accepts writes: with semi_on false nothing protects what it acknowledges */
	bool semi_on;	   /* the semi-sync source side is enabled here */
	bool standby_streams; /* primary: the other node's replica is connected and has received up to now (semi-sync can go on) */
	bool standby_lost; /* primary: the replica's stream is known to be broken (connection count 0, error) */
	bool crowded;	   /* conf.required: so many commits wait that the server may soon have no connection left for the standby */
	bool address_held; /* the virtual IP is on this host */
	int64_t db_start;  /* as struct msg.db_start */
	uint64_t boot;	   /* as struct msg.boot */
	uint64_t config;   /* as struct msg.config; set from the first facts on, also while known is false */
	uint32_t section[MSG_SECTIONS]; /* as struct msg.section */
	uint64_t redis_offset;
	char gtid[GTID_MAX];
	char why[SENTENCE_MAX]; /* one sentence for not ready, ill or diverged */
};

enum core_command_kind {
	CMD_SWITCHOVER, /* to `to` (NOBODY: the other of the present primary) */
	CMD_FAILOVER,	/* --force: this node (or `to`) takes over without the other's consent; skips gates on data only */
	CMD_PAUSE,
	CMD_RESUME,
	CMD_STOP,	/* supervisor is being stopped: hand over first, then ACT_STOPPED */
	CMD_REJOIN,	/* quarantined: follow again (the shell has dealt with the divergent rows) */
	CMD_COUNT
};

struct core_command {
	enum core_command_kind kind;
	uint32_t id;	    /* echoed in ACT_PROGRESS and ACT_DONE; 0 wants no answer */
	int8_t to;
	us_t timeout;	    /* for the whole command */
	char reason[SENTENCE_MAX];
};

enum step_outcome {
	STEP_OK,
	STEP_FAILED,
	STEP_UNKNOWN, /* deadline passed: it may still happen */
	STEP_MORE     /* EV_STEP alone, and not its answer: the step is under way and something moves. Its time counts anew */
};

enum core_event_kind { EV_TICK, EV_MSG, EV_REGISTER, EV_WITNESS, EV_STEP, EV_FACTS, EV_COMMAND, EV_DISK_FAILED, EV_COUNT };

/* What a node without an arbiter asks of the world around it (CORE_REFERENCE). */
enum witness_kind {
	WITNESS_REACH, /* does a reference address answer this node? asked by a primary, to be confirmed */
	WITNESS_CLEAR  /* the same, and does nothing show the other node in service? asked by a standby before it takes over: the
			  virtual IP's own ARP or ND answer, an open database port of the other's, a replication stream that advances */
};

struct core_event {
	enum core_event_kind kind;
	union {
		const struct msg *msg; /* authentic and fresh (wire/ has seen to it); late, doubled, reordered allowed */
		struct {
			uint32_t id;	/* of the ACT_REG_… it answers */
			enum reg_outcome outcome;
			int64_t rev;	/* revision of value; 0 = the key does not exist (value is then meaningless) */
			struct reg_value value;
		} reg;
		struct {
			uint32_t id;	  /* of the ACT_WITNESS it answers: nothing sent before that was asked counts */
			bool reached;	  /* a reference address answered */
			bool veto;	  /* something shows the other node in service (text says what) */
			const char *text; /* may be "" */
		} witness;
		struct {
			uint32_t serial;
			enum step_outcome outcome;
			us_t took_us;
			const char *text; /* detail or failure sentence; may be "" */
		} step;
		const struct core_facts *facts;
		struct core_command command;
	};
};

/* --- what it asks for ------------------------------------------------------------------------------------------------ */

/* Steps of plans. What each has to bring about (idempotent, verified by reading back): */
enum step_kind {
	STEP_FENCE,	     /* the other node is confirmed off (CORE_FENCE only): OK on confirmation alone, never on hope. Carries no authority:
				it is what gives it */
	STEP_MYSQL_PROMOTE,  /* everything received is applied, replication off, writes open, source side of semi-sync off. conf.required: on
				before writes are open, whether a standby is there or not; commits that wait already go on waiting */
	STEP_MYSQL_VERIFY,   /* writes are open and no replica is configured */
	STEP_REDIS_PROMOTE,  /* role:master, min-replicas-to-write 0 */
	STEP_REDIS_VERIFY,
	STEP_ADDRESS_ADD,    /* on the interface, read back. The gate is still shut */
	STEP_GATE_OPEN,	     /* kernel element alive until authority_until (renewed by ACT_GATE afterwards) */
	STEP_ANNOUNCE,	     /* first ARP/ND announcement sent, the later ones scheduled */
	STEP_UPSTREAMS,	     /* weights rewritten for this role; never delays or fails a plan */
	STEP_HOOKS,	     /* on_primary / on_standby started; never delays or fails a plan */
	STEP_ADDRESS_DEL,    /* not on this host, announcements stopped */
	STEP_PRECHECK,	     /* switchover: lag near nothing, the way back works (the other side's credentials and state) */
	STEP_MYSQL_FREEZE,   /* planned: read-only, bounded on the server; refused cleanly when it cannot be had */
	STEP_MYSQL_UNFREEZE, /* undo */
	STEP_MYSQL_REACH,    /* the other node's database has executed this one's frozen position */
	STEP_REDIS_HANDOVER, /* planned: the other's Redis is master with everything, ours follows */
	STEP_REDIS_RECLAIM,  /* undo: ours is master again, the other's follows */
	STEP_MYSQL_DEMOTE,   /* unplanned, live: freeze started, sessions ended, semi-sync off, freeze awaited; dead is fine */
	STEP_REDIS_DEMOTE,   /* unplanned, live: no more writes, clients ended; dead is fine */
	STEP_MYSQL_FOLLOW,   /* replicates from the other node, unless diverged: then STEP_FAILED with "diverged: …" */
	STEP_REDIS_FOLLOW,
	STEP_SYNC_ON,	     /* semi-sync source side on and the standby has confirmed a position from after that */
	STEP_SYNC_OFF,	     /* semi-sync source side off: waiting commits return */
	STEP_KIND_COUNT
};
extern const char *const step_names[STEP_KIND_COUNT]; /* as printed in timelines: "mysql promote", "address add", … */

enum core_action_kind {
	ACT_PERSIST,	 /* disk */
	ACT_SEND,	 /* msg: kind, term, nonce, for_incarnation, flags, sync_* and note are filled in by the core; wire
			    session fields (incarnation, counter, echo) by the shell at the moment of sending */
	ACT_REG_READ,	 /* id */
	ACT_REG_CAS,	 /* id, rev (0: create), value */
	ACT_WITNESS,	 /* id, witness, timeout_us: exactly one EV_WITNESS with that id */
	ACT_GATE,	 /* until: the kernel gate stays open up to then; a moment not after now shuts it at once */
	ACT_STEP,	 /* serial, step, timeout_us, authority_until */
	ACT_STEP_CANCEL, /* serial: its outcome no longer matters; stop it when possible */
	ACT_ROLE,	 /* from, to, text (why): for log, journal, status */
	ACT_NOTE,	 /* level (enum log_level's number), text: for log and journal */
	ACT_PROGRESS,	 /* command, step, took_us, outcome, text */
	ACT_DONE,	 /* command, outcome, text: the command's end */
	ACT_STOPPED,	 /* after CMD_STOP: the process may end now */
	ACT_COUNT
};

struct core_action {
	enum core_action_kind kind;
	uint32_t id;	       /* REG, WITNESS: attempt. PROGRESS, DONE: command id */
	enum witness_kind witness;
	uint32_t serial;       /* STEP, STEP_CANCEL */
	enum step_kind step;   /* STEP, PROGRESS */
	enum step_outcome outcome; /* PROGRESS, DONE */
	us_t timeout_us;       /* STEP: the shell's deadline for it */
	us_t until;	       /* GATE; STEP: authority_until, US_NEVER when it needs no authority */
	int64_t db_start;      /* STEP_MYSQL_PROMOTE, STEP_MYSQL_UNFREEZE: fail, touching nothing, when the server's start is
				  another one (what it had received, or semi-sync, may be gone with the restart); 0 any */
	bool released;	       /* STEP_MYSQL_PROMOTE: the term was won by the other's word, so its databases are shut and nothing more
				  arrives: replication may be ended behind the promotion */
	us_t took_us;
	int64_t rev;
	enum role from, to;
	int level;
	struct reg_value value;
	struct msg msg;
	struct core_disk disk;
	char text[SENTENCE_MAX];
};

enum { CORE_MAX_ACTIONS = 32, CORE_MAX_BLOCKERS = 12, CORE_MAX_STEPS = 24 };

struct core_out {
	struct core_action act[CORE_MAX_ACTIONS];
	size_t n;
};

/* --- calls --------------------------------------------------------------------------------------------------------------- */

struct core; /* size by core_size; the caller owns the memory */
size_t core_size(void);
/* disk: as found; incarnation: this start's random number (struct msg.incarnation), never 0. */
void core_init(struct core *c, const struct core_conf *conf, const struct core_disk *disk, uint64_t incarnation, us_t now);
/* One event in; actions appended to out (cleared first). */
void core_handle(struct core *c, const struct core_event *ev, us_t now, struct core_out *out);
/* When EV_TICK is wanted at the latest. */
us_t core_wake(const struct core *c);

/* --- what people ask about it ------------------------------------------------------------------------------------------- */

enum { FROM_PEER = 1, FROM_ARBITER = 2, FROM_REFERENCE = 4, FROM_SELF = 8 };

struct core_view {
	enum role role;
	uint64_t term;
	int primary;		/* NOBODY unknown */
	bool paused, peer_paused;
	bool pause_holds;	/* authority held, paused, and the standby has confirmed that it stored it: lost votes take nothing */
	char pause_reason[SENTENCE_MAX];
	bool held;		/* authority, as of now */
	us_t remaining_us;	/* 0 when not held */
	unsigned from;		/* FROM_… or-ed */
	enum { ARB_NONE, ARB_UP, ARB_DOWN } arbiter;
	enum { PEER_UNKNOWN, PEER_ALIVE, PEER_SILENT } peer;
	us_t peer_silent_us;	/* US_UNKNOWN before the first packet */
	enum role peer_role;
	bool peer_ready;
	bool in_sync;		/* the record, as this node knows it, holds for the present standby */
	us_t writes_wait_us;	/* conf.required, primary: the standby has been away for so long, and commits wait for it; 0 they do not */
	bool failover_ready;	/* a failover would happen now if the primary were lost */
	const char *plan;	/* "takeover", "switchover", "demotion", "follow" or NULL */
	enum step_kind step;	/* while plan is set */
	us_t step_since;
	/* last completed or failed role change */
	struct core_change {
		char kind[24];	/* "failover", "switchover", "first start", "resume", "demotion" */
		int from, to;	/* nodes, NOBODY unknown */
		bool ok;
		us_t started_at, total_us; /* local clock; total: to the end of the plan */
		char reason[SENTENCE_MAX];
		struct { enum step_kind step; us_t took_us; enum step_outcome outcome; } steps[CORE_MAX_STEPS];
		size_t n_steps;
	} change;
};
void core_look(const struct core *c, us_t now, struct core_view *v);
/* Sentences, each naming one thing that blocks an automatic failover now. Returns how many. */
size_t core_blockers(const struct core *c, us_t now, char out[CORE_MAX_BLOCKERS][SENTENCE_MAX]);

/* The role table, for the manual page, the test of its totality and `hactl` debug output. */
size_t core_role_events(void);
const char *core_role_event_name(size_t event);
const char *core_role_sentence(enum role r, size_t event); /* never NULL */
bool core_role_possible(enum role r, size_t event); /* false: the sentence says why it cannot happen */
/* How often this core went through that cell, up to 255: coverage for the simulation. */
unsigned core_role_reached(const struct core *c, enum role r, size_t event);
/* A plan's steps in order, for --dry-run. Returns the count; phases run one after the other, equal ones together. */
size_t core_plan_steps(const struct core_conf *conf, const char *plan, enum step_kind out[CORE_MAX_STEPS], int phase[CORE_MAX_STEPS]);

#endif
