/* Directed cases: one core, fed by hand. What it may hold, what it must refuse, what it says. */
#include "tests/unit/core_bench.h"

/* --- refusals first ------------------------------------------------------------------------------------------------------ */

static void an_older_term_is_refused(void **state)
{
	struct bench *b = *state;

	start(b, &standby_disk);
	hear(b, MSG_RENEW, 4, ROLE_PRIMARY, 0, 1);
	assert_null(sent(b, MSG_PROMISE));
	assert_non_null(sent(b, MSG_HIGHER));
	assert_int_equal(sent(b, MSG_HIGHER)->term, 5);
	assert_null(find(b, ACT_PERSIST));
}

static void a_promise_for_another_start_counts_nothing(void **state)
{
	struct bench *b = *state;
	struct msg m = { .kind = MSG_PROMISE,
		.from = 1,
		.term = 5,
		.incarnation = 77,
		.counter = 1,
		.for_incarnation = 41,
		.nonce = 1 };
	struct core_event ev = { .kind = EV_MSG, .msg = &m };

	start(b, &primary_disk);
	feed(b, &ev);
	assert_false(look(b).held);
}

static void a_promise_nobody_asked_for_counts_nothing(void **state)
{
	struct bench *b = *state;

	start(b, &primary_disk);
	hear(b, MSG_PROMISE, 5, ROLE_STANDBY, 0, 12345);
	assert_false(look(b).held);
}

static void our_own_vote_is_not_given_twice(void **state)
{
	struct bench *b = *state;
	struct core_disk own = { .term = 6, .voted = 0, .owner = 1, .other_term = 5 };

	start(b, &own);
	hear(b, MSG_RENEW, 6, ROLE_PRIMARY, 0, 1);
	assert_null(sent(b, MSG_PROMISE));
	hear(b, MSG_CLAIM, 6, ROLE_STANDBY, 0, 2);
	assert_null(sent(b, MSG_VOTE));
}

static void a_possible_primary_gives_no_vote(void **state)
{
	struct bench *b = *state;

	start(b, &primary_disk); /* its last incarnation may still have an open gate */
	hear(b, MSG_CLAIM, 6, ROLE_STANDBY, 0, 2);
	assert_null(sent(b, MSG_VOTE));
	assert_null(find(b, ACT_PERSIST));
}

static void messages_from_nowhere_are_ignored(void **state)
{
	struct bench *b = *state;
	struct msg m = { .kind = MSG_KIND_COUNT, .from = 1, .term = 9 };
	struct core_event ev = { .kind = EV_MSG, .msg = &m };

	start(b, &standby_disk);
	feed(b, &ev);
	m.kind = MSG_RENEW;
	m.from = 0;
	feed(b, &ev);
	assert_null(find(b, ACT_PERSIST));
	assert_int_equal(look(b).term, 5);
}

static void no_bid_for_a_promise_time_after_the_start(void **state)
{
	struct bench *b = *state;

	start(b, &standby_disk);
	assert_false(until_swap(b, core_promise_us(D) - 1, 3, &theirs_peer));
	assert_true(until_swap(b, D, 3, &theirs_peer));
}

static void a_solo_entry_is_watched_for_a_promise_time(void **state)
{
	struct bench *b = *state;
	us_t first;

	start(b, &standby_disk);
	first = b->now;
	assert_true(until_swap(b, 5 * D, 3, &theirs_solo));
	assert_true(b->now - first >= core_promise_us(D));
	assert_int_equal(b->asked.term, 6);
	assert_int_equal(b->asked_rev, 3);
}

static void a_solo_entry_that_moves_is_never_taken(void **state)
{
	struct bench *b = *state;
	us_t end;

	start(b, &standby_disk);
	end = b->now + 20 * D;
	for (int64_t rev = 3; b->now < end; rev++)
		assert_false(until_swap(b, D / 2, rev, &theirs_solo));
}

static void the_record_gates_the_bid(void **state)
{
	static const struct {
		struct sync_record r;
		bool takes;
	} rows[] = {
		{ { .in_sync = false, .standby = NOBODY }, false },
		{ { .in_sync = true, .standby = 1, .boot = 8, .db_start = 9, .seq = 3 }, false },
		{ { .in_sync = true, .standby = 0, .boot = 7, .db_start = 9, .seq = 3 }, false },
		{ { .in_sync = true, .standby = 0, .boot = 8, .db_start = 10, .seq = 3 }, false },
		{ { .in_sync = true, .standby = 0, .boot = 8, .db_start = 9, .seq = 2 },
			false }, /* voided on our disk */
		{ { .in_sync = true, .standby = 0, .boot = 8, .db_start = 9, .seq = 3 }, true },
	};
	struct core_disk disk = standby_disk;
	struct bench *b = *state;

	b->conf.lossless = true;
	disk.void_term = 5;
	disk.void_seq = 2;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct reg_value v = theirs_peer;

		v.sync = rows[i].r;
		start(b, &disk);
		if (until_swap(b, 5 * D, 3, &v) != rows[i].takes)
			fail_msg("row %zu: %s", i, rows[i].takes ? "should bid" : "must not bid");
	}
}

static void a_record_older_than_the_last_primary_is_stale(void **state)
{
	struct bench *b = *state;
	struct core_disk disk = {
		.term = 7, .voted = 1, .owner = 1, .other_term = 7
	}; /* by a vote, the arbiter was away */
	struct reg_value v = theirs_peer;

	b->conf.lossless = true;
	v.sync = (struct sync_record){ .in_sync = true, .standby = 0, .boot = 8, .db_start = 9, .seq = 3 };
	start(b, &disk);
	assert_false(until_swap(b, 5 * D, 3, &v));
}

static void not_ready_is_no_bid_and_says_so(void **state)
{
	struct bench *b = *state;
	char out[CORE_MAX_BLOCKERS][SENTENCE_MAX];
	size_t n, found = 0;

	b->facts.ready = false;
	snprintf(b->facts.why, sizeof(b->facts.why), "mysql on n1 is behind by 30s, more than max_lag 10s");
	start(b, &standby_disk);
	assert_false(until_swap(b, 5 * D, 3, &theirs_peer));
	n = core_blockers(b->c, b->now, out);
	for (size_t i = 0; i < n; i++)
		found += strstr(out[i], "behind by 30s") != NULL;
	assert_int_equal(found, 1);
	assert_false(look(b).failover_ready);
}

static void a_sentence_about_this_node_is_told_whole(void **state)
{
	static const char own[] = "n1 has not received 4 transactions of n2, and mysql.max_unreceived is 3";
	struct bench *b = *state;
	char out[CORE_MAX_BLOCKERS][SENTENCE_MAX];
	size_t n;

	b->facts.ready = false;
	snprintf(b->facts.why, sizeof(b->facts.why), "%s", own);
	start(b, &standby_disk);
	assert_false(until_swap(b, 5 * D, 3, &theirs_peer));
	n = core_blockers(b->c, b->now, out);
	for (size_t i = 0; i < n; i++)
		if (!strcmp(out[i], own))
			return;
	fail_msg("not told: \"%s\"", own);
}

/* --- order ------------------------------------------------------------------------------------------------------------------ */

static void the_vote_is_stored_before_the_bid(void **state)
{
	struct bench *b = *state;

	start(b, &standby_disk);
	assert_true(until_swap(b, 5 * D, 3, &theirs_peer));
	assert_true(index_of(b, ACT_PERSIST) < index_of(b, ACT_REG_CAS));
	assert_int_equal(find(b, ACT_PERSIST)->disk.term, 6);
	assert_int_equal(find(b, ACT_PERSIST)->disk.voted, 0);
}

static void a_new_term_is_stored_before_the_promise(void **state)
{
	struct bench *b = *state;

	start(b, &standby_disk);
	hear(b, MSG_RENEW, 6, ROLE_PRIMARY, 0, 1);
	assert_non_null(sent(b, MSG_PROMISE));
	assert_true(index_of(b, ACT_PERSIST) < index_of(b, ACT_SEND));
	assert_int_equal(find(b, ACT_PERSIST)->disk.voted, 1);
}

static void a_disk_that_fails_takes_the_vote_back(void **state)
{
	struct bench *b = *state;
	struct core_event ev = { .kind = EV_DISK_FAILED };

	start(b, &standby_disk);
	hear(b, MSG_RENEW, 6, ROLE_PRIMARY, 0, 1);
	feed(b, &ev);
	assert_int_equal(look(b).term, 5);
	hear(b, MSG_RENEW, 6, ROLE_PRIMARY, 0, 2);
	assert_null(sent(b, MSG_PROMISE)); /* not before the disk has been tried again */
	tick(b, 2 * D);
	assert_non_null(find(b, ACT_PERSIST));
	tick(b, 1);
	hear(b, MSG_RENEW, 6, ROLE_PRIMARY, 0, 3);
	assert_non_null(sent(b, MSG_PROMISE));
}

/* --- leases ------------------------------------------------------------------------------------------------------------------- */

static void become_primary(struct bench *b)
{
	start(b, &standby_disk);
	assert_true(until_swap(b, 5 * D, 3, &theirs_peer));
}

static void the_lease_counts_from_the_request(void **state)
{
	struct bench *b = *state;
	us_t asked;

	become_primary(b);
	asked = b->now;
	tick(b, 200 * US_PER_MS);
	answer(b, REG_OK, 4, &b->asked);
	assert_true(look(b).held);
	assert_int_equal(look(b).remaining_us, asked + D - b->now);
	assert_int_equal(look(b).from, FROM_ARBITER);
}

static void an_ambiguous_swap_is_settled_by_its_nonce(void **state)
{
	struct bench *b = *state;
	struct reg_value won;
	us_t asked;

	become_primary(b);
	asked = b->now;
	won = b->asked;
	b->reg_id = 0;
	tick(b, 300 * US_PER_MS); /* arbiter_timeout: unknown */
	for (int i = 0; i < 5 && !b->reg_id; i++)
		tick(b, 50 * US_PER_MS);
	assert_true(b->reg_id != 0 && !b->reg_cas);
	answer(b, REG_OK, 4, &won);
	assert_true(look(b).held);
	assert_int_equal(look(b).remaining_us, asked + D - b->now);
}

static void an_answer_after_the_lease_is_worth_nothing(void **state)
{
	struct bench *b = *state;
	struct reg_value won;

	b->conf.arbiter_timeout = 3 * D;
	become_primary(b);
	won = b->asked;
	tick(b, D);
	answer(b, REG_OK, 4, &won);
	assert_false(look(b).held);
}

static void a_lost_bid_is_no_authority(void **state)
{
	struct bench *b = *state;

	become_primary(b);
	answer(b, REG_LOST, 4, &theirs_solo);
	assert_false(look(b).held);
	assert_int_equal(look(b).role, ROLE_STANDBY);
}

static void silence_ends_authority_and_shuts_the_gate_first(void **state)
{
	struct bench *b = *state;
	size_t first = 0;

	become_primary(b);
	answer(b, REG_OK, 4, &b->asked);
	assert_int_equal(look(b).role, ROLE_PROMOTING);
	tick(b, D + 1);
	assert_int_equal(look(b).role, ROLE_DEMOTING);
	assert_false(look(b).held);
	while (first < b->out.n && b->out.act[first].kind == ACT_NOTE)
		first++;
	assert_int_equal(b->out.act[first].kind, ACT_GATE);
	assert_true(b->out.act[first].until <= b->now);
}

static void a_higher_term_demotes_at_once(void **state)
{
	struct bench *b = *state;

	become_primary(b);
	answer(b, REG_OK, 4, &b->asked);
	hear(b, MSG_RENEW, 9, ROLE_PRIMARY, 0, 1);
	assert_false(look(b).held);
	assert_int_equal(look(b).term, 9);
	assert_true(index_of(b, ACT_GATE) < index_of(b, ACT_PERSIST));
}

static void a_restarted_primary_asks_at_once_and_touches_nothing(void **state)
{
	struct bench *b = *state;
	uint64_t nonce;

	b->facts.writable = b->facts.mysql_writable = b->facts.address_held = true;
	b->facts.frozen = b->facts.replicating = false;
	start(b, &primary_disk);
	assert_null(find(b, ACT_GATE));
	assert_null(find(b, ACT_STEP));
	tick(b, 100 * US_PER_MS);
	assert_non_null(sent(b, MSG_RENEW));
	nonce = sent(b, MSG_RENEW)->nonce;
	hear(b, MSG_PROMISE, 5, ROLE_STANDBY, 0, nonce);
	assert_true(look(b).held);
	assert_int_equal(look(b).role, ROLE_PROMOTING);
	assert_int_equal(look(b).from, FROM_PEER);
}

static void a_server_bound_to_a_term_that_is_gone_does_not_resume(void **state)
{
	struct bench *b = *state;
	struct core_disk disk = {
		.term = 6, .voted = 0, .owner = 0, .other_term = 5, .held = 6, .bound_db = 4, .bound_prev = 5
	};

	b->conf.lossless = true;
	start(b, &disk); /* facts.db_start is 9 */
	tick(b, 100 * US_PER_MS);
	assert_null(sent(b, MSG_RENEW));
}

/* --- released words ------------------------------------------------------------------------------------------------------------ */

static void a_released_word_is_taken_at_once(void **state)
{
	struct bench *b = *state;

	start(b, &standby_disk);
	assert_false(until_swap(b, core_promise_us(D) - 1, 3, &theirs_solo));
	tick(b, 2);
	hear(b, MSG_RENEW, 5, ROLE_PRIMARY, 0, 1); /* alive until now: promised again */
	hear(b, MSG_RELEASED, 5, ROLE_STANDBY, FLAG_SYNC_OK, 0);
	if (!b->reg_cas)
		answer(b, REG_OK, 3, &theirs_solo); /* a read was under way */
	assert_true(b->reg_id && b->reg_cas);
	assert_int_equal(b->asked.term, 6);
}

static void an_old_released_word_is_nothing(void **state)
{
	struct bench *b = *state;

	start(b, &standby_disk);
	tick(b, 2 * D);
	hear(b, MSG_RENEW, 5, ROLE_PRIMARY, 0, 1);
	hear(b, MSG_RELEASED, 4, ROLE_STANDBY, FLAG_SYNC_OK, 0);
	assert_false(until_swap(b, D / 2, 3, &theirs_peer));
}

static void without_the_arbiter_the_word_and_the_vote_do(void **state)
{
	struct bench *b = *state;
	const struct msg *claim;

	start(b, &standby_disk);
	tick(b, 2 * D);
	answer(b, REG_UNKNOWN, 0, &nothing);
	hear(b, MSG_RENEW, 5, ROLE_PRIMARY, 0, 1);
	hear(b, MSG_RELEASED, 5, ROLE_STANDBY, FLAG_SYNC_OK, 0);
	claim = sent(b, MSG_CLAIM);
	if (!claim) {
		tick(b, 100 * US_PER_MS);
		claim = sent(b, MSG_CLAIM);
	}
	assert_non_null(claim);
	assert_int_equal(claim->term, 6);
	hear(b, MSG_VOTE, 6, ROLE_STANDBY, 0, claim->nonce);
	assert_true(look(b).held);
	assert_int_equal(look(b).role, ROLE_PROMOTING);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(an_older_term_is_refused),
		CASE(a_promise_for_another_start_counts_nothing),
		CASE(a_promise_nobody_asked_for_counts_nothing),
		CASE(our_own_vote_is_not_given_twice),
		CASE(a_possible_primary_gives_no_vote),
		CASE(messages_from_nowhere_are_ignored),
		CASE(no_bid_for_a_promise_time_after_the_start),
		CASE(a_solo_entry_is_watched_for_a_promise_time),
		CASE(a_solo_entry_that_moves_is_never_taken),
		CASE(the_record_gates_the_bid),
		CASE(a_record_older_than_the_last_primary_is_stale),
		CASE(not_ready_is_no_bid_and_says_so),
		CASE(a_sentence_about_this_node_is_told_whole),
		CASE(the_vote_is_stored_before_the_bid),
		CASE(a_new_term_is_stored_before_the_promise),
		CASE(a_disk_that_fails_takes_the_vote_back),
		CASE(the_lease_counts_from_the_request),
		CASE(an_ambiguous_swap_is_settled_by_its_nonce),
		CASE(an_answer_after_the_lease_is_worth_nothing),
		CASE(a_lost_bid_is_no_authority),
		CASE(silence_ends_authority_and_shuts_the_gate_first),
		CASE(a_higher_term_demotes_at_once),
		CASE(a_restarted_primary_asks_at_once_and_touches_nothing),
		CASE(a_server_bound_to_a_term_that_is_gone_does_not_resume),
		CASE(a_released_word_is_taken_at_once),
		CASE(an_old_released_word_is_nothing),
		CASE(without_the_arbiter_the_word_and_the_vote_do),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
