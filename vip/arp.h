/* arp.h - ARP frames on packet sockets: announcements, probes, and hearing who else claims an address. Private to vip/.
 *
 * RFC 826, RFC 5227. Frames from packet sockets do not pass nf_tables' arp hooks: whoever sends asks first whether it may.
 */
#ifndef HACTL_VIP_ARP_H
#define HACTL_VIP_ARP_H

#include "hactl/base/base.h"

enum { MAC_LEN = 6 };

/* For sending only: hears nothing, costs nothing. A descriptor, or -1. */
int arp_send_socket(struct err *e);
/* Gratuitous ARP in request and in reply form: some hosts and switches heed only one. Errors are not reported: it is repeated. */
void arp_announce(int fd, int ifindex, const uint8_t mac[MAC_LEN], uint32_t address);
/* RFC 5227 section 2.1.1: asks who has the address without claiming it. */
void arp_probe(int fd, int ifindex, const uint8_t mac[MAC_LEN], uint32_t address);

/* Hears ARP whose sender claims one of n addresses (network order); the kernel filters, so that a busy network wakes nobody. */
int arp_listen_socket(const uint32_t *address, size_t n, struct err *e);
struct arp_claim {
	int ifindex;
	uint8_t mac[MAC_LEN];
	uint32_t address; /* network order */
};
/* Next claim by a frame that came from outside: 1, or 0 when there is none left. */
int arp_next_claim(int fd, struct arp_claim *c);

#endif
