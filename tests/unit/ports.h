/* ports.h - a TCP port on loopback that nobody uses. For the unit tests that start real servers. */
#ifndef TESTS_UNIT_PORTS_H
#define TESTS_UNIT_PORTS_H

#include "hactl/base/base.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

/* Below 32768, so that no outgoing connection of this machine sits on it. */
static inline int free_port(void)
{
	static uint32_t x;

	for (;;) {
		struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
		auto_close int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

		x = x ? x * 1664525u + 1013904223u : (uint32_t)getpid() * 2654435761u + (uint32_t)now_us();
		a.sin_port = htons((uint16_t)(12000 + x % 20000));
		if (bind(fd, (struct sockaddr *)&a, sizeof a) == 0)
			return ntohs(a.sin_port);
	}
}

#endif
