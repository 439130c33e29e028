/* redis.c - AUTH and PING in one exchange of RESP lines. Plain sockets: two lines need no client library. */
#include "probes/stream.h"

#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

struct redis {
	struct stream stream;
	char ask[640];
	size_t ask_len, sent;
	int replies; /* lines to come: 2 with AUTH, else 1 */
	char answer[512];
	size_t have;
};

static bool add_word(struct redis *d, const char *word)
{
	return str_add(d->ask, sizeof(d->ask), &d->ask_len, "$%zu\r\n%s\r\n", strlen(word), word);
}

static int redis_prepare(struct run *r, struct err *e)
{
	const struct probe_spec *s = r->spec;
	struct redis *d = r->kind;
	bool fits = true;

	d->stream.fd = -1;
	d->replies = 1;
	if (s->tls)
		return err_set(
			e, "a redis probe speaks no TLS; probe its plain port, or use type \"exec\" with redis-cli");
	if (s->password[0]) {
		d->replies = 2;
		fits = str_add(d->ask, sizeof(d->ask), &d->ask_len, "*%d\r\n", s->user[0] ? 3 : 2) &&
		       add_word(d, "AUTH") && (!s->user[0] || add_word(d, s->user)) && add_word(d, s->password);
	}
	fits = fits && str_add(d->ask, sizeof(d->ask), &d->ask_len, "*1\r\n") && add_word(d, "PING");
	if (!fits)
		return err_set(e, "user and password are too long");
	return stream_prepare(&d->stream, r, e);
}

/* --- the answer --------------------------------------------------------------------------------------------------- */

/* An answer that refuses *us* proves the server alive: a mistake in a password must not move a pair (the same holds for
 * MySQL's 1040 and 1045). One that refuses *everybody* does not serve. */
static const struct {
	const char *prefix;
	bool ok;
	const char *means;
} errors[] = {
	{ "-NOAUTH", true, "alive, but it wants a password" },
	{ "-WRONGPASS", true, "alive, but it refuses our user or password" },
	{ "-NOPERM", true, "alive, but our user may not PING" },
	{ "-DENIED", true, "alive, but its protected mode keeps us out" },
	{ "-ERR AUTH", true, "alive, but it has no password and we send one" },
	{ "-ERR max number of clients", true, "alive, but it has as many clients as it may" },
	{ "-LOADING", false, "loading its data set" },
	{ "-MASTERDOWN", false, "its link to the master is down and it serves no stale data" },
	{ "-BUSY", false, "busy running a script" },
};

static void settle_error(struct run *r, const char *line, size_t len)
{
	char text[128];

	str_escape(line + 1, len - 1, text, sizeof(text));
	for (size_t i = 0; i < ARRAY_LEN(errors); i++) {
		size_t n = strlen(errors[i].prefix);

		if (len >= n && memcmp(line, errors[i].prefix, n) == 0) {
			run_settle(r, errors[i].ok, PL_STATUS, "%s (%s)", errors[i].means, text);
			return;
		}
	}
	run_settle(r, false, PL_STATUS, "%s", text);
}

static void settle_strange(struct run *r, const char *line, size_t len)
{
	char text[64];

	str_escape(line, len < 40 ? len : 40, text, sizeof(text));
	run_settle(r, false, PL_PROTOCOL, "this is not Redis: \"%s\"", text);
}

/* Walks the lines that are there; settles at the first that decides. */
static void read_lines(struct run *r)
{
	struct redis *d = r->kind;
	size_t at = 0;

	for (int i = 0; i < d->replies; i++) {
		const char *line = d->answer + at, *end = memchr(line, '\n', d->have - at);
		size_t len;

		if (!end && d->have == sizeof(d->answer))
			settle_strange(r, line, d->have - at);
		if (!end)
			return;
		len = (size_t)(end - line);
		at += len + 1;
		if (len && line[len - 1] == '\r')
			len--;
		if (len && line[0] == '-') {
			settle_error(r, line, len);
			return;
		}
		bool last = i == d->replies - 1;
		if (last && len == 5 && memcmp(line, "+PONG", 5) == 0) {
			run_settle(r, true, PL_OK, "PONG");
			return;
		}
		if (last || len != 3 || memcmp(line, "+OK", 3) != 0) {
			settle_strange(r, line, len);
			return;
		}
	}
}

/* --- the exchange ------------------------------------------------------------------------------------------------- */

static void on_broken(struct run *r, ssize_t n)
{
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n == 0)
		run_settle(r, false, PL_PROTOCOL, "it closed the connection without an answer");
	else
		run_settle(r, false, PL_PROTOCOL, "%s", strerror(errno));
}

static void on_readable(struct run *r)
{
	struct redis *d = r->kind;
	ssize_t n = read(d->stream.fd, d->answer + d->have, sizeof(d->answer) - d->have);

	if (n <= 0) {
		on_broken(r, n);
		return;
	}
	d->have += (size_t)n;
	if (d->have && !strchr("+-", d->answer[0]))
		settle_strange(r, d->answer, d->have);
	else
		read_lines(r);
}

static void on_redis(void *arg, uint32_t events)
{
	struct run *r = arg;
	struct redis *d = r->kind;
	ssize_t n;

	(void)events;
	if (!stream_ready(&d->stream, r))
		return;
	if (d->sent == d->ask_len) {
		on_readable(r);
		return;
	}
	n = send(d->stream.fd, d->ask + d->sent, d->ask_len - d->sent, MSG_NOSIGNAL);
	if (n <= 0) {
		on_broken(r, n);
		return;
	}
	d->sent += (size_t)n;
	if (d->sent == d->ask_len)
		watch_set(d->stream.watch, EPOLLIN);
}

static void redis_start(struct run *r)
{
	struct redis *d = r->kind;

	d->sent = d->have = 0;
	stream_connect(&d->stream, r, on_redis);
}

static void redis_stop(struct run *r)
{
	stream_close(&((struct redis *)r->kind)->stream);
}

static void redis_release(struct run *r)
{
	struct redis *d = r->kind;
	explicit_bzero(d->ask, sizeof(d->ask));
}

static const char *redis_awaits(const struct run *r)
{
	return stream_awaits(&((const struct redis *)r->kind)->stream);
}

const struct run_ops run_redis = {
	.size = sizeof(struct redis),
	.prepare = redis_prepare,
	.start = redis_start,
	.stop = redis_stop,
	.release = redis_release,
	.awaits = redis_awaits,
};
