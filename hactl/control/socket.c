/* socket.c - the local socket's server: lines in, lines out, and nothing a client does or leaves undone holds the loop up. Every
 * buffer has a limit, every wait an end, and a client that overstays is dropped. */
#include "hactl/control/control.h"

#include "hactl/control/unix_socket.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_CLIENTS = 32, OUT_MAX = 1024 * 1024, READ_CHUNK = 4096 };
#define CLIENT_IDLE  (10 * US_PER_SEC) /* before a full request, or with answers it does not read */
#define ACCEPT_AGAIN (100 * US_PER_MS)

struct client {
	struct control *control;
	struct client *next;
	int fd;
	struct watch *watch;
	struct timer *idle;
	struct control_request *request; /* being answered; reading pauses meanwhile */
	char *in, *out;
	size_t in_len, in_size, out_len, out_size;
	bool no_more; /* it has closed its sending side, or sent nonsense: close after the last answer */
	bool inside;  /* one of our functions runs on it: dead is acted on when that returns */
	bool dead;
};

struct control_request {
	struct client *client; /* NULL: has gone */
};

struct control {
	struct loop *loop;
	char *path;
	int fd;
	dev_t dev;
	ino_t ino;
	struct watch *watch;
	struct timer *again; /* out of descriptors: look again later instead of spinning */
	control_fn *fn;
	void *arg;
	struct client *clients;
	size_t n_clients;
};

/* --- a client's end -------------------------------------------------------------------------------------------- */

static void client_free(struct client *c)
{
	struct client **at = &c->control->clients;
	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	c->control->n_clients--;
	if (c->request)
		c->request->client = NULL;
	timer_free(c->idle);
	watch_free(c->watch);
	cleanup_close(&c->fd);
	free(c->in);
	free(c->out);
	free(c);
}

static void client_drop(struct client *c)
{
	c->dead = true;
	if (!c->inside)
		client_free(c);
}

static void on_idle(void *arg, us_t now)
{
	(void)now;
	client_drop(arg);
}

/* --- answers --------------------------------------------------------------------------------------------------- */

static bool grow(char **buf, size_t *size, size_t want)
{
	if (want <= *size)
		return true;
	size_t bigger = want * 2;
	char *p = realloc(*buf, bigger);
	if (!p)
		return false;
	*buf = p;
	*size = bigger;
	return true;
}

/* What the socket takes now; the rest when it is writable again. */
static void client_flush(struct client *c)
{
	while (c->out_len) {
		ssize_t n = send(c->fd, c->out, c->out_len, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return;
		if (n < 0) {
			c->dead = true;
			return;
		}
		memmove(c->out, c->out + n, c->out_len - (size_t)n);
		c->out_len -= (size_t)n;
		if (!c->request)
			timer_in(c->idle, CLIENT_IDLE);
	}
}

static void client_say(struct client *c, json_t *stolen)
{
	char *line = json_dumps(stolen, JSON_COMPACT | JSON_REAL_PRECISION(9));
	json_decref(stolen);
	size_t len = line ? strlen(line) : 0;
	if (!line || c->out_len + len + 1 > OUT_MAX || !grow(&c->out, &c->out_size, c->out_len + len + 1)) {
		c->dead = true; /* it does not read, or there is no memory for it */
	} else {
		memcpy(c->out + c->out_len, line, len);
		c->out[c->out_len + len] = '\n';
		c->out_len += len + 1;
	}
	free(line);
}

static json_t *last_line(int exit_status, json_t *line, const char *text)
{
	json_t *o = line ? line : json_object();
	json_object_set_new(o, "exit", json_integer(exit_status));
	if (!*text)
		return o;
	json_t *shown = json_string(text);
	if (!shown) {
		char clean[1024];
		str_escape(text, strlen(text), clean, sizeof(clean));
		shown = json_string(clean);
	}
	json_object_set_new(o, "text", shown);
	return o;
}

/* --- requests -------------------------------------------------------------------------------------------------- */

static void client_line(struct client *c, const char *line, size_t len)
{
	struct err e;
	json_t *args = control_parse(line, len, &e);
	if (!args) {
		client_say(c, last_line(2, NULL, e.text));
		return;
	}
	struct control_request *r = xcalloc(1, sizeof(*r));
	r->client = c;
	c->request = r;
	timer_off(c->idle);
	c->control->fn(c->control->arg, r, json_string_value(json_object_get(args, "cmd")), args);
	json_decref(args);
}

/* Hands over one request after the other until one is being answered or no full line is left. */
static void client_serve(struct client *c)
{
	while (!c->dead && !c->request && c->in_len) {
		char *end = memchr(c->in, '\n', c->in_len);
		if (!end)
			break;
		size_t used = (size_t)(end - c->in) + 1;
		if (used > 1)
			client_line(c, c->in, used - 1);
		memmove(c->in, c->in + used, c->in_len - used);
		c->in_len -= used;
	}
	if (!c->dead && !c->request && c->in_len > CONTROL_LINE_MAX) {
		client_say(c, last_line(2, NULL, "a request is at most 64 KiB long"));
		c->in_len = 0;
		c->no_more = true;
	}
}

static void client_read(struct client *c)
{
	if (!grow(&c->in, &c->in_size, c->in_len + READ_CHUNK)) {
		c->dead = true;
		return;
	}
	ssize_t n = recv(c->fd, c->in + c->in_len, READ_CHUNK, MSG_DONTWAIT);
	if (n > 0)
		c->in_len += (size_t)n;
	else if (n == 0)
		c->no_more = true;
	else if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
		c->dead = true;
}

/* What to wait for next, once everything that can be done now is done. */
static void client_settle(struct client *c)
{
	client_flush(c);
	bool done = c->no_more && !c->request && !c->out_len;
	if (c->dead || done) {
		client_free(c);
		return;
	}
	bool reading = !c->request && !c->no_more && !c->out_len;
	watch_set(c->watch, (reading ? EPOLLIN : 0u) | (c->out_len ? EPOLLOUT : 0u));
}

static void on_client(void *arg, uint32_t events)
{
	struct client *c = arg;
	c->inside = true;
	if (events & (EPOLLHUP | EPOLLERR))
		c->dead = true; /* gone: what it asked for last and did not wait for is not done behind its back */
	else if (events & EPOLLIN)
		client_read(c);
	client_serve(c);
	c->inside = false;
	client_settle(c);
}

static void request_answer(struct client *c, json_t *line)
{
	if (c->dead) {
		json_decref(line);
		return;
	}
	client_say(c, line);
	if (c->inside)
		return;
	c->inside = true;
	if (!c->request) {
		timer_in(c->idle, CLIENT_IDLE);
		client_serve(c); /* the next one may be waiting in the buffer */
	}
	c->inside = false;
	client_settle(c);
}

void control_progress(struct control_request *r, json_t *line)
{
	if (r->client)
		request_answer(r->client, line);
	else
		json_decref(line);
}

void control_done(struct control_request *r, int exit_status, json_t *line, const char *fmt, ...)
{
	char text[8192] = "";
	if (fmt) {
		va_list ap;
		va_start(ap, fmt);
		vsnprintf(text, sizeof(text), fmt, ap);
		va_end(ap);
	}
	struct client *c = r->client;
	free(r);
	json_t *last = last_line(exit_status, line, text);
	if (!c) {
		json_decref(last);
		return;
	}
	c->request = NULL;
	if (c->inside)
		timer_in(c->idle, CLIENT_IDLE);
	request_answer(c, last);
}

/* --- the listener ---------------------------------------------------------------------------------------------- */

static void client_new(struct control *k, int fd)
{
	struct client *c = xcalloc(1, sizeof(*c));
	c->control = k;
	c->fd = fd;
	c->next = k->clients;
	k->clients = c;
	k->n_clients++;
	c->watch = watch_new(k->loop, fd, EPOLLIN, on_client, c);
	c->idle = timer_new(k->loop, on_idle, c);
	if (!c->watch || !c->idle) {
		client_free(c);
		return;
	}
	timer_in(c->idle, CLIENT_IDLE);
}

static void on_again(void *arg, us_t now)
{
	struct control *k = arg;
	(void)now;
	watch_set(k->watch, EPOLLIN);
}

static void on_accept(void *arg, uint32_t events)
{
	static const char busy[] = "{\"exit\":1,\"text\":\"too many clients at the socket; try again\"}\n";
	struct control *k = arg;
	(void)events;
	for (size_t i = 0; i < MAX_CLIENTS; i++) {
		int fd = accept4(k->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return;
		if (fd < 0) {
			watch_set(k->watch, 0);
			timer_in(k->again, ACCEPT_AGAIN);
			return;
		}
		if (k->n_clients < MAX_CLIENTS) {
			client_new(k, fd);
			continue;
		}
		if (send(fd, busy, sizeof(busy) - 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
			log_debug("socket: a client too many has gone already");
		close(fd);
	}
}

/* A file that nobody answers on is left from a crash; anything else is not ours to remove. */
static int stale_remove(const char *path, struct err *e)
{
	struct stat st;
	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : err_set(e, "%s: %s", path, strerror(errno));
	if (!S_ISSOCK(st.st_mode))
		return err_set(e, "%s exists and is no socket: move it away or choose another path with -s", path);
	struct err why;
	auto_close int fd = unix_connect(path, 0, &why);
	if (fd >= 0 || (errno != ECONNREFUSED && errno != ENOENT))
		return err_set(
			e, "another supervisor answers on %s%s%s", path, fd < 0 ? ": " : "", fd < 0 ? why.text : "");
	if (unlink(path) < 0 && errno != ENOENT)
		return err_set(e, "cannot remove the stale socket %s: %s", path, strerror(errno));
	return 0;
}

static int listen_on(struct control *k, const char *path, struct err *e)
{
	if (stale_remove(path, e) < 0)
		return -1;
	k->fd = unix_listen(path, 0660, e);
	if (k->fd < 0)
		return -1;
	struct stat st;
	if (lstat(path, &st) == 0) {
		k->dev = st.st_dev;
		k->ino = st.st_ino;
	}
	k->watch = watch_new(k->loop, k->fd, EPOLLIN, on_accept, k);
	k->again = timer_new(k->loop, on_again, k);
	return k->watch && k->again ? 0 : err_set(e, "cannot watch the socket %s", path);
}

struct control *control_new(struct loop *l, const char *path, control_fn *fn, void *arg, struct err *e)
{
	struct control *k = xcalloc(1, sizeof(*k));
	k->loop = l;
	k->fd = -1;
	k->fn = fn;
	k->arg = arg;
	k->path = xstrdup(path);
	if (listen_on(k, path, e) == 0)
		return k;
	control_free(k);
	return NULL;
}

void control_free(struct control *k)
{
	if (!k)
		return;
	while (k->clients)
		client_free(k->clients);
	timer_free(k->again);
	watch_free(k->watch);
	struct stat st;
	bool ours = k->fd >= 0 && lstat(k->path, &st) == 0 && st.st_dev == k->dev && st.st_ino == k->ino;
	if (ours && unlink(k->path) < 0)
		log_debug("socket: %s: %s", k->path, strerror(errno));
	cleanup_close(&k->fd);
	free(k->path);
	free(k);
}
