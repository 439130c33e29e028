/* Options before and after a command's own, and what is like a command's name. */
#include "hactl/cli/cli.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <unistd.h>

enum { MAX_WORDS = 12 };

struct words {
	int argc;
	char *argv[MAX_WORDS + 1];
	char *copy;
};

static void split(struct words *w, const char *text)
{
	*w = (struct words){ .copy = xstrdup(text) };
	char *save = NULL;
	for (char *p = strtok_r(w->copy, " ", &save); p && w->argc < MAX_WORDS; p = strtok_r(NULL, " ", &save))
		w->argv[w->argc++] = p;
}

static void join(const struct words *w, char out[128])
{
	size_t len = 0;
	out[0] = 0;
	for (int i = 1; i < w->argc; i++)
		str_add(out, 128, &len, "%s%s", i > 1 ? " " : "", w->argv[i]);
}

struct own {
	const char *to, *count;
	bool json;
};

static int parse(struct cli *c, struct own *o, struct words *w, bool with_count)
{
	const struct cli_option own[] = { { "to", 't', &o->to, NULL }, { "json", 'j', NULL, &o->json },
		{ with_count ? "lines" : NULL, 'n', &o->count, NULL }, { 0 } };
	return cli_parse(c, &w->argc, w->argv, own);
}

static void test_wrong(void **state)
{
	static const char *const rows[] = { "switchover --tu n2", "switchover -x", "switchover --to", "switchover -c",
		"switchover --json=yes", "switchover -j -s" };
	(void)state;
	int err = dup(STDERR_FILENO);
	assert_non_null(freopen("/dev/null", "w", stderr));
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct words w;
		struct cli c = { 0 };
		struct own o = { 0 };
		split(&w, rows[i]);
		int r = parse(&c, &o, &w, false);
		if (r != -1)
			fail_msg("%s: taken", rows[i]);
		free(w.copy);
	}
	fflush(stderr);
	dup2(err, STDERR_FILENO);
	close(err);
}

static void test_anywhere(void **state)
{
	static const struct {
		const char *line, *conf, *node, *socket, *state_dir, *to, *rest;
		bool json;
	} rows[] = {
		{ "status", "C", "N", "S", "D", NULL, "", false },
		{ "status --json -c a -n b -s d --state-dir e", "a", "b", "d", "e", NULL, "", true },
		{ "status -c a --json -nb --socket=d", "a", "b", "d", "D", NULL, "", true },
		{ "switchover --to n2 -c a one two", "a", "N", "S", "D", "n2", "one two", false },
		{ "pause one -j two -s d three", "C", "N", "d", "D", NULL, "one two three", true },
		{ "pause -- -j --to x", "C", "N", "S", "D", NULL, "-j --to x", false },
		{ "pause a -- -j", "C", "N", "S", "D", NULL, "a -j", false },
		{ "switchover -t n1 --conf a --node b", "a", "b", "S", "D", "n1", "", false },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct words w;
		struct cli c = { .conf = "C", .node = "N", .socket = "S", .state_dir = "D" };
		struct own o = { 0 };
		char rest[128];
		split(&w, rows[i].line);
		assert_int_equal(parse(&c, &o, &w, false), 0);
		join(&w, rest);
		bool same = str_eq(c.conf, rows[i].conf) && str_eq(c.node, rows[i].node) &&
			    str_eq(c.socket, rows[i].socket) && str_eq(c.state_dir, rows[i].state_dir) &&
			    str_eq(o.to, rows[i].to) && o.json == rows[i].json;
		if (!same || !str_eq(rest, rows[i].rest))
			fail_msg("%s: %s %s %s %s %s \"%s\"", rows[i].line, c.conf, c.node, c.socket, c.state_dir,
				o.to ? o.to : "-", rest);
		free(w.copy);
	}
}

/* `hactl -n n1 events -n 5`: the node in front, the number behind. */
static void test_own_letter_wins(void **state)
{
	(void)state;
	struct words w;
	struct cli c = { 0 };
	struct own o = { 0 };
	split(&w, "hactl -n n1 -c a events -n 5 --node n2");
	int at = cli_parse_front(&c, w.argc, w.argv, NULL);
	assert_int_equal(at, 5);
	assert_string_equal(c.node, "n1");
	assert_string_equal(w.argv[at], "events");
	struct words rest = { .argc = w.argc - at };
	memcpy(rest.argv, w.argv + at, sizeof(char *) * (size_t)rest.argc);
	assert_int_equal(parse(&c, &o, &rest, true), 0);
	assert_string_equal(o.count, "5");
	assert_string_equal(c.node, "n2");
	assert_int_equal(rest.argc, 1);
	free(w.copy);
}

static void test_near(void **state)
{
	static const struct cli_command table[] = { { .name = "status" }, { .name = "switchover" },
		{ .name = "switchback" }, { .name = "is" }, { .name = "check" } };
	static const struct {
		const char *name, *found, *near;
	} rows[] = {
		{ "status", "status", NULL },
		{ "statsu", NULL, "status" },
		{ "Status", NULL, "status" },
		{ "switchove", NULL, "switchover" },
		{ "swichback", NULL, "switchback" },
		{ "stat", NULL, "status" },
		{ "chekc", NULL, "check" },
		{ "reboot", NULL, NULL },
		{ "", NULL, NULL },
		{ "a-name-far-longer-than-any-command-could-ever-be-and-then-some-more-of-it", NULL, NULL },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const char *near = NULL;
		const struct cli_command *c = cli_find(table, ARRAY_LEN(table), rows[i].name, &near);
		if (!str_eq(c ? c->name : NULL, rows[i].found) || (!c && !str_eq(near, rows[i].near)))
			fail_msg("%s: %s, near %s", rows[i].name, c ? c->name : "-", near ? near : "-");
	}
}

static void test_timeout(void **state)
{
	(void)state;
	struct err e;
	us_t t = 0;
	static const char *const bad[] = { "", "30", "0ms", "2h", "-1s", "soon" };
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (cli_timeout(bad[i], 1, &t, &e) != -1)
			fail_msg("%s: taken", bad[i]);
	assert_int_equal(cli_timeout(NULL, 7, &t, &e), 0);
	assert_int_equal(t, 7);
	assert_int_equal(cli_timeout("1500ms", 7, &t, &e), 0);
	assert_int_equal(t, 1500 * US_PER_MS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_wrong),
		cmocka_unit_test(test_anywhere),
		cmocka_unit_test(test_own_letter_wins),
		cmocka_unit_test(test_near),
		cmocka_unit_test(test_timeout),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
