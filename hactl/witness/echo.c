/* echo.c - echo requests to one address by a raw socket that is connected to it: the kernel then hands over nothing from elsewhere. */
#include "hactl/witness/witness.h"

#include <errno.h>
#include <linux/icmp.h>
#include <netinet/icmp6.h>
#include <netinet/ip.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SECRET = 16 };

struct packet { /* the same layout in both versions */
	uint8_t type, code;
	uint16_t checksum;
	uint16_t id, sequence;
	uint8_t secret[SECRET];
};
_Static_assert(sizeof(struct packet) == 8 + SECRET, "no gaps on the wire");

/* What the two versions of ICMP do differently. */
static const struct version {
	int family, protocol;
	uint8_t request, answer;
	bool ip_header; /* stands in front of what is read */
	bool checksum;	/* ours to fill in; the kernel does it for version 6 */
} versions[] = {
	{ AF_INET, IPPROTO_ICMP, ICMP_ECHO, ICMP_ECHOREPLY, true, true },
	{ AF_INET6, IPPROTO_ICMPV6, ICMP6_ECHO_REQUEST, ICMP6_ECHO_REPLY, false, false },
};

struct echo {
	const struct version *version;
	int fd;
	struct watch *watch;
	char address[64];
	struct packet request;
	bool answered;
	echo_fn *fn;
	void *arg;
};

static uint16_t internet_checksum(const void *data, size_t len)
{
	const uint8_t *p = data;
	uint32_t sum = 0;

	for (size_t i = 0; i + 1 < len; i += 2)
		sum += (uint32_t)(p[i] << 8 | p[i + 1]);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t)~sum);
}

static bool is_ours(const struct echo *x, const uint8_t *bytes, size_t n)
{
	size_t head = x->version->ip_header && n ? (bytes[0] & 15u) * 4u : 0;
	struct packet p;

	if (n < head + sizeof(p))
		return false;
	memcpy(&p, bytes + head, sizeof(p));
	return p.type == x->version->answer && p.code == 0 && p.id == x->request.id &&
	       ntohs(p.sequence) <= ntohs(x->request.sequence) && memcmp(p.secret, x->request.secret, SECRET) == 0;
}

static void on_packet(void *arg, uint32_t events)
{
	struct echo *x = arg;
	uint8_t bytes[256];
	ssize_t n;

	(void)events;
	for (int i = 0; i < 64 && !x->answered; i++) { /* a flood must not starve the timers */
		n = recv(x->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
		if (n < 0)
			return; /* nothing more, or an error in the network: silence says the same */
		x->answered = is_ours(x, bytes, (size_t)n);
	}
	if (!x->answered)
		return;
	watch_set(x->watch, 0);
	x->fn(x->arg, x->address); /* may free x */
}

static void only_answers(const struct echo *x)
{
	struct icmp_filter v4 = { ~(1u << ICMP_ECHOREPLY) };
	struct icmp6_filter v6;

	ICMP6_FILTER_SETBLOCKALL(&v6);
	ICMP6_FILTER_SETPASS(ICMP6_ECHO_REPLY, &v6);
	/* less to wake for; is_ours does not rely on it */
	if (x->version->family == AF_INET)
		setsockopt(x->fd, SOL_RAW, ICMP_FILTER, &v4, sizeof(v4));
	else
		setsockopt(x->fd, IPPROTO_ICMPV6, ICMP6_FILTER, &v6, sizeof(v6));
}

static int open_echo(struct echo *x, struct loop *l, struct err *e)
{
	struct sockaddr_storage to;
	socklen_t len;

	if (sockaddr_make(x->address, 0, &to, &len, e))
		return -1;
	x->version = &versions[to.ss_family == AF_INET6];
	x->fd = socket(to.ss_family, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, x->version->protocol);
	if (x->fd < 0)
		return err_set(e, "echo requests need a raw socket (CAP_NET_RAW): %s", strerror(errno));
	only_answers(x);
	if (connect(x->fd, (struct sockaddr *)&to, len))
		return err_set(e, "%s cannot be asked: %s", x->address, strerror(errno));
	x->watch = watch_new(l, x->fd, EPOLLIN, on_packet, x);
	if (!x->watch)
		return err_set(e, "%s: its answers cannot be watched", x->address);
	x->request = (struct packet){ .type = x->version->request };
	if (getrandom(&x->request.id, sizeof(x->request.id), 0) != sizeof(x->request.id) ||
		getrandom(x->request.secret, SECRET, 0) != SECRET)
		return err_set(e, "no random numbers: %s", strerror(errno));
	return 0;
}

struct echo *echo_new(struct loop *l, const char *address, echo_fn *fn, void *arg, struct err *e)
{
	struct echo *x = xcalloc(1, sizeof(*x));

	x->fd = -1;
	x->fn = fn;
	x->arg = arg;
	STR_COPY(x->address, address);
	if (open_echo(x, l, e) == 0)
		return x;
	echo_free(x);
	return NULL;
}

void echo_send(struct echo *x)
{
	if (x->answered)
		return;
	x->request.sequence = htons((uint16_t)(ntohs(x->request.sequence) + 1));
	x->request.checksum = 0;
	if (x->version->checksum)
		x->request.checksum = internet_checksum(&x->request, sizeof(x->request));
	/* the first send after an ICMP error only reports that error */
	for (int i = 0; i < 2 && send(x->fd, &x->request, sizeof(x->request), MSG_DONTWAIT) < 0; i++)
		continue;
}

void echo_free(struct echo *x)
{
	if (!x)
		return;
	watch_free(x->watch);
	cleanup_close(&x->fd);
	free(x);
}
