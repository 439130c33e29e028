/* guard.c - `hactl guard`: watches the deadline; when it has passed and nobody acts, shuts this node's databases.
 *
 * It decides nothing about authority: it only reads until when writes may be open. The record is read again before every effect; a
 * deadline that moves again ends what is under way.
 */
#include "hactl/guard/guard.h"

#include <errno.h>
#include <signal.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#define BEAT_EVERY    (500 * US_PER_MS)
#define LOOK_EVERY    (2 * US_PER_SEC) /* while the deadline holds: connections are kept and their end is told at once */
#define LOOK_FAST     (200 * US_PER_MS) /* while it is passed: a server that comes back is met frozen */
#define ACT_EVERY     (20 * US_PER_MS)	/* while it is passed: has the supervisor come back? */
#define LATE	      (10 * US_PER_MS)	/* the deadline is moved by another process's timer */
#define ACTS_ITSELF   (300 * US_PER_MS) /* a supervisor that wrote after the deadline is freezing: that long is its own */
#define LOOK_FIRST    (50 * US_PER_MS) /* a server that does not say by then whether it is writable is frozen unasked */
#define DEMOTE_WITHIN (2 * US_PER_SEC)
#define DEMOTE_AGAIN  (100 * US_PER_MS) /* after a failed one */

static const char *const kinds[DB_KIND_COUNT] = { [DB_MYSQL] = "mysql", [DB_REDIS] = "redis" };

struct guard;

struct guarded { /* one local database */
	struct guard *g;
	struct db *db; /* NULL: not configured */
	const char *name;
	struct db_call *call, *warming;
	int64_t warmed; /* the server's start for which the second connection was made */
	us_t again;	/* no new attempt before */
	bool shut;	/* seen read-only or dead since the deadline passed */
	bool failed;	/* said once a deadline */
};

struct guard {
	struct cli *cli;
	struct conf *conf;
	int me;
	struct loop *loop;
	struct timer *tick;
	char path[512];
	struct deadline_file *file;
	bool file_trouble;
	struct deadline said; /* the newest that was readable */
	us_t passed_until;    /* the deadline that passed and is being enforced; 0 none */
	us_t passed_at;	      /* since when */
	bool all_shut, acted;
	struct guarded guarded[DB_KIND_COUNT];
	us_t watchdog_us, watchdog_at;
};

static void evaluate(struct guard *g, us_t now);

/* --- the file --------------------------------------------------------------------------------------------------------------- */

/* A file that was removed stays mapped, and binds, until a supervisor has written into a new one. Where a supervisor of another version
 * writes, what an older one said binds no longer: nobody could take it back. */
static void keep_file(struct guard *g)
{
	struct deadline_file *fresh;
	struct deadline d;
	struct err e;

	if (g->file && !deadline_lost(g->file))
		return;
	fresh = deadline_open(g->path, false, &e);
	if (!fresh && errno == EPROTO) {
		deadline_close(g->file);
		g->file = NULL;
		g->said = (struct deadline){ 0 };
	}
	if (!fresh && !g->file_trouble)
		log_error("the deadline cannot be read: %s", e.text);
	g->file_trouble = !fresh;
	if (fresh && g->file && !(deadline_hear(fresh, &d) && d.alive_at)) {
		deadline_close(fresh);
	} else if (fresh) {
		deadline_close(g->file);
		g->file = fresh;
	}
}

static void beat(struct guard *g, us_t now)
{
	struct guard_beat b = { .alive_at = now,
		.pid = getpid(),
		.doing = !g->passed_until ? GUARD_WATCHES
			 : g->all_shut	  ? GUARD_FROZE
					  : GUARD_FREEZES };

	if (g->file && !g->file_trouble)
		guard_say(g->file, &b);
	if (g->watchdog_us && now - g->watchdog_at > g->watchdog_us / 4) {
		g->watchdog_at = now;
		sd_notify(0, "WATCHDOG=1");
	}
}

/* --- one database ------------------------------------------------------------------------------------------------------------ */

static void on_frozen(void *arg, enum db_outcome outcome, us_t took, const char *text)
{
	struct guarded *d = arg;
	us_t now = now_us();

	d->call = NULL;
	if (outcome == DB_OK) {
		log_notice("%s: frozen after %.0f ms%s%s", d->name, (double)took / 1000, *text ? ": " : "", text);
	} else {
		if (!d->failed)
			log_error("%s cannot be frozen and is tried again: %s", d->name, text);
		d->failed = true;
	}
	d->again = now + DEMOTE_AGAIN;
	db_hurry(d->db);
	evaluate(d->g, now);
}

static void say_why(struct guard *g, us_t now)
{
	if (g->acted)
		return;
	g->acted = true;
	log_error("the lease of this node's databases ended %.0f ms ago and the supervisor (pid %lld) has neither "
		  "moved nor withdrawn it: their writes are shut",
		(double)(now - g->said.until) / 1000, (long long)g->said.pid);
	sd_notify(0, "STATUS=keeping this node's databases shut");
}

static void freeze(struct guarded *d, us_t now)
{
	struct err e;

	say_why(d->g, now);
	d->again = now + DEMOTE_AGAIN;
	d->call = db_start(d->db, OP_DEMOTE, NULL, DEMOTE_WITHIN, on_frozen, d, &e);
	if (!d->call && !d->failed) {
		d->failed = true;
		log_error("%s cannot be frozen and is tried again: %s", d->name, e.text);
	}
}

static void enforce(struct guarded *d, us_t now)
{
	const struct db_facts *f = db_look(d->db);
	bool seen = f->seen_at >= d->g->passed_at;

	d->shut = seen && !d->call && (f->life == DB_DEAD || (f->life == DB_UP && !f->writable));
	if (d->shut || d->call || now < d->again || (!seen && now < d->g->passed_at + LOOK_FIRST))
		return;
	freeze(d, now);
}

static void on_warm(void *arg, enum db_outcome outcome, us_t took, const char *text)
{
	struct guarded *d = arg;

	(void)outcome;
	(void)took;
	(void)text;
	d->warming = NULL;
}

/* A freeze takes two connections. The room makes the first with every start of the server; this makes the second, beside it. */
static void warm(struct guarded *d, const struct db_facts *f)
{
	struct err e;

	if (f->life != DB_UP || f->db_start == d->warmed || d->warming || d->call)
		return;
	d->warmed = f->db_start;
	d->warming = db_start(d->db, OP_POSITION, NULL, 5 * US_PER_SEC, on_warm, d, &e);
}

static void on_observed(void *arg, const struct db_facts *f)
{
	struct guarded *d = arg;

	warm(d, f);
	if (d->g->passed_until)
		evaluate(d->g, now_us());
}

/* --- the deadline -------------------------------------------------------------------------------------------------------------- */

static bool passed(const struct guard *g, us_t now)
{
	const struct deadline *r = &g->said;
	us_t patience = r->alive_at >= r->until ? ACTS_ITSELF : LATE;

	if (!r->open || r->maintenance)
		return false;
	if (g->passed_until == r->until) /* once begun, only a new deadline or its end calls it off */
		return true;
	return now >= r->until + patience;
}

static void begin(struct guard *g, us_t now)
{
	g->passed_until = g->said.until;
	g->passed_at = now;
	g->all_shut = g->acted = false;
	for (size_t k = 0; k < DB_KIND_COUNT; k++) {
		struct guarded *d = &g->guarded[k];

		d->shut = d->failed = false;
		d->again = 0;
		if (!d->db)
			continue;
		db_interval(d->db, LOOK_FAST);
		db_hurry(d->db);
	}
}

static void call_off(struct guard *g)
{
	if (g->acted)
		log_notice("the supervisor is back (pid %lld): %s", (long long)g->said.pid,
			g->said.open ? "the deadline moves again" : "it has seen every database here shut");
	sd_notify(0, "STATUS=watching");
	g->passed_until = 0;
	for (size_t k = 0; k < DB_KIND_COUNT; k++) {
		struct guarded *d = &g->guarded[k];

		if (!d->db)
			continue;
		if (d->call) {
			db_cancel(d->call);
			d->call = NULL;
			d->warmed = 0; /* its connections went with it */
		}
		db_interval(d->db, LOOK_EVERY);
	}
}

static void enforce_all(struct guard *g, us_t now)
{
	bool all = true;

	for (size_t k = 0; k < DB_KIND_COUNT; k++) {
		if (!g->guarded[k].db)
			continue;
		enforce(&g->guarded[k], now);
		all &= g->guarded[k].shut;
	}
	if (all && !g->all_shut && g->acted)
		log_notice(
			"every database here is read-only or dead and is kept so until the supervisor is back; to open "
			"writes by hand, stop hactl-guard first");
	g->all_shut = all;
}

static us_t wake_at(const struct guard *g, us_t now)
{
	us_t next = now + (g->passed_until ? ACT_EVERY : BEAT_EVERY), due = g->said.until + LATE;

	if (g->passed_until || !g->said.open || g->said.maintenance || due >= next)
		return next;
	return due > now ? due : now + ACT_EVERY;
}

static void evaluate(struct guard *g, us_t now)
{
	keep_file(g);
	if (g->file)
		deadline_hear(g->file, &g->said);
	if (passed(g, now)) {
		if (g->passed_until != g->said.until)
			begin(g, now);
		enforce_all(g, now);
	} else if (g->passed_until) {
		call_off(g);
	}
	timer_at(g->tick, wake_at(g, now));
}

static void on_tick(void *arg, us_t now)
{
	struct guard *g = arg;

	evaluate(g, now);
	beat(g, now);
}

/* --- the process ----------------------------------------------------------------------------------------------------------------- */

static void tell_mistake(void *arg, const char *file, int line, const char *sentence)
{
	(void)arg;
	log_error("%s:%d: %s", file, line, sentence);
}

static int on_stop(sd_event_source *src, const struct signalfd_siginfo *si, void *arg)
{
	struct guard_beat last = { .alive_at = now_us() };
	struct guard *g = arg;

	(void)src;
	(void)si;
	sd_notify(0, "STOPPING=1");
	if (g->file && !g->file_trouble)
		guard_say(g->file, &last);
	loop_exit(g->loop, EXIT_DONE);
	return 0;
}

static int open_signals(struct guard *g, struct err *e)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	if (sd_event_add_signal(loop_sd(g->loop), NULL, SIGTERM, on_stop, g) < 0 ||
		sd_event_add_signal(loop_sd(g->loop), NULL, SIGINT, on_stop, g) < 0)
		return err_set(e, "signals cannot be watched");
	return 0;
}

static int open_databases(struct guard *g, struct err *e)
{
	const struct conf_node *n = &g->conf->node[g->me];

	for (size_t k = 0; k < DB_KIND_COUNT; k++) {
		struct guarded *d = &g->guarded[k];
		struct db_target t;

		d->g = g;
		d->name = kinds[k];
		if (!(k == DB_MYSQL ? n->mysql.present : n->redis.present))
			continue;
		specs_db(g->conf, g->me, g->me, (enum db_kind)k, &t);
		d->db = db_new(g->loop, &t, LOOK_EVERY, on_observed, d, e);
		explicit_bzero(&t, sizeof(t));
		if (!d->db)
			return -1;
	}
	return 0;
}

static int run(struct guard *g, struct err *e)
{
	uint64_t watchdog = 0;
	int code;

	if (!priority_realtime())
		log_warn("runs without real-time priority (needs CAP_SYS_NICE): a starved machine may make it late");
	if (!priority_locked())
		log_warn("its memory is not locked (needs CAP_IPC_LOCK or LimitMEMLOCK): swapping may make it late");
	deadline_path(g->cli, g->path);
	g->tick = timer_new(g->loop, on_tick, g);
	if (open_signals(g, e) || open_databases(g, e))
		return -1;
	if (sd_watchdog_enabled(0, &watchdog) > 0)
		g->watchdog_us = (us_t)watchdog;
	on_tick(g, now_us());
	log_notice("hactl " HACTL_VERSION " guards the databases of %s by %s", g->conf->node[g->me].name, g->path);
	sd_notify(0, "READY=1\nSTATUS=watching");
	code = loop_run(g->loop);
	return code < 0 ? err_set(e, "event loop: %s", strerror(-code)) : code;
}

static void close_all(struct guard *g)
{
	for (size_t k = 0; k < DB_KIND_COUNT; k++) {
		db_cancel(g->guarded[k].call);
		db_cancel(g->guarded[k].warming);
		db_free(g->guarded[k].db);
	}
	timer_free(g->tick);
	deadline_close(g->file);
	loop_free(g->loop);
	conf_free(g->conf);
	free(g);
}

int guard_run(struct cli *c, int argc, char **argv)
{
	const struct cli_option own[] = { { "deadline", 0, &c->deadline, NULL }, { 0 } };
	struct err e = { "" };
	int code = EXIT_REFUSED;
	struct guard *g;

	if (cli_parse(c, &argc, argv, own) < 0)
		return EXIT_USAGE;
	if (argc > 1)
		return cli_usage(c, "guard takes no arguments but its options");
	log_setup(LOG_LVL_INFO, NULL);
	g = xcalloc(1, sizeof(*g));
	g->cli = c;
	g->conf = conf_load(c->conf, tell_mistake, NULL);
	g->loop = g->conf ? loop_new(&e) : NULL;
	if (g->loop && (g->me = conf_self(g->conf, c->node, &e)) != NOBODY) {
		log_setup(LOG_LVL_INFO, g->conf->node[g->me].name);
		code = run(g, &e);
	}
	if (e.text[0])
		log_error("%s", e.text);
	close_all(g);
	return code < 0 ? EXIT_REFUSED : code;
}
