/* say.c - what people ask about it: the view, and the sentences that name what blocks an automatic failover. */
#include "hactl/core/inside.h"

#include <stdarg.h>

/* --- first start ------------------------------------------------------------------------------------------------------- */

/* Term 0, installed on a pair in service: only the side that is writable and not replicating begins. */
bool start_gate(const struct core *c, char why[SENTENCE_MAX])
{
	const struct core_facts *f = &c->facts;
	unsigned p = c->peer.flags;
	int first = c->conf.prefer == NOBODY ? 0 : c->conf.prefer;

	why[0] = '\0';
	if (!f->known)
		say(why, "first start: %s has not yet observed its servers", my_name(c));
	else if (!peer_alive(c))
		say(why, "first start: %s waits for %s; `hactl failover --force` starts it alone", my_name(c),
			peer_name(c));
	else if (config_differs(c, why))
		return false;
	else if (!has_databases(c) && me_of(c) != first)
		say(why, "first start: %s begins", peer_name(c));
	else if (!has_databases(c))
		return true;
	else if (f->writable && !f->replicating && (p & FLAG_WRITABLE) && !(p & FLAG_REPLICATING))
		say(why, "first start: the databases of both nodes are writable; make one a replica of the other, or "
			 "run `hactl failover --force` on the node whose data shall live");
	else if (f->replicating && (p & FLAG_REPLICATING))
		say(why, "first start: the databases of both nodes replicate; make the one that shall be primary "
			 "writable and stop its replication");
	else if (!f->writable && !(p & FLAG_WRITABLE))
		say(why, "first start: neither database is writable; run `hactl failover --force` on the node that "
			 "shall be primary");
	else if (!f->writable || f->replicating)
		say(why, "first start: %s begins, its database is the writable one", peer_name(c));
	else if (!(p & FLAG_REPLICATING) || (p & FLAG_WRITABLE))
		say(why,
			"first start: the database of %s does not replicate from %s yet; set it up, or run `hactl "
			"failover --force` on %s",
			peer_name(c), my_name(c), my_name(c));
	else if (sync_strict(c) && !f->standby_streams)
		say(why,
			"first start: the database of %s does not replicate semi-synchronously yet, and with "
			"mysql.semi_sync = \"required\" every write would wait for it",
			peer_name(c));
	else
		return true;
	return false;
}

/* --- the view ------------------------------------------------------------------------------------------------------------- */

static unsigned authority_from(const struct core *c, us_t now)
{
	unsigned from = 0;

	if (c->holding && now < c->lease_peer)
		from |= FROM_PEER;
	if (c->holding && now < c->lease_arb)
		from |= FROM_ARBITER;
	if (c->holding && now < c->lease_ref)
		from |= FROM_REFERENCE;
	if (c->holding && self_reliant(c) && now < c->lease_self)
		from |= FROM_SELF;
	return from;
}

static bool record_known_in(const struct core *c)
{
	char why[SENTENCE_MAX];

	if (c->holding)
		return sync_in(c);
	if (without_vote(c))
		return c->conf.lossless && c->disk.owner == other_of(c) && word_holds(c, why);
	return c->reg_known && c->rev && c->reg.holder == other_of(c) && record_for_me(c, &c->reg, why);
}

static void look_change(const struct core *c, us_t now, struct core_view *v)
{
	v->plan = NULL;
	v->step = 0;
	v->step_since = now;
	if (c->run.id == PLAN_NONE)
		return;
	v->plan = plan_name(c->run.id);
	for (size_t i = 0; i < c->run.n; i++) {
		if (c->run.step[i].state != RUNNING)
			continue;
		v->step = c->run.step[i].def->action;
		v->step_since = c->run.step[i].at;
		return;
	}
}

void core_look(const struct core *c, us_t now, struct core_view *v)
{
	char out[CORE_MAX_BLOCKERS][SENTENCE_MAX];
	us_t until = authority_until(c);

	memset(v, 0, sizeof(*v));
	v->role = c->role;
	v->term = c->disk.term;
	v->primary = c->holding ? me_of(c) : c->disk.owner == other_of(c) ? other_of(c) : NOBODY;
	v->paused = c->disk.paused;
	v->pause_holds = pause_holds(c);
	v->peer_paused = c->peer_known && (c->peer.flags & FLAG_PAUSED);
	say(v->pause_reason, "%s", c->disk.pause_reason);
	v->held = c->holding && now < until;
	v->remaining_us = v->held ? until - now : 0;
	v->from = authority_from(c, now);
	v->arbiter = !arbiter_used(c) ? ARB_NONE : c->arb_heard && !c->arb_down ? ARB_UP : ARB_DOWN;
	v->peer = !c->peer_known ? PEER_UNKNOWN : now - c->peer_seen < c->silence ? PEER_ALIVE : PEER_SILENT;
	v->peer_silent_us = c->peer_known ? now - c->peer_seen : US_UNKNOWN;
	v->peer_role = c->peer_known && c->peer.role < ROLE_COUNT ? (enum role)c->peer.role : ROLE_STARTING;
	v->peer_ready = c->peer_known && (c->peer.flags & FLAG_READY);
	v->in_sync = record_known_in(c);
	v->failover_ready = core_blockers(c, now, out) == 0;
	v->writes_wait_us = sync_away_us(c, now);
	look_change(c, now, v);
	v->change = c->change;
}

/* --- blockers ---------------------------------------------------------------------------------------------------------------- */

struct sentences {
	char (*out)[SENTENCE_MAX];
	size_t n;
};

static void add(struct sentences *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void add(struct sentences *s, const char *fmt, ...)
{
	va_list ap;

	if (s->n == CORE_MAX_BLOCKERS)
		return;
	va_start(ap, fmt);
	vsnprintf(s->out[s->n++], SENTENCE_MAX, fmt, ap);
	va_end(ap);
}

/* The pair has a primary here: would the other take over? */
static void block_peer(const struct core *c, us_t now, struct sentences *s)
{
	const struct msg *p = &c->peer;
	us_t alone_at = c->word_given + core_alone_us(&c->conf);

	if (without_vote(c) && c->sync == SYNC_DROPPING && c->sync_maybe && now < alone_at)
		add(s, "%s may still believe to be in sync, so commits wait for it: %s goes on without it in %lld s",
			peer_name(c), my_name(c), (long long)((alone_at - now) / US_PER_SEC + 1));
	if (!c->peer_known || now - c->peer_seen >= c->silence) {
		add(s, "%s does not answer: start hactl there, or repair the network between the nodes", peer_name(c));
		return;
	}
	if (p->flags & FLAG_STOPPING)
		add(s, "hactl is being stopped on %s", peer_name(c));
	else if (p->role == ROLE_QUARANTINED)
		add(s, "%s is quarantined: run `hactl rejoin` there", peer_name(c));
	else if (!(p->flags & FLAG_READY) && !strncmp(p->note, peer_name(c), strlen(peer_name(c))))
		add(s, "%.250s", p->note); /* its own whole sentence */
	else if (!(p->flags & FLAG_READY))
		add(s, "%s is not ready: %.200s", peer_name(c),
			p->note[0] ? p->note : "its servers cannot be promoted");
	if (c->conf.lossless && !sync_in(c))
		add(s, "%s is not in sync: %s", peer_name(c),
			p->flags & FLAG_FOLLOWING
				? "hactl brings it in when semi-sync is confirmed"
				: "its database does not follow; hactl brings it back by itself when it has caught up");
}

/* Silence gives no right over a term that was this node's own: released, or held until it restarted. */
static bool needs_person(const struct core *c)
{
	if (c->disk.owner == other_of(c) || !c->disk.term || c->holding)
		return false;
	return !own_still(c) && !(c->conf.mode == CORE_FENCE && same_boot(c) && resume_candidate(c));
}

/* Reference and fence: what the world around, and the fence command, said last. */
static void block_me_alone(const struct core *c, struct sentences *s)
{
	char why[SENTENCE_MAX];
	int64_t bound;

	if (c->disk.owner == other_of(c) && !data_gate(c, NULL, &bound, why))
		add(s, "%s", why);
	if (c->ref_heard && c->ref_down)
		add(s, "no reference address answers %s: repair its network, or the reference addresses", my_name(c));
	if (c->veto[0])
		add(s, "no takeover while something shows %s in service: %.160s", peer_name(c), c->veto);
	if (c->fence_text[0])
		add(s, "%s is not confirmed off, the fence command said: %.160s", peer_name(c), c->fence_text);
}

/* The primary is the other: would this node take over? */
static void block_me(const struct core *c, us_t now, struct sentences *s)
{
	char why[SENTENCE_MAX];
	int64_t bound;

	if (!c->boot_over)
		add(s, "%s started less than a promise time ago and bids for nothing yet", my_name(c));
	if (!bid_gate(c, why))
		add(s, "%s", why);
	if (first_start(c)) {
		if (!start_gate(c, why))
			add(s, "%s", why);
		return;
	}
	if (arbiter_used(c) && c->reg_known && !data_gate(c, &c->reg, &bound, why))
		add(s, "%s", why);
	if (without_vote(c))
		block_me_alone(c, s);
	if (!arbiter_used(c) && !peer_alive(c) && needs_person(c))
		add(s,
			"%s was primary last and %s, which may have taken over since, does not answer: make sure that "
			"%s is off, then run `hactl failover --force` on %s",
			my_name(c), peer_name(c), peer_name(c), my_name(c));
	if (c->peer_known && now - c->peer_seen >= c->silence)
		add(s, "%s does not answer", peer_name(c));
}

size_t core_blockers(const struct core *c, us_t now, char out[CORE_MAX_BLOCKERS][SENTENCE_MAX])
{
	struct sentences s = { out, 0 };
	char why[SENTENCE_MAX];

	if (c->disk.paused)
		add(&s, "paused (%.150s): `hactl resume` ends it",
			c->disk.pause_reason[0] ? c->disk.pause_reason : "no reason given");
	else if (c->peer_known && (c->peer.flags & FLAG_PAUSED))
		add(&s, "%s still has a pause stored: `hactl resume` ends it", peer_name(c));
	if (c->conf.mode == CORE_ARBITER && (!c->arb_heard || c->arb_down))
		add(&s, "the arbiter does not answer: check that it runs and that %s reaches it", my_name(c));
	if (c->conf.mode == CORE_MANUAL)
		add(&s, "no arbiter is configured (authority.manual): on silence nothing is taken over; `hactl "
			"failover --force` does it");
	if (c->disk_bad)
		add(&s, "%s cannot store its state: repair its disk", my_name(c));
	if (c->holding)
		block_peer(c, now, &s);
	else
		block_me(c, now, &s);
	if (c->holding && c->conf.mode == CORE_REFERENCE && c->ref_heard && c->ref_down && !peer_alive(c))
		add(&s, "no reference address answers %s: it stands down when its lease ends", my_name(c));
	if (c->holding && c->facts.known && c->facts.ill)
		add(&s, "%s is ill and stays primary, because nobody can take over: %.150s", my_name(c), c->facts.why);
	if (flap_held(c, why))
		add(&s, "%s", why);
	if (config_differs(c, why) && !first_start(c)) /* at the first start the gate has said it */
		add(&s, "%s", why);
	return s.n;
}
