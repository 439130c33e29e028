/* socks.c - ending the TCP connections of an address that goes away. Format: linux/sock_diag.h, linux/inet_diag.h, sock_diag(7).
 *
 * Who waits for an answer that the gate no longer lets out sends nothing, hence hears nothing: neither the gate's resets nor the new
 * holder's. Only the end of the connection on this side tells him.
 */
#include "vip/socks.h"

#include <libmnl/libmnl.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>

enum {
	FAMILIES = 2,
	PARTS = 2 /* sockets, and the end */,
	ROOM = 32768,
	NO_CONNECTION = 1 << TCP_LISTEN | 1 << TCP_TIME_WAIT | 1 << TCP_CLOSE
};

/* "Local end is this address", for the kernel: a match goes on behind the program's last byte, which means yes; farther means no. */
struct filter {
	struct inet_diag_bc_op op;
	struct inet_diag_hostcond cond;
	__be32 addr[4];
};

struct enders {
	struct mnl_socket *ask, *act; /* a socket that is being answered takes no second question */
	us_t end;
	size_t n, parts; /* ended; datagrams of the answer */
};

static void make_filter(struct filter *f, const struct ip *address)
{
	*f = (struct filter){ .op = { INET_DIAG_BC_S_COND, sizeof(*f), sizeof(*f) + 4 },
		.cond = { .family = address->len == 4 ? AF_INET : AF_INET6,
			.prefix_len = (__u8)(address->len * 8),
			.port = -1 } };
	memcpy(f->addr, address->b, address->len);
}

/* Answered on error only, and a connection that has ended meanwhile is none: nothing is read. */
static int on_socket(const struct nlmsghdr *found, void *arg)
{
	struct enders *x = arg;
	const struct inet_diag_msg *m = mnl_nlmsg_get_payload(found);
	char buf[256] __attribute__((aligned(8)));
	struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
	if (now_us() >= x->end)
		return MNL_CB_STOP;
	h->nlmsg_type = SOCK_DESTROY;
	h->nlmsg_flags = NLM_F_REQUEST;
	struct inet_diag_req_v2 *r = mnl_nlmsg_put_extra_header(h, sizeof(*r));
	*r = (struct inet_diag_req_v2){ .sdiag_family = m->idiag_family, .sdiag_protocol = IPPROTO_TCP, .id = m->id };
	mnl_socket_sendto(x->act, h, h->nlmsg_len);
	x->n++;
	return MNL_CB_OK;
}

/* Of one family. A server that listens on :: has IPv4's under mapped addresses, which the kernel's filter knows. */
static void end_family(struct enders *x, uint8_t family, const struct ip *address)
{
	char buf[ROOM] __attribute__((aligned(8)));
	struct filter filter;
	struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
	int r = MNL_CB_OK;
	h->nlmsg_type = SOCK_DIAG_BY_FAMILY;
	h->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	struct inet_diag_req_v2 *q = mnl_nlmsg_put_extra_header(h, sizeof(*q));
	*q = (struct inet_diag_req_v2){
		.sdiag_family = family, .sdiag_protocol = IPPROTO_TCP, .idiag_states = ~(uint32_t)NO_CONNECTION
	};
	make_filter(&filter, address);
	mnl_attr_put(h, INET_DIAG_REQ_BYTECODE, sizeof(filter), &filter);
	if (mnl_socket_sendto(x->ask, h, h->nlmsg_len) < 0)
		return;
	while (r > MNL_CB_STOP) {
		ssize_t n = mnl_socket_recvfrom(x->ask, buf, sizeof(buf));
		r = n < 0 ? MNL_CB_ERROR : mnl_cb_run(buf, (size_t)n, 0, 0, on_socket, x);
		x->parts++;
	}
}

size_t socks_end(const struct ip *address, us_t end)
{
	struct enders x = { .ask = mnl_socket_open2(NETLINK_SOCK_DIAG, SOCK_CLOEXEC),
		.act = mnl_socket_open2(NETLINK_SOCK_DIAG, SOCK_CLOEXEC),
		.end = end };
	size_t before;
	/* what is taken out of the kernel's lists between two parts of an answer makes the second pass some others by */
	do {
		before = x.n;
		x.parts = 0;
		if (address->len == 4 && x.ask && x.act)
			end_family(&x, AF_INET, address);
		if (x.ask && x.act)
			end_family(&x, AF_INET6, address);
	} while (x.parts > FAMILIES * PARTS && x.n != before && now_us() < end);
	if (x.ask)
		mnl_socket_close(x.ask);
	if (x.act)
		mnl_socket_close(x.act);
	return x.n;
}
