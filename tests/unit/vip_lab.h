/* vip_lab.h - network namespaces for the tests of vip/: a host, a client beside it, a container behind it. All of it belongs to this
 * process alone and is gone with it, however it ends. Root is needed.
 *
 *   client eth0 10.77.0.2/24 ---- eth0 10.77.0.1/24 host 172.30.0.1/24 c0 ---- eth0 172.30.0.2/24 container
 *                fd77::2/64            fd77::1/64        fd72::1/64                    fd72::2/64
 */
#ifndef TESTS_UNIT_VIP_LAB_H
#define TESTS_UNIT_VIP_LAB_H

#include "vip/vip.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#define VIP "10.77.0.100"

/* The same lab in the words of one family. */
struct lab_net {
	int family, len; /* prefix length of a single address */
	const char *vip, *vip2, *host, *client, *container, *any;
	const char *nft; /* table family, and the word before saddr */
	const char *six; /* ends the names of the gate's sets */
};
static const struct lab_net lab_v4 = { AF_INET, 32, VIP, "10.77.0.101", "10.77.0.1", "10.77.0.2", "172.30.0.2",
	"0.0.0.0", "ip", "" };
static const struct lab_net lab_v6 = { AF_INET6, 128, "fd77::100", "fd77::101", "fd77::1", "fd77::2", "fd72::2",
	"::", "ip6", "6" };

enum { LAB_BOUND_MS = 15000 }; /* longest wait for a state; reaching it is a failure */

struct lab {
	int host, client, container;
	struct loop *loop;
};

#define LAB_MUST(x)                                                                                                    \
	do {                                                                                                           \
		if (!(x)) {                                                                                            \
			fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #x, strerror(errno));                   \
			abort();                                                                                       \
		}                                                                                                      \
	} while (0)

static inline void lab_enter(int ns)
{
	LAB_MUST(setns(ns, CLONE_NEWNET) == 0);
}

static inline int lab_new_ns(void)
{
	LAB_MUST(unshare(CLONE_NEWNET) == 0);
	int fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	LAB_MUST(fd >= 0);
	return fd;
}

/* Runs a shell command in a namespace; its exit status. */
__attribute__((format(printf, 2, 3))) static inline int lab_try(int ns, const char *fmt, ...)
{
	char cmd[2048];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(cmd, sizeof(cmd), fmt, ap);
	va_end(ap);
	lab_enter(ns);
	int status = system(cmd);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}
#define lab_sh(ns, ...) LAB_MUST(lab_try((ns), __VA_ARGS__) == 0)

static inline char *lab_output(int ns, const char *cmd) /* caller frees */
{
	lab_enter(ns);
	FILE *f = popen(cmd, "r");
	LAB_MUST(f);
	char *text = xcalloc(1, 65536);
	size_t n = fread(text, 1, 65535, f);
	text[n] = '\0';
	pclose(f);
	return text;
}

/* A link that has just come up drops what is sent until the kernel has given it a queue, which it does beside. */
static inline void lab_up(int ns, const char *link)
{
	lab_sh(ns, "timeout 15 sh -c 'until ip link show dev %s | grep -q \"state UP\"; do sleep 0.01; done'", link);
}

static inline struct lab *lab_new(void)
{
	struct lab *b = xcalloc(1, sizeof(*b));
	b->container = lab_new_ns();
	b->client = lab_new_ns();
	b->host = lab_new_ns();
	/* without duplicate address detection, which would keep every address of IPv6 dumb for a second */
	static const char quick[] = "echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad && ip link set lo up";
	lab_sh(b->client, "%s", quick);
	lab_sh(b->container, "%s", quick);
	lab_sh(b->host,
		"%s && ip link add eth0 type veth peer name eth0 netns /proc/%d/fd/%d && "
		"ip link add c0 type veth peer name eth0 netns /proc/%d/fd/%d && ip addr add 10.77.0.1/24 dev eth0 && "
		"ip addr add 172.30.0.1/24 dev c0 && ip addr add fd77::1/64 dev eth0 && ip addr add fd72::1/64 dev c0 "
		"&& "
		"ip link set eth0 up && ip link set c0 up && echo 1 > /proc/sys/net/ipv4/ip_forward && "
		"echo 1 > /proc/sys/net/ipv6/conf/all/forwarding",
		quick, getpid(), b->client, getpid(), b->container);
	lab_sh(b->client,
		"ip addr add 10.77.0.2/24 dev eth0 && ip addr add fd77::2/64 dev eth0 && ip link set eth0 up");
	lab_sh(b->container,
		"ip addr add 172.30.0.2/24 dev eth0 && ip addr add fd72::2/64 dev eth0 && ip link set eth0 up && "
		"ip route add default via 172.30.0.1 && ip route add default via fd72::1");
	lab_up(b->host, "eth0");
	lab_up(b->host, "c0");
	lab_up(b->client, "eth0");
	lab_up(b->container, "eth0");
	lab_enter(b->host);
	b->loop = loop_new(NULL);
	LAB_MUST(b->loop);
	return b;
}

static inline void lab_free(struct lab *b)
{
	loop_free(b->loop);
	close(b->host);
	close(b->client);
	close(b->container);
	free(b);
}

/* Runs the loop until cond(arg), for at most LAB_BOUND_MS. */
static inline bool lab_until(struct lab *b, bool (*cond)(void *), void *arg)
{
	us_t end = now_us() + LAB_BOUND_MS * US_PER_MS;
	while (!cond(arg)) {
		if (now_us() > end)
			return false;
		sd_event_run(loop_sd(b->loop), 20000);
	}
	return true;
}

/* Handles what is waiting in the loop now. */
static inline void lab_settle(struct lab *b)
{
	while (sd_event_run(loop_sd(b->loop), 0) > 0)
		;
}

static inline struct sockaddr_storage lab_addr(const char *ip, int port)
{
	struct sockaddr_storage a = { .ss_family = strchr(ip, ':') ? AF_INET6 : AF_INET };
	struct sockaddr_in *four = (struct sockaddr_in *)&a;
	struct sockaddr_in6 *six = (struct sockaddr_in6 *)&a;
	LAB_MUST(inet_pton(a.ss_family, ip,
			 a.ss_family == AF_INET ? (void *)&four->sin_addr : (void *)&six->sin6_addr) == 1);
	four->sin_port = htons((uint16_t)port); /* both have it in the same place */
	return a;
}

/* A bound socket in a namespace, listening if it is a stream. Not blocking. */
static inline int lab_bind(int ns, int type, const char *ip, int port)
{
	struct sockaddr_storage a = lab_addr(ip, port);
	bool six = a.ss_family == AF_INET6;
	lab_enter(ns);
	int fd = socket(a.ss_family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	LAB_MUST(fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int)) == 0);
	LAB_MUST(setsockopt(fd, six ? IPPROTO_IPV6 : IPPROTO_IP, six ? IPV6_FREEBIND : IP_FREEBIND, &(int){ 1 },
			 sizeof(int)) == 0);
	LAB_MUST(bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0 && (type != SOCK_STREAM || listen(fd, 8) == 0));
	return fd;
}

/* Begins a TCP connection; lab_connected tells when it stands. */
static inline int lab_dial(int ns, const char *ip, int port)
{
	struct sockaddr_storage a = lab_addr(ip, port);
	lab_enter(ns);
	int fd = socket(a.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	LAB_MUST(fd >= 0 && setsockopt(fd, IPPROTO_TCP, 1 /* TCP_NODELAY */, &(int){ 1 }, sizeof(int)) == 0);
	LAB_MUST(connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0 || errno == EINPROGRESS || errno == EPERM);
	return fd;
}

static inline bool lab_ready(int fd, short events, int ms)
{
	struct pollfd p = { .fd = fd, .events = events };
	return poll(&p, 1, ms) == 1 && (p.revents & events);
}

static inline bool lab_connected(int fd, int ms)
{
	int why = -1;
	socklen_t len = sizeof(why);
	return lab_ready(fd, POLLOUT, ms) && getsockopt(fd, SOL_SOCKET, SO_ERROR, &why, &len) == 0 && why == 0;
}

/* One byte from a to b, over an established connection, within ms. */
static inline bool lab_byte(int a, int b, int ms)
{
	char c = 'x';
	return send(a, &c, 1, MSG_NOSIGNAL) == 1 && lab_ready(b, POLLIN, ms) && recv(b, &c, 1, 0) == 1;
}

/* A test for the one, the other, or both in turn; of a file with setup4, setup6 and teardown. */
#define ONCE(fn) cmocka_unit_test_setup_teardown(fn, setup4, teardown)
#define SIX(fn)	 cmocka_unit_test_setup_teardown(fn, setup6, teardown)
/* clang-format off */
#define CASE(fn) { #fn " (IPv4)", fn, setup4, teardown, NULL }, { #fn " (IPv6)", fn, setup6, teardown, NULL }
/* clang-format on */

#endif
