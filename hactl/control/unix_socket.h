/* unix_socket.h - opening Unix sockets with errors in sentences. Private to hactl/control. */
#ifndef HACTL_CONTROL_UNIX_SOCKET_H
#define HACTL_CONTROL_UNIX_SOCKET_H

#include "hactl/base/base.h"

/* Connected stream socket, or -1 with a sentence and errno as connect(2) left it. timeout: how long to wait for a listener whose
 * queue is full; 0 does not wait (and the socket is then non-blocking). */
int unix_connect(const char *path, us_t timeout, struct err *e);
/* Listening, non-blocking; the file never has more permissions than mode. */
int unix_listen(const char *path, mode_t mode, struct err *e);

#endif
