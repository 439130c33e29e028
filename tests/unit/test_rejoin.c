/* test_rejoin.c - what a diverged server alone holds is exported whole or not at all, and GTIDs that were given twice are noticed; on a real
 * pair of MariaDB servers, or of MySQL when HACTL_MYSQL_ROOT is set.
 */
#include "repl_lab.h"
#include "replication/gtid.h"

#include <dirent.h>
#include <jansson.h>

static struct sqld a, b; /* a was primary and comes back; b is it now */
static struct db_target ta;
static struct db *da;
static char folder[96], tool[512];

/* MySQL's tool out of its private root, without being root there: the helper has no privileges. */
static void find_tool(void)
{
	const char *r = mysql_root();
	if (r)
		snprintf(tool, sizeof(tool),
			"%s/lib64/ld-linux-x86-64.so.2 --library-path %s/usr/lib/x86_64-linux-gnu "
			"%s/usr/bin/mysqlbinlog",
			r, r, r);
}

/* b's data are a's; then each writes for itself. */
static int setup(void **state)
{
	struct db_target tb;
	struct db *db_;
	(void)state;
	lab_open();
	find_tool();
	sqld_new(&a, 1);
	sqld_new(&b, 2);
	snprintf(folder, sizeof(folder), "%s/state", lab_dir);
	mkdir(folder, 0700);
	ta = sqld_target(&a, &b);
	tb = sqld_target(&b, &a);
	STR_COPY(ta.binlog_tool, tool);
	da = lab_db(&ta, 200 * US_PER_MS);
	db_ = lab_db(&tb, 200 * US_PER_MS);
	root_do(&a, "SET GLOBAL read_only = 0");
	if (!mysql_root())
		root_do(&a, "SET GLOBAL binlog_format = ROW");
	op_ok(db_, OP_FOLLOW, NULL);
	root_do(&a, "INSERT INTO app.rows VALUES (1, 1)");
	root_do(&a, "INSERT INTO app.rows VALUES (1, 2)");
	struct result p = op_ok(da, OP_POSITION, NULL);
	op_ok(db_, OP_REACH, p.text);
	root_do(&b, mysql_root() ? "STOP REPLICA" : "STOP SLAVE");
	op_ok(db_, OP_PROMOTE, NULL);
	db_free(db_);
	AWAIT_FACTS(da, f->life == DB_UP);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	db_free(da);
	lab_kill(&a.pid);
	lab_kill(&b.pid);
	lab_close();
	return 0;
}

static void use_tool(const char *command)
{
	db_free(da);
	STR_COPY(ta.binlog_tool, command);
	da = lab_db(&ta, 200 * US_PER_MS);
	AWAIT_FACTS(da, f->life == DB_UP);
}

/* Files of the folder that are no whole exports; those go to *exports. */
static int strays(int *exports)
{
	DIR *d = opendir(folder);
	const struct dirent *f;
	int other = 0;
	assert_non_null(d);
	*exports = 0;
	while ((f = readdir(d))) {
		size_t n = strlen(f->d_name);
		if (str_starts(f->d_name, "divergent-") && str_eq(f->d_name + n - 4, ".sql"))
			++*exports;
		else
			other += f->d_name[0] != '.';
	}
	closedir(d);
	return other;
}

static json_t *answer(const struct result *r)
{
	json_t *o = json_loads(r->text, 0, NULL);
	assert_non_null(o);
	return o;
}

static char *exported(const struct result *r)
{
	json_t *o = answer(r);
	const char *path = json_string_value(json_object_get(o, "file"));
	char *text = NULL;
	struct stat st;
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(file_read(path, 1 << 20, &text, NULL, NULL), 0);
	json_decref(o);
	return text;
}

/* --- pure -------------------------------------------------------------------------------------------------------------------------- */

static void where_a_log_is_read_from(void **state)
{
	static const struct {
		const char *of, *have, *out;
		int r;
	} rows[] = {
		{ "nonsense", "0-1-5", "", -1 },
		{ "0-1-5", "0-1-", "", -1 },
		{ "0-1-5", "0-1-9", "0-1-5", 0 },
		{ "0-1-5,0-2-8", "0-1-9", "0-1-5", 0 },
		{ "0-2-8", "0-1-9", "", 1 }, /* the other one has nothing of server 1: no position names the start */
		{ "0-1-5,0-3-4", "0-1-9,0-3-7", "0-3-4", 0 },	    /* the earlier of two */
		{ "0-1-5,1-1-3", "0-1-5,1-1-6", "0-1-5,1-1-3", 0 }, /* nothing of a domain that lacks nothing */
		{ "0-1-5", "0-1-5", "0-1-5", 0 },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char out[256];
		int r = gtid_before_extra(rows[i].of, rows[i].have, out, sizeof(out));
		assert_int_equal(r, rows[i].r);
		if (r == 0)
			assert_string_equal(out, rows[i].out);
	}
}

static void what_a_server_lost_of_its_own(void **state)
{
	static const char u[] = "0a000000-0000-0000-0000-000000000001", v[] = "0b000000-0000-0000-0000-000000000002";
	static const struct {
		bool mariadb;
		const char *own, *theirs, *origin;
		int r;
	} rows[] = {
		{ true, "0-1-5", "0-1-x", "1", -1 },
		{ true, "0-1-5", "0-1-9", "", -1 },
		{ true, "0-1-5", "0-1-9", "1", 1 },
		{ true, "0-1-5", "0-1-5,0-2-9", "1", 0 }, /* the other one's own */
		{ true, "0-1-9,0-2-9", "0-1-9,0-2-7", "1", 0 },
		{ true, "0-1-5", "0-11-9", "1", 0 }, /* server 11 is not server 1 */
		{ true, "0-1-5", "0-1-5,7-1-2", "1", 1 },
		{ false, "U:1-5", "U:1-6", "U", 1 },
		{ false, "U:1-5", "U:1-5,V:1-3", "U", 0 },
		{ false, "U:1-5", "U:1-5:tag:1", "U", 1 },
		{ false, "", "V:1-3", "U", 0 },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char text[3][128];
		const char *from[3] = { rows[i].own, rows[i].theirs, rows[i].origin };
		for (int k = 0; k < 3; k++) {
			size_t len = 0;
			text[k][0] = '\0';
			for (const char *p = from[k]; *p; p++)
				str_add(text[k], sizeof(text[k]), &len, *p == 'U' || *p == 'V' ? "%s" : "%.1s",
					*p == 'U'   ? u
					: *p == 'V' ? v
						    : p);
		}
		assert_int_equal(gtid_lost(rows[i].mariadb, text[0], text[1], text[2]), rows[i].r);
	}
}

static void who_wrote_it(void **state)
{
	(void)state;
	assert_true(gtid_all_by(true, "0-1-5,7-1-3", "1"));
	assert_false(gtid_all_by(true, "0-1-5,0-2-3", "1"));
	assert_false(gtid_all_by(true, "0-11-5", "1"));
	assert_false(gtid_all_by(true, "0-1-5", ""));
	assert_false(gtid_all_by(true, "nonsense", "1"));
}

/* --- export ------------------------------------------------------------------------------------------------------------------------ */

static void nothing_to_export(void **state)
{
	(void)state;
	struct result r = op_ok(da, OP_EXPORT, folder);
	json_t *o = answer(&r);
	int n;
	assert_string_equal(json_string_value(json_object_get(o, "file")), "");
	assert_int_equal(strays(&n), 0);
	assert_int_equal(n, 0);
	json_decref(o);
}

static void rows_can_be_read_and_nothing_else_is_there(void **state)
{
	(void)state;
	root_do(&a, "FLUSH BINARY LOGS");
	root_do(&a, "INSERT INTO app.rows VALUES (77, 4711), (77, 4712)");
	root_do(&a, "FLUSH BINARY LOGS");
	root_do(&a, "CREATE TABLE app.only_here (t VARCHAR(40))");
	root_do(&a, "INSERT INTO app.only_here VALUES ('it''s only here')");
	root_do(&b, "INSERT INTO app.rows VALUES (88, 1)");
	struct result r = op_ok(da, OP_EXPORT, folder), again;
	json_t *o = answer(&r);
	char *text = exported(&r);
	int n;
	assert_int_equal(json_integer_value(json_object_get(o, "transactions")), 3);
	assert_non_null(strstr(text, "###   @2=4711"));
	assert_non_null(strstr(text, "###   @2=4712"));
	assert_non_null(strstr(text, "CREATE TABLE app.only_here"));
	assert_non_null(strstr(text, "s only here'"));
	assert_null(strstr(text, "###   @1=1\n")); /* the row that both have */
	assert_null(strstr(text, "repl-pw"));
	assert_int_equal(strays(&n), 0);
	assert_int_equal(n, 1);
	/* the same again is the same file; more is another one, and the first stays */
	again = op_ok(da, OP_EXPORT, folder);
	assert_string_equal(again.text, r.text);
	root_do(&a, "INSERT INTO app.rows VALUES (77, 4713)");
	again = op_ok(da, OP_EXPORT, folder);
	assert_string_not_equal(again.text, r.text);
	strays(&n);
	assert_int_equal(n, 2);
	free(text);
	json_decref(o);
}

/* The file does what it says: the primary's client executes it. */
static void it_can_be_replayed(void **state)
{
	char command[600];
	(void)state;
	root_do(&a, "INSERT INTO app.rows VALUES (77, 4711)");
	struct result r = op_ok(da, OP_EXPORT, folder);
	json_t *o = answer(&r);
	if (!mysql_root())
		root_do(&b, "SET GLOBAL gtid_strict_mode = 0");
	snprintf(command, sizeof(command), "mariadb -u root -S %s < %s 2>&1", b.socket,
		json_string_value(json_object_get(o, "file")));
	if (mysql_root())
		snprintf(command, sizeof(command),
			"%s/lib64/ld-linux-x86-64.so.2 --library-path %s/usr/lib/x86_64-linux-gnu %s/usr/bin/mysql -u "
			"root -S %s < %s 2>&1",
			mysql_root(), mysql_root(), mysql_root(), b.socket,
			json_string_value(json_object_get(o, "file")));
	assert_int_equal(system(command), 0);
	assert_string_equal(root_ask(&b, "SELECT n FROM app.rows WHERE writer = 77"), "4711");
	json_decref(o);
}

static void refused(const char *in_text)
{
	struct result r = op_run(da, OP_EXPORT, folder, 5 * US_PER_SEC);
	int n;
	print_message("  %s\n", r.text);
	assert_int_equal(r.outcome, DB_FAILED);
	assert_non_null(strstr(r.text, in_text));
	assert_int_equal(strays(&n), 0);
	assert_int_equal(n, 0);
}

static void an_export_that_fails_says_so_and_leaves_nothing(void **state)
{
	char command[700];
	(void)state;
	root_do(&a, "INSERT INTO app.rows VALUES (77, 4711)");
	use_tool("no-such-tool");
	refused("there is no no-such-tool on this node");
	use_tool("echo cut short; true");
	refused("cut short");
	snprintf(command, sizeof(command), "sleep 60; %s", "true");
	use_tool(command);
	refused("in time");
	/* a tool that leaves something out */
	use_tool("echo '# End of log file'; true");
	refused("is not whole");
	use_tool(tool);
	root_do(&a, "ALTER USER repl@'%' IDENTIFIED BY 'another'");
	refused("repl");
}

static void a_full_or_missing_folder_is_said(void **state)
{
	(void)state;
	root_do(&a, "INSERT INTO app.rows VALUES (77, 4711)");
	struct result r = op_run(da, OP_EXPORT, "/nonexistent/folder", 5 * US_PER_SEC);
	assert_int_equal(r.outcome, DB_FAILED);
	assert_non_null(strstr(r.text, "/nonexistent/folder"));
	r = op_run(da, OP_EXPORT, "/dev", 5 * US_PER_SEC);
	lab_kill(&b.pid);
	r = op_run(da, OP_EXPORT, folder, 5 * US_PER_SEC);
	assert_int_equal(r.outcome, DB_FAILED);
	assert_non_null(strstr(r.text, "what the primary lacks is not known"));
}

static void a_purged_log_is_no_whole_export(void **state)
{
	char first[64];
	(void)state;
	root_do(&a, "INSERT INTO app.rows VALUES (77, 4711)");
	root_do(&a, "FLUSH BINARY LOGS");
	root_do(&a, "FLUSH BINARY LOGS");
	root_do(&a, "INSERT INTO app.rows VALUES (77, 4712)");
	STR_COPY(first, root_ask(&a, "SHOW BINARY LOGS"));
	for (us_t end = now_us() + LAB_BOUND; str_eq(root_ask(&a, "SHOW BINARY LOGS"), first); lab_nap()) {
		root_do(&a,
			"PURGE BINARY LOGS TO 'bin.000003'"); /* MariaDB keeps a log until its checkpoint has moved on */
		assert_true(now_us() < end);
	}
	struct result r = op_run(da, OP_EXPORT, folder, 5 * US_PER_SEC);
	int n;
	print_message("  %s\n", r.text);
	assert_int_equal(r.outcome, DB_FAILED);
	assert_int_equal(strays(&n), 0);
	assert_int_equal(n, 0);
}

/* --- GTIDs given twice ----------------------------------------------------------------------------------------------------------------- */

/* What b received of a and nobody acknowledged, and a, after its crash, does not know any more: n rows of writer 5. */
static void give_ghosts(int n)
{
	int seq = atoi(root_ask(&a, "SELECT SUBSTRING_INDEX(@@gtid_binlog_pos, '-', -1)"));
	root_do(&b, "SET GLOBAL gtid_strict_mode = 0");
	for (int i = 1; i <= n; i++) {
		auto_free char *ghost = str_printf("SET binlog_format = ROW; SET server_id = 1; SET gtid_seq_no = %d; "
						   "INSERT INTO app.rows VALUES (5, %d)",
			seq + i, i);
		root_do(&b, ghost);
	}
	root_do(&b, "INSERT INTO app.rows VALUES (6, 1)");
}

static void what_was_rolled_back_comes_again(void **state)
{
	(void)state;
	if (mysql_root())
		skip();
	give_ghosts(3);
	struct result r = op_ok(da, OP_FOLLOW, NULL); /* nothing was written since */
	assert_null(strstr(r.text, "given twice"));
	for (us_t end = now_us() + LAB_BOUND;
		strcmp(root_ask(&a, "SELECT COUNT(*) FROM app.rows WHERE writer IN (5, 6)"), "4");)
		assert_true(now_us() < end);
}

/* By their numbers a lacks nothing but what b wrote; by content it holds two rows that b does not have. */
static void a_number_given_twice_is_a_divergence(void **state)
{
	(void)state;
	if (mysql_root())
		skip();
	give_ghosts(3);
	root_do(&a, "INSERT INTO app.rows VALUES (77, 4711)");
	root_do(&a, "INSERT INTO app.rows VALUES (77, 4712)");
	struct result r = op_run(da, OP_FOLLOW, NULL, 5 * US_PER_SEC);
	print_message("  %s\n", r.text);
	assert_int_equal(r.outcome, DB_FAILED);
	assert_true(str_starts(r.text, "diverged: a GTID was given twice"));
	AWAIT_FACTS(da, f->life == DB_UP && !f->replica && !f->writable);
	r = op_ok(da, OP_EXPORT, folder);
	auto_free char *text = exported(&r);
	assert_non_null(strstr(text, "###   @2=4711"));
	assert_non_null(strstr(text, "###   @2=4712"));
}

/* Without the tool it is not known, which is said and keeps nobody from following. */
static void whether_it_was_given_twice_may_be_unknown(void **state)
{
	(void)state;
	if (mysql_root())
		skip();
	use_tool("no-such-tool");
	struct result r = op_ok(da, OP_FOLLOW, NULL);
	assert_non_null(strstr(r.text, "given twice is not known"));
}

/* The primary is the one that lacks something of its own: nothing here is to be given up. */
static void a_primary_that_lost_something_is_no_divergence(void **state)
{
	(void)state;
	if (mysql_root())
		skip();
	root_do(&a, "SET server_id = 2; SET gtid_seq_no = 3; INSERT INTO app.rows VALUES (77, 2)");
	struct result r = op_run(da, OP_FOLLOW, NULL, 5 * US_PER_SEC);
	print_message("  %s\n", r.text);
	assert_int_equal(r.outcome, DB_FAILED);
	assert_null(strstr(r.text, "diverged"));
	assert_non_null(strstr(r.text, "lost transactions of its own"));
}

int main(int argc, char **argv)
{
	static const struct sql_routine *const tables[] = { replication_sql_routines };
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(where_a_log_is_read_from),
		cmocka_unit_test(what_a_server_lost_of_its_own),
		cmocka_unit_test(who_wrote_it),
		cmocka_unit_test_setup_teardown(a_primary_that_lost_something_is_no_divergence, setup, teardown),
		cmocka_unit_test_setup_teardown(nothing_to_export, setup, teardown),
		cmocka_unit_test_setup_teardown(rows_can_be_read_and_nothing_else_is_there, setup, teardown),
		cmocka_unit_test_setup_teardown(it_can_be_replayed, setup, teardown),
		cmocka_unit_test_setup_teardown(an_export_that_fails_says_so_and_leaves_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(a_full_or_missing_folder_is_said, setup, teardown),
		cmocka_unit_test_setup_teardown(a_purged_log_is_no_whole_export, setup, teardown),
		cmocka_unit_test_setup_teardown(what_was_rolled_back_comes_again, setup, teardown),
		cmocka_unit_test_setup_teardown(a_number_given_twice_is_a_divergence, setup, teardown),
		cmocka_unit_test_setup_teardown(whether_it_was_given_twice_may_be_unknown, setup, teardown),
	};
	if (argc > 1 && !strcmp(argv[1], SQLPROC_ARG))
		return sqlproc_main(tables, ARRAY_LEN(tables));
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
