/* test_upstream_weights.c - who serves, who waits, who is out, and how much each gets. */
#include "hactl/upstream/haproxy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define UNKNOWN -1, -1, -1, -1, -1, -1

static struct conf_upstream upstream(enum conf_policy policy)
{
	return (struct conf_upstream){ .name = "app",
		.socket = "sock",
		.policy = policy,
		.n_servers = 2,
		.servers = {
			{ .node = 0, .server = "web1", .weight = 2 }, { .node = 1, .server = "web2", .weight = 3 } } };
}

static void roles_and_health(void **state)
{
	static const struct {
		enum conf_policy policy;
		int primary;
		bool healthy[2];
		struct server_want now[2], want[2];
	} table[] = {
		{ POLICY_ACTIVE_BACKUP, 0, { true, true }, { { 1, true, false }, { 1, false, false } },
			{ { 2, false, false }, { 3, true, false } } },
		{ POLICY_ACTIVE_BACKUP, 1, { true, true }, { { 2, false, false }, { 3, true, false } },
			{ { 2, true, false }, { 3, false, false } } },
		/* the main one is out: nginx then uses the backup, so nothing else moves */
		{ POLICY_ACTIVE_BACKUP, 0, { false, true }, { { 2, false, false }, { 3, true, false } },
			{ { 2, false, true }, { 3, true, false } } },
		{ POLICY_ACTIVE_BACKUP, 0, { true, false }, { { 2, false, false }, { 3, true, false } },
			{ { 2, false, false }, { 3, true, true } } },
		{ POLICY_ACTIVE_BACKUP, 0, { false, false }, { { 2, false, true }, { 3, true, false } },
			{ { 2, false, false }, { 3, true, false } } },
		/* nobody is primary: the file's choice stands */
		{ POLICY_ACTIVE_BACKUP, NOBODY, { true, true }, { { 2, true, false }, { 3, false, false } },
			{ { 2, true, false }, { 3, false, false } } },
		{ POLICY_ACTIVE_BACKUP, NOBODY, { true, true }, { { 2, false, false }, { 3, false, false } },
			{ { 2, false, false }, { 3, false, false } } },
		{ POLICY_ACTIVE_BACKUP, NOBODY, { true, true }, { { 2, true, false }, { 3, true, false } },
			{ { 2, false, false }, { 3, true, false } } },
		{ POLICY_BALANCED, 1, { true, true }, { { 9, true, true }, { 9, false, false } },
			{ { 2, false, false }, { 3, false, false } } },
		{ POLICY_BALANCED, 1, { true, false }, { { 2, false, false }, { 3, false, false } },
			{ { 2, false, false }, { 3, false, true } } },
		{ POLICY_BALANCED, 1, { false, false }, { { 2, false, false }, { 3, false, true } },
			{ { 2, false, false }, { 3, false, false } } },
	};
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct conf_upstream u = upstream(table[i].policy);
		struct server_seen seen[2] = { { table[i].healthy[0], UNKNOWN }, { table[i].healthy[1], UNKNOWN } };
		struct server_want want[2];

		weights_decide(&u, table[i].primary, seen, table[i].now, want);
		for (int k = 0; k < 2; k++)
			if (want[k].weight != table[i].want[k].weight || want[k].backup != table[i].want[k].backup ||
				want[k].down != table[i].want[k].down)
				fail_msg("row %zu, server %d: weight %d%s%s", i, k, want[k].weight,
					want[k].backup ? " backup" : "", want[k].down ? " down" : "");
	}
}

static void measured(void **state)
{
	static const struct {
		struct server_seen seen[2];
		int now[2], want[2];
	} table[] = {
		/* nothing measured, or only of one: as it is */
		{ { { true, UNKNOWN }, { true, UNKNOWN } }, { 4, 6 }, { 4, 6 } },
		{ { { true, 10, -1, -1, -1, -1, -1 }, { true, UNKNOWN } }, { 4, 6 }, { 4, 6 } },
		/* all four terms: 0.3*0.9 + 0.3*0.5 + 0.2*0.5 + 0.2*1 = 0.72 against 0.3*0.1 + 0.3*0.25 + 0.2*0.2 + 0.2*0.5 = 0.245 */
		{ { { true, 100, 60, 40, 50, 100, 0 }, { true, 900, 70, 80, 80, 100, 0.5 } }, { 1, 1 }, { 7, 2 } },
		/* equal halves are 5 and 5, and stay when noise moves them by less than half a tenth */
		{ { { true, 100, -1, -1, -1, -1, -1 }, { true, 100, -1, -1, -1, -1, -1 } }, { 1, 9 }, { 5, 5 } },
		{ { { true, 100, -1, -1, -1, -1, -1 }, { true, 180, -1, -1, -1, -1, -1 } }, { 5, 5 }, { 5, 5 } },
		{ { { true, 100, -1, -1, -1, -1, -1 }, { true, 400, -1, -1, -1, -1, -1 } }, { 5, 5 }, { 6, 4 } },
		/* never below 1, and 1 is stable */
		{ { { true, 0, -1, -1, -1, -1, -1 }, { true, 5000, -1, -1, -1, -1, -1 } }, { 5, 5 }, { 10, 1 } },
		{ { { true, 0, -1, -1, -1, -1, -1 }, { true, 5000, -1, -1, -1, -1, -1 } }, { 10, 1 }, { 10, 1 } },
		/* a limit of 0 is not known */
		{ { { true, -1, -1, -1, 3, 0, -1 }, { true, -1, -1, -1, 3, 9, -1 } }, { 4, 6 }, { 4, 6 } },
		/* one left: its number does not matter, unless HAProxy has it at 0 */
		{ { { false, UNKNOWN }, { true, 10, -1, -1, -1, -1, -1 } }, { 4, 6 }, { 4, 6 } },
		{ { { false, UNKNOWN }, { true, 10, -1, -1, -1, -1, -1 } }, { 4, 0 }, { 4, 3 } },
	};
	struct conf_upstream u = upstream(POLICY_DYNAMIC);
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct server_want now[2] = { { .weight = table[i].now[0] }, { .weight = table[i].now[1] } }, want[2];

		weights_decide(&u, 0, table[i].seen, now, want);
		if (want[0].weight != table[i].want[0] || want[1].weight != table[i].want[1])
			fail_msg("row %zu: %d and %d", i, want[0].weight, want[1].weight);
		assert_int_equal(want[0].down, !table[i].seen[0].healthy);
		assert_false(want[0].backup || want[1].backup);
	}
}

/* --- HAProxy's words ------------------------------------------------------------------------------------------------------------ */

#define COLUMNS                                                                                                        \
	"1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight "            \
	"srv_time_since_last_change\n"

static void haproxy_answers(void **state)
{
	static const struct {
		const char *text, *word;
	} bad[] = {
		{ "", "says" },
		{ "Can't find backend.\n\n", "Can't find backend." },
		{ COLUMNS, "no server web1" },
		{ COLUMNS "3 app 1 web1 127.0.0.1 2 0 7 7 1\n", "no server web2" },
		{ COLUMNS "3 app 1 web1 127.0.0.1 2 0 7 7 1\n3 other 1 web2 127.0.0.1 2 0 7 7 1\n", "no server web2" },
		{ COLUMNS "3 app 1 web1 127.0.0.1 2\n", "no server web1" },
		{ "1\n# be_id be_name srv_id srv_name\n3 app 1 web1\n", "says" },
	};
	struct conf_upstream u = upstream(POLICY_BALANCED);
	struct haproxy_server now[CONF_MAX_SERVERS];
	struct err e;
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		if (haproxy_parse(bad[i].text, &u, now, &e) != -1 || !strstr(e.text, bad[i].word))
			fail_msg("%zu: %s", i, e.text);
	}
	assert_int_equal(
		haproxy_parse(COLUMNS "3 app 2 web2 127.0.0.1 0 9 0 3 1 x y\n3 app 1 web1 127.0.0.1 2 6 256 2 1\n\n",
			&u, now, &e),
		0);
	assert_int_equal(now[0].weight, 256);
	assert_false(now[0].maint || now[0].drain); /* 6: inherited and configured, not forced by a command */
	assert_int_equal(now[1].weight, 0);
	assert_true(now[1].maint && now[1].drain);
}

static void haproxy_words(void **state)
{
	static const struct {
		struct haproxy_server now[2];
		struct server_want want[2];
		const char *said;
		int foreign;
	} table[] = {
		{ { { 2, 0, 0 }, { 3, 0, 0 } }, { { 2, 0, 0 }, { 3, 0, 0 } }, "", -1 },
		{ { { 2, 0, 0 }, { 3, 0, 0 } }, { { 2, 0, 0 }, { 3, 1, 0 } }, "set server app/web2 weight 0;", -1 },
		{ { { 2, 0, 0 }, { 0, 0, 0 } }, { { 2, 0, 1 }, { 3, 1, 0 } },
			"set server app/web1 weight 0;set server app/web1 state maint;set server app/web2 weight 3;",
			-1 },
		{ { { 0, 1, 0 }, { 3, 0, 0 } }, { { 2, 0, 0 }, { 3, 1, 0 } },
			"set server app/web1 weight 2;set server app/web1 state ready;set server app/web2 weight 0;",
			-1 },
		{ { { 5, 1, 0 }, { 3, 0, 0 } }, { { 2, 0, 0 }, { 4, 0, 0 } }, "set server app/web2 weight 4;", 0 },
	};
	struct conf_upstream u = upstream(POLICY_ACTIVE_BACKUP);
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		char out[HAPROXY_COMMANDS][HAPROXY_COMMAND], all[1024] = "";
		int foreign;
		size_t n = haproxy_commands(&u, table[i].now, table[i].want, out, &foreign), len = 0;

		for (size_t k = 0; k < n; k++)
			str_add(all, sizeof all, &len, "%s;", out[k]);
		assert_string_equal(all, table[i].said);
		assert_int_equal(foreign, table[i].foreign);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(roles_and_health),
		cmocka_unit_test(measured),
		cmocka_unit_test(haproxy_answers),
		cmocka_unit_test(haproxy_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
