/* sockaddr.c - a numeric address as the kernel takes it. */
#include "hactl/base/base.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

int sockaddr_make(const char *text, int port, struct sockaddr_storage *out, unsigned *len, struct err *e)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)out;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;

	memset(out, 0, sizeof(*out));
	if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons((uint16_t)port);
		*len = sizeof(*v4);
		return 0;
	}
	if (inet_pton(AF_INET6, text, &v6->sin6_addr) != 1)
		return err_set(e, "\"%s\" is not a numeric address", text);
	v6->sin6_family = AF_INET6;
	v6->sin6_port = htons((uint16_t)port);
	*len = sizeof(*v6);
	return 0;
}
