/* arp.h - announcements, probes, and hearing who else claims an address, by ARP (RFC 826, RFC 5227). Private to vip/. */
#ifndef HACTL_VIP_ARP_H
#define HACTL_VIP_ARP_H

#include "vip/frame.h"

/* Gratuitous ARP in request and in reply form: some hosts and switches heed only one. */
void arp_announce(int fd, int ifindex, const uint8_t mac[MAC_LEN], const struct ip *address);
/* RFC 5227 section 2.1.1: asks who has the address without claiming it. */
void arp_probe(int fd, int ifindex, const uint8_t mac[MAC_LEN], const struct ip *address);

/* Hears ARP whose sender claims one of n addresses; those of IPv6 are left out. */
int arp_listen_socket(const struct ip *address, size_t n, struct err *e);
/* Next claim by a frame that came from outside: 1, or 0 when there is none left. */
int arp_next_claim(int fd, struct claim *c);

#endif
