/* arp.c - ARP frames. */
#include "vip/arp.h"

#include <arpa/inet.h>
#include <net/ethernet.h>
#include <net/if_arp.h>

enum { ARP_ADDRESSES_MAX = 64 };

struct arp_frame { /* RFC 826 for Ethernet and IPv4, with its Ethernet header */
	uint8_t to[MAC_LEN], from[MAC_LEN];
	uint16_t ether_type;
	uint16_t hardware, protocol;
	uint8_t hardware_len, protocol_len;
	uint16_t op;
	uint8_t sender_mac[MAC_LEN];
	uint8_t sender[4];
	uint8_t target_mac[MAC_LEN];
	uint8_t target[4];
} __attribute__((packed));
_Static_assert(sizeof(struct arp_frame) == 42, "the layout on the wire");

static const uint8_t everybody[MAC_LEN] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
static const uint8_t nobody[MAC_LEN];
static const struct ip unspecified = { .len = 4 };

static void arp_send(int fd, int ifindex, uint16_t op, const uint8_t mac[MAC_LEN], const struct ip *sender,
	const uint8_t target_mac[MAC_LEN], const struct ip *target)
{
	struct arp_frame f = { .ether_type = htons(ETHERTYPE_ARP),
		.hardware = htons(ARPHRD_ETHER),
		.protocol = htons(ETHERTYPE_IP),
		.hardware_len = MAC_LEN,
		.protocol_len = 4,
		.op = htons(op) };
	memcpy(f.to, everybody, MAC_LEN);
	memcpy(f.from, mac, MAC_LEN);
	memcpy(f.sender_mac, mac, MAC_LEN);
	memcpy(f.sender, sender->b, 4);
	memcpy(f.target_mac, target_mac, MAC_LEN);
	memcpy(f.target, target->b, 4);
	frame_send(fd, ifindex, &f, sizeof(f));
}

void arp_announce(int fd, int ifindex, const uint8_t mac[MAC_LEN], const struct ip *address)
{
	arp_send(fd, ifindex, ARPOP_REQUEST, mac, address, nobody, address);
	arp_send(fd, ifindex, ARPOP_REPLY, mac, address, everybody, address);
}

void arp_probe(int fd, int ifindex, const uint8_t mac[MAC_LEN], const struct ip *address)
{
	arp_send(fd, ifindex, ARPOP_REQUEST, mac, &unspecified, nobody, address);
}

int arp_listen_socket(const struct ip *address, size_t n, struct err *e)
{
	struct sock_filter code[2 + 2 * ARP_ADDRESSES_MAX];
	size_t len = 0;
	if (n > ARP_ADDRESSES_MAX)
		return err_set(e, "at most %d addresses can be watched by ARP, not %zu", ARP_ADDRESSES_MAX, n);
	code[len++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct arp_frame, sender));
	for (size_t i = 0; i < n; i++) {
		uint32_t word;
		if (address[i].len != 4)
			continue;
		memcpy(&word, address[i].b, 4);
		code[len++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ntohl(word), 0, 1);
		code[len++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, UINT32_MAX);
	}
	code[len++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, 0);
	return frame_listen_socket(ETHERTYPE_ARP, code, len, e);
}

int arp_next_claim(int fd, struct claim *c)
{
	struct arp_frame f = { 0 };
	int ifindex = 0;
	size_t n;
	while ((n = frame_next(fd, &f, sizeof(f), &ifindex)) > 0) {
		if (n < sizeof(f) || f.protocol != htons(ETHERTYPE_IP) || f.hardware_len != MAC_LEN ||
			f.protocol_len != 4)
			continue;
		*c = (struct claim){ .ifindex = ifindex, .address.len = 4 };
		memcpy(c->mac, f.sender_mac, MAC_LEN);
		memcpy(c->address.b, f.sender, 4);
		return 1;
	}
	return 0;
}
