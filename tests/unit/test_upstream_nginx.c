/* test_upstream_nginx.c - the rewriter: what it refuses, what it changes, and that nothing else moves. */
#include "hactl/upstream/upstream.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static const struct conf_upstream pair = {
	.name = "web_app_backend",
	.file = "HiFate-bazi.conf",
	.policy = POLICY_ACTIVE_BACKUP,
	.n_servers = 2,
	.servers = { { .node = 0, .address = "A:8001", .weight = 2 }, { .node = 1, .address = "B:8001", .weight = 1 } },
};

/* The shape the pair publishes: comments between, the second server waits. */
#define PUBLISHED                                                                                                      \
	"# HiFate-bazi\n"                                                                                              \
	"upstream web_app_backend {\n"                                                                                 \
	"    # main node\n"                                                                                            \
	"    server A:8001 max_fails=3 fail_timeout=30s weight=2;\n"                                                   \
	"    # second node\n"                                                                                          \
	"    server B:8001 max_fails=3 fail_timeout=30s weight=1 backup;\n"                                            \
	"    keepalive 32;\n"                                                                                          \
	"}\n"

static const struct server_want as_published[] = { { 2, false, false }, { 1, true, false } };
static const struct server_want swapped[] = { { 2, true, false }, { 1, false, false } };

static char *rewrite(const char *text, const struct server_want *want, bool *changed)
{
	struct err e = { "" };
	char *out = NULL;
	size_t len;

	if (nginx_rewrite(text, strlen(text), &pair, want, &out, &len, changed, &e) < 0)
		fail_msg("refused: %s\n%s", e.text, text);
	assert_int_equal(strlen(out), len);
	return out;
}

static void refuses(void **state)
{
	static const struct {
		const char *text, *word;
	} bad[] = {
		{ "", "no upstream" },
		{ "upstream other { server A:8001; server B:8001; }", "no upstream" },
		{ "# upstream web_app_backend { server A:8001; server B:8001; }\n", "no upstream" },
		{ "log_format x 'upstream web_app_backend {';", "no upstream" },
		{ "upstream web_app_backend { server A:8001; }", "no server B:8001" },
		{ "upstream web_app_backend { server A:80011; server B:8001; }", "no server A:8001" },
		{ "upstream web_app_backend { #server A:8001;\n server B:8001; }", "no server A:8001" },
		{ "upstream web_app_backend { x { server A:8001; } server B:8001; }", "no server A:8001" },
		{ "upstream web_app_backend { server A:8001; server B:8001; server A:8001 down; }", "twice" },
		{ "upstream web_app_backend { server A:8001; server B:8001; }\nupstream web_app_backend { }", ":2: " },
		{ "upstream web_app_backend { server A:8001; server B:8001; }\nupstream \"web_app_backend\" { }",
			"second time" },
		{ "upstream web_app_backend { include servers.conf; server A:8001; server B:8001; }",
			"includes another file" },
		{ "upstream web_app_backend { server A:8001; server B:8001; ", "} is missing" },
		{ "upstream web_app_backend { server A:8001; server B:8001; } }", "too many" },
		{ "upstream web_app_backend { server A:8001 } ", "; or { is missing" },
		{ "upstream web_app_backend { server A:8001", "; or { is missing" },
		{ "upstream web_app_backend { server A:8001; ; server B:8001; }", "before ;" },
		{ "{ }", "before {" },
		{ "upstream web_app_backend { server \"A:8001; server B:8001; }", "never closed" },
		{ "upstream web_app_backend { server \"A:8001\"weight=3; server B:8001; }", "behind the quote" },
		{ "upstream web_app_backend { server A:8001 weight=0; server B:8001; }", "no weight" },
		{ "upstream web_app_backend { server A:8001 weight=x; server B:8001; }", "no weight" },
		{ "upstream web_app_backend { server A:8001 weight=99999999999; server B:8001; }", "no weight" },
		{ "upstream web_app_backend { server A:8001 weight=1 weight=2; server B:8001; }", "second time" },
		{ "upstream web_app_backend { server A:8001 backup backup; server B:8001; }", "second time" },
		{ "upstream web_app_backend { server A:8001 { } server B:8001; }", "needs an address" },
		{ "upstream web_app_backend { ip_hash; server A:8001; server B:8001; }", "no backup server" },
		{ "upstream web_app_backend { server A:8001; hash $uri; server B:8001; }", "no backup server" },
		{ "x { content_by_lua_block { -- } \n } } upstream web_app_backend { server A:8001; server B:8001; }",
			"Lua" },
		{ "upstream web_app_backend { server A:8001; server B:8001; } x \\", "backslash" },
	};
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		char *out = (char *)&out;
		size_t len = 7;
		bool changed = true;
		struct err e = { "" };

		if (nginx_rewrite(bad[i].text, strlen(bad[i].text), &pair, as_published, &out, &len, &changed, &e) !=
			-1)
			fail_msg("taken: %s", bad[i].text);
		if (!strstr(e.text, bad[i].word) || !strstr(e.text, "HiFate-bazi.conf"))
			fail_msg("for %s: \"%s\" does not say \"%s\"", bad[i].text, e.text, bad[i].word);
		assert_true(out == (char *)&out && len == 7 && changed);
	}
}

static void changes(void **state)
{
	static const struct {
		const char *text;
		struct server_want want[2];
		const char *expected; /* NULL: the same bytes */
	} table[] = {
		{ PUBLISHED, { { 2, false, false }, { 1, true, false } }, NULL },
		{ PUBLISHED, { { 2, true, false }, { 1, false, false } },
			"# HiFate-bazi\nupstream web_app_backend {\n    # main node\n"
			"    server A:8001 max_fails=3 fail_timeout=30s weight=2 backup;\n    # second node\n"
			"    server B:8001 max_fails=3 fail_timeout=30s weight=1;\n    keepalive 32;\n}\n" },
		{ PUBLISHED, { { 2, false, true }, { 1, true, false } },
			"# HiFate-bazi\nupstream web_app_backend {\n    # main node\n"
			"    server A:8001 max_fails=3 fail_timeout=30s weight=2 down;\n    # second node\n"
			"    server B:8001 max_fails=3 fail_timeout=30s weight=1 backup;\n    keepalive 32;\n}\n" },
		/* no needless weight=1 */
		{ "upstream web_app_backend{server A:8001;server B:8001;}",
			{ { 1, false, false }, { 1, false, false } }, NULL },
		{ "upstream web_app_backend{server A:8001;server B:8001;}", { { 5, false, false }, { 1, true, true } },
			"upstream web_app_backend{server A:8001 weight=5;server B:8001 backup down;}" },
		/* CRLF, tabs, no newline at the end, a comment between the words, several directives on a line */
		{ "upstream\tweb_app_backend\r\n{\r\n\tserver\tA:8001\tbackup;\r\n\tserver "
		  "B:8001\r\n\t\tweight=4;\r\n}",
			{ { 1, false, false }, { 9, true, false } },
			"upstream\tweb_app_backend\r\n{\r\n\tserver\tA:8001;\r\n\tserver B:8001\r\n\t\tweight=9 "
			"backup;\r\n}" },
		{ "upstream web_app_backend { server A:8001 # ; backup }\n down # x\n ; server B:8001; }",
			{ { 1, true, false }, { 1, false, true } },
			"upstream web_app_backend { server A:8001 # ; backup }\n backup # x\n ; server B:8001 down; "
			"}" },
		{ "upstream web_app_backend { server A:8001 # last; \n; server B:8001 backup; }",
			{ { 1, false, true }, { 1, false, false } },
			"upstream web_app_backend { server A:8001 down # last; \n; server B:8001; }" },
		/* the last word goes and another comes */
		{ "upstream web_app_backend { server A:8001 backup; server B:8001 down backup; }",
			{ { 3, false, false }, { 1, false, false } },
			"upstream web_app_backend { server A:8001 weight=3; server B:8001; }" },
		/* inside http, among quotes, variables and other upstreams with the same servers */
		{ "http { map $a $b { \"}\" 1; '{' 2; } log_format m '$x {'; set $c ${d}e; if ($a ~ \"x{2}\") { return "
		  "200 \"\\\"}\"; }\n"
		  "upstream other { server A:8001; server B:8001; }\nupstream web_app_backend { server 'A:8001' "
		  "weight=2;\n"
		  "server B:8001 weight=1; } server { listen 80; server_name A:8001; } }",
			{ { 2, false, false }, { 1, true, false } },
			"http { map $a $b { \"}\" 1; '{' 2; } log_format m '$x {'; set $c ${d}e; if ($a ~ \"x{2}\") { "
			"return 200 \"\\\"}\"; }\n"
			"upstream other { server A:8001; server B:8001; }\nupstream web_app_backend { server 'A:8001' "
			"weight=2;\n"
			"server B:8001 weight=1 backup; } server { listen 80; server_name A:8001; } }" },
		/* found by fuzzing: a blank that belongs to the word before */
		{ "upstream web_app_backend { server A:8001 x\\  backup; server B:8001; }",
			{ { 1, false, false }, { 1, false, false } },
			"upstream web_app_backend { server A:8001 x\\ ; server B:8001; }" },
		/* servers that are not ours stay as they are */
		{ "upstream web_app_backend { server C:1 backup; server A:8001; server B:8001; }",
			{ { 1, false, true }, { 1, false, false } },
			"upstream web_app_backend { server C:1 backup; server A:8001 down; server B:8001; }" },
	};
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		bool changed = false;
		auto_free char *out = rewrite(table[i].text, table[i].want, &changed);

		assert_string_equal(out, table[i].expected ? table[i].expected : table[i].text);
		assert_int_equal(changed, table[i].expected != NULL);
	}
}

/* Found by fuzzing: what is written must be readable again, also at the limit of words. */
static void many_words(void **state)
{
	static const struct server_want all[] = { { 7, true, true }, { 1, false, false } };
	(void)state;

	for (int n = 24; n <= 40; n++) {
		char text[1024] = "upstream web_app_backend { server A:8001", *out;
		size_t len = strlen(text), out_len;
		struct server_want now[2];
		struct err e;
		bool changed;

		for (int i = 0; i < n; i++)
			str_add(text, sizeof text, &len, " p%d", i);
		str_add(text, sizeof text, &len, "; server B:8001; }");
		if (nginx_rewrite(text, len, &pair, all, &out, &out_len, &changed, &e) < 0) {
			assert_true(n > 27 && strstr(e.text, "more than 29 words"));
			continue;
		}
		assert_true(n <= 27);
		assert_int_equal(nginx_read(out, out_len, &pair, now, &e), 0);
		free(out);
	}
}

static void there_and_back(void **state)
{
	bool changed;
	auto_free char *there = rewrite(PUBLISHED, swapped, &changed);
	(void)state;

	assert_true(changed);
	auto_free char *back = rewrite(there, as_published, &changed);
	assert_string_equal(back, PUBLISHED);
}

/* --- random files --------------------------------------------------------------------------------------------------------- */

static uint32_t seed;

static uint32_t roll(uint32_t n)
{
	seed = seed * 1664525u + 1013904223u;
	return (seed >> 8) % n;
}

static const char *any(const char *const *list, size_t n)
{
	return list[roll((uint32_t)n)];
}
#define ANY(list) any(list, ARRAY_LEN(list))

static const char *const blanks[] = { " ", "  ", "\t", "\r\n\t", "\n", " # server A:8001 backup;\n", "\n#}{\n",
	" #'\n " };
static const char *const before[] = { "", "# upstream web_app_backend {\n", "user www-data;\n",
	"x '{' \"}\" ${a} \\{ b#c;\n", "upstream other { server A:8001 down; }\n",
	"map $a $b { ~^/x 1; default '}'; }\r\n" };
static const char *const params[] = { "max_fails=3", "fail_timeout=30s", "\"max_conns=5\"", "slow_start=1s",
	"resolve" };
static const char *const inner[] = { "", "keepalive 32;", "server C:1 weight=7 down;", "least_conn; ",
	"zone z 64k;# server A:8001;\n" };

static void add_server(char *text, size_t size, size_t *len, const char *address)
{
	const char *words[8];
	size_t n = 0, order[8];

	for (uint32_t i = roll(3); i > 0; i--)
		words[n++] = ANY(params);
	if (roll(2))
		words[n++] = roll(2) ? "weight=2" : "weight=13";
	if (roll(2))
		words[n++] = "backup";
	if (roll(3) == 0)
		words[n++] = "down";
	for (size_t i = 0; i < n; i++)
		order[i] = i;
	for (size_t i = n; i > 1; i--) {
		size_t k = roll((uint32_t)i), t = order[k];

		order[k] = order[i - 1];
		order[i - 1] = t;
	}
	str_add(text, size, len, roll(3) ? "server%s%s" : "server%s'%s'", ANY(blanks), address);
	for (size_t i = 0; i < n; i++)
		str_add(text, size, len, "%s%s", ANY(blanks), words[order[i]]);
	str_add(text, size, len, "%s;", roll(2) ? "" : ANY(blanks));
}

static void random_file(char *text, size_t size)
{
	bool http = roll(2), first = roll(2);
	size_t len = 0;

	str_add(text, size, &len, "%s%s%s", ANY(before), http ? "http{" : "", ANY(before));
	str_add(text, size, &len, "upstream%sweb_app_backend%s{%s", ANY(blanks), ANY(blanks), ANY(inner));
	add_server(text, size, &len, first ? "A:8001" : "B:8001");
	str_add(text, size, &len, "%s", ANY(inner));
	add_server(text, size, &len, first ? "B:8001" : "A:8001");
	str_add(text, size, &len, "%s}%s%s%s", ANY(inner), ANY(before), http ? "}" : "", roll(2) ? "\n" : "");
}

static bool is_ours(const char *w, size_t n)
{
	return (n > 7 && memcmp(w, "weight=", 7) == 0) || (n == 6 && memcmp(w, "backup", 6) == 0) ||
	       (n == 4 && memcmp(w, "down", 4) == 0);
}

/* The text without our words and without blanks: what may never change. Comments count as text, so a word in one stays. */
static void skeleton(const char *text, char *out)
{
	while (*text) {
		size_t n;

		if (*text == '#') {
			n = strcspn(text, "\n");
			memcpy(out, text, n);
			out += n;
			text += n;
			continue;
		}
		if (strchr(" \t\r\n", *text)) {
			if (*text == '\n' || *text == '\r')
				*out++ = *text; /* lines stay, too */
			text++;
			continue;
		}
		n = strcspn(text, " \t\r\n;#{}");
		n = n ? n : 1;
		if (!is_ours(text, n)) {
			memcpy(out, text, n);
			out += n;
		}
		text += n;
	}
	*out = '\0';
}

static bool same_want(const struct server_want *a, const struct server_want *b)
{
	return a->weight == b->weight && a->backup == b->backup && a->down == b->down;
}

static void random_files(void **state)
{
	(void)state;

	for (uint32_t i = 1; i <= 20000; i++) {
		struct server_want want[2], now[2], first[2];
		char text[4096], a[4096], b[8192];
		bool changed, again;
		struct err e = { "" };

		seed = i;
		random_file(text, sizeof text);
		for (int k = 0; k < 2; k++)
			want[k] = (struct server_want){ 1 + (int)roll(3), roll(2), roll(2) };
		if (nginx_read(text, strlen(text), &pair, first, &e) < 0)
			fail_msg("seed %u: %s\n%s", i, e.text, text);
		auto_free char *out = rewrite(text, want, &changed);
		auto_free char *twice = rewrite(out, want, &again);

		assert_int_equal(nginx_read(out, strlen(out), &pair, now, &e), 0);
		if (!same_want(&now[0], &want[0]) || !same_want(&now[1], &want[1]) || again ||
			strcmp(out, twice) != 0 || changed != (strcmp(out, text) != 0) ||
			changed == (same_want(&first[0], &want[0]) && same_want(&first[1], &want[1])))
			fail_msg("seed %u:\n%s\n--- became\n%s", i, text, out);
		skeleton(text, a);
		skeleton(out, b);
		if (strcmp(a, b) != 0)
			fail_msg("seed %u: more than our words moved:\n%s\n--- became\n%s", i, text, out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refuses),
		cmocka_unit_test(changes),
		cmocka_unit_test(many_words),
		cmocka_unit_test(there_and_back),
		cmocka_unit_test(random_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
