/* cmd_doctor_sql.c - one MySQL or MariaDB judged: settings, privileges, and what it will be after a restart. Pure.
 *
 * A setting that hactl changes while it runs (read_only above all) shows its present value only: what the file says is read from the
 * file itself, from MySQL's persisted settings, or from the origin that the server names when nobody has changed it since the start.
 */
#include "hactl/cli/cmd_doctor_sql.h"

#include <strings.h>

/* --- the document ---------------------------------------------------------------------------------------------------------- */

bool exam_mariadb(const struct sql_exam *x)
{
	return json_is_true(json_object_get(x->doc, "mariadb"));
}

/* The row of a variable by either of its names (MySQL renamed some); NULL: this server has none. */
const json_t *exam_variable(const struct sql_exam *x, const char *name, const char *older)
{
	const json_t *found = NULL, *row;
	size_t i;
	json_array_foreach(json_object_get(x->doc, "variables"), i, row)
	{
		if (str_eq(doc_text(row, "name"), name))
			return row;
		if (older && str_eq(doc_text(row, "name"), older))
			found = row;
	}
	return found;
}

const char *exam_value(const struct sql_exam *x, const char *name, const char *older)
{
	return doc_text(exam_variable(x, name, older), "value");
}

bool exam_on(const char *v)
{
	return option_on(v) && *v;
}

/* Part's rows could not be had: says so, and true. */
bool exam_missing(const struct sql_exam *x, const char *part, struct verdict *v)
{
	const char *why = json_string_value(json_object_get(json_object_get(x->doc, "trouble"), part));
	if (!why)
		return false;
	say_wrong(v, "cannot be seen: %.300s", why);
	say_fix(v, "give account %s what `hactl doctor --grants` prints", x->account);
	return true;
}

bool exam_replicates(const struct sql_exam *x)
{
	return json_array_size(json_object_get(x->doc, "replica")) > 0;
}

const char *exam_word(const struct sql_exam *x, const char *mysql, const char *maria)
{
	return exam_mariadb(x) ? maria : mysql;
}

/* --- what it will be after a restart ------------------------------------------------------------------------------------------ */

enum boot { BOOT_UNKNOWN, BOOT_OFF, BOOT_ON };

static enum boot from_persisted(const struct sql_exam *x, const char *name)
{
	const json_t *row;
	size_t i;
	json_array_foreach(json_object_get(x->doc, "persisted"), i, row)
	{
		if (str_eq(doc_text(row, "name"), name))
			return exam_on(doc_text(row, "value")) ? BOOT_ON : BOOT_OFF;
	}
	return BOOT_UNKNOWN;
}

static enum boot from_origin(const struct sql_exam *x, const char *name, const char *older)
{
	const json_t *row = exam_variable(x, name, older);
	const char *origin = doc_text(row, "origin");
	if (!row || !*origin || str_eq(origin, "SQL") || str_eq(origin, "DYNAMIC"))
		return BOOT_UNKNOWN;
	if (str_eq(origin, "COMPILED") || str_eq(origin, "COMPILE-TIME"))
		return BOOT_OFF;
	/* MySQL: SET GLOBAL read_only = OFF clears super_read_only without a trace in the origin */
	return exam_on(doc_text(row, "value")) ? BOOT_ON : BOOT_UNKNOWN;
}

/* where: the file's name, or why nothing is known. */
static enum boot boot_of(const struct sql_exam *x, const char *name, const char *older, const char **where)
{
	enum boot b = from_persisted(x, name);
	const json_t *options = json_object_get(x->files, "options"), *option = json_object_get(options, name);
	*where = "mysqld-auto.cnf";
	if (b != BOOT_UNKNOWN)
		return b;
	if (json_is_true(json_object_get(x->files, "seen"))) {
		bool set =
			json_is_object(option) || json_is_object(option = json_object_get(options, older ? older : ""));
		*where = set ? doc_text(option, "path") : doc_text(x->files, "where");
		return set && option_on(doc_text(option, "value")) ? BOOT_ON : BOOT_OFF;
	}
	b = from_origin(x, name, older);
	*where = b != BOOT_UNKNOWN ? "its files, as it says"
		 : x->local	   ? doc_text(x->files, "why")
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
		say_wrong(v, "%s is not ON in %s: %s", name, *where ? where : "any option file", harm);
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
	bool m = exam_mariadb(x);
	judge_boot(x, m ? "read_only" : "super_read_only", NULL,
		"a reboot brings this server up writable beside the primary",
		m ? "in the server's option file: [mysqld] read_only = ON   (container: command --read-only)"
		  : "SET PERSIST_ONLY super_read_only = ON;   (as an administrator; lasts in a container with its "
		    "volume), or in the option file: [mysqld] super_read_only = ON",
		v);
}

static void check_boot_start(const struct sql_exam *x, struct verdict *v)
{
	bool m = exam_mariadb(x);
	judge_boot(x, m ? "skip_slave_start" : "skip_replica_start", m ? "skip_replica_start" : "skip_slave_start",
		"a reboot begins to replicate before hactl knows whom to follow",
		m ? "in the server's option file: [mysqld] skip_slave_start"
		  : "SET PERSIST_ONLY skip_replica_start = ON;   (as an administrator), or in the option file: "
		    "[mysqld] skip_replica_start = ON",
		v);
}

/* MariaDB gives back at recovery what a crashed semi-sync primary had not had acknowledged, if it starts as a replica. */
static void check_boot_role(const struct sql_exam *x, struct verdict *v)
{
	const json_t *o = json_object_get(json_object_get(x->files, "options"), "init_rpl_role");
	if (!exam_mariadb(x) || !x->semi_sync)
		say_ok(v, "not needed here");
	else if (!x->local)
		say_unseen(v, "not known from here: its files are seen from its own node only");
	else if (!json_is_true(json_object_get(x->files, "seen")))
		say_note(v, "what the file says of init_rpl_role is not known: %s", doc_text(x->files, "why"));
	else if (strcasecmp(doc_text(o, "value"), "SLAVE") == 0 || str_eq(doc_text(o, "value"), "1"))
		say_ok(v, "init_rpl_role is SLAVE (%s)", doc_text(o, "path"));
	else
		say_wrong(v,
			"init_rpl_role is not SLAVE in %s: after a crash as primary it keeps rows that nobody "
			"acknowledged",
			doc_text(x->files, "where"));
	if (v->severity >= SEV_NOTE)
		say_fix(v, "in the server's option file: [mysqld] init_rpl_role = SLAVE, rpl_semi_sync_slave_enabled = "
			   "ON");
}

/* --- settings --------------------------------------------------------------------------------------------------------------- */

static void check_binlog(const struct sql_exam *x, struct verdict *v)
{
	if (exam_missing(x, "variables", v))
		return;
	if (exam_on(exam_value(x, "log_bin", NULL))) {
		say_ok(v, "on");
		return;
	}
	say_wrong(v, "the binary log is off: nothing can replicate from this server");
	say_fix(v, "in the option file: [mysqld] log_bin = bin   (restart)");
}

static void check_gtid(const struct sql_exam *x, struct verdict *v)
{
	const char *mode = exam_value(x, "gtid_mode", NULL);
	if (exam_mariadb(x)) {
		bool strict = exam_on(exam_value(x, "gtid_strict_mode", NULL));
		if (strict)
			say_ok(v, "gtid_strict_mode is ON");
		else
			say_note(v, "gtid_strict_mode is OFF: out-of-order transactions are taken without an error");
		if (!strict)
			say_fix(v, "SET GLOBAL gtid_strict_mode = ON;   and in the option file");
		return;
	}
	if (str_eq(mode, "ON") && exam_on(exam_value(x, "enforce_gtid_consistency", NULL))) {
		say_ok(v, "gtid_mode is ON");
		return;
	}
	say_wrong(v, "gtid_mode is %s, enforce_gtid_consistency %s: positions of the two servers cannot be compared",
		*mode ? mode : "not known", exam_value(x, "enforce_gtid_consistency", NULL));
	say_fix(v, "SET GLOBAL enforce_gtid_consistency = ON; SET GLOBAL gtid_mode = OFF_PERMISSIVE; SET GLOBAL "
		   "gtid_mode = ON_PERMISSIVE; SET GLOBAL gtid_mode = ON;\nand in the option file: [mysqld] gtid_mode "
		   "= ON, enforce_gtid_consistency = ON");
}

static void check_updates(const struct sql_exam *x, struct verdict *v)
{
	if (exam_on(exam_value(x, "log_replica_updates", "log_slave_updates"))) {
		say_ok(v, "logged");
		return;
	}
	say_wrong(v,
		"what it replicates is not in its own binary log: after a takeover nobody can replicate it from here");
	say_fix(v, "in the option file: [mysqld] %s = ON   (restart)",
		exam_word(x, "log_replica_updates", "log_slave_updates"));
}

/* MySQL is to lose the setting: row format is then the only one. */
static void check_format(const struct sql_exam *x, struct verdict *v)
{
	const char *format = exam_value(x, "binlog_format", NULL);
	if (!*format || str_eq(format, "ROW")) {
		say_ok(v, "ROW");
		return;
	}
	say_wrong(v, "binlog_format is %s: statements can give other rows on the standby", format);
	say_fix(v, "SET GLOBAL binlog_format = 'ROW';   and in the option file: [mysqld] binlog_format = ROW");
}

static void check_server_id(const struct sql_exam *x, struct verdict *v)
{
	const char *id = exam_value(x, "server_id", NULL);
	if (*id && !str_eq(id, "0")) {
		say_ok(v, "%s", id);
		return;
	}
	say_wrong(v, "server_id is 0: it can neither send nor take replication");
	say_fix(v, "in the option file of each node another number: [mysqld] server_id = 1");
}

static void check_sync_binlog(const struct sql_exam *x, struct verdict *v)
{
	const char *n = exam_value(x, "sync_binlog", NULL);
	if (str_eq(n, "1")) {
		say_ok(v, "1");
		return;
	}
	say_wrong(v, "sync_binlog is %s: when its power fails, what it acknowledged may be missing from its binary log",
		n);
	say_fix(v, "SET GLOBAL sync_binlog = 1;   and in the option file");
}

/* MariaDB at 1 leaves the last commits only prepared on the disk, because the binary log has them; and one that starts as a semi-sync replica
 * takes prepared transactions at that log's end back, those that a primary alone had acknowledged among them (seen with 10.11). 3 flushes
 * before the client hears of it. */
static void check_flush(const struct sql_exam *x, struct verdict *v)
{
	const char *n = exam_value(x, "innodb_flush_log_at_trx_commit", NULL), *want = exam_mariadb(x) ? "3" : "1";

	if (str_eq(n, want) || (str_eq(n, "1") && !x->semi_sync)) {
		say_ok(v, "%s", n);
		return;
	}
	if (str_eq(n, "1"))
		say_wrong(v, "innodb_flush_log_at_trx_commit is 1: after a crash as a primary without standby, what it "
			     "acknowledged last may be taken back with what nobody acknowledged");
	else
		say_wrong(v,
			"innodb_flush_log_at_trx_commit is %s: when its power fails, acknowledged rows may be gone", n);
	say_fix(v, "SET GLOBAL innodb_flush_log_at_trx_commit = %s;   and in the option file", want);
}

/* --- semi-sync ----------------------------------------------------------------------------------------------------------------- */

static void check_semi_plugins(const struct sql_exam *x, struct verdict *v)
{
	bool source = exam_variable(x, "rpl_semi_sync_source_enabled", "rpl_semi_sync_master_enabled");
	bool replica = exam_variable(x, "rpl_semi_sync_replica_enabled", "rpl_semi_sync_slave_enabled");
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
	const char *point = exam_value(x, "rpl_semi_sync_source_wait_point", "rpl_semi_sync_master_wait_point");
	if (!x->semi_sync || !*point || str_eq(point, "AFTER_SYNC")) {
		say_ok(v, "%s", *point ? point : "not used");
		return;
	}
	say_wrong(v,
		"the wait point is %s: other clients see a row before the standby has it, and it can vanish in a "
		"failover",
		point);
	say_fix(v, "SET GLOBAL rpl_semi_sync_%s_wait_point = 'AFTER_SYNC';   and in the option file",
		exam_variable(x, "rpl_semi_sync_source_wait_point", NULL) ? "source" : "master");
}

static void check_semi_source(const struct sql_exam *x, struct verdict *v)
{
	const json_t *row = exam_variable(x, "rpl_semi_sync_source_enabled", "rpl_semi_sync_master_enabled");
	if (!exam_replicates(x) || !exam_on(doc_text(row, "value"))) {
		say_ok(v, "%s", exam_replicates(x) ? "off on the replica" : "hactl's to switch on the primary");
		return;
	}
	say_wrong(v, "the source side of semi-sync is on at a replica: it stalls the applier, and a failover then "
		     "loses what was received and not applied");
	say_fix(v, "SET GLOBAL %s = OFF;   and take it out of the option file", doc_text(row, "name"));
}

/* --- reseed ------------------------------------------------------------------------------------------------------------------------ */

static void check_reseed(const struct sql_exam *x, struct verdict *v)
{
	if (!x->clone) {
		say_ok(v, "not by CLONE");
	} else if (exam_mariadb(x)) {
		say_wrong(v,
			"mysql.reseed is \"clone\", and MariaDB has no CLONE: a quarantined node is not brought back");
		say_fix(v, "mysql.reseed = \"/usr/lib/hactl/reseed-mariadb\"");
	} else if (!exam_variable(x, "clone_valid_donor_list", NULL)) {
		say_wrong(v, "mysql.reseed is \"clone\", and the plugin is not loaded: a quarantined node is not "
			     "brought back");
		say_fix(v, "INSTALL PLUGIN clone SONAME 'mysql_clone.so';   (or in the option file: [mysqld] "
			   "plugin_load_add = mysql_clone.so)");
	} else {
		say_ok(v, "the clone plugin is loaded");
	}
}

/* --- the table ------------------------------------------------------------------------------------------------------------------------ */

static const struct {
	const char *title;
	sql_check_fn *judge;
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
	{ "encryption", check_encryption },
	{ "delay", check_delay },
	{ "reconnecting", check_retry },
	{ "replication heartbeat", check_heartbeat },
	{ "net timeout", check_net_timeout },
	{ "filters", check_filters },
	{ "reseed", check_reseed },
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
