/* test_config_safety.c - what `hactl check` and `hactl doctor` say of a configuration follows its authority and its numbers. */
#include "hactl/config/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <sys/socket.h>

#include <cmocka.h>

#define PROMISE (1125263 * (us_t)1)

static struct conf pair(enum conf_authority authority)
{
	struct conf c = {
		.authority = authority, .lease = US_PER_SEC, .heartbeat_interval = 100 * US_PER_MS, .n_vips = 1
	};

	c.arbiter.timeout = 300 * US_PER_MS;
	c.fence.timeout = 20 * US_PER_SEC;
	c.fence.delay = 5 * US_PER_SEC;
	c.node[0].mysql.present = c.node[1].mysql.present = true;
	return c;
}

/* The texts of all lines of a topic; "" when there is none. */
static const char *said(const struct conf *c, const char *topic)
{
	static char all[8192];
	struct conf_safety lines[CONF_SAFETY_LINES];
	size_t n = conf_safety(c, PROMISE,
		       c->authority == AUTHORITY_REFERENCE || c->authority == AUTHORITY_FENCE ? 4 * US_PER_SEC : 0,
		       lines),
	       len = 0;

	assert_in_range(n, 1, CONF_SAFETY_LINES);
	all[0] = '\0';
	for (size_t i = 0; i < n; i++) {
		assert_true(strlen(lines[i].text) < sizeof(lines[i].text) - 1); /* none was cut */
		if (str_eq(lines[i].topic, topic))
			str_add(all, sizeof(all), &len, "%s\n", lines[i].text);
	}
	return all;
}

#define SAYS(c, topic, part)                                                                                           \
	do {                                                                                                           \
		if (!strstr(said((c), (topic)), (part)))                                                               \
			fail_msg("%s: \"%s\" lacks \"%s\"", (topic), said((c), (topic)), (part));                      \
	} while (0)

static void test_every_authority(void **state)
{
	static const char *const words[AUTHORITY_COUNT][3] = {
		[AUTHORITY_ARBITER] = { "key is won", "one key, one winner", "of the arbiter at once" },
		[AUTHORITY_REFERENCE] = { "reference address answers", "cut off from everything", "both serve" },
		[AUTHORITY_FENCE] = { "power-off is confirmed", "tells the truth", "says off and is not" },
		[AUTHORITY_MANUAL] = { "nobody takes over on silence", "never stops the primary", "until you act" },
	};

	(void)state;
	for (int a = 0; a < AUTHORITY_COUNT; a++) {
		struct conf c = pair((enum conf_authority)a);

		SAYS(&c, "authority", words[a][0]);
		SAYS(&c, "safe against", words[a][1]);
		SAYS(&c, "not against", words[a][2]);
	}
}

static void test_numbers(void **state)
{
	struct conf c = pair(AUTHORITY_ARBITER);

	(void)state;
	SAYS(&c, "times", "lease (D) 1s: a primary that nobody confirms");
	SAYS(&c, "times", "promise (W) 1125ms");
	SAYS(&c, "detection", "1025ms to 1125ms");
	SAYS(&c, "failover", "about 1175ms after the primary's power is lost; up to 600ms more");
	SAYS(&c, "commits", "up to about 1800ms: 500ms to be sure, 1s to look at it, and the arbiter's record");
	c = pair(AUTHORITY_REFERENCE);
	SAYS(&c, "failover", "about 1375ms");
	c = pair(AUTHORITY_FENCE);
	SAYS(&c, "times", "renews it alone");
	SAYS(&c, "failover", "at most 20s");
	SAYS(&c, "failover", "5s more on the node that is not prefer");
	SAYS(&c, "commits", "up to about 5500ms: until it cannot take over by itself");
	c = pair(AUTHORITY_MANUAL);
	SAYS(&c, "commits", "up to about 1500ms: 500ms to be sure, 1s to look at it\n");
	SAYS(&c, "failover", "none by itself");
}

static void test_what_is_missing_is_said(void **state)
{
	struct conf c = pair(AUTHORITY_FENCE);

	(void)state;
	assert_null(strstr(said(&c, "not against"), "switch each other off"));
	c.fence.delay = 0;
	SAYS(&c, "not against", "switch each other off");
	SAYS(&c, "enforcement", "nft: the kernel shuts");
	c.enforce = ENFORCE_ADDRESS;
	SAYS(&c, "enforcement", "best effort");
	c.enforce = ENFORCE_NONE;
	SAYS(&c, "enforcement", "two nodes may then answer");
	c.n_vips = 0;
	SAYS(&c, "enforcement", "there is no virtual IP");
	c.node[0].mysql.semi_sync = SEMI_SYNC_OFF;
	SAYS(&c, "commits", "may lose what it had not received");
	c.node[0].mysql.max_unreceived = 9;
	SAYS(&c, "commits", "known to be more than 9 transactions, or not known");
	c.node[0].mysql.present = false;
	assert_string_equal(said(&c, "commits"), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_authority),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_what_is_missing_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
