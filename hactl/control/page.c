/* page.c - the HTTP page: libmicrohttpd without a thread of its own, its epoll descriptor nested in the loop. Only reads; a slow or
 * silent client is dropped by time-out. */
#include "hactl/control/control.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PAGE_CLIENTS = 32, PAGE_TIMEOUT_S = 5, PAGE_MEMORY = 16 * 1024 };

struct page {
	struct MHD_Daemon *daemon;
	struct watch *watch;
	struct timer *timer;
	page_status_fn *fn;
	void *arg;
};

struct answer {
	unsigned code;
	const char *type;
	char *body; /* from malloc */
};

static struct answer answer_page(const json_t *s)
{
	return (struct answer){ 200, "text/html; charset=utf-8", status_page(s) };
}

static struct answer answer_json(const json_t *s)
{
	return (struct answer){ 200, "application/json", json_dumps(s, JSON_INDENT(2) | JSON_REAL_PRECISION(9)) };
}

static struct answer answer_metrics(const json_t *s)
{
	return (struct answer){ 200, "text/plain; version=0.0.4; charset=utf-8", status_metrics(s) };
}

static struct answer yes_no(bool yes, const json_t *s)
{
	const char *role = json_string_value(json_object_get(s, "role"));
	return (struct answer){ yes ? 200 : 503, "text/plain; charset=utf-8",
		str_printf("%s\n", role ? role : "unknown") };
}

/* For load balancers: a primary whose authority has run out no longer is one. */
static struct answer answer_primary(const json_t *s)
{
	const char *role = json_string_value(json_object_get(s, "role"));
	bool held = json_is_true(json_object_get(json_object_get(s, "authority"), "held"));
	return yes_no(held && str_eq(role, role_names[ROLE_PRIMARY]), s);
}

static struct answer answer_standby(const json_t *s)
{
	return yes_no(str_eq(json_string_value(json_object_get(s, "role")), role_names[ROLE_STANDBY]), s);
}

/* For monitoring: 200 when `hactl status` would exit 0, else 503 and why. */
static struct answer answer_health(const json_t *s)
{
	char first[1][SENTENCE_MAX];
	bool well = status_troubles(s, first, 1) == 0;
	return (struct answer){ well ? 200 : 503, "text/plain; charset=utf-8",
		str_printf("%s\n", well ? "well" : first[0]) };
}

static const struct {
	const char *path;
	struct answer (*fn)(const json_t *status);
} routes[] = {
	{ "/", answer_page },
	{ "/status.json", answer_json },
	{ "/metrics", answer_metrics },
	{ "/primary", answer_primary },
	{ "/standby", answer_standby },
	{ "/health", answer_health },
};

static struct answer answer_make(struct page *p, const char *path, const char *method)
{
	if (!str_eq(method, "GET") && !str_eq(method, "HEAD"))
		return (struct answer){ 405, "text/plain; charset=utf-8", xstrdup("only GET and HEAD\n") };
	for (size_t i = 0; i < ARRAY_LEN(routes); i++) {
		if (!str_eq(path, routes[i].path))
			continue;
		json_t *status = p->fn(p->arg);
		struct answer a = routes[i].fn(status);
		json_decref(status);
		return a;
	}
	return (struct answer){ 404, "text/plain; charset=utf-8", xstrdup("no such page\n") };
}

static enum MHD_Result on_request(void *arg, struct MHD_Connection *c, const char *url, const char *method,
	const char *version, const char *upload, size_t *upload_size, void **state)
{
	static int seen;
	(void)version;
	(void)upload;
	if (!*state) { /* first call: headers only; answer when the body, if any, has been thrown away */
		*state = &seen;
		return MHD_YES;
	}
	if (*upload_size) {
		*upload_size = 0;
		return MHD_YES;
	}
	struct answer a = answer_make(arg, url, method);
	if (!a.body)
		return MHD_NO;
	struct MHD_Response *r = MHD_create_response_from_buffer(strlen(a.body), a.body, MHD_RESPMEM_MUST_FREE);
	if (!r) {
		free(a.body);
		return MHD_NO;
	}
	MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, a.type);
	MHD_add_response_header(r, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
	if (a.code == 405)
		MHD_add_response_header(r, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
	enum MHD_Result queued = MHD_queue_response(c, a.code, r);
	MHD_destroy_response(r);
	return queued;
}

/* --- the daemon on our loop ------------------------------------------------------------------------------------ */

static void page_run(struct page *p)
{
	unsigned MHD_LONG_LONG wait_ms;
	MHD_run(p->daemon);
	if (MHD_get_timeout(p->daemon, &wait_ms) == MHD_YES)
		timer_in(p->timer, (us_t)wait_ms * US_PER_MS + US_PER_MS);
	else
		timer_off(p->timer);
}

static void on_ready(void *arg, uint32_t events)
{
	(void)events;
	page_run(arg);
}

static void on_timer(void *arg, us_t now)
{
	(void)now;
	page_run(arg);
}

/* "127.0.0.1:7980", "[::1]:7980": numeric only, nothing here resolves. */
static int listen_parse(const char *text, struct sockaddr_storage *out, socklen_t *len, struct err *e)
{
	char host[64];
	const char *colon = strrchr(text, ':');
	size_t n = colon ? (size_t)(colon - text) : 0;
	bool six = *text == '[' && n > 2 && text[n - 1] == ']';
	char *end = NULL;
	long port = colon ? strtol(colon + 1, &end, 10) : -1;
	if (!colon || !end || end == colon + 1 || *end || port < 0 || port > 65535 || n >= sizeof(host))
		return err_set(e, "http.listen must be ADDRESS:PORT, not %s", text);
	snprintf(host, sizeof(host), "%.*s", (int)(six ? n - 2 : n), text + six);
	memset(out, 0, sizeof(*out));
	struct sockaddr_in *a4 = (struct sockaddr_in *)out;
	struct sockaddr_in6 *a6 = (struct sockaddr_in6 *)out;
	if (inet_pton(six ? AF_INET6 : AF_INET, host, six ? (void *)&a6->sin6_addr : (void *)&a4->sin_addr) != 1)
		return err_set(e, "http.listen: %s is no numeric address", host);
	out->ss_family = six ? AF_INET6 : AF_INET;
	*(six ? &a6->sin6_port : &a4->sin_port) = htons((uint16_t)port);
	*len = six ? sizeof(*a6) : sizeof(*a4);
	return 0;
}

/* Ours, so that a failure has a sentence; libmicrohttpd closes it. */
static int listen_open(const char *text, struct err *e)
{
	struct sockaddr_storage a;
	socklen_t len = 0;
	if (listen_parse(text, &a, &len, e) < 0)
		return -1;
	int fd = socket(a.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1;
	if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
		bind(fd, (struct sockaddr *)&a, len) == 0 && listen(fd, PAGE_CLIENTS) == 0)
		return fd;
	err_set(e, "cannot listen for HTTP on %s: %s", text, strerror(errno));
	cleanup_close(&fd);
	return -1;
}

static int page_start(struct page *p, struct loop *l, const char *listen_text, struct err *e)
{
	int fd = listen_open(listen_text, e);
	if (fd < 0)
		return -1;
	p->daemon = MHD_start_daemon(MHD_USE_EPOLL, 0, NULL, NULL, on_request, p, MHD_OPTION_LISTEN_SOCKET, fd,
		MHD_OPTION_CONNECTION_LIMIT, (unsigned)PAGE_CLIENTS, MHD_OPTION_CONNECTION_TIMEOUT,
		(unsigned)PAGE_TIMEOUT_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)PAGE_MEMORY, MHD_OPTION_END);
	if (!p->daemon) {
		close(fd);
		return err_set(e, "cannot start the HTTP page on %s", listen_text);
	}
	const union MHD_DaemonInfo *info = MHD_get_daemon_info(p->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	p->timer = timer_new(l, on_timer, p);
	p->watch = info ? watch_new(l, info->epoll_fd, EPOLLIN, on_ready, p) : NULL;
	return p->timer && p->watch ? 0 : err_set(e, "cannot watch the HTTP page on %s", listen_text);
}

struct page *page_new(struct loop *l, const char *listen_text, page_status_fn *fn, void *arg, struct err *e)
{
	struct page *p = xcalloc(1, sizeof(*p));
	p->fn = fn;
	p->arg = arg;
	if (page_start(p, l, listen_text, e) == 0)
		return p;
	page_free(p);
	return NULL;
}

void page_free(struct page *p)
{
	if (!p)
		return;
	watch_free(p->watch);
	timer_free(p->timer);
	if (p->daemon)
		MHD_stop_daemon(p->daemon);
	free(p);
}

int page_port(const struct page *p)
{
	const union MHD_DaemonInfo *info = MHD_get_daemon_info(p->daemon, MHD_DAEMON_INFO_LISTEN_FD);
	struct sockaddr_storage a;
	socklen_t len = sizeof(a);
	if (!info || getsockname(info->listen_fd, (struct sockaddr *)&a, &len) < 0)
		return 0;
	return ntohs(a.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&a)->sin6_port
					     : ((struct sockaddr_in *)&a)->sin_port);
}
