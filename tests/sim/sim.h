/* sim.h - a world for two real cores: clocks, network, the arbiter's register, disks, kernels, database servers, clients,
 * operators and bad luck. A seed gives the whole run. Everything is single-threaded; true time is world.t in microseconds.
 *
 *   world.c   event queue, random numbers, clocks, the network, the arbiter
 *   node.c    the shell around a core: performs its actions, crashes, stalls
 *   server.c  databases, replication, the clients that write
 *   chaos.c   faults and operators, healing
 *   check.c   invariants
 *   main.c    runs, workers, coverage, directed runs
 */
#ifndef HACTL_SIM_H
#define HACTL_SIM_H

#include "hactl/core/inside.h"

#include <stdlib.h>

enum { ARB = 2, REF = 3, PLACES = 4, MAX_ROWS = 8192, MAX_STEPS_OUT = 24, KEPT = 64 };

struct world;
struct node;

/* --- events --------------------------------------------------------------------------------------------------------- */

enum what {
	W_WAKE,	     /* a = wake generation */
	W_PACKET,    /* p = struct packet */
	W_ASK,	     /* p = struct question: arrives at the arbiter */
	W_ANSWER,    /* p = struct question: arrives back at the node */
	W_WITNESS,   /* a = id, b = start: what the world around says; WITNESS_… bits above the id */
	W_GIVE_UP,   /* a = attempt id: the shell's own deadline */
	W_EFFECT,    /* a = serial, b = incarnation count: a step touches the world */
	W_MOVES,     /* the same: the step is not at its end and goes on */
	W_RESULT,    /* the same: its outcome reaches the core */
	W_CONTINUE,  /* the rest of an action list after a stall */
	W_OBSERVE,   /* the shell looks at its servers */
	W_FACTS,     /* p = struct core_facts: what it saw reaches the core */
	W_BOOT,	     /* supervisor starts */
	W_SERVER_UP, /* a = writable */
	W_LATE,	     /* a = step kind: a statement whose client is gone takes effect after all */
	W_FETCH,     /* the replica pulls */
	W_APPLY,
	W_ACK,	 /* a = position the replica confirmed, b = server start */
	W_WRITE, /* clients */
	W_CHAOS,
	W_HEAL,
	W_CARE, /* after healing: operators do their duty; is it well? */
	W_HOOK, /* a directed run looks in */
	W_COUNT
};

struct event {
	us_t t;
	uint64_t seq;
	enum what what;
	int node;
	uint64_t a, b;
	void *p;
};

struct packet {
	struct msg m;
	uint64_t start; /* sender's count of starts */
	us_t sent;
	bool played;
	uint64_t echo;	/* start of the receiver that the sender had heard of */
	struct packet *next;
};

struct question {
	uint32_t id;
	uint64_t start;
	bool cas;
	int64_t rev;
	struct reg_value value;
	enum reg_outcome outcome;
	struct question *next;
};

/* --- a database server --------------------------------------------------------------------------------------------------- */

struct server {
	bool up, writable, replicating, semi_on;
	bool bare; /* came back writable and unprotected; nobody has told the core yet */
	int64_t start;
	us_t down_since;
	int len, exec;	   /* rows received, of these executed */
	int log[MAX_ROWS]; /* their ids, in order */
	int wait_from;	   /* rows log[wait_from..len) wait for the replica; len: none */
	bool fetching;
	bool redis_master;
};

/* --- a node ------------------------------------------------------------------------------------------------------------------ */

/* What was fed to a core last: on what ground it may have become primary by it. */
struct fed {
	enum core_event_kind kind;
	enum msg_kind msg;
	bool reached, veto, fenced;
};

enum { SAW_REACHED = 1, SAW_VETO = 2 }; /* W_WITNESS: bits 32 and 33 of a */

struct doing {
	uint32_t serial; /* 0: free */
	enum step_kind step;
	us_t until;	      /* authority */
	us_t asked, deadline; /* true time */
	int64_t db_start;
	int mark;
	bool done;
	enum step_outcome outcome;
	char text[80];
};

enum stage { PROMOTED = 1, VERIFIED = 2, ADDRESSED = 4, R_PROMOTED = 8, R_VERIFIED = 16 };

struct node {
	struct world *w;
	int me;
	double rate, offset;
	bool power, running;
	uint64_t counter;			/* of packets sent */
	uint64_t start, seen_start, peer_start; /* own starts; newest of the other heard of; accepted */
	uint64_t boot;
	uint64_t config, heard_config; /* digest it was started with; the other's as last fed to the core, 0 unknown */
	us_t held_until;	       /* true time: the other's newest word on how long another failover waits */
	uint64_t held_start, held_counter;
	us_t stalled; /* true time until which the supervisor does not run */
	struct core *core;
	struct core_disk disk; /* what survives */
	bool disk_bad, doubt;
	struct core_disk refused; /* what the disk said it had not stored, and may have */
	us_t gate; /* kernel element, local clock */
	bool address;
	us_t address_until; /* local: the broom */
	struct server db;
	struct doing doing[MAX_STEPS_OUT];
	struct core_out out;
	size_t out_at;
	bool out_held; /* a list is only half performed */
	uint64_t wake_gen;
	us_t wake_at;
	us_t facts_sent;
	us_t sees_at; /* the first look at its servers since its start is over */
	uint64_t facts_digest;
	enum role role; /* as the last ACT_ROLE said */
	unsigned stage;
	uint64_t stage_term;
	bool forced; /* the operator's force is under way or won the present term */
	bool stop_asked;
	bool observing;
	struct fed fed;
	int feeding; /* step whose outcome is being fed */
	/* true times; without a third vote */
	us_t heard_sent; /* when the newest packet of the other that was fed had been sent */
	struct {
		uint32_t id;
		enum witness_kind kind;
		us_t at;
	} asked[4];	/* newest questions to the world around */
	us_t list_at;	/* when the list under way was made: what leases count from */
	us_t sent;	/* when this node last tried to send a packet */
	us_t confirmed; /* when the newest of them that was answered well had been put */
	us_t fence_began;
};

/* --- the world ------------------------------------------------------------------------------------------------------------------ */

struct world {
	us_t t;
	uint64_t seed, rng, seq, events;
	struct event *heap;
	size_t n, cap;
	struct packet *free_packets;
	struct packet kept[KEPT]; /* recorded, to be played back */
	size_t n_kept;
	struct question *free_questions;
	struct core_conf conf;
	struct node node[NODES];
	uint64_t file[NODES]; /* digest of each node's configuration file; read at the start only */
	bool link[PLACES][PLACES];
	double loss, step_fail, crash_p, stall_p, fence_fail, lies, probe_lies;
	bool torn; /* reference mode: both are primary, cut from each other, and both reach the reference */
	int torn_old;
	us_t torn_since;
	bool tidy; /* healed */
	bool calm; /* no faults at all yet */
	bool wiped; /* both nodes lost their state */
	bool arb_up;
	int64_t rev;
	struct reg_value value;
	bool exists;
	/* clients */
	int rows;	/* newest id */
	uint8_t *both;	/* by id: the replica has received it */
	uint8_t *acked; /* by id: 1 acknowledged, 2 excused (forced takeover, or unprotected by a bad server file) */
	uint64_t n_acked;
	uint64_t top_term; /* highest term that had an open gate */
	bool top_forced;   /* a person's word had begun it */
	/* result */
	bool over;
	bool story, packets;
	char bad[200];
	us_t heal_at, end, well_since;
	unsigned forces, changes;
	unsigned coverage[ROLE_COUNT][ROLE_EVENT_COUNT];
	double skew;
	/* directed */
	void (*hook)(struct world *w);
	int phase;
	us_t late, window, slow_ref;
	bool fence_dead; /* fails at once, and does nothing */
};

/* world.c */
void world_init(struct world *w, uint64_t seed);
void world_free(struct world *w);
void at(struct world *w, us_t in, enum what what, int node, uint64_t a, uint64_t b, void *p);
void world_run(struct world *w);
double rnd(struct world *w);
double rnd_in(struct world *w, double lo, double hi);
unsigned pick(struct world *w, unsigned n);
us_t net_delay(struct world *w);
us_t local(const struct node *n, us_t t);
us_t local_now(const struct node *n);
void send_packet(struct node *n, const struct msg *m);
void on_packet(struct world *w, struct event *e);
void ask(struct node *n, const struct core_action *a, bool cas);
void on_ask(struct world *w, struct event *e);
void on_answer(struct world *w, struct event *e);
void ask_witness(struct node *n, const struct core_action *a);
void on_witness_answer(struct world *w, struct event *e);
bool linked(const struct world *w);
void tell(struct node *n, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void tell_world(struct world *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Would this event have to wait for a stalled or half-done node? Then it is put off and true is returned. */
bool put_off(struct world *w, struct event *e);

/* node.c */
void node_feed(struct node *n, const struct core_event *ev);
void node_boot(struct node *n);
void node_crash(struct node *n, bool power);
void node_event(struct world *w, struct event *e);

/* server.c */
void server_event(struct world *w, struct event *e);
void server_kill(struct node *n);
void do_effect(struct node *n, struct doing *d);
bool effect(struct node *n, enum step_kind k, int64_t db_start, char *text, size_t size);
void observe_soon(struct node *n);
bool gate_open(const struct node *n);
bool address_held(const struct node *n);
bool prefix_of(const struct server *a, const struct server *b);
void fetch_soon(struct node *n, us_t in);

/* chaos.c */
void chaos(struct world *w);
void heal(struct world *w);
void care(struct world *w);
void command(struct node *n, enum core_command_kind kind, int to);

/* check.c */
void fail(struct world *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void check_gates(struct world *w);
void check_action(struct node *n, const struct core_action *a);
void check_opened(struct node *n);
bool torn(struct world *w);
void check_older(struct node *n, const struct msg *m);
bool is_well(struct world *w);
void dump(struct node *n);

#endif
