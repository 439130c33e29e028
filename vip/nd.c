/* nd.c - Neighbor Discovery frames. */
#include "vip/nd.h"

#include <arpa/inet.h>
#include <net/ethernet.h>
#include <netinet/icmp6.h>
#include <netinet/ip6.h>

enum { ND_ADDRESSES_MAX = 64, ND_HOPS = 255 /* RFC 4861 section 7.1: anything less has been forwarded */ };

struct nd_frame {
	uint8_t to[MAC_LEN], from[MAC_LEN];
	uint16_t ether_type;
	struct ip6_hdr ip;
	uint8_t type, code;
	uint16_t checksum;
	uint32_t flags;
	struct in6_addr target;
	uint8_t option, option_len; /* in units of 8 bytes */
	uint8_t option_mac[MAC_LEN];
} __attribute__((packed));
_Static_assert(sizeof(struct nd_frame) == 86, "the layout on the wire");

enum { ND_LEN_BARE = offsetof(struct nd_frame, option) };

static const struct in6_addr all_nodes = { { { 0xff, 0x02, [15] = 1 } } };

static uint32_t sum_words(uint32_t sum, const void *data, size_t len)
{
	const uint8_t *p = data;
	for (size_t i = 0; i + 1 < len; i += 2)
		sum += (uint32_t)(p[i] << 8 | p[i + 1]);
	return sum;
}

/* RFC 4443 section 2.3: over the addresses, the length, the next header and the message. */
static uint16_t checksum(const struct nd_frame *f, size_t len)
{
	size_t body = len - offsetof(struct nd_frame, type);
	uint32_t sum = (uint32_t)body + IPPROTO_ICMPV6;
	sum = sum_words(sum, (const uint8_t *)f + offsetof(struct nd_frame, ip.ip6_src), 2 * sizeof(struct in6_addr));
	sum = sum_words(sum, (const uint8_t *)f + offsetof(struct nd_frame, type), body);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t)~sum);
}

/* A multicast packet of ours; RFC 2464 section 7: its MAC ends in the last four bytes of the group. */
static void nd_send(
	int fd, int ifindex, const uint8_t mac[MAC_LEN], const struct in6_addr *group, struct nd_frame *f, size_t len)
{
	f->to[0] = f->to[1] = 0x33;
	memcpy(f->to + 2, group->s6_addr + 12, 4);
	memcpy(f->from, mac, MAC_LEN);
	f->ether_type = htons(ETHERTYPE_IPV6);
	f->ip.ip6_flow = htonl(6u << 28);
	f->ip.ip6_plen = htons((uint16_t)(len - offsetof(struct nd_frame, type)));
	f->ip.ip6_nxt = IPPROTO_ICMPV6;
	f->ip.ip6_hlim = ND_HOPS;
	memcpy(&f->ip.ip6_dst, group, sizeof(*group));
	f->checksum = checksum(f, len);
	frame_send(fd, ifindex, f, len);
}

void nd_announce(int fd, int ifindex, const uint8_t mac[MAC_LEN], const struct ip *address, bool router)
{
	struct nd_frame f = { .type = ND_NEIGHBOR_ADVERT,
		.flags = ND_NA_FLAG_OVERRIDE | (router ? ND_NA_FLAG_ROUTER : 0),
		.option = ND_OPT_TARGET_LINKADDR,
		.option_len = 1 };
	memcpy(&f.ip.ip6_src, address->b, 16);
	memcpy(&f.target, address->b, 16);
	memcpy(f.option_mac, mac, MAC_LEN);
	nd_send(fd, ifindex, mac, &all_nodes, &f, sizeof(f));
}

bool nd_is_router(const char *interface)
{
	char path[128];
	auto_file FILE *f = NULL;
	snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/forwarding", interface);
	f = fopen(path, "re");
	return f && fgetc(f) == '1';
}

void nd_probe(int fd, int ifindex, const uint8_t mac[MAC_LEN], const struct ip *address)
{
	/* RFC 4291 section 2.7.1: the solicited-node group ends in the last three bytes of the address */
	struct in6_addr group = { { { 0xff, 0x02, [11] = 1, [12] = 0xff } } };
	struct nd_frame f = { .type = ND_NEIGHBOR_SOLICIT };
	memcpy(group.s6_addr + 13, address->b + 13, 3);
	memcpy(&f.target, address->b, 16);
	nd_send(fd, ifindex, mac, &group, &f, ND_LEN_BARE);
}

/* --- hearing --------------------------------------------------------------------------------------------------------- */

struct program {
	struct sock_filter code[8 + 2 * (9 * ND_ADDRESSES_MAX + 1)];
	size_t len;
};

static void put(struct program *p, uint16_t op, uint32_t k, uint8_t jt, uint8_t jf)
{
	p->code[p->len++] = (struct sock_filter){ op, jt, jf, k };
}

/* Lets the frame through when the 16 bytes at `at` are one of the addresses. */
static void put_any_of(struct program *p, size_t at, const struct ip *address, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		for (uint8_t word = 0; address[i].len == 16 && word < 4; word++) {
			uint32_t want;
			memcpy(&want, address[i].b + (size_t)4 * word, 4);
			put(p, BPF_LD | BPF_W | BPF_ABS, (uint32_t)(at + (size_t)4 * word), 0, 0);
			/* another: on to the next address, past the words that remain and the return */
			put(p, BPF_JMP | BPF_JEQ | BPF_K, ntohl(want), 0, (uint8_t)(2 * (3 - word) + 1));
		}
		if (address[i].len == 16)
			put(p, BPF_RET | BPF_K, UINT32_MAX, 0, 0);
	}
	put(p, BPF_RET | BPF_K, 0, 0, 0);
}

int nd_listen_socket(const struct ip *address, size_t n, struct err *e)
{
	struct program p = { .len = 0 };
	uint32_t six = 0;
	if (n > ND_ADDRESSES_MAX)
		return err_set(e, "at most %d addresses can be watched by ND, not %zu", ND_ADDRESSES_MAX, n);
	for (size_t i = 0; i < n; i++)
		six += address[i].len == 16;
	put(&p, BPF_LD | BPF_B | BPF_ABS, offsetof(struct nd_frame, ip.ip6_nxt), 0, 0);
	put(&p, BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_ICMPV6, 1, 0);
	put(&p, BPF_RET | BPF_K, 0, 0, 0);
	put(&p, BPF_LD | BPF_B | BPF_ABS, offsetof(struct nd_frame, type), 0, 0);
	put(&p, BPF_JMP | BPF_JEQ | BPF_K, ND_NEIGHBOR_ADVERT, 3, 0);
	put(&p, BPF_JMP | BPF_JEQ | BPF_K, ND_NEIGHBOR_SOLICIT, 1, 0);
	put(&p, BPF_RET | BPF_K, 0, 0, 0);
	put(&p, BPF_JMP | BPF_JA, 9 * six + 1, 0, 0); /* over the list for advertisements */
	put_any_of(&p, offsetof(struct nd_frame, target), address, n);
	put_any_of(&p, offsetof(struct nd_frame, ip.ip6_src), address, n);
	return frame_listen_socket(ETHERTYPE_IPV6, p.code, p.len, e);
}

/* The MAC that is claimed: by the option, or, without one, the sender's. */
static void claimed_mac(const struct nd_frame *f, size_t n, uint8_t out[MAC_LEN])
{
	uint8_t says = f->type == ND_NEIGHBOR_ADVERT ? ND_OPT_TARGET_LINKADDR : ND_OPT_SOURCE_LINKADDR;
	bool has = n >= sizeof(*f) && f->option == says && f->option_len == 1;
	memcpy(out, has ? f->option_mac : f->from, MAC_LEN);
}

int nd_next_claim(int fd, struct claim *c)
{
	struct nd_frame f = { 0 };
	int ifindex = 0;
	size_t n;
	while ((n = frame_next(fd, &f, sizeof(f), &ifindex)) > 0) {
		if (n < ND_LEN_BARE || f.ip.ip6_hlim != ND_HOPS || f.code != 0)
			continue;
		*c = (struct claim){ .ifindex = ifindex, .address.len = 16 };
		memcpy(c->address.b, f.type == ND_NEIGHBOR_ADVERT ? &f.target : &f.ip.ip6_src, 16);
		claimed_mac(&f, n, c->mac);
		return 1;
	}
	return 0;
}
