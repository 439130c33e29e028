/* gate.c - the kernel's gate: opened for what remains of a lease, shut by itself.
 *
 * A renewal is two transactions. The kernel takes a timeout, not a moment, and counts it from when it gets to work: a process stopped
 * between reading the clock and the system call, or waiting there behind somebody's large firewall reload, would keep the gate open
 * past the lease, and checking the clock afterwards comes too late for the packets in between. Hence the guard:
 *   1. set an element that lives for three ticks (12 ms at HZ=250) and that no rule looks at;
 *   2. read the clock; in one transaction delete that element and put in the addresses with (until - now - guard).
 * nf_tables refuses to delete an element whose time is over (ENOENT) and with it the whole transaction. So when step 2 succeeds it
 * was worked on within one guard of the clock reading, and the addresses are never alive at `until`: whatever was stopped, starved or
 * killed, and where. The price is one guard of lease. (Time during suspend does not count in the kernel's ticks: a host that was
 * suspended may pass packets until the supervisor runs again or the rest of the lease has gone.)
 */
#include "vip/gate_rules.h"
#include "vip/own_echo.h"

#include <errno.h>
#include <sys/epoll.h>
#include <time.h>

enum { GUARD_TICKS = 3, GUARD_LEAST_US = 5000, OPEN_TRIES = 3, RESETS_MS = 1000 };

struct gate {
	struct gate_shape shape;
	struct nft_link link;	   /* speaks */
	struct mnl_socket *events; /* listens to what others do to the rule set; our own is filtered out */
	struct watch *watch;
	vips_changed_fn *broken;
	void *arg;
	us_t guard;  /* how long a renewal may take between clock and kernel */
	us_t until;  /* the kernel's elements end then, as we asked; 0 shut */
	bool stands; /* the rules are as we installed them, as far as we heard */
};

/* Elements live in whole ticks, rounded down: three ticks last at least two. */
static us_t guard_span(void)
{
	struct timespec tick = { 0 };
	clock_getres(CLOCK_MONOTONIC_COARSE, &tick);
	us_t span = GUARD_TICKS * (tick.tv_nsec / 1000);
	return span > GUARD_LEAST_US ? span : GUARD_LEAST_US;
}

static int fail(struct err *e, const struct gate *g, const char *what, int cause)
{
	return err_set(e, "nftables table %s: %s: %s%s", g->shape.table, what, strerror(cause),
		cause == EPERM ? " (CAP_NET_ADMIN is needed)" : "");
}

/* --- what others do ------------------------------------------------------------------------------------------------------ */

/* Every message that names a table carries its name as attribute 1. */
_Static_assert(NFTA_TABLE_NAME == 1 && NFTA_CHAIN_TABLE == 1 && NFTA_RULE_TABLE == 1 && NFTA_SET_TABLE == 1 &&
		       NFTA_SET_ELEM_LIST_TABLE == 1,
	"attribute 1 is the table");

static bool speaks_of(const struct nlmsghdr *h, const char *table)
{
	const struct nlattr *a;
	if (h->nlmsg_type >> 8 != NFNL_SUBSYS_NFTABLES || (h->nlmsg_type & 0xff) == NFT_MSG_NEWGEN)
		return false;
	mnl_attr_for_each(a, h, sizeof(struct nfgenmsg)) if (mnl_attr_get_type(a) == 1) return mnl_attr_validate(
		a, MNL_TYPE_NUL_STRING) == 0 &&
		str_eq(mnl_attr_get_str(a), table);
	return false;
}

/* Reads all there is: does any of it concern us? A queue that overflowed may have. */
static bool drain_events(struct gate *g)
{
	char buf[16384] __attribute__((aligned(8)));
	bool ours = false;
	for (;;) {
		ssize_t n = recv(mnl_socket_get_fd(g->events), buf, sizeof(buf), MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == ENOBUFS) {
			ours = true;
			continue;
		}
		if (n < 0)
			return ours;
		int left = (int)n;
		for (struct nlmsghdr *h = (void *)buf; mnl_nlmsg_ok(h, left); h = mnl_nlmsg_next(h, &left))
			ours |= speaks_of(h, g->shape.table);
	}
}

static void on_events(void *arg, uint32_t events)
{
	struct gate *g = arg;
	(void)events;
	if (!drain_events(g) || !g->stands)
		return;
	bool emptied = gate_is_open(g, now_us()) && rules_alive_ms(&g->link, &g->shape) <= 0;
	if (emptied)
		g->until = 0; /* shut by another hand */
	g->stands = rules_stand(&g->link, &g->shape) == 1;
	if ((emptied || !g->stands) && g->broken)
		g->broken(g->arg); /* may free g */
}

static int listen_events(struct gate *g, struct loop *l, struct err *e)
{
	int group = NFNLGRP_NFTABLES;
	g->events = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (!g->events || mnl_socket_bind(g->events, 0, MNL_SOCKET_AUTOPID) < 0 ||
		own_echo_drop(mnl_socket_get_fd(g->events), mnl_socket_get_portid(g->link.sock)) < 0 ||
		mnl_socket_setsockopt(g->events, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) < 0)
		return fail(e, g, "cannot listen for changes", errno);
	g->watch = watch_new(l, mnl_socket_get_fd(g->events), EPOLLIN, on_events, g);
	return g->watch ? 0 : fail(e, g, "cannot watch for changes", ENOMEM);
}

/* --- opening and shutting --------------------------------------------------------------------------------------------------- */

static int set_guard(struct gate *g)
{
	struct batch b;
	batch_start(&b, &g->link);
	put_guard(&b, &g->shape, g->guard / US_PER_MS);
	return batch_commit(&b);
}

static int set_alive(struct gate *g, int64_t ms)
{
	struct batch b;
	batch_start(&b, &g->link);
	put_guard_spent(&b, &g->shape);
	put_alive(&b, &g->shape, ms);
	return batch_commit(&b);
}

/* Resets begin only when it was open: after a lease that ended by itself somebody else may serve already. */
static int set_shut(struct gate *g)
{
	struct batch b;
	batch_start(&b, &g->link);
	put_guard(&b, &g->shape, 0);
	put_alive(&b, &g->shape, 0);
	if (now_us() < g->until)
		put_resets(&b, &g->shape, RESETS_MS);
	return batch_commit(&b);
}

static int install(struct gate *g, int64_t alive_ms)
{
	int r = rules_install(&g->link, &g->shape, alive_ms);
	g->stands = r == 0;
	return r;
}

/* One try: 0, or a negative errno; -ETIME when nothing worth opening for remains. */
static int open_once(struct gate *g, us_t until)
{
	int r = g->stands ? set_guard(g) : -ENOENT;
	if (r == -ENOENT) { /* nothing stands, or somebody took it away a moment ago: put it up shut, open it next */
		r = install(g, 0);
		if (r == 0)
			r = set_guard(g);
	}
	if (r < 0)
		return r;
	us_t now = now_us();
	int64_t ms = (until - now - g->guard) / US_PER_MS;
	if (ms <= 0)
		return -ETIME;
	r = set_alive(g, ms);
	if (r == 0)
		g->until = now + ms * US_PER_MS;
	else if (r == -ENOENT) /* too slow, or a table went away unheard */
		g->stands = rules_stand(&g->link, &g->shape) == 1;
	return r;
}

int gate_open(struct gate *g, us_t until, struct err *e)
{
	int r = -ENOENT;
	for (int tries = 0; r == -ENOENT && tries < OPEN_TRIES;
		tries++) /* ENOENT: the guard ran out, we were too slow */
		r = open_once(g, until);
	if (r == 0 && now_us() < until)
		return 0;
	if (r == 0 || r == -ETIME) {
		gate_shut(g, NULL);
		return err_set(e, "nftables table %s: the lease is over or too short to open the gate", g->shape.table);
	}
	if (r == -ENOENT)
		return err_set(e, "nftables table %s: this host was too slow %d times to open the gate within %d ms",
			g->shape.table, OPEN_TRIES, (int)(g->guard / US_PER_MS));
	return fail(e, g, "cannot open the gate", -r);
}

int gate_shut(struct gate *g, struct err *e)
{
	int r = g->stands ? set_shut(g) : -ENOENT;
	if (r == -ENOENT)
		r = install(g, 0);
	if (r < 0)
		return fail(e, g, "cannot shut the gate", -r);
	g->until = 0;
	return 0;
}

bool gate_is_open(const struct gate *g, us_t now)
{
	return g->stands && now < g->until;
}

/* --- beginning and end -------------------------------------------------------------------------------------------------------- */

/* Puts the rules up, with the addresses alive until then when that is in the future. No guard here, since there is no set to keep it
 * in: the clock afterwards shows whether the kernel was reached in time. */
static int put_up(struct gate *g, us_t until, struct err *e)
{
	us_t now = now_us();
	int64_t ms = until > now ? (until - now - g->guard) / US_PER_MS : 0;
	int r = install(g, ms);
	if (r < 0)
		return fail(e, g, "cannot install the rule set", -r);
	g->until = ms > 0 ? now + ms * US_PER_MS : 0;
	if (ms > 0 && now_us() - now > g->guard)
		return gate_open(g, until, e);
	return 0;
}

/* Finds tables of a former incarnation, perhaps with addresses alive: whole ones are kept as they are. Others (an upgrade, changed
 * configuration, a flushed chain) are replaced with the time that was left. */
static int take_over(struct gate *g, us_t until, struct err *e)
{
	int whole = rules_stand(&g->link, &g->shape);
	us_t asked = now_us();
	int64_t left = rules_alive_ms(&g->link, &g->shape);
	if (whole < 0 || (left < 0 && left != -ENOENT))
		return fail(e, g, "cannot look at the rule set", whole < 0 ? -whole : (int)-left);
	if (left > 0)
		until = asked + left * US_PER_MS;
	g->stands = whole == 1;
	if (!g->stands)
		return put_up(g, until, e);
	if (left > 0)
		g->until = until;
	else if (until > now_us())
		return gate_open(g, until, e);
	return 0;
}

struct gate *gate_new(struct loop *l, const char *name, const struct gate_spec *spec, us_t until,
	vips_changed_fn *broken, void *arg, struct err *e)
{
	struct gate *g = xcalloc(1, sizeof(*g));
	g->broken = broken;
	g->arg = arg;
	g->guard = guard_span();
	if (shape_make(&g->shape, name, spec, e) < 0 || nft_link_open(&g->link, e) < 0 || listen_events(g, l, e) < 0 ||
		take_over(g, until, e) < 0) {
		gate_free(g);
		return NULL;
	}
	return g;
}

void gate_free(struct gate *g)
{
	if (!g)
		return;
	watch_free(g->watch);
	if (g->events)
		mnl_socket_close(g->events);
	nft_link_close(&g->link);
	free(g);
}

int gate_remove(const char *name, struct err *e)
{
	struct nft_link l;
	if (check_table_name(name, e) < 0 || nft_link_open(&l, e) < 0)
		return -1;
	int r = rules_delete(&l, name);
	nft_link_close(&l);
	return r < 0 ? err_set(e, "cannot delete nftables table %s: %s", name, strerror(-r)) : 0;
}
