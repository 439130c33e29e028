/* test_vip_addr.c - addresses, events, announcements and conflicts, against the kernel, between two namespaces. */
#include "tests/unit/vip_lab.h"
#include "vip/addr.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <netlink/netlink.h>

#define VIP2 "10.77.0.101"

struct fix {
	struct lab *b;
	struct vips *v;
	struct err e;
	int changed; /* callbacks */
	size_t conflict_i;
	char conflict_mac[18];
	int conflicts;
	int hear; /* packet socket at the client that hears claims of VIP */
	int claims, wanted;
	struct arp_claim claim; /* last one heard */
};

static void on_changed(void *arg)
{
	((struct fix *)arg)->changed++;
}

static void on_conflict(void *arg, size_t i, const char *mac)
{
	struct fix *f = arg;
	f->conflicts++;
	f->conflict_i = i;
	STR_COPY(f->conflict_mac, mac);
}

static struct vips *new_vips(struct fix *f, us_t lifetime)
{
	struct vip_spec s[] = { { VIP, AF_INET, 32, "eth0" }, { VIP2, AF_INET, 32, "eth0" } };
	lab_enter(f->b->host);
	return vips_new(f->b->loop, s, 2, lifetime, on_changed, f, &f->e);
}

static int setup(void **state)
{
	struct fix *f = xcalloc(1, sizeof(*f));
	uint32_t a = inet_addr(VIP);
	f->b = lab_new();
	f->wanted = 4; /* two announcements in two forms each */
	lab_enter(f->b->client);
	f->hear = arp_listen_socket(&a, 1, &f->e);
	f->v = new_vips(f, 100 * US_PER_SEC);
	*state = f;
	return f->v && f->hear >= 0 ? 0 : -1;
}

static int teardown(void **state)
{
	struct fix *f = *state;
	vips_free(f->v);
	close(f->hear);
	lab_free(f->b);
	free(f);
	return 0;
}

static bool shows(struct fix *f, int ns, const char *cmd, const char *text)
{
	auto_free char *out = lab_output(ns, cmd);
	(void)f;
	return strstr(out, text) != NULL;
}

static bool host_has(struct fix *f, const char *text)
{
	return shows(f, f->b->host, "ip -d addr show dev eth0", text);
}

static int kernel_proto(struct fix *f, const char *address)
{
	struct vip_spec s = { .family = AF_INET, .prefix_len = 32, .interface = "eth0" };
	struct addr_view view = { .spec = &s, .address = inet_addr(address) };
	lab_enter(f->b->host);
	struct nl_sock *sock = addr_open(&f->e);
	assert_non_null(sock);
	assert_int_equal(addr_look(sock, &view, 1, &f->e), 0);
	assert_true(view.addr.held);
	nl_socket_free(sock);
	return view.addr.proto;
}

static bool changed_once(void *arg)
{
	return ((struct fix *)arg)->changed > 0;
}

/* --- what is refused ------------------------------------------------------------------------------------------------ */

static void refuses(void **state)
{
	static const struct {
		struct vip_spec s;
		const char *says;
	} bad[] = {
		{ { "fd00::1", AF_INET6, 128, "eth0" }, "IPv6" },
		{ { "10.77.0", AF_INET, 32, "eth0" }, "not an IPv4 address" },
		{ { "", AF_INET, 32, "eth0" }, "not an IPv4 address" },
		{ { "fd00::1", AF_INET, 32, "eth0" }, "not an IPv4 address" },
		{ { VIP, AF_INET, 0, "eth0" }, "prefix length 0" },
		{ { VIP, AF_INET, 33, "eth0" }, "prefix length 33" },
		{ { VIP, AF_INET, 32, "" }, "no interface" },
	};
	struct fix *f = *state;
	struct vip_spec twice[] = { { VIP, AF_INET, 32, "eth0" }, { VIP, AF_INET, 24, "eth0" } };
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		f->e.text[0] = '\0';
		assert_null(vips_new(f->b->loop, &bad[i].s, 1, US_PER_SEC, NULL, NULL, &f->e));
		assert_non_null(strstr(f->e.text, bad[i].says));
	}
	assert_null(vips_new(f->b->loop, twice, 2, US_PER_SEC, NULL, NULL, &f->e));
	assert_non_null(strstr(f->e.text, "twice"));
	assert_null(vips_new(f->b->loop, twice, 0, US_PER_SEC, NULL, NULL, &f->e));
}

static void missing_interface(void **state)
{
	struct fix *f = *state;
	struct vip_spec s = { VIP, AF_INET, 32, "nosuch0" };
	struct vips *v = vips_new(f->b->loop, &s, 1, US_PER_SEC, NULL, NULL, &f->e);
	assert_non_null(v);
	assert_false(vips_held_any(v));
	assert_int_equal(vips_add(v, &f->e), -1);
	assert_non_null(strstr(f->e.text, "no interface nosuch0"));
	assert_int_equal(vips_remove(v, &f->e), 0);
	vips_announce(v); /* nothing to announce, nothing to break */
	vips_probe(v);
	vips_free(v);
}

/* --- add, refresh, remove --------------------------------------------------------------------------------------------- */

static void adds_marked_and_mortal(void **state)
{
	struct fix *f = *state;
	assert_false(vips_held_any(f->v));
	assert_int_equal(vips_add(f->v, &f->e), 0);
	assert_true(vips_held_all(f->v));
	assert_true(host_has(f, VIP "/32"));
	assert_true(host_has(f, VIP2 "/32"));
	assert_int_equal(kernel_proto(f, VIP), VIP_PROTO); /* iproute2 shows it from 6.3 on */
	assert_int_equal(kernel_proto(f, "10.77.0.1"), 0);
	assert_true(host_has(f, "valid_lft 100sec preferred_lft 0sec") ||
		    host_has(f, "valid_lft 99sec preferred_lft 0sec"));
	assert_int_equal(vips_add(f->v, &f->e), 0); /* idempotent */
	auto_free char *out = lab_output(f->b->host, "ip -o addr show dev eth0 | grep -c 10.77.0.10");
	assert_string_equal(out, "2\n");
	/* the host's own address stays the source of its connections */
	assert_true(shows(f, f->b->host, "ip route get 10.77.0.2", "src 10.77.0.1"));
	lab_settle(f->b);
	assert_int_equal(f->changed, 0); /* what we do ourselves is not news */
}

static void keeps_found_length(void **state)
{
	struct fix *f = *state;
	lab_sh(f->b->host, "ip addr add " VIP "/24 dev eth0");
	assert_int_equal(vips_add(f->v, &f->e), 0);
	assert_true(host_has(f, VIP "/24"));
	assert_false(host_has(f, VIP "/32"));
	lab_sh(f->b->host, "ip addr add " VIP "/32 dev eth0");
	assert_int_equal(vips_remove(f->v, &f->e), 0); /* both of them */
	assert_false(host_has(f, VIP "/"));
}

static void refresh_renews(void **state)
{
	struct fix *f = *state;
	assert_int_equal(vips_add(f->v, &f->e), 0);
	lab_sh(f->b->host, "ip addr change " VIP "/32 dev eth0 valid_lft 20 preferred_lft 0");
	assert_true(host_has(f, "valid_lft 20sec") || host_has(f, "valid_lft 19sec"));
	assert_int_equal(vips_refresh(f->v, &f->e), 0);
	assert_false(host_has(f, "valid_lft 20sec") || host_has(f, "valid_lft 19sec"));
	assert_true(vips_held_all(f->v));
}

static void refresh_does_not_resurrect(void **state)
{
	struct fix *f = *state;
	assert_int_equal(vips_add(f->v, &f->e), 0);
	lab_sh(f->b->host, "ip addr del " VIP "/32 dev eth0");
	assert_int_equal(vips_refresh(f->v, &f->e), -1);
	assert_non_null(strstr(f->e.text, VIP " is no longer on eth0"));
	assert_false(host_has(f, VIP "/"));
	assert_true(host_has(f, VIP2 "/"));
	assert_false(vips_held(f->v, 0));
	assert_true(vips_held(f->v, 1));
	/* and the refresh that found it out has not swallowed the news */
	assert_true(lab_until(f->b, changed_once, f));
}

static void removes_idempotently(void **state)
{
	struct fix *f = *state;
	assert_int_equal(vips_remove(f->v, &f->e), 0);
	assert_int_equal(vips_add(f->v, &f->e), 0);
	assert_int_equal(vips_remove(f->v, &f->e), 0);
	assert_false(host_has(f, VIP "/"));
	assert_false(vips_held_any(f->v));
	assert_int_equal(vips_remove(f->v, &f->e), 0);
	assert_true(host_has(f, "10.77.0.1/24"));
}

/* --- events ------------------------------------------------------------------------------------------------------------- */

static void hears_another_hand(void **state)
{
	struct fix *f = *state;
	assert_int_equal(vips_add(f->v, &f->e), 0);
	lab_sh(f->b->host, "ip addr del " VIP "/32 dev eth0");
	assert_true(vips_held(f->v, 0)); /* not heard yet */
	assert_true(lab_until(f->b, changed_once, f));
	assert_false(vips_held(f->v, 0));
	assert_true(vips_held(f->v, 1));
	f->changed = 0;
	lab_sh(f->b->host, "ip addr add " VIP "/32 dev eth0");
	assert_true(lab_until(f->b, changed_once, f));
	assert_true(vips_held_all(f->v));
	f->changed = 0;
	lab_sh(f->b->host, "ip addr add 10.9.9.9/32 dev eth0"); /* none of ours */
	lab_settle(f->b);
	assert_int_equal(f->changed, 0);
	lab_sh(f->b->host, "ip link set eth0 down && ip link set eth0 up");
	assert_true(lab_until(f->b, changed_once, f));
}

static void broom_sweeps(void **state)
{
	struct fix *f = *state;
	struct vips *v = new_vips(f, US_PER_SEC / 10); /* whole seconds: one */
	assert_int_equal(vips_add(v, &f->e), 0);
	vips_free(v); /* leaves it there */
	assert_true(host_has(f, VIP "/"));
	lab_settle(f->b);
	assert_true(vips_held_all(f->v)); /* the fixture's hears it come, and go */
	f->changed = 0;
	while (vips_held_any(f->v)) {
		f->changed = 0;
		assert_true(lab_until(f->b, changed_once, f));
	}
	assert_false(host_has(f, VIP "/"));
}

/* Events lost so far by route sockets of the host's namespace: column 9 of /proc/net/netlink, protocol 0 in column 2. */
static long lost_events(struct fix *f)
{
	auto_free char *out =
		lab_output(f->b->host, "awk '$2 == 0 { n += $9 } END { print n + 0 }' /proc/self/net/netlink");
	return atol(out);
}

static void lose_events(struct fix *f)
{
	long before = lost_events(f);
	for (int round = 0; lost_events(f) == before && round < 50; round++)
		lab_sh(f->b->host,
			"(for i in $(seq 1 250); do echo addr add 10.200.%d.$i/32 dev c0; done;"
			" for i in $(seq 1 250); do echo addr del 10.200.%d.$i/32 dev c0; done) | ip -batch -",
			round, round);
	assert_true(lost_events(f) > before); /* else the test shows nothing */
}

static void survives_lost_events(void **state)
{
	struct fix *f = *state;
	assert_int_equal(vips_add(f->v, &f->e), 0);
	lose_events(f);
	lab_sh(f->b->host, "ip addr del " VIP "/32 dev eth0"); /* its event is lost */
	assert_true(lab_until(f->b, changed_once, f));
	assert_false(vips_held(f->v, 0));
	/* what was lost may have been a link that came up: that is news although the picture is the same */
	f->changed = 0;
	lose_events(f);
	assert_true(lab_until(f->b, changed_once, f));
}

/* --- announcements ---------------------------------------------------------------------------------------------------------- */

static char *host_mac(struct fix *f) /* caller frees */
{
	char *mac = lab_output(f->b->host, "ip -o link show dev eth0 | "
					   "sed 's/.*link.ether \\([0-9a-f:]*\\).*/\\1/' | tr -d '\\n'");
	assert_int_equal(strlen(mac), 17);
	return mac;
}

static bool hears_claim(void *arg)
{
	struct fix *f = arg;
	while (arp_next_claim(f->hear, &f->claim))
		f->claims++;
	return f->claims >= f->wanted;
}

static bool neighbour_is_host(void *arg)
{
	struct fix *f = arg;
	auto_free char *mac = host_mac(f);
	auto_free char *out = lab_output(f->b->client, "ip neigh show " VIP);
	return strstr(out, mac) != NULL;
}

static void announcement_corrects_neighbours(void **state)
{
	struct fix *f = *state;
	lab_sh(f->b->client, "ip neigh replace " VIP " lladdr 02:00:00:00:00:99 dev eth0 nud stale");
	assert_false(neighbour_is_host(f));
	assert_int_equal(vips_add(f->v, &f->e), 0);
	vips_announce(f->v);
	assert_true(lab_until(f->b, neighbour_is_host, f));
	assert_true(lab_until(f->b, hears_claim, f)); /* and it is said again */
}

static void announces_again(void **state)
{
	static const char *const why[] = {
		"ip link set eth0 down && ip link set eth0 up", /* carrier gone and back */
		"ip link set eth0 address 02:77:00:00:00:01",	/* another MAC */
	};
	struct fix *f = *state;
	assert_int_equal(vips_add(f->v, &f->e), 0);
	vips_announce(f->v);
	for (size_t i = 0; i < ARRAY_LEN(why); i++) {
		f->wanted = 12; /* the whole series: by itself the next comes after 30 s, longer than we wait */
		f->claims = 0;
		assert_true(lab_until(f->b, hears_claim, f));
		lab_sh(f->b->host, "%s", why[i]);
	}
	f->wanted = 4;
	f->claims = 0;
	assert_true(lab_until(f->b, hears_claim, f));
	assert_memory_equal(f->claim.mac, "\x02\x77\0\0\0\x01", MAC_LEN);
}

static int host_ifindex(struct fix *f)
{
	auto_free char *out = lab_output(f->b->host, "ip -o link show dev eth0 | cut -d: -f1");
	return atoi(out);
}

static const uint8_t marker[MAC_LEN] = { 0x02, 0, 0, 0, 0, 0x77 };

static bool hears_marker(void *arg)
{
	struct fix *f = arg;
	while (arp_next_claim(f->hear, &f->claim)) {
		if (memcmp(f->claim.mac, marker, MAC_LEN) == 0)
			return true;
		f->claims++;
	}
	return false;
}

/* A marker goes out after what must not go out: when it is heard, nothing from before it is still to come. */
static void silent_when_not_held_or_shut(void **state)
{
	struct fix *f = *state;
	struct vip_spec s = { VIP, AF_INET, 32, "eth0" };
	lab_enter(f->b->host);
	struct gate *g = gate_new(f->b->loop, "announce", &gs, 0, NULL, NULL, &f->e);
	int fd = arp_send_socket(&f->e), index = host_ifindex(f);
	assert_true(g && fd >= 0);
	vips_announce(f->v); /* not held: says nothing */
	assert_int_equal(vips_add(f->v, &f->e), 0);
	vips_announce_through(f->v, g);
	vips_announce(f->v); /* held, but the gate is shut */
	arp_announce(fd, index, marker, inet_addr(VIP));
	assert_true(lab_until(f->b, hears_marker, f));
	assert_int_equal(f->claims, 0);
	assert_int_equal(gate_open(g, now_us() + 60 * US_PER_SEC, &f->e), 0);
	assert_true(lab_until(f->b, hears_claim, f)); /* the series goes on by itself */
	assert_int_equal(vips_remove(f->v, &f->e), 0);
	arp_announce(fd, index, marker, inet_addr(VIP));
	assert_true(lab_until(f->b, hears_marker, f));
	f->claims = 0;
	vips_announce(f->v);
	arp_announce(fd, index, marker, inet_addr(VIP));
	assert_true(lab_until(f->b, hears_marker, f)); /* the marker's second form may come first */
	assert_int_equal(f->claims, 0);
	vips_announce_through(f->v, NULL);
	gate_free(g);
	close(fd);
}

/* --- conflicts -------------------------------------------------------------------------------------------------------------- */

static bool conflicted(void *arg)
{
	return ((struct fix *)arg)->conflicts > 0;
}

static int client_ifindex(struct fix *f)
{
	auto_free char *out = lab_output(f->b->client, "ip -o link show dev eth0 | cut -d: -f1");
	return atoi(out);
}

static void notices_conflicts(void **state)
{
	static const uint8_t other[MAC_LEN] = { 0x02, 0, 0, 0, 0, 0x99 };
	struct fix *f = *state;
	int index = client_ifindex(f);
	lab_enter(f->b->client);
	int fd = arp_send_socket(&f->e);
	assert_true(fd >= 0);
	lab_enter(f->b->host);
	assert_int_equal(vips_watch_conflicts(f->v, on_conflict, f, &f->e), 0);
	assert_int_equal(vips_add(f->v, &f->e), 0);
	vips_announce(f->v); /* our own voice is no conflict */
	arp_announce(fd, index, other, inet_addr("10.77.0.2"));
	arp_announce(fd, index, other, inet_addr(VIP2));
	assert_true(lab_until(f->b, conflicted, f));
	assert_int_equal(f->conflict_i, 1);
	assert_string_equal(f->conflict_mac, "02:00:00:00:00:99");
	close(fd);
}

static void probe_finds_the_holder(void **state)
{
	struct fix *f = *state;
	assert_int_equal(vips_watch_conflicts(f->v, on_conflict, f, &f->e), 0);
	lab_sh(f->b->client, "ip link set eth0 address 02:77:00:00:00:02 && ip addr add " VIP "/32 dev eth0");
	vips_probe(f->v);
	assert_true(lab_until(f->b, conflicted, f));
	assert_int_equal(f->conflict_i, 0);
	assert_string_equal(f->conflict_mac, "02:77:00:00:00:02");
}

int main(void)
{
#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	static const struct CMUnitTest tests[] = {
		CASE(refuses),
		CASE(missing_interface),
		CASE(adds_marked_and_mortal),
		CASE(keeps_found_length),
		CASE(refresh_renews),
		CASE(refresh_does_not_resurrect),
		CASE(removes_idempotently),
		CASE(hears_another_hand),
		CASE(broom_sweeps),
		CASE(survives_lost_events),
		CASE(announcement_corrects_neighbours),
		CASE(announces_again),
		CASE(silent_when_not_held_or_shut),
		CASE(notices_conflicts),
		CASE(probe_finds_the_holder),
	};
	if (geteuid() != 0) {
		fprintf(stderr, "test_vip_addr: needs root for network namespaces: skipped\n");
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
