/* cmd_doctor_accounts.c - what accounts may do on a MySQL or MariaDB: hactl's own, events' definers, writers past read_only. Pure. */
#include "hactl/cli/cmd_doctor_sql.h"

#include <strings.h>

/* --- accounts --------------------------------------------------------------------------------------------------------------------- */

static bool holds(const json_t *rows, const char *privilege)
{
	const json_t *row;
	size_t i;
	json_array_foreach(rows, i, row)
	{
		if (strcasecmp(doc_text(row, "privilege"), privilege) == 0)
			return true;
	}
	return false;
}

static bool listed(const char *const *list, const char *name)
{
	for (; *list; list++)
		if (strcasecmp(*list, name) == 0)
			return true;
	return false;
}

static const char *const *events_needed(const struct sql_exam *x)
{
	return grants_events(exam_mariadb(x), (int)json_integer_value(json_object_get(x->doc, "number")));
}

/* SYSTEM_USER: only where events have such a definer, which is not seen here. */
static bool for_events(const struct sql_exam *x, const char *privilege)
{
	return x->events &&
	       (listed(events_needed(x), privilege) || (!exam_mariadb(x) && str_eq(privilege, "SYSTEM_USER")));
}

static void judge_surplus(const struct sql_exam *x, const json_t *rows, struct verdict *v)
{
	const json_t *row;
	size_t i, len = 0;
	char surplus[300] = "";
	json_array_foreach(rows, i, row)
	{
		const char *p = doc_text(row, "privilege");
		if (!str_eq(p, "USAGE") && !listed(grants_needed(exam_mariadb(x)), p) &&
			!listed(grants_reseed(exam_mariadb(x)), p) && !for_events(x, p))
			str_add(surplus, sizeof(surplus), &len, "%s%s", len ? ", " : "", p);
	}
	if (!len) {
		say_ok(v, "account %s has what it needs and no more", x->account);
		return;
	}
	say_note(v, "account %s may do more than hactl needs: %s", x->account, surplus);
	say_fix(v, "REVOKE %s ON *.* FROM '%s'@'%%';   (on the primary, with the account's own host part)", surplus,
		x->account);
}

struct lack {
	const char *list[32];
	size_t n, len;
	char names[300];
};

static void look_for(const json_t *rows, const char *const *needed, struct lack *l)
{
	for (; *needed && l->n < ARRAY_LEN(l->list); needed++) {
		if (holds(rows, *needed))
			continue;
		str_add(l->names, sizeof(l->names), &l->len, "%s%s", l->n ? ", " : "", *needed);
		l->list[l->n++] = *needed;
	}
}

void check_privileges(const struct sql_exam *x, struct verdict *v)
{
	const json_t *rows = json_object_get(x->doc, "privileges");
	struct lack l = { .n = 0 };
	size_t needed;
	if (exam_missing(x, "privileges", v))
		return;
	look_for(rows, grants_needed(exam_mariadb(x)), &l);
	if (x->clone)
		look_for(rows, grants_reseed(exam_mariadb(x)), &l);
	needed = l.n;
	if (x->events)
		look_for(rows, events_needed(x), &l);
	if (l.n == 0) {
		judge_surplus(x, rows, v);
		return;
	}
	auto_free char *grant = grants_statement(l.list, l.n, x->account);
	if (json_array_size(json_object_get(x->doc, "roles")))
		say_note(v, "account %s has not by itself: %s; whether a role gives them is not examined", x->account,
			l.names);
	else
		say_wrong(v, "account %s lacks: %s", x->account, l.names);
	say_fix(v, "%s   (on the primary, with the account's own host part)%s", grant,
		needed < l.n ? "\nor, to switch scheduled events yourself: mysql.events = \"leave\"" : "");
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
	return str_eq(doc_text(event, "status"), "ENABLED");
}

/* MySQL's stops by itself under super_read_only, and goes on after it (seen on 9.7). */
static bool scheduler_stopped(const struct sql_exam *x)
{
	return !exam_mariadb(x) && exam_on(exam_value(x, "super_read_only", NULL));
}

/* MariaDB's scheduler runs under read_only, from the server's start on: such an event may write to a standby before it is disabled. */
static bool definer_passes(const struct sql_exam *x, const json_t *event)
{
	const char *definer = doc_text(event, "definer"), *at = strrchr(definer, '@');
	const json_t *row;
	size_t i;

	json_array_foreach(json_object_get(x->admin, "privileged"), i, row)
	{
		char account[300];
		snprintf(account, sizeof(account), "'%.*s'@'%s'", at ? (int)(at - definer) : 0, definer,
			at ? at + 1 : "");
		if (str_eq(doc_text(row, "account"), account))
			return true;
	}
	return false;
}

static bool note_passing(const struct sql_exam *x, const json_t *event, struct verdict *v)
{
	if (str_eq(doc_text(event, "status"), "DISABLED") || !definer_passes(x, event))
		return false;
	say_note(v,
		"event %s has a definer that read_only does not stop, %s: after a crash it may run on the standby "
		"before hactl has disabled it",
		doc_text(event, "name"), doc_text(event, "definer"));
	say_fix(v,
		"ALTER DEFINER = 'account'@'host' EVENT %s COMMENT '';   with an account that has neither SUPER nor "
		"READ_ONLY ADMIN",
		doc_text(event, "name"));
	return true;
}

static void judge_event(const struct sql_exam *x, const json_t *event, struct verdict *v)
{
	const char *name = doc_text(event, "name"), *status = doc_text(event, "status");
	bool side = strstr(status, "SIDE_DISABLED");
	if (str_eq(doc_text(event, "known"), "0")) {
		say_wrong(v, "event %s has the definer %s, and there is no such account: it fails whenever it runs",
			name, doc_text(event, "definer"));
		say_fix(v, "CREATE USER for that definer, or: ALTER DEFINER = 'account'@'host' EVENT %s COMMENT '';",
			name);
	} else if (exam_replicates(x) && runs_here(event) && !scheduler_stopped(x)) {
		say_wrong(v, "event %s is enabled on a replica: it runs on both nodes", name);
		say_fix(v, "SET SESSION sql_log_bin = 0; ALTER DEFINER = %s EVENT %s DISABLE ON %s;",
			doc_text(event, "definer"), name, exam_word(x, "REPLICA", "SLAVE"));
	} else if (!exam_replicates(x) && side) {
		say_wrong(v, "event %s came by replication and is disabled on this primary: it runs nowhere", name);
		say_fix(v, "SET SESSION sql_log_bin = 0; ALTER DEFINER = %s EVENT %s ENABLE;",
			doc_text(event, "definer"), name);
	}
}

void check_events(const struct sql_exam *x, struct verdict *v)
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
	json_array_foreach(rows, i, event)
	{
		if (!runs_here(event) || !str_eq(exam_value(x, "event_scheduler", NULL), "OFF"))
			continue;
		say_note(
			v, "event %s is enabled, and event_scheduler is OFF: it does not run", doc_text(event, "name"));
		say_fix(v, "SET GLOBAL event_scheduler = ON;   and in both option files");
		return;
	}
	json_array_foreach(rows, i, event)
	{
		if (note_passing(x, event, v))
			return;
	}
	say_ok(v, "%zu, each with its definer and on its side", json_array_size(rows));
}

/* The server's own accounts, for those who are on the machine anyway. */
static bool local_administrator(const char *account)
{
	return strstr(account, "'@'localhost'") || strstr(account, "'@'127.0.0.1'") || strstr(account, "'@'::1'");
}

void check_writers(const struct sql_exam *x, struct verdict *v)
{
	const json_t *row;
	size_t i, len = 0;
	char names[300] = "", ours[80];
	if (!exam_mariadb(x)) {
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
		const char *account = doc_text(row, "account");
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
