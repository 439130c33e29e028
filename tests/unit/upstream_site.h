/* upstream_site.h - for the tests of upstreams on real proxies: a folder with a proxy's files, its ports, what was told. */
#ifndef TESTS_UNIT_UPSTREAM_SITE_H
#define TESTS_UNIT_UPSTREAM_SITE_H

#include "tests/unit/ports.h"
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

static inline void put(const char *path, const char *text)
{
	auto_file FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
}

static inline char *get(const char *path)
{
	struct err e;
	char *text;
	size_t len;

	if (file_read(path, 1 << 20, &text, &len, &e) < 0)
		fail_msg("%s", e.text);
	return text;
}

static inline char *inside(const struct site *s, const char *name)
{
	return str_printf("%s/%s", s->dir, name);
}

static inline bool there(const struct site *s, const char *name)
{
	auto_free char *path = inside(s, name);

	return access(path, F_OK) == 0;
}

static inline void touch(const struct site *s, const char *name, bool on)
{
	auto_free char *path = inside(s, name);

	if (on)
		put(path, "");
	else
		unlink(path);
}

static inline size_t lines(const struct site *s, const char *name)
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

static inline void turn(struct site *s)
{
	sd_event_run(loop_sd(s->loop), 20000);
}

/* First byte of the answer's body; 0 when there is none. */
static inline char ask(int port)
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

static inline void until_traffic(struct site *s, char who)
{
	us_t until = now_us() + BOUND;

	for (int in_a_row = 0; in_a_row < 5; turn(s)) { /* old workers may still take a connection */
		in_a_row = ask(s->front) == who ? in_a_row + 1 : 0;
		if (now_us() > until)
			fail_msg("traffic never went to %c\n%s", who, s->notes);
	}
}

/* The state the upstream must come to, trouble naming word; word NULL: as it should be. */
static inline void until_state(struct site *s, int i, const char *word)
{
	us_t until = now_us() + BOUND;
	const struct upstream_state *t = upstreams_look(s->u, i);

	while (word ? strstr(t->trouble, word) == NULL : !t->applied) {
		turn(s);
		if (now_us() > until)
			fail_msg("waited for \"%s\", it is \"%s\"\n%s", word ? word : "applied", t->trouble, s->notes);
	}
}

static inline void until_lines(struct site *s, const char *name, size_t n)
{
	us_t until = now_us() + BOUND;

	while (lines(s, name) < n) {
		turn(s);
		if (now_us() > until)
			fail_msg("%s never had %zu lines\n%s", name, n, s->notes);
	}
}

static inline void on_note(void *arg, enum log_level level, const char *sentence)
{
	struct site *s = arg;

	str_add(s->notes, sizeof s->notes, &s->notes_len, "%s: %s\n", level == LOG_LVL_WARN ? "warn" : "notice",
		sentence);
}

static inline size_t noted(const struct site *s, const char *word)
{
	size_t n = 0;

	for (const char *p = s->notes; (p = strstr(p, word)); p++)
		n++;
	return n;
}

static inline pid_t spawn(const struct site *s, char *const argv[])
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

static inline int site_open(void **state)
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

static inline void proxy_stop(struct site *s)
{
	if (s->proxy <= 0)
		return;
	kill(s->proxy, SIGTERM); /* nginx's master takes its workers with it */
	waitpid(s->proxy, NULL, 0);
	s->proxy = 0;
}

static inline int site_close(void **state)
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

static inline struct conf_upstream *add_upstream(struct site *s, const char *name)
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

static inline void open_upstreams(struct site *s)
{
	s->u = upstreams_new(s->loop, s->conf, 0, on_note, s);
	assert_non_null(s->u);
}

#endif
