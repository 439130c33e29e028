/* `hactl events` over journals as disks leave them, and while it follows one that is rotated, truncated and removed. */
#include "hactl/cli/cli.h"

#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <cmocka.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

struct place {
	char dir[64], path[128], old[128];
};

static int setup(void **state)
{
	struct place *p = xcalloc(1, sizeof(*p));
	STR_COPY(p->dir, "/tmp/hactl-events-XXXXXX");
	assert_non_null(mkdtemp(p->dir));
	snprintf(p->path, sizeof(p->path), "%s/events.jsonl", p->dir);
	snprintf(p->old, sizeof(p->old), "%s/events.jsonl.1", p->dir);
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct place *p = *state;
	unlink(p->path);
	unlink(p->old);
	rmdir(p->dir);
	free(p);
	return 0;
}

static void append(const char *path, const char *text)
{
	auto_close int fd = open(path, O_WRONLY | O_APPEND | O_CREAT, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

static void event(const char *path, int i)
{
	auto_free char *line = str_printf(
		"{\"at\":\"2026-11-21T03:04:05.678Z\",\"level\":\"notice\",\"kind\":\"note\",\"text\":\"event %d\"}\n",
		i);
	append(path, line);
}

struct child {
	pid_t pid;
	int out;
};

/* cli_events in a process of its own: its stdout comes by a pipe. */
static void start(struct child *c, const struct place *p, const char *options)
{
	int fd[2];
	assert_int_equal(pipe(fd), 0);
	fflush(NULL);
	c->pid = fork();
	assert_true(c->pid >= 0);
	if (c->pid == 0) {
		char *argv[8] = { (char *)"events" }, *copy = xstrdup(options), *save = NULL;
		int argc = 1;
		for (char *w = strtok_r(copy, " ", &save); w && argc < 7; w = strtok_r(NULL, " ", &save))
			argv[argc++] = w;
		struct cli cli = { .state_dir = p->dir };
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		alarm(30); /* a bound on every wait for it */
		close(fd[0]);
		dup2(fd[1], STDOUT_FILENO);
		dup2(fd[1], STDERR_FILENO);
		close(fd[1]);
		int r = cli_events(&cli, argc, argv);
		free(copy);
		fflush(stdout);
		_exit(r);
	}
	close(fd[1]);
	c->out = fd[0];
}

static int finish(struct child *c)
{
	int status = -1;
	close(c->out);
	assert_int_equal(waitpid(c->pid, &status, 0), c->pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int run(const struct place *p, const char *options, char out[8192])
{
	struct child c;
	size_t n = 0;
	start(&c, p, options);
	for (ssize_t r; (r = read(c.out, out + n, 8191 - n)) > 0;)
		n += (size_t)r;
	out[n] = 0;
	return finish(&c);
}

static void expect_line(struct child *c, const char *part)
{
	char line[512];
	size_t n = 0;
	for (;;) {
		struct pollfd p = { .fd = c->out, .events = POLLIN };
		if (poll(&p, 1, 10000) != 1)
			fail_msg("no line with \"%s\" came", part);
		assert_int_equal(read(c->out, line + n, 1), 1);
		if (line[n] == '\n' || ++n == sizeof(line) - 1)
			break;
	}
	line[n] = 0;
	if (!strstr(line, part))
		fail_msg("got \"%s\", expected \"%s\"", line, part);
}

static void test_usage(void **state)
{
	static const char *const rows[] = { "-n", "-n 0", "-n -1", "-n 1x", "-n 99999999999999999999", "--what",
		"more" };
	char out[8192];
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (run(*state, rows[i], out) != EXIT_USAGE)
			fail_msg("%s: %s", rows[i], out);
}

static void test_none(void **state)
{
	char out[8192];
	assert_int_equal(run(*state, "", out), EXIT_REFUSED);
	assert_non_null(strstr(out, "cannot read the journal"));
}

static size_t count(const char *text, const char *part)
{
	size_t n = 0;
	for (; (text = strstr(text, part)); text++)
		n++;
	return n;
}

static void test_history(void **state)
{
	struct place *p = *state;
	char out[8192];
	for (int i = 1; i <= 6; i++)
		event(i <= 3 ? p->old : p->path, i);
	assert_int_equal(run(p, "", out), 0);
	assert_int_equal(count(out, "event"), 6);
	assert_true(strstr(out, "event 1") < strstr(out, "event 6"));
	assert_non_null(strstr(out, "2026-11-21 03:04:05.678Z  notice   note        event 4"));
	assert_int_equal(run(p, "-n 4", out), 0);
	assert_int_equal(count(out, "event"), 4);
	assert_null(strstr(out, "event 2"));
	assert_non_null(strstr(out, "event 3"));
	assert_int_equal(run(p, "--json -n 1", out), 0);
	assert_string_equal(out,
		"{\"at\":\"2026-11-21T03:04:05.678Z\",\"level\":\"notice\",\"kind\":\"note\",\"text\":\"event 6\"}\n");
	unlink(p->path); /* just rotated, nothing new yet */
	assert_int_equal(run(p, "", out), 0);
	assert_int_equal(count(out, "event"), 3);
}

static void test_damaged(void **state)
{
	struct place *p = *state;
	char out[8192];
	event(p->path, 1);
	append(p->path, "{\"text\":\"ha\n[1]\n\n\x01\x02\n");
	event(p->path, 2);
	append(p->path, "{\"text\":\"\\u001b[2J\"}\n");
	append(p->path, "{\"text\":\"to");
	assert_int_equal(run(p, "", out), 0);
	assert_int_equal(count(out, "event 1") + count(out, "event 2"), 2);
	assert_non_null(strstr(out, "3 damaged lines"));
	assert_null(strchr(out, '\033'));
	assert_null(strstr(out, "  to\n"));
}

static void test_change(void **state)
{
	struct place *p = *state;
	char out[8192];
	append(p->path, "{\"kind\":\"change\",\"text\":\"failover\",\"change\":{\"steps\":[{\"name\":\"mysql "
			"promote\",\"ms\":4.1,"
			"\"outcome\":\"ok\"},{\"name\":\"gate open\",\"ms\":null,\"outcome\":\"unknown\"}]}}\n");
	assert_int_equal(run(p, "", out), 0);
	assert_non_null(strstr(out, "mysql promote            4.1 ms  ok\n"));
	assert_non_null(strstr(out, "gate open"));
}

static void test_follow(void **state)
{
	struct place *p = *state;
	struct child c;
	for (int i = 1; i <= 12; i++)
		event(p->path, i);
	start(&c, p, "-f");
	expect_line(&c, "event 3"); /* the last ten */
	for (int i = 4; i <= 12; i++)
		expect_line(&c, "event");
	event(p->path, 13);
	expect_line(&c, "event 13");
	append(p->path, "{\"text\":\"in two ");
	append(p->path, "halves\"}\n");
	expect_line(&c, "in two halves");

	event(p->path, 14); /* still unread when the file moves aside */
	assert_int_equal(rename(p->path, p->old), 0);
	event(p->path, 15);
	expect_line(&c, "event 14");
	expect_line(&c, "event 15");

	append(p->path, "{\"text\":\"torn away");
	assert_int_equal(truncate(p->path, 0), 0);
	event(p->path, 1);
	expect_line(&c, "event 1");

	assert_int_equal(unlink(p->path), 0);
	event(p->path, 17);
	expect_line(&c, "event 17");
	kill(c.pid, SIGTERM);
	assert_int_equal(finish(&c), 128 + SIGTERM);
}

/* Before the first event there is no file; it waits for one. */
static void test_follow_nothing(void **state)
{
	struct place *p = *state;
	struct child c;
	start(&c, p, "-f -n 1");
	event(p->path, 1);
	expect_line(&c, "event 1");
	kill(c.pid, SIGTERM);
	assert_int_equal(finish(&c), 128 + SIGTERM);
}

/* It ends with its reader, even when no event ever comes again. */
static void test_follow_unread(void **state)
{
	struct place *p = *state;
	struct child c;
	event(p->path, 1);
	start(&c, p, "-f");
	expect_line(&c, "event 1");
	assert_int_equal(finish(&c), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_usage, setup, teardown),
		cmocka_unit_test_setup_teardown(test_none, setup, teardown),
		cmocka_unit_test_setup_teardown(test_history, setup, teardown),
		cmocka_unit_test_setup_teardown(test_damaged, setup, teardown),
		cmocka_unit_test_setup_teardown(test_change, setup, teardown),
		cmocka_unit_test_setup_teardown(test_follow, setup, teardown),
		cmocka_unit_test_setup_teardown(test_follow_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_follow_unread, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
