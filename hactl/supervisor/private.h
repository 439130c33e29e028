/* private.h - the running supervisor: one struct, owned by the loop. Every file of this folder works on it; nothing else sees it. */
#ifndef HACTL_SUPERVISOR_PRIVATE_H
#define HACTL_SUPERVISOR_PRIVATE_H

#include "hactl/arbiter/arbiter.h"
#include "hactl/base/base.h"
#include "hactl/config/config.h"
#include "hactl/control/control.h"
#include "hactl/core/core.h"
#include "hactl/guard/guard.h"
#include "hactl/supervisor/supervisor.h"
#include "hactl/upstream/upstream.h"
#include "hactl/wire/wire.h"
#include "probes/probes.h"
#include "replication/replication.h"
#include "vip/vip.h"

enum { MAX_RUNNING = 24, MAX_QUEUE = 64, MAX_COMMANDS = 16, MAX_HOOKS = 16 };

#define OBSERVE_EVERY (1 * US_PER_SEC) /* a database server is looked at */

struct sup;

/* A database server seen from here: [node][kind]. */
struct server {
	struct sup *s;
	int node;
	struct db *db;	       /* NULL: not configured */
	struct db_facts facts; /* newest one that no operation of ours has made stale */
	/* an operation ended: the observation that may have been under way then tells of before it (STALE), the one after it does not */
	enum { FRESH, RENEWING, STALE } stale;
	int ops;    /* operations under way */
	us_t up_at; /* when it was first seen up after it was not */
	bool applier_ours; /* MySQL: a promotion of ours stopped the applier, if it is stopped; also at the start, when nobody knows */
	us_t stream_ok_at;	/* when replication was last seen running with a known lag */
	us_t stream_lag;	/* the lag it had then */
	us_t hung_since;	/* 0: not hung */
	struct db_facts looked; /* the newest look of all */
	us_t moved_after;	/* the replication stream brought something later than this; 0 not seen */
};

/* A step of the core's under way. */
struct running {
	struct sup *s;
	bool used;
	uint32_t serial;
	enum step_kind kind;
	us_t started, until, deadline, timeout;
	struct server *server; /* for database steps */
	struct db_call *call;
	struct proc *proc;    /* fence: the command under way */
	struct timer *again;  /* fence: asks once more */
	bool off_done;	      /* fence: the command says it has switched the other off; not yet confirmed */
	bool released;	      /* as struct core_action.released */
	char said[SENTENCE_MAX]; /* precheck: what will be cut short */
	struct killing *killing; /* mysql demote: the server is being killed */
	bool killed;
	int stage;	      /* steps of several operations: which one runs */
	us_t moved_at;	      /* a promotion that drains: when something moved last */
	us_t told_at;	      /* and when the journal was told of it */
	char far[SENTENCE_MAX]; /* how far it is; "" not of interest */
	char reach[GTID_MAX]; /* the position this step's OP_RECEIVE waits for */
};

/* A client's command the core works on. */
struct pending {
	uint32_t id; /* 0: free */
	struct control_request *request;
};

struct queued {
	struct core_event ev;
	union {
		struct msg msg;
		struct core_facts facts;
		char text[SENTENCE_MAX];
	} data;
};

/* The local database server's process, found while it was well. */
struct victim {
	pid_t pid; /* 0: none known */
	int pidfd;
	int64_t db_start; /* of the server that it is, or that none was found for */
	int64_t told;	  /* the server for which it was said that none was found */
};

struct hook { /* a hook under way */
	struct sup *s;
	char name[32];
	struct proc *proc; /* NULL: free */
};

struct post { /* a webhook under way */
	struct sup *s;
	void *easy; /* NULL: free */
	char *body;
	struct curl_slist *headers;
};

struct path { /* a heartbeat path; 0 is the nodes' own addresses */
	struct sup *s;
	int fd;
	struct watch *watch;
	struct sockaddr_storage *to;
	unsigned to_len;
	bool failing;		    /* said once */
	const char *local, *remote; /* the configuration's texts */
	struct wire_path wire;
	bool silent; /* as status shows it; settled, not of the last packet */
	bool told;   /* that it is silent */
	int good;    /* looks in a row at which it was not */
};

struct held { /* a gate that holds up a failover */
	us_t since; /* 0: free */
	char why[SENTENCE_MAX];
};

struct sup {
	struct cli *cli;
	struct conf *conf;
	int me, peer;
	struct loop *loop;
	struct timer *tick, *observe;
	bool stopping; /* asked to stop */
	bool stopped;  /* the core has ended; hooks may still run */
	bool closing;  /* what still ends now is told to nobody */
	int exit_code;

	struct core *core;
	struct core_conf core_conf;
	struct core_out out;
	struct queued queue[MAX_QUEUE];
	size_t q_head, q_len;
	bool pumping;
	us_t wake_at; /* when the tick was due; 0 not yet */
	us_t opened_at;
	us_t stall_told;
	us_t change_told; /* started_at of the last change that went to the journal */

	int state_lock;
	struct core_disk disk; /* as last stored */
	struct reg_value reg;  /* as last read from the register; term 0: not yet */
	bool disk_trouble; /* said once */
	char state_file[512];

	struct wire_key key;
	struct wire_session wire;
	struct path path[1 + CONF_MAX_LINKS];
	int n_paths;
	struct msg last_sent;
	struct msg heard; /* newest accepted message of the peer */
	us_t heard_at, heard_primary_at, hello_at;

	struct before *before; /* NULL: none asked for yet */
	struct rejoin *rejoin; /* NULL: never quarantined */
	struct events *events; /* NULL: not ours */
	struct victim victim;  /* the process of this node's MySQL */
	struct core_facts facts;
	struct server server[NODES][DB_KIND_COUNT];
	char frozen_at[GTID_MAX]; /* position of the last planned freeze */
	bool bereft; /* primary, and the Redis here has lost what the other's still holds */
	int64_t unreceived; /* transactions of the primary that the standby has not received; -1 unknown */
	char would_lose[SENTENCE_MAX];
	struct held held[CORE_MAX_BLOCKERS];
	bool holding_up; /* one of them may be in use */
	us_t exposed_since; /* wall clock: since when nobody knows what a failover would lose; 0 known */

	struct arbiter *arbiter;
	uint64_t arbiter_cluster; /* as stored; 0 not yet */
	struct witness *witness;  /* NULL until the core has asked */
	struct vips *vips;
	struct gate *gate;
	char gate_name[NAME_MAX_LEN + 8];
	us_t gate_until, conflict_at;
	struct vip_spec vip[CONF_MAX_VIPS];
	size_t n_vips;
	struct timer *broom;
	bool gate_trouble;
	bool address_off; /* taken off by a step of ours and not asked for since */

	struct prober *prober;
	struct probe_spec *probe_spec;
	size_t n_probes;
	struct upstreams *upstreams;

	struct running running[MAX_RUNNING];
	struct pending pending[MAX_COMMANDS];
	uint32_t next_command;

	struct control *control;
	struct page *page;
	struct journal *journal;
	struct hook hook[MAX_HOOKS];
	struct deadline_file *deadline; /* NULL: it cannot be opened, said once */
	struct deadline said;		/* what stands in it */
	us_t may_write_at;		/* when it was last written that writes may be open */
	bool deadline_trouble;
	struct post post[MAX_HOOKS];
	char event_told[SENTENCE_MAX * 2]; /* newest event that hooks were told, and when */
	us_t event_at;
	char keepalived[SENTENCE_MAX];
	const char *warnings[8];
	size_t n_warnings;
	us_t watchdog_us, watchdog_at;
};

/* pump.c - events in, actions out */
void pump_tick(struct sup *s);
void pump_msg(struct sup *s, const struct msg *m);
void pump_facts(struct sup *s);
void pump_step(struct sup *s, uint32_t serial, enum step_outcome outcome, us_t took, const char *text);
void pump_register(struct sup *s, uint32_t id, enum reg_outcome outcome, int64_t rev, const struct reg_value *value);
void pump_witness(struct sup *s, uint32_t id, bool reached, bool veto, const char *text);
bool pump_command(struct sup *s, const struct core_command *c); /* false: the core will not see it */

/* steps.c - the core's steps brought about */
void steps_start(struct sup *s, const struct core_action *a);
void steps_cancel(struct sup *s, uint32_t serial);

/* witness.c - what the world around says, without an arbiter: reference addresses, signs of life of the other node. Answers by
 * pump_witness, never from within witness_ask. */
void witness_ask(struct sup *s, const struct core_action *a);
void witness_claimed(struct sup *s, size_t vip, const char *mac); /* somebody else answers for a virtual address */
void witness_close(struct sup *s);

/* fence.c - STEP_FENCE: the other node switched off by the operator's command, and confirmed */
int fence_start(struct running *r, struct err *e);
void fence_cancel(struct running *r);
void steps_end(struct running *r, enum step_outcome outcome, const char *text); /* the step is answered */

/* events.c - the database's scheduled events: which run on the primary, known here too, and enabled when this node has become it */
void events_open(struct sup *s);
void events_tick(struct sup *s);				  /* once a second */
void events_role(struct sup *s, enum role to);			  /* at every change of role */
void events_settled(struct sup *s, const struct core_view *v); /* after every pump */
bool events_going(struct sup *s); /* a planned change begins to disable them here; false: they are not ours */
void events_close(struct sup *s);

/* killer.c - a local MySQL that does not stop writing is killed */
void killer_observed(struct sup *s, const struct db_facts *f); /* every look at it */
us_t killer_patience(const struct sup *s, us_t left);	       /* how long its demotion may take before that */
/* The demotion r of it ended badly. True: it is being killed, steps_killed() follows. */
bool killer_start(struct running *r, enum db_outcome outcome, const char *why);
void killer_cancel(struct running *r);
void killer_close(struct sup *s);
void steps_killed(struct running *r, const char *trouble); /* "": dead, or as good as: look again */

/* disk.c - what survives */
json_t *text_json(
	const char *text); /* a string for JSON whatever its bytes: a sentence may have been cut inside a character */
int disk_open(struct sup *s, const char *dir, struct core_disk *out, struct err *e); /* takes the lock */
int disk_store(struct sup *s, const struct core_disk *d, struct err *e);
uint64_t disk_cluster(const struct sup *s); /* the etcd that this node has known; 0 none yet */
int disk_cluster_store(const struct sup *s, uint64_t id, struct err *e);

/* link.c - heartbeats */
int link_open(struct sup *s, struct err *e);
void link_close(struct sup *s);
void link_send(struct sup *s, const struct msg *m);
void link_watch(struct sup *s); /* once a second: a path that has fallen silent, or is back */

/* facts.c - what the servers' observations mean for the core */
void facts_observed(void *server, const struct db_facts *f); /* db_observed_fn */
void facts_update(struct sup *s);
void facts_would_lose(struct sup *s);
int64_t facts_unreceived(const struct sup *s, const struct core_view *v); /* transactions; -1 unknown */
bool facts_cut_off(const struct sup *s, const struct server *v, const struct db_facts *f); /* its lag is old news */
bool facts_forget(struct sup *s); /* what is known of this node's servers is old; asks again. False: there are none */

/* held.c - gates that act, into the journal */
void held_watch(struct sup *s, const struct core_view *v); /* after every pump */

/* address.c - virtual addresses and the gate */
int address_open(struct sup *s, bool first_start, struct err *e);
void address_close(struct sup *s);
void address_gate(struct sup *s, us_t until);
void address_settled(struct sup *s, const struct core_view *v); /* after every pump */
int address_gate_step(struct sup *s, us_t until, struct err *e);
int address_add(struct sup *s, struct err *e);
int address_remove(struct sup *s, struct err *e);

/* deadline.c - what the guard must know: until when writes may be open here */
void deadline_start(struct sup *s);  /* never fails: without the file there is no guard, and status says so */
void deadline_check(struct sup *s);  /* once a second: the file is still there */
void deadline_follow(struct sup *s); /* after every move of the core, before its effects */
void deadline_stop(struct sup *s);   /* the last word of a supervisor that was told to stop */
bool deadline_guard(struct sup *s, struct guard_beat *out, us_t now); /* false: none lives */

/* health.c - probes, upstreams */
int health_open(struct sup *s, struct err *e);
void health_close(struct sup *s);
bool health_ill(struct sup *s, char why[SENTENCE_MAX]);

/* rejoin.c - a quarantined node's export and reseed */
void rejoin_role(struct sup *s, enum role to);			    /* at every change of role */
void rejoin_discard(struct sup *s, struct control_request *r);	    /* `hactl rejoin --discard-divergent` */
void rejoin_open(struct sup *s);
void rejoin_server_up(struct sup *s); /* a local database that was away answers again */
bool rejoin_holds(const struct sup *s);	     /* a standby that is to be rebuilt: it must not follow meanwhile */
bool rejoin_unfinished(const struct sup *s); /* a reseed was cut short: the data here are not whole */
bool rejoin_busy(const struct sup *s);				    /* this node's data are being replaced */
bool rejoin_blocker(const struct sup *s, char out[SENTENCE_MAX]); /* false: nothing to say */
void rejoin_close(struct sup *s);

/* ask.c - commands from the socket; look.c - the status document; hooks.c */
int ask_open(struct sup *s, struct err *e);
void ask_core(struct sup *s, struct control_request *r, struct core_command *c);
void ask_close(struct sup *s);
/* before.c - what a planned change would meet now, asked of the servers before the core hears of it */
void before_tell(struct sup *s, struct control_request *r); /* --dry-run */
void before_wait(struct sup *s, struct control_request *r, const struct core_command *c); /* --when-quiet */
void before_close(struct sup *s);

void ask_progress(struct sup *s, const struct core_action *a);
void ask_done(struct sup *s, const struct core_action *a);
/* An alert to the journal, the log and the hooks. */
void hooks_alert(struct sup *s, enum log_level level, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void hooks_event(struct sup *s, enum log_level level, const char *kind, const char *text);
json_t *look_status(void *s);	  /* page_status_fn */
void look_changed(struct sup *s); /* after every pump: a finished role change goes to the journal */
void hooks_run(struct sup *s, const char *which, const char *command, const char *const *env, const char *input);
void hooks_role(struct sup *s, bool primary);
bool hooks_busy(const struct sup *s);
void hooks_close(struct sup *s);

#endif
