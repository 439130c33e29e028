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

	if (!c->gate_on || !c->holding || c->gate_held)
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
	c->holding = c->solo = c->gate_on = c->gate_held = c->peer_pause_ok = c->takeover_waits = false;
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
	c->holding = true;
	c->forced = c->peer_pause_ok = false;
	c->claim = 0;
	c->peer_released = 0;
	c->releasing = false;
	c->gate_on = c->gate_held = false;
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

/* --- messages: the other asks ---------------------------------------------------------------------------------------------------- */

static void on_renew(struct core *c, const struct msg *m)
{
	bool old = m->term < c->disk.term || (m->term == c->disk.term && c->disk.voted == me_of(c));

	if (fencing(c) && m->term < c->fence_term)
		return; /* the die is cast: no promise now, and no refusal that would make it go on in a fresh term */
	if (old && !core_broken.no_term_check) {
		send_msg(c, MSG_HIGHER, c->disk.term, m->nonce, m->incarnation);
		return;
	}
	if (c->holding)
		role_event(c, RE_HIGHER, "%s is primary of term %llu", peer_name(c), (unsigned long long)m->term);
	if (!old && !(store_vote(c, m->term, other_of(c)) && store_owner(c, m->term, other_of(c))))
		return;
	c->heard = c->now;
	c->peer_released = c->claim = 0;
	c->releasing = false;
	c->promise = max_us(c->promise, c->now + c->promise_span);
	word_hear(c, m);
	if (!c->disk_bad && !m->for_incarnation && m->sync_term == c->disk.term &&
		(c->disk.void_term != m->sync_term || c->disk.void_seq < m->sync_seq)) {
		c->disk.void_term = m->sync_term;
		c->disk.void_seq = m->sync_seq;
		persist(c);
	}
	on_wishes(c, m); /* before the answer, which says what is stored */
	send_msg(c, MSG_PROMISE, m->term, m->nonce, m->incarnation);
	word_answered(c, m);
	if (c->role == ROLE_STARTING)
		role_event(c, RE_PEER_PRIMARY, NULL);
}

/* The arbiter is away: the other asks for our vote. Not while we may still hold ourselves, by this incarnation or the last. */
static void on_claim(struct core *c, const struct msg *m)
{
	bool idle = !c->holding && (c->role == ROLE_STARTING || c->role == ROLE_STANDBY || c->role == ROLE_QUARANTINED);
	bool open = m->term > c->disk.term || (m->term == c->disk.term && c->disk.voted != me_of(c));

	if (!open) {
		send_msg(c, MSG_HIGHER, c->disk.term, m->nonce, m->incarnation);
		return;
	}
	if (!idle || c->disk.owner == me_of(c))
		return;
	if (!store_vote(c, m->term, other_of(c)) || !store_owner(c, m->term, other_of(c)))
		return;
	c->promise = max_us(c->promise, c->now + c->promise_span);
	c->heard = c->now;
	c->peer_released = c->claim = 0;
	c->releasing = false;
	send_msg(c, MSG_VOTE, m->term, m->nonce, m->incarnation);
}

static void on_released(struct core *c, const struct msg *m)
{
	bool held_since = c->disk.owner == me_of(c) || c->disk.released > m->term || c->disk.served > m->term;
	bool ours_only =
		m->term < c->disk.term && c->disk.voted == me_of(c) && c->disk.other_term <= m->term && !held_since;
	bool current = m->term == c->disk.term && c->disk.voted != me_of(c);

	if (c->holding)
		return;
	if (m->term > c->disk.term)
		current = store_vote(c, m->term, other_of(c));
	if (!current && !ours_only)
		return;
	if (c->disk.other_term < m->term && !store_owner(c, m->term, other_of(c)))
		return;
	if (c->peer_released != m->term)
		c->word_at = c->now;
	if (c->peer_released != m->term)
		note(c, 5, "%s has released term %llu", peer_name(c), (unsigned long long)m->term);
	c->peer_released = m->term;
	c->peer_released_ok = m->flags & FLAG_SYNC_OK;
	c->peer_released_db = 0;
	if (m->for_incarnation == WORD_BOUND)
		c->peer_released_db = (int64_t)m->nonce;
	else if (m->for_incarnation == WORD_AS_YOU_WERE)
		c->peer_released_ok = c->peer_released_ok && m->nonce && m->nonce == c->disk.served;
	c->peer_released_ill = m->flags & FLAG_ILL;
	if (current) {
		c->promise = c->now;
		c->heard = c->now;
	}
}

/* --- messages: the other answers --------------------------------------------------------------------------------------------------- */

/* When the request was sent, or -1 when it is not one of ours that is remembered. */
static us_t sent_at(const struct core *c, const struct msg *m, bool *paused)
{
	size_t i = m->nonce % NONCES;

	if (m->for_incarnation != c->inc || !m->nonce || c->sent[i].nonce != m->nonce)
		return -1;
	*paused = c->sent[i].paused;
	return core_broken.lease_from_answer ? c->now : c->sent[i].at;
}

static void on_promise(struct core *c, const struct msg *m)
{
	bool paused = false;
	us_t at = sent_at(c, m, &paused);

	if (at < 0 || m->term != c->disk.term || (!c->holding && !resume_candidate(c)) || c->now >= at + c->conf.lease)
		return;
	if (c->holding && c->disk.owner != me_of(c))
		return;
	if (!c->holding) {
		resume_term(c);
		c->lease_peer = at + c->conf.lease;
		c->acked = at;
		role_event(c, RE_RESUMED, "%s confirmed term %llu", peer_name(c), (unsigned long long)c->disk.term);
	}
	c->lease_peer = max_us(c->lease_peer, at + c->conf.lease);
	c->acked = max_us(c->acked, at);
	c->word_nonce = m->nonce > c->word_nonce ? m->nonce : c->word_nonce;
	if (paused && (m->flags & FLAG_PAUSED) && c->disk.paused)
		c->peer_pause_ok = true;
	sync_peer_voided(c, m);
}

/* May this node go on in a term that only it knows? The register covers it, or a reference address does, or nobody but itself. */
static bool covered(const struct core *c)
{
	if (c->conf.mode == CORE_ARBITER)
		return c->lease_arb > c->now;
	return c->conf.mode != CORE_REFERENCE || c->lease_ref > c->now;
}

/* The other never held the term it spent its vote on: it still names us as the primary, and holds nothing. */
static bool spent_in_vain(const struct core *c, const struct msg *m)
{
	bool idle = m->role == ROLE_STARTING || m->role == ROLE_STANDBY || m->role == ROLE_QUARANTINED;

	return without_vote(c) && idle && m->primary == me_of(c) && resume_candidate(c);
}

/* Nobody holds a later term: ours is carried on under a fresh number. */
static bool carry_on(struct core *c, uint64_t term)
{
	bool alone = c->disk.alone == c->disk.term;

	if (!store_vote(c, term, me_of(c)))
		return false;
	c->disk.held = c->disk.term; /* stored with the vote */
	if (alone)
		c->disk.alone = c->disk.term;
	persist(c);
	note(c, 5, "%s goes on in term %llu: %s had spent its vote on a bid", my_name(c),
		(unsigned long long)c->disk.term, peer_name(c));
	c->next_beat = c->now;
	return true;
}

/* The other spent its vote of this term on itself, or knows a later one, without having won: on to a fresh term. */
static void on_higher(struct core *c, const struct msg *m)
{
	if (m->for_incarnation != c->inc)
		return;
	if (c->claim && m->term >= c->claim) {
		c->claim = 0; /* refused: the next one with a higher number, not both at the same moment */
		c->claim_retry = c->now + c->conf.interval * (1 + 2 * me_of(c));
	}
	if (m->term < c->disk.term)
		return;
	if (c->holding && without_vote(c) && m->term > c->disk.term && m->primary == other_of(c)) {
		role_event(c, RE_HIGHER, "%s was primary of term %llu", peer_name(c), (unsigned long long)m->term);
		return; /* whatever it has served counts more than what this node holds */
	}
	if (!c->holding && spent_in_vain(c, m))
		carry_on(c, m->term + 1);
	if (!c->holding || !covered(c) || !carry_on(c, m->term + 1))
		return;
	c->lease_peer = -1;
	sync_must_drop(c);
	if (arbiter_used(c) && c->reg_known) {
		check_attempt(c);
		swap_register(c, REG_SOLO);
	}
}

static void on_vote(struct core *c, const struct msg *m)
{
	bool paused = false;
	us_t at = sent_at(c, m, &paused);
	char why[SENTENCE_MAX];

	if (at < 0 || c->holding || !c->claim || m->term != c->claim || m->term != c->disk.term ||
		c->disk.released >= m->term || c->disk.voted != me_of(c) || c->now >= at + c->conf.lease ||
		(!c->forced && !bid_gate(c, why)))
		return;
	take_term(c, at, false);
	if (c->holding)
		role_event(c, RE_WON, "%s gave its vote for term %llu", peer_name(c), (unsigned long long)c->disk.term);
}

/* --- messages: all of them ------------------------------------------------------------------------------------------------------------ */

static void on_beat(struct core *c, const struct msg *m)
{
	(void)c;
	(void)m;
}

typedef void msg_fn(struct core *c, const struct msg *m);
static msg_fn *const msg_table[MSG_KIND_COUNT] = {
	[MSG_BEAT] = on_beat,
	[MSG_RENEW] = on_renew,
	[MSG_PROMISE] = on_promise,
	[MSG_HIGHER] = on_higher,
	[MSG_RELEASED] = on_released,
	[MSG_CLAIM] = on_claim,
	[MSG_VOTE] = on_vote,
};
_Static_assert(ARRAY_LEN(msg_table) == MSG_KIND_COUNT, "every kind of message has its handler");

void on_msg(struct core *c, const struct msg *m)
{
	bool newer = m->incarnation != c->peer.incarnation || m->counter > c->peer.counter;
	bool higher = (m->role == ROLE_PROMOTING || m->role == ROLE_PRIMARY) && m->term > c->disk.term;

	if (m->kind >= MSG_KIND_COUNT || m->from != other_of(c))
		return;
	if (newer || !c->peer_known) {
		c->peer = *m;
		c->peer_known = true;
		if (m->role == ROLE_PRIMARY && m->term > c->peer_primary_term)
			c->peer_primary_term = m->term;
		if (!(m->flags & FLAG_PAUSED))
			c->peer_pause_ok = false;
	}
	c->peer_seen = c->now;
	if (higher && c->holding && !core_broken.no_term_check)
		role_event(c, RE_HIGHER, "%s is primary of term %llu", peer_name(c), (unsigned long long)m->term);
	if (newer)
		flap_hear(c, m); /* after standing down: a holder counts its own window */
	msg_table[m->kind](c, m);
	if (newer && m->kind != MSG_RENEW)
		on_wishes(c, m);
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

static uint64_t request(struct core *c)
{
	size_t i = ++c->nonce % NONCES;

	c->sent[i].nonce = c->nonce;
	c->sent[i].at = c->now;
	c->sent[i].paused = c->disk.paused;
	return c->nonce;
}

void send_released(struct core *c)
{
	uint64_t rests_on = c->release_word == WORD_BOUND ? (uint64_t)c->release_db : 0;

	if (c->release_word == WORD_AS_YOU_WERE)
		rests_on = c->prev_term;
	send_msg(c, MSG_RELEASED, c->disk.released, rests_on, (uint64_t)c->release_word);
}

void beat(struct core *c)
{
	if (c->now >= c->next_beat) {
		c->next_beat = c->now + c->conf.interval;
		if (c->holding || resume_candidate(c))
			send_msg(c, MSG_RENEW, c->disk.term, request(c), word_wanted(c) ? c->word_nonce : 0);
		else if (c->releasing && c->disk.released == c->disk.term)
			send_released(c);
		else if (c->claim)
			send_msg(c, MSG_CLAIM, c->claim, request(c), 0);
		else
			send_msg(c, MSG_BEAT, c->disk.term, 0, 0);
	}
	alarm_at(c, c->next_beat);
}

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

/* Without the arbiter a term changes by the other's explicit vote, after a word of release (its, or ours that it did not
 * take up); in manual mode there is no other way. At first start in manual mode the other's vote counts as well. */
/* The other gave its vote of this term to us, and the answer was lost with the last start: it is asked for again. */
static bool voted_for_us(const struct core *c)
{
	return c->peer.primary == me_of(c) && c->peer.term == c->disk.term && c->disk.term &&
	       c->disk.voted == me_of(c) && c->disk.held < c->disk.term && c->disk.released < c->disk.term;
}

static uint64_t term_to_claim(const struct core *c)
{
	char why[SENTENCE_MAX];
	bool first = c->disk.term <= 1 && first_start(c) && free_to_bid(c) && start_gate(c, why) && c->peer_known;

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
