/* server.c - databases like MySQL's with semi-synchronous replication, and the clients that write through the address. */
#include "tests/sim/sim.h"

static struct node *other(struct node *n)
{
	return &n->w->node[1 - n->me];
}

bool gate_open(const struct node *n)
{
	return n->power && n->gate > local_now(n);
}

bool address_held(const struct node *n)
{
	return n->power && n->address && local_now(n) < n->address_until;
}

/* Every row of a stands in b, in the same order. Rows are unique, so the last common place decides. */
bool prefix_of(const struct server *a, const struct server *b)
{
	return a->len <= b->len && (a->len == 0 || a->log[a->len - 1] == b->log[a->len - 1]);
}

/* --- commits ------------------------------------------------------------------------------------------------------- */

static void acknowledge(struct node *n, int from, int to)
{
	struct world *w = n->w;

	for (int i = from; i < to && i < n->db.len; i++) {
		if (!gate_open(n) || !address_held(n))
			return; /* the answer does not reach the client */
		if (w->acked[n->db.log[i]])
			continue;
		w->acked[n->db.log[i]] = n->db.bare || torn(w) ? 2 : 1;
		if (w->conf.required && !n->db.bare && !w->both[n->db.log[i]])
			fail(w, "row %d is acknowledged though %s alone has it and both nodes are required",
				n->db.log[i], w->conf.name[n->me]);
		w->n_acked++;
	}
}

static void waiting_return(struct node *n)
{
	int from = n->db.wait_from;

	n->db.wait_from = n->db.len;
	acknowledge(n, from, n->db.len);
}

void fetch_soon(struct node *n, us_t in)
{
	if (n->db.fetching || !n->db.replicating)
		return;
	n->db.fetching = true;
	at(n->w, in, W_FETCH, n->me, 0, 0, NULL);
}

static void on_write(struct world *w)
{
	us_t again = w->tidy ? 120 * US_PER_MS : 60 * US_PER_MS;

	for (int i = 0; i < NODES; i++) {
		struct node *n = &w->node[i];
		struct server *s = &n->db;

		if (!gate_open(n) || !address_held(n) || !s->up || !s->writable || s->len >= MAX_ROWS - 1)
			continue;
		s->log[s->len++] = ++w->rows;
		s->exec = s->len;
		if (!s->semi_on) {
			s->wait_from = s->len;
			acknowledge(n, s->len - 1, s->len);
		}
		fetch_soon(other(n), net_delay(w));
	}
	if (w->rows < MAX_ROWS - 4)
		at(w, again + (us_t)rnd_in(w, 0, 20e3), W_WRITE, 0, 0, 0, NULL);
}

/* --- replication --------------------------------------------------------------------------------------------------------- */

static bool connected(const struct node *replica)
{
	const struct node *source = &replica->w->node[1 - replica->me];

	return replica->db.up && replica->db.replicating && source->db.up && linked(replica->w);
}

static void on_fetch(struct node *n)
{
	struct world *w = n->w;
	struct server *s = &n->db, *from = &other(n)->db;

	s->fetching = false;
	if (!s->replicating || !s->up)
		return;
	if (!connected(n) || !prefix_of(s, from)) {
		fetch_soon(n, 150 * US_PER_MS);
		return;
	}
	if (s->len < from->len) {
		memcpy(s->log + s->len, from->log + s->len, (size_t)(from->len - s->len) * sizeof(int));
		for (int i = s->len; i < from->len; i++)
			w->both[s->log[i]] = 1;
		s->len = from->len;
		at(w, rnd(w) < .95 ? (us_t)rnd_in(w, 200, 20e3) : (us_t)rnd_in(w, 0, 1e6), W_APPLY, n->me,
			(uint64_t)s->len, (uint64_t)s->start, NULL);
	}
	at(w, net_delay(w), W_ACK, 1 - n->me, (uint64_t)s->len, (uint64_t)from->start, NULL);
}

static void on_apply(struct node *n, struct event *e)
{
	struct server *s = &n->db;

	if (s->up && (uint64_t)s->start == e->b && s->exec < (int)e->a && (int)e->a <= s->len)
		s->exec = (int)e->a;
}

static void on_ack(struct node *n, struct event *e)
{
	struct server *s = &n->db;
	int to = (int)e->a;

	if (!s->up || (uint64_t)s->start != e->b || !s->semi_on || to <= s->wait_from || to > s->len)
		return;
	acknowledge(n, s->wait_from, to);
	s->wait_from = to;
	if (to < s->len)
		fetch_soon(other(n), net_delay(n->w));
}

/* --- life of a server ------------------------------------------------------------------------------------------------------- */

void server_kill(struct node *n)
{
	struct server *s = &n->db;

	if (!s->up)
		return;
	tell(n, "the database server ends");
	s->up = s->writable = s->semi_on = s->fetching = false;
	s->down_since = n->w->t;
	s->wait_from = s->len;
	if (rnd(n->w) < .5 && s->exec < s->len)
		s->len = s->exec; /* what was received and not applied is gone with the relay log */
	s->wait_from = s->len;
	observe_soon(n);
}

static void server_up(struct node *n, bool writable)
{
	struct server *s = &n->db;

	if (s->up || !n->power)
		return;
	s->up = true;
	s->start = 1 + pick(n->w, 1u << 30);
	s->exec = s->wait_from = s->len;
	s->writable = writable && !s->replicating;
	s->semi_on = false;
	s->bare = s->writable;
	if (writable)
		s->replicating = false;
	tell(n, "the database server is back%s", s->writable ? ", writable and unprotected" : "");
	fetch_soon(n, 5000);
	observe_soon(n);
}

/* --- what the shell sees ------------------------------------------------------------------------------------------------------ */

void observe_soon(struct node *n)
{
	if (!n->running)
		return;
	at(n->w, (us_t)rnd_in(n->w, 500, 30e3), W_OBSERVE, n->me, 0, n->start, NULL);
}

static void look(struct node *n, struct core_facts *f)
{
	struct world *w = n->w;
	const struct server *s = &n->db, *o = &other(n)->db;
	bool redis_w = w->conf.has_redis && s->redis_master;
	bool peer_streams = connected(other(n)) && prefix_of(o, s);

	memset(f, 0, offsetof(struct core_facts, gtid));
	memset(f->section, 0, sizeof(f->section));
	f->gtid[0] = f->why[0] = '\0';
	f->known = true;
	f->writable = (s->up && s->writable) || redis_w;
	f->mysql_writable = s->up && s->writable;
	f->replicating = s->replicating;
	f->following =
		s->up && s->replicating && connected(n) && prefix_of(s, o) && !(w->conf.has_redis && s->redis_master);
	f->frozen = !f->writable;
	f->shut = (s->up && !s->writable) || (w->conf.has_redis && !s->redis_master);
	f->ready = s->up;
	f->ill = !s->up && w->t - s->down_since > 60 * US_PER_MS;
	f->semi_on = s->up && s->semi_on;
	f->standby_streams = peer_streams && o->len >= s->len - 2;
	f->standby_lost = !peer_streams;
	f->crowded = w->conf.required && s->up && s->semi_on && s->len - s->wait_from > 25;
	f->address_held = address_held(n);
	f->db_start = s->up ? s->start : 0;
	f->boot = n->boot;
	f->config = n->config;
	f->section[SECTION_PROBES] = (uint32_t)n->config;
	if (w->probe_lies > 0 && rnd(w) < w->probe_lies)
		f->ill = !f->ill;
	if (w->probe_lies > 0 && rnd(w) < w->probe_lies)
		f->ready = !f->ready;
	if (!s->up || f->ill)
		snprintf(f->why, sizeof(f->why), "the database server does not run");
}

static uint64_t digest(const struct core_facts *f)
{
	uint64_t d = (uint64_t)f->db_start * 31 + f->boot * 7;

	d = d * 2 + f->writable;
	d = d * 2 + f->replicating;
	d = d * 2 + f->mysql_writable;
	d = d * 2 + f->following;
	d = d * 2 + f->shut;
	d = d * 2 + f->ready;
	d = d * 2 + f->ill;
	d = d * 2 + f->semi_on;
	d = d * 2 + f->standby_streams;
	d = d * 2 + f->standby_lost;
	d = d * 2 + f->crowded;
	return d * 2 + f->address_held;
}

static void on_observe(struct world *w, struct event *e)
{
	struct node *n = &w->node[e->node];
	struct core_facts f;
	uint64_t d;

	if (!n->running || n->start != e->b || put_off(w, e))
		return;
	if (!n->observing || e->a) { /* one chain of regular looks a start; others are extra */
		n->observing = true;
		at(w, (us_t)rnd_in(w, 120e3, 200e3), W_OBSERVE, n->me, 1, n->start, NULL);
	}
	if (w->t < n->sees_at)
		return;
	look(n, &f);
	d = digest(&f);
	if (d != n->facts_digest || w->t - n->facts_sent > 900 * US_PER_MS || n->facts_sent < 0) {
		struct core_facts *copy = malloc(sizeof(*copy));

		if (!copy)
			abort();
		memcpy(copy, &f, sizeof(f));
		n->facts_digest = d;
		n->facts_sent = w->t;
		at(w, (us_t)rnd_in(w, 50, rnd(w) < .9 ? 3e3 : 60e3), W_FACTS, n->me, 0, n->start, copy);
	}
}

static void on_facts(struct world *w, struct event *e)
{
	struct node *n = &w->node[e->node];
	struct core_facts *f = e->p;
	struct core_event ev = { .kind = EV_FACTS, .facts = f };

	if (n->running && n->start == e->b) {
		if (put_off(w, e))
			return;
		node_feed(n, &ev);
		if (f->db_start == n->db.start && n->role != ROLE_STARTING && !n->out_held &&
			!(w->conf.required && n->role == ROLE_PROMOTING))
			n->db.bare = false; /* from now on the core knows what came back, and has acted on it */
	}
	free(f);
}

/* --- what steps do ------------------------------------------------------------------------------------------------------------ */

static bool no(char *text, size_t size, const char *why)
{
	snprintf(text, size, "%s", why);
	return false;
}

static bool promote(struct node *n, int64_t db_start, char *text, size_t size)
{
	struct server *s = &n->db;

	if (!s->up)
		return no(text, size, "the server does not run");
	if (db_start && db_start != s->start)
		return no(text, size, "the server was restarted since it was in sync");
	s->exec = s->len;
	if (n->w->conf.required) { /* what waits already goes on waiting */
		s->wait_from = s->writable && s->semi_on ? s->wait_from : s->len;
		s->semi_on = true;
	} else {
		s->semi_on = false;
		waiting_return(n);
	}
	s->replicating = false;
	s->writable = true;
	return true;
}

static bool follow(struct node *n, char *text, size_t size)
{
	struct server *s = &n->db, *o = &other(n)->db;

	if (!s->up || !o->up || !linked(n->w))
		return no(text, size, "cannot connect to the primary's server");
	s->writable = s->semi_on = false;
	s->wait_from = s->len;
	s->exec = s->len;
	if (!prefix_of(s, o))
		return no(text, size, "diverged: rows here that the primary lacks");
	s->replicating = true;
	fetch_soon(n, 1000);
	return true;
}

/* Fenced: off, and back some time later. */
static void power_off(struct node *n, struct node *o)
{
	struct world *w = n->w;

	tell(n, "the fence device switches %s off", w->conf.name[o->me]);
	if (!o->power)
		return;
	node_crash(o, true);
	at(w, (us_t)rnd_in(w, 3e4, rnd(w) < .3 ? 5e5 : 8e6), W_BOOT, o->me, 0, 0, NULL);
}

/* The effect itself, at once. False: refused, nothing done. */
bool effect(struct node *n, enum step_kind k, int64_t db_start, char *text, size_t size)
{
	struct server *s = &n->db;
	struct node *o = other(n);

	text[0] = '\0';
	switch (k) {
	case STEP_FENCE:
		power_off(n, o);
		return true;
	case STEP_MYSQL_PROMOTE:
		return promote(n, db_start, text, size);
	case STEP_MYSQL_VERIFY:
		if (s->up && s->writable && !s->replicating && !s->semi_on && n->w->conf.required)
			return no(text, size, "semi-sync is off");
		return s->up && s->writable && !s->replicating ? true : no(text, size, "not writable");
	case STEP_REDIS_PROMOTE:
		s->redis_master = true;
		return true;
	case STEP_REDIS_VERIFY:
		return s->redis_master ? true : no(text, size, "not master");
	case STEP_ADDRESS_ADD:
		n->address = true;
		n->address_until = local_now(n) + 3 * US_PER_SEC;
		return true;
	case STEP_ADDRESS_DEL:
		n->address = false;
		return true;
	case STEP_MYSQL_FREEZE:
		if (!s->up)
			return no(text, size, "the server does not run");
		s->writable = false;
		return true;
	case STEP_MYSQL_UNFREEZE:
		if (!s->up || s->replicating)
			return no(text, size, "the server does not run, or replicates");
		if (db_start && db_start != s->start)
			return no(text, size, "the server was restarted since it was frozen");
		s->writable = true;
		return true;
	case STEP_MYSQL_DEMOTE:
		s->writable = s->semi_on = false;
		waiting_return(n);
		return true;
	case STEP_REDIS_DEMOTE:
	case STEP_REDIS_FOLLOW:
		s->redis_master = false;
		return true;
	case STEP_REDIS_HANDOVER:
		if (!linked(n->w))
			return no(text, size, "the other Redis does not answer");
		s->redis_master = false;
		o->db.redis_master = true;
		return true;
	case STEP_REDIS_RECLAIM:
		s->redis_master = true;
		o->db.redis_master = false;
		return true;
	case STEP_MYSQL_FOLLOW:
		return follow(n, text, size);
	case STEP_SYNC_OFF:
		if (!s->up)
			return no(text, size, "the server does not run");
		s->semi_on = false;
		waiting_return(n);
		return true;
	default:
		return true;
	}
}

/* Steps that wait for the other server. True: over. */
static bool waits(struct node *n, struct doing *d)
{
	struct server *s = &n->db, *o = &other(n)->db;
	bool there;

	if (d->step == STEP_SYNC_ON) {
		if (!s->up) {
			d->outcome = STEP_FAILED;
			return true;
		}
		if (d->mark < 0) {
			s->wait_from = s->semi_on ? s->wait_from : s->len;
			s->semi_on = true;
			d->mark = s->len;
			observe_soon(n);
		}
		there = connected(other(n)) && prefix_of(o, s) && o->len >= d->mark;
	} else if (d->step == STEP_MYSQL_REACH) {
		there = linked(n->w) && o->up && o->exec >= s->len && prefix_of(s, o);
	} else {
		return true;
	}
	if (there)
		return true;
	if (n->w->t < d->deadline) {
		at(n->w, 10 * US_PER_MS, W_EFFECT, n->me, d->serial, n->start, NULL);
		return false;
	}
	d->outcome = STEP_FAILED;
	snprintf(d->text, sizeof(d->text), "the other server did not get there in time");
	return true;
}

static bool late_kind(enum step_kind k)
{
	return k == STEP_MYSQL_FREEZE || k == STEP_MYSQL_DEMOTE || k == STEP_MYSQL_FOLLOW || k == STEP_FENCE;
}

void do_effect(struct node *n, struct doing *d)
{
	struct world *w = n->w;
	bool expired = d->until != US_NEVER && local_now(n) >= d->until;
	us_t result_in = 50;
	bool touch = true;

	if (d->done)
		return;
	if (expired) {
		d->outcome = STEP_FAILED;
		snprintf(d->text, sizeof(d->text), "authority ended");
		touch = false;
	} else if (d->outcome != STEP_OK) {
		touch = rnd(w) < .5 && !(d->step == STEP_FENCE && w->fence_dead);
		if (!d->text[0])
			snprintf(d->text, sizeof(d->text), "bad luck");
		if (d->outcome == STEP_UNKNOWN)
			result_in = d->deadline > w->t ? d->deadline - w->t : 50;
		if (d->outcome == STEP_UNKNOWN && !touch && late_kind(d->step))
			at(w, result_in + (us_t)rnd_in(w, 0, 2e6), W_LATE, n->me, d->step, (uint64_t)n->db.start, NULL);
	}
	if (touch && d->step == STEP_GATE_OPEN) {
		n->gate = d->until;
		n->address_until = d->until + 1500 * US_PER_MS;
		tell(n, "gate open");
		check_gates(w);
		check_opened(n);
	} else if (touch) {
		char text[80];

		if (!waits(n, d))
			return;
		if (!effect(n, d->step, d->db_start, text, sizeof(text)) && d->outcome == STEP_OK) {
			d->outcome = STEP_FAILED;
			snprintf(d->text, sizeof(d->text), "%s", text);
		}
		n->facts_digest = 0; /* what it brought about is told, news or not */
		observe_soon(n);
	}
	d->done = true;
	at(w, result_in, W_RESULT, n->me, d->serial, n->start, NULL);
}

/* The helper is gone, so of its statements only the one that was waiting for a lock takes effect: the freeze. */
static void on_late(struct node *n, struct event *e)
{
	if (e->a == STEP_FENCE) {
		power_off(n, other(n));
		return;
	}
	if (!n->db.up || (uint64_t)n->db.start != e->b)
		return;
	tell(n, "the freeze of a late %s takes effect", step_names[e->a]);
	n->db.writable = false;
	observe_soon(n);
}

void server_event(struct world *w, struct event *e)
{
	struct node *n = &w->node[e->node];

	switch (e->what) {
	case W_OBSERVE:
		on_observe(w, e);
		break;
	case W_FACTS:
		on_facts(w, e);
		break;
	case W_SERVER_UP:
		server_up(n, e->a);
		break;
	case W_LATE:
		on_late(n, e);
		break;
	case W_FETCH:
		on_fetch(n);
		break;
	case W_APPLY:
		on_apply(n, e);
		break;
	case W_ACK:
		on_ack(n, e);
		break;
	case W_WRITE:
		on_write(w);
		break;
	default:
		break;
	}
}
