/* claim.c - a term by the other node's explicit vote: while the arbiter is away, and where there is none.
 */
#include "hactl/core/inside.h"

/* Our own word was not taken up: which term to ask back, 0 none. The other has held nothing since when its vote is still to
 * be had for the term right after the one it shows while it believes us to be the primary. */
static uint64_t term_to_ask_back(const struct core *c)
{
	uint64_t p = c->peer.term;
	bool nothing = p <= c->disk.released || c->peer.primary == me_of(c);

	if (!took_nothing_since_release(c) || !free_to_bid(c) || !nothing)
		return 0;
	if (c->disk.term == p + 1 && c->disk.held < c->disk.term && c->disk.voted == me_of(c))
		return c->disk.term; /* asked before, never answered */
	if (c->disk.term <= p)
		return p + 1;
	return c->disk.term == c->disk.released ? c->disk.term + 1 : 0;
}

/* The other gave its vote of this term to us, and the answer was lost with the last start: it is asked for again. */
static bool voted_for_us(const struct core *c)
{
	return c->peer.primary == me_of(c) && c->peer.term == c->disk.term && c->disk.term &&
	       c->disk.voted == me_of(c) && c->disk.held < c->disk.term && c->disk.released < c->disk.term;
}

/* Without the arbiter a term changes by the other's explicit vote, after a word of release (its, or ours that it did not
 * take up); in manual mode there is no other way. At first start the other's vote counts as well, but where there is an arbiter only
 * once it has said that it knows of no term: both nodes may have lost their state, and would begin again below its entry. */
static uint64_t term_to_claim(const struct core *c)
{
	char why[SENTENCE_MAX];
	bool blank = first_start(c) && (!arbiter_used(c) || c->reg_known);
	bool first = c->disk.term <= 1 && blank && free_to_bid(c) && start_gate(c, why) && c->peer_known;

	if (released_to_me(c) || (first && !c->disk.paused))
		return c->disk.term + 1;
	if (voted_for_us(c))
		return c->disk.term;
	return term_to_ask_back(c);
}

void run_claim(struct core *c)
{
	bool away = !arbiter_used(c) || c->arb_down;
	char why[SENTENCE_MAX];
	uint64_t term;

	if (c->claim && (!away || c->disk.term != c->claim || c->role != ROLE_STANDBY || !bid_gate(c, why)))
		c->claim = 0;
	if (c->holding || c->claim || c->role != ROLE_STANDBY || !away || !peer_alive(c) || fencing(c))
		return;
	if (c->try.id && c->try.kind == TRY_BID)
		return; /* its vote is spent on that one */
	term = term_to_claim(c);
	if (!term)
		return;
	if (c->now < c->claim_retry) {
		alarm_at(c, c->claim_retry);
		return;
	}
	if (term == c->disk.term && voted_for_us(c)) { /* what that bid rested on was stored with it */
		c->bid_db_start = c->disk.bound_db;
		if (bond_broken(c))
			return;
	} else if (!data_gate(c, NULL, &c->bid_db_start, why)) {
		return;
	}
	if (!bid_gate(c, why) || !store_bid(c, term))
		return;
	c->claim = c->disk.term;
	c->next_beat = c->now;
}
