/* test_sqlproc.c - the helper process: deadlines, its end with its parent, what it inherits, and each status against a real server. */
#include "repl_lab.h"

#include <poll.h>

static struct sqld server;

/* --- routines of this test, run in the helper ------------------------------------------------------------------------------------------- */

static int routine_echo(void *db, const char *args, char *out, size_t cap, struct err *e)
{
	(void)db;
	(void)e;
	str_copy(out, cap, args);
	return 0;
}

static int routine_refuse(void *db, const char *args, char *out, size_t cap, struct err *e)
{
	(void)db;
	(void)out;
	(void)cap;
	return err_set(e, "refused: %s", args);
}

static int routine_query(void *db, const char *args, char *out, size_t cap, struct err *e)
{
	(void)out;
	(void)cap;
	if (mysql_query(db, args))
		return err_set(e, "%s", mysql_error(db));
	MYSQL_RES *res = mysql_store_result(db);
	MYSQL_ROW row = res ? mysql_fetch_row(res) : NULL;
	str_copy(out, cap, row && row[0] ? row[0] : "");
	mysql_free_result(res);
	return 0;
}

/* What the helper is: its descriptors and capabilities. */
static int routine_self(void *db, const char *args, char *out, size_t cap, struct err *e)
{
	size_t len = 0;
	char line[256];
	(void)db;
	(void)args;
	(void)e;
	for (int fd = 0; fd < 256; fd++)
		if (fcntl(fd, F_GETFD) >= 0)
			str_add(out, cap, &len, "%d ", fd);
	FILE *f = fopen("/proc/self/status", "r");
	while (f && fgets(line, sizeof(line), f))
		if (str_starts(line, "CapEff") || str_starts(line, "CapPrm") || str_starts(line, "CapBnd") ||
			str_starts(line, "NoNewPrivs"))
			str_add(out, cap, &len, "%s", line);
	if (f)
		fclose(f);
	str_add(out, cap, &len, "env=%d pid=%d", environ && environ[0] ? 1 : 0, (int)getpid());
	return 0;
}

static int routine_die(void *db, const char *args, char *out, size_t cap, struct err *e)
{
	(void)db;
	(void)args;
	(void)out;
	(void)cap;
	(void)e;
	raise(SIGKILL);
	return 0;
}

static int routine_large(void *db, const char *args, char *out, size_t cap, struct err *e)
{
	(void)db;
	(void)args;
	(void)e;
	memset(out, 'x', cap - 1);
	out[cap - 1] = '\0';
	return 0;
}

static const struct sql_routine routines[] = { { "echo", routine_echo }, { "refuse", routine_refuse },
	{ "query", routine_query }, { "self", routine_self }, { "die", routine_die }, { "large", routine_large },
	{ NULL, NULL } };

/* --- calls ----------------------------------------------------------------------------------------------------------------------------------- */

struct answer {
	bool done;
	enum sql_status status;
	int code;
	us_t took;
	size_t len;
	char text[512], out[1024];
};

static int gone_count;

static void on_gone(void *arg)
{
	(void)arg;
	gone_count++;
}

static void on_answer(void *arg, const struct sql_reply *r)
{
	struct answer *a = arg;
	assert_false(a->done);
	*a = (struct answer){
		.done = true, .status = r->status, .code = r->code, .took = r->took_us, .len = r->out_len
	};
	STR_COPY(a->text, r->text);
	STR_COPY(a->out, r->out);
}

static struct answer call(struct sqlproc *p, const char *routine, const char *args, us_t timeout)
{
	struct answer a = { 0 };
	struct err e = { "" };
	if (sqlproc_call(p, routine, args, timeout, on_answer, &a, &e) < 0)
		fail_msg("%s", e.text);
	for (us_t end = now_us() + LAB_BOUND; !a.done && now_us() < end;)
		lab_turn();
	assert_true(a.done);
	return a;
}

static struct sql_target target(void)
{
	struct sql_target t = { .port = server.port };
	STR_COPY(t.host, "127.0.0.1");
	STR_COPY(t.user, "hactl");
	STR_COPY(t.password, "hactl-pw");
	return t;
}

static struct sqlproc *open_proc(const struct sql_target *t)
{
	gone_count = 0;
	return sqlproc_new(lab_loop, t, "mysql on n1", on_gone, NULL);
}

static int group_setup(void **state)
{
	(void)state;
	lab_open();
	sqld_new(&server, 1);
	return 0;
}

static int group_teardown(void **state)
{
	(void)state;
	lab_kill(&server.pid);
	lab_close();
	return 0;
}

/* --- tests ------------------------------------------------------------------------------------------------------------------------------------ */

static void bad_calls(void **state)
{
	(void)state;
	struct sql_target t = target();
	struct sqlproc *p = open_proc(&t);
	struct answer a = call(p, "no such routine", "", 2 * US_PER_SEC), second = { 0 };
	struct err e = { "" };
	assert_int_equal(a.status, SQL_FAILED);
	assert_non_null(strstr(a.text, "no routine"));
	a = call(p, "refuse", "because", 2 * US_PER_SEC);
	assert_int_equal(a.status, SQL_FAILED);
	assert_string_equal(a.text, "refused: because");
	char *args = malloc(200 * 1024);
	memset(args, 'y', 200 * 1024 - 1);
	args[200 * 1024 - 1] = '\0';
	assert_int_equal(sqlproc_call(p, "echo", args, US_PER_SEC, on_answer, &a, &e), -1);
	free(args);
	a = (struct answer){ 0 };
	assert_int_equal(sqlproc_call(p, "echo", "1", 2 * US_PER_SEC, on_answer, &a, &e), 0);
	assert_true(sqlproc_busy(p));
	assert_int_equal(sqlproc_call(p, "echo", "2", 2 * US_PER_SEC, on_answer, &second, &e), -1);
	sqlproc_cancel(p); /* its answer never comes */
	assert_false(sqlproc_busy(p));
	assert_string_equal(call(p, "echo", "3", 2 * US_PER_SEC).out, "3");
	assert_false(a.done);
	assert_int_equal(call(p, "large", "", 2 * US_PER_SEC).len, 128 * 1024 - 1);
	a = call(p, "die", "", 2 * US_PER_SEC);
	assert_int_equal(a.status, SQL_FAILED);
	assert_non_null(strstr(a.text, "ended unexpectedly"));
	assert_string_equal(call(p, "echo", "replaced", 2 * US_PER_SEC).out, "replaced");
	sqlproc_free(p);
	sqlproc_free(NULL);
}

static void nothing_is_inherited(void **state)
{
	(void)state;
	struct sql_target t = target();
	int leak = open("/dev/null", O_RDONLY); /* without O_CLOEXEC, as a library might */
	struct sqlproc *p = open_proc(&t);
	struct answer a = call(p, "self", "", 2 * US_PER_SEC);
	print_message("  %s\n", a.out);
	assert_true(str_starts(a.out, "0 1 2 3 4 Cap")); /* 4: its connection */
	assert_non_null(strstr(a.out, "CapPrm:\t0000000000000000"));
	assert_non_null(strstr(a.out, "CapEff:\t0000000000000000"));
	assert_non_null(strstr(a.out, "CapBnd:\t0000000000000000"));
	assert_non_null(strstr(a.out, "NoNewPrivs:\t1"));
	assert_non_null(strstr(a.out, "env=0"));
	sqlproc_free(p);
	close(leak);
}

static void statuses_of_connecting(void **state)
{
	(void)state;
	struct sql_target t = target();
	STR_COPY(t.password, "wrong");
	struct sqlproc *p = open_proc(&t);
	struct answer a = call(p, "echo", "", 2 * US_PER_SEC);
	assert_int_equal(a.status, SQL_DENIED);
	assert_int_equal(a.code, 1045);
	sqlproc_free(p);

	t = target();
	t.port = lab_port();
	p = open_proc(&t);
	a = call(p, "echo", "", 2 * US_PER_SEC);
	assert_int_equal(a.status, SQL_REFUSED);
	assert_non_null(strstr(a.text, "connection refused by 127.0.0.1 port"));
	sqlproc_free(p);

	t = target();
	STR_COPY(t.socket, "/tmp/no/such/socket");
	p = open_proc(&t);
	assert_int_equal(call(p, "echo", "", 2 * US_PER_SEC).status, SQL_REFUSED);
	sqlproc_free(p);

	STR_COPY(t.socket, server.socket);
	p = open_proc(&t);
	assert_string_equal(call(p, "query", "SELECT CURRENT_USER()", 2 * US_PER_SEC).out, "hactl@%");
	a = call(p, "query", "SELECT * FROM mysql.global_priv", 2 * US_PER_SEC);
	assert_int_equal(a.status, SQL_DENIED);
	a = call(p, "query", "SELEKT", 2 * US_PER_SEC);
	assert_int_equal(a.status, SQL_FAILED);
	assert_int_equal(a.code, 1064);
	sqlproc_free(p);

	t = target(); /* a server without TLS is refused, not spoken to in plain */
	t.tls = true;
	p = open_proc(&t);
	a = call(p, "echo", "", 2 * US_PER_SEC);
	print_message("  %s\n", a.text);
	assert_int_not_equal(a.status, SQL_OK);
	sqlproc_free(p);
}

/* A listener whose queue is full: the SYN is never answered. Says nothing about the server, unlike silence after it. */
static void no_answer_to_the_connection(void **state)
{
	(void)state;
	struct sql_target t = target();
	t.port = lab_port();
	struct sockaddr_in at = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t)t.port)
	};
	int full = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), filler[8];
	assert_int_equal(bind(full, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(full, 0), 0);
	for (int i = 0; i < 8; i++) {
		filler[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		connect(filler[i], (struct sockaddr *)&at, sizeof(at));
	}
	struct sqlproc *p = open_proc(&t);
	struct answer a = call(p, "echo", "", 400 * US_PER_MS);
	assert_int_equal(a.status, SQL_UNREACHABLE);
	sqlproc_free(p);
	for (int i = 0; i < 8; i++)
		close(filler[i]);
	close(full);
}

/* A certificate for 127.0.0.1 and one for another address, each signed by itself; the server restarted with one of them. */
static void serve_tls(const char *name, const char *address)
{
	char command[1000];
	lab_kill(&server.pid);
	snprintf(command, sizeof(command),
		"openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=%s -addext subjectAltName=IP:%s -keyout "
		"%s/%s.key -out %s/%s.pem "
		"2> /dev/null; printf '[mysqld]\nssl-cert=%s/%s.pem\nssl-key=%s/%s.key\n' > %s/tls.cnf",
		name, address, lab_dir, name, lab_dir, name, lab_dir, name, lab_dir, name, server.dir);
	assert_int_equal(system(command), 0);
	sqld_run(&server);
}

static void tls_is_verified_or_refused(void **state)
{
	(void)state;
	struct sql_target t = target();
	if (mysql_root()) /* its certificates live in its private root */
		skip();
	t.tls = true;
	serve_tls("elsewhere", "192.0.2.1");
	snprintf(t.ca_file, sizeof(t.ca_file), "%s/elsewhere.pem", lab_dir);
	struct sqlproc *p = open_proc(&t);
	struct answer a = call(p, "echo", "", 5 * US_PER_SEC); /* the right authority, another host's certificate */
	print_message("  %s\n", a.text);
	assert_int_equal(a.status, SQL_FAILED);
	sqlproc_free(p);
	serve_tls("right", "127.0.0.1");
	p = open_proc(&t);
	a = call(p, "echo", "", 5 * US_PER_SEC); /* an authority that is not ours */
	print_message("  %s\n", a.text);
	assert_int_equal(a.status, SQL_FAILED);
	sqlproc_free(p);
	snprintf(t.ca_file, sizeof(t.ca_file), "%s/right.pem", lab_dir);
	p = open_proc(&t);
	a = call(p, "query",
		"SELECT VARIABLE_VALUE FROM information_schema.SESSION_STATUS WHERE VARIABLE_NAME = 'SSL_VERSION'",
		5 * US_PER_SEC);
	print_message("  %s%s\n", a.out, a.text);
	assert_true(str_starts(a.out, "TLS"));
	sqlproc_free(p);
}

struct ticker {
	struct timer *timer;
	int ticks;
};

static void on_tick(void *arg, us_t now)
{
	struct ticker *k = arg;
	(void)now;
	k->ticks++;
	timer_in(k->timer, 10 * US_PER_MS);
}

static void a_hung_server_ends_at_the_deadline(void **state)
{
	(void)state;
	struct sql_target t = target();
	struct sqlproc *p = open_proc(&t), *fresh = open_proc(&t);
	struct ticker k = { 0 };
	assert_int_equal(call(p, "echo", "", 2 * US_PER_SEC).status, SQL_OK);
	lab_freeze(server.pid);
	k.timer = timer_new(lab_loop, on_tick, &k);
	timer_in(k.timer, 0);
	struct answer a = call(p, "query", "SELECT 1", 300 * US_PER_MS), b = call(fresh, "echo", "", 300 * US_PER_MS);
	print_message("  deadline of 300 ms: %.1f ms on an open connection, %.1f ms on a new one\n",
		(double)a.took / 1000, (double)b.took / 1000);
	assert_int_equal(a.status, SQL_TIMEOUT);
	assert_int_equal(b.status, SQL_TIMEOUT);		 /* its kernel accepts: hung, not unreachable */
	assert_true(a.took >= 300 * US_PER_MS && k.ticks >= 10); /* the loop turned meanwhile */
	timer_free(k.timer);
	kill(server.pid, SIGCONT);
	a = call(p, "query", "SELECT 1", 5 * US_PER_SEC);
	assert_int_equal(a.status, SQL_OK);
	print_message("  a new helper and its first query: %.1f ms\n", (double)a.took / 1000);
	a = call(p, "query", "SELECT 1", 5 * US_PER_SEC);
	print_message("  a query on the open connection: %.2f ms\n", (double)a.took / 1000);
	sqlproc_free(p);
	sqlproc_free(fresh);
}

static void the_end_of_the_server_is_told_once(void **state)
{
	(void)state;
	struct sql_target t = target();
	struct sqlproc *p = open_proc(&t);
	char stmt[64];
	long long id = atoll(call(p, "query", "SELECT CONNECTION_ID()", 2 * US_PER_SEC).out);
	snprintf(stmt, sizeof(stmt), "KILL %lld", id);
	root_do(&server, stmt);
	for (us_t end = now_us() + LAB_BOUND; !gone_count && now_us() < end;)
		lab_turn();
	assert_int_equal(gone_count, 1);
	assert_int_equal(call(p, "query", "SELECT 1", 2 * US_PER_SEC).status, SQL_OK);
	us_t from = now_us();
	lab_kill(&server.pid);
	us_t dead = now_us();
	for (us_t end = now_us() + LAB_BOUND; gone_count < 2 && now_us() < end;)
		lab_turn();
	print_message("  told %.1f ms after kill -9, %.1f ms after the process was gone\n",
		(double)(now_us() - from) / 1000, (double)(now_us() - dead) / 1000);
	assert_int_equal(call(p, "query", "SELECT 1", 2 * US_PER_SEC).status, SQL_REFUSED);
	assert_int_equal(gone_count, 2);
	sqlproc_free(p);
	sqld_run(&server);
}

/* A parent that is killed takes its helpers along. */
static void the_helper_ends_with_its_parent(void **state)
{
	(void)state;
	int pipefd[2];
	assert_int_equal(pipe(pipefd), 0);
	pid_t parent = fork();
	if (parent == 0) {
		struct sql_target t = target();
		struct err e = { "" };
		lab_loop = loop_new(&e); /* one of its own */
		struct sqlproc *p = open_proc(&t);
		struct answer a = call(p, "self", "", 5 * US_PER_SEC);
		int pid = atoi(strstr(a.out, "pid=") + 4);
		if (write(pipefd[1], &pid, sizeof(pid)) != sizeof(pid))
			_exit(1);
		for (;;)
			pause();
	}
	int pid = 0;
	assert_int_equal(read(pipefd[0], &pid, sizeof(pid)), sizeof(pid));
	int fd = (int)syscall(434 /* pidfd_open */, pid, 0);
	assert_true(fd >= 0);
	lab_kill(&parent);
	struct pollfd ended = { .fd = fd, .events = POLLIN };
	assert_int_equal(poll(&ended, 1, 10000), 1);
	close(fd);
	close(pipefd[0]);
	close(pipefd[1]);
}

int main(int argc, char **argv)
{
	static const struct sql_routine *const tables[] = { replication_sql_routines, routines };
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bad_calls),
		cmocka_unit_test(nothing_is_inherited),
		cmocka_unit_test(statuses_of_connecting),
		cmocka_unit_test(tls_is_verified_or_refused),
		cmocka_unit_test(no_answer_to_the_connection),
		cmocka_unit_test(a_hung_server_ends_at_the_deadline),
		cmocka_unit_test(the_end_of_the_server_is_told_once),
		cmocka_unit_test(the_helper_ends_with_its_parent),
	};
	if (argc > 1 && !strcmp(argv[1], SQLPROC_ARG))
		return sqlproc_main(tables, ARRAY_LEN(tables));
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
