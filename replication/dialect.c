/* dialect.c - the one table of what MariaDB 10.11+, MySQL 8.0, 8.4 and 9.x call things.
 *
 * Sources: MariaDB "Replication statements", MySQL 8.0/8.4/9 "SQL statements for controlling replica servers", "Performance Schema
 * replication tables". MySQL's tables are selected under the names of MariaDB's SHOW, so that one reader serves both. UNIX_TIMESTAMP()
 * minus Uptime in one statement is the server's start time exactly: both come from the statement's own start.
 */
#include "replication/dialect.h"

#define MARIADB_COUNTERS                                                                                               \
	"SELECT LOWER(VARIABLE_NAME) AS name, VARIABLE_VALUE AS value FROM information_schema.GLOBAL_VARIABLES "       \
	"WHERE VARIABLE_NAME IN ('RPL_SEMI_SYNC_MASTER_ENABLED', 'RPL_SEMI_SYNC_SLAVE_ENABLED') UNION ALL "            \
	"SELECT LOWER(VARIABLE_NAME), VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS "                           \
	"WHERE VARIABLE_NAME IN ('RPL_SEMI_SYNC_MASTER_CLIENTS', 'RPL_SEMI_SYNC_MASTER_WAIT_SESSIONS', "               \
	"'RPL_SEMI_SYNC_MASTER_YES_TX', 'THREADS_CONNECTED')"

#define MYSQL_COUNTERS                                                                                                 \
	"SELECT LOWER(VARIABLE_NAME) AS name, VARIABLE_VALUE AS value FROM performance_schema.global_variables "       \
	"WHERE VARIABLE_NAME LIKE 'rpl\\_semi\\_sync\\_%%\\_enabled' UNION ALL "                                       \
	"SELECT LOWER(VARIABLE_NAME), VARIABLE_VALUE FROM performance_schema.global_status "                           \
	"WHERE (VARIABLE_NAME LIKE 'rpl\\_semi\\_sync\\_%%' AND VARIABLE_NAME REGEXP "                                 \
	"'_(clients|wait_sessions|yes_tx)$') OR VARIABLE_NAME = 'Threads_connected'"

#define MYSQL_OBSERVE                                                                                                  \
	"SELECT VERSION() AS version, @@global.server_uuid AS origin, @@global.read_only AS read_only, "               \
	"@@global.pid_file AS pid_file, "                                                                              \
	"@@global.gtid_executed AS executed, "                                                                         \
	"@@global.max_connections AS max_connections, @@global.gtid_executed AS applied, @@global.gtid_purged AS "     \
	"purged, "                                                                                                     \
	"(SELECT FLOOR(UNIX_TIMESTAMP() - VARIABLE_VALUE) FROM performance_schema.global_status WHERE VARIABLE_NAME "  \
	"= 'Uptime') "                                                                                                 \
	"AS db_start, (SELECT COUNT(*) FROM performance_schema.processlist WHERE COMMAND LIKE 'Binlog Dump%%') AS "    \
	"replicas; " MYSQL_COUNTERS

#define MYSQL_REPLICA                                                                                                                                 \
	"SELECT c.CHANNEL_NAME AS Connection_name, c.HOST AS Master_Host, c.PORT AS Master_Port, "                                                    \
	"IF(c.AUTO_POSITION = '1', 'Auto', 'No') AS Using_Gtid, c.SSL_ALLOWED AS Master_SSL_Allowed, "                                                \
	"c.SSL_VERIFY_SERVER_CERTIFICATE AS Master_SSL_Verify_Server_Cert, "                                                                          \
	"CASE s.SERVICE_STATE WHEN 'ON' THEN 'Yes' WHEN 'CONNECTING' THEN 'Connecting' ELSE 'No' END AS "                                             \
	"Slave_IO_Running, "                                                                                                                          \
	"IF(a.SERVICE_STATE = 'ON', 'Yes', 'No') AS Slave_SQL_Running, "                                                                              \
	"s.LAST_ERROR_NUMBER AS Last_IO_Errno, s.LAST_ERROR_MESSAGE AS Last_IO_Error, "                                                               \
	"COALESCE(NULLIF(w.number, 0), o.LAST_ERROR_NUMBER, 0) AS Last_SQL_Errno, "                                                                   \
	"COALESCE(NULLIF(w.message, ''), o.LAST_ERROR_MESSAGE, '') AS Last_SQL_Error, d.DESIRED_DELAY AS SQL_Delay, "                                 \
	"IF(s.SERVICE_STATE = 'ON' AND a.SERVICE_STATE = 'ON', COALESCE(w.behind, 0), NULL) AS "                                                      \
	"Seconds_Behind_Master, "                                                                                                                     \
	"COALESCE(w.waits, w.applying, '') AS Slave_SQL_State, " /* FLUSH TABLES WITH READ LOCK is GLOBAL, LOCK INSTANCE FOR BACKUP is BACKUP LOCK */ \
	"(SELECT GROUP_CONCAT(DISTINCT OBJECT_TYPE) FROM performance_schema.metadata_locks WHERE OBJECT_TYPE IN "                                     \
	"('GLOBAL', 'BACKUP LOCK') AND LOCK_TYPE = 'SHARED' AND LOCK_DURATION = 'EXPLICIT' AND LOCK_STATUS = "                                        \
	"'GRANTED') AS backup, "                                                                                                                      \
	"s.RECEIVED_TRANSACTION_SET AS Gtid_IO_Pos, "                                                                                                 \
	"CONCAT(s.COUNT_RECEIVED_HEARTBEATS, '/', s.LAST_HEARTBEAT_TIMESTAMP, '/', s.LAST_QUEUED_TRANSACTION, '/', "                                  \
	"s.QUEUEING_TRANSACTION) AS arrival "                                                                                                         \
	"FROM performance_schema.replication_connection_configuration c "                                                                             \
	"JOIN performance_schema.replication_connection_status s USING (CHANNEL_NAME) "                                                               \
	"JOIN performance_schema.replication_applier_configuration d USING (CHANNEL_NAME) "                                                           \
	"JOIN performance_schema.replication_applier_status a USING (CHANNEL_NAME) "                                                                  \
	"LEFT JOIN performance_schema.replication_applier_status_by_coordinator o USING (CHANNEL_NAME) "                                              \
	"LEFT JOIN (SELECT CHANNEL_NAME, MAX(LAST_ERROR_NUMBER) AS number, MAX(LAST_ERROR_MESSAGE) AS message, "                                      \
	"CEIL(MAX(IF(APPLYING_TRANSACTION = '', NULL, UNIX_TIMESTAMP(NOW(6)) - "                                                                      \
	"UNIX_TIMESTAMP(APPLYING_TRANSACTION_ORIGINAL_COMMIT_TIMESTAMP)))) AS behind, "                                                               \
	"MAX(IF(t.PROCESSLIST_STATE LIKE 'Waiting for %% lock', t.PROCESSLIST_STATE, NULL)) AS waits, "                                               \
	"MAX(IF(APPLYING_TRANSACTION = '', NULL, 'applying')) AS applying "                                                                           \
	"FROM performance_schema.replication_applier_status_by_worker LEFT JOIN performance_schema.threads t "                                        \
	"USING (THREAD_ID) GROUP BY CHANNEL_NAME) w USING (CHANNEL_NAME) "                                                                            \
	"WHERE c.CHANNEL_NAME NOT LIKE 'group\\_replication%%'"

#define OURS "SUBSTRING_INDEX(USER(), '@', 1)"
#define NOT_CLIENTS                                                                                                    \
	"USER NOT IN ('system user', 'event_scheduler', " OURS                                                         \
	") AND COMMAND NOT LIKE 'Binlog Dump%%' AND COMMAND <> 'Daemon' "                                              \
	"AND ID <> CONNECTION_ID()"
#define SESSIONS(table) "SELECT ID AS id, USER AS user FROM " table " WHERE " NOT_CLIENTS
#define PENDING(table)	"SELECT ID AS id FROM " table " WHERE INFO LIKE 'SET /* %s */%%'"
/* long SELECTs do not hold up a freeze; statements that write and waits for a lock do */
#define BUSY(table)                                                                                                    \
	"SELECT ID AS id, USER AS user, TIME AS seconds, LEFT(INFO, 60) AS info FROM " table " WHERE " NOT_CLIENTS     \
	" AND COMMAND IN ('Query', 'Execute') AND TIME >= %d AND INFO NOT REGEXP '^[[:space:]]*(SELECT|SHOW)' ORDER "  \
	"BY TIME DESC LIMIT 3"

/* They do not hold up a freeze; they are rolled back when their sessions end */
#define OPEN(table)                                                                                                    \
	"SELECT p.ID AS id, p.USER AS user, TIMESTAMPDIFF(SECOND, x.trx_started, NOW()) AS seconds FROM "              \
	"information_schema.INNODB_TRX x JOIN " table " p ON p.ID = x.trx_mysql_thread_id WHERE "                      \
	"x.trx_rows_modified > 0 AND p.COMMAND = 'Sleep' AND TIMESTAMPDIFF(SECOND, x.trx_started, NOW()) >= %d "       \
	"ORDER BY seconds DESC"
#define LOCKED                                                                                                         \
	"SELECT DISTINCT t.PROCESSLIST_ID AS id, t.PROCESSLIST_USER AS user FROM performance_schema.metadata_locks l " \
	"JOIN performance_schema.threads t ON t.THREAD_ID = l.OWNER_THREAD_ID WHERE l.OBJECT_TYPE = 'TABLE' AND "      \
	"l.LOCK_TYPE IN ('SHARED_NO_READ_WRITE', 'SHARED_READ_ONLY') AND l.LOCK_DURATION = 'TRANSACTION' AND "         \
	"l.LOCK_STATUS = 'GRANTED' AND t.PROCESSLIST_COMMAND = 'Sleep'"

/* XA PREPARE and XA COMMIT pass super_read_only (seen on 9.7). A prepared one belongs to no session (xa_detach_on_prepare), and what the
 * performance schema says of the session that prepared it is then old */
#define XA                                                                                                             \
	"SELECT COUNT(*) FROM information_schema.INNODB_TRX WHERE trx_state = 'RUNNING' AND trx_rows_modified > 0 "    \
	"AND (trx_mysql_thread_id = 0 OR trx_mysql_thread_id IN (SELECT t.PROCESSLIST_ID FROM "                        \
	"performance_schema.events_transactions_current e JOIN performance_schema.threads t USING (THREAD_ID) "        \
	"WHERE e.STATE = 'ACTIVE' AND e.XA_STATE IN ('ACTIVE', 'IDLE', 'PREPARED')))"

/* definer: what stands before the last @ is the user, whatever it is made of */
#define EVENTS                                                                                                         \
	"SELECT EVENT_SCHEMA AS db, EVENT_NAME AS name, DEFINER AS definer, STATUS AS status, "                        \
	"CHARACTER_SET_CLIENT AS charset, COLLATION_CONNECTION AS collation FROM information_schema.EVENTS"

#define MYSQL_COMMON                                                                                                   \
	[ST_OBSERVE] = MYSQL_OBSERVE, [ST_REPLICA] = MYSQL_REPLICA,                                                    \
	[ST_READ_ONLY] = "SELECT @@global.read_only + @@global.super_read_only",                                       \
	[ST_POSITION] = "SELECT REPLACE(@@global.gtid_executed, '\\n', '')",                                           \
	[ST_EXECUTED] = "SELECT REPLACE(@@global.gtid_executed, '\\n', '')",                                           \
	[ST_ENTERED] = "SELECT REGEXP_REPLACE(REPLACE(@@global.gtid_owned, '\\n', ''), '#[0-9]+', '')", [ST_XA] = XA,  \
	[ST_APPLIED] = "SELECT REPLACE(@@global.gtid_executed, '\\n', '')",                                            \
	[ST_PURGED] = "SELECT REPLACE(@@global.gtid_purged, '\\n', '')",                                               \
	[ST_WAIT] = "SELECT WAIT_FOR_EXECUTED_GTID_SET(%s, %.3f)",                                                     \
	[ST_FREEZE] = "SET /* %s */ GLOBAL super_read_only = ON",                                                      \
	[ST_UNFREEZE] = "SET GLOBAL read_only = OFF" /* clears super_read_only too */, [ST_BEFORE_SOURCE] = "DO 0",    \
	[ST_SESSIONS] = SESSIONS("performance_schema.processlist"),                                                    \
	[ST_PENDING] = PENDING("performance_schema.processlist"), [ST_BUSY] = BUSY("performance_schema.processlist"),  \
	[ST_OPEN] = OPEN("performance_schema.processlist"), [ST_LOCKED] = LOCKED, [ST_EVENTS] = EVENTS,                \
	[ST_PRIVILEGED] = "DO 0" /* super_read_only stops everybody */

static const struct dialect dialects[] = {
	/* newest first within a family: dialect_find takes the first that is not too new */
	{
		.name = "MariaDB",
		.mariadb = true,
		.since = 101100,
		.text =
			{
				[ST_OBSERVE] =
					"SELECT VERSION() AS version, @@global.server_id AS origin, @@global.read_only "
					"AS read_only, @@global.gtid_binlog_state AS executed, @@global.pid_file AS "
					"pid_file, @@global.max_connections AS max_connections, "
					"@@global.gtid_slave_pos AS applied, '' AS purged, (SELECT "
					"FLOOR(UNIX_TIMESTAMP() - VARIABLE_VALUE) FROM "
					"information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME = 'UPTIME') AS db_start, "
					/* not the process list: each look at it makes a table on disk, and 10.11 has been seen to
					 * end by signal 11 when somebody cleaned its tmpdir at that moment */
					"(SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS "
					"WHERE VARIABLE_NAME = 'SLAVES_CONNECTED') AS replicas; " MARIADB_COUNTERS,
				[ST_REPLICA] = "SHOW ALL SLAVES STATUS",
				/* 12 answers with a word */
				[ST_READ_ONLY] = "SELECT IF(@@global.read_only IN ('0', 'OFF'), 0, 2)",
				[ST_POSITION] = "SELECT @@global.gtid_binlog_pos",
				[ST_EXECUTED] = "SELECT @@global.gtid_binlog_state",
				[ST_APPLIED] = "SELECT @@global.gtid_slave_pos",
				[ST_PURGED] = "SELECT ''",
				[ST_WAIT] = "SELECT MASTER_GTID_WAIT(%s, %.3f)",
				[ST_WAIT_FILE] = "SELECT MASTER_POS_WAIT(%s, %s, %d)",
				[ST_START] = "START SLAVE",
				[ST_STOP] = "STOP SLAVE",
				[ST_START_APPLIER] = "START SLAVE SQL_THREAD",
				[ST_STOP_APPLIER] = "STOP SLAVE SQL_THREAD",
				[ST_START_RECEIVER] = "START SLAVE IO_THREAD",
				[ST_STOP_RECEIVER] = "STOP SLAVE IO_THREAD",
				[ST_FORGET] = "RESET SLAVE ALL",
				/* without binary log of its own position (restored backup) gtid_slave_pos is already the right one */
				[ST_BEFORE_SOURCE] =
					"SET GLOBAL gtid_slave_pos = IF(@@global.gtid_binlog_pos = '', "
					"@@global.gtid_slave_pos, @@global.gtid_binlog_pos)",
				[ST_SOURCE] = "CHANGE MASTER TO MASTER_HOST = %s, MASTER_PORT = %d, MASTER_USER = %s, "
					      "MASTER_PASSWORD = %s, MASTER_USE_GTID = slave_pos, MASTER_CONNECT_RETRY "
					      "= 1, MASTER_HEARTBEAT_PERIOD = 1, %s",
				[ST_SOURCE_TLS] = "MASTER_SSL = 1, MASTER_SSL_CA = %s, MASTER_SSL_VERIFY_SERVER_CERT = 1",
				[ST_SOURCE_PLAIN] = "MASTER_SSL = 0",
				[ST_NET_TIMEOUT] = "SET GLOBAL slave_net_timeout = %d",
				[ST_LOG_STATUS] = "SHOW MASTER STATUS",
				[ST_FREEZE] = "SET /* %s */ GLOBAL read_only = 1",
				[ST_UNFREEZE] = "SET GLOBAL read_only = 0",
				[ST_SESSIONS] = SESSIONS("information_schema.PROCESSLIST"),
				[ST_PENDING] = PENDING("information_schema.PROCESSLIST"),
				[ST_BUSY] = BUSY("information_schema.PROCESSLIST"),
				[ST_OPEN] = OPEN("information_schema.PROCESSLIST"),
				[ST_EVENTS] = EVENTS,
				[ST_EVENT_AWAY] = "DISABLE ON SLAVE",
				/* shows only our own account's row unless it may read the grant tables */
				[ST_PRIVILEGED] =
					"SELECT p.ID AS id, p.USER AS user FROM information_schema.PROCESSLIST p JOIN "
					"(SELECT DISTINCT GRANTEE FROM information_schema.USER_PRIVILEGES WHERE "
					"PRIVILEGE_TYPE IN ('SUPER', 'READ_ONLY ADMIN', "
					"'READ ONLY ADMIN')) g ON g.GRANTEE LIKE CONCAT('''', p.USER, '''@%%') WHERE " NOT_CLIENTS,
			},
	},
	{
		.name = "MySQL 8.4",
		.since = 80400,
		.text =
			{
				MYSQL_COMMON,
				[ST_START] = "START REPLICA",
				[ST_STOP] = "STOP REPLICA",
				[ST_START_APPLIER] = "START REPLICA SQL_THREAD",
				[ST_STOP_APPLIER] = "STOP REPLICA SQL_THREAD",
				[ST_START_RECEIVER] = "START REPLICA IO_THREAD",
				[ST_STOP_RECEIVER] = "STOP REPLICA IO_THREAD",
				[ST_FORGET] = "RESET REPLICA ALL",
				[ST_SOURCE] = "CHANGE REPLICATION SOURCE TO SOURCE_HOST = %s, SOURCE_PORT = %d, "
					      "SOURCE_USER = %s, SOURCE_PASSWORD = %s, SOURCE_AUTO_POSITION = 1, "
					      "SOURCE_CONNECT_RETRY = 1, SOURCE_RETRY_COUNT = 86400, "
					      "SOURCE_HEARTBEAT_PERIOD = 1, %s",
				[ST_SOURCE_TLS] = "SOURCE_SSL = 1, SOURCE_SSL_CA = %s, SOURCE_SSL_VERIFY_SERVER_CERT = 1",
				[ST_SOURCE_PLAIN] = "SOURCE_SSL = 0, GET_SOURCE_PUBLIC_KEY = 1",
				[ST_EVENT_AWAY] = "DISABLE ON REPLICA",
				[ST_NET_TIMEOUT] = "SET GLOBAL replica_net_timeout = %d",
				[ST_LOG_STATUS] = "SHOW BINARY LOG STATUS",
			},
	},
	{
		.name = "MySQL 8.0",
		.since = 80022, /* performance_schema.processlist */
		.text =
			{
				MYSQL_COMMON,
				[ST_START] = "START SLAVE",
				[ST_STOP] = "STOP SLAVE",
				[ST_START_APPLIER] = "START SLAVE SQL_THREAD",
				[ST_STOP_APPLIER] = "STOP SLAVE SQL_THREAD",
				[ST_START_RECEIVER] = "START SLAVE IO_THREAD",
				[ST_STOP_RECEIVER] = "STOP SLAVE IO_THREAD",
				[ST_FORGET] = "RESET SLAVE ALL",
				[ST_SOURCE] = "CHANGE MASTER TO MASTER_HOST = %s, MASTER_PORT = %d, MASTER_USER = %s, "
					      "MASTER_PASSWORD = %s, MASTER_AUTO_POSITION = 1, MASTER_CONNECT_RETRY = "
					      "1, MASTER_RETRY_COUNT = 86400, MASTER_HEARTBEAT_PERIOD = 1, %s",
				[ST_SOURCE_TLS] = "MASTER_SSL = 1, MASTER_SSL_CA = %s, MASTER_SSL_VERIFY_SERVER_CERT = 1",
				[ST_SOURCE_PLAIN] = "MASTER_SSL = 0, GET_MASTER_PUBLIC_KEY = 1",
				[ST_EVENT_AWAY] = "DISABLE ON SLAVE",
				[ST_NET_TIMEOUT] = "SET GLOBAL slave_net_timeout = %d",
				[ST_LOG_STATUS] = "SHOW MASTER STATUS",
			},
	},
};

const struct dialect *dialect_find(bool mariadb, unsigned long version)
{
	for (size_t i = 0; i < ARRAY_LEN(dialects); i++)
		if (dialects[i].mariadb == mariadb && version >= dialects[i].since)
			return &dialects[i];
	return NULL;
}

const struct dialect *dialect_of(MYSQL *db, struct err *e)
{
	const char *info = mysql_get_server_info(db);
	const struct dialect *d = dialect_find(strcasestr(info, "mariadb") != NULL, mysql_get_server_version(db));
	if (!d)
		err_set(e, "server version %s is too old: MariaDB 10.11 or MySQL 8.0.22 at least", info);
	return d;
}

const struct semi_words *semi_words_of(MYSQL *db, struct err *e)
{
	static const struct semi_words words[] = { { "source", "replica" }, { "master", "slave" } };
	char name[64] = "";
	if (sql_value(db, name, sizeof(name), e, "SHOW GLOBAL VARIABLES LIKE 'rpl\\_semi\\_sync\\_%%\\_enabled'") < 0)
		return NULL;
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (strstr(name, words[i].source) || strstr(name, words[i].replica))
			return &words[i];
	err_set(e, "the semi-sync plugins are not loaded: INSTALL PLUGIN rpl_semi_sync_source SONAME "
		   "'semisync_source.so' and rpl_semi_sync_replica SONAME 'semisync_replica.so'");
	return NULL;
}
