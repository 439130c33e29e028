/* check.c - what must hold at every event, on true time. The ten invariants, and where each is checked:
 *
 *  1. at most one node answers for the address, and lets writes through it      check_gates, check_taken
 *  2. every promotion names its ground (lease, fence, word, operator)           has_ground
 *  3. terms rise, and are on disk before what is done in their name             do_persist (node.c), check_send, check_cas, check_opened
 *  4. older packets change nothing                                              check_older; played back in world.c
 *  5. this node is fenced from its clients before its authority ends            check_until: the gate's element never outlives it
 *  6. promotion and demotion in their order                                     check_step
 *  7. no out-of-sync standby promoted by itself                                 check_opened: it would lack acknowledged rows
 *  8. at boot neither address nor opened writes before authority                check_gate, check_step; term 0 keeps what it finds
 *  9. wall-clock jumps change nothing                                           by construction: the core is handed `now` of a monotonic clock
 *                                                                               and nothing else, and stores no moment on disk; here that clock
 *                                                                               differs by node in rate and value and begins anew at every boot
 * 10. every state has a way out                                                 is_well within a bound after healing (chaos.c, care), and
 *                                                                               every cell of the role table that can happen does (main.c)
 */
#include "tests/sim/sim.h"

#include <stdarg.h>

void fail(struct world *w, const char *fmt, ...)
{
	va_list ap;

	if (w->bad[0])
		return;
	va_start(ap, fmt);
	vsnprintf(w->bad, sizeof(w->bad), fmt, ap);
	va_end(ap);
	tell_world(w, "VIOLATION: %s", w->bad);
	dump(&w->node[0]);
	dump(&w->node[1]);
}

/* --- two at once -------------------------------------------------------------------------------------------------------- */

/* Is it, or can it still be, primary? */
static bool holds(struct node *n)
{
	return gate_open(n) || (n->power && n->running && authority_until(n->core) > local_now(n));
}

/* The one exception, in reference mode: the nodes are cut from each other and both reach the reference. It lasts until the primary
 * of the older term has heard of the newer one and has stopped; what either acknowledges meanwhile may be lost. */
bool torn(struct world *w)
{
	struct node *old = &w->node[w->torn_old];

	if (w->torn && old->heard_sent > w->torn_since && !holds(old))
		w->torn = false;
	return w->torn;
}

/* Invariant 1. Gates open by being set, and close by themselves: looking whenever one is set sees every overlap. */
void check_gates(struct world *w)
{
	if (gate_open(&w->node[0]) && gate_open(&w->node[1]) && !torn(w))
		fail(w, "two open gates at %.6f s", (double)w->t / 1e6);
}

/* A term changes hands while the other still holds one: never, but in the exception above. Cut means that
 * nothing has arrived here of what the other sent since it put the question by which a reference address confirmed it last, nor
 * the last thing it did send. */
static void check_taken(struct node *n)
{
	struct world *w = n->w;
	struct node *o = &w->node[1 - n->me];
	bool cut = n->heard_sent < o->confirmed && n->heard_sent < o->sent && n->confirmed;
	bool both = holds(o) && holds(n), was = torn(w);

	if (!both && !was)
		return;
	if (!was && (w->conf.mode != CORE_REFERENCE || !cut || n->forced)) {
		fail(w, "%s becomes primary while %s still is", w->conf.name[n->me], w->conf.name[o->me]);
		return;
	}
	w->torn = true;
	w->torn_since = w->t;
	w->torn_old = n->disk.term > o->disk.term ? o->me : n->me;
	tell(n, "both are primary now: cut from each other, both reach the reference");
}

/* Invariant 2: every promotion names its ground: a lease (the register's, the other's promise or vote, a reference address and no
 * veto), fencing, a word, the operator. What was fed to the core and what is on the disks say so, not the core's own rule. */
static bool has_ground(struct node *n)
{
	const struct fed *f = &n->fed;
	enum core_mode mode = n->w->conf.mode;
	bool word = n->w->node[1 - n->me].disk.released >= n->disk.other_term && n->disk.other_term;

	if (f->kind == EV_MSG && (f->msg == MSG_PROMISE || f->msg == MSG_VOTE))
		return true;
	if (mode == CORE_ARBITER)
		return f->kind == EV_REGISTER;
	if (mode == CORE_REFERENCE)
		return f->kind == EV_WITNESS && f->reached && (!f->veto || n->forced);
	if (mode == CORE_FENCE)
		return f->fenced || n->forced || word || (n->boot == n->disk.held_boot && n->disk.held == n->disk.term);
	return n->forced || n->core->facts.address_held; /* as it was shown to it */
}

static void check_promoted(struct node *n, const struct core_action *a)
{
	if (a->to != ROLE_PROMOTING || a->from == ROLE_PRIMARY || a->from == ROLE_PROMOTING)
		return;
	if (!has_ground(n))
		fail(n->w, "%s becomes primary of term %llu without a ground", n->w->conf.name[n->me],
			(unsigned long long)n->disk.term);
	check_taken(n);
}

/* Invariant 7, and 3. A promotion opened its gate: every acknowledged row must be there. */
void check_opened(struct node *n)
{
	static uint8_t here[MAX_ROWS];
	struct world *w = n->w;
	struct node *o = &w->node[1 - n->me];
	int missing = 0, example = 0;

	memset(here, 0, sizeof(here));
	for (int i = 0; i < n->db.exec; i++)
		here[n->db.log[i]] = 1;
	for (int i = 1; i <= w->rows; i++) {
		if (w->acked[i] != 1 || here[i])
			continue;
		if (n->forced) {
			w->acked[i] = 2;
			continue;
		}
		missing++;
		example = i;
	}
	if (missing && w->conf.lossless)
		fail(w, "%s opened its gate without %d acknowledged rows (row %d is one)", w->conf.name[n->me], missing,
			example);
	for (int i = 1; !w->conf.lossless && missing && i <= w->rows; i++)
		if (w->acked[i] == 1 && !here[i])
			w->acked[i] = 2;
	/* A reference address knows no terms: without an in-sync record a node may not have heard of the last one. Nor does a fence
	 * command or a person: what either gives across a cut is above what its node has heard of. */
	bool unheard = (w->conf.mode == CORE_REFERENCE && !w->conf.lossless) ||
		       (w->conf.mode == CORE_FENCE && (n->forced || w->top_forced));
	if (n->disk.term < w->top_term && !torn(w) && !unheard)
		fail(w, "%s opened its gate in term %llu after one had been open in term %llu", w->conf.name[n->me],
			(unsigned long long)n->disk.term, (unsigned long long)w->top_term);
	if (n->disk.term > w->top_term) {
		w->top_term = n->disk.term;
		w->top_forced = n->forced;
	}
	n->forced = false;
	if (o->core->cmd.stage == STAGE_NONE || o->core->cmd.c.kind != CMD_FAILOVER)
		o->forced = false;
}

/* --- invariant 3: what a term does must have been stored ----------------------------------------------- */

static void check_send(struct node *n, const struct msg *m)
{
	const struct core_disk *d = &n->disk;
	const char *who = n->w->conf.name[n->me];

	if (m->term > d->term)
		fail(n->w, "%s sends %s of term %llu, on its disk is %llu", who, msg_kind_names[m->kind],
			(unsigned long long)m->term, (unsigned long long)d->term);
	if ((m->kind == MSG_PROMISE || m->kind == MSG_VOTE) && (m->term != d->term || d->voted != 1 - n->me))
		fail(n->w, "%s gives a %s that is not on its disk", who, msg_kind_names[m->kind]);
	if ((m->kind == MSG_RENEW || m->kind == MSG_CLAIM) && (m->term != d->term || d->voted != n->me))
		fail(n->w, "%s sends a %s without its own stored vote", who, msg_kind_names[m->kind]);
	if (m->kind == MSG_RENEW && d->released >= d->term)
		fail(n->w, "%s asks for a term that it has released", who);
	if (m->kind == MSG_RELEASED && (d->released < m->term || gate_open(n)))
		fail(n->w, "%s says released, but %s", who, gate_open(n) ? "its gate is open" : "has not stored it");
	if (m->kind == MSG_RELEASED && n->db.up && n->db.writable && m->term == d->term && !n->db.bare)
		n->stage |= 1u << 16; /* a late statement or a person may open it again; counted only */
}

/* Invariant 5: whatever keeps the gate open is bounded by the authority held, so that the kernel shuts it no later. */
static void check_until(struct node *n, us_t until)
{
	us_t authority = authority_until(n->core);

	for (size_t i = n->out_at; i < n->out.n; i++)
		if (n->out.act[i].kind == ACT_GATE)
			return; /* the core is seen as it is after the whole list, and a later action shuts it at once */
	if (until > local_now(n) && until > authority)
		fail(n->w, "%s: its gate would stay open for %lld ms after its authority", n->w->conf.name[n->me],
			(long long)((until - authority) / US_PER_MS));
}

/* Invariants 6 and 8. */
static void check_step(struct node *n, const struct core_action *a)
{
	const char *who = n->w->conf.name[n->me];
	bool opening = a->step == STEP_MYSQL_PROMOTE || a->step == STEP_REDIS_PROMOTE || a->step == STEP_ADDRESS_ADD ||
		       a->step == STEP_GATE_OPEN || a->step == STEP_MYSQL_UNFREEZE || a->step == STEP_REDIS_RECLAIM;
	bool closing = a->step == STEP_MYSQL_DEMOTE || a->step == STEP_REDIS_DEMOTE || a->step == STEP_REDIS_HANDOVER;
	unsigned need = PROMOTED | VERIFIED | (n->w->conf.has_redis ? R_PROMOTED | R_VERIFIED : 0);

	if (a->step == STEP_GATE_OPEN)
		check_until(n, a->until);
	if (opening && (a->until == US_NEVER || n->disk.voted != n->me || n->disk.owner != n->me))
		fail(n->w, "%s: step %s without authority or without the term on disk", who, step_names[a->step]);
	if (closing && gate_open(n))
		fail(n->w, "%s: step %s while the gate is open", who, step_names[a->step]);
	if (n->role != ROLE_PROMOTING)
		return;
	if (a->step == STEP_ADDRESS_ADD && (n->stage & need) != need)
		fail(n->w, "%s: the address is added before the promotion is verified", who);
	if (a->step == STEP_GATE_OPEN && (n->stage & (need | ADDRESSED)) != (need | ADDRESSED))
		fail(n->w, "%s: the gate opens before the promotion is verified and the address is up", who);
}

/* Invariants 3 and 8. */
static void check_gate(struct node *n, const struct core_action *a)
{
	const struct core_disk *d = &n->disk;

	bool maybe = n->w->conf.mode == CORE_ARBITER ? n->core->reg.sync.in_sync : d->alone != d->term;
	bool bare = n->core->facts.mysql_writable && !n->core->facts.semi_on;

	check_until(n, a->until);
	if (n->role == ROLE_STARTING && !(a->until == 0 && (maybe || n->w->conf.required) && bare))
		fail(n->w, "%s touches the gate before it is confirmed", n->w->conf.name[n->me]);
	if (a->until > local_now(n) && (d->owner != n->me || d->voted != n->me || d->released >= d->term))
		fail(n->w, "%s keeps its gate open without holding the term on its disk", n->w->conf.name[n->me]);
}

/* The nodes are known to run with different configurations: no term changes hands but by a word or a person. The entry in
 * the register and what was fed to the core say so, not the core's own rule. */
static void check_config(struct node *n, const struct core_action *a)
{
	const struct core *c = n->core;
	bool stands = a->rev == (n->w->exists ? n->w->rev : 0); /* a swap of an older revision takes nothing */
	bool takes = stands && (!n->w->exists || n->w->value.holder != n->me);
	bool differs = n->heard_config && n->config != n->heard_config && c->facts.config;
	bool held = n->w->t < n->held_until - n->w->conf.flap_window / 8;			  /* clocks differ */
	bool own = n->disk.owner != 1 - n->me && n->disk.term && c->disk.held + c->disk.released; /* taken back */

	if (takes && held && !own && !n->forced && !c->peer_released)
		fail(n->w, "%s bids for term %llu within the window after a failover", n->w->conf.name[n->me],
			(unsigned long long)a->value.term);
	if (takes && differs && !own && !n->forced && !c->peer_released)
		fail(n->w, "%s bids for term %llu though the other runs with another configuration",
			n->w->conf.name[n->me], (unsigned long long)a->value.term);
}

static void check_cas(struct node *n, const struct core_action *a)
{
	const struct core_disk *d = &n->disk;
	const struct sync_record *r = &a->value.sync;
	struct node *o = &n->w->node[1 - n->me];

	check_config(n, a);
	if (a->value.term != d->term || d->voted != n->me)
		fail(n->w, "%s bids for term %llu before its own vote is stored", n->w->conf.name[n->me],
			(unsigned long long)a->value.term);
	if (r->in_sync && n->db.up && n->db.writable && !n->db.semi_on && !n->db.bare && n->role == ROLE_PRIMARY &&
		o->db.start == r->db_start)
		n->stage |= 1u << 17; /* a server restarted this instant; its rows are what counts */
}

/* A primary that is ill keeps its place while the other runs with another configuration. */
static void check_gives_up(struct node *n, const struct core_action *a)
{
	const struct core *c = n->core;
	bool word = a->from == ROLE_PRIMARY && a->to == ROLE_DEMOTING && c->release_after && !c->stopping;

	if (word && n->heard_config && c->facts.config && n->config != n->heard_config)
		fail(n->w, "%s hands over though the other runs with another configuration", n->w->conf.name[n->me]);
}

void check_action(struct node *n, const struct core_action *a)
{
	if (n->out.n >= CORE_MAX_ACTIONS)
		fail(n->w, "%s: an action list is full", n->w->conf.name[n->me]);
	if (a->kind == ACT_SEND)
		check_send(n, &a->msg);
	else if (a->kind == ACT_STEP)
		check_step(n, a);
	else if (a->kind == ACT_GATE)
		check_gate(n, a);
	else if (a->kind == ACT_REG_CAS)
		check_cas(n, a);
	else if (a->kind == ACT_ROLE) {
		if (a->to == ROLE_PROMOTING)
			n->held_until = 0; /* whoever takes a term counts a window of its own, from when it serves */
		check_gives_up(n, a);
		check_promoted(n, a);
	}
}

/* Invariant 4: a packet of an older term changes nothing, whichever life of the other it is of. Tried on a copy of the core. */
void check_older(struct node *n, const struct msg *m)
{
	static struct core copy;
	static struct core_out out;
	struct core_event ev = { .kind = EV_MSG, .msg = m }, tick = { .kind = EV_TICK };
	const struct core_disk *d = &n->core->disk;
	struct core *c = &copy;
	bool moved, voted;

	if (m->term >= d->term || (m->kind == MSG_RELEASED && m->term >= d->other_term))
		return; /* a word stands until the other holds again */
	memcpy(c, n->core, sizeof(*c));
	core_handle(c, &tick, local_now(n), &out); /* what time alone brings */
	enum role role = c->role;
	us_t until = authority_until(c), promise = c->promise;
	struct core_disk before = c->disk;

	core_handle(c, &ev, local_now(n), &out);
	/* What shows in a packet of a past life, were wire/ to let it through, could only make this node more careful. */
	moved = c->role != role && (m->incarnation == n->core->peer.incarnation || c->role == ROLE_PROMOTING);
	voted = (c->disk.voted != before.voted || c->disk.term != before.term) && c->disk.voted != n->me;
	if (moved || voted || authority_until(c) > until || (c->disk.owner != before.owner && c->disk.owner != NOBODY))
		fail(n->w, "%s: a %s of term %llu moves it in term %llu", n->w->conf.name[n->me],
			msg_kind_names[m->kind], (unsigned long long)m->term, (unsigned long long)before.term);
	if (c->promise < promise && !c->peer_released)
		fail(n->w, "%s: a %s of term %llu ends a promise of term %llu", n->w->conf.name[n->me],
			msg_kind_names[m->kind], (unsigned long long)m->term, (unsigned long long)before.term);
}

/* --- after healing ------------------------------------------------------------------------------------------------------ */

bool is_well(struct world *w)
{
	for (int i = 0; i < NODES; i++) {
		struct node *p = &w->node[i], *s = &w->node[1 - i];
		bool redis = !w->conf.has_redis || (p->db.redis_master && !s->db.redis_master);
		bool sync = !w->conf.lossless || p->core->sync == SYNC_IN;

		if (!p->running || !s->running || p->role != ROLE_PRIMARY || s->role != ROLE_STANDBY)
			continue;
		if (!gate_open(p) || !address_held(p) || address_held(s) || !p->db.up || !p->db.writable || !s->db.up)
			continue;
		return s->db.replicating && !s->db.writable && prefix_of(&s->db, &p->db) && redis && sync &&
		       !p->disk.paused && !s->disk.paused;
	}
	return false;
}

/* For the story of a run that went wrong. */
void dump(struct node *n)
{
	const struct core *c = n->core;

	if (!n->w->story)
		return;
	tell(n,
		"state: role %s holding %d term %llu voted %d owner %d other_term %llu released %llu; facts known %d "
		"writable %d ready "
		"%d ill %d following %d; plan %d served %d; hold_off in %lld ms; disk_bad %d; sync %d maybe %d; "
		"peer_released %llu "
		"claim %llu; held %llu served %llu word %llu ok %d; promise in %lld ms, heard %lld ms ago; reg known "
		"%d term %llu holder %d sync %d; paused "
		"%d; cmd %d; "
		"forced %d; bid db %lld; stopping %d; try %u kind %d; wake in %lld ms",
		role_names[c->role], c->holding, (unsigned long long)c->disk.term, c->disk.voted, c->disk.owner,
		(unsigned long long)c->disk.other_term, (unsigned long long)c->disk.released, c->facts.known,
		c->facts.writable, c->facts.ready, c->facts.ill, c->facts.following, c->run.id, c->run.served,
		(long long)((c->hold_off - c->now) / 1000), c->disk_bad, c->sync, c->sync_maybe,
		(unsigned long long)c->peer_released, (unsigned long long)c->claim, (unsigned long long)c->disk.held,
		(unsigned long long)c->disk.served, (unsigned long long)c->peer_released, c->peer_released_ok,
		(long long)((c->promise - c->now) / 1000), (long long)((c->now - c->heard) / 1000), c->reg_known,
		(unsigned long long)c->reg.term, c->reg.holder, c->reg.sync.in_sync, c->disk.paused, c->cmd.stage,
		c->forced, (long long)c->bid_db_start, c->stopping, c->try.id, c->try.kind,
		(long long)((c->wake - c->now) / 1000));
}
