/* sql.h - inside the helper process: statements and their results over one blocking connection. Rows are JSON objects of column name to
 * string (or null), so that one reader serves every dialect.
 */
#ifndef REPLICATION_SQL_H
#define REPLICATION_SQL_H

#include "hactl/base/base.h"

#include <jansson.h>
#include <mysql.h>

/* Formats are printf's and come from the dialect table, hence no format attribute: a lone per cent sign is written twice.
 *
 * Runs one or more statements (separated by ';') and throws their results away. -1: e has the server's words and number. */
int sql_run(MYSQL *db, struct err *e, const char *fmt, ...);
/* First column of the first row; "" for NULL or no row; "too long" is an error. */
int sql_value(MYSQL *db, char *out, size_t size, struct err *e, const char *fmt, ...);
/* All result sets: array of arrays of row objects. Caller's reference. NULL with e. */
json_t *sql_fetch(MYSQL *db, struct err *e, const char *fmt, ...);
/* Quotes text as a literal, quotes included; false when it does not fit. */
bool sql_quote(MYSQL *db, const char *text, char *out, size_t size);

const char *row_text(const json_t *row, const char *column); /* "" for NULL and for no such column */
bool row_has(const json_t *row, const char *column);	     /* there and not NULL */
int64_t row_int(const json_t *row, const char *column, int64_t otherwise);
bool row_yes(const json_t *row, const char *column); /* "Yes", "ON", "1" */

#endif
