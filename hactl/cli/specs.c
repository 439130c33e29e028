/* specs.c - from the configuration's structs to those of probes, vip and replication, which know nothing of it. */
#include "hactl/cli/cli.h"

#include <ctype.h>
#include <netinet/in.h>

size_t specs_vips(const struct conf *c, int node, struct vip_spec out[CONF_MAX_VIPS])
{
	for (int i = 0; i < c->n_vips; i++) {
		const struct conf_vip *v = &c->vip[i];
		int host_len = v->family == AF_INET6 ? 128 : 32;
		out[i] = (struct vip_spec){ .family = v->family, .prefix_len = v->subnet ? v->prefix_len : host_len };
		STR_COPY(out[i].address, v->address);
		STR_COPY(out[i].interface, conf_vip_interface(c, node, i));
	}
	return (size_t)c->n_vips;
}

static const enum probe_kind kind_of[PROBE_TYPE_COUNT] = {
	[PROBE_HTTP] = PK_HTTP,
	[PROBE_HTTPS] = PK_HTTPS,
	[PROBE_GRPC] = PK_GRPC,
	[PROBE_TCP] = PK_TCP,
	[PROBE_MYSQL] = PK_MYSQL,
	[PROBE_REDIS] = PK_REDIS,
	[PROBE_EXEC] = PK_EXEC,
};
_Static_assert(ARRAY_LEN(kind_of) == (size_t)PK_COUNT, "every type of probe has its kind");

/* "host:port", "[v6]:port", or "host" with the port left at what it was. The configuration has checked the form. */
static void split_address(const char *address, char *host, size_t size, int *port)
{
	const char *colon = strrchr(address, ':');
	size_t len = strlen(address);
	if (*address == '[') {
		const char *end = strchr(address, ']');
		len = end ? (size_t)(end - address - 1) : len - 1;
		colon = end && end[1] == ':' ? end + 1 : NULL;
		address++;
	} else if (colon && strchr(address, ':') == colon) {
		len = (size_t)(colon - address);
	} else {
		colon = NULL; /* a bare IPv6 address */
	}
	snprintf(host, size, "%.*s", (int)len, address);
	if (colon)
		*port = atoi(colon + 1);
}

/* The account and port that the databases' own section gives. */
static void add_database(struct probe_spec *s, const struct conf_node *n)
{
	if (s->kind == PK_MYSQL) {
		STR_COPY(s->user, n->mysql.user);
		STR_COPY(s->password, n->mysql.password);
		s->tls = n->mysql.tls;
		if (!*s->ca_file)
			STR_COPY(s->ca_file, n->mysql.ca_file);
		s->port = s->port ? s->port : n->mysql.port;
	} else if (s->kind == PK_REDIS) {
		STR_COPY(s->user, n->redis.user);
		STR_COPY(s->password, n->redis.password);
		s->port = s->port ? s->port : n->redis.port;
	}
}

static void probe_common(const struct conf_probe *p, struct probe_spec *s)
{
	*s = (struct probe_spec){
		.node = NOBODY,
		.kind = kind_of[p->type],
		.port = p->port,
		.tls = p->tls || p->type == PROBE_HTTPS,
		.interval = p->interval,
		.timeout = p->timeout,
		.fall = p->fall,
		.rise = p->rise,
	};
	STR_COPY(s->name, p->name);
	STR_COPY(s->path, p->path);
	STR_COPY(s->host_header, p->host);
	STR_COPY(s->service, p->service);
	STR_COPY(s->command, p->command);
	STR_COPY(s->expect, p->expect);
	STR_COPY(s->ca_file, p->ca_file);
}

size_t specs_probes(const struct conf *c, struct probe_spec *out)
{
	size_t n = 0;
	for (int i = 0; i < c->n_probes; i++) {
		const struct conf_probe *p = &c->probe[i];
		if (*p->address) {
			probe_common(p, &out[n]);
			split_address(p->address, out[n].host, sizeof(out[n].host), &out[n].port);
			add_database(&out[n++], &c->node[0]);
			continue;
		}
		for (int k = 0; k < NODES; k++, n++) {
			probe_common(p, &out[n]);
			out[n].node = k;
			STR_COPY(out[n].host, c->node[k].address);
			add_database(&out[n], &c->node[k]);
		}
	}
	return n;
}

int specs_probe_index(const struct conf *c, const struct probe_spec *s)
{
	for (int i = 0; i < c->n_probes; i++)
		if (str_eq(c->probe[i].name, s->name))
			return i;
	return -1;
}

static void mysql_target(const struct conf_node *n, const struct conf_node *peer, bool local, struct db_target *t)
{
	const struct conf_mysql *m = &n->mysql;
	if (!m->present)
		return;
	bool by_socket = local && *m->socket;
	if (by_socket)
		STR_COPY(t->at.socket, m->socket);
	else
		STR_COPY(t->at.host, n->address);
	t->at.port = m->port;
	STR_COPY(t->at.user, m->user);
	STR_COPY(t->at.password, m->password);
	t->at.tls = m->tls && !by_socket; /* nobody else can read a local socket */
	STR_COPY(t->at.ca_file, m->ca_file);
	t->peer_port = peer->mysql.port;
	STR_COPY(t->repl_user, peer->mysql.replication_user);
	STR_COPY(t->repl_password, peer->mysql.replication_password);
	t->repl_tls = peer->mysql.tls;
	STR_COPY(t->repl_ca_file, *m->replication_ca_file ? m->replication_ca_file : m->ca_file);
	t->max_lag = m->max_lag;
	t->events = m->events == EVENTS_MANAGE;
	t->semi_sync = m->semi_sync != SEMI_SYNC_OFF;
	t->semi_required = m->semi_sync == SEMI_SYNC_REQUIRED;
	STR_COPY(t->binlog_tool, m->binlog_tool);
}

static void redis_target(const struct conf_node *n, const struct conf_node *peer, struct db_target *t)
{
	const struct conf_redis *r = &n->redis;
	if (!r->present)
		return;
	STR_COPY(t->at.host, n->address);
	t->at.port = r->port;
	STR_COPY(t->at.user, r->user);
	STR_COPY(t->at.password, r->password);
	t->peer_port = peer->redis.port;
	STR_COPY(t->peer_user, peer->redis.user);
	STR_COPY(t->peer_password, peer->redis.password);
	t->max_lag = r->max_lag;
}

void specs_db(const struct conf *c, int node, int seen_from, enum db_kind kind, struct db_target *out)
{
	const struct conf_node *n = &c->node[node], *peer = &c->node[1 - node];
	*out = (struct db_target){ .kind = kind };
	snprintf(out->label, sizeof(out->label), "%s on %.50s", kind == DB_MYSQL ? "mysql" : "redis", n->name);
	STR_COPY(out->peer_host, peer->address);
	STR_COPY(out->own_host, n->address);
	if (kind == DB_MYSQL)
		mysql_target(n, peer, node == seen_from, out);
	else
		redis_target(n, peer, out);
}

void specs_gate_name(const struct conf *c, int node, char out[NAME_MAX_LEN + 8])
{
	snprintf(out, NAME_MAX_LEN + 8, "hactl_%s", c->node[node].name);
	for (char *p = out; *p; p++)
		if (!isascii((unsigned char)*p) || !isalnum((unsigned char)*p))
			*p = '_';
}

/* A question to the world around may take this part of the lease: long against a round trip and a lost packet (it is asked three times),
 * short enough that a primary that lost its peer for 0.3 lease is confirmed twice before its lease ends. */
#define WITNESS_SHARE 5

void specs_core(const struct conf *c, int me, struct core_conf *out)
{
	static const enum core_mode mode[] = { [AUTHORITY_ARBITER] = CORE_ARBITER,
		[AUTHORITY_REFERENCE] = CORE_REFERENCE,
		[AUTHORITY_FENCE] = CORE_FENCE,
		[AUTHORITY_MANUAL] = CORE_MANUAL };
	const struct conf_node *n = &c->node[me];

	_Static_assert(ARRAY_LEN(mode) == AUTHORITY_COUNT, "every authority is a mode of the core");
	*out = (struct core_conf){ .me = me,
		.prefer = conf_preferred(c),
		.mode = mode[c->authority],
		.lease = c->lease,
		.interval = c->heartbeat_interval,
		.arbiter_timeout = c->arbiter.timeout,
		.witness_timeout = c->lease / WITNESS_SHARE,
		.fence_timeout = c->fence.timeout,
		.fence_delay = c->fence.delay,
		.has_mysql = n->mysql.present,
		.has_redis = n->redis.present,
		.has_vip = c->n_vips > 0,
		.has_upstreams = c->n_upstreams > 0,
		.has_hooks = c->hooks.on_primary[0] || c->hooks.on_standby[0],
		.lossless = n->mysql.present && n->mysql.semi_sync != SEMI_SYNC_OFF,
		.required = n->mysql.present && n->mysql.semi_sync == SEMI_SYNC_REQUIRED,
		.max_freeze = n->mysql.present ? n->mysql.max_freeze : US_PER_SEC,
		.flap_window = c->flap_window };
	for (int i = 0; i < NODES; i++)
		STR_COPY(out->name[i], c->node[i].name);
}
