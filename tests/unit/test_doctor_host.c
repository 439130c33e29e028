/* The judgments of `hactl doctor` on Redis, files and the host, and what is said of them. */
#include "tests/unit/doctor_docs.h"

/* --- Redis ------------------------------------------------------------------------------------------------------------------------- */

static const char redis_doc[] =
	"{'info': {'role': 'master', 'redis_version': '7.0.15', 'connected_slaves': '1', 'config_file': "
	"'/etc/redis.conf',"
	" 'slave0': 'ip=10.77.0.2,port=6379,state=online,offset=1,lag=0'}, 'sentinel': false, 'denied': [],"
	" 'config': {'appendonly': 'yes', 'save': '', 'repl-timeout': '10', 'min-replicas-to-write': '0', "
	"'min-replicas-max-lag': '10',"
	" 'replica-read-only': 'yes', 'masterauth': 'set'}}";
static const char redis_files[] =
	"{'seen': true, 'where': '/etc/redis.conf', 'options': {'replicaof': {'value': '10.77.0.2 6379'}}}";
#define REPLICA "'role': 'slave', 'master_host': '10.77.0.2', 'master_port': '6379', 'master_link_status': 'up'"

static const struct row redis_rows[] = {
	{ false, "{'denied': [{'command': 'failover', 'error': 'NOPERM x'}, {'command': 'wait', 'error': 'NOPERM'}]}",
		"{}", NULL, false, "commands", SEV_WRONG, "failover, wait (NOPERM x)",
		"ACL SETUSER hactl +failover +wait" },
	{ false, "{'info': {'redis_version': '6.0.16'}}", "{}", NULL, false, "version", SEV_WRONG, "6.0.16", "6.2" },
	{ false, "{'info': {'redis_version': 'x'}}", "{}", NULL, false, "version", SEV_NOTE, "not known", "" },
	{ false, "{'sentinel': true}", "{}", NULL, false, "Sentinel", SEV_WRONG, "Sentinel", "SENTINEL REMOVE" },
	{ false, "{'info': {" REPLICA "}}", "{}", NULL, false, "replication", SEV_OK, "follows", "" },
	{ false, "{'info': {" REPLICA ", 'master_link_status': 'down'}}", "{}", NULL, false, "replication", SEV_WRONG,
		"down", "masterauth" },
	{ false, "{'info': {" REPLICA ", 'master_host': '10.1.1.1'}}", "{}", NULL, false, "replication", SEV_WRONG,
		"10.1.1.1", "REPLICAOF 10.77.0.2 6379" },
	{ false, "{'config': {'replica-read-only': 'no'}}", "{}", NULL, false, "replica is read-only", SEV_WRONG, "no",
		"CONFIG SET" },
	{ false, "{}", "{'options': {'replicaof': null}}", NULL, false, "role after a restart", SEV_WRONG,
		"/etc/redis.conf", "replicaof 10.77.0.2 6379" },
	{ false, "{}", "{'options': {'replicaof': {'value': 'no one'}}}", NULL, false, "role after a restart",
		SEV_WRONG, "second master", "replicaof" },
	{ false, "{}", "{'options': {'replicaof': null, 'slaveof': {'value': '10.77.0.2 6379'}}}", NULL, false,
		"role after a restart", SEV_OK, "replicaof", "" },
	{ false, "{}", "{'seen': false, 'why': 'a container'}", NULL, false, "role after a restart", SEV_NOTE,
		"a container", "replicaof" },
	{ false, "{'config': {'appendonly': 'no'}}", "{'options': {'replicaof': null}}", NULL, false,
		"data after a restart", SEV_WRONG, "comes back empty", "appendonly yes", "role after a restart" },
	{ false, "{'config': {'appendonly': 'no'}}", "{'seen': false, 'why': 'a container'}", NULL, false,
		"data after a restart", SEV_NOTE, "not known", "appendonly yes" },
	{ false, "{'config': {'appendonly': 'no'}}", "{}", NULL, false, "data after a restart", SEV_OK,
		"boots as a replica", "" },
	{ false, "{'config': {'appendonly': 'no', 'save': '3600 1'}}", "{}", NULL, false, "data after a restart",
		SEV_OK, "survive", "" },
	{ false, "{'config': {'appendonly': 'no'}}", NULL, NULL, true, "data after a restart", SEV_UNSEEN, "own node",
		"" },
	{ false, "{'config': {'repl-timeout': '60'}}", "{}", NULL, false, "repl-timeout", SEV_NOTE, "60 s",
		"CONFIG SET" },
	{ false, "{'config': {'repl-timeout': ''}}", "{}", NULL, false, "repl-timeout", SEV_NOTE, "0 s", "CONFIG SET" },
	{ false, "{'config': {'min-replicas-to-write': '2'}}", "{}", NULL, false, "min-replicas", SEV_WRONG, "is 2",
		"CONFIG SET" },
	{ false, "{'config': {'min-replicas-to-write': '1'}}", "{}", NULL, false, "min-replicas", SEV_NOTE,
		"stops the master", "CONFIG SET" },
	{ false, "{'config': {'min-replicas-to-write': '1'}, 'info': {'connected_slaves': '0'}}", "{}", NULL, false,
		"min-replicas", SEV_WRONG, "refuses every write", "CONFIG SET" },
	{ false, "{'info': {'slave0': 'ip=172.17.0.1,port=6379,state=online'}}", "{}", NULL, false, "announced address",
		SEV_WRONG, "172.17.0.1:6379", "replica-announce-ip 10.77.0.2" },
	{ false, "{'info': {'slave0': 'ip=10.77.0.2,port=16379,state=online'}}", "{}", NULL, false, "announced address",
		SEV_WRONG, "16379", "replica-announce-port 6379" },
	{ false, "{'info': {'slave0': 'garbage'}}", "{}", NULL, false, "announced address", SEV_WRONG, "NAT",
		"replica-announce-ip" },
	{ false, "{'config': {'masterauth': ''}}", "{}", NULL, false, "replication password", SEV_NOTE, "+psync",
		"masterauth" },
};

static void judge_redis(const struct row *w, struct report *r)
{
	json_t *doc = changed(redis_doc, w->doc), *files = w->files ? changed(redis_files, w->files) : NULL;
	struct redis_exam_view x = { .node = "n1",
		.account = "hactl",
		.password = true,
		.peer_host = "10.77.0.2",
		.peer_port = 6379,
		.local = !w->remote,
		.doc = doc,
		.files = files };
	doctor_redis(&x, r);
	json_decref(doc);
	json_decref(files);
}

static void test_redis(void **state)
{
	struct report clean = { 0 };
	(void)state;
	judge_redis(&(struct row){ .doc = "{}", .files = "{}" }, &clean);
	for (size_t i = 0; i < clean.n; i++)
		if (clean.list[i].v.severity != SEV_OK)
			fail_msg("%s: %s", clean.list[i].title, clean.list[i].v.what);
	report_free(&clean);
	for (size_t i = 0; i < ARRAY_LEN(redis_rows); i++) {
		const struct row *w = &redis_rows[i];
		struct report r = { 0 };
		judge_redis(w, &r);
		const struct finding *f = find(&r, w->title);
		if (f->v.severity != w->severity || !strstr(f->v.what, w->words) || !strstr(f->v.fix, w->fix))
			fail_msg("row %zu, %s: %s \"%s\" fix \"%s\"", i, w->title, severity_names[f->v.severity],
				f->v.what, f->v.fix);
		for (size_t k = 0; k < r.n; k++)
			if (&r.list[k] != f && r.list[k].v.severity == SEV_WRONG && !str_eq(r.list[k].title, w->also))
				fail_msg("row %zu, %s: %s speaks too", i, w->title, r.list[k].title);
		report_free(&r);
	}
}

static void test_both_redis(void **state)
{
	static const struct {
		const char *a, *b;
		enum severity severity;
		const char *words;
	} pairs[] = {
		{ "{}", "{'info': {" REPLICA "}}", SEV_OK, "n1 is the master" },
		{ "{'info': {" REPLICA "}}", "{}", SEV_OK, "n2 is the master" },
		{ "{}", "{}", SEV_WRONG, "both are masters" },
		{ "{'info': {" REPLICA "}}", "{'info': {" REPLICA "}}", SEV_WRONG, "no master" },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
		struct report r = { 0 };
		json_t *a = changed(redis_doc, pairs[i].a), *b = changed(redis_doc, pairs[i].b);
		struct redis_exam_view x[NODES] = { { .node = "n1", .doc = a }, { .node = "n2", .doc = b } };
		doctor_redis_pair(x, &r);
		const struct finding *f = find(&r, "roles");
		assert_int_equal(f->v.severity, pairs[i].severity);
		assert_non_null(strstr(f->v.what, pairs[i].words));
		report_free(&r);
		x[1].doc = NULL;
		doctor_redis_pair(x, &r);
		assert_int_equal(r.n, 0); /* one that does not answer has no role */
		json_decref(a);
		json_decref(b);
	}
}

/* --- files --------------------------------------------------------------------------------------------------------------------------- */

static void on_include(void *arg, const char *path, bool folder)
{
	size_t len = strlen(arg);
	snprintf((char *)arg + len, 200 - len, "%s%s ", folder ? "dir:" : "", path);
}

static const char *option(const json_t *options, const char *name)
{
	const json_t *o = json_object_get(options, name);
	return o ? doc_text(o, "value") : NULL;
}

static void test_option_files(void **state)
{
	static const char text[] = "read_only=OFF\n" /* in no group */
				   "[client]\nread-only = 0\n"
				   "[mysqld]\n# comment\n; comment\nRead-Only = ON # "
				   "why\nskip-slave-start\nloose-init-rpl-role=\"SLAVE\"\n"
				   "!include /etc/more.cnf\n!includedir /etc/mysql/conf.d/\n = nonsense\n[broken\nx=1\n"
				   "[mariadb-10.11]\nserver_id=7\n[mariadb-10.6]\nserver_id=8\n[mysqld_safe]\nserver_"
				   "id=9\n[mariadbd]\nlast=1";
	char seen[200] = "";
	json_t *o = json_object();
	(void)state;
	options_parse(text, "/etc/my.cnf", true, 101119, o, on_include, seen);
	assert_string_equal(option(o, "read_only"), "ON");
	assert_string_equal(option(o, "skip_slave_start"), "");
	assert_string_equal(option(o, "init_rpl_role"), "SLAVE");
	assert_string_equal(option(o, "server_id"), "7");
	assert_string_equal(option(o, "last"), "1");
	assert_string_equal(seen, "/etc/more.cnf dir:/etc/mysql/conf.d/ ");
	json_object_clear(o);
	options_parse(text, "/etc/my.cnf", false, 90704, o, NULL, NULL);
	assert_string_equal(option(o, "read_only"), "ON");
	assert_null(option(o, "server_id")); /* MariaDB's groups are not MySQL's */
	json_object_clear(o);
	options_parse("", "x", false, 90704, o, NULL, NULL);
	assert_int_equal(json_object_size(o), 0);
	json_decref(o);
	assert_true(option_on("") && option_on("1") && option_on("on") && option_on("True"));
	assert_false(option_on("0") || option_on("OFF") || option_on("maybe"));
}

static void test_redis_files(void **state)
{
	char seen[200] = "";
	json_t *o = json_object();
	(void)state;
	directives_parse("# replicaof a 1\n\n  ReplicaOf 10.0.0.1\t6379\nsave \"\"\ninclude /etc/more.conf\nappendonly",
		"f", o, on_include, seen);
	assert_string_equal(option(o, "replicaof"), "10.0.0.1\t6379");
	assert_string_equal(option(o, "save"), "");
	assert_string_equal(option(o, "appendonly"), "");
	assert_string_equal(seen, "/etc/more.conf ");
	json_decref(o);
}

/* --- host ----------------------------------------------------------------------------------------------------------------------------- */

static void test_managers(void **state)
{
	static const struct {
		const char *networkd, *manager;
		enum severity severity;
		const char *words;
	} cases[] = {
		{ "", "", SEV_OK, "nothing" },
		{ "ADMIN_STATE=unmanaged\n", "", SEV_OK, "nothing" },
		{ "ADMIN_STATE=configured\nNETWORK_FILE=/x\n", "", SEV_NOTE, "systemd-networkd" },
		{ "ADMIN_STATE=configured\n[Network]\nKeepConfiguration=static\n", "", SEV_OK, "nothing" },
		{ "ADMIN_STATE=configured\n[Network]\nKeepConfiguration=dhcp\n", "", SEV_NOTE, "systemd-networkd" },
		{ "", "[device]\nmanaged=true\n", SEV_NOTE, "NetworkManager" },
		{ "", "[device]\nmanaged=unmanaged\n", SEV_OK, "nothing" },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct verdict v = { 0 };
		judge_manager(cases[i].networkd, cases[i].manager, "eth0", &v);
		assert_int_equal(v.severity, cases[i].severity);
		assert_non_null(strstr(v.what, cases[i].words));
		assert_int_equal(*v.fix != 0, cases[i].severity == SEV_NOTE);
	}
}

static void test_capabilities(void **state)
{
	uint64_t all = ~(uint64_t)0;
	static const struct {
		int bit;
		enum severity severity;
		const char *name;
	} cases[] = { { CAP_NET_ADMIN, SEV_WRONG, "CAP_NET_ADMIN" }, { CAP_NET_RAW, SEV_WRONG, "CAP_NET_RAW" },
		{ CAP_SYS_NICE, SEV_NOTE, "CAP_SYS_NICE" }, { CAP_KILL, SEV_NOTE, "CAP_KILL" },
		{ CAP_IPC_LOCK, SEV_NOTE, "CAP_IPC_LOCK" } };
	struct verdict v = { 0 };
	(void)state;
	judge_capabilities(all, "it", &v);
	assert_int_equal(v.severity, SEV_OK);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		v = (struct verdict){ 0 };
		judge_capabilities(all & ~((uint64_t)1 << cases[i].bit), "it", &v);
		assert_int_equal(v.severity, cases[i].severity);
		assert_non_null(strstr(v.what, cases[i].name));
		assert_non_null(strstr(v.fix, cases[i].name + 4));
	}
}

static void test_peer_by_status(void **state)
{
	static const struct {
		const char *status;
		enum severity severity;
	} cases[] = {
		{ "{'peer': {'name': 'n2', 'state': 'alive', 'role': 'standby'}}", SEV_OK },
		{ "{'peer': {'name': 'n2', 'state': 'silent'}}", SEV_WRONG },
		{ "{'peer': {'name': 'n2', 'state': 'unknown'}}", SEV_WRONG },
		{ "{}", SEV_WRONG },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct verdict v = { 0 };
		json_t *s = json_of(cases[i].status);
		judge_status_peer(s, &v);
		assert_int_equal(v.severity, cases[i].severity);
		json_decref(s);
	}
}

/* --- what is said ----------------------------------------------------------------------------------------------------------------------- */

static void test_report(void **state)
{
	struct report r = { 0 };
	char text[1000] = "";
	(void)state;
	say_ok(report_add(&r, "mysql on n1", "a"), "well");
	struct verdict *v = report_add(&r, "mysql on n1", "b");
	say_wrong(v, "bad %d", 1);
	say_fix(v, "one;\ntwo;");
	say_note(report_add(&r, "host n1", "c"), "odd \xff");
	FILE *to = fmemopen(text, sizeof(text), "w");
	report_print(&r, to);
	fclose(to);
	assert_string_equal(text, "\nmysql on n1\n  ok     a: well\n  wrong  b: bad 1\n         fix: one;\n            "
				  "  two;\n\nhost n1\n"
				  "  note   c: odd \xff\n");
	json_t *list = report_json(&r);
	assert_int_equal(json_array_size(list), 2);
	assert_string_equal(doc_text(json_array_get(list, 0), "severity"), "wrong");
	assert_string_equal(doc_text(json_array_get(list, 0), "fix"), "one;\ntwo;");
	assert_string_equal(doc_text(json_array_get(list, 1), "what"), "odd \\xff");
	json_decref(list);
	assert_true(report_wrong(&r));
	report_free(&r);
}

static void test_grants(void **state)
{
	char text[2000] = "";
	FILE *to = fmemopen(text, sizeof(text), "w");
	(void)state;
	grants_print_sql(&(struct grants_wish){ .events = true }, "hactl", "repl", to);
	grants_print_redis("hactl", to);
	fclose(to);
	assert_non_null(strstr(text, "CREATE USER IF NOT EXISTS 'hactl'@'%' IDENTIFIED BY '...';\n"));
	assert_non_null(strstr(text,
		"GRANT REPLICATION CLIENT, REPLICATION_SLAVE_ADMIN, SYSTEM_VARIABLES_ADMIN, CONNECTION_ADMIN, RELOAD, "
		"PROCESS ON *.* TO 'hactl'@'%';\nGRANT SELECT ON performance_schema.* TO 'hactl'@'%';\n"));
	assert_non_null(strstr(text, "GRANT REPLICATION SLAVE ON *.* TO 'repl'@'%';\n"));
	assert_non_null(strstr(text, "ACL SETUSER hactl on >... -@all +info "));
	static const char *const one[] = { "SELECT ON performance_schema" };
	auto_free char *schema_only = grants_statement(one, 1, "h");
	assert_string_equal(schema_only, "GRANT SELECT ON performance_schema.* TO 'h'@'%';");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_redis),
		cmocka_unit_test(test_both_redis),
		cmocka_unit_test(test_option_files),
		cmocka_unit_test(test_redis_files),
		cmocka_unit_test(test_managers),
		cmocka_unit_test(test_capabilities),
		cmocka_unit_test(test_peer_by_status),
		cmocka_unit_test(test_report),
		cmocka_unit_test(test_grants),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
