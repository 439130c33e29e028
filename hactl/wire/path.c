/* path.c - what each heartbeat path loses and how long it takes.
 *
 * Loss: the peer numbers its packets and sends each over every path, so the newest number that came over any of them says how many should
 * have come over this one. Round trip: each packet says which of ours came in last over its own path and how long ago; the rest of the
 * time since we sent that one was spent on the way. So both nodes know it, whoever asks and whoever answers.
 */
#include "hactl/wire/wire.h"

#include <string.h>

enum { IN_FLIGHT = 2, FEWEST = 10, SMOOTH = 8 }; /* a slower path lags behind by a packet or two without losing any */

void wire_path_init(struct wire_path *p)
{
	memset(p, 0, sizeof(*p));
	p->rtt_us = US_UNKNOWN;
}

void wire_path_stamp(const struct wire_path *p, const struct wire_session *s, struct msg *m, us_t now)
{
	bool known = p->incarnation && p->incarnation == s->peer_incarnation;

	m->path_echo = known ? p->newest : 0;
	m->path_held_us = known ? (uint64_t)(now - p->newest_at) : 0;
}

static void measure(struct wire_path *p, const struct wire_session *s, const struct msg *m, us_t now)
{
	size_t slot = m->path_echo % WIRE_SENT_RING;
	us_t sample;

	if (m->echo_incarnation != s->incarnation || !m->path_echo || s->sent[slot].counter != m->path_echo ||
		m->path_held_us > (uint64_t)(now - s->sent[slot].at))
		return;
	sample = now - s->sent[slot].at - (us_t)m->path_held_us;
	p->rtt_us = p->rtt_us == US_UNKNOWN ? sample : p->rtt_us + (sample - p->rtt_us) / SMOOTH;
}

bool wire_path_take(struct wire_path *p, const struct wire_session *s, const struct msg *m, us_t now)
{
	size_t slot = m->counter % WIRE_PATH_RING;

	if (p->incarnation != m->incarnation) {
		wire_path_init(p);
		p->incarnation = m->incarnation;
	}
	if (p->got[slot] == m->counter || m->counter + WIRE_PATH_RING / 2 < s->peer_counter)
		return false;
	p->got[slot] = m->counter;
	p->heard_at = now;
	if (m->counter > p->newest) {
		p->newest = m->counter;
		p->newest_at = now;
		measure(p, s, m, now);
	}
	return true;
}

/* Packets that the peer must have sent since it was last heard; as many as the window holds at most. */
static int due(const struct wire_session *s, us_t interval, us_t now)
{
	us_t n = (now - s->heard_at) / interval - 1;

	return n < 0 ? 0 : n > WIRE_PATH_WINDOW ? WIRE_PATH_WINDOW : (int)n;
}

int wire_path_loss(const struct wire_path *p, const struct wire_session *s, us_t interval, us_t now)
{
	int missing, expected;

	if (!s->peer_incarnation)
		return -1;
	missing = expected = due(s, interval, now);
	for (uint64_t c = s->peer_counter - IN_FLIGHT; c >= s->peer_first && c <= s->peer_counter; c--) {
		if (expected == WIRE_PATH_WINDOW)
			break;
		expected++;
		missing += p->incarnation != s->peer_incarnation || p->got[c % WIRE_PATH_RING] != c;
	}
	return expected < FEWEST ? -1 : missing * 100 / expected;
}
