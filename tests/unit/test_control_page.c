/* The HTTP page in a child process, asked by libcurl and by hand. */
#include "hactl/control/control.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <cmocka.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

struct server {
	pid_t pid;
	int port;
	int quit; /* closing it ends the child */
};

/* Roles change with every question, so that one child shows all answers. */
static json_t *on_status(void *arg)
{
	const char *role = arg;
	return json_pack("{s:s, s:s, s:{s:b}, s:{s:b, s:[]}}", "cluster", "hifate", "role", role, "authority", "held",
		1, "failover", "ready", 1, "blockers");
}

static void on_quit(void *arg, uint32_t events)
{
	(void)events;
	loop_exit(arg, 0);
}

static int serve(const char *role, int port_fd, int quit_fd)
{
	struct err e;
	struct loop *l = loop_new(&e);
	struct page *p = l ? page_new(l, "127.0.0.1:0", on_status, (void *)(uintptr_t)role, &e) : NULL;
	if (!p) {
		fprintf(stderr, "page: %s\n", e.text);
		return 1;
	}
	int port = page_port(p);
	struct watch *w = watch_new(l, quit_fd, POLLIN, on_quit, l);
	if (write(port_fd, &port, sizeof(port)) != sizeof(port))
		return 1;
	close(port_fd);
	int r = loop_run(l);
	watch_free(w);
	page_free(p);
	loop_free(l);
	return r;
}

static void start(struct server *s, const char *role)
{
	int port[2], quit[2];
	assert_int_equal(pipe(port), 0);
	assert_int_equal(pipe(quit), 0);
	fflush(NULL);
	s->pid = fork();
	assert_true(s->pid >= 0);
	if (s->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(port[0]);
		close(quit[1]);
		exit(serve(role, port[1], quit[0]));
	}
	close(port[1]);
	close(quit[0]);
	s->quit = quit[1];
	assert_int_equal(read(port[0], &s->port, sizeof(s->port)), sizeof(s->port));
	close(port[0]);
}

static void stop(struct server *s)
{
	int status = -1;
	close(s->quit);
	assert_int_equal(waitpid(s->pid, &status, 0), s->pid);
	assert_int_equal(status, 0);
}

static size_t on_body(char *data, size_t size, size_t n, void *arg)
{
	char *body = arg;
	size_t len = strlen(body);
	str_add(body, 65536, &len, "%.*s", (int)(size * n), data);
	return size * n;
}

static long get(const struct server *s, const char *path, const char *method, char body[65536])
{
	auto_free char *url = str_printf("http://127.0.0.1:%d%s", s->port, path);
	long code = 0;
	body[0] = 0;
	CURL *c = curl_easy_init();
	curl_easy_setopt(c, CURLOPT_URL, url);
	curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, 10000L);
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(c, CURLOPT_WRITEDATA, body);
	if (str_eq(method, "HEAD"))
		curl_easy_setopt(c, CURLOPT_NOBODY, 1L);
	else if (str_eq(method, "POST"))
		curl_easy_setopt(c, CURLOPT_POSTFIELDS, "role=primary");
	assert_int_equal(curl_easy_perform(c), CURLE_OK);
	curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &code);
	curl_easy_cleanup(c);
	return code;
}

struct row {
	const char *path, *method;
	long code;
	const char *part;
};

static void check(const char *role, const struct row *rows, size_t n)
{
	struct server s;
	auto_free char *body = xcalloc(1, 65536);
	start(&s, role);
	for (size_t i = 0; i < n; i++) {
		long code = get(&s, rows[i].path, rows[i].method, body);
		if (code != rows[i].code || !strstr(body, rows[i].part))
			fail_msg("%s %s as %s: %ld %s", rows[i].method, rows[i].path, role, code, body);
	}
	stop(&s);
}

static void test_primary(void **state)
{
	static const struct row rows[] = {
		{ "/", "GET", 200, "</html>" },
		{ "/", "HEAD", 200, "" },
		{ "/status.json", "GET", 200, "\"cluster\": \"hifate\"" },
		{ "/metrics", "GET", 200, "hactl_role{role=\"primary\"} 1" },
		{ "/primary", "GET", 200, "primary" },
		{ "/standby", "GET", 503, "primary" },
		{ "/health", "GET", 503, "nothing has been heard" },
		{ "/primary", "HEAD", 200, "" },
		{ "/primary", "POST", 405, "only GET" },
		{ "/etc/passwd", "GET", 404, "no such page" },
		{ "/primary/", "GET", 404, "" },
		{ "/primary?x=1", "GET", 200, "primary" },
	};
	(void)state;
	check("primary", rows, ARRAY_LEN(rows));
}

static void test_standby(void **state)
{
	static const struct row rows[] = { { "/primary", "GET", 503, "standby" },
		{ "/standby", "GET", 200, "standby" } };
	(void)state;
	check("standby", rows, ARRAY_LEN(rows));
}

static int dial(const struct server *s)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)s->port) };
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

/* One that never finishes its request is dropped without anybody's help, and holds nobody up meanwhile. */
static void test_slow(void **state)
{
	static const char half[] = "GET /primary HTTP/1.1\r\nHos";
	(void)state;
	struct server s;
	auto_free char *body = xcalloc(1, 65536);
	start(&s, "primary");
	auto_close int slow = dial(&s), silent = dial(&s);
	assert_int_equal(send(slow, half, sizeof(half) - 1, MSG_NOSIGNAL), sizeof(half) - 1);
	assert_int_equal(get(&s, "/primary", "GET", body), 200);
	struct pollfd p[] = { { .fd = slow, .events = POLLIN }, { .fd = silent, .events = POLLIN } };
	for (size_t i = 0; i < ARRAY_LEN(p); i++) {
		char c;
		assert_int_equal(poll(&p[i], 1, 30000), 1);
		assert_true(recv(p[i].fd, &c, 1, 0) <= 0 || c == 'H'); /* the end, or a 408 before it */
	}
	stop(&s);
}

static void test_listen(void **state)
{
	static const struct {
		const char *listen, *why;
	} rows[] = {
		{ "", "ADDRESS:PORT" },
		{ "7980", "ADDRESS:PORT" },
		{ "127.0.0.1:", "ADDRESS:PORT" },
		{ "127.0.0.1:70000", "ADDRESS:PORT" },
		{ "127.0.0.1:80x", "ADDRESS:PORT" },
		{ "localhost:7980", "no numeric address" },
		{ "::1:7980", "no numeric address" },
		{ "[127.0.0.1]:80", "no numeric address" },
		{ "192.0.2.1:7980", "cannot listen" },
	};
	(void)state;
	struct err e;
	struct loop *l = loop_new(&e);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		e.text[0] = 0;
		struct page *p = page_new(l, rows[i].listen, on_status, NULL, &e);
		if (p || !strstr(e.text, rows[i].why))
			fail_msg("\"%s\": %s", rows[i].listen, p ? "taken" : e.text);
	}
	struct page *p = page_new(l, "[::1]:0", on_status, NULL, &e);
	assert_non_null(p);
	assert_true(page_port(p) > 0);
	page_free(p);
	loop_free(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_primary),
		cmocka_unit_test(test_standby),
		cmocka_unit_test(test_slow),
		cmocka_unit_test(test_listen),
	};
	curl_global_init(CURL_GLOBAL_DEFAULT);
	int r = cmocka_run_group_tests(tests, NULL, NULL);
	curl_global_cleanup();
	return r;
}
