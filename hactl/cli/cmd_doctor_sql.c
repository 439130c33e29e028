/* cmd_doctor_sql.c - one MySQL or MariaDB judged: settings, privileges, and what it will be after a restart. Pure.
 *
 * A setting that hactl changes while it runs (read_only above all) shows its present value only: what the file says is read from the
 * file itself, from MySQL's persisted settings, or from the origin that the server names when nobody has changed it since the start.
 */
#include "hactl/cli/cmd_doctor.h"

#include <strings.h>

enum { RETRY_MAX_S = 10, HEARTBEAT_MAX_S = 5, NET_TIMEOUT_MAX_S = 30, RETRIES_MIN = 1000 };

/* --- the document ---------------------------------------------------------------------------------------------------------- */

static const char *text_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));
	return s ? s : "";
}

static bool mariadb(const struct sql_exam *x)
{
	return json_is_true(json_object_get(x->doc, "mariadb"));
}

/* The row of a variable by either of its names (MySQL renamed some); NULL: this server has none. */
static const json_t *variable(const struct sql_exam *x, const char *name, const char *older)
{
	const json_t *found = NULL, *row;
	size_t i;
	json_array_foreach(json_object_get(x->doc, "variables"), i, row)
	{
		if (str_eq(text_of(row, "name"), name))
			return row;
		if (older && str_eq(text_of(row, "name"), older))
			found = row;
	}
	return found;
}

static const char *value(const struct sql_exam *x, const char *name, const char *older)
{
	return text_of(variable(x, name, older), "value");
}

static bool on(const char *v)
{
	return option_on(v) && *v;
}

/* Part's rows could not be had: says so, and true. */
static bool missing(const struct sql_exam *x, const char *part, struct verdict *v)
{
	const char *why = json_string_value(json_object_get(json_object_get(x->doc, "trouble"), part));
	if (!why)
		return false;
	say_wrong(v, "cannot be seen: %.300s", why);
	say_fix(v, "give account %s what `hactl doctor --grants` prints", x->account);
	return true;
}

static bool replicates(const struct sql_exam *x)
{
	return json_array_size(json_object_get(x->doc, "replica")) > 0;
}

static const char *word(const struct sql_exam *x, const char *mysql, const char *maria)
{
	return mariadb(x) ? maria : mysql;
}

/* --- what it will be after a restart ------------------------------------------------------------------------------------------ */

enum boot { BOOT_UNKNOWN, BOOT_OFF, BOOT_ON };

static enum boot from_persisted(const struct sql_exam *x, const char *name)
{
	const json_t *row;
	size_t i;
	json_array_foreach(json_object_get(x->doc, "persisted"), i,
		row) if (str_eq(text_of(row, "name"), name)) return on(text_of(row, "value"))
		? BOOT_ON
		: BOOT_OFF;
	return BOOT_UNKNOWN;
}

static enum boot from_origin(const struct sql_exam *x, const char *name, const char *older)
{
	const json_t *row = variable(x, name, older);
	const char *origin = text_of(row, "origin");
	if (!row || !*origin || str_eq(origin, "SQL") || str_eq(origin, "DYNAMIC"))
		return BOOT_UNKNOWN;
	if (str_eq(origin, "COMPILED") || str_eq(origin, "COMPILE-TIME"))
		return BOOT_OFF;
	/* MySQL: SET GLOBAL read_only = OFF clears super_read_only without a trace in the origin */
	return on(text_of(row, "value")) ? BOOT_ON : BOOT_UNKNOWN;
}

/* where: the file's name, or why nothing is known. */
static enum boot boot_of(const struct sql_exam *x, const char *name, const char *older, const char **where)
{
	enum boot b = from_persisted(x, name);
	const json_t *options = json_object_get(x->files, "options"), *option = json_object_get(options, name);
	*where = "persisted";
	if (b != BOOT_UNKNOWN)
		return b;
	if (json_is_true(json_object_get(x->files, "seen"))) {
		option = option || !older ? option : json_object_get(options, older);
		*where = option ? text_of(option, "path") : text_of(x->files, "where");
		return option && option_on(text_of(option, "value")) ? BOOT_ON : BOOT_OFF;
	}
	b = from_origin(x, name, older);
	*where = b != BOOT_UNKNOWN ? "as the server says"
		 : x->local	   ? text_of(x->files, "why")
				   : "its files are seen from its own node only";
	return b;
}

static void judge_boot(const struct sql_exam *x, const char *name, const char *older, const char *harm, const char *fix,
	struct verdict *v)
{
	const char *where;
	switch (boot_of(x, name, older, &where)) {
	case BOOT_ON:
		say_ok(v, "%s is ON (%s)", name, where);
		return;
	case BOOT_OFF:
		say_wrong(v, "%s is not set in %s: %s", name, *where ? where : "any option file", harm);
		say_fix(v, "%s", fix);
		return;
	default:
		break;
	}
	if (x->local) {
		say_note(v, "what the file says of %s is not known: %s", name, *where ? where : "not seen");
		say_fix(v, "%s", fix);
	} else {
		say_unseen(v, "not known from here: %s", where);
	}
}

static void check_boot_read_only(const struct sql_exam *x, struct verdict *v)
{
	bool m = mariadb(x);
	judge_boot(x, m ? "read_only" : "super_read_only", NULL,
		"a reboot brings this server up writable beside the primary",
		m ? "in the server's option file: [mysqld] read_only = ON   (container: command --read-only)"
		  : "SET PERSIST_ONLY super_read_only = ON;   (as an administrator; lasts in a container with its "
		    "volume), or in the "
		    "option file: [mysqld] super_read_only = ON",
		v);
}

static void check_boot_start(const struct sql_exam *x, struct verdict *v)
{
	bool m = mariadb(x);
	judge_boot(x, m ? "skip_slave_start" : "skip_replica_start", m ? "skip_replica_start" : "skip_slave_start",
		"a reboot begins to replicate before hactl knows whom to follow",
		m ? "in the server's option file: [mysqld] skip_slave_start"
		  : "SET PERSIST_ONLY skip_replica_start = ON;   (as an administrator), or in the option file: "
		    "[mysqld] "
		    "skip_replica_start = ON",
		v);
}

/* MariaDB gives back at recovery what a crashed semi-sync primary had not had acknowledged, if it starts as a replica. */
static void check_boot_role(const struct sql_exam *x, struct verdict *v)
{
	const json_t *o = json_object_get(json_object_get(x->files, "options"), "init_rpl_role");
	if (!mariadb(x) || !x->semi_sync)
		say_ok(v, "not needed here");
	else if (!x->local)
		say_unseen(v, "not known from here: its files are seen from its own node only");
	else if (!json_is_true(json_object_get(x->files, "seen")))
		say_note(v, "what the file says of init_rpl_role is not known: %s", text_of(x->files, "why"));
	else if (strcasecmp(text_of(o, "value"), "SLAVE") == 0 || str_eq(text_of(o, "value"), "1"))
		say_ok(v, "init_rpl_role is SLAVE (%s)", text_of(o, "path"));
	else
		say_wrong(v,
			"init_rpl_role is not SLAVE in %s: after a crash as primary it keeps rows that nobody "
			"acknowledged",
			text_of(x->files, "where"));
	if (v->severity >= SEV_NOTE)
		say_fix(v, "in the server's option file: [mysqld] init_rpl_role = SLAVE, rpl_semi_sync_slave_enabled = "
			   "ON");
}

/* --- settings --------------------------------------------------------------------------------------------------------------- */

static void check_binlog(const struct sql_exam *x, struct verdict *v)
{
	if (missing(x, "variables", v))
		return;
	if (on(value(x, "log_bin", NULL))) {
		say_ok(v, "on");
		return;
	}
	say_wrong(v, "the binary log is off: nothing can replicate from this server");
	say_fix(v, "in the option file: [mysqld] log_bin = bin   (restart)");
}

static void check_gtid(const struct sql_exam *x, struct verdict *v)
{
	const char *mode = value(x, "gtid_mode", NULL);
	if (mariadb(x)) {
		bool strict = on(value(x, "gtid_strict_mode", NULL));
		if (strict)
			say_ok(v, "gtid_strict_mode is ON");
		else
			say_note(v, "gtid_strict_mode is OFF: out-of-order transactions are taken without an error");
		if (!strict)
			say_fix(v, "SET GLOBAL gtid_strict_mode = ON;   and in the option file");
		return;
	}
	if (str_eq(mode, "ON") && on(value(x, "enforce_gtid_consistency", NULL))) {
		say_ok(v, "gtid_mode is ON");
		return;
	}
	say_wrong(v, "gtid_mode is %s, enforce_gtid_consistency %s: positions of the two servers cannot be compared",
		*mode ? mode : "not known", value(x, "enforce_gtid_consistency", NULL));
	say_fix(v, "SET GLOBAL enforce_gtid_consistency = ON; SET GLOBAL gtid_mode = OFF_PERMISSIVE; SET GLOBAL "
		   "gtid_mode = "
		   "ON_PERMISSIVE; SET GLOBAL gtid_mode = ON;\nand in the option file: [mysqld] gtid_mode = ON, "
		   "enforce_gtid_consistency = ON");
}

static void check_updates(const struct sql_exam *x, struct verdict *v)
{
	if (on(value(x, "log_replica_updates", "log_slave_updates"))) {
		say_ok(v, "logged");
		return;
	}
	say_wrong(v,
		"what it replicates is not in its own binary log: after a takeover nobody can replicate it from here");
	say_fix(v, "in the option file: [mysqld] %s = ON   (restart)",
		word(x, "log_replica_updates", "log_slave_updates"));
}

/* MySQL is to lose the setting: row format is then the only one. */
static void check_format(const struct sql_exam *x, struct verdict *v)
{
	const char *format = value(x, "binlog_format", NULL);
	if (!*format || str_eq(format, "ROW")) {
		say_ok(v, "ROW");
		return;
	}
	say_wrong(v, "binlog_format is %s: statements can give other rows on the standby", format);
	say_fix(v, "SET GLOBAL binlog_format = 'ROW';   and in the option file: [mysqld] binlog_format = ROW");
}

static void check_server_id(const struct sql_exam *x, struct verdict *v)
{
	const char *id = value(x, "server_id", NULL);
	if (*id && !str_eq(id, "0")) {
		say_ok(v, "%s", id);
		return;
	}
	say_wrong(v, "server_id is 0: it can neither send nor take replication");
	say_fix(v, "in the option file of each node another number: [mysqld] server_id = 1");
}

static void check_sync_binlog(const struct sql_exam *x, struct verdict *v)
{
	const char *n = value(x, "sync_binlog", NULL);
	if (str_eq(n, "1")) {
		say_ok(v, "1");
		return;
	}
	say_wrong(v, "sync_binlog is %s: when its power fails, what it acknowledged may be missing from its binary log",
		n);
	say_fix(v, "SET GLOBAL sync_binlog = 1;   and in the option file");
}

static void check_flush(const struct sql_exam *x, struct verdict *v)
{
	const char *n = value(x, "innodb_flush_log_at_trx_commit", NULL);
	if (str_eq(n, "1")) {
		say_ok(v, "1");
		return;
	}
	say_wrong(v, "innodb_flush_log_at_trx_commit is %s: when its power fails, acknowledged rows may be gone", n);
	say_fix(v, "SET GLOBAL innodb_flush_log_at_trx_commit = 1;   and in the option file");
}

/* --- semi-sync ----------------------------------------------------------------------------------------------------------------- */

static void check_semi_plugins(const struct sql_exam *x, struct verdict *v)
{
	bool source = variable(x, "rpl_semi_sync_source_enabled", "rpl_semi_sync_master_enabled");
	bool replica = variable(x, "rpl_semi_sync_replica_enabled", "rpl_semi_sync_slave_enabled");
	if (!x->semi_sync)
		say_ok(v, "not wanted: mysql.semi_sync is off");
	else if (source && replica)
		say_ok(v, "both sides loaded");
	else
		say_wrong(v,
			"the semi-sync plugin for the %s side is not loaded: an acknowledged write may be lost in a "
			"failover",
			source ? "replica" : "source");
	if (v->severity == SEV_WRONG)
		say_fix(v, "INSTALL PLUGIN rpl_semi_sync_source SONAME 'semisync_source.so';\nINSTALL PLUGIN "
			   "rpl_semi_sync_replica SONAME 'semisync_replica.so';\nor in the option file: [mysqld] "
			   "plugin_load_add = semisync_source.so, plugin_load_add = semisync_replica.so");
}

static void check_wait_point(const struct sql_exam *x, struct verdict *v)
{
	const char *point = value(x, "rpl_semi_sync_source_wait_point", "rpl_semi_sync_master_wait_point");
	if (!x->semi_sync || !*point || str_eq(point, "AFTER_SYNC")) {
		say_ok(v, "%s", *point ? point : "not used");
		return;
	}
	say_wrong(v,
		"the wait point is %s: other clients see a row before the standby has it, and it can vanish in a "
		"failover",
		point);
	say_fix(v, "SET GLOBAL rpl_semi_sync_%s_wait_point = 'AFTER_SYNC';   and in the option file",
		variable(x, "rpl_semi_sync_source_wait_point", NULL) ? "source" : "master");
}

static void check_semi_source(const struct sql_exam *x, struct verdict *v)
{
	const json_t *row = variable(x, "rpl_semi_sync_source_enabled", "rpl_semi_sync_master_enabled");
	if (!replicates(x) || !on(text_of(row, "value"))) {
		say_ok(v, "%s", replicates(x) ? "off on the replica" : "hactl's to switch on the primary");
		return;
	}
	say_wrong(v, "the source side of semi-sync is on at a replica: it stalls the applier, and a failover then "
		     "loses what was "
		     "received and not applied");
	say_fix(v, "SET GLOBAL %s = OFF;   and take it out of the option file", text_of(row, "name"));
}

/* --- replication ----------------------------------------------------------------------------------------------------------------- */

static const json_t *channel(const struct sql_exam *x)
{
	return json_array_get(json_object_get(x->doc, "replica"), 0);
}

/* MySQL has these in a table of their own. */
static const char *connection(const struct sql_exam *x, const char *key)
{
	return text_of(mariadb(x) ? channel(x) : json_array_get(json_object_get(x->doc, "connection"), 0), key);
}

static bool threads_run(const json_t *c)
{
	return str_eq(text_of(c, "Slave_IO_Running"), "Yes") && str_eq(text_of(c, "Slave_SQL_Running"), "Yes");
}

static void judge_threads(const struct sql_exam *x, const json_t *c, struct verdict *v)
{
	const char *io = text_of(c, "Last_IO_Error"), *sql = text_of(c, "Last_SQL_Error");
	if (threads_run(c)) {
		say_ok(v, "follows %s", text_of(c, "Master_Host"));
		return;
	}
	say_wrong(v, "it does not replicate (receiver: %s, applier: %s)%s%.300s", text_of(c, "Slave_IO_Running"),
		text_of(c, "Slave_SQL_Running"), *sql || *io ? ": " : "", *sql ? sql : io);
	say_fix(v, "%s;   and what the error says", word(x, "START REPLICA", "START SLAVE"));
}

static void check_channel(const struct sql_exam *x, struct verdict *v)
{
	size_t n = json_array_size(json_object_get(x->doc, "replica"));
	const json_t *c = channel(x);
	if (missing(x, "replica", v))
		return;
	if (n == 0) {
		say_ok(v, "replicates from nobody");
	} else if (n > 1) {
		say_wrong(v, "%zu replication sources are configured; a pair has one", n);
		say_fix(v, "%s   (for every source but %s)",
			word(x, "RESET REPLICA ALL FOR CHANNEL '...';", "RESET SLAVE '...' ALL;"), x->peer_host);
	} else if (!str_eq(text_of(c, "Master_Host"), x->peer_host) ||
		   atoi(text_of(c, "Master_Port")) != x->peer_port) {
		say_wrong(v, "it replicates from %s:%s, which is not the other node (%s:%d)", text_of(c, "Master_Host"),
			text_of(c, "Master_Port"), x->peer_host, x->peer_port);
		say_fix(v, "STOP %s; CHANGE %s = '%s'; START %s;", word(x, "REPLICA", "SLAVE"),
			word(x, "REPLICATION SOURCE TO SOURCE_HOST", "MASTER TO MASTER_HOST"), x->peer_host,
			word(x, "REPLICA", "SLAVE"));
	} else if (str_eq(text_of(c, "Using_Gtid"), "No")) {
		say_wrong(v, "it replicates by file and position, not by GTID");
		say_fix(v, "STOP %s; CHANGE %s; START %s;", word(x, "REPLICA", "SLAVE"),
			word(x, "REPLICATION SOURCE TO SOURCE_AUTO_POSITION = 1",
				"MASTER TO MASTER_USE_GTID = slave_pos"),
			word(x, "REPLICA", "SLAVE"));
	} else {
		judge_threads(x, c, v);
	}
}

static void check_delay(const struct sql_exam *x, struct verdict *v)
{
	int delay = atoi(text_of(channel(x), "SQL_Delay"));
	if (delay == 0) {
		say_ok(v, "none");
		return;
	}
	say_wrong(v, "a delay of %d s is configured: a standby that is late on purpose is not promoted", delay);
	say_fix(v, "STOP %s; CHANGE %s = 0; START %s;", word(x, "REPLICA SQL_THREAD", "SLAVE"),
		word(x, "REPLICATION SOURCE TO SOURCE_DELAY", "MASTER TO MASTER_DELAY"),
		word(x, "REPLICA SQL_THREAD", "SLAVE"));
}

/* MySQL 8.4 gives up after ten attempts a minute apart; MariaDB shows no count. */
static void check_retry(const struct sql_exam *x, struct verdict *v)
{
	const char *retries = connection(x, "Retry_Count");
	int every = atoi(connection(x, "Connect_Retry"));
	bool few = *retries && strtoll(retries, NULL, 10) < RETRIES_MIN;
	if (!replicates(x) || (every <= RETRY_MAX_S && !few)) {
		say_ok(v, "%s", replicates(x) ? "often enough" : "replicates from nobody");
		return;
	}
	say_wrong(v, "a lost source is tried again every %d s%s%s%s: redundancy stays away longer than the fault",
		every, few ? ", " : "", few ? retries : "", few ? " times only" : "");
	say_fix(v, "STOP %s; CHANGE %s; START %s;   (hactl sets it when it makes a replica)",
		word(x, "REPLICA", "SLAVE"),
		word(x, "REPLICATION SOURCE TO SOURCE_CONNECT_RETRY = 1, SOURCE_RETRY_COUNT = 86400",
			"MASTER TO MASTER_CONNECT_RETRY = 1"),
		word(x, "REPLICA", "SLAVE"));
}

static void check_heartbeat(const struct sql_exam *x, struct verdict *v)
{
	double period = strtod(connection(x, "Slave_heartbeat_period"), NULL);
	if (!replicates(x) || (period > 0 && period <= HEARTBEAT_MAX_S)) {
		say_ok(v, "%s", replicates(x) ? "often enough" : "replicates from nobody");
		return;
	}
	say_wrong(v, "the source's heartbeat comes every %.0f s: until then a silent source looks like an idle one",
		period);
	say_fix(v, "STOP %s; CHANGE %s = 1; START %s;   (hactl sets it when it makes a replica)",
		word(x, "REPLICA", "SLAVE"),
		word(x, "REPLICATION SOURCE TO SOURCE_HEARTBEAT_PERIOD", "MASTER TO MASTER_HEARTBEAT_PERIOD"),
		word(x, "REPLICA", "SLAVE"));
}

static void check_net_timeout(const struct sql_exam *x, struct verdict *v)
{
	int s = atoi(value(x, "replica_net_timeout", "slave_net_timeout"));
	if (!replicates(x) || (s > 0 && s <= NET_TIMEOUT_MAX_S)) {
		say_ok(v, "%s", replicates(x) ? "short enough" : "replicates from nobody");
		return;
	}
	say_wrong(v, "%s is %d s: so long a dead source holds the receiver, and every replication statement behind it",
		word(x, "replica_net_timeout", "slave_net_timeout"), s);
	say_fix(v, "SET GLOBAL %s = 5;   and in the option file (hactl sets it when it makes a replica)",
		word(x, "replica_net_timeout", "slave_net_timeout"));
}

static void check_filters(const struct sql_exam *x, struct verdict *v)
{
	static const char *const maria[] = { "replicate_do_db", "replicate_ignore_db", "replicate_do_table",
		"replicate_ignore_table", "replicate_wild_do_table", "replicate_wild_ignore_table" };
	const json_t *first = json_array_get(json_object_get(x->doc, "filters"), 0);
	const char *name = text_of(first, "name"), *rule = text_of(first, "value");
	for (size_t i = 0; i < ARRAY_LEN(maria) && !*name; i++)
		if (*value(x, maria[i], NULL)) {
			name = maria[i];
			rule = value(x, name, NULL);
		}
	if (!*name) {
		say_ok(v, "none");
		return;
	}
	say_wrong(v, "a replication filter (%s %.100s) keeps rows from this server: promoted, it would lack them", name,
		rule);
	say_fix(v, "take the filter out of the option file and of the running server, and rebuild this node from the "
		   "other");
}

/* --- accounts --------------------------------------------------------------------------------------------------------------------- */

static bool holds(const json_t *rows, const char *privilege)
{
	const json_t *row;
	size_t i;
	json_array_foreach(rows, i, row) if (strcasecmp(text_of(row, "privilege"), privilege) == 0) return true;
	return false;
}

static bool listed(const char *const *list, const char *name)
{
	for (; *list; list++)
		if (strcasecmp(*list, name) == 0)
			return true;
	return false;
}

static void judge_surplus(const struct sql_exam *x, const json_t *rows, struct verdict *v)
{
	const json_t *row;
	size_t i, len = 0;
	char surplus[300] = "";
	json_array_foreach(rows, i, row)
	{
		const char *p = text_of(row, "privilege");
		if (!str_eq(p, "USAGE") && !listed(grants_needed(mariadb(x)), p))
			str_add(surplus, sizeof(surplus), &len, "%s%s", len ? ", " : "", p);
	}
	if (len)
		say_note(v, "account %s may do more than hactl needs: %s", x->account, surplus);
	else
		say_ok(v, "account %s has what it needs and no more", x->account);
}

static void check_privileges(const struct sql_exam *x, struct verdict *v)
{
	const json_t *rows = json_object_get(x->doc, "privileges");
	const char *lacking[32];
	size_t n = 0, len = 0;
	char names[300] = "";
	if (missing(x, "privileges", v))
		return;
	for (const char *const *p = grants_needed(mariadb(x)); *p; p++)
		if (!holds(rows, *p)) {
			lacking[n++] = *p;
			str_add(names, sizeof(names), &len, "%s%s", len ? ", " : "", *p);
		}
	if (n == 0) {
		judge_surplus(x, rows, v);
		return;
	}
	auto_free char *grant = grants_statement(lacking, n, x->account);
	if (json_array_size(json_object_get(x->doc, "roles")))
		say_note(v, "account %s has not by itself: %s; whether a role gives them is not examined", x->account,
			names);
	else
		say_wrong(v, "account %s lacks: %s", x->account, names);
	say_fix(v, "%s   (on the primary, with the account's own host part)", grant);
}

/* --- as the server's administrator sees it ------------------------------------------------------------------------------------------ */

static bool unseen(const struct sql_exam *x, const char *part, const char *look, struct verdict *v)
{
	const char *why = json_string_value(json_object_get(json_object_get(x->admin, "trouble"), part));
	if (!x->local) {
		say_unseen(v, "seen from its own node only");
		return true;
	}
	if (x->admin && !why)
		return false;
	say_note(v, "hactl's account may not see them and the administrator's login did not work: %.200s",
		why ? why : x->admin_why);
	say_fix(v, "%s", look);
	return true;
}

static bool runs_here(const json_t *event)
{
	return str_eq(text_of(event, "status"), "ENABLED");
}

static void judge_event(const struct sql_exam *x, const json_t *event, struct verdict *v)
{
	const char *name = text_of(event, "name"), *status = text_of(event, "status");
	bool side = strstr(status, "SIDE_DISABLED");
	if (str_eq(text_of(event, "known"), "0")) {
		say_wrong(v, "event %s has the definer %s, and there is no such account: it fails whenever it runs",
			name, text_of(event, "definer"));
		say_fix(v, "CREATE USER for that definer, or: ALTER DEFINER = 'account'@'host' EVENT %s COMMENT '';",
			name);
	} else if (replicates(x) && runs_here(event)) {
		say_wrong(v, "event %s is enabled on a replica: it runs on both nodes", name);
		say_fix(v, "SET SESSION sql_log_bin = 0; ALTER DEFINER = %s EVENT %s DISABLE ON %s;",
			text_of(event, "definer"), name, word(x, "REPLICA", "SLAVE"));
	} else if (!replicates(x) && side) {
		say_wrong(v, "event %s came by replication and is disabled on this primary: it runs nowhere", name);
		say_fix(v, "SET SESSION sql_log_bin = 0; ALTER DEFINER = %s EVENT %s ENABLE;",
			text_of(event, "definer"), name);
	}
}

static void check_events(const struct sql_exam *x, struct verdict *v)
{
	const json_t *rows = json_object_get(x->admin, "events"), *event;
	size_t i;
	if (unseen(x, "events",
		    "as the administrator: SELECT EVENT_SCHEMA, EVENT_NAME, DEFINER, STATUS FROM "
		    "information_schema.EVENTS;",
		    v))
		return;
	json_array_foreach(rows, i, event)
	{
		judge_event(x, event, v);
		if (v->severity == SEV_WRONG)
			return;
	}
	json_array_foreach(rows, i, event) if (runs_here(event) && str_eq(value(x, "event_scheduler", NULL), "OFF"))
	{
		say_note(v, "event %s is enabled, and event_scheduler is OFF: it does not run", text_of(event, "name"));
		say_fix(v, "SET GLOBAL event_scheduler = ON;   and in both option files");
		return;
	}
	say_ok(v, "%zu, each with its definer and on its side", json_array_size(rows));
}

/* The server's own accounts, for those who are on the machine anyway. */
static bool local_administrator(const char *account)
{
	return strstr(account, "'@'localhost'") || strstr(account, "'@'127.0.0.1'") || strstr(account, "'@'::1'");
}

static void check_writers(const struct sql_exam *x, struct verdict *v)
{
	const json_t *row;
	size_t i, len = 0;
	char names[300] = "", ours[80];
	if (!mariadb(x)) {
		say_ok(v, "super_read_only stops every account");
		return;
	}
	if (unseen(x, "privileged",
		    "as the administrator: SELECT DISTINCT GRANTEE FROM information_schema.USER_PRIVILEGES WHERE "
		    "PRIVILEGE_TYPE IN ('SUPER', 'READ_ONLY ADMIN');",
		    v))
		return;
	snprintf(ours, sizeof(ours), "'%s'@", x->account);
	json_array_foreach(json_object_get(x->admin, "privileged"), i, row)
	{
		const char *account = text_of(row, "account");
		if (!str_starts(account, ours) && !local_administrator(account))
			str_add(names, sizeof(names), &len, "%s%s", len ? ", " : "", account);
	}
	if (!len) {
		say_ok(v, "none but the administrator's on this machine");
		return;
	}
	say_wrong(v, "read_only does not stop %s: such a client writes to a standby", names);
	say_fix(v, "REVOKE READ_ONLY ADMIN, SUPER ON *.* FROM %s;", names);
}

/* --- the table ------------------------------------------------------------------------------------------------------------------------ */

static const struct {
	const char *title;
	void (*judge)(const struct sql_exam *x, struct verdict *v);
} checks[] = {
	{ "privileges", check_privileges },
	{ "binary log", check_binlog },
	{ "GTID", check_gtid },
	{ "replicated writes logged", check_updates },
	{ "row format", check_format },
	{ "server id", check_server_id },
	{ "read-only after a restart", check_boot_read_only },
	{ "replication after a restart", check_boot_start },
	{ "recovery after a crash", check_boot_role },
	{ "semi-sync plugins", check_semi_plugins },
	{ "semi-sync wait point", check_wait_point },
	{ "semi-sync source side", check_semi_source },
	{ "sync_binlog", check_sync_binlog },
	{ "InnoDB log flushed", check_flush },
	{ "replication", check_channel },
	{ "delay", check_delay },
	{ "reconnecting", check_retry },
	{ "replication heartbeat", check_heartbeat },
	{ "net timeout", check_net_timeout },
	{ "filters", check_filters },
	{ "events", check_events },
	{ "writers past read_only", check_writers },
};

void doctor_sql(const struct sql_exam *x, struct report *r)
{
	char area[NAME_MAX_LEN + 16];
	snprintf(area, sizeof(area), "mysql on %s", x->node);
	for (size_t i = 0; i < ARRAY_LEN(checks); i++)
		checks[i].judge(x, report_add(r, area, checks[i].title));
}

/* --- both together ---------------------------------------------------------------------------------------------------------------------- */

static bool writable(const struct sql_exam *x)
{
	return !on(value(x, "read_only", NULL)) && !str_starts(value(x, "read_only", NULL), "NO_LOCK");
}

static void pair_identity(const struct sql_exam x[NODES], struct verdict *v)
{
	const char *uuid = value(&x[0], "server_uuid", NULL);
	if (mariadb(&x[0]) != mariadb(&x[1])) {
		say_wrong(v, "%s runs MariaDB and %s MySQL: their positions cannot be compared",
			x[!mariadb(&x[0])].node, x[mariadb(&x[0])].node);
		say_fix(v, "the same server on both nodes");
	} else if (str_eq(value(&x[0], "server_id", NULL), value(&x[1], "server_id", NULL))) {
		say_wrong(v, "both have server_id %s: neither takes the other's transactions",
			value(&x[0], "server_id", NULL));
		say_fix(v, "SET GLOBAL server_id = ...;   (on one of them, and in its option file)");
	} else if (!mariadb(&x[0]) && *uuid && str_eq(uuid, value(&x[1], "server_uuid", NULL))) {
		say_wrong(v, "both have server_uuid %s: one was copied from the other", uuid);
		say_fix(v, "on the standby remove auto.cnf from the data directory and restart it");
	} else {
		say_ok(v, "server ids %s and %s", value(&x[0], "server_id", NULL), value(&x[1], "server_id", NULL));
	}
}

static void pair_roles(const struct sql_exam x[NODES], struct verdict *v)
{
	int replicas = replicates(&x[0]) + replicates(&x[1]), open = writable(&x[0]) + writable(&x[1]);
	if (open == 2) {
		say_wrong(v, "both servers accept writes");
		say_fix(v, "SET GLOBAL %s = ON;   (on the one that is not the primary)",
			word(x, "super_read_only", "read_only"));
	} else if (replicas == 2) {
		say_wrong(v, "each replicates from the other: neither is the primary");
		say_fix(v, "%s   (on the one that shall be it)",
			word(x, "STOP REPLICA; RESET REPLICA ALL;", "STOP SLAVE; RESET SLAVE ALL;"));
	} else if (replicas == 0) {
		say_wrong(v, "neither replicates from the other: there is no standby");
		say_fix(v, "make one a replica of the other by GTID, or let a running supervisor do it");
	} else if (open == 0) {
		say_wrong(v, "neither accepts writes");
		say_fix(v, "SET GLOBAL read_only = OFF;   (on the primary, unless a running supervisor is about to "
			   "open it)");
	} else if (writable(&x[0]) == replicates(&x[0])) {
		say_wrong(v, "%s is a replica and accepts writes", x[replicates(&x[0]) ? 0 : 1].node);
		say_fix(v, "SET GLOBAL %s = ON;   (there)", word(x, "super_read_only", "read_only"));
	} else {
		say_ok(v, "%s takes writes, %s replicates", x[writable(&x[0]) ? 0 : 1].node,
			x[writable(&x[0]) ? 1 : 0].node);
	}
}

void doctor_sql_pair(const struct sql_exam x[NODES], struct report *r)
{
	if (!x[0].doc || !x[1].doc)
		return;
	pair_identity(x, report_add(r, "mysql, the pair", "identity"));
	pair_roles(x, report_add(r, "mysql, the pair", "roles"));
}
