/* test_config_self.c - which node this host is, what the digest covers, and the key that keygen writes. */
#include "tests/unit/test_config.h"

static const char pair_text[] =
	"cluster = \"c\";\n"
	"nodes = ( { name = \"N1\"; address = \"A1\"; }, { name = \"N2\"; address = \"A2\"; } );\n"
	"heartbeat = { key_file = \"DIR/cluster.key\"; };\n"
	"authority = { manual = true; };\n"
	"mysql = { user = \"u\"; password_file = \"DIR/mysql.pw\"; replication_user = \"r\";\n"
	"  replication_password_file = \"DIR/repl.pw\"; };\n"
	"probes = ( { name = \"p\"; type = \"tcp\"; port = 80; } );\n"
	"hooks = { on_event = \"\"; };\n";

static struct conf *load_pair(void **state, const char *n1, const char *a1, const char *n2, const char *a2)
{
	auto_free char *a = replaced(pair_text, "N1", n1), *b = replaced(a, "A1", a1), *c = replaced(b, "N2", n2),
		       *d = replaced(c, "A2", a2);
	struct told t;
	struct conf *conf = load_text(*state, d, &t);

	assert_int_equal(t.n, 0);
	assert_non_null(conf);
	return conf;
}

static void by_name(void **state)
{
	struct conf *c = load_pair(state, "left", "203.0.113.1", "right", "203.0.113.2");
	struct err e = { "" };

	assert_int_equal(conf_self(c, "left", &e), 0);
	assert_int_equal(conf_self(c, "right", &e), 1);
	assert_int_equal(conf_self(c, "middle", &e), NOBODY);
	assert_non_null(strstr(e.text, "there is no node \"middle\""));
	assert_non_null(strstr(e.text, "it has left and right"));
	assert_int_equal(conf_self(c, "", &e), NOBODY);
	assert_int_equal(conf_node_by_name(c, ""), NOBODY);
	conf_free(c);
}

static void by_host(void **state)
{
	char host[256] = "";
	struct conf *c;
	struct err e;

	assert_int_equal(gethostname(host, sizeof(host) - 1), 0);
	host[strcspn(host, ".")] = '\0';
	if (strlen(host) >= NAME_MAX_LEN)
		skip();
	c = load_pair(state, "left", "203.0.113.1", host, "203.0.113.2");
	assert_int_equal(conf_self(c, NULL, &e), 1);
	conf_free(c);
}

static void by_address_on_this_host(void **state)
{
	struct conf *c = load_pair(state, "hactl-left", "203.0.113.1", "hactl-right", "127.0.0.1");
	struct err e = { "" };

	assert_int_equal(conf_self(c, NULL, &e), 1);
	conf_free(c);
	c = load_pair(state, "hactl-left", "203.0.113.1", "hactl-right", "203.0.113.2");
	assert_int_equal(conf_self(c, NULL, &e), NOBODY);
	assert_non_null(strstr(e.text, "neither 203.0.113.1 nor 203.0.113.2; name the node with -n"));
	conf_free(c);
}

/* --- digest ------------------------------------------------------------------------------------------------------------- */

static struct conf *changed(void **state, const char *from, const char *to)
{
	auto_free char *base = replaced(pair_text, "A1", "203.0.113.1"), *both = replaced(base, "A2", "203.0.113.2");
	auto_free char *text = replaced(both, from, to);
	struct told t;
	struct conf *c;

	assert_non_null(strstr(both, from));
	c = load_text(*state, text, &t);
	assert_int_equal(t.n, 0);
	assert_non_null(c);
	return c;
}

static uint64_t digest_of(void **state, const char *from, const char *to)
{
	struct conf *c = changed(state, from, to);
	uint64_t digest = c->digest;

	conf_free(c);
	return digest;
}

static void sections_of(void **state, const char *from, const char *to, uint32_t out[SECTION_COUNT])
{
	struct conf *c = changed(state, from, to);

	memcpy(out, c->section, sizeof(c->section));
	conf_free(c);
}

static void digest_covers_what_must_agree(void **state)
{
	static const char *const other[][2] = {
		{ "cluster = \"c\"", "cluster = \"d\"" },
		{ "203.0.113.2", "203.0.113.3" },
		{ "name = \"N1\"", "name = \"N3\"" },
		{ "203.0.113.1\"", "203.0.113.1\"; prefer = true" },
		{ "203.0.113.1\"", "203.0.113.1\"; mysql = { port = 3307; }" },
		{ "cluster.key", "other.key" }, /* another key, though the path is left out */
		{ "manual = true", "reference = ( \"203.0.113.9\" )" },
		{ "manual = true", "manual = true; lease = \"2s\"" },
		{ "manual = true", "manual = true; enforce = \"none\"" },
		{ "user = \"u\"", "user = \"v\"" },
		{ "DIR/mysql.pw", "DIR/repl.pw" }, /* another password */
		{ "user = \"u\"", "user = \"u\"; max_lag = \"9s\"" },
		{ "user = \"u\"", "user = \"u\"; semi_sync = \"off\"" },
		{ "user = \"u\"", "user = \"u\"; semi_sync = \"off\"; max_unreceived = 9" },
		{ "port = 80", "port = 81" },
		{ "probes =", "vips = ( { address = \"203.0.113.7/24\"; interface = \"eth0\"; } ); probes =" },
		{ "probes =", "redis = { }; probes =" },
	};
	uint64_t seen[ARRAY_LEN(other) + 1] = { digest_of(state, "N1", "N1") };

	make_text(*state, "other.key", "ff112233445566778899aabbccddeeffFFEEDDCCBBAA99887766554433221100");
	for (size_t i = 0; i < ARRAY_LEN(other); i++) {
		seen[i + 1] = digest_of(state, other[i][0], other[i][1]);
		for (size_t j = 0; j <= i; j++)
			assert_int_not_equal(seen[i + 1], seen[j]);
	}
}

/* What was changed names its own section and no other. */
static void a_section_differs_alone(void **state)
{
	static const struct {
		const char *from, *to;
		enum conf_section section;
	} rows[] = {
		{ "203.0.113.2", "203.0.113.3", SECTION_NODES },
		{ "heartbeat = {", "heartbeat = { interval = \"200ms\";", SECTION_HEARTBEAT },
		{ "manual = true", "manual = true; lease = \"2s\"", SECTION_AUTHORITY },
		{ "manual = true", "reference = ( \"203.0.113.9\" )", SECTION_AUTHORITY },
		{ "probes =", "vips = ( { address = \"203.0.113.7/24\"; interface = \"eth0\"; } ); probes =",
			SECTION_VIPS },
		{ "user = \"u\"", "user = \"u\"; max_lag = \"9s\"", SECTION_MYSQL },
		{ "DIR/mysql.pw", "DIR/repl.pw", SECTION_MYSQL },
		{ "probes =", "redis = { }; probes =", SECTION_REDIS },
		{ "port = 80;", "port = 80; interval = \"2s\";", SECTION_PROBES },
	};
	uint32_t base[SECTION_COUNT], now[SECTION_COUNT];

	sections_of(state, "N1", "N1", base);
	for (int i = 0; i < SECTION_COUNT; i++)
		assert_int_not_equal(base[i], 0);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		sections_of(state, rows[i].from, rows[i].to, now);
		for (int k = 0; k < SECTION_COUNT; k++)
			if ((base[k] != now[k]) != (k == (int)rows[i].section))
				fail_msg("row %zu: %s %s", i, conf_section_names[k],
					base[k] != now[k] ? "must not differ" : "must differ");
	}
}

static void digest_leaves_out_what_may_differ(void **state)
{
	static const char *const same[][2] = {
		{ "cluster = \"c\";\n", "/* a */ cluster = \"c\"; # b\n\n" },
		{ "DIR/mysql.pw", "DIR/copy.pw" },
		{ "DIR/cluster.key", "DIR/copy.key" },
		{ "on_event = \"\"", "on_event = \"/bin/true\"; timeout = \"1s\"" },
		{ "probes =", "http = { listen = \"127.0.0.1:1\"; }; probes =" },
		{ "manual = true", "lease = \"1s\"; enforce = \"nft\"; manual = true" }, /* defaults written out */
		{ "user = \"u\"", "max_lag = \"10000ms\"; port = 0xCEA; user = \"u\"" },
		{ "port = 80;", "port = 80; interval = \"1000ms\"; fall = 3; on_failure = \"weights\";" },
	};
	uint64_t base = digest_of(state, "N1", "N1");

	make_text(*state, "copy.pw", "mysql secret\n");
	make_text(*state, "copy.key", KEY_TEXT "\n");
	assert_int_not_equal(base, 0);
	for (size_t i = 0; i < ARRAY_LEN(same); i++)
		assert_int_equal(digest_of(state, same[i][0], same[i][1]), base);
}

/* --- keygen ------------------------------------------------------------------------------------------------------------- */

static void keygen(void **state)
{
	const struct place *p = *state;
	auto_free char *path = str_printf("%s/new.key", p->dir), *again = str_printf("%s/second.key", p->dir);
	auto_free char *deep = str_printf("%s/no/such/folder.key", p->dir);
	char one[128], two[128];
	struct err e = { "" };
	struct stat st;
	mode_t mask = umask(0);

	assert_int_equal(conf_keygen(path, &e), 0);
	umask(0777);
	assert_int_equal(conf_keygen(again, &e), 0);
	umask(mask);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(st.st_size, 65);
	assert_int_equal(stat(again, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(secret_read(path, one, sizeof(one), &e), 0);
	assert_int_equal(strspn(one, "0123456789abcdef"), 64);
	assert_int_equal(strlen(one), 64);
	assert_int_equal(secret_read(again, two, sizeof(two), &e), 0);
	assert_string_not_equal(one, two);
	assert_int_equal(conf_keygen(path, &e), -1);
	assert_non_null(strstr(e.text, "never overwritten"));
	assert_int_equal(secret_read(path, two, sizeof(two), &e), 0);
	assert_string_equal(one, two);
	assert_int_equal(conf_keygen(deep, &e), -1);
	assert_non_null(strstr(e.text, "No such file"));
}

static void keygens_key_is_taken(void **state)
{
	const struct place *p = *state;
	auto_free char *path = str_printf("%s/taken.key", p->dir);
	struct err e;
	uint8_t zero[32] = { 0 };
	auto_free char *text = replaced(pair_text, "cluster.key", "taken.key");
	struct told t;
	struct conf *c;
	auto_free char *a = replaced(text, "A1", "203.0.113.1"), *b = replaced(a, "A2", "203.0.113.2");

	assert_int_equal(conf_keygen(path, &e), 0);
	c = load_text(p, b, &t);
	assert_non_null(c);
	assert_memory_not_equal(c->key, zero, sizeof(zero));
	assert_string_equal(c->key_file, path);
	conf_free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(by_name),
		cmocka_unit_test(by_host),
		cmocka_unit_test(by_address_on_this_host),
		cmocka_unit_test(digest_covers_what_must_agree),
		cmocka_unit_test(a_section_differs_alone),
		cmocka_unit_test(digest_leaves_out_what_may_differ),
		cmocka_unit_test(keygen),
		cmocka_unit_test(keygens_key_is_taken),
	};

	return cmocka_run_group_tests(tests, place_setup, place_teardown);
}
