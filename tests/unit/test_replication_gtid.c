/* test_replication_gtid.c - replication positions compared: what is not understood first. */
#include "replication/gtid.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define U1	 "3e11fa47-71ca-11e1-9e33-c80aa9429562"
#define U2	 "3E11FA47-71CA-11E1-9E33-C80AA9429563"
#define U2_LOWER "3e11fa47-71ca-11e1-9e33-c80aa9429563"

static const struct {
	bool mariadb;
	const char *text;
} bad[] = {
	{ false, NULL },
	{ false, "x" },
	{ false, U1 },
	{ false, U1 ":" },
	{ false, U1 ":0" },
	{ false, U1 ":5-3" },
	{ false, U1 ":1-" },
	{ false, U1 ":1-2-3" },
	{ false, U1 ":-1" },
	{ false, U1 ":99999999999999999999" },
	{ false, U1 ":tag" },
	{ false, U1 ":tag:" },
	{ false, U1 ":a_tag_of_more_than_thirty_two_characters:1" },
	{ false, U1 ":1;" U2 ":1" },
	{ false, "3e11fa4771ca11e19e33c80aa9429562:1" },
	{ false, "3g11fa47-71ca-11e1-9e33-c80aa9429562:1" },
	{ false, "0-1-5" },
	{ false, "#0123456789abcdef" }, /* a position that was too long to carry */
	{ true, NULL },
	{ true, "0" },
	{ true, "0-1" },
	{ true, "0-1-" },
	{ true, "0-1-x" },
	{ true, "0-1-2," },
	{ true, "0-1-2;0-2-3" },
	{ true, "4294967296-1-2" },
	{ true, "0-4294967296-2" },
	{ true, "0-1-18446744073709551616" },
	{ true, "-1-1-1" },
	{ true, U1 ":1-5" },
	{ true, "#0123456789abcdef" },
};

static void what_is_not_understood(void **state)
{
	char out[64];
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		const char *good = bad[i].mariadb ? "0-1-1" : U1 ":1";
		bool m = bad[i].mariadb;
		if (gtid_contains(m, bad[i].text, good) != -1 || gtid_contains(m, good, bad[i].text) != -1 ||
			gtid_missing(m, bad[i].text, good) != -1 || gtid_missing(m, good, bad[i].text) != -1 ||
			gtid_as_position(m, bad[i].text, out, sizeof(out)) != -1 ||
			gtid_extra(m, good, bad[i].text, out, sizeof(out)) != -1)
			fail_msg("row %zu, \"%s\" was taken for a position", i, bad[i].text ? bad[i].text : "NULL");
	}
}

static const struct {
	bool mariadb;
	const char *of, *have;
	int contains;	   /* is have in of? */
	int64_t missing;   /* of's that have lacks */
	const char *extra; /* have's that of lacks */
} rows[] = {
	{ false, "", "", 1, 0, "" },
	{ false, U1 ":1-5", "", 1, 5, "" },
	{ false, "", U1 ":1-5", 0, 0, U1 ":1-5" },
	{ false, U1 ":1-5", U1 ":1-5", 1, 0, "" },
	{ false, U1 ":1-5", U1 ":3", 1, 4, "" },
	{ false, U1 ":1-5", U1 ":1-6", 0, 0, U1 ":6" },
	{ false, U1 ":1-5:7-9", U1 ":5-7", 0, 6, U1 ":6" },
	{ false, U1 ":1-3:4-5", U1 ":1-5", 1, 0, "" },		    /* touching intervals are one */
	{ false, U1 ":4-5:1-3", U1 ":2-4", 1, 2, "" },		    /* in any order */
	{ false, U1 ":1-5:2-3", U1 ":1-5", 1, 0, "" },		    /* overlapping */
	{ false, U1 ":1-5,\n" U2 ":1-2", U2_LOWER ":2", 1, 6, "" }, /* as the server prints it; case does not matter */
	{ false, U1 " : 1 - 5 , " U2 ":1", U1 ":5", 1, 5, "" },
	{ false, U1 ":1-5,", U1 ":1-5", 1, 0, "" },
	{ false, U1 ":1-5", U2 ":1", 0, 5, U2_LOWER ":1" },
	{ false, U1 ":tag:1-3", U1 ":1-3", 0, 3, U1 ":1-3" }, /* a tag is another history */
	{ false, U1 ":1-3:tag:1-3:TAG:5", U1 ":tag:2:5", 1, 5, "" },
	{ false, U1 ":tag:1-3:4", U1 ":tag:4", 1, 3, "" }, /* a tag holds for what follows */
	{ false, U1 ":9223372036854775806", U1 ":9223372036854775806", 1, 0, "" },
	{ true, "", "", 1, 0, "" },
	{ true, "0-1-5", "", 1, 5, "" },
	{ true, "", "0-1-5", 0, 0, "0-1-5" },
	{ true, "0-1-5", "0-1-5", 1, 0, "" },
	{ true, "0-1-5", "0-1-4", 1, 1, "" },
	{ true, "0-1-5", "0-1-6", 0, 0, "0-1-6" },
	{ true, "0-1-100,0-2-105", "0-1-100", 1, 5, "" }, /* the old primary's state in the new one's */
	{ true, "0-1-100,0-2-105", "0-1-101", 0, 4,
		"0-1-101" },				 /* its last write reached nobody; the other numbers overlap */
	{ true, "0-2-105", "0-1-100", 0, 5, "0-1-100" }, /* a higher number of another server proves nothing */
	{ true, "0-1-5,1-1-7", "1-1-7", 1, 5, "" },
	{ true, "0-1-5, 1-1-7", "0-1-5,1-1-9", 0, 0, "1-1-9" },
	{ true, "0-2-100,0-1-100", "0-1-98", 1, 2, "" }, /* counted once */
	{ true, "0-1-18446744073709551615", "", 1, INT64_MAX, "" },
};

static void rows_of_the_table(void **state)
{
	char extra[256];
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		bool m = rows[i].mariadb;
		int c = gtid_contains(m, rows[i].of, rows[i].have);
		int64_t n = gtid_missing(m, rows[i].of, rows[i].have);
		assert_int_equal(gtid_extra(m, rows[i].of, rows[i].have, extra, sizeof(extra)), 0);
		if (c != rows[i].contains || n != rows[i].missing || !str_eq(extra, rows[i].extra))
			fail_msg("row %zu (%s | %s): contains %d, missing %lld, extra \"%s\"", i, rows[i].of,
				rows[i].have, c, (long long)n, extra);
	}
}

/* What was received begins with the replica's configuration; what is executed has gaps while several workers apply. */
static void received_or_executed(void **state)
{
	static const struct {
		bool mariadb;
		const char *of, *executed, *received;
		int64_t unreceived;
	} both[] = {
		{ false, U1 ":1-110", U1 ":1-100", U1 ":90-110", 0 },
		{ false, U1 ":1-110", U1 ":1-100:105", U1 ":101-110", 0 },
		{ false, U1 ":1-110", U1 ":1-100:105", U1 ":101-104", 5 },
		{ false, U1 ":1-110", U1 ":5-110", U1 ":1-3", 1 },
		{ false, U1 ":1-110", U1 ":1-108", "", 2 },
		{ false, U1 ":1-110", "", U1 ":1-109", 1 },
		{ false, U1 ":1-9," U2 ":1-5", U1 ":1-9", U2 ":1-4", 1 },
		{ false, U1 ":1-9", U1 ":1-9", "nonsense", -1 },
		{ true, "0-1-110", "0-1-100", "0-1-110", 0 },
		{ true, "0-1-110", "0-1-100", "0-1-104", 6 },
		{ true, "0-1-110", "0-1-100", "", 10 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(both); i++) {
		int64_t n = gtid_unreceived(both[i].mariadb, both[i].of, both[i].executed, both[i].received);
		if (n != both[i].unreceived)
			fail_msg("row %zu: %lld", i, (long long)n);
	}
}

static void states_and_positions(void **state)
{
	char out[64];
	(void)state;
	gtid_merge_states("0-1-100,0-2-105", "0-2-107,1-1-3", out, sizeof(out));
	assert_string_equal(out, "0-1-100,0-2-107,1-1-3");
	gtid_merge_states("", "0-2-107", out, sizeof(out));
	assert_string_equal(out, "0-2-107");
	gtid_merge_states("x", "0-2-107", out, sizeof(out));
	assert_string_equal(out, "");
	assert_int_equal(gtid_as_position(true, "0-1-100,0-2-105,1-1-3", out, sizeof(out)), 0);
	assert_string_equal(out, "0-2-105,1-1-3");
	assert_int_equal(gtid_as_position(false, U1 ":1-5", out, sizeof(out)), 0);
	assert_string_equal(out, U1 ":1-5");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_not_understood),
		cmocka_unit_test(rows_of_the_table),
		cmocka_unit_test(received_or_executed),
		cmocka_unit_test(states_and_positions),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
