/* session.c - which authentic packets are fresh.
 *
 * The attacker we hold out owns a recording of everything both nodes ever sent and may play any of it, at any time, in
 * any order and often; he has no key. Each rule, and why it is enough:
 *
 * 1. Known incarnation: only a counter above the newest accepted one. A recorded packet of it carries a counter that was
 *    accepted already or lies below one that was. A packet held back and played first is not stopped here: it is late,
 *    not repeated, and the core's nonces (a promise counts from the request's sending) make late harmless.
 * 2. Unknown incarnation: only when it echoes our own incarnation with a counter that we sent at most WIRE_FRESH ago. Our
 *    incarnation is random and new at every start, so nothing recorded before our start can hold it; and the echo proves
 *    that the sender heard us within WIRE_FRESH.
 * 3. ... and a counter above `floor`, ours when the present incarnation was accepted. A past incarnation was dead by then
 *    (one supervisor a node) and can have heard nothing that we sent later: its packets stay refused for ever, with no
 *    list of the dead to keep. Without this rule a packet of the dead one, less than WIRE_FRESH old, would switch the
 *    session back to it, and the living one would have to prove itself again.
 * 4. A hello changes nothing but the echo in one outgoing packet. So the recording cannot block either: a living peer
 *    never needs that echo again once accepted, and a new one gets its own as the answer to its own hello.
 */
#include "hactl/wire/wire.h"

#include <string.h>

void wire_session_init(struct wire_session *s, int me, uint64_t incarnation)
{
	memset(s, 0, sizeof(*s));
	s->me = me;
	s->incarnation = incarnation;
}

void wire_count(struct wire_session *s, enum wire_verdict v)
{
	s->count[v]++;
}

void wire_stamp(struct wire_session *s, struct msg *m, us_t now)
{
	s->counter++;
	s->sent[s->counter % WIRE_SENT_RING].counter = s->counter;
	s->sent[s->counter % WIRE_SENT_RING].at = now;

	m->from = (int8_t)s->me;
	m->incarnation = s->incarnation;
	m->counter = s->counter;
	m->echo_incarnation = s->hello_incarnation ? s->hello_incarnation : s->peer_incarnation;
	m->echo_counter = s->hello_incarnation ? s->hello_counter : s->peer_counter;
	s->hello_incarnation = s->hello_counter = 0;
}

/* How long ago we sent the packet that m echoes; US_UNKNOWN when it echoes none of ours, or one forgotten. */
static us_t echo_age(const struct wire_session *s, const struct msg *m, us_t now)
{
	size_t slot = m->echo_counter % WIRE_SENT_RING;

	if (m->echo_incarnation != s->incarnation || m->echo_counter == 0 || s->sent[slot].counter != m->echo_counter)
		return US_UNKNOWN;
	return now - s->sent[slot].at;
}

static enum wire_verdict judge(const struct wire_session *s, const struct msg *m, us_t age)
{
	if (m->from == s->me || m->incarnation == s->incarnation)
		return WIRE_SELF;
	if (m->incarnation == s->peer_incarnation)
		return m->counter > s->peer_counter ? WIRE_OK : WIRE_REPLAYED;
	if (m->echo_incarnation == s->incarnation && s->peer_incarnation && m->echo_counter <= s->floor)
		return WIRE_REPLAYED;
	return age != US_UNKNOWN && age <= WIRE_FRESH ? WIRE_OK : WIRE_HELLO;
}

/* Only of the living incarnation is anything measured: a recording of another one must not look like a path. */
static bool new_on_its_path(
	struct wire_session *s, struct wire_path *path, const struct msg *m, enum wire_verdict v, us_t now)
{
	return path && (v == WIRE_OK || v == WIRE_REPLAYED) && m->incarnation == s->peer_incarnation &&
	       wire_path_take(path, s, m, now);
}

static void take(struct wire_session *s, const struct msg *m, us_t now)
{
	if (m->incarnation != s->peer_incarnation) {
		s->floor = s->counter;
		s->peer_first = m->counter;
		s->peer_since = now;
	}
	s->peer_incarnation = m->incarnation;
	s->peer_counter = m->counter;
	s->heard_at = now;
}

enum wire_verdict wire_accept(struct wire_session *s, struct wire_path *path, const struct msg *m, us_t now)
{
	enum wire_verdict v = judge(s, m, echo_age(s, m, now));

	if (v == WIRE_OK)
		take(s, m, now);
	if (new_on_its_path(s, path, m, v, now) && v == WIRE_REPLAYED)
		v = WIRE_DOUBLE;
	wire_count(s, v);
	if (v == WIRE_HELLO) {
		s->hello_incarnation = m->incarnation;
		s->hello_counter = m->counter;
	}
	return v;
}
