/* routines.c - what the helper's routines share, and the table sqlproc_main gets. */
#include "replication/routines.h"

const struct sql_routine replication_sql_routines[] = {
	{ "observe", routine_observe },
	{ "ping", routine_ping },
	{ "promote", routine_promote },
	{ "verify", routine_verify },
	{ "forget", routine_forget },
	{ "freeze", routine_freeze },
	{ "abort", routine_abort },
	{ "unfreeze", routine_unfreeze },
	{ "demote", routine_demote },
	{ "at_rest", routine_at_rest },
	{ "position", routine_position },
	{ "reach", routine_reach },
	{ "receive", routine_receive },
	{ "follow", routine_follow },
	{ "sync_on", routine_sync_on },
	{ "sync_off", routine_sync_off },
	{ "kill_clients", routine_kill_clients },
	{ "precheck", routine_precheck },
	{ "examine", routine_examine },
	{ "examine_admin", routine_examine_admin },
	{ "examine_self", routine_examine_self },
	{ "export", routine_export },
	{ "clone", routine_clone },
	{ "cloned", routine_cloned },
	{ "events", routine_events },
	{ "events_on", routine_events_on },
	{ "events_off", routine_events_off },
	{ NULL, NULL },
};

/* --- arguments and result ---------------------------------------------------------------------------------------------- */

int task_open(struct task *t, void *db, const char *args, char *out, size_t cap, struct err *e)
{
	us_t given;
	*t = (struct task){ .db = db, .out = out, .cap = cap };
	t->args = args && args[0] ? json_loads(args, 0, NULL) : json_object();
	if (!json_is_object(t->args))
		return err_set(e, "the arguments are not a JSON object");
	given = task_int(t, "timeout_ms") * US_PER_MS;
	t->end = now_us() + given - given / 10;
	t->dialect = dialect_of(db, e);
	return t->dialect ? 0 : -1;
}

void task_close(struct task *t)
{
	json_decref(t->args);
}

us_t task_left(const struct task *t)
{
	us_t left = t->end - now_us();
	return left > 0 ? left : 0;
}

const char *task_text(const struct task *t, const char *key)
{
	return row_text(t->args, key);
}

int64_t task_int(const struct task *t, const char *key)
{
	return json_integer_value(json_object_get(t->args, key));
}

bool task_bool(const struct task *t, const char *key)
{
	return json_is_true(json_object_get(t->args, key));
}

const char *task_stmt(const struct task *t, enum stmt s)
{
	return t->dialect->text[s];
}

int task_say(struct task *t, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(t->out, t->cap, fmt, ap);
	va_end(ap);
	return 0;
}

/* --- state both dialects have --------------------------------------------------------------------------------------------- */

void channel_of_row(const json_t *row, struct channel *c)
{
	size_t len = 0;

	c->configured = true;
	c->io_running = row_yes(row, "Slave_IO_Running");
	c->connecting = str_eq(row_text(row, "Slave_IO_Running"), "Connecting") ||
			str_eq(row_text(row, "Slave_IO_Running"), "Preparing");
	c->sql_running = row_yes(row, "Slave_SQL_Running");
	STR_COPY(c->host, row_text(row, "Master_Host"));
	c->port = (int)row_int(row, "Master_Port", 0);
	c->gtid = !str_eq(row_text(row, "Using_Gtid"), "No");
	c->io_errno = (int)row_int(row, "Last_IO_Errno", 0);
	c->sql_errno = (int)row_int(row, "Last_SQL_Errno", 0);
	STR_COPY(c->io_error, row_text(row, "Last_IO_Error"));
	STR_COPY(c->sql_error, row_text(row, "Last_SQL_Error"));
	STR_COPY(c->applier, row_text(row, "Slave_SQL_State"));
	STR_COPY(c->backup, row_text(row, "backup"));
	c->delay_s = row_int(row, "SQL_Delay", 0);
	c->lag_s = row_int(row, "Seconds_Behind_Master", -1);
	STR_COPY(c->received, row_text(row, "Gtid_IO_Pos"));
	STR_COPY(c->read_file, row_text(row, "Master_Log_File"));
	STR_COPY(c->exec_file, row_text(row, "Relay_Master_Log_File"));
	STR_COPY(c->read_pos, row_text(row, "Read_Master_Log_Pos"));
	STR_COPY(c->exec_pos, row_text(row, "Exec_Master_Log_Pos"));
	if (row_has(row, "arrival"))
		STR_COPY(c->arrival, row_text(row, "arrival"));
	else
		str_add(c->arrival, sizeof(c->arrival), &len, "%s/%s/%s", row_text(row, "Slave_received_heartbeats"),
			c->read_file, c->read_pos);
}

/* "Waiting for table metadata lock", "… global read lock", "… backup lock", "… commit lock" (MariaDB and MySQL, stage names). */
bool applier_waits(const struct channel *c)
{
	return c->sql_running && str_starts(c->applier, "Waiting for ") && strstr(c->applier, " lock");
}

const char *set_text(const json_t *sets, size_t i)
{
	json_t *row = json_array_get(json_array_get(sets, i), 0);
	const char *text = json_string_value(json_object_iter_value(json_object_iter(row)));
	return text ? text : "";
}

int channel_read(struct task *t, struct channel *c, struct err *e)
{
	json_t *sets = sql_fetch(t->db, e, task_stmt(t, ST_REPLICA)), *rows = json_array_get(sets, 0);
	memset(c, 0, sizeof(*c));
	if (!sets)
		return -1;
	c->count = json_array_size(rows);
	if (c->count)
		channel_of_row(json_array_get(rows, 0), c);
	json_decref(sets);
	return c->count > 1 ? err_set(e, "%zu replication sources are configured; a pair has one", c->count) : 0;
}

int read_only(struct task *t, struct err *e)
{
	char v[32];
	if (sql_value(t->db, v, sizeof(v), e, task_stmt(t, ST_READ_ONLY)) < 0)
		return -1;
	return atoi(v) > WRITES_SHUT ? WRITES_SHUT : atoi(v);
}

int set_semi_source(struct task *t, bool on, struct err *e)
{
	struct err ignored;
	const struct semi_words *w = semi_words_of(t->db, on ? e : &ignored);
	if (!w)
		return on || mysql_errno(t->db) ? -1 : 0; /* no plugin: it is off */
	return sql_run(t->db, e, "SET GLOBAL rpl_semi_sync_%s_enabled = %d", w->source, on);
}

int executed_set(struct task *t, char *out, size_t size, struct err *e)
{
	json_t *sets;
	if (!t->dialect->mariadb)
		return sql_value(t->db, out, size, e, task_stmt(t, ST_EXECUTED));
	sets = sql_fetch(t->db, e, "%s; %s", task_stmt(t, ST_EXECUTED), task_stmt(t, ST_APPLIED));
	if (!sets)
		return -1;
	gtid_merge_states(set_text(sets, 0), set_text(sets, 1), out, size);
	json_decref(sets);
	return 0;
}

int drained(struct task *t, const struct channel *c, char *have, struct err *e)
{
	if (executed_set(t, have, GTID_TEXT, e) < 0)
		return -1;
	if (!c->gtid)
		return str_eq(c->read_file, c->exec_file) && str_eq(c->read_pos, c->exec_pos);
	return gtid_contains(t->dialect->mariadb, have, c->received) == 1;
}

/* --- small routines -------------------------------------------------------------------------------------------------------- */

int routine_ping(void *db, const char *args, char *out, size_t cap, struct err *e)
{
	(void)args;
	(void)out;
	(void)cap;
	return sql_run(db, e, "DO 0");
}

int routine_position(void *db, const char *args, char *out, size_t cap, struct err *e)
{
	auto_task struct task t;
	if (task_open(&t, db, args, out, cap, e) < 0)
		return -1;
	return sql_value(db, out, cap, e, task_stmt(&t, ST_POSITION));
}

int routine_kill_clients(void *db, const char *args, char *out, size_t cap, struct err *e)
{
	auto_task struct task t;
	char refused[128] = "";
	size_t ended = 0;
	if (task_open(&t, db, args, out, cap, e) < 0 || end_sessions(&t, &ended, refused, sizeof(refused), e) < 0)
		return -1;
	return task_say(&t, "%zu client sessions ended%s%s", ended, refused[0] ? "; not ours to end: " : "", refused);
}
