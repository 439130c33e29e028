/* test_vip_gate.c - the kernel's gate with real traffic between namespaces: a client, a host with the addresses, a container behind it.
 *
 * The gate stands in front of one address of each family; every test runs with the traffic of IPv4 and again with that of IPv6. */
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

static void on_broken(void *arg)
{
	((struct fix *)arg)->broken++;
}

static bool is_broken(void *arg)
{
	return ((struct fix *)arg)->broken > 0;
}

static const struct vip_spec spec[] = { { VIP, AF_INET, 32, "eth0" }, { "fd77::100", AF_INET6, 128, "eth0" } };
static const struct gate_spec gated = { .vip = spec, .n_vips = 2 };

static struct gate *new_gate(struct fix *f, const char *name, us_t until)
{
	lab_enter(f->b->host);
	return gate_new(f->b->loop, name, &gated, until, on_broken, f, &f->e);
}

static void hold(struct fix *f, const char *verb)
{
	lab_sh(f->b->host, "ip addr %s %s/%d dev eth0", verb, f->n->vip, f->n->len);
}

static int setup(void **state, const struct lab_net *n)
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

static int teardown(void **state)
{
	struct fix *f = *state;
	gate_free(f->g);
	lab_free(f->b);
	free(f);
	return 0;
}

static us_t seconds(int s)
{
	return now_us() + s * US_PER_SEC;
}

/* A child that ends with this process, also when an assertion jumps over its kill. */
static pid_t fork_bound(void)
{
	pid_t child = fork();
	if (child == 0)
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	assert_true(child >= 0);
	return child;
}

static void open_long(struct fix *f)
{
	assert_int_equal(gate_open(f->g, seconds(LONG), &f->e), 0);
	assert_true(gate_is_open(f->g, now_us()));
}

/* Does a packet from ns to ip pass? Not by waiting: another one, sent after it to the host's own address, arrives by the same way;
 * when that one is there, the first has arrived or never will. */
static bool packet_passes(struct fix *f, int ns, const char *ip)
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
static void know_mac(struct fix *f)
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

static struct stream establish(struct fix *f, int listener, const char *ip, int port)
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

static void hang_up(struct stream s)
{
	close(s.client);
	close(s.server);
}

/* Sends there and back until it is answered no more; when the last answer's question was asked. Answers within the bound stop only
 * because somebody cut them: nobody closes. */
static us_t last_answer(struct stream s)
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
static void revives(struct fix *f, struct stream s)
{
	open_long(f);
	char c;
	assert_true(lab_ready(s.server, POLLIN, LAB_BOUND_MS) || lab_ready(s.client, POLLIN, LAB_BOUND_MS));
	while (recv(s.server, &c, 1, 0) == 1 || recv(s.client, &c, 1, 0) == 1)
		;
}

/* --- what is refused ------------------------------------------------------------------------------------------------ */

static void refuses_names(void **state)
{
	static const char *const bad[] = { "", "1node", "-n1", "a b", "n1;", "n1\n", "n1}", "@n1", "n/1",
		"n2345678901234567890123456789012345678901234567890123456789012345" };
	static const char *const good[] = { "n1", "hactl-n1", "_x", "web.example-1" };
	struct fix *f = *state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		f->e.text[0] = '\0';
		assert_null(new_gate(f, bad[i], 0));
		assert_non_null(strstr(f->e.text, "name"));
		assert_int_equal(gate_remove(bad[i], &f->e), -1);
	}
	assert_int_equal(gate_remove(NULL, &f->e), -1);
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		struct gate *g = new_gate(f, good[i], 0);
		assert_non_null(g);
		gate_free(g);
		assert_int_equal(gate_remove(good[i], &f->e), 0);
	}
}

static void refuses_specs(void **state)
{
	static const struct vip_spec bad[] = { { "10.77.0.100", AF_INET6, 128, "eth0" },
		{ "fd77::100", AF_INET, 32, "eth0" }, { "10.77.0", AF_INET, 32, "eth0" }, { "", AF_INET6, 128, "eth0" },
		{ VIP, AF_UNIX, 32, "eth0" }, { VIP, AF_INET, 32, "" } };
	static const struct vip_spec twice[] = { { "fd77::100", AF_INET6, 128, "eth0" },
		{ "fd77:0::100", AF_INET6, 64, "eth1" } };
	static const uint16_t no_port[] = { 3306, 0 };
	static const char not_a_peer[][64] = { "10.77.0.2", "n2.example.com" };
	const struct gate_spec wrong[] = {
		{ .vip = twice, .n_vips = 2 },
		{ .vip = spec, .n_vips = 0 },
		{ .vip = spec, .n_vips = 1000 },
		{ .vip = spec, .n_vips = 2, .port = no_port, .n_ports = 2 },
		{ .vip = spec, .n_vips = 2, .port = no_port, .n_ports = 1000 },
		{ .vip = spec, .n_vips = 2, .port = no_port, .n_ports = 1, .peer = not_a_peer, .n_peers = 2 },
	};
	struct fix *f = *state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct gate_spec one = { .vip = &bad[i], .n_vips = 1 };
		assert_null(gate_new(f->b->loop, "bad", &one, 0, NULL, NULL, &f->e));
	}
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
		assert_null(gate_new(f->b->loop, "bad", &wrong[i], 0, NULL, NULL, &f->e));
	assert_int_not_equal(lab_try(f->b->host, "nft list tables | grep -q bad"), 0);
}

/* --- open and shut ------------------------------------------------------------------------------------------------------ */

static void packets_pass_only_when_open(void **state)
{
	struct fix *f = *state;
	know_mac(f);
	assert_false(gate_is_open(f->g, now_us()));
	assert_false(packet_passes(f, f->b->client, f->n->vip));
	assert_false(packet_passes(f, f->b->host, f->n->vip));	    /* its own clients, over lo */
	assert_false(packet_passes(f, f->b->container, f->n->vip)); /* and those that come by another interface */
	open_long(f);
	assert_true(packet_passes(f, f->b->container, f->n->vip));
	assert_true(packet_passes(f, f->b->client, f->n->vip));
	assert_true(packet_passes(f, f->b->host, f->n->vip));
	assert_int_equal(gate_shut(f->g, &f->e), 0);
	assert_false(gate_is_open(f->g, now_us()));
	assert_false(packet_passes(f, f->b->client, f->n->vip));
	assert_false(packet_passes(f, f->b->host, f->n->vip));
	assert_int_equal(gate_shut(f->g, &f->e), 0);
	assert_int_equal(f->broken, 0);
}

/* With the address gone a moment ago packets still arrive, by the neighbours' caches: DNAT must not see them. */
static void shut_without_the_address(void **state)
{
	struct fix *f = *state;
	know_mac(f);
	hold(f, "del");
	lab_sh(f->b->host,
		"nft 'table %s t { chain c { type nat hook prerouting priority -100; %s daddr %s dnat to %s; }; }'",
		f->n->nft, f->n->nft, f->n->vip, f->n->host);
	int fd = lab_bind(f->b->host, SOCK_DGRAM, f->n->host, PORT);
	assert_false(packet_passes(f, f->b->client, f->n->vip));
	assert_false(lab_ready(fd, POLLIN, 0));
	open_long(f);
	packet_passes(f, f->b->client, f->n->vip);
	assert_true(lab_ready(fd, POLLIN, LAB_BOUND_MS)); /* so the DNAT rule does work */
	close(fd);
}

static void connects_only_when_open(void **state)
{
	struct fix *f = *state;
	int listener = lab_bind(f->b->host, SOCK_STREAM, f->n->any, PORT);
	int fd = lab_dial(f->b->client, f->n->vip, PORT);
	assert_false(lab_connected(fd, 300));
	close(fd);
	open_long(f);
	hang_up(establish(f, listener, f->n->vip, PORT));
	close(listener);
}

/* ARP or ND for the address is answered only when open. The host's own address is asked for after it and answers always. */
static bool neighbour_answers(struct fix *f)
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

static void neighbours_answered_only_when_open(void **state)
{
	struct fix *f = *state;
	assert_false(neighbour_answers(f));
	open_long(f);
	assert_true(neighbour_answers(f));
	assert_int_equal(gate_shut(f->g, &f->e), 0);
	assert_false(neighbour_answers(f));
}

/* Somebody's proxy entry for the address answers in this host's own name: the advertisement's target counts, not its source. */
static void proxy_does_not_answer_when_shut(void **state)
{
	struct fix *f = *state;
	hold(f, "del");
	lab_sh(f->b->host,
		"echo 1 >/proc/sys/net/ipv6/conf/eth0/proxy_ndp && echo 0 >/proc/sys/net/ipv6/neigh/eth0/proxy_delay "
		"&& "
		"ip -6 neigh add proxy %s dev eth0",
		f->n->vip);
	assert_false(neighbour_answers(f));
	open_long(f);
	assert_true(neighbour_answers(f));
}

/* A standby whose containers are clients of the pair: they reach the primary through this host while its own gate is shut. */
static void standby_forwards_its_containers(void **state)
{
	struct fix *f = *state;
	hold(f, "del");
	lab_sh(f->b->host,
		"nft 'table %s m { chain c { type nat hook postrouting priority 100; oifname eth0 masquerade; }; }'",
		f->n->nft);
	lab_sh(f->b->client, "ip addr add %s/%d dev eth0", f->n->vip, f->n->len); /* the client plays the primary */
	int listener = lab_bind(f->b->client, SOCK_STREAM, f->n->vip, PORT);
	struct stream s = { .client = lab_dial(f->b->container, f->n->vip, PORT) };
	assert_true(lab_connected(s.client, LAB_BOUND_MS));
	assert_true(lab_ready(listener, POLLIN, LAB_BOUND_MS));
	s.server = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(lab_byte(s.client, s.server, LAB_BOUND_MS) && lab_byte(s.server, s.client, LAB_BOUND_MS));
	int own = lab_dial(f->b->host, f->n->vip, PORT); /* and so do the standby's own programs */
	assert_true(lab_connected(own, LAB_BOUND_MS));
	close(own);
	hang_up(s);
	close(listener);
}

/* --- the lease ------------------------------------------------------------------------------------------------------------- */

static void open_too_late(void **state)
{
	struct fix *f = *state;
	know_mac(f);
	open_long(f);
	assert_int_equal(gate_open(f->g, now_us() - 1, &f->e), -1);
	assert_non_null(strstr(f->e.text, "over"));
	assert_false(gate_is_open(f->g, now_us()));
	assert_false(packet_passes(f, f->b->client, f->n->vip));
	assert_int_equal(gate_open(f->g, now_us() + 1, &f->e), -1);
	assert_false(packet_passes(f, f->b->client, f->n->vip));
}

/* The last call counts, be it earlier or later. */
static void renews_to_the_last_moment_named(void **state)
{
	struct fix *f = *state;
	struct nft_link l;
	struct gate_shape s;
	lab_enter(f->b->host);
	assert_int_equal(nft_link_open(&l, &f->e), 0);
	assert_int_equal(shape_make(&s, "hactl-n1", &gated, &f->e), 0);
	assert_int_equal(rules_alive_ms(&l, &s), 0);
	for (int i = 0; i < 200; i++) {
		int secs = i % 2 ? 20 : 40;
		assert_int_equal(gate_open(f->g, seconds(secs), &f->e), 0);
		int64_t left = rules_alive_ms(&l, &s);
		assert_in_range(left, secs * 1000 / 2 + 1, secs * 1000 - 1);
	}
	nft_link_close(&l);
}

static void stream_ends_by_itself(void **state)
{
	struct fix *f = *state;
	int listener = lab_bind(f->b->host, SOCK_STREAM, f->n->any, PORT);
	open_long(f);
	struct stream s = establish(f, listener, f->n->vip, PORT);
	us_t until = now_us() + 400 * US_PER_MS;
	assert_int_equal(gate_open(f->g, until, &f->e), 0);
	us_t last = last_answer(s);
	print_message("last answer %.1f ms before the lease's end\n", (double)(until - last) / 1000);
	assert_true(last < until);
	assert_false(gate_is_open(f->g, now_us()));
	revives(f, s);
	hang_up(s);
	close(listener);
}

/* A published port, as container engines do it. Whichever end speaks first after the end, nothing passes. */
static void dnat_stream_ends_by_itself(void **state)
{
	static const struct {
		int family;
		const char *nat, *listens;
		bool in_container;
	} way[] = {
		{ AF_INET, "dnat to 172.30.0.2:21307", "172.30.0.2", true },
		{ AF_INET, "redirect to :21307", "0.0.0.0", false },
		{ AF_INET, "dnat to 127.0.0.1:21307", "127.0.0.1", false },
		{ AF_INET6, "dnat to [fd72::2]:21307", "fd72::2", true },
		{ AF_INET6, "redirect to :21307", "::", false },
	};
	struct fix *f = *state;
	lab_sh(f->b->host, "echo 1 > /proc/sys/net/ipv4/conf/eth0/route_localnet");
	for (size_t i = 0; i < ARRAY_LEN(way); i++) {
		if (way[i].family != f->n->family)
			continue;
		int ns = way[i].in_container ? f->b->container : f->b->host;
		int listener = lab_bind(ns, SOCK_STREAM, way[i].listens, INNER_PORT);
		lab_sh(f->b->host,
			"nft 'table %s t { chain c { type nat hook prerouting priority -100; %s daddr %s"
			" tcp dport 21306 %s; }; }'",
			f->n->nft, f->n->nft, f->n->vip, way[i].nat);
		open_long(f);
		struct stream s = establish(f, listener, f->n->vip, PORT),
			      push = establish(f, listener, f->n->vip, PORT);
		us_t until = now_us() + 200 * US_PER_MS;
		assert_int_equal(gate_open(f->g, until, &f->e), 0);
		us_t last = last_answer(s);
		print_message(
			"%s: last answer %.1f ms before the lease's end\n", way[i].nat, (double)(until - last) / 1000);
		assert_false(lab_byte(push.server, push.client, 300)); /* what the server says by itself */
		hold(f, "del"); /* and with the address taken away, as a demotion does */
		assert_false(lab_byte(push.client, push.server, 300));
		hold(f, "add");
		revives(f, s);
		hang_up(s);
		hang_up(push);
		close(listener);
		lab_sh(f->b->host, "nft delete table %s t", f->n->nft);
	}
}

static void shuts_after_sigkill(void **state)
{
	struct fix *f = *state;
	int listener = lab_bind(f->b->host, SOCK_STREAM, f->n->any, PORT), said[2];
	us_t until = 0;
	open_long(f);
	struct stream s = establish(f, listener, f->n->vip, PORT);
	assert_int_equal(pipe2(said, O_CLOEXEC), 0);
	pid_t child = fork_bound();
	if (child == 0) { /* renews for ever */
		for (;;) {
			until = now_us() + 300 * US_PER_MS;
			if (gate_open(f->g, until, NULL) < 0 || write(said[1], &until, sizeof(until)) < 0)
				_exit(1);
			poll(NULL, 0, 20);
		}
	}
	for (int i = 0; i < 5; i++)
		assert_true(read(said[0], &until, sizeof(until)) == sizeof(until) &&
			    lab_byte(s.client, s.server, LAB_BOUND_MS));
	kill(child, SIGKILL);
	assert_int_equal(waitpid(child, NULL, 0), child);
	while (lab_ready(said[0], POLLIN, 0) && read(said[0], &until, sizeof(until)) == sizeof(until))
		if (lab_ready(said[0], POLLIN | POLLHUP, 0))
			continue;
	us_t last = last_answer(s);
	print_message("killed: last answer %.1f ms before the lease's end\n", (double)(until - last) / 1000);
	assert_int_equal(gate_shut(f->g, &f->e), 0);
	revives(f, s);
	hang_up(s);
	close(listener);
	close(said[0]);
	close(said[1]);
}

/* --- what the kernel is relied upon for ---------------------------------------------------------------------------------------- */

static int guard_then_alive(struct nft_link *l, const struct gate_shape *s, bool with_guard)
{
	struct batch b;
	batch_start(&b, l);
	if (with_guard)
		put_guard_spent(&b, s);
	put_alive(&b, s, 50000);
	return batch_commit(&b);
}

static void set_guard(struct nft_link *l, const struct gate_shape *s, int64_t ms)
{
	struct batch b;
	batch_start(&b, l);
	put_guard(&b, s, ms);
	assert_int_equal(batch_commit(&b), 0);
}

/* A guard whose time is over refuses the whole transaction; a live one lets it through, once. */
static void kernel_refuses_a_late_renewal(void **state)
{
	struct fix *f = *state;
	struct nft_link l;
	struct gate_shape s;
	lab_enter(f->b->host);
	assert_int_equal(nft_link_open(&l, &f->e), 0);
	assert_int_equal(shape_make(&s, "hactl-n1", &gated, &f->e), 0);
	for (int i = 0; i < 20; i++) {
		set_guard(&l, &s, 5);
		us_t over = now_us() + 10 * US_PER_MS; /* past its time, mostly not collected yet */
		while (now_us() < over)
			;
		assert_int_equal(guard_then_alive(&l, &s, true), -ENOENT);
		assert_int_equal(rules_alive_ms(&l, &s), 0);
	}
	set_guard(&l, &s, 50000);
	assert_int_equal(guard_then_alive(&l, &s, true), 0);
	assert_true(rules_alive_ms(&l, &s) > 0);
	assert_int_equal(guard_then_alive(&l, &s, true), -ENOENT);
	nft_link_close(&l);
}

static pid_t reload_for_ever(struct fix *f, const char *table)
{
	lab_enter(f->b->host);
	pid_t child = fork_bound();
	if (child == 0) {
		setpgid(0, 0);
		execl("/bin/sh", "sh", "-c",
			"rules=$(echo add table ip $0; echo delete table ip $0;"
			" echo table ip $0 '{ set s { type ipv4_addr; elements = {';"
			" awk 'BEGIN { for (i = 0; i < 5000; i++) printf \"10.%d.%d.1,\", i / 250, i % 250 }'; echo '} "
			"}; }');"
			" while :; do echo \"$rules\" | nft -f - || exit 1; done",
			table, NULL);
		_exit(127);
	}
	setpgid(child, child);
	return child;
}

/* Somebody's firewall is reloaded all the time, and transactions wait for one another inside the kernel: however long ours waited,
 * what is alive afterwards ends before the lease does. */
static void never_outlives_the_lease_behind_reloads(void **state)
{
	struct fix *f = *state;
	struct nft_link l;
	struct gate_shape s;
	lab_enter(f->b->host);
	assert_int_equal(nft_link_open(&l, &f->e), 0);
	assert_int_equal(shape_make(&s, "hactl-n1", &gated, &f->e), 0);
	pid_t child[2] = { reload_for_ever(f, "reload0"), reload_for_ever(f, "reload1") };
	int opened = 0, refused = 0;
	us_t longest = 0;
	for (us_t end = seconds(3); now_us() < end;) {
		us_t until = seconds(2), start = now_us();
		bool ok = gate_open(f->g, until, &f->e) == 0;
		us_t now = now_us();
		int64_t left = rules_alive_ms(&l, &s);
		longest = now - start > longest ? now - start : longest;
		opened += ok;
		refused += !ok;
		assert_true(left >= 0 && now + left * US_PER_MS <= until);
	}
	for (size_t i = 0; i < ARRAY_LEN(child); i++) {
		assert_int_equal(waitpid(child[i], NULL, WNOHANG), 0); /* did reload all the while */
		kill(-child[i], SIGKILL);
		waitpid(child[i], NULL, 0);
	}
	print_message(
		"%d renewals beside reloads, %d refused, longest %.1f ms\n", opened, refused, (double)longest / 1000);
	assert_true(opened > 0);
	nft_link_close(&l);
}

/* "flush; add" in one transaction over an element that is past its time and not yet collected: the new one counts. */
static void kernel_replaces_an_expired_element(void **state)
{
	struct fix *f = *state;
	struct nft_link l;
	struct gate_shape s;
	know_mac(f);
	lab_enter(f->b->host);
	assert_int_equal(nft_link_open(&l, &f->e), 0);
	assert_int_equal(shape_make(&s, "hactl-n1", &gated, &f->e), 0);
	for (int i = 0; i < 20; i++) {
		us_t end = now_us() + 40 * US_PER_MS;
		while (gate_open(f->g, end, &f->e) < 0) /* a slow machine */
			end = now_us() + 40 * US_PER_MS;
		while (now_us() < end)
			;
		assert_int_equal(rules_alive_ms(&l, &s), 0);
		assert_int_equal(guard_then_alive(&l, &s, false), 0);
		assert_true(rules_alive_ms(&l, &s) > 1000);
		assert_true(packet_passes(f, f->b->client, f->n->vip));
	}
	nft_link_close(&l);
}

/* A renewal is not a gap: a stream of packets loses none while the gate is renewed at full speed. */
static void renewal_loses_no_packet(void **state)
{
	struct fix *f = *state;
	struct sockaddr_storage to = lab_addr(f->n->vip, PORT);
	know_mac(f);
	open_long(f);
	int server = lab_bind(f->b->host, SOCK_DGRAM, f->n->vip, PORT),
	    client = lab_bind(f->b->client, SOCK_DGRAM, f->n->client, 0);
	pid_t child = fork_bound();
	if (child == 0)
		for (;;)
			gate_open(f->g, seconds(LONG), NULL);
	char c;
	int lost = 0;
	for (int i = 0; i < 10000; i++) {
		sendto(client, "x", 1, 0, (struct sockaddr *)&to, sizeof(to));
		lost += !lab_ready(server, POLLIN, 1000);
		recv(server, &c, 1, MSG_DONTWAIT);
	}
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	assert_int_equal(lost, 0);
	close(server);
	close(client);
}

/* --- the node's own database ports ------------------------------------------------------------------------------------------- */

enum { DB_PORT = PORT, OTHER_PORT = 21308 };
static const uint16_t ports[] = { DB_PORT, 21309 };
static const char peers[][64] = { "10.77.0.3", "fd77::3" };
static const struct gate_spec with_ports = {
	.vip = spec, .n_vips = 2, .port = ports, .n_ports = 2, .peer = peers, .n_peers = 2
};

static void gate_the_ports(struct fix *f, us_t until)
{
	gate_free(f->g);
	lab_enter(f->b->host);
	f->g = gate_new(f->b->loop, "hactl-n1", &with_ports, until, on_broken, f, &f->e);
	assert_non_null(f->g);
}

static bool connects(int ns, const char *ip, int port, int ms)
{
	int fd = lab_dial(ns, ip, port);
	bool yes = lab_connected(fd, ms);
	close(fd);
	return yes;
}

/* From whom a connection to the node's own address stands while the gate is shut, and that everybody gets in when it is open. */
static void asked_ports_are_gated(struct fix *f, const char *own, const char *peer)
{
	assert_true(connects(f->b->host, own, DB_PORT, LAB_BOUND_MS)); /* its own programs, by loopback */
	lab_sh(f->b->client, "ip addr add %s/%d dev eth0 && ip route replace %s src %s dev eth0", peer, f->n->len, own,
		peer);
	assert_true(connects(f->b->client, own, DB_PORT, LAB_BOUND_MS));
	lab_sh(f->b->client, "ip route del %s dev eth0 && ip addr del %s/%d dev eth0", own, peer, f->n->len);
	assert_false(connects(f->b->client, own, DB_PORT, 300));
	assert_false(connects(f->b->container, own, DB_PORT, 300));
	assert_true(connects(f->b->client, own, OTHER_PORT, LAB_BOUND_MS));
	open_long(f);
	assert_true(connects(f->b->client, own, DB_PORT, LAB_BOUND_MS));
	assert_true(connects(f->b->container, own, DB_PORT, LAB_BOUND_MS));
	assert_int_equal(gate_shut(f->g, &f->e), 0);
}

static void own_ports_pass_only_when_open(void **state)
{
	struct fix *f = *state;
	int db = lab_bind(f->b->host, SOCK_STREAM, f->n->any, DB_PORT),
	    other = lab_bind(f->b->host, SOCK_STREAM, f->n->any, OTHER_PORT);
	assert_true(connects(f->b->client, f->n->host, DB_PORT, LAB_BOUND_MS)); /* nobody asked for it yet */
	gate_the_ports(f, 0);
	asked_ports_are_gated(f, f->n->host, f->n->family == AF_INET ? peers[0] : peers[1]);
	close(db);
	close(other);
}

/* The lease ends under established connections to the own address, the server's own and a container's: neither end gets through. */
static void own_port_stream_ends_by_itself(void **state)
{
	struct fix *f = *state;
	bool six = f->n->family == AF_INET6;
	gate_the_ports(f, 0);
	for (int boxed = 0; boxed < 2; boxed++) {
		int listener = boxed ? lab_bind(f->b->container, SOCK_STREAM, f->n->container, INNER_PORT)
				     : lab_bind(f->b->host, SOCK_STREAM, f->n->any, DB_PORT);
		if (boxed)
			lab_sh(f->b->host,
				"nft 'table %s t { chain c { type nat hook prerouting priority -100; %s daddr %s tcp "
				"dport %d"
				" dnat to %s%s%s:%d; }; }'",
				f->n->nft, f->n->nft, f->n->host, DB_PORT, six ? "[" : "", f->n->container,
				six ? "]" : "", INNER_PORT);
		open_long(f);
		struct stream s = establish(f, listener, f->n->host, DB_PORT),
			      push = establish(f, listener, f->n->host, DB_PORT);
		us_t until = now_us() + 200 * US_PER_MS;
		assert_int_equal(gate_open(f->g, until, &f->e), 0);
		us_t last = last_answer(s);
		print_message("own port%s: last answer %.1f ms before the lease's end\n", boxed ? ", container" : "",
			(double)(until - last) / 1000);
		assert_true(last < until);
		assert_false(lab_byte(push.server, push.client, 300));
		revives(f, s);
		hang_up(s);
		hang_up(push);
		close(listener);
	}
}

/* A database that answers late: the question came in while the gate was open, the answer is ready when it is shut. */
static void late_answer_of_own_port_does_not_leave(void **state)
{
	struct fix *f = *state;
	gate_the_ports(f, 0);
	int listener = lab_bind(f->b->host, SOCK_STREAM, f->n->any, DB_PORT);
	open_long(f);
	struct stream s = establish(f, listener, f->n->host, DB_PORT);
	assert_int_equal(gate_shut(f->g, &f->e), 0);
	assert_false(lab_byte(s.server, s.client, 300));
	revives(f, s);
	hang_up(s);
	close(listener);
}

/* What is configured changes under a live gate (an upgrade, gate_databases switched on): the time that was left goes on. */
static void takes_over_for_another_wish(void **state)
{
	struct fix *f = *state;
	int db = lab_bind(f->b->host, SOCK_STREAM, f->n->any, DB_PORT);
	know_mac(f);
	open_long(f);
	gate_the_ports(f, 0);
	assert_true(gate_is_open(f->g, now_us()));
	assert_true(packet_passes(f, f->b->client, f->n->vip));
	assert_true(connects(f->b->client, f->n->host, DB_PORT, LAB_BOUND_MS));
	assert_int_equal(gate_shut(f->g, &f->e), 0);
	assert_false(connects(f->b->client, f->n->host, DB_PORT, 300));
	gate_free(f->g);
	f->g = new_gate(f, "hactl-n1", 0); /* and off again */
	assert_false(gate_is_open(f->g, now_us()));
	assert_true(connects(f->b->client, f->n->host, DB_PORT, LAB_BOUND_MS));
	close(db);
}

/* A gate of one family has nothing of the other, nor of ports. */
static void makes_only_what_is_wished(void **state)
{
	struct fix *f = *state;
	bool six = f->n->family == AF_INET6;
	struct gate_spec one = { .vip = &spec[six], .n_vips = 1 };
	know_mac(f);
	gate_free(f->g);
	lab_enter(f->b->host);
	f->g = gate_new(f->b->loop, "hactl-n1", &one, 0, on_broken, f, &f->e);
	assert_non_null(f->g);
	auto_free char *made = lab_output(f->b->host, "nft list ruleset");
	assert_true((strstr(made, "ipv6_addr") != NULL) == six);
	assert_true((strstr(made, "ipv4_addr") != NULL) == !six);
	assert_null(strstr(made, "ports"));
	assert_false(packet_passes(f, f->b->client, f->n->vip));
	open_long(f);
	assert_true(packet_passes(f, f->b->client, f->n->vip));
	lab_sh(f->b->host, "nft flush ruleset");
	assert_true(lab_until(f->b, is_broken, f));
	open_long(f);
	assert_int_equal(gate_shut(f->g, &f->e), 0);
	assert_false(neighbour_answers(f));
}

/* --- other hands ------------------------------------------------------------------------------------------------------------- */

static void notices_other_hands(void **state)
{
	static const struct {
		const char *nft;
		bool harmless;
	} hand[] = {
		{ "flush ruleset" },
		{ "delete table inet hactl-n1" },
		{ "delete table arp hactl-n1" },
		{ "flush table inet hactl-n1" },
		{ "flush chain arp hactl-n1 out" },
		{ "flush set inet hactl-n1 alive" },
		{ "flush set inet hactl-n1 alive6" },
		{ "flush set arp hactl-n1 alive" },
		{ "flush chain inet hactl-n1 in; delete chain inet hactl-n1 in" },
		{ "insert rule inet hactl-n1 in accept" },
		{ "add element inet hactl-n1 vips { 10.77.0.1 }" },
		{ "delete element inet hactl-n1 vips6 { fd77::100 }" },
		{ "delete element inet hactl-n1 ifs { eth0 }" },
		{ "add table inet hactl-n1 { flags dormant; }" },
		{ "add table inet other; add chain inet other c; delete table inet other", true },
		{ "add table inet hactl-n2; delete table inet hactl-n2", true },
		{ "add table ip nat; add chain ip nat DOCKER; flush table ip nat; delete table ip nat", true },
	};
	struct fix *f = *state;
	know_mac(f);
	for (size_t i = 0; i < ARRAY_LEN(hand); i++) {
		open_long(f);
		f->broken = 0;
		lab_sh(f->b->host, "nft '%s'", hand[i].nft);
		if (hand[i].harmless) {
			lab_settle(f->b);
			assert_int_equal(f->broken, 0);
			assert_true(gate_is_open(f->g, now_us()));
			continue;
		}
		if (!lab_until(f->b, is_broken, f))
			fail_msg("not noticed: %s", hand[i].nft);
		assert_int_equal(f->broken, 1);
		assert_false(gate_is_open(f->g, now_us()));
		open_long(f); /* re-makes what is gone */
		assert_true(packet_passes(f, f->b->client, f->n->vip));
		assert_int_equal(gate_shut(f->g, &f->e), 0);
		assert_false(packet_passes(f, f->b->client, f->n->vip));
		assert_false(neighbour_answers(f));
		lab_settle(f->b);
		assert_int_equal(f->broken, 1); /* our own repair is not somebody else's */
	}
}

/* The tables are gone and nobody has run the loop yet: opening and shutting bring them back all the same. */
static void remakes_unheard(void **state)
{
	static const char *const hand[] = { "flush ruleset", "delete table inet hactl-n1",
		"delete table arp hactl-n1" };
	struct fix *f = *state;
	know_mac(f);
	for (size_t i = 0; i < ARRAY_LEN(hand); i++) {
		lab_sh(f->b->host, "nft '%s'", hand[i]);
		assert_int_equal(gate_shut(f->g, &f->e), 0);
		assert_false(packet_passes(f, f->b->client, f->n->vip));
		assert_false(neighbour_answers(f));
		lab_sh(f->b->host, "nft '%s'", hand[i]);
		open_long(f);
		assert_true(packet_passes(f, f->b->client, f->n->vip));
		assert_int_equal(gate_shut(f->g, &f->e), 0);
		assert_false(neighbour_answers(f));
	}
}

/* --- restarts --------------------------------------------------------------------------------------------------------------- */

static void takes_over_as_it_is(void **state)
{
	struct fix *f = *state;
	know_mac(f);
	open_long(f);
	gate_free(f->g);
	assert_true(packet_passes(f, f->b->client, f->n->vip)); /* leaves the rules */
	auto_free char *before = lab_output(f->b->host, "nft -a list ruleset | sed 's/expires [^ ]*//'");
	f->g = new_gate(f, "hactl-n1", 0);
	assert_non_null(f->g);
	assert_true(gate_is_open(f->g, now_us()));
	assert_false(gate_is_open(f->g, seconds(LONG)));
	auto_free char *after = lab_output(f->b->host, "nft -a list ruleset | sed 's/expires [^ ]*//'");
	assert_string_equal(before, after); /* handles and all */
	assert_true(packet_passes(f, f->b->client, f->n->vip));
	assert_int_equal(gate_shut(f->g, &f->e), 0);
	gate_free(f->g);
	f->g = new_gate(f, "hactl-n1", 0); /* nor does it open */
	assert_non_null(f->g);
	assert_false(gate_is_open(f->g, now_us()));
	assert_false(packet_passes(f, f->b->client, f->n->vip));
}

/* Somebody spoilt the rules, or the configuration changed, while nobody was there to hear it: new rules, the same time left. */
static void takes_over_what_is_spoilt(void **state)
{
	static const char *const hand[] = { "flush chain inet hactl-n1 in", "delete chain inet hactl-n1 leave",
		"delete element inet hactl-n1 vips { " VIP " }", "delete element inet hactl-n1 vips6 { fd77::100 }" };
	struct fix *f = *state;
	know_mac(f);
	for (size_t i = 0; i < ARRAY_LEN(hand); i++) {
		open_long(f);
		gate_free(f->g);
		lab_try(f->b->host, "nft 'flush chain inet hactl-n1 leave; %s'", hand[i]);
		f->g = new_gate(f, "hactl-n1", 0);
		assert_non_null(f->g);
		assert_true(gate_is_open(f->g, now_us()));
		assert_true(packet_passes(f, f->b->client, f->n->vip));
		assert_int_equal(gate_shut(f->g, &f->e), 0);
		assert_false(packet_passes(f, f->b->client, f->n->vip));
	}
}

/* First start beside an address in service: the rules come up with it alive. A live table's own time goes before what is asked. */
static void installs_open(void **state)
{
	struct fix *f = *state;
	know_mac(f);
	gate_free(f->g);
	f->g = NULL;
	lab_enter(f->b->host);
	assert_int_equal(gate_remove("hactl-n1", &f->e), 0);
	assert_true(packet_passes(f, f->b->client, f->n->vip));
	f->g = new_gate(f, "hactl-n1", seconds(LONG));
	assert_non_null(f->g);
	assert_true(gate_is_open(f->g, now_us()));
	assert_true(packet_passes(f, f->b->client, f->n->vip));
	gate_free(f->g);
	f->g = new_gate(f, "hactl-n1", seconds(10 * LONG));
	assert_non_null(f->g);
	assert_false(gate_is_open(f->g, seconds(2 * LONG)));
	assert_int_equal(gate_shut(f->g, &f->e), 0);
	assert_false(packet_passes(f, f->b->client, f->n->vip));
}

static void two_gates_coexist(void **state)
{
	struct fix *f = *state;
	struct vip_spec other = { .family = f->n->family, .prefix_len = f->n->len, .interface = "eth0" };
	struct gate_spec one = { .vip = &other, .n_vips = 1 };
	STR_COPY(other.address, f->n->vip2);
	know_mac(f);
	lab_sh(f->b->host, "ip addr add %s/%d dev eth0", other.address, f->n->len);
	lab_enter(f->b->host);
	struct gate *g = gate_new(f->b->loop, "hactl-n2", &one, 0, on_broken, f, &f->e);
	assert_non_null(g);
	assert_false(packet_passes(f, f->b->client, f->n->vip2));
	open_long(f);
	assert_true(packet_passes(f, f->b->client, f->n->vip));
	assert_false(packet_passes(f, f->b->client, f->n->vip2));
	assert_int_equal(gate_open(g, seconds(LONG), &f->e), 0);
	assert_int_equal(gate_shut(f->g, &f->e), 0);
	assert_false(packet_passes(f, f->b->client, f->n->vip));
	assert_true(packet_passes(f, f->b->client, f->n->vip2));
	gate_free(g);
	lab_enter(f->b->host);
	assert_int_equal(gate_remove("hactl-n2", &f->e), 0);
	assert_int_equal(gate_remove("hactl-n2", &f->e), 0); /* absent is fine */
	assert_int_equal(lab_try(f->b->host,
				 "nft list table inet hactl-n1 >/dev/null && nft list table arp hactl-n1 >/dev/null"),
		0);
	assert_int_not_equal(lab_try(f->b->host, "nft list tables | grep -q hactl-n2"), 0);
	lab_settle(f->b);
	assert_int_equal(f->broken, 0);
}

int main(void)
{
#define ONCE(fn) cmocka_unit_test_setup_teardown(fn, setup4, teardown)
#define SIX(fn)	 cmocka_unit_test_setup_teardown(fn, setup6, teardown)
#define CASE(fn)                                                                                                       \
	{ #fn " (IPv4)", fn, setup4, teardown, NULL },                                                                 \
	{                                                                                                              \
#fn " (IPv6)", fn, setup6, teardown, NULL                                                              \
	}
	static const struct CMUnitTest tests[] = {
		ONCE(refuses_names),
		ONCE(refuses_specs),
		CASE(packets_pass_only_when_open),
		CASE(shut_without_the_address),
		CASE(connects_only_when_open),
		CASE(neighbours_answered_only_when_open),
		SIX(proxy_does_not_answer_when_shut),
		CASE(standby_forwards_its_containers),
		CASE(open_too_late),
		ONCE(renews_to_the_last_moment_named),
		CASE(stream_ends_by_itself),
		CASE(dnat_stream_ends_by_itself),
		CASE(shuts_after_sigkill),
		ONCE(kernel_refuses_a_late_renewal),
		ONCE(never_outlives_the_lease_behind_reloads),
		ONCE(kernel_replaces_an_expired_element),
		CASE(renewal_loses_no_packet),
		CASE(own_ports_pass_only_when_open),
		CASE(own_port_stream_ends_by_itself),
		CASE(late_answer_of_own_port_does_not_leave),
		CASE(takes_over_for_another_wish),
		CASE(makes_only_what_is_wished),
		CASE(notices_other_hands),
		CASE(remakes_unheard),
		CASE(takes_over_as_it_is),
		CASE(takes_over_what_is_spoilt),
		CASE(installs_open),
		CASE(two_gates_coexist),
	};
	if (geteuid() != 0) {
		fprintf(stderr, "test_vip_gate: needs root for network namespaces: skipped\n");
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
