/* schema.c - every key of hactl.conf: name, kind, place, default, range and meaning. The manual page follows this table. */
#include "hactl/config/schema.h"

#define AT(type, member) .offset = offsetof(type, member), .size = sizeof(((type *)0)->member)
#define ELEMENTS(type, member, counter)                                                                                \
	.offset = offsetof(type, member), .size = sizeof(((type *)0)->member[0]), .count = offsetof(type, counter),    \
	.counted = true
#define PRESENT(type, member) .present = offsetof(type, member), .marked = true
#define WORDS(list)	      .words = (list), .n_words = ARRAY_LEN(list)
#define SCHEMA(where, list)                                                                                            \
	{                                                                                                              \
		.path = (where), .keys = (list), .n = ARRAY_LEN(list)                                                  \
	}
#define MS  US_PER_MS
#define SEC US_PER_SEC

const char *const conf_authority_names[AUTHORITY_COUNT] = {
	[AUTHORITY_ARBITER] = "arbiter",
	[AUTHORITY_REFERENCE] = "reference",
	[AUTHORITY_FENCE] = "fence",
	[AUTHORITY_MANUAL] = "manual",
};
const char *const conf_probe_type_names[PROBE_TYPE_COUNT] = {
	[PROBE_HTTP] = "http",
	[PROBE_HTTPS] = "https",
	[PROBE_GRPC] = "grpc",
	[PROBE_TCP] = "tcp",
	[PROBE_MYSQL] = "mysql",
	[PROBE_REDIS] = "redis",
	[PROBE_EXEC] = "exec",
};
const char *const conf_on_failure_names[ON_FAILURE_COUNT] = {
	[ON_FAILURE_WEIGHTS] = "weights",
	[ON_FAILURE_FAILOVER] = "failover",
	[ON_FAILURE_ALERT] = "alert",
};
const char *const conf_policy_names[POLICY_COUNT] = {
	[POLICY_ACTIVE_BACKUP] = "active-backup",
	[POLICY_BALANCED] = "balanced",
	[POLICY_DYNAMIC] = "dynamic",
};
static const char *const enforce_names[] = {
	[ENFORCE_NFT] = "nft",
	[ENFORCE_ADDRESS] = "address",
	[ENFORCE_NONE] = "none",
};
static const char *const events_names[] = { [EVENTS_MANAGE] = "manage", [EVENTS_LEAVE] = "leave" };
static const char *const semi_sync_names[] = {
	[SEMI_SYNC_AUTO] = "auto",
	[SEMI_SYNC_REQUIRED] = "required",
	[SEMI_SYNC_OFF] = "off",
};
static const char *const upstream_type_names[] = {
	[UPSTREAM_NGINX] = "nginx",
	[UPSTREAM_HAPROXY] = "haproxy",
};
static const char *const level_names[] = { "info", "warning", "critical" };

/* --- nodes --------------------------------------------------------------------------------------------------------- */

static const struct key node_mysql_keys[] = {
	{ "socket", KIND_SOCKET, AT(struct conf_mysql, socket), .local = true, .example = "\"/run/mysqld/mysqld.sock\"",
		.sentence = "local socket of this node's server, in place of mysql.socket" },
	{ "port", KIND_INT, AT(struct conf_mysql, port), .min = 1, .max = 65535, .example = "3307",
		.sentence = "port of this node's server, in place of mysql.port" },
};
static const struct schema node_mysql = SCHEMA("nodes.mysql", node_mysql_keys);

static const struct key node_redis_keys[] = {
	{ "port", KIND_INT, AT(struct conf_redis, port), .min = 1, .max = 65535, .example = "6380",
		.sentence = "port of this node's server, in place of redis.port" },
};
static const struct schema node_redis = SCHEMA("nodes.redis", node_redis_keys);

static const struct key node_keys[] = {
	{ "name", KIND_NAME, AT(struct conf_node, name), .required = true, .example = "\"n1\"",
		.sentence = "what the node is called; best its host name" },
	{ "address", KIND_ADDRESS, AT(struct conf_node, address), .required = true, .example = "\"10.77.0.1\"",
		.sentence = "the node's own address: heartbeats, replication and probes go there" },
	{ "prefer", KIND_BOOL, AT(struct conf_node, prefer), .fallback = "false",
		.sentence = "where `hactl switchback` goes; at most one node" },
	{ "interface", KIND_INTERFACE, AT(struct conf_node, interface), .example = "\"ens5\"",
		.sentence = "this node's interface for the virtual addresses, in place of vips.interface" },
	{ "mysql", KIND_GROUP, AT(struct conf_node, mysql), .group = &node_mysql,
		PRESENT(struct conf_node, mysql.present), .example = "{ port = 3307; }",
		.sentence = "where this node's MySQL differs" },
	{ "redis", KIND_GROUP, AT(struct conf_node, redis), .group = &node_redis,
		PRESENT(struct conf_node, redis.present), .example = "{ port = 6380; }",
		.sentence = "where this node's Redis differs" },
};
static const struct schema node = SCHEMA("nodes", node_keys);

/* --- heartbeat and authority ----------------------------------------------------------------------------------------- */

static const struct key heartbeat_keys[] = {
	{ "port", KIND_INT, AT(struct conf, heartbeat_port), .fallback = "7979", .min = 1, .max = 65535,
		.sentence = "UDP port on each node's address and on each of links" },
	{ "interval", KIND_DURATION, AT(struct conf, heartbeat_interval), .fallback = "100ms", .min = 10 * MS,
		.max = 10 * SEC, .sentence = "time between two heartbeats" },
	{ "key_file", KIND_KEY, AT(struct conf, key_file), .required = true, .local = true,
		.example = "\"/etc/hactl/cluster.key\"",
		.sentence = "the cluster key, which authenticates every packet; `hactl keygen` writes one" },
	{ "links", KIND_LINKS, ELEMENTS(struct conf, link, n_links), .max = CONF_MAX_LINKS,
		.example = "( (\"192.168.9.1\", \"192.168.9.2\") )",
		.sentence = "further paths between the nodes, each a pair of addresses in the order of nodes" },
};
static const struct schema heartbeat = SCHEMA("heartbeat", heartbeat_keys);

static const struct key arbiter_keys[] = {
	{ "endpoints", KIND_VALUES, ELEMENTS(struct conf, arbiter.endpoint, arbiter.n_endpoints), .item = KIND_ENDPOINT,
		.min = 1, .max = CONF_MAX_ENDPOINTS, .required = true, .example = "( \"http://10.77.0.9:2379\" )",
		.sentence = "client addresses of the etcd cluster" },
	{ "prefix", KIND_PREFIX, AT(struct conf, arbiter.prefix), .example = "\"/hactl/hifate\"",
		.sentence = "where in etcd the register is kept; \"/hactl/\" and the cluster's name unless set" },
	{ "timeout", KIND_DURATION, AT(struct conf, arbiter.timeout), .fallback = "300ms", .min = 10 * MS,
		.max = 30 * SEC, .sentence = "how long one question to etcd may take" },
	{ "user", KIND_TEXT, AT(struct conf, arbiter.user), .example = "\"hactl\"", .sentence = "etcd user" },
	{ "password_file", KIND_SECRET, AT(struct conf, arbiter.password), .example = "\"/etc/hactl/etcd.pw\"",
		.sentence = "file with the etcd user's password" },
	{ "ca_file", KIND_PATH, AT(struct conf, arbiter.ca_file), .local = true,
		.example = "\"/etc/hactl/etcd-ca.pem\"", .sentence = "certificates that etcd's own must be signed by" },
	{ "cert_file", KIND_PATH, AT(struct conf, arbiter.cert_file), .local = true,
		.example = "\"/etc/hactl/etcd-cert.pem\"", .sentence = "client certificate shown to etcd" },
	{ "cert_key_file", KIND_PRIVATE, AT(struct conf, arbiter.cert_key_file), .local = true,
		.example = "\"/etc/hactl/etcd-key.pem\"", .sentence = "private key of cert_file" },
};
static const struct schema arbiter = SCHEMA("authority.arbiter", arbiter_keys);

static const struct key fence_keys[] = {
	{ "command", KIND_COMMAND, AT(struct conf, fence.command), .required = true,
		.example = "\"/etc/hactl/hooks/fence\"",
		.sentence = "powers the other node off, by the convention of the fence agents" },
	{ "timeout", KIND_DURATION, AT(struct conf, fence.timeout), .fallback = "20s", .min = 1 * SEC, .max = 600 * SEC,
		.sentence = "for the power-off and its confirmation together" },
	{ "delay", KIND_DURATION, AT(struct conf, fence.delay), .fallback = "0s", .max = 60 * SEC,
		.sentence =
			"wait before fencing on the node that is not prefer, so that the two do not shoot each other" },
};
static const struct schema fence = SCHEMA("authority.fence", fence_keys);

static const struct key authority_keys[] = {
	{ "lease", KIND_DURATION, AT(struct conf, lease), .fallback = "1s", .min = 200 * MS, .max = 60 * SEC,
		.sentence = "a primary that nobody has confirmed for this long has stopped being one" },
	{ "enforce", KIND_WORD, AT(struct conf, enforce), WORDS(enforce_names), .fallback = "nft",
		.sentence = "who stops answering for the virtual address when the lease runs out" },
	{ "flap_window", KIND_DURATION, AT(struct conf, flap_window), .fallback = "0s", .max = 86400 * SEC,
		.sentence = "at most one automatic failover within it; \"0s\" any number" },
	{ "gate_databases", KIND_BOOL, AT(struct conf, gate_databases), .fallback = "false",
		.sentence = "gate the database ports of the node's own address too" },
	{ "arbiter", KIND_GROUP, .group = &arbiter, .example = "{ endpoints = ( \"http://10.77.0.9:2379\" ); }",
		.sentence = "an etcd has the third vote" },
	{ "reference", KIND_VALUES, ELEMENTS(struct conf, reference, n_references), .item = KIND_ADDRESS, .min = 1,
		.max = CONF_MAX_REFERENCES, .example = "( \"10.77.0.254\" )",
		.sentence = "addresses both nodes should reach, such as the gateway" },
	{ "fence", KIND_GROUP, .group = &fence, .example = "{ command = \"/etc/hactl/hooks/fence\"; }",
		.sentence = "takeover after the other node's confirmed power-off" },
	{ "manual", KIND_BOOL, .fallback = "false",
		.sentence = "never on silence, only on the peer's own word or the operator's" },
};
static const struct schema authority = SCHEMA("authority", authority_keys);

/* --- addresses and databases ------------------------------------------------------------------------------------------- */

static const struct key vip_keys[] = {
	{ "address", KIND_CIDR, AT(struct conf_vip, address), .required = true, .example = "\"10.77.0.100/24\"",
		.sentence = "the virtual address with the prefix length of its network" },
	{ "interface", KIND_INTERFACE, AT(struct conf_vip, interface), .example = "\"eth0\"",
		.sentence = "where it is added; may be left out when both nodes name theirs" },
	{ "subnet", KIND_BOOL, AT(struct conf_vip, subnet), .fallback = "false",
		.sentence = "add it with the written prefix length instead of /32 or /128" },
};
static const struct schema vip = SCHEMA("vips", vip_keys);

static const struct key mysql_keys[] = {
	{ "port", KIND_INT, AT(struct conf_mysql, port), .fallback = "3306", .min = 1, .max = 65535,
		.sentence = "on each node's address" },
	{ "socket", KIND_SOCKET, AT(struct conf_mysql, socket), .local = true, .example = "\"/run/mysqld/mysqld.sock\"",
		.sentence = "reaches the local server instead of TCP" },
	{ "user", KIND_TEXT, AT(struct conf_mysql, user), .required = true, .example = "\"hactl\"",
		.sentence = "hactl's own account" },
	{ "password_file", KIND_SECRET, AT(struct conf_mysql, password), .required = true,
		.example = "\"/etc/hactl/mysql.pw\"", .sentence = "file with its password" },
	{ "replication_user", KIND_TEXT, AT(struct conf_mysql, replication_user), .required = true,
		.example = "\"repl\"", .sentence = "the account a replica logs in with" },
	{ "replication_password_file", KIND_SECRET, AT(struct conf_mysql, replication_password), .required = true,
		.example = "\"/etc/hactl/repl.pw\"", .sentence = "file with its password" },
	{ "tls", KIND_BOOL, AT(struct conf_mysql, tls), .fallback = "false",
		.sentence = "TLS to the servers, verified against ca_file, never silently plain" },
	{ "ca_file", KIND_PATH, AT(struct conf_mysql, ca_file), .local = true, .example = "\"/etc/hactl/mysql-ca.pem\"",
		.sentence = "certificates that the servers' own must be signed by" },
	{ "replication_ca_file", KIND_PATH, AT(struct conf_mysql, replication_ca_file), .local = true,
		.example = "\"/etc/mysql/ca.pem\"",
		.sentence = "ca_file as the server itself names it, for its replication; ca_file unless set" },
	{ "max_lag", KIND_DURATION, AT(struct conf_mysql, max_lag), .fallback = "10s", .max = 86400 * SEC,
		.sentence = "a replica behind by more is not promoted by itself" },
	{ "max_unreceived", KIND_INT, AT(struct conf_mysql, max_unreceived), .min = 1, .max = 1000000000,
		.example = "1000",
		.sentence = "with semi_sync = \"off\": a replica that lacks more transactions of the primary is not "
			    "promoted by itself" },
	{ "semi_sync", KIND_WORD, AT(struct conf_mysql, semi_sync), WORDS(semi_sync_names), .fallback = "auto",
		.sentence = "whether hactl switches semi-synchronous replication" },
	{ "max_freeze", KIND_DURATION, AT(struct conf_mysql, max_freeze), .fallback = "1s", .min = 10 * MS,
		.max = 600 * SEC, .sentence = "a switchover that holds writes longer is undone" },
	{ "reseed", KIND_COMMAND, AT(struct conf_mysql, reseed), .fallback = "off", .required = false, .local = true,
		.example = "\"clone\"",
		.sentence = "how a quarantined node gets the primary's data: \"off\", \"clone\" (MySQL) or a command" },
	{ "reseed_automatic", KIND_BOOL, AT(struct conf_mysql, reseed_automatic), .fallback = "false", .local = true,
		.sentence = "reseed without `hactl rejoin --discard-divergent`, once the rows are exported" },
	{ "reseed_timeout", KIND_DURATION, AT(struct conf_mysql, reseed_timeout), .fallback = "1h", .min = 10 * SEC,
		.max = 7 * 86400 * SEC, .local = true, .sentence = "how long a reseed may take" },
	{ "events", KIND_WORD, AT(struct conf_mysql, events), WORDS(events_names), .fallback = "manage", .local = true,
		.sentence = "whether hactl enables scheduled events on the primary and disables them on the standby" },
	{ "kill_stuck", KIND_BOOL, AT(struct conf_mysql, kill_stuck), .fallback = "true", .local = true,
		.sentence = "kill the local server when this node is no longer primary and its writes cannot be shut" },
	{ "kill_command", KIND_COMMAND, AT(struct conf_mysql, kill_command), .local = true,
		.example = "\"docker kill mysql\"",
		.sentence = "kills the local server in place of a signal, for containers" },
	{ "start", KIND_COMMAND, AT(struct conf_mysql, start), .local = true, .example = "\"systemctl start mysql\"",
		.sentence = "starts the local server after a clone; none: its own service does" },
	{ "binlog_tool", KIND_COMMAND, AT(struct conf_mysql, binlog_tool), .local = true,
		.example = "\"docker exec -i mysql mysqlbinlog\"",
		.sentence = "reads a binary log; mysqlbinlog or mariadb-binlog unless set" },
};
static const struct schema mysql = SCHEMA("mysql", mysql_keys);

static const struct key redis_keys[] = {
	{ "port", KIND_INT, AT(struct conf_redis, port), .fallback = "6379", .min = 1, .max = 65535,
		.sentence = "on each node's address" },
	{ "user", KIND_TEXT, AT(struct conf_redis, user), .example = "\"hactl\"",
		.sentence = "ACL user; with a password and no user, the default user" },
	{ "password_file", KIND_SECRET, AT(struct conf_redis, password), .example = "\"/etc/hactl/redis.pw\"",
		.sentence = "file with the password; none: no AUTH" },
	{ "max_lag", KIND_DURATION, AT(struct conf_redis, max_lag), .fallback = "10s", .max = 86400 * SEC,
		.sentence = "a replica whose link has been silent for longer is not promoted by itself" },
};
static const struct schema redis = SCHEMA("redis", redis_keys);

/* --- services ---------------------------------------------------------------------------------------------------------- */

static const struct key probe_keys[] = {
	{ "name", KIND_NAME, AT(struct conf_probe, name), .required = true, .example = "\"web-app\"",
		.sentence = "what the probe is called" },
	{ "type", KIND_WORD, AT(struct conf_probe, type), WORDS(conf_probe_type_names), .required = true,
		.example = "\"http\"", .sentence = "how it asks" },
	{ "address", KIND_HOST_PORT, AT(struct conf_probe, address), .example = "\"tts.example.com:443\"",
		.sentence = "host:port to ask, once and for no node; without it both nodes are asked at port" },
	{ "port", KIND_INT, AT(struct conf_probe, port), .min = 1, .max = 65535, .example = "8001",
		.sentence = "on each node's address; mysql and redis: that of the database unless set" },
	{ "path", KIND_PREFIX, AT(struct conf_probe, path), .example = "\"/health\"",
		.sentence = "http, https: what to get; \"/\" unless set" },
	{ "host", KIND_TEXT, AT(struct conf_probe, host), .example = "\"www.example.com\"",
		.sentence = "http, https: Host header and, for https, server name; the address unless set" },
	{ "expect", KIND_STATUSES, AT(struct conf_probe, expect), .example = "\"200-399\"",
		.sentence = "http, https: statuses that mean well; \"200-399\" unless set" },
	{ "service", KIND_TEXT, AT(struct conf_probe, service), .example = "\"\"",
		.sentence = "grpc: the service to ask about; \"\" the whole server" },
	{ "tls", KIND_BOOL, AT(struct conf_probe, tls), .fallback = "false", .sentence = "grpc: over TLS" },
	{ "ca_file", KIND_PATH, AT(struct conf_probe, ca_file), .local = true, .example = "\"/etc/hactl/web-ca.pem\"",
		.sentence = "https and grpc over TLS: certificates that the service's own must be signed by; the "
			    "system's unless set" },
	{ "command", KIND_COMMAND, AT(struct conf_probe, command), .example = "\"/etc/hactl/hooks/probe-disk\"",
		.sentence = "exec: exit status 0 means well" },
	{ "interval", KIND_DURATION, AT(struct conf_probe, interval), .fallback = "1s", .min = 50 * MS,
		.max = 3600 * SEC, .sentence = "time between two questions" },
	{ "timeout", KIND_DURATION, AT(struct conf_probe, timeout), .fallback = "500ms", .min = 10 * MS,
		.max = 60 * SEC, .sentence = "no answer for this long is a failure" },
	{ "fall", KIND_INT, AT(struct conf_probe, fall), .fallback = "3", .min = 1, .max = 100,
		.sentence = "failures in a row that make it down" },
	{ "rise", KIND_INT, AT(struct conf_probe, rise), .fallback = "2", .min = 1, .max = 100,
		.sentence = "successes in a row that make it up" },
	{ "on_failure", KIND_WORD, AT(struct conf_probe, on_failure), WORDS(conf_on_failure_names),
		.fallback = "weights", .sentence = "what a failure does" },
};
static const struct schema probe = SCHEMA("probes", probe_keys);

static const struct key server_keys[] = {
	{ "node", KIND_NODE, AT(struct conf_server, node), .required = true, .example = "\"n1\"",
		.sentence = "the node it runs on" },
	{ "address", KIND_SERVER, AT(struct conf_server, address), .example = "\"10.77.0.1:8001\"",
		.sentence = "nginx: the server as the file writes it" },
	{ "server", KIND_NAME, AT(struct conf_server, server), .example = "\"web1\"",
		.sentence = "haproxy: the server's name in the backend" },
	{ "weight", KIND_INT, AT(struct conf_server, weight), .fallback = "1", .min = 1, .max = 256,
		.sentence = "its share of the traffic when healthy" },
};
static const struct schema server = SCHEMA("upstreams.servers", server_keys);

static const struct key upstream_keys[] = {
	{ "name", KIND_NAME, AT(struct conf_upstream, name), .required = true, .example = "\"web_app_backend\"",
		.sentence = "the upstream block (nginx) or backend (haproxy)" },
	{ "type", KIND_WORD, AT(struct conf_upstream, type), WORDS(upstream_type_names), .required = true,
		.example = "\"nginx\"", .sentence = "which proxy" },
	{ "file", KIND_PATH, AT(struct conf_upstream, file), .local = true, .example = "\"/etc/nginx/conf.d/app.conf\"",
		.sentence = "nginx: the file that holds the block" },
	{ "socket", KIND_SOCKET, AT(struct conf_upstream, socket), .local = true,
		.example = "\"/run/haproxy/admin.sock\"", .sentence = "haproxy: its runtime socket, with level admin" },
	{ "policy", KIND_WORD, AT(struct conf_upstream, policy), WORDS(conf_policy_names), .fallback = "active-backup",
		.sentence = "who gets traffic" },
	{ "probe", KIND_PROBE, AT(struct conf_upstream, probe), .example = "\"web-app\"",
		.sentence = "the probe whose verdict counts; none: always healthy" },
	{ "servers", KIND_GROUPS, ELEMENTS(struct conf_upstream, servers, n_servers), .group = &server, .min = 1,
		.max = CONF_MAX_SERVERS, .required = true,
		.example = "( { node = \"n1\"; address = \"10.77.0.1:8001\"; } )",
		.sentence = "the servers hactl may change" },
	{ "test", KIND_COMMAND, AT(struct conf_upstream, test), .local = true, .example = "\"nginx -t\"",
		.sentence = "nginx: proves the new file; \"nginx -t\" unless set" },
	{ "reload", KIND_COMMAND, AT(struct conf_upstream, reload), .local = true, .example = "\"nginx -s reload\"",
		.sentence = "nginx: puts it into force; \"nginx -s reload\" unless set" },
	{ "debounce", KIND_DURATION, AT(struct conf_upstream, debounce), .fallback = "1s", .max = 60 * SEC,
		.sentence = "health changes are gathered for so long; role changes are not delayed" },
	{ "interval", KIND_DURATION, AT(struct conf_upstream, interval), .fallback = "60s", .min = 1 * SEC,
		.max = 86400 * SEC, .sentence = "dynamic: time between two computations of the weights" },
};
static const struct schema upstream = SCHEMA("upstreams", upstream_keys);

/* --- the rest ---------------------------------------------------------------------------------------------------------- */

static const struct key rule_keys[] = {
	{ "name", KIND_NAME, AT(struct conf_rule, name), .required = true, .example = "\"cpu_high\"",
		.sentence = "what the rule is called" },
	{ "when", KIND_TEXT, AT(struct conf_rule, when), .required = true, .example = "\"cpu > 85%\"",
		.sentence = "the threshold" },
	{ "for", KIND_DURATION, AT(struct conf_rule, hold), .fallback = "0s", .max = 86400 * SEC,
		.sentence = "how long it must hold" },
	{ "level", KIND_WORD, AT(struct conf_rule, level), WORDS(level_names), .fallback = "warning",
		.sentence = "how grave the alert is" },
	{ "run", KIND_COMMAND, AT(struct conf_rule, run), .local = true, .example = "\"/etc/hactl/hooks/scale-out\"",
		.sentence = "command to run when the alert is raised" },
};
static const struct schema rule = SCHEMA("rules", rule_keys);

static const struct key hook_keys[] = {
	{ "on_primary", KIND_COMMAND, AT(struct conf, hooks.on_primary), .local = true,
		.example = "\"/etc/hactl/hooks/primary\"", .sentence = "runs when this node has become primary" },
	{ "on_standby", KIND_COMMAND, AT(struct conf, hooks.on_standby), .local = true,
		.example = "\"/etc/hactl/hooks/standby\"", .sentence = "runs when this node has become standby" },
	{ "on_event", KIND_COMMAND, AT(struct conf, hooks.on_event), .local = true,
		.example = "\"/etc/hactl/hooks/event\"", .sentence = "runs for every line of the journal" },
	{ "webhook", KIND_URL, AT(struct conf, hooks.webhook), .local = true,
		.example = "\"https://chat.example.com/hook\"", .sentence = "gets every event as JSON by POST" },
	{ "timeout", KIND_DURATION, AT(struct conf, hooks.timeout), .fallback = "10s", .min = 100 * MS,
		.max = 3600 * SEC, .local = true, .sentence = "a hook that runs longer is ended" },
};
static const struct schema hooks = SCHEMA("hooks", hook_keys);

static const struct key http_keys[] = {
	{ "listen", KIND_LISTEN, AT(struct conf, http_listen), .required = true, .local = true,
		.example = "\"127.0.0.1:7980\"", .sentence = "where the status page and the metrics are served" },
};
static const struct schema http = SCHEMA("http", http_keys);

/* In the order in which names must be known: nodes and probes before what refers to them. */
static const struct key file_keys[] = {
	{ "cluster", KIND_NAME, AT(struct draft, conf.cluster), .required = true, .example = "\"hifate\"",
		.sentence = "the pair's name; packets of other clusters are ignored" },
	{ "nodes", KIND_GROUPS, .offset = offsetof(struct draft, conf.node), .size = sizeof(struct conf_node),
		.group = &node, .min = NODES, .max = NODES, .required = true,
		.example =
			"( { name = \"n1\"; address = \"10.77.0.1\"; }, { name = \"n2\"; address = \"10.77.0.2\"; } )",
		.sentence = "the two nodes" },
	{ "heartbeat", KIND_GROUP, .group = &heartbeat, .required = true,
		.example = "{ key_file = \"/etc/hactl/cluster.key\"; }", .sentence = "how the nodes hear each other" },
	{ "authority", KIND_GROUP, .group = &authority, .required = true,
		.example = "{ arbiter = { endpoints = ( \"http://10.77.0.9:2379\" ); }; }",
		.sentence = "who may be primary: exactly one of arbiter, reference, fence, manual" },
	{ "vips", KIND_GROUPS, ELEMENTS(struct draft, conf.vip, conf.n_vips), .group = &vip, .max = CONF_MAX_VIPS,
		.example = "( { address = \"10.77.0.100/24\"; interface = \"eth0\"; } )",
		.sentence = "the virtual addresses that the primary answers for" },
	{ "mysql", KIND_GROUP, AT(struct draft, mysql), .group = &mysql, PRESENT(struct draft, mysql.present),
		.example = "{ user = \"hactl\"; password_file = \"/etc/hactl/mysql.pw\"; … }",
		.sentence = "MySQL or MariaDB on both nodes" },
	{ "redis", KIND_GROUP, AT(struct draft, redis), .group = &redis, PRESENT(struct draft, redis.present),
		.example = "{ port = 6379; }", .sentence = "Redis on both nodes" },
	{ "probes", KIND_GROUPS, ELEMENTS(struct draft, conf.probe, conf.n_probes), .group = &probe,
		.max = CONF_MAX_PROBES, .example = "( { name = \"web-app\"; type = \"http\"; port = 8001; } )",
		.sentence = "what is watched" },
	{ "upstreams", KIND_GROUPS, ELEMENTS(struct draft, conf.upstream, conf.n_upstreams), .group = &upstream,
		.max = CONF_MAX_UPSTREAMS, .example = "( { name = \"app\"; type = \"nginx\"; … } )",
		.sentence = "proxies whose weights follow health" },
	{ "rules", KIND_GROUPS, ELEMENTS(struct draft, conf.rule, conf.n_rules), .group = &rule, .max = CONF_MAX_RULES,
		.local = true, .example = "( { name = \"cpu_high\"; when = \"cpu > 85%\"; } )",
		.sentence = "thresholds that raise an alert or run a hook" },
	{ "hooks", KIND_GROUP, .group = &hooks, .local = true,
		.example = "{ on_primary = \"/etc/hactl/hooks/primary\"; }",
		.sentence = "commands that hear of changes" },
	{ "http", KIND_GROUP, .group = &http, .local = true, .example = "{ listen = \"127.0.0.1:7980\"; }",
		.sentence = "status page, /metrics, /status.json, /primary, /standby, /health" },
};
const struct schema schema_file = SCHEMA("", file_keys);
