/* test_proc.c - commands that hactl starts: what they inherit, what they say, and their deadline. */
#include "hactl/base/base.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

#include <cmocka.h>

struct ended {
	struct loop *loop;
	struct proc_result r;
};

static void on_ended(void *arg, const struct proc_result *r)
{
	struct ended *x = arg;

	x->r = *r;
	loop_exit(x->loop, 0);
}

static struct proc_result run(const char *command, const char *input, us_t timeout)
{
	struct err e;
	struct ended x = { .loop = loop_new(&e) };

	assert_non_null(x.loop);
	assert_non_null(proc_start(x.loop, command, NULL, input, timeout, on_ended, &x, &e));
	loop_run(x.loop);
	loop_free(x.loop);
	return x.r;
}

static void status_output_and_input(void **state)
{
	struct proc_result r = run("cat; echo two >&2; exit 7", "one\n", 10 * US_PER_SEC);

	(void)state;
	assert_int_equal(r.status, 7);
	assert_false(r.timed_out);
	assert_non_null(strstr(r.output, "one"));
	assert_non_null(strstr(r.output, "two"));
}

static void ended_at_its_deadline(void **state)
{
	struct proc_result r = run("exec sleep 60", NULL, 50 * US_PER_MS);

	(void)state;
	assert_true(r.timed_out);
	assert_int_not_equal(r.status, 0);
}

/* Libraries open descriptors without FD_CLOEXEC. */
static void no_descriptor_is_inherited(void **state)
{
	int fd = fcntl(STDERR_FILENO, F_DUPFD, 50);
	char command[64];
	struct proc_result r;

	(void)state;
	assert_true(fd >= 50);
	snprintf(command, sizeof(command), "[ ! -e /proc/self/fd/%d ] && [ -e /proc/self/fd/2 ]", fd);
	r = run(command, NULL, 10 * US_PER_SEC);
	close(fd);
	assert_int_equal(r.status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(status_output_and_input),
		cmocka_unit_test(ended_at_its_deadline),
		cmocka_unit_test(no_descriptor_is_inherited),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
