/* sql_doctor.c - what `hactl doctor` asks a server: settings with their origin, replication, privileges; and, as the server's own
 * administrator, what hactl's account may not see. Read only. Inside the helper process; the judgment is the caller's.
 *
 * Each part is asked for by itself and its refusal stands under "trouble": a missing privilege must not hide the rest. Sources: MySQL
 * "variables_info", "persisted_variables", "replication_connection_configuration"; MariaDB "information_schema.SYSTEM_VARIABLES".
 * Privileges come from the information schema, not from SHOW GRANTS, which on MariaDB prints the password's hash.
 */
#include "replication/routines.h"

#define VARIABLES                                                                                                      \
	"'log_bin', 'gtid_mode', 'enforce_gtid_consistency', 'gtid_strict_mode', 'log_replica_updates', "              \
	"'log_slave_updates', 'binlog_format', 'server_id', 'server_uuid', 'read_only', 'super_read_only', "           \
	"'skip_replica_start', 'skip_slave_start', 'sync_binlog', 'innodb_flush_log_at_trx_commit', "                  \
	"'replica_net_timeout', 'slave_net_timeout', 'event_scheduler', 'socket', 'port', "                            \
	"'replicate_do_db', 'replicate_ignore_db', 'replicate_do_table', 'replicate_ignore_table', "                   \
	"'replicate_wild_do_table', 'replicate_wild_ignore_table', 'init_rpl_role', "                                  \
	"'clone_valid_donor_list', 'rpl_semi_sync_source_enabled', 'rpl_semi_sync_master_enabled', "                   \
	"'rpl_semi_sync_replica_enabled', "                                                                            \
	"'rpl_semi_sync_slave_enabled', 'rpl_semi_sync_source_wait_point', 'rpl_semi_sync_master_wait_point'"

struct part {
	const char *key;
	const char *mariadb, *mysql; /* NULL: this dialect has no such thing */
};

/* Starts with the server's own start time: two connections that see the same are to the same server. */
#define STARTED(table)                                                                                                 \
	"SELECT FLOOR(UNIX_TIMESTAMP() - VARIABLE_VALUE) AS started, @@server_id AS server_id, @@port AS port, "       \
	"CURRENT_USER() AS account, VERSION() AS version FROM " table " WHERE VARIABLE_NAME = 'Uptime'"
#define PRIVILEGES                                                                                                     \
	"SELECT PRIVILEGE_TYPE AS privilege FROM information_schema.USER_PRIVILEGES WHERE GRANTEE = "                  \
	"CONCAT('''', REPLACE(CURRENT_USER(), '@', '''@'''), '''') UNION ALL SELECT CONCAT(PRIVILEGE_TYPE, ' ON ', "   \
	"TABLE_SCHEMA) FROM information_schema.SCHEMA_PRIVILEGES WHERE GRANTEE = CONCAT('''', "                        \
	"REPLACE(CURRENT_USER(), '@', '''@'''), '''')"

static const struct part settings[] = {
	{ "server", STARTED("information_schema.GLOBAL_STATUS"), STARTED("performance_schema.global_status") },
	{ "variables",
		"SELECT LOWER(VARIABLE_NAME) AS name, GLOBAL_VALUE AS value, GLOBAL_VALUE_ORIGIN AS origin, "
		"GLOBAL_VALUE_PATH AS path FROM information_schema.SYSTEM_VARIABLES WHERE VARIABLE_NAME IN (" VARIABLES
		")",
		"SELECT LOWER(VARIABLE_NAME) AS name, VARIABLE_VALUE AS value, VARIABLE_SOURCE AS origin, "
		"VARIABLE_PATH AS path FROM performance_schema.global_variables LEFT JOIN "
		"performance_schema.variables_info USING (VARIABLE_NAME) "
		"WHERE VARIABLE_NAME IN (" VARIABLES ")" },
	{ "persisted", NULL,
		"SELECT LOWER(VARIABLE_NAME) AS name, VARIABLE_VALUE AS value FROM "
		"performance_schema.persisted_variables" },
	{ "connection", NULL,
		"SELECT CONNECTION_RETRY_INTERVAL AS Connect_Retry, CONNECTION_RETRY_COUNT AS Retry_Count, "
		"HEARTBEAT_INTERVAL AS Slave_heartbeat_period FROM "
		"performance_schema.replication_connection_configuration WHERE CHANNEL_NAME NOT LIKE "
		"'group\\_replication%%'" },
	{ "filters", NULL,
		"SELECT FILTER_NAME AS name, FILTER_RULE AS value FROM performance_schema.replication_applier_filters "
		"UNION ALL "
		"SELECT FILTER_NAME, FILTER_RULE FROM performance_schema.replication_applier_global_filters" },
	{ "privileges", PRIVILEGES, PRIVILEGES },
	{ "roles", "SELECT ROLE_NAME AS name FROM information_schema.APPLICABLE_ROLES",
		"SELECT ROLE_NAME AS name FROM information_schema.APPLICABLE_ROLES" },
};

/* On MySQL super_read_only stops every account, so nobody needs to be named. The collations of the two sides differ. */
static const struct part administrators[] = {
	{ "server", STARTED("information_schema.GLOBAL_STATUS"), STARTED("performance_schema.global_status") },
	{ "events",
		"SELECT CONCAT(EVENT_SCHEMA, '.', EVENT_NAME) AS name, DEFINER AS definer, STATUS AS status, (SELECT "
		"COUNT(*) FROM mysql.user u WHERE CONVERT(CONCAT(u.User, '@', u.Host) USING utf8mb4) COLLATE "
		"utf8mb4_bin = CONVERT(DEFINER USING utf8mb4) COLLATE utf8mb4_bin) AS known FROM "
		"information_schema.EVENTS",
		"SELECT CONCAT(EVENT_SCHEMA, '.', EVENT_NAME) AS name, DEFINER AS definer, STATUS AS status, (SELECT "
		"COUNT(*) FROM mysql.user u WHERE CONVERT(CONCAT(u.User, '@', u.Host) USING utf8mb4) COLLATE "
		"utf8mb4_bin = CONVERT(DEFINER USING utf8mb4) COLLATE utf8mb4_bin) AS known FROM "
		"information_schema.EVENTS" },
	{ "privileged",
		"SELECT DISTINCT GRANTEE AS account FROM information_schema.USER_PRIVILEGES WHERE PRIVILEGE_TYPE IN "
		"('SUPER', 'READ_ONLY ADMIN', 'READ ONLY ADMIN')",
		NULL },
};

static const struct part self[] = { { "privileges", PRIVILEGES, PRIVILEGES } };

static void put_part(struct task *t, json_t *doc, const struct part *p)
{
	const char *stmt = t->dialect->mariadb ? p->mariadb : p->mysql;
	struct err e = { "" };
	json_t *sets = stmt ? sql_fetch(t->db, &e, stmt) : NULL;
	if (sets)
		json_object_set(doc, p->key, json_array_get(sets, 0));
	else if (stmt)
		json_object_set_new(json_object_get(doc, "trouble"), p->key, json_string(e.text));
	json_decref(sets);
}

static void put_replica(struct task *t, json_t *doc)
{
	const struct part replica = { "replica", task_stmt(t, ST_REPLICA), task_stmt(t, ST_REPLICA) },
			  log = { "log", task_stmt(t, ST_LOG_STATUS), task_stmt(t, ST_LOG_STATUS) };
	put_part(t, doc, &replica);
	put_part(t, doc, &log);
}

static int put_all(void *db, const char *args, char *out, size_t cap, const struct part *parts, size_t n, bool channels,
	struct err *e)
{
	auto_task struct task t;
	json_t *doc;
	size_t len;

	if (task_open(&t, db, args, out, cap, e) < 0)
		return -1;
	doc = json_pack("{s:s, s:b, s:i, s:{}}", "name", t.dialect->name, "mariadb", t.dialect->mariadb, "number",
		(int)mysql_get_server_version(db), "trouble");
	for (size_t i = 0; i < n; i++)
		put_part(&t, doc, &parts[i]);
	if (channels)
		put_replica(&t, doc);
	len = json_dumpb(doc, out, cap - 1, JSON_COMPACT);
	json_decref(doc);
	if (len >= cap)
		return err_set(e, "the server's settings are too long to carry");
	out[len] = '\0';
	return 0;
}

int routine_examine(void *db, const char *args, char *out, size_t cap, struct err *e)
{
	return put_all(db, args, out, cap, settings, ARRAY_LEN(settings), true, e);
}

int routine_examine_admin(void *db, const char *args, char *out, size_t cap, struct err *e)
{
	return put_all(db, args, out, cap, administrators, ARRAY_LEN(administrators), false, e);
}

int routine_examine_self(void *db, const char *args, char *out, size_t cap, struct err *e)
{
	return put_all(db, args, out, cap, self, ARRAY_LEN(self), false, e);
}
