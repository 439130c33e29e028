/* gate_nl.h - nf_tables transactions for the gate: messages into a batch, the batch to the kernel, dumps back. Private to vip/.
 *
 * One socket speaks; everything is answered by the kernel before send returns, so nothing here waits. Formats:
 * linux/netfilter/nf_tables.h, nfnetlink.h.
 */
#ifndef HACTL_VIP_GATE_NL_H
#define HACTL_VIP_GATE_NL_H

#include "hactl/base/base.h"

#include <netinet/in.h> /* before linux/netfilter.h, which else brings its own struct in_addr */
#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

enum {
	NFT_MSG_ROOM = 4096, /* largest single message we build: 64 elements of 44 bytes and a head */
	NFT_BATCH_ROOM = 64 * 1024
};

struct nft_link {
	struct mnl_socket *sock;
	uint32_t seq;
	char *buf; /* NFT_BATCH_ROOM bytes: the batch being built */
};

/* A transaction under construction: all of it happens or nothing, in every table it touches. */
struct batch {
	struct nft_link *link;
	struct nlmsghdr *last; /* message being filled */
	char *end;	       /* one past the last byte of the buffer */
	bool full;	       /* a message did not fit: commit refuses */
};

int nft_link_open(struct nft_link *l, struct err *e);
void nft_link_close(struct nft_link *l);

void batch_start(struct batch *b, struct nft_link *l);
/* Next message, its header filled; the caller adds attributes. type: NFT_MSG_*; flags: NLM_F_*. */
struct nlmsghdr *batch_add(struct batch *b, uint16_t type, uint8_t family, uint16_t flags);
/* 0, or the negative errno of the first message the kernel refused (nothing was changed then). */
int batch_commit(struct batch *b);

/* Asks and feeds each answer to fn (MNL_CB_OK to go on). With NLM_F_DUMP in flags a dump; it is repeated when the tables changed
 * under it (NLM_F_DUMP_INTR), then `again` (may be NULL) is called first so that fn's arg can be emptied. Negative errno. */
int nft_ask(struct nft_link *l, uint16_t type, uint8_t family, uint16_t flags,
	void (*fill)(struct nlmsghdr *, const void *), const void *fill_arg, mnl_cb_t fn, void *arg,
	void (*again)(void *arg));

#endif
