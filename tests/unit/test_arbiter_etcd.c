/* test_arbiter_etcd.c - the arbiter against real etcd servers: they are started here, frozen, killed, wiped. */
#include "tests/unit/etcd_lab.h"

static void create_swap_lose(void **state)
{
	struct reg_value a = value_of(0, 1), b = value_of(1, 2), c = value_of(0, 3);
	struct etcd s;
	struct client x;
	int64_t first, second;
	(void)state;

	etcd_start(&s, 1);
	client_start(&x, &s);
	until_readable(&x);
	assert_int_equal(x.last.rev, 0);		 /* absent */
	assert_int_equal(swap_now(&x, 7, &a), REG_LOST); /* a compare that etcd ignored would win here */
	assert_int_equal(x.last.rev, 0);
	assert_int_equal(swap_now(&x, 0, &a), REG_OK);
	first = x.last.rev;
	assert_true(first > 0);
	assert_int_equal(swap_now(&x, 0, &b), REG_LOST); /* no second creation */
	assert_int_equal(x.last.rev, first);
	assert_true(etcd_same_value(&x.last.value, &a));
	assert_int_equal(swap_now(&x, first, &b), REG_OK);
	second = x.last.rev;
	assert_true(second > first);
	assert_int_equal(swap_now(&x, first, &c), REG_LOST);
	assert_int_equal(x.last.rev, second);
	assert_true(etcd_same_value(&x.last.value, &b));
	assert_int_equal(swap_now(&x, second, &c), REG_OK); /* the returned revision is good for the next swap */
	assert_int_equal(read_now(&x), REG_OK);
	assert_true(etcd_same_value(&x.last.value, &c));
	/* the same entry again is this attempt's own copy that arrived first */
	assert_int_equal(swap_now(&x, first, &c), REG_OK);
	assert_string_equal(arbiter_trouble(x.a), "");
	client_stop(&x);
	etcd_stop(&s);
}

static void one_wins(void **state)
{
	struct etcd s;
	struct client x, y;
	int64_t rev = 0;
	int x_wins = 0;
	(void)state;

	etcd_start(&s, 1);
	client_start(&x, &s);
	client_start(&y, &s);
	until_readable(&x);
	for (uint64_t i = 0; i < 300; i++) {
		struct reg_value a = value_of(0, 1000 + i), b = value_of(1, 5000 + i);
		struct client *won, *lost;

		x.last.done = y.last.done = false;
		arbiter_cas(i % 2 ? x.a : y.a, 3, rev, i % 2 ? &a : &b);
		arbiter_cas(i % 2 ? y.a : x.a, 3, rev, i % 2 ? &b : &a);
		await(&x);
		await(&y);
		assert_true((x.last.outcome == REG_OK) != (y.last.outcome == REG_OK));
		won = x.last.outcome == REG_OK ? &x : &y;
		lost = won == &x ? &y : &x;
		x_wins += won == &x;
		assert_int_equal(lost->last.outcome, REG_LOST);
		assert_int_equal(lost->last.rev, won->last.rev);
		assert_true(etcd_same_value(&lost->last.value, won == &x ? &a : &b));
		rev = won->last.rev;
	}
	assert_in_range(x_wins, 1, 299);
	client_stop(&x);
	client_stop(&y);
	etcd_stop(&s);
}

static void frozen_server(void **state)
{
	struct reg_value a = value_of(0, 1), b = value_of(1, 2), c = value_of(0, 3);
	struct etcd s;
	struct client x;
	(void)state;

	etcd_start(&s, 1);
	client_prepare(&x, &s);
	x.conf->arbiter.timeout = 500 * US_PER_MS;
	client_open(&x);
	until_readable(&x);
	assert_int_equal(swap_now(&x, 0, &a), REG_OK);
	int64_t rev = x.last.rev;
	freeze(&s.member[0]);
	assert_int_equal(swap_now(&x, rev, &b), REG_UNKNOWN);
	says(&x, "no answer within 500ms");
	assert_int_equal(read_now(&x), REG_UNKNOWN);
	thaw(&s.member[0]);
	for (int tries = 0;; tries++) { /* the frozen swap may come to pass between the read and the next swap */
		until_readable(&x);	/* settles it: ours or still the old one */
		assert_true(etcd_same_value(&x.last.value, &b) ? x.last.rev > rev : x.last.rev == rev);
		if (swap_now(&x, x.last.rev, &c) == REG_OK)
			break;
		assert_int_equal(x.last.outcome, REG_LOST);
		assert_true(etcd_same_value(&x.last.value, &b) && tries == 0);
	}
	client_stop(&x);
	etcd_stop(&s);
}

static void killed_and_restarted(void **state)
{
	struct reg_value a = value_of(0, 1), b = value_of(1, 2);
	struct etcd s;
	struct client x, y;
	int64_t rev;
	(void)state;

	etcd_start(&s, 1);
	client_start(&x, &s);
	client_start(&y, &s);
	until_readable(&x);
	assert_int_equal(swap_now(&x, 0, &a), REG_OK);
	rev = x.last.rev;
	member_kill(&s.member[0]);
	assert_int_equal(swap_now(&x, rev, &b), REG_UNKNOWN);
	assert_true(arbiter_trouble(x.a)[0] != '\0');
	member_start(&s, 0);
	until_readable(&y);
	assert_int_equal(swap_now(&x, rev, &b), REG_OK);
	/* a kept connection whose server went and came back within its idle time: noticed when used, and asked again at once */
	member_kill(&s.member[0]);
	member_start(&s, 0);
	until_readable(&y);
	assert_int_equal(read_now(&x), REG_OK);
	assert_true(etcd_same_value(&x.last.value, &b));
	client_stop(&x);
	client_stop(&y);
	etcd_stop(&s);
}

static void three_members(void **state)
{
	struct etcd s;
	struct client x;
	int64_t rev = 0;
	(void)state;

	etcd_start(&s, MEMBERS);
	client_start(&x, &s);
	until_readable(&x);
	/* three copies each: two of them lose to the first, and it is still a win */
	for (uint64_t i = 1; i <= 100; i++) {
		struct reg_value v = value_of((int)(i % 2), i);

		swap_settled(&x, &rev, &v);
	}
	for (int frozen = 0; frozen < MEMBERS; frozen++) { /* one of them leads: then after an election */
		struct reg_value v = value_of(0, 1000 + (uint64_t)frozen);

		freeze(&s.member[frozen]);
		until_readable(&x);
		assert_int_equal(x.last.rev, rev);
		swap_settled(&x, &rev, &v);
		thaw(&s.member[frozen]);
		until_readable(&x);
		assert_true(etcd_same_value(&x.last.value, &v));
		assert_int_equal(x.last.rev, rev); /* copies that the frozen member sends on late change nothing */
	}
	freeze(&s.member[0]);
	freeze(&s.member[1]);
	assert_int_equal(read_now(&x), REG_UNKNOWN); /* a minority knows nothing */
	thaw(&s.member[0]);
	thaw(&s.member[1]);
	until_readable(&x);
	client_stop(&x);
	etcd_stop(&s);
}

static void wipe_and_start(struct etcd *s, const char *token)
{
	auto_free char *wipe = str_printf("rm -rf %s/m0", s->dir);

	member_kill(&s->member[0]);
	run("/tmp", wipe);
	STR_COPY(s->token, token);
	member_start(s, 0);
}

static void other_history(void **state)
{
	struct reg_value a = value_of(0, 1), b = value_of(1, 2);
	struct etcd s;
	struct client x, y;
	uint64_t cluster;
	(void)state;

	etcd_start(&s, 1);
	client_start(&x, &s);
	until_readable(&x);
	assert_int_equal(swap_now(&x, 0, &a), REG_OK);
	assert_int_equal(swap_now(&x, x.last.rev, &b), REG_OK);
	cluster = arbiter_cluster(x.a);
	assert_true(cluster != 0);

	wipe_and_start(&s, "one"); /* same names, same id, nothing in it */
	client_start(&y, &s);
	until_readable(&y);
	assert_int_equal(arbiter_cluster(y.a), cluster);
	assert_int_equal(read_now(&x), REG_UNKNOWN);
	says(&x, "fell");
	assert_int_equal(swap_now(&x, 0, &a), REG_UNKNOWN);

	wipe_and_start(&s, "two"); /* another cluster */
	client_stop(&y);
	client_start(&y, &s);
	until_readable(&y);
	assert_true(arbiter_cluster(y.a) != cluster);
	assert_int_equal(read_now(&x), REG_UNKNOWN);
	says(&x, "another etcd cluster");
	arbiter_expect(y.a, cluster);
	assert_int_equal(read_now(&y), REG_UNKNOWN);
	says(&y, "another etcd cluster");
	client_stop(&x);
	client_stop(&y);
	etcd_stop(&s);
}

static void foreign_entry(void **state)
{
	struct reg_value a = value_of(0, 1);
	struct etcd s;
	struct client x;
	(void)state;

	etcd_start(&s, 1);
	client_start(&x, &s);
	until_readable(&x);
	assert_int_equal(etcdctl(&s, "put /hactl/test/authority '{\"leader\": \"someone\"}'"), 0);
	assert_int_equal(read_now(&x), REG_UNKNOWN);
	says(&x, "not written by hactl");
	assert_int_equal(swap_now(&x, 0, &a), REG_UNKNOWN);
	assert_int_equal(etcdctl(&s, "get /hactl/test/authority | grep -q someone"), 0);
	client_stop(&x);
	etcd_stop(&s);
}

static void with_users(void **state)
{
	struct reg_value a = value_of(0, 1), b = value_of(1, 2);
	struct etcd s;
	struct client x, y, z;
	(void)state;

	etcd_start(&s, 1);
	client_start(&x, &s); /* nobody */
	until_readable(&x);
	client_prepare(&y, &s);
	STR_COPY(y.conf->arbiter.user, "hactl");
	STR_COPY(y.conf->arbiter.password, "p\"w");
	client_open(&y);
	assert_int_equal(read_now(&y), REG_OK); /* a user where none is asked for does no harm */
	assert_int_equal(etcdctl(&s, "user add root:root"), 0);
	assert_int_equal(etcdctl(&s, "user add hactl:'p\"w'"), 0);
	assert_int_equal(etcdctl(&s, "role add r"), 0);
	assert_int_equal(etcdctl(&s, "role grant-permission r --prefix=true readwrite /hactl/test"), 0);
	assert_int_equal(etcdctl(&s, "user grant-role hactl r"), 0);
	assert_int_equal(etcdctl(&s, "auth enable"), 0);
	assert_int_equal(read_now(&x), REG_UNKNOWN);
	says(&x, "user name is empty");
	assert_int_equal(swap_now(&y, 0, &a), REG_OK);
	client_prepare(&z, &s);
	STR_COPY(z.conf->arbiter.user, "hactl");
	STR_COPY(z.conf->arbiter.password, "wrong");
	client_open(&z);
	assert_int_equal(read_now(&z), REG_UNKNOWN);
	says(&z, "authentication failed");

	int64_t rev = y.last.rev;
	member_kill(&s.member[0]); /* forgets its tokens */
	member_start(&s, 0);
	us_t until = now_us() + BOUND;
	while (read_now(&z), !strstr(arbiter_trouble(z.a), "authentication failed")) {
		assert_true(now_us() < until);
		pause_a_little();
	}
	assert_int_equal(swap_now(&y, rev, &b), REG_OK);
	rev = y.last.rev;
	assert_int_equal(etcdctl(&s, "--user root:root user add later:x"), 0); /* makes every token old */
	assert_int_equal(swap_now(&y, rev, &a), REG_OK);
	client_stop(&x);
	client_stop(&y);
	client_stop(&z);
	etcd_stop(&s);
}

static void with_certificates(void **state)
{
	struct reg_value a = value_of(0, 1);
	struct etcd s;
	struct client x, y;
	(void)state;

	etcd_prepare(&s, 1, true);
	auto_free char *make = str_printf(
		"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=hactl "
		"-addext subjectAltName=IP:127.0.0.1 -keyout %s/key.pem -out %s/cert.pem",
		s.dir, s.dir);
	assert_int_equal(run(s.dir, make), 0);
	member_start(&s, 0);
	client_prepare(&x, &s);
	snprintf(x.conf->arbiter.ca_file, sizeof x.conf->arbiter.ca_file, "%s/cert.pem", s.dir);
	snprintf(x.conf->arbiter.cert_file, sizeof x.conf->arbiter.cert_file, "%s/cert.pem", s.dir);
	snprintf(x.conf->arbiter.cert_key_file, sizeof x.conf->arbiter.cert_key_file, "%s/key.pem", s.dir);
	client_open(&x);
	until_readable(&x);
	assert_int_equal(swap_now(&x, 0, &a), REG_OK);
	client_prepare(&y, &s); /* trusts nobody we know */
	client_open(&y);
	assert_int_equal(read_now(&y), REG_UNKNOWN);
	says(&y, "certificate");
	client_stop(&y);
	client_prepare(&y, &s); /* shows no certificate of its own */
	snprintf(y.conf->arbiter.ca_file, sizeof y.conf->arbiter.ca_file, "%s/cert.pem", s.dir);
	client_open(&y);
	assert_int_equal(read_now(&y), REG_UNKNOWN);
	client_stop(&x);
	client_stop(&y);
	etcd_stop(&s);
}

static void nobody_there(void **state)
{
	struct etcd s;
	struct client x;
	(void)state;

	etcd_prepare(&s, 2, false);
	client_start(&x, &s);
	assert_int_equal(read_now(&x), REG_UNKNOWN);
	says(&x, "connect");
	STR_COPY(x.conf->arbiter.endpoint[0], "gopher://127.0.0.1:1"); /* not ours to speak */
	arbiter_free(x.a);
	x.conf->arbiter.n_endpoints = 1;
	client_open(&x);
	assert_int_equal(read_now(&x), REG_UNKNOWN);
	arbiter_read(x.a, 9); /* freed while under way: no answer, no leak */
	client_stop(&x);
	etcd_stop(&s);
}

static int open_loop(void **state)
{
	struct err e;
	(void)state;

	loop = loop_new(&e);
	return loop ? 0 : -1;
}

static int close_loop(void **state)
{
	(void)state;
	loop_free(loop);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nobody_there),
		cmocka_unit_test(create_swap_lose),
		cmocka_unit_test(one_wins),
		cmocka_unit_test(frozen_server),
		cmocka_unit_test(killed_and_restarted),
		cmocka_unit_test(three_members),
		cmocka_unit_test(other_history),
		cmocka_unit_test(foreign_entry),
		cmocka_unit_test(with_users),
		cmocka_unit_test(with_certificates),
	};

	return cmocka_run_group_tests(tests, open_loop, close_loop);
}
