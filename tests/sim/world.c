/* world.c - event queue, random numbers, clocks, the network, the arbiter. */
#include "tests/sim/sim.h"

#include <math.h>
#include <stdarg.h>

/* --- random numbers (splitmix64) ------------------------------------------------------------------------------------ */

static uint64_t next(struct world *w)
{
	uint64_t z = (w->rng += 0x9E3779B97F4A7C15u);

	z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
	z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
	return z ^ (z >> 31);
}

double rnd(struct world *w)
{
	return (double)(next(w) >> 11) * 0x1.0p-53;
}

double rnd_in(struct world *w, double lo, double hi)
{
	return lo + (hi - lo) * rnd(w);
}

unsigned pick(struct world *w, unsigned n)
{
	return (unsigned)(rnd(w) * n);
}

/* --- clocks ------------------------------------------------------------------------------------------------------------ */

us_t local(const struct node *n, us_t t)
{
	return (us_t)floor(n->offset + n->rate * (double)t);
}

us_t local_now(const struct node *n)
{
	return local(n, n->w->t);
}

/* --- queue: a binary heap, ties in the order of arrival --------------------------------------------------------------- */

static bool before(const struct event *a, const struct event *b)
{
	return a->t < b->t || (a->t == b->t && a->seq < b->seq);
}

static void push(struct world *w, struct event e)
{
	size_t i;

	if (w->n == w->cap) {
		w->cap = w->cap ? w->cap * 2 : 1024;
		w->heap = realloc(w->heap, w->cap * sizeof(*w->heap));
		if (!w->heap)
			abort();
	}
	for (i = w->n++; i && before(&e, &w->heap[(i - 1) / 2]); i = (i - 1) / 2)
		w->heap[i] = w->heap[(i - 1) / 2];
	w->heap[i] = e;
}

static struct event pop(struct world *w)
{
	struct event top = w->heap[0], last = w->heap[--w->n];
	size_t i = 0, k;

	for (; (k = 2 * i + 1) < w->n; i = k) {
		if (k + 1 < w->n && before(&w->heap[k + 1], &w->heap[k]))
			k++;
		if (!before(&w->heap[k], &last))
			break;
		w->heap[i] = w->heap[k];
	}
	w->heap[i] = last;
	return top;
}

void at(struct world *w, us_t in, enum what what, int node, uint64_t a, uint64_t b, void *p)
{
	push(w, (struct event){ w->t + (in > 0 ? in : 0), ++w->seq, what, node, a, b, p });
}

/* --- story --------------------------------------------------------------------------------------------------------------- */

void tell_world(struct world *w, const char *fmt, ...)
{
	va_list ap;

	if (!w->story)
		return;
	printf("%10.6f  --  ", (double)w->t / 1e6);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
}

void tell(struct node *n, const char *fmt, ...)
{
	va_list ap;

	if (!n->w->story)
		return;
	printf("%10.6f  %s  ", (double)n->w->t / 1e6, n->w->conf.name[n->me]);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
}

/* --- the network ------------------------------------------------------------------------------------------------------------ */

us_t net_delay(struct world *w)
{
	if (w->calm || rnd(w) < .75)
		return 200;
	if (rnd(w) < .92)
		return (us_t)rnd_in(w, 0, 50e3);
	return (us_t)rnd_in(w, 0, w->tidy ? 200e3 : 3e6);
}

static bool passes(struct world *w, int from, int to)
{
	return w->link[from][to] && (w->loss <= 0 || rnd(w) >= w->loss);
}

/* Are the two nodes connected both ways, as TCP needs it? */
bool linked(const struct world *w)
{
	return w->link[0][1] && w->link[1][0] && w->node[0].power && w->node[1].power;
}

static struct packet *packet_new(struct world *w)
{
	struct packet *p = w->free_packets;

	if (p)
		w->free_packets = p->next;
	else if (!(p = malloc(sizeof(*p))))
		abort();
	return p;
}

static us_t way(struct world *w, int from, int to)
{
	if (w->phase == 1 && from == 1 && to == 0)
		return 225000; /* the directed run's one slow confirmation */
	if (w->slow_ref && from == REF && to == 0)
		return w->slow_ref;
	return w->phase ? 500 : net_delay(w);
}

void send_packet(struct node *n, const struct msg *m)
{
	struct world *w = n->w;
	int to = 1 - n->me, copies = !w->calm && rnd(w) < .03 ? 2 : 1;
	uint64_t counter = ++n->counter; /* the shell's part of a packet */

	n->sent = w->t;
	if (w->packets)
		tell(n, "sends %s term %llu", msg_kind_names[m->kind], (unsigned long long)m->term);
	for (int i = 0; i < copies; i++) {
		struct packet *p;

		if (!passes(w, n->me, to))
			continue;
		p = packet_new(w);
		p->m = *m;
		p->played = false;
		p->m.counter = counter;
		p->start = n->start;
		p->echo = n->seen_start;
		p->sent = w->t;
		at(w, way(w, n->me, to), W_PACKET, to, 0, 0, p);
	}
}

static void hear_hold(struct node *n, const struct packet *p)
{
	bool newer = p->start > n->held_start || (p->start == n->held_start && p->m.counter > n->held_counter);

	if (!newer)
		return;
	n->held_start = p->start;
	n->held_counter = p->m.counter;
	if (p->m.role == ROLE_PRIMARY && p->m.term >= n->disk.term)
		n->held_until = p->m.hold_us ? n->w->t + (us_t)p->m.hold_us : 0;
}

/* A recorded packet is played back: of this life or an earlier one, a moment or half a minute old. */
static void play_back(struct world *w, int to, const struct packet *fresh)
{
	size_t i = pick(w, KEPT);
	struct packet *p;

	if (w->kept[i].start && w->kept[i].m.from == 1 - to && rnd(w) < .5) {
		p = packet_new(w);
		*p = w->kept[i];
		p->played = true;
		at(w, net_delay(w), W_PACKET, to, 0, 0, p);
	}
	w->kept[pick(w, KEPT)] = *fresh;
}

/* As wire/ does it: a new incarnation acts only once it has echoed ours, a past one never again. Doubled, reordered and played-back
 * packets of the present one are let through, however old, which is more than wire/ does. */
void on_packet(struct world *w, struct event *e)
{
	struct node *n = &w->node[e->node];
	struct packet *p = e->p;
	struct core_event ev = { .kind = EV_MSG, .msg = &p->m };

	if (put_off(w, e))
		return;
	if (!w->tidy && !p->played && rnd(w) < .02)
		play_back(w, e->node, p);
	if (n->running && p->played)
		check_older(n, &p->m);
	if (n->running && p->start >= n->seen_start) {
		n->seen_start = p->start; /* a hello is only echoed, by the next packet */
		if (p->echo == n->start && p->start >= n->peer_start) {
			n->peer_start = p->start;
			n->heard_config = p->m.config;
			hear_hold(n, p);
			if (p->sent > n->heard_sent)
				n->heard_sent = p->sent;
			node_feed(n, &ev);
		}
	}
	p->next = w->free_packets;
	w->free_packets = p;
}

/* --- the arbiter --------------------------------------------------------------------------------------------------------------- */

void ask(struct node *n, const struct core_action *a, bool cas)
{
	struct world *w = n->w;
	int copies = !w->calm && rnd(w) < .02 ? 2 : 1;

	if (w->packets && !cas)
		tell(n, "asks the register: read");
	if (w->packets && cas)
		tell(n, "asks the register: revision %lld to %s, term %llu, in sync %d, sequence %llu",
			(long long)a->rev, a->value.mode == REG_SOLO ? "solo" : "peer",
			(unsigned long long)a->value.term, a->value.sync.in_sync,
			(unsigned long long)a->value.sync.seq);
	at(w, (us_t)((double)w->conf.arbiter_timeout / n->rate), W_GIVE_UP, n->me, a->id, n->start, NULL);
	for (int i = 0; i < copies; i++) {
		struct question *q = w->free_questions;

		if (!passes(w, n->me, ARB))
			continue;
		if (q)
			w->free_questions = q->next;
		else if (!(q = malloc(sizeof(*q))))
			abort();
		*q = (struct question){ .id = a->id, .start = n->start, .cas = cas, .rev = a->rev };
		if (cas)
			q->value = a->value;
		at(w, way(w, n->me, ARB), W_ASK, n->me, 0, 0, q);
	}
}

static void question_free(struct world *w, struct question *q)
{
	q->next = w->free_questions;
	w->free_questions = q;
}

void on_ask(struct world *w, struct event *e)
{
	struct question *q = e->p;

	if (!w->arb_up) {
		if (rnd(w) < .5) { /* refused at once */
			q->outcome = REG_UNKNOWN;
			at(w, way(w, ARB, e->node), W_ANSWER, e->node, 0, 0, q);
		} else {
			question_free(w, q);
		}
		return;
	}
	q->outcome = REG_OK;
	if (q->cas && q->rev == (w->exists ? w->rev : 0)) {
		w->rev += 1 + (int64_t)pick(w, 3); /* revisions are the store's, not the key's */
		w->value = q->value;
		w->exists = true;
	} else if (q->cas) {
		q->outcome = REG_LOST;
	}
	q->rev = w->exists ? w->rev : 0;
	q->value = w->value;
	if (!passes(w, ARB, e->node)) {
		question_free(w, q);
		return;
	}
	at(w, way(w, ARB, e->node), W_ANSWER, e->node, 0, 0, q);
}

void on_answer(struct world *w, struct event *e)
{
	struct question *q = e->p;
	struct node *n = &w->node[e->node];
	struct core_event ev = { .kind = EV_REGISTER, .reg = { q->id, q->outcome, q->rev, q->value } };

	if (put_off(w, e))
		return;
	if (n->running && n->start == q->start)
		node_feed(n, &ev);
	question_free(w, q);
}

/* --- the world around ----------------------------------------------------------------------------------------------------------- */

/* A reference address answers when it is reached both ways. Signs of the other's life are seen only over a whole path to it, and
 * not always; what errs, errs to the safe side. An answer may come after the shell has given up. */
void ask_witness(struct node *n, const struct core_action *a)
{
	struct world *w = n->w;
	struct node *o = &w->node[1 - n->me];
	bool reached = passes(w, n->me, REF) && passes(w, REF, n->me) && rnd(w) >= w->lies;
	bool seen = linked(w) && (gate_open(o) || address_held(o)) && (w->calm || rnd(w) < .9);
	uint64_t bits = (reached ? SAW_REACHED : 0) | (seen || rnd(w) < w->lies ? SAW_VETO : 0);
	us_t in = way(w, n->me, REF) + way(w, REF, n->me);

	memmove(&n->asked[1], &n->asked[0], sizeof(n->asked) - sizeof(n->asked[0]));
	n->asked[0].id = a->id;
	n->asked[0].kind = a->witness;
	n->asked[0].at = n->list_at;
	at(w, in, W_WITNESS, n->me, a->id | bits << 32, n->start, NULL);
	at(w, (us_t)((double)a->timeout_us / n->rate), W_WITNESS, n->me, a->id, n->start, NULL);
}

void on_witness_answer(struct world *w, struct event *e)
{
	struct node *n = &w->node[e->node];
	unsigned bits = (unsigned)(e->a >> 32);
	struct core_event ev = { .kind = EV_WITNESS,
		.witness = { (uint32_t)e->a, bits & SAW_REACHED, bits & SAW_VETO, bits & SAW_VETO ? "it lives" : "" } };

	if (!n->running || n->start != e->b || put_off(w, e))
		return;
	if (w->packets)
		tell(n, "the world around: %sreached%s", ev.witness.reached ? "" : "not ",
			ev.witness.veto ? ", a veto" : "");
	for (size_t i = 0; i < ARRAY_LEN(n->asked) && ev.witness.reached; i++)
		if (n->asked[i].id == ev.witness.id && n->core->ask.id == ev.witness.id &&
			(n->core->holding || n->core->ask.ground != GROUND_NONE) && n->asked[i].at > n->confirmed)
			n->confirmed = n->asked[i].at;
	node_feed(n, &ev);
}

/* --- running -------------------------------------------------------------------------------------------------------------------- */

bool put_off(struct world *w, struct event *e)
{
	struct node *n = &w->node[e->node];
	struct event again = *e;

	if (!n->running || (n->stalled <= w->t && (!n->out_held || e->what == W_CONTINUE)))
		return false;
	again.t = n->stalled > w->t ? n->stalled : w->t + 1;
	again.seq = ++w->seq;
	push(w, again);
	return true;
}

static void on_give_up(struct world *w, struct event *e)
{
	struct node *n = &w->node[e->node];
	struct core_event ev = { .kind = EV_REGISTER, .reg = { .id = (uint32_t)e->a, .outcome = REG_UNKNOWN } };

	if (!put_off(w, e) && n->running && n->start == e->b)
		node_feed(n, &ev);
}

static void on_chaos(struct world *w, struct event *e)
{
	(void)e;
	chaos(w);
}

static void on_heal(struct world *w, struct event *e)
{
	(void)e;
	heal(w);
}

static void on_care(struct world *w, struct event *e)
{
	(void)e;
	care(w);
}

static void on_hook(struct world *w, struct event *e)
{
	(void)e;
	w->hook(w);
}

typedef void what_fn(struct world *w, struct event *e);
static what_fn *const table[W_COUNT] = {
	[W_WAKE] = node_event,
	[W_PACKET] = on_packet,
	[W_ASK] = on_ask,
	[W_ANSWER] = on_answer,
	[W_WITNESS] = on_witness_answer,
	[W_GIVE_UP] = on_give_up,
	[W_EFFECT] = node_event,
	[W_MOVES] = node_event,
	[W_RESULT] = node_event,
	[W_CONTINUE] = node_event,
	[W_OBSERVE] = server_event,
	[W_FACTS] = server_event,
	[W_BOOT] = node_event,
	[W_SERVER_UP] = server_event,
	[W_LATE] = server_event,
	[W_FETCH] = server_event,
	[W_APPLY] = server_event,
	[W_ACK] = server_event,
	[W_WRITE] = server_event,
	[W_CHAOS] = on_chaos,
	[W_HEAL] = on_heal,
	[W_CARE] = on_care,
	[W_HOOK] = on_hook,
};

void world_run(struct world *w)
{
	while (w->n && !w->over && !w->bad[0]) {
		struct event e = pop(w);

		if (e.t > w->end) {
			push(w, e); /* world_free frees what it carries */
			break;
		}
		w->t = e.t;
		w->events++;
		table[e.what](w, &e);
	}
}

/* --- a new world ------------------------------------------------------------------------------------------------------------------ */

static void conf_init(struct world *w)
{
	struct core_conf *c = &w->conf;
	double r = rnd(w);

	c->prefer = r < .5 ? 0 : NOBODY;
	snprintf(c->name[0], sizeof(c->name[0]), "n1");
	snprintf(c->name[1], sizeof(c->name[1]), "n2");
	r = rnd(w);
	c->mode = r < .66 ? CORE_ARBITER : r < .8 ? CORE_REFERENCE : r < .92 ? CORE_FENCE : CORE_MANUAL;
	c->lease = US_PER_SEC;
	c->interval = rnd(w) < .5 ? 100 * US_PER_MS : 150 * US_PER_MS;
	c->arbiter_timeout = 300 * US_PER_MS;
	c->witness_timeout = 200 * US_PER_MS;
	c->fence_timeout = 2 * US_PER_SEC;
	c->fence_delay = 500 * US_PER_MS;
	c->has_mysql = true;
	c->has_redis = rnd(w) < .2;
	c->has_vip = true;
	c->has_upstreams = rnd(w) < .3;
	c->has_hooks = rnd(w) < .2;
	c->lossless = rnd(w) < .8;
	c->max_freeze = US_PER_SEC;
	c->flap_window = rnd(w) < .15 ? (us_t)rnd_in(w, 2e6, 20e6) : 0;
	c->required = c->lossless && rnd(w) < .3;
}

static void node_init(struct world *w, int me)
{
	struct node *n = &w->node[me];

	n->w = w;
	n->me = me;
	n->rate = 1 + rnd_in(w, -.05, .05) * w->skew;
	n->offset = rnd_in(w, 1e6, 1e9);
	n->power = true;
	n->boot = 1 + pick(w, 1u << 30);
	n->core = calloc(1, core_size());
	if (!n->core)
		abort();
	n->db.up = true;
	n->db.start = 1 + pick(w, 1u << 30);
	n->db.writable = me == 0;
	n->db.replicating = me == 1;
	n->db.redis_master = me == 0;
	n->wake_at = US_NEVER;
	n->gate = -1;
	at(w, (us_t)rnd_in(w, 0, 5e5), W_BOOT, me, 0, 0, NULL);
}

void world_init(struct world *w, uint64_t seed)
{
	double skew = w->skew > 0 ? w->skew : 1;
	bool story = w->story, packets = w->packets;

	memset(w, 0, sizeof(*w));
	w->story = story;
	w->packets = packets;
	w->skew = skew;
	w->seed = seed;
	w->rng = seed * 0xD1342543DE82EF95u + 1;
	w->calm = w->arb_up = true;
	w->acked = calloc(1, MAX_ROWS);
	w->both = calloc(1, MAX_ROWS);
	if (!w->acked || !w->both)
		abort();
	for (int i = 0; i < PLACES; i++)
		for (int k = 0; k < PLACES; k++)
			w->link[i][k] = true;
	w->file[0] = w->file[1] = 7;
	conf_init(w);
	for (int i = 0; i < NODES; i++)
		node_init(w, i);
	w->value.holder = NOBODY;
	w->heal_at = 36 * US_PER_SEC;
	w->end = 90 * US_PER_SEC;
	at(w, (us_t)2.5e6, W_CHAOS, 0, 0, 0, NULL);
	at(w, w->heal_at, W_HEAL, 0, 0, 0, NULL);
	at(w, 300 * US_PER_MS, W_WRITE, 0, 0, 0, NULL);
}

void world_free(struct world *w)
{
	for (size_t i = 0; i < w->n; i++) {
		enum what k = w->heap[i].what;

		if (k == W_PACKET || k == W_ASK || k == W_ANSWER || k == W_FACTS)
			free(w->heap[i].p);
	}
	for (struct packet *p = w->free_packets, *q; p; p = q) {
		q = p->next;
		free(p);
	}
	for (struct question *p = w->free_questions, *q; p; p = q) {
		q = p->next;
		free(p);
	}
	for (int i = 0; i < NODES; i++)
		free(w->node[i].core);
	free(w->heap);
	free(w->acked);
	free(w->both);
}
