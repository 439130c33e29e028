/* look.c - the supervisor's state as one status document, and finished role changes into the journal. */
#include "hactl/supervisor/private.h"

static size_t look_probes(struct sup *s, const struct probe_state **out)
{
	for (size_t i = 0; i < s->n_probes; i++)
		out[i] = prober_look(s->prober, i);
	return s->n_probes;
}

/* Without databases there is nothing to guard. One that ran and is gone is a trouble of its own; one that never ran, a warning. */
static void look_guard(struct sup *s, struct status_view *v)
{
	const struct conf_node *n = &s->conf->node[s->me];
	struct guard_beat b;

	if (!n->mysql.present && !n->redis.present)
		return;
	v->guard =
		deadline_guard(s, &b, v->now) && b.doing < GUARD_DOING_COUNT ? guard_doing_names[b.doing] : "missing";
	v->guard_ran = b.alive_at != 0;
	if (!v->guard_ran)
		v->warnings[v->n_warnings++] =
			"no guard runs: when this supervisor dies, writers that reach the databases by the node's own "
			"address go on; start hactl-guard";
}

static size_t look_paths(const struct sup *s, struct path_view *out, us_t now)
{
	for (int i = 0; i < s->n_paths; i++) {
		const struct path *p = &s->path[i];

		out[i] = (struct path_view){ .local = p->local,
			.remote = p->remote,
			.silent = p->silent,
			.loss = wire_path_loss(&p->wire, &s->wire, s->conf->heartbeat_interval, now),
			.rtt_us = p->wire.rtt_us,
			.silent_us = p->wire.heard_at ? now - p->wire.heard_at : US_UNKNOWN };
	}
	return (size_t)s->n_paths;
}

/* How far the step under way is, where that is known. */
static const char *look_far(const struct sup *s, const struct core_view *v)
{
	for (size_t i = 0; v->plan && i < MAX_RUNNING; i++)
		if (s->running[i].used && s->running[i].kind == v->step)
			return s->running[i].far;
	return NULL;
}

json_t *look_status(void *arg)
{
	struct path_view paths[1 + CONF_MAX_LINKS];
	const struct probe_state *probes[CONF_MAX_PROBES * NODES];
	const struct upstream_state *upstreams[CONF_MAX_UPSTREAMS];
	char blockers[CORE_MAX_BLOCKERS][SENTENCE_MAX];
	bool held[CONF_MAX_VIPS];
	struct sup *s = arg;
	struct core_view core;
	us_t now = now_us();
	struct status_view v = { .conf = s->conf, .me = s->me, .core = &core, .blockers = blockers, .now = now };

	facts_would_lose(s); /* the core may have come to know more since the last facts */
	core_look(s->core, now, &core);
	v.n_blockers = core_blockers(s->core, now, blockers);
	if (v.n_blockers < CORE_MAX_BLOCKERS && rejoin_blocker(s, blockers[v.n_blockers]))
		v.n_blockers++;
	v.would_lose = s->would_lose;
	v.plan_detail = look_far(s, &core);
	v.mysql_unreceived = s->unreceived;
	if (core.primary != NOBODY)
		v.mysql_cut_off = facts_cut_off(
			s, &s->server[1 - core.primary][DB_MYSQL], &s->server[1 - core.primary][DB_MYSQL].facts);
	v.wire = &s->wire;
	v.paths = paths;
	v.n_paths = look_paths(s, paths, now);
	for (int n = 0; n < NODES; n++) {
		v.mysql[n] = s->server[n][DB_MYSQL].db ? &s->server[n][DB_MYSQL].facts : NULL;
		v.redis[n] = s->server[n][DB_REDIS].db ? &s->server[n][DB_REDIS].facts : NULL;
	}
	v.mysql_behind = -1;
	if (v.mysql[0] && core.primary != NOBODY)
		v.mysql_behind = gtid_missing(
			v.mysql[s->me]->mariadb, v.mysql[core.primary]->executed, v.mysql[1 - core.primary]->executed);
	for (size_t i = 0; i < s->n_vips; i++)
		held[i] = vips_held(s->vips, i);
	v.vip_held = held;
	v.probes = probes;
	v.n_probes = look_probes(s, probes);
	v.upstreams = upstreams;
	v.n_upstreams = (size_t)s->conf->n_upstreams;
	for (size_t i = 0; i < v.n_upstreams; i++)
		upstreams[i] = upstreams_look(s->upstreams, (int)i);
	v.arbiter_trouble = s->arbiter ? arbiter_trouble(s->arbiter) : "";
	v.config_differs = s->heard.config && s->heard.config != s->conf->digest;
	memcpy(v.warnings, s->warnings, sizeof(s->warnings));
	v.n_warnings = s->n_warnings;
	look_guard(s, &v);
	v.keepalived = s->keepalived;
	return status_json(&v);
}

void look_changed(struct sup *s)
{
	struct core_view v;
	json_t *fields;

	core_look(s->core, now_us(), &v);
	held_watch(s, &v);
	address_settled(s, &v);
	events_settled(s, &v);
	if (s->upstreams && v.primary != NOBODY)
		upstreams_primary(s->upstreams, v.primary);
	if (!v.change.kind[0] || v.change.started_at == s->change_told || v.change.total_us <= 0)
		return;
	s->change_told = v.change.started_at;
	fields = json_object();
	json_object_set_new(fields, "change", status_change(s->conf, &v, now_us()));
	journal_add(s->journal, v.change.ok ? LOG_LVL_NOTICE : LOG_LVL_ERROR, "change", fields,
		"%s %s after %.0f ms: %s", v.change.kind, v.change.ok ? "done" : "failed",
		(double)v.change.total_us / 1000, v.change.reason);
}
