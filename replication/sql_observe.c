/* sql_observe.c - one look at a server: role, writability, positions, threads, semi-sync. One statement round trip.
 *
 * While our own clean-up after a promotion waits for a dead source, replication statements queue behind it on the server (seen on both):
 * "brief" leaves them out, so that the observation of a fresh primary does not stall.
 */
#include "replication/routines.h"

/* MySQL begins with "Worker 1 failed executing transaction '…' at source log …, end_log_pos 403; ": what happened comes after. */
static const char *heart_of(const char *error)
{
	const char *at = strstr(error, "end_log_pos "), *end = at ? strstr(at, "; ") : NULL;

	return end && str_starts(error, "Worker ") ? end + 2 : error;
}

static void put_channel(json_t *facts, const struct channel *c)
{
	int number = c->sql_errno ? c->sql_errno : c->io_errno;
	char error[SENTENCE_MAX] = "";

	if (number)
		snprintf(error, sizeof(error), "%s error %d: %.200s", c->sql_errno ? "applier" : "receiver", number,
			heart_of(c->sql_errno ? c->sql_error : c->io_error));
	json_object_set_new(facts, "replica", json_true());
	json_object_set_new(facts, "io", json_boolean(c->io_running));
	json_object_set_new(facts, "sql", json_boolean(c->sql_running));
	json_object_set_new(facts, "connecting", json_boolean(c->connecting));
	json_object_set_new(facts, "source_host", json_string(c->host));
	json_object_set_new(facts, "source_port", json_integer(c->port));
	json_object_set_new(facts, "error",
		json_string(c->count > 1 ? "more than one replication source is configured; a pair has one" : error));
	json_object_set_new(facts, "applier_error", json_integer(c->sql_errno));
	json_object_set_new(facts, "applier_waits", json_string(applier_waits(c) ? c->applier : ""));
	json_object_set_new(facts, "backup", json_string(c->backup));
	json_object_set_new(facts, "delay_s", json_integer(c->delay_s));
	json_object_set_new(facts, "lag_s", json_integer(c->lag_s));
	json_object_set_new(facts, "received", json_string(c->received));
	json_object_set_new(facts, "arrival", json_string(c->arrival));
}

static void put_vars(json_t *facts, const json_t *row, bool mariadb, char *executed)
{
	const char *ro = row_text(row, "read_only");
	if (mariadb)
		gtid_merge_states(row_text(row, "executed"), row_text(row, "applied"), executed, GTID_TEXT);
	else
		str_copy(executed, GTID_TEXT, row_text(row, "executed"));
	json_object_set_new(facts, "version", json_string(row_text(row, "version")));
	json_object_set_new(facts, "origin", json_string(row_text(row, "origin")));
	json_object_set_new(facts, "pid_file", json_string(row_text(row, "pid_file")));
	json_object_set_new(facts, "mariadb", json_boolean(mariadb));
	json_object_set_new(facts, "writable", json_boolean(str_eq(ro, "0") || str_eq(ro, "OFF")));
	json_object_set_new(facts, "executed", json_string(executed));
	json_object_set_new(facts, "purged", json_string(row_text(row, "purged")));
	json_object_set_new(facts, "db_start", json_integer(row_int(row, "db_start", 0)));
	json_object_set_new(facts, "max_connections", json_integer(row_int(row, "max_connections", 0)));
	json_object_set_new(facts, "replicas", json_integer(row_int(row, "replicas", 0)));
}

static void put_semi(json_t *facts, const json_t *rows)
{
	static const struct {
		const char *word, *key;
	} names[] = { { "sync_master_enabled", "semi_source" }, { "sync_source_enabled", "semi_source" },
		{ "sync_slave_enabled", "semi_replica" }, { "sync_replica_enabled", "semi_replica" } },
	  counters[] = { { "_clients", "semi_clients" }, { "_wait_sessions", "semi_waiting" },
		  { "_yes_tx", "semi_acked" }, { "threads_connected", "connections" } };
	size_t i;
	json_t *row;
	json_array_foreach(rows, i, row)
	{
		const char *name = row_text(row, "name");
		for (size_t k = 0; k < ARRAY_LEN(names); k++)
			if (strstr(name, names[k].word) && row_yes(row, "value"))
				json_object_set_new(facts, names[k].key, json_true());
		for (size_t k = 0; k < ARRAY_LEN(counters); k++)
			if (strstr(name, counters[k].word))
				json_object_set_new(facts, counters[k].key, json_integer(row_int(row, "value", 0)));
	}
}

/* A look without the privilege for replication's own status must fail, not show "no replica". */
int routine_observe(void *db, const char *args, char *out, size_t cap, struct err *e)
{
	auto_task struct task t;
	auto_free struct channel *c = xcalloc(1, sizeof(*c));
	auto_free char *executed = xcalloc(1, GTID_TEXT);
	json_t *sets, *facts, *rows;
	bool brief, fits;
	size_t n;

	if (task_open(&t, db, args, out, cap, e) < 0)
		return -1;
	brief = task_bool(&t, "brief");
	{
		auto_free char *stmt =
			brief ? xstrdup(task_stmt(&t, ST_OBSERVE))
			      : str_printf("%s; %s", task_stmt(&t, ST_OBSERVE), task_stmt(&t, ST_REPLICA));
		sets = sql_fetch(db, e, stmt);
	}
	if (!sets)
		return -1;
	facts = json_object();
	put_vars(facts, json_array_get(json_array_get(sets, 0), 0), t.dialect->mariadb, executed);
	put_semi(facts, json_array_get(sets, 1));
	rows = json_array_get(sets, 2);
	c->count = json_array_size(rows);
	if (c->count) {
		channel_of_row(json_array_get(rows, 0), c);
		put_channel(facts, c);
		if (c->gtid)
			json_object_set_new(facts, "unapplied",
				json_integer(gtid_missing(t.dialect->mariadb, c->received, executed)));
		else if (str_eq(c->read_file, c->exec_file) && str_eq(c->read_pos, c->exec_pos))
			json_object_set_new(facts, "unapplied", json_integer(0));
	}
	n = json_dumpb(facts, out, cap, JSON_COMPACT);
	fits = n < cap;
	if (fits)
		out[n] = '\0';
	json_decref(facts);
	json_decref(sets);
	return fits ? 0 : err_set(e, "the server's positions are too long to carry");
}
