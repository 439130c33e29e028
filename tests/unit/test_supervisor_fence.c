/* test_supervisor_fence.c - STEP_FENCE with real commands: only a confirmation is a success, and what a bad command does hurts nobody.
 * Nothing is pumped: what the core would be told waits in the queue. */
#include "hactl/supervisor/private.h"

#include <setjmp.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

struct bench {
	struct sup s;
	struct conf conf;
	char dir[64];
	struct timer *look, *bound;
	bool late;
};

static void on_look(void *arg, us_t now)
{
	struct bench *b = arg;

	timer_at(b->look, now + 5 * US_PER_MS);
	if (b->s.q_len)
		loop_exit(b->s.loop, 0);
}

static void on_bound(void *arg, us_t now)
{
	struct bench *b = arg;

	(void)now;
	b->late = true;
	loop_exit(b->s.loop, 0);
}

static int setup(void **state)
{
	struct bench *b = xcalloc(1, sizeof(*b));
	struct err e;

	STR_COPY(b->conf.cluster, "hifate");
	STR_COPY(b->conf.node[0].name, "n1");
	STR_COPY(b->conf.node[1].name, "n2");
	b->s.conf = &b->conf;
	b->s.me = 1;
	b->s.peer = 0;
	b->s.pumping = true;
	b->s.loop = loop_new(&e);
	assert_non_null(b->s.loop);
	STR_COPY(b->dir, "/tmp/hactl-fence-XXXXXX");
	assert_non_null(mkdtemp(b->dir));
	*state = b;
	return 0;
}

static int teardown(void **state)
{
	struct bench *b = *state;
	auto_free char *sweep = str_printf("rm -rf %s", b->dir);

	assert_int_equal(system(sweep), 0);
	loop_free(b->s.loop);
	free(b);
	return 0;
}

static void start(struct bench *b, us_t timeout, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static void start(struct bench *b, us_t timeout, const char *fmt, ...)
{
	struct core_action a = {
		.kind = ACT_STEP, .serial = 7, .step = STEP_FENCE, .timeout_us = timeout, .until = US_NEVER
	};
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(b->conf.fence.command, sizeof(b->conf.fence.command), fmt, ap);
	va_end(ap);
	steps_start(&b->s, &a);
}

/* The step's one answer. */
static const struct core_event *await(struct bench *b)
{
	const struct core_event *ev;

	b->look = timer_new(b->s.loop, on_look, b);
	b->bound = timer_new(b->s.loop, on_bound, b);
	timer_in(b->look, 0);
	timer_in(b->bound, 60 * US_PER_SEC);
	loop_run(b->s.loop);
	timer_free(b->look);
	timer_free(b->bound);
	assert_false(b->late);
	assert_int_equal(b->s.q_len, 1);
	ev = &b->s.queue[b->s.q_head].ev;
	assert_int_equal(ev->kind, EV_STEP);
	assert_int_equal(ev->step.serial, 7);
	for (size_t i = 0; i < MAX_RUNNING; i++)
		assert_false(b->s.running[i].used);
	return ev;
}

static const char *expect(struct bench *b, enum step_outcome outcome, const char *part)
{
	const struct core_event *ev = await(b);

	if (ev->step.outcome != outcome || !strstr(ev->step.text, part))
		fail_msg("outcome %d, text \"%s\"; wanted %d, \"%s\"", ev->step.outcome, ev->step.text, outcome, part);
	return ev->step.text;
}

static void test_output_is_no_confirmation(void **state)
{
	start(*state, 5 * US_PER_SEC, "echo off; echo 'Success: Powered OFF'; exit 1");
	expect(*state, STEP_FAILED, "status 1: n1 may still run: Success: Powered OFF");
}

static void test_not_there(void **state)
{
	start(*state, 5 * US_PER_SEC, "/nonexistent/fence_pdu");
	expect(*state, STEP_FAILED, "failed with status 127");
}

static void test_last_line_is_told(void **state)
{
	start(*state, 5 * US_PER_SEC, "echo trying; printf 'no answer from the PDU\\n' >&2; exit 1");
	expect(*state, STEP_FAILED, "may still run: no answer from the PDU");
}

static void test_says_off_but_is_on(void **state)
{
	start(*state, 2 * US_PER_SEC, "exit 0");
	expect(*state, STEP_FAILED, "its action=status says that it is on");
}

static void test_status_unknown_is_not_off(void **state)
{
	start(*state, 2 * US_PER_SEC, "grep -q action=off || { echo 'BMC busy'; exit 1; }");
	expect(*state, STEP_FAILED, "does not say so (status 1; 2 is off): BMC busy");
}

/* The command's children too: its whole group ends at the deadline. */
static void test_hangs(void **state)
{
	struct bench *b = *state;
	auto_free char *file = str_printf("%s/pid", b->dir);
	auto_free char *text = NULL;
	struct err e;

	start(b, 2 * US_PER_SEC, "sleep 600 & echo $! >%s; wait", file);
	expect(b, STEP_UNKNOWN, "(action=off) did not end in time");
	assert_int_equal(file_read(file, 64, &text, NULL, &e), 0);
	for (int i = 0; i < 2000 && kill(atoi(text), 0) == 0; i++) {
		auto_free char *path = str_printf("/proc/%d/stat", atoi(text));
		auto_free char *stat = NULL;

		if (file_read(path, 4096, &stat, NULL, &e) || strstr(stat, ") Z "))
			return; /* dead, and nobody has collected it here */
		usleep(5000);
		assert_true(i < 1999);
	}
}

static void test_status_hangs(void **state)
{
	start(*state, 2 * US_PER_SEC, "grep -q action=off || sleep 600");
	expect(*state, STEP_UNKNOWN, "(action=status) did not end in time");
}

static void test_garbage_output(void **state)
{
	start(*state, 5 * US_PER_SEC, "head -c 3000 /dev/urandom; printf '\\033[2J\\n'; exit 3");
	for (const char *p = expect(*state, STEP_FAILED, "failed with status 3"); *p; p++)
		assert_true(*p >= ' ' && *p < 127);
}

static void test_huge_output(void **state)
{
	start(*state, 30 * US_PER_SEC, "head -c 50000000 /dev/zero | tr '\\0' x; grep -q action=off || exit 2");
	expect(*state, STEP_OK, "n1 is off");
}

/* What reaches the command, in both calls, word for word. */
static void test_options(void **state)
{
	static const char want[] = "action=off\nnodename=n1\nport=n1\nplug=n1\n"
				   "action=status\nnodename=n1\nport=n1\nplug=n1\n";
	struct bench *b = *state;
	auto_free char *file = str_printf("%s/in", b->dir);
	auto_free char *text = NULL;
	struct err e;

	start(b, 5 * US_PER_SEC, "cat >%s/one; cat %s/one >>%s; grep -q action=off %s/one || exit 2", b->dir, b->dir,
		file, b->dir);
	expect(b, STEP_OK, "n1 is off, confirmed");
	assert_int_equal(file_read(file, 4096, &text, NULL, &e), 0);
	assert_string_equal(text, want);
}

static void test_environment(void **state)
{
	setenv("SECRET_OF_THE_PARENT", "1", 1);
	start(*state, 5 * US_PER_SEC,
		"test \"$HACTL_TARGET/$HACTL_NODE/$HACTL_CLUSTER/$SECRET_OF_THE_PARENT\" = n1/n2/hifate/ || exit 9; "
		"grep -q action=off || exit 2");
	expect(*state, STEP_OK, "n1 is off");
}

/* A device that takes a while: asked again until it says so. */
static void test_slow_device(void **state)
{
	struct bench *b = *state;

	start(b, 30 * US_PER_SEC, "grep -q action=off || { echo x >>%s/n; test $(wc -l <%s/n) -ge 3 && exit 2; }; true",
		b->dir, b->dir);
	expect(b, STEP_OK, "n1 is off");
}

static void test_cancelled(void **state)
{
	struct bench *b = *state;
	siginfo_t si = { 0 };

	start(b, 30 * US_PER_SEC, "sleep 600");
	steps_cancel(&b->s, 7);
	assert_int_equal(b->s.q_len, 0);
	assert_int_equal(waitid(P_ALL, 0, &si, WEXITED | WNOHANG), -1); /* it had one child, and has none */
}

/* Debian's own agent: state in a file, everything else as the real ones. */
static void test_debian_agent(void **state)
{
	struct bench *b = *state;
	auto_free char *file = str_printf("%s/power", b->dir);
	auto_free char *text = NULL;
	struct err e;

	if (access("/usr/sbin/fence_dummy", X_OK))
		skip(); /* tests/deps.sh installs it */
	assert_int_equal(file_replace(file, "on", 2, 0600, &e), 0);
	start(b, 30 * US_PER_SEC, "{ cat; echo status_file=%s; } | /usr/sbin/fence_dummy", file);
	expect(b, STEP_OK, "n1 is off, confirmed");
	assert_int_equal(file_read(file, 64, &text, NULL, &e), 0);
	assert_string_equal(text, "off");
}

static void test_debian_agent_fails(void **state)
{
	if (access("/usr/sbin/fence_dummy", X_OK))
		skip();
	start(*state, 30 * US_PER_SEC, "{ cat; echo type=fail; echo power_timeout=1; } | /usr/sbin/fence_dummy");
	expect(*state, STEP_FAILED, "n1 may still run");
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_output_is_no_confirmation),
		T(test_not_there),
		T(test_last_line_is_told),
		T(test_says_off_but_is_on),
		T(test_status_unknown_is_not_off),
		T(test_hangs),
		T(test_status_hangs),
		T(test_garbage_output),
		T(test_huge_output),
		T(test_options),
		T(test_environment),
		T(test_slow_device),
		T(test_cancelled),
		T(test_debian_agent),
		T(test_debian_agent_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
