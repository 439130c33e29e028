/* config.h - the configuration file as one struct. libconfig in; every mistake out, with file:line, all in one run.
 *
 * What each key means, its default and its range stand in ONE table (schema.c); the manual page hactl.conf(5) and
 * conf/hactl.conf follow it. A struct conf is immutable after conf_load and owns everything it points to.
 */
#ifndef HACTL_CONFIG_CONFIG_H
#define HACTL_CONFIG_CONFIG_H

#include "hactl/base/base.h"

enum {
	CONF_MAX_LINKS = 4,
	CONF_MAX_ENDPOINTS = 7,
	CONF_MAX_REFERENCES = 8,
	CONF_MAX_VIPS = 16,
	CONF_MAX_PROBES = 64,
	CONF_MAX_UPSTREAMS = 32,
	CONF_MAX_SERVERS = 8,
	CONF_MAX_RULES = 32,
	CONF_PATH = 256
};

struct conf_mysql { /* one server; `mysql` merged with the node's own `mysql = {...}` */
	bool present;
	int port;		/* 3306 */
	char socket[108];	/* "" = TCP to the node's address; used for the local server only */
	char user[64], password[256];
	char replication_user[64], replication_password[256];
	bool tls;
	char ca_file[CONF_PATH];
	char replication_ca_file[CONF_PATH]; /* as the server itself names it; "" = ca_file */
	us_t max_lag;		/* 10s */
	int max_unreceived;	/* transactions; 0 no limit. Gates with semi_sync = "off" only */
	enum conf_semi_sync { SEMI_SYNC_AUTO, SEMI_SYNC_REQUIRED, SEMI_SYNC_OFF } semi_sync;
	us_t max_freeze;	/* 1s: a switchover that holds writes longer is undone */
	char reseed[CONF_PATH]; /* "off", "clone" or a command: how a quarantined node gets the primary's data */
	bool reseed_automatic;	/* without `hactl rejoin --discard-divergent`, after the export */
	us_t reseed_timeout;	/* 1h */
	enum conf_events { EVENTS_MANAGE, EVENTS_LEAVE } events; /* who switches scheduled events with the role */
	bool kill_stuck;	/* a server that does not stop writing when this node is no longer primary is killed */
	char kill_command[CONF_PATH]; /* kills it, in place of a signal: for containers; "" by signal */
	char start[CONF_PATH];	/* command that starts the local server; "" it is started by its own service */
	char binlog_tool[CONF_PATH]; /* reads a binary log: "" mysqlbinlog or mariadb-binlog */
};

struct conf_redis {
	bool present;
	int port;		/* 6379 */
	char user[64], password[256]; /* "" = no AUTH; user "" with a password = the default user */
	us_t max_lag;		/* 10s */
};

struct conf_node {
	char name[NAME_MAX_LEN];
	char address[64];	/* numeric IPv4 or IPv6 */
	bool prefer;
	char interface[16];	/* override for all vips; "" none */
	struct conf_mysql mysql;
	struct conf_redis redis;
};

enum conf_authority { AUTHORITY_ARBITER, AUTHORITY_REFERENCE, AUTHORITY_FENCE, AUTHORITY_MANUAL, AUTHORITY_COUNT };
extern const char *const conf_authority_names[AUTHORITY_COUNT];
enum conf_enforce { ENFORCE_NFT, ENFORCE_ADDRESS, ENFORCE_NONE };

struct conf_vip {
	char address[64];	/* numeric, without the length */
	int family;		/* AF_INET or AF_INET6 */
	int prefix_len;		/* as written */
	bool subnet;		/* add with the written length instead of /32 or /128 (default false) */
	char interface[16];	/* of this file; conf_vip_interface() applies the node's override */
};

enum conf_probe_type { PROBE_HTTP, PROBE_HTTPS, PROBE_GRPC, PROBE_TCP, PROBE_MYSQL, PROBE_REDIS, PROBE_EXEC, PROBE_TYPE_COUNT };
extern const char *const conf_probe_type_names[PROBE_TYPE_COUNT];
enum conf_on_failure { ON_FAILURE_WEIGHTS, ON_FAILURE_FAILOVER, ON_FAILURE_ALERT, ON_FAILURE_COUNT };
extern const char *const conf_on_failure_names[ON_FAILURE_COUNT];

struct conf_probe {
	char name[NAME_MAX_LEN];
	enum conf_probe_type type;
	char address[256];	/* "host:port" given: runs once, against it, for no node. "" = against both nodes */
	int port;		/* with "" address; mysql and redis: 0 = that of each node's own server */
	char path[CONF_PATH];	/* http(s): "/"; other types: "" */
	char host[256];		/* http(s): Host header and, for https, server name; "" = the address */
	char service[128];	/* grpc: "" = the whole server */
	bool tls;		/* grpc over TLS */
	char ca_file[CONF_PATH];
	char command[CONF_PATH];/* exec */
	char expect[64];	/* http(s): statuses, "200-399"; other types: "" */
	us_t interval, timeout; /* 1s, 500ms */
	int fall, rise;		/* 3, 2 */
	enum conf_on_failure on_failure;
	int line;
};

enum conf_policy { POLICY_ACTIVE_BACKUP, POLICY_BALANCED, POLICY_DYNAMIC, POLICY_COUNT };
extern const char *const conf_policy_names[POLICY_COUNT];
enum conf_upstream_type { UPSTREAM_NGINX, UPSTREAM_HAPROXY };

struct conf_server {
	int node;		/* index */
	char address[128];	/* nginx: as written in the file ("10.77.0.1:8001") */
	char server[64];	/* haproxy: server name in the backend */
	int weight;		/* 1..256 */
};

struct conf_upstream {
	char name[NAME_MAX_LEN];
	enum conf_upstream_type type;
	char file[CONF_PATH];	/* nginx */
	char socket[CONF_PATH]; /* haproxy */
	enum conf_policy policy;
	int probe;		/* index into probes; -1 none: always healthy */
	struct conf_server servers[CONF_MAX_SERVERS];
	int n_servers;
	char test[CONF_PATH], reload[CONF_PATH]; /* "nginx -t", "nginx -s reload" */
	us_t debounce;		/* 1s: health changes are gathered for so long; role changes are not delayed */
	us_t interval;		/* dynamic: 60s */
};

struct conf_rule {
	char name[NAME_MAX_LEN], when[128], level[16], run[CONF_PATH];
	us_t hold;		/* `for` */
};

struct conf {
	char file[CONF_PATH];
	char cluster[NAME_MAX_LEN];
	struct conf_node node[NODES];

	int heartbeat_port;	/* 7979 */
	us_t heartbeat_interval;/* 100ms */
	char key_file[CONF_PATH];
	uint8_t key[32];	/* content of key_file */
	char link[CONF_MAX_LINKS][NODES][64]; /* further paths */
	int n_links;

	us_t lease;		/* 1s; 200ms..60s */
	enum conf_enforce enforce;
	us_t flap_window;	/* 0s: off */
	bool gate_databases;	/* authority.gate_databases: gate the database ports of the node's own address too */
	enum conf_authority authority;
	struct {
		char endpoint[CONF_MAX_ENDPOINTS][256];
		int n_endpoints;
		char prefix[CONF_PATH];
		us_t timeout;	/* 300ms */
		char user[64], password[256];
		char ca_file[CONF_PATH], cert_file[CONF_PATH], cert_key_file[CONF_PATH];
	} arbiter;
	char reference[CONF_MAX_REFERENCES][64];
	int n_references;
	struct {
		char command[CONF_PATH];
		us_t timeout;	/* 20s */
		us_t delay;	/* 0: for the node that is not `prefer` */
	} fence;

	struct conf_vip vip[CONF_MAX_VIPS];
	int n_vips;
	struct conf_probe probe[CONF_MAX_PROBES];
	int n_probes;
	struct conf_upstream upstream[CONF_MAX_UPSTREAMS];
	int n_upstreams;
	struct conf_rule rule[CONF_MAX_RULES];
	int n_rules;
	struct {
		char on_primary[CONF_PATH], on_standby[CONF_PATH], on_event[CONF_PATH], webhook[256];
		us_t timeout;	/* 10s */
	} hooks;
	char http_listen[128];	/* "" = no page */

	uint64_t digest;	/* of every value both nodes must agree on (secrets by their digest); goes into heartbeats */
	uint32_t section[SECTION_COUNT]; /* the same of each section (enum conf_section), never 0: to name what differs */
};

/* One mistake: "FILE:LINE: what is wrong and what to write instead". */
typedef void conf_mistake_fn(void *arg, const char *file, int line, const char *sentence);

/* Reads and checks the whole file; calls fn for every mistake in the order of lines. Returns a configuration, or NULL
 * when there was at least one mistake. */
struct conf *conf_load(const char *path, conf_mistake_fn *fn, void *arg);
void conf_free(struct conf *c);

/* The node this host is: by name (-n), else host name, else an address on this host. NOBODY with e when none fits. */
int conf_self(const struct conf *c, const char *name, struct err *e);
int conf_node_by_name(const struct conf *c, const char *name); /* NOBODY when unknown */
int conf_preferred(const struct conf *c);		      /* the node marked prefer; NOBODY when none is */
const char *conf_vip_interface(const struct conf *c, int node, int vip);

/* What the configuration is safe against and what not, and how long things take, one sentence each. promise: core_promise_us(c->lease),
 * alone: core_alone_us, which this room does not know. Returns how many lines. */
enum { CONF_SAFETY_LINES = 12 };
struct conf_safety {
	const char *topic; /* "authority", "safe against", "not against", "enforcement", "times", … */
	char text[512];
};
size_t conf_safety(const struct conf *c, us_t promise, us_t alone, struct conf_safety out[CONF_SAFETY_LINES]);

/* hactl keygen: 32 random bytes as 64 hex digits and a newline, mode 0600, O_EXCL. */
int conf_keygen(const char *path, struct err *e);

#endif
