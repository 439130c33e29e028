/* test_replication_edges.c - what is half done, or set otherwise, on a real server at the moment of an operation: transactions between their
 * log and their end, XA transactions, the server's sql_mode. On a pair of MySQL servers when HACTL_MYSQL_ROOT is set (repl_lab.h).
 */
#include "repl_lab.h"

static struct sqld a, b; /* a is the primary at the start of each test */
static struct db *da, *db_;

static void watch_both(void)
{
	struct db_target ta = sqld_target(&a, &b), tb = sqld_target(&b, &a);
	da = lab_db(&ta, 200 * US_PER_MS);
	db_ = lab_db(&tb, 200 * US_PER_MS);
}

static int setup(void **state)
{
	(void)state;
	lab_open();
	sqld_new(&a, 1);
	sqld_new(&b, 2);
	root_do(&a, "SET GLOBAL read_only = 0");
	watch_both();
	op_ok(db_, OP_FOLLOW, NULL);
	AWAIT_FACTS(db_, f->life == DB_UP && f->io_running && f->sql_running && f->from_peer);
	AWAIT_FACTS(da, f->life == DB_UP && f->semi_clients == 1);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	db_free(da);
	db_free(db_);
	da = db_ = NULL;
	lab_kill(&a.pid);
	lab_kill(&b.pid);
	lab_close();
	return 0;
}

/* A transaction that has its GTID and is not executed yet may have passed the point at which it would have waited: it belongs to the
 * position that the standby must have. */
static void sync_on_waits_for_commits_under_way(void **state)
{
	(void)state;
	static const char gtid[] = "aaaaaaaa-1111-2222-3333-444444444444:7";
	MYSQL *owner;
	struct result r;

	if (!mysql_root()) /* MariaDB's position has a transaction as soon as its log has it */
		return;
	owner = sql_as(&a, "root", "");
	assert_int_equal(sql_exec(owner, "SET SESSION GTID_NEXT = 'aaaaaaaa-1111-2222-3333-444444444444:7'"), 0);
	r = op_run(da, OP_SYNC_ON, NULL, 10 * US_PER_SEC);
	print_message("  %s\n", r.text);
	assert_int_equal(r.outcome, DB_FAILED);
	assert_non_null(strstr(r.text, gtid));
	assert_int_equal(sql_exec(owner, "BEGIN; COMMIT; SET SESSION GTID_NEXT = AUTOMATIC"), 0);
	mysql_close(owner);
	r = op_ok(da, OP_SYNC_ON, NULL);
	assert_non_null(strstr(r.text, gtid));
	op_ok(db_, OP_RECEIVE, r.text);
}

static MYSQL *prepared(const char *stmt)
{
	MYSQL *app = sql_as(&a, "app", "app-pw");
	assert_int_equal(sql_exec(app, stmt), 0);
	return app;
}

/* MySQL lets XA PREPARE and XA COMMIT pass super_read_only: a planned freeze stands only when none is left. MariaDB holds up
 * the commit. */
static void freeze_and_xa(void **state)
{
	(void)state;
	MYSQL *app = prepared("XA START 'p1'; INSERT INTO app.rows VALUES (1, 1); XA END 'p1'; XA PREPARE 'p1'");
	MYSQL *idle = prepared("XA START 'p2'; INSERT INTO app.rows VALUES (1, 2); XA END 'p2'");
	struct result r = op_run(da, OP_FREEZE, NULL, 2 * US_PER_SEC);
	bool passes = mysql_root();

	print_message("  %s\n", r.text);
	assert_int_equal(r.outcome, passes ? DB_FAILED : DB_OK);
	assert_int_equal(sql_exec(idle, "XA PREPARE 'p2'"), 0); /* on both */
	if (passes) {
		assert_non_null(strstr(r.text, "XA transactions"));
		assert_int_equal(sql_exec(idle, "XA COMMIT 'p2'"), 0);
		r = op_run(da, OP_FREEZE, NULL, 2 * US_PER_SEC);
		assert_non_null(strstr(r.text, "XA transactions"));
	}
	assert_int_equal(sql_exec(app, "XA COMMIT 'p1'") == 0, passes);
	if (passes) {
		r = op_ok(da, OP_FREEZE, NULL);
		op_ok(db_, OP_REACH, r.text);
		assert_string_equal(root_ask(&b, "SELECT COUNT(*) FROM app.rows"), "2");
	}
	mysql_close(app);
	mysql_close(idle);
	op_ok(da, OP_UNFREEZE, NULL);
}

/* A demotion is not held up by them: the server is shut first. */
static void demote_and_xa(void **state)
{
	(void)state;
	MYSQL *app = prepared("XA START 'p1'; INSERT INTO app.rows VALUES (1, 1); XA END 'p1'; XA PREPARE 'p1'");

	op_ok(da, OP_DEMOTE, NULL);
	assert_string_equal(root_ask(&a, "SELECT @@global.read_only"), "1");
	mysql_close(app);
}

static void any_sql_mode(void **state)
{
	struct result r;

	(void)state;
	db_free(da);
	db_free(db_);
	root_do(&a, "SET GLOBAL sql_mode = 'NO_BACKSLASH_ESCAPES,ANSI_QUOTES,PIPES_AS_CONCAT'");
	root_do(&b, "SET GLOBAL sql_mode = 'NO_BACKSLASH_ESCAPES,ANSI_QUOTES,PIPES_AS_CONCAT'");
	watch_both();
	AWAIT_FACTS(db_, f->life == DB_UP && f->semi_replica_on);
	AWAIT_FACTS(da, f->life == DB_UP && f->semi_clients == 1);
	r = op_ok(da, OP_SYNC_ON, NULL);
	op_ok(db_, OP_RECEIVE, r.text);
	AWAIT_FACTS(da, f->semi_source_on);
	root_do(&b, mysql_root() ? "STOP REPLICA; RESET REPLICA ALL" : "STOP SLAVE; RESET SLAVE ALL");
	op_ok(db_, OP_FOLLOW, NULL);
	r = op_ok(da, OP_FREEZE, NULL);
	op_ok(db_, OP_REACH, r.text);
	op_ok(db_, OP_PROMOTE, NULL);
	op_ok(db_, OP_VERIFY_PRIMARY, NULL);
}

int main(int argc, char **argv)
{
	static const struct sql_routine *const tables[] = { replication_sql_routines };
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(sync_on_waits_for_commits_under_way, setup, teardown),
		cmocka_unit_test_setup_teardown(freeze_and_xa, setup, teardown),
		cmocka_unit_test_setup_teardown(demote_and_xa, setup, teardown),
		cmocka_unit_test_setup_teardown(any_sql_mode, setup, teardown),
	};
	if (argc > 1 && !strcmp(argv[1], SQLPROC_ARG))
		return sqlproc_main(tables, ARRAY_LEN(tables));
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
