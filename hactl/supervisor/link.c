/* link.c - heartbeats: one UDP socket a path, packets stamped at the moment they leave. */
#include "hactl/supervisor/private.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { GOOD_LOOKS = 3 };	     /* in a row, until a path that was called silent is called back */
#define HELLO_EVERY (20 * US_PER_MS) /* two strangers must not answer each other's answers for ever */

static void send_on(struct path *p, const uint8_t *bytes, size_t len)
{
	bool failed = sendto(p->fd, bytes, len, MSG_DONTWAIT, (struct sockaddr *)p->to, p->to_len) < 0;

	if (failed && !p->failing)
		log_warn("heartbeats cannot leave on path %d: %s", (int)(p - p->s->path), strerror(errno));
	p->failing = failed;
}

void link_send(struct sup *s, const struct msg *m)
{
	uint8_t bytes[WIRE_MAX];
	us_t now = now_us();

	s->last_sent = *m;
	wire_stamp(&s->wire, &s->last_sent, now);
	for (int i = 0; i < s->n_paths; i++) {
		struct msg copy = s->last_sent;
		int len;

		wire_path_stamp(&s->path[i].wire, &s->wire, &copy, now);
		len = wire_encode(&s->key, &copy, bytes);
		if (len > 0)
			send_on(&s->path[i], bytes, (size_t)len);
	}
}

/* A stranger's first packet is answered by a plain beat that echoes it, so that its next one proves itself fresh. */
static void answer_hello(struct sup *s)
{
	struct msg m = s->last_sent;
	us_t now = now_us();

	if (now - s->hello_at < HELLO_EVERY || !m.incarnation)
		return;
	s->hello_at = now;
	m.kind = MSG_BEAT;
	m.nonce = m.for_incarnation = 0;
	m.flags &= (uint16_t)~FLAG_SYNC_OK;
	link_send(s, &m);
}

static void take(struct path *p, const struct msg *m)
{
	struct sup *s = p->s;

	switch (wire_accept(&s->wire, &p->wire, m, now_us())) {
	case WIRE_OK:
		s->heard = *m;
		s->heard_at = now_us();
		if (m->gtid[0])
			STR_COPY(s->peer_at, m->gtid);
		if (m->role == ROLE_PRIMARY)
			s->heard_primary_at = s->heard_at;
		pump_msg(s, m);
		break;
	case WIRE_HELLO:
		answer_hello(s);
		break;
	default:
		break; /* counted; no effect */
	}
}

static void on_packet(void *arg, uint32_t events)
{
	struct path *p = arg;
	uint8_t bytes[WIRE_MAX + 1];

	(void)events;
	for (int i = 0; i < 64; i++) { /* a flood must not starve the timers */
		ssize_t n = recv(p->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
		enum wire_verdict v;
		struct msg m;

		if (n < 0)
			return; /* EAGAIN, or an ICMP error of a packet we sent: the peer's silence says it all */
		v = wire_decode(&p->s->key, bytes, (size_t)n, &m);
		if (v == WIRE_OK)
			take(p, &m);
		else
			wire_count(&p->s->wire, v);
	}
}

static int open_path(struct sup *s, const char *mine, const char *theirs, struct err *e)
{
	struct path *p = &s->path[s->n_paths];
	struct sockaddr_storage from;
	unsigned len;
	int on = 1;

	s->n_paths++;
	p->s = s;
	p->fd = -1;
	p->local = mine;
	p->remote = theirs;
	wire_path_init(&p->wire);
	p->to = xcalloc(1, sizeof(*p->to));
	if (sockaddr_make(mine, s->conf->heartbeat_port, &from, &len, e) ||
		sockaddr_make(theirs, s->conf->heartbeat_port, p->to, &p->to_len, e))
		return -1;
	p->fd = socket(from.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (p->fd < 0)
		return err_set(e, "heartbeat socket: %s", strerror(errno));
	/* an address that the network brings up later must not keep hactl from starting */
	setsockopt(p->fd, IPPROTO_IP, IP_FREEBIND, &on, sizeof(on));
	if (bind(p->fd, (struct sockaddr *)&from, len))
		return err_set(e, "heartbeat port %s:%d cannot be taken: %s; is another hactl running?", mine,
			s->conf->heartbeat_port, strerror(errno));
	p->watch = watch_new(s->loop, p->fd, EPOLLIN, on_packet, p);
	return p->watch ? 0 : err_set(e, "heartbeat path %s - %s cannot be watched", mine, theirs);
}

int link_open(struct sup *s, struct err *e)
{
	if (open_path(s, s->conf->node[s->me].address, s->conf->node[s->peer].address, e))
		return -1;
	for (int i = 0; i < s->conf->n_links; i++)
		if (open_path(s, s->conf->link[i][s->me], s->conf->link[i][s->peer], e))
			return -1;
	return 0;
}

/* Silence shorter than this on one path is the network's weather. */
static us_t patience(const struct sup *s)
{
	us_t ten = 10 * s->conf->heartbeat_interval;

	return ten > US_PER_SEC ? ten : US_PER_SEC;
}

/* One dead path is an alert and no failover: the others carry the heartbeats. When all are dead the core says so. */
static void watch_path(struct path *p, bool peer_heard, us_t now)
{
	struct sup *s = p->s;
	us_t since = p->wire.heard_at > s->wire.peer_since ? p->wire.heard_at : s->wire.peer_since;
	bool silent = now - since > patience(s);

	p->good = silent ? 0 : p->good + 1;
	if (p->told && !silent && p->good < GOOD_LOOKS) /* a packet now and then is not yet a path */
		return;
	p->silent = silent;
	if (silent && peer_heard && !p->told) {
		p->told = true;
		hooks_alert(s, LOG_LVL_WARN,
			"heartbeat path %s - %s is silent; the pair hangs on what is left: check that network",
			p->local, p->remote);
	} else if (!silent && p->told) {
		p->told = false;
		hooks_alert(s, LOG_LVL_NOTICE, "heartbeat path %s - %s is back", p->local, p->remote);
	}
}

void link_watch(struct sup *s)
{
	us_t now = now_us();
	bool heard = s->wire.peer_incarnation && now - s->wire.heard_at < patience(s) / 2;

	for (int i = 0; s->wire.peer_incarnation && i < s->n_paths; i++)
		watch_path(&s->path[i], heard, now);
}

void link_close(struct sup *s)
{
	for (int i = 0; i < s->n_paths; i++) {
		watch_free(s->path[i].watch);
		cleanup_close(&s->path[i].fd);
		free(s->path[i].to);
	}
	s->n_paths = 0;
}
