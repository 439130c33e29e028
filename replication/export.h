/* export.h - what a server's binary log holds, through the server's own tool (mysqlbinlog, mariadb-binlog). Inside the helper process.
 *
 * The tool is a child of the helper and ends with it. It logs in with the replication account, which may read a binary log, and gets
 * the account as an option file on its standard input: no password stands on a command line or in an environment.
 */
#ifndef REPLICATION_EXPORT_H
#define REPLICATION_EXPORT_H

#include "replication/routines.h"

enum { TOOL_ARGS = 32, TOOL_SAID = 512 };

struct tool {
	char *arg[TOOL_ARGS]; /* owned; without the program */
	size_t n;
	us_t end;
	char said[TOOL_SAID]; /* the last of what it wrote to standard error, for the sentence */
};
#define auto_tool __attribute__((cleanup(tool_free)))
/* Options that every reading needs. own: of this server, else of the other one. */
void tool_init(struct tool *l, const struct task *t, bool own);
void tool_arg(struct tool *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void tool_free(struct tool *l);
/* Runs it with standard output at fd. -1: it could not be started, failed, or did not end in time (then it is killed). */
int tool_run(struct tool *l, const struct task *t, int fd, struct err *e);
/* The same into memory, at most size - 1 bytes: a tool that has more to say is ended there, which is no failure. */
int tool_read(struct tool *l, const struct task *t, char *out, size_t size, struct err *e);

/* MariaDB, started after a crash as a semi-sync replica, takes unacknowledged transactions out of its log and gives their GTIDs again: two
 * servers may then hold different transactions of one GTID. Compares this server's own last transaction, and the last of all, of each domain with the other
 * server's of that GTID. 1 equal (or nothing to compare), 0 different (since: a position before the difference, "" unknown), -1 not known
 * (why says so). */
int same_content(struct task *t, const char *theirs, char *since, size_t size, struct err *why);

#endif
