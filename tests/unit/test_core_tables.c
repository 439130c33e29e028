/* The core's tables: the role table is total and leads nowhere without a way out; plans are well-formed; names are there. */
#include "hactl/core/inside.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

static void role_table_has_no_hole(void **state)
{
	(void)state;
	assert_int_equal(core_role_events(), ROLE_EVENT_COUNT);
	for (int r = 0; r < ROLE_COUNT; r++)
		for (size_t e = 0; e < core_role_events(); e++) {
			const char *why = core_role_sentence((enum role)r, e);

			if (strlen(why) < 10)
				fail_msg("role %s, event \"%s\": no sentence", role_names[r], core_role_event_name(e));
		}
}

static void role_table_outside_is_empty(void **state)
{
	(void)state;
	assert_string_equal(core_role_sentence(ROLE_COUNT, 0), "");
	assert_string_equal(core_role_sentence(ROLE_STANDBY, core_role_events()), "");
	assert_string_equal(core_role_event_name(core_role_events()), "?");
}

/* Something can happen in every role, and every event can happen in some. */
static void no_row_and_no_column_is_dead(void **state)
{
	bool event[ROLE_EVENT_COUNT] = { false };

	(void)state;
	for (int r = 0; r < ROLE_COUNT; r++) {
		unsigned possible = 0;

		for (size_t e = 0; e < core_role_events(); e++) {
			possible += core_role_possible((enum role)r, e);
			event[e] = event[e] || core_role_possible((enum role)r, e);
		}
		assert_true(possible > 1);
	}
	for (size_t e = 0; e < core_role_events(); e++)
		assert_true(event[e]);
	assert_false(core_role_possible(ROLE_COUNT, 0));
	assert_false(core_role_possible(ROLE_STANDBY, core_role_events()));
}

static void every_step_has_its_name(void **state)
{
	(void)state;
	for (int i = 0; i < STEP_KIND_COUNT; i++)
		assert_non_null(step_names[i]);
}

static const struct core_conf all = {
	.has_mysql = true, .has_redis = true, .has_vip = true, .has_upstreams = true, .has_hooks = true
};

static int place(const char *plan, const struct core_conf *conf, enum step_kind kind)
{
	enum step_kind steps[CORE_MAX_STEPS];
	int phase[CORE_MAX_STEPS];
	size_t n = core_plan_steps(conf, plan, steps, phase);

	for (size_t i = 0; i < n; i++)
		if (steps[i] == kind)
			return phase[i];
	return -1;
}

static void unknown_plan_has_no_steps(void **state)
{
	enum step_kind steps[CORE_MAX_STEPS];
	int phase[CORE_MAX_STEPS];

	(void)state;
	assert_int_equal(core_plan_steps(&all, "no such plan", steps, phase), 0);
	assert_int_equal(core_plan_steps(&all, "", steps, phase), 0);
}

static void phases_never_fall(void **state)
{
	static const char *const plans[] = { "takeover", "demotion", "switchover", "follow" };
	enum step_kind steps[CORE_MAX_STEPS];
	int phase[CORE_MAX_STEPS];

	(void)state;
	for (size_t p = 0; p < ARRAY_LEN(plans); p++) {
		size_t n = core_plan_steps(&all, plans[p], steps, phase);

		assert_true(n > 0 && n <= CORE_MAX_STEPS);
		for (size_t i = 1; i < n; i++)
			assert_true(phase[i] >= phase[i - 1]);
	}
}

/* What must come strictly before what, by the design's section 3. */
static void order_of_steps(void **state)
{
	static const struct {
		const char *plan;
		enum step_kind first, then;
	} rules[] = {
		{ "takeover", STEP_MYSQL_PROMOTE, STEP_MYSQL_VERIFY },
		{ "takeover", STEP_REDIS_PROMOTE, STEP_REDIS_VERIFY },
		{ "takeover", STEP_MYSQL_VERIFY, STEP_ADDRESS_ADD },
		{ "takeover", STEP_REDIS_VERIFY, STEP_ADDRESS_ADD },
		{ "takeover", STEP_ADDRESS_ADD, STEP_GATE_OPEN },
		{ "takeover", STEP_GATE_OPEN, STEP_ANNOUNCE },
		{ "takeover", STEP_GATE_OPEN, STEP_UPSTREAMS },
		{ "takeover", STEP_GATE_OPEN, STEP_HOOKS },
		{ "demotion", STEP_ADDRESS_DEL, STEP_MYSQL_DEMOTE },
		{ "demotion", STEP_ADDRESS_DEL, STEP_REDIS_DEMOTE },
		{ "demotion", STEP_MYSQL_DEMOTE, STEP_UPSTREAMS },
		{ "switchover", STEP_PRECHECK, STEP_MYSQL_FREEZE },
		{ "switchover", STEP_MYSQL_FREEZE, STEP_MYSQL_REACH },
		{ "switchover", STEP_MYSQL_REACH, STEP_ADDRESS_DEL },
		{ "switchover", STEP_ADDRESS_DEL, STEP_REDIS_HANDOVER },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rules); i++) {
		int first = place(rules[i].plan, &all, rules[i].first),
		    then = place(rules[i].plan, &all, rules[i].then);

		if (first < 0 || then <= first)
			fail_msg("%s: %s must come before %s", rules[i].plan, step_names[rules[i].first],
				step_names[rules[i].then]);
	}
}

static void both_databases_at_once(void **state)
{
	(void)state;
	assert_int_equal(place("takeover", &all, STEP_MYSQL_PROMOTE), place("takeover", &all, STEP_REDIS_PROMOTE));
	assert_int_equal(place("demotion", &all, STEP_MYSQL_DEMOTE), place("demotion", &all, STEP_REDIS_DEMOTE));
	assert_int_equal(place("follow", &all, STEP_MYSQL_FOLLOW), place("follow", &all, STEP_REDIS_FOLLOW));
}

static void only_what_is_configured(void **state)
{
	struct core_conf bare = { 0 }, redis = { .has_redis = true, .has_vip = true };

	(void)state;
	assert_int_equal(place("takeover", &bare, STEP_MYSQL_PROMOTE), -1);
	assert_int_equal(place("takeover", &bare, STEP_GATE_OPEN), -1);
	assert_int_equal(place("takeover", &redis, STEP_MYSQL_VERIFY), -1);
	assert_true(place("takeover", &redis, STEP_REDIS_VERIFY) >= 0);
	assert_true(place("takeover", &redis, STEP_GATE_OPEN) >= 0);
}

static void promise_outlasts_the_lease(void **state)
{
	static const us_t leases[] = { 200 * US_PER_MS, 300 * US_PER_MS, US_PER_SEC, 60 * US_PER_SEC };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(leases); i++) {
		double slow = (double)leases[i] / 0.95, fast = (double)core_promise_us(leases[i]) / 1.05;

		assert_true(fast > slow); /* the slowest holder stops before the fastest promiser moves */
	}
	assert_in_range(core_promise_us(US_PER_SEC), 1120000, 1130000); /* DESIGN: 1.13 s */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(role_table_has_no_hole),
		cmocka_unit_test(role_table_outside_is_empty),
		cmocka_unit_test(no_row_and_no_column_is_dead),
		cmocka_unit_test(every_step_has_its_name),
		cmocka_unit_test(unknown_plan_has_no_steps),
		cmocka_unit_test(phases_never_fall),
		cmocka_unit_test(order_of_steps),
		cmocka_unit_test(both_databases_at_once),
		cmocka_unit_test(only_what_is_configured),
		cmocka_unit_test(promise_outlasts_the_lease),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
