/* cmd_doctor_sql.h - what the judgments of a MySQL or MariaDB share: reading routine "examine"'s document, and the checks themselves, which
 * stand in one table in cmd_doctor_sql.c. */
#ifndef HACTL_CLI_CMD_DOCTOR_SQL_H
#define HACTL_CLI_CMD_DOCTOR_SQL_H

#include "hactl/cli/cmd_doctor.h"

bool exam_mariadb(const struct sql_exam *x);
/* The row of a variable by either of its names (MySQL renamed some); NULL: this server has none. */
const json_t *exam_variable(const struct sql_exam *x, const char *name, const char *older);
const char *exam_value(
	const struct sql_exam *x, const char *name, const char *older); /* "" as well when there is none */
bool exam_on(const char *value);
bool exam_missing(const struct sql_exam *x, const char *part,
	struct verdict *v); /* its rows could not be had: says so, and true */
bool exam_replicates(const struct sql_exam *x);
const char *exam_word(const struct sql_exam *x, const char *mysql, const char *maria); /* the dialect's */

typedef void sql_check_fn(const struct sql_exam *x, struct verdict *v);
sql_check_fn check_privileges, check_events, check_writers; /* cmd_doctor_accounts.c */
sql_check_fn check_encryption, check_channel, check_delay, check_retry, check_heartbeat, check_net_timeout,
	check_filters; /* cmd_doctor_replication.c */

#endif
