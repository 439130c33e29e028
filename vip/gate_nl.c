/* gate_nl.c - nf_tables transactions over libmnl. */
#include "vip/gate_nl.h"

#include <errno.h>
#include <libnftnl/common.h>

int nft_link_open(struct nft_link *l, struct err *e)
{
	*l = (struct nft_link){ .sock = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC) };
	if (!l->sock)
		return err_set(
			e, "cannot open an nf_tables socket: %s (is nf_tables in this kernel?)", strerror(errno));
	if (mnl_socket_bind(l->sock, 0, MNL_SOCKET_AUTOPID) < 0) {
		int cause = errno;
		nft_link_close(l);
		return err_set(e, "cannot bind an nf_tables socket: %s", strerror(cause));
	}
	l->buf = xcalloc(1, NFT_BATCH_ROOM);
	return 0;
}

void nft_link_close(struct nft_link *l)
{
	if (l->sock)
		mnl_socket_close(l->sock);
	free(l->buf);
	*l = (struct nft_link){ 0 };
}

void batch_start(struct batch *b, struct nft_link *l)
{
	*b = (struct batch){ .link = l, .end = l->buf + NFT_BATCH_ROOM };
	b->last = nftnl_batch_begin(l->buf, ++l->seq);
}

struct nlmsghdr *batch_add(struct batch *b, uint16_t type, uint8_t family, uint16_t flags)
{
	char *at = mnl_nlmsg_get_payload_tail(b->last);
	if (b->end - at < (ptrdiff_t)2 * NFT_MSG_ROOM) {
		b->full = true; /* overwrite the same place: nothing of this batch will be sent */
		at = (char *)b->last;
	}
	b->last = nftnl_nlmsg_build_hdr(at, type, family, flags, ++b->link->seq);
	return b->last;
}

/* Every answer is in the socket's queue when send returns. An error for any message undoes the whole batch, while the asked-for
 * acknowledgement may still say 0: so all answers are read and the first refusal counts. */
static int batch_answers(struct nft_link *l, uint32_t ack_seq)
{
	char buf[8192] __attribute__((aligned(8)));
	bool acked = false;
	int refused = 0;
	for (;;) {
		ssize_t n = recv(mnl_socket_get_fd(l->sock), buf, sizeof(buf), MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN && !refused)
			refused = -errno;
		if (n < 0)
			break;
		int left = (int)n;
		for (struct nlmsghdr *h = (void *)buf; mnl_nlmsg_ok(h, left); h = mnl_nlmsg_next(h, &left)) {
			if (h->nlmsg_type != NLMSG_ERROR)
				continue;
			const struct nlmsgerr *r = mnl_nlmsg_get_payload(h);
			if (r->error && !refused)
				refused = r->error;
			acked |= !r->error && h->nlmsg_seq == ack_seq;
		}
	}
	return refused ? refused : acked ? 0 : -EPROTO;
}

int batch_commit(struct batch *b)
{
	struct nft_link *l = b->link;
	if (b->full)
		return -E2BIG;
	b->last->nlmsg_flags |= NLM_F_ACK;
	uint32_t ack_seq = b->last->nlmsg_seq;
	struct nlmsghdr *end = nftnl_batch_end(mnl_nlmsg_get_payload_tail(b->last), ++l->seq);
	size_t len = (size_t)((char *)mnl_nlmsg_get_payload_tail(end) - l->buf);
	ssize_t sent;
	do
		sent = mnl_socket_sendto(l->sock, l->buf, len);
	while (sent < 0 && errno == EINTR);
	return sent < 0 ? -errno : batch_answers(l, ack_seq);
}

/* Messages of one datagram: 1 go on, 0 done, negative errno. A dump that was disturbed is read to its end all the same, since the
 * socket takes no second one before. */
static int ask_part(char *buf, ssize_t n, uint32_t seq, mnl_cb_t fn, void *arg, bool *disturbed)
{
	int left = (int)n;
	for (struct nlmsghdr *h = (void *)buf; mnl_nlmsg_ok(h, left); h = mnl_nlmsg_next(h, &left)) {
		if (h->nlmsg_seq != seq)
			continue; /* answer to an older question that was given up */
		*disturbed |= (h->nlmsg_flags & NLM_F_DUMP_INTR) != 0;
		if (h->nlmsg_type == NLMSG_ERROR)
			return ((const struct nlmsgerr *)mnl_nlmsg_get_payload(h))->error;
		if (h->nlmsg_type == NLMSG_DONE)
			return *disturbed ? -EINTR : 0;
		if (fn(h, arg) < 0)
			return -EPROTO;
	}
	return 1;
}

static int ask_once(struct nft_link *l, struct nlmsghdr *h, mnl_cb_t fn, void *arg)
{
	char buf[32768] __attribute__((aligned(8)));
	bool disturbed = false;
	int r = 1;
	if (mnl_socket_sendto(l->sock, h, h->nlmsg_len) < 0)
		return -errno;
	while (r > 0) {
		ssize_t n = mnl_socket_recvfrom(l->sock, buf, sizeof(buf));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		r = ask_part(buf, n, h->nlmsg_seq, fn, arg, &disturbed);
	}
	return r;
}

int nft_ask(struct nft_link *l, uint16_t type, uint8_t family, uint16_t flags,
	void (*fill)(struct nlmsghdr *, const void *), const void *fill_arg, mnl_cb_t fn, void *arg,
	void (*again)(void *arg))
{
	char req[NFT_MSG_ROOM] __attribute__((aligned(8)));
	int r = -EINTR;
	for (int tries = 0; r == -EINTR && tries < 5; tries++) {
		if (tries && again)
			again(arg);
		struct nlmsghdr *h = nftnl_nlmsg_build_hdr(req, type, family, flags | NLM_F_ACK, ++l->seq);
		fill(h, fill_arg);
		r = ask_once(l, h, fn, arg);
	}
	return r;
}
