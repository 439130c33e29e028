/* lease.c - authority: who may be primary. Section 2 of the design; the executable model (authority.py) is the reference,
 * its names are kept in the comments. A primary holds its own vote and one unexpired promise of another.
 */
#include "hactl/core/inside.h"

/* --- what is held --------------------------------------------------------------------------------------------------- */

/* Paused, and the standby has acknowledged it: it will not take over, so lost votes take nothing away. */
bool pause_holds(const struct core *c)
{
	return c->holding && c->disk.paused && c->peer_pause_ok;
}

bool self_reliant(const struct core *c)
{
	return c->conf.mode == CORE_MANUAL || c->conf.mode == CORE_FENCE || pause_holds(c);
}

us_t authority_until(const struct core *c)
{
	us_t until = max_us(c->lease_peer, max_us(c->lease_arb, c->lease_ref));

	if (!c->holding)
		return -1;
	return self_reliant(c) ? max_us(until, c->lease_self) : until;
}

bool authority(const struct core *c)
{
	return c->holding && c->now < authority_until(c);
}

bool peer_alive(const struct core *c)
{
	return c->peer_known && c->now - c->peer_seen < c->silence;
}

bool peer_serves(const struct core *c)
{
	return peer_alive(c) && c->disk.owner == other_of(c) && c->peer.role == ROLE_PRIMARY &&
	       c->peer.term == c->disk.term;
}

/* The term on disk was won on what a database server had received, and that server is no more. */
bool bond_broken(const struct core *c)
{
	return c->disk.bound_db && c->disk.bound_db != c->facts.db_start;
}

/* May this node ask to be confirmed in the term on its disk? */
bool resume_candidate(const struct core *c)
{
	bool ours = c->disk.term && c->disk.held == c->disk.term && c->disk.owner == me_of(c) &&
		    c->disk.voted == me_of(c) && c->disk.released < c->disk.term;
	bool idle = c->role == ROLE_STARTING || c->role == ROLE_STANDBY;
	bool whole = !bond_broken(c);
	bool well = whole && c->facts.known && !c->facts.ill && (c->facts.ready || c->facts.writable);

	return ours && idle && well && !c->holding && !c->stopping && !c->disk_bad && c->now >= c->hold_off &&
	       !plan_busy(c);
}

/* --- disk ------------------------------------------------------------------------------------------------------------ */

/* One vote a term, stored before it is used; our own bids count. */
bool store_vote(struct core *c, uint64_t term, int who)
{
	bool spent = term == c->disk.term && c->disk.voted != NOBODY && c->disk.voted != who;

	if (term == c->disk.term && c->disk.voted == who)
		return true;
	if (c->disk_bad || term < c->disk.term || spent)
		return false;
	c->disk.term = term;
	c->disk.voted = (int8_t)who;
	if (who == other_of(c))
		c->disk.bound_db = 0;
	persist(c);
	return true;
}

/* Our own vote for a bid, stored together with what this node's right to bid rests on: the register may give it the term
 * without this start hearing of it. */
bool store_bid(struct core *c, uint64_t term)
{
	uint64_t prev = c->disk.other_term;
	bool same = c->disk.bound_db == c->bid_db_start;

	if (c->reg_known && c->rev && c->reg.holder == other_of(c) && c->reg.term > prev)
		prev = c->reg.term;
	if (c->disk_bad || (term == c->disk.term && c->disk.voted != me_of(c)))
		return false;
	if (!same)
		c->disk.bound_prev = prev;
	c->disk.bound_db = c->conf.lossless ? c->bid_db_start : 0;
	return store_vote(c, term, me_of(c));
}

/* Who holds, or may hold, a term. The other's terms are remembered: data and records from before them are stale. */
bool store_owner(struct core *c, uint64_t term, int who)
{
	bool newer = who == other_of(c) && term > c->disk.other_term;

	if (c->disk.owner == who && !newer)
		return true;
	if (c->disk_bad)
		return false;
	c->disk.owner = (int8_t)who;
	if (newer)
		c->disk.other_term = term;
	persist(c);
	return true;
}

/* --- giving up --------------------------------------------------------------------------------------------------------- */

void core_gate_shut(struct core *c)
{
	if (c->gate_until != 0)
		act(c, ACT_GATE)->until = 0;
	c->gate_until = 0;
}

/* The gate moves with the lease, once it was opened. */
void gate_follow(struct core *c)
{
	us_t until = authority_until(c);

	if (!c->gate_on || !c->holding || c->gate_held || c->gate_crowded)
		return;
	if (until == c->gate_until)
		return;
	act(c, ACT_GATE)->until = until;
	c->gate_until = until;
}

/* stand_down of the model: the gate first of all. */
void drop_authority(struct core *c)
{
	bool held = c->holding;

	if (held && c->gate_until != 0) {
		act(c, ACT_GATE)->until = 0;
		c->gate_until = 0;
	}
	c->holding = c->solo = c->gate_on = c->gate_held = c->gate_crowded = c->peer_pause_ok = c->takeover_waits =
		false;
	c->lease_peer = c->lease_arb = c->lease_ref = c->lease_self = -1;
	if (held)
		c->heard = c->now;
	sync_reset(c, true);
}

/* hand_over of the model: everything here is shut, frozen or dead; only now the word. Never held again. */
void give_word(struct core *c)
{
	c->release_after = false;
	if (c->disk_bad)
		return;
	c->disk.released = c->disk.term;
	c->disk.owner = NOBODY;
	persist(c);
	c->promise = max_us(c->promise, c->now + c->promise_span);
	c->heard = c->now;
	c->releasing = true;
	c->claim = 0;
	c->next_beat = c->now;
	note(c, 5, "%s has released term %llu%s", my_name(c), (unsigned long long)c->disk.term,
		c->release_ok ? "" : "; it cannot say that the other node holds every acknowledged write");
}

/* --- taking --------------------------------------------------------------------------------------------------------------- */

static void begin_holding(struct core *c)
{
	c->holding = c->held_once = true;
	c->forced = c->peer_pause_ok = false;
	c->claim = 0;
	c->peer_released = 0;
	c->releasing = false;
	c->gate_on = c->gate_held = c->gate_crowded = false;
	c->gate_until = -1;
	c->lease_self = c->now + c->conf.lease;
	c->next_beat = c->now;
	c->refusal[0] = '\0';
	sync_set_aside(c);
}

/* A new term is ours; its vote is stored. lease_from: when the attempt was sent that won it. */
void take_term(struct core *c, us_t lease_from, bool solo)
{
	us_t lease = lease_from + c->conf.lease;
	bool by_word = released_to_me(c), after_other = by_word || c->disk.owner == other_of(c);

	if (c->disk_bad)
		return;
	c->prev_term = c->disk.bound_db ? c->disk.bound_prev : c->disk.other_term;
	c->disk.owner = (int8_t)me_of(c);
	c->disk.held = c->disk.term;
	c->disk.held_boot = c->facts.boot;
	c->disk.alone = without_vote(c) ? c->disk.term : 0;
	persist(c);
	c->pristine = after_other;
	c->won_from = after_other ? other_of(c) : NOBODY;
	c->won_by_word = by_word;
	c->won_from_ill = by_word && c->peer_released_ill;
	c->automatic = after_other && !c->forced && (!by_word || c->won_from_ill);
	c->flap_until = 0;
	c->fault_at = by_word ? c->word_at : after_other ? c->heard + c->silence : c->now;
	begin_holding(c);
	c->solo = solo;
	c->lease_arb = solo ? lease : -1;
	c->lease_try = max_us(c->lease_try, c->lease_arb);
	c->lease_peer = solo ? -1 : lease;
	c->acked = solo ? c->now : lease_from;
	sync_reset(c, false);
}

/* The term on our disk was confirmed again: whatever the record said may still be true. */
void resume_term(struct core *c)
{
	bool had = c->pristine;

	if (c->disk.held_boot != c->facts.boot) {
		c->disk.held_boot = c->facts.boot;
		persist(c);
	}
	begin_holding(c);
	c->solo = false;
	c->pristine = had;
	sync_reset(c, !core_broken.keep_sync);
}

/* --- as time passes --------------------------------------------------------------------------------------------------------------------- */

void check_lease(struct core *c)
{
	us_t until;

	if (!c->holding)
		return;
	if (self_reliant(c) && (c->now >= c->next_beat || c->lease_self <= c->now))
		c->lease_self = c->now + c->conf.lease;
	until = authority_until(c);
	if (c->now < until) {
		alarm_at(c, until);
		return;
	}
	role_event(c, RE_LOST, "nobody confirmed %s for %lld ms", my_name(c),
		(long long)((c->now - c->acked) / US_PER_MS));
}
