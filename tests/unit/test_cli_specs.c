/* From the configuration to what vip, probes and replication take. */
#include "hactl/cli/cli.h"

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static struct conf *pair(void)
{
	struct conf *c = xcalloc(1, sizeof(*c));
	for (int i = 0; i < NODES; i++) {
		struct conf_node *n = &c->node[i];
		snprintf(n->name, sizeof(n->name), "n-%d.x", i + 1);
		snprintf(n->address, sizeof(n->address), "10.77.0.%d", i + 1);
		n->mysql = (struct conf_mysql){ .present = true,
			.port = 3306 + i,
			.user = "hactl",
			.password = "a",
			.replication_user = "repl",
			.tls = i == 1,
			.ca_file = "/ca",
			.max_lag = 5,
			.semi_sync = SEMI_SYNC_AUTO };
		snprintf(n->mysql.replication_password, sizeof(n->mysql.replication_password), "r%d", i + 1);
		n->redis = (struct conf_redis){ .present = true, .port = 6379 + i, .user = "hr", .max_lag = 6 };
		snprintf(n->redis.password, sizeof(n->redis.password), "p%d", i + 1);
	}
	return c;
}

static void test_vips(void **state)
{
	(void)state;
	struct conf *c = pair();
	struct vip_spec v[CONF_MAX_VIPS];
	c->n_vips = 3;
	c->vip[0] =
		(struct conf_vip){ .address = "10.77.0.100", .family = AF_INET, .prefix_len = 24, .interface = "eth0" };
	c->vip[1] = (struct conf_vip){
		.address = "10.77.0.101", .family = AF_INET, .prefix_len = 24, .subnet = true, .interface = "eth1"
	};
	c->vip[2] =
		(struct conf_vip){ .address = "fd00::100", .family = AF_INET6, .prefix_len = 64, .interface = "eth0" };
	STR_COPY(c->node[1].interface, "ens5");
	assert_int_equal(specs_vips(c, 0, v), 3);
	assert_string_equal(v[0].address, "10.77.0.100");
	assert_int_equal(v[0].prefix_len, 32);
	assert_string_equal(v[0].interface, "eth0");
	assert_int_equal(v[1].prefix_len, 24);
	assert_string_equal(v[1].interface, "eth1");
	assert_int_equal(v[2].family, AF_INET6);
	assert_int_equal(v[2].prefix_len, 128);
	assert_int_equal(specs_vips(c, 1, v), 3);
	assert_string_equal(v[0].interface, "ens5");
	free(c);
}

static void test_probes(void **state)
{
	(void)state;
	struct conf *c = pair();
	static struct probe_spec s[SPECS_MAX_PROBES];
	static const struct {
		const char *address, *host;
		int port;
	} fixed[] = { { "tts.example.com:443", "tts.example.com", 443 }, { "[fd00::9]:8443", "fd00::9", 8443 },
		{ "10.0.0.9:80", "10.0.0.9", 80 } };
	c->n_probes = 3;
	c->probe[0] = (struct conf_probe){ .name = "web",
		.type = PROBE_HTTP,
		.port = 8001,
		.path = "/health",
		.fall = 3,
		.rise = 2,
		.interval = US_PER_SEC,
		.timeout = 7,
		.expect = "200",
		.host = "h" };
	c->probe[1] = (struct conf_probe){ .name = "tts", .type = PROBE_HTTPS };
	c->probe[2] = (struct conf_probe){ .name = "db", .type = PROBE_MYSQL };
	for (size_t i = 0; i < ARRAY_LEN(fixed); i++) {
		STR_COPY(c->probe[1].address, fixed[i].address);
		assert_int_equal(specs_probes(c, s), 5);
		assert_int_equal(s[2].node, NOBODY);
		assert_string_equal(s[2].host, fixed[i].host);
		assert_int_equal(s[2].port, fixed[i].port);
	}
	assert_true(s[2].kind == PK_HTTPS && s[2].tls);
	for (int k = 0; k < NODES; k++) {
		assert_int_equal(s[k].node, k);
		assert_string_equal(s[k].host, c->node[k].address);
		assert_int_equal(s[k].port, 8001);
		assert_string_equal(s[k].path, "/health");
		assert_string_equal(s[k].host_header, "h");
		assert_true(s[k].fall == 3 && s[k].rise == 2 && s[k].timeout == 7 && s[k].interval == US_PER_SEC);
		assert_int_equal(s[3 + k].port, c->node[k].mysql.port); /* the database's own */
		assert_string_equal(s[3 + k].user, "hactl");
		assert_int_equal(s[3 + k].tls, k == 1);
	}
	assert_int_equal(specs_probe_index(c, &s[2]), 1);
	assert_int_equal(specs_probe_index(c, &s[4]), 2);
	STR_COPY(s[4].name, "none");
	assert_int_equal(specs_probe_index(c, &s[4]), -1);

	/* as many as fit */
	c->n_probes = CONF_MAX_PROBES;
	assert_int_equal(specs_probes(c, s), SPECS_MAX_PROBES - 1);
	free(c);
}

static void test_db(void **state)
{
	(void)state;
	struct conf *c = pair();
	struct db_target t;
	STR_COPY(c->node[0].mysql.socket, "/run/mysqld.sock");
	specs_db(c, 0, 0, DB_MYSQL, &t);
	assert_string_equal(t.at.socket, "/run/mysqld.sock");
	assert_string_equal(t.at.host, "");
	assert_string_equal(t.label, "mysql on n-1.x");
	/* the source it may follow: the other node, with the account that node grants */
	assert_string_equal(t.peer_host, "10.77.0.2");
	assert_int_equal(t.peer_port, 3307);
	assert_string_equal(t.repl_password, "r2");
	assert_true(t.repl_tls && t.semi_sync);
	assert_int_equal(t.max_lag, 5);

	specs_db(c, 0, 1, DB_MYSQL, &t); /* from the other node never by socket */
	assert_string_equal(t.at.socket, "");
	assert_string_equal(t.at.host, "10.77.0.1");
	specs_db(c, 1, 1, DB_MYSQL, &t); /* no socket configured */
	assert_string_equal(t.at.host, "10.77.0.2");
	assert_int_equal(t.at.port, 3307);
	assert_true(t.at.tls && !t.repl_tls);
	c->node[1].mysql.semi_sync = SEMI_SYNC_OFF;
	specs_db(c, 1, 0, DB_MYSQL, &t);
	assert_false(t.semi_sync);

	specs_db(c, 1, 0, DB_REDIS, &t);
	assert_int_equal(t.kind, DB_REDIS);
	assert_int_equal(t.at.port, 6380);
	assert_string_equal(t.at.password, "p2");
	assert_string_equal(t.peer_password, "p1");
	assert_int_equal(t.peer_port, 6379);
	assert_string_equal(t.label, "redis on n-2.x");
	free(c);
}

static void test_gate_name(void **state)
{
	(void)state;
	struct conf *c = pair();
	char name[NAME_MAX_LEN + 8];
	specs_gate_name(c, 0, name);
	assert_string_equal(name, "hactl_n_1_x");
	STR_COPY(c->node[1].name, "b\xc3\xbc{;}");
	specs_gate_name(c, 1, name);
	assert_string_equal(name, "hactl_b_____");
	free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vips),
		cmocka_unit_test(test_probes),
		cmocka_unit_test(test_db),
		cmocka_unit_test(test_gate_name),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
