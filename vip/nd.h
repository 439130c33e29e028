/* nd.h - announcements, probes, and hearing who else claims an address, by Neighbor Discovery (RFC 4861, RFC 4862). Private to vip/. */
#ifndef HACTL_VIP_ND_H
#define HACTL_VIP_ND_H

#include "vip/frame.h"

/* Unsolicited Neighbor Advertisement to all nodes, override set (RFC 4861 section 7.2.6): whoever has the address in his cache takes
 * the new MAC. router: as the kernel's own answers from that interface say. */
void nd_announce(int fd, int ifindex, const uint8_t mac[MAC_LEN], const struct ip *address, bool router);
/* This host forwards IPv6 from that interface, hence calls itself a router. */
bool nd_is_router(const char *interface);
/* As duplicate address detection asks (RFC 4862 section 5.4.2): from nobody, so that it claims nothing; a holder answers to all nodes. */
void nd_probe(int fd, int ifindex, const uint8_t mac[MAC_LEN], const struct ip *address);

/* Hears advertisements of one of n addresses and solicitations that come from one; those of IPv4 are left out. A solicitation from
 * nobody claims nothing. */
int nd_listen_socket(const struct ip *address, size_t n, struct err *e);
/* Next claim by a frame that came from outside: 1, or 0 when there is none left. */
int nd_next_claim(int fd, struct claim *c);

#endif
