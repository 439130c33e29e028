/* aside.c - who was primary last, was restarted and cannot go on gives its term away by its word: positive evidence beats silence.
 *
 * Its servers are dead or shut, and its gate and address go before it says so, as with any released word. What it knew of the other's data
 * ended with the last start, so the word says nothing about them: it only spares the other the waiting for a takeover that it may make
 * by what it knows itself (the register's record, or the word of sync that it still believes). Where that is nothing, in manual mode
 * with an in-sync record, there is no word.
 */
#include "hactl/core/inside.h"

static bool last_term_mine(const struct core *c)
{
	return c->disk.term && c->disk.owner == me_of(c) && c->disk.held == c->disk.term &&
	       c->disk.released < c->disk.term;
}

static bool seen_shut(const struct core *c)
{
	return c->facts.frozen && !c->facts.address_held && c->facts_at >= c->role_since;
}

/* The record of this term, as far as this start has read it, is about the standby as it is now, which has not voided it. */
static bool record_for_peer(const struct core *c)
{
	const struct sync_record *r = &c->reg.sync;
	const struct msg *p = &c->peer;
	bool voided = p->sync_term > c->disk.term || (p->sync_term == c->disk.term && p->sync_seq >= r->seq);

	return c->reg_known && c->rev && c->reg.holder == me_of(c) && c->reg.term == c->disk.term && r->in_sync &&
	       r->standby == other_of(c) && r->boot == p->boot && r->db_start == p->db_start && !voided;
}

/* Does the other know by itself that it may take over, so that the word alone is missing? */
static bool knows_its_data(const struct core *c)
{
	return !c->conf.lossless || without_vote(c) || (arbiter_used(c) && record_for_peer(c));
}

static bool ready_to_take(const struct core *c)
{
	const unsigned against = FLAG_ILL | FLAG_STOPPING | FLAG_PAUSED;
	const struct msg *p = &c->peer;

	return peer_alive(c) && p->role == ROLE_STANDBY && p->term == c->disk.term && (p->flags & FLAG_READY) &&
	       !(p->flags & against);
}

/* Restarted a moment ago. A database that takes writes is not dead, whatever else is: it may be confirmed again. */
void aside_at_start(struct core *c)
{
	bool hopeless = c->facts.ill && !c->facts.mysql_writable && !c->disk.bound_db;
	char why[SENTENCE_MAX];

	if (!last_term_mine(c) || !hopeless || c->disk_bad || c->stopping || c->forced || c->disk.paused || c->holding)
		return;
	if (!ready_to_take(c) || !knows_its_data(c) || config_differs(c, why) || flap_held(c, why))
		return;
	if (core_broken.aside_open) {
		give_word(c);
		return;
	}
	role_event(c, RE_ILL, "%s was primary when it was restarted, and %s", my_name(c),
		c->facts.why[0] ? c->facts.why : "a service is dead");
}

void h_aside(struct core *c)
{
	core_gate_shut(c); /* the last start's lease may still keep it open */
	drop_authority(c);
	c->release_ok = !c->conf.lossless;
	c->release_word = WORD_ANY;
	c->release_after = true;
	plan_start(c, PLAN_DEMOTION);
}

/* The same, found later. With an arbiter the other needs no word any more: it has waited. */
bool step_aside(struct core *c)
{
	bool may = !arbiter_used(c) && knows_its_data(c) && c->boot_over && c->role == ROLE_STANDBY;

	if (!may || c->peer.term > c->disk.term || !last_term_mine(c) || !seen_shut(c) || !c->facts.ill ||
		!peer_alive(c) || !(c->peer.flags & FLAG_READY) || c->disk_bad || c->forced || c->disk.paused)
		return false;
	c->release_ok = !c->conf.lossless;
	c->release_word = WORD_ANY;
	give_word(c);
	return true;
}

/* The takeover never opened its gate, and the server whose memory it rested on is gone: back to the other, as it was. */
bool hand_back(struct core *c)
{
	bool held = c->disk.owner == me_of(c) && c->disk.held == c->disk.term;
	bool entered = c->reg_known && c->rev && c->reg.holder == me_of(c) && c->reg.term <= c->disk.term;
	bool ours = (held || (entered && c->disk.voted == me_of(c))) && c->disk.released < c->disk.term;

	if (!ours || !seen_shut(c) || !bond_broken(c) || !c->facts.db_start || !peer_alive(c) ||
		!(c->peer.flags & FLAG_READY) || c->disk_bad || c->try.id || c->forced || !c->boot_over)
		return false;
	c->release_ok = true;
	c->release_word = WORD_AS_YOU_WERE;
	c->prev_term = c->disk.bound_prev;
	give_word(c);
	return true;
}
