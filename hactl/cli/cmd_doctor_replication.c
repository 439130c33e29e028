/* cmd_doctor_replication.c - how a MySQL or MariaDB replicates, and whether the two of a pair fit together. Pure. */
#include "hactl/cli/cmd_doctor_sql.h"

enum { RETRY_MAX_S = 10, HEARTBEAT_MAX_S = 5, NET_TIMEOUT_MAX_S = 30, RETRIES_MIN = 1000 };

/* --- replication ----------------------------------------------------------------------------------------------------------------- */

static const json_t *channel(const struct sql_exam *x)
{
	return json_array_get(json_object_get(x->doc, "replica"), 0);
}

/* MySQL has these in a table of their own. */
static const char *connection(const struct sql_exam *x, const char *key)
{
	return doc_text(exam_mariadb(x) ? channel(x) : json_array_get(json_object_get(x->doc, "connection"), 0), key);
}

static bool threads_run(const json_t *c)
{
	return str_eq(doc_text(c, "Slave_IO_Running"), "Yes") && str_eq(doc_text(c, "Slave_SQL_Running"), "Yes");
}

static void judge_threads(const struct sql_exam *x, const json_t *c, struct verdict *v)
{
	const char *io = doc_text(c, "Last_IO_Error"), *sql = doc_text(c, "Last_SQL_Error");
	if (threads_run(c)) {
		say_ok(v, "follows %s", doc_text(c, "Master_Host"));
		return;
	}
	say_wrong(v, "it does not replicate (receiver: %s, applier: %s)%s%.300s", doc_text(c, "Slave_IO_Running"),
		doc_text(c, "Slave_SQL_Running"), *sql || *io ? ": " : "", *sql ? sql : io);
	say_fix(v, "%s;   and what the error says", exam_word(x, "START REPLICA", "START SLAVE"));
}

void check_channel(const struct sql_exam *x, struct verdict *v)
{
	size_t n = json_array_size(json_object_get(x->doc, "replica"));
	const json_t *c = channel(x);
	if (exam_missing(x, "replica", v))
		return;
	if (n == 0) {
		say_ok(v, "replicates from nobody");
	} else if (n > 1) {
		say_wrong(v, "%zu replication sources are configured; a pair has one", n);
		say_fix(v, "%s   (for every source but %s)",
			exam_word(x, "RESET REPLICA ALL FOR CHANNEL '...';", "RESET SLAVE '...' ALL;"), x->peer_host);
	} else if (!str_eq(doc_text(c, "Master_Host"), x->peer_host) ||
		   atoi(doc_text(c, "Master_Port")) != x->peer_port) {
		say_wrong(v, "it replicates from %s:%s, which is not the other node (%s:%d)",
			doc_text(c, "Master_Host"), doc_text(c, "Master_Port"), x->peer_host, x->peer_port);
		say_fix(v, "STOP %s; CHANGE %s = '%s'; START %s;", exam_word(x, "REPLICA", "SLAVE"),
			exam_word(x, "REPLICATION SOURCE TO SOURCE_HOST", "MASTER TO MASTER_HOST"), x->peer_host,
			exam_word(x, "REPLICA", "SLAVE"));
	} else if (str_eq(doc_text(c, "Using_Gtid"), "No")) {
		say_wrong(v, "it replicates by file and position, not by GTID");
		say_fix(v, "STOP %s; CHANGE %s; START %s;", exam_word(x, "REPLICA", "SLAVE"),
			exam_word(x, "REPLICATION SOURCE TO SOURCE_AUTO_POSITION = 1",
				"MASTER TO MASTER_USE_GTID = slave_pos"),
			exam_word(x, "REPLICA", "SLAVE"));
	} else {
		judge_threads(x, c, v);
	}
}

/* hactl leaves a channel alone that works; the next one that it makes is verified. */
void check_encryption(const struct sql_exam *x, struct verdict *v)
{
	const json_t *c = channel(x);
	bool tls = exam_on(doc_text(c, "Master_SSL_Allowed")) || str_eq(doc_text(c, "Master_SSL_Allowed"), "Yes");
	bool verified = exam_on(doc_text(c, "Master_SSL_Verify_Server_Cert")) ||
			str_eq(doc_text(c, "Master_SSL_Verify_Server_Cert"), "Yes");
	const char *kind = exam_word(x, "SOURCE", "MASTER");

	if (!x->ca_file || !exam_replicates(x) || (tls && verified)) {
		say_ok(v, "%s",
			!x->ca_file ? "not wanted: mysql.tls is false"
			: tls	    ? "verified"
				    : "replicates from nobody");
		return;
	}
	say_wrong(v, "mysql.tls is true, and replication is %s", tls ? "by TLS and checks no certificate" : "plain");
	say_fix(v, "STOP %s; CHANGE %s TO %s_SSL = 1, %s_SSL_CA = '%s', %s_SSL_VERIFY_SERVER_CERT = 1; START %s;",
		exam_word(x, "REPLICA", "SLAVE"), exam_word(x, "REPLICATION SOURCE", "MASTER"), kind, kind, x->ca_file,
		kind, exam_word(x, "REPLICA", "SLAVE"));
}

void check_delay(const struct sql_exam *x, struct verdict *v)
{
	int delay = atoi(doc_text(channel(x), "SQL_Delay"));
	if (delay == 0) {
		say_ok(v, "none");
		return;
	}
	say_wrong(v, "a delay of %d s is configured: a standby that is late on purpose is not promoted", delay);
	say_fix(v, "STOP %s; CHANGE %s = 0; START %s;", exam_word(x, "REPLICA SQL_THREAD", "SLAVE"),
		exam_word(x, "REPLICATION SOURCE TO SOURCE_DELAY", "MASTER TO MASTER_DELAY"),
		exam_word(x, "REPLICA SQL_THREAD", "SLAVE"));
}

/* MySQL 8.4 gives up after ten attempts a minute apart; MariaDB shows no count. */
void check_retry(const struct sql_exam *x, struct verdict *v)
{
	const char *retries = connection(x, "Retry_Count");
	int every = atoi(connection(x, "Connect_Retry"));
	bool few = *retries && strtoll(retries, NULL, 10) < RETRIES_MIN;
	if (!exam_replicates(x) || (every <= RETRY_MAX_S && !few)) {
		say_ok(v, "%s", exam_replicates(x) ? "often enough" : "replicates from nobody");
		return;
	}
	say_wrong(v, "a lost source is tried again every %d s%s%s%s: redundancy stays away longer than the fault",
		every, few ? ", " : "", few ? retries : "", few ? " times only" : "");
	say_fix(v, "STOP %s; CHANGE %s; START %s;   (hactl sets it when it makes a replica)",
		exam_word(x, "REPLICA", "SLAVE"),
		exam_word(x, "REPLICATION SOURCE TO SOURCE_CONNECT_RETRY = 1, SOURCE_RETRY_COUNT = 86400",
			"MASTER TO MASTER_CONNECT_RETRY = 1"),
		exam_word(x, "REPLICA", "SLAVE"));
}

void check_heartbeat(const struct sql_exam *x, struct verdict *v)
{
	double period = strtod(connection(x, "Slave_heartbeat_period"), NULL);
	if (!exam_replicates(x) || (period > 0 && period <= HEARTBEAT_MAX_S)) {
		say_ok(v, "%s", exam_replicates(x) ? "often enough" : "replicates from nobody");
		return;
	}
	say_wrong(v, "the source's heartbeat comes every %.0f s: until then a silent source looks like an idle one",
		period);
	say_fix(v, "STOP %s; CHANGE %s = 1; START %s;   (hactl sets it when it makes a replica)",
		exam_word(x, "REPLICA", "SLAVE"),
		exam_word(x, "REPLICATION SOURCE TO SOURCE_HEARTBEAT_PERIOD", "MASTER TO MASTER_HEARTBEAT_PERIOD"),
		exam_word(x, "REPLICA", "SLAVE"));
}

void check_net_timeout(const struct sql_exam *x, struct verdict *v)
{
	int s = atoi(exam_value(x, "replica_net_timeout", "slave_net_timeout"));
	if (!exam_replicates(x) || (s > 0 && s <= NET_TIMEOUT_MAX_S)) {
		say_ok(v, "%s", exam_replicates(x) ? "short enough" : "replicates from nobody");
		return;
	}
	say_wrong(v, "%s is %d s: so long a dead source holds the receiver, and every replication statement behind it",
		exam_word(x, "replica_net_timeout", "slave_net_timeout"), s);
	say_fix(v, "SET GLOBAL %s = 5;   and in the option file (hactl sets it when it makes a replica)",
		exam_word(x, "replica_net_timeout", "slave_net_timeout"));
}

/* No variable tells of these two: they stand in the state of the log. */
static bool left_out_of_log(const struct sql_exam *x, struct verdict *v)
{
	const json_t *row = json_array_get(json_object_get(x->doc, "log"), 0);
	const char *only = doc_text(row, "Binlog_Do_DB"), *but = doc_text(row, "Binlog_Ignore_DB");

	if (!*only && !*but)
		return false;
	say_wrong(v, "%s: what is written %s %.100s never reaches the other node, however well in sync it is",
		*only ? "binlog_do_db" : "binlog_ignore_db", *only ? "outside of" : "in", *only ? only : but);
	say_fix(v, "take it out of the option file and restart the server; then rebuild the other node");
	return true;
}

void check_filters(const struct sql_exam *x, struct verdict *v)
{
	static const char *const maria[] = { "replicate_do_db", "replicate_ignore_db", "replicate_do_table",
		"replicate_ignore_table", "replicate_wild_do_table", "replicate_wild_ignore_table" };
	const char *name = "", *rule = "";
	const json_t *row;
	size_t k;
	json_array_foreach(json_object_get(x->doc, "filters"), k, row)
	{
		if (*doc_text(row, "value")) { /* a filter that was taken out keeps its row */
			name = doc_text(row, "name");
			rule = doc_text(row, "value");
		}
	}
	for (size_t i = 0; i < ARRAY_LEN(maria) && !*name; i++)
		if (*exam_value(x, maria[i], NULL)) {
			name = maria[i];
			rule = exam_value(x, name, NULL);
		}
	if (left_out_of_log(x, v))
		return;
	if (!*name) {
		say_ok(v, "none");
		return;
	}
	say_wrong(v, "a replication filter (%s %.100s) keeps rows from this server: promoted, it would lack them", name,
		rule);
	say_fix(v, "take the filter out of the option file and of the running server, and rebuild this node from the "
		   "other");
}

/* --- both together ---------------------------------------------------------------------------------------------------------------------- */

static bool writable(const struct sql_exam *x)
{
	return !exam_on(exam_value(x, "read_only", NULL)) && !str_starts(exam_value(x, "read_only", NULL), "NO_LOCK");
}

static void pair_identity(const struct sql_exam x[NODES], struct verdict *v)
{
	const char *uuid = exam_value(&x[0], "server_uuid", NULL);
	if (exam_mariadb(&x[0]) != exam_mariadb(&x[1])) {
		say_wrong(v, "%s runs MariaDB and %s MySQL: their positions cannot be compared",
			x[!exam_mariadb(&x[0])].node, x[exam_mariadb(&x[0])].node);
		say_fix(v, "the same server on both nodes");
	} else if (str_eq(exam_value(&x[0], "server_id", NULL), exam_value(&x[1], "server_id", NULL))) {
		say_wrong(v, "both have server_id %s: neither takes the other's transactions",
			exam_value(&x[0], "server_id", NULL));
		say_fix(v, "SET GLOBAL server_id = ...;   (on one of them, and in its option file)");
	} else if (!exam_mariadb(&x[0]) && *uuid && str_eq(uuid, exam_value(&x[1], "server_uuid", NULL))) {
		say_wrong(v, "both have server_uuid %s: one was copied from the other", uuid);
		say_fix(v, "on the standby remove auto.cnf from the data directory and restart it");
	} else {
		say_ok(v, "server ids %s and %s", exam_value(&x[0], "server_id", NULL),
			exam_value(&x[1], "server_id", NULL));
	}
}

static void pair_roles(const struct sql_exam x[NODES], struct verdict *v)
{
	int replicas = exam_replicates(&x[0]) + exam_replicates(&x[1]), open = writable(&x[0]) + writable(&x[1]);
	if (open == 2) {
		say_wrong(v, "both servers accept writes");
		say_fix(v, "SET GLOBAL %s = ON;   (on the one that is not the primary)",
			exam_word(x, "super_read_only", "read_only"));
	} else if (replicas == 2) {
		say_wrong(v, "each replicates from the other: neither is the primary");
		say_fix(v, "%s   (on the one that shall be it)",
			exam_word(x, "STOP REPLICA; RESET REPLICA ALL;", "STOP SLAVE; RESET SLAVE ALL;"));
	} else if (replicas == 0) {
		say_wrong(v, "neither replicates from the other: there is no standby");
		say_fix(v, "make one a replica of the other by GTID, or let a running supervisor do it");
	} else if (open == 0) {
		say_wrong(v, "neither accepts writes");
		say_fix(v, "SET GLOBAL read_only = OFF;   (on the primary, unless a running supervisor is about to "
			   "open it)");
	} else if (writable(&x[0]) == exam_replicates(&x[0])) {
		say_wrong(v, "%s is a replica and accepts writes", x[exam_replicates(&x[0]) ? 0 : 1].node);
		say_fix(v, "SET GLOBAL %s = ON;   (there)", exam_word(x, "super_read_only", "read_only"));
	} else {
		say_ok(v, "%s takes writes, %s replicates", x[writable(&x[0]) ? 0 : 1].node,
			x[writable(&x[0]) ? 1 : 0].node);
	}
}

/* It is the operator's to set, and in both files: hactl switches events, not the scheduler. */
static void pair_scheduler(const struct sql_exam x[NODES], struct verdict *v)
{
	const char *one = exam_value(&x[0], "event_scheduler", NULL), *two = exam_value(&x[1], "event_scheduler", NULL);
	int off = exam_on(one) ? 1 : 0;

	if (exam_on(one) == exam_on(two)) {
		say_ok(v, "%s on both", exam_on(one) ? "on" : "off");
		return;
	}
	say_wrong(v, "event_scheduler is ON on %s and %s on %s: after a change of primary the events %s",
		x[1 - off].node, exam_value(&x[off], "event_scheduler", NULL), x[off].node,
		writable(&x[1 - off]) ? "would not run" : "would begin to run");
	say_fix(v,
		"SET GLOBAL event_scheduler = ON;   (on %s), and in both option files: [mysqld] event_scheduler = ON",
		x[off].node);
}

void doctor_sql_pair(const struct sql_exam x[NODES], struct report *r)
{
	if (!x[0].doc || !x[1].doc)
		return;
	pair_identity(x, report_add(r, "mysql, the pair", "identity"));
	pair_roles(x, report_add(r, "mysql, the pair", "roles"));
	pair_scheduler(x, report_add(r, "mysql, the pair", "event scheduler"));
}
