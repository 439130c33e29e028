/* frame.c - Ethernet frames on packet sockets. */
#include "vip/frame.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <sys/socket.h>

bool ip_parse(int family, const char *text, struct ip *out)
{
	struct ip ip = { .len = family == AF_INET ? 4 : family == AF_INET6 ? 16 : 0 };
	if (!ip.len || inet_pton(family, text, ip.b) != 1)
		return false;
	*out = ip;
	return true;
}

bool ip_equal(const struct ip *a, const struct ip *b)
{
	return a->len == b->len && memcmp(a->b, b->b, a->len) == 0;
}

static const char *needs(int cause)
{
	return cause == EPERM ? " (CAP_NET_RAW is needed)" : "";
}

int frame_send_socket(struct err *e)
{
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_set(e, "cannot announce addresses: %s%s", strerror(errno), needs(errno));
	return fd;
}

void frame_send(int fd, int ifindex, const void *frame, size_t len)
{
	const struct ether_header *h = frame;
	struct sockaddr_ll to = {
		.sll_family = AF_PACKET, .sll_protocol = h->ether_type, .sll_ifindex = ifindex, .sll_halen = MAC_LEN
	};
	memcpy(to.sll_addr, h->ether_dhost, MAC_LEN);
	while (sendto(fd, frame, len, 0, (struct sockaddr *)&to, sizeof(to)) < 0 && errno == EINTR)
		;
}

int frame_listen_socket(uint16_t ether_type, struct sock_filter *code, size_t n, struct err *e)
{
	/* protocol 0 first: nothing is heard before the filter is in place */
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_ll all = { .sll_family = AF_PACKET, .sll_protocol = htons(ether_type) };
	struct sock_fprog prog = { (unsigned short)n, code };
	if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog)) == 0 &&
		bind(fd, (struct sockaddr *)&all, sizeof(all)) == 0)
		return fd;
	err_set(e, "cannot listen for others that claim our addresses: %s%s", strerror(errno), needs(errno));
	cleanup_close(&fd);
	return -1;
}

size_t frame_next(int fd, void *buf, size_t size, int *ifindex)
{
	for (;;) {
		struct sockaddr_ll from = { 0 };
		socklen_t len = sizeof(from);
		ssize_t n = recvfrom(fd, buf, size, MSG_DONTWAIT, (struct sockaddr *)&from, &len);
		if (n < 0 && (errno == EINTR || errno == ENETDOWN))
			continue; /* ENETDOWN: told once when an interface goes away; the others go on */
		if (n < 0)
			return 0;
		if (n == 0 || from.sll_pkttype == PACKET_OUTGOING)
			continue;
		*ifindex = from.sll_ifindex;
		return (size_t)n;
	}
}
