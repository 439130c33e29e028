/* gates.c - who may bid at all: first start, health, and whose data may become the primary's.
 */
#include "hactl/core/inside.h"

/* Nobody has held a term yet, as far as this node knows. A bid of ours that came to nothing (the arbiter was slow) changes nothing about
 * that: the pair is in service, and its writable side must neither be frozen for it nor be kept from bidding again. Where that bid
 * arrived after all, the entry must be one that the other may not take over from while this node is out of sight. */
bool first_start(const struct core *c)
{
	const struct core_disk *d = &c->disk;
	bool tried = d->voted == me_of(c) && d->owner == NOBODY && !d->held && !d->released && !d->other_term;
	bool peer_new = !c->peer_known || c->peer.term == 0;
	bool reg_new = !c->reg_known || c->rev == 0 || c->reg.term == 0;
	bool late = c->reg_known && c->rev && c->reg.holder == me_of(c) && c->reg.term <= d->term;
	bool barred = c->conf.lossless && !c->reg.sync.in_sync;

	if (!d->term)
		return peer_new && reg_new;
	return tried && peer_new && (!arbiter_used(c) || (c->reg_known && (reg_new || (late && barred))));
}

/* The other's word still stands for us: nothing has happened since that we know of but our own attempts. */
bool released_to_me(const struct core *c)
{
	return c->peer_released && c->peer_released >= c->disk.other_term && c->disk.owner != me_of(c) &&
	       (c->disk.term == c->peer_released || c->disk.voted == me_of(c));
}

/* We released the last term ourselves and the other has not been primary since, as far as its own term tells. */
bool took_nothing_since_release(const struct core *c)
{
	return c->disk.released && c->disk.owner == NOBODY && c->disk.released > c->disk.other_term &&
	       (c->disk.term == c->disk.released || c->disk.voted == me_of(c));
}

bool free_to_bid(const struct core *c)
{
	return (c->now - c->heard > c->suspicion && c->now >= c->promise) || released_to_me(c);
}

/* A whole sentence about this node says which node itself. */
static void say_unready(const struct core *c, char why[SENTENCE_MAX])
{
	const char *text = c->facts.why[0] ? c->facts.why : "its servers cannot be promoted";

	if (!strncmp(text, my_name(c), strlen(my_name(c))))
		say(why, "%s", text);
	else
		say(why, "%s is not ready: %s", my_name(c), text);
}

bool bid_gate(const struct core *c, char why[SENTENCE_MAX])
{
	const struct core_facts *f = &c->facts;

	why[0] = '\0';
	if (!f->known)
		say(why, "%s has not yet observed its servers", my_name(c));
	else if (c->stopping)
		say(why, "hactl is being stopped on %s", my_name(c));
	else if (c->disk_bad)
		say(why, "%s cannot store its state: repair its disk", my_name(c));
	else if (c->role == ROLE_QUARANTINED)
		say(why, "%s is quarantined: run `hactl rejoin` there", my_name(c));
	else if (f->ill)
		say(why, "%s is ill: %s", my_name(c), f->why);
	else if (f->diverged)
		say(why, "%s has diverged: %s", my_name(c), f->why);
	else if (!f->ready && !f->writable)
		say_unready(c, why);
	else if (c->now < c->hold_off)
		say(why, "%s failed to take over a moment ago and tries again in a few seconds", my_name(c));
	else
		return true;
	return false;
}

/* What one node was told to do and the other was not (another lease, another server) must not come into force by a takeover
 * that nobody asked for. Unknown on either side is no difference. */
bool config_differs(const struct core *c, char why[SENTENCE_MAX])
{
	char names[SENTENCE_MAX] = "";
	const struct msg *p = &c->peer;
	unsigned n = 0;

	if (!c->peer_known || !c->facts.config || !p->config || c->facts.config == p->config)
		return false;
	for (int i = 0; i < SECTION_COUNT; i++) {
		uint32_t mine = c->facts.section[i], theirs = p->section[i];
		size_t len = strlen(names);

		if (mine && theirs && mine != theirs)
			snprintf(names + len, sizeof(names) - len, "%s%s", n++ ? ", " : "", conf_section_names[i]);
	}
	say(why,
		"%s runs with another configuration than %s: %.80s %s; make the files equal and restart hactl where it "
		"was changed",
		peer_name(c), my_name(c), n ? names : "what both must share", n > 1 ? "differ" : "differs");
	return true;
}

bool takes_unasked(const struct core *c)
{
	bool first = first_start(c);
	bool entered = c->reg_known && c->rev && c->reg.holder == other_of(c) && c->reg.term > c->disk.released &&
		       c->disk.owner == NOBODY; /* this node's own state is new, or was lost */

	return !c->forced && !released_to_me(c) && (first || entered || c->disk.owner == other_of(c));
}

bool may_bid(struct core *c)
{
	char why[SENTENCE_MAX];
	bool role_ok = c->role == ROLE_STANDBY || (c->role == ROLE_QUARANTINED && c->forced);

	if (!role_ok || plan_busy(c) || c->disk_bad || c->stopping || !c->boot_over)
		return false;
	if (c->now < c->hold_off) { /* the operator's force waives gates on data, not the pause after a failure */
		alarm_at(c, c->hold_off);
		return false;
	}
	if (c->disk.paused && !c->forced && !released_to_me(c) && !took_nothing_since_release(c))
		return false;
	if (first_start(c) && !c->forced && !start_gate(c, why))
		return false;
	if (takes_unasked(c) && config_differs(c, why) && !core_broken.config_blind)
		return false;
	if (takes_unasked(c) && flap_held(c, why) && !core_broken.flap_blind)
		return false;
	return c->forced || bid_gate(c, why);
}

/* --- flapping ---------------------------------------------------------------------------------------------------------
 * Counted from the moment the node that took over serves; it says in every message how much of the window is left, and the
 * standby counts that span on its own clock. A switchover, a forced takeover and a resume end the window: a person looks. */

bool flap_held(const struct core *c, char why[SENTENCE_MAX])
{
	us_t window = c->conf.flap_window;
	bool minutes = window >= 60 * US_PER_SEC && window % (60 * US_PER_SEC) == 0;

	if (!window || c->now >= c->flap_until)
		return false;
	say(why,
		"held: it would be the second failover within %g%s; `hactl resume` releases it, or `hactl failover "
		"--force` on the node that shall take over",
		minutes ? (double)window / 60e6 : (double)window / 1e6, minutes ? "m" : "s");
	return true;
}

void flap_hear(struct core *c, const struct msg *m)
{
	us_t most = c->conf.flap_window;
	us_t left = m->hold_us < (uint64_t)most ? (us_t)m->hold_us : most;

	if (m->role == ROLE_PRIMARY && !c->holding && m->term >= c->disk.term)
		c->flap_until = left ? c->now + left : 0;
}

void check_flap(struct core *c)
{
	if (c->now >= c->flap_until)
		c->flap_until = 0;
	else
		alarm_at(c, c->flap_until);
	if (c->disk.flap == (c->flap_until != 0) || c->disk_bad)
		return;
	c->disk.flap = c->flap_until != 0;
	persist(c);
}

void flap_release(struct core *c)
{
	if (c->flap_until)
		note(c, 5, "%s: another automatic failover is allowed again", my_name(c));
	c->flap_until = 0;
	check_flap(c);
	c->next_beat = c->now;
}

/* Was this node the last to hold a term, as far as its disk and the register's entry (NULL: unknown) tell? */
static bool last_holder(const struct core *c, const struct reg_value *val)
{
	bool by_disk = c->disk.held > c->disk.other_term;

	if (!val)
		return took_nothing_since_release(c);
	/* an entry about a term that the other had, and this node never won, is from a life before both lost their state */
	if (val->holder == me_of(c))
		return val->term > c->disk.other_term || (val->term == c->disk.other_term && c->disk.held == val->term);
	return by_disk && val->term < c->disk.held; /* equal: a fresh term of ours that the register never saw */
}

bool data_gate(const struct core *c, const struct reg_value *val, int64_t *bound, char why[SENTENCE_MAX])
{
	bool word = released_to_me(c) && c->peer_released_ok && (!val || val->term <= c->peer_released);

	why[0] = '\0';
	*bound = 0;
	if (c->forced || !c->conf.lossless || first_start(c))
		return true;
	if (last_holder(c, val)) {
		*bound = c->disk.bound_db;
		if (bond_broken(c))
			say(why,
				"the database of %s was restarted while it took over and may lack acknowledged writes: "
				"run `hactl failover --force` on the node whose data shall live",
				my_name(c));
		return !why[0];
	}
	if (word) {
		*bound = c->peer_released_db;
		if (*bound && *bound != c->facts.db_start)
			say(why,
				"%s is not in sync: its database was restarted; hactl brings it back by itself when it "
				"has caught up",
				my_name(c));
		return !why[0];
	}
	*bound = c->facts.db_start;
	if (val)
		return record_for_me(c, val, why);
	if (without_vote(c))
		return word_holds(c, why);
	say(why, "%s, so nobody knows whether %s holds every acknowledged write",
		arbiter_used(c) ? "the arbiter does not answer" : "the primary has not said so", my_name(c));
	return false;
}
