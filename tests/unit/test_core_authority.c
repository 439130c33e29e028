/* Directed cases: one core, fed by hand. What it may hold, what it must refuse, what it says. */
#include "hactl/core/inside.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#define D US_PER_SEC

struct bench {
	struct core *c;
	struct core_conf conf;
	struct core_out out;
	us_t now;
	struct core_facts facts;
	uint64_t counter;
	uint64_t peer_config;
	uint32_t peer_probes;
	us_t peer_hold;
	uint32_t reg_id; /* newest question to the register */
	bool reg_cas;
	struct reg_value asked;
	int64_t asked_rev;
};

static void remember(struct bench *b)
{
	for (size_t i = 0; i < b->out.n; i++) {
		const struct core_action *a = &b->out.act[i];

		if (a->kind != ACT_REG_READ && a->kind != ACT_REG_CAS)
			continue;
		b->reg_id = a->id;
		b->reg_cas = a->kind == ACT_REG_CAS;
		b->asked = a->value;
		b->asked_rev = a->rev;
	}
}

static void feed(struct bench *b, const struct core_event *ev)
{
	core_handle(b->c, ev, b->now, &b->out);
	remember(b);
}

static void tick(struct bench *b, us_t in)
{
	struct core_event ev = { .kind = EV_TICK };

	b->now += in;
	feed(b, &ev);
}

static void facts(struct bench *b)
{
	struct core_event ev = { .kind = EV_FACTS, .facts = &b->facts };

	feed(b, &ev);
}

static void hear(struct bench *b, enum msg_kind kind, uint64_t term, enum role role, unsigned flags, uint64_t nonce)
{
	struct msg m = { .kind = (uint8_t)kind,
		.from = 1,
		.role = (uint8_t)role,
		.term = term,
		.incarnation = 77,
		.counter = ++b->counter,
		.flags = (uint16_t)flags,
		.nonce = nonce,
		.boot = 5,
		.db_start = 6,
		.config = b->peer_config,
		.section = { [SECTION_PROBES] = b->peer_probes },
		.hold_us = (uint64_t)b->peer_hold,
		.primary = NOBODY };
	struct core_event ev = { .kind = EV_MSG, .msg = &m };

	if (kind == MSG_PROMISE || kind == MSG_VOTE || kind == MSG_HIGHER)
		m.for_incarnation = 42;
	if (role == ROLE_PRIMARY)
		m.primary = 1;
	feed(b, &ev);
}

static void answer(struct bench *b, enum reg_outcome outcome, int64_t rev, const struct reg_value *v)
{
	struct core_event ev = { .kind = EV_REGISTER, .reg = { b->reg_id, outcome, rev, *v } };

	feed(b, &ev);
}

static const struct core_action *find(const struct bench *b, enum core_action_kind kind)
{
	for (size_t i = 0; i < b->out.n; i++)
		if (b->out.act[i].kind == kind)
			return &b->out.act[i];
	return NULL;
}

static const struct msg *sent(const struct bench *b, enum msg_kind kind)
{
	for (size_t i = 0; i < b->out.n; i++)
		if (b->out.act[i].kind == ACT_SEND && b->out.act[i].msg.kind == kind)
			return &b->out.act[i].msg;
	return NULL;
}

static size_t index_of(const struct bench *b, enum core_action_kind kind)
{
	for (size_t i = 0; i < b->out.n; i++)
		if (b->out.act[i].kind == kind)
			return i;
	return b->out.n;
}

static struct core_view look(const struct bench *b)
{
	struct core_view v;

	core_look(b->c, b->now, &v);
	return v;
}

static void start(struct bench *b, const struct core_disk *disk)
{
	core_init(b->c, &b->conf, disk, 42, b->now);
	tick(b, 0);
	facts(b);
}

static int setup(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));

	if (!b || !(b->c = malloc(core_size())))
		return -1;
	b->conf = (struct core_conf){ .me = 0,
		.prefer = NOBODY,
		.name = { "n1", "n2" },
		.mode = CORE_ARBITER,
		.lease = D,
		.interval = 100 * US_PER_MS,
		.arbiter_timeout = 300 * US_PER_MS,
		.has_mysql = true,
		.has_vip = true,
		.max_freeze = D };
	b->now = 1000 * US_PER_SEC;
	b->facts = (struct core_facts){ .known = true,
		.ready = true,
		.frozen = true,
		.replicating = true,
		.db_start = 9,
		.boot = 8,
		.mysql_writable = false };
	*state = b;
	return 0;
}

static int teardown(void **state)
{
	struct bench *b = *state;

	free(b->c);
	free(b);
	return 0;
}

static const struct core_disk standby_disk = { .term = 5, .voted = 1, .owner = 1, .other_term = 5 };
static const struct core_disk primary_disk = { .term = 5, .voted = 0, .owner = 0, .held = 5, .served = 5 };
static const struct reg_value theirs_peer = {
	.holder = 1, .mode = REG_PEER, .term = 5, .nonce = 1, .sync = { .standby = NOBODY }
};
static const struct reg_value theirs_solo = {
	.holder = 1, .mode = REG_SOLO, .term = 5, .nonce = 2, .sync = { .standby = NOBODY }
};
static const struct reg_value nothing = { .holder = NOBODY };

/* Ticks as it asks for until it asks the register for a swap, answering reads. False: it did not within the time. */
static bool until_swap(struct bench *b, us_t within, int64_t rev, const struct reg_value *v)
{
	us_t end = b->now + within;

	b->reg_id = 0;
	while (b->now < end) {
		us_t wake = core_wake(b->c) < end ? core_wake(b->c) : end;

		tick(b, wake > b->now ? wake - b->now : 1);
		if (b->reg_id && b->reg_cas)
			return true;
		if (b->reg_id) {
			answer(b, REG_OK, rev, v);
			if (b->reg_id && b->reg_cas)
				return true;
			b->reg_id = 0;
		}
		facts(b);
	}
	return false;
}

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
		CASE(manual_mode_never_moves_on_silence),
		CASE(manual_mode_obeys_the_operator_after_the_wait),
		CASE(force_against_a_living_primary_is_refused),
		CASE(first_start_waits_unless_one_side_is_clearly_it),
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
