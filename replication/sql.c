/* sql.c - statements and results inside the helper process. */
#include "replication/sql.h"

#include <strings.h>

static int sql_error(MYSQL *db, struct err *e)
{
	return err_set(e, "%s (error %u)", mysql_error(db), mysql_errno(db));
}

static int vquery(MYSQL *db, struct err *e, const char *fmt, va_list ap)
{
	auto_free char *stmt = NULL;
	int n = vasprintf(&stmt, fmt, ap);
	if (n < 0)
		abort();
	return mysql_real_query(db, stmt, (unsigned long)n) ? sql_error(db, e) : 0;
}

/* Must be called to the end: a result left unread makes the next statement fail with "commands out of sync". */
static int next_result(MYSQL *db, struct err *e)
{
	int r = mysql_next_result(db);
	return r > 0 ? sql_error(db, e) : r == 0;
}

static int drain(MYSQL *db, struct err *e)
{
	int more;
	do {
		MYSQL_RES *res = mysql_store_result(db);
		if (res)
			mysql_free_result(res);
		else if (mysql_field_count(db))
			return sql_error(db, e);
		more = next_result(db, e);
	} while (more > 0);
	return more;
}

int sql_run(MYSQL *db, struct err *e, const char *fmt, ...)
{
	va_list ap;
	int r;
	va_start(ap, fmt);
	r = vquery(db, e, fmt, ap);
	va_end(ap);
	return r < 0 ? r : drain(db, e);
}

static int first_value(MYSQL *db, char *out, size_t size, struct err *e)
{
	MYSQL_RES *res = mysql_store_result(db);
	MYSQL_ROW row = res ? mysql_fetch_row(res) : NULL;
	bool fits = true;
	if (!res && mysql_field_count(db))
		return sql_error(db, e);
	fits = str_copy(out, size, row && row[0] ? row[0] : "");
	if (res)
		mysql_free_result(res);
	return fits ? 0 : err_set(e, "the server's answer is too long (more than %zu characters)", size - 1);
}

int sql_value(MYSQL *db, char *out, size_t size, struct err *e, const char *fmt, ...)
{
	va_list ap;
	int r, more;
	va_start(ap, fmt);
	r = vquery(db, e, fmt, ap);
	va_end(ap);
	if (r < 0)
		return r;
	r = first_value(db, out, size, e);
	more = next_result(db, e);
	if (more > 0)
		more = drain(db, e);
	return r < 0 || more < 0 ? -1 : 0;
}

static json_t *rows_of(MYSQL_RES *res)
{
	json_t *rows = json_array();
	const MYSQL_FIELD *field = mysql_fetch_fields(res);
	unsigned n = mysql_num_fields(res);
	MYSQL_ROW row;

	while ((row = mysql_fetch_row(res))) {
		json_t *object = json_object();
		for (unsigned i = 0; i < n; i++) /* a server may answer bytes that are no UTF-8: those become null */
			json_object_set_new(object, field[i].name, row[i] ? json_string(row[i]) : json_null());
		json_array_append_new(rows, object);
	}
	return rows;
}

json_t *sql_fetch(MYSQL *db, struct err *e, const char *fmt, ...)
{
	json_t *sets = json_array();
	va_list ap;
	int more;
	va_start(ap, fmt);
	more = vquery(db, e, fmt, ap) < 0 ? -1 : 1;
	va_end(ap);
	while (more > 0) {
		MYSQL_RES *res = mysql_store_result(db);
		if (!res && mysql_field_count(db)) {
			more = sql_error(db, e);
			break;
		}
		json_array_append_new(sets, res ? rows_of(res) : json_array());
		if (res)
			mysql_free_result(res);
		more = next_result(db, e);
	}
	if (more < 0) {
		json_decref(sets);
		return NULL;
	}
	return sets;
}

bool sql_quote(MYSQL *db, const char *text, char *out, size_t size)
{
	size_t n = strlen(text);
	if (2 * n + 3 > size)
		return false;
	out[0] = '\'';
	n = mysql_real_escape_string(db, out + 1, text, (unsigned long)n);
	memcpy(out + 1 + n, "'", 2);
	return true;
}

const char *row_text(const json_t *row, const char *column)
{
	const char *s = json_string_value(json_object_get(row, column));
	return s ? s : "";
}

bool row_has(const json_t *row, const char *column)
{
	return json_is_string(json_object_get(row, column));
}

int64_t row_int(const json_t *row, const char *column, int64_t otherwise)
{
	const char *s = row_text(row, column);
	char *end;
	long long v = strtoll(s, &end, 10);
	return end == s ? otherwise : v;
}

bool row_yes(const json_t *row, const char *column)
{
	const char *s = row_text(row, column);
	return !strcasecmp(s, "yes") || !strcasecmp(s, "on") || str_eq(s, "1");
}
