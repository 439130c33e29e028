/* The status document against golden files, its exit status, and the three ways it is shown. */
#include "hactl/control/control.h"

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define NOW (1000 * US_PER_SEC)

struct pair {
	struct conf conf;
	struct core_view core;
	struct wire_session wire;
	struct path_view path[2];
	struct db_facts mysql[NODES], redis[NODES];
	struct probe_spec spec[2];
	struct probe_state probe[2];
	const struct probe_state *probes[2];
	struct upstream_state upstream;
	const struct upstream_state *upstreams[1];
	bool held[1];
	char blockers[2][SENTENCE_MAX];
	struct status_view view;
};

static void conf_fill(struct conf *c)
{
	STR_COPY(c->cluster, "hifate");
	for (int i = 0; i < NODES; i++) {
		snprintf(c->node[i].name, sizeof(c->node[i].name), "n%d", i + 1);
		c->node[i].mysql.present = c->node[i].redis.present = true;
	}
	c->lease = US_PER_SEC;
	c->authority = AUTHORITY_ARBITER;
	c->n_vips = 1;
	c->vip[0] =
		(struct conf_vip){ .address = "10.77.0.100", .family = AF_INET, .prefix_len = 24, .interface = "eth0" };
	c->n_upstreams = 1;
	struct conf_upstream *u = &c->upstream[0];
	STR_COPY(u->name, "web_app_backend");
	u->n_servers = 2;
	STR_COPY(u->servers[0].address, "10.77.0.1:8001");
	STR_COPY(u->servers[1].address, "10.77.0.2:8001");
}

static void point(struct pair *p)
{
	for (size_t i = 0; i < 2; i++) {
		p->spec[i] = (struct probe_spec){ .name = "web-app", .node = (int)i, .kind = PK_HTTP };
		p->probe[i].spec = &p->spec[i];
		p->probes[i] = &p->probe[i];
	}
	p->upstream.conf = &p->conf.upstream[0];
	p->upstreams[0] = &p->upstream;
	p->view = (struct status_view){
		.conf = &p->conf,
		.core = &p->core,
		.blockers = p->blockers,
		.wire = &p->wire,
		.paths = p->path,
		.n_paths = 1,
		.mysql = { &p->mysql[0], &p->mysql[1] },
		.redis = { &p->redis[0], &p->redis[1] },
		.vip_held = p->held,
		.probes = p->probes,
		.n_probes = 2,
		.upstreams = p->upstreams,
		.n_upstreams = 1,
		.arbiter_trouble = "",
		.keepalived = "",
		.now = NOW,
	};
}

static void databases_fill(struct pair *p)
{
	p->mysql[0] = (struct db_facts){ .life = DB_UP,
		.version = "10.11.6-MariaDB",
		.writable = true,
		.executed = "0-1-42",
		.lag = US_UNKNOWN,
		.silence = US_UNKNOWN,
		.unapplied = -1,
		.semi_source_on = true,
		.semi_clients = 1,
		.replicas = 1 };
	p->mysql[1] = (struct db_facts){ .life = DB_UP,
		.version = "10.11.6-MariaDB",
		.replica = true,
		.executed = "0-1-42",
		.io_running = true,
		.sql_running = true };
	p->redis[0] = (struct db_facts){ .life = DB_UP, .version = "7.0.15", .offset = 123, .replicas = 1 };
	p->redis[1] = (struct db_facts){
		.life = DB_UP, .version = "7.0.15", .replica = true, .offset = 120, .link_up = true
	};
}

static struct pair *healthy(void)
{
	struct pair *p = xcalloc(1, sizeof(*p));
	conf_fill(&p->conf);
	point(p);
	databases_fill(p);
	p->core = (struct core_view){ .role = ROLE_PRIMARY,
		.term = 7,
		.primary = 0,
		.held = true,
		.remaining_us = 870 * US_PER_MS,
		.from = FROM_PEER,
		.arbiter = ARB_UP,
		.peer = PEER_ALIVE,
		.peer_silent_us = 40 * US_PER_MS,
		.peer_role = ROLE_STANDBY,
		.peer_ready = true,
		.in_sync = true,
		.failover_ready = true };
	struct core_change *g = &p->core.change;
	*g = (struct core_change){ .kind = "failover",
		.from = 1,
		.to = 0,
		.ok = true,
		.started_at = NOW - 60 * US_PER_SEC,
		.total_us = 1234 * US_PER_MS,
		.reason = "n2 was silent",
		.n_steps = 1 };
	g->steps[0].step = STEP_MYSQL_PROMOTE;
	g->steps[0].took_us = 4120;
	p->path[0] = (struct path_view){
		.local = "10.77.0.1", .remote = "10.77.0.2", .loss = 0, .rtt_us = 200, .silent_us = 40 * US_PER_MS
	};
	p->wire.count[WIRE_OK] = 99;
	for (size_t i = 0; i < 2; i++) {
		p->probe[i].state = PS_UP;
		p->probe[i].health = 4;
		p->probe[i].changed_at = NOW - 5 * US_PER_SEC;
		p->probe[i].checked_at = NOW;
		p->probe[i].last = (struct probe_result){ .ok = true, .took_us = 1234, .detail = "200" };
	}
	p->upstream.applied = true;
	p->upstream.healthy[0] = p->upstream.healthy[1] = true;
	p->upstream.now[0].weight = 2;
	p->upstream.now[1] = (struct server_want){ .weight = 1, .backup = true };
	p->held[0] = true;
	p->view.would_lose = "nothing";
	return p;
}

/* A supervisor's first second: nothing observed, nobody heard. */
static struct pair *unknown(void)
{
	struct pair *p = xcalloc(1, sizeof(*p));
	conf_fill(&p->conf);
	point(p);
	p->core = (struct core_view){
		.role = ROLE_STARTING, .primary = NOBODY, .arbiter = ARB_DOWN, .peer_silent_us = US_UNKNOWN
	};
	p->core.change.from = p->core.change.to = NOBODY;
	p->path[0] = (struct path_view){
		.local = "10.77.0.1", .remote = "10.77.0.2", .loss = -1, .rtt_us = US_UNKNOWN, .silent_us = US_UNKNOWN
	};
	for (int i = 0; i < NODES; i++)
		p->mysql[i] = (struct db_facts){ .lag = US_UNKNOWN, .silence = US_UNKNOWN, .unapplied = -1 };
	p->upstream.now[0].weight = p->upstream.now[1].weight = 1;
	p->view.mysql_behind = p->view.mysql_unreceived = -1;
	p->view.n_blockers = 2;
	STR_COPY(p->blockers[0], "nothing has been heard of n2 since this supervisor started");
	STR_COPY(p->blockers[1], "the arbiter does not answer");
	return p;
}

/* The clock's own words: their form is checked here, then they go. */
static void drop_at(json_t *o)
{
	const char *at = json_string_value(json_object_get(o, "at"));
	assert_non_null(at);
	assert_int_equal(strlen(at), strlen("2026-11-21T03:04:05.678Z"));
	json_object_del(o, "at");
}

static void compare(struct pair *p, const char *name)
{
	auto_free char *path = str_printf("%.*s.%s.json", (int)(strlen(__FILE__) - 2), __FILE__, name);
	json_error_t why;
	json_t *got = status_json(&p->view), *want = json_load_file(path, 0, &why);
	assert_non_null(got);
	drop_at(got);
	if (json_is_object(json_object_get(got, "last_change")))
		drop_at(json_object_get(got, "last_change"));
	if (!want || !json_equal(got, want)) {
		json_dumpf(got, stderr,
			JSON_INDENT(1) | JSON_REAL_PRECISION(9)); /* cmocka's messages are too short for it */
		fail_msg("%s differs (%s) from the document above", path, want ? "content" : why.text);
	}
	json_decref(got);
	json_decref(want);
	free(p);
}

static void test_healthy(void **state)
{
	(void)state;
	compare(healthy(), "healthy");
}

static void test_unknown_is_null(void **state)
{
	(void)state;
	compare(unknown(), "unknown");
}

/* Each row breaks one thing of the healthy pair. */
static void break_nothing(struct pair *p)
{
	(void)p;
}
static void break_paused(struct pair *p)
{
	p->core.paused = true;
}
static void break_peer_paused(struct pair *p)
{
	p->core.peer_paused = true;
}
static void break_arbiter(struct pair *p)
{
	p->core.arbiter = ARB_DOWN;
}
static void break_ready(struct pair *p)
{
	p->core.failover_ready = false;
}
static void break_sync(struct pair *p)
{
	p->core.in_sync = false;
}
static void break_peer(struct pair *p)
{
	p->core.peer = PEER_SILENT;
}
static void break_path(struct pair *p)
{
	p->path[1] = (struct path_view){ .local = "192.168.9.1",
		.remote = "192.168.9.2",
		.silent = true,
		.loss = 100,
		.rtt_us = 150,
		.silent_us = 1 };
	p->view.n_paths = 2;
}
static void break_two_primaries(struct pair *p)
{
	p->core.peer_role = ROLE_PRIMARY;
}
static void break_authority(struct pair *p)
{
	p->core.held = false;
}
static void break_mysql(struct pair *p)
{
	p->mysql[1].life = DB_DEAD;
}
static void break_mysql_unreachable(struct pair *p)
{
	p->mysql[1].life = DB_UNREACHABLE;
}
static void break_replication(struct pair *p)
{
	STR_COPY(p->mysql[1].error, "1062 duplicate entry");
}
static void break_redis(struct pair *p)
{
	p->redis[0].life = DB_HUNG;
}
static void break_probe(struct pair *p)
{
	p->probe[1].state = PS_DOWN;
}
static void break_probe_unknown(struct pair *p)
{
	p->probe[1].state = PS_UNKNOWN;
}
static void break_upstream(struct pair *p)
{
	p->upstream.applied = false;
}
static void break_vip(struct pair *p)
{
	p->held[0] = false;
}
static void break_conf(struct pair *p)
{
	p->view.config_differs = true;
}
static void break_role(struct pair *p)
{
	p->core.role = ROLE_QUARANTINED;
}

static void test_exit(void **state)
{
	static const struct {
		const char *what;
		void (*fn)(struct pair *);
		int exit;
	} rows[] = {
		{ "all well", break_nothing, 0 },
		{ "paused", break_paused, 1 },
		{ "peer paused", break_peer_paused, 1 },
		{ "arbiter away", break_arbiter, 1 },
		{ "not ready", break_ready, 1 },
		{ "out of sync", break_sync, 1 },
		{ "peer silent", break_peer, 1 },
		{ "a heartbeat path silent", break_path, 1 },
		{ "two primaries", break_two_primaries, 1 },
		{ "no authority", break_authority, 1 },
		{ "mysql dead", break_mysql, 1 },
		{ "mysql unreachable", break_mysql_unreachable, 1 },
		{ "replication error", break_replication, 1 },
		{ "redis hung", break_redis, 1 },
		{ "a probe down", break_probe, 1 },
		{ "a probe without verdict", break_probe_unknown, 1 },
		{ "upstream not applied", break_upstream, 1 },
		{ "address missing", break_vip, 1 },
		{ "configuration differs", break_conf, 1 },
		{ "quarantined", break_role, 1 },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct pair *p = healthy();
		rows[i].fn(p);
		json_t *s = status_json(&p->view);
		if (status_exit(s) != rows[i].exit)
			fail_msg("%s: exit status %d", rows[i].what, status_exit(s));
		json_decref(s);
		free(p);
	}
	json_t *empty = json_object(); /* another version's document */
	assert_int_equal(status_exit(empty), 1);
	json_decref(empty);
}

/* Both paused is one trouble, said once. */
static void test_paused_once(void **state)
{
	(void)state;
	char troubles[STATUS_MAX_TROUBLES][SENTENCE_MAX];
	struct pair *p = healthy();
	p->core.paused = p->core.peer_paused = true;
	json_t *s = status_json(&p->view);
	assert_int_equal(status_troubles(s, troubles, STATUS_MAX_TROUBLES), 1);
	json_decref(s);
	p->core.failover_ready = false;
	p->view.n_blockers = 1;
	STR_COPY(p->blockers[0], "paused: disk");
	s = status_json(&p->view);
	assert_int_equal(status_troubles(s, troubles, STATUS_MAX_TROUBLES), 1);
	assert_string_equal(troubles[0], "paused: disk");
	json_decref(s);
	free(p);
}

/* With semi-sync off the record says nothing, and its absence is no trouble. */
static void test_no_record(void **state)
{
	(void)state;
	struct pair *p = healthy();
	p->core.in_sync = false;
	p->conf.node[1].mysql.semi_sync = SEMI_SYNC_OFF;
	json_t *s = status_json(&p->view);
	assert_true(json_is_null(json_object_get(json_object_get(json_object_get(s, "mysql"), "peer"), "in_sync")));
	assert_int_equal(status_exit(s), 0);
	json_decref(s);
	free(p);
}

/* What an answer of long ago said is not shown as if it were true now. */
static void test_stale_facts(void **state)
{
	(void)state;
	struct pair *p = healthy();
	p->mysql[1].life = DB_HUNG;
	p->mysql[1].lag = 0;
	json_t *s = status_json(&p->view), *peer = json_object_get(json_object_get(s, "mysql"), "peer");
	assert_true(json_is_false(json_object_get(peer, "up")));
	assert_true(json_is_null(json_object_get(peer, "lag_ms")));
	assert_true(json_is_null(json_object_get(peer, "unapplied")));
	assert_true(json_is_null(json_object_get(peer, "behind")));
	assert_true(json_is_null(json_object_get(peer, "writable")));
	json_decref(s);

	/* how far behind is known only against a primary that answers */
	p->mysql[1].life = DB_UP;
	p->mysql[0].life = DB_DEAD;
	s = status_json(&p->view);
	peer = json_object_get(json_object_get(s, "mysql"), "peer");
	assert_true(json_is_integer(json_object_get(peer, "lag_ms")));
	assert_true(json_is_null(json_object_get(peer, "behind")));
	json_decref(s);
	free(p);
}

static void assert_has(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("\"%s\" is not in:\n%s", part, text);
}

static void test_text(void **state)
{
	(void)state;
	struct pair *p = unknown();
	STR_COPY(p->probe[0].last.detail, "evil\033[2J");
	p->probe[0].checked_at = NOW;
	json_t *s = status_json(&p->view);
	auto_free char *plain = status_text(s, false), *painted = status_text(s, true);
	for (size_t i = 0; i < p->view.n_blockers; i++) {
		assert_has(plain, p->blockers[i]);
		assert_has(painted, p->blockers[i]);
	}
	assert_has(plain,
		"hifate: nobody is known to be primary; a failover would NOT happen now: nothing has been heard");
	assert_has(plain, "NOT ready; would lose: unknown");
	assert_null(strchr(plain, '\033'));
	assert_has(painted, "\033[31m");
	assert_null(strstr(painted, "\033[2J"));
	json_decref(s);
	free(p);
}

static void test_text_healthy(void **state)
{
	(void)state;
	struct pair *p = healthy();
	json_t *s = status_json(&p->view);
	auto_free char *text = status_text(s, false);
	assert_has(text, "hifate: n1 is primary; all is well, n2 would take over at once and lose nothing.\n");
	assert_has(text, "held for another 870 ms, by peer");
	assert_has(text, "n2  alive, standby, heard 40 ms ago, round trip 0.2 ms");
	assert_has(text, "lag 0 ms, unreceived 0, unapplied 0, silent 0 ms, behind 0 transactions, in sync");
	assert_has(text, "failover from n2 to n1, 60.0 s ago");
	assert_has(text, "mysql promote");
	json_decref(s);

	/* a document from nowhere renders, too */
	json_t *empty = json_object();
	auto_free char *nothing = status_text(empty, true), *page = status_page(empty),
		       *metrics = status_metrics(empty);
	assert_has(nothing, "unknown");
	assert_has(page, "</html>");
	assert_has(metrics, "hactl_role{role=\"primary\"} 0\n");
	json_decref(empty);
	free(p);
}

static void test_metrics(void **state)
{
	static const char *const lines[] = { "hactl_role{role=\"primary\"} 1\n", "hactl_role{role=\"standby\"} 0\n",
		"hactl_term 7\n", "hactl_authority_held 1\n", "hactl_failover_ready 1\n", "hactl_peer_alive 1\n",
		"hactl_arbiter_up 1\n", "hactl_vip_held{address=\"10.77.0.100/24\"} 1\n",
		"hactl_probe_up{name=\"web-app\",node=\"n2\",type=\"http\"} 1\n",
		"hactl_probe_latency_seconds{name=\"web-app\",node=\"n1\",type=\"http\"} 0.001230\n",
		"hactl_mysql_unapplied{node=\"n2\"} 0\n", "hactl_redis_behind_bytes{node=\"n2\"} 3\n",
		"hactl_upstream_weight{upstream=\"web_app_backend\",server=\"10.77.0.1:8001\"} 2\n",
		"hactl_packets_total{verdict=\"" };
	(void)state;
	struct pair *p = healthy();
	STR_COPY(p->spec[0].name, "web-app");
	json_t *s = status_json(&p->view);
	auto_free char *text = status_metrics(s);
	for (size_t i = 0; i < ARRAY_LEN(lines); i++)
		assert_has(text, lines[i]);
	json_decref(s);
	free(p);

	p = unknown();
	STR_COPY(p->conf.vip[0].address, "a\"b\\c\nd");
	s = status_json(&p->view);
	auto_free char *none = status_metrics(s);
	assert_null(strstr(none, "hactl_mysql_unapplied{")); /* unknown is absent, not 0 */
	assert_null(strstr(none, "hactl_probe_up{"));
	assert_null(strstr(none, "hactl_peer_rtt_seconds "));
	assert_has(none, "hactl_vip_held{address=\"a\\\"b\\\\c\\nd/24\"} 0\n");
	json_decref(s);
	free(p);
}

static void test_page(void **state)
{
	(void)state;
	struct pair *p = healthy();
	STR_COPY(p->probe[0].last.detail, "<script>&'\"");
	json_t *s = status_json(&p->view);
	auto_free char *html = status_page(s);
	assert_has(html, "&lt;script&gt;&amp;&#39;&quot;");
	assert_null(strstr(html, "<script>"));
	assert_has(html, "n1 is primary; <span class=\"up\">all is well");
	json_decref(s);
	free(p);
}

/* Servers say what they like in what they like. */
static void test_not_utf8(void **state)
{
	(void)state;
	struct pair *p = healthy();
	STR_COPY(p->mysql[1].error, "Duplikat \xfc\xff");
	json_t *s = status_json(&p->view);
	auto_free char *text = json_dumps(s, 0);
	assert_non_null(text);
	assert_has(text, "Duplikat \\\\xfc\\\\xff");
	json_decref(s);
	free(p);
}

static void has(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("lacks \"%s\":\n%s", part, text);
}

/* A silent path is named everywhere, and its old round trip is not taken for the pair's. */
static void test_paths(void **state)
{
	static const struct {
		char *(*print)(const json_t *);
		const char *parts[3];
	} rows[] = {
		{ status_metrics,
			{ "hactl_path_alive{local=\"192.168.9.1\",remote=\"192.168.9.2\"} 0\n",
				"hactl_path_loss_ratio{local=\"192.168.9.1\",remote=\"192.168.9.2\"} 1\n",
				"hactl_path_rtt_seconds{local=\"10.77.0.1\",remote=\"10.77.0.2\"} 0.0002\n" } },
	};
	struct pair *p = healthy();

	(void)state;
	break_path(p);
	json_t *s = status_json(&p->view);
	auto_free char *text = status_text(s, false);
	has(text, "path 192.168.9.1 - 192.168.9.2  silent, loss 100 %, round trip 0.1");
	has(text, "path 10.77.0.1 - 10.77.0.2  alive, loss 0 %, round trip 0.2 ms");
	has(text, "heartbeat path 192.168.9.1 - 192.168.9.2 is silent");
	assert_true(json_number_value(json_object_get(json_object_get(s, "peer"), "rtt_ms")) == 0.2);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		auto_free char *out = rows[i].print(s);
		for (size_t k = 0; k < ARRAY_LEN(rows[i].parts); k++)
			has(out, rows[i].parts[k]);
	}
	json_decref(s);
	p->core.peer = PEER_SILENT; /* one cause, one sentence */
	s = status_json(&p->view);
	auto_free char *silent = status_text(s, false);
	assert_null(strstr(silent, "hangs on what is left"));
	json_decref(s);
	free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_healthy),
		cmocka_unit_test(test_unknown_is_null),
		cmocka_unit_test(test_exit),
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_paused_once),
		cmocka_unit_test(test_no_record),
		cmocka_unit_test(test_stale_facts),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_text_healthy),
		cmocka_unit_test(test_metrics),
		cmocka_unit_test(test_page),
		cmocka_unit_test(test_not_utf8),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
