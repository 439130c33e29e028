/* test_vip_ports.c - the database ports of the host's own addresses behind the gate, when asked. */
#include "tests/unit/vip_gate_lab.h"

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

/* Both ways of an established connection: no late question reaches a database, and no late answer leaves. */
static void shut_port_is_shut_both_ways(void **state)
{
	struct fix *f = *state;
	gate_the_ports(f, 0);
	int listener = lab_bind(f->b->host, SOCK_STREAM, f->n->any, DB_PORT);
	open_long(f);
	struct stream asks = establish(f, listener, f->n->host, DB_PORT),
		      answers = establish(f, listener, f->n->host, DB_PORT);
	assert_int_equal(gate_shut(f->g, &f->e), 0);
	assert_false(lab_byte(asks.client, asks.server, 300));
	assert_false(lab_byte(answers.server, answers.client, 300));
	revives(f, asks);
	hang_up(asks);
	hang_up(answers);
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

int main(void)
{
	static const struct CMUnitTest tests[] = {
		CASE(own_ports_pass_only_when_open),
		CASE(own_port_stream_ends_by_itself),
		CASE(shut_port_is_shut_both_ways),
		CASE(takes_over_for_another_wish),
	};
	return run_as_root("test_vip_ports", tests, ARRAY_LEN(tests));
}
