/* inside.h - what the files of this room share. Nobody else includes it.
 *
 * core.c     dispatch, the order of evaluation, wake, outgoing messages
 * lease.c    authority: what is held, stored, given up and taken (the rules of the executable model)
 * message.c  promises, refusals, votes, released words: what the nodes say to each other
 * claim.c    a term by the other's explicit vote
 * aside.c    a restarted owner that cannot go on gives its term away
 * gates.c    who may bid: first start, health, whose data may become the primary's
 * register.c attempts at the arbiter's register: renewals, bids, resumes, pre-reads, ambiguous answers
 * alone.c    without a third vote: on what ground a node may take a term by its own decision, since when; fencing
 * witness.c  questions to the world around: a primary's confirmation by a reference address, the standby's takeover
 * word.c     the in-sync record without a register: the primary's word, believed for a span
 * roles.c    the table role x event and its handlers
 * plans.c    steps of plans and the driver
 * sync.c     the in-sync record
 * command.c  what operators ask for, pause
 * say.c      what people ask about it
 */
#ifndef HACTL_CORE_INSIDE_H
#define HACTL_CORE_INSIDE_H

#include "hactl/core/core.h"

#include <stdio.h>
#include <string.h>

/* --- safety rules that the simulation can take away, to see that it would notice. Never in a product build ---------- */
struct core_rules {
	bool no_term_check;	/* packets of an older term are believed */
	bool lease_from_answer; /* the lease counts from the answer instead of the request */
	bool half_promise;	/* a promise binds for half of what the lease needs */
	bool boot_bid;		/* bids at once after a restart */
	bool vote_after_bid;	/* the bidder's own vote is stored after the register answered */
	bool solo_unwatched;	/* a solo key is taken without having been watched */
	bool mode_drop;		/* solo to peer on an old confirmation, the solo lease kept */
	bool gate_early;	/* the gate opens before the promotion is verified */
	bool keep_sync;		/* a takeover leaves the record true */
	bool sync_off_first;	/* semi-sync goes off before the record is false */
	bool config_blind;	/* takes over from a node that runs with another configuration */
	bool flap_blind;	/* takes over again within the window */
	bool veto_blind;	/* takes over though something shows the other in service */
	bool witness_late;	/* a reference address's lease counts from its answer */
	bool fence_hope;	/* takes over when the fence command failed or never answered */
	bool word_for_ever;	/* believes to be in sync for longer than the primary's word lasts */
	bool alone_required;	/* goes on without the standby though both nodes are required */
	bool aside_open;	/* a restarted owner gives its word before its gate is shut */
	bool bare_required;	/* lets writes through though semi-sync, which is required, was found off */
};
#ifdef CORE_BROKEN
extern struct core_rules core_broken;
#else
static const struct core_rules core_broken = { 0 };
#endif

/* --- roles ------------------------------------------------------------------------------------------------------------ */

enum role_event {
	RE_WON,		 /* a new term is ours, by the register, a vote or the operator */
	RE_RESUMED,	 /* the term on our disk was confirmed again */
	RE_LOST,	 /* the lease ran out */
	RE_HIGHER,	 /* the other node is primary in a higher term */
	RE_PEER_PRIMARY, /* the other node asked for our promise and has it */
	RE_WAITED,	 /* a promise time has passed since the start */
	RE_ILL,		 /* this primary gives up by its own evidence, the other can take over */
	RE_GAVE,	 /* a planned change reached the word of release */
	RE_WITHDRAW,	 /* the supervisor ends and nobody can take over */
	RE_REOPEN,	 /* primary, but a database was found shut or restarted */
	RE_STRAY,	 /* not primary, but a database was found writable or the address here */
	RE_PLAN_OK,	 /* the plan of this role has brought about what matters */
	RE_PLAN_FAILED,	 /* it has not */
	RE_DIVERGED,	 /* rows here that the primary lacks */
	RE_REJOIN,	 /* the divergence is dealt with */
	ROLE_EVENT_COUNT
};

/* --- plans ------------------------------------------------------------------------------------------------------------ */

enum plan_id { PLAN_NONE, PLAN_FENCE, PLAN_TAKEOVER, PLAN_DEMOTION, PLAN_SWITCHOVER, PLAN_UNDO, PLAN_FOLLOW, PLAN_COUNT };
enum { NO_STEP = -1, MAX_UNDO = 2 };

struct step_def {
	const char *name; /* as printed */
	int phase;	  /* phases run one after the other, equal ones together */
	enum step_kind action;
	us_t timeout;
	int undo[MAX_UNDO];   /* steps that take it back, in order; NO_STEP none */
	bool needs_authority; /* only under an unexpired lease */
	bool tail;	      /* never delays or fails the plan: what matters is done before it */
};

struct run_step {
	const struct step_def *def;
	enum { TODO, RUNNING, ENDED } state;
	enum step_outcome outcome;
	uint32_t serial;
	us_t first_at, at, until;
	us_t moved; /* the shell said so last: its time counts from then */
};

struct run {
	enum plan_id id;
	unsigned gen; /* rises whenever a plan starts or is cancelled */
	bool served;  /* what matters is done; the tail is running */
	us_t started;
	size_t n;
	struct run_step step[CORE_MAX_STEPS];
	char text[SENTENCE_MAX]; /* first failure */
};

/* --- the register ----------------------------------------------------------------------------------------------------- */

enum try_kind { TRY_READ, TRY_SWAP, TRY_BID, TRY_RESUME };

struct attempt {
	uint32_t id; /* 0: none */
	enum try_kind kind;
	us_t sent;
	int64_t rev;
	struct reg_value value;
};

enum { PAST_TRIES = 4, NONCES = 64 };

/* --- without a third vote ----------------------------------------------------------------------------------------------- */

/* On what ground a node takes a term by its own decision. */
enum ground {
	GROUND_NONE,
	GROUND_OWN,    /* nobody can have taken over from it */
	GROUND_WORD,   /* the other has released its term and does not answer any more */
	GROUND_FORCE,  /* the operator's */
	GROUND_SILENCE /* the other was primary and has not been heard for a promise time */
};

struct asked {
	uint32_t id; /* 0: none */
	enum witness_kind kind;
	enum ground ground; /* GROUND_NONE: to go on holding */
	uint64_t term;
	us_t at;
};

/* An answer of ours to a request: what this node was when it sent it. */
struct given {
	uint64_t incarnation, nonce;
	us_t at;
	uint64_t boot;
	int64_t db_start;
};

/* "This node is in sync", by the primary's word. */
struct word_of_sync {
	uint64_t term, seq;
	us_t until;
	uint64_t boot;
	int64_t db_start;
};

/* --- in-sync ------------------------------------------------------------------------------------------------------------ */

enum sync_state {
	SYNC_NONE,     /* record false, semi-sync not wanted yet */
	SYNC_ENABLING, /* STEP_SYNC_ON under way */
	SYNC_PROVING,  /* it is on; waiting for facts that show it */
	SYNC_WRITING,  /* the record is being written */
	SYNC_IN,       /* record true */
	SYNC_DROPPING, /* the record has to become false before anything else */
	SYNC_DISABLING /* STEP_SYNC_OFF under way */
};

/* --- commands ----------------------------------------------------------------------------------------------------------- */

enum command_stage { STAGE_NONE, STAGE_RUNNING, STAGE_WAIT_PEER /* released: the other must be seen primary */ };

struct command {
	enum command_stage stage;
	struct core_command c;
	us_t begun;
	uint64_t from_term;
};

/* --- released words ------------------------------------------------------------------------------------------------------- */

/* What FLAG_SYNC_OK in MSG_RELEASED rests on; travels in for_incarnation, with the server start (WORD_BOUND) or the term
 * before (WORD_AS_YOU_WERE) in nonce. */
enum word {
	WORD_ANY,	 /* the other's database has executed everything */
	WORD_BOUND,	 /* it has received everything, as long as its server was not restarted */
	WORD_AS_YOU_WERE /* nothing was acknowledged in this term: the other holds what it held when it had the one before */
};

/* --- all of it ------------------------------------------------------------------------------------------------------------ */

struct core {
	struct core_conf conf;
	struct core_disk disk;	 /* as asked to be stored */
	struct core_disk before; /* as before the list in which the newest ACT_PERSIST stood */
	uint64_t inc;
	us_t now, wake, booted;
	struct core_out *out;
	struct core_action spare; /* where an action goes that the list has no room for */
	us_t promise_span, silence, suspicion;
	bool again;

	enum role role;
	us_t role_since;
	bool boot_over; /* W has passed since the start */
	bool held_once; /* a term was held by this incarnation */

	/* authority */
	bool holding; /* a term is ours and not given up; authority while a lease runs */
	us_t lease_peer, lease_arb, lease_ref, lease_self;
	us_t lease_try; /* end of the newest solo attempt */
	us_t void_at;	/* register attempts sent before it grant nothing */
	us_t promise;	/* no takeover before */
	us_t heard;	/* a primary's request */
	us_t acked;	/* newest request of ours that was answered: when it was sent */
	bool solo;
	uint64_t peer_released; /* the other's released word; 0 none */
	bool peer_released_ok;	/* it said that we hold every acknowledged write */
	bool peer_released_ill;
	int64_t peer_released_db; /* server start its word about data depends on; 0 none */
	us_t word_at;		  /* when it was first heard */
	enum word release_word;
	int64_t release_db;
	uint64_t prev_term;	    /* the other may have held it before the term that was won here */
	bool releasing, release_ok; /* our own word, repeated; what it says about data */
	uint64_t claim;		    /* term we ask the other's vote for; 0 none */
	us_t claim_retry;
	bool forced;	/* the operator waived the gates on data */
	bool automatic; /* the term held was taken by this node's own decision and has not been served yet */
	us_t flap_until; /* another automatic failover is held before; 0 it is not. A standby knows it from the primary */
	uint64_t nonce;
	struct {
		uint64_t nonce;
		us_t at;
		bool paused;
	} sent[NONCES];
	us_t next_beat;
	bool peer_pause_ok; /* the standby has acknowledged our pause */
	us_t hold_off;	    /* after a failed promotion: neither bid nor resume before */
	unsigned failures;
	us_t disk_probe;	   /* the disk refused: when it is tried again */
	bool disk_bad, persisting; /* persisting: the list before this event asked for it */
	uint32_t answered;	   /* command answered in that list, so that a failure can be told */

	/* the register */
	struct attempt try, past[PAST_TRIES];
	size_t past_next;
	uint32_t last_id;
	uint64_t tries;
	us_t try_after;
	bool reg_known;
	int64_t rev;
	struct reg_value reg;
	us_t reg_at, watch_at; /* read; first seen at this revision */
	bool arb_heard, arb_down;

	/* without a third vote */
	struct asked ask;
	us_t ask_after;
	bool ref_heard, ref_down; /* a reference address was asked; the newest answer was none */
	char veto[SENTENCE_MAX];  /* what showed the other in service when last asked; "" nothing */
	uint64_t fence_term;	  /* the bid that fencing is to win */
	us_t fence_retry;
	unsigned fence_tries;
	char fence_text[SENTENCE_MAX]; /* what the fence command said when it failed last; "" nothing */

	/* the other */
	struct msg peer; /* newest status */
	bool peer_known;
	us_t peer_seen;
	uint64_t peer_primary_term; /* highest term in which the other said it serves */

	/* this node's servers */
	struct core_facts facts;
	us_t facts_at;
	us_t shut_since;      /* primary: not writable in every facts since; US_NEVER */
	int64_t frozen_db;    /* server start when a switchover froze it */
	int64_t bid_db_start; /* server start the in-sync record was about when it justified the bid */
	us_t stray_since;
	us_t stray_at; /* next attempt to clean up */
	unsigned stray_tries;
	us_t follow_at;
	unsigned follow_tries;
	bool gate_on;	/* STEP_GATE_OPEN was reached in this term */
	bool gate_held; /* shut until the record is false */
	bool gate_crowded; /* shut until fewer commits wait: the standby must find a free connection */
	us_t gate_until;
	int won_from; /* who held before the term that was won; NOBODY */
	bool won_by_word, won_from_ill;
	us_t fault_at;	     /* when what led to the bid was noticed; 0 */
	bool pristine;	     /* the gate has not been open in this term, and the other held the one before */
	bool release_after;  /* the demotion under way ends with a released word */
	bool takeover_waits; /* the takeover plan waits for the record to be false */

	/* plans */
	struct run run;
	uint32_t serial;
	struct core_change change, pending;
	bool changing;

	/* in-sync */
	enum sync_state sync;
	bool sync_maybe;   /* the register may say true about this term */
	uint64_t sync_seq; /* highest sequence used */
	bool sync_numbers; /* sequences for this start are set aside on disk */
	uint64_t void_seq; /* asked to be voided by the standby; 0 none */
	uint64_t sync_boot;
	int64_t sync_db_start; /* of the standby, when semi-sync was switched on */
	us_t loss_at;	       /* the standby's stream is lost since; US_NEVER */
	us_t unseen_at;	       /* the standby's supervisor has not observed its servers since; US_NEVER */
	us_t bare_since;       /* the standby may lack acknowledged writes since */
	us_t away_since;       /* conf.required: commits wait for the standby since; US_NEVER */
	bool away_told;
	us_t sync_retry, sync_off_at;
	unsigned sync_tries;
	uint32_t sync_serial; /* step under way; 0 none */
	us_t sync_step_at;
	us_t sync_since;
	us_t word_given;	/* when this primary said last that the standby is in sync; its former start may have until it ended */
	uint64_t word_nonce;	/* newest request of ours that was answered */
	struct given given[NONCES];
	struct word_of_sync word;

	/* commands */
	struct command cmd;
	bool stopping, stopped;
	bool want_seen, want_pause_seen;
	char refusal[SENTENCE_MAX]; /* to the other's operator */

	uint8_t reached[ROLE_COUNT][ROLE_EVENT_COUNT];
};

static inline int me_of(const struct core *c)
{
	return c->conf.me;
}
static inline int other_of(const struct core *c)
{
	return 1 - c->conf.me;
}
static inline const char *my_name(const struct core *c)
{
	return c->conf.name[me_of(c)];
}
static inline const char *peer_name(const struct core *c)
{
	return c->conf.name[other_of(c)];
}
static inline void alarm_at(struct core *c, us_t at)
{
	if (at < c->wake)
		c->wake = at;
}
static inline us_t max_us(us_t a, us_t b)
{
	return a > b ? a : b;
}
static inline us_t min_us(us_t a, us_t b)
{
	return a < b ? a : b;
}

/* core.c */
struct core_action *act(struct core *c, enum core_action_kind kind);
void persist(struct core *c);
void note(struct core *c, int level, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void send_msg(struct core *c, enum msg_kind kind, uint64_t term, uint64_t nonce, uint64_t for_incarnation);
us_t back_off(unsigned tries); /* 1, 2, 5, 10 s */
void say(char out[SENTENCE_MAX], const char *fmt, ...) __attribute__((format(printf, 2, 3)));
bool has_databases(const struct core *c);
bool resumes_alone(const struct core *c);

/* lease.c */
us_t authority_until(const struct core *c);
bool authority(const struct core *c);
bool self_reliant(const struct core *c);
bool pause_holds(const struct core *c);
bool resume_candidate(const struct core *c);
bool bond_broken(const struct core *c);
bool released_to_me(const struct core *c);
bool took_nothing_since_release(const struct core *c);
bool store_vote(struct core *c, uint64_t term, int who);
bool store_bid(struct core *c, uint64_t term);
bool store_owner(struct core *c, uint64_t term, int who);
void drop_authority(struct core *c);
void give_word(struct core *c);
void take_term(struct core *c, us_t lease_from, bool solo);
void resume_term(struct core *c);
void check_lease(struct core *c);
void gate_follow(struct core *c);
void core_gate_shut(struct core *c);
bool peer_alive(const struct core *c);
bool peer_serves(const struct core *c);

/* message.c */
void on_msg(struct core *c, const struct msg *m);
void send_released(struct core *c);
void beat(struct core *c);

/* claim.c */
void run_claim(struct core *c);

/* aside.c */
void aside_at_start(struct core *c);
void h_aside(struct core *c);
bool step_aside(struct core *c);
bool hand_back(struct core *c);

/* gates.c */
bool free_to_bid(const struct core *c);
bool first_start(const struct core *c);
/* May this node's data become the primary's? val: the register's entry it would replace, NULL when bidding by
 * vote. bound: the database server's start on whose memory that rests; 0 none. */
bool data_gate(const struct core *c, const struct reg_value *val, int64_t *bound, char why[SENTENCE_MAX]);
/* The other runs with another configuration, as far as both are known. */
bool config_differs(const struct core *c, char why[SENTENCE_MAX]);
/* Would the next bid take the other's term without its word, by this node's own decision? */
bool takes_unasked(const struct core *c);
/* Within the window after an automatic failover another one waits for a person. */
bool flap_held(const struct core *c, char why[SENTENCE_MAX]);
void flap_hear(struct core *c, const struct msg *m);
void flap_release(struct core *c);
void check_flap(struct core *c);
/* Everything but authority and waiting: servers, health, back-off, pause, role. */
bool bid_gate(const struct core *c, char why[SENTENCE_MAX]);
/* The same with pause, role, waiting after the start and the gates against surprises. */
bool may_bid(struct core *c);

/* register.c */
void run_register(struct core *c);
void check_attempt(struct core *c);
void on_register(struct core *c, const struct core_event *ev);
void swap_register(struct core *c, enum reg_mode mode);
bool arbiter_used(const struct core *c);

/* alone.c */
bool without_vote(const struct core *c); /* CORE_REFERENCE, CORE_FENCE: nobody's vote but the two nodes' */
bool same_boot(const struct core *c);	 /* this host has not been off since it won or resumed its term */
bool own_still(const struct core *c);
us_t silence_over(const struct core *c);
enum ground alone_ground(struct core *c, us_t *since);
uint64_t term_to_take(const struct core *c);
bool fencing(const struct core *c);
void run_fence(struct core *c);
void fence_concluded(struct core *c, bool ok, const char *text);

/* word.c */
void word_hear(struct core *c, const struct msg *m);	      /* standby: a renewal was accepted */
void word_answered(struct core *c, const struct msg *m);     /* standby: its answer leaves */
bool word_wanted(const struct core *c);			      /* primary: its next renewal says that the standby is in sync */
void word_expire(struct core *c);			      /* primary: the standby's belief has ended by time */
void word_stored(struct core *c, bool alone);
bool word_holds(const struct core *c, char why[SENTENCE_MAX]); /* standby: it is in sync, as far as it may believe */

/* witness.c */
void run_witness(struct core *c);
void on_witness(struct core *c, const struct core_event *ev);

/* roles.c */
void role_event(struct core *c, enum role_event ev, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* plans.c */
void plan_start(struct core *c, enum plan_id id);
void plan_cancel(struct core *c);
void plan_undo(struct core *c);
bool plan_step(struct core *c, uint32_t serial, enum step_outcome outcome, us_t took, const char *text);
void plan_run(struct core *c);
bool plan_busy(const struct core *c); /* before its tail */
const char *plan_name(enum plan_id id);
void change_begin(struct core *c, const char *kind, int from, int to, us_t since, const char *reason);
void change_step(struct core *c, enum step_kind kind, us_t took, enum step_outcome outcome);
void change_end(struct core *c, bool ok);

/* sync.c */
void sync_run(struct core *c);
void sync_reset(struct core *c, bool maybe);
void sync_must_drop(struct core *c);
void sync_set_aside(struct core *c);
bool sync_step(struct core *c, uint32_t serial, enum step_outcome outcome, const char *text);
void sync_written(struct core *c, const struct sync_record *r);
struct sync_record sync_next(const struct core *c);
bool sync_write_wanted(const struct core *c);
bool sync_in(const struct core *c); /* the record holds for the present standby, as this primary knows */
bool sync_strict(const struct core *c); /* both nodes are required: nothing is acknowledged that the standby has not received */
us_t sync_away_us(const struct core *c, us_t now); /* commits have waited for an absent standby for so long; 0 they do not */
void sync_peer_voided(struct core *c, const struct msg *m);
bool record_for_me(const struct core *c, const struct reg_value *v, char why[SENTENCE_MAX]);

/* command.c */
void on_command(struct core *c, const struct core_command *cmd);
void run_command(struct core *c);
void command_done(struct core *c, enum step_outcome outcome, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void command_progress(struct core *c, enum step_kind step, us_t took, enum step_outcome outcome, const char *text);
void on_wishes(struct core *c, const struct msg *m);
void switchover_concluded(struct core *c, bool ok, const char *text);
void undo_concluded(struct core *c, bool ok, const char *text);
/* Can the other node take over by our word, now? */
bool can_hand_over(const struct core *c, bool planned, char why[SENTENCE_MAX]);

/* say.c */
bool start_gate(const struct core *c, char why[SENTENCE_MAX]); /* term 0: may this side begin? */

#endif
