/* test_probes.c - the pure part of the probes: rise and fall, statuses, gRPC frames. No server needed. */
#include "probes/grpc_frame.h"
#include "probes/run.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void names_are_whole(void **state)
{
	(void)state;
	for (int i = 0; i < PL_COUNT; i++)
		assert_non_null(probe_layer_names[i]);
}

static void rise_and_fall_are_haproxys(void **state)
{
	static const struct {
		int fall, rise, from;
		const char *results; /* '+' ok, '-' not */
		int health;
	} row[] = {
		{ 3, 2, 4, "-", 3 },
		{ 3, 2, 4, "--", 2 },
		{ 3, 2, 4, "---", 0 },
		{ 3, 2, 4, "--+", 4 },
		{ 3, 2, 4, "--+--", 2 },
		{ 3, 2, 0, "+", 1 },
		{ 3, 2, 0, "++", 4 },
		{ 3, 2, 0, "+-", 0 },
		{ 3, 2, 0, "+-+", 1 },
		{ 1, 1, 1, "-", 0 },
		{ 1, 1, 0, "+", 1 },
		{ 1, 1, 0, "-", 0 },
		{ 1, 3, 0, "++", 2 },
		{ 1, 3, 0, "+++", 3 },
		{ 1, 3, 3, "-", 0 },
		{ 5, 1, 5, "----", 1 },
		{ 5, 1, 5, "-----", 0 },
		{ 3, 2, 4, "++++", 4 },
		{ 3, 2, 0, "----", 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(row); i++) {
		int health = row[i].from;

		for (const char *r = row[i].results; *r; r++)
			health = health_next(health, *r == '+', row[i].fall, row[i].rise);
		if (health != row[i].health)
			fail_msg("row %zu (%s): health %d, not %d", i, row[i].results, health, row[i].health);
	}
}

static void statuses_are_matched(void **state)
{
	static const struct {
		const char *expect;
		long status;
		bool good, held;
	} row[] = {
		{ "", 200, false, false },
		{ "abc", 200, false, false },
		{ "20", 20, false, false },
		{ "2000", 200, false, false },
		{ "200-", 200, false, false },
		{ "-399", 200, false, false },
		{ "399-200", 200, false, false },
		{ "200,", 200, false, false },
		{ ",200", 200, false, false },
		{ "200 201", 200, false, false },
		{ "200-399-401", 200, false, false },
		{ "099", 99, false, false },
		{ "200", 200, true, true },
		{ "200", 201, true, false },
		{ "200-399", 200, true, true },
		{ "200-399", 399, true, true },
		{ "200-399", 400, true, false },
		{ "200-399", 199, true, false },
		{ "200-399,401", 401, true, true },
		{ "401,200-399", 302, true, true },
		{ "200,204,401", 204, true, true },
		{ "200-399,401", 500, true, false },
		{ "200-299,xyz", 200, false, false },
		{ "200", 0, true, false },
	};
	struct err e;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(row); i++) {
		if (http_status_expected(row[i].expect, row[i].status) != row[i].held)
			fail_msg("\"%s\" and %ld", row[i].expect, row[i].status);
		if ((http_expect_check(row[i].expect, &e) == 0) != row[i].good)
			fail_msg("\"%s\" is judged wrongly", row[i].expect);
	}
}

/* --- gRPC --------------------------------------------------------------------------------------------------------- */

static void grpc_request_is_exact(void **state)
{
	static const uint8_t any[] = { 0, 0, 0, 0, 0 }, one[] = { 0, 0, 0, 0, 6, 0x0a, 4, 'c', 'o', 'r', 'e' };
	uint8_t out[160];
	char name[129];

	(void)state;
	assert_int_equal(grpc_health_request("", out, sizeof(out)), sizeof(any));
	assert_memory_equal(out, any, sizeof(any));
	assert_int_equal(grpc_health_request("core", out, sizeof(out)), sizeof(one));
	assert_memory_equal(out, one, sizeof(one));
	assert_int_equal(grpc_health_request("core", out, sizeof(one) - 1), -1);
	memset(name, 'n', sizeof(name));
	name[128] = '\0';
	assert_int_equal(grpc_health_request(name, out, sizeof(out)), -1);
	name[127] = '\0';
	assert_int_equal(grpc_health_request(name, out, sizeof(out)), 5 + 2 + 127);
}

static void grpc_answers_are_judged(void **state)
{
	static const struct {
		const char *what, *says; /* says NULL: serving */
		size_t len;
		uint8_t body[32];
	} row[] = {
		{ "nothing", "0 bytes", 0, { 0 } },
		{ "half a prefix", "4 bytes", 4, { 0, 0, 0, 0 } },
		{ "compressed", "compressed", 7, { 1, 0, 0, 0, 2, 8, 1 } },
		{ "a byte too few", "says 2 bytes and has 1", 6, { 0, 0, 0, 0, 2, 8 } },
		{ "a byte too many", "says 2 bytes and has 3", 8, { 0, 0, 0, 0, 2, 8, 1, 0 } },
		{ "two frames", "says 2 bytes and has 9", 14, { 0, 0, 0, 0, 2, 8, 1, 0, 0, 0, 0, 2, 8, 1 } },
		{ "length of 4 GiB", "says 4294967295", 7, { 0, 255, 255, 255, 255, 8, 1 } },
		{ "tag without value", "no HealthCheckResponse", 6, { 0, 0, 0, 0, 1, 8 } },
		{ "endless varint", "no HealthCheckResponse", 17,
			{ 0, 0, 0, 0, 12, 8, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255 } },
		{ "field number 0", "no HealthCheckResponse", 7, { 0, 0, 0, 0, 2, 0, 1 } },
		{ "group", "no HealthCheckResponse", 7, { 0, 0, 0, 0, 2, 0x13, 1 } },
		{ "string over the end", "no HealthCheckResponse", 8, { 0, 0, 0, 0, 3, 0x12, 9, 1 } },
		{ "empty message", "UNKNOWN", 5, { 0, 0, 0, 0, 0 } },
		{ "unknown", "UNKNOWN", 7, { 0, 0, 0, 0, 2, 8, 0 } },
		{ "not serving", "NOT_SERVING", 7, { 0, 0, 0, 0, 2, 8, 2 } },
		{ "service unknown", "SERVICE_UNKNOWN", 7, { 0, 0, 0, 0, 2, 8, 3 } },
		{ "from the future", "unknown serving status", 7, { 0, 0, 0, 0, 2, 8, 9 } },
		{ "negative enum", "unknown serving status", 16,
			{ 0, 0, 0, 0, 11, 8, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1 } },
		{ "1 as a longer varint of 2^32 + 1", "unknown serving status", 11,
			{ 0, 0, 0, 0, 6, 8, 0x81, 0x80, 0x80, 0x80, 0x10 } },
		{ "the last counts", "NOT_SERVING", 9, { 0, 0, 0, 0, 4, 8, 1, 8, 2 } },
		{ "serving", NULL, 7, { 0, 0, 0, 0, 2, 8, 1 } },
		{ "serving, the last counts", NULL, 9, { 0, 0, 0, 0, 4, 8, 2, 8, 1 } },
		{ "serving, with fields of a later version", NULL, 28,
			{ 0, 0, 0, 0, 23, 0x12, 2, 'h', 'i', 0x18, 0x80, 1, 8, 1, 0x25, 1, 2, 3, 4, 0x29, 1, 2, 3, 4, 5,
				6, 7, 8 } },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(row); i++) {
		struct err e = { "" };
		uint8_t *exact = malloc(row[i].len ? row[i].len : 1); /* so that the sanitizer sees a byte too far */

		memcpy(exact, row[i].body, row[i].len);
		int r = grpc_health_parse(exact, row[i].len, &e);
		free(exact);
		if ((r == 0) != (row[i].says == NULL) || (row[i].says && !strstr(e.text, row[i].says)))
			fail_msg("%s: %d \"%s\"", row[i].what, r, e.text);
	}
}

static void grpc_names_never_run_out(void **state)
{
	(void)state;
	assert_string_equal(grpc_code_name(12), "UNIMPLEMENTED");
	assert_string_equal(grpc_code_name(16), "UNAUTHENTICATED");
	assert_non_null(grpc_code_name(17));
	assert_non_null(grpc_code_name(-1));
	assert_non_null(grpc_code_name(INT32_MAX));
	assert_non_null(grpc_health_name(-1));
}

/* --- standing ----------------------------------------------------------------------------------------------------- */

struct step {
	enum probe_layer layer;
	int state, health;
	us_t pause;
};

static void play(const char *what, us_t interval, int fall, int rise, const struct step *step, size_t n)
{
	struct probe_spec spec = { .interval = interval, .timeout = 1, .fall = fall, .rise = rise };
	struct probe_state s = { .spec = &spec };
	us_t changed = 0;

	for (size_t i = 0; i < n; i++) {
		struct probe_result r = { .ok = step[i].layer == PL_OK, .layer = step[i].layer };
		int was = (int)s.state;
		us_t now = 1000 + (us_t)i, pause = state_take(&s, &r, now);

		if ((int)s.state != step[i].state || s.health != step[i].health || pause != step[i].pause)
			fail_msg("%s, step %zu: state %d health %d pause %lld", what, i, (int)s.state, s.health,
				(long long)pause);
		changed = (int)s.state != was ? now : changed;
		assert_int_equal(s.changed_at, changed);
		assert_int_equal(s.checked_at, now);
		assert_int_equal(s.last.layer, r.layer);
	}
}
#define PLAY(what, interval, fall, rise, steps) play(what, interval, fall, rise, steps, ARRAY_LEN(steps))

static void suspicion_asks_faster(void **state)
{
	static const us_t s = US_PER_SEC, ms = US_PER_MS;
	static const struct step timeouts[] = {
		{ PL_OK, PS_UP, 4, 1000000 },
		{ PL_TIMEOUT, PS_UP, 3, 250000 },
		{ PL_TIMEOUT, PS_UP, 2, 250000 },
		{ PL_TIMEOUT, PS_DOWN, 0, 1000000 },
		{ PL_TIMEOUT, PS_DOWN, 0, 1000000 },
		{ PL_OK, PS_DOWN, 1, 1000000 },
		{ PL_OK, PS_UP, 4, 1000000 },
	};
	static const struct step refused[] = {
		{ PL_OK, PS_UP, 4, 1000000 },
		{ PL_REFUSED, PS_UP, 3, 0 },
		{ PL_REFUSED, PS_UP, 2, 250000 },
		{ PL_REFUSED, PS_DOWN, 0, 1000000 },
		{ PL_REFUSED, PS_DOWN, 0, 1000000 },
		{ PL_STATUS, PS_DOWN, 0, 1000000 },
		{ PL_REFUSED, PS_DOWN, 0, 0 },
		{ PL_REFUSED, PS_DOWN, 0, 1000000 },
	};
	static const struct step floor_of_50[] = { { PL_OK, PS_UP, 3, 100000 }, { PL_STATUS, PS_UP, 2, 50000 } };
	static const struct step no_slower[] = { { PL_OK, PS_UP, 3, 20000 }, { PL_STATUS, PS_UP, 2, 20000 } };
	static const struct step first_bad[] = { { PL_REFUSED, PS_DOWN, 0, 1000000 }, { PL_OK, PS_DOWN, 1, 1000000 },
		{ PL_OK, PS_UP, 4, 1000000 } };
	static const struct step healed[] = { { PL_OK, PS_UP, 4, 1000000 }, { PL_TIMEOUT, PS_UP, 3, 250000 },
		{ PL_OK, PS_UP, 4, 1000000 } };

	(void)state;
	PLAY("silence", s, 3, 2, timeouts);
	PLAY("refusal", s, 3, 2, refused);
	PLAY("not below 50 ms", 100 * ms, 3, 1, floor_of_50);
	PLAY("never slower than the interval", 20 * ms, 3, 1, no_slower);
	PLAY("down from the first", s, 3, 2, first_bad);
	PLAY("one success ends suspicion", s, 3, 2, healed);
}

/* --- specs that cannot work --------------------------------------------------------------------------------------- */

static void never(void *arg, const struct probe_result *r)
{
	(void)arg;
	(void)r;
	fail_msg("a refused spec was probed");
}

#define GOOD .name = "p", .host = "127.0.0.1", .port = 80, .interval = 1, .timeout = 1, .fall = 1, .rise = 1

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Woverride-init" /* a good spec, and then what is wrong with it */
static const struct {
	const char *says;
	struct probe_spec spec;
} impossible[] = {
	{ "no such type", { GOOD, .kind = PK_COUNT } },
	{ "interval", { GOOD, .interval = 0 } },
	{ "timeout", { GOOD, .timeout = -1 } },
	{ "rise and fall", { GOOD, .rise = 0 } },
	{ "rise and fall", { GOOD, .fall = 0 } },
	{ "port", { GOOD, .kind = PK_HTTP, .port = 0 } },
	{ "port", { GOOD, .kind = PK_HTTP, .port = 65536 } },
	{ "address", { GOOD, .kind = PK_HTTP, .host = "" } },
	{ "begin with /", { GOOD, .kind = PK_HTTP, .path = "health" } },
	{ "no URL", { GOOD, .kind = PK_HTTP, .path = "/a b" } },
	{ "no URL", { GOOD, .kind = PK_HTTP, .host_header = "a b" } },
	{ "statuses", { GOOD, .kind = PK_HTTP, .expect = "ok" } },
	{ "port", { GOOD, .kind = PK_GRPC, .port = -1 } },
	{ "port", { GOOD, .kind = PK_TCP, .port = 0 } },
	{ "numeric", { GOOD, .kind = PK_REDIS, .host = "redis.example" } },
	{ "TLS", { GOOD, .kind = PK_REDIS, .tls = true } },
	{ "numeric", { GOOD, .kind = PK_MYSQL, .host = "db.example" } },
	{ "command", { GOOD, .kind = PK_EXEC } },
};
#pragma GCC diagnostic pop

static void impossible_specs_are_refused(void **state)
{
	struct loop *l = loop_new(NULL);
	struct err e;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(impossible); i++) {
		e.text[0] = '\0';
		assert_int_equal(probe_once(l, &impossible[i].spec, never, NULL, &e), -1);
		if (!strstr(e.text, impossible[i].says) || !strstr(e.text, "probe \"p\""))
			fail_msg("row %zu: \"%s\" does not say %s", i, e.text, impossible[i].says);
		assert_null(prober_new(l, &impossible[i].spec, 1, NULL, NULL, &e));
	}
	loop_free(l);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(names_are_whole),
	cmocka_unit_test(rise_and_fall_are_haproxys),
	cmocka_unit_test(statuses_are_matched),
	cmocka_unit_test(grpc_request_is_exact),
	cmocka_unit_test(grpc_answers_are_judged),
	cmocka_unit_test(grpc_names_never_run_out),
	cmocka_unit_test(suspicion_asks_faster),
	cmocka_unit_test(impossible_specs_are_refused),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
