/* test_vip_addr.c - addresses, events, announcements and conflicts, against the kernel, between two namespaces; with IPv4 and IPv6. */
#include "tests/unit/vip_lab.h"
#include "vip/addr.h"
#include "vip/arp.h"
#include "vip/nd.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <netlink/netlink.h>

struct fix {
	struct lab *b;
	const struct lab_net *n;
	struct ip vip;
	struct vips *v;
	struct err e;
	int changed; /* callbacks */
	size_t conflict_i;
	char conflict_mac[18];
	int conflicts;
	int hear;		   /* packet socket at the client that hears claims of VIP */
	int claims, wanted, forms; /* frames; forms: of one announcement */
	struct claim claim;	   /* last one heard */
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

static struct vip_spec spec_of(const struct fix *f, const char *address)
{
	struct vip_spec s = { .family = f->n->family, .prefix_len = f->n->len, .interface = "eth0" };
	STR_COPY(s.address, address);
	return s;
}

static bool is_six(const struct fix *f)
{
	return f->n->family == AF_INET6;
}

static struct ip ip_of(const struct fix *f, const char *text)
{
	struct ip ip;
	assert_true(ip_parse(f->n->family, text, &ip));
	return ip;
}

static void announce(const struct fix *f, int fd, int ifindex, const uint8_t mac[MAC_LEN], const char *address)
{
	struct ip ip = ip_of(f, address);
	if (is_six(f))
		nd_announce(fd, ifindex, mac, &ip, false);
	else
		arp_announce(fd, ifindex, mac, &ip);
}

static int next_claim(struct fix *f)
{
	return (is_six(f) ? nd_next_claim : arp_next_claim)(f->hear, &f->claim);
}

static struct vips *new_vips(struct fix *f, us_t lifetime)
{
	struct vip_spec s[] = { spec_of(f, f->n->vip), spec_of(f, f->n->vip2) };
	lab_enter(f->b->host);
	return vips_new(f->b->loop, s, 2, lifetime, on_changed, f, &f->e);
}

static int setup(void **state, const struct lab_net *n)
{
	struct fix *f = xcalloc(1, sizeof(*f));
	f->b = lab_new();
	f->n = n;
	f->vip = ip_of(f, n->vip);
	f->forms = n->family == AF_INET6 ? 1 : 2;
	f->wanted = 2 * f->forms;
	lab_enter(f->b->client);
	f->hear = (is_six(f) ? nd_listen_socket : arp_listen_socket)(&f->vip, 1, &f->e);
	f->v = new_vips(f, 100 * US_PER_SEC);
	*state = f;
	return f->v && f->hear >= 0 ? 0 : -1;
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

/* The address on the host, with any length (-1) or that one. */
static bool host_holds(struct fix *f, const char *address, int len)
{
	char text[80];
	snprintf(text, sizeof(text), len < 0 ? " %s/" : " %s/%d ", address, len);
	return shows(f, f->b->host, "ip addr show dev eth0", text);
}

static bool host_has(struct fix *f, const char *text)
{
	return shows(f, f->b->host, "ip -d addr show dev eth0", text);
}

static int kernel_proto(struct fix *f, const char *address)
{
	struct vip_spec s = spec_of(f, address);
	struct addr_view view = { .spec = &s, .ip = ip_of(f, address) };
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
		{ { VIP, AF_INET6, 128, "eth0" }, "not an IPv6 address" },
		{ { "fd77::10g", AF_INET6, 128, "eth0" }, "not an IPv6 address" },
		{ { "fd77::100", AF_INET6, 129, "eth0" }, "prefix length 129 is not between 1 and 128" },
		{ { "fd77::100", AF_INET6, 0, "eth0" }, "prefix length 0" },
		{ { VIP, AF_UNIX, 32, "eth0" }, "not an" },
		{ { "10.77.0", AF_INET, 32, "eth0" }, "not an IPv4 address" },
		{ { "", AF_INET, 32, "eth0" }, "not an IPv4 address" },
		{ { "fd00::1", AF_INET, 32, "eth0" }, "not an IPv4 address" },
		{ { VIP, AF_INET, 0, "eth0" }, "prefix length 0" },
		{ { VIP, AF_INET, 33, "eth0" }, "prefix length 33" },
		{ { VIP, AF_INET, 32, "" }, "no interface" },
	};
	struct fix *f = *state;
	struct vip_spec twice[] = { { "fd77::100", AF_INET6, 128, "eth0" }, { "fd77:0:0::100", AF_INET6, 64, "c0" } };
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
	struct vip_spec s = spec_of(f, f->n->vip);
	STR_COPY(s.interface, "nosuch0");
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
	assert_true(host_holds(f, f->n->vip, f->n->len));
	assert_true(host_holds(f, f->n->vip2, f->n->len));
	assert_int_equal(kernel_proto(f, f->n->vip), VIP_PROTO); /* iproute2 shows it from 6.3 on */
	assert_int_equal(kernel_proto(f, f->n->host), 0);
	assert_true(is_six(f) == host_has(f, "scope global nodad deprecated"));
	assert_true(host_has(f, "deprecated"));
	assert_true(host_has(f, "valid_lft 100sec preferred_lft 0sec") ||
		    host_has(f, "valid_lft 99sec preferred_lft 0sec"));
	assert_int_equal(vips_add(f->v, &f->e), 0); /* idempotent */
	auto_free char *out = lab_output(f->b->host, "ip -o addr show dev eth0 | grep -Ec ' (10.77.0.10|fd77::10)'");
	assert_string_equal(out, "2\n");
	/* the host's own address stays the source of its connections */
	assert_true(is_six(f) ? shows(f, f->b->host, "ip route get fd77::2", "src fd77::1 ")
			      : shows(f, f->b->host, "ip route get 10.77.0.2", "src 10.77.0.1 "));
	lab_settle(f->b);
	assert_int_equal(f->changed, 0); /* what we do ourselves is not news */
}

static void keeps_found_length(void **state)
{
	struct fix *f = *state;
	lab_sh(f->b->host, "ip addr add %s/%d dev eth0 %s", f->n->vip, f->n->len / 2, is_six(f) ? "nodad" : "");
	assert_int_equal(vips_add(f->v, &f->e), 0);
	assert_true(host_holds(f, f->n->vip, f->n->len / 2));
	assert_false(host_holds(f, f->n->vip, f->n->len));
	if (!is_six(f)) /* IPv6 has an address once */
		lab_sh(f->b->host, "ip addr add %s/%d dev eth0", f->n->vip, f->n->len);
	assert_int_equal(vips_remove(f->v, &f->e), 0); /* both of them */
	assert_false(host_holds(f, f->n->vip, -1));
}

static void refresh_renews(void **state)
{
	struct fix *f = *state;
	assert_int_equal(vips_add(f->v, &f->e), 0);
	lab_sh(f->b->host, "ip addr change %s/%d dev eth0 valid_lft 20 preferred_lft 0", f->n->vip, f->n->len);
	assert_true(host_has(f, "valid_lft 20sec") || host_has(f, "valid_lft 19sec"));
	assert_int_equal(vips_refresh(f->v, &f->e), 0);
	assert_false(host_has(f, "valid_lft 20sec") || host_has(f, "valid_lft 19sec"));
	assert_true(vips_held_all(f->v));
}

static void refresh_does_not_resurrect(void **state)
{
	struct fix *f = *state;
	assert_int_equal(vips_add(f->v, &f->e), 0);
	lab_sh(f->b->host, "ip addr del %s/%d dev eth0", f->n->vip, f->n->len);
	assert_int_equal(vips_refresh(f->v, &f->e), -1);
	assert_true(str_starts(f->e.text, f->n->vip) && strstr(f->e.text, " is no longer on eth0"));
	assert_false(host_holds(f, f->n->vip, -1));
	assert_true(host_holds(f, f->n->vip2, -1));
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
	assert_false(host_holds(f, f->n->vip, -1));
	assert_false(vips_held_any(f->v));
	assert_int_equal(vips_remove(f->v, &f->e), 0);
	assert_true(host_holds(f, f->n->host, -1));
}

/* Somebody else's address under check, or found to be a duplicate, does not answer and would never again: it is made anew. */
static bool duplicate_found(void *arg)
{
	return host_has(arg, "dadfailed");
}

static void replaces_what_failed_its_check(void **state)
{
	struct fix *f = *state;
	lab_sh(f->b->client, "ip addr add %s/%d dev eth0", f->n->vip, f->n->len);
	lab_sh(f->b->host, "echo 1 >/proc/sys/net/ipv6/conf/eth0/accept_dad; ip addr add %s/%d dev eth0", f->n->vip,
		f->n->len);
	assert_true(lab_until(f->b, duplicate_found, f));
	lab_settle(f->b);
	assert_false(vips_held(f->v, 0));
	assert_int_equal(vips_add(f->v, &f->e), 0);
	assert_true(vips_held_all(f->v));
	assert_false(host_has(f, "dadfailed"));
	assert_true(host_has(f, "nodad")); /* not under check, whatever the link-local address is */
	lab_sh(f->b->host, "ip addr del %s/%d dev eth0 && ip addr add %s/%d dev eth0", f->n->vip, f->n->len, f->n->vip,
		f->n->len);
	assert_true(lab_until(f->b, duplicate_found, f));
	assert_int_equal(vips_remove(f->v, &f->e), 0);
	assert_false(host_holds(f, f->n->vip, -1));
}

/* Several addresses of both families on two interfaces: one that cannot be added leaves none of the others behind, but those that
 * were there before. */
static void adds_all_or_none(void **state)
{
	static const struct vip_spec all[] = { { VIP, AF_INET, 32, "eth0" }, { "fd77::100", AF_INET6, 128, "eth0" },
		{ "172.30.0.100", AF_INET, 32, "c0" }, { "fd72::100", AF_INET6, 128, "c0" } };
	struct fix *f = *state;
	struct vips *v = vips_new(f->b->loop, all, ARRAY_LEN(all), 100 * US_PER_SEC, NULL, NULL, &f->e);
	assert_non_null(v);
	assert_int_equal(vips_add(v, &f->e), 0);
	assert_true(vips_held_all(v));
	assert_int_equal(vips_remove(v, &f->e), 0);
	lab_sh(f->b->host, "echo 1 >/proc/sys/net/ipv6/conf/c0/disable_ipv6 && ip addr add " VIP "/32 dev eth0");
	assert_int_equal(vips_add(v, &f->e), -1);
	assert_non_null(strstr(f->e.text, "cannot add fd72::100/128 to c0"));
	assert_non_null(strstr(f->e.text, "disable_ipv6"));
	assert_true(vips_held(v, 0));
	for (size_t i = 1; i < ARRAY_LEN(all); i++)
		assert_false(vips_held(v, i));
	assert_true(host_has(f, VIP "/32"));
	assert_false(host_has(f, "fd77::100/"));
	assert_false(shows(f, f->b->host, "ip addr show dev c0", "172.30.0.100/"));
	lab_sh(f->b->host, "ip link del c0");
	assert_int_equal(vips_add(v, &f->e), -1);
	assert_non_null(strstr(f->e.text, "no interface c0"));
	assert_false(host_has(f, "fd77::100/"));
	assert_int_equal(vips_remove(v, &f->e), 0);
	assert_false(host_has(f, VIP "/"));
	vips_free(v);
}

/* --- events ------------------------------------------------------------------------------------------------------------- */

static void hears_another_hand(void **state)
{
	struct fix *f = *state;
	assert_int_equal(vips_add(f->v, &f->e), 0);
	lab_sh(f->b->host, "ip addr del %s/%d dev eth0", f->n->vip, f->n->len);
	assert_true(vips_held(f->v, 0)); /* not heard yet */
	assert_true(lab_until(f->b, changed_once, f));
	assert_false(vips_held(f->v, 0));
	assert_true(vips_held(f->v, 1));
	f->changed = 0;
	lab_sh(f->b->host, "ip addr add %s/%d dev eth0", f->n->vip, f->n->len);
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
	assert_true(host_holds(f, f->n->vip, -1));
	lab_settle(f->b);
	assert_true(vips_held_all(f->v)); /* the fixture's hears it come, and go */
	f->changed = 0;
	while (vips_held_any(f->v)) {
		f->changed = 0;
		assert_true(lab_until(f->b, changed_once, f));
	}
	assert_false(host_holds(f, f->n->vip, -1));
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
	lab_sh(f->b->host, "ip addr del %s/%d dev eth0", f->n->vip, f->n->len); /* its event is lost */
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
	while (next_claim(f))
		f->claims++;
	return f->claims >= f->wanted;
}

static bool neighbour_is_host(void *arg)
{
	struct fix *f = arg;
	auto_free char *mac = host_mac(f);
	auto_free char *out = lab_output(f->b->client, is_six(f) ? "ip neigh show fd77::100" : "ip neigh show " VIP);
	return strstr(out, mac) != NULL;
}

static void announcement_corrects_neighbours(void **state)
{
	struct fix *f = *state;
	lab_sh(f->b->client, "ip neigh replace %s lladdr 02:00:00:00:00:99 dev eth0 nud stale", f->n->vip);
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
		f->wanted =
			6 * f->forms; /* the whole series: by itself the next comes after 30 s, longer than we wait */
		f->claims = 0;
		assert_true(lab_until(f->b, hears_claim, f));
		f->changed = 0;
		lab_sh(f->b->host, "%s", why[i]);
		if (i > 0 || !is_six(f))
			continue;
		/* a link that was down has lost its addresses of IPv6: whoever is told adds and announces them */
		assert_true(lab_until(f->b, changed_once, f));
		assert_int_equal(vips_add(f->v, &f->e), 0);
		vips_announce(f->v);
	}
	f->wanted = 2 * f->forms;
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
	while (next_claim(f)) {
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
	struct vip_spec s = spec_of(f, f->n->vip);
	struct gate_spec gs = { .vip = &s, .n_vips = 1 };
	lab_enter(f->b->host);
	struct gate *g = gate_new(f->b->loop, "announce", &gs, 0, NULL, NULL, &f->e);
	int fd = frame_send_socket(&f->e), index = host_ifindex(f);
	assert_true(g && fd >= 0);
	vips_announce(f->v); /* not held: says nothing */
	assert_int_equal(vips_add(f->v, &f->e), 0);
	vips_announce_through(f->v, g);
	vips_announce(f->v); /* held, but the gate is shut */
	announce(f, fd, index, marker, f->n->vip);
	assert_true(lab_until(f->b, hears_marker, f));
	assert_int_equal(f->claims, 0);
	assert_int_equal(gate_open(g, now_us() + 60 * US_PER_SEC, &f->e), 0);
	assert_true(lab_until(f->b, hears_claim, f)); /* the series goes on by itself */
	assert_int_equal(vips_remove(f->v, &f->e), 0);
	announce(f, fd, index, marker, f->n->vip);
	assert_true(lab_until(f->b, hears_marker, f));
	f->claims = 0;
	vips_announce(f->v);
	announce(f, fd, index, marker, f->n->vip);
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
	int fd = frame_send_socket(&f->e);
	assert_true(fd >= 0);
	lab_enter(f->b->host);
	assert_int_equal(vips_watch_conflicts(f->v, on_conflict, f, &f->e), 0);
	assert_int_equal(vips_add(f->v, &f->e), 0);
	vips_announce(f->v); /* our own voice is no conflict */
	announce(f, fd, index, other, f->n->client);
	announce(f, fd, index, other, f->n->vip2);
	assert_true(lab_until(f->b, conflicted, f));
	assert_int_equal(f->conflict_i, 1);
	assert_string_equal(f->conflict_mac, "02:00:00:00:00:99");
	close(fd);
}

static void probe_finds_the_holder(void **state)
{
	struct fix *f = *state;
	assert_int_equal(vips_watch_conflicts(f->v, on_conflict, f, &f->e), 0);
	lab_sh(f->b->client, "ip link set eth0 address 02:77:00:00:00:02 && ip addr add %s/%d dev eth0", f->n->vip,
		f->n->len);
	vips_probe(f->v);
	assert_true(lab_until(f->b, conflicted, f));
	assert_int_equal(f->conflict_i, 0);
	assert_string_equal(f->conflict_mac, "02:77:00:00:00:02");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		ONCE(refuses),
		CASE(missing_interface),
		CASE(adds_marked_and_mortal),
		CASE(keeps_found_length),
		CASE(refresh_renews),
		CASE(refresh_does_not_resurrect),
		CASE(removes_idempotently),
		SIX(replaces_what_failed_its_check),
		ONCE(adds_all_or_none),
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
