/* test_replication_redis.c - Redis operations on real pairs: the control account has FACTS's rights, another account replicates. */
#include "repl_lab.h"

#include <hiredis/hiredis.h>

struct rd {
	pid_t pid;
	int port;
	char dir[96];
};

static struct rd a, b; /* a is the master at the start of each test */
static struct db *da, *db_;

static void rd_run(struct rd *r, const struct rd *master)
{
	char conf[160], log[160];
	snprintf(conf, sizeof(conf), "%s/conf", r->dir);
	snprintf(log, sizeof(log), "%s/log", r->dir);
	FILE *f = fopen(conf, "w");
	assert_non_null(f);
	fprintf(f,
		"bind 127.0.0.1\nport %d\ndir %s\nsave \"\"\nrepl-diskless-sync-delay 0\nmasteruser repl\nmasterauth "
		"repl-pw\n"
		"user default on nopass ~* &* +@all\nuser repl on >repl-pw -@all +psync +replconf +ping\n"
		"user hactl on >hactl-pw -@all +info +role +ping +replicaof +failover +config|get +config|set "
		"+client|kill "
		"+client|pause +client|unpause +multi +exec +discard +wait +pubsub|numsub\n",
		r->port, r->dir);
	if (master)
		fprintf(f, "replicaof 127.0.0.1 %d\n", master->port);
	fclose(f);
	char *argv[] = { (char *)"redis-server", conf, NULL };
	r->pid = lab_spawn(argv, log);
}

static redisContext *rd_connect(const struct rd *r)
{
	struct timeval tv = { 5, 0 };
	for (us_t end = now_us() + LAB_BOUND; now_us() < end; lab_nap()) {
		redisContext *c = redisConnectWithTimeout("127.0.0.1", r->port, tv);
		if (c && !c->err) {
			redisSetTimeout(c, tv);
			return c;
		}
		redisFree(c);
	}
	fail_msg("Redis on port %d did not start", r->port);
	return NULL;
}

/* The reply as text. Static buffer. */
static const char *rd_ask(const struct rd *r, const char *command)
{
	static char out[8192];
	redisContext *c = rd_connect(r);
	redisReply *p = redisCommand(c, command);
	assert_non_null(p);
	if (p->type == REDIS_REPLY_INTEGER)
		snprintf(out, sizeof(out), "%lld", p->integer);
	else if (p->type == REDIS_REPLY_ARRAY)
		STR_COPY(out, p->elements ? p->element[p->elements - 1]->str : "");
	else
		STR_COPY(out, p->str ? p->str : "");
	freeReplyObject(p);
	redisFree(c);
	return out;
}

static int setup(void **state)
{
	(void)state;
	lab_open();
	a = (struct rd){ .port = lab_port() };
	b = (struct rd){ .port = lab_port() };
	snprintf(a.dir, sizeof(a.dir), "%s/a", lab_dir);
	snprintf(b.dir, sizeof(b.dir), "%s/b", lab_dir);
	mkdir(a.dir, 0700);
	mkdir(b.dir, 0700);
	rd_run(&a, NULL);
	rd_run(&b, &a);
	struct db_target t = { .kind = DB_REDIS, .at.port = a.port, .peer_port = b.port };
	STR_COPY(t.at.host, "127.0.0.1");
	STR_COPY(t.at.user, "hactl");
	STR_COPY(t.at.password, "hactl-pw");
	STR_COPY(t.peer_host, "127.0.0.1");
	STR_COPY(t.peer_user, "hactl");
	STR_COPY(t.peer_password, "hactl-pw");
	STR_COPY(t.label, "redis on n1");
	da = lab_db(&t, 200 * US_PER_MS);
	t.at.port = b.port;
	t.peer_port = a.port;
	STR_COPY(t.label, "redis on n2");
	db_ = lab_db(&t, 200 * US_PER_MS);
	AWAIT_FACTS(db_, f->life == DB_UP && f->link_up && f->from_peer);
	AWAIT_FACTS(da, f->life == DB_UP && f->writable && f->replicas == 1);
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

/* --- a client that counts: INCR, each acknowledged before the next --------------------------------------------------------------------- */

struct counter {
	pid_t pid;
	volatile struct {
		int port, stop;
		long long acked;
		us_t longest;
	} * shared;
};

static void counter_main(struct counter *k)
{
	redisContext *c = NULL;
	int at = 0;
	struct timeval tv = { 2, 0 };
	us_t last = now_us();
	while (!k->shared->stop) {
		if (!c || at != k->shared->port) {
			if (c)
				redisFree(c);
			at = k->shared->port;
			c = redisConnectWithTimeout("127.0.0.1", at, tv);
			if (!c || c->err) {
				if (c)
					redisFree(c);
				c = NULL;
				lab_nap();
				continue;
			}
			redisSetTimeout(c, tv);
		}
		redisReply *r = redisCommand(c, "INCR x");
		if (r && r->type == REDIS_REPLY_INTEGER) {
			us_t now = now_us();
			if (now - last > k->shared->longest)
				k->shared->longest = now - last;
			last = now;
			k->shared->acked++;
			usleep(200);
		} else {
			redisFree(c);
			c = NULL;
			usleep(500);
		}
		if (r)
			freeReplyObject(r);
	}
	_exit(0);
}

static void counter_start(struct counter *k, const struct rd *r)
{
	k->shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(k->shared, MAP_FAILED);
	k->shared->port = r->port;
	pid_t parent = getpid();
	k->pid = fork();
	if (k->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
		counter_main(k);
	}
}

static void counter_await(struct counter *k, int n)
{
	long long from = k->shared->acked;
	for (us_t end = now_us() + LAB_BOUND; k->shared->acked < from + n && now_us() < end;)
		lab_turn();
	assert_true(k->shared->acked >= from + n);
}

static void counter_end(struct counter *k, const struct rd *r)
{
	k->shared->stop = 1;
	lab_kill(&k->pid);
	long long there = atoll(rd_ask(r, "GET x"));
	print_message("  %lld acknowledged, %lld there; longest pause %.1f ms\n", k->shared->acked, there,
		(double)k->shared->longest / 1000);
	/* an increment whose answer was lost may be there, a missing one may not */
	assert_true(there >= k->shared->acked);
}

/* --- tests ------------------------------------------------------------------------------------------------------------------------------------ */

static void facts_and_death(void **state)
{
	(void)state;
	rd_ask(&a, "SET k v");
	AWAIT_FACTS(da, !f->replica && f->offset > 0 && f->db_start && strstr(f->version, "."));
	AWAIT_FACTS(db_, f->replica && !f->writable && f->offset == db_look(da)->offset && f->silence != US_UNKNOWN &&
				 f->lag == 0);
	/* a replica that clients can write to is said to be writable */
	rd_ask(&b, "CONFIG SET replica-read-only no");
	AWAIT_FACTS(db_, f->writable && strstr(f->trouble, "replica-read-only"));
	db_interval(da, 60 * US_PER_SEC);
	AWAIT_FACTS(da, f->life == DB_UP);
	us_t from = now_us();
	lab_kill(&a.pid);
	AWAIT_FACTS(da, f->life == DB_DEAD && !f->writable);
	print_message("  dead, confirmed: %.1f ms after kill -9\n", (double)(now_us() - from) / 1000);
	assert_string_equal(op_ok(da, OP_DEMOTE, NULL).text, "dead");
	db_interval(da, 200 * US_PER_MS);
	int64_t before = db_look(da)->db_start;
	rd_run(&a, NULL);
	AWAIT_FACTS(da, f->life == DB_UP && f->db_start != before);
}

static void hung_and_denied(void **state)
{
	(void)state;
	struct db_target t = { .kind = DB_REDIS, .at.port = a.port };
	STR_COPY(t.at.host, "127.0.0.1");
	STR_COPY(t.at.user, "hactl");
	STR_COPY(t.at.password, "wrong");
	STR_COPY(t.label, "stranger");
	struct db *d = lab_db(&t, 200 * US_PER_MS);
	AWAIT_FACTS(d, f->life == DB_DENIED && strstr(f->trouble, "WRONGPASS"));
	struct result r = op_run(d, OP_POSITION, NULL, US_PER_SEC);
	assert_int_equal(r.outcome, DB_FAILED);
	db_free(d);
	/* without the right to one of its commands a promotion does nothing at all */
	rd_ask(&b, "ACL SETUSER hactl -client|kill");
	r = op_run(db_, OP_PROMOTE, NULL, US_PER_SEC);
	print_message("  %s\n", r.text);
	assert_int_equal(r.outcome, DB_FAILED);
	assert_true(strstr(rd_ask(&b, "INFO replication"), "role:slave") != NULL);
	lab_freeze(a.pid);
	AWAIT_FACTS(da, f->life == DB_HUNG);
	r = op_run(da, OP_DEMOTE, NULL, 300 * US_PER_MS);
	assert_int_equal(r.outcome, DB_TIMED_OUT);
	kill(a.pid, SIGCONT);
	AWAIT_FACTS(da, f->life == DB_UP);
}

static void promote_with(int sig)
{
	struct counter k = { 0 };
	counter_start(&k, &a);
	counter_await(&k, 100);
	rd_ask(&b, "CONFIG SET min-replicas-to-write 1");
	if (sig == SIGKILL)
		kill(a.pid, SIGKILL);
	else
		lab_freeze(a.pid);
	us_t from = now_us();
	op_ok(db_, OP_PROMOTE, NULL);
	op_ok(db_, OP_VERIFY_PRIMARY, NULL);
	print_message("  promoted and verified %.1f ms after signal %d\n", (double)(now_us() - from) / 1000, sig);
	k.shared->port = b.port;
	counter_await(&k, 100);
	AWAIT_FACTS(db_, f->writable && !f->replica);
	op_ok(db_, OP_PROMOTE, NULL); /* idempotent */
	k.shared->stop = 1;
	lab_kill(&k.pid);
	if (sig == SIGSTOP)
		kill(a.pid, SIGCONT);
	else
		lab_wait(a.pid), rd_run(&a, NULL);
	AWAIT_FACTS(da, f->life == DB_UP && f->writable);
	op_ok(da, OP_FOLLOW, NULL);
	AWAIT_FACTS(da, f->link_up && f->from_peer && !f->writable);
	assert_string_equal(op_ok(da, OP_FOLLOW, NULL).text, "followed already");
}

static void promote_after_kill(void **state)
{
	(void)state;
	promote_with(SIGKILL);
}

static void promote_after_freeze_of_the_master(void **state)
{
	(void)state;
	promote_with(SIGSTOP);
}

/* Takes the master's place on its port, says nothing, and gives the port back with the connection still open: what is left of a master
 * whose host has lost its power. Returns that connection. */
static int silent_master(const struct rd *r)
{
	struct sockaddr_in at = {
		.sin_family = AF_INET, .sin_port = htons((uint16_t)r->port), .sin_addr = { htonl(INADDR_LOOPBACK) }
	};
	int one = 1, s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), silent;
	struct timeval bound = { LAB_BOUND / US_PER_SEC, 0 };

	assert_true(s >= 0);
	setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &bound, sizeof(bound));
	assert_int_equal(bind(s, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(s, 8), 0);
	do
		silent = accept4(s, NULL, NULL, SOCK_CLOEXEC);
	while (silent >= 0 && recv(silent, &(char[16]){ 0 }, 5, MSG_PEEK | MSG_WAITALL) < 5 && close(silent) == 0);
	assert_true(silent >= 0);
	close(s);
	return silent;
}

static void follow_does_not_wait_for_a_dead_handshake(void **state)
{
	(void)state;
	db_free(da); /* its observer would knock at the silent one too */
	da = NULL;
	lab_kill(&a.pid);
	AWAIT_FACTS(db_, f->life == DB_UP && !f->link_up);
	int silent = silent_master(&a);
	rd_run(&a, NULL);
	rd_ask(&a, "SET here 1");
	op_ok(db_, OP_FOLLOW, NULL);
	AWAIT_FACTS(db_, f->link_up && f->from_peer && !f->writable);
	assert_string_equal(rd_ask(&b, "GET here"), "1");
	close(silent);
}

static void handover_and_back(void **state)
{
	(void)state;
	struct counter k = { 0 };
	counter_start(&k, &a);
	counter_await(&k, 300);
	k.shared->longest = 0;
	op_ok(da, OP_PRECHECK, NULL);
	op_ok(da, OP_HANDOVER, NULL);
	k.shared->port = b.port;
	counter_await(&k, 300);
	AWAIT_FACTS(da, f->replica && f->link_up && !f->writable);
	AWAIT_FACTS(db_, f->writable && f->replicas == 1);
	op_ok(da, OP_RECLAIM, NULL); /* undo */
	k.shared->port = a.port;
	counter_await(&k, 300);
	assert_string_equal(op_ok(da, OP_RECLAIM, NULL).text, "master already");
	AWAIT_FACTS(db_, f->link_up && !f->writable);
	/* the old master continued where it was, nothing was copied anew */
	const char *stats = strstr(rd_ask(&b, "INFO stats"), "sync_full");
	assert_non_null(stats);
	print_message("  %.60s\n", stats);
	assert_true(str_starts(stats, "sync_full:0\r\n"));
	counter_end(&k, &a);
}

static void handover_refuses(void **state)
{
	(void)state;
	struct result r;
	/* the replica does not answer: writes go on afterwards */
	lab_freeze(b.pid);
	r = op_run(da, OP_PRECHECK, NULL, 400 * US_PER_MS);
	assert_int_equal(r.outcome, DB_FAILED);
	r = op_run(da, OP_HANDOVER, NULL, 400 * US_PER_MS);
	print_message("  %s\n", r.text);
	assert_int_equal(r.outcome, DB_FAILED);
	assert_string_equal(rd_ask(&a, "SET k 1"), "OK");
	kill(b.pid, SIGCONT);
	AWAIT_FACTS(db_, f->life == DB_UP);
	op_ok(da, OP_PRECHECK, NULL);
	/* the promotion itself is refused: all is taken back */
	rd_ask(&b, "ACL SETUSER hactl -client|kill");
	r = op_run(da, OP_HANDOVER, NULL, 2 * US_PER_SEC);
	print_message("  %s\n", r.text);
	assert_int_equal(r.outcome, DB_FAILED);
	assert_string_equal(rd_ask(&a, "SET k 2"), "OK");
	rd_ask(&b, "ACL SETUSER hactl +client|kill");
	AWAIT_FACTS(db_, f->link_up);
	/* a Sentinel would undo it */
	redisContext *sentinel = rd_connect(&a);
	freeReplyObject(redisCommand(sentinel, "SUBSCRIBE __sentinel__:hello"));
	AWAIT_FACTS(da, f->sentinel && strstr(f->trouble, "Sentinel"));
	r = op_run(da, OP_HANDOVER, NULL, US_PER_SEC);
	assert_int_equal(r.outcome, DB_FAILED);
	assert_non_null(strstr(r.text, "Sentinel"));
	redisFree(sentinel);
	/* not the master */
	r = op_run(db_, OP_HANDOVER, NULL, US_PER_SEC);
	assert_int_equal(r.outcome, DB_FAILED);
	/* two masters: nothing to hand over to */
	op_ok(db_, OP_PROMOTE, NULL);
	r = op_run(da, OP_HANDOVER, NULL, US_PER_SEC);
	print_message("  %s\n", r.text);
	assert_int_equal(r.outcome, DB_FAILED);
	assert_non_null(strstr(r.text, "a master of its own"));
	lab_kill(&b.pid);
	r = op_run(da, OP_HANDOVER, NULL, US_PER_SEC);
	print_message("  %s\n", r.text);
	assert_int_equal(r.outcome, DB_FAILED);
	assert_string_equal(rd_ask(&a, "SET k 3"), "OK");
}

static void demote_under_load(void **state)
{
	(void)state;
	struct counter k = { 0 };
	counter_start(&k, &a);
	counter_await(&k, 300);
	op_ok(da, OP_DEMOTE, NULL);
	assert_true(str_starts(rd_ask(&a, "SET k v"), "READONLY"));
	AWAIT_FACTS(da, f->replica && !f->writable);
	op_ok(db_, OP_PROMOTE, NULL);
	k.shared->port = b.port;
	counter_await(&k, 100);
	AWAIT_FACTS(da, f->link_up);
	counter_end(&k, &b);
	/* alone: the other is dead, writes end all the same */
	lab_kill(&b.pid);
	op_ok(da, OP_PROMOTE, NULL);
	AWAIT_FACTS(da, f->writable);
	op_ok(da, OP_DEMOTE, NULL);
	assert_true(str_starts(rd_ask(&a, "SET k v"), "READONLY"));
	/* and the undo of a handover works without the other */
	op_ok(da, OP_RECLAIM, NULL);
	assert_string_equal(rd_ask(&a, "SET k v"), "OK");
}

static void demote_leaves_a_replica_at_rest(void **state)
{
	(void)state;
	redisContext *reader = rd_connect(&b);
	assert_non_null(strstr(op_ok(db_, OP_DEMOTE, "at rest").text, "already"));
	freeReplyObject(redisCommand(reader, "GET k"));
	assert_int_equal(reader->err, 0);
	rd_ask(&b, "CONFIG SET replica-read-only no");
	op_ok(db_, OP_DEMOTE, "at rest");
	assert_true(str_starts(rd_ask(&b, "SET k v"), "READONLY"));
	freeReplyObject(redisCommand(reader, "GET k"));
	assert_int_not_equal(reader->err, 0);
	redisFree(reader);
	op_ok(da, OP_DEMOTE, "at rest");
	assert_true(str_starts(rd_ask(&a, "SET k v"), "READONLY"));
}

static void freeze_and_positions(void **state)
{
	(void)state;
	struct counter k = { 0 };
	counter_start(&k, &a);
	counter_await(&k, 100);
	op_ok(da, OP_FREEZE, NULL);
	AWAIT_FACTS(da, !f->writable);
	struct result p = op_ok(da, OP_POSITION, NULL);
	op_ok(db_, OP_REACH, p.text);
	struct result r = op_run(db_, OP_REACH, "99999999999", 200 * US_PER_MS);
	assert_int_equal(r.outcome, DB_FAILED);
	op_ok(da, OP_UNFREEZE, NULL);
	counter_await(&k, 100);
	op_ok(da, OP_KILL_CLIENTS, NULL);
	counter_await(&k, 100);
	counter_end(&k, &a);
	struct err e = { "" };
	assert_null(db_start(da, OP_SYNC_ON, NULL, US_PER_SEC, on_result, NULL, &e));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(facts_and_death, setup, teardown),
		cmocka_unit_test_setup_teardown(hung_and_denied, setup, teardown),
		cmocka_unit_test_setup_teardown(promote_after_kill, setup, teardown),
		cmocka_unit_test_setup_teardown(promote_after_freeze_of_the_master, setup, teardown),
		cmocka_unit_test_setup_teardown(follow_does_not_wait_for_a_dead_handshake, setup, teardown),
		cmocka_unit_test_setup_teardown(handover_and_back, setup, teardown),
		cmocka_unit_test_setup_teardown(handover_refuses, setup, teardown),
		cmocka_unit_test_setup_teardown(demote_under_load, setup, teardown),
		cmocka_unit_test_setup_teardown(demote_leaves_a_replica_at_rest, setup, teardown),
		cmocka_unit_test_setup_teardown(freeze_and_positions, setup, teardown),
	};
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
