/* addr.c - addresses and links over rtnetlink.
 *
 * libnl builds the requests and does the talking; answers to the address dump are read attribute by attribute, because libnl 3.7 knows
 * neither IFA_PROTO nor a cheap way to keep the creation stamp.
 */
#include "vip/addr.h"

#include <errno.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/route/addr.h>
#include <netlink/route/link.h>

enum { LOOK_TRIES = 5 };

struct nl_sock *addr_open(struct err *e)
{
	struct nl_sock *s = nl_socket_alloc();
	int r = s ? nl_connect(s, NETLINK_ROUTE) : -NLE_NOMEM;
	if (r == 0)
		return s;
	err_set(e, "cannot open a route netlink socket: %s", nl_geterror(r));
	nl_socket_free(s);
	return NULL;
}

/* --- looking ------------------------------------------------------------------------------------------------------------ */

static int look_link(struct nl_sock *s, const char *name, struct link_state *out)
{
	struct rtnl_link *l = NULL;
	int r = rtnl_link_get_kernel(s, 0, name, &l);
	*out = (struct link_state){ 0 };
	if (r == -NLE_OBJ_NOTFOUND || r == -NLE_NODEV)
		return 0;
	if (r < 0)
		return r;
	struct nl_addr *mac = rtnl_link_get_addr(l);
	unsigned flags = rtnl_link_get_flags(l);
	out->ifindex = rtnl_link_get_ifindex(l);
	out->up = (flags & IFF_UP) && (flags & IFF_RUNNING);
	if (mac && nl_addr_get_len(mac) == MAC_LEN)
		memcpy(out->mac, nl_addr_get_binary_addr(mac), MAC_LEN);
	rtnl_link_put(l);
	return 0;
}

struct look {
	struct addr_view *v;
	size_t n;
};

static void note_address(struct addr_view *v, const struct ifaddrmsg *m, struct nlattr **a)
{
	const struct ifa_cacheinfo *ci = a[IFA_CACHEINFO] ? nla_data(a[IFA_CACHEINFO]) : NULL;
	const struct nlattr *own =
		a[IFA_LOCAL] ? a[IFA_LOCAL] : a[IFA_ADDRESS]; /* IPv6 has the first with a peer only */
	uint32_t flags = a[IFA_FLAGS] ? nla_get_u32(a[IFA_FLAGS]) : m->ifa_flags;
	if (v->link.ifindex != (int)m->ifa_index || nla_len(own) != v->ip.len ||
		memcmp(nla_data(own), v->ip.b, v->ip.len) != 0)
		return;
	if (v->addr.held && v->addr.prefix_len == v->spec->prefix_len)
		return; /* the same address may be there with several lengths: ours comes first */
	v->addr = (struct addr_state){ .held = true,
		.prefix_len = m->ifa_prefixlen,
		.proto = a[IFA_PROTO] ? nla_get_u8(a[IFA_PROTO]) : 0,
		.tentative = m->ifa_family == AF_INET6 && (flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED)),
		.created = ci ? ci->cstamp : 0 };
}

static int on_address(struct nl_msg *msg, void *arg)
{
	struct look *look = arg;
	struct nlmsghdr *h = nlmsg_hdr(msg);
	struct nlattr *a[IFA_MAX + 1];
	if (h->nlmsg_type != RTM_NEWADDR || nlmsg_parse(h, sizeof(struct ifaddrmsg), a, IFA_MAX, NULL) < 0 ||
		!(a[IFA_LOCAL] || a[IFA_ADDRESS]))
		return NL_OK;
	for (size_t i = 0; i < look->n; i++)
		note_address(&look->v[i], nlmsg_data(h), a);
	return NL_OK;
}

/* A dump during which addresses changed is flagged by the kernel (-NLE_DUMP_INTR here) and may miss some: asked again. */
static int look_addresses(struct nl_sock *s, struct addr_view *v, size_t n)
{
	struct ifaddrmsg ask = { .ifa_family = AF_UNSPEC }; /* both families in one dump */
	struct look look = { v, n };
	int r = -NLE_DUMP_INTR;
	for (int tries = 0; r == -NLE_DUMP_INTR && tries < LOOK_TRIES; tries++) {
		for (size_t i = 0; i < n; i++)
			v[i].addr = (struct addr_state){ 0 };
		struct nl_cb *cb = nl_cb_alloc(NL_CB_DEFAULT);
		if (!cb)
			return -NLE_NOMEM;
		nl_cb_set(cb, NL_CB_VALID, NL_CB_CUSTOM, on_address, &look);
		r = nl_send_simple(s, RTM_GETADDR, NLM_F_DUMP, &ask, sizeof(ask));
		if (r >= 0)
			r = nl_recvmsgs(s, cb);
		nl_cb_put(cb);
	}
	return r < 0 ? r : 0;
}

int addr_look(struct nl_sock *s, struct addr_view *v, size_t n, struct err *e)
{
	auto_free struct addr_view *seen = xcalloc(n, sizeof(*seen));
	int r = 0;
	memcpy(seen, v, n * sizeof(*seen));
	for (size_t i = 0; r == 0 && i < n; i++)
		r = look_link(s, v[i].spec->interface, &seen[i].link);
	if (r == 0)
		r = look_addresses(s, seen, n);
	if (r < 0)
		return err_set(e, "cannot read this host's addresses: %s", nl_geterror(r));
	memcpy(v, seen, n * sizeof(*seen));
	return 0;
}

/* --- changing ------------------------------------------------------------------------------------------------------------ */

static struct rtnl_addr *describe(const struct addr_view *v, int prefix_len)
{
	struct rtnl_addr *a = rtnl_addr_alloc();
	struct nl_addr *local = nl_addr_build(v->spec->family, v->ip.b, v->ip.len);
	if (!a || !local)
		abort();
	nl_addr_set_prefixlen(local, prefix_len);
	rtnl_addr_set_ifindex(a, v->link.ifindex);
	rtnl_addr_set_family(a, v->spec->family);
	rtnl_addr_set_local(a, local);
	rtnl_addr_set_prefixlen(a, prefix_len);
	nl_addr_put(local);
	return a;
}

static const char *put_hint(const struct vip_spec *spec, int r)
{
	if (r == -NLE_PERM)
		return " (CAP_NET_ADMIN is needed)";
	if (r == -NLE_NOACCESS && spec->family == AF_INET6)
		return " (IPv6 is switched off there: see net.ipv6.conf.*.disable_ipv6)";
	return "";
}

int addr_put(struct nl_sock *s, const struct addr_view *v, int prefix_len, uint32_t valid, struct err *e)
{
	const struct vip_spec *spec = v->spec;
	struct nl_msg *msg = NULL;
	if (!v->link.ifindex)
		return err_set(e, "%s: there is no interface %s on this host", spec->address, spec->interface);
	struct rtnl_addr *a = describe(v, prefix_len);
	rtnl_addr_set_valid_lifetime(a, valid);
	/* Preferred 0 marks the address deprecated: no program that picks an address of this host for itself should take the virtual one,
	 * which may leave at any moment, and a connection from it would break then. Linux heeds this for IPv6 only; for IPv4 it chooses
	 * the route's source or the interface's first address, and ours, added last and /32, is neither. There the mark is for tools that
	 * read it (NetworkManager, systemd-networkd, monitoring) and does nothing to packets. */
	rtnl_addr_set_preferred_lifetime(a, 0);
	if (spec->family == AF_INET6)
		rtnl_addr_set_flags(a, IFA_F_NODAD);
	/* REPLACE renews what is there; it would also create, so who only wants to renew looks before and after. */
	int r = rtnl_addr_build_add_request(a, NLM_F_CREATE | NLM_F_REPLACE, &msg);
	if (r == 0)
		r = nla_put_u8(msg, IFA_PROTO, VIP_PROTO); /* Linux 5.18; older ones ignore it */
	if (r == 0)
		r = nl_send_sync(s, msg); /* frees msg */
	else
		nlmsg_free(msg);
	rtnl_addr_put(a);
	if (r < 0)
		return err_set(e, "cannot add %s/%d to %s: %s%s", spec->address, prefix_len, spec->interface,
			nl_geterror(r), put_hint(spec, r));
	return 0;
}

int addr_delete(struct nl_sock *s, const struct addr_view *v, struct err *e)
{
	struct rtnl_addr *a = describe(v, v->addr.prefix_len);
	int r = rtnl_addr_delete(s, a, 0);
	rtnl_addr_put(a);
	if (r < 0 && r != -NLE_NOADDR && r != -NLE_NODEV && r != -NLE_OBJ_NOTFOUND)
		return err_set(e, "cannot remove %s/%d from %s: %s%s", v->spec->address, v->addr.prefix_len,
			v->spec->interface, nl_geterror(r), r == -NLE_PERM ? " (CAP_NET_ADMIN is needed)" : "");
	return 0;
}
