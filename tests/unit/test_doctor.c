/* The judgments of `hactl doctor`: documents in, findings out. Each row starts from a server in order and changes one thing. */
#include "hactl/cli/cmd_doctor.h"

#include <linux/capability.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

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

/* JSON with single quotes; double quotes may stand in strings as they are. */
static json_t *json_of(const char *text)
{
	auto_free char *copy = calloc(2, strlen(text) + 1);
	char *to = copy;
	bool quoted = false;
	json_error_t e;
	for (const char *p = text; *p; p++) {
		if (*p == '"')
			quoted = !quoted;
		*to++ = *p == '\'' && !quoted ? '"' : *p;
	}
	json_t *o = json_loads(copy, 0, &e);
	if (!o)
		fail_msg("%s in %s", e.text, copy);
	return o;
}

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

/* A change is merged into the document in order; null takes a variable away. */
static json_t *changed(const char *base, const char *change)
{
	json_t *doc = json_of(base), *delta = json_of(change);
	json_object_update_recursive(doc, delta);
	json_decref(delta);
	return doc;
}

static const struct finding *find(const struct report *r, const char *title)
{
	for (size_t i = 0; i < r->n; i++)
		if (str_eq(r->list[i].title, title))
			return &r->list[i];
	fail_msg("there is no check \"%s\"", title);
	return NULL;
}

/* --- a server ------------------------------------------------------------------------------------------------------------------ */

struct row {
	bool mariadb;
	const char *doc, *files, *admin; /* changes, "{}" none; files and admin NULL: not had */
	bool remote;
	const char *title; /* of the check that speaks; all others stay silent unless also is set */
	enum severity severity;
	const char *words, *fix;
	const char *also; /* another check that speaks of the same thing */
	bool clone;
};

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
		cmocka_unit_test(test_a_server_in_order_has_nothing),
		cmocka_unit_test(test_one_thing_at_a_time),
		cmocka_unit_test(test_both_servers),
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
