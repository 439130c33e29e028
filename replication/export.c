/* export.c - the transactions of this server that the present primary lacks, into a file: readable (rows as comments) and replayable (the
 * server's own client can execute it). Nothing is exported in part: a file has its name only once it is proven whole and on the disk.
 */
#include "replication/export.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct export
{
	struct task *t;
	const char *dir;
	char own[GTID_TEXT], theirs[GTID_TEXT], extra[GTID_TEXT], since[GTID_TEXT];
	bool whole_log; /* MariaDB: there is no position to start after; all that the log still holds */
	char key[GTID_TEXT +
		 64]; /* a line in the file: what this is an export of. The same again needs no second file */
	char name[64], part[520], path[512];
	int64_t transactions, bytes;
};

/* --- what to export -------------------------------------------------------------------------------------------------------- */

static int read_theirs(struct export *x, struct err *e)
{
	struct task p = *x->t;
	struct err why = { "" };
	int r = -1;

	p.db = open_peer(x->t, false, &why);
	if (!p.db)
		return err_set(e, "what the primary lacks is not known: %s", why.text);
	p.dialect = dialect_of(p.db, e);
	if (p.dialect && p.dialect->mariadb != x->t->dialect->mariadb)
		err_set(e, "this server is %s and the primary is %s", x->t->dialect->name, p.dialect->name);
	else if (p.dialect)
		r = executed_set(&p, x->theirs, sizeof(x->theirs), e);
	mysql_close(p.db);
	return r;
}

/* Numbers that were given twice: everything from the first transaction that differs. */
static void read_reused(struct export *x)
{
	struct err why;

	if (same_content(x->t, x->theirs, x->since, sizeof(x->since), &why) != 0)
		return;
	x->whole_log = !x->since[0];
	gtid_as_position(true, x->own, x->extra, sizeof(x->extra));
}

/* Own set first, as ever: the primary goes on meanwhile. */
static int read_sets(struct export *x, struct err *e)
{
	bool mariadb = x->t->dialect->mariadb;
	char start[32]; /* MariaDB: after a restart the same GTIDs need not be the same transactions */

	if (sql_value(x->t->db, start, sizeof(start), e,
		    "SELECT FLOOR(UNIX_TIMESTAMP() - VARIABLE_VALUE) FROM %s WHERE VARIABLE_NAME = 'Uptime'",
		    mariadb ? "information_schema.GLOBAL_STATUS" : "performance_schema.global_status") < 0)
		return -1;
	if (executed_set(x->t, x->own, sizeof(x->own), e) < 0 || read_theirs(x, e) < 0)
		return -1;
	if (gtid_extra(mariadb, x->theirs, x->own, x->extra, sizeof(x->extra)) < 0)
		return err_set(e, "the positions of the two servers are not understood: \"%.100s\" and \"%.100s\"",
			x->own, x->theirs);
	if (mariadb && !x->extra[0])
		read_reused(x);
	else if (mariadb)
		x->whole_log = gtid_before_extra(x->theirs, x->own, x->since, sizeof(x->since)) != 0;
	snprintf(x->key, sizeof(x->key), "-- of: server start %s, %s", mariadb ? start : "any", x->own);
	return 0;
}

/* --- the file ------------------------------------------------------------------------------------------------------------------ */

static bool is_export(const char *name)
{
	size_t n = strlen(name);
	return str_starts(name, "divergent-") && n > 4 && str_eq(name + n - 4, ".sql");
}

/* A whole export of just this, from before: its name, or false. */
static bool find_former(struct export *x)
{
	DIR *d = opendir(x->dir);
	auto_free char *line = NULL;
	const struct dirent *f;
	size_t cap = 0;
	bool found = false;

	while (d && !found && (f = readdir(d))) {
		auto_free char *path = is_export(f->d_name) ? str_printf("%s/%s", x->dir, f->d_name) : NULL;
		auto_file FILE *in = path ? fopen(path, "re") : NULL;

		for (int i = 0; in && !found && i < 8 && getline(&line, &cap, in) > 0; i++) {
			line[strcspn(line, "\n")] = '\0';
			found = str_eq(line, x->key);
		}
		if (found) {
			STR_COPY(x->name, f->d_name);
			STR_COPY(x->path, path);
		}
	}
	if (d)
		closedir(d);
	return found;
}

static void name_it(struct export *x, int attempt)
{
	time_t now = (time_t)(wall_us() / US_PER_SEC);
	char at[32], more[16] = "";
	struct tm tm;

	gmtime_r(&now, &tm);
	strftime(at, sizeof(at), "%Y%m%dT%H%M%SZ", &tm);
	if (attempt)
		snprintf(more, sizeof(more), "-%d", attempt);
	snprintf(x->name, sizeof(x->name), "divergent-%s%s.sql", at, more);
	snprintf(x->path, sizeof(x->path), "%s/%s", x->dir, x->name);
	snprintf(x->part, sizeof(x->part), "%s.part", x->path);
}

/* A new file, and never one that is there. */
static int make_part(struct export *x, struct err *e)
{
	for (int i = 0; i < 100; i++) {
		int fd;

		name_it(x, i);
		if (access(x->path, F_OK) == 0)
			continue;
		fd = open(x->part, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC | O_APPEND, 0600);
		if (fd >= 0 || errno != EEXIST)
			return fd >= 0 ? fd : err_set(e, "%s cannot be written: %s", x->part, strerror(errno));
	}
	return err_set(e, "there is no free name for an export in %s", x->dir);
}

static int write_head(struct export *x, int fd, struct err *e)
{
	char at[32];
	int r;

	wall_text(wall_us(), at);
	r = dprintf(fd,
		"-- hactl, %s: transactions of the server at %s that the primary at %s lacks\n"
		"%s\n"
		"-- lacking: %s\n"
		"-- Rows stand in the comments that begin with ###; @1 is the first column. This file can be replayed "
		"by the\n"
		"-- server's own client (it then keeps these transactions' GTIDs); read it first.\n",
		at, task_text(x->t, "own_host"), task_text(x->t, "host"), x->key, x->extra);
	return r < 0 ? err_set(e, "%s cannot be written: %s", x->part, strerror(errno)) : 0;
}

/* --- is it whole? -------------------------------------------------------------------------------------------------------------- */

/* "…GTID_NEXT= 'uuid:N'…" or "… GTID 0-1-5 trans": the GTID a line names, false for none. */
static bool gtid_of_line(const char *line, bool mariadb, char out[96])
{
	const char *p = mariadb ? strstr(line, "\tGTID ") : strstr(line, "SESSION.GTID_NEXT= '");
	size_t n;

	if (!p || line[0] != (mariadb ? '#' : 'S'))
		return false;
	p += mariadb ? 6 : strlen("SESSION.GTID_NEXT= '");
	n = strcspn(p, mariadb ? " \n" : "'\n");
	snprintf(out, 96, "%.*s", (int)(n < 95 ? n : 95), p);
	return strcmp(out, "AUTOMATIC") != 0;
}

/* MySQL's tool gives exactly what was asked for, so the count proves it; MariaDB's gives a stretch of the log in order, so the state
 * that its end leaves does. */
static int prove(struct export *x, int fd, struct err *e)
{
	bool mariadb = x->t->dialect->mariadb, end = false;
	auto_free char *line = NULL, *state = xcalloc(2, GTID_TEXT);
	char *merged = state + GTID_TEXT, gtid[96];
	auto_file FILE *in = fdopen(dup(fd), "r");
	size_t cap = 0;

	if (!in || fseek(in, 0, SEEK_SET) < 0)
		return err_set(e, "%s cannot be read: %s", x->part, strerror(errno));
	while (getline(&line, &cap, in) > 0) {
		end = end || str_starts(line, "# End of log file");
		if (!gtid_of_line(line, mariadb, gtid))
			continue;
		x->transactions++;
		if (mariadb) {
			gtid_merge_states(state, gtid, merged, GTID_TEXT);
			str_copy(state, GTID_TEXT, merged);
		}
	}
	if (!end)
		return err_set(e, "the export is cut short (is the disk full?)");
	if (mariadb ? gtid_contains(true, state, x->extra) != 1 : x->transactions != gtid_missing(false, x->extra, ""))
		return err_set(e,
			"the export is not whole: %lld transactions came, and of \"%.100s\" some are missing; the "
			"binary log may have been purged",
			(long long)x->transactions, x->extra);
	return 0;
}

/* On the disk, then under its name. */
static int keep(struct export *x, int fd, struct err *e)
{
	auto_close int dir = open(x->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat st;

	if (fsync(fd) < 0 || fstat(fd, &st) < 0 || link(x->part, x->path) < 0 || unlink(x->part) < 0 || dir < 0 ||
		fsync(dir) < 0)
		return err_set(e, "%s cannot be kept: %s", x->path, strerror(errno));
	x->bytes = st.st_size;
	return 0;
}

/* --- the routine --------------------------------------------------------------------------------------------------------------- */

static void ask_for(struct export *x, struct tool *l, const char *first)
{
	tool_init(l, x->t, true);
	if (!x->t->dialect->mariadb)
		tool_arg(l, "--exclude-gtids=%s", x->theirs);
	else if (!x->whole_log)
		tool_arg(l, "--start-position=%s", x->since);
	tool_arg(l, "%s", first);
}

static int make(struct export *x, struct err *e)
{
	auto_tool struct tool l = { .n = 0 };
	auto_close int fd = -1;
	char first[256];
	int r;

	if (sql_value(x->t->db, first, sizeof(first), e, "SHOW BINARY LOGS") < 0)
		return -1;
	fd = make_part(x, e);
	if (fd < 0)
		return -1;
	ask_for(x, &l, first);
	r = write_head(x, fd, e) < 0 || tool_run(&l, x->t, fd, e) < 0 || prove(x, fd, e) < 0 || keep(x, fd, e) < 0 ? -1
														   : 0;
	if (r < 0)
		unlink(x->part);
	return r;
}

/* Whole then, and still? */
static bool use_former(struct export *x)
{
	auto_close int fd = find_former(x) ? open(x->path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC) : -1;
	struct stat st;

	if (fd >= 0 && prove(x, fd, NULL) == 0 && fstat(fd, &st) == 0) {
		x->bytes = st.st_size;
		return true;
	}
	x->transactions = 0;
	x->path[0] = '\0';
	return false;
}

static int tell(struct export *x)
{
	json_t *o = json_pack("{s:s, s:s, s:I, s:I}", "file", x->path, "lacking", x->extra, "transactions",
		(json_int_t)x->transactions, "bytes", (json_int_t)x->bytes);
	size_t n = o ? json_dumpb(o, x->t->out, x->t->cap - 1, JSON_COMPACT) : 0;

	json_decref(o);
	if (n >= x->t->cap)
		n = 0;
	x->t->out[n] = '\0';
	return 0;
}

int routine_export(void *db, const char *args, char *out, size_t cap, struct err *e)
{
	auto_task struct task t;
	auto_free struct export *x = xcalloc(1, sizeof(*x));

	if (task_open(&t, db, args, out, cap, e) < 0)
		return -1;
	x->t = &t;
	x->dir = task_text(&t, "dir");
	if (read_sets(x, e) < 0)
		return -1;
	if (x->extra[0] && !use_former(x) && make(x, e) < 0)
		return -1;
	return tell(x);
}
