/* socks.h - the TCP connections that end at an address of ours, by the kernel's socket diagnosis. Private to vip/. */
#ifndef HACTL_VIP_SOCKS_H
#define HACTL_VIP_SOCKS_H

#include "vip/frame.h"

/* Ends connections whose local end is this address: their clients get a reset, their servers an error. Listening sockets stay. Not those
 * in other network namespaces (a container behind a published port). For as long as `end` allows, read by now_us; returns how many.
 * A kernel that cannot (CONFIG_INET_DIAG_DESTROY) ends none. */
size_t socks_end(const struct ip *address, us_t end);

#endif
