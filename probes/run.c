/* run.c - the common course of every probe: start, deadline, one result. */
#include "probes/run.h"

#include <arpa/inet.h>

bool host_is_numeric(const char *host)
{
	uint8_t addr[sizeof(struct in6_addr)];
	return inet_pton(AF_INET, host, addr) == 1 || inet_pton(AF_INET6, host, addr) == 1;
}

static const struct run_ops *ops_of(const struct probe_spec *s)
{
	static const struct run_ops *const by_kind[] = {
		[PK_HTTP] = &run_http,
		[PK_HTTPS] = &run_http,
		[PK_GRPC] = &run_grpc,
		[PK_TCP] = &run_tcp,
		[PK_MYSQL] = &run_mysql,
		[PK_REDIS] = &run_redis,
		[PK_EXEC] = &run_exec,
	};
	_Static_assert(ARRAY_LEN(by_kind) == PK_COUNT, "a kind without functions");

	/* a name is resolved by libcurl's thread, never by a call that could stop the loop */
	return s->kind == PK_TCP && !host_is_numeric(s->host) ? &run_tcp_by_name : by_kind[s->kind];
}

static void deliver(struct run *r)
{
	struct probe_result result = r->result;

	timer_off(r->timer);
	r->ops->stop(r);
	r->phase = RUN_IDLE;
	r->fn(r->arg, &result);
}

static void on_timer(void *arg, us_t now)
{
	struct run *r = arg;
	char span[32];

	(void)now;
	if (r->phase == RUN_DECIDED) {
		deliver(r);
		return;
	}
	duration_text(r->spec->timeout, span);
	run_settle(r, false, PL_TIMEOUT, "no answer within %s: %s", span, r->ops->awaits(r));
}

static int check_spec(const struct probe_spec *s, struct err *e)
{
	if ((unsigned)s->kind >= PK_COUNT)
		return err_set(e, "probe \"%s\": no such type", s->name);
	if (s->interval <= 0 || s->timeout <= 0)
		return err_set(e, "probe \"%s\": interval and timeout must be above zero", s->name);
	if (s->rise < 1 || s->fall < 1)
		return err_set(e, "probe \"%s\": rise and fall must be 1 or more", s->name);
	return 0;
}

struct run *run_new(struct loop *l, const struct probe_spec *s, struct err *e)
{
	struct err why = { "" };
	struct run *r;

	if (check_spec(s, e))
		return NULL;
	r = xcalloc(1, sizeof(*r));
	r->loop = l;
	r->spec = s;
	r->ops = ops_of(s);
	r->kind = xcalloc(1, r->ops->size);
	r->timer = timer_new(l, on_timer, r);
	if (r->ops->prepare(r, &why)) {
		err_set(e, "probe \"%s\": %s", s->name, why.text);
		run_free(r);
		return NULL;
	}
	return r;
}

void run_free(struct run *r)
{
	if (!r)
		return;
	if (r->phase != RUN_IDLE)
		r->ops->stop(r);
	r->ops->release(r);
	timer_free(r->timer);
	free(r->kind);
	free(r);
}

bool run_busy(const struct run *r)
{
	return r->phase != RUN_IDLE;
}

void run_start(struct run *r, probe_fn *fn, void *arg)
{
	r->fn = fn;
	r->arg = arg;
	r->started = now_us();
	r->phase = RUN_STARTING;
	timer_at(r->timer, r->started + r->spec->timeout);
	r->ops->start(r);
	if (r->phase == RUN_STARTING)
		r->phase = RUN_FLYING;
	else
		timer_in(r->timer, 0);
}

void run_settle(struct run *r, bool ok, enum probe_layer layer, const char *fmt, ...)
{
	va_list ap;

	r->result = (struct probe_result){ .ok = ok, .layer = layer, .took_us = now_us() - r->started };
	va_start(ap, fmt);
	vsnprintf(r->result.detail, sizeof(r->result.detail), fmt, ap);
	va_end(ap);
	if (r->phase == RUN_STARTING)
		r->phase = RUN_DECIDED; /* whoever started us is still on the stack */
	else
		deliver(r);
}

/* --- one probe, once ---------------------------------------------------------------------------------------------- */

struct once {
	struct probe_spec spec;
	struct run *run;
	probe_fn *fn;
	void *arg;
};

static void on_once(void *arg, const struct probe_result *result)
{
	struct once *o = arg;
	probe_fn *fn = o->fn;
	void *fn_arg = o->arg;

	run_free(o->run);
	free(o);
	fn(fn_arg, result);
}

int probe_once(struct loop *l, const struct probe_spec *s, probe_fn *fn, void *arg, struct err *e)
{
	struct once *o = xcalloc(1, sizeof(*o));

	o->spec = *s;
	o->fn = fn;
	o->arg = arg;
	o->run = run_new(l, &o->spec, e);
	if (!o->run) {
		free(o);
		return -1;
	}
	run_start(o->run, on_once, o);
	return 0;
}
