/* test_wire.c - heartbeat packets: bytes, authentication, freshness. */
#include "hactl/wire/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/evp.h>

static struct wire_key key;

static int setup(void **state)
{
	uint8_t raw[WIRE_KEY];

	(void)state;
	for (int i = 0; i < WIRE_KEY; i++)
		raw[i] = (uint8_t)(i * 7 + 1);
	wire_key_make(&key, raw, "hifate");
	return 0;
}

/* Every field holds a value of its own, with the high bits set where it may, so that no two can be mixed up or cut. */
static struct msg full(void)
{
	struct msg m = {
		.kind = MSG_VOTE,
		.from = 1,
		.role = ROLE_QUARANTINED,
		.primary = NOBODY,
		.flags = 0xf1e2,
		.term = 0xa102030405060708,
		.incarnation = 0xb102030405060708,
		.counter = 0xc102030405060708,
		.echo_incarnation = 0xd102030405060708,
		.echo_counter = 0xe102030405060708,
		.nonce = 0xf102030405060708,
		.for_incarnation = 0x9102030405060708,
		.boot = 0x8102030405060708,
		.db_start = -2,
		.sync_term = 0x7102030405060708,
		.sync_seq = 0x6102030405060708,
		.config = 0x5102030405060708,
		.redis_offset = 0x4102030405060708,
		.note = "the replica's SQL thread stands: Duplicate entry",
		.gtid = "0-1-42,1-2-43",
		.section = { 0xf1020304, 2, 0xf3020304, 4, 5, 6, 7, 8, 9, 10, 11, 0xfc020304 },
		.hold_us = 0x3102030405060708,
	};
	return m;
}

static void assert_same(const struct msg *a, const struct msg *b)
{
#define SAME(f) assert_true(a->f == b->f)
	SAME(kind);
	SAME(from);
	SAME(role);
	SAME(primary);
	SAME(flags);
	SAME(term);
	SAME(incarnation);
	SAME(counter);
	SAME(echo_incarnation);
	SAME(echo_counter);
	SAME(nonce);
	SAME(for_incarnation);
	SAME(boot);
	SAME(db_start);
	SAME(sync_term);
	SAME(sync_seq);
	SAME(config);
	SAME(redis_offset);
	SAME(hold_us);
#undef SAME
	assert_string_equal(a->note, b->note);
	assert_string_equal(a->gtid, b->gtid);
	assert_memory_equal(a->section, b->section, sizeof(a->section));
}

/* Writes the code over a packet whose bytes the test has changed: an authentic sender that says something odd. */
static int sign(uint8_t *packet, size_t body)
{
	size_t n = 0;

	assert_true(
		EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, key.key, WIRE_KEY, packet, body, packet + body, 32, &n));
	return (int)(body + n);
}

/* Refused, and *out not touched. */
static void assert_refused(const uint8_t *packet, size_t len, enum wire_verdict want)
{
	struct msg out, before;

	memset(&out, 0x5a, sizeof(out));
	before = out;
	assert_int_equal(wire_decode(&key, packet, len, &out), want);
	assert_memory_equal(&out, &before, sizeof(out));
}

static void names_are_whole(void **state)
{
	(void)state;
	for (int i = 0; i < WIRE_VERDICT_COUNT; i++)
		assert_non_null(wire_verdict_names[i]);
}

static void every_field_comes_back(void **state)
{
	struct msg m = full(), out;
	uint8_t packet[WIRE_MAX];
	int len = wire_encode(&key, &m, packet);

	(void)state;
	assert_true(len > 0);
	assert_int_equal(wire_decode(&key, packet, (size_t)len, &out), WIRE_OK);
	assert_same(&m, &out);
}

static void longest_strings_fit_and_longer_are_cut(void **state)
{
	struct msg m = full(), out;
	uint8_t packet[WIRE_MAX];

	(void)state;
	memset(m.note, 'n', sizeof(m.note)); /* no NUL at all: still never read past the field */
	memset(m.gtid, 'g', sizeof(m.gtid));
	int len = wire_encode(&key, &m, packet);
	assert_in_range(len, 1, WIRE_MAX);
	assert_int_equal(wire_decode(&key, packet, (size_t)len, &out), WIRE_OK);
	assert_int_equal(strlen(out.note), SENTENCE_MAX - 1);
	assert_int_equal(strlen(out.gtid), GTID_MAX - 1);
}

static void every_truncation_is_refused(void **state)
{
	struct msg m = full();
	uint8_t packet[WIRE_MAX], cut[WIRE_MAX];
	int len = wire_encode(&key, &m, packet);

	(void)state;
	for (int n = 0; n < len; n++) {
		assert_refused(packet, (size_t)n, n < 22 + 32 ? WIRE_SHORT : WIRE_FORGED);
		if (n < 22)
			continue;
		memcpy(cut, packet,
			(size_t)n); /* cut and signed again: the walk over the fields must notice by itself */
		if (n < len - 32)
			assert_refused(cut, (size_t)sign(cut, (size_t)n), WIRE_SHORT);
	}
}

static void every_bit_counts(void **state)
{
	struct msg m = full(), out;
	uint8_t packet[WIRE_MAX];
	int len = wire_encode(&key, &m, packet);

	(void)state;
	for (int bit = 0; bit < len * 8; bit++) {
		packet[bit / 8] ^= (uint8_t)(1 << bit % 8);
		if (wire_decode(&key, packet, (size_t)len, &out) == WIRE_OK)
			fail_msg("bit %d of byte %d may be flipped unnoticed", bit % 8, bit / 8);
		packet[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	assert_int_equal(wire_decode(&key, packet, (size_t)len, &out), WIRE_OK);
}

static void strangers_are_told_apart(void **state)
{
	struct msg m = full();
	struct wire_key other = key;
	uint8_t packet[WIRE_MAX], odd[WIRE_MAX + 1] = "HACT";
	int len;

	(void)state;
	other.key[31] ^= 1;
	len = wire_encode(&other, &m, packet);
	assert_refused(packet, (size_t)len, WIRE_FORGED);

	wire_key_make(&other, key.key, "hifate2");
	len = wire_encode(&other, &m, packet);
	assert_refused(packet, (size_t)len, WIRE_FOREIGN);

	len = wire_encode(&key, &m, packet);
	packet[0] = 'h';
	sign(packet, (size_t)len - 32);
	assert_refused(packet, (size_t)len, WIRE_FOREIGN);

	len = wire_encode(&key, &m, packet);
	packet[4] = WIRE_MAJOR + 1;
	sign(packet, (size_t)len - 32);
	assert_refused(packet, (size_t)len, WIRE_VERSION);
	packet[4] = 0;
	sign(packet, (size_t)len - 32);
	assert_refused(packet, (size_t)len, WIRE_VERSION);

	assert_refused(odd, sizeof(odd), WIRE_SHORT);
}

static void next_minor_may_add_fields(void **state)
{
	static const uint8_t extra[] = { 200, 0, 3, 'n', 'e', 'w', 201, 0, 0 };
	struct msg m = full(), out;
	uint8_t packet[WIRE_MAX];
	size_t body = (size_t)wire_encode(&key, &m, packet) - 32;

	(void)state;
	memcpy(packet + body, extra, sizeof(extra));
	int len = sign(packet, body + sizeof(extra));
	assert_refused(packet, (size_t)len, WIRE_SHORT); /* our own minor has no such field */

	packet[5] = WIRE_MINOR + 1;
	len = sign(packet, body + sizeof(extra));
	assert_int_equal(wire_decode(&key, packet, (size_t)len, &out), WIRE_OK);
	assert_same(&m, &out);
}

static size_t find_field(const uint8_t *packet, size_t body, int type);

/* A sender of version 1.0 has no section digests, a later one may have more of them, or fewer: never a reason to lose it. */
static void section_digests_may_be_missing_fewer_or_more(void **state)
{
	struct msg m = full(), out;
	uint8_t packet[WIRE_MAX], copy[WIRE_MAX];
	size_t body = (size_t)wire_encode(&key, &m, packet) - 32, at = find_field(packet, body, 21);
	size_t next = find_field(packet, body, 22);

	(void)state;
	memcpy(copy, packet, at);
	copy[5] = 0;
	assert_int_equal(wire_decode(&key, copy, (size_t)sign(copy, at), &out), WIRE_OK);
	for (size_t i = 0; i < MSG_SECTIONS; i++)
		assert_int_equal(out.section[i], 0);
	assert_int_equal(out.config, m.config);
	copy[5] = WIRE_MINOR; /* our own minor always has them */
	assert_refused(copy, (size_t)sign(copy, at), WIRE_SHORT);

	memcpy(copy, packet, body);
	copy[at + 2] = 8; /* two words */
	memcpy(copy + at + 3 + 8, packet + next, body - next);
	assert_int_equal(wire_decode(&key, copy, (size_t)sign(copy, at + 3 + 8 + body - next), &out), WIRE_OK);
	assert_int_equal(out.section[1], m.section[1]);
	assert_int_equal(out.section[2], 0);
	copy[at + 2] = 7; /* no whole number of words */
	memcpy(copy + at + 3 + 7, packet + next, body - next);
	assert_refused(copy, (size_t)sign(copy, at + 3 + 7 + body - next), WIRE_SHORT);

	memcpy(copy, packet, body);
	copy[at + 2] = (uint8_t)(sizeof(m.section) + 4);
	memset(copy + next, 9, 4);
	memcpy(copy + next + 4, packet + next, body - next);
	assert_int_equal(wire_decode(&key, copy, (size_t)sign(copy, body + 4), &out), WIRE_OK);
	assert_same(&m, &out);
}

/* The place of a field's type byte, found by walking the packet as the format says. */
static size_t find_field(const uint8_t *packet, size_t body, int type)
{
	size_t at = 22;

	while (at < body && packet[at] != type)
		at += 3u + (size_t)(packet[at + 1] << 8 | packet[at + 2]);
	assert_true(at < body);
	return at;
}

static void authentic_nonsense_is_refused(void **state)
{
	/* the last byte of a field's value is set, the packet signed again */
	static const struct {
		const char *what;
		int type;
		uint8_t value;
	} row[] = {
		{ "kind outside the enum", 1, MSG_KIND_COUNT },
		{ "from is no node", 2, 2 },
		{ "from is nobody", 2, 0xff },
		{ "role outside the enum", 3, ROLE_COUNT },
		{ "primary is no node", 4, 2 },
		{ "primary below nobody", 4, 0xfe },
		{ "NUL inside the note", 19, 0 },
		{ "NUL inside the position", 20, 0 },
	};
	struct msg m = full();
	uint8_t packet[WIRE_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(row); i++) {
		size_t body = (size_t)wire_encode(&key, &m, packet) - 32, at = find_field(packet, body, row[i].type);
		size_t width = (size_t)(packet[at + 1] << 8 | packet[at + 2]);

		packet[at + 2 + width] = row[i].value;
		print_message("%s\n", row[i].what);
		assert_refused(packet, (size_t)sign(packet, body), WIRE_SHORT);
	}
	m.counter = 0;
	assert_refused(packet, (size_t)wire_encode(&key, &m, packet), WIRE_SHORT);
	m = full();
	m.incarnation = 0;
	assert_refused(packet, (size_t)wire_encode(&key, &m, packet), WIRE_SHORT);
}

static void fields_must_be_whole_once_and_in_order(void **state)
{
	struct msg m = full();
	uint8_t packet[WIRE_MAX], copy[WIRE_MAX];
	size_t body = (size_t)wire_encode(&key, &m, packet) - 32;
	size_t term = find_field(packet, body, 6), gtid = find_field(packet, body, 20);

	(void)state;
	memcpy(copy, packet, body); /* doubled: the term once more behind the last field, in a newer minor */
	copy[5] = WIRE_MINOR + 1;
	memcpy(copy + body, packet + term, 11);
	assert_refused(copy, (size_t)sign(copy, body + 11), WIRE_SHORT);

	memcpy(copy, packet, body); /* left out */
	memmove(copy + term, copy + term + 11, body - term - 11);
	assert_refused(copy, (size_t)sign(copy, body - 11), WIRE_SHORT);
	assert_refused(copy, (size_t)(memcpy(copy, packet, gtid), sign(copy, gtid)), WIRE_SHORT);

	memcpy(copy, packet, body); /* swapped with its neighbour, which has the same width */
	memcpy(copy + term, packet + term + 11, 11);
	memcpy(copy + term + 11, packet + term, 11);
	assert_refused(copy, (size_t)sign(copy, body), WIRE_SHORT);

	memcpy(copy, packet, body); /* seven bytes for eight */
	copy[term + 2] = 7;
	memmove(copy + term + 10, copy + term + 11, body - term - 11);
	assert_refused(copy, (size_t)sign(copy, body - 1), WIRE_SHORT);
}

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

	assert_int_equal(wire_accept(&p->b, &m, p->now), WIRE_HELLO);
	m = sent(&p->b, MSG_BEAT, p->now);
	assert_int_equal(wire_accept(&p->a, &m, p->now), WIRE_OK);
	m = sent(&p->a, MSG_BEAT, p->now);
	assert_int_equal(wire_accept(&p->b, &m, p->now), WIRE_OK);
}

static void handshake_counts_and_measures(void **state)
{
	struct pair p;

	(void)state;
	start(&p);
	shake(&p);
	assert_int_equal(p.b.count[WIRE_HELLO], 1);
	assert_int_equal(p.b.count[WIRE_OK], 1);
	assert_int_equal(p.a.heard_at, p.now);
	assert_int_equal(p.a.rtt_us, US_UNKNOWN); /* a beat waits for its turn and measures nothing */

	struct msg ask = sent(&p.a, MSG_RENEW, p.now);
	assert_int_equal(wire_accept(&p.b, &ask, p.now + 100), WIRE_OK);
	struct msg yes = sent(&p.b, MSG_PROMISE, p.now + 100);
	assert_int_equal(wire_accept(&p.a, &yes, p.now + 250), WIRE_OK);
	assert_int_equal(p.a.rtt_us, 250);
	wire_count(&p.a, WIRE_FORGED);
	assert_int_equal(p.a.count[WIRE_FORGED], 1);
}

static void our_own_packet_is_ours(void **state)
{
	struct pair p;

	(void)state;
	start(&p);
	struct msg m = sent(&p.a, MSG_BEAT, p.now);
	assert_int_equal(wire_accept(&p.a, &m, p.now), WIRE_SELF);
	struct wire_session twin; /* both nodes configured as the first */
	wire_session_init(&twin, 0, 0xc1);
	m = sent(&twin, MSG_BEAT, p.now);
	assert_int_equal(wire_accept(&p.a, &m, p.now), WIRE_SELF);
	m.from =
		1; /* a random number that fell twice, or a packet of ours relabelled: it must not become its own peer */
	m.incarnation = p.a.incarnation;
	assert_int_equal(wire_accept(&p.a, &m, p.now), WIRE_SELF);
}

static void repeated_and_reordered_are_dropped(void **state)
{
	struct pair p;

	(void)state;
	start(&p);
	shake(&p);
	struct msg first = sent(&p.a, MSG_RENEW, p.now), second = sent(&p.a, MSG_RELEASED, p.now);
	assert_int_equal(wire_accept(&p.b, &second, p.now), WIRE_OK);
	assert_int_equal(wire_accept(&p.b, &second, p.now), WIRE_REPLAYED); /* the same over a second path */
	assert_int_equal(wire_accept(&p.b, &first, p.now), WIRE_REPLAYED);
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
	assert_int_equal(wire_accept(&p.b, &hello, p.now), WIRE_HELLO);
	assert_int_equal(p.b.peer_incarnation, before.peer_incarnation);
	assert_int_equal(p.b.peer_counter, before.peer_counter);
	assert_int_equal(p.b.heard_at, before.heard_at);

	struct msg wrong = hello; /* echoes an incarnation that was never ours */
	wrong.echo_incarnation = 0xdead;
	wrong.echo_counter = p.b.counter;
	assert_int_equal(wire_accept(&p.b, &wrong, p.now), WIRE_HELLO);
	wrong.echo_incarnation = 0xb1; /* ours, but a counter that we have not sent */
	wrong.echo_counter = p.b.counter + 1;
	assert_int_equal(wire_accept(&p.b, &wrong, p.now), WIRE_HELLO);

	assert_int_equal(wire_accept(&p.b, &hello, p.now), WIRE_HELLO);
	struct msg answer = sent(&p.b, MSG_BEAT, p.now);
	assert_int_equal(answer.echo_incarnation, 0xa2);
	assert_int_equal(wire_accept(&p.a, &answer, p.now), WIRE_OK);
	struct msg proof = sent(&p.a, MSG_BEAT, p.now);
	assert_int_equal(wire_accept(&p.b, &proof, p.now + WIRE_FRESH + 1), WIRE_HELLO); /* too old to prove anything */
	assert_int_equal(wire_accept(&p.b, &proof, p.now + WIRE_FRESH), WIRE_OK);
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
	assert_int_equal(wire_accept(&p.b, &withheld, p.now), WIRE_REPLAYED);
	assert_int_equal(p.b.peer_incarnation, 0xa2);
	struct msg m = sent(&p.a, MSG_BEAT, p.now);
	assert_int_equal(wire_accept(&p.b, &m, p.now), WIRE_OK);
}

static void what_left_the_ring_proves_nothing(void **state)
{
	struct pair p;

	(void)state;
	start(&p);
	struct msg m = sent(&p.a, MSG_BEAT, p.now), hello = sent(&p.b, MSG_BEAT, p.now);
	assert_int_equal(wire_accept(&p.a, &hello, p.now), WIRE_HELLO);
	m = sent(&p.a, MSG_BEAT, p.now);
	for (int i = 0; i < WIRE_SENT_RING; i++)
		sent(&p.b, MSG_BEAT, p.now);
	assert_int_equal(wire_accept(&p.b, &m, p.now), WIRE_HELLO);
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
		assert_int_equal(wire_accept(&p.b, &tape[0][i], p.now), WIRE_OK);
		tape[1][i] = sent(&p.b, (enum msg_kind)(i % MSG_KIND_COUNT), p.now);
		assert_int_equal(wire_accept(&p.a, &tape[1][i], p.now), WIRE_OK);
	}
	wire_session_init(&p.a, 0, 0xa2);
	wire_session_init(&p.b, 1, 0xb2);
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 80; i++) {
			int at = round == 1 ? 39 - i % 40 : i % 40;
			assert_int_not_equal(wire_accept(&p.b, &tape[0][at], p.now), WIRE_OK);
			assert_int_not_equal(wire_accept(&p.a, &tape[1][at], p.now), WIRE_OK);
		}
		assert_int_equal(p.a.peer_incarnation, round ? 0xb2 : 0);
		if (round == 0)
			shake(&p);
		struct msg m = sent(&p.a, MSG_BEAT, p.now);
		assert_int_equal(wire_accept(&p.b, &m, p.now), WIRE_OK);
		m = sent(&p.b, MSG_BEAT, p.now);
		assert_int_equal(wire_accept(&p.a, &m, p.now), WIRE_OK);
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
	assert_int_equal(wire_accept(&p.b, &old, p.now), WIRE_HELLO);
	assert_int_equal(wire_accept(&p.b, &hello, p.now), WIRE_HELLO);
	struct msg answer = sent(&p.b, MSG_BEAT, p.now);
	assert_int_equal(wire_accept(&p.b, &old, p.now), WIRE_HELLO);
	assert_int_equal(wire_accept(&p.a, &answer, p.now), WIRE_OK);
	struct msg proof = sent(&p.a, MSG_BEAT, p.now);
	assert_int_equal(wire_accept(&p.b, &proof, p.now), WIRE_OK);
	assert_int_equal(wire_accept(&p.b, &old, p.now), WIRE_HELLO); /* and an accepted one needs no echo */
	proof = sent(&p.a, MSG_BEAT, p.now);
	assert_int_equal(wire_accept(&p.b, &proof, p.now), WIRE_OK);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(names_are_whole),
	cmocka_unit_test(every_field_comes_back),
	cmocka_unit_test(longest_strings_fit_and_longer_are_cut),
	cmocka_unit_test(every_truncation_is_refused),
	cmocka_unit_test(every_bit_counts),
	cmocka_unit_test(strangers_are_told_apart),
	cmocka_unit_test(next_minor_may_add_fields),
	cmocka_unit_test(section_digests_may_be_missing_fewer_or_more),
	cmocka_unit_test(authentic_nonsense_is_refused),
	cmocka_unit_test(fields_must_be_whole_once_and_in_order),
	cmocka_unit_test(handshake_counts_and_measures),
	cmocka_unit_test(our_own_packet_is_ours),
	cmocka_unit_test(repeated_and_reordered_are_dropped),
	cmocka_unit_test(new_incarnation_must_prove_itself),
	cmocka_unit_test(past_incarnation_stays_past),
	cmocka_unit_test(what_left_the_ring_proves_nothing),
	cmocka_unit_test(recording_neither_acts_nor_blocks),
	cmocka_unit_test(hello_flood_does_not_block_a_restart),
};

int main(void)
{
	return cmocka_run_group_tests(tests, setup, NULL);
}
