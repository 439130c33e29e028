/* stream.c - non-blocking connect to a numeric address. */
#include "probes/stream.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <unistd.h>

int stream_prepare(struct stream *s, const struct run *r, struct err *e)
{
	const struct addrinfo hint = { .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM };
	struct addrinfo *found = NULL;
	char port[16];

	s->fd = -1;
	if (r->spec->port < 1 || r->spec->port > 65535)
		return err_set(e, "wants a port from 1 to 65535");
	snprintf(port, sizeof(port), "%d", r->spec->port);
	if (getaddrinfo(r->spec->host, port, &hint, &found) != 0)
		return err_set(
			e, "\"%s\" is no numeric address; this type of probe does not resolve names", r->spec->host);
	memcpy(&s->addr, found->ai_addr, found->ai_addrlen);
	s->addr_len = found->ai_addrlen;
	freeaddrinfo(found);
	return 0;
}

void stream_fault(struct run *r, int os_errno)
{
	if (os_errno == ECONNREFUSED)
		run_settle(r, false, PL_REFUSED, "connection refused");
	else
		run_settle(r, false, PL_SOCKET, "%s", strerror(os_errno));
}

void stream_connect(struct stream *s, struct run *r, watch_fn *fn)
{
	static const struct linger at_once = { .l_onoff = 1, .l_linger = 0 }; /* no TIME_WAIT a probe: see easy.c */
	static const int on = 1;

	s->connected = false;
	s->fd = socket(s->addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (s->fd < 0) {
		stream_fault(r, errno);
		return;
	}
	setsockopt(s->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (connect(s->fd, (const struct sockaddr *)&s->addr, s->addr_len) && errno != EINPROGRESS) {
		stream_fault(r, errno);
		return;
	}
	s->watch = watch_new(r->loop, s->fd, EPOLLOUT, fn, r);
	if (!s->watch)
		stream_fault(r, errno);
}

bool stream_ready(struct stream *s, struct run *r)
{
	socklen_t len = sizeof(int);
	int why = 0;

	if (s->connected)
		return true;
	getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &why, &len);
	if (why) {
		stream_fault(r, why);
		return false;
	}
	s->connected = true;
	return true;
}

void stream_close(struct stream *s)
{
	watch_free(s->watch);
	s->watch = NULL;
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
}

const char *stream_awaits(const struct stream *s)
{
	return s->connected ? "connected, then silence" : "not connected";
}
