/* The commands against a socket that answers: what they ask, what they print, and their exit statuses. */
#include "hactl/cli/cli.h"
#include "hactl/control/control.h"

#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <cmocka.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

struct stage {
	char dir[64], socket[108], conf[108];
	pid_t pid;
	int quit;
};

/* --- the supervisor's part ----------------------------------------------------------------------------------------- */

static json_t *status_of(bool well)
{
	return json_pack("{s:s, s:s, s:s, s:s, s:{s:b}, s:{s:s, s:s, s:s}, s:{s:b, s:[s], s:s}}", "cluster", "hifate",
		"node", "n1", "role", "primary", "primary", "n1", "authority", "held", 1, "peer", "name", "n2", "state",
		"alive", "role", "standby", "failover", "ready", well, "blockers", "n2 is not in sync", "would_lose",
		"nothing");
}

/* Echoes what it was asked, so that a test sees the request. "to" says how it ends: "unknown" is 4, "refused" 1, "vanish" ends the
 * supervisor in the middle. */
static void on_command(void *arg, struct control_request *r, const char *cmd, json_t *args)
{
	const char *to = json_string_value(json_object_get(args, "to"));
	auto_free char *asked = json_dumps(args, JSON_COMPACT | JSON_SORT_KEYS);
	if (str_eq(cmd, "status")) {
		control_done(r, 0, json_pack("{s:o}", "status", status_of(true)), NULL);
		return;
	}
	if (str_eq(cmd, "is")) {
		control_done(r, !str_eq(json_string_value(json_object_get(args, "role")), "primary"), NULL, NULL);
		return;
	}
	if (to && !json_is_true(json_object_get(args, "dry_run")))
		control_progress(r,
			json_pack("{s:{s:s, s:f, s:s, s:s}}", "progress", "step", "mysql freeze", "ms", 3.14, "outcome",
				str_eq(to, "refused") ? "failed" : "ok", "text", str_eq(to, "refused") ? "1205" : ""));
	if (str_eq(to, "vanish"))
		loop_exit(arg, 0);
	else
		control_done(r, str_eq(to, "unknown") ? 4 : str_eq(to, "refused") ? 1 : 0, NULL, "%s", asked);
}

static void on_quit(void *arg, uint32_t events)
{
	(void)events;
	loop_exit(arg, 0);
}

static int serve(const char *path, int ready, int quit)
{
	struct err e;
	struct loop *l = loop_new(&e);
	struct control *c = l ? control_new(l, path, on_command, l, &e) : NULL;
	struct watch *w = c ? watch_new(l, quit, POLLIN, on_quit, l) : NULL;
	if (!w || write(ready, "r", 1) != 1)
		return 1;
	close(ready);
	loop_run(l);
	watch_free(w);
	control_free(c);
	loop_free(l);
	return 0;
}

static int setup(void **state)
{
	struct stage *s = xcalloc(1, sizeof(*s));
	int ready[2], quit[2];
	char c;
	STR_COPY(s->dir, "/tmp/hactl-cli-XXXXXX");
	assert_non_null(mkdtemp(s->dir));
	snprintf(s->socket, sizeof(s->socket), "%s/s", s->dir);
	snprintf(s->conf, sizeof(s->conf), "%s/hactl.conf", s->dir);
	assert_int_equal(pipe(ready), 0);
	assert_int_equal(pipe(quit), 0);
	fflush(NULL);
	s->pid = fork();
	assert_true(s->pid >= 0);
	if (s->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(ready[0]);
		close(quit[1]);
		_exit(serve(s->socket, ready[1], quit[0]));
	}
	close(ready[1]);
	close(quit[0]);
	s->quit = quit[1];
	assert_int_equal(read(ready[0], &c, 1), 1);
	close(ready[0]);
	*state = s;
	return 0;
}

static int teardown(void **state)
{
	struct stage *s = *state;
	close(s->quit);
	waitpid(s->pid, NULL, 0);
	unlink(s->socket);
	unlink(s->conf);
	rmdir(s->dir);
	free(s);
	return 0;
}

/* --- running a command ------------------------------------------------------------------------------------------------- */

static const struct cli_command table[] = { { .name = "status", .fn = cli_status },
	{ .name = "switchover", .fn = cli_switchover }, { .name = "switchback", .fn = cli_switchback },
	{ .name = "failover", .fn = cli_failover }, { .name = "pause", .fn = cli_pause },
	{ .name = "resume", .fn = cli_resume }, { .name = "rejoin", .fn = cli_rejoin }, { .name = "is", .fn = cli_is },
	{ .name = "notify", .fn = cli_notify }, { .name = "report", .fn = cli_later },
	{ .name = "check", .fn = cli_check }, { .name = "keygen", .fn = cli_keygen },
	{ .name = "probe", .fn = cli_probe }, { .name = "vip", .fn = cli_vip } };

static int in_child(const struct stage *s, const char *line)
{
	char *argv[12], *copy = xstrdup(line), *save = NULL;
	int argc = 0;
	for (char *w = strtok_r(copy, " ", &save); w && argc < 11; w = strtok_r(NULL, " ", &save))
		argv[argc++] = w;
	argv[argc] = NULL;
	struct cli c = { .conf = s->conf, .socket = s->socket, .state_dir = s->dir };
	const struct cli_command *command = cli_find(table, ARRAY_LEN(table), argv[0], NULL);
	return command ? command->fn(&c, argc, argv) : 99;
}

static int run(const struct stage *s, const char *line, char out[8192])
{
	int fd[2], status = -1;
	size_t n = 0;
	assert_int_equal(pipe(fd), 0);
	fflush(NULL);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(fd[1], STDOUT_FILENO);
		dup2(fd[1], STDERR_FILENO);
		int r = in_child(s, line);
		fflush(stdout);
		_exit(r);
	}
	close(fd[1]);
	for (ssize_t r; (r = read(fd[0], out + n, 8191 - n)) > 0;)
		n += (size_t)r;
	out[n] = 0;
	close(fd[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

struct row {
	const char *line;
	int exit;
	const char *part; /* of what it prints */
};

static void check(const struct stage *s, const struct row *rows, size_t n)
{
	char out[8192];
	for (size_t i = 0; i < n; i++) {
		int r = run(s, rows[i].line, out);
		if (r != rows[i].exit || !strstr(out, rows[i].part))
			fail_msg("%s: exit %d, %s", rows[i].line, r, out);
	}
}

static void test_usage(void **state)
{
	static const struct row rows[] = {
		{ "switchover n2", 2, "named with --to" },
		{ "switchover --timeout 5", 2, "no unit" },
		{ "switchover --timeout 2h", 2, "between 1ms and 1h" },
		{ "failover", 2, "without the other node's consent" },
		{ "failover --to n2", 2, "hactl failover --force --to n2" },
		{ "resume now", 2, "takes no now" },
		{ "rejoin now", 2, "takes no now" },
		{ "status n1", 2, "takes no n1" },
		{ "is", 2, "ask" },
		{ "is master", 2, "ask" },
		{ "is primary standby", 2, "ask" },
		{ "notify INSTANCE VI_1 MASTER", 2, "--source" },
		{ "notify --source corosync INSTANCE VI_1 MASTER", 2, "--source" },
		{ "notify --source keepalived INSTANCE VI_1", 2, "TYPE NAME STATE" },
		{ "notify --source keepalived INSTANCE VI_1 MASTER 1 2", 2, "TYPE NAME STATE" },
		{ "keygen", 2, "one file" },
		{ "vip", 2, "vip release" },
		{ "vip drop", 2, "vip release" },
		{ "check more", 2, "named with -c" },
		{ "report", 1, "not in this version" },
	};
	check(*state, rows, ARRAY_LEN(rows));
}

static void test_asks(void **state)
{
	static const struct row rows[] = {
		{ "switchover", 0,
			"{\"cmd\":\"switchover\",\"dry_run\":false,\"timeout_ms\":30000,\"to\":null,\"when_quiet\":"
			"false}" },
		{ "switchover --when-quiet", 0, "\"when_quiet\":true" },
		{ "switchover --to n2 --timeout 1500ms", 0, "\"timeout_ms\":1500,\"to\":\"n2\"" },
		{ "switchover --to n2", 0, "  mysql freeze               3.1 ms  ok\n" },
		{ "switchover --dry-run", 0, "\"dry_run\":true" },
		{ "switchover --to refused", 1, "failed: 1205" },
		{ "switchover --to unknown", 4, "\"to\":\"unknown\"" },
		{ "failover --force", 0, "{\"cmd\":\"failover\",\"force\":true,\"timeout_ms\":30000,\"to\":null}" },
		{ "failover --force", 0,
			"lost by taking over now: nothing\nnot done by itself, because: n2 is not in sync\n" },
		{ "failover --force --to n2 --timeout 5s", 0, "\"timeout_ms\":5000,\"to\":\"n2\"" },
		{ "pause", 0, "\"reason\":\"\"" },
		{ "pause new disk, 14:00", 0, "\"reason\":\"new disk, 14:00\"" },
		{ "resume", 0, "{\"cmd\":\"resume\"}" },
		{ "rejoin", 0, "\"discard\":false" },
		{ "rejoin --discard-divergent", 0, "\"discard\":true" },
		{ "notify --source keepalived INSTANCE VI_1 MASTER 150", 0, "" },
		{ "notify --source keepalived GROUP G FAULT", 0, "" },
		{ "is primary", 0, "" },
		{ "is standby", 1, "" },
		{ "status", 0, "hifate: n1 is primary" },
		{ "status --json", 0, "\n  \"cluster\": \"hifate\"" },
	};
	check(*state, rows, ARRAY_LEN(rows));
	char out[8192];
	assert_int_equal(run(*state, "notify --source keepalived INSTANCE VI_1 BACKUP 100", out), 0);
	assert_string_equal(out, ""); /* keepalived's scripts say nothing */
}

static void test_nobody(void **state)
{
	static const struct row rows[] = {
		{ "status", 3, "no supervisor answers" },
		{ "status --json", 3, "no supervisor answers" },
		{ "is primary", 3, "no supervisor answers" },
		{ "notify --source keepalived INSTANCE VI_1 MASTER 150", 3, "no supervisor answers" },
		{ "switchover", 3, "no supervisor answers" },
		{ "failover --force", 3, "no supervisor answers" },
		{ "pause", 3, "no supervisor answers" },
		{ "rejoin", 3, "no supervisor answers" },
	};
	struct stage none = *(struct stage *)*state;
	STR_COPY(none.socket, "/tmp/hactl-nobody-listens-here");
	check(&none, rows, ARRAY_LEN(rows));
}

/* The supervisor ends in the middle: what it has begun may be done. */
static void test_vanishes(void **state)
{
	static const struct row rows[] = { { "switchover --to vanish", 4, "the outcome is unknown" } };
	check(*state, rows, ARRAY_LEN(rows));
}

/* It listens and does not run: a question is answered by nobody, a change may still happen. */
static void test_frozen(void **state)
{
	static const struct row rows[] = {
		{ "notify --source keepalived INSTANCE VI_1 MASTER 150", 3, "in time" },
		{ "is primary", 3, "in time" },
	};
	struct stage *s = *state;
	assert_int_equal(kill(s->pid, SIGSTOP), 0);
	check(s, rows, ARRAY_LEN(rows));
	assert_int_equal(kill(s->pid, SIGCONT), 0);
}

static void write_conf(const struct stage *s, const char *prefer, const char *probes)
{
	auto_file FILE *f = fopen(s->conf, "w");
	assert_non_null(f);
	auto_free char *key = str_printf("%s/key", s->dir);
	struct err e;
	if (access(key, F_OK) != 0)
		assert_int_equal(conf_keygen(key, &e), 0);
	fprintf(f,
		"cluster = \"hifate\";\nnodes = ( { name = \"n1\"; address = \"127.0.0.1\"; },\n"
		"{ name = \"n2\"; address = \"127.0.0.2\"; %s } );\nheartbeat = { key_file = \"%s\"; };\n"
		"authority = { manual = true; };\n%s",
		prefer, key, probes);
}

static void test_conf(void **state)
{
	struct stage *s = *state;
	static const struct row none[] = {
		{ "check", 1, "hactl.conf:" },
		{ "switchback", 1, "mistake" },
		{ "probe", 1, "mistake" },
		{ "vip release", 1, "mistake" },
	};
	static const struct row nobody[] = {
		{ "check", 0, "no mistakes" },
		{ "switchback", 1, "no node is marked" },
		{ "probe", 0, "" },
		{ "probe web", 2, "no probe web" },
	};
	static const struct row some[] = {
		{ "switchback", 0, "\"to\":\"n2\"" },
		{ "switchback --dry-run --timeout 2s", 0, "\"dry_run\":true,\"timeout_ms\":2000,\"to\":\"n2\"" },
		{ "switchback --when-quiet", 0, "\"to\":\"n2\",\"when_quiet\":true" },
		{ "switchback --to n1", 1, "use `hactl switchover --to n1`" },
		{ "probe", 1, "up" },
		{ "probe yes", 0, "yes" },
		{ "probe no", 1, "down" },
		{ "probe yes none", 2, "no probe none" },
		{ "probe --json yes", 0, "\"state\": \"up\"" },
		{ "probe --json no", 1, "\"latency_ms\": null" },
	};
	check(s, none, ARRAY_LEN(none));
	write_conf(s, "", "");
	check(s, nobody, ARRAY_LEN(nobody));
	write_conf(s, "prefer = true;",
		"probes = ( { name = \"yes\"; type = \"exec\"; command = \"true\"; }, { name = \"no\"; type = "
		"\"exec\"; command = \"false\"; } );\n");
	check(s, some, ARRAY_LEN(some));

	auto_free char *key = str_printf("%s/key", s->dir), *again = str_printf("keygen %s", key);
	char out[8192];
	assert_int_equal(run(s, again, out), 1); /* never overwrites */
	unlink(key);
	assert_int_equal(run(s, again, out), 0);
	unlink(key);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_usage, setup, teardown),
		cmocka_unit_test_setup_teardown(test_asks, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nobody, setup, teardown),
		cmocka_unit_test_setup_teardown(test_vanishes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_frozen, setup, teardown),
		cmocka_unit_test_setup_teardown(test_conf, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
