/* test_probes_sched.c - when the prober asks, on real sockets. Intervals of an hour make every early probe a decision of its
 * own: a result that comes at all comes for the reason under test.
 */
#include "tests/unit/probe_lab.h"

#include <dirent.h>

static const us_t hour = 3600 * US_PER_SEC;

struct seen {
	struct prober *prober;
	int results, changes, hurry_in, free_in; /* hurry_in, free_in: act within that many-th result */
	int last_was;
	struct probe_state last;
};

static void on_state(void *arg, size_t i, const struct probe_state *s, int was)
{
	struct seen *v = arg;

	v->results++;
	v->changes += (int)s->state != was;
	v->last_was = was;
	v->last = *s;
	if (v->results == v->hurry_in)
		prober_hurry(v->prober, i);
	if (v->results == v->free_in) {
		prober_free(v->prober);
		v->prober = NULL;
	}
}

static void wait_results(struct seen *v, int n)
{
	us_t until = now_us() + LAB_BOUND;

	while (v->results < n) {
		if (now_us() > until)
			fail_msg("%d results, not %d", v->results, n);
		lab_turn();
	}
}

/* Lets everything that is due happen: the loop has nothing to do for a tenth of a second. */
static void quiet(void)
{
	while (sd_event_run(loop_sd(lab.loop), 100000) > 0)
		;
}

static int listen_on(int port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	a.sin_port = htons((uint16_t)port);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&a, sizeof(a)) || listen(fd, 64))
		fail_msg("listen on %d: %s", port, strerror(errno));
	return fd;
}

static struct prober *begin(struct seen *v, const struct probe_spec *s, size_t n)
{
	struct err e;

	v->prober = prober_new(lab.loop, s, n, on_state, v, &e);
	if (!v->prober)
		fail_msg("%s", e.text);
	assert_int_equal(v->results, 0);
	return v->prober;
}

static struct probe_spec hourly(int port, int fall, int rise)
{
	struct probe_spec s = lab_spec(PK_TCP, port);

	s.interval = hour;
	s.fall = fall;
	s.rise = rise;
	return s;
}

static void first_result_decides(void **state)
{
	int port = lab_free_port(), fd = listen_on(port);
	struct probe_spec two[] = { hourly(port, 5, 5), hourly(lab_free_port(), 5, 5) };
	struct seen v = { 0 };

	(void)state;
	two[1].node = 1;
	struct prober *p = begin(&v, two, 2);
	assert_int_equal(prober_count(p), 2);
	assert_int_equal(prober_look(p, 0)->state, PS_UNKNOWN);
	wait_results(&v, 2);
	assert_int_equal(prober_look(p, 0)->state, PS_UP);
	assert_int_equal(prober_look(p, 1)->state, PS_DOWN);
	assert_int_equal(prober_look(p, 1)->spec->node, 1);
	assert_int_equal(v.last_was, PS_UNKNOWN);
	assert_true(prober_look(p, 0)->changed_at > 0);
	quiet();
	assert_int_equal(v.results, 2); /* a first refusal is no news of a server that spoke: nothing to confirm */
	prober_free(p);
	close(fd);
}

static void refusal_is_confirmed_at_once(void **state)
{
	int port = lab_free_port(), fd = listen_on(port);
	struct probe_spec s = hourly(port, 2, 1);
	struct seen v = { 0 };

	(void)state;
	struct prober *p = begin(&v, &s, 1);
	wait_results(&v, 1);
	close(fd);
	prober_hurry(p, 0);
	wait_results(&v, 3); /* the one we asked for, and its confirmation, an hour early */
	assert_int_equal(v.last.state, PS_DOWN);
	quiet();
	assert_int_equal(v.results, 3);

	fd = listen_on(port);
	prober_hurry(p, 0);
	wait_results(&v, 4);
	assert_int_equal(v.last.state, PS_UP);
	assert_int_equal(v.changes, 3);
	prober_free(p);
	close(fd);
}

static void suspicion_goes_on_by_itself(void **state)
{
	int port = lab_free_port(), fd = listen_on(port);
	struct probe_spec s = hourly(port, 4, 1);
	struct seen v = { 0 };

	(void)state;
	s.interval = US_PER_SEC;
	struct prober *p = begin(&v, &s, 1);
	wait_results(&v, 1);
	close(fd);
	while (v.results < 60 && v.last.state == PS_UP)
		wait_results(&v, v.results + 1);
	assert_int_equal(v.last.state, PS_DOWN);
	assert_int_equal(v.last.health, 0);
	prober_free(p);
}

static void news_during_a_probe_asks_again(void **state)
{
	int port = lab_free_port(), fd = listen_on(port);
	struct probe_spec s = hourly(port, 2, 1);
	struct seen v = { .hurry_in = 3 };

	(void)state;
	s.kind = PK_REDIS; /* a silent server keeps the probe in flight */
	s.timeout = 200 * US_PER_MS;
	struct prober *p = begin(&v, &s, 1);
	lab_turn();
	prober_hurry(p, 0);
	prober_hurry(p, 0);
	wait_results(&v, 2);
	assert_int_equal(v.last.last.layer, PL_TIMEOUT);
	quiet();
	assert_int_equal(v.results, 2); /* once, however often it was asked for */
	prober_hurry(p, 0);
	wait_results(&v, 4); /* the third asked from within its own result */
	prober_free(p);
	close(fd);
}

static void one_probe_of_a_spec_at_a_time(void **state)
{
	struct probe_spec s = lab_spec(PK_EXEC, 80);
	auto_free char *bad = str_printf("%s/overlap", lab.dir);
	struct seen v = { 0 };

	(void)state;
	s.interval = US_PER_MS;
	snprintf(s.command, sizeof(s.command),
		"mkdir %s/lock || touch %s; ls -R /usr/include >/dev/null 2>&1; rmdir %s/lock", lab.dir, bad, lab.dir);
	struct prober *p = begin(&v, &s, 1);
	for (int i = 1; i <= 10; i++) {
		wait_results(&v, i);
		prober_hurry(p, 0);
	}
	assert_int_equal(v.last.state, PS_UP);
	prober_free(p);
	assert_int_equal(access(bad, F_OK), -1);
}

static int open_descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static void free_cancels_everything(void **state)
{
	static const enum probe_kind kind[] = { PK_HTTP, PK_HTTPS, PK_GRPC, PK_REDIS, PK_EXEC, PK_TCP };
	int port = lab_free_port(), fd = listen_on(port);
	struct probe_spec s[ARRAY_LEN(kind)];
	struct seen v = { 0 };

	(void)state;
	for (int round = 0, before = 0; round < 3; round++) {
		for (size_t i = 0; i < ARRAY_LEN(kind); i++) {
			s[i] = hourly(port, 1, 1);
			s[i].kind = kind[i];
			STR_COPY(s[i].command, "tail -f /dev/null");
		}
		struct prober *p = begin(&(struct seen){ 0 }, s, ARRAY_LEN(kind));
		prober_free(p); /* before the first */
		v.results = 0;
		p = begin(&v, s, ARRAY_LEN(kind));
		wait_results(&v, 1); /* tcp connects, the last to start: all the others hang by now */
		assert_int_equal(v.last.spec->kind, PK_TCP);
		prober_free(p);
		quiet();
		assert_int_equal(v.results, 1);
		if (round == 0)
			before = open_descriptors(); /* libcurl has opened what it keeps */
		else
			assert_int_equal(open_descriptors(), before);
	}
	close(fd);
}

static void a_result_may_end_the_prober(void **state)
{
	static const enum probe_kind kind[] = { PK_HTTP, PK_GRPC, PK_REDIS, PK_EXEC, PK_TCP };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(kind); i++) {
		struct probe_spec s = hourly(lab_free_port(), 1, 1);
		struct seen v = { .free_in = 1 };

		s.kind = kind[i];
		STR_COPY(s.command, "true");
		begin(&v, &s, 1);
		wait_results(&v, 1);
		assert_null(v.prober);
	}
	quiet();
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(first_result_decides),
	cmocka_unit_test(refusal_is_confirmed_at_once),
	cmocka_unit_test(suspicion_goes_on_by_itself),
	cmocka_unit_test(news_during_a_probe_asks_again),
	cmocka_unit_test(one_probe_of_a_spec_at_a_time),
	cmocka_unit_test(free_cancels_everything),
	cmocka_unit_test(a_result_may_end_the_prober),
};

int main(void)
{
	return cmocka_run_group_tests(tests, lab_setup, lab_teardown);
}
