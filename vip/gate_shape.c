/* gate_shape.c - what the operator wishes of the gate, checked and brought into the form of set elements. */
#include "vip/frame.h"
#include "vip/gate_rules.h"

#include <inttypes.h>

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

/* False: it is there already. */
static bool add(struct keys *k, const void *key, size_t len)
{
	uint8_t room[GATE_KEY_ROOM] = { 0 };
	memcpy(room, key, len);
	for (size_t i = 0; i < k->n; i++)
		if (memcmp(k->key[i], room, sizeof(room)) == 0)
			return false;
	memcpy(k->key[k->n++], room, sizeof(room));
	return true;
}

static int add_vip(struct gate_shape *s, const struct vip_spec *v, struct err *e)
{
	struct ip ip;
	if (!ip_parse(v->family, v->address, &ip))
		return err_set(e, "\"%s\" is not an %s address", v->address, v->family == AF_INET6 ? "IPv6" : "IPv4");
	if (!v->interface[0])
		return err_set(e, "%s: no interface given", v->address);
	if (!add(&s->list[ip.len == 4 ? L_VIP4 : L_VIP6], ip.b, ip.len))
		return err_set(e, "%s is named twice", v->address);
	add(&s->list[L_IF], v->interface, strlen(v->interface));
	return 0;
}

static int add_peer(struct gate_shape *s, const char *text, struct err *e)
{
	struct ip ip;
	if (!ip_parse(AF_INET, text, &ip) && !ip_parse(AF_INET6, text, &ip))
		return err_set(e, "\"%s\" is not a numeric address", text);
	add(&s->list[ip.len == 4 ? L_PEER4 : L_PEER6], ip.b, ip.len);
	return 0;
}

static int add_ports(struct gate_shape *s, const struct gate_spec *spec, struct err *e)
{
	for (size_t i = 0; i < spec->n_ports; i++) {
		uint16_t port = htons(spec->port[i]);
		if (!port)
			return err_set(e, "0 is not a port that can be gated");
		add(&s->list[L_PORT], &port, sizeof(port));
	}
	for (size_t i = 0; i < spec->n_peers; i++)
		if (add_peer(s, spec->peer[i], e) < 0)
			return -1;
	return 0;
}

static int check_numbers(const struct gate_spec *spec, struct err *e)
{
	if (spec->n_vips == 0 || spec->n_vips > GATE_KEYS_MAX)
		return err_set(e, "the gate takes 1 to %d addresses, not %zu", GATE_KEYS_MAX, spec->n_vips);
	if (spec->n_ports > GATE_KEYS_MAX || spec->n_peers > GATE_KEYS_MAX)
		return err_set(e, "the gate takes at most %d ports and %d peers", GATE_KEYS_MAX, GATE_KEYS_MAX);
	return 0;
}

int shape_make(struct gate_shape *s, const char *table, const struct gate_spec *spec, struct err *e)
{
	static const char version[] = "3"; /* raise when the chains, rules or sets change */
	uint64_t h = fnv1a(0xcbf29ce484222325u, version, sizeof(version));
	*s = (struct gate_shape){ 0 };
	if (check_table_name(table, e) < 0 || check_numbers(spec, e) < 0)
		return -1;
	STR_COPY(s->table, table);
	for (size_t i = 0; i < spec->n_vips; i++)
		if (add_vip(s, &spec->vip[i], e) < 0)
			return -1;
	if (add_ports(s, spec, e) < 0)
		return -1;
	for (size_t i = 0; i < LIST_COUNT; i++) {
		h = fnv1a(h, &s->list[i].n, sizeof(s->list[i].n));
		h = fnv1a(h, s->list[i].key, s->list[i].n * sizeof(s->list[i].key[0]));
	}
	snprintf(s->print, sizeof(s->print), "hactl gate %s %016" PRIx64, version, h);
	return 0;
}
