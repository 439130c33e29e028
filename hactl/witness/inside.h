/* inside.h - shared by the files of this room. */
#ifndef HACTL_WITNESS_INSIDE_H
#define HACTL_WITNESS_INSIDE_H

#include "hactl/witness/witness.h"

#include <netinet/in.h>
#include <sys/socket.h>

int witness_address(const char *text, int port, struct sockaddr_storage *out, socklen_t *len, struct err *e);

#endif
