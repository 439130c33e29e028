/* vips.c - the virtual addresses as a whole: add, refresh, remove, watch, announce.
 *
 * One socket asks, a second one hears. Whatever is heard, the kernel's own dump decides: an event only says that it is time to look.
 */
#include "vip/addr.h"
#include "vip/arp.h"
#include "vip/nd.h"
#include "vip/own_echo.h"
#include "vip/socks.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <sys/epoll.h>
#include <sys/socket.h>

enum { VIPS_MAX = 64, REMOVE_ROUNDS = 4, END_CONNECTIONS = 20 * US_PER_MS };

/* Pauses between announcements: 0, 0.1, 0.5, 1, 2, 5 s, then every 30 s. */
static const us_t announce_pause[] = { 100 * US_PER_MS, 400 * US_PER_MS, 500 * US_PER_MS, 1 * US_PER_SEC,
	3 * US_PER_SEC, 30 * US_PER_SEC };

/* Hears who else claims an address, one for each family in use. */
struct ear {
	struct vips *v;
	int fd; /* -1: family not in use */
	struct watch *watch;
	int (*next)(int fd, struct claim *c);
};

struct vips {
	struct loop *loop;
	struct vip_spec *spec;
	struct addr_view *view; /* what the kernel said last */
	bool *reported;		/* held, as the caller knows it: its own calls and our callbacks */
	size_t n;
	uint32_t valid; /* seconds */
	vips_changed_fn *changed;
	void *arg;

	struct nl_sock *ask;
	struct nl_sock *hear;
	struct watch *watch;

	int announce_fd;
	struct timer *announce_timer;
	bool announcing;
	size_t announce_step;
	const struct gate *gate; /* announces only while it is open; NULL always */

	struct ear arp, nd;
	vips_conflict_fn *conflict;
	void *conflict_arg;
};

/* --- reading ----------------------------------------------------------------------------------------------------------- */

bool vips_held(const struct vips *v, size_t i)
{
	return i < v->n && v->view[i].addr.held && !v->view[i].addr.tentative;
}

bool vips_held_all(const struct vips *v)
{
	for (size_t i = 0; i < v->n; i++)
		if (!vips_held(v, i))
			return false;
	return true;
}

bool vips_held_any(const struct vips *v)
{
	for (size_t i = 0; i < v->n; i++)
		if (vips_held(v, i))
			return true;
	return false;
}

static void now_reported(struct vips *v)
{
	for (size_t i = 0; i < v->n; i++)
		v->reported[i] = vips_held(v, i);
}

/* Held or tentative: what a removal must take away. */
static bool there_any(const struct vips *v)
{
	for (size_t i = 0; i < v->n; i++)
		if (v->view[i].addr.held)
			return true;
	return false;
}

/* --- announcing ---------------------------------------------------------------------------------------------------------- */

static bool has_mac(const struct link_state *l)
{
	static const uint8_t none[MAC_LEN];
	return memcmp(l->mac, none, MAC_LEN) != 0;
}

static void announce_one(const struct vips *v, const struct addr_view *w)
{
	if (w->spec->family == AF_INET6)
		nd_announce(v->announce_fd, w->link.ifindex, w->link.mac, &w->ip, nd_is_router(w->spec->interface));
	else
		arp_announce(v->announce_fd, w->link.ifindex, w->link.mac, &w->ip);
}

static void announce_step(void *arg, us_t now)
{
	struct vips *v = arg;
	/* Asked at the last moment: a timer that fires late, after a stall, must not lead clients back to a node whose lease has gone. */
	bool may = !v->gate || gate_is_open(v->gate, now_us());
	for (size_t i = 0; may && i < v->n; i++) {
		const struct addr_view *w = &v->view[i];
		if (vips_held(v, i) && w->link.up && has_mac(&w->link))
			announce_one(v, w);
	}
	timer_at(v->announce_timer, now + announce_pause[v->announce_step]);
	if (v->announce_step + 1 < ARRAY_LEN(announce_pause))
		v->announce_step++;
}

void vips_announce(struct vips *v)
{
	v->announcing = true;
	v->announce_step = 0;
	announce_step(v, now_us());
}

void vips_announce_through(struct vips *v, const struct gate *g)
{
	v->gate = g;
}

static void stop_announcing(struct vips *v)
{
	v->announcing = false;
	timer_off(v->announce_timer);
}

/* --- hearing --------------------------------------------------------------------------------------------------------------- */

/* Looks anew. True when the caller should know: held differs from what was reported, or a link came up. */
static bool look_for_news(struct vips *v)
{
	auto_free struct addr_view *before = xcalloc(v->n, sizeof(*before));
	bool news = false, again = false;
	memcpy(before, v->view, v->n * sizeof(*before));
	if (addr_look(v->ask, v->view, v->n, NULL) < 0)
		return false; /* the picture stays as it was; the next event or refresh asks again */
	for (size_t i = 0; i < v->n; i++) {
		const struct link_state *was = &before[i].link, *is = &v->view[i].link;
		bool came_up = is->up && !(was->up && was->ifindex == is->ifindex);
		news |= came_up || vips_held(v, i) != v->reported[i];
		again |= came_up || memcmp(was->mac, is->mac, MAC_LEN) != 0;
	}
	if (again && v->announcing)
		vips_announce(v);
	now_reported(v);
	return news;
}

/* A link that was down for less time than we took to look has been down all the same: switches may have forgotten us. */
static void note_link_down(struct vips *v, const struct nlmsghdr *h)
{
	const struct ifinfomsg *m = nlmsg_data(h);
	if (h->nlmsg_type != RTM_NEWLINK || !nlmsg_valid_hdr(h, sizeof(*m)) || (m->ifi_flags & IFF_RUNNING))
		return;
	for (size_t i = 0; i < v->n; i++)
		if (v->view[i].link.ifindex == m->ifi_index)
			v->view[i].link.up = false;
}

/* Reads all there is. Addresses are not taken from it: the dump is the truth, after a lost event as after a heard one. */
static void drain_events(struct vips *v)
{
	char buf[16384] __attribute__((aligned(8)));
	for (;;) {
		ssize_t n = recv(nl_socket_get_fd(v->hear), buf, sizeof(buf), MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != ENOBUFS)
			return;
		for (size_t i = 0; n < 0 && i < v->n; i++)
			v->view[i].link.up = false; /* events were lost: a link may have been down */
		int left = (int)n;
		for (struct nlmsghdr *h = (void *)buf; nlmsg_ok(h, left); h = nlmsg_next(h, &left))
			note_link_down(v, h);
	}
}

static void on_events(void *arg, uint32_t events)
{
	struct vips *v = arg;
	(void)events;
	drain_events(v);
	if (look_for_news(v) && v->changed)
		v->changed(v->arg); /* may free v */
}

static int hear_events(struct vips *v, struct err *e)
{
	int r;
	v->hear = nl_socket_alloc();
	if (!v->hear)
		return err_set(e, "no memory for a netlink socket");
	nl_socket_disable_seq_check(v->hear);
	r = nl_connect(v->hear, NETLINK_ROUTE);
	if (r == 0 && own_echo_drop(nl_socket_get_fd(v->hear), nl_socket_get_local_port(v->ask)) < 0)
		return err_set(e, "cannot filter address events: %s", strerror(errno));
	if (r == 0)
		r = nl_socket_add_memberships(v->hear, RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR, 0);
	if (r < 0)
		return err_set(e, "cannot listen for address events: %s", nl_geterror(r));
	v->watch = watch_new(v->loop, nl_socket_get_fd(v->hear), EPOLLIN, on_events, v);
	return v->watch ? 0 : err_set(e, "cannot watch address events");
}

/* --- adding, refreshing, removing -------------------------------------------------------------------------------------------- */

static int put_all(struct vips *v, struct err *e)
{
	for (size_t i = 0; i < v->n; i++) {
		struct addr_view *w = &v->view[i];
		/* An address whose check for a duplicate runs or failed stays dumb for ever: a renewal does not end that. */
		if (w->addr.tentative) {
			if (addr_delete(v->ask, w, e) < 0)
				return -1;
			w->addr = (struct addr_state){ 0 };
		}
		if (addr_put(v->ask, w, w->addr.held ? w->addr.prefix_len : w->spec->prefix_len, v->valid, e) < 0)
			return -1;
	}
	if (addr_look(v->ask, v->view, v->n, e) < 0)
		return -1;
	for (size_t i = 0; i < v->n; i++)
		if (!vips_held(v, i))
			return err_set(e, "%s was added to %s and is not there: something else on this host removes it",
				v->spec[i].address, v->spec[i].interface);
	return 0;
}

/* Half of the addresses is worse than none: what this call added goes again. What was there before it stays. */
static void take_back(struct vips *v, const struct addr_view *before)
{
	if (addr_look(v->ask, v->view, v->n, NULL) < 0)
		return;
	for (size_t i = 0; i < v->n; i++)
		if (!before[i].addr.held && v->view[i].addr.held && addr_delete(v->ask, &v->view[i], NULL) == 0)
			v->view[i].addr = (struct addr_state){ 0 };
}

int vips_add(struct vips *v, struct err *e)
{
	auto_free struct addr_view *before = xcalloc(v->n, sizeof(*before));
	if (addr_look(v->ask, v->view, v->n, e) < 0)
		return -1;
	memcpy(before, v->view, v->n * sizeof(*before));
	int r = put_all(v, e);
	if (r < 0)
		take_back(v, before);
	now_reported(v);
	return r;
}

static int vanished(const struct vip_spec *s, struct err *e)
{
	return err_set(
		e, "%s is no longer on %s: somebody removed it, or its lifetime ran out", s->address, s->interface);
}

/* There is no request that renews and never creates. So: look; renew what is there; look again, and take away what was created
 * because it vanished in between (its creation stamp is another one). */
int vips_refresh(struct vips *v, struct err *e)
{
	auto_free struct addr_view *before = xcalloc(v->n, sizeof(*before));
	int r = 0;
	if (addr_look(v->ask, v->view, v->n, e) < 0)
		return -1;
	memcpy(before, v->view, v->n * sizeof(*before));
	for (size_t i = 0; i < v->n; i++) {
		if (!before[i].addr.held)
			r = vanished(&v->spec[i], e);
		else if (addr_put(v->ask, &before[i], before[i].addr.prefix_len, v->valid, e) < 0)
			return -1;
	}
	if (addr_look(v->ask, v->view, v->n, e) < 0)
		return -1;
	for (size_t i = 0; i < v->n; i++) {
		struct addr_view *w = &v->view[i];
		if (!before[i].addr.held || (w->addr.held && w->addr.created == before[i].addr.created))
			continue;
		if (w->addr.held && addr_delete(v->ask, w, NULL) == 0)
			w->addr = (struct addr_state){ 0 };
		r = vanished(&v->spec[i], e);
	}
	return r;
}

/* TCP connections of the addresses are ended first, so that their clients need not wait for a time-out of their own.
 * The same address may be there more than once, with several lengths: look until none is left. */
int vips_remove(struct vips *v, struct err *e)
{
	us_t end = now_us() + END_CONNECTIONS;
	stop_announcing(v);
	for (size_t i = 0; i < v->n; i++)
		if (v->view[i].addr.held) /* while the address is here: without it no reset leaves in its name */
			socks_end(&v->view[i].ip, end);
	for (int round = 0; round < REMOVE_ROUNDS; round++) {
		if (addr_look(v->ask, v->view, v->n, e) < 0)
			return -1;
		now_reported(v);
		if (!there_any(v))
			return 0;
		for (size_t i = 0; i < v->n; i++)
			if (v->view[i].addr.held && addr_delete(v->ask, &v->view[i], e) < 0)
				return -1;
	}
	if (addr_look(v->ask, v->view, v->n, e) < 0)
		return -1;
	now_reported(v);
	return there_any(v) ? err_set(e, "a virtual address was removed and is there again: something else on this "
					 "host adds it")
			    : 0;
}

/* --- conflicts ------------------------------------------------------------------------------------------------------------------ */

static bool is_foreign(const struct addr_view *w, const struct claim *c)
{
	return ip_equal(&w->ip, &c->address) && w->link.ifindex == c->ifindex &&
	       memcmp(w->link.mac, c->mac, MAC_LEN) != 0;
}

static void on_claim(void *arg, uint32_t events)
{
	const struct ear *ear = arg;
	struct vips *v = ear->v;
	struct claim c;
	(void)events;
	while (ear->next(ear->fd, &c)) {
		for (size_t i = 0; i < v->n; i++) {
			/* Looked up again before anybody is accused: our own MAC may have changed a moment ago. */
			if (!is_foreign(&v->view[i], &c) || addr_look(v->ask, v->view, v->n, NULL) < 0 ||
				!is_foreign(&v->view[i], &c))
				continue;
			char mac[18];
			snprintf(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x", c.mac[0], c.mac[1], c.mac[2],
				c.mac[3], c.mac[4], c.mac[5]);
			v->conflict(v->conflict_arg, i, mac); /* may free v; further claims are still in the socket */
			return;
		}
	}
}

static bool has_family(const struct vips *v, int family)
{
	for (size_t i = 0; i < v->n; i++)
		if (v->spec[i].family == family)
			return true;
	return false;
}

static int open_ear(struct ear *ear, struct vips *v, int family, int (*listen)(const struct ip *, size_t, struct err *),
	int (*next)(int, struct claim *), struct err *e)
{
	if (ear->watch || !has_family(v, family))
		return 0;
	auto_free struct ip *address = xcalloc(v->n, sizeof(*address));
	for (size_t i = 0; i < v->n; i++)
		address[i] = v->view[i].ip;
	ear->v = v;
	ear->next = next;
	ear->fd = listen(address, v->n, e);
	if (ear->fd < 0)
		return -1;
	ear->watch = watch_new(v->loop, ear->fd, EPOLLIN, on_claim, ear);
	return ear->watch ? 0 : err_set(e, "cannot watch for others that claim our addresses");
}

int vips_watch_conflicts(struct vips *v, vips_conflict_fn *fn, void *arg, struct err *e)
{
	v->conflict = fn;
	v->conflict_arg = arg;
	if (open_ear(&v->arp, v, AF_INET, arp_listen_socket, arp_next_claim, e) < 0)
		return -1;
	return open_ear(&v->nd, v, AF_INET6, nd_listen_socket, nd_next_claim, e);
}

void vips_probe(struct vips *v)
{
	if (addr_look(v->ask, v->view, v->n, NULL) < 0)
		return;
	for (size_t i = 0; i < v->n; i++) {
		const struct addr_view *w = &v->view[i];
		if (!w->link.up || !has_mac(&w->link))
			continue;
		if (w->spec->family == AF_INET6)
			nd_probe(v->announce_fd, w->link.ifindex, w->link.mac, &w->ip);
		else
			arp_probe(v->announce_fd, w->link.ifindex, w->link.mac, &w->ip);
	}
}

/* --- beginning and end ---------------------------------------------------------------------------------------------------------- */

static int check_spec(const struct vip_spec *s, struct ip *ip, struct err *e)
{
	int most = s->family == AF_INET6 ? 128 : 32;
	if (!ip_parse(s->family, s->address, ip))
		return err_set(e, "\"%s\" is not an %s address", s->address, s->family == AF_INET6 ? "IPv6" : "IPv4");
	if (s->prefix_len < 1 || s->prefix_len > most)
		return err_set(e, "%s: prefix length %d is not between 1 and %d", s->address, s->prefix_len, most);
	if (!s->interface[0])
		return err_set(e, "%s: no interface given", s->address);
	return 0;
}

/* Whole seconds, rounded up: the broom must not sweep early. */
static uint32_t valid_seconds(us_t lifetime)
{
	us_t s = lifetime / US_PER_SEC + (lifetime % US_PER_SEC != 0);
	return lifetime == US_NEVER || s >= UINT32_MAX ? UINT32_MAX : s < 1 ? 1 : (uint32_t)s;
}

static int fill_specs(struct vips *v, const struct vip_spec *spec, struct err *e)
{
	for (size_t i = 0; i < v->n; i++) {
		if (check_spec(&spec[i], &v->view[i].ip, e) < 0)
			return -1;
		v->spec[i] = spec[i];
		v->view[i].spec = &v->spec[i];
		for (size_t k = 0; k < i; k++)
			if (ip_equal(&v->view[k].ip, &v->view[i].ip))
				return err_set(e, "%s is named twice", spec[i].address);
	}
	return 0;
}

struct vips *vips_new(struct loop *l, const struct vip_spec *spec, size_t n, us_t lifetime, vips_changed_fn *changed,
	void *arg, struct err *e)
{
	if (n < 1 || n > VIPS_MAX) {
		err_set(e, "1 to %d virtual addresses, not %zu", VIPS_MAX, n);
		return NULL;
	}
	struct vips *v = xcalloc(1, sizeof(*v));
	*v = (struct vips){ .loop = l,
		.n = n,
		.valid = valid_seconds(lifetime),
		.changed = changed,
		.arg = arg,
		.announce_fd = -1,
		.arp.fd = -1,
		.nd.fd = -1 };
	v->spec = xcalloc(n, sizeof(*v->spec));
	v->view = xcalloc(n, sizeof(*v->view));
	v->reported = xcalloc(n, sizeof(*v->reported));
	v->announce_timer = timer_new(l, announce_step, v);
	/* listen first, look then: nothing that happens in between is missed */
	if (fill_specs(v, spec, e) < 0 || !(v->ask = addr_open(e)) || hear_events(v, e) < 0 ||
		(v->announce_fd = frame_send_socket(e)) < 0 || addr_look(v->ask, v->view, n, e) < 0) {
		vips_free(v);
		return NULL;
	}
	now_reported(v);
	return v;
}

void vips_free(struct vips *v)
{
	if (!v)
		return;
	watch_free(v->watch);
	watch_free(v->arp.watch);
	watch_free(v->nd.watch);
	timer_free(v->announce_timer);
	nl_socket_free(v->ask);
	nl_socket_free(v->hear);
	cleanup_close(&v->announce_fd);
	cleanup_close(&v->arp.fd);
	cleanup_close(&v->nd.fd);
	free(v->spec);
	free(v->view);
	free(v->reported);
	free(v);
}
