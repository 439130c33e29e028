/* test_replication_mysql.c - MySQL operations on a real pair of MariaDB servers by an account with the documented privileges only; on a pair of
 * MySQL servers when HACTL_MYSQL_ROOT is set (repl_lab.h).
 */
#include "repl_lab.h"

static struct sqld a, b; /* a is the primary at the start of each test */
static struct db *da, *db_;

static const char *semi_source(void)
{
	return mysql_root() ? "SELECT @@rpl_semi_sync_source_enabled" : "SELECT @@rpl_semi_sync_master_enabled";
}

static const char *sources(void)
{
	return mysql_root() ? "SELECT COUNT(*) FROM performance_schema.replication_connection_configuration"
			    : "SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME = "
			      "'SLAVE_CONNECTIONS'";
}

/* As root on a replica, past read_only, not into the binary log. */
static void sneak_in(const struct sqld *s, const char *stmt)
{
	auto_free char *all = mysql_root() ? str_printf("SET GLOBAL super_read_only = 0; SET sql_log_bin = 0; %s; SET "
							"GLOBAL super_read_only = 1",
						     stmt)
					   : str_printf("SET sql_log_bin = 0; %s", stmt);
	root_do(s, all);
}

static void open_pair(void)
{
	sqld_new(&a, 1);
	sqld_new(&b, 2);
	root_do(&a, "SET GLOBAL read_only = 0");
	struct db_target ta = sqld_target(&a, &b), tb = sqld_target(&b, &a);
	da = lab_db(&ta, 200 * US_PER_MS);
	db_ = lab_db(&tb, 200 * US_PER_MS);
	op_ok(db_, OP_FOLLOW, NULL);
	AWAIT_FACTS(db_, f->life == DB_UP && f->io_running && f->sql_running && f->from_peer);
}

static int setup(void **state)
{
	(void)state;
	lab_open();
	open_pair();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	db_free(da);
	db_free(db_);
	da = db_ = NULL;
	if (a.pid)
		kill(a.pid, SIGCONT);
	lab_kill(&a.pid);
	lab_kill(&b.pid);
	lab_close();
	return 0;
}

static void sync_on(void)
{
	struct result r;
	AWAIT_FACTS(da, f->life == DB_UP && f->replicas == 1);
	r = op_ok(da, OP_SYNC_ON, NULL);
	op_ok(db_, OP_REACH, r.text);
	AWAIT_FACTS(da, f->semi_source_on && f->semi_clients == 1);
}

/* --- observation -------------------------------------------------------------------------------------------------------------------- */

static void facts_of_a_pair(void **state)
{
	(void)state;
	root_do(&a, "INSERT INTO app.rows VALUES (9, 1)");
	AWAIT_FACTS(da, f->life == DB_UP && f->mariadb == !mysql_root() && f->writable && !f->replica &&
				f->replicas == 1 && f->db_start > 0);
	AWAIT_FACTS(db_, !f->writable && f->replica && f->lag == 0 && f->unapplied == 0 && f->silence != US_UNKNOWN &&
				 f->semi_replica_on);
	AWAIT_FACTS(db_, gtid_contains(f->mariadb, f->executed, db_look(da)->executed) == 1);
	assert_string_equal(db_look(db_)->error, "");
	/* an applier that stands still shows as unapplied, and its error by name */
	sneak_in(&b, "INSERT INTO app.rows VALUES (9, 2)");
	root_do(&a, "INSERT INTO app.rows VALUES (9, 2)");
	AWAIT_FACTS(db_,
		!f->sql_running && f->unapplied == 1 && f->lag == US_UNKNOWN && strstr(f->error, "Duplicate entry"));
	struct result r = op_run(db_, OP_PROMOTE, NULL, 2 * US_PER_SEC);
	assert_int_equal(r.outcome, DB_FAILED);
	assert_non_null(strstr(r.text, "applier stopped with error 1062"));
	assert_string_equal(root_ask(&b, "SELECT @@read_only"), "1");
}

static void death_is_noticed_and_confirmed(void **state)
{
	(void)state;
	AWAIT_FACTS(da, f->life == DB_UP);
	for (int64_t born = db_look(da)->db_start; wall_us() / US_PER_SEC <= born;) /* db_start has seconds */
		lab_turn();
	db_interval(da, 60 * US_PER_SEC); /* nothing but the broken connection can tell */
	AWAIT_FACTS(da, f->life == DB_UP);
	us_t killed = now_us();
	lab_kill(&a.pid);
	AWAIT_FACTS(da, f->life == DB_DEAD && !f->writable);
	print_message("  dead, confirmed: %.1f ms after kill -9\n", (double)(now_us() - killed) / 1000);
	db_interval(da, 200 * US_PER_MS);
	int64_t before = db_look(da)->db_start;
	sqld_run(&a);
	AWAIT_FACTS(da, f->life == DB_UP && f->db_start != before);
}

/* A connection that was closed a moment ago gives its place back only when its thread has ended: then it is taken too. */
static struct db *refused_for_being_full(MYSQL **hog, size_t n)
{
	struct db_target t = sqld_target(&a, &b);
	root_do(&a, "SET GLOBAL max_connections = 10");
	for (size_t i = 0; i < n;) {
		if ((hog[i] = sql_try(&a, "app", "app-pw")) ||
			(hog[i] = sql_try(&a, "root", ""))) { /* CONNECTION ADMIN has one more */
			i++;
			continue;
		}
		struct db *late = lab_db(&t, 200 * US_PER_MS);
		AWAIT_FACTS(late, f->life != DB_UNKNOWN);
		if (db_look(late)->life == DB_DENIED)
			return late;
		db_free(late);
		i++;
	}
	fail_msg("%zu connections are not enough to fill the server", n);
	return NULL;
}

static void hung_denied_and_full_are_three_things(void **state)
{
	(void)state;
	struct db_target t = sqld_target(&a, &b);
	STR_COPY(t.at.password, "wrong");
	struct db *stranger = lab_db(&t, 200 * US_PER_MS);
	AWAIT_FACTS(stranger, f->life == DB_DENIED && strstr(f->trouble, "Access denied"));
	db_free(stranger);

	MYSQL *hog[64] = { NULL };
	struct db *late = refused_for_being_full(hog, ARRAY_LEN(hog));
	assert_non_null(strstr(db_look(late)->trouble, "Too many connections"));
	assert_int_equal(db_look(da)->life, DB_UP); /* our kept connection still sees it */
	for (size_t i = 0; i < ARRAY_LEN(hog); i++)
		if (hog[i])
			mysql_close(hog[i]);
	AWAIT_FACTS(late, f->life == DB_UP);
	db_free(late);

	lab_freeze(a.pid);
	AWAIT_FACTS(da, f->life == DB_HUNG);
	struct result r = op_run(da, OP_POSITION, NULL, 300 * US_PER_MS);
	assert_int_equal(r.outcome, DB_TIMED_OUT);
	kill(a.pid, SIGCONT);
	AWAIT_FACTS(da, f->life == DB_UP);
}

/* --- promotion ------------------------------------------------------------------------------------------------------------------------ */

static void promote_after(int sig)
{
	struct writers w = { 0 };
	sync_on();
	writers_start(&w, &a, 0);
	writers_await(&w, 50);
	if (sig == SIGKILL)
		lab_kill(&a.pid);
	else
		lab_freeze(a.pid);
	us_t from = now_us();
	op_ok(db_, OP_PROMOTE, NULL);
	op_ok(db_, OP_VERIFY_PRIMARY, NULL);
	print_message("  promoted and verified %.1f ms after signal %d\n", (double)(now_us() - from) / 1000, sig);
	AWAIT_FACTS(db_, f->life == DB_UP && f->writable && !f->replica && !f->semi_source_on);
	str_copy(*w.socket, 128, b.socket);
	if (sig == SIGSTOP)
		lab_kill(&a.pid); /* writers hang on it; its unanswered commits were never acknowledged */
	writers_await(&w, 20);
	writers_end(&w);
	writers_check(&w, &b);
	/* the clean-up that waits for a dead source ends by itself */
	for (us_t end = now_us() + LAB_BOUND; atoi(root_ask(&b, sources())) > 0 && now_us() < end;)
		lab_turn();
	assert_int_equal(atoi(root_ask(&b, sources())), 0);
}

static void promote_after_kill(void **state)
{
	(void)state;
	promote_after(SIGKILL);
	/* idempotent */
	op_ok(db_, OP_PROMOTE, NULL);
}

static void promote_after_freeze_of_the_source(void **state)
{
	(void)state;
	promote_after(SIGSTOP);
}

/* Received and not applied at the moment of promotion: kept. The applier is held by a lock, not stopped. */
static void promote_drains_what_was_received(void **state)
{
	(void)state;
	sync_on();
	MYSQL *holder = sql_as(&b, "app", "app-pw");
	assert_int_equal(sql_exec(holder, "LOCK TABLES app.rows READ"), 0);
	MYSQL *app = sql_as(&a, "app", "app-pw");
	for (int n = 1; n <= 200; n++) {
		char stmt[96];
		snprintf(stmt, sizeof(stmt), "INSERT INTO app.rows VALUES (1, %d)", n);
		assert_int_equal(sql_exec(app, stmt), 0);
	}
	mysql_close(app);
	AWAIT_FACTS(db_, f->unapplied >= 190 && f->applier_waits[0] && strstr(f->trouble, "holds up the applier"));
	lab_kill(&a.pid);
	/* not drained is not promoted, and nothing moves; whoever holds the lock is ended */
	struct result r = op_run(db_, OP_PROMOTE, NULL, 10 * US_PER_SEC);
	print_message("  %s\n", r.text);
	assert_int_equal(r.outcome, DB_WAITS);
	assert_non_null(strstr(r.text, "transactions left"));
	assert_non_null(strstr(r.text, "1 client sessions were ended"));
	assert_string_equal(root_ask(&b, "SELECT @@read_only"), "1");
	mysql_close(holder);
	/* drained, and the right to open has ended meanwhile */
	r = op_run(db_, OP_PROMOTE, "1", 10 * US_PER_SEC);
	assert_int_equal(r.outcome, DB_MORE);
	assert_string_equal(root_ask(&b, "SELECT @@read_only"), "1");
	op_ok(db_, OP_PROMOTE, NULL);
	assert_string_equal(root_ask(&b, "SELECT COUNT(*) FROM app.rows"), "200");
}

/* Somebody stopped the applier, and a lot has come since: nothing of it is thrown away, by following or by a promotion. */
static void promote_starts_a_stopped_applier(void **state)
{
	(void)state;
	sync_on();
	root_do(&b, mysql_root() ? "STOP REPLICA SQL_THREAD" : "STOP SLAVE SQL_THREAD");
	for (int n = 1; n <= 200; n++) {
		auto_free char *stmt = str_printf("INSERT INTO app.rows VALUES (1, %d)", n);
		root_do(&a, stmt);
	}
	AWAIT_FACTS(db_, f->unapplied == 200 && f->io_running && !f->applier_error && strstr(f->trouble, "by hand"));
	op_ok(db_, OP_FOLLOW, NULL); /* it starts it, and the receiver stays */
	AWAIT_FACTS(db_, f->unapplied == 0 && f->sql_running && !f->trouble[0]);
	root_do(&b, mysql_root() ? "STOP REPLICA SQL_THREAD" : "STOP SLAVE SQL_THREAD");
	for (int n = 201; n <= 400; n++) {
		auto_free char *stmt = str_printf("INSERT INTO app.rows VALUES (1, %d)", n);
		root_do(&a, stmt);
	}
	AWAIT_FACTS(db_, f->unapplied == 200);
	lab_kill(&a.pid);
	op_ok(db_, OP_PROMOTE, NULL);
	assert_string_equal(root_ask(&b, "SELECT COUNT(*) FROM app.rows"), "400");
}

/* --- freeze ------------------------------------------------------------------------------------------------------------------------------ */

static void freeze_under_load(void **state)
{
	(void)state;
	struct writers w = { 0 };
	writers_start(&w, &a, 1000);
	writers_await(&w, 50);
	op_ok(da, OP_PRECHECK, NULL);
	us_t from = now_us();
	op_ok(da, OP_FREEZE, NULL);
	struct result p = op_ok(da, OP_POSITION, NULL);
	op_ok(db_, OP_REACH, p.text);
	op_ok(db_, OP_PROMOTE, NULL);
	print_message("  freeze to writable: %.1f ms\n", (double)(now_us() - from) / 1000);
	str_copy(*w.socket, 128, b.socket);
	op_ok(da, OP_FOLLOW, NULL);
	writers_await(&w, 20);
	writers_end(&w);
	writers_check(&w, &b);
	/* and back, which must not be seen as divergence */
	AWAIT_FACTS(da, f->replica && f->unapplied == 0 && f->io_running);
	op_ok(db_, OP_FREEZE, NULL);
	p = op_ok(db_, OP_POSITION, NULL);
	op_ok(da, OP_REACH, p.text);
	op_ok(da, OP_PROMOTE, NULL);
	op_ok(db_, OP_FOLLOW, NULL);
	writers_check(&w, &a);
}

static void freeze_gives_up_cleanly(void **state)
{
	(void)state;
	MYSQL *holder = sql_as(&a, "app", "app-pw"), *app = sql_as(&a, "app", "app-pw");
	assert_int_equal(sql_exec(holder, "LOCK TABLES app.rows WRITE"), 0);
	struct result r = op_run(da, OP_FREEZE, NULL, 2 * US_PER_SEC);
	print_message("  %.1f ms: %s\n", (double)r.took / 1000, r.text);
	assert_int_equal(r.outcome, DB_FAILED);
	assert_non_null(strstr(r.text, "still writable"));
	assert_string_equal(root_ask(&a, "SELECT @@read_only"), "0");
	/* a call that is taken back leaves nothing that fires later */
	struct result never = { 0 };
	struct err e = { "" };
	struct db_call *c = db_start(da, OP_FREEZE, NULL, 5 * US_PER_SEC, on_result, &never, &e);
	assert_non_null(c);
	for (us_t end = now_us() + LAB_BOUND; atoi(root_ask(&a, "SELECT COUNT(*) FROM information_schema.PROCESSLIST "
								"WHERE INFO LIKE 'SET /* hactl freeze%'")) == 0 &&
					      now_us() < end;)
		lab_turn();
	db_cancel(c);
	for (us_t end = now_us() + LAB_BOUND;
		atoi(root_ask(&a,
			"SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE INFO LIKE 'SET /* hactl freeze%'")) >
			0 &&
		now_us() < end;)
		lab_turn();
	assert_int_equal(sql_exec(holder, "UNLOCK TABLES"), 0);
	assert_int_equal(sql_exec(app, "INSERT INTO app.rows VALUES (7, 1)"), 0);
	assert_string_equal(root_ask(&a, "SELECT @@read_only"), "0");
	assert_false(never.done);
	mysql_close(holder);
	mysql_close(app);
	/* idle transactions and long SELECTs are not in the way */
	holder = sql_as(&a, "app", "app-pw");
	assert_int_equal(sql_exec(holder, "BEGIN; INSERT INTO app.rows VALUES (7, 2)"), 0);
	op_ok(da, OP_FREEZE, NULL);
	mysql_close(holder);
	op_ok(da, OP_UNFREEZE, NULL);
	assert_string_equal(root_ask(&a, "SELECT @@read_only"), "0");
}

/* --- what a replica has: received, or executed too ---------------------------------------------------------------------------------- */

static const char *applier(const char *verb)
{
	static char sql[64];
	snprintf(sql, sizeof(sql), "%s %s SQL_THREAD", verb, mysql_root() ? "REPLICA" : "SLAVE");
	return sql;
}

static void received_is_not_executed(void **state)
{
	(void)state;
	root_do(&b, applier("STOP"));
	root_do(&a, "INSERT INTO app.rows VALUES (77, 1)");
	struct result p = op_ok(da, OP_POSITION, NULL), r;
	op_ok(db_, OP_RECEIVE, p.text);
	assert_string_equal(root_ask(&b, "SELECT COUNT(*) FROM app.rows WHERE writer = 77"), "0");
	r = op_run(db_, OP_REACH, p.text, 300 * US_PER_MS);
	assert_int_equal(r.outcome, DB_FAILED);
	root_do(&b, applier("START"));
	op_ok(db_, OP_REACH, p.text);
	op_ok(db_, OP_RECEIVE, p.text);
	/* what never arrived is not taken for received */
	root_do(&b, mysql_root() ? "STOP REPLICA IO_THREAD" : "STOP SLAVE IO_THREAD");
	root_do(&a, "INSERT INTO app.rows VALUES (78, 1)");
	p = op_ok(da, OP_POSITION, NULL);
	r = op_run(db_, OP_RECEIVE, p.text, 300 * US_PER_MS);
	assert_int_equal(r.outcome, DB_FAILED);
	assert_non_null(strstr(r.text, "receiver does not run"));
}

/* --- demotion ------------------------------------------------------------------------------------------------------------------------------ */

static void demote_under_load(void **state)
{
	(void)state;
	struct writers w = { 0 };
	sync_on();
	MYSQL *holder = sql_as(&a, "app", "app-pw");
	assert_int_equal(
		sql_exec(holder, "LOCK TABLES app.rows READ"), 0); /* would hold up the freeze: its session is ended */
	assert_int_equal(sql_exec(holder, "UNLOCK TABLES"), 0);
	writers_start(&w, &a, 0);
	writers_await(&w, 50);
	op_ok(da, OP_DEMOTE, NULL);
	assert_string_equal(root_ask(&a, "SELECT @@read_only"), "1");
	AWAIT_FACTS(
		da, f->life == DB_UP && !f->semi_source_on);   /* MySQL takes up to a second for it, after the freeze */
	assert_int_not_equal(sql_exec(holder, "SELECT 1"), 0); /* ended */
	mysql_close(holder);
	AWAIT_FACTS(db_, f->io_running); /* replication's session is not */
	op_ok(db_, OP_PROMOTE, NULL);
	str_copy(*w.socket, 128, b.socket);
	writers_await(&w, 20);
	writers_end(&w);
	writers_check(&w, &b);
}

/* The other node is gone: every commit waits for it, in semi-sync's wait. None of them may be acknowledged by the demotion. */
static void demote_acknowledges_nothing(void **state)
{
	(void)state;
	struct writers w = { 0 };
	sync_on();
	lab_freeze(b.pid);
	writers_start(&w, &a, 0);
	for (us_t end = now_us() + LAB_BOUND; atoi(root_ask(&a, "SELECT COUNT(*) FROM information_schema.PROCESSLIST "
								"WHERE STATE LIKE 'Waiting for semi-sync%'")) == 0 &&
					      now_us() < end;)
		lab_turn();
	op_ok(da, OP_DEMOTE, NULL);
	for (int i = 0; i < WRITERS; i++)
		print_message("  writer %d: %d rows acknowledged\n", i, w.shared[i].acked);
	kill(b.pid, SIGCONT);
	AWAIT_FACTS(db_, f->life == DB_UP);
	writers_end(&w);
	op_ok(db_, OP_PROMOTE, NULL);
	writers_check(&w, &b);
}

static void demote_ends_a_lock_holder_and_accepts_death(void **state)
{
	(void)state;
	MYSQL *holder = sql_as(&a, "app", "app-pw");
	assert_int_equal(sql_exec(holder, "LOCK TABLES app.rows WRITE"), 0);
	op_ok(da, OP_DEMOTE, NULL);
	mysql_close(holder);
	assert_string_equal(root_ask(&a, "SELECT @@read_only"), "1");
	lab_kill(&a.pid);
	struct result r = op_ok(da, OP_DEMOTE, NULL);
	assert_string_equal(r.text, "dead");
}

/* --- following ------------------------------------------------------------------------------------------------------------------------------ */

static void follow_refuses_divergence(void **state)
{
	(void)state;
	root_do(&a, "INSERT INTO app.rows VALUES (1, 1)");
	AWAIT_FACTS(db_, f->unapplied == 0);
	struct result p = op_ok(da, OP_POSITION, NULL);
	op_ok(db_, OP_REACH, p.text);
	root_do(&b, mysql_root() ? "STOP REPLICA" : "STOP SLAVE");
	root_do(&a, "INSERT INTO app.rows VALUES (1, 2)"); /* nobody receives it */
	op_ok(db_, OP_PROMOTE, NULL);
	root_do(&b, "INSERT INTO app.rows VALUES (1, 3)");
	struct result r = op_run(da, OP_FOLLOW, NULL, 5 * US_PER_SEC);
	print_message("  %s\n", r.text);
	assert_int_equal(r.outcome, DB_FAILED);
	assert_true(str_starts(r.text, "diverged: "));
	assert_string_equal(root_ask(&a, "SELECT @@read_only"), "1"); /* read-only first */
	AWAIT_FACTS(da, f->life == DB_UP && !f->replica && !f->writable);
}

static void follow_explains(void **state)
{
	(void)state;
	struct db_target t = sqld_target(&a, &b);
	STR_COPY(t.repl_password, "wrong");
	struct db *d = lab_db(&t, 200 * US_PER_MS);
	struct result back = op_run(d, OP_PRECHECK, NULL, 5 * US_PER_SEC); /* the way back, tried beforehand */
	print_message("  %s\n", back.text);
	assert_int_equal(back.outcome, DB_FAILED);
	assert_non_null(strstr(back.text, "could not replicate from the other one"));
	op_ok(da, OP_FREEZE, NULL);
	op_ok(db_, OP_PROMOTE, NULL);
	struct result r = op_run(d, OP_FOLLOW, NULL, 5 * US_PER_SEC);
	print_message("  %s\n", r.text);
	assert_int_equal(r.outcome, DB_FAILED);
	assert_non_null(strstr(r.text, "refuses the replication account"));
	db_free(d);
	lab_kill(&b.pid);
	r = op_run(da, OP_FOLLOW, NULL, 3 * US_PER_SEC);
	print_message("  %s\n", r.text);
	assert_int_equal(r.outcome, DB_FAILED);
	assert_non_null(strstr(r.text, "cannot compare"));
}

static void returning_primary_follows(void **state)
{
	(void)state;
	struct writers w = { 0 };
	sync_on();
	writers_start(&w, &a, 1000);
	writers_await(&w, 30);
	op_ok(da, OP_FREEZE, NULL); /* nothing in flight: the crash leaves no divergence */
	struct result p = op_ok(da, OP_POSITION, NULL);
	op_ok(db_, OP_REACH, p.text);
	lab_kill(&a.pid);
	op_ok(db_, OP_PROMOTE, NULL);
	str_copy(*w.socket, 128, b.socket);
	writers_await(&w, 30);
	sqld_run(&a);
	op_ok(da, OP_FOLLOW, NULL);
	AWAIT_FACTS(da, f->from_peer && f->io_running && f->sql_running && f->semi_replica_on && !f->semi_source_on);
	op_ok(da, OP_FOLLOW, NULL); /* idempotent */
	AWAIT_FACTS(db_, f->life == DB_UP && f->replicas == 1);
	p = op_ok(db_, OP_SYNC_ON, NULL);
	op_ok(da, OP_REACH, p.text);
	writers_await(&w, 30);
	writers_end(&w);
	op_ok(db_, OP_SYNC_OFF, NULL);
	assert_string_equal(root_ask(&b, semi_source()), "0");
	writers_check(&w, &b);
}

static void sync_on_needs_a_standby_and_a_primary(void **state)
{
	(void)state;
	struct result r = op_run(db_, OP_SYNC_ON, NULL, 500 * US_PER_MS);
	assert_int_equal(r.outcome, DB_FAILED);
	assert_non_null(strstr(r.text, "read-only"));
	AWAIT_FACTS(da, f->replicas == 1 && f->semi_clients == 1);
	lab_kill(&b.pid);
	root_do(&a, "INSERT INTO app.rows VALUES (3, 1)"); /* the sending thread notices at its next write */
	AWAIT_FACTS(da, f->life == DB_UP && f->replicas == 0 && f->semi_clients == 0);
	r = op_run(da, OP_SYNC_ON, NULL, 500 * US_PER_MS);
	print_message("  %s\n", r.text);
	assert_int_equal(r.outcome, DB_FAILED);
	assert_non_null(strstr(r.text, "no semi-sync replica"));
	assert_string_equal(root_ask(&a, semi_source()), "0");
}

/* The other server stands still; its connection does not: the only sign is that what waits is not acknowledged. */
static void commits_that_wait_are_seen(void **state)
{
	(void)state;
	struct writers w = { 0 };
	sync_on();
	assert_int_equal(db_look(da)->semi_stalled, 0);
	writers_start(&w, &a, 1000);
	writers_await(&w, 30);
	lab_freeze(b.pid);
	AWAIT_FACTS(da, f->semi_clients == 1 && f->semi_stalled > 300 * US_PER_MS);
	kill(b.pid, SIGCONT);
	writers_await(&w, 30);
	AWAIT_FACTS(da, f->semi_clients == 1 && f->semi_stalled < 300 * US_PER_MS);
	writers_end(&w);
	AWAIT_FACTS(da, f->semi_stalled == 0);
}

int main(int argc, char **argv)
{
	static const struct sql_routine *const tables[] = { replication_sql_routines };
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(facts_of_a_pair, setup, teardown),
		cmocka_unit_test_setup_teardown(death_is_noticed_and_confirmed, setup, teardown),
		cmocka_unit_test_setup_teardown(hung_denied_and_full_are_three_things, setup, teardown),
		cmocka_unit_test_setup_teardown(promote_after_kill, setup, teardown),
		cmocka_unit_test_setup_teardown(promote_after_freeze_of_the_source, setup, teardown),
		cmocka_unit_test_setup_teardown(promote_drains_what_was_received, setup, teardown),
		cmocka_unit_test_setup_teardown(promote_starts_a_stopped_applier, setup, teardown),
		cmocka_unit_test_setup_teardown(freeze_under_load, setup, teardown),
		cmocka_unit_test_setup_teardown(freeze_gives_up_cleanly, setup, teardown),
		cmocka_unit_test_setup_teardown(received_is_not_executed, setup, teardown),
		cmocka_unit_test_setup_teardown(demote_under_load, setup, teardown),
		cmocka_unit_test_setup_teardown(demote_acknowledges_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(demote_ends_a_lock_holder_and_accepts_death, setup, teardown),
		cmocka_unit_test_setup_teardown(follow_refuses_divergence, setup, teardown),
		cmocka_unit_test_setup_teardown(follow_explains, setup, teardown),
		cmocka_unit_test_setup_teardown(returning_primary_follows, setup, teardown),
		cmocka_unit_test_setup_teardown(sync_on_needs_a_standby_and_a_primary, setup, teardown),
		cmocka_unit_test_setup_teardown(commits_that_wait_are_seen, setup, teardown),
	};
	if (argc > 1 && !strcmp(argv[1], SQLPROC_ARG))
		return sqlproc_main(tables, ARRAY_LEN(tables));
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
