/* test_supervisor_facts.c - what observations of the servers mean for the core. The core runs, but hears nothing: s.closing. */
#include "hactl/core/inside.h"
#include "hactl/supervisor/private.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { ME = 0, PEER = 1 };

/* Room for one supervisor without a loop; its servers are never asked. */
struct bench {
	struct sup s;
	struct conf conf;
	struct cli cli;
};

static struct bench *bench_new(bool mysql, bool redis, bool lossless, int owner)
{
	struct bench *b = xcalloc(1, sizeof(*b));
	struct core_disk disk = { .term = 3, .voted = (int8_t)owner, .owner = (int8_t)owner };
	struct err e;

	STR_COPY(b->conf.node[ME].name, "n1");
	STR_COPY(b->conf.node[PEER].name, "n2");
	b->conf.lease = US_PER_SEC;
	for (int n = 0; n < NODES; n++) {
		b->conf.node[n].mysql = (struct conf_mysql){ .present = mysql, .max_lag = 10 * US_PER_SEC };
		b->conf.node[n].redis = (struct conf_redis){ .present = redis, .max_lag = 10 * US_PER_SEC };
	}
	b->s.conf = &b->conf;
	b->s.cli = &b->cli;
	b->s.me = ME;
	b->s.peer = PEER;
	b->s.closing = true; /* events go nowhere */
	b->s.core_conf = (struct core_conf){ .me = ME,
		.prefer = NOBODY,
		.mode = CORE_MANUAL,
		.lease = US_PER_SEC,
		.interval = 100 * US_PER_MS,
		.has_mysql = mysql,
		.has_redis = redis,
		.lossless = lossless };
	b->s.core = xcalloc(1, core_size());
	core_init(b->s.core, &b->s.core_conf, &disk, 1, now_us());
	b->s.loop = loop_new(&e);
	assert_non_null(b->s.loop);
	for (int n = 0; n < NODES; n++) {
		for (int k = 0; k < DB_KIND_COUNT; k++) {
			struct db_target t = { .kind = (enum db_kind)k, .at = { .host = "127.0.0.1", .port = 1 } };
			struct server *v = &b->s.server[n][k];

			v->s = &b->s;
			v->node = n;
			if (!(k == DB_MYSQL ? mysql : redis))
				continue;
			v->db = db_new(b->s.loop, &t, US_PER_SEC, facts_observed, v, &e);
			assert_non_null(v->db);
			v->facts = *db_look(v->db);
		}
	}
	return b;
}

static void bench_free(struct bench *b)
{
	for (int n = 0; n < NODES; n++)
		for (int k = 0; k < DB_KIND_COUNT; k++)
			db_free(b->s.server[n][k].db);
	loop_free(b->s.loop);
	free(b->s.core);
	free(b);
}

static void see(struct bench *b, int node, enum db_kind kind, struct db_facts f)
{
	f.seen_at = now_us();
	facts_observed(&b->s.server[node][kind], &f);
}

/* --- servers in the states the rows below begin with --------------------------------------------------------------------------------- */

static const struct db_facts my_replica = { .life = DB_UP,
	.replica = true,
	.from_peer = true,
	.io_running = true,
	.sql_running = true,
	.executed = "0-1-5",
	.received = "0-1-5",
	.mariadb = true,
	.db_start = 42 };
static const struct db_facts my_source = { .life = DB_UP,
	.writable = true,
	.mariadb = true,
	.executed = "0-1-5",
	.lag = US_UNKNOWN,
	.unapplied = -1,
	.db_start = 41 };
static const struct db_facts red_replica = {
	.life = DB_UP, .replica = true, .from_peer = true, .link_up = true, .unapplied = -1, .offset = 7
};
static const struct db_facts red_master = {
	.life = DB_UP, .writable = true, .lag = US_UNKNOWN, .unapplied = -1, .offset = 9
};

#define OF(base, ...)                                                                                                  \
	({                                                                                                             \
		struct db_facts f_ = (base);                                                                           \
		__VA_ARGS__;                                                                                           \
		f_;                                                                                                    \
	})

/* What is expected of the facts about this node; one letter each, in any order, nothing else set:
 * w writable, m mysql_writable, s shut, f following, z frozen, r ready, i ill, p replicating, - known is false */
static void expect(const struct core_facts *n, const char *row, const char *flags, const char *why)
{
	const struct {
		char letter;
		bool is;
	} all[] = { { 'w', n->writable }, { 'm', n->mysql_writable }, { 's', n->shut }, { 'f', n->following },
		{ 'z', n->frozen }, { 'r', n->ready }, { 'i', n->ill }, { 'p', n->replicating }, { '-', !n->known } };

	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		if (all[i].is != !!strchr(flags, all[i].letter))
			fail_msg("%s: '%c' is %d, wanted \"%s\" (why: %s)", row, all[i].letter, all[i].is, flags,
				n->why);
	if (why ? !strstr(n->why, why) : n->why[0] != '\0')
		fail_msg("%s: why is \"%s\", wanted \"%s\"", row, n->why, why ? why : "");
}

/* --- MySQL here ------------------------------------------------------------------------------------------------------------------------ */

static struct db_facts mysql_row(
	int i, const char **name, const char **flags, const char **flags_lossless, const char **why)
{
#define ROW(n_, name_, flags_, lossless_, why_, ...)                                                                   \
	case n_:                                                                                                       \
		*name = name_, *flags = flags_, *flags_lossless = lossless_, *why = why_;                              \
		return __VA_ARGS__
	switch (i) {
		ROW(0, "never seen", "-", "-", "mysql on n1 is unknown", (struct db_facts){ .lag = US_UNKNOWN });
		ROW(1, "dead", "zi", "zi", "mysql on n1 is dead", (struct db_facts){ .life = DB_DEAD });
		ROW(2, "hung a moment", "", "", "mysql on n1 is hung: slow",
			OF(my_replica, f_.life = DB_HUNG, STR_COPY(f_.trouble, "slow")));
		ROW(3, "denied", "", "", "mysql on n1 is denied: bad password",
			OF(my_replica, f_.life = DB_DENIED, STR_COPY(f_.trouble, "bad password")));
		ROW(4, "out of reach", "", "", "mysql on n1 is unreachable", OF(my_replica, f_.life = DB_UNREACHABLE));
		ROW(5, "SQL thread stopped with an error", "psz", "psz",
			"replication on n1 stopped, applier error 1062: duplicate",
			OF(my_replica, f_.sql_running = false, f_.applier_error = 1062,
				STR_COPY(f_.error, "applier error 1062: duplicate")));
		ROW(6, "delayed", "pszf", "pszf", "configured delay of 60s (MASTER_DELAY)",
			OF(my_replica, f_.delay = 60 * US_PER_SEC));
		ROW(7, "unapplied unknown", "pszf", "pszf", "yet to apply is unknown",
			OF(my_replica, f_.unapplied = -1));
		ROW(8, "lag NULL, never streamed", "psz", "pszr", "behind by an unknown time",
			OF(my_replica, f_.lag = US_UNKNOWN, f_.io_running = false, f_.silence = US_UNKNOWN));
		ROW(9, "lag NULL, silent for a second", "pszr", "pszr", NULL,
			OF(my_replica, f_.lag = US_UNKNOWN, f_.io_running = false, f_.silence = US_PER_SEC));
		ROW(10, "lag NULL, silent for a minute", "psz", "pszr", "behind by 1m",
			OF(my_replica, f_.lag = US_UNKNOWN, f_.io_running = false, f_.silence = 60 * US_PER_SEC));
		ROW(11, "source gone: IO error, SQL thread runs", "pszr", "pszr", NULL,
			OF(my_replica, f_.lag = US_UNKNOWN, f_.io_running = false, f_.silence = US_PER_SEC,
				STR_COPY(f_.error, "2003 cannot connect")));
		ROW(12, "connecting", "pszr", "pszr", NULL, OF(my_replica, f_.connecting = true, f_.silence = 0));
		ROW(13, "replicates from a stranger", "pszr", "pszr", NULL, OF(my_replica, f_.from_peer = false));
		ROW(14, "behind by a minute", "pszf", "pszfr", "behind by 1m, more than max_lag 10s",
			OF(my_replica, f_.lag = 60 * US_PER_SEC));
		ROW(15, "behind by max_lag", "pszfr", "pszfr", NULL, OF(my_replica, f_.lag = 10 * US_PER_SEC));
		ROW(16, "well", "pszfr", "pszfr", NULL, my_replica);
		ROW(17, "read-only, no replica", "szr", "szr", NULL, OF(my_source, f_.writable = false));
		ROW(18, "a replica that takes writes", "pswmfr", "pswmfr", NULL, OF(my_replica, f_.writable = true));
		ROW(19, "a source", "wmr", "wmr", NULL, my_source);
		/* somebody's pause: everything is received and kept, and a promotion starts the applier */
		ROW(20, "SQL thread stopped by hand, behind for a minute", "pszf", "pszfr", "behind by 1m",
			OF(my_replica, f_.sql_running = false, f_.lag = US_UNKNOWN, f_.silence = 60 * US_PER_SEC));
		ROW(21, "the same, and the source is gone", "pszr", "pszr", NULL,
			OF(my_replica, f_.sql_running = false, f_.lag = US_UNKNOWN, f_.io_running = false,
				f_.connecting = true, f_.silence = US_PER_SEC,
				STR_COPY(f_.error, "receiver error 2003: cannot connect")));
	default:
		*name = NULL;
		return (struct db_facts){ 0 };
	}
#undef ROW
}

static void mysql_here(void **state)
{
	(void)state;
	for (int lossless = 0; lossless < 2; lossless++) {
		const char *name, *flags, *strict, *why;

		for (int i = 0; mysql_row(i, &name, &flags, &strict, &why), name; i++) {
			struct db_facts f = mysql_row(i, &name, &flags, &strict, &why);
			struct bench *b = bench_new(true, false, lossless, PEER);
			const char *want = lossless ? strict : flags;

			see(b, ME, DB_MYSQL, f);
			expect(&b->s.facts, name, want, strchr(want, 'r') ? NULL : why);
			bench_free(b);
		}
	}
}

/* --- Redis here ------------------------------------------------------------------------------------------------------------------------ */

static void redis_here(void **state)
{
	const struct {
		const char *name, *flags, *why;
		struct db_facts f;
	} rows[] = {
		{ "dead", "zi", "redis on n1 is dead", { .life = DB_DEAD } },
		{ "denied", "", "redis on n1 is denied", OF(red_replica, f_.life = DB_DENIED) },
		{ "loading", "psz", "still loading", OF(red_replica, f_.loading = true, f_.link_up = false) },
		{ "in a full resync", "psz", "middle of a full resync", OF(red_replica, f_.sync_in_progress = true) },
		{ "a Sentinel watches a replica", "pszf", "Sentinel", OF(red_replica, f_.sentinel = true) },
		{ "a Sentinel watches a master", "w", "Sentinel", OF(red_master, f_.sentinel = true) },
		{ "link down, for how long unknown", "psz", "behind by an unknown time",
			OF(red_replica, f_.link_up = false, f_.silence = US_UNKNOWN) },
		{ "link down for a minute", "psz", "behind by 1m",
			OF(red_replica, f_.link_up = false, f_.silence = 60 * US_PER_SEC) },
		{ "link down for a second", "pszr", NULL,
			OF(red_replica, f_.link_up = false, f_.silence = US_PER_SEC) },
		{ "well", "pszfr", NULL, red_replica },
		{ "a replica that takes writes", "pswfr", NULL, OF(red_replica, f_.writable = true) },
		{ "a master", "wr", NULL, red_master },
		{ "a paused master", "szr", NULL, OF(red_master, f_.writable = false) },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct bench *b = bench_new(false, true, false, PEER);

		see(b, ME, DB_REDIS, rows[i].f);
		expect(&b->s.facts, rows[i].name, rows[i].flags, rows[i].why);
		bench_free(b);
	}
}

/* --- both, none, time --------------------------------------------------------------------------------------------------------------------- */

static void the_worse_one_decides(void **state)
{
	struct bench *b = bench_new(true, true, true, PEER);

	(void)state;
	see(b, ME, DB_MYSQL, my_replica);
	expect(&b->s.facts, "redis not seen", "-ps", "redis on n1 is unknown");
	see(b, ME, DB_REDIS, red_replica);
	expect(&b->s.facts, "both well", "pszfr", NULL);
	assert_true(b->s.facts.redis_offset == 7);
	see(b, ME, DB_REDIS, red_master);
	expect(&b->s.facts, "redis promoted by hand", "pswr", NULL);
	see(b, ME, DB_REDIS, (struct db_facts){ .life = DB_DEAD });
	expect(&b->s.facts, "redis dead", "pszi", "redis on n1 is dead");
	bench_free(b);
}

static void no_databases(void **state)
{
	struct bench *b = bench_new(false, false, false, PEER);

	(void)state;
	facts_update(&b->s);
	expect(&b->s.facts, "nothing configured", "fzr", NULL);
	assert_true(b->s.facts.boot != 0);
	assert_string_equal(b->s.would_lose, "nothing");
	bench_free(b);
}

/* Silence is illness only when it lasts: two leases, and at least a second. An unreachable server of our own is as silent as a hung one. */
static void silence_becomes_illness(void **state)
{
	static const enum db_life silent[] = { DB_HUNG, DB_UNREACHABLE };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(silent); i++) {
		struct bench *b = bench_new(true, false, true, PEER);
		struct server *v = &b->s.server[ME][DB_MYSQL];
		us_t since;

		see(b, ME, DB_MYSQL, OF(my_replica, f_.life = silent[i]));
		assert_false(b->s.facts.ill);
		since = v->hung_since;
		see(b, ME, DB_MYSQL, OF(my_replica, f_.life = silent[i]));
		assert_true(v->hung_since == since); /* counted from the first time */
		v->hung_since -= 3 * US_PER_SEC;
		facts_update(&b->s);
		assert_true(b->s.facts.ill);
		assert_non_null(strstr(b->s.facts.why, "mysql on n1 is hung"));
		see(b, ME, DB_MYSQL,
			OF(my_replica, f_.life = DB_DENIED)); /* it answers: nothing is known to be broken */
		assert_false(b->s.facts.ill);
		see(b, PEER, DB_MYSQL, OF(my_replica, f_.life = DB_UNREACHABLE));
		assert_true(b->s.server[PEER][DB_MYSQL].hung_since == 0); /* of the other's says nothing */
		bench_free(b);
	}
}

/* Without semi-sync: the stream broke, and how long the primary lived on without it counts, not how long ago that was. */
static void staleness_counts_the_primarys_life(void **state)
{
	struct bench *b = bench_new(true, false, false, PEER);
	struct db_facts broken =
		OF(my_replica, f_.lag = US_UNKNOWN, f_.io_running = false, f_.silence = 60 * US_PER_SEC);
	struct server *v = &b->s.server[ME][DB_MYSQL];

	(void)state;
	see(b, ME, DB_MYSQL, my_replica);
	v->stream_ok_at -= 100 * US_PER_SEC;
	b->s.heard_primary_at = v->stream_ok_at + 5 * US_PER_SEC;
	see(b, ME, DB_MYSQL, broken);
	assert_true(b->s.facts.ready);
	b->s.heard_primary_at = v->stream_ok_at + 11 * US_PER_SEC;
	see(b, ME, DB_MYSQL, broken);
	expect(&b->s.facts, "lived on for 11 s", "psz", "behind by 11s");
	b->s.heard_primary_at = v->stream_ok_at - US_PER_SEC; /* the primary ended first */
	v->stream_lag = 9 * US_PER_SEC;
	see(b, ME, DB_MYSQL, broken);
	assert_true(b->s.facts.ready);
	v->stream_lag = 12 * US_PER_SEC;
	see(b, ME, DB_MYSQL, broken);
	assert_false(b->s.facts.ready);
	bench_free(b);
}

/* Both nodes lost their power: neither Redis has followed anybody since, and one of them is all that is left. */
static struct db_facts booted(uint64_t offset)
{
	struct db_facts f = red_replica;

	f.link_up = false;
	f.silence = f.lag = US_UNKNOWN;
	f.offset = offset;
	return f;
}

static void nobody_to_follow(void **state)
{
	const struct {
		const char *name;
		struct reg_value reg;
		struct core_disk disk;
		uint64_t heard; /* the other's term; 0: it is silent */
		bool ready;
		struct db_facts theirs;
	} rows[] = {
		{ "nothing is known", { 0 }, { .term = 3, .held = 3 }, 0, false },
		{ "the register names this node", { .term = 3, .holder = ME }, { .term = 3, .held = 3 }, 0, true },
		{ "the register names this node, the disk is lost", { .term = 3, .holder = ME }, { 0 }, 0, true },
		{ "the register names the other", { .term = 4, .holder = PEER }, { .term = 3, .held = 3 }, 0, false },
		{ "the register is older than the other's term", { .term = 3, .holder = ME },
			{ .term = 5, .held = 3, .other_term = 4 }, 0, false },
		{ "the other knows no newer term", { 0 }, { .term = 3, .held = 3, .other_term = 2 }, 3, true },
		{ "the other knows a newer term", { 0 }, { .term = 3, .held = 3 }, 4, false },
		{ "the other's word, and the register against it", { .term = 5, .holder = PEER },
			{ .term = 3, .held = 3 }, 3, false },
		{ "this node has released it", { 0 }, { .term = 3, .held = 3, .released = 3 }, 3, false },
		{ "the other held it last", { 0 }, { .term = 3, .held = 2, .other_term = 3 }, 3, false },
		{ "the other held it last and has as much", { 0 }, { .term = 3 }, 3, true, booted(5) },
		{ "the other held it last and has more", { 0 }, { .term = 3 }, 3, false, booted(6) },
		{ "the other is still loading", { 0 }, { .term = 3 }, 3, false, OF(booted(0), f_.loading = true) },
		{ "the other takes writes", { 0 }, { .term = 3 }, 3, false, OF(booted(0), f_.writable = true) },
		{ "the other is out of reach", { 0 }, { .term = 3 }, 3, false, { .life = DB_UNREACHABLE } },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct bench *b = bench_new(false, true, false, ME);

		b->s.reg = rows[i].reg;
		b->s.disk = rows[i].disk;
		b->s.heard_at = rows[i].heard ? now_us() : 0;
		b->s.heard.term = rows[i].heard;
		see(b, PEER, DB_REDIS, rows[i].theirs);
		see(b, ME, DB_REDIS, booted(5));
		if (b->s.facts.ready != rows[i].ready)
			fail_msg("%s: ready %d, %s", rows[i].name, b->s.facts.ready, b->s.facts.why);
		bench_free(b);
	}
}

/* The standby's Redis has nobody to follow and holds more than the primary's, which was restarted: no reason to keep MySQL out of sync. */
static void a_replica_that_holds_more_waits(void **state)
{
	struct bench *b = bench_new(false, true, false, PEER);

	(void)state;
	see(b, PEER, DB_REDIS, red_master);
	see(b, ME, DB_REDIS, booted(5));
	assert_false(b->s.facts.following);
	see(b, PEER, DB_REDIS, booted(9));
	assert_false(b->s.facts.following);
	see(b, PEER, DB_REDIS, booted(0));
	see(b, ME, DB_REDIS, booted(5));
	assert_true(b->s.facts.following);
	assert_true(b->s.facts.ready);
	assert_false(b->s.bereft); /* that is for a primary to say */
	bench_free(b);
}

/* A Redis that has just come back is news only when the other's, as it is since then, is known. */
static void one_that_comes_back_is_compared_first(void **state)
{
	struct bench *b = bench_new(false, true, false, ME);

	(void)state;
	see(b, ME, DB_REDIS, red_master);
	see(b, PEER, DB_REDIS, red_replica); /* its link was up then */
	see(b, ME, DB_REDIS, (struct db_facts){ .life = DB_DEAD });
	see(b, ME, DB_REDIS, booted(0));
	assert_false(b->s.facts.shut);
	see(b, PEER, DB_REDIS, booted(9));
	see(b, ME, DB_REDIS, booted(0));
	assert_true(b->s.facts.shut);
	bench_free(b);
}

/* --- the primary's side ------------------------------------------------------------------------------------------------------------------ */

static void the_standbys_stream(void **state)
{
	const struct {
		const char *name;
		bool semi_on;
		int clients;
		struct db_facts theirs;
		bool streams, lost;
		us_t stalled;
	} rows[] = {
		{ "not seen", false, 0, { .lag = US_UNKNOWN }, false, false },
		{ "dead", true, 1, { .life = DB_DEAD }, false, true },
		{ "out of reach", true, 1, { .life = DB_UNREACHABLE }, false, false },
		{ "out of reach, and its stream has ended", true, 0, { .life = DB_UNREACHABLE }, false, true },
		{ "hung", true, 1, { .life = DB_HUNG }, false, false },
		{ "denied", true, 1, { .life = DB_DENIED }, false, false },
		{ "writable, no replica", false, 0, my_source, false, true },
		{ "SQL thread stopped by an error", true, 1,
			OF(my_replica, f_.sql_running = false, f_.applier_error = 1062, STR_COPY(f_.error, "1062")),
			false, true },
		{ "stopped by an error that has no words", true, 1,
			OF(my_replica, f_.sql_running = false, f_.applier_error = 1062), false, true },
		{ "two sources: both threads run, and nobody can judge it", true, 1,
			OF(my_replica, STR_COPY(f_.error, "more than one replication source")), false, true },
		{ "SQL thread stopped by hand: it receives", true, 1,
			OF(my_replica, f_.sql_running = false, f_.lag = US_UNKNOWN), false, false },
		{ "connecting", false, 0, OF(my_replica, f_.connecting = true), false, true },
		{ "of a stranger", false, 0, OF(my_replica, f_.from_peer = false), false, true },
		{ "lag NULL", false, 0, OF(my_replica, f_.lag = US_UNKNOWN), false, false },
		{ "behind", false, 0, OF(my_replica, f_.lag = 3 * US_PER_SEC), false, false },
		{ "behind with what it has received", false, 0,
			OF(my_replica, f_.lag = 3 * US_PER_SEC, STR_COPY(f_.received, "0-1-20000")), true, false },
		{ "behind, what it has is not known", false, 0,
			OF(my_replica, f_.lag = 3 * US_PER_SEC, f_.received[0] = f_.executed[0] = '\0'), false, false },
		{ "well, semi-sync off", false, 0, my_replica, true, false },
		{ "well, semi-sync on", true, 1, my_replica, true, false },
		{ "well by its own word, and not connected", true, 0, my_replica, true, true },
		{ "well by its own word, and our commits wait for it", true, 1, my_replica, true, true, US_PER_SEC },
		{ "our commits wait for a moment", true, 1, my_replica, true, false, US_PER_SEC - 1 },
		{ "they waited before semi-sync went off", false, 1, my_replica, true, false, 9 * US_PER_SEC },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct bench *b = bench_new(true, false, true, ME);
		struct db_facts mine = my_source;

		STR_COPY(mine.executed, "0-1-20005");
		mine.semi_source_on = rows[i].semi_on;
		mine.semi_clients = rows[i].clients;
		mine.semi_stalled = rows[i].stalled;
		see(b, ME, DB_MYSQL, mine);
		see(b, PEER, DB_MYSQL, rows[i].theirs);
		if (b->s.facts.standby_streams != rows[i].streams || b->s.facts.standby_lost != rows[i].lost)
			fail_msg("%s: streams %d, lost %d", rows[i].name, b->s.facts.standby_streams,
				b->s.facts.standby_lost);
		assert_int_equal(b->s.facts.semi_on, rows[i].semi_on);
		assert_int_equal(b->s.facts.db_start, 41);
		assert_string_equal(b->s.facts.gtid, "0-1-20005");
		bench_free(b);
	}
}

/* A primary whose server came back shut: it is opened only when the other's server was compared with it, or is away for good; and not when
 * the other holds more of its own. */
static void a_primary_that_comes_back(void **state)
{
	const struct db_facts shut = OF(my_source, f_.writable = false, STR_COPY(f_.origin, "1"));
	const struct {
		const char *name, *executed, *received;
		bool writable, ill;
	} rows[] = {
		{ "the other has as much", "0-1-5", "0-1-5", false, false },
		{ "the other has executed more of its own", "0-1-7", "0-1-7", false, true },
		{ "the other has received more of its own", "0-1-5", "0-1-7", false, true },
		{ "the other has executed more and does not receive", "0-1-7", "", false, true },
		{ "the other has more of another server's", "0-1-5,0-2-7", "0-1-5", false, false },
		{ "it is open already", "0-1-7", "0-1-7", true, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct bench *b = bench_new(true, false, true, ME);

		b->s.disk = (struct core_disk){ .term = 3, .voted = ME, .owner = ME, .held = 3 };
		b->s.opened_at = now_us() - US_PER_SEC * 9;
		see(b, ME, DB_MYSQL, OF(shut, f_.writable = rows[i].writable));
		assert_true(b->s.facts.known); /* long enough */
		b->s.opened_at = now_us() + 60 * US_PER_SEC;
		facts_update(&b->s);
		assert_int_equal(b->s.facts.known, rows[i].writable);
		see(b, PEER, DB_MYSQL,
			OF(my_replica, STR_COPY(f_.executed, rows[i].executed),
				STR_COPY(f_.received, rows[i].received)));
		assert_true(b->s.facts.known);
		if (b->s.facts.ill != rows[i].ill)
			fail_msg("%s: ill %d (%s)", rows[i].name, b->s.facts.ill, b->s.facts.why);
		bench_free(b);
	}
}

/* An acknowledgement has no name: with a second semi-sync replica nobody knows whether the standby has what was acknowledged. */
static void another_acknowledges(void **state)
{
	struct bench *b = bench_new(true, false, true, ME);
	struct db_facts mine = my_source;

	(void)state;
	mine.semi_source_on = true;
	mine.semi_clients = 2;
	see(b, ME, DB_MYSQL, mine);
	assert_false(b->s.facts.acked_elsewhere); /* the standby's old connection, perhaps */
	see(b, ME, DB_MYSQL, mine);
	assert_true(b->s.facts.acked_elsewhere);
	mine.semi_clients = 1;
	see(b, ME, DB_MYSQL, mine);
	assert_false(b->s.facts.acked_elsewhere);
	bench_free(b);
}

/* An applier that a promotion of ours stopped is started again by following; one that somebody else stopped is not. */
static void whose_pause_it_is(void **state)
{
	struct bench *b = bench_new(true, false, true, PEER);
	struct server *v = &b->s.server[ME][DB_MYSQL];

	(void)state;
	v->applier_ours = true;
	see(b, ME, DB_MYSQL, OF(my_replica, f_.sql_running = false));
	assert_false(b->s.facts.following);
	see(b, ME, DB_MYSQL, my_replica);
	assert_true(b->s.facts.following);
	see(b, ME, DB_MYSQL, OF(my_replica, f_.sql_running = false));
	assert_true(b->s.facts.following);
	bench_free(b);
}

/* A server that ended protects nothing and takes no writes, whatever it said last. */
static void a_dead_source(void **state)
{
	struct bench *b = bench_new(true, false, true, ME);

	(void)state;
	see(b, ME, DB_MYSQL, OF(my_source, f_.semi_source_on = true));
	assert_true(b->s.facts.semi_on);
	see(b, ME, DB_MYSQL, OF(my_source, f_.semi_source_on = true, f_.life = DB_HUNG));
	assert_false(b->s.facts.semi_on);
	assert_false(b->s.facts.mysql_writable);
	assert_false(b->s.facts.frozen); /* hung is not frozen: it may come back writable */
	bench_free(b);
}

/* --- operations and observations ---------------------------------------------------------------------------------------------------------- */

static void what_was_asked_before_an_operation_ended(void **state)
{
	struct bench *b = bench_new(false, true, false, PEER);
	struct server *v = &b->s.server[ME][DB_REDIS];

	(void)state;
	see(b, ME, DB_REDIS, red_master);
	v->ops = 1;
	see(b, ME, DB_REDIS, red_replica);
	assert_true(b->s.facts.writable); /* while it runs nothing of it is believed */
	v->ops = 0;
	v->stale = STALE;
	see(b, ME, DB_REDIS, red_replica);
	assert_true(b->s.facts.writable); /* asked before the end, answered after it */
	assert_int_equal(v->stale, RENEWING);
	see(b, ME, DB_REDIS, red_replica);
	assert_int_equal(v->stale, FRESH);
	assert_false(b->s.facts.writable);
	v->ops = 1;
	see(b, ME, DB_REDIS, (struct db_facts){ .life = DB_DEAD });
	assert_true(b->s.facts.ill); /* death is news at any time */
	bench_free(b);
}

/* --- what a failover would lose -------------------------------------------------------------------------------------------------------------- */

static void would_lose(void **state)
{
	const struct {
		const char *name;
		int owner;
		const char *mine, *theirs, *heard, *text;
	} rows[] = {
		{ "the primary is silent about itself", PEER, "0-1-5", "", "", "unknown since " },
		{ "its position cannot be compared", PEER, "0-1-5", "", "#0123456789abcdef", "unknown since " },
		{ "nobody is primary", NOBODY, "0-1-5", "0-1-5", "0-1-5", "unknown since " },
		{ "received everything", PEER, "0-1-5", "", "0-1-5", "nothing" },
		{ "lacks three", PEER, "0-1-5", "", "0-1-8", "at most 3 transactions" },
		{ "lacks one", PEER, "0-1-5", "", "0-1-6", "at most 1 transaction" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct bench *b = bench_new(true, false, false, rows[i].owner);

		STR_COPY(b->s.heard.gtid, rows[i].heard);
		see(b, ME, DB_MYSQL, OF(my_replica, STR_COPY(f_.executed, rows[i].mine), STR_COPY(f_.received, "")));
		if (!str_starts(b->s.would_lose, rows[i].text))
			fail_msg("%s: \"%s\", wanted \"%s\"", rows[i].name, b->s.would_lose, rows[i].text);
		assert_int_equal(b->s.exposed_since != 0, str_starts(rows[i].text, "unknown"));
		bench_free(b);
	}
}

/* mysql.max_unreceived: so many and no more. What the primary told last stands when it tells nothing any more; not known is too many. */
static void unreceived_above_the_limit(void **state)
{
	const struct {
		const char *name, *received, *heard, *before; /* before: told by the primary while it still knew */
		int limit;
		bool lossless, empty;
		const char *why; /* NULL: ready */
	} rows[] = {
		{ "no limit", "0-1-5", "0-1-99", "", 0, false, false, NULL },
		{ "no limit, not known", "0-1-5", "", "", 0, false, false, NULL },
		{ "nothing missing", "0-1-5", "0-1-5", "", 1, false, false, NULL },
		{ "as many as allowed", "0-1-5", "0-1-8", "", 3, false, false, NULL },
		{ "one more", "0-1-5", "0-1-9", "", 3, false, false,
			"n1 has not received 4 transactions of n2, and mysql.max_unreceived is 3" },
		{ "the in-sync record decides", "0-1-5", "0-1-9", "", 3, true, false, NULL },
		{ "not known", "0-1-5", "", "", 3, false, false,
			"n1 does not know how many transactions of n2 it has not received, and mysql.max_unreceived is "
			"3" },
		{ "cannot be compared", "0-1-5", "#0123456789abcdef", "", 3, false, false,
			"n1 does not know how many" },
		{ "nothing was ever written there", "", "", "", 3, false, true, NULL },
		{ "no longer told, few missing", "0-1-5", "", "0-1-7", 3, false, false, NULL },
		{ "no longer told, many missing", "0-1-5", "", "0-1-77", 3, false, false, "n1 has not received 72 " },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct bench *b = bench_new(true, false, rows[i].lossless, PEER);

		b->conf.node[ME].mysql.max_unreceived = rows[i].limit;
		b->s.heard.db_start = rows[i].heard[0] || rows[i].empty ? 41 : 0;
		STR_COPY(b->s.heard.gtid, rows[i].heard);
		STR_COPY(b->s.peer_at, rows[i].before);
		see(b, ME, DB_MYSQL, OF(my_replica, STR_COPY(f_.received, rows[i].received)));
		if (b->s.facts.ready != !rows[i].why || !str_starts(b->s.facts.why, rows[i].why ? rows[i].why : ""))
			fail_msg("%s: ready %d, \"%s\"", rows[i].name, b->s.facts.ready, b->s.facts.why);
		bench_free(b);
	}
}

/* A primary that writes much has always gone on since the replica was looked at: that alone is nothing missing. It counts at the next look. */
static void unreceived_as_of_the_look(void **state)
{
	struct bench *b = bench_new(true, false, false, PEER);

	(void)state;
	b->conf.node[ME].mysql.max_unreceived = 3;
	b->s.heard.db_start = 41;
	STR_COPY(b->s.heard.gtid, "0-1-5");
	see(b, ME, DB_MYSQL, my_replica);
	STR_COPY(b->s.heard.gtid, "0-1-900");
	facts_update(&b->s);
	assert_true(b->s.facts.ready);
	see(b, ME, DB_MYSQL, OF(my_replica, STR_COPY(f_.received, "0-1-900")));
	assert_true(b->s.facts.ready);
	see(b, ME, DB_MYSQL, OF(my_replica, STR_COPY(f_.received, "0-1-800")));
	assert_false(b->s.facts.ready);
	see(b, ME, DB_MYSQL, my_source); /* the primary's own: nothing can be missing there */
	assert_true(b->s.facts.ready);
	bench_free(b);
}

/* Since when is said of the first moment, not of the newest. */
static void unknown_since(void **state)
{
	struct bench *b = bench_new(true, false, false, PEER);

	(void)state;
	see(b, ME, DB_MYSQL, my_replica);
	b->s.exposed_since = 13 * 3600 * US_PER_SEC + 7 * 60 * US_PER_SEC;
	facts_update(&b->s);
	assert_string_equal(b->s.would_lose, "unknown since 13:07 UTC");
	STR_COPY(b->s.heard.gtid, "0-1-5");
	facts_update(&b->s);
	assert_string_equal(b->s.would_lose, "nothing");
	assert_true(b->s.exposed_since == 0);
	/* a primary that is silent may have gone on since its last word */
	b->s.core->peer_known = true;
	b->s.core->peer_seen = now_us() - 9 * US_PER_SEC;
	facts_update(&b->s);
	assert_true(str_starts(b->s.would_lose, "unknown since "));
	assert_true(b->s.exposed_since > 0 && b->s.exposed_since <= wall_us() - 9 * US_PER_SEC);
	bench_free(b);
}

/* Without semi-sync: the server says "lag 0" of a connection that was cut without a word. What the primary has written since tells. */
static void a_stream_that_was_cut(void **state)
{
	const struct {
		const char *name, *heard;
		us_t silence;
		bool cut;
	} rows[] = {
		{ "rows arrive", "0-1-9", US_PER_SEC, false },
		{ "nothing to send", "0-1-5", 60 * US_PER_SEC, false },
		{ "rows, and silence", "0-1-9", 4 * US_PER_SEC, true },
		{ "silence, and no word of the primary's position", "", 4 * US_PER_SEC, true },
		{ "the silence is not known", "0-1-9", US_UNKNOWN, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct bench *b = bench_new(true, false, false, PEER);
		struct server *v = &b->s.server[ME][DB_MYSQL];
		us_t before;

		STR_COPY(b->s.heard.gtid, rows[i].heard);
		see(b, ME, DB_MYSQL, OF(my_replica, f_.silence = 0));
		before = v->stream_ok_at -= US_PER_SEC;
		see(b, ME, DB_MYSQL, OF(my_replica, f_.silence = rows[i].silence));
		if (rows[i].cut != (v->stream_ok_at == before))
			fail_msg("%s: %s", rows[i].name, rows[i].cut ? "taken for well" : "taken for cut off");
		bench_free(b);
	}
}

/* Two looks at a replica, and whether something came from its source between them; the moment is that of the first look. */
static void a_stream_that_moves(void **state)
{
	const struct {
		const char *what;
		enum db_kind kind;
		struct db_facts before, after;
		bool moved;
	} rows[] = {
		{ "nothing new", DB_MYSQL, OF(my_replica, f_.silence = US_PER_SEC),
			OF(my_replica, f_.silence = 2 * US_PER_SEC), false },
		{ "rows", DB_MYSQL, my_replica, OF(my_replica, STR_COPY(f_.received, "0-1-6")), true },
		{ "a heartbeat of the stream", DB_MYSQL, my_replica, OF(my_replica, f_.silence = 0), true },
		{ "silence that nobody measured", DB_MYSQL, my_replica, OF(my_replica, f_.silence = US_UNKNOWN),
			false },
		{ "a source", DB_MYSQL, my_source, OF(my_source, STR_COPY(f_.received, "0-1-6")), false },
		{ "a replica that was a source", DB_MYSQL, my_source, OF(my_replica, f_.silence = US_PER_SEC), false },
		{ "a replica that was dead", DB_MYSQL, OF(my_replica, f_.life = DB_DEAD),
			OF(my_replica, STR_COPY(f_.received, "0-1-6")), false },
		{ "bytes", DB_REDIS, red_replica, OF(red_replica, f_.offset = 8), true },
		{ "no bytes", DB_REDIS, red_replica, red_replica, false },
		{ "the offset of another master", DB_REDIS, red_replica, OF(red_replica, f_.offset = 2), false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct bench *b = bench_new(true, true, true, PEER);
		struct server *v = &b->s.server[ME][rows[i].kind];
		us_t first;

		see(b, ME, rows[i].kind, rows[i].before);
		assert_true(v->moved_after == 0);
		first = v->looked.seen_at;
		while (now_us() <= first) /* two looks are never at one moment */
			continue;
		see(b, ME, rows[i].kind, rows[i].after);
		if (v->moved_after != (rows[i].moved ? first : 0))
			fail_msg("%s: %s", rows[i].what, v->moved_after ? "taken for news" : "not noticed");
		bench_free(b);
	}
}

/* After a stall nothing is known until each server has been seen anew: the answer that was on its way does not count. */
static void what_was_known_before_a_stall(void **state)
{
	struct bench *b = bench_new(true, false, true, PEER);

	(void)state;
	see(b, ME, DB_MYSQL, my_replica);
	assert_true(b->s.facts.known);
	assert_true(facts_forget(&b->s));
	assert_false(b->s.facts.known);
	see(b, ME, DB_MYSQL, my_replica); /* asked before */
	assert_false(b->s.facts.known);
	see(b, ME, DB_MYSQL, my_replica);
	assert_true(b->s.facts.known);
	bench_free(b);

	b = bench_new(false, false, false, PEER);
	assert_false(facts_forget(&b->s)); /* without servers there is nothing to forget */
	bench_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mysql_here),
		cmocka_unit_test(redis_here),
		cmocka_unit_test(one_that_comes_back_is_compared_first),
		cmocka_unit_test(the_worse_one_decides),
		cmocka_unit_test(no_databases),
		cmocka_unit_test(silence_becomes_illness),
		cmocka_unit_test(staleness_counts_the_primarys_life),
		cmocka_unit_test(nobody_to_follow),
		cmocka_unit_test(a_replica_that_holds_more_waits),
		cmocka_unit_test(the_standbys_stream),
		cmocka_unit_test(a_primary_that_comes_back),
		cmocka_unit_test(another_acknowledges),
		cmocka_unit_test(whose_pause_it_is),
		cmocka_unit_test(a_dead_source),
		cmocka_unit_test(what_was_asked_before_an_operation_ended),
		cmocka_unit_test(would_lose),
		cmocka_unit_test(unreceived_above_the_limit),
		cmocka_unit_test(unreceived_as_of_the_look),
		cmocka_unit_test(unknown_since),
		cmocka_unit_test(a_stream_that_was_cut),
		cmocka_unit_test(a_stream_that_moves),
		cmocka_unit_test(what_was_known_before_a_stall),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
