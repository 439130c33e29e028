/* prober.c - when to probe what: interval, suspicion, confirmation, rise and fall. One slot a spec, no overlap in a slot. */
#include "probes/run.h"

static const us_t spread = 2 * US_PER_MS; /* between the first probes of neighbouring specs */

struct slot {
	struct prober *prober;
	struct probe_spec spec;
	struct probe_state state;
	struct run *run;
	struct timer *next;
	us_t started;
	bool again; /* news came while a probe was in flight, which may have asked before the news was true */
};

struct prober {
	struct slot *slots;
	size_t n;
	prober_fn *fn;
	void *arg;
};

static void on_result(void *arg, const struct probe_result *r)
{
	struct slot *s = arg;
	struct prober *p = s->prober;
	int was = (int)s->state.state;
	us_t pause = state_take(&s->state, r, now_us());

	/* in the past, and so at once, when the probe took longer than the pause */
	timer_at(s->next, s->started + (s->again ? 0 : pause));
	s->again = false;
	p->fn(p->arg, (size_t)(s - p->slots), &s->state, was);
}

static void start(struct slot *s, us_t now)
{
	s->started = now;
	s->again = false;
	timer_off(s->next);
	run_start(s->run, on_result, s);
}

static void on_next(void *arg, us_t now)
{
	start(arg, now);
}

static void on_news(void *arg)
{
	struct slot *s = arg;
	prober_hurry(s->prober, (size_t)(s - s->prober->slots));
}

static int slot_open(struct slot *s, struct loop *l, struct err *e)
{
	s->run = run_new(l, &s->spec, e);
	if (!s->run)
		return -1;
	s->run->news = on_news;
	s->run->news_arg = s;
	s->state.spec = &s->spec;
	s->next = timer_new(l, on_next, s);
	return 0;
}

struct prober *prober_new(
	struct loop *l, const struct probe_spec *specs, size_t n, prober_fn *fn, void *arg, struct err *e)
{
	struct prober *p = xcalloc(1, sizeof(*p));
	us_t now = now_us();

	p->slots = xcalloc(n ? n : 1, sizeof(*p->slots));
	p->n = n;
	p->fn = fn;
	p->arg = arg;
	for (size_t i = 0; i < n; i++) {
		struct slot *s = &p->slots[i];

		s->prober = p;
		s->spec = specs[i];
		if (slot_open(s, l, e)) {
			prober_free(p);
			return NULL;
		}
		timer_at(s->next, now + (us_t)i * spread % s->spec.interval);
	}
	return p;
}

void prober_free(struct prober *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < p->n; i++) {
		run_free(p->slots[i].run);
		timer_free(p->slots[i].next);
	}
	free(p->slots);
	free(p);
}

size_t prober_count(const struct prober *p)
{
	return p->n;
}

const struct probe_state *prober_look(const struct prober *p, size_t i)
{
	return &p->slots[i].state;
}

void prober_hurry(struct prober *p, size_t i)
{
	struct slot *s = &p->slots[i];

	if (run_busy(s->run))
		s->again = true;
	else
		timer_in(s->next, 0);
}
