/* The judgments of `hactl doctor`: documents in, findings out. Each row starts from a server in order and changes one thing. */
#include "tests/unit/doctor_docs.h"

/* --- documents in order ---------------------------------------------------------------------------------------------------- */

static const char maria_doc[] =
	"{'name': 'MariaDB', 'mariadb': true, 'number': 101119, 'trouble': {}, 'replica': [], 'roles': [],"
	" 'variables': {'log_bin': 'ON', 'gtid_strict_mode': 'ON', 'log_slave_updates': 'ON', 'binlog_format': 'ROW',"
	" 'server_id': '1', 'read_only': 'OFF', 'sync_binlog': '1', 'innodb_flush_log_at_trx_commit': '3',"
	" 'slave_net_timeout': '5', 'event_scheduler': 'ON', 'replicate_do_db': '', 'rpl_semi_sync_master_enabled': "
	"'OFF',"
	" 'rpl_semi_sync_slave_enabled': 'ON', 'rpl_semi_sync_master_wait_point': 'AFTER_SYNC'},"
	" 'privileges': ['SLAVE MONITOR', 'BINLOG MONITOR', 'REPLICATION SLAVE ADMIN', 'REPLICATION MASTER ADMIN', "
	"'READ_ONLY ADMIN',"
	" 'CONNECTION ADMIN', 'BINLOG ADMIN', 'RELOAD', 'PROCESS']}";

static const char mysql_doc[] =
	"{'name': 'MySQL 8.4', 'mariadb': false, 'number': 90704, 'trouble': {}, 'replica': [], 'roles': [], "
	"'filters': [],"
	" 'persisted': [], 'connection': [],"
	" 'variables': {'log_bin': 'ON', 'gtid_mode': 'ON', 'enforce_gtid_consistency': 'ON', 'log_replica_updates': "
	"'ON',"
	" 'binlog_format': 'ROW', 'server_id': '2', 'server_uuid': 'u', 'read_only': 'OFF', 'super_read_only': 'OFF',"
	" 'skip_replica_start': 'ON', 'sync_binlog': '1', 'innodb_flush_log_at_trx_commit': '1', "
	"'replica_net_timeout': '5',"
	" 'event_scheduler': 'ON', 'rpl_semi_sync_source_enabled': 'OFF', 'rpl_semi_sync_replica_enabled': 'ON',"
	" 'rpl_semi_sync_source_wait_point': 'AFTER_SYNC'},"
	" 'privileges': ['REPLICATION CLIENT', 'REPLICATION_SLAVE_ADMIN', 'SYSTEM_VARIABLES_ADMIN', "
	"'CONNECTION_ADMIN', 'RELOAD',"
	" 'PROCESS', 'SELECT ON performance_schema']}";

static const char maria_files[] =
	"{'seen': true, 'where': '/etc/my.cnf', 'options': {'read_only': {'value': 'ON', 'path': '/etc/my.cnf'},"
	" 'skip_slave_start': {'value': '', 'path': '/etc/my.cnf'}, 'init_rpl_role': {'value': 'SLAVE', 'path': "
	"'/etc/my.cnf'}}}";
static const char mysql_files[] =
	"{'seen': true, 'where': '/etc/my.cnf', 'options': {'super_read_only': {'value': '1', 'path': '/etc/my.cnf'},"
	" 'skip_replica_start': {'value': 'ON', 'path': '/etc/my.cnf'}}}";
static const char admin_doc[] = "{'trouble': {}, 'events': [], 'privileged': [{'account': \"'root'@'localhost'\"}, "
				"{'account': \"'hactl'@'%'\"}]}";

#define CHANNEL                                                                                                        \
	"'Master_Host': '10.77.0.2', 'Master_Port': '3306', 'Using_Gtid': 'Auto', 'Slave_IO_Running': 'Yes', "         \
	"'Slave_SQL_Running': 'Yes', 'SQL_Delay': '0', 'Connect_Retry': '1', 'Slave_heartbeat_period': '1.0'"
#define FOLLOWS                                                                                                        \
	"{'replica': [{" CHANNEL                                                                                       \
	"}], 'connection': [{'Connect_Retry': '1', 'Retry_Count': '86400', 'Slave_heartbeat_period': '1'}]}"

/* "variables" as an object becomes the rows that a server sends: value or [value, origin]; privileges likewise. */
static void expand(json_t *doc)
{
	json_t *rows = json_array(), *v, *privileges = json_array();
	const char *name;
	size_t i;
	json_object_foreach(json_object_get(doc, "variables"), name, v)
	{
		const char *origin = json_is_array(v) ? json_string_value(json_array_get(v, 1)) : "SQL";
		const char *text = json_string_value(json_is_array(v) ? json_array_get(v, 0) : v);
		if (text)
			json_array_append_new(
				rows, json_pack("{s:s, s:s, s:s}", "name", name, "value", text, "origin", origin));
	}
	json_object_set_new(doc, "variables", rows);
	json_array_foreach(json_object_get(doc, "privileges"), i, v)
	{
		json_array_append_new(privileges, json_pack("{s:O}", "privilege", v));
	}
	json_object_set_new(doc, "privileges", privileges);
}

/* --- a server ------------------------------------------------------------------------------------------------------------------ */

static const struct row rows[] = {
	{ true, "{'variables': {'log_bin': 'OFF'}}", "{}", "{}", false, "binary log", SEV_WRONG, "off", "log_bin" },
	{ true, "{'variables': {'gtid_strict_mode': 'OFF'}}", "{}", "{}", false, "GTID", SEV_NOTE, "gtid_strict_mode",
		"SET GLOBAL" },
	{ false, "{'variables': {'gtid_mode': 'OFF'}}", "{}", "{}", false, "GTID", SEV_WRONG, "gtid_mode is OFF",
		"ON_PERMISSIVE" },
	{ false, "{'variables': {'enforce_gtid_consistency': 'WARN'}}", "{}", "{}", false, "GTID", SEV_WRONG, "WARN",
		"SET GLOBAL" },
	{ true, "{'variables': {'log_slave_updates': 'OFF'}}", "{}", "{}", false, "replicated writes logged", SEV_WRONG,
		"own binary log", "log_slave_updates" },
	{ false, "{'variables': {'log_replica_updates': 'OFF'}}", "{}", "{}", false, "replicated writes logged",
		SEV_WRONG, "own binary log", "log_replica_updates" },
	{ true, "{'variables': {'binlog_format': 'MIXED'}}", "{}", "{}", false, "row format", SEV_WRONG, "MIXED",
		"ROW" },
	{ false, "{'variables': {'binlog_format': null}}", "{}", "{}", false, "row format", SEV_OK, "ROW", "" },
	{ true, "{'variables': {'server_id': '0'}}", "{}", "{}", false, "server id", SEV_WRONG, "0", "server_id" },
	{ true, "{'variables': {'sync_binlog': '0'}}", "{}", "{}", false, "sync_binlog", SEV_WRONG, "0",
		"SET GLOBAL sync_binlog = 1;" },
	{ true, "{'variables': {'innodb_flush_log_at_trx_commit': '2'}}", "{}", "{}", false, "InnoDB log flushed",
		SEV_WRONG, "2", "SET GLOBAL" },
	{ true, "{'variables': {'innodb_flush_log_at_trx_commit': '1'}}", "{}", "{}", false, "InnoDB log flushed",
		SEV_WRONG, "may be taken back", "innodb_flush_log_at_trx_commit = 3;" },
	{ false, "{'variables': {'innodb_flush_log_at_trx_commit': '3'}}", "{}", "{}", false, "InnoDB log flushed",
		SEV_WRONG, "3", "innodb_flush_log_at_trx_commit = 1;" },
	/* the file, memory, and what is persisted */
	{ true, "{'variables': {'read_only': 'ON'}}", "{'options': {'read_only': null}}", "{}", false,
		"read-only after a restart", SEV_WRONG, "/etc/my.cnf", "read_only = ON" },
	{ true, "{}", "{'options': {'read_only': {'value': 'OFF', 'path': 'x'}}}", "{}", false,
		"read-only after a restart", SEV_WRONG, "x", "read_only = ON" },
	{ true, "{}", "{'options': {'skip_slave_start': null}}", "{}", false, "replication after a restart", SEV_WRONG,
		"/etc/my.cnf", "skip_slave_start" },
	{ true, "{}", "{'options': {'init_rpl_role': {'value': 'MASTER', 'path': 'x'}}}", "{}", false,
		"recovery after a crash", SEV_WRONG, "init_rpl_role", "SLAVE" },
	{ false, "{}", "{'options': {'super_read_only': null}}", "{}", false, "read-only after a restart", SEV_WRONG,
		"writable beside", "SET PERSIST_ONLY super_read_only = ON;" },
	{ false, "{'persisted': [{'name': 'super_read_only', 'value': 'ON'}]}",
		"{'options': {'super_read_only': null}}", "{}", false, "read-only after a restart", SEV_OK,
		"mysqld-auto.cnf", "" },
	{ false, "{'persisted': [{'name': 'super_read_only', 'value': 'OFF'}]}", "{}", "{}", false,
		"read-only after a restart", SEV_WRONG, "mysqld-auto.cnf", "SET PERSIST_ONLY" },
	{ false, "{}", "{'seen': false, 'why': 'a container', 'options': null}", "{}", false,
		"read-only after a restart", SEV_NOTE, "a container", "SET PERSIST_ONLY",
		"replication after a restart" },
	{ false, "{'variables': {'super_read_only': ['ON', 'EXPLICIT']}}", NULL, "{}", true,
		"read-only after a restart", SEV_OK, "as it says", "" },
	{ false, "{'variables': {'super_read_only': ['OFF', 'COMPILED']}}", NULL, "{}", true,
		"read-only after a restart", SEV_WRONG, "as it says", "SET PERSIST_ONLY" },
	{ false, "{'variables': {'super_read_only': ['OFF', 'EXPLICIT']}}", NULL, "{}", true,
		"read-only after a restart", SEV_UNSEEN, "own node", "" },
	{ true, "{'variables': {'read_only': ['ON', 'SQL']}}", NULL, "{}", true, "read-only after a restart",
		SEV_UNSEEN, "own node", "" },
	/* semi-sync */
	{ false, "{'variables': {'rpl_semi_sync_source_enabled': null}}", "{}", "{}", false, "semi-sync plugins",
		SEV_WRONG, "source side", "INSTALL PLUGIN" },
	{ false, "{'variables': {'rpl_semi_sync_replica_enabled': null}}", "{}", "{}", false, "semi-sync plugins",
		SEV_WRONG, "replica side", "INSTALL PLUGIN" },
	{ true, "{'variables': {'rpl_semi_sync_master_wait_point': 'AFTER_COMMIT'}}", "{}", "{}", false,
		"semi-sync wait point", SEV_WRONG, "AFTER_COMMIT", "rpl_semi_sync_master_wait_point" },
	{ false,
		"{'replica': [{" CHANNEL "}], 'connection': [{'Connect_Retry': '1', 'Retry_Count': '86400', "
		"'Slave_heartbeat_period': '1'}], 'variables': {'rpl_semi_sync_source_enabled': 'ON'}}",
		"{}", "{}", false, "semi-sync source side", SEV_WRONG, "stalls", "rpl_semi_sync_source_enabled = OFF" },
	/* replication */
	{ true, FOLLOWS, "{}", "{}", false, "replication", SEV_OK, "follows 10.77.0.2", "" },
	{ false, FOLLOWS, "{}", "{}", false, "replication", SEV_OK, "follows 10.77.0.2", "" },
	{ true, "{'replica': [{" CHANNEL ", 'Master_Host': '10.1.1.1'}]}", "{}", "{}", false, "replication", SEV_WRONG,
		"10.1.1.1", "MASTER_HOST = '10.77.0.2'" },
	{ true, "{'replica': [{" CHANNEL ", 'Master_Port': '3307'}]}", "{}", "{}", false, "replication", SEV_WRONG,
		"3307", "CHANGE MASTER" },
	{ true, "{'replica': [{" CHANNEL ", 'Using_Gtid': 'No'}]}", "{}", "{}", false, "replication", SEV_WRONG,
		"by file", "MASTER_USE_GTID" },
	{ true, "{'replica': [{" CHANNEL ", 'Slave_SQL_Running': 'No', 'Last_SQL_Error': 'duplicate key'}]}", "{}",
		"{}", false, "replication", SEV_WRONG, "duplicate key", "START SLAVE" },
	{ true, "{'replica': [{" CHANNEL ", 'Slave_IO_Running': 'Connecting', 'Last_IO_Error': 'denied'}]}", "{}", "{}",
		false, "replication", SEV_WRONG, "denied", "START SLAVE" },
	{ true, "{'replica': [{" CHANNEL "}, {" CHANNEL "}]}", "{}", "{}", false, "replication", SEV_WRONG,
		"2 replication sources", "RESET" },
	{ true, "{'replica': [{" CHANNEL ", 'SQL_Delay': '3600'}]}", "{}", "{}", false, "delay", SEV_WRONG, "3600 s",
		"MASTER_DELAY = 0" },
	{ true, "{'replica': [{" CHANNEL ", 'Connect_Retry': '60'}]}", "{}", "{}", false, "reconnecting", SEV_WRONG,
		"60 s", "MASTER_CONNECT_RETRY" },
	{ false,
		"{'replica': [{" CHANNEL
		"}], 'connection': [{'Connect_Retry': '1', 'Retry_Count': '10', 'Slave_heartbeat_period': '1'}]}",
		"{}", "{}", false, "reconnecting", SEV_WRONG, "10 times only", "SOURCE_RETRY_COUNT" },
	{ false,
		"{'replica': [{" CHANNEL
		"}], 'connection': [{'Connect_Retry': '1', 'Retry_Count': '86400', 'Slave_heartbeat_period': '30'}]}",
		"{}", "{}", false, "replication heartbeat", SEV_WRONG, "30 s", "SOURCE_HEARTBEAT_PERIOD = 1" },
	{ true, "{'replica': [{" CHANNEL ", 'Slave_heartbeat_period': '0'}]}", "{}", "{}", false,
		"replication heartbeat", SEV_WRONG, "0 s", "MASTER_HEARTBEAT_PERIOD" },
	{ true, "{'replica': [{" CHANNEL "}], 'variables': {'slave_net_timeout': '60'}}", "{}", "{}", false,
		"net timeout", SEV_WRONG, "60 s", "slave_net_timeout = 5" },
	{ true, "{'variables': {'slave_net_timeout': '60'}}", "{}", "{}", false, "net timeout", SEV_OK, "nobody", "" },
	{ true, "{'variables': {'replicate_do_db': 'lab'}}", "{}", "{}", false, "filters", SEV_WRONG,
		"replicate_do_db lab", "filter" },
	{ false, "{'filters': [{'name': 'REPLICATE_DO_DB', 'value': 'lab'}]}", "{}", "{}", false, "filters", SEV_WRONG,
		"lab", "filter" },
	{ true, "{'log': [{'Binlog_Do_DB': '', 'Binlog_Ignore_DB': 'scratch'}]}", "{}", "{}", false, "filters",
		SEV_WRONG, "written in scratch", "rebuild" },
	{ false, "{'log': [{'Binlog_Do_DB': 'shop', 'Binlog_Ignore_DB': ''}]}", "{}", "{}", false, "filters", SEV_WRONG,
		"outside of shop", "rebuild" },
	{ false, "{'log': [{'Binlog_Do_DB': '', 'Binlog_Ignore_DB': ''}]}", "{}", "{}", false, "filters", SEV_OK,
		"none", "" },
	{ false, "{'filters': [{'name': 'REPLICATE_DO_DB', 'value': ''}]}", "{}", "{}", false, "filters", SEV_OK,
		"none", "" },
	/* accounts */
	{ true,
		"{'privileges': ['SLAVE MONITOR', 'BINLOG MONITOR', 'REPLICATION SLAVE ADMIN', 'REPLICATION MASTER "
		"ADMIN', 'CONNECTION ADMIN',"
		" 'BINLOG ADMIN', 'PROCESS']}",
		"{}", "{}", false, "privileges", SEV_WRONG, "READ_ONLY ADMIN, RELOAD",
		"GRANT READ_ONLY ADMIN, RELOAD ON *.* TO 'hactl'@'%';" },
	{ false,
		"{'privileges': ['REPLICATION CLIENT', 'REPLICATION_SLAVE_ADMIN', 'SYSTEM_VARIABLES_ADMIN', "
		"'CONNECTION_ADMIN', 'RELOAD',"
		" 'PROCESS']}",
		"{}", "{}", false, "privileges", SEV_WRONG, "performance_schema",
		"GRANT SELECT ON performance_schema.* TO 'hactl'@'%';" },
	{ false, "{'privileges': [], 'roles': [{'name': 'ha'}]}", "{}", "{}", false, "privileges", SEV_NOTE, "role",
		"GRANT" },
	{ true, "{'trouble': {'privileges': 'SELECT command denied'}}", "{}", "{}", false, "privileges", SEV_WRONG,
		"SELECT command denied", "--grants" },
	{ true, "{'trouble': {'replica': 'you need SLAVE MONITOR'}}", "{}", "{}", false, "replication", SEV_WRONG,
		"SLAVE MONITOR", "--grants" },
	{ false,
		"{'privileges': ['REPLICATION CLIENT', 'REPLICATION_SLAVE_ADMIN', 'SYSTEM_VARIABLES_ADMIN', "
		"'CONNECTION_ADMIN', 'RELOAD',"
		" 'PROCESS', 'SELECT ON performance_schema', 'BACKUP_ADMIN', 'CLONE_ADMIN']}",
		"{}", "{}", false, "privileges", SEV_OK, "no more", "" },
	{ false,
		"{'privileges': ['REPLICATION CLIENT', 'REPLICATION_SLAVE_ADMIN', 'SYSTEM_VARIABLES_ADMIN', "
		"'CONNECTION_ADMIN', 'RELOAD',"
		" 'PROCESS', 'SELECT ON performance_schema', 'BACKUP_ADMIN', 'SUPER']}",
		"{}", "{}", false, "privileges", SEV_NOTE, ": SUPER", "REVOKE SUPER ON *.*" },
	{ .doc = "{'variables': {'clone_valid_donor_list': ''}}",
		.files = "{}",
		.admin = "{}",
		.clone = true,
		.title = "privileges",
		.severity = SEV_WRONG,
		.words = "BACKUP_ADMIN, CLONE_ADMIN",
		.fix = "GRANT BACKUP_ADMIN, CLONE_ADMIN ON *.*" },
	{ .doc = "{}",
		.files = "{}",
		.admin = "{}",
		.clone = true,
		.title = "reseed",
		.severity = SEV_WRONG,
		.words = "plugin",
		.fix = "INSTALL PLUGIN clone",
		.also = "privileges" },
	{ .mariadb = true,
		.doc = "{}",
		.files = "{}",
		.admin = "{}",
		.clone = true,
		.title = "reseed",
		.severity = SEV_WRONG,
		.words = "MariaDB has no CLONE",
		.fix = "reseed-mariadb" },
	/* what the administrator sees */
	{ true, "{}", "{}", "{'events': [{'name': 'a.e', 'definer': 'ghost@%', 'status': 'ENABLED', 'known': '0'}]}",
		false, "events", SEV_WRONG, "ghost@%", "a.e" },
	{ true, FOLLOWS, "{}", "{'events': [{'name': 'a.e', 'definer': 'x@%', 'status': 'ENABLED', 'known': '1'}]}",
		false, "events", SEV_WRONG, "both nodes", "DISABLE ON SLAVE" },
	{ true, FOLLOWS, "{}",
		"{'events': [{'name': 'a.e', 'definer': 'x@%', 'status': 'SLAVESIDE_DISABLED', 'known': '1'}]}", false,
		"events", SEV_OK, "1", "" },
	{ false, "{}", "{}",
		"{'events': [{'name': 'a.e', 'definer': 'x@%', 'status': 'REPLICA_SIDE_DISABLED', 'known': '1'}]}",
		false, "events", SEV_WRONG, "runs nowhere", "sql_log_bin = 0" },
	{ true, "{'variables': {'event_scheduler': 'OFF'}}", "{}",
		"{'events': [{'name': 'a.e', 'definer': 'x@%', 'status': 'ENABLED', 'known': '1'}]}", false, "events",
		SEV_NOTE, "event_scheduler", "event_scheduler = ON" },
	{ true, "{'variables': {'event_scheduler': 'OFF'}}", "{}", "{}", false, "events", SEV_OK, "0", "" },
	{ false, "{}", "{}", NULL, false, "events", SEV_NOTE, "no socket", "information_schema.EVENTS" },
	{ true, "{}", "{}", "{'privileged': [{'account': \"'app'@'%'\"}, {'account': \"'root'@'localhost'\"}]}", false,
		"writers past read_only", SEV_WRONG, "'app'@'%'", "REVOKE" },
	{ false, "{}", "{}", "{'privileged': [{'account': \"'app'@'%'\"}]}", false, "writers past read_only", SEV_OK,
		"super_read_only", "" },
};

static void judge(const struct row *r, struct report *report)
{
	json_t *doc = changed(r->mariadb ? maria_doc : mysql_doc, r->doc);
	json_t *files = r->files ? changed(r->mariadb ? maria_files : mysql_files, r->files) : NULL;
	json_t *admin = r->admin ? changed(admin_doc, r->admin) : NULL;
	expand(doc);
	struct sql_exam x = { .node = "n1",
		.peer_host = "10.77.0.2",
		.peer_port = 3306,
		.account = "hactl",
		.local = !r->remote,
		.semi_sync = true,
		.clone = r->clone,
		.doc = doc,
		.files = files,
		.admin = admin,
		.admin_why = "no socket" };
	doctor_sql(&x, report);
	json_decref(doc);
	json_decref(files);
	json_decref(admin);
}

static void test_a_server_in_order_has_nothing(void **state)
{
	(void)state;
	for (int mariadb = 0; mariadb < 2; mariadb++) {
		struct report r = { 0 };
		judge(&(struct row){ .mariadb = mariadb, .doc = "{}", .files = "{}", .admin = "{}" }, &r);
		assert_true(r.n > 20);
		for (size_t i = 0; i < r.n; i++)
			if (r.list[i].v.severity != SEV_OK)
				fail_msg("%s: %s", r.list[i].title, r.list[i].v.what);
		json_t *list = report_json(&r);
		assert_int_equal(json_array_size(list), 0);
		assert_false(report_wrong(&r));
		json_decref(list);
		report_free(&r);
	}
}

static void test_one_thing_at_a_time(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct row *w = &rows[i];
		struct report r = { 0 };
		judge(w, &r);
		const struct finding *f = find(&r, w->title);
		if (f->v.severity != w->severity || !strstr(f->v.what, w->words) || !strstr(f->v.fix, w->fix))
			fail_msg("row %zu, %s: %s \"%s\" fix \"%s\"", i, w->title, severity_names[f->v.severity],
				f->v.what, f->v.fix);
		for (size_t k = 0; k < r.n; k++) {
			const struct finding *o = &r.list[k];
			assert_true(*o->v.what);
			assert_int_equal(*o->v.fix != 0, o->v.severity >= SEV_NOTE);
			if (o != f && o->v.severity == SEV_WRONG && !str_eq(o->title, w->also))
				fail_msg("row %zu, %s: %s speaks too: %s", i, w->title, o->title, o->v.what);
		}
		assert_int_equal(report_wrong(&r), w->severity == SEV_WRONG);
		report_free(&r);
	}
}

static void pair(const char *a, const char *b, const char *title, enum severity severity, const char *words)
{
	struct report r = { 0 };
	json_t *docs[NODES] = { changed(maria_doc, a), changed(maria_doc, b) };
	struct sql_exam x[NODES] = { { .node = "n1", .doc = docs[0] }, { .node = "n2", .doc = docs[1] } };
	expand(docs[0]);
	expand(docs[1]);
	doctor_sql_pair(x, &r);
	const struct finding *f = find(&r, title);
	if (f->v.severity != severity || !strstr(f->v.what, words))
		fail_msg("%s: %s", title, f->v.what);
	assert_int_equal(*f->v.fix != 0, severity == SEV_WRONG);
	report_free(&r);
	json_decref(docs[0]);
	json_decref(docs[1]);
}

static void test_both_servers(void **state)
{
	static const char standby[] =
		"{'replica': [{" CHANNEL "}], 'variables': {'read_only': 'ON', 'server_id': '2'}}";
	static const char open_replica[] = "{'replica': [{" CHANNEL "}], 'variables': {'server_id': '2'}}";
	static const char shut[] = "{'variables': {'read_only': 'ON'}}";
	(void)state;
	pair("{}", standby, "roles", SEV_OK, "n1 takes writes, n2 replicates");
	pair(standby, "{}", "roles", SEV_OK, "n2 takes writes, n1 replicates");
	pair("{}", standby, "identity", SEV_OK, "1 and 2");
	pair("{}", open_replica, "roles", SEV_WRONG, "both servers accept writes");
	pair(standby, standby, "roles", SEV_WRONG, "each replicates from the other");
	pair("{}", shut, "roles", SEV_WRONG, "neither replicates");
	pair(shut, standby, "roles", SEV_WRONG, "neither accepts writes");
	pair(shut, open_replica, "roles", SEV_WRONG, "n2 is a replica and accepts writes");
	pair(open_replica, shut, "roles", SEV_WRONG, "n1 is a replica and accepts writes");
	pair("{}", "{}", "identity", SEV_WRONG, "both have server_id 1");
	pair("{'mariadb': false}", standby, "identity", SEV_WRONG, "n2 runs MariaDB and n1 MySQL");
	pair("{'mariadb': false, 'variables': {'server_uuid': 'u'}}",
		"{'mariadb': false, 'variables': {'server_uuid': 'u', 'server_id': '2'}}", "identity", SEV_WRONG,
		"server_uuid u");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_server_in_order_has_nothing),
		cmocka_unit_test(test_one_thing_at_a_time),
		cmocka_unit_test(test_both_servers),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
