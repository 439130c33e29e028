/* gate_rules.c - the gate's rule set, as one table of rules that reads like nft's own text, and its installation by libnftnl.
 *
 * libnftnl and not libnftables: one socket, hence one port id by which our own events are known, and one transaction that puts up
 * the rules and what is alive in them together.
 */
#include "vip/gate_rules.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <libnftnl/chain.h>
#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
#include <libnftnl/set.h>
#include <libnftnl/table.h>
#include <libnftnl/udata.h>
#include <linux/netfilter_arp.h>
#include <linux/rtnetlink.h>

enum { KEY_IPV4 = 7, KEY_IFNAME = 41 }; /* nft's own numbers of data types: only nft's output reads them */

/* --- the rules ------------------------------------------------------------------------------------------------------ */

/* What a rule asks before it drops; each a few expressions. SHUT: in @vips and not in @alive. */
enum term { T_END, T_IPV4, T_TO_SHUT, T_FROM_SHUT, T_ARP_FROM_SHUT, T_TO_LOCAL, T_IN_IFS, T_OUT_IFS, T_COUNT };

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

static const struct rule_def {
	uint8_t family;
	const char *chain;
	const char *why;
	uint8_t terms[5];
} rules[] = {
	/* Not simply every packet to the address: a standby that forwards for its own containers must let them reach the primary. So it
	 * is dropped where this host would answer: the address is here, or it came in where the address lives (it may just have been
	 * taken away while DNAT of established connections goes on). */
	{ NFPROTO_INET, "in", "to an address held here", { T_IPV4, T_TO_SHUT, T_TO_LOCAL } },
	{ NFPROTO_INET, "in", "from its own network", { T_IPV4, T_TO_SHUT, T_IN_IFS } },
	{ NFPROTO_INET, "out", "answers and local clients", { T_IPV4, T_FROM_SHUT } },
	{ NFPROTO_INET, "out", "local clients, DNAT in output", { T_IPV4, T_TO_SHUT, T_TO_LOCAL } },
	{ NFPROTO_INET, "leave", "answers of DNAT'd connections", { T_IPV4, T_OUT_IFS, T_FROM_SHUT } },
	/* The kernel's ARP answers and requests. Not frames from packet sockets: announcements ask gate_is_open themselves. Incoming
	 * ARP passes: the neighbour table of this host must learn the new primary. */
	{ NFPROTO_ARP, "out", "ARP in its name", { T_ARP_FROM_SHUT } },
};

static const uint8_t families[] = { NFPROTO_INET, NFPROTO_ARP };

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

static void put_cmp(struct nftnl_rule *r, const void *value, uint32_t len)
{
	struct nftnl_expr *x = expr(r, "cmp");
	nftnl_expr_set_u32(x, NFTNL_EXPR_CMP_SREG, NFT_REG_1);
	nftnl_expr_set_u32(x, NFTNL_EXPR_CMP_OP, NFT_CMP_EQ);
	nftnl_expr_set(x, NFTNL_EXPR_CMP_DATA, value, len);
}

static void put_meta(struct nftnl_rule *r, uint32_t key)
{
	struct nftnl_expr *x = expr(r, "meta");
	nftnl_expr_set_u32(x, NFTNL_EXPR_META_KEY, key);
	nftnl_expr_set_u32(x, NFTNL_EXPR_META_DREG, NFT_REG_1);
}

static void put_shut(struct nftnl_rule *r, uint32_t offset)
{
	struct nftnl_expr *x = expr(r, "payload");
	nftnl_expr_set_u32(x, NFTNL_EXPR_PAYLOAD_DREG, NFT_REG_1);
	nftnl_expr_set_u32(x, NFTNL_EXPR_PAYLOAD_BASE, NFT_PAYLOAD_NETWORK_HEADER);
	nftnl_expr_set_u32(x, NFTNL_EXPR_PAYLOAD_OFFSET, offset);
	nftnl_expr_set_u32(x, NFTNL_EXPR_PAYLOAD_LEN, 4);
	put_lookup(r, SET_VIPS, 0);
	put_lookup(r, SET_ALIVE, NFT_LOOKUP_F_INV); /* a lookup leaves its register as it was */
}

static void term_ipv4(struct nftnl_rule *r)
{
	put_meta(r, NFT_META_NFPROTO);
	put_cmp(r, &(uint8_t){ NFPROTO_IPV4 }, 1);
}

static void term_to_shut(struct nftnl_rule *r)
{
	put_shut(r, 16); /* RFC 791: destination address */
}

static void term_from_shut(struct nftnl_rule *r)
{
	put_shut(r, 12); /* RFC 791: source address */
}

static void term_arp_from_shut(struct nftnl_rule *r)
{
	put_shut(r, 14); /* RFC 826: sender protocol address, after 8 bytes of header and 6 of MAC */
}

static void term_to_local(struct nftnl_rule *r)
{
	struct nftnl_expr *x = expr(r, "fib");
	nftnl_expr_set_u32(x, NFTNL_EXPR_FIB_DREG, NFT_REG_1);
	nftnl_expr_set_u32(x, NFTNL_EXPR_FIB_RESULT, NFT_FIB_RESULT_ADDRTYPE);
	nftnl_expr_set_u32(x, NFTNL_EXPR_FIB_FLAGS, NFTA_FIB_F_DADDR);
	put_cmp(r, &(uint32_t){ RTN_LOCAL }, 4);
}

static void term_in_ifs(struct nftnl_rule *r)
{
	put_meta(r, NFT_META_IIFNAME);
	put_lookup(r, SET_IFS, 0);
}

static void term_out_ifs(struct nftnl_rule *r)
{
	put_meta(r, NFT_META_OIFNAME);
	put_lookup(r, SET_IFS, 0);
}

static void (*const term_put[])(struct nftnl_rule *) = {
	[T_END] = NULL,
	[T_IPV4] = term_ipv4,
	[T_TO_SHUT] = term_to_shut,
	[T_FROM_SHUT] = term_from_shut,
	[T_ARP_FROM_SHUT] = term_arp_from_shut,
	[T_TO_LOCAL] = term_to_local,
	[T_IN_IFS] = term_in_ifs,
	[T_OUT_IFS] = term_out_ifs,
};
_Static_assert(ARRAY_LEN(term_put) == T_COUNT, "a term without expressions");

/* --- putting the pieces into a batch ----------------------------------------------------------------------------------- */

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
		term_put[*t](r);
	struct nftnl_expr *drop = expr(r, "immediate");
	nftnl_expr_set_u32(drop, NFTNL_EXPR_IMM_DREG, NFT_REG_VERDICT);
	nftnl_expr_set_u32(drop, NFTNL_EXPR_IMM_VERDICT, NF_DROP);
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

void put_flush(struct batch *b, uint8_t family, const char *table, const char *set)
{
	put_elems_head(b, NFT_MSG_DELSETELEM, family, table, set); /* without elements: all of them */
}

void put_elems(struct batch *b, uint16_t msg, uint8_t family, const char *table, const char *set, const uint32_t *key,
	size_t n, int64_t ms)
{
	struct nlmsghdr *h = put_elems_head(b, msg, family, table, set);
	struct nlattr *list = mnl_attr_nest_start(h, NFTA_SET_ELEM_LIST_ELEMENTS);
	for (size_t i = 0; i < n; i++)
		put_elem(h, &key[i], sizeof(key[i]), ms);
	mnl_attr_nest_end(h, list);
}

static void put_ifs(struct batch *b, const struct gate_shape *s)
{
	struct nlmsghdr *h = put_elems_head(b, NFT_MSG_NEWSETELEM, NFPROTO_INET, s->table, SET_IFS);
	struct nlattr *list = mnl_attr_nest_start(h, NFTA_SET_ELEM_LIST_ELEMENTS);
	for (size_t i = 0; i < s->n_ifs; i++)
		put_elem(h, s->ifs[i], IFNAMSIZ, 0);
	mnl_attr_nest_end(h, list);
}

/* --- shape ------------------------------------------------------------------------------------------------------------ */

int check_table_name(const char *name, struct err *e)
{
	static const char first[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_";
	static const char rest[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789.-";
	if (!name || !*name || !strchr(first, *name) || strspn(name, rest) != strlen(name))
		return err_set(e,
			"\"%s\" cannot be the name of an nftables table: use letters, digits, '_', '-' and '.', a "
			"letter first",
			name ? name : "");
	if (strlen(name) >= sizeof(((struct gate_shape *)0)->table))
		return err_set(e, "\"%s\" is too long for the name of an nftables table: at most 63 characters", name);
	return 0;
}

static uint64_t fnv1a(uint64_t h, const void *data, size_t len)
{
	for (const uint8_t *p = data; len--; p++)
		h = (h ^ *p) * 0x100000001b3u;
	return h;
}

static void shape_add_if(struct gate_shape *s, const char *name)
{
	for (size_t i = 0; i < s->n_ifs; i++)
		if (str_eq(s->ifs[i], name))
			return;
	STR_COPY(s->ifs[s->n_ifs], name);
	s->n_ifs++;
}

static int shape_add(struct gate_shape *s, const struct vip_spec *v, struct err *e)
{
	uint32_t a;
	if (v->family == AF_INET6)
		return err_set(e, "%s: IPv6 virtual addresses cannot be gated yet; use an IPv4 address", v->address);
	if (v->family != AF_INET || inet_pton(AF_INET, v->address, &a) != 1)
		return err_set(e, "\"%s\" is not an IPv4 address", v->address);
	if (!v->interface[0])
		return err_set(e, "%s: no interface given", v->address);
	for (size_t i = 0; i < s->n; i++)
		if (s->address[i] == a)
			return err_set(e, "%s is named twice", v->address);
	s->address[s->n++] = a;
	shape_add_if(s, v->interface);
	return 0;
}

int shape_make(struct gate_shape *s, const char *table, const struct vip_spec *spec, size_t n, struct err *e)
{
	static const char version[] = "1"; /* raise when chains[] or rules[] change */
	uint64_t h = fnv1a(0xcbf29ce484222325u, version, sizeof(version));
	*s = (struct gate_shape){ 0 };
	if (check_table_name(table, e) < 0)
		return -1;
	if (n == 0 || n > GATE_VIPS_MAX)
		return err_set(e, "the gate takes 1 to %d addresses, not %zu", GATE_VIPS_MAX, n);
	STR_COPY(s->table, table);
	for (size_t i = 0; i < n; i++)
		if (shape_add(s, &spec[i], e) < 0)
			return -1;
	h = fnv1a(h, s->address, s->n * sizeof(s->address[0]));
	h = fnv1a(h, s->ifs, s->n_ifs * sizeof(s->ifs[0]));
	snprintf(s->print, sizeof(s->print), "hactl gate %s %016" PRIx64, version, h);
	return 0;
}

/* --- install and delete -------------------------------------------------------------------------------------------------- */

static void put_family(struct batch *b, const struct gate_shape *s, uint8_t family, int64_t alive_ms)
{
	put_table(b, NFT_MSG_NEWTABLE, family, s->table, NULL); /* so that the deletion finds one */
	put_table(b, NFT_MSG_DELTABLE, family, s->table, NULL);
	put_table(b, NFT_MSG_NEWTABLE, family, s->table, s->print);
	put_set(b, family, s->table, SET_VIPS, KEY_IPV4, 4, 0);
	put_set(b, family, s->table, SET_ALIVE, KEY_IPV4, 4, NFT_SET_TIMEOUT);
	put_elems(b, NFT_MSG_NEWSETELEM, family, s->table, SET_VIPS, s->address, s->n, 0);
	if (alive_ms > 0)
		put_elems(b, NFT_MSG_NEWSETELEM, family, s->table, SET_ALIVE, s->address, s->n, alive_ms);
	if (family == NFPROTO_INET) {
		put_set(b, family, s->table, SET_GUARD, KEY_IPV4, 4, NFT_SET_TIMEOUT);
		put_set(b, family, s->table, SET_IFS, KEY_IFNAME, IFNAMSIZ, 0);
		put_ifs(b, s);
	}
	for (size_t i = 0; i < ARRAY_LEN(chains); i++)
		if (chains[i].family == family)
			put_chain(b, s->table, &chains[i]);
	for (size_t i = 0; i < ARRAY_LEN(rules); i++)
		if (rules[i].family == family)
			put_rule(b, s->table, &rules[i]);
}

int rules_install(struct nft_link *l, const struct gate_shape *s, int64_t alive_ms)
{
	struct batch b;
	batch_start(&b, l);
	for (size_t i = 0; i < ARRAY_LEN(families); i++)
		put_family(&b, s, families[i], alive_ms);
	return batch_commit(&b);
}

int rules_delete(struct nft_link *l, const char *table)
{
	struct batch b;
	batch_start(&b, l);
	for (size_t i = 0; i < ARRAY_LEN(families); i++) {
		put_table(&b, NFT_MSG_NEWTABLE, families[i], table, NULL);
		put_table(&b, NFT_MSG_DELTABLE, families[i], table, NULL);
	}
	return batch_commit(&b);
}

/* --- what stands ----------------------------------------------------------------------------------------------------------- */

struct question {
	const struct gate_shape *shape;
	const char *set;
};

struct answer {
	const struct gate_shape *shape;
	size_t count;	     /* rules, or elements */
	bool as_made;	     /* table: our comment, no flags */
	uint64_t found;	     /* bit i: address i is alive */
	int64_t shortest_ms; /* of those */
};

static void ask_table(struct nlmsghdr *h, const void *arg)
{
	const struct question *q = arg;
	mnl_attr_put_strz(h, NFTA_TABLE_NAME, q->shape->table);
}

static void ask_rules(struct nlmsghdr *h, const void *arg)
{
	const struct question *q = arg;
	mnl_attr_put_strz(h, NFTA_RULE_TABLE, q->shape->table);
}

static void ask_elems(struct nlmsghdr *h, const void *arg)
{
	const struct question *q = arg;
	mnl_attr_put_strz(h, NFTA_SET_ELEM_LIST_TABLE, q->shape->table);
	mnl_attr_put_strz(h, NFTA_SET_ELEM_LIST_SET, q->set);
}

static void answer_again(void *arg)
{
	struct answer *a = arg;
	*a = (struct answer){ .shape = a->shape };
}

static int got_table(const struct nlmsghdr *h, void *arg)
{
	struct answer *a = arg;
	struct nftnl_table *t = nftnl_table_alloc();
	uint32_t len = 0;
	if (!t)
		abort();
	if (nftnl_table_nlmsg_parse(h, t) == 0) {
		const uint8_t *u = nftnl_table_get_data(t, NFTNL_TABLE_USERDATA, &len);
		size_t want = strlen(a->shape->print) + 1;
		/* userdata: type, length, text; a dormant table (flag) does not filter */
		a->as_made = u && len == want + 2 && memcmp(u + 2, a->shape->print, want) == 0 &&
			     nftnl_table_get_u32(t, NFTNL_TABLE_FLAGS) == 0;
	}
	nftnl_table_free(t);
	return MNL_CB_OK;
}

static int got_rule(const struct nlmsghdr *h, void *arg)
{
	struct answer *a = arg;
	(void)h;
	a->count++;
	return MNL_CB_OK;
}

static void note_elem(struct answer *a, struct nftnl_set_elem *x)
{
	uint32_t len = 0;
	const void *key = nftnl_set_elem_get(x, NFTNL_SET_ELEM_KEY, &len);
	bool mortal = nftnl_set_elem_is_set(
		x, NFTNL_SET_ELEM_EXPIRATION); /* libnftnl 1.2 crashes when asked for what is not set */
	int64_t left = mortal ? (int64_t)nftnl_set_elem_get_u64(x, NFTNL_SET_ELEM_EXPIRATION) : 0;
	a->count++;
	for (size_t i = 0; key && len == 4 && i < a->shape->n; i++) {
		if (memcmp(key, &a->shape->address[i], 4) != 0)
			continue;
		if (!a->found || left < a->shortest_ms)
			a->shortest_ms = left;
		a->found |= 1ull << i;
	}
}

static int got_elems(const struct nlmsghdr *h, void *arg)
{
	struct nftnl_set *s = nftnl_set_alloc();
	if (!s)
		abort();
	if (nftnl_set_elems_nlmsg_parse(h, s) == 0) {
		struct nftnl_set_elems_iter *it = nftnl_set_elems_iter_create(s);
		struct nftnl_set_elem *x;
		while ((x = nftnl_set_elems_iter_next(it)))
			note_elem(arg, x);
		nftnl_set_elems_iter_destroy(it);
	}
	nftnl_set_free(s);
	return MNL_CB_OK;
}

static int elems(struct nft_link *l, const struct gate_shape *s, uint8_t family, const char *set, struct answer *a)
{
	struct question q = { s, set };
	*a = (struct answer){ .shape = s };
	return nft_ask(l, NFT_MSG_GETSETELEM, family, NLM_F_DUMP, ask_elems, &q, got_elems, a, answer_again);
}

/* Rules are counted, not compared one by one: their text is ours as long as the table's comment is, and what others do to a table
 * adds or takes away. */
static int family_stands(struct nft_link *l, const struct gate_shape *s, uint8_t family)
{
	struct question q = { s, NULL };
	struct answer table = { .shape = s }, have = { .shape = s };
	size_t want = 0;
	int r = nft_ask(l, NFT_MSG_GETTABLE, family, 0, ask_table, &q, got_table, &table, answer_again);
	if (r < 0)
		return r;
	for (size_t i = 0; i < ARRAY_LEN(rules); i++)
		want += rules[i].family == family;
	r = nft_ask(l, NFT_MSG_GETRULE, family, NLM_F_DUMP, ask_rules, &q, got_rule, &have, answer_again);
	if (r < 0 || !table.as_made || have.count != want)
		return r;
	r = elems(l, s, family, SET_VIPS, &have);
	if (r < 0 || have.count != s->n)
		return r;
	if (family == NFPROTO_INET) {
		r = elems(l, s, family, SET_IFS, &have);
		if (r < 0 || have.count != s->n_ifs)
			return r;
	}
	return 1;
}

int rules_stand(struct nft_link *l, const struct gate_shape *s)
{
	int r = 1;
	for (size_t i = 0; r == 1 && i < ARRAY_LEN(families); i++)
		r = family_stands(l, s, families[i]);
	return r == -ENOENT ? 0 : r;
}

int64_t rules_alive_ms(struct nft_link *l, const struct gate_shape *s)
{
	uint64_t all = s->n == 64 ? UINT64_MAX : (1ull << s->n) - 1;
	int64_t shortest = INT64_MAX;
	for (size_t i = 0; i < ARRAY_LEN(families); i++) {
		struct answer a;
		int r = elems(l, s, families[i], SET_ALIVE, &a);
		if (r < 0)
			return r;
		if (a.found != all)
			return 0;
		shortest = a.shortest_ms < shortest ? a.shortest_ms : shortest;
	}
	return shortest;
}
