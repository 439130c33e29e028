/* address.c - virtual addresses and the kernel's gate in front of them.
 *
 * At term 0 nothing is gated: an address already in service (keepalived's, a static one) must go on answering until hactl has adopted it.
 * The gate is therefore made with the first lease, open from its first moment.
 */
#include "hactl/supervisor/private.h"

/* The kernel sweeps in whole seconds and late; the broom must never be what ends a lease, so it outlives it. */
#define BROOM_SLACK (2 * US_PER_SEC)

static us_t broom_life(const struct sup *s)
{
	return s->conf->enforce == ENFORCE_NONE ? US_NEVER : s->conf->lease + BROOM_SLACK;
}

static bool serving(struct sup *s)
{
	struct core_view v;

	core_look(s->core, now_us(), &v);
	return v.role == ROLE_PRIMARY && v.held;
}

/* In the middle of a switchover this node is primary still, and has taken the address off on purpose. */
static bool wants_address(struct sup *s)
{
	return !s->address_off && serving(s);
}

static void on_address_changed(void *arg)
{
	struct sup *s = arg;
	struct err e;

	if (wants_address(s) && !vips_held_all(s->vips)) {
		if (vips_add(s->vips, &e)) {
			hooks_alert(s, LOG_LVL_ERROR, "the virtual IP vanished and cannot be added again: %s", e.text);
		} else {
			hooks_alert(s, LOG_LVL_WARN, "the virtual IP had been removed by somebody; it is back");
			vips_announce(s->vips);
		}
	}
	facts_update(s);
}

static void on_gate_broken(void *arg)
{
	struct sup *s = arg;
	struct err e;

	if (s->gate && now_us() < s->gate_until) {
		hooks_alert(s, LOG_LVL_WARN, "somebody changed hactl's nftables rules; they are made again");
		if (gate_open(s->gate, s->gate_until, &e))
			hooks_alert(s, LOG_LVL_ERROR, "the gate cannot be made again: %s", e.text);
	} else if (s->gate && gate_shut(s->gate, &e)) {
		hooks_alert(s, LOG_LVL_ERROR, "the gate cannot be made again: %s", e.text);
	}
}

/* The lifetime is pushed out only under authority, and only of an address that is still there: a late refresh would bring one back. */
static void on_broom(void *arg, us_t now)
{
	struct sup *s = arg;
	struct err e;

	timer_at(s->broom, now + broom_life(s) / 4);
	if (wants_address(s) && vips_refresh(s->vips, &e))
		on_address_changed(s);
}

/* Somebody else claims the address while we serve it: said, at most every ten seconds, and never fought; authority decides, not ARP. */
static void on_conflict(void *arg, size_t i, const char *mac)
{
	struct sup *s = arg;
	us_t now = now_us();

	witness_claimed(s, i, mac);
	if (!serving(s) || (s->conflict_at && now - s->conflict_at < 10 * US_PER_SEC))
		return;
	s->conflict_at = now;
	hooks_alert(s, LOG_LVL_ERROR, "another host (%s) also claims %s: find it and take the address off it", mac,
		s->vip[i].address);
	vips_announce(s->vips);
}

/* When asked, this node's own database ports too; the other node keeps reaching them, by its address and by each of its links. */
static struct gate *new_gate(struct sup *s, us_t until, struct err *e)
{
	const struct conf *c = s->conf;
	const struct conf_node *me = &c->node[s->me];
	char peer[1 + CONF_MAX_LINKS][64];
	uint16_t port[DB_KIND_COUNT];
	struct gate_spec spec = { .vip = s->vip, .n_vips = s->n_vips, .port = port, .peer = peer };

	if (c->gate_databases && me->mysql.present)
		port[spec.n_ports++] = (uint16_t)me->mysql.port;
	if (c->gate_databases && me->redis.present)
		port[spec.n_ports++] = (uint16_t)me->redis.port;
	STR_COPY(peer[spec.n_peers++], c->node[s->peer].address);
	for (int i = 0; i < c->n_links; i++)
		STR_COPY(peer[spec.n_peers++], c->link[i][s->peer]);
	return gate_new(s->loop, s->gate_name, &spec, until, on_gate_broken, s, e);
}

static int make_gate(struct sup *s, us_t until, struct err *e)
{
	if (!s->gate)
		s->gate = new_gate(s, until, e);
	if (s->gate)
		vips_announce_through(s->vips, s->gate);
	return s->gate ? 0 : -1;
}

static bool gated(const struct sup *s)
{
	return s->conf->enforce == ENFORCE_NFT && s->n_vips > 0;
}

int address_open(struct sup *s, bool first_start, struct err *e)
{
	specs_gate_name(s->conf, s->me, s->gate_name);
	s->n_vips = specs_vips(s->conf, s->me, s->vip);
	if (!s->n_vips)
		return 0;
	s->vips = vips_new(s->loop, s->vip, s->n_vips, broom_life(s), on_address_changed, s, e);
	if (!s->vips)
		return -1;
	if (vips_watch_conflicts(s->vips, on_conflict, s, e))
		return -1;
	if (s->conf->enforce != ENFORCE_NONE) {
		s->broom = timer_new(s->loop, on_broom, s);
		timer_in(s->broom, broom_life(s) / 4);
	}
	return gated(s) && !first_start ? make_gate(s, 0, e) : 0;
}

void address_close(struct sup *s)
{
	timer_free(s->broom);
	vips_free(s->vips);
	gate_free(s->gate);
}

/* The pair has begun and the other node serves: from now on an address that turns up here by somebody's hand must not answer. */
void address_settled(struct sup *s, const struct core_view *v)
{
	struct err e;

	if (s->gate || s->gate_trouble || !gated(s) || v->term == 0 || v->primary != s->peer)
		return;
	s->gate_trouble = make_gate(s, 0, &e) < 0;
	if (s->gate_trouble)
		journal_add(s->journal, LOG_LVL_ERROR, "alert", NULL,
			"the kernel gate of the virtual IP cannot be made: %s", e.text);
}

int address_gate_step(struct sup *s, us_t until, struct err *e)
{
	s->gate_until = until;
	if (!gated(s))
		return 0;
	return make_gate(s, until, e) || gate_open(s->gate, until, e) ? -1 : 0;
}

void address_gate(struct sup *s, us_t until)
{
	bool open = until > now_us(), failed;
	struct err e;

	s->gate_until = until;
	if (!gated(s))
		return;
	failed = make_gate(s, open ? until : 0, &e) || (open ? gate_open(s->gate, until, &e) : gate_shut(s->gate, &e));
	if (failed) {
		if (!s->gate_trouble)
			hooks_alert(s, LOG_LVL_ERROR, "the kernel gate of the virtual IP does not obey: %s", e.text);
		s->gate_trouble = true;
		return;
	}
	s->gate_trouble = false;
}

int address_add(struct sup *s, struct err *e)
{
	s->address_off = false;
	return s->vips ? vips_add(s->vips, e) : 0;
}

int address_remove(struct sup *s, struct err *e)
{
	s->address_off = true;
	return s->vips ? vips_remove(s->vips, e) : 0;
}
