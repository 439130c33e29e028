/* own_echo.h - a netlink event socket that does not hear the echoes of our own requests. Private to vip/.
 *
 * Requests go out by one socket, events come in by another; what we asked for ourselves is known from its answer. The kernel drops
 * it (socket filter), so that renewals every 100 ms wake nobody.
 */
#ifndef HACTL_VIP_OWN_ECHO_H
#define HACTL_VIP_OWN_ECHO_H

#include "hactl/base/base.h"

/* fd: the event socket. portid: of the requesting one. 0, or -1 with errno. */
int own_echo_drop(int fd, uint32_t portid);

#endif
