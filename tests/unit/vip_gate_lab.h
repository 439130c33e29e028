/* vip_gate_lab.h - what the tests of the gate share: a host that holds an address behind a gate, and ways to see what passes.
 *
 * The gate stands in front of one address of each family; every test runs with the traffic of IPv4 and again with that of IPv6.
 */
#ifndef TESTS_UNIT_VIP_GATE_LAB_H
#define TESTS_UNIT_VIP_GATE_LAB_H

#include "tests/unit/vip_lab.h"
#include "vip/arp.h"
#include "vip/nd.h"
#include "vip/gate_rules.h"

#include <setjmp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

enum { PORT = 21306, INNER_PORT = 21307, LONG = 60, /* seconds: does not end within a test */ MARK_PORT = 21400 };

struct fix {
	struct lab *b;
	const struct lab_net *n;
	struct gate *g;
	struct err e;
	int broken; /* callbacks */
};

static inline void on_broken(void *arg)
{
	((struct fix *)arg)->broken++;
}

static inline bool is_broken(void *arg)
{
	return ((struct fix *)arg)->broken > 0;
}

static const struct vip_spec spec[] = { { VIP, AF_INET, 32, "eth0" }, { "fd77::100", AF_INET6, 128, "eth0" } };
static const struct gate_spec gated = { .vip = spec, .n_vips = 2 };

static inline struct gate *new_gate(struct fix *f, const char *name, us_t until)
{
	lab_enter(f->b->host);
	return gate_new(f->b->loop, name, &gated, until, on_broken, f, &f->e);
}

static inline void hold(struct fix *f, const char *verb)
{
	lab_sh(f->b->host, "ip addr %s %s/%d dev eth0", verb, f->n->vip, f->n->len);
}

static inline int setup(void **state, const struct lab_net *n)
{
	struct fix *f = xcalloc(1, sizeof(*f));
	f->b = lab_new();
	f->n = n;
	hold(f, "add");
	f->g = new_gate(f, "hactl-n1", 0);
	*state = f;
	return f->g ? 0 : -1;
}

static int setup4(void **state)
{
	return setup(state, &lab_v4);
}

static int setup6(void **state)
{
	return setup(state, &lab_v6);
}

static inline int teardown(void **state)
{
	struct fix *f = *state;
	gate_free(f->g);
	lab_free(f->b);
	free(f);
	return 0;
}

static inline us_t seconds(int s)
{
	return now_us() + s * US_PER_SEC;
}

/* A child that ends with this process, also when an assertion jumps over its kill. */
static inline pid_t fork_bound(void)
{
	pid_t child = fork();
	if (child == 0)
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	assert_true(child >= 0);
	return child;
}

static inline void open_long(struct fix *f)
{
	assert_int_equal(gate_open(f->g, seconds(LONG), &f->e), 0);
	assert_true(gate_is_open(f->g, now_us()));
}

/* Does a packet from ns to ip pass? Not by waiting: another one, sent after it to the host's own address, arrives by the same way;
 * when that one is there, the first has arrived or never will. */
static inline bool packet_passes(struct fix *f, int ns, const char *ip)
{
	int to = lab_bind(f->b->host, SOCK_DGRAM, ip, PORT),
	    mark = lab_bind(f->b->host, SOCK_DGRAM, f->n->host, MARK_PORT);
	struct sockaddr_storage a = lab_addr(ip, PORT), m = lab_addr(f->n->host, MARK_PORT);
	char c;
	lab_enter(ns);
	int fd = socket(f->n->family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	sendto(fd, "x", 1, 0, (struct sockaddr *)&a, sizeof(a));
	sendto(fd, "m", 1, 0, (struct sockaddr *)&m, sizeof(m));
	bool marked = lab_ready(mark, POLLIN, LAB_BOUND_MS);
	bool passed = recv(to, &c, 1, MSG_DONTWAIT) == 1;
	close(fd);
	close(to);
	close(mark);
	assert_true(marked);
	return passed;
}

/* The client knows the MAC by hand, so that ARP does not decide whether a packet comes. */
static inline void know_mac(struct fix *f)
{
	lab_sh(f->b->host, "ip link set eth0 address 02:77:00:00:00:01");
	lab_sh(f->b->client,
		"for a in %s %s %s; do ip neigh replace $a lladdr 02:77:00:00:00:01 dev eth0 nud permanent || exit 1; "
		"done",
		f->n->vip, f->n->vip2, f->n->host);
}

/* An established connection from the client to ip:port; the server's end is accepted at listener. */
struct stream {
	int client, server;
};

static inline struct stream establish(struct fix *f, int listener, const char *ip, int port)
{
	struct stream s = { .client = lab_dial(f->b->client, ip, port) };
	assert_true(lab_connected(s.client, LAB_BOUND_MS));
	assert_true(lab_ready(listener, POLLIN, LAB_BOUND_MS));
	s.server = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	assert_true(s.server >= 0);
	assert_true(lab_byte(s.client, s.server, LAB_BOUND_MS));
	assert_true(lab_byte(s.server, s.client, LAB_BOUND_MS));
	return s;
}

static inline void hang_up(struct stream s)
{
	close(s.client);
	close(s.server);
}

/* Sends there and back until it is answered no more; when the last answer's question was asked. Answers within the bound stop only
 * because somebody cut them: nobody closes. */
static inline us_t last_answer(struct stream s)
{
	us_t last = 0, end = now_us() + LAB_BOUND_MS * US_PER_MS;
	for (;;) {
		us_t asked = now_us();
		assert_true(asked < end); /* nothing cut it */
		if (!lab_byte(s.client, s.server, 300) || !lab_byte(s.server, s.client, 300))
			return last;
		last = asked;
	}
}

/* What waits in a connection comes through once the gate is open: it was the gate that cut it, and nothing else. */
static inline void revives(struct fix *f, struct stream s)
{
	open_long(f);
	char c;
	assert_true(lab_ready(s.server, POLLIN, LAB_BOUND_MS) || lab_ready(s.client, POLLIN, LAB_BOUND_MS));
	while (recv(s.server, &c, 1, 0) == 1 || recv(s.client, &c, 1, 0) == 1)
		;
}

/* ARP or ND for the address is answered only when open. The host's own address is asked for after it and answers always. */
static inline bool neighbour_answers(struct fix *f)
{
	static const uint8_t mac[MAC_LEN] = { 0x02, 0x77, 0, 0, 0, 0x02 };
	bool six = f->n->family == AF_INET6;
	auto_free char *index = lab_output(f->b->client, "ip -o link show dev eth0 | cut -d: -f1");
	struct ip both[2];
	struct claim c = { 0 };
	bool answered = false;
	assert_true(ip_parse(f->n->family, f->n->vip, &both[0]) && ip_parse(f->n->family, f->n->host, &both[1]));
	lab_sh(f->b->client, "ip link set eth0 address 02:77:00:00:00:02");
	lab_enter(f->b->client);
	int hear = (six ? nd_listen_socket : arp_listen_socket)(both, 2, &f->e), say = frame_send_socket(&f->e);
	assert_true(hear >= 0 && say >= 0);
	for (size_t i = 0; i < 2; i++)
		(six ? nd_probe : arp_probe)(say, atoi(index), mac, &both[i]);
	while (!ip_equal(&c.address, &both[1])) {
		assert_true(lab_ready(hear, POLLIN, LAB_BOUND_MS));
		while (!ip_equal(&c.address, &both[1]) && (six ? nd_next_claim : arp_next_claim)(hear, &c))
			answered |= ip_equal(&c.address, &both[0]);
	}
	close(hear);
	close(say);
	return answered;
}

static inline int run_as_root(const char *name, const struct CMUnitTest *tests, size_t n)
{
	if (geteuid() == 0)
		return _cmocka_run_group_tests(name, tests, n, NULL, NULL);
	fprintf(stderr, "%s: needs root for network namespaces: skipped\n", name);
	return 0;
}

#endif
