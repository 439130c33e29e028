/* test_core_aside.c - a restarted owner of the last term whose servers are dead: when it gives its term away at once, and what goes first. */
#include "tests/unit/core_bench.h"

static const struct reg_value mine_in_sync = {
	.holder = 0,
	.mode = REG_PEER,
	.term = 5,
	.nonce = 1,
	.sync = { .in_sync = true,
		.standby = 1,
		.boot = 5,
		.db_start = 6,
		.seq = 3 } /* of whom core_bench.h's hear() comes */
};

/* One change to a case in which the word is given. */
struct state {
	struct bench *b;
	struct core_disk disk;
	struct reg_value entry;
	unsigned flags;
	enum role role;
	uint64_t term;
	bool unheard, unread, paused;
};

static void as_it_is(struct state *s)
{
	(void)s;
}
static void no_record_wanted(struct state *s)
{
	s->b->conf.lossless = false;
	s->entry.sync.in_sync = false;
}
static void manual_without_record(struct state *s)
{
	s->b->conf.lossless = false;
	s->b->conf.mode = CORE_MANUAL;
}
static void fence(struct state *s)
{
	s->b->conf.mode = CORE_FENCE;
}
static void manual_with_record(struct state *s)
{
	s->b->conf.mode = CORE_MANUAL;
}
static void not_ill(struct state *s)
{
	s->b->facts.ill = false;
}
static void unknown(struct state *s)
{
	s->b->facts.known = false;
}
static void takes_writes(struct state *s)
{
	s->b->facts.mysql_writable = s->b->facts.writable = true;
}
static void other_silent(struct state *s)
{
	s->unheard = true;
}
static void other_not_ready(struct state *s)
{
	s->flags = 0;
}
static void other_ill(struct state *s)
{
	s->flags |= FLAG_ILL;
}
static void other_stopping(struct state *s)
{
	s->flags |= FLAG_STOPPING;
}
static void other_paused(struct state *s)
{
	s->flags |= FLAG_PAUSED;
}
static void other_starting(struct state *s)
{
	s->role = ROLE_STARTING;
}
static void other_knows_no_such_term(struct state *s)
{
	s->term = 4;
}
static void paused(struct state *s)
{
	s->disk.paused = true;
}
static void register_unread(struct state *s)
{
	s->unread = true;
}
static void record_false(struct state *s)
{
	s->entry.sync.in_sync = false;
}
static void record_of_another_boot(struct state *s)
{
	s->entry.sync.boot = 4;
}
static void record_of_another_server(struct state *s)
{
	s->entry.sync.db_start = 7;
}
static void record_of_an_older_term(struct state *s)
{
	s->entry.term = 4;
}
static void entry_of_the_other(struct state *s)
{
	s->entry.holder = 1;
}
static void released_before(struct state *s)
{
	s->disk.released = 5;
}
static void won_and_not_served(struct state *s)
{
	s->disk.bound_db = 9;
}
static void owner_is_the_other(struct state *s)
{
	s->disk.owner = 1;
	s->disk.other_term = 5;
}
static void within_the_flap_window(struct state *s)
{
	s->b->conf.flap_window = 60 * US_PER_SEC;
	s->disk.flap = true;
}
static void other_configuration(struct state *s)
{
	s->b->facts.config = 1;
	s->b->peer_config = 2;
}

static struct state at_the_start(struct bench *b)
{
	b->conf.lossless = true;
	b->facts.ready = b->facts.replicating = false;
	b->facts.ill = true;
	b->facts.db_start = 0;
	snprintf(b->facts.why, sizeof(b->facts.why), "mysql on n1 is dead: nobody listens on its port");
	return (struct state){ .b = b,
		.disk = primary_disk,
		.entry = mine_in_sync,
		.flags = FLAG_READY,
		.role = ROLE_STANDBY,
		.term = 5 };
}

static void run(struct state *s)
{
	struct bench *b = s->b;

	start(b, &s->disk);
	if (!s->unread && b->reg_id)
		answer(b, REG_OK, 3, &s->entry);
	if (!s->unheard)
		hear(b, MSG_BEAT, s->term, s->role, s->flags, 0);
}

static void the_word_is_given_only_where_the_other_can_use_it(void **state)
{
	static const struct {
		const char *name;
		void (*change)(struct state *s);
		bool aside;
	} rows[] = {
		{ "dead, and the other is in sync", as_it_is, true },
		{ "without an in-sync record", no_record_wanted, true },
		{ "manual, without an in-sync record", manual_without_record, true },
		{ "fence: the other believes what it believes", fence, true },
		{ "manual: nobody would know about the data", manual_with_record, false },
		{ "not ill", not_ill, false },
		{ "nothing observed yet", unknown, false },
		{ "MySQL takes writes, something else is dead", takes_writes, false },
		{ "the other is silent", other_silent, false },
		{ "the other is not ready", other_not_ready, false },
		{ "the other is ill", other_ill, false },
		{ "the other is being stopped", other_stopping, false },
		{ "the other has a pause stored", other_paused, false },
		{ "the other has just started", other_starting, false },
		{ "the other does not know the term", other_knows_no_such_term, false },
		{ "paused", paused, false },
		{ "the register has not been read", register_unread, false },
		{ "not in sync", record_false, false },
		{ "in sync before the other's reboot", record_of_another_boot, false },
		{ "in sync before its server's restart", record_of_another_server, false },
		{ "in sync in an older term", record_of_an_older_term, false },
		{ "the entry is the other's", entry_of_the_other, false },
		{ "released already", released_before, false },
		{ "a takeover that never opened", won_and_not_served, false },
		{ "the other was primary", owner_is_the_other, false },
		{ "a second failover within the window", within_the_flap_window, false },
		{ "the other is configured differently", other_configuration, false },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct state s;

		teardown(state);
		assert_int_equal(setup(state), 0);
		s = at_the_start(*state);
		rows[i].change(&s);
		run(&s);
		if ((look(s.b).role == ROLE_DEMOTING) != rows[i].aside)
			fail_msg("%s: %s", rows[i].name, role_names[look(s.b).role]);
		assert_null(sent(s.b, MSG_RELEASED));
	}
}

/* Gate, address, databases; then the word is stored; then it is said, and says nothing about data. */
static void everything_is_shut_before_the_word(void **state)
{
	struct bench *b = *state;
	struct state s = at_the_start(b);

	run(&s);
	assert_int_equal(look(b).role, ROLE_DEMOTING);
	assert_non_null(find(b, ACT_GATE));
	assert_true(find(b, ACT_GATE)->until <= b->now);
	assert_true(index_of(b, ACT_GATE) < index_of(b, ACT_STEP));
	for (int i = 0; i < 20 && look(b).role == ROLE_DEMOTING; i++) {
		const struct core_action *step = find(b, ACT_STEP);
		struct core_event ev = { .kind = EV_STEP };

		assert_null(sent(b, MSG_RELEASED));
		assert_non_null(step);
		ev.step.serial = step->serial;
		ev.step.outcome = STEP_OK;
		b->now += US_PER_MS;
		feed(b, &ev);
	}
	assert_int_equal(look(b).role, ROLE_STANDBY);
	assert_non_null(sent(b, MSG_RELEASED));
	assert_true(index_of(b, ACT_PERSIST) < index_of(b, ACT_SEND));
	assert_int_equal(find(b, ACT_PERSIST)->disk.released, 5);
	assert_int_equal(sent(b, MSG_RELEASED)->term, 5);
	assert_false(sent(b, MSG_RELEASED)->flags & FLAG_SYNC_OK);
	assert_int_equal(sent(b, MSG_RELEASED)->for_incarnation, 0);
	b->facts.ill = false;
	b->facts.ready = true;
	facts(b);
	hear(b, MSG_PROMISE, 5, ROLE_STANDBY, FLAG_READY, 1); /* whoever confirms it now */
	tick(b, D / 2);
	assert_int_equal(look(b).role, ROLE_STANDBY);
	assert_false(look(b).held);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(the_word_is_given_only_where_the_other_can_use_it),
		CASE(everything_is_shut_before_the_word),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
