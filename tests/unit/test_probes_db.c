/* test_probes_db.c - probes of real databases (redis-server, mariadbd) and of commands. The helper of sqlproc is this very program. */
#include "tests/unit/probe_lab.h"

#include <poll.h>

static const us_t never_answers = 300 * US_PER_MS;
static pid_t redis_open, redis_locked, mariadb;
static int redis_open_port, redis_locked_port, mariadb_port;

static pid_t start_redis(int port, const char *extra, const char *value)
{
	char number[16];
	char *argv[] = { (char *)"/usr/bin/redis-server", (char *)"--port", number, (char *)"--bind",
		(char *)"127.0.0.1", (char *)"--save", (char *)"", (char *)"--appendonly", (char *)"no",
		(char *)"--dir", lab.dir, (char *)(uintptr_t)extra, (char *)(uintptr_t)value, NULL };

	snprintf(number, sizeof(number), "%d", port);
	return lab_spawn(argv, -1, -1);
}

static void start_mariadb(void)
{
	auto_free char *install = str_printf("mariadb-install-db --no-defaults --user=root --datadir=%s/db "
					     "--auth-root-authentication-method=normal --skip-test-db >/dev/null 2>&1",
		lab.dir);
	char data[128], sock[128], pid[128], port[32], *init;

	lab_run(install);
	auto_free char *sql = str_printf("%s/init.sql", lab.dir);
	FILE *f = fopen(sql, "w");
	fputs("CREATE USER prober@'%' IDENTIFIED BY 'right';\n", f);
	fclose(f);
	init = str_printf("--init-file=%s", sql);
	mariadb_port = lab_free_port();
	snprintf(data, sizeof(data), "--datadir=%s/db", lab.dir);
	snprintf(sock, sizeof(sock), "--socket=%s/db.sock", lab.dir);
	snprintf(pid, sizeof(pid), "--pid-file=%s/db.pid", lab.dir);
	snprintf(port, sizeof(port), "--port=%d", mariadb_port);
	char *argv[] = { (char *)"/usr/sbin/mariadbd", (char *)"--no-defaults", (char *)"--user=root", data, sock, pid,
		port, init, (char *)"--bind-address=127.0.0.1", (char *)"--skip-log-bin",
		(char *)"--innodb-flush-log-at-trx-commit=0", (char *)"--innodb-buffer-pool-size=16M", NULL };
	mariadb = lab_spawn(argv, -1, -1);
	free(init);
}

static struct probe_spec mysql_spec(const char *password)
{
	struct probe_spec s = lab_spec(PK_MYSQL, mariadb_port);

	STR_COPY(s.user, "prober");
	STR_COPY(s.password, password);
	return s;
}

static int setup(void **state)
{
	lab_setup(state);
	start_mariadb();
	redis_open_port = lab_free_port();
	redis_open = start_redis(redis_open_port, NULL, NULL);
	struct probe_spec s = lab_spec(PK_TCP, redis_open_port);
	lab_await(&s);
	redis_locked_port = lab_free_port();
	redis_locked = start_redis(redis_locked_port, "--requirepass", "right");
	s = lab_spec(PK_TCP, redis_locked_port);
	lab_await(&s);
	s = mysql_spec("right");
	lab_await(&s);
	return 0;
}

static int teardown(void **state)
{
	lab_end(&redis_open, SIGKILL);
	lab_end(&redis_locked, SIGKILL);
	lab_end(&mariadb, SIGKILL);
	return lab_teardown(state);
}

/* --- redis -------------------------------------------------------------------------------------------------------- */

static void redis_is_asked_by_its_own_protocol(void **state)
{
	const struct {
		const char *what;
		int port;
		const char *user, *password;
		enum probe_layer layer;
		const char *says;
	} row[] = {
		/* refusing us proves it alive: a mistake in a password must not move a pair */
		{ "no password", redis_locked_port, "", "", PL_STATUS, "wants a password (NOAUTH" },
		{ "wrong password", redis_locked_port, "", "wrong", PL_STATUS,
			"refuses our user or password (WRONGPASS" },
		{ "wrong user", redis_locked_port, "nobody", "right", PL_STATUS,
			"refuses our user or password (WRONGPASS" },
		{ "password where none is", redis_open_port, "", "x", PL_STATUS, "has no password" },
		{ "open", redis_open_port, "", "", PL_OK, "PONG" },
		{ "right password", redis_locked_port, "", "right", PL_OK, "PONG" },
		{ "right user", redis_locked_port, "default", "right", PL_OK, "PONG" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(row); i++) {
		struct probe_spec s = lab_spec(PK_REDIS, row[i].port);

		STR_COPY(s.user, row[i].user);
		STR_COPY(s.password, row[i].password);
		expect_probe(row[i].what, &s, true, row[i].layer, row[i].says);
	}
}

static void stopped_redis_is_silent_and_dead_redis_refuses(void **state)
{
	struct probe_spec s = lab_spec(PK_REDIS, redis_open_port);

	(void)state;
	s.timeout = never_answers;
	kill(redis_open, SIGSTOP);
	expect_probe("stopped", &s, false, PL_TIMEOUT, "connected, then silence");
	kill(redis_open, SIGCONT);
	s.timeout = 10 * US_PER_SEC;
	expect_probe("continued", &s, true, PL_OK, "PONG");
	lab_end(&redis_open, SIGKILL);
	expect_probe("dead", &s, false, PL_REFUSED, "connection refused");
}

/* --- mysql -------------------------------------------------------------------------------------------------------- */

static void mysql_is_asked_by_its_own_protocol(void **state)
{
	struct probe_spec s = mysql_spec("wrong");

	(void)state;
	expect_probe("wrong password", &s, true, PL_STATUS, "alive, but: ");
	s = mysql_spec("right");
	expect_probe("right password", &s, true, PL_OK, "writable");
	snprintf(s.host, sizeof(s.host), "%s/db.sock", lab.dir);
	expect_probe("by its socket", &s, true, PL_OK, "writable");
	auto_free char *sql =
		str_printf("mariadb --no-defaults -uroot -S%s/db.sock -e 'SET GLOBAL read_only=1'", lab.dir);
	lab_run(sql);
	expect_probe("read-only", &s, true, PL_OK, "read-only");
	snprintf(s.host, sizeof(s.host), "%s/none.sock", lab.dir);
	expect_probe("no such socket", &s, false, PL_REFUSED, "");
}

static void mysql_not_there_or_not_mysql(void **state)
{
	struct probe_spec s = mysql_spec("right");

	(void)state;
	s.port = lab_free_port();
	expect_probe("nobody listens", &s, false, PL_REFUSED, "");
	s = mysql_spec("right");
	s.port = redis_locked_port; /* accepts and waits for the client to speak first, as MySQL's client waits too */
	s.timeout = never_answers;
	expect_probe("not a MySQL server", &s, false, PL_TIMEOUT, "neither greets nor answers");
}

/* A child that hangs up on the first callers and connects the next one to the database. */
static pid_t start_fickle(int *port, int hang_ups)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	*port = lab_free_port();
	a.sin_port = htons((uint16_t)*port);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)) | listen(fd, 8), 0);
	pid_t pid = fork();
	if (pid) {
		close(fd);
		return pid;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (hang_ups-- > 0)
		close(accept(fd, NULL, NULL));
	struct pollfd end[2] = { { .fd = accept(fd, NULL, NULL), .events = POLLIN },
		{ .fd = socket(AF_INET, SOCK_STREAM, 0), .events = POLLIN } };
	a.sin_port = htons((uint16_t)mariadb_port);
	if (connect(end[1].fd, (struct sockaddr *)&a, sizeof(a)))
		_exit(1);
	while (poll(end, 2, -1) > 0)
		for (int i = 0; i < 2; i++) {
			char some[4096];
			ssize_t n = end[i].revents ? read(end[i].fd, some, sizeof(some)) : -1;

			if (n == 0 || (n > 0 && write(end[1 - i].fd, some, (size_t)n) != n))
				_exit(0);
		}
	_exit(0);
}

static void a_broken_connection_is_tried_once_more(void **state)
{
	struct probe_spec s = mysql_spec("right");
	pid_t fickle = start_fickle(&s.port, 1);

	(void)state;
	expect_probe("one connection lost", &s, true, PL_OK, "");
	lab_end(&fickle, SIGKILL);
	fickle = start_fickle(&s.port, 2);
	expect_probe("two connections lost", &s, false, PL_PROTOCOL, "");
	lab_end(&fickle, SIGKILL);
}

struct watched {
	int results, state;
};

static void on_state(void *arg, size_t i, const struct probe_state *s, int was)
{
	struct watched *w = arg;

	(void)i;
	(void)was;
	w->results++;
	w->state = (int)s->state;
}

static void wait_state(struct watched *w, int state)
{
	us_t until = now_us() + LAB_BOUND;

	while (w->state != state) {
		if (now_us() > until)
			fail_msg("state %d after %d results, wanted %d", w->state, w->results, state);
		lab_turn();
	}
}

/* The interval is an hour: only the broken idle connection can have told. */
static void death_of_mysql_is_news(void **state)
{
	struct probe_spec s = mysql_spec("right");
	struct watched w = { 0 };

	(void)state;
	s.interval = 3600 * US_PER_SEC;
	s.fall = 2;
	struct prober *p = prober_new(lab.loop, &s, 1, on_state, &w, NULL);
	assert_non_null(p);
	wait_state(&w, PS_UP);
	lab_end(&mariadb, SIGKILL);
	wait_state(&w, PS_DOWN);
	assert_int_equal(prober_look(p, 0)->last.layer, PL_REFUSED);
	prober_free(p);
}

static void stopped_mysql_is_silent(void **state)
{
	struct probe_spec s = mysql_spec("right");

	(void)state;
	s.timeout = never_answers;
	kill(mariadb, SIGSTOP);
	struct probe_result r = lab_probe(&s);
	kill(mariadb, SIGCONT);
	assert_int_equal(r.layer, PL_TIMEOUT);
}

/* --- exec --------------------------------------------------------------------------------------------------------- */

static void commands_are_judged_by_their_exit(void **state)
{
	static const struct {
		const char *command;
		bool ok;
		enum probe_layer layer;
		const char *says;
	} row[] = {
		{ "exit 3", false, PL_EXEC, "exit 3" },
		{ "echo disk full >&2; echo more; exit 1", false, PL_EXEC, "exit 1: disk full" },
		{ "/no/such/command", false, PL_EXEC, "exit 127" }, { "kill -9 $$", false, PL_EXEC, "exit 137" },
		{ "printf 'red \\033[31m'; exit 1", false, PL_EXEC, "red \\x1b[31m" },
		{ "true", true, PL_OK, "exit 0" }, { "echo fine; echo more", true, PL_OK, "fine" },
		{ "echo \"$HACTL_PROBE $HACTL_ADDRESS $HACTL_PORT\"", true, PL_OK, "p 127.0.0.1 80" },
		{ "test -z \"$HOME$SECRET\"", true, PL_OK, "exit 0" },
		{ "cat", true, PL_OK, "exit 0" }, /* standard input is empty, not ours */
	};

	(void)state;
	setenv("SECRET", "x", 1);
	for (size_t i = 0; i < ARRAY_LEN(row); i++) {
		struct probe_spec s = lab_spec(PK_EXEC, 80);

		STR_COPY(s.command, row[i].command);
		expect_probe(row[i].command, &s, row[i].ok, row[i].layer, row[i].says);
		if (strstr(lab_probe(&s).detail, "more"))
			fail_msg("\"%s\": more than the first line", row[i].command);
	}
	struct probe_spec s = lab_spec(PK_EXEC, 80);
	snprintf(s.command, sizeof(s.command), "echo $$ >%s/child; exec tail -f /dev/null", lab.dir);
	s.timeout = never_answers;
	expect_probe("endless", &s, false, PL_TIMEOUT, "killed");
	auto_free char *path = str_printf("%s/child", lab.dir);
	auto_free char *text = NULL;
	assert_int_equal(file_read(path, 32, &text, NULL, NULL), 0);
	assert_int_equal(kill((pid_t)atoi(text), 0), -1); /* killed, and reaped */
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(redis_is_asked_by_its_own_protocol),
	cmocka_unit_test(stopped_redis_is_silent_and_dead_redis_refuses),
	cmocka_unit_test(mysql_is_asked_by_its_own_protocol),
	cmocka_unit_test(mysql_not_there_or_not_mysql),
	cmocka_unit_test(stopped_mysql_is_silent),
	cmocka_unit_test(a_broken_connection_is_tried_once_more),
	cmocka_unit_test(death_of_mysql_is_news),
	cmocka_unit_test(commands_are_judged_by_their_exit),
};

int main(int argc, char **argv)
{
	static const struct sql_routine *const tables[] = { probe_sql_routines };

	if (argc > 1 && str_eq(argv[1], SQLPROC_ARG))
		return sqlproc_main(tables, ARRAY_LEN(tables));
	return cmocka_run_group_tests(tests, setup, teardown);
}
