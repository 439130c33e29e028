/* addr.h - addresses and links as the kernel has them, over rtnetlink by libnl. Private to vip/. */
#ifndef HACTL_VIP_ADDR_H
#define HACTL_VIP_ADDR_H

#include "vip/frame.h"
#include "vip/vip.h"

struct nl_sock;

struct link_state {
	int ifindex;	      /* 0: there is no such interface */
	bool up;	      /* administratively up and carrier */
	uint8_t mac[MAC_LEN]; /* zero without one */
};

struct addr_state {
	bool held;
	uint8_t prefix_len; /* as found; the wished length when several are there */
	uint8_t proto;	    /* IFA_PROTO, 0 unknown */
	bool tentative;	  /* IPv6: being checked for a duplicate, or one was found: the kernel does not answer for it */
	uint32_t created; /* ifa_cacheinfo.cstamp: another value is another address, though it looks the same */
};

/* What is wished and what was found. */
struct addr_view {
	const struct vip_spec *spec;
	struct ip ip; /* spec's address */
	struct link_state link;
	struct addr_state addr;
};

struct nl_sock *addr_open(struct err *e);
/* Fills link and addr of every view from the kernel. -1: nothing was changed in them. */
int addr_look(struct nl_sock *s, struct addr_view *v, size_t n, struct err *e);
/* IPv6 without duplicate address detection: who may have the address is decided elsewhere, and an address that is checked for a second
 * does not answer. Adds, or renews the lifetime of what has the same address and length. valid: seconds, UINT32_MAX for ever. */
int addr_put(struct nl_sock *s, const struct addr_view *v, int prefix_len, uint32_t valid, struct err *e);
/* An absent one is fine. */
int addr_delete(struct nl_sock *s, const struct addr_view *v, struct err *e);

#endif
