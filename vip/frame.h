/* frame.h - Ethernet frames on packet sockets, and what ARP and ND have in common. Private to vip/.
 *
 * Frames from packet sockets pass nf_tables' arp and inet hooks by: whoever sends asks first whether it may.
 */
#ifndef HACTL_VIP_FRAME_H
#define HACTL_VIP_FRAME_H

#include "hactl/base/base.h"

#include <linux/filter.h>
#include <netinet/in.h>

enum { MAC_LEN = 6 };

/* One address of either family. */
struct ip {
	uint8_t len; /* 4, 16; 0 none */
	uint8_t b[16];
};

bool ip_parse(int family, const char *text, struct ip *out);
bool ip_equal(const struct ip *a, const struct ip *b);

/* A frame by which somebody says that an address is his. */
struct claim {
	int ifindex;
	uint8_t mac[MAC_LEN];
	struct ip address;
};

/* For sending only: hears nothing, costs nothing. A descriptor, or -1. */
int frame_send_socket(struct err *e);
/* A whole frame, its Ethernet header included. Errors are not reported: what is sent here is repeated. */
void frame_send(int fd, int ifindex, const void *frame, size_t len);

/* Hears the frames of one Ethernet type that the filter lets through, so that a busy network wakes nobody. */
int frame_listen_socket(uint16_t ether_type, struct sock_filter *code, size_t n, struct err *e);
/* Next frame that came from outside; its length, or 0 when there is none left. */
size_t frame_next(int fd, void *buf, size_t size, int *ifindex);

#endif
