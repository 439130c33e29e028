/* export_compare.c - MariaDB: are the transactions of one GTID the same on both servers?
 *
 * Seen on 10.11: started after a crash as a semi-sync replica, a server that was primary removes from its log what no replica acknowledged,
 * and numbers its next own transactions from there. The other server may have received the removed ones. What was written after the removal
 * comes last, so the last own transaction of a domain tells, and so does the last one of all: timestamp, statement and row values of it are
 * the same on both servers, or it is not the one that the other server has.
 */
#include "replication/export.h"

#include <inttypes.h>

static const us_t patience = 1500 * US_PER_MS; /* of one reading; to follow does not wait for it longer */

enum { CONTENT_MAX = 512 * 1024, GALLOP_MAX = 1 << 20 };

/* --- what of the tool's text must be equal ------------------------------------------------------------------------------------- */

/* Rows, statements and the GTID's own moment; not what each server adds: positions, checksums, thread and table numbers, session
 * variables, annotations. */
static size_t telling(const char *line)
{
	static const char *const own[] = { "/*", "SET @@", "DELIMITER", "ROLLBACK", "COMMIT", "START TRANSACTION",
		"BEGIN" };
	const char *gtid = strstr(line, "\tGTID "), *at;

	if (str_starts(line, "### "))
		return strlen(line);
	if (line[0] == '#') {
		at = gtid ? strstr(line, "  end_log_pos") : NULL;
		return at ? (size_t)(at - line) : 0;
	}
	for (size_t i = 0; i < ARRAY_LEN(own); i++)
		if (str_starts(line, own[i]))
			return 0;
	return strlen(line);
}

/* In place. */
static void reduce(char *text)
{
	char *to = text, *rest = text, *line;

	while ((line = strsep(&rest, "\n"))) {
		size_t n = telling(line);
		memmove(to, line, n);
		to += n;
		if (n)
			*to++ = '\n';
	}
	*to = '\0';
}

/* --- one transaction ----------------------------------------------------------------------------------------------------------- */

struct number {
	uint32_t domain, server, before; /* before: the server that wrote the one before it */
	uint64_t seq;
};

static int read_one(struct task *t, bool own, const struct number *n, char *out, struct err *e)
{
	auto_tool struct tool l;

	tool_init(&l, t, own);
	l.end = now_us() + patience < l.end ? now_us() + patience : l.end;
	tool_arg(&l, "--base64-output=DECODE-ROWS");
	tool_arg(&l, "--start-position=%" PRIu32 "-%" PRIu32 "-%" PRIu64, n->domain, n->before, n->seq - 1);
	tool_arg(&l, "--stop-position=%" PRIu32 "-%" PRIu32 "-%" PRIu64, n->domain, n->server, n->seq);
	tool_arg(&l, "%s", "");
	if (tool_read(&l, t, out, CONTENT_MAX, e) < 0)
		return -1;
	reduce(out);
	return out[0] ? 0
		      : err_set(e, "transaction %" PRIu32 "-%" PRIu32 "-%" PRIu64 " is not in the log", n->domain,
				n->server, n->seq);
}

/* 1 equal, 0 different, -1 not known */
static int equal(struct task *t, const struct number *n, struct err *e)
{
	auto_free char *mine = xcalloc(2, CONTENT_MAX);
	char *theirs = mine + CONTENT_MAX;

	if (n->seq < 2)
		return err_set(
			e, "nothing stands before transaction %" PRIu64 " of domain %" PRIu32, n->seq, n->domain);
	if (read_one(t, true, n, mine, e) < 0 || read_one(t, false, n, theirs, e) < 0)
		return -1;
	return str_eq(mine, theirs);
}

/* --- all domains ------------------------------------------------------------------------------------------------------------------- */

/* Which server wrote the one before is not told by a state; it is one of those that ever wrote in the domain, this one first. */
static int find_before(struct task *t, const char *state, struct number *n, struct err *e)
{
	const char *p = state;
	uint32_t domain, server;
	uint64_t seq;
	int r;

	n->before = n->server;
	r = equal(t, n, e);
	for (; r < 0 && sscanf(p, " %" SCNu32 "-%" SCNu32 "-%" SCNu64, &domain, &server, &seq) == 3; p++) {
		n->before = server;
		if (domain == n->domain && server != n->server)
			r = equal(t, n, e);
		p = strchr(p, ',');
		if (!p)
			break;
	}
	return r;
}

/* Equal before the removal, different after it: back in growing steps to one that is equal. */
static void where_it_begins(struct task *t, struct number n, char *since, size_t size)
{
	const struct number last = n;
	struct err ignored;

	for (uint64_t step = 1; step < last.seq && step < GALLOP_MAX; step *= 2) {
		n.seq = last.seq - step;
		n.before = n.server;
		if (equal(t, &n, &ignored) == 1) {
			snprintf(since, size, "%" PRIu32 "-%" PRIu32 "-%" PRIu64, n.domain, n.server, n.seq);
			return;
		}
	}
	since[0] = '\0';
}

/* Is that one of the GTIDs of a position? */
static bool ends_a_domain(const char *position, const char *one)
{
	const char *at = strstr(position, one);
	size_t n = strlen(one);

	while (at && !((at == position || at[-1] == ',') && (!at[n] || at[n] == ',')))
		at = strstr(at + 1, one);
	return at != NULL;
}

int same_content(struct task *t, const char *theirs, char *since, size_t size, struct err *why)
{
	auto_free char *state = xcalloc(2, GTID_TEXT);
	char *position = state + GTID_TEXT;
	char id[32];
	struct number n;
	const char *p = state;
	int all = 1;

	if (sql_value(t->db, id, sizeof(id), why, "SELECT @@global.server_id") < 0 ||
		sql_value(t->db, state, GTID_TEXT, why, task_stmt(t, ST_EXECUTED)) < 0 ||
		gtid_as_position(true, state, position, GTID_TEXT) < 0)
		return -1;
	for (; sscanf(p, " %" SCNu32 "-%" SCNu32 "-%" SCNu64, &n.domain, &n.server, &n.seq) == 3; p++) {
		char one[96];
		int r;

		snprintf(one, sizeof(one), "%" PRIu32 "-%" PRIu32 "-%" PRIu64, n.domain, n.server, n.seq);
		if ((n.server == strtoul(id, NULL, 10) || ends_a_domain(position, one)) &&
			gtid_contains(true, theirs, one) == 1) {
			r = find_before(t, state, &n, why);
			if (r == 0 && since)
				where_it_begins(t, n, since, size);
			if (r == 0)
				return err_set(why, "%s is one transaction here and another one there", one), 0;
			all = r < 0 ? r : all;
		}
		p = strchr(p, ',');
		if (!p)
			break;
	}
	return all;
}
