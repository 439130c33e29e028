/* run.h - one probe of one spec, made once and started again and again. What every kind shares: the deadline, the result's
 * delivery, cancelling. A kind is a table of five functions and some bytes of its own.
 */
#ifndef PROBES_RUN_H
#define PROBES_RUN_H

#include "probes/probes.h"

struct run;

struct run_ops {
	size_t size; /* of the kind's own bytes, zeroed, at run->kind */
	/* Once: refuses a spec that cannot work, makes whatever every probe reuses. release follows even after -1. */
	int (*prepare)(struct run *r, struct err *e);
	void (*start)(struct run *r); /* ends, now or later, in exactly one run_settle, unless stopped first */
	void (*stop)(struct run *r);  /* lets go of what is in flight; called after every probe */
	void (*release)(struct run *r);
	const char *(*awaits)(const struct run *r); /* how far it got, for the sentence of a timeout */
};

enum run_phase { RUN_IDLE, RUN_STARTING, RUN_FLYING, RUN_DECIDED };

struct run {
	struct loop *loop;
	const struct probe_spec *spec; /* caller's, outlives the run */
	const struct run_ops *ops;
	void *kind;
	struct timer *timer; /* RUN_FLYING: the deadline. RUN_DECIDED: delivery of what start itself decided */
	enum run_phase phase;
	us_t started;
	struct probe_result result;
	probe_fn *fn;
	void *arg;
	void (*news)(void *arg); /* an idle connection broke: the server has just ended; may be NULL */
	void *news_arg;
};

struct run *run_new(struct loop *l, const struct probe_spec *s, struct err *e);
void run_free(struct run *r); /* cancels; fn is not called. Also from within fn */
/* fn runs once, from the loop, and is the last thing that touches r. Not while one is in flight. */
void run_start(struct run *r, probe_fn *fn, void *arg);
bool run_busy(const struct run *r);

/* For the kinds. ok is layer PL_OK unless they say otherwise; detail must hold no bytes of a stranger's unescaped. */
void run_settle(struct run *r, bool ok, enum probe_layer layer, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* Moves the standing on by one result; returns how long after this probe's start the next one is due. Pure. */
us_t state_take(struct probe_state *s, const struct probe_result *r, us_t now);

bool host_is_numeric(const char *host);

extern const struct run_ops run_http, run_grpc, run_tcp, run_tcp_by_name, run_redis, run_mysql, run_exec;

#endif
