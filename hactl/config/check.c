/* check.c - what no single key can know: the pair, its paths, its addresses and who decides. */
#include "hactl/config/check.h"

#include <arpa/inet.h>

const config_setting_t *setting_at(const config_setting_t *root, const char *list, int i)
{
	const config_setting_t *s = config_setting_get_member(root, list);

	return s && config_setting_is_aggregate(s) ? config_setting_get_elem(s, (unsigned)i) : NULL;
}

const config_setting_t *setting_of(const config_setting_t *group, const char *key)
{
	return group && group->type == CONFIG_TYPE_GROUP ? config_setting_get_member(group, key) : NULL;
}

bool lacks(const config_setting_t *group, const char *key)
{
	for (int i = 0; group && i < config_setting_length(group); i++)
		if (name_close(config_setting_get_elem(group, (unsigned)i)->name, key))
			return false;
	return true;
}

int line_of_key(const config_setting_t *group, const char *key)
{
	const config_setting_t *s = setting_of(group, key);

	return s ? setting_line(s) : group ? setting_line(group) : 1;
}

/* --- nodes and links ------------------------------------------------------------------------------------------------- */

static void check_nodes(struct walk *w, const config_setting_t *root)
{
	const struct conf_node *a = &w->draft->conf.node[0], *b = &w->draft->conf.node[1];
	const config_setting_t *second = setting_at(root, "nodes", 1);

	if (!second)
		return;
	if (*a->name && !strcmp(a->name, b->name))
		mistake_add(w->mistakes, line_of_key(second, "name"),
			"nodes.name: \"%s\" names the other node already; write another name", b->name);
	if (address_equal(a->address, b->address))
		mistake_add(w->mistakes, line_of_key(second, "address"),
			"nodes.address: \"%s\" is the other node's address already; write this node's own", b->address);
	else if (*a->address && *b->address && address_family(a->address) != address_family(b->address))
		mistake_add(w->mistakes, line_of_key(second, "address"),
			"nodes.address: one node has an IPv4 and the other an IPv6 address; write both of one kind");
	if (a->prefer && b->prefer)
		mistake_add(w->mistakes, line_of_key(second, "prefer"),
			"nodes.prefer: both nodes are preferred; write prefer = true; on one of them at most");
}

static const char *owner_of(const struct conf *c, const char *address, int links)
{
	for (int n = 0; n < NODES; n++) {
		if (address_equal(c->node[n].address, address))
			return c->node[n].name;
		for (int i = 0; i < links; i++)
			if (address_equal(c->link[i][n], address))
				return c->node[n].name;
	}
	return NULL;
}

static void check_links(struct walk *w, const config_setting_t *root)
{
	const struct conf *c = &w->draft->conf;

	for (int i = 0; i < c->n_links; i++) {
		const config_setting_t *links = setting_of(config_setting_get_member(root, "heartbeat"), "links");
		int line = setting_line(config_setting_get_elem(links, (unsigned)i));
		const char *pair[NODES] = { c->link[i][0], c->link[i][1] };

		for (int n = 0; n < NODES; n++)
			if (owner_of(c, pair[n], i))
				mistake_add(w->mistakes, line,
					"heartbeat.links: \"%s\" is a path of node %s already; a link is a path of its "
					"own",
					pair[n], owner_of(c, pair[n], i));
		if (address_equal(pair[0], pair[1]))
			mistake_add(w->mistakes, line,
				"heartbeat.links: both ends are \"%s\"; write one address of each node", pair[0]);
		if (*pair[0] && *pair[1] && address_family(pair[0]) != address_family(pair[1]))
			mistake_add(w->mistakes, line,
				"heartbeat.links: one end is an IPv4 and the other an IPv6 address; write both of one "
				"kind");
	}
}

/* --- virtual addresses ----------------------------------------------------------------------------------------------- */

static void check_vips(struct walk *w, const config_setting_t *root)
{
	const struct conf *c = &w->draft->conf;

	for (int i = 0; i < c->n_vips; i++) {
		const config_setting_t *s = setting_at(root, "vips", i);
		const char *owner = owner_of(c, c->vip[i].address, c->n_links);

		if (!s || s->type != CONFIG_TYPE_GROUP)
			continue;
		if (owner)
			mistake_add(w->mistakes, line_of_key(s, "address"),
				"vips.address: \"%s\" is node %s's own address; a virtual address belongs to neither "
				"node",
				c->vip[i].address, owner);
		for (int j = 0; j < i; j++)
			if (address_equal(c->vip[i].address, c->vip[j].address))
				mistake_add(w->mistakes, line_of_key(s, "address"),
					"vips.address: \"%s\" stands twice; remove one", c->vip[i].address);
		for (int n = 0; n < NODES; n++)
			if (lacks(s, "interface") && !setting_of(setting_at(root, "nodes", n), "interface")) {
				mistake_add(w->mistakes, setting_line(s),
					"vips.interface is missing; write interface = \"eth0\"; here, or one in each "
					"node");
				break;
			}
	}
}

/* --- authority ------------------------------------------------------------------------------------------------------- */

static void check_choice(struct walk *w, const config_setting_t *group)
{
	struct conf *c = &w->draft->conf;
	int n = 0;

	if (!group || group->type != CONFIG_TYPE_GROUP)
		return;
	/* in the order of the file, so that the line of the second one is named */
	for (int i = 0; i < config_setting_length(group); i++) {
		const config_setting_t *s = config_setting_get_elem(group, (unsigned)i);

		for (int a = 0; a < AUTHORITY_COUNT; a++) {
			if (strcmp(s->name, conf_authority_names[a]))
				continue;
			if (a == AUTHORITY_MANUAL && s->type == CONFIG_TYPE_BOOL && !s->value.ival)
				continue;
			if (n++)
				mistake_add(w->mistakes, setting_line(s),
					"authority: %s is a second authority beside %s; keep exactly one of arbiter, "
					"reference, fence, manual",
					conf_authority_names[a], conf_authority_names[c->authority]);
			else
				c->authority = (enum conf_authority)a;
		}
	}
	if (!n)
		mistake_add(w->mistakes, setting_line(group),
			"authority: nobody decides who may be primary; write exactly one of arbiter = { endpoints = ( "
			"\"http://10.77.0.9:2379\" ); }; reference = ( \"10.77.0.254\" ); fence = { command = \"…\"; "
			"}; manual = true;");
}

/* DESIGN section 2: a primary whose peer is silent must reach the arbiter before its lease ends. */
static void check_timing(struct walk *w, const config_setting_t *group)
{
	const struct conf *c = &w->draft->conf;
	bool asks = setting_of(group, "arbiter");
	us_t need = 3 * c->heartbeat_interval + (asks ? c->arbiter.timeout : 0);
	char lease[32], interval[32], timeout[32], least[32];

	if (!c->lease || need * 10 <= c->lease * 8)
		return;
	duration_text(c->lease, lease);
	duration_text(c->heartbeat_interval, interval);
	duration_text(c->arbiter.timeout, timeout);
	duration_text((need * 10 / 8 + US_PER_MS - 1) / US_PER_MS * US_PER_MS, least);
	if (asks)
		mistake_add(w->mistakes, line_of_key(group, "lease"),
			"authority.lease: %s is too short: 3 x heartbeat.interval (%s) + arbiter.timeout (%s) must be "
			"at most 0.8 x lease; write lease = \"%s\"; or shorten the others",
			lease, interval, timeout, least);
	else
		mistake_add(w->mistakes, line_of_key(group, "lease"),
			"authority.lease: %s is too short: 3 x heartbeat.interval (%s) must be at most 0.8 x lease; "
			"write lease = \"%s\"; or shorten the interval",
			lease, interval, least);
}

static bool is_loopback(const char *host)
{
	struct in_addr four;

	if (inet_pton(AF_INET, host, &four) == 1)
		return ntohl(four.s_addr) >> 24 == 127;
	return address_equal(host, "::1") || !strcmp(host, "localhost");
}

static void check_endpoints(struct walk *w, const config_setting_t *arbiter)
{
	const struct conf *c = &w->draft->conf;
	const config_setting_t *s = setting_of(arbiter, "endpoints");
	char host[256], other[256];
	const char *owner;

	for (int i = 0; i < c->arbiter.n_endpoints; i++) {
		if (endpoint_host(c->arbiter.endpoint[i], host, sizeof(host)))
			continue;
		for (int j = 0; j < i; j++)
			if (!endpoint_host(c->arbiter.endpoint[j], other, sizeof(other)) &&
				!strcmp(c->arbiter.endpoint[i], c->arbiter.endpoint[j]))
				mistake_add(w->mistakes, setting_line(config_setting_get_elem(s, (unsigned)i)),
					"authority.arbiter.endpoints: \"%s\" stands twice; remove one",
					c->arbiter.endpoint[i]);
		/* on loopback each node would ask an etcd of its own; a pair that lives on loopback is a test's */
		if (is_loopback(host) && *c->node[0].address && !is_loopback(c->node[0].address))
			mistake_add(w->mistakes, setting_line(config_setting_get_elem(s, (unsigned)i)),
				"authority.arbiter.endpoints: \"%s\" is another machine on each node; write the "
				"member's own address",
				c->arbiter.endpoint[i]);
	}
	if (c->arbiter.n_endpoints != 1 || endpoint_host(c->arbiter.endpoint[0], host, sizeof(host)))
		return;
	owner = owner_of(c, host, c->n_links);
	for (int n = 0; n < NODES && !owner; n++)
		owner = *c->node[n].name && !strcmp(c->node[n].name, host) ? host : NULL;
	if (owner && !is_loopback(host))
		mistake_add(w->mistakes, setting_line(s),
			"authority.arbiter.endpoints: the only etcd is on node %s and dies with it; write the address "
			"of a third machine",
			owner);
}

static void check_arbiter(struct walk *w, const config_setting_t *arbiter)
{
	static const char *const tls_keys[] = { "ca_file", "cert_file", "cert_key_file" };
	static const char *const pairs[][2] = { { "user", "password_file" }, { "password_file", "user" },
		{ "cert_file", "cert_key_file" }, { "cert_key_file", "cert_file" } };
	const struct conf *c = &w->draft->conf;

	if (!arbiter || arbiter->type != CONFIG_TYPE_GROUP)
		return;
	check_endpoints(w, arbiter);
	for (size_t i = 0; i < ARRAY_LEN(pairs); i++)
		if (setting_of(arbiter, pairs[i][0]) && lacks(arbiter, pairs[i][1]))
			mistake_add(w->mistakes, line_of_key(arbiter, pairs[i][0]),
				"authority.arbiter.%s needs %s beside it; write both or neither", pairs[i][0],
				pairs[i][1]);
	for (size_t i = 0; i < ARRAY_LEN(tls_keys); i++)
		for (int j = 0; j < c->arbiter.n_endpoints && setting_of(arbiter, tls_keys[i]); j++)
			if (str_starts(c->arbiter.endpoint[j], "http://")) {
				mistake_add(w->mistakes, line_of_key(arbiter, tls_keys[i]),
					"authority.arbiter.%s has no effect on \"%s\"; write the endpoint as https://",
					tls_keys[i], c->arbiter.endpoint[j]);
				break;
			}
}

static void check_references(struct walk *w, const config_setting_t *reference)
{
	const struct conf *c = &w->draft->conf;

	for (int i = 0; i < c->n_references; i++) {
		int line = setting_line(config_setting_get_elem(reference, (unsigned)i));
		const char *owner = owner_of(c, c->reference[i], c->n_links);

		if (owner)
			mistake_add(w->mistakes, line,
				"authority.reference: \"%s\" is node %s's own address; write something both reach, "
				"such as the gateway",
				c->reference[i], owner);
		for (int j = 0; j < c->n_vips; j++)
			if (address_equal(c->reference[i], c->vip[j].address))
				mistake_add(w->mistakes, line,
					"authority.reference: \"%s\" is a virtual address; write something both reach, "
					"such as the gateway",
					c->reference[i]);
		for (int j = 0; j < i; j++)
			if (address_equal(c->reference[i], c->reference[j]))
				mistake_add(w->mistakes, line, "authority.reference: \"%s\" stands twice; remove one",
					c->reference[i]);
	}
}

void check_file(struct walk *w, const config_setting_t *root)
{
	const config_setting_t *authority = config_setting_get_member(root, "authority");

	check_nodes(w, root);
	check_links(w, root);
	check_vips(w, root);
	check_choice(w, authority);
	if (!authority || authority->type != CONFIG_TYPE_GROUP)
		return;
	check_timing(w, authority);
	check_arbiter(w, setting_of(authority, "arbiter"));
	check_references(w, setting_of(authority, "reference"));
	if (w->draft->conf.fence.delay && conf_preferred(&w->draft->conf) == NOBODY)
		mistake_add(w->mistakes, line_of_key(setting_of(authority, "fence"), "delay"),
			"authority.fence.delay: delays the node that is not preferred, and none is; write prefer = "
			"true; in one node");
}
