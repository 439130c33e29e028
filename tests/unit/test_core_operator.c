/* test_core_operator.c - what an operator sees and asks for: modes, first start, unequal configurations, the window after a failover,
 * commands. */
#include "tests/unit/core_bench.h"

/* --- manual mode, first start, commands ------------------------------------------------------------------------------------------ */

static void manual_mode_never_moves_on_silence(void **state)
{
	struct bench *b = *state;

	b->conf.mode = CORE_MANUAL;
	start(b, &standby_disk);
	for (int i = 0; i < 600; i++) {
		tick(b, 100 * US_PER_MS);
		assert_false(look(b).held);
	}
}

static void manual_mode_obeys_the_operator_after_the_wait(void **state)
{
	struct bench *b = *state;
	struct core_event ev = { .kind = EV_COMMAND,
		.command = { .kind = CMD_FAILOVER, .id = 3, .to = NOBODY, .timeout = 30 * D } };

	b->conf.mode = CORE_MANUAL;
	start(b, &standby_disk);
	tick(b, 2 * D);
	hear(b, MSG_RENEW, 5, ROLE_STANDBY, 0, 1); /* a promise is given now */
	feed(b, &ev);
	tick(b, core_promise_us(D) / 2);
	assert_false(look(b).held);
	tick(b, core_promise_us(D));
	assert_true(look(b).held);
	assert_int_equal(look(b).from, FROM_SELF);
}

static void force_against_a_living_primary_is_refused(void **state)
{
	struct bench *b = *state;
	struct core_event ev = { .kind = EV_COMMAND,
		.command = { .kind = CMD_FAILOVER, .id = 3, .to = NOBODY, .timeout = 30 * D } };

	start(b, &standby_disk);
	hear(b, MSG_RENEW, 5, ROLE_PRIMARY, 0, 1);
	feed(b, &ev);
	assert_non_null(find(b, ACT_DONE));
	assert_int_equal(find(b, ACT_DONE)->outcome, STEP_FAILED);
	assert_non_null(strstr(find(b, ACT_DONE)->text, "switchover"));
}

/* The person's word was that the other is off; it came back, was promised to, and was then cut off: it is primary all the same. */
static void force_ends_when_the_other_comes_back_before_it_acts(void **state)
{
	struct bench *b = *state;
	struct core_event ev = { .kind = EV_COMMAND,
		.command = { .kind = CMD_FAILOVER, .id = 4, .to = NOBODY, .timeout = 30 * D } };

	b->conf.mode = CORE_MANUAL;
	start(b, &standby_disk);
	feed(b, &ev);
	assert_null(find(b, ACT_DONE));
	hear(b, MSG_RENEW, 5, ROLE_PROMOTING, 0, 1);
	assert_non_null(sent(b, MSG_PROMISE));
	assert_int_equal(find(b, ACT_DONE)->outcome, STEP_FAILED);
	tick(b, 5 * D);
	facts(b);
	tick(b, 5 * D);
	assert_int_equal(look(b).role, ROLE_STANDBY);
}

static void first_start_waits_unless_one_side_is_clearly_it(void **state)
{
	static const struct {
		bool writable, replicating;
		unsigned peer;
		bool begins;
	} rows[] = {
		{ true, false, FLAG_WRITABLE, false },	  /* both writable */
		{ false, true, FLAG_REPLICATING, false }, /* both replicate */
		{ false, false, 0, false },		  /* neither */
		{ true, true, FLAG_REPLICATING, false },  /* writable replica */
		{ true, false, 0, false },		  /* the other does not follow */
		{ false, true, FLAG_WRITABLE, false },	  /* it is the other's turn */
		{ true, false, FLAG_REPLICATING | FLAG_WRITABLE, false },
		{ true, false, FLAG_REPLICATING, true },
	};
	struct bench *b = *state;
	struct core_disk zero = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		bool swapped = false;
		char out[CORE_MAX_BLOCKERS][SENTENCE_MAX];

		b->facts.writable = b->facts.mysql_writable = rows[i].writable;
		b->facts.frozen = !rows[i].writable;
		b->facts.replicating = rows[i].replicating;
		start(b, &zero);
		for (int k = 0; k < 40 && !swapped; k++) {
			hear(b, MSG_BEAT, 0, ROLE_STANDBY, rows[i].peer | FLAG_READY, 0);
			swapped = until_swap(b, 100 * US_PER_MS, 0, &nothing);
			assert_null(find(b, ACT_GATE)); /* nothing is gated, frozen or removed */
			assert_null(find(b, ACT_STEP));
		}
		if (swapped != rows[i].begins)
			fail_msg("row %zu: %s", i, rows[i].begins ? "should begin" : "must wait");
		if (!swapped)
			assert_true(core_blockers(b->c, b->now, out) > 0);
	}
}

/* The arbiter was slow: nobody has held anything, so the writable side goes on serving and bids again, whether that bid arrived or not. */
static void first_start_survives_a_lost_bid(void **state)
{
	struct bench *b = *state;
	struct core_disk zero = { 0 };

	for (int arrived = 0; arrived < 2; arrived++) {
		bool swapped = false;
		struct reg_value first;
		int64_t rev;

		b->facts.writable = b->facts.mysql_writable = true;
		b->facts.frozen = b->facts.replicating = false;
		b->conf.lossless = true;
		start(b, &zero);
		for (int k = 0; k < 40 && !swapped; k++) {
			hear(b, MSG_BEAT, 0, ROLE_STANDBY, FLAG_REPLICATING | FLAG_READY, 0);
			swapped = until_swap(b, 100 * US_PER_MS, 0, &nothing);
		}
		assert_true(swapped);
		first = b->asked;
		rev = arrived ? 3 : 0;
		tick(b, 2 * D); /* no answer in time, and no lease left when it is found */
		swapped = false;
		for (int k = 0; k < 80 && !swapped; k++) {
			facts(b);
			hear(b, MSG_BEAT, 0, ROLE_STANDBY, FLAG_REPLICATING | FLAG_READY, 0);
			swapped = until_swap(b, 100 * US_PER_MS, rev, arrived ? &first : &nothing);
			assert_int_equal(look(b).role, ROLE_STANDBY); /* nothing is frozen */
		}
		assert_true(swapped);
		assert_true(b->asked.term >= 2); /* the other was asked for its vote meanwhile, too */
		assert_int_equal(b->asked_rev, rev);
	}
}

static void first_start_alone_waits_for_the_operator(void **state)
{
	struct bench *b = *state;
	struct core_disk zero = { 0 };
	struct core_event ev = { .kind = EV_COMMAND,
		.command = { .kind = CMD_FAILOVER, .id = 3, .to = NOBODY, .timeout = 30 * D } };

	b->facts.writable = b->facts.mysql_writable = true;
	b->facts.frozen = b->facts.replicating = false;
	start(b, &zero);
	assert_false(until_swap(b, 10 * D, 0, &nothing));
	feed(b, &ev);
	if (!b->reg_id || !b->reg_cas)
		assert_true(until_swap(b, 2 * D, 0, &nothing));
	assert_int_equal(b->asked.term, 1);
	assert_int_equal(b->asked_rev, 0);
}

/* --- the nodes' configurations differ ---------------------------------------------------------------------------- */

static void differ(struct bench *b)
{
	b->facts.config = 7;
	b->facts.section[SECTION_PROBES] = b->facts.section[SECTION_MYSQL] = 70;
	b->peer_config = 8;
	b->peer_probes = 80; /* of its mysql section nothing is known */
}

static void silence_of_another_configuration_is_not_taken_over(void **state)
{
	static const struct {
		uint64_t mine, theirs;
		bool bids;
	} rows[] = { { 7, 8, false }, { 7, 0, true }, { 0, 8, true }, { 7, 7, true } };
	struct bench *b = *state;
	struct core_event force = { .kind = EV_COMMAND,
		.command = { .kind = CMD_FAILOVER, .id = 3, .to = NOBODY, .timeout = 30 * D } };

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		b->facts.config = rows[i].mine;
		b->peer_config = rows[i].theirs;
		start(b, &standby_disk);
		hear(b, MSG_RENEW, 5, ROLE_PRIMARY, 0, 1);
		if (until_swap(b, 10 * D, 3, &theirs_peer) != rows[i].bids)
			fail_msg("row %zu: %s", i, rows[i].bids ? "should bid" : "must not bid");
	}
	b->facts.config = 7;
	b->peer_config = 8;
	start(b, &standby_disk);
	hear(b, MSG_RENEW, 5, ROLE_PRIMARY, 0, 1);
	assert_false(until_swap(b, 10 * D, 3, &theirs_peer));
	feed(b, &force);
	assert_true((b->reg_id && b->reg_cas) || until_swap(b, 2 * D, 3, &theirs_peer));
}

static void a_word_is_taken_whatever_the_configuration(void **state)
{
	struct bench *b = *state;

	differ(b);
	start(b, &standby_disk);
	hear(b, MSG_RENEW, 5, ROLE_PRIMARY, 0, 1);
	assert_false(until_swap(b, 5 * D, 3, &theirs_peer));
	hear(b, MSG_RELEASED, 5, ROLE_STANDBY, FLAG_SYNC_OK, 0);
	assert_true((b->reg_id && b->reg_cas) || until_swap(b, D, 3, &theirs_peer));
}

static void a_primary_of_another_configuration_stays_and_says_so(void **state)
{
	struct bench *b = *state;
	char out[CORE_MAX_BLOCKERS][SENTENCE_MAX];
	struct core_event go = { .kind = EV_COMMAND,
		.command = { .kind = CMD_SWITCHOVER, .id = 4, .to = NOBODY, .timeout = 5 * D } };
	size_t n, named = 0;

	b->conf.mode = CORE_MANUAL;
	b->conf.has_mysql = b->conf.has_vip = false;
	b->facts.writable = true;
	b->facts.replicating = b->facts.frozen = false;
	differ(b);
	start(b, &primary_disk);
	tick(b, 2 * D);
	b->c->role = ROLE_PRIMARY;
	resume_term(b->c);
	hear(b, MSG_BEAT, 5, ROLE_STANDBY, FLAG_READY | FLAG_FOLLOWING, 0);
	feed(b, &go);
	assert_int_equal(find(b, ACT_DONE)->outcome, STEP_FAILED);
	assert_non_null(
		strstr(find(b, ACT_DONE)->text, "refused: n2 runs with another configuration than n1: probes differs"));
	b->facts.ill = true;
	facts(b);
	assert_int_equal(look(b).role, ROLE_PRIMARY);
	assert_true(look(b).held);
	n = core_blockers(b->c, b->now, out);
	for (size_t i = 0; i < n; i++)
		named += strstr(out[i], "another configuration") != NULL;
	assert_int_equal(named, 1);
	b->peer_config = 7;
	hear(b, MSG_BEAT, 5, ROLE_STANDBY, FLAG_READY | FLAG_FOLLOWING, 0);
	assert_int_equal(look(b).role, ROLE_STANDBY); /* there is nothing here to be shut */
	assert_false(look(b).held);
}

/* --- at most one automatic failover a window ---------------------------------------------------------------------- */

static void a_second_failover_is_held_for_the_window(void **state)
{
	static const struct {
		us_t window, left;
		bool bids;
	} rows[] = { { 60 * D, 30 * D, false }, { 60 * D, 0, true }, { 0, 30 * D, true } };
	struct bench *b = *state;
	char why[SENTENCE_MAX];

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		b->conf.flap_window = rows[i].window;
		b->peer_hold = rows[i].left;
		start(b, &standby_disk);
		hear(b, MSG_RENEW, 5, ROLE_PRIMARY, 0, 1);
		if (until_swap(b, 10 * D, 3, &theirs_peer) != rows[i].bids)
			fail_msg("row %zu: %s", i, rows[i].bids ? "should bid" : "must not bid");
		assert_int_equal(flap_held(b->c, why), !rows[i].bids);
	}
	b->conf.flap_window = 60 * D;
	b->peer_hold = 30 * D;
	start(b, &standby_disk);
	hear(b, MSG_RENEW, 5, ROLE_PRIMARY, 0, 1);
	assert_false(until_swap(b, 29 * D, 3, &theirs_peer));
	assert_true(until_swap(b, 3 * D, 3, &theirs_peer));
}

static void a_start_that_finds_the_window_counts_it_anew(void **state)
{
	struct bench *b = *state;
	struct core_disk disk = standby_disk;

	disk.flap = true;
	b->conf.flap_window = 20 * D;
	start(b, &disk);
	assert_false(until_swap(b, 20 * D - 100 * US_PER_MS, 3, &theirs_peer));
	assert_true(until_swap(b, 3 * D, 3, &theirs_peer));
}

static void a_resume_releases_the_hold(void **state)
{
	struct bench *b = *state;
	struct core_event ev = { .kind = EV_COMMAND,
		.command = { .kind = CMD_RESUME, .id = 4, .to = NOBODY, .timeout = 5 * D } };
	char out[CORE_MAX_BLOCKERS][SENTENCE_MAX];
	size_t n, named = 0;

	b->conf.flap_window = 60 * D;
	b->peer_hold = 50 * D;
	start(b, &standby_disk);
	hear(b, MSG_RENEW, 5, ROLE_PRIMARY, 0, 1);
	feed(b, &ev); /* the primary is asked */
	assert_null(find(b, ACT_DONE));
	tick(b, 100 * US_PER_MS);
	assert_true(sent(b, MSG_BEAT)->flags & FLAG_WANT_RESUME);
	b->peer_hold = 0;
	hear(b, MSG_RENEW, 5, ROLE_PRIMARY, 0, 2);
	assert_int_equal(find(b, ACT_DONE)->outcome, STEP_OK);

	b->peer_hold = 50 * D;
	hear(b, MSG_RENEW, 5, ROLE_PRIMARY, 0, 3);
	assert_true(find(b, ACT_PERSIST)->disk.flap);
	assert_false(until_swap(b, 5 * D, 3, &theirs_peer));
	n = core_blockers(b->c, b->now, out);
	for (size_t i = 0; i < n; i++)
		named += strstr(out[i], "second failover within 1m") != NULL;
	assert_int_equal(named, 1);
	feed(b, &ev); /* nobody answers: this node's own word counts */
	assert_int_equal(find(b, ACT_DONE)->outcome, STEP_OK);
	assert_false(find(b, ACT_PERSIST)->disk.flap);
	assert_true((b->reg_id && b->reg_cas) || until_swap(b, D, 3, &theirs_peer));
}

static void paused_does_not_bid(void **state)
{
	struct bench *b = *state;
	struct core_disk disk = standby_disk;
	char out[CORE_MAX_BLOCKERS][SENTENCE_MAX];

	disk.paused = true;
	start(b, &disk);
	assert_false(until_swap(b, 10 * D, 3, &theirs_peer));
	assert_true(core_blockers(b->c, b->now, out) > 0);
	assert_non_null(strstr(out[0], "hactl resume"));
}

static void resume_without_the_other_is_refused(void **state)
{
	struct bench *b = *state;
	struct core_disk disk = standby_disk;
	struct core_event ev = { .kind = EV_COMMAND,
		.command = { .kind = CMD_RESUME, .id = 4, .to = NOBODY, .timeout = 5 * D } };

	disk.paused = true;
	start(b, &disk);
	tick(b, 3 * D);
	feed(b, &ev);
	assert_int_equal(find(b, ACT_DONE)->outcome, STEP_FAILED);
	assert_true(look(b).paused);
}

static void unknown_serials_change_nothing(void **state)
{
	struct bench *b = *state;
	struct core_event ev = { .kind = EV_STEP, .step = { .serial = 9999, .outcome = STEP_OK, .text = NULL } };

	start(b, &standby_disk);
	feed(b, &ev);
	assert_int_equal(look(b).role, ROLE_STARTING);
	assert_null(find(b, ACT_STEP));
}

/* Promoting for so long; with `moves` the shell says every half second that something moves. True: it still does. */
static bool promotes_for(struct bench *b, uint32_t serial, us_t span, bool moves)
{
	struct core_event more = { .kind = EV_STEP, .step = { serial, STEP_MORE, 0, "" } };
	us_t end = b->now + span;

	while (b->now < end && look(b).role == ROLE_PROMOTING) {
		tick(b, 500 * US_PER_MS);
		facts(b);
		if (moves)
			feed(b, &more);
	}
	return look(b).role == ROLE_PROMOTING;
}

static void a_step_that_moves_is_not_cut(void **state)
{
	struct bench *b = *state;
	struct core_event ev = { .kind = EV_COMMAND,
		.command = { .kind = CMD_FAILOVER, .id = 3, .to = NOBODY, .timeout = 60 * US_PER_SEC } };
	const struct core_action *step = NULL;

	b->conf.mode = CORE_MANUAL;
	start(b, &standby_disk);
	tick(b, 2 * D);
	facts(b);
	feed(b, &ev);
	for (int i = 0; i < 20 && !(step = find(b, ACT_STEP)); i++)
		tick(b, D);
	assert_non_null(step);
	assert_int_equal(step->step, STEP_MYSQL_PROMOTE);
	uint32_t serial = step->serial;
	assert_true(promotes_for(b, serial, 60 * US_PER_SEC, true));
	assert_true(promotes_for(b, serial, 10 * US_PER_SEC, false));
	assert_false(promotes_for(b, serial, 5 * US_PER_SEC, false)); /* ten seconds, and one for the answer */
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(manual_mode_never_moves_on_silence),
		CASE(manual_mode_obeys_the_operator_after_the_wait),
		CASE(force_against_a_living_primary_is_refused),
		CASE(force_ends_when_the_other_comes_back_before_it_acts),
		CASE(first_start_waits_unless_one_side_is_clearly_it),
		CASE(first_start_survives_a_lost_bid),
		CASE(first_start_alone_waits_for_the_operator),
		CASE(silence_of_another_configuration_is_not_taken_over),
		CASE(a_word_is_taken_whatever_the_configuration),
		CASE(a_primary_of_another_configuration_stays_and_says_so),
		CASE(a_second_failover_is_held_for_the_window),
		CASE(a_start_that_finds_the_window_counts_it_anew),
		CASE(a_resume_releases_the_hold),
		CASE(paused_does_not_bid),
		CASE(resume_without_the_other_is_refused),
		CASE(unknown_serials_change_nothing),
		CASE(a_step_that_moves_is_not_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
