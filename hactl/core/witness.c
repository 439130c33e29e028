/* witness.c - a node without an arbiter asks the world around it (mode reference).
 *
 * A primary whose peer is silent is confirmed by a reference address; the lease counts from the moment before the question,
 * and a heartbeat goes out with every question: whatever lease an answer gives, the standby, if it hears this node at all,
 * promises to outwait. A standby takes over when it has heard nothing for a promise time and then, asked after that, a
 * reference address answers and nothing shows the other in service. Two healthy nodes that are cut from each other and
 * both reach the reference can both be primary: that is what this mode does not protect from.
 */
#include "hactl/core/inside.h"

static void ask(struct core *c, enum ground ground)
{
	enum witness_kind kind = ground == GROUND_SILENCE || ground == GROUND_OWN ? WITNESS_CLEAR : WITNESS_REACH;
	struct core_action *a = act(c, ACT_WITNESS);

	c->ask = (struct asked){ ++c->last_id, kind, ground, c->disk.term, c->now };
	a->id = c->ask.id;
	a->witness = kind;
	a->timeout_us = c->conf.witness_timeout;
	alarm_at(c, c->now + c->conf.witness_timeout);
}

static void forget(struct core *c, bool reached)
{
	c->ref_heard = true;
	c->ref_down = !reached;
	c->ask_after = c->ask.at + c->conf.interval * (c->ask.ground == GROUND_NONE ? 1 : 2);
	c->ask.id = 0;
}

/* Asked now and then all the same, so that the status says before it is needed that no reference address answers. */
static us_t idle_at(const struct core *c)
{
	return c->ask.at + max_us(c->conf.lease, US_PER_SEC);
}

/* Everything is looked at again: what was heard since the question was put counts more than its answer. */
static void take(struct core *c, const struct asked *q, us_t from)
{
	us_t since = US_NEVER;
	enum ground g = alone_ground(c, &since);

	if (g == GROUND_NONE || g != q->ground || since > q->at || c->now >= from + c->conf.lease)
		return;
	if (g == GROUND_OWN) {
		resume_term(c);
		c->acked = q->at;
		c->lease_ref = from + c->conf.lease;
		role_event(c, RE_RESUMED,
			"%s does not answer, a reference address does, and nothing shows %s in service", peer_name(c),
			peer_name(c));
		return;
	}
	if (!store_bid(c, term_to_take(c)))
		return;
	take_term(c, q->at, false);
	if (!c->holding)
		return;
	c->lease_peer = -1; /* nobody promised anything */
	c->lease_ref = from + c->conf.lease;
	role_event(c, RE_WON, "%s",
		g == GROUND_FORCE ? "forced by the operator, a reference address answers"
		: g == GROUND_WORD
			? "the other node released its term, a reference address answers"
			: "the other node is silent, a reference address answers and nothing shows it in service");
}

void on_witness(struct core *c, const struct core_event *ev)
{
	struct asked q = c->ask;
	us_t from = core_broken.witness_late ? c->now : q.at;
	bool veto = ev->witness.veto && q.kind == WITNESS_CLEAR;

	if (!q.id || ev->witness.id != q.id)
		return; /* too late: it counted as not reached */
	forget(c, ev->witness.reached);
	if (q.kind == WITNESS_CLEAR)
		say(c->veto, "%s",
			!veto					  ? ""
			: ev->witness.text && ev->witness.text[0] ? ev->witness.text
								  : "a sign of life");
	if (!ev->witness.reached || (veto && !core_broken.veto_blind))
		return;
	if (q.ground != GROUND_NONE)
		take(c, &q, from);
	else if (c->holding && q.term == c->disk.term)
		c->lease_ref = max_us(c->lease_ref, from + c->conf.lease);
}

/* The holder's need: confirmed again well before the lease ends. */
static void hold(struct core *c)
{
	us_t renew_at = max_us(c->lease_ref - c->conf.lease * 7 / 10, c->acked + c->silence + 1);

	if (c->ask.id && c->ask.ground != GROUND_NONE)
		c->ask.id = 0; /* a takeover's question that another confirmation has overtaken */
	renew_at = max_us(min_us(renew_at, idle_at(c)), c->ask_after);
	if (c->ask.id)
		return;
	if (c->now < renew_at) {
		alarm_at(c, renew_at);
		return;
	}
	c->next_beat = c->now; /* leaves first, so that a stall in between lengthens no lease beyond the promise */
	beat(c);
	ask(c, GROUND_NONE);
}

static void seek(struct core *c)
{
	us_t since, next = c->ask_after;
	enum ground g = alone_ground(c, &since);

	if (g != GROUND_SILENCE && g != GROUND_OWN)
		c->veto[0] = '\0';
	if (c->ask.id && c->ask.ground == GROUND_NONE && g != GROUND_NONE)
		c->ask.id = 0; /* what was asked for the status only */
	if (g == GROUND_NONE)
		next = max_us(next, idle_at(c));
	if (c->ask.id)
		return;
	if (c->now < next)
		alarm_at(c, next);
	else
		ask(c, g);
}

void run_witness(struct core *c)
{
	us_t end = c->ask.at + c->conf.witness_timeout;

	if (c->conf.mode != CORE_REFERENCE)
		return;
	if (c->ask.id && c->now >= end)
		forget(c, false);
	else if (c->ask.id)
		alarm_at(c, end);
	if (c->holding)
		hold(c);
	else
		seek(c);
}
