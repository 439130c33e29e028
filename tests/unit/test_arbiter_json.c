/* test_arbiter_json.c - the pure half of the arbiter: bodies out, answers in. Bad input first. */
#include "hactl/arbiter/etcd.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <jansson.h>
#include <openssl/evp.h>

#define HEAD                                                                                                           \
	"\"header\":{\"cluster_id\":\"14841639068965178418\",\"member_id\":\"1\",\"revision\":\"9\",\"raft_term\":"    \
	"\"3\"}"
#define GOOD                                                                                                           \
	"{\"version\":1,\"holder\":1,\"mode\":\"solo\",\"term\":\"18446744073709551615\",\"nonce\":"                   \
	"\"9007199254740993\","                                                                                        \
	"\"sync\":{\"in_sync\":true,\"standby\":0,\"boot\":\"18446744073709551614\",\"db_start\":\"-"                  \
	"9223372036854775808\","                                                                                       \
	"\"seq\":\"7\"}}"

static const struct reg_value good = { .holder = 1,
	.mode = REG_SOLO,
	.term = UINT64_MAX,
	.nonce = 9007199254740993u,
	.sync = { .in_sync = true, .standby = 0, .boot = UINT64_MAX - 1, .db_start = INT64_MIN, .seq = 7 } };

static char *coded(const char *text)
{
	char *out = xcalloc(1, strlen(text) * 2 + 8);

	EVP_EncodeBlock((unsigned char *)out, (const unsigned char *)text, (int)strlen(text));
	return out;
}

/* A read's answer with this entry. */
static char *entry(const char *value)
{
	auto_free char *c = coded(value);

	return str_printf(
		"{" HEAD ",\"kvs\":[{\"key\":\"eA==\",\"mod_revision\":\"8\",\"value\":\"%s\"}],\"count\":\"1\"}", c);
}

static void refused(const char *body, bool cas, const char *word)
{
	struct etcd_answer a = { .outcome = REG_LOST, .rev = 77, .raft_term = 78 }, before = a;
	struct err e = { "" };

	if (etcd_parse(body, strlen(body), cas, &a, &e) != -1 || !strstr(e.text, word))
		fail_msg("for %s: \"%s\" does not say \"%s\"", body, e.text, word);
	assert_memory_equal(&a, &before, sizeof a); /* untouched on failure */
}

static void answers_that_are_none(void **state)
{
	static const struct {
		const char *body;
		bool cas;
		const char *word;
	} bad[] = {
		{ "", false, "not etcd's" },
		{ "[]", false, "not etcd's" },
		{ "{", false, "not etcd's" },
		{ "{}", false, "no header" },
		{ "<html>nginx</html>", false, "not etcd's" },
		{ "{\"header\":7}", false, "no header" },
		{ "{\"header\":{}}", false, "no cluster id" },
		{ "{\"header\":{\"cluster_id\":\"1\",\"raft_term\":\"2\"}}", false, "revision" },
		{ "{\"header\":{\"cluster_id\":1,\"raft_term\":\"2\",\"revision\":\"3\"}}", false, "no cluster id" },
		{ "{\"header\":{\"cluster_id\":\"-1\",\"raft_term\":\"2\",\"revision\":\"3\"}}", false,
			"no cluster id" },
		{ "{\"header\":{\"cluster_id\":\"99999999999999999999\",\"raft_term\":\"2\",\"revision\":\"3\"}}",
			false, "no cluster id" },
		{ "{\"error\":\"etcdserver: request timed out\",\"message\":\"etcdserver: request timed "
		  "out\",\"code\":14}",
			true, "request timed out" },
		{ "{\"error\":\"a\\nb\"}", false, "a\\x0ab" },
		{ "{" HEAD ",\"kvs\":[{\"value\":\"eA==\"}]}", false, "without a revision" },
		{ "{" HEAD ",\"kvs\":[{\"mod_revision\":\"0\",\"value\":\"eA==\"}]}", false, "without a revision" },
		{ "{" HEAD ",\"kvs\":[7]}", false, "without a revision" },
		{ "{" HEAD ",\"kvs\":[{\"mod_revision\":\"4\",\"value\":\"e\"}]}", false, "base64" },
		{ "{" HEAD ",\"kvs\":[{\"mod_revision\":\"4\",\"value\":\"!!!!\"}]}", false, "base64" },
		{ "{" HEAD ",\"kvs\":[{\"mod_revision\":\"4\",\"value\":7}]}", false, "base64" },
		{ "{" HEAD ",\"kvs\":[{\"mod_revision\":\"4\"}]}", false, "not written by hactl" },
		{ "{" HEAD ",\"succeeded\":true}", true, "shows no put" },
		{ "{" HEAD ",\"succeeded\":true,\"responses\":[{\"response_range\":{}}]}", true, "shows no put" },
		{ "{" HEAD "}", true, "what stands" },
		{ "{" HEAD ",\"succeeded\":false,\"responses\":[{\"response_put\":{}}]}", true, "what stands" },
	};
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		refused(bad[i].body, bad[i].cas, bad[i].word);
}

static void entries_of_others(void **state)
{
	static const char *const bad[] = {
		"",
		"hello",
		"{}",
		"[1]",
		"{\"holder\":1}",
		"{\"version\":1,\"holder\":2,\"mode\":\"solo\",\"term\":\"1\",\"nonce\":\"1\",\"sync\":{\"in_sync\":"
		"false,\"standby\":-1,"
		"\"boot\":\"0\",\"db_start\":\"0\",\"seq\":\"0\"}}",
		"{\"version\":1,\"holder\":1,\"mode\":\"both\",\"term\":\"1\",\"nonce\":\"1\",\"sync\":{\"in_sync\":"
		"false,\"standby\":-1,"
		"\"boot\":\"0\",\"db_start\":\"0\",\"seq\":\"0\"}}",
		"{\"version\":1,\"holder\":1,\"mode\":\"solo\",\"term\":1,\"nonce\":\"1\",\"sync\":{\"in_sync\":false,"
		"\"standby\":-1,"
		"\"boot\":\"0\",\"db_start\":\"0\",\"seq\":\"0\"}}",
		"{\"version\":1,\"holder\":1,\"mode\":\"solo\",\"term\":\"1 "
		"\",\"nonce\":\"1\",\"sync\":{\"in_sync\":false,\"standby\":-1,"
		"\"boot\":\"0\",\"db_start\":\"0\",\"seq\":\"0\"}}",
		"{\"version\":1,\"holder\":1,\"mode\":\"solo\",\"term\":\"1\",\"nonce\":\"1\",\"sync\":{\"in_sync\":"
		"\"yes\",\"standby\":-1,"
		"\"boot\":\"0\",\"db_start\":\"0\",\"seq\":\"0\"}}",
		"{\"version\":1,\"holder\":1,\"mode\":\"solo\",\"term\":\"1\",\"nonce\":\"1\"}",
		GOOD "x",
	};
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		auto_free char *body = entry(bad[i]);

		refused(body, false, "not written by hactl");
	}
	auto_free char *newer = entry("{\"version\":2}");
	refused(newer, false, "version 2");
}

static void reads(void **state)
{
	static const char empty[] = "{" HEAD "}";
	auto_free char *body = entry(GOOD);
	struct etcd_answer a = { 0 };
	struct err e;
	(void)state;

	assert_int_equal(etcd_parse(body, strlen(body), false, &a, &e), 0);
	assert_int_equal(a.outcome, REG_OK);
	assert_int_equal(a.rev, 8);
	assert_int_equal(a.revision, 9);
	assert_true(a.cluster_id == 14841639068965178418u && a.raft_term == 3);
	assert_true(etcd_same_value(&a.value, &good));

	assert_int_equal(etcd_parse(empty, strlen(empty), false, &a, &e), 0);
	assert_int_equal(a.outcome, REG_OK);
	assert_int_equal(a.rev, 0);
}

static void swaps(void **state)
{
	static const char won[] =
		"{" HEAD ",\"succeeded\":true,\"responses\":[{\"response_put\":{\"header\":{\"revision\":\"9\"}}}]}";
	static const char gone[] = "{" HEAD ",\"responses\":[{\"response_range\":{\"header\":{\"revision\":\"9\"}}}]}";
	auto_free char *c = coded(GOOD);
	auto_free char *lost =
		str_printf("{" HEAD ",\"responses\":[{\"response_range\":{\"kvs\":[{\"mod_revision\":\"6\",\"value\":"
			   "\"%s\"}],\"count\":\"1\"}}]}",
			c);
	struct etcd_answer a = { 0 };
	struct err e;
	(void)state;

	assert_int_equal(etcd_parse(won, strlen(won), true, &a, &e), 0);
	assert_int_equal(a.outcome, REG_OK);
	assert_int_equal(a.rev, 9);
	assert_int_equal(etcd_parse(lost, strlen(lost), true, &a, &e), 0);
	assert_int_equal(a.outcome, REG_LOST);
	assert_int_equal(a.rev, 6);
	assert_true(etcd_same_value(&a.value, &good));
	assert_int_equal(etcd_parse(gone, strlen(gone), true, &a, &e), 0);
	assert_int_equal(a.outcome, REG_LOST);
	assert_int_equal(a.rev, 0);
}

static const char *text_at(json_t *j, const char *list, const char *a, const char *b)
{
	json_t *first = json_array_get(json_object_get(j, list), 0);

	return json_string_value(b ? json_object_get(json_object_get(first, a), b) : json_object_get(first, a));
}

static void bodies(void **state)
{
	auto_free char *read = etcd_read_body("/hactl/x/authority");
	auto_free char *swap = etcd_cas_body("k", INT64_MAX, &good);
	auto_free char *create = etcd_cas_body("k", 0, &good);
	json_t *j;
	unsigned char value[512] = { 0 };
	(void)state;

	assert_string_equal(read, "{\"key\":\"L2hhY3RsL3gvYXV0aG9yaXR5\"}");
	assert_null(strstr(read, "serializable"));
	j = json_loads(swap, 0, NULL);
	assert_non_null(j);
	assert_string_equal(text_at(j, "compare", "target", NULL), "MOD");
	assert_string_equal(text_at(j, "compare", "mod_revision", NULL), "9223372036854775807");
	assert_string_equal(text_at(j, "success", "request_put", "key"), "aw==");
	EVP_DecodeBlock(value, (const unsigned char *)text_at(j, "success", "request_put", "value"),
		(int)strlen(text_at(j, "success", "request_put", "value")));
	assert_string_equal((char *)value, GOOD);
	assert_string_equal(text_at(j, "failure", "request_range", "key"), "aw==");
	json_decref(j);
	j = json_loads(create, 0, NULL);
	assert_string_equal(text_at(j, "compare", "target", NULL), "CREATE");
	json_decref(j);
}

static void tokens(void **state)
{
	char token[8] = "old";
	struct err e;
	(void)state;

	assert_int_equal(etcd_parse_token("{}", 2, token, sizeof token, &e), -1);
	assert_int_equal(etcd_parse_token("x", 1, token, sizeof token, &e), -1);
	assert_int_equal(etcd_parse_token("{\"token\":\"12345678\"}", 20, token, sizeof token, &e), -1);
	assert_int_equal(etcd_parse_token("{\"token\":\"a\\r\\nb\"}", 18, token, sizeof token, &e), -1);
	assert_string_equal(token, "old");
	assert_int_equal(etcd_parse_token("{\"token\":\"1234567\"}", 19, token, sizeof token, &e), 0);
	assert_string_equal(token, "1234567");
	assert_null(etcd_auth_body("u", "\xff"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_that_are_none),
		cmocka_unit_test(entries_of_others),
		cmocka_unit_test(reads),
		cmocka_unit_test(swaps),
		cmocka_unit_test(bodies),
		cmocka_unit_test(tokens),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
