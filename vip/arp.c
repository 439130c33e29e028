/* arp.c - ARP frames on packet sockets. */
#include "vip/arp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if_arp.h>
#include <sys/socket.h>

struct arp_frame { /* RFC 826 for Ethernet and IPv4, with its Ethernet header */
	uint8_t to[MAC_LEN], from[MAC_LEN];
	uint16_t ether_type;
	uint16_t hardware, protocol;
	uint8_t hardware_len, protocol_len;
	uint16_t op;
	uint8_t sender_mac[MAC_LEN];
	uint32_t sender;
	uint8_t target_mac[MAC_LEN];
	uint32_t target;
} __attribute__((packed));
_Static_assert(sizeof(struct arp_frame) == 42, "the layout on the wire");

static const uint8_t everybody[MAC_LEN] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

int arp_send_socket(struct err *e)
{
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_set(e, "cannot announce addresses by ARP: %s%s", strerror(errno),
			errno == EPERM ? " (CAP_NET_RAW is needed)" : "");
	return fd;
}

static void arp_send(int fd, int ifindex, uint16_t op, const uint8_t mac[MAC_LEN], uint32_t sender,
	const uint8_t target_mac[MAC_LEN], uint32_t target)
{
	struct arp_frame f = { .ether_type = htons(ETHERTYPE_ARP),
		.hardware = htons(ARPHRD_ETHER),
		.protocol = htons(ETHERTYPE_IP),
		.hardware_len = MAC_LEN,
		.protocol_len = 4,
		.op = htons(op),
		.sender = sender,
		.target = target };
	struct sockaddr_ll to = { .sll_family = AF_PACKET,
		.sll_protocol = htons(ETHERTYPE_ARP),
		.sll_ifindex = ifindex,
		.sll_halen = MAC_LEN };
	memcpy(f.to, everybody, MAC_LEN);
	memcpy(f.from, mac, MAC_LEN);
	memcpy(f.sender_mac, mac, MAC_LEN);
	memcpy(f.target_mac, target_mac, MAC_LEN);
	memcpy(to.sll_addr, everybody, MAC_LEN);
	while (sendto(fd, &f, sizeof(f), 0, (struct sockaddr *)&to, sizeof(to)) < 0 && errno == EINTR)
		;
}

void arp_announce(int fd, int ifindex, const uint8_t mac[MAC_LEN], uint32_t address)
{
	static const uint8_t nobody[MAC_LEN];
	arp_send(fd, ifindex, ARPOP_REQUEST, mac, address, nobody, address);
	arp_send(fd, ifindex, ARPOP_REPLY, mac, address, everybody, address);
}

void arp_probe(int fd, int ifindex, const uint8_t mac[MAC_LEN], uint32_t address)
{
	static const uint8_t nobody[MAC_LEN];
	arp_send(fd, ifindex, ARPOP_REQUEST, mac, 0, nobody, address);
}

static int attach_filter(int fd, const uint32_t *address, size_t n)
{
	struct sock_filter code[2 + 2 * 64];
	size_t len = 0;
	if (n > 64) {
		errno = E2BIG;
		return -1;
	}
	code[len++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct arp_frame, sender));
	for (size_t i = 0; i < n; i++) {
		code[len++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ntohl(address[i]), 0, 1);
		code[len++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, UINT32_MAX);
	}
	code[len++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, 0);
	struct sock_fprog prog = { (unsigned short)len, code };
	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog));
}

int arp_listen_socket(const uint32_t *address, size_t n, struct err *e)
{
	/* protocol 0 first: nothing is heard before the filter is in place */
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_ll all = { .sll_family = AF_PACKET, .sll_protocol = htons(ETHERTYPE_ARP) };
	if (fd >= 0 && attach_filter(fd, address, n) == 0 && bind(fd, (struct sockaddr *)&all, sizeof(all)) == 0)
		return fd;
	err_set(e, "cannot listen for others that claim our addresses by ARP: %s%s", strerror(errno),
		errno == EPERM ? " (CAP_NET_RAW is needed)" : "");
	cleanup_close(&fd);
	return -1;
}

int arp_next_claim(int fd, struct arp_claim *c)
{
	for (;;) {
		struct arp_frame f = { 0 };
		struct sockaddr_ll from = { 0 };
		socklen_t len = sizeof(from);
		ssize_t n = recvfrom(fd, &f, sizeof(f), MSG_DONTWAIT, (struct sockaddr *)&from, &len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == ENETDOWN) /* told once when an interface goes away; the others go on */
			continue;
		if (n < 0)
			return 0;
		if ((size_t)n < sizeof(f) || from.sll_pkttype == PACKET_OUTGOING || f.protocol != htons(ETHERTYPE_IP) ||
			f.hardware_len != MAC_LEN || f.protocol_len != 4)
			continue;
		*c = (struct arp_claim){ .ifindex = from.sll_ifindex, .address = f.sender };
		memcpy(c->mac, f.sender_mac, MAC_LEN);
		return 1;
	}
}
