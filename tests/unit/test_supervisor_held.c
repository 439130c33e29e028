/* test_supervisor_held.c - which gates the journal is told of, and when. The core is real and has heard of nobody: it has blockers. */
#include "hactl/supervisor/private.h"

#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

enum { ME = 0, PEER = 1 };

struct bench {
	struct sup s;
	struct conf conf;
	struct cli cli;
	char dir[32], path[64];
};

static int setup(void **state)
{
	struct bench *b = xcalloc(1, sizeof(*b));
	struct core_disk disk = { .term = 3, .voted = PEER, .owner = PEER };
	struct err e;

	strcpy(b->dir, "/tmp/hactl-held-XXXXXX");
	assert_non_null(mkdtemp(b->dir));
	snprintf(b->path, sizeof(b->path), "%s/events.jsonl", b->dir);
	STR_COPY(b->conf.node[ME].name, "n1");
	STR_COPY(b->conf.node[PEER].name, "n2");
	b->s.conf = &b->conf;
	b->s.cli = &b->cli;
	b->s.peer = PEER;
	b->s.core_conf = (struct core_conf){ .me = ME,
		.prefer = NOBODY,
		.mode = CORE_MANUAL,
		.lease = US_PER_SEC,
		.interval = 100 * US_PER_MS,
		.has_mysql = true,
		.lossless = true };
	b->s.core = xcalloc(1, core_size());
	core_init(b->s.core, &b->s.core_conf, &disk, 1, now_us());
	b->s.journal = journal_open(b->dir, "n1", &e);
	assert_non_null(b->s.journal);
	*state = b;
	return 0;
}

static int teardown(void **state)
{
	struct bench *b = *state;

	journal_close(b->s.journal);
	unlink(b->path);
	rmdir(b->dir);
	free(b->s.core);
	free(b);
	return 0;
}

static size_t told(const struct bench *b, const char *what)
{
	auto_free char *text = NULL;
	size_t n = 0;

	if (file_read(b->path, 1024 * 1024, &text, NULL, NULL))
		return 0;
	for (const char *p = text; (p = strstr(p, what)); p++)
		n++;
	return n;
}

static size_t holding(const struct bench *b)
{
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_LEN(b->s.held); i++)
		n += b->s.held[i].since != 0;
	return n;
}

/* Only of a failover that is wanted: the primary has been silent for longer than its promise, or is ill itself. */
static void only_when_one_is_wanted(void **state)
{
	const us_t promise = core_promise_us(US_PER_SEC);
	const struct {
		const char *name;
		struct core_view v;
		bool known, ill, wanted;
	} rows[] = {
		{ "the primary was heard a moment ago",
			{ .role = ROLE_STANDBY, .primary = PEER, .peer = PEER_SILENT, .peer_silent_us = promise }, true,
			true, false },
		{ "the primary is alive",
			{ .role = ROLE_STANDBY, .primary = PEER, .peer = PEER_ALIVE, .peer_silent_us = promise + 1 },
			true, true, false },
		{ "nobody was primary",
			{ .role = ROLE_STANDBY, .primary = NOBODY, .peer = PEER_SILENT, .peer_silent_us = promise + 1 },
			true, true, false },
		{ "no standby",
			{ .role = ROLE_QUARANTINED,
				.primary = PEER,
				.peer = PEER_SILENT,
				.peer_silent_us = promise + 1 },
			true, true, false },
		{ "a primary that is well", { .role = ROLE_PRIMARY, .primary = ME, .peer = PEER_ALIVE }, true, false,
			false },
		{ "a primary that knows nothing", { .role = ROLE_PRIMARY, .primary = ME, .peer = PEER_ALIVE }, false,
			true, false },
		{ "the primary is silent",
			{ .role = ROLE_STANDBY, .primary = PEER, .peer = PEER_SILENT, .peer_silent_us = promise + 1 },
			true, false, true },
		{ "a primary that is ill", { .role = ROLE_PRIMARY, .primary = ME, .peer = PEER_ALIVE }, true, true,
			true },
	};
	struct bench *b = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		b->s.facts.known = rows[i].known;
		b->s.facts.ill = rows[i].ill;
		held_watch(&b->s, &rows[i].v);
		if ((holding(b) > 0) != rows[i].wanted)
			fail_msg("%s: %zu gates are told of", rows[i].name, holding(b));
		held_watch(&b->s, &rows[0].v);
		assert_int_equal(holding(b), 0);
		assert_false(b->s.holding_up);
	}
}

static void each_begins_once_and_ends_with_its_time(void **state)
{
	const struct core_view ill = { .role = ROLE_PRIMARY, .primary = ME, .peer = PEER_ALIVE },
			       calm = { .role = ROLE_STANDBY };
	struct bench *b = *state;
	char why[CORE_MAX_BLOCKERS][SENTENCE_MAX];
	size_t n = core_blockers(b->s.core, now_us(), why), gates = 0;

	for (size_t i = 0; i < n; i++)
		gates += !strstr(why[i], "does not answer");
	assert_true(gates > 0);
	b->s.facts.known = b->s.facts.ill = true;
	for (int i = 0; i < 3; i++)
		held_watch(&b->s, &ill);
	assert_int_equal(holding(b), gates);
	assert_int_equal(told(b, "a failover is held up: "), gates);
	assert_int_equal(told(b, "was held up for"), 0);
	b->s.held[0].since -= 500 * US_PER_SEC;
	held_watch(&b->s, &calm);
	held_watch(&b->s, &calm);
	assert_int_equal(told(b, "was held up for"), gates);
	assert_int_equal(told(b, "was held up for 50"), 1);
	assert_int_equal(told(b, "\"kind\":\"gate\""), 2 * gates);
}

/* What was told with other numbers is the same gate. */
static void numbers_change_and_the_gate_stays(void **state)
{
	const struct core_view ill = { .role = ROLE_PRIMARY, .primary = ME, .peer = PEER_ALIVE };
	struct bench *b = *state;
	char why[CORE_MAX_BLOCKERS][SENTENCE_MAX];
	size_t n = core_blockers(b->s.core, now_us(), why), gates;

	b->s.facts.known = b->s.facts.ill = true;
	assert_true(n > 0);
	held_watch(&b->s, &ill);
	gates = holding(b);
	memmove(b->s.held[0].why + 3, b->s.held[0].why, strlen(b->s.held[0].why) + 1);
	memcpy(b->s.held[0].why, "7.9", 3);
	held_watch(&b->s, &ill);
	assert_int_equal(holding(b), gates);
	assert_int_equal(told(b, "was held up for"), 0);
	b->s.held[0].why[4] ^= 1;
	held_watch(&b->s, &ill);
	assert_int_equal(told(b, "was held up for"), 1);
	assert_int_equal(told(b, "a failover is held up: "), gates + 1);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(only_when_one_is_wanted),
		CASE(each_begins_once_and_ends_with_its_time),
		CASE(numbers_change_and_the_gate_stays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
