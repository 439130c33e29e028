/* test_wire.c - heartbeat packets: bytes and authentication. */
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
		.path_echo = 0x2102030405060708,
		.path_held_us = 0x1102030405060708,
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
	SAME(path_echo);
	SAME(path_held_us);
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

/* Each earlier minor version's packet is understood, and what it does not know is unknown. */
static void earlier_minors_are_understood(void **state)
{
	static const int first_new_field[] = { 21, 23 }; /* of 1.1 and 1.2: an earlier sender stops before it */
	struct msg m = full(), out;
	uint8_t packet[WIRE_MAX], copy[WIRE_MAX];
	size_t body = (size_t)wire_encode(&key, &m, packet) - 32;

	(void)state;
	for (uint8_t minor = 0; minor < ARRAY_LEN(first_new_field); minor++) {
		size_t at = find_field(packet, body, first_new_field[minor]);

		memcpy(copy, packet, at);
		copy[5] = minor;
		assert_int_equal(wire_decode(&key, copy, (size_t)sign(copy, at), &out), WIRE_OK);
		assert_int_equal(out.term, m.term);
		assert_int_equal(out.path_echo, 0);
		assert_int_equal(out.hold_us, minor ? m.hold_us : 0);
		copy[5] = WIRE_MINOR;
		assert_refused(copy, (size_t)sign(copy, at), WIRE_SHORT);
	}
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(names_are_whole),
	cmocka_unit_test(every_field_comes_back),
	cmocka_unit_test(longest_strings_fit_and_longer_are_cut),
	cmocka_unit_test(every_truncation_is_refused),
	cmocka_unit_test(every_bit_counts),
	cmocka_unit_test(strangers_are_told_apart),
	cmocka_unit_test(next_minor_may_add_fields),
	cmocka_unit_test(earlier_minors_are_understood),
	cmocka_unit_test(section_digests_may_be_missing_fewer_or_more),
	cmocka_unit_test(authentic_nonsense_is_refused),
	cmocka_unit_test(fields_must_be_whole_once_and_in_order),
};

int main(void)
{
	return cmocka_run_group_tests(tests, setup, NULL);
}
