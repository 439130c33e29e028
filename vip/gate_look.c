/* gate_look.c - whether the gate's rules stand, and what is alive in them: the kernel's own dumps. */
#include "vip/gate_rules.h"

#include <errno.h>
#include <libnftnl/set.h>
#include <libnftnl/table.h>

_Static_assert(GATE_KEYS_MAX == 64, "a bit of a word for each");

struct question {
	const struct gate_shape *shape;
	const char *set;
};

struct answer {
	const struct gate_shape *shape;
	size_t count; /* rules, or elements */
	bool as_made; /* table: our comment, no flags */
	enum list list;
	uint64_t found;	     /* bit i: key i of the list is there */
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
	*a = (struct answer){ .shape = a->shape, .list = a->list };
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
	const struct keys *want = &a->shape->list[a->list];
	for (size_t i = 0; key && len == gate_key_len(a->list) && i < want->n; i++) {
		if (memcmp(key, want->key[i], len) != 0)
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

static int elems(struct nft_link *l, const struct gate_shape *s, const struct set_def *d, struct answer *a)
{
	struct question q = { s, d->name };
	*a = (struct answer){ .shape = s, .list = d->list };
	return nft_ask(l, NFT_MSG_GETSETELEM, d->family, NLM_F_DUMP, ask_elems, &q, got_elems, a, answer_again);
}

static bool all_there(const struct answer *a)
{
	size_t n = a->shape->list[a->list].n;
	return a->found == (n == GATE_KEYS_MAX ? UINT64_MAX : (1ull << n) - 1);
}

/* Rules are counted, not compared one by one: their text is ours as long as the table's comment is, and what others do to a table
 * adds or takes away. */
static int family_stands(struct nft_link *l, const struct gate_shape *s, uint8_t family)
{
	struct question q = { s, NULL };
	struct answer table = { .shape = s }, have = { .shape = s };
	int r = nft_ask(l, NFT_MSG_GETTABLE, family, 0, ask_table, &q, got_table, &table, answer_again);
	if (r < 0)
		return r;
	r = nft_ask(l, NFT_MSG_GETRULE, family, NLM_F_DUMP, ask_rules, &q, got_rule, &have, answer_again);
	if (r < 0 || !table.as_made || have.count != rules_wanted(s, family))
		return r;
	for (size_t i = 0; i < ARRAY_LEN(gate_sets); i++) {
		const struct set_def *d = &gate_sets[i];
		if (d->family != family || d->life != AS_WISHED || !set_wanted(s, d))
			continue;
		r = elems(l, s, d, &have);
		if (r < 0 || !all_there(&have) || have.count != s->list[d->list].n)
			return r;
	}
	return 1;
}

int rules_stand(struct nft_link *l, const struct gate_shape *s)
{
	int r = 1;
	for (size_t i = 0; r == 1 && i < ARRAY_LEN(gate_families); i++)
		r = family_stands(l, s, gate_families[i]);
	return r == -ENOENT ? 0 : r;
}

int64_t rules_alive_ms(struct nft_link *l, const struct gate_shape *s)
{
	int64_t shortest = INT64_MAX;
	for (size_t i = 0; i < ARRAY_LEN(gate_sets); i++) {
		const struct set_def *d = &gate_sets[i];
		struct answer a;
		if (d->life != LEASED || !set_wanted(s, d))
			continue;
		int r = elems(l, s, d, &a);
		if (r == -ENOENT)
			continue;
		if (r < 0)
			return r;
		if (!all_there(&a))
			return 0;
		shortest = a.shortest_ms < shortest ? a.shortest_ms : shortest;
	}
	return shortest == INT64_MAX ? -ENOENT : shortest;
}
