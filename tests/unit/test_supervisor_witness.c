/* test_supervisor_witness.c - what the core hears of the world: reached or not, and each sign of life as a veto. In a network namespace of the
 * test's own; nothing is pumped: the answers wait in the queue. */
#include "hactl/supervisor/private.h"

#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { ME = 0, PEER = 1 };
#define SPAN (600 * US_PER_MS)

struct bench {
	struct sup s;
	struct conf conf;
	struct timer *look, *bound;
	size_t wanted;
	bool late;
};

/* How many wait in the queue, among what the databases say; the first of them. */
static size_t answers(struct bench *b, const struct core_event **first)
{
	size_t n = 0;

	for (size_t i = 0; i < b->s.q_len; i++) {
		const struct core_event *ev = &b->s.queue[(b->s.q_head + i) % MAX_QUEUE].ev;

		if (ev->kind == EV_WITNESS && n++ == 0 && first)
			*first = ev;
	}
	return n;
}

static void on_look(void *arg, us_t now)
{
	struct bench *b = arg;

	timer_at(b->look, now + 5 * US_PER_MS);
	if (answers(b, NULL) >= b->wanted)
		loop_exit(b->s.loop, 0);
}

static void on_bound(void *arg, us_t now)
{
	struct bench *b = arg;

	(void)now;
	b->late = true;
	loop_exit(b->s.loop, 0);
}

static int setup(void **state)
{
	struct bench *b = xcalloc(1, sizeof(*b));
	struct core_disk disk = { .voted = NOBODY, .owner = NOBODY };
	struct err e;

	STR_COPY(b->conf.node[ME].name, "n1");
	STR_COPY(b->conf.node[PEER].name, "n2");
	STR_COPY(b->conf.node[ME].address, "127.0.0.2");
	STR_COPY(b->conf.node[PEER].address, "127.0.0.1");
	b->conf.lease = 3 * US_PER_SEC;
	b->conf.heartbeat_interval = 100 * US_PER_MS;
	b->conf.n_references = 1;
	STR_COPY(b->conf.reference[0], "127.0.0.1");
	b->s.conf = &b->conf;
	b->s.me = ME;
	b->s.peer = PEER;
	b->s.pumping = true;
	b->s.loop = loop_new(&e);
	assert_non_null(b->s.loop);
	b->s.core_conf = (struct core_conf){ .mode = CORE_REFERENCE, .prefer = NOBODY, .lease = b->conf.lease };
	b->s.core = xcalloc(1, core_size());
	core_init(b->s.core, &b->s.core_conf, &disk, 1, now_us());
	STR_COPY(b->s.vip[0].address, "10.77.0.100");
	b->s.n_vips = 1;
	*state = b;
	return 0;
}

static int teardown(void **state)
{
	struct bench *b = *state;

	witness_close(&b->s);
	for (int n = 0; n < NODES; n++)
		db_free(b->s.server[n][DB_MYSQL].db);
	loop_free(b->s.loop);
	free(b->s.core);
	free(b);
	return 0;
}

static void ask(struct bench *b, uint32_t id, enum witness_kind kind)
{
	struct core_action a = { .kind = ACT_WITNESS, .id = id, .witness = kind, .timeout_us = SPAN };

	witness_ask(&b->s, &a);
	assert_int_equal(answers(b, NULL), 0); /* never from inside */
}

/* Runs until so many answers wait; the first of them. */
static const struct core_event *await(struct bench *b, size_t n)
{
	const struct core_event *first = NULL;

	b->wanted = n;
	b->look = timer_new(b->s.loop, on_look, b);
	b->bound = timer_new(b->s.loop, on_bound, b);
	timer_in(b->look, 0);
	timer_in(b->bound, 30 * US_PER_SEC);
	loop_run(b->s.loop);
	timer_free(b->look);
	timer_free(b->bound);
	assert_false(b->late);
	assert_int_equal(answers(b, &first), n);
	return first;
}

static void expect(struct bench *b, bool reached, bool veto, const char *text)
{
	const struct core_event *ev = await(b, 1);

	assert_int_equal(ev->witness.id, 5);
	if (ev->witness.reached != reached || ev->witness.veto != veto || !strstr(ev->witness.text, text))
		fail_msg("reached %d, veto %d, \"%s\"", ev->witness.reached, ev->witness.veto, ev->witness.text);
}

/* A MySQL on each node; that of the other is what listens on `port`. */
static void databases(struct bench *b, int port)
{
	for (int n = 0; n < NODES; n++) {
		struct server *v = &b->s.server[n][DB_MYSQL];
		struct db_target t;
		struct err e;

		b->conf.node[n].mysql = (struct conf_mysql){ .present = true, .port = n == PEER ? port : 1 };
		specs_db(&b->conf, n, ME, DB_MYSQL, &t);
		v->s = &b->s;
		v->node = n;
		v->db = db_new(b->s.loop, &t, US_PER_SEC, facts_observed, v, &e);
		assert_non_null(v->db);
	}
}

static void test_reached(void **state)
{
	ask(*state, 5, WITNESS_REACH);
	expect(*state, true, false, "127.0.0.1 answers");
}

static void test_one_of_several_is_enough(void **state)
{
	struct bench *b = *state;

	b->conf.n_references = 3;
	STR_COPY(b->conf.reference[0], "192.0.2.1"); /* no route */
	STR_COPY(b->conf.reference[2], "192.0.2.2");
	STR_COPY(b->conf.reference[1], "127.0.0.1");
	ask(b, 5, WITNESS_REACH);
	expect(b, true, false, "127.0.0.1 answers");
}

static void test_not_reached(void **state)
{
	struct bench *b = *state;

	STR_COPY(b->conf.reference[0], "192.0.2.1");
	ask(b, 5, WITNESS_REACH);
	expect(b, false, false, "192.0.2.1 cannot be asked");
}

static void test_clear(void **state)
{
	ask(*state, 5, WITNESS_CLEAR);
	expect(*state, true, false, "127.0.0.1 answers");
}

/* Dead servers are no sign of life: both ports refuse. */
static void test_clear_with_dead_databases(void **state)
{
	struct bench *b = *state;

	databases(b, 2);
	b->s.heard_at = now_us() - US_PER_SEC;
	b->s.server[ME][DB_MYSQL].moved_after = now_us() - 10 * US_PER_SEC; /* the stream's last news is old */
	ask(b, 5, WITNESS_CLEAR);
	expect(b, true, false, "127.0.0.1 answers");
}

static void test_somebody_answers_for_the_address(void **state)
{
	struct bench *b = *state;

	ask(b, 5, WITNESS_CLEAR);
	witness_claimed(&b->s, 0, "02:77:00:00:00:02");
	witness_claimed(&b->s, 0, "02:77:00:00:00:02");
	expect(b, true, true, "10.77.0.100 is answered for by 02:77:00:00:00:02");
}

/* For a primary that asks whether it is reached, somebody else's claim is no answer. */
static void test_a_claim_is_no_answer_to_reach(void **state)
{
	struct bench *b = *state;

	STR_COPY(b->conf.reference[0], "192.0.2.1");
	ask(b, 5, WITNESS_REACH);
	witness_claimed(&b->s, 0, "02:77:00:00:00:02");
	expect(b, false, false, "cannot be asked");
}

/* Nobody reads the connection: the server hangs, and is there. */
static void test_an_open_port(void **state)
{
	struct bench *b = *state;
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);
	auto_close int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(fd, 64), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	databases(b, ntohs(a.sin_port));
	ask(b, 5, WITNESS_CLEAR);
	expect(b, true, true, "of n2 (127.0.0.1) takes connections");
}

static void test_a_stream_that_goes_on(void **state)
{
	struct bench *b = *state;

	databases(b, 2);
	b->s.heard_at = now_us() - US_PER_SEC;
	b->s.server[ME][DB_MYSQL].moved_after = now_us() - 500 * US_PER_MS;
	ask(b, 5, WITNESS_CLEAR);
	expect(b, true, true, "MySQL here goes on receiving from n2");
}

/* What it brought up to the other's last heartbeat says nothing of now. */
static void test_a_stream_that_ended_with_the_heartbeats(void **state)
{
	struct bench *b = *state;

	databases(b, 2);
	b->s.heard_at = now_us() - US_PER_SEC;
	b->s.server[ME][DB_MYSQL].moved_after = b->s.heard_at + 150 * US_PER_MS;
	ask(b, 5, WITNESS_CLEAR);
	expect(b, true, false, "127.0.0.1 answers");
}

static void test_each_question_is_answered_once(void **state)
{
	struct bench *b = *state;
	unsigned seen = 0;

	for (uint32_t id = 0; id < 4; id++)
		ask(b, id, id & 1 ? WITNESS_CLEAR : WITNESS_REACH);
	await(b, 4);
	for (size_t i = 0; i < 4; i++) {
		const struct core_event *ev = &b->s.queue[(b->s.q_head + i) % MAX_QUEUE].ev;

		assert_true(ev->witness.reached && !ev->witness.veto);
		seen |= 1u << ev->witness.id;
	}
	assert_int_equal(seen, 15);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(int argc, char **argv)
{
	static const struct sql_routine *const tables[] = { replication_sql_routines };
	struct ifreq lo = { .ifr_name = "lo" };
	const struct CMUnitTest tests[] = {
		T(test_reached),
		T(test_one_of_several_is_enough),
		T(test_not_reached),
		T(test_clear),
		T(test_clear_with_dead_databases),
		T(test_somebody_answers_for_the_address),
		T(test_a_claim_is_no_answer_to_reach),
		T(test_an_open_port),
		T(test_a_stream_that_goes_on),
		T(test_a_stream_that_ended_with_the_heartbeats),
		T(test_each_question_is_answered_once),
	};
	auto_close int fd = -1;

	if (argc > 1 && str_eq(argv[1], SQLPROC_ARG)) /* the helper that speaks to MySQL is this program */
		return sqlproc_main(tables, ARRAY_LEN(tables));
	if (unshare(CLONE_NEWNET)) {
		fprintf(stderr, "test_supervisor_witness: needs root for a network namespace: %s\n", strerror(errno));
		return 1;
	}
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	lo.ifr_flags = IFF_UP;
	ioctl(fd, SIOCSIFFLAGS, &lo);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
