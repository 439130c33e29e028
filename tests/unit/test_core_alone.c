/* Modes without a third vote: a reference address, a fence device. One core, fed by hand: what it takes, on what ground, what it says. */
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
	uint32_t asked; /* newest question to the world around; 0 none since taken */
	enum witness_kind kind, want;
	uint32_t fence; /* serial of the fence step under way; 0 none */
	us_t fence_until, fence_timeout;
	bool stored_first; /* the term was stored in the list that asked for the step, before it */
};

static void remember(struct bench *b)
{
	bool stored = false;

	for (size_t i = 0; i < b->out.n; i++) {
		const struct core_action *a = &b->out.act[i];

		stored = stored || a->kind == ACT_PERSIST;
		if (a->kind == ACT_WITNESS && a->witness == b->want) {
			b->asked = a->id;
			b->kind = a->witness;
		}
		if (a->kind == ACT_STEP && a->step == STEP_FENCE) {
			b->fence = a->serial;
			b->fence_until = a->until;
			b->fence_timeout = a->timeout_us;
			b->stored_first = stored;
		}
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

/* The other node renews its term; word: it says that we are in sync as of our answer to that request of its. */
static void renew(struct bench *b, uint64_t term, uint64_t nonce, uint64_t word)
{
	struct msg m = { .kind = MSG_RENEW,
		.from = 1,
		.role = ROLE_PRIMARY,
		.primary = 1,
		.term = term,
		.incarnation = 77,
		.counter = ++b->counter,
		.nonce = nonce,
		.for_incarnation = word,
		.sync_term = word ? term : 0,
		.sync_seq = word ? 9 : 0,
		.boot = 5,
		.db_start = 6 };
	struct core_event ev = { .kind = EV_MSG, .msg = &m };

	feed(b, &ev);
}

static void witness(struct bench *b, bool reached, const char *veto)
{
	struct core_event ev = { .kind = EV_WITNESS, .witness = { b->asked, reached, veto != NULL, veto ? veto : "" } };

	b->asked = 0;
	feed(b, &ev);
}

static void fenced(struct bench *b, enum step_outcome outcome, const char *text)
{
	struct core_event ev = { .kind = EV_STEP, .step = { b->fence, outcome, D, text } };

	b->fence = 0;
	feed(b, &ev);
}

static struct core_view look(const struct bench *b)
{
	struct core_view v;

	core_look(b->c, b->now, &v);
	return v;
}

static bool says(const struct bench *b, const char *part)
{
	char out[CORE_MAX_BLOCKERS][SENTENCE_MAX];
	size_t n = core_blockers(b->c, b->now, out);

	for (size_t i = 0; i < n; i++)
		if (strstr(out[i], part))
			return true;
	return false;
}

/* Ticks until something was asked of the world, or the time is over. */
static bool within(struct bench *b, us_t span, const uint32_t *what)
{
	for (us_t t = 0; t < span && !*what; t += 10 * US_PER_MS)
		tick(b, 10 * US_PER_MS);
	return *what != 0;
}

static const struct core_disk standby_disk = { .term = 4, .voted = 1, .owner = 1, .other_term = 4 };
static const struct core_disk primary_disk = {
	.term = 4, .voted = 0, .owner = 0, .held = 4, .served = 4, .held_boot = 8, .alone = 4
};

static void start(struct bench *b, enum core_mode mode, const struct core_disk *disk)
{
	b->conf.mode = mode;
	core_init(b->c, &b->conf, disk, 42, b->now);
	tick(b, 0);
	facts(b);
}

static int setup(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));

	if (!b || !(b->c = malloc(core_size())))
		return -1;
	b->conf = (struct core_conf){ .prefer = 0,
		.name = { "n1", "n2" },
		.lease = D,
		.interval = 100 * US_PER_MS,
		.witness_timeout = 200 * US_PER_MS,
		.fence_timeout = 20 * US_PER_SEC,
		.fence_delay = 3 * US_PER_SEC,
		.has_mysql = true,
		.max_freeze = D };
	b->now = 1000 * US_PER_SEC;
	b->want = WITNESS_CLEAR;
	b->facts = (struct core_facts){
		.known = true, .ready = true, .frozen = true, .replicating = true, .db_start = 9, .boot = 8
	};
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

/* --- reference ------------------------------------------------------------------------------------------------------------ */

static void nothing_is_asked_before_the_promise_is_over(void **state)
{
	struct bench *b = *state;

	start(b, CORE_REFERENCE, &standby_disk);
	tick(b, 2 * D);
	b->asked = 0;
	renew(b, 4, 1, 0);
	assert_false(within(b, core_promise_us(D) - 20 * US_PER_MS, &b->asked));
	assert_true(within(b, 100 * US_PER_MS, &b->asked));
	assert_int_equal(b->kind, WITNESS_CLEAR);
}

static void a_clear_answer_gives_the_term(void **state)
{
	struct bench *b = *state;

	start(b, CORE_REFERENCE, &standby_disk);
	assert_true(within(b, 3 * D, &b->asked));
	assert_false(look(b).held);
	tick(b, 100 * US_PER_MS);
	witness(b, true, NULL);
	assert_true(look(b).held);
	assert_int_equal(look(b).from, FROM_REFERENCE);
	assert_int_equal(look(b).remaining_us, 900 * US_PER_MS); /* from the question, not from the answer */
	assert_int_equal(b->out.act[0].kind, ACT_PERSIST);
	assert_true(b->out.act[0].disk.term > 5); /* above whatever the other may hold */
}

static void a_veto_is_obeyed_named_and_asked_again(void **state)
{
	struct bench *b = *state;

	start(b, CORE_REFERENCE, &standby_disk);
	assert_true(within(b, 3 * D, &b->asked));
	witness(b, true, "somebody answers for 10.0.0.100");
	assert_false(look(b).held);
	assert_true(says(b, "somebody answers for 10.0.0.100"));
	assert_true(within(b, D, &b->asked));
	witness(b, true, NULL);
	assert_true(look(b).held);
	assert_false(says(b, "somebody answers"));
}

static void no_reference_no_takeover(void **state)
{
	struct bench *b = *state;

	start(b, CORE_REFERENCE, &standby_disk);
	assert_true(within(b, 3 * D, &b->asked));
	witness(b, false, NULL);
	assert_false(look(b).held);
	assert_true(says(b, "no reference address answers n1"));
	assert_false(says(b, "arbiter"));
}

static void what_was_heard_since_counts_more_than_the_answer(void **state)
{
	struct bench *b = *state;

	start(b, CORE_REFERENCE, &standby_disk);
	assert_true(within(b, 3 * D, &b->asked));
	renew(b, 4, 1, 0);
	witness(b, true, NULL);
	assert_false(look(b).held);
}

static void a_late_answer_is_none(void **state)
{
	struct bench *b = *state;
	uint32_t first;

	start(b, CORE_REFERENCE, &standby_disk);
	assert_true(within(b, 3 * D, &b->asked));
	first = b->asked;
	tick(b, 250 * US_PER_MS);
	b->asked = first;
	witness(b, true, NULL);
	assert_false(look(b).held);
}

static void an_isolated_primary_stands_down(void **state)
{
	struct bench *b = *state;

	start(b, CORE_REFERENCE, &standby_disk);
	assert_true(within(b, 3 * D, &b->asked));
	witness(b, true, NULL);
	assert_true(look(b).held);
	b->want = WITNESS_REACH;
	assert_true(within(b, D, &b->asked)); /* to be confirmed once more */
	assert_int_equal(b->kind, WITNESS_REACH);
	witness(b, true, "a veto means nothing to a holder");
	for (us_t t = 0; t < 900 * US_PER_MS; t += 10 * US_PER_MS) {
		tick(b, 10 * US_PER_MS);
		assert_true(look(b).held);
	}
	tick(b, 200 * US_PER_MS);
	assert_false(look(b).held);
	assert_int_not_equal(look(b).role, ROLE_PRIMARY);
}

static void the_status_says_it_before_it_is_needed(void **state)
{
	struct bench *b = *state;

	b->want = WITNESS_REACH;
	start(b, CORE_REFERENCE, &standby_disk);
	for (uint64_t i = 1; i <= 10; i++) {
		tick(b, 100 * US_PER_MS);
		renew(b, 4, i, 0);
	}
	b->asked = 0;
	assert_true(within(b, 2 * D, &b->asked));
	renew(b, 4, 11, 0);
	witness(b, false, NULL);
	assert_true(says(b, "no reference address answers n1"));
	assert_false(look(b).held);
}

/* --- fence ------------------------------------------------------------------------------------------------------------------ */

static void the_other_is_fenced_before_its_term_is_taken(void **state)
{
	struct bench *b = *state;

	start(b, CORE_FENCE, &standby_disk);
	assert_true(within(b, 3 * D, &b->fence));
	assert_true(b->stored_first);
	assert_int_equal(b->fence_until, US_NEVER);
	assert_int_equal(b->fence_timeout, 20 * US_PER_SEC);
	tick(b, 5 * D);
	assert_false(look(b).held);
	fenced(b, STEP_OK, "off");
	assert_true(look(b).held);
	assert_int_equal(look(b).from, FROM_SELF);
	assert_string_equal(look(b).plan, "takeover");
}

static void hope_is_no_ground(void **state)
{
	static const enum step_outcome bad[] = { STEP_FAILED, STEP_UNKNOWN };
	struct bench *b = *state;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		start(b, CORE_FENCE, &standby_disk);
		assert_true(within(b, 3 * D, &b->fence));
		fenced(b, bad[i], "the outlet does not answer");
		assert_false(look(b).held);
		assert_true(says(b, "the outlet does not answer"));
		assert_false(says(b, "arbiter"));
		assert_false(within(b, 900 * US_PER_MS, &b->fence)); /* a pause, then again */
		assert_true(within(b, D, &b->fence));
		fenced(b, STEP_OK, "off");
		assert_true(look(b).held);
	}
}

static void heard_again_is_not_fenced(void **state)
{
	struct bench *b = *state;

	start(b, CORE_FENCE, &standby_disk);
	for (int i = 0; i < 60; i++) {
		tick(b, core_promise_us(D) - 50 * US_PER_MS);
		renew(b, 4, (uint64_t)i + 1, 0);
		assert_int_equal(b->fence, 0);
	}
	assert_true(within(b, 3 * D, &b->fence));
}

static void one_of_the_two_waits(void **state)
{
	struct bench *b = *state;

	b->conf.prefer = 1;
	start(b, CORE_FENCE, &standby_disk);
	assert_false(within(b, core_promise_us(D) + 2900 * US_PER_MS, &b->fence));
	assert_true(within(b, 300 * US_PER_MS, &b->fence));
}

static void a_higher_term_voids_the_fencing_bid(void **state)
{
	struct bench *b = *state;

	start(b, CORE_FENCE, &standby_disk);
	assert_true(within(b, 3 * D, &b->fence));
	renew(b, 90, 1, 0);
	fenced(b, STEP_OK, "off");
	assert_false(look(b).held);
	assert_int_equal(look(b).term, 90);
}

static void the_same_boot_goes_on_alone(void **state)
{
	struct bench *b = *state;

	start(b, CORE_FENCE, &primary_disk);
	tick(b, core_promise_us(D) / 2);
	assert_false(look(b).held);
	tick(b, core_promise_us(D));
	assert_true(look(b).held);
	assert_int_equal(look(b).term, 4);
}

static void after_a_reboot_the_other_or_a_person_decides(void **state)
{
	static const enum core_mode modes[] = { CORE_FENCE, CORE_REFERENCE };
	struct bench *b = *state;

	b->facts.boot = 88;
	for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
		start(b, modes[i], &primary_disk);
		b->asked = b->fence = 0;
		for (int t = 0; t < 600; t++) {
			tick(b, 100 * US_PER_MS);
			assert_false(look(b).held);
			assert_int_equal(b->fence | b->asked, 0);
		}
		assert_true(says(b, "hactl failover --force"));
		assert_false(says(b, "arbiter"));
	}
}

/* --- the in-sync record without a register --------------------------------------------------------------------------------------- */

static void without_the_primarys_word_nobody_is_in_sync(void **state)
{
	struct bench *b = *state;

	b->conf.lossless = true;
	start(b, CORE_FENCE, &standby_disk);
	renew(b, 4, 1, 0);
	assert_false(within(b, 60 * D, &b->fence));
	assert_true(says(b, "n1 is not in sync"));
	assert_false(look(b).in_sync);
}

static void the_word_lasts_its_span(void **state)
{
	struct bench *b = *state;
	us_t span;

	b->conf.lossless = true;
	start(b, CORE_FENCE, &standby_disk);
	span = core_word_us(&b->conf);
	renew(b, 4, 1, 0);
	tick(b, 100 * US_PER_MS);
	renew(b, 4, 2, 1); /* 100 ms after our answer */
	assert_true(look(b).in_sync);
	assert_true(within(b, 3 * D, &b->fence));
	tick(b, span - 3 * D);
	assert_false(look(b).held);
	tick(b, 3 * D);
	assert_false(look(b).in_sync);
	fenced(b, STEP_OK, "off");
	assert_false(look(b).held); /* confirmed too late */
}

static void a_word_about_an_answer_never_given_is_nothing(void **state)
{
	struct bench *b = *state;

	b->conf.lossless = true;
	start(b, CORE_FENCE, &standby_disk);
	renew(b, 4, 1, 0);
	renew(b, 4, 2, 64 + 1); /* the same place in the ring, another request */
	assert_false(look(b).in_sync);
	renew(b, 4, 3, 2);
	assert_true(look(b).in_sync);
	b->facts.db_start = 10;
	facts(b);
	assert_false(look(b).in_sync);
}

/* --- the primary's side of it: a pair that is well, step by step --------------------------------------------------------------------- */

struct pair {
	uint64_t word;	    /* newest renewal: what it says */
	uint64_t asks_void; /* ... and up to where the record is to be false */
	bool answers, voids;
	bool unseen;	      /* its supervisor was restarted and has not looked at its servers yet */
	uint64_t other_start; /* its database server was restarted: when */
	bool sync_off;
	us_t said_at;
};

static void answer_step(struct bench *b, uint32_t serial, enum step_kind kind)
{
	struct core_event ev = { .kind = EV_STEP, .step = { serial, STEP_OK, 1000, "" } };

	if (kind == STEP_MYSQL_PROMOTE)
		b->facts.writable = b->facts.mysql_writable = !(b->facts.replicating = b->facts.frozen = false);
	if (kind == STEP_SYNC_ON || kind == STEP_SYNC_OFF)
		b->facts.semi_on = kind == STEP_SYNC_ON;
	feed(b, &ev);
}

static void promise(struct bench *b, const struct pair *p, const struct msg *asked)
{
	struct msg m = { .kind = MSG_PROMISE,
		.from = 1,
		.role = ROLE_STANDBY,
		.term = asked->term,
		.flags = FLAG_READY | FLAG_FOLLOWING | FLAG_REPLICATING,
		.incarnation = 77,
		.counter = ++b->counter,
		.nonce = asked->nonce,
		.for_incarnation = 42,
		.sync_term = p->voids ? asked->term : 0,
		.sync_seq = p->voids ? UINT32_MAX * (uint64_t)9 : 0,
		.boot = 5,
		.db_start = p->other_start ? p->other_start : 6 };
	struct core_event ev = { .kind = EV_MSG, .msg = &m };

	if (p->unseen) {
		m.flags = FLAG_UNSEEN;
		m.incarnation = 78;
		m.boot = m.db_start = 0;
	}
	feed(b, &ev);
}

/* 20 ms: every step succeeds, and while it answers the other promises. */
static void live(struct bench *b, struct pair *p)
{
	static struct core_out seen;

	tick(b, 20 * US_PER_MS);
	for (int turn = 0; turn < 6; turn++) {
		seen = b->out;
		b->out.n = 0;
		for (size_t i = 0; i < seen.n; i++) {
			const struct core_action *a = &seen.act[i];

			if (a->kind == ACT_STEP) {
				p->sync_off = p->sync_off || a->step == STEP_SYNC_OFF;
				answer_step(b, a->serial, a->step);
			}
			if (a->kind != ACT_SEND || a->msg.kind != MSG_RENEW)
				continue;
			p->word = a->msg.for_incarnation;
			p->asks_void = p->word ? 0 : a->msg.sync_seq;
			p->said_at = p->word ? b->now : p->said_at;
			if (p->answers)
				promise(b, p, &a->msg);
		}
	}
	facts(b);
}

static void come_into_sync(struct bench *b, struct pair *p)
{
	b->conf.lossless = true;
	b->facts.standby_streams = true;
	p->answers = true;
	start(b, CORE_FENCE, &primary_disk);
	for (int i = 0; i < 500 && !p->word; i++)
		live(b, p);
	assert_true(p->word != 0);
	assert_int_equal(look(b).role, ROLE_PRIMARY);
	assert_true(b->c->disk.alone != b->c->disk.term); /* stored: the other may believe it */
	p->sync_off = false;
}

static void the_primary_waits_until_nobody_believes(void **state)
{
	struct bench *b = *state;
	struct pair p = { 0 };
	us_t said;

	come_into_sync(b, &p);
	p.answers = false;
	for (int i = 0; i < 60; i++)
		live(b, &p);
	assert_int_equal(p.word, 0);
	assert_true(p.asks_void != 0);
	assert_true(says(b, "commits wait"));
	said = p.said_at;
	while (b->now < said + core_alone_us(&b->conf) - 40 * US_PER_MS) {
		live(b, &p);
		assert_false(p.sync_off);
	}
	for (int i = 0; i < 10; i++)
		live(b, &p);
	assert_true(p.sync_off);
	assert_int_equal(p.said_at, said);
	assert_true(b->c->disk.alone == b->c->disk.term);
}

static void the_standbys_own_word_is_quicker(void **state)
{
	struct bench *b = *state;
	struct pair p = { 0 };
	us_t lost;

	come_into_sync(b, &p);
	b->facts.standby_lost = true; /* its stream breaks, it answers all the same */
	b->facts.standby_streams = false;
	lost = b->now;
	for (int i = 0; i < 100 && !p.asks_void; i++)
		live(b, &p);
	assert_true(p.asks_void != 0);
	assert_false(p.sync_off);
	p.voids = true;
	for (int i = 0; i < 50 && !p.sync_off; i++)
		live(b, &p);
	assert_true(p.sync_off);
	assert_true(b->now < lost + core_alone_us(&b->conf));
}

static bool goes_on_without_it(struct bench *b, struct pair *p, us_t within)
{
	us_t end = b->now + within;

	while (b->now < end && !p->asks_void)
		live(b, p);
	return p->asks_void != 0;
}

/* An upgrade of hactl on the standby: its stream goes on, and so does the protection. */
static void a_restarted_supervisor_has_not_lost_its_stream(void **state)
{
	struct bench *b = *state;
	struct pair p = { 0 };

	come_into_sync(b, &p);
	p.unseen = true;
	assert_false(goes_on_without_it(b, &p, 2 * US_PER_SEC));
	p.unseen = false;
	assert_false(goes_on_without_it(b, &p, 2 * US_PER_SEC));
	assert_int_equal(b->c->sync, SYNC_IN);
}

static void a_restarted_supervisor_is_not_waited_for_for_ever(void **state)
{
	struct bench *b = *state;
	struct pair p = { 0 };

	come_into_sync(b, &p);
	p.unseen = true;
	assert_true(goes_on_without_it(b, &p, 5 * US_PER_SEC));
}

static void what_the_primary_sees_itself_counts_at_once(void **state)
{
	struct bench *b = *state;
	struct pair p = { 0 };

	come_into_sync(b, &p);
	p.unseen = b->facts.standby_lost = true;
	assert_true(goes_on_without_it(b, &p, US_PER_SEC));
}

static void another_server_than_the_record_names_counts_at_once(void **state)
{
	struct bench *b = *state;
	struct pair p = { 0 };

	come_into_sync(b, &p);
	p.other_start = 7;
	assert_true(goes_on_without_it(b, &p, US_PER_SEC));
}

/* As long as another server may acknowledge too, the record is not true and does not become true. */
static void who_else_acknowledges_ends_it(void **state)
{
	struct bench *b = *state;
	struct pair p = { 0 };

	come_into_sync(b, &p);
	b->facts.acked_elsewhere = true;
	p.voids = true;
	for (int i = 0; i < 100 && !p.sync_off; i++)
		live(b, &p);
	assert_true(p.asks_void != 0);
	assert_true(p.sync_off);
	for (int i = 0; i < 200; i++) {
		live(b, &p);
		assert_true(b->c->sync != SYNC_ENABLING && b->c->sync != SYNC_IN);
	}
	b->facts.acked_elsewhere = false;
	for (int i = 0; i < 400 && b->c->sync != SYNC_IN; i++)
		live(b, &p);
	assert_int_equal(b->c->sync, SYNC_IN);
}

static void commits_wait_longer_than_anybody_believes(void **state)
{
	struct bench *b = *state;

	static const enum core_mode without[] = { CORE_REFERENCE, CORE_FENCE }, with[] = { CORE_ARBITER, CORE_MANUAL };

	for (size_t i = 0; i < 2; i++) {
		b->conf.mode = without[i];
		assert_true((double)core_alone_us(&b->conf) > (double)core_word_us(&b->conf) * 1.05 / .95);
		assert_true(core_word_us(&b->conf) > core_promise_us(D));
		b->conf.mode = with[i];
		assert_int_equal(core_alone_us(&b->conf), 0);
	}
	b->conf.mode = CORE_FENCE;
	assert_true(core_word_us(&b->conf) > b->conf.fence_timeout + b->conf.fence_delay);
}

static void the_plan_shows_fencing_first(void **state)
{
	struct bench *b = *state;
	enum step_kind step[CORE_MAX_STEPS];
	int phase[CORE_MAX_STEPS];

	b->conf.mode = CORE_FENCE;
	assert_true(core_plan_steps(&b->conf, "takeover", step, phase) > 2);
	assert_int_equal(step[0], STEP_FENCE);
	assert_true(phase[1] > phase[0]);
	b->conf.mode = CORE_REFERENCE;
	assert_true(core_plan_steps(&b->conf, "takeover", step, phase) > 1);
	assert_int_not_equal(step[0], STEP_FENCE);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(nothing_is_asked_before_the_promise_is_over),
		CASE(a_clear_answer_gives_the_term),
		CASE(a_veto_is_obeyed_named_and_asked_again),
		CASE(no_reference_no_takeover),
		CASE(what_was_heard_since_counts_more_than_the_answer),
		CASE(a_late_answer_is_none),
		CASE(an_isolated_primary_stands_down),
		CASE(the_status_says_it_before_it_is_needed),
		CASE(the_other_is_fenced_before_its_term_is_taken),
		CASE(hope_is_no_ground),
		CASE(heard_again_is_not_fenced),
		CASE(one_of_the_two_waits),
		CASE(a_higher_term_voids_the_fencing_bid),
		CASE(the_same_boot_goes_on_alone),
		CASE(after_a_reboot_the_other_or_a_person_decides),
		CASE(without_the_primarys_word_nobody_is_in_sync),
		CASE(the_word_lasts_its_span),
		CASE(a_word_about_an_answer_never_given_is_nothing),
		CASE(the_primary_waits_until_nobody_believes),
		CASE(the_standbys_own_word_is_quicker),
		CASE(a_restarted_supervisor_has_not_lost_its_stream),
		CASE(a_restarted_supervisor_is_not_waited_for_for_ever),
		CASE(what_the_primary_sees_itself_counts_at_once),
		CASE(another_server_than_the_record_names_counts_at_once),
		CASE(who_else_acknowledges_ends_it),
		CASE(commits_wait_longer_than_anybody_believes),
		CASE(the_plan_shows_fencing_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
