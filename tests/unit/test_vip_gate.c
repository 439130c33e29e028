/* test_vip_gate.c - the gate open and shut, other hands, restarts; with real traffic between namespaces. */
#include "tests/unit/vip_gate_lab.h"

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

/* First of two datagrams from the host to ns: one from the virtual address, then one from its own. */
static char first_heard(struct fix *f, int ns, const char *ip)
{
	int to = lab_bind(ns, SOCK_DGRAM, ip, PORT), vip = lab_bind(f->b->host, SOCK_DGRAM, f->n->vip, PORT),
	    own = lab_bind(f->b->host, SOCK_DGRAM, f->n->host, PORT);
	struct sockaddr_storage a = lab_addr(ip, PORT);
	char c = 0;
	sendto(vip, "x", 1, 0, (struct sockaddr *)&a, sizeof(a));
	sendto(own, "m", 1, 0, (struct sockaddr *)&a, sizeof(a));
	assert_true(lab_ready(to, POLLIN, LAB_BOUND_MS));
	recv(to, &c, 1, 0);
	close(to);
	close(vip);
	close(own);
	return c;
}

static void speaks_only_when_open(void **state)
{
	struct fix *f = *state;
	lab_sh(f->b->host, "echo 0 >/proc/sys/net/ipv4/conf/all/rp_filter");
	assert_int_equal(first_heard(f, f->b->client, f->n->client), 'm');
	assert_int_equal(
		first_heard(f, f->b->container, f->n->container), 'm'); /* by an interface that is not the address's */
	open_long(f);
	assert_int_equal(first_heard(f, f->b->client, f->n->client), 'x');
	assert_int_equal(first_heard(f, f->b->container, f->n->container), 'x');
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
		{ "delete element inet hactl-n1 vips6 { fd77::100 }; add element inet hactl-n1 vips6 { fd77::99 }" },
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
	static const struct CMUnitTest tests[] = {
		ONCE(refuses_names),
		ONCE(refuses_specs),
		CASE(packets_pass_only_when_open),
		CASE(speaks_only_when_open),
		CASE(shut_without_the_address),
		CASE(connects_only_when_open),
		CASE(neighbours_answered_only_when_open),
		SIX(proxy_does_not_answer_when_shut),
		CASE(standby_forwards_its_containers),
		CASE(makes_only_what_is_wished),
		CASE(notices_other_hands),
		CASE(remakes_unheard),
		CASE(takes_over_as_it_is),
		CASE(takes_over_what_is_spoilt),
		CASE(installs_open),
		CASE(two_gates_coexist),
	};
	return run_as_root("test_vip_gate", tests, ARRAY_LEN(tests));
}
