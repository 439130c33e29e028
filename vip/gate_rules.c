/* gate_rules.c - the gate's rule set, as tables of chains, sets and rules that read like nft's own text, and its installation by libnftnl.
 *
 * libnftnl and not libnftables: one socket, hence one port id by which our own events are known, and one transaction that puts up
 * the rules and what is alive in them together.
 */
#include "vip/gate_rules.h"

#include <errno.h>
#include <libnftnl/chain.h>
#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
#include <libnftnl/set.h>
#include <libnftnl/table.h>
#include <libnftnl/udata.h>
#include <linux/netfilter_arp.h>
#include <linux/rtnetlink.h>
#include <net/if_arp.h>
#include <netinet/icmp6.h>
#include <netinet/tcp.h>

/* --- chains, sets, rules ------------------------------------------------------------------------------------------------ */

const uint8_t gate_families[2] = { NFPROTO_INET, NFPROTO_ARP };

static const struct chain_def {
	uint8_t family;
	const char *name;
	uint32_t hook;
	int32_t priority;
} chains[] = {
	/* before conntrack (-200), raw (-300) and DNAT (-100): a published port of a container is gated like the host's own */
	{ NFPROTO_INET, "in", NF_INET_PRE_ROUTING, -350 },
	{ NFPROTO_INET, "out", NF_INET_LOCAL_OUT, -350 },
	/* after the source address of a DNAT'd answer was put back (100) */
	{ NFPROTO_INET, "leave", NF_INET_POST_ROUTING, 300 },
	{ NFPROTO_ARP, "out", NF_ARP_OUT, -350 },
};

const struct set_def gate_sets[SET_COUNT] = {
	{ NFPROTO_INET, "vips", L_VIP4, L_VIP4, AS_WISHED },
	{ NFPROTO_INET, "alive", L_VIP4, L_VIP4, LEASED },
	{ NFPROTO_INET, "vips6", L_VIP6, L_VIP6, AS_WISHED },
	{ NFPROTO_INET, "alive6", L_VIP6, L_VIP6, LEASED },
	{ NFPROTO_INET, "ports", L_PORT, L_PORT, AS_WISHED },
	{ NFPROTO_INET, "open_ports", L_PORT, L_PORT, LEASED },
	{ NFPROTO_INET, "peers", L_PEER4, L_PORT, AS_WISHED },
	{ NFPROTO_INET, "peers6", L_PEER6, L_PORT, AS_WISHED },
	{ NFPROTO_INET, "ifs", L_IF, L_IF, AS_WISHED },
	{ NFPROTO_INET, "resets", L_VIP4, L_VIP4, JUST_SHUT },
	{ NFPROTO_INET, "resets6", L_VIP6, L_VIP6, JUST_SHUT },
	{ NFPROTO_ARP, "vips", L_VIP4, L_VIP4, AS_WISHED },
	{ NFPROTO_ARP, "alive", L_VIP4, L_VIP4, LEASED },
};

/* type: nft's own number of the data type, which only nft's output reads */
static const struct {
	uint32_t type, len;
} key_of[LIST_COUNT] = {
	[L_VIP4] = { 7, 4 },
	[L_PEER4] = { 7, 4 },
	[L_VIP6] = { 8, 16 },
	[L_PEER6] = { 8, 16 },
	[L_PORT] = { 13, 2 },
	[L_IF] = { 41, IFNAMSIZ },
};
static const uint32_t guard_key = 1;
enum { TYPE_MARK = 19 };

size_t gate_key_len(enum list list)
{
	return key_of[list].len;
}

/* What a rule asks before it judges; each a few expressions. SHUT: in the one set and not in the other, mortal one. */
enum term {
	T_END,
	T_IPV4,
	T_IPV6,
	T_TCP,
	T_TO_SHUT,
	T_FROM_SHUT,
	T_TO_SHUT6,
	T_FROM_SHUT6,
	T_ADVERT_SHUT6,
	T_ARP_FROM_SHUT,
	T_TO_PORT_SHUT,
	T_FROM_PORT_SHUT,
	T_TO_LOCAL,
	T_FROM_LOCAL,
	T_IN_IFS,
	T_OUT_IFS,
	T_IN_FROM_WIRE,
	T_OUT_TO_WIRE,
	T_NOT_FROM_PEER,
	T_NOT_TO_PEER,
	T_NOT_FROM_PEER6,
	T_NOT_TO_PEER6,
	T_TO_RESET,
	T_TO_RESET6,
	T_FROM_RESET,
	T_FROM_RESET6,
	T_IS_RST,
	T_COUNT
};

static const struct rule_def {
	uint8_t family;
	const char *chain;
	const char *why;
	enum list needs; /* left out while that list is empty */
	uint8_t terms[8];
	enum { DROP, RESET, LET } verdict; /* the last two only where the kernel can reset */
} rules[] = {
	/* Shut a moment ago by a supervisor that moves the service: whoever still sends TCP here is told at once, and looks again, instead of
	 * waiting for his own time-out (a SYN's retransmission takes a second). No service: a reset carries no data and acknowledges
	 * none; ARP and ND stay shut. Let out are the resets alone. */
	{ NFPROTO_INET, "in", "just shut", L_VIP4, { T_IPV4, T_TCP, T_TO_RESET, T_TO_LOCAL }, RESET },
	{ NFPROTO_INET, "in", "just shut, its own network", L_VIP4, { T_IPV4, T_TCP, T_TO_RESET, T_IN_IFS }, RESET },
	{ NFPROTO_INET, "out", "resets", L_VIP4, { T_IPV4, T_TCP, T_FROM_RESET, T_IS_RST }, LET },
	{ NFPROTO_INET, "leave", "resets", L_VIP4, { T_IPV4, T_TCP, T_FROM_RESET, T_IS_RST }, LET },
	{ NFPROTO_INET, "in", "just shut", L_VIP6, { T_IPV6, T_TCP, T_TO_RESET6, T_TO_LOCAL }, RESET },
	{ NFPROTO_INET, "in", "just shut, its own network", L_VIP6, { T_IPV6, T_TCP, T_TO_RESET6, T_IN_IFS }, RESET },
	{ NFPROTO_INET, "out", "resets", L_VIP6, { T_IPV6, T_TCP, T_FROM_RESET6, T_IS_RST }, LET },
	{ NFPROTO_INET, "leave", "resets", L_VIP6, { T_IPV6, T_TCP, T_FROM_RESET6, T_IS_RST }, LET },

	/* Not simply every packet to the address: a standby that forwards for its own containers must let them reach the primary. So it
	 * is dropped where this host would answer: the address is here, or it came in where the address lives (it may just have been
	 * taken away while DNAT of established connections goes on). */
	{ NFPROTO_INET, "in", "to an address held here", L_VIP4, { T_IPV4, T_TO_SHUT, T_TO_LOCAL } },
	{ NFPROTO_INET, "in", "from its own network", L_VIP4, { T_IPV4, T_TO_SHUT, T_IN_IFS } },
	{ NFPROTO_INET, "out", "answers and local clients", L_VIP4, { T_IPV4, T_FROM_SHUT } },
	{ NFPROTO_INET, "out", "local clients, DNAT in output", L_VIP4, { T_IPV4, T_TO_SHUT, T_TO_LOCAL } },
	{ NFPROTO_INET, "leave", "answers of DNAT'd connections", L_VIP4, { T_IPV4, T_OUT_IFS, T_FROM_SHUT } },

	{ NFPROTO_INET, "in", "to an address held here", L_VIP6, { T_IPV6, T_TO_SHUT6, T_TO_LOCAL } },
	{ NFPROTO_INET, "in", "from its own network", L_VIP6, { T_IPV6, T_TO_SHUT6, T_IN_IFS } },
	{ NFPROTO_INET, "out", "answers and local clients", L_VIP6, { T_IPV6, T_FROM_SHUT6 } },
	{ NFPROTO_INET, "out", "local clients, DNAT in output", L_VIP6, { T_IPV6, T_TO_SHUT6, T_TO_LOCAL } },
	/* The kernel's own advertisement comes from the address itself and ends one rule above; a proxy's comes from another. Incoming ND
	 * passes, as ARP does: the neighbour table of this host must learn the new primary, and what it asks is answered by nobody here. */
	{ NFPROTO_INET, "out", "ND in its name", L_VIP6, { T_IPV6, T_ADVERT_SHUT6 } },
	{ NFPROTO_INET, "leave", "answers of DNAT'd connections", L_VIP6, { T_IPV6, T_OUT_IFS, T_FROM_SHUT6 } },

	/* The database ports of every address of this host, when asked; loopback and the other node go by. */
	{ NFPROTO_INET, "in", "to a gated port", L_PORT,
		{ T_IPV4, T_TCP, T_TO_PORT_SHUT, T_IN_FROM_WIRE, T_NOT_FROM_PEER, T_TO_LOCAL } },
	{ NFPROTO_INET, "leave", "from a gated port", L_PORT,
		{ T_IPV4, T_TCP, T_FROM_PORT_SHUT, T_OUT_TO_WIRE, T_NOT_TO_PEER, T_FROM_LOCAL } },
	{ NFPROTO_INET, "in", "to a gated port", L_PORT,
		{ T_IPV6, T_TCP, T_TO_PORT_SHUT, T_IN_FROM_WIRE, T_NOT_FROM_PEER6, T_TO_LOCAL } },
	{ NFPROTO_INET, "leave", "from a gated port", L_PORT,
		{ T_IPV6, T_TCP, T_FROM_PORT_SHUT, T_OUT_TO_WIRE, T_NOT_TO_PEER6, T_FROM_LOCAL } },

	/* The kernel's ARP answers and requests. Not frames from packet sockets: announcements ask gate_is_open themselves. Incoming
	 * ARP passes: the neighbour table of this host must learn the new primary. */
	{ NFPROTO_ARP, "out", "ARP in its name", L_VIP4, { T_ARP_FROM_SHUT } },
};

static bool rule_wanted(const struct gate_shape *s, const struct rule_def *d, uint8_t family)
{
	return d->family == family && s->list[d->needs].n > 0 && (d->verdict == DROP || !s->no_resets);
}

size_t rules_wanted(const struct gate_shape *s, uint8_t family)
{
	size_t n = 0;
	for (size_t i = 0; i < ARRAY_LEN(rules); i++)
		n += rule_wanted(s, &rules[i], family);
	return n;
}

/* --- expressions ---------------------------------------------------------------------------------------------------- */

static struct nftnl_expr *expr(struct nftnl_rule *r, const char *name)
{
	struct nftnl_expr *x = nftnl_expr_alloc(name);
	if (!x)
		abort();
	nftnl_rule_add_expr(r, x);
	return x;
}

static void put_lookup(struct nftnl_rule *r, const char *set, uint32_t flags)
{
	struct nftnl_expr *x = expr(r, "lookup");
	nftnl_expr_set_u32(x, NFTNL_EXPR_LOOKUP_SREG, NFT_REG_1);
	nftnl_expr_set_str(x, NFTNL_EXPR_LOOKUP_SET, set);
	if (flags)
		nftnl_expr_set_u32(x, NFTNL_EXPR_LOOKUP_FLAGS, flags);
}

static void put_cmp(struct nftnl_rule *r, uint32_t op, const void *value, uint32_t len)
{
	struct nftnl_expr *x = expr(r, "cmp");
	nftnl_expr_set_u32(x, NFTNL_EXPR_CMP_SREG, NFT_REG_1);
	nftnl_expr_set_u32(x, NFTNL_EXPR_CMP_OP, op);
	nftnl_expr_set(x, NFTNL_EXPR_CMP_DATA, value, len);
}

static void put_meta(struct nftnl_rule *r, uint32_t key)
{
	struct nftnl_expr *x = expr(r, "meta");
	nftnl_expr_set_u32(x, NFTNL_EXPR_META_KEY, key);
	nftnl_expr_set_u32(x, NFTNL_EXPR_META_DREG, NFT_REG_1);
}

static void put_load(struct nftnl_rule *r, uint32_t base, uint32_t offset, uint32_t len)
{
	struct nftnl_expr *x = expr(r, "payload");
	nftnl_expr_set_u32(x, NFTNL_EXPR_PAYLOAD_DREG, NFT_REG_1);
	nftnl_expr_set_u32(x, NFTNL_EXPR_PAYLOAD_BASE, base);
	nftnl_expr_set_u32(x, NFTNL_EXPR_PAYLOAD_OFFSET, offset);
	nftnl_expr_set_u32(x, NFTNL_EXPR_PAYLOAD_LEN, len);
}

/* --- terms: what each loads, and what it compares that with. Several parts are all to be true. ----------------------------- */

enum test { TEST_END, TEST_IS, TEST_IS_NOT, TEST_IN, TEST_NOT_IN, TEST_SHUT, TEST_BIT };

struct part {
	enum { FROM_META, FROM_NETWORK, FROM_TRANSPORT, FROM_FIB } from;
	uint32_t what, len; /* meta key; offset and length in the header; flags of the lookup in the routing tables */
	enum test test;
	uint32_t value;		  /* TEST_IS, TEST_IS_NOT; as the register has it. TEST_BIT: of one byte */
	const char *set, *except; /* TEST_SHUT: in `set` and not in `except` */
};

#define PROTO(p)	    .from = FROM_META, .what = NFT_META_NFPROTO, .len = 1, .test = TEST_IS, .value = p
#define L4(p)		    .from = FROM_META, .what = NFT_META_L4PROTO, .len = 1, .test = TEST_IS, .value = p
#define SHUT(f, o, l, s, x) .from = f, .what = o, .len = l, .test = TEST_SHUT, .set = s, .except = x
#define OTHER_THAN(o, l, s) .from = FROM_NETWORK, .what = o, .len = l, .test = TEST_NOT_IN, .set = s
#define IF_IN(key)	    .from = FROM_META, .what = key, .len = IFNAMSIZ, .test = TEST_IN, .set = "ifs"
#define WIRE(key)	    .from = FROM_META, .what = key, .len = 2, .test = TEST_IS_NOT, .value = ARPHRD_LOOPBACK
#define LOCAL(which)	    .from = FROM_FIB, .what = which, .len = 4, .test = TEST_IS, .value = RTN_LOCAL

static const struct part terms[T_COUNT][4] = {
	[T_IPV4] = { { PROTO(NFPROTO_IPV4) } },
	[T_IPV6] = { { PROTO(NFPROTO_IPV6) } },
	[T_TCP] = { { L4(IPPROTO_TCP) } },
	/* RFC 791: source at 12, destination at 16. RFC 8200: at 8 and 24 */
	[T_TO_SHUT] = { { SHUT(FROM_NETWORK, 16, 4, "vips", "alive") } },
	[T_FROM_SHUT] = { { SHUT(FROM_NETWORK, 12, 4, "vips", "alive") } },
	[T_TO_SHUT6] = { { SHUT(FROM_NETWORK, 24, 16, "vips6", "alive6") } },
	[T_FROM_SHUT6] = { { SHUT(FROM_NETWORK, 8, 16, "vips6", "alive6") } },
	/* RFC 4861 section 4.4: the target after type, code, checksum and flags */
	[T_ADVERT_SHUT6] = { { L4(IPPROTO_ICMPV6) },
		{ .from = FROM_TRANSPORT, .what = 0, .len = 1, .test = TEST_IS, .value = ND_NEIGHBOR_ADVERT },
		{ SHUT(FROM_TRANSPORT, 8, 16, "vips6", "alive6") } },
	/* RFC 826: sender protocol address, after 8 bytes of header and 6 of MAC */
	[T_ARP_FROM_SHUT] = { { SHUT(FROM_NETWORK, 14, 4, "vips", "alive") } },
	/* RFC 9293: source port at 0, destination port at 2 */
	[T_TO_PORT_SHUT] = { { SHUT(FROM_TRANSPORT, 2, 2, "ports", "open_ports") } },
	[T_FROM_PORT_SHUT] = { { SHUT(FROM_TRANSPORT, 0, 2, "ports", "open_ports") } },
	[T_TO_LOCAL] = { { LOCAL(NFTA_FIB_F_DADDR) } },
	[T_FROM_LOCAL] = { { LOCAL(NFTA_FIB_F_SADDR) } },
	[T_IN_IFS] = { { IF_IN(NFT_META_IIFNAME) } },
	[T_OUT_IFS] = { { IF_IN(NFT_META_OIFNAME) } },
	[T_IN_FROM_WIRE] = { { WIRE(NFT_META_IIFTYPE) } },
	[T_OUT_TO_WIRE] = { { WIRE(NFT_META_OIFTYPE) } },
	[T_NOT_FROM_PEER] = { { OTHER_THAN(12, 4, "peers") } },
	[T_NOT_TO_PEER] = { { OTHER_THAN(16, 4, "peers") } },
	[T_NOT_FROM_PEER6] = { { OTHER_THAN(8, 16, "peers6") } },
	[T_NOT_TO_PEER6] = { { OTHER_THAN(24, 16, "peers6") } },
	/* not while it is open again */
	[T_TO_RESET] = { { SHUT(FROM_NETWORK, 16, 4, "resets", "alive") } },
	[T_TO_RESET6] = { { SHUT(FROM_NETWORK, 24, 16, "resets6", "alive6") } },
	[T_FROM_RESET] = { { .from = FROM_NETWORK, .what = 12, .len = 4, .test = TEST_IN, .set = "resets" } },
	[T_FROM_RESET6] = { { .from = FROM_NETWORK, .what = 8, .len = 16, .test = TEST_IN, .set = "resets6" } },
	/* RFC 9293: the flags' byte */
	[T_IS_RST] = { { .from = FROM_TRANSPORT, .what = 13, .len = 1, .test = TEST_BIT, .value = TH_RST } },
};

static void put_source(struct nftnl_rule *r, const struct part *p)
{
	struct nftnl_expr *x;
	switch (p->from) {
	case FROM_META:
		put_meta(r, p->what);
		return;
	case FROM_NETWORK:
		put_load(r, NFT_PAYLOAD_NETWORK_HEADER, p->what, p->len);
		return;
	case FROM_TRANSPORT:
		put_load(r, NFT_PAYLOAD_TRANSPORT_HEADER, p->what, p->len);
		return;
	case FROM_FIB:
		x = expr(r, "fib");
		nftnl_expr_set_u32(x, NFTNL_EXPR_FIB_DREG, NFT_REG_1);
		nftnl_expr_set_u32(x, NFTNL_EXPR_FIB_RESULT, NFT_FIB_RESULT_ADDRTYPE);
		nftnl_expr_set_u32(x, NFTNL_EXPR_FIB_FLAGS, p->what);
		return;
	}
}

/* Registers hold numbers in host order, narrow ones in their first bytes. */
static void put_number(struct nftnl_rule *r, uint32_t op, const struct part *p)
{
	uint8_t one = (uint8_t)p->value;
	uint16_t two = (uint16_t)p->value;
	put_cmp(r, op, p->len == 1 ? (const void *)&one : p->len == 2 ? (const void *)&two : &p->value, p->len);
}

static void put_bit(struct nftnl_rule *r, uint8_t bit)
{
	struct nftnl_expr *x = expr(r, "bitwise");
	const uint8_t none = 0;
	nftnl_expr_set_u32(x, NFTNL_EXPR_BITWISE_SREG, NFT_REG_1);
	nftnl_expr_set_u32(x, NFTNL_EXPR_BITWISE_DREG, NFT_REG_1);
	nftnl_expr_set_u32(x, NFTNL_EXPR_BITWISE_LEN, sizeof(bit));
	nftnl_expr_set(x, NFTNL_EXPR_BITWISE_MASK, &bit, sizeof(bit));
	nftnl_expr_set(x, NFTNL_EXPR_BITWISE_XOR, &none, sizeof(none));
	put_cmp(r, NFT_CMP_NEQ, &none, sizeof(none));
}

static void put_part(struct nftnl_rule *r, const struct part *p)
{
	put_source(r, p);
	if (p->test == TEST_BIT)
		put_bit(r, (uint8_t)p->value);
	else if (p->test == TEST_IS || p->test == TEST_IS_NOT)
		put_number(r, p->test == TEST_IS ? NFT_CMP_EQ : NFT_CMP_NEQ, p);
	else
		put_lookup(r, p->set, p->test == TEST_NOT_IN ? NFT_LOOKUP_F_INV : 0);
	if (p->test == TEST_SHUT)
		put_lookup(r, p->except, NFT_LOOKUP_F_INV); /* a lookup leaves its register as it was */
}

/* --- putting the pieces into a batch ----------------------------------------------------------------------------------- */

static void put_verdict(struct nftnl_rule *r, const struct rule_def *d)
{
	struct nftnl_expr *x = expr(r, d->verdict == RESET ? "reject" : "immediate");
	if (d->verdict == RESET) {
		nftnl_expr_set_u32(x, NFTNL_EXPR_REJECT_TYPE, NFT_REJECT_TCP_RST);
		return;
	}
	nftnl_expr_set_u32(x, NFTNL_EXPR_IMM_DREG, NFT_REG_VERDICT);
	nftnl_expr_set_u32(x, NFTNL_EXPR_IMM_VERDICT, d->verdict == LET ? NF_ACCEPT : NF_DROP);
}

static void put_rule(struct batch *b, const char *table, const struct rule_def *d)
{
	struct nftnl_rule *r = nftnl_rule_alloc();
	struct nftnl_udata_buf *u = nftnl_udata_buf_alloc(NFT_USERDATA_MAXLEN);
	if (!r || !u)
		abort();
	nftnl_rule_set_str(r, NFTNL_RULE_TABLE, table);
	nftnl_rule_set_str(r, NFTNL_RULE_CHAIN, d->chain);
	nftnl_rule_set_u32(r, NFTNL_RULE_FAMILY, d->family);
	nftnl_udata_put_strz(u, NFTNL_UDATA_RULE_COMMENT, d->why);
	nftnl_rule_set_data(r, NFTNL_RULE_USERDATA, nftnl_udata_buf_data(u), nftnl_udata_buf_len(u));
	for (const uint8_t *t = d->terms; *t != T_END; t++)
		for (const struct part *p = terms[*t]; p->test != TEST_END; p++)
			put_part(r, p);
	put_verdict(r, d);
	nftnl_rule_nlmsg_build_payload(batch_add(b, NFT_MSG_NEWRULE, d->family, NLM_F_CREATE | NLM_F_APPEND), r);
	nftnl_udata_buf_free(u);
	nftnl_rule_free(r);
}

static void put_chain(struct batch *b, const char *table, const struct chain_def *d)
{
	struct nftnl_chain *c = nftnl_chain_alloc();
	if (!c)
		abort();
	nftnl_chain_set_str(c, NFTNL_CHAIN_TABLE, table);
	nftnl_chain_set_str(c, NFTNL_CHAIN_NAME, d->name);
	nftnl_chain_set_str(c, NFTNL_CHAIN_TYPE, "filter");
	nftnl_chain_set_u32(c, NFTNL_CHAIN_FAMILY, d->family);
	nftnl_chain_set_u32(c, NFTNL_CHAIN_HOOKNUM, d->hook);
	nftnl_chain_set_s32(c, NFTNL_CHAIN_PRIO, d->priority);
	nftnl_chain_set_u32(c, NFTNL_CHAIN_POLICY, NF_ACCEPT);
	nftnl_chain_nlmsg_build_payload(batch_add(b, NFT_MSG_NEWCHAIN, d->family, NLM_F_CREATE), c);
	nftnl_chain_free(c);
}

static void put_set(struct batch *b, uint8_t family, const char *table, const char *name, uint32_t type, uint32_t len,
	uint32_t flags)
{
	struct nftnl_set *s = nftnl_set_alloc();
	if (!s)
		abort();
	nftnl_set_set_str(s, NFTNL_SET_TABLE, table);
	nftnl_set_set_str(s, NFTNL_SET_NAME, name);
	nftnl_set_set_u32(s, NFTNL_SET_FAMILY, family);
	nftnl_set_set_u32(s, NFTNL_SET_ID, b->link->seq); /* any number new to the batch; rules name the set */
	nftnl_set_set_u32(s, NFTNL_SET_KEY_TYPE, type);
	nftnl_set_set_u32(s, NFTNL_SET_KEY_LEN, len);
	nftnl_set_set_u32(s, NFTNL_SET_FLAGS, flags);
	nftnl_set_nlmsg_build_payload(batch_add(b, NFT_MSG_NEWSET, family, NLM_F_CREATE), s);
	nftnl_set_free(s);
}

static void put_table(struct batch *b, uint16_t msg, uint8_t family, const char *name, const char *comment)
{
	struct nftnl_table *t = nftnl_table_alloc();
	struct nftnl_udata_buf *u = nftnl_udata_buf_alloc(NFT_USERDATA_MAXLEN);
	if (!t || !u)
		abort();
	nftnl_table_set_str(t, NFTNL_TABLE_NAME, name);
	nftnl_table_set_u32(t, NFTNL_TABLE_FAMILY, family);
	if (comment) {
		nftnl_udata_put_strz(u, NFTNL_UDATA_TABLE_COMMENT, comment);
		nftnl_table_set_data(t, NFTNL_TABLE_USERDATA, nftnl_udata_buf_data(u), nftnl_udata_buf_len(u));
	}
	nftnl_table_nlmsg_build_payload(batch_add(b, msg, family, msg == NFT_MSG_NEWTABLE ? NLM_F_CREATE : 0), t);
	nftnl_udata_buf_free(u);
	nftnl_table_free(t);
}

static struct nlmsghdr *put_elems_head(
	struct batch *b, uint16_t msg, uint8_t family, const char *table, const char *set)
{
	struct nlmsghdr *h = batch_add(b, msg, family, msg == NFT_MSG_NEWSETELEM ? NLM_F_CREATE : 0);
	mnl_attr_put_strz(h, NFTA_SET_ELEM_LIST_TABLE, table);
	mnl_attr_put_strz(h, NFTA_SET_ELEM_LIST_SET, set);
	return h;
}

static void put_elem(struct nlmsghdr *h, const void *key, size_t len, int64_t ms)
{
	struct nlattr *elem = mnl_attr_nest_start(h, NFTA_LIST_ELEM);
	if (ms > 0)
		mnl_attr_put_u64(h, NFTA_SET_ELEM_TIMEOUT, htobe64((uint64_t)ms));
	struct nlattr *data = mnl_attr_nest_start(h, NFTA_SET_ELEM_KEY);
	mnl_attr_put(h, NFTA_DATA_VALUE, len, key);
	mnl_attr_nest_end(h, data);
	mnl_attr_nest_end(h, elem);
}

static void put_flush(struct batch *b, uint8_t family, const char *table, const char *set)
{
	put_elems_head(b, NFT_MSG_DELSETELEM, family, table, set); /* without elements: all of them */
}

static void put_keys(struct batch *b, const struct gate_shape *s, const struct set_def *d, int64_t ms)
{
	const struct keys *k = &s->list[d->list];
	if (k->n == 0)
		return;
	struct nlmsghdr *h = put_elems_head(b, NFT_MSG_NEWSETELEM, d->family, s->table, d->name);
	struct nlattr *list = mnl_attr_nest_start(h, NFTA_SET_ELEM_LIST_ELEMENTS);
	for (size_t i = 0; i < k->n; i++)
		put_elem(h, k->key[i], key_of[d->list].len, ms);
	mnl_attr_nest_end(h, list);
}

static void put_guard_elem(struct batch *b, const struct gate_shape *s, uint16_t msg, int64_t ms)
{
	struct nlmsghdr *h = put_elems_head(b, msg, NFPROTO_INET, s->table, SET_GUARD);
	struct nlattr *list = mnl_attr_nest_start(h, NFTA_SET_ELEM_LIST_ELEMENTS);
	put_elem(h, &guard_key, sizeof(guard_key), ms);
	mnl_attr_nest_end(h, list);
}

void put_guard(struct batch *b, const struct gate_shape *s, int64_t ms)
{
	put_flush(b, NFPROTO_INET, s->table, SET_GUARD);
	if (ms > 0)
		put_guard_elem(b, s, NFT_MSG_NEWSETELEM, ms);
}

void put_guard_spent(struct batch *b, const struct gate_shape *s)
{
	put_guard_elem(b, s, NFT_MSG_DELSETELEM, 0);
}

static void put_mortal(struct batch *b, const struct gate_shape *s, enum life life, int64_t ms)
{
	for (size_t i = 0; i < ARRAY_LEN(gate_sets); i++) {
		const struct set_def *d = &gate_sets[i];
		if (d->life != life || !set_wanted(s, d))
			continue;
		put_flush(b, d->family, s->table, d->name);
		if (ms > 0)
			put_keys(b, s, d, ms);
	}
}

void put_alive(struct batch *b, const struct gate_shape *s, int64_t ms)
{
	put_mortal(b, s, LEASED, ms);
}

void put_resets(struct batch *b, const struct gate_shape *s, int64_t ms)
{
	put_mortal(b, s, JUST_SHUT, ms);
}

/* --- install and delete -------------------------------------------------------------------------------------------------- */

static void put_sets(struct batch *b, const struct gate_shape *s, uint8_t family, int64_t alive_ms)
{
	for (size_t i = 0; i < ARRAY_LEN(gate_sets); i++) {
		const struct set_def *d = &gate_sets[i];
		if (d->family != family || !set_wanted(s, d))
			continue;
		put_set(b, family, s->table, d->name, key_of[d->list].type, key_of[d->list].len,
			d->life == AS_WISHED ? 0 : NFT_SET_TIMEOUT);
		if (d->life == AS_WISHED || (d->life == LEASED && alive_ms > 0))
			put_keys(b, s, d, d->life == LEASED ? alive_ms : 0);
	}
	if (family == NFPROTO_INET)
		put_set(b, family, s->table, SET_GUARD, TYPE_MARK, sizeof(guard_key), NFT_SET_TIMEOUT);
}

static void put_family(struct batch *b, const struct gate_shape *s, uint8_t family, int64_t alive_ms)
{
	put_table(b, NFT_MSG_NEWTABLE, family, s->table, NULL); /* so that the deletion finds one */
	put_table(b, NFT_MSG_DELTABLE, family, s->table, NULL);
	put_table(b, NFT_MSG_NEWTABLE, family, s->table, s->print);
	put_sets(b, s, family, alive_ms);
	for (size_t i = 0; i < ARRAY_LEN(chains); i++)
		if (chains[i].family == family)
			put_chain(b, s->table, &chains[i]);
	for (size_t i = 0; i < ARRAY_LEN(rules); i++)
		if (rule_wanted(s, &rules[i], family))
			put_rule(b, s->table, &rules[i]);
}

static int install(struct nft_link *l, const struct gate_shape *s, int64_t alive_ms)
{
	struct batch b;
	batch_start(&b, l);
	for (size_t i = 0; i < ARRAY_LEN(gate_families); i++)
		put_family(&b, s, gate_families[i], alive_ms);
	return batch_commit(&b);
}

/* Kernels before 5.9 do not reset in prerouting (EOPNOTSUPP), some are built without (ENOENT): silence does there. */
int rules_install(struct nft_link *l, struct gate_shape *s, int64_t alive_ms)
{
	int r = install(l, s, alive_ms);
	if ((r != -EOPNOTSUPP && r != -ENOENT) || s->no_resets)
		return r;
	s->no_resets = true;
	return install(l, s, alive_ms);
}

int rules_delete(struct nft_link *l, const char *table)
{
	struct batch b;
	batch_start(&b, l);
	for (size_t i = 0; i < ARRAY_LEN(gate_families); i++) {
		put_table(&b, NFT_MSG_NEWTABLE, gate_families[i], table, NULL);
		put_table(&b, NFT_MSG_DELTABLE, gate_families[i], table, NULL);
	}
	return batch_commit(&b);
}
