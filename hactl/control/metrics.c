/* metrics.c - the status document for Prometheus (text exposition format 0.0.4). What is unknown is left out, never 0. */
#include "hactl/control/control.h"

#include "hactl/control/peek.h"

static void meta(struct page_text *t, const char *name, const char *type, const char *help)
{
	text_add(t, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void label(struct page_text *t, const char *name, const char *value)
{
	text_add(t, "%s=\"", name);
	for (const char *p = value; *p; p++) {
		if (*p == '\\' || *p == '"')
			text_add(t, "\\%c", *p);
		else if (*p == '\n')
			text_add(t, "\\n");
		else
			text_put(t, p, 1);
	}
	text_add(t, "\"");
}

/* One gauge without labels; scale turns the document's unit into the metric's. */
static void gauge(struct page_text *t, const char *name, const char *help, const json_t *v, double scale)
{
	if (!json_is_number(v) && !json_is_boolean(v))
		return;
	double n = json_is_boolean(v) ? json_is_true(v) : json_number_value(v) * scale;
	meta(t, name, "gauge", help);
	text_add(t, "%s %.15g\n", name, n);
}

static void roles(struct page_text *t, const json_t *s)
{
	meta(t, "hactl_role", "gauge", "1 for the role this node has.");
	for (int r = 0; r < ROLE_COUNT; r++)
		text_add(t, "hactl_role{role=\"%s\"} %d\n", role_names[r],
			str_eq(peek_text(s, "role", NULL), role_names[r]));
}

static void peers(struct page_text *t, const json_t *s)
{
	const char *state = peek_text(s, "peer", "state"), *arbiter = peek_text(s, "authority", "arbiter");
	meta(t, "hactl_peer_alive", "gauge", "1 while the other node is heard.");
	text_add(t, "hactl_peer_alive %d\n", str_eq(state, "alive"));
	if (str_eq(arbiter, "none"))
		return;
	meta(t, "hactl_arbiter_up", "gauge", "1 while the arbiter answers.");
	text_add(t, "hactl_arbiter_up %d\n", str_eq(arbiter, "up"));
}

/* One metric of every heartbeat path. */
static void path_gauge(
	struct page_text *t, const json_t *paths, const char *field, const char *name, const char *help, double scale)
{
	bool said = false;
	size_t i;
	json_t *p;
	json_array_foreach(paths, i, p)
	{
		const json_t *v = peek(p, field, NULL);
		if (!json_is_number(v))
			continue;
		if (!said)
			meta(t, name, "gauge", help);
		said = true;
		text_add(t, "%s{", name);
		label(t, "local", peek_text(p, "local", NULL));
		text_add(t, ",");
		label(t, "remote", peek_text(p, "remote", NULL));
		text_add(t, "} %.15g\n", json_number_value(v) * scale);
	}
}

static void heartbeat_paths(struct page_text *t, const json_t *s)
{
	const json_t *list = peek(s, "peer", "paths");
	size_t i;
	json_t *p;
	if (!json_array_size(list))
		return;
	meta(t, "hactl_path_alive", "gauge",
		"1 while heartbeats come over the path; absent while the peer is unknown.");
	json_array_foreach(list, i, p)
	{
		const char *state = peek_text(p, "state", NULL);
		if (str_eq(state, "unknown"))
			continue;
		text_add(t, "hactl_path_alive{");
		label(t, "local", peek_text(p, "local", NULL));
		text_add(t, ",");
		label(t, "remote", peek_text(p, "remote", NULL));
		text_add(t, "} %d\n", str_eq(state, "alive"));
	}
	path_gauge(
		t, list, "loss_percent", "hactl_path_loss_ratio", "Share of the last packets lost on the path.", 1e-2);
	path_gauge(t, list, "rtt_ms", "hactl_path_rtt_seconds", "Round trip over the path.", 1e-3);
}

static void vips(struct page_text *t, const json_t *s)
{
	size_t i;
	json_t *v;
	if (json_array_size(peek(s, "vips", NULL)))
		meta(t, "hactl_vip_held", "gauge", "1 while this host holds the virtual address.");
	json_array_foreach(peek(s, "vips", NULL), i, v)
	{
		text_add(t, "hactl_vip_held{");
		label(t, "address", peek_text(v, "address", NULL));
		text_add(t, "} %d\n", peek_true(v, "held", NULL));
	}
}

static void probe_labels(struct page_text *t, const json_t *p)
{
	const char *node = json_string_value(peek(p, "node", NULL));
	label(t, "name", peek_text(p, "name", NULL));
	text_add(t, ",");
	label(t, "node", node ? node : "");
	text_add(t, ",");
	label(t, "type", peek_text(p, "type", NULL));
}

static void probes(struct page_text *t, const json_t *s)
{
	const json_t *list = peek(s, "probes", NULL);
	size_t i;
	json_t *p;
	if (!json_array_size(list))
		return;
	meta(t, "hactl_probe_up", "gauge", "1 while the probe's verdict is up; absent while there is none.");
	json_array_foreach(list, i, p)
	{
		const char *state = peek_text(p, "state", NULL);
		if (str_eq(state, "unknown"))
			continue;
		text_add(t, "hactl_probe_up{");
		probe_labels(t, p);
		text_add(t, "} %d\n", str_eq(state, "up"));
	}
	meta(t, "hactl_probe_latency_seconds", "gauge", "How long the last good answer took.");
	json_array_foreach(list, i, p)
	{
		if (!json_is_number(peek(p, "latency_ms", NULL)))
			continue;
		text_add(t, "hactl_probe_latency_seconds{");
		probe_labels(t, p);
		text_add(t, "} %.6f\n", json_number_value(peek(p, "latency_ms", NULL)) / 1e3);
	}
}

/* One metric over the two nodes' servers of one kind. */
static void servers(struct page_text *t, const json_t *s, const char *kind, const char *field, const char *name,
	const char *help, double scale)
{
	static const char *const sides[] = { "local", "peer" };
	bool said = false;
	for (size_t i = 0; i < ARRAY_LEN(sides); i++) {
		const json_t *d = peek(s, kind, sides[i]), *v = peek(d, field, NULL);
		if (!json_is_number(v) && !json_is_boolean(v))
			continue;
		if (!said)
			meta(t, name, "gauge", help);
		said = true;
		text_add(t, "%s{", name);
		label(t, "node", peek_text(d, "node", NULL));
		text_add(t, "} %.15g\n", json_is_boolean(v) ? json_is_true(v) : json_number_value(v) * scale);
	}
}

static void databases(struct page_text *t, const json_t *s)
{
	static const struct {
		const char *kind, *field, *name, *help;
		double scale;
	} rows[] = {
		{ "mysql", "up", "hactl_mysql_up", "1 while the server answers as it should.", 1 },
		{ "mysql", "writable", "hactl_mysql_writable", "1 while the server accepts writes.", 1 },
		{ "mysql", "lag_ms", "hactl_mysql_lag_seconds", "Apply lag; absent while unknown.", 1e-3 },
		{ "mysql", "unapplied", "hactl_mysql_unapplied", "Transactions received and not executed.", 1 },
		{ "mysql", "unreceived", "hactl_mysql_unreceived", "Transactions of the primary not received.", 1 },
		{ "mysql", "silent_ms", "hactl_mysql_silent_seconds", "Since anything came from the primary's server.",
			1e-3 },
		{ "mysql", "behind", "hactl_mysql_behind", "Transactions of the primary not executed.", 1 },
		{ "mysql", "in_sync", "hactl_mysql_in_sync", "1 while the standby holds every acknowledged write.", 1 },
		{ "redis", "up", "hactl_redis_up", "1 while the server answers as it should.", 1 },
		{ "redis", "offset", "hactl_redis_offset_bytes", "Replication offset.", 1 },
		{ "redis", "behind_bytes", "hactl_redis_behind_bytes", "Bytes of the master not received.", 1 },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		servers(t, s, rows[i].kind, rows[i].field, rows[i].name, rows[i].help, rows[i].scale);
}

static void upstreams(struct page_text *t, const json_t *s)
{
	size_t i, k;
	json_t *u, *server;
	if (!json_array_size(peek(s, "upstreams", NULL)))
		return;
	meta(t, "hactl_upstream_weight", "gauge", "Weight of a server in the proxy.");
	json_array_foreach(peek(s, "upstreams", NULL), i, u)
	{
		json_array_foreach(peek(u, "servers", NULL), k, server)
		{
			text_add(t, "hactl_upstream_weight{");
			label(t, "upstream", peek_text(u, "name", NULL));
			text_add(t, ",");
			label(t, "server", peek_text(server, "address", NULL));
			text_add(t, "} %lld\n", (long long)json_integer_value(peek(server, "weight", NULL)));
		}
	}
}

static void packets(struct page_text *t, const json_t *s)
{
	const char *verdict;
	json_t *n;
	json_t *wire = json_object_get(s, "wire");
	if (!json_object_size(wire))
		return;
	meta(t, "hactl_packets_total", "counter", "Heartbeat packets received, by verdict.");
	json_object_foreach(wire, verdict, n)
	{
		text_add(t, "hactl_packets_total{");
		label(t, "verdict", verdict);
		text_add(t, "} %lld\n", (long long)json_integer_value(n));
	}
}

char *status_metrics(const json_t *s)
{
	struct page_text t = { 0 };
	roles(&t, s);
	gauge(&t, "hactl_term", "Term of this node.", peek(s, "term", NULL), 1);
	gauge(&t, "hactl_paused", "1 while automatic role changes are paused.", peek(s, "paused", NULL), 1);
	gauge(&t, "hactl_authority_held", "1 while this node holds authority.", peek(s, "authority", "held"), 1);
	gauge(&t, "hactl_authority_remaining_seconds", "What is left of the lease.",
		peek(s, "authority", "remaining_ms"), 1e-3);
	gauge(&t, "hactl_failover_ready", "1 while a failover would happen if the primary were lost.",
		peek(s, "failover", "ready"), 1);
	peers(&t, s);
	gauge(&t, "hactl_peer_silent_seconds", "Since the other node was heard.", peek(s, "peer", "silent_ms"), 1e-3);
	gauge(&t, "hactl_peer_rtt_seconds", "Round trip of a heartbeat.", peek(s, "peer", "rtt_ms"), 1e-3);
	heartbeat_paths(&t, s);
	vips(&t, s);
	databases(&t, s);
	probes(&t, s);
	upstreams(&t, s);
	gauge(&t, "hactl_last_change_seconds", "How long the last role change took.",
		peek(s, "last_change", "total_ms"), 1e-3);
	packets(&t, s);
	return t.text;
}
