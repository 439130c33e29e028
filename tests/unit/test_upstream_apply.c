/* test_upstream_apply.c - real nginx and real HAProxy obey, refuse, and get back what they had. */
#include "hactl/upstream/upstream.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <systemd/sd-event.h>
#include <unistd.h>
#include <cmocka.h>

#define BOUND (30 * US_PER_SEC)

enum { WEB_APP, OTHER_APP }; /* probes */

struct site {
	char dir[64], site[96], link[96];
	int front, port[2];
	pid_t proxy;
	struct loop *loop;
	struct conf *conf;
	struct upstreams *u;
	char notes[8192];
	size_t notes_len;
};

/* --- the ground ------------------------------------------------------------------------------------------------------------ */

static int free_port(void)
{
	static uint32_t x;

	for (;;) {
		struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
		auto_close int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

		x = x ? x * 1664525u + 1013904223u : (uint32_t)getpid() * 2654435761u + (uint32_t)now_us();
		a.sin_port = htons((uint16_t)(12000 + x % 20000));
		if (bind(fd, (struct sockaddr *)&a, sizeof a) == 0)
			return ntohs(a.sin_port);
	}
}

static void put(const char *path, const char *text)
{
	auto_file FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
}

static char *get(const char *path)
{
	struct err e;
	char *text;
	size_t len;

	if (file_read(path, 1 << 20, &text, &len, &e) < 0)
		fail_msg("%s", e.text);
	return text;
}

static char *inside(const struct site *s, const char *name)
{
	return str_printf("%s/%s", s->dir, name);
}

static bool there(const struct site *s, const char *name)
{
	auto_free char *path = inside(s, name);

	return access(path, F_OK) == 0;
}

static void touch(const struct site *s, const char *name, bool on)
{
	auto_free char *path = inside(s, name);

	if (on)
		put(path, "");
	else
		unlink(path);
}

static size_t lines(const struct site *s, const char *name)
{
	size_t n = 0;

	if (!there(s, name))
		return 0;
	auto_free char *path = inside(s, name);
	auto_free char *text = get(path);
	for (const char *p = text; *p; p++)
		n += *p == '\n';
	return n;
}

static void turn(struct site *s)
{
	sd_event_run(loop_sd(s->loop), 20000);
}

/* First byte of the answer's body; 0 when there is none. */
static char ask(int port)
{
	static const char request[] = "GET / HTTP/1.0\r\n\r\n";
	struct sockaddr_in a = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t)port)
	};
	struct timeval patience = { .tv_sec = 5 };
	auto_close int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char answer[4096];
	size_t len = 0;
	ssize_t n;

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
	if (connect(fd, (struct sockaddr *)&a, sizeof a) < 0 || write(fd, request, sizeof request - 1) < 0)
		return 0;
	while (len < sizeof answer - 1 && (n = read(fd, answer + len, sizeof answer - 1 - len)) > 0)
		len += (size_t)n;
	answer[len] = '\0';
	if (!str_starts(answer, "HTTP/1.1 200") && !str_starts(answer, "HTTP/1.0 200"))
		return 0;
	const char *body = strstr(answer, "\r\n\r\n");
	return body ? body[4] : 0;
}

static void until_traffic(struct site *s, char who)
{
	us_t until = now_us() + BOUND;

	for (int in_a_row = 0; in_a_row < 5; turn(s)) { /* old workers may still take a connection */
		in_a_row = ask(s->front) == who ? in_a_row + 1 : 0;
		if (now_us() > until)
			fail_msg("traffic never went to %c\n%s", who, s->notes);
	}
}

/* The state the upstream must come to, trouble naming word; word NULL: as it should be. */
static void until_state(struct site *s, int i, const char *word)
{
	us_t until = now_us() + BOUND;
	const struct upstream_state *t = upstreams_look(s->u, i);

	while (word ? strstr(t->trouble, word) == NULL : !t->applied) {
		turn(s);
		if (now_us() > until)
			fail_msg("waited for \"%s\", it is \"%s\"\n%s", word ? word : "applied", t->trouble, s->notes);
	}
}

static void until_lines(struct site *s, const char *name, size_t n)
{
	us_t until = now_us() + BOUND;

	while (lines(s, name) < n) {
		turn(s);
		if (now_us() > until)
			fail_msg("%s never had %zu lines\n%s", name, n, s->notes);
	}
}

static void on_note(void *arg, enum log_level level, const char *sentence)
{
	struct site *s = arg;

	str_add(s->notes, sizeof s->notes, &s->notes_len, "%s: %s\n", level == LOG_LVL_WARN ? "warn" : "notice",
		sentence);
}

static size_t noted(const struct site *s, const char *word)
{
	size_t n = 0;

	for (const char *p = s->notes; (p = strstr(p, word)); p++)
		n++;
	return n;
}

static pid_t spawn(const struct site *s, char *const argv[])
{
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	auto_free char *log = inside(s, "proxy.log");
	int fd = open(log, O_CREAT | O_WRONLY | O_APPEND, 0600);
	dup2(fd, 1);
	dup2(fd, 2);
	execvp(argv[0], argv);
	_exit(127);
}

static int site_open(void **state)
{
	struct site *s = xcalloc(1, sizeof *s);
	struct err e;

	STR_COPY(s->dir, "/tmp/hactl-upstream-XXXXXX");
	if (!mkdtemp(s->dir) || !(s->loop = loop_new(&e)))
		return -1;
	chmod(s->dir, 0755);
	snprintf(s->site, sizeof s->site, "%s/site.conf", s->dir);
	snprintf(s->link, sizeof s->link, "%s/link", s->dir);
	s->front = free_port();
	s->port[0] = free_port();
	s->port[1] = free_port();
	s->conf = xcalloc(1, sizeof *s->conf);
	*state = s;
	return 0;
}

static void proxy_stop(struct site *s)
{
	if (s->proxy <= 0)
		return;
	kill(s->proxy, SIGTERM); /* nginx's master takes its workers with it */
	waitpid(s->proxy, NULL, 0);
	s->proxy = 0;
}

static int site_close(void **state)
{
	struct site *s = *state;
	auto_free char *command = str_printf("rm -rf %s", s->dir);

	upstreams_free(s->u);
	proxy_stop(s);
	loop_free(s->loop);
	free(s->conf);
	free(s);
	return system(command);
}

/* --- nginx -------------------------------------------------------------------------------------------------------------------- */

static char *published(const struct site *s)
{
	return str_printf("upstream web_app_backend {\n    # main\n"
			  "    server 127.0.0.1:%d max_fails=3 fail_timeout=30s weight=2;\n    # second\n"
			  "    server 127.0.0.1:%d max_fails=3 fail_timeout=30s weight=1 backup;\n}\n"
			  "upstream grpc_backend { server 127.0.0.1:%d; server 127.0.0.1:%d backup; }\n"
			  "server { listen 127.0.0.1:%d; location / { proxy_pass http://web_app_backend; } }\n",
		s->port[0], s->port[1], s->port[0], s->port[1], s->front);
}

static struct conf_upstream *add_upstream(struct site *s, const char *name)
{
	struct conf_upstream *u = &s->conf->upstream[s->conf->n_upstreams++];

	*u = (struct conf_upstream){ .type = UPSTREAM_NGINX,
		.policy = POLICY_ACTIVE_BACKUP,
		.probe = WEB_APP,
		.n_servers = 2,
		.debounce = 50 * US_PER_MS,
		.interval = 60 * US_PER_SEC,
		.servers = { { .node = 0, .weight = 2 }, { .node = 1, .weight = 1 } } };
	STR_COPY(u->name, name);
	STR_COPY(u->file, s->link);
	for (int i = 0; i < 2; i++)
		snprintf(u->servers[i].address, sizeof u->servers[i].address, "127.0.0.1:%d", s->port[i]);
	/* each can be made to fail by a file, and counts its runs in another */
	snprintf(u->test, sizeof u->test,
		"cd %s; echo >>tests; test ! -e no-test && nginx -t -q -e error.log -p . -c nginx.conf", s->dir);
	snprintf(u->reload, sizeof u->reload,
		"cd %s; echo >>reloads; test ! -e no-reload && nginx -s reload -e error.log -p . -c nginx.conf",
		s->dir);
	return u;
}

static void nginx_start(struct site *s)
{
	auto_free char *main_file = inside(s, "nginx.conf"), *log = inside(s, "error.log"), *text = published(s);
	auto_free char *main_text =
		str_printf("daemon off;\nworker_processes 1;\npid %s/pid;\nerror_log %s/error.log;\n"
			   "events { worker_connections 64; }\nhttp { access_log off;\ninclude %s/site.conf;\n"
			   "server { listen 127.0.0.1:%d; return 200 \"A\"; }\n"
			   "server { listen 127.0.0.1:%d; return 200 \"B\"; } }\n",
			s->dir, s->dir, s->dir, s->port[0], s->port[1]);
	char *argv[] = { "nginx", "-e", log, "-p", s->dir, "-c", main_file, NULL };

	put(main_file, main_text);
	put(s->site, text);
	assert_int_equal(symlink("site.conf", s->link), 0);
	s->proxy = spawn(s, argv);
	for (us_t until = now_us() + BOUND; ask(s->front) != 'A'; turn(s))
		assert_true(now_us() < until);
}

static void open_upstreams(struct site *s)
{
	s->u = upstreams_new(s->loop, s->conf, 0, on_note, s);
	assert_non_null(s->u);
}

static void as_published(const struct site *s)
{
	auto_free char *text = published(s), *now = get(s->site);

	assert_string_equal(now, text);
	assert_false(there(s, ".site.conf.hactl-old") || there(s, ".site.conf.hactl-new"));
}

static void nothing_to_do(void **state)
{
	struct site *s = *state;
	struct stat before, after;

	nginx_start(s);
	add_upstream(s, "web_app_backend");
	stat(s->site, &before);
	open_upstreams(s);
	upstreams_primary(s->u, 0);
	upstreams_health(s->u, WEB_APP, 0, true, 1);
	upstreams_health(s->u, WEB_APP, 1, true, 1);
	until_state(s, 0, NULL);
	for (us_t until = now_us() + 200 * US_PER_MS; now_us() < until;)
		turn(s); /* beyond the debounce */
	stat(s->site, &after);
	assert_true(before.st_ino == after.st_ino && before.st_mtim.tv_nsec == after.st_mtim.tv_nsec);
	assert_int_equal(lines(s, "tests"), 0);
	assert_string_equal(s->notes, "");
}

static void role_moves_traffic(void **state)
{
	struct site *s = *state;
	struct stat st;

	nginx_start(s);
	add_upstream(s, "web_app_backend");
	assert_int_equal(chmod(s->site, 0640), 0);
	assert_int_equal(chown(s->site, 33, 34), 0);
	open_upstreams(s);
	upstreams_primary(s->u, 0);
	until_state(s, 0, NULL);
	upstreams_primary(s->u, 1);
	until_traffic(s, 'B');
	until_state(s, 0, NULL);
	assert_true(upstreams_look(s->u, 0)->now[0].backup && !upstreams_look(s->u, 0)->now[1].backup);
	assert_int_equal(lines(s, "reloads"), 1);
	assert_int_equal(lstat(s->link, &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	assert_int_equal(stat(s->site, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	assert_true(st.st_uid == 33 && st.st_gid == 34);
	upstreams_primary(s->u, 0);
	until_traffic(s, 'A');
	as_published(s);
}

static void health_moves_traffic(void **state)
{
	struct site *s = *state;

	nginx_start(s);
	add_upstream(s, "web_app_backend");
	open_upstreams(s);
	upstreams_primary(s->u, 0);
	upstreams_health(s->u, WEB_APP, 0, false, -1);
	until_traffic(s, 'B'); /* the main server is down, so nginx uses the backup */
	until_state(s, 0, NULL);
	assert_true(upstreams_look(s->u, 0)->now[0].down);
	assert_false(upstreams_look(s->u, 0)->healthy[0]);
	for (int i = 0; i < 20; i++) /* flaps within the debounce, and ends up well */
		upstreams_health(s->u, WEB_APP, 0, i % 2, 1);
	until_traffic(s, 'A');
	assert_int_equal(lines(s, "reloads"), 2);
	as_published(s);
	upstreams_health(s->u, OTHER_APP, 0, false, -1); /* another probe's business */
	upstreams_health(s->u, WEB_APP, 0, false, -1);
	upstreams_health(s->u, WEB_APP, 1, false, -1);
	for (us_t until = now_us() + 300 * US_PER_MS; now_us() < until;)
		turn(s);
	as_published(s); /* all are ill: nobody is marked */
}

static void failing_test(void **state)
{
	struct site *s = *state;
	struct stat before, after;

	nginx_start(s);
	add_upstream(s, "web_app_backend");
	stat(s->site, &before);
	touch(s, "no-test", true);
	open_upstreams(s);
	upstreams_primary(s->u, 1);
	until_state(s, 0, "failed (1)");
	as_published(s);
	stat(s->site, &after);
	assert_true(before.st_ino == after.st_ino);
	assert_int_equal(lines(s, "reloads"), 0);
	until_lines(s, "tests", 2); /* tries again by itself */
	assert_int_equal(noted(s, "warn"), 1);
	touch(s, "no-test", false);
	upstreams_health(s->u, WEB_APP, 0, false, -1); /* and at once when something changes */
	until_traffic(s, 'B');
	until_state(s, 0, NULL);
	assert_int_equal(noted(s, "again"), 1);
}

static void broken_configuration(void **state)
{
	struct site *s = *state;
	auto_free char *path = inside(s, "nginx.conf");

	nginx_start(s);
	add_upstream(s, "web_app_backend");
	auto_free char *good = get(path);
	auto_free char *bad = str_printf("%s\nnonsense 1;\n", good);
	put(path, bad);
	open_upstreams(s);
	upstreams_primary(s->u, 1);
	until_state(s, 0, "unknown directive");
	as_published(s);
	assert_int_equal(ask(s->front), 'A');
	put(path, good);
	until_traffic(s, 'B');
}

static void failing_reload(void **state)
{
	struct site *s = *state;

	nginx_start(s);
	add_upstream(s, "web_app_backend");
	touch(s, "no-reload", true);
	open_upstreams(s);
	upstreams_primary(s->u, 1);
	until_state(s, 0, "failed (1)");
	as_published(s);
	assert_int_equal(lines(s, "reloads"), 2); /* the second with the old bytes */
	touch(s, "no-reload", false);
	until_traffic(s, 'B');
	until_state(s, 0, NULL);
}

static void somebody_else_writes(void **state)
{
	struct site *s = *state;
	struct conf_upstream *u;
	char sane[CONF_PATH];

	nginx_start(s);
	u = add_upstream(s, "web_app_backend");
	STR_COPY(sane, u->test);
	snprintf(u->test, sizeof u->test,
		"cd %s; test -e theirs || { touch theirs; echo '# theirs' >>site.conf; exit 1; }", s->dir);
	open_upstreams(s);
	upstreams_primary(s->u, 1);
	until_traffic(s, 'B');
	auto_free char *now = get(s->site);
	assert_non_null(strstr(now, "# theirs\n"));
	assert_false(there(s, ".site.conf.hactl-old"));
}

static void cut_off_before(void **state)
{
	struct site *s = *state;
	auto_free char *old = inside(s, ".site.conf.hactl-old");

	nginx_start(s);
	add_upstream(s, "web_app_backend");
	put(old, "what stood before");
	open_upstreams(s);
	upstreams_primary(s->u, 0);
	until_lines(s, "reloads", 1); /* what nginx runs is not known: it is told */
	until_state(s, 0, NULL);
	as_published(s);
}

static void freed_under_way(void **state)
{
	struct site *s = *state;
	struct conf_upstream *u;

	nginx_start(s);
	u = add_upstream(s, "web_app_backend");
	snprintf(u->test, sizeof u->test, "cd %s; echo >>tests; exec sleep 60", s->dir);
	open_upstreams(s);
	upstreams_primary(s->u, 1);
	until_lines(s, "tests", 1);
	upstreams_free(s->u);
	s->u = NULL;
	as_published(s);
}

static void several_in_one_file(void **state)
{
	struct site *s = *state;

	nginx_start(s);
	add_upstream(s, "web_app_backend");
	add_upstream(s, "grpc_backend");
	add_upstream(s, "no_such_backend");
	s->conf->upstream[1].servers[0].weight = 1;
	open_upstreams(s);
	upstreams_primary(s->u, 0);
	until_state(s, 2, "no upstream no_such_backend");
	upstreams_primary(s->u, 1);
	until_traffic(s, 'B');
	until_state(s, 0, NULL);
	until_state(s, 1, NULL);
	assert_true(upstreams_look(s->u, 1)->now[0].backup);
	assert_int_equal(lines(s, "reloads"), 1); /* one for both */
	assert_int_equal(noted(s, "warn"), 1);
	auto_free char *now = get(s->site),
		       *name = str_printf("grpc_backend { server 127.0.0.1:%d backup; server 127.0.0.1:%d; }",
			       s->port[0], s->port[1]);
	assert_non_null(strstr(now, name));
}

/* --- HAProxy ---------------------------------------------------------------------------------------------------------------------- */

static void haproxy_start(struct site *s)
{
	auto_free char *file = inside(s, "haproxy.cfg");
	auto_free char *text = str_printf(
		"global\n stats socket %s/sock level admin\ndefaults\n mode http\n timeout connect 2s\n"
		" timeout client 5s\n timeout server 5s\nlisten app\n bind 127.0.0.1:%d\n balance roundrobin\n"
		" server web1 127.0.0.1:%d weight 100\n server web2 127.0.0.1:%d weight 100\n"
		"frontend a\n bind 127.0.0.1:%d\n http-request return status 200 content-type text/plain string A\n"
		"frontend b\n bind 127.0.0.1:%d\n http-request return status 200 content-type text/plain string B\n",
		s->dir, s->front, s->port[0], s->port[1], s->port[0], s->port[1]);
	char *argv[] = { "haproxy", "-db", "-f", file, NULL };

	put(file, text);
	s->proxy = spawn(s, argv);
	for (us_t until = now_us() + BOUND; ask(s->front) == 0; turn(s))
		assert_true(now_us() < until);
}

static struct conf_upstream *add_haproxy(struct site *s, const char *backend, const char *second)
{
	struct conf_upstream *u = add_upstream(s, backend);

	u->type = UPSTREAM_HAPROXY;
	snprintf(u->socket, sizeof u->socket, "%s/sock", s->dir);
	STR_COPY(u->servers[0].server, "web1");
	STR_COPY(u->servers[1].server, second);
	u->servers[0].weight = u->servers[1].weight = 100;
	return u;
}

static void tell_haproxy(const struct site *s, const char *command)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	auto_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char rest[64];

	snprintf(a.sun_path, sizeof a.sun_path, "%s/sock", s->dir);
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
	assert_int_equal(write(fd, command, strlen(command)), (ssize_t)strlen(command));
	while (read(fd, rest, sizeof rest) > 0)
		;
}

static void haproxy_obeys(void **state)
{
	struct site *s = *state;

	haproxy_start(s);
	add_haproxy(s, "app", "web2");
	open_upstreams(s);
	upstreams_primary(s->u, 0);
	until_traffic(s, 'A');
	upstreams_primary(s->u, 1);
	until_traffic(s, 'B');
	until_state(s, 0, NULL);
	upstreams_health(s->u, WEB_APP, 1, false, -1); /* who serves is ill: who waits serves */
	until_traffic(s, 'A');
	until_state(s, 0, NULL); /* it was known to be out of step before the first command */
	assert_true(upstreams_look(s->u, 0)->now[1].down);
	upstreams_health(s->u, WEB_APP, 1, true, 1);
	until_traffic(s, 'B');
	proxy_stop(s); /* forgets what it was told */
	upstreams_health(s->u, WEB_APP, 0, false, -1);
	until_state(s, 0, "is HAProxy running");
	haproxy_start(s);
	until_traffic(s, 'B');
	until_state(s, 0, NULL);
	assert_int_equal(noted(s, "warn"), 1);
}

static void haproxy_balanced(void **state)
{
	struct site *s = *state;

	haproxy_start(s);
	add_haproxy(s, "app", "web2")->policy = POLICY_BALANCED;
	open_upstreams(s);
	upstreams_health(s->u, WEB_APP, 0, false, -1);
	until_traffic(s, 'B');
	upstreams_health(s->u, WEB_APP, 0, true, -1);
	for (us_t until = now_us() + BOUND; ask(s->front) != 'A'; turn(s))
		assert_true(now_us() < until);
	until_state(s, 0, NULL);
	tell_haproxy(s, "set server app/web1 state maint\n"); /* an operator's own wish is left alone, and named */
	upstreams_health(s->u, WEB_APP, 1, false, -1);
	until_state(s, 0, "somebody else");
	tell_haproxy(s, "set server app/web1 state ready\n");
	upstreams_health(s->u, WEB_APP, 1, true, -1);
	until_state(s, 0, NULL);
}

static void haproxy_refuses(void **state)
{
	struct site *s = *state;

	haproxy_start(s);
	add_haproxy(s, "nobody", "web2");
	add_haproxy(s, "app", "web9");
	open_upstreams(s);
	upstreams_primary(s->u, 1);
	until_state(s, 0, "Can't find backend");
	until_state(s, 1, "no server web9");
}

#define real(test) cmocka_unit_test_setup_teardown(test, site_open, site_close)

int main(void)
{
	const struct CMUnitTest tests[] = {
		real(nothing_to_do),
		real(role_moves_traffic),
		real(health_moves_traffic),
		real(failing_test),
		real(broken_configuration),
		real(failing_reload),
		real(somebody_else_writes),
		real(cut_off_before),
		real(freed_under_way),
		real(several_in_one_file),
		real(haproxy_obeys),
		real(haproxy_balanced),
		real(haproxy_refuses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
