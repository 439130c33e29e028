/* message.c - what the nodes say to each other about authority: promises, refusals, votes, released words. Names as in lease.c.
 */
#include "hactl/core/inside.h"

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
	if (c->forced && c->cmd.stage == STAGE_RUNNING &&
		c->cmd.c.kind == CMD_FAILOVER) /* told when the other was off */
		command_done(
			c, STEP_FAILED, "%s came back and holds its term: force it again when it is off", peer_name(c));
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

/* --- ours, as time passes ---------------------------------------------------------------------------------------------- */

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
