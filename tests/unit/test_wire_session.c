/* test_wire_session.c - which authentic packets are fresh, and what each heartbeat path loses and takes. */
#include "hactl/wire/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* --- freshness ---------------------------------------------------------------------------------------------------- */

struct pair {
	struct wire_session a, b;
	us_t now;
};

static struct msg sent(struct wire_session *s, enum msg_kind kind, us_t now)
{
	struct msg m = { .kind = (uint8_t)kind };

	wire_stamp(s, &m, now);
	return m;
}

static void start(struct pair *p)
{
	memset(p, 0, sizeof(*p));
	wire_session_init(&p->a, 0, 0xa1);
	wire_session_init(&p->b, 1, 0xb1);
	p->now = 1000 * US_PER_SEC;
}

/* a says hello, b answers with the echo, a is convinced; its next packet convinces b. */
static void shake(struct pair *p)
{
	struct msg m = sent(&p->a, MSG_BEAT, p->now);

	assert_int_equal(wire_accept(&p->b, NULL, &m, p->now), WIRE_HELLO);
	m = sent(&p->b, MSG_BEAT, p->now);
	assert_int_equal(wire_accept(&p->a, NULL, &m, p->now), WIRE_OK);
	m = sent(&p->a, MSG_BEAT, p->now);
	assert_int_equal(wire_accept(&p->b, NULL, &m, p->now), WIRE_OK);
}

static void handshake_counts(void **state)
{
	struct pair p;

	(void)state;
	start(&p);
	shake(&p);
	assert_int_equal(p.b.count[WIRE_HELLO], 1);
	assert_int_equal(p.b.count[WIRE_OK], 1);
	assert_int_equal(p.a.heard_at, p.now);

	struct msg ask = sent(&p.a, MSG_RENEW, p.now);
	assert_int_equal(wire_accept(&p.b, NULL, &ask, p.now + 100), WIRE_OK);
	struct msg yes = sent(&p.b, MSG_PROMISE, p.now + 100);
	assert_int_equal(wire_accept(&p.a, NULL, &yes, p.now + 250), WIRE_OK);
	wire_count(&p.a, WIRE_FORGED);
	assert_int_equal(p.a.count[WIRE_FORGED], 1);
}

static void our_own_packet_is_ours(void **state)
{
	struct pair p;

	(void)state;
	start(&p);
	struct msg m = sent(&p.a, MSG_BEAT, p.now);
	assert_int_equal(wire_accept(&p.a, NULL, &m, p.now), WIRE_SELF);
	struct wire_session twin; /* both nodes configured as the first */
	wire_session_init(&twin, 0, 0xc1);
	m = sent(&twin, MSG_BEAT, p.now);
	assert_int_equal(wire_accept(&p.a, NULL, &m, p.now), WIRE_SELF);
	m.from =
		1; /* a random number that fell twice, or a packet of ours relabelled: it must not become its own peer */
	m.incarnation = p.a.incarnation;
	assert_int_equal(wire_accept(&p.a, NULL, &m, p.now), WIRE_SELF);
}

static void repeated_and_reordered_are_dropped(void **state)
{
	struct pair p;

	(void)state;
	start(&p);
	shake(&p);
	struct msg first = sent(&p.a, MSG_RENEW, p.now), second = sent(&p.a, MSG_RELEASED, p.now);
	assert_int_equal(wire_accept(&p.b, NULL, &second, p.now), WIRE_OK);
	assert_int_equal(wire_accept(&p.b, NULL, &second, p.now), WIRE_REPLAYED); /* the same over a second path */
	assert_int_equal(wire_accept(&p.b, NULL, &first, p.now), WIRE_REPLAYED);
	assert_int_equal(p.b.peer_counter, second.counter);
	assert_int_equal(p.b.count[WIRE_REPLAYED], 2);
}

static void new_incarnation_must_prove_itself(void **state)
{
	struct pair p;

	(void)state;
	start(&p);
	shake(&p);
	wire_session_init(&p.a, 0, 0xa2); /* a restarts */

	struct msg hello = sent(&p.a, MSG_RELEASED, p.now);
	struct wire_session before = p.b;
	assert_int_equal(wire_accept(&p.b, NULL, &hello, p.now), WIRE_HELLO);
	assert_int_equal(p.b.peer_incarnation, before.peer_incarnation);
	assert_int_equal(p.b.peer_counter, before.peer_counter);
	assert_int_equal(p.b.heard_at, before.heard_at);

	struct msg wrong = hello; /* echoes an incarnation that was never ours */
	wrong.echo_incarnation = 0xdead;
	wrong.echo_counter = p.b.counter;
	assert_int_equal(wire_accept(&p.b, NULL, &wrong, p.now), WIRE_HELLO);
	wrong.echo_incarnation = 0xb1; /* ours, but a counter that we have not sent */
	wrong.echo_counter = p.b.counter + 1;
	assert_int_equal(wire_accept(&p.b, NULL, &wrong, p.now), WIRE_HELLO);

	assert_int_equal(wire_accept(&p.b, NULL, &hello, p.now), WIRE_HELLO);
	struct msg answer = sent(&p.b, MSG_BEAT, p.now);
	assert_int_equal(answer.echo_incarnation, 0xa2);
	assert_int_equal(wire_accept(&p.a, NULL, &answer, p.now), WIRE_OK);
	struct msg proof = sent(&p.a, MSG_BEAT, p.now);
	assert_int_equal(
		wire_accept(&p.b, NULL, &proof, p.now + WIRE_FRESH + 1), WIRE_HELLO); /* too old to prove anything */
	assert_int_equal(wire_accept(&p.b, NULL, &proof, p.now + WIRE_FRESH), WIRE_OK);
	assert_int_equal(p.b.peer_incarnation, 0xa2);
}

/* What the dead incarnation said is younger than WIRE_FRESH and echoes us rightly: still never believed again. */
static void past_incarnation_stays_past(void **state)
{
	struct pair p;

	(void)state;
	start(&p);
	shake(&p);
	struct msg withheld = sent(&p.a, MSG_RELEASED, p.now);
	wire_session_init(&p.a, 0, 0xa2);
	shake(&p);
	assert_int_equal(wire_accept(&p.b, NULL, &withheld, p.now), WIRE_REPLAYED);
	assert_int_equal(p.b.peer_incarnation, 0xa2);
	struct msg m = sent(&p.a, MSG_BEAT, p.now);
	assert_int_equal(wire_accept(&p.b, NULL, &m, p.now), WIRE_OK);
}

static void what_left_the_ring_proves_nothing(void **state)
{
	struct pair p;

	(void)state;
	start(&p);
	struct msg m = sent(&p.a, MSG_BEAT, p.now), hello = sent(&p.b, MSG_BEAT, p.now);
	assert_int_equal(wire_accept(&p.a, NULL, &hello, p.now), WIRE_HELLO);
	m = sent(&p.a, MSG_BEAT, p.now);
	for (int i = 0; i < WIRE_SENT_RING; i++)
		sent(&p.b, MSG_BEAT, p.now);
	assert_int_equal(wire_accept(&p.b, NULL, &m, p.now), WIRE_HELLO);
}

/* Everything ever sent is played again after both have restarted, several times, in order and backwards: nothing is
 * accepted, and the living pair still finds together and stays together. */
static void recording_neither_acts_nor_blocks(void **state)
{
	struct msg tape[2][40];
	struct pair p;

	(void)state;
	start(&p);
	shake(&p);
	for (int i = 0; i < 40; i++) {
		tape[0][i] = sent(&p.a, (enum msg_kind)(i % MSG_KIND_COUNT), p.now);
		assert_int_equal(wire_accept(&p.b, NULL, &tape[0][i], p.now), WIRE_OK);
		tape[1][i] = sent(&p.b, (enum msg_kind)(i % MSG_KIND_COUNT), p.now);
		assert_int_equal(wire_accept(&p.a, NULL, &tape[1][i], p.now), WIRE_OK);
	}
	wire_session_init(&p.a, 0, 0xa2);
	wire_session_init(&p.b, 1, 0xb2);
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 80; i++) {
			int at = round == 1 ? 39 - i % 40 : i % 40;
			assert_int_not_equal(wire_accept(&p.b, NULL, &tape[0][at], p.now), WIRE_OK);
			assert_int_not_equal(wire_accept(&p.a, NULL, &tape[1][at], p.now), WIRE_OK);
		}
		assert_int_equal(p.a.peer_incarnation, round ? 0xb2 : 0);
		if (round == 0)
			shake(&p);
		struct msg m = sent(&p.a, MSG_BEAT, p.now);
		assert_int_equal(wire_accept(&p.b, NULL, &m, p.now), WIRE_OK);
		m = sent(&p.b, MSG_BEAT, p.now);
		assert_int_equal(wire_accept(&p.a, NULL, &m, p.now), WIRE_OK);
	}
}

/* A recorded hello comes between each of the living peer's packets; its own hello is still answered with its own echo. */
static void hello_flood_does_not_block_a_restart(void **state)
{
	struct msg old = { .kind = MSG_BEAT, .from = 0, .incarnation = 0xa0, .counter = 7 };
	struct pair p;

	(void)state;
	start(&p);
	shake(&p);
	wire_session_init(&p.a, 0, 0xa2);
	struct msg hello = sent(&p.a, MSG_BEAT, p.now);
	assert_int_equal(wire_accept(&p.b, NULL, &old, p.now), WIRE_HELLO);
	assert_int_equal(wire_accept(&p.b, NULL, &hello, p.now), WIRE_HELLO);
	struct msg answer = sent(&p.b, MSG_BEAT, p.now);
	assert_int_equal(wire_accept(&p.b, NULL, &old, p.now), WIRE_HELLO);
	assert_int_equal(wire_accept(&p.a, NULL, &answer, p.now), WIRE_OK);
	struct msg proof = sent(&p.a, MSG_BEAT, p.now);
	assert_int_equal(wire_accept(&p.b, NULL, &proof, p.now), WIRE_OK);
	assert_int_equal(wire_accept(&p.b, NULL, &old, p.now), WIRE_HELLO); /* and an accepted one needs no echo */
	proof = sent(&p.a, MSG_BEAT, p.now);
	assert_int_equal(wire_accept(&p.b, NULL, &proof, p.now), WIRE_OK);
}

/* --- paths -------------------------------------------------------------------------------------------------------- */

enum { INTERVAL = 100000 };

/* Two nodes, two paths; what is sent leaves over both. */
struct wires {
	struct pair p;
	struct wire_path a[2], b[2];
};

static void lay(struct wires *w)
{
	start(&w->p);
	shake(&w->p);
	for (int i = 0; i < 2; i++) {
		wire_path_init(&w->a[i]);
		wire_path_init(&w->b[i]);
	}
}

/* From a to b (back: from b to a) over the paths of the mask, arriving after `late` on the second one. */
static enum wire_verdict cross(struct wires *w, bool back, unsigned mask, us_t late)
{
	struct wire_session *from = back ? &w->p.b : &w->p.a, *to = back ? &w->p.a : &w->p.b;
	struct wire_path *out = back ? w->b : w->a, *in = back ? w->a : w->b;
	struct msg m = sent(from, MSG_BEAT, w->p.now);
	enum wire_verdict last = WIRE_VERDICT_COUNT;

	for (unsigned i = 0; i < 2; i++) {
		struct msg copy = m;

		wire_path_stamp(&out[i], from, &copy, w->p.now);
		if (mask & 1u << i)
			last = wire_accept(to, &in[i], &copy, w->p.now + 100 + (i ? late : 0));
	}
	return last;
}

static void talk(struct wires *w, int rounds, unsigned there, unsigned back)
{
	for (int i = 0; i < rounds; i++) {
		cross(w, false, there, 0);
		w->p.now += INTERVAL / 2;
		cross(w, true, back, 0);
		w->p.now += INTERVAL / 2;
	}
}

static int loss(const struct wires *w, int path)
{
	return wire_path_loss(&w->b[path], &w->p.b, INTERVAL, w->p.now);
}

static void doubles_are_no_replays(void **state)
{
	struct wires w;

	(void)state;
	lay(&w);
	assert_int_equal(cross(&w, false, 1, 0), WIRE_OK);
	assert_int_equal(cross(&w, false, 3, 50), WIRE_DOUBLE);
	assert_int_equal(w.p.b.count[WIRE_DOUBLE], 1);
	assert_int_equal(w.p.b.count[WIRE_REPLAYED], 0);

	struct msg m = sent(&w.p.a, MSG_BEAT, w.p.now), ancient = m;
	assert_int_equal(wire_accept(&w.p.b, &w.b[0], &m, w.p.now), WIRE_OK);
	assert_int_equal(wire_accept(&w.p.b, &w.b[0], &m, w.p.now), WIRE_REPLAYED); /* a second time on the same path */
	assert_int_equal(wire_accept(&w.p.b, &w.b[1], &m, w.p.now), WIRE_DOUBLE);
	talk(&w, 2 * WIRE_PATH_RING, 1, 1);
	us_t heard = w.b[1].heard_at;
	assert_int_equal(wire_accept(&w.p.b, &w.b[1], &ancient, w.p.now), WIRE_REPLAYED);
	ancient.incarnation = 0xdead; /* and a recording of another life is no sign of this path's */
	assert_int_not_equal(wire_accept(&w.p.b, &w.b[1], &ancient, w.p.now), WIRE_OK);
	assert_int_equal(w.b[1].heard_at, heard);
}

static void loss_is_told_by_path(void **state)
{
	struct wires w;

	(void)state;
	lay(&w);
	talk(&w, 5, 3, 3);
	assert_int_equal(loss(&w, 0), -1); /* too few to tell */
	talk(&w, 200, 3, 3);
	assert_int_equal(loss(&w, 0), 0);
	assert_int_equal(loss(&w, 1), 0);
	for (int i = 0; i < 50; i++) { /* the second path loses every other one */
		talk(&w, 1, 3, 3);
		talk(&w, 1, 1, 3);
	}
	assert_int_equal(loss(&w, 0), 0);
	assert_in_range(loss(&w, 1), 48, 50);
	talk(&w, 110, 1, 3);
	assert_int_equal(loss(&w, 1), 100);
	assert_int_equal(loss(&w, 0), 0);
	talk(&w, 110, 3, 3);
	assert_int_equal(loss(&w, 1), 0);
}

/* On the only path that is left nothing tells what was lost at the end, but time. */
static void silence_is_loss(void **state)
{
	struct wires w;

	(void)state;
	lay(&w);
	talk(&w, 150, 1, 1);
	assert_int_equal(loss(&w, 0), 0);
	talk(&w, 51, 0, 1);
	assert_in_range(loss(&w, 0), 45, 52);
	talk(&w, 100, 0, 1);
	assert_int_equal(loss(&w, 0), 100);
}

static void a_new_incarnation_begins_anew(void **state)
{
	struct wires w;

	(void)state;
	lay(&w);
	talk(&w, 150, 1, 1);
	wire_session_init(&w.p.a, 0, 0xa2);
	shake(&w.p);
	assert_int_equal(loss(&w, 0), -1);
	talk(&w, 150, 2, 2); /* the first path is dead since before */
	assert_int_equal(loss(&w, 0), 100);
	assert_int_equal(loss(&w, 1), 0);
}

/* Both nodes know the round trip of each path, though neither answers at once. */
static void round_trip_of_each_path_on_both_nodes(void **state)
{
	struct wires w;

	(void)state;
	lay(&w);
	for (int i = 0; i < 300; i++) {
		cross(&w, false, 3, 1000);
		w.p.now += 30000;
		cross(&w, true, 3, 3000);
		w.p.now += 70000;
	}
	assert_int_equal(w.b[0].rtt_us, 200);
	assert_int_equal(w.a[0].rtt_us, 200);
	assert_in_range(w.a[1].rtt_us, 4190, 4200); /* 100 + 1000 there, 100 + 3000 back */
	assert_in_range(w.b[1].rtt_us, 4190, 4200);
}

static void nonsense_measures_nothing(void **state)
{
	struct wires w;

	(void)state;
	lay(&w);
	struct msg m = sent(&w.p.a, MSG_BEAT, w.p.now);
	m.path_echo = w.p.b.counter;
	m.path_held_us = UINT64_MAX; /* longer than the packet is old */
	assert_int_equal(wire_accept(&w.p.b, &w.b[0], &m, w.p.now), WIRE_OK);
	assert_int_equal(w.b[0].rtt_us, US_UNKNOWN);
	m = sent(&w.p.a, MSG_BEAT, w.p.now);
	m.path_echo = w.p.b.counter + 5; /* never sent */
	assert_int_equal(wire_accept(&w.p.b, &w.b[0], &m, w.p.now), WIRE_OK);
	assert_int_equal(w.b[0].rtt_us, US_UNKNOWN);
	m = sent(&w.p.a, MSG_BEAT, w.p.now); /* a sender of version 1.1 says nothing */
	assert_int_equal(wire_accept(&w.p.b, &w.b[0], &m, w.p.now), WIRE_OK);
	assert_int_equal(w.b[0].rtt_us, US_UNKNOWN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(doubles_are_no_replays),
		cmocka_unit_test(loss_is_told_by_path),
		cmocka_unit_test(silence_is_loss),
		cmocka_unit_test(a_new_incarnation_begins_anew),
		cmocka_unit_test(round_trip_of_each_path_on_both_nodes),
		cmocka_unit_test(nonsense_measures_nothing),
		cmocka_unit_test(handshake_counts),
		cmocka_unit_test(our_own_packet_is_ours),
		cmocka_unit_test(repeated_and_reordered_are_dropped),
		cmocka_unit_test(new_incarnation_must_prove_itself),
		cmocka_unit_test(past_incarnation_stays_past),
		cmocka_unit_test(what_left_the_ring_proves_nothing),
		cmocka_unit_test(recording_neither_acts_nor_blocks),
		cmocka_unit_test(hello_flood_does_not_block_a_restart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
