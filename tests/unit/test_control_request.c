/* What may be asked over the socket: bad requests first, then what the supervisor gets of good ones. */
#include "hactl/control/control.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static void test_refused(void **state)
{
	static const struct {
		const char *line, *why;
	} rows[] = {
		{ "", "not JSON" },
		{ "{", "not JSON" },
		{ "{\"cmd\":\"status\"} x", "not JSON" },
		{ "{\"cmd\":\"status\",\"cmd\":\"resume\"}", "duplicate" },
		{ "\"status\"", "not JSON" },
		{ "{\"cmd\":\"pause\",\"reason\":\"a\\u0000b\"}", "not JSON" },
		{ "[]", "an object with" },
		{ "{}", "an object with" },
		{ "{\"cmd\":1}", "an object with" },
		{ "{\"cmd\":\"reboot\"}", "no command \"reboot\"" },
		{ "{\"cmd\":\"a\\u001b[2J\"}", "no command \"a\\x1b[2J\"" },
		{ "{\"cmd\":\"switchover\",\"to\":2}", "\"to\" must be a string" },
		{ "{\"cmd\":\"switchover\",\"to\":\"a\\nb\"}", "control character" },
		{ "{\"cmd\":\"switchover\",\"timeout_ms\":0}",
			"\"timeout_ms\" must be a whole number from 1 to 3600000" },
		{ "{\"cmd\":\"switchover\",\"timeout_ms\":3600001}", "whole number" },
		{ "{\"cmd\":\"switchover\",\"timeout_ms\":1.5}", "whole number" },
		{ "{\"cmd\":\"switchover\",\"timeout_ms\":\"30s\"}", "whole number" },
		{ "{\"cmd\":\"switchover\",\"dry_run\":1}", "\"dry_run\" must be true or false" },
		{ "{\"cmd\":\"failover\",\"force\":\"yes\"}", "true or false" },
		{ "{\"cmd\":\"pause\",\"reason\":[]}", "must be a string" },
		{ "{\"cmd\":\"is\"}", "\"role\" is missing" },
		{ "{\"cmd\":\"is\",\"role\":\"promoting\"}", "\"role\" must be \"primary\" or \"standby\"" },
		{ "{\"cmd\":\"notify\",\"source\":\"pacemaker\",\"type\":\"a\",\"name\":\"b\",\"state\":\"c\"}",
			"\"source\" must be \"keepalived\"" },
		{ "{\"cmd\":\"notify\",\"source\":\"keepalived\",\"type\":\"a\",\"name\":\"b\"}",
			"\"state\" is missing" },
		{ "{\"cmd\":\"notify\",\"source\":\"keepalived\",\"type\":\"a\",\"name\":\"b\",\"state\":\"c\","
		  "\"priority\":-1}",
			"whole number" },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err e = { "" };
		json_t *o = control_parse(rows[i].line, strlen(rows[i].line), &e);
		if (o || !strstr(e.text, rows[i].why))
			fail_msg("%s: %s, expected %s", rows[i].line, o ? "taken" : e.text, rows[i].why);
	}
}

static void test_too_long(void **state)
{
	(void)state;
	struct err e;
	size_t len = CONTROL_LINE_MAX + 1;
	auto_free char *line = xcalloc(1, len + 1);
	memset(line, ' ', len);
	memcpy(line, "{\"cmd\":\"status\"}", 16);
	json_t *o = control_parse(line, CONTROL_LINE_MAX, &e);
	assert_non_null(o);
	json_decref(o);
	assert_null(control_parse(line, len, &e));

	char reason[SENTENCE_MAX + 64];
	snprintf(reason, sizeof(reason), "{\"cmd\":\"pause\",\"reason\":\"%0*d\"}", SENTENCE_MAX, 0);
	assert_null(control_parse(reason, strlen(reason), &e));
	assert_non_null(strstr(e.text, "longer than 255 bytes"));
}

static void test_taken(void **state)
{
	static const struct {
		const char *line, *object;
	} rows[] = {
		{ "{\"cmd\":\"status\"}\r", "{\"cmd\":\"status\"}" },
		{ "{\"cmd\":\"switchover\"}", "{\"cmd\":\"switchover\",\"to\":null,\"timeout_ms\":30000,\"dry_run\":"
					      "false,\"when_quiet\":false}" },
		{ "{\"cmd\":\"switchover\",\"to\":\"n2\",\"timeout_ms\":5,\"dry_run\":true}",
			"{\"cmd\":\"switchover\",\"to\":\"n2\",\"timeout_ms\":5,\"dry_run\":true,\"when_quiet\":"
			"false}" },
		{ "{\"cmd\":\"failover\",\"to\":null}",
			"{\"cmd\":\"failover\",\"to\":null,\"timeout_ms\":30000,\"force\":false}" },
		{ "{\"cmd\":\"pause\"}", "{\"cmd\":\"pause\",\"reason\":\"\"}" },
		{ "{\"cmd\":\"pause\",\"reason\":\"Umbau \xc3\xbc\"}",
			"{\"cmd\":\"pause\",\"reason\":\"Umbau \xc3\xbc\"}" },
		{ "{\"cmd\":\"rejoin\"}", "{\"cmd\":\"rejoin\",\"discard\":false}" },
		{ "{\"cmd\":\"is\",\"role\":\"standby\"}", "{\"cmd\":\"is\",\"role\":\"standby\"}" },
		{ "{\"cmd\":\"notify\",\"source\":\"keepalived\",\"type\":\"INSTANCE\",\"name\":\"VI_1\",\"state\":"
		  "\"MASTER\","
		  "\"priority\":150}",
			"{\"cmd\":\"notify\",\"source\":\"keepalived\",\"type\":\"INSTANCE\",\"name\":\"VI_1\","
			"\"state\":\"MASTER\","
			"\"priority\":150}" },
		{ "{\"cmd\":\"notify\",\"source\":\"keepalived\",\"type\":\"GROUP\",\"name\":\"G\",\"state\":"
		  "\"FAULT\"}",
			"{\"cmd\":\"notify\",\"source\":\"keepalived\",\"type\":\"GROUP\",\"name\":\"G\",\"state\":"
			"\"FAULT\","
			"\"priority\":null}" },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err e = { "" };
		json_t *got = control_parse(rows[i].line, strlen(rows[i].line), &e),
		       *want = json_loads(rows[i].object, 0, NULL);
		assert_non_null(want);
		if (!got || !json_equal(got, want))
			fail_msg("%s: %s", rows[i].line, got ? "another object" : e.text);
		json_decref(got);
		json_decref(want);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_too_long),
		cmocka_unit_test(test_taken),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
