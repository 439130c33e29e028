/* test_config_good.c - hactl.conf: what is good comes out as written, with the defaults of what is left out. */
#include "tests/unit/test_config.h"
#include "tests/unit/test_config_base.h"

#include <netinet/in.h>

static struct conf *contract(void **state)
{
	const struct place *p = *state;
	auto_free char *text = NULL, *there = NULL, *dir = str_printf("%s/", p->dir);
	struct told t;
	struct conf *c;
	struct err e;

	assert_int_equal(file_read("tests/unit/test_config_contract.conf", 65536, &text, NULL, &e), 0);
	there = replaced(text, "/etc/hactl/", dir);
	c = load_text(p, there, &t);
	print_told(&t);
	assert_int_equal(t.n, 0);
	assert_non_null(c);
	return c;
}

static void contract_probes(const struct conf *c)
{
	const struct conf_probe *web = &c->probe[0], *bazi = &c->probe[1], *nginx = &c->probe[2], *tts = &c->probe[3];

	assert_int_equal(c->n_probes, 4);
	assert_string_equal(web->name, "web-app");
	assert_int_equal(web->type, PROBE_HTTP);
	assert_int_equal(web->port, 8001);
	assert_string_equal(web->path, "/health");
	assert_string_equal(web->expect, "200-399");
	assert_int_equal(web->interval, US_PER_SEC);
	assert_int_equal(web->timeout, 500 * US_PER_MS);
	assert_int_equal(web->fall, 3);
	assert_int_equal(web->rise, 2);
	assert_int_equal(web->on_failure, ON_FAILURE_WEIGHTS);
	assert_int_equal(web->line, 40);
	assert_int_equal(bazi->type, PROBE_GRPC);
	assert_string_equal(bazi->service, "");
	assert_int_equal(nginx->type, PROBE_TCP);
	assert_int_equal(nginx->on_failure, ON_FAILURE_FAILOVER);
	assert_int_equal(tts->type, PROBE_HTTPS);
	assert_string_equal(tts->address, "tts.example.com:443");
	assert_int_equal(tts->port, 0);
}

static void contract_upstreams(const struct conf *c)
{
	const struct conf_upstream *web = &c->upstream[0], *app = &c->upstream[1];

	assert_int_equal(c->n_upstreams, 2);
	assert_string_equal(web->name, "web_app_backend");
	assert_int_equal(web->type, UPSTREAM_NGINX);
	assert_string_equal(web->file, "/etc/nginx/conf.d/HiFate-bazi.conf");
	assert_int_equal(web->policy, POLICY_ACTIVE_BACKUP);
	assert_int_equal(web->probe, 0);
	assert_int_equal(web->n_servers, 2);
	assert_int_equal(web->servers[0].node, 0);
	assert_string_equal(web->servers[0].address, "10.77.0.1:8001");
	assert_int_equal(web->servers[0].weight, 2);
	assert_int_equal(web->servers[1].node, 1);
	assert_int_equal(web->servers[1].weight, 1);
	assert_string_equal(web->test, "nginx -t");
	assert_string_equal(web->reload, "nginx -s reload");
	assert_int_equal(web->debounce, US_PER_SEC);
	assert_int_equal(web->interval, 60 * US_PER_SEC);
	assert_int_equal(app->type, UPSTREAM_HAPROXY);
	assert_int_equal(app->policy, POLICY_BALANCED);
	assert_string_equal(app->socket, "/run/haproxy/admin.sock");
	assert_string_equal(app->servers[1].server, "web2");
	assert_int_equal(app->servers[1].weight, 100);
	assert_string_equal(app->test, "");
}

static void the_contracts_sample(void **state)
{
	struct conf *c = contract(state);

	assert_string_equal(c->cluster, "hifate");
	assert_string_equal(c->node[0].name, "n1");
	assert_string_equal(c->node[1].address, "10.77.0.2");
	assert_true(c->node[0].prefer);
	assert_int_equal(conf_preferred(c), 0);
	assert_int_equal(c->heartbeat_port, 7979);
	assert_int_equal(c->heartbeat_interval, 100 * US_PER_MS);
	assert_int_equal(c->key[0], 0x00);
	assert_int_equal(c->key[15], 0xff);
	assert_int_equal(c->key[31], 0x00);
	assert_int_equal(c->n_links, 0);
	assert_int_equal(c->lease, US_PER_SEC);
	assert_int_equal(c->enforce, ENFORCE_NFT);
	assert_int_equal(c->authority, AUTHORITY_ARBITER);
	assert_int_equal(c->arbiter.n_endpoints, 1);
	assert_string_equal(c->arbiter.endpoint[0], "http://10.77.0.9:2379");
	assert_string_equal(c->arbiter.prefix, "/hactl/hifate");
	assert_int_equal(c->arbiter.timeout, 300 * US_PER_MS);
	assert_int_equal(c->n_vips, 1);
	assert_string_equal(c->vip[0].address, "10.77.0.100");
	assert_int_equal(c->vip[0].family, AF_INET);
	assert_int_equal(c->vip[0].prefix_len, 24);
	assert_false(c->vip[0].subnet);
	assert_string_equal(conf_vip_interface(c, 1, 0), "eth0");
	for (int n = 0; n < NODES; n++) {
		assert_true(c->node[n].mysql.present);
		assert_int_equal(c->node[n].mysql.port, 3306);
		assert_string_equal(c->node[n].mysql.user, "hactl");
		assert_string_equal(c->node[n].mysql.password, "mysql secret");
		assert_string_equal(c->node[n].mysql.replication_password, "repl secret");
		assert_int_equal(c->node[n].mysql.max_lag, 10 * US_PER_SEC);
		assert_int_equal(c->node[n].mysql.max_unreceived, 0); /* no limit */
		assert_int_equal(c->node[n].mysql.semi_sync, SEMI_SYNC_AUTO);
		assert_int_equal(c->node[n].mysql.max_freeze, US_PER_SEC);
		assert_string_equal(c->node[n].redis.password, "redis secret");
	}
	contract_probes(c);
	contract_upstreams(c);
	assert_int_equal(c->n_rules, 1);
	assert_int_equal(c->rule[0].hold, 180 * US_PER_SEC);
	assert_string_equal(c->rule[0].level, "critical");
	assert_string_equal(c->hooks.on_event, "");
	assert_int_equal(c->hooks.timeout, 10 * US_PER_SEC);
	assert_string_equal(c->http_listen, "127.0.0.1:7980");
	conf_free(c);
}

static const char least_text[] =
	"cluster = \"c\";"
	"nodes = ( { name = \"a\"; address = \"fd00:0::1\"; }, { name = \"b\"; address = \"fd00::2\"; } );"
	"heartbeat = { key_file = \"DIR/cluster.key\"; };"
	"authority = { arbiter = { endpoints = [ \"https://[fd00::9]:2379\" ]; }; };"
	"vips = ( { address = \"fd00::100/64\"; interface = \"eth0\"; } );"
	"redis = {};"
	"probes = ( { name = \"r\"; type = \"redis\"; }, { name = \"g\"; type = \"grpc\"; port = 1; } );";

static void defaults(void **state)
{
	struct told t;
	struct conf *c = load_text(*state, least_text, &t);

	print_told(&t);
	assert_non_null(c);
	assert_string_equal(c->node[0].address, "fd00::1"); /* canonical */
	assert_int_equal(conf_preferred(c), NOBODY);
	assert_int_equal(c->heartbeat_port, 7979);
	assert_int_equal(c->heartbeat_interval, 100 * US_PER_MS);
	assert_int_equal(c->lease, US_PER_SEC);
	assert_int_equal(c->enforce, ENFORCE_NFT);
	assert_false(c->gate_databases);
	assert_string_equal(c->arbiter.prefix, "/hactl/c");
	assert_int_equal(c->arbiter.timeout, 300 * US_PER_MS);
	assert_int_equal(c->fence.timeout, 20 * US_PER_SEC);
	assert_int_equal(c->fence.delay, 0);
	assert_int_equal(c->vip[0].family, AF_INET6);
	assert_int_equal(c->vip[0].prefix_len, 64);
	assert_false(c->node[0].mysql.present);
	assert_true(c->node[0].redis.present);
	assert_int_equal(c->node[1].redis.port, 6379);
	assert_int_equal(c->node[1].redis.max_lag, 10 * US_PER_SEC);
	assert_string_equal(c->node[1].redis.password, "");
	assert_int_equal(c->probe[0].port, 0); /* that of the database */
	assert_string_equal(c->probe[1].path, "");
	assert_string_equal(c->http_listen, "");
	assert_int_equal(c->hooks.timeout, 10 * US_PER_SEC);
	conf_free(c);
}

static void each_nodes_own(void **state)
{
	auto_free char *text = replaced(base_text, "prefer = true;",
		"prefer = true; interface = \"ens5\"; mysql = { socket = \"/run/other.sock\"; port = 3307; }; redis = "
		"{ port = 6380; };");
	struct told t;
	struct conf *c = load_text(*state, text, &t);

	print_told(&t);
	assert_non_null(c);
	assert_string_equal(conf_vip_interface(c, 0, 0), "ens5");
	assert_string_equal(conf_vip_interface(c, 1, 0), "eth0");
	assert_int_equal(c->node[0].mysql.port, 3307);
	assert_string_equal(c->node[0].mysql.socket, "/run/other.sock");
	assert_string_equal(c->node[0].mysql.password, "mysql secret");
	assert_int_equal(c->node[1].mysql.port, 3306);
	assert_string_equal(c->node[1].mysql.socket, "");
	assert_int_equal(c->node[0].redis.port, 6380);
	assert_int_equal(c->node[1].redis.port, 6379);
	assert_int_equal(c->n_links, 1);
	assert_string_equal(c->link[0][1], "192.168.9.2");
	conf_free(c);
}

/* Texts that are good: what a reader of the messages would write. */
static void what_the_messages_tell_is_good(void **state)
{
	static const char *const rows[][2] = {
		{ "arbiter = { endpoints = ( \"http://10.77.0.9:2379\" ); timeout = \"300ms\"; };",
			"reference = ( \"10.77.0.254\", \"10.77.0.253\" );" },
		{ "arbiter = { endpoints = ( \"http://10.77.0.9:2379\" ); timeout = \"300ms\"; };",
			"fence = { command = \"/etc/hactl/hooks/fence\"; delay = \"5s\"; };" },
		{ "arbiter = { endpoints = ( \"http://10.77.0.9:2379\" ); timeout = \"300ms\"; };", "manual = true;" },
		{ "lease = \"1s\";", "enforce = \"address\"; gate_databases = true;" },
		{ "lease = \"1s\";", "enforce = \"none\";" },
		{ "( \"http://10.77.0.9:2379\" )",
			"( \"https://etcd.example.com:2379\" ); user = \"u\"; password_file = \"DIR/etcd.pw\"; ca_file "
			"= \"/ca\"; cert_file = \"/c\"; cert_key_file = \"DIR/etcd-key.pem\"" },
		{ "port = 7979", "port = 0x1F2B" },
		{ "interval = \"100ms\"", "interval = \"0.1s\"" },
		{ "port = 8001; }", "port = 8001; expect = \"200-299,401\"; host = \"www.example.com\"; }" },
		{ "type = \"http\"; port = 8001; }", "type = \"exec\"; command = \"test -e /x\"; }" },
		{ "10.77.0.1:8001", "unix:/run/app.sock" },
		{ "10.77.0.1:8001", "backend-1.example.com" },
		{ "cluster = \"hifate\";",
			"cluster = \"hifate\"; // 99999999999 @include\n/* 99999999999 \" @ */ # \" 4294967297\n" },
		{ "when = \"cpu > 85%\"",
			"when = \"a 99999999999 @include \\\" \\\\\"; for = \"3m\"; level = \"info\"" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		auto_free char *text = replaced(base_text, rows[i][0], rows[i][1]);
		struct told t;
		struct conf *c = load_text(*state, text, &t);

		if (!c)
			print_error("row %zu: %s\n", i, rows[i][1]);
		print_told(&t);
		assert_non_null(c);
		conf_free(c);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_contracts_sample),
		cmocka_unit_test(defaults),
		cmocka_unit_test(each_nodes_own),
		cmocka_unit_test(what_the_messages_tell_is_good),
	};

	return cmocka_run_group_tests(tests, place_setup, place_teardown);
}
