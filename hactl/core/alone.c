/* alone.c - without a third vote (reference, fence): on what ground a node may take a term by its own decision, and since when.
 *
 * Silence gives a right only over the other's term: whoever was primary itself, or has given its term away, waits for the
 * other's word or a person, because the other may have served since. The exceptions: this host has not been off since it was
 * primary, and the other would have switched it off (fence), or cannot have been in sync (reference). What silence is worth
 * differs: with a reference address it takes an answer and no veto (witness.c), with fencing the confirmation that the other
 * is off. A released word needs neither.
 */
#include "hactl/core/inside.h"

bool without_vote(const struct core *c)
{
	return c->conf.mode == CORE_REFERENCE || c->conf.mode == CORE_FENCE;
}

bool same_boot(const struct core *c)
{
	return c->facts.known && c->disk.held_boot && c->disk.held_boot == c->facts.boot;
}

/* Its own term once more, on a reference address's word: nobody can have taken it over that this host would not know of. */
bool own_still(const struct core *c)
{
	bool untaken = !c->conf.lossless || c->disk.alone == c->disk.term;

	return c->conf.mode == CORE_REFERENCE && untaken && same_boot(c) && resume_candidate(c);
}

/* Two nodes that lost each other must not switch each other off: one of them waits longer. */
static us_t delay_here(const struct core *c)
{
	int first = c->conf.prefer == NOBODY ? 0 : c->conf.prefer;

	return c->conf.mode == CORE_FENCE && me_of(c) != first ? c->conf.fence_delay : 0;
}

/* Nothing at all heard for a promise time: a node that still talks gives its vote or its word instead. */
us_t silence_over(const struct core *c)
{
	us_t heard = max_us(c->promise, c->heard + c->suspicion + 1);

	return max_us(heard, c->peer_known ? c->peer_seen + c->promise_span : 0) + delay_here(c);
}

enum ground alone_ground(struct core *c, us_t *since)
{
	char why[SENTENCE_MAX];
	enum ground g = GROUND_NONE;

	if (!c->holding && !c->forced && own_still(c)) {
		*since = silence_over(c);
		if (c->now >= *since)
			return GROUND_OWN;
		alarm_at(c, *since);
		return GROUND_NONE;
	}
	if (c->holding || !may_bid(c))
		return GROUND_NONE;
	if (c->forced) {
		g = GROUND_FORCE;
		*since = max_us(c->promise, c->heard + c->suspicion + 1);
	} else if (first_start(c)) {
		return GROUND_NONE;
	} else if (released_to_me(c)) {
		g = GROUND_WORD;
		*since = c->peer_seen + c->silence;
	} else if (c->disk.owner == other_of(c)) {
		g = GROUND_SILENCE;
		*since = silence_over(c);
	}
	if (g == GROUND_NONE || !data_gate(c, NULL, &c->bid_db_start, why))
		return GROUND_NONE;
	if (c->now >= *since)
		return g;
	alarm_at(c, *since);
	return GROUND_NONE;
}

/* Above whatever the other may hold: on a refusal it goes on one above a term that this node has named (on_higher), and by claims, of
 * which this node need not have heard, one at a time. */
uint64_t term_to_take(const struct core *c)
{
	uint64_t theirs = c->peer_known ? c->peer.term : 0;
	uint64_t known = c->disk.term > theirs ? c->disk.term : theirs;

	return known ? known + 16 : 1;
}

/* --- fencing ------------------------------------------------------------------------------------------------------------ */

bool fencing(const struct core *c)
{
	return c->run.id == PLAN_FENCE && !c->run.served;
}

static void take(struct core *c, const char *why)
{
	take_term(c, c->now, false);
	c->lease_peer = -1; /* nobody promised anything: the lease renews itself */
	if (c->holding)
		role_event(c, RE_WON, "%s", why);
}

static void begin_fencing(struct core *c)
{
	char why[SENTENCE_MAX];

	if (c->now < c->fence_retry) {
		alarm_at(c, c->fence_retry);
		return;
	}
	if (!store_bid(c, term_to_take(c)))
		return;
	c->fence_term = c->disk.term;
	say(why, "%s has been silent for %lld ms", peer_name(c), (long long)((c->now - c->heard) / US_PER_MS));
	note(c, 4, "%s: it is fenced before %s takes over", why, my_name(c));
	change_begin(c, "failover", other_of(c), me_of(c), c->heard + c->silence, why);
	plan_start(c, PLAN_FENCE);
}

static void fence_failed(struct core *c, const char *text)
{
	us_t pause = back_off(c->fence_tries++);

	c->fence_retry = c->now + pause;
	say(c->fence_text, "%s", text);
	note(c, 3, "%s is not confirmed off (%.180s): no takeover; tried again in %lld s if it stays silent",
		peer_name(c), text, (long long)(pause / US_PER_SEC));
}

/* Everything is looked at again: fencing may have taken long. A message of a higher term has voided the bid. */
void fence_concluded(struct core *c, bool ok, const char *text)
{
	bool bid = c->disk.term == c->fence_term && c->disk.voted == me_of(c) && c->disk.held < c->disk.term;
	char why[SENTENCE_MAX];

	if (!ok && !core_broken.fence_hope) {
		fence_failed(c, text);
		return;
	}
	c->fence_tries = 0;
	c->fence_text[0] = '\0';
	say(why, "%s is off, confirmed by the fence command", peer_name(c));
	if (bid && may_bid(c) && data_gate(c, NULL, &c->bid_db_start, why) && store_bid(c, c->disk.term)) {
		say(why, "%s is off, confirmed by the fence command", peer_name(c));
		take(c, why);
		return;
	}
	if (!bid_gate(c, why) || !data_gate(c, NULL, &c->bid_db_start, why))
		note(c, 3, "%s is off, but %s does not take over: %.180s", peer_name(c), my_name(c), why);
}

void run_fence(struct core *c)
{
	enum ground g;
	us_t since;

	if (c->conf.mode != CORE_FENCE || c->holding || plan_busy(c) || !c->boot_over)
		return;
	if (c->role == ROLE_STANDBY && resumes_alone(c)) {
		resume_term(c);
		role_event(c, RE_RESUMED, "%s does not answer and %s has not been off since it was primary",
			peer_name(c), my_name(c));
		return;
	}
	g = alone_ground(c, &since);
	if (g == GROUND_SILENCE)
		begin_fencing(c);
	else if (g == GROUND_WORD && store_bid(c, c->disk.term + 1))
		take(c, "the other node released its term and does not answer any more");
}
