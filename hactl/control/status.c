/* status.c - the status document: what CONTRACT promises, and what else an operator needs to know why. What nobody has measured is
 * null, never 0. */
#include "hactl/control/control.h"

#include <math.h>

static json_t *millis(us_t us)
{
	return us < 0 ? json_null() : json_real(round((double)us / 10.0) / 100.0);
}

static json_t *whole_millis(us_t us)
{
	return us < 0 ? json_null() : json_integer(us / US_PER_MS);
}

/* Text from servers and people may hold anything; jansson takes only UTF-8. */
static json_t *text(const char *s)
{
	json_t *j = s ? json_string(s) : json_null();
	if (j)
		return j;
	char clean[GTID_MAX];
	str_escape(s, strlen(s), clean, sizeof(clean));
	return json_string(clean);
}

static json_t *text_or_null(const char *s)
{
	return s && *s ? text(s) : json_null();
}

static json_t *count_or_null(int64_t n)
{
	return n < 0 ? json_null() : json_integer(n);
}

static json_t *node_name(const struct conf *c, int node)
{
	return node == NOBODY ? json_null() : text(c->node[node].name);
}

static void put(json_t *o, const char *key, json_t *stolen)
{
	json_object_set_new(o, key, stolen);
}

static json_t *authority_json(const struct status_view *v)
{
	static const char *const arbiter_names[] = { [ARB_NONE] = "none", [ARB_UP] = "up", [ARB_DOWN] = "down" };
	static const struct {
		unsigned bit;
		const char *name;
	} from[] = { { FROM_PEER, "peer" }, { FROM_ARBITER, "arbiter" }, { FROM_REFERENCE, "reference" },
		{ FROM_SELF, "self" } };
	json_t *o = json_object(), *list = json_array();
	for (size_t i = 0; i < ARRAY_LEN(from); i++)
		if (v->core->held && v->core->from & from[i].bit)
			json_array_append_new(list, json_string(from[i].name));
	put(o, "held", json_boolean(v->core->held));
	put(o, "remaining_ms", json_integer(v->core->held ? v->core->remaining_us / US_PER_MS : 0));
	put(o, "from", list);
	put(o, "arbiter", json_string(arbiter_names[v->core->arbiter]));
	put(o, "mode", json_string(conf_authority_names[v->conf->authority]));
	put(o, "lease_ms", json_integer(v->conf->lease / US_PER_MS));
	put(o, "trouble", text_or_null(v->arbiter_trouble));
	return o;
}

/* Of the paths that work, the quickest: the answer that counts is the one that comes first. */
static us_t best_rtt(const struct status_view *v)
{
	us_t best = US_UNKNOWN;
	for (size_t i = 0; i < v->n_paths; i++) {
		const struct path_view *p = &v->paths[i];
		if (!p->silent && p->rtt_us != US_UNKNOWN && (best == US_UNKNOWN || p->rtt_us < best))
			best = p->rtt_us;
	}
	return best;
}

static json_t *paths_json(const struct status_view *v, bool heard)
{
	json_t *list = json_array();
	for (size_t i = 0; i < v->n_paths; i++) {
		const struct path_view *p = &v->paths[i];
		json_t *o = json_object();
		put(o, "local", text(p->local));
		put(o, "remote", text(p->remote));
		put(o, "state", json_string(!heard ? "unknown" : p->silent ? "silent" : "alive"));
		put(o, "loss_percent", count_or_null(p->loss));
		put(o, "rtt_ms", millis(p->rtt_us));
		put(o, "silent_ms", whole_millis(p->silent_us));
		json_array_append_new(list, o);
	}
	return list;
}

static json_t *peer_json(const struct status_view *v)
{
	static const char *const peer_names[] = {
		[PEER_UNKNOWN] = "unknown", [PEER_ALIVE] = "alive", [PEER_SILENT] = "silent"
	};
	const struct core_view *c = v->core;
	bool heard = c->peer != PEER_UNKNOWN;
	json_t *o = json_object();
	put(o, "name", node_name(v->conf, 1 - v->me));
	put(o, "state", json_string(peer_names[c->peer]));
	put(o, "role", heard ? json_string(role_names[c->peer_role]) : json_null());
	put(o, "silent_ms", whole_millis(c->peer_silent_us));
	put(o, "rtt_ms", heard ? millis(best_rtt(v)) : json_null());
	put(o, "ready", heard ? json_boolean(c->peer_ready) : json_null());
	put(o, "paused", heard ? json_boolean(c->peer_paused) : json_null());
	put(o, "paths", paths_json(v, heard));
	return o;
}

static json_t *failover_json(const struct status_view *v)
{
	json_t *o = json_object(), *list = json_array();
	for (size_t i = 0; i < v->n_blockers; i++)
		json_array_append_new(list, text(v->blockers[i]));
	put(o, "ready", json_boolean(v->core->failover_ready));
	put(o, "blockers", list);
	put(o, "would_lose", text_or_null(v->would_lose));
	return o;
}

static json_t *vips_json(const struct status_view *v)
{
	json_t *list = json_array();
	for (int i = 0; i < v->conf->n_vips; i++) {
		const struct conf_vip *vip = &v->conf->vip[i];
		json_t *o = json_object();
		put(o, "address", json_sprintf("%s/%d", vip->address, vip->prefix_len));
		put(o, "interface", text(conf_vip_interface(v->conf, v->me, i)));
		put(o, "held", json_boolean(v->vip_held && v->vip_held[i]));
		json_array_append_new(list, o);
	}
	return list;
}

/* up: true, false (dead, hung, refuses us), or null when this node cannot know. */
static void life_put(json_t *o, const struct db_facts *f)
{
	bool unknown = f->life == DB_UNKNOWN || f->life == DB_UNREACHABLE;
	put(o, "up", unknown ? json_null() : json_boolean(f->life == DB_UP));
	put(o, "state", json_string(db_life_names[f->life]));
	put(o, "trouble", text_or_null(f->trouble));
}

/* The record speaks of the standby of a known primary, and gates only where every write waits for that standby. */
static json_t *in_sync_json(const struct status_view *v, int node)
{
	bool gates = v->conf->node[node].mysql.semi_sync != SEMI_SYNC_OFF;
	bool standby = v->core->primary != NOBODY && v->core->primary != node;
	return gates && standby ? json_boolean(v->core->in_sync) : json_null();
}

/* Since when commits wait for an absent standby: only its own supervisor knows. */
static json_t *waiting_json(const struct status_view *v, int node)
{
	char at[32];

	if (node != v->me || !v->core->writes_wait_us)
		return json_null();
	wall_text(wall_us() - v->core->writes_wait_us, at);
	return json_string(at);
}

/* What an answer of now says; of a server that does not answer, nothing is known. */
static json_t *mysql_json(const struct status_view *v, int node)
{
	static const struct db_facts none = { .lag = US_UNKNOWN, .silence = US_UNKNOWN, .unapplied = -1 };
	const struct db_facts *seen = v->mysql[node] ? v->mysql[node] : &none;
	bool up = seen->life == DB_UP;
	const struct db_facts *f = up ? seen : &none;
	json_t *o = json_object();
	put(o, "node", node_name(v->conf, node));
	life_put(o, seen);
	put(o, "role", !up ? json_null() : json_string(f->replica ? "replica" : "source"));
	put(o, "writable", !up ? json_null() : json_boolean(f->writable));
	put(o, "version", text_or_null(seen->version));
	put(o, "gtid", text_or_null(f->executed));
	if (up && !f->replica) {
		put(o, "semi_sync", json_boolean(f->semi_source_on));
		put(o, "semi_sync_clients", json_integer(f->semi_clients));
		put(o, "replicas", json_integer(f->replicas));
		put(o, "writes_wait_since", waiting_json(v, node));
		return o;
	}
	put(o, "lag_ms", whole_millis(f->lag));
	put(o, "silent_ms", whole_millis(f->silence));
	put(o, "unapplied", count_or_null(f->unapplied));
	bool comparable = up && v->mysql[1 - node] && v->mysql[1 - node]->life == DB_UP;
	put(o, "unreceived", up && v->core->primary == 1 - node ? count_or_null(v->mysql_unreceived) : json_null());
	put(o, "behind", comparable ? count_or_null(v->mysql_behind) : json_null());
	put(o, "delay_ms", up ? whole_millis(f->delay) : json_null());
	put(o, "receiving", up ? json_boolean(f->io_running && !f->connecting) : json_null());
	put(o, "applying", up ? json_boolean(f->sql_running) : json_null());
	put(o, "error", text_or_null(f->error));
	put(o, "in_sync", in_sync_json(v, node));
	return o;
}

static json_t *redis_json(const struct status_view *v, int node)
{
	const struct db_facts *f = v->redis[node], *other = v->redis[1 - node];
	json_t *o = json_object();
	put(o, "node", node_name(v->conf, node));
	if (!f || f->life != DB_UP) {
		static const struct db_facts none = { 0 };
		life_put(o, f ? f : &none);
		put(o, "role", json_null());
		put(o, "behind_bytes", json_null());
		return o;
	}
	life_put(o, f);
	put(o, "role", json_string(f->replica ? "replica" : "master"));
	put(o, "version", text_or_null(f->version));
	put(o, "offset", json_integer((json_int_t)f->offset));
	if (!f->replica) {
		put(o, "replicas", json_integer(f->replicas));
		return o;
	}
	bool comparable = other && other->life == DB_UP && !other->replica && f->link_up;
	int64_t behind = comparable ? (int64_t)(other->offset - f->offset) : -1;
	/* the two were read at different moments: the replica's may be the younger number */
	put(o, "behind_bytes", comparable ? json_integer(behind < 0 ? 0 : behind) : json_null());
	put(o, "link", json_string(f->sync_in_progress ? "syncing" : f->link_up ? "up" : "down"));
	return o;
}

static json_t *pair_json(const struct status_view *v, json_t *one(const struct status_view *, int))
{
	json_t *o = json_object();
	put(o, "local", one(v, v->me));
	put(o, "peer", one(v, 1 - v->me));
	return o;
}

static json_t *probes_json(const struct status_view *v)
{
	static const char *const states[] = { [PS_UNKNOWN] = "unknown", [PS_UP] = "up", [PS_DOWN] = "down" };
	json_t *list = json_array();
	for (size_t i = 0; i < v->n_probes; i++) {
		const struct probe_state *s = v->probes[i];
		bool checked = s->checked_at > 0;
		json_t *o = json_object();
		put(o, "name", text(s->spec->name));
		put(o, "node", node_name(v->conf, s->spec->node));
		put(o, "type", json_string(conf_probe_type_names[s->spec->kind]));
		put(o, "state", json_string(states[s->state]));
		put(o, "latency_ms", checked && s->last.ok ? millis(s->last.took_us) : json_null());
		put(o, "detail", checked ? text(s->last.detail) : json_null());
		put(o, "layer", checked ? json_string(probe_layer_names[s->last.layer]) : json_null());
		put(o, "health", json_integer(s->health));
		put(o, "since_ms", s->changed_at > 0 ? whole_millis(v->now - s->changed_at) : json_null());
		json_array_append_new(list, o);
	}
	return list;
}

static json_t *upstream_json(const struct upstream_state *u)
{
	json_t *o = json_object(), *servers = json_array();
	for (int i = 0; i < u->conf->n_servers; i++) {
		const struct conf_server *s = &u->conf->servers[i];
		json_t *row = json_object();
		put(row, "address", text(*s->address ? s->address : s->server));
		put(row, "weight", json_integer(u->now[i].weight));
		put(row, "state", json_string(u->healthy[i] ? "up" : "down"));
		put(row, "backup", json_boolean(u->now[i].backup));
		json_array_append_new(servers, row);
	}
	put(o, "name", text(u->conf->name));
	put(o, "type", json_string(u->conf->type == UPSTREAM_NGINX ? "nginx" : "haproxy"));
	put(o, "policy", json_string(conf_policy_names[u->conf->policy]));
	put(o, "applied", json_boolean(u->applied));
	put(o, "trouble", text_or_null(u->trouble));
	put(o, "servers", servers);
	return o;
}

static json_t *upstreams_json(const struct status_view *v)
{
	json_t *list = json_array();
	for (size_t i = 0; i < v->n_upstreams; i++)
		json_array_append_new(list, upstream_json(v->upstreams[i]));
	return list;
}

json_t *status_change(const struct conf *conf, const struct core_view *core, us_t now)
{
	static const char *const outcomes[] = {
		[STEP_OK] = "ok", [STEP_FAILED] = "failed", [STEP_UNKNOWN] = "unknown"
	};
	const struct core_change *c = &core->change;
	if (!*c->kind)
		return json_null();
	json_t *o = json_object(), *steps = json_array();
	for (size_t i = 0; i < c->n_steps; i++) {
		json_t *s = json_object();
		put(s, "name", json_string(step_names[c->steps[i].step]));
		put(s, "ms", millis(c->steps[i].took_us));
		put(s, "outcome", json_string(outcomes[c->steps[i].outcome]));
		json_array_append_new(steps, s);
	}
	char at[32];
	wall_text(wall_us() - (now - c->started_at), at);
	put(o, "kind", text(c->kind));
	put(o, "from", node_name(conf, c->from));
	put(o, "to", node_name(conf, c->to));
	put(o, "ok", json_boolean(c->ok));
	put(o, "at", json_string(at));
	put(o, "ago_ms", whole_millis(now - c->started_at));
	put(o, "reason", text(c->reason));
	put(o, "total_ms", millis(c->total_us));
	put(o, "steps", steps);
	return o;
}

static json_t *plan_json(const struct status_view *v)
{
	const struct core_view *c = v->core;
	if (!c->plan)
		return json_null();
	json_t *o = json_object();
	put(o, "name", json_string(c->plan));
	put(o, "step", json_string(step_names[c->step]));
	put(o, "step_ms", whole_millis(v->now - c->step_since));
	put(o, "detail", text_or_null(v->plan_detail));
	return o;
}

static json_t *wire_json(const struct wire_session *w)
{
	json_t *o = json_object();
	for (int i = 0; w && i < WIRE_VERDICT_COUNT; i++)
		put(o, wire_verdict_names[i], json_integer((json_int_t)w->count[i]));
	return o;
}

static json_t *warnings_json(const struct status_view *v)
{
	json_t *list = json_array();
	for (size_t i = 0; i < v->n_warnings && i < ARRAY_LEN(v->warnings); i++)
		json_array_append_new(list, text(v->warnings[i]));
	return list;
}

static json_t *guard_json(const struct status_view *v)
{
	json_t *o;
	if (!v->guard)
		return json_null();
	o = json_object();
	put(o, "state", json_string(v->guard));
	put(o, "expected", json_boolean(v->guard_ran));
	return o;
}

json_t *status_json(const struct status_view *v)
{
	const struct conf *c = v->conf;
	json_t *o = json_object();
	char at[32];
	wall_text(wall_us(), at);
	put(o, "cluster", text(c->cluster));
	put(o, "node", text(c->node[v->me].name));
	put(o, "role", json_string(role_names[v->core->role]));
	put(o, "term", json_integer((json_int_t)v->core->term));
	put(o, "primary", node_name(c, v->core->primary));
	put(o, "paused", json_boolean(v->core->paused));
	put(o, "pause_reason", text_or_null(v->core->paused ? v->core->pause_reason : ""));
	put(o, "at", json_string(at));
	put(o, "authority", authority_json(v));
	put(o, "peer", peer_json(v));
	put(o, "failover", failover_json(v));
	put(o, "plan", plan_json(v));
	put(o, "vips", vips_json(v));
	put(o, "mysql", c->node[v->me].mysql.present ? pair_json(v, mysql_json) : json_null());
	put(o, "redis", c->node[v->me].redis.present ? pair_json(v, redis_json) : json_null());
	put(o, "probes", probes_json(v));
	put(o, "upstreams", upstreams_json(v));
	put(o, "last_change", status_change(c, v->core, v->now));
	put(o, "config_differs", json_boolean(v->config_differs));
	put(o, "wire", wire_json(v->wire));
	put(o, "keepalived", text_or_null(v->keepalived));
	put(o, "guard", guard_json(v));
	put(o, "warnings", warnings_json(v));
	return o;
}
