/* check_services.c - what no single key can know: databases, probes and upstreams. */
#include "hactl/config/check.h"

#include <errno.h>
#include <unistd.h>

/* --- databases ------------------------------------------------------------------------------------------------------- */

static void check_databases(struct walk *w, const config_setting_t *root)
{
	static const char *const names[] = { "mysql", "redis" };
	const config_setting_t *mysql = config_setting_get_member(root, "mysql");

	for (int n = 0; n < NODES; n++)
		for (size_t i = 0; i < ARRAY_LEN(names); i++) {
			const config_setting_t *node = setting_at(root, "nodes", n);

			if (setting_of(node, names[i]) && !config_setting_get_member(root, names[i]))
				mistake_add(w->mistakes, line_of_key(node, names[i]),
					"nodes.%s: changes a section that is not there; write %s = { … }; at the top "
					"of the file too",
					names[i], names[i]);
		}
	if (w->draft->mysql.tls && lacks(mysql, "ca_file"))
		mistake_add(w->mistakes, line_of_key(mysql, "tls"),
			"mysql.tls: needs ca_file, or nothing would be verified; write ca_file = "
			"\"/etc/hactl/mysql-ca.pem\";");
	if (w->draft->mysql.tls && !lacks(mysql, "ca_file") && access(w->draft->mysql.ca_file, R_OK) < 0)
		mistake_add(w->mistakes, line_of_key(mysql, "ca_file"),
			"mysql.ca_file: %s cannot be read: %s; write the certificates that signed the servers'",
			w->draft->mysql.ca_file, strerror(errno));
	if (setting_of(mysql, "replication_ca_file") && !w->draft->mysql.tls)
		mistake_add(w->mistakes, line_of_key(mysql, "replication_ca_file"),
			"mysql.replication_ca_file: has no effect without tls; write tls = true;");
	if (setting_of(mysql, "ca_file") && !w->draft->mysql.tls)
		mistake_add(w->mistakes, line_of_key(mysql, "ca_file"),
			"mysql.ca_file: has no effect without tls; write tls = true;");
	if (w->draft->mysql.max_unreceived && w->draft->mysql.semi_sync != SEMI_SYNC_OFF)
		mistake_add(w->mistakes, line_of_key(mysql, "max_unreceived"),
			"mysql.max_unreceived: has no effect unless semi_sync = \"off\" (otherwise only a standby that holds "
			"every acknowledged write is promoted by itself); remove it or write semi_sync = \"off\";");
	if (setting_of(config_setting_get_member(root, "redis"), "user") &&
		lacks(config_setting_get_member(root, "redis"), "password_file"))
		mistake_add(w->mistakes, line_of_key(config_setting_get_member(root, "redis"), "user"),
			"redis.user: needs password_file; write password_file = \"/etc/hactl/redis.pw\";");
}

/* --- probes ---------------------------------------------------------------------------------------------------------- */

#define ON(type) (1u << PROBE_##type)

/* Which keys mean something to which types, and which must be there. */
static const struct {
	const char *key;
	unsigned for_types;
	const char *of; /* for the sentence */
} probe_keys[] = {
	{ "path", ON(HTTP) | ON(HTTPS), "http and https" },
	{ "host", ON(HTTP) | ON(HTTPS), "http and https" },
	{ "expect", ON(HTTP) | ON(HTTPS), "http and https" },
	{ "service", ON(GRPC), "grpc" },
	{ "tls", ON(GRPC), "grpc" },
	{ "ca_file", ON(HTTPS) | ON(GRPC), "https and grpc" },
	{ "command", ON(EXEC), "exec" },
	{ "port", ~ON(EXEC), "all other" },
	{ "address", ~ON(EXEC), "all other" },
};

static void check_probe_place(struct walk *w, const struct conf_probe *p, const config_setting_t *s)
{
	bool address = setting_of(s, "address"), port = setting_of(s, "port");
	const char *type = conf_probe_type_names[p->type];

	if (address && port)
		mistake_add(w->mistakes, line_of_key(s, "port"),
			"probes.port: the address of probe \"%s\" names its port already; remove one of the two",
			p->name);
	if (p->type == PROBE_EXEC && lacks(s, "command"))
		mistake_add(w->mistakes, setting_line(s),
			"probes.command is missing in probe \"%s\"; write command = \"/etc/hactl/hooks/probe-disk\";",
			p->name);
	if (lacks(s, "address") && lacks(s, "port") && p->type != PROBE_EXEC && p->type != PROBE_MYSQL &&
		p->type != PROBE_REDIS)
		mistake_add(w->mistakes, setting_line(s),
			"probes.port is missing in probe \"%s\"; write port = 8001; (on both nodes) or address = "
			"\"host:port\";",
			p->name);
	if (p->type == PROBE_MYSQL && !w->draft->mysql.present)
		mistake_add(w->mistakes, line_of_key(s, "type"),
			"probes.type: a %s probe takes its account from the mysql section, which is missing; add it",
			type);
	if (p->type == PROBE_REDIS && !w->draft->redis.present)
		mistake_add(w->mistakes, line_of_key(s, "type"),
			"probes.type: a %s probe takes its account from the redis section, which is missing; add it",
			type);
	if (address && p->on_failure == ON_FAILURE_FAILOVER)
		mistake_add(w->mistakes, line_of_key(s, "on_failure"),
			"probes.on_failure: probe \"%s\" asks a fixed address and tells nothing about a node; write "
			"\"alert\"",
			p->name);
}

static void check_probe_keys(struct walk *w, const struct conf_probe *p, const config_setting_t *s)
{
	for (size_t i = 0; i < ARRAY_LEN(probe_keys); i++)
		if (setting_of(s, probe_keys[i].key) && !(probe_keys[i].for_types & 1u << p->type))
			mistake_add(w->mistakes, line_of_key(s, probe_keys[i].key),
				"probes.%s: is for %s probes, and \"%s\" is of type \"%s\"; remove it or change the "
				"type",
				probe_keys[i].key, probe_keys[i].of, p->name, conf_probe_type_names[p->type]);
	if (p->type == PROBE_GRPC && setting_of(s, "ca_file") && !p->tls)
		mistake_add(w->mistakes, line_of_key(s, "ca_file"),
			"probes.ca_file: has no effect without tls; write tls = true;");
}

static bool type_known(const config_setting_t *s)
{
	const config_setting_t *type = setting_of(s, "type");

	for (int i = 0; type && type->type == CONFIG_TYPE_STRING && i < PROBE_TYPE_COUNT; i++)
		if (!strcmp(type->value.sval, conf_probe_type_names[i]))
			return true;
	return false;
}

static void check_probes(struct walk *w, const config_setting_t *root)
{
	struct conf *c = &w->draft->conf;

	for (int i = 0; i < c->n_probes; i++) {
		const config_setting_t *s = setting_at(root, "probes", i);

		if (!s || s->type != CONFIG_TYPE_GROUP)
			continue;
		c->probe[i].line = setting_line(s);
		for (int j = 0; j < i; j++)
			if (*c->probe[i].name && !strcmp(c->probe[i].name, c->probe[j].name)) {
				mistake_add(w->mistakes, line_of_key(s, "name"),
					"probes.name: \"%s\" is the name of another probe already; write another name",
					c->probe[i].name);
				break;
			}
		if (!type_known(s))
			continue;
		check_probe_place(w, &c->probe[i], s);
		check_probe_keys(w, &c->probe[i], s);
	}
}

/* --- upstreams ------------------------------------------------------------------------------------------------------- */

static const struct {
	const char *key;
	enum conf_upstream_type of;
	bool required;
	const char *example;
} upstream_keys[] = {
	{ "file", UPSTREAM_NGINX, true, "file = \"/etc/nginx/conf.d/app.conf\";" },
	{ "test", UPSTREAM_NGINX, false, NULL },
	{ "reload", UPSTREAM_NGINX, false, NULL },
	{ "socket", UPSTREAM_HAPROXY, true, "socket = \"/run/haproxy/admin.sock\";" },
};

static const char *proxy_name(enum conf_upstream_type t)
{
	return t == UPSTREAM_NGINX ? "nginx" : "haproxy";
}

static bool proxy_known(const config_setting_t *s)
{
	const config_setting_t *type = setting_of(s, "type");

	return type && type->type == CONFIG_TYPE_STRING &&
	       (!strcmp(type->value.sval, "nginx") || !strcmp(type->value.sval, "haproxy"));
}

static void check_server(struct walk *w, const struct conf_upstream *u, int i, const config_setting_t *s)
{
	static const char *const names[] = { [UPSTREAM_NGINX] = "address", [UPSTREAM_HAPROXY] = "server" };
	const char *wanted = names[u->type], *other = names[!u->type];
	const char *mine = u->type == UPSTREAM_NGINX ? u->servers[i].address : u->servers[i].server;

	if (s->type != CONFIG_TYPE_GROUP)
		return;
	if (lacks(s, wanted))
		mistake_add(w->mistakes, setting_line(s), "upstreams.servers.%s is missing; write %s = \"%s\";", wanted,
			wanted, u->type == UPSTREAM_NGINX ? "10.77.0.1:8001" : "web1");
	if (setting_of(s, other))
		mistake_add(w->mistakes, line_of_key(s, other),
			"upstreams.servers.%s: is for %s, and upstream \"%s\" is %s; remove it", other,
			proxy_name(!u->type), u->name, proxy_name(u->type));
	for (int j = 0; j < i && *mine; j++)
		if (!strcmp(mine, u->type == UPSTREAM_NGINX ? u->servers[j].address : u->servers[j].server))
			mistake_add(w->mistakes, line_of_key(s, wanted),
				"upstreams.servers.%s: \"%s\" stands twice in upstream \"%s\"; remove one", wanted,
				mine, u->name);
}

/* Under active-backup the role decides which server is the main one: each node needs one. */
static void check_both_nodes(struct walk *w, const struct conf_upstream *u, const config_setting_t *servers)
{
	bool has[NODES] = { false };

	for (int i = 0; i < u->n_servers; i++) {
		const config_setting_t *node = setting_of(config_setting_get_elem(servers, (unsigned)i), "node");
		int n = node && node->type == CONFIG_TYPE_STRING ? conf_node_by_name(&w->draft->conf, node->value.sval)
								 : NOBODY;

		if (n == NOBODY) /* told of already */
			return;
		has[n] = true;
	}
	if (has[0] && has[1])
		return;
	mistake_add(w->mistakes, setting_line(servers),
		"upstreams.servers: upstream \"%s\" has no server on node %s, and active-backup needs one on each; add "
		"it or write policy = \"balanced\";",
		u->name, w->draft->conf.node[has[0]].name);
}

static void check_upstream(struct walk *w, const struct conf_upstream *u, const config_setting_t *s)
{
	const struct conf *c = &w->draft->conf;
	const config_setting_t *servers = setting_of(s, "servers");

	for (size_t i = 0; i < ARRAY_LEN(upstream_keys); i++) {
		const char *key = upstream_keys[i].key;

		if (upstream_keys[i].of != u->type && setting_of(s, key))
			mistake_add(w->mistakes, line_of_key(s, key),
				"upstreams.%s: is for %s, and \"%s\" is %s; remove it", key,
				proxy_name(upstream_keys[i].of), u->name, proxy_name(u->type));
		if (upstream_keys[i].of == u->type && upstream_keys[i].required && lacks(s, key))
			mistake_add(w->mistakes, setting_line(s), "upstreams.%s is missing in \"%s\"; write %s", key,
				u->name, upstream_keys[i].example);
	}
	if (u->policy != POLICY_DYNAMIC && setting_of(s, "interval"))
		mistake_add(w->mistakes, line_of_key(s, "interval"),
			"upstreams.interval: is for policy \"dynamic\", and \"%s\" is \"%s\"; remove it", u->name,
			conf_policy_names[u->policy]);
	if (u->probe >= 0 && *c->probe[u->probe].address)
		mistake_add(w->mistakes, line_of_key(s, "probe"),
			"upstreams.probe: probe \"%s\" asks a fixed address; write one that asks both nodes",
			c->probe[u->probe].name);
	for (int i = 0; i < u->n_servers; i++)
		check_server(w, u, i, config_setting_get_elem(servers, (unsigned)i));
	if (u->n_servers && u->policy == POLICY_ACTIVE_BACKUP)
		check_both_nodes(w, u, servers);
}

static void check_upstreams(struct walk *w, const config_setting_t *root)
{
	const struct conf *c = &w->draft->conf;

	for (int i = 0; i < c->n_upstreams; i++) {
		const config_setting_t *s = setting_at(root, "upstreams", i);

		if (!s || s->type != CONFIG_TYPE_GROUP)
			continue;
		for (int j = 0; j < i; j++)
			if (*c->upstream[i].name && !strcmp(c->upstream[i].name, c->upstream[j].name)) {
				mistake_add(w->mistakes, line_of_key(s, "name"),
					"upstreams.name: \"%s\" is the name of another upstream already; remove one",
					c->upstream[i].name);
				break;
			}
		if (proxy_known(s))
			check_upstream(w, &c->upstream[i], s);
	}
}

static void check_rules(struct walk *w, const config_setting_t *root)
{
	const struct conf *c = &w->draft->conf;

	for (int i = 0; i < c->n_rules; i++)
		for (int j = 0; j < i; j++)
			if (*c->rule[i].name && !strcmp(c->rule[i].name, c->rule[j].name)) {
				mistake_add(w->mistakes, line_of_key(setting_at(root, "rules", i), "name"),
					"rules.name: \"%s\" is the name of another rule already; write another name",
					c->rule[i].name);
				break;
			}
}

void check_services(struct walk *w, const config_setting_t *root)
{
	check_databases(w, root);
	check_probes(w, root);
	check_upstreams(w, root);
	check_rules(w, root);
}
