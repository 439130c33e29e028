/* supervisor.c - `hactl run`: everything opened in order, the loop, everything closed in the reverse order. */
#include "hactl/supervisor/private.h"

#include <errno.h>
#include <signal.h>
#include <sys/random.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>
#include <unistd.h>

static void warn(struct sup *s, const char *sentence)
{
	log_warn("%s", sentence);
	if (s->n_warnings < ARRAY_LEN(s->warnings))
		s->warnings[s->n_warnings++] = sentence;
}

/* A starved or swapped-out supervisor loses its lease: it asks for what keeps that rare, and says when it does not get it. */
static void ask_for_priority(struct sup *s)
{
	if (!priority_realtime())
		warn(s, "runs without real-time priority (needs CAP_SYS_NICE): a starved machine may cost it its "
			"lease");
	if (!priority_locked())
		warn(s, "its memory is not locked (needs CAP_IPC_LOCK or LimitMEMLOCK): swapping may cost it its "
			"lease");
}

static void tell_mistake(void *arg, const char *file, int line, const char *sentence)
{
	(void)arg;
	log_error("%s:%d: %s", file, line, sentence);
}

static void on_tick(void *arg, us_t now)
{
	(void)now;
	pump_tick(arg);
}

/* The core wants facts at least once a second, also when no server has news. */
static void on_observe(void *arg, us_t now)
{
	struct sup *s = arg;

	if (s->stopped) {
		loop_exit(s->loop, 0);
		return;
	}
	timer_at(s->observe, now + OBSERVE_EVERY);
	deadline_check(s);
	link_watch(s);
	events_tick(s);
	facts_update(s);
}

static int on_stop_signal(sd_event_source *src, const struct signalfd_siginfo *si, void *arg)
{
	struct core_command c = { .kind = CMD_STOP, .to = NOBODY, .timeout = 20 * US_PER_SEC };
	struct sup *s = arg;

	(void)src;
	if (s->stopping) {
		log_warn("second signal %u: ending at once; the kernel's gate shuts when the lease runs out",
			si->ssi_signo);
		loop_exit(s->loop, EXIT_REFUSED);
		return 0;
	}
	s->stopping = true;
	sd_notify(0, "STOPPING=1");
	if (!pump_command(s, &c))
		loop_exit(s->loop, EXIT_REFUSED);
	return 0;
}

static int on_hangup(sd_event_source *src, const struct signalfd_siginfo *si, void *arg)
{
	(void)src;
	(void)si;
	(void)arg;
	log_notice(
		"the configuration is read at the start only; restart hactl for a new one (a restart moves nothing)");
	return 0;
}

static int open_signals(struct sup *s, struct err *e)
{
	static const int stop[] = { SIGTERM, SIGINT };
	sigset_t all;

	sigemptyset(&all);
	sigaddset(&all, SIGTERM);
	sigaddset(&all, SIGINT);
	sigaddset(&all, SIGHUP);
	sigprocmask(SIG_BLOCK, &all, NULL);
	for (size_t i = 0; i < ARRAY_LEN(stop); i++)
		if (sd_event_add_signal(loop_sd(s->loop), NULL, stop[i], on_stop_signal, s) < 0)
			return err_set(e, "signal %d cannot be watched", stop[i]);
	if (sd_event_add_signal(loop_sd(s->loop), NULL, SIGHUP, on_hangup, s) < 0)
		return err_set(e, "SIGHUP cannot be watched");
	return 0;
}

/* Kept over a restart: an etcd that was exchanged meanwhile knows nothing of who holds the term. */
static void remember_arbiter(struct sup *s)
{
	uint64_t id = arbiter_cluster(s->arbiter);
	struct err e;

	if (!id || id == s->arbiter_cluster)
		return;
	s->arbiter_cluster = id;
	if (disk_cluster_store(s, id, &e))
		hooks_alert(s, LOG_LVL_WARN, "which etcd this is cannot be stored: %s", e.text);
}

static void on_register(void *arg, uint32_t id, enum reg_outcome outcome, int64_t rev, const struct reg_value *value)
{
	struct sup *s = arg;

	remember_arbiter(s);
	pump_register(s, id, outcome, rev, value);
}

static int open_arbiter(struct sup *s, struct err *e)
{
	if (s->conf->authority != AUTHORITY_ARBITER)
		return 0;
	s->arbiter = arbiter_new(s->loop, s->conf, on_register, s, e);
	if (!s->arbiter)
		return -1;
	s->arbiter_cluster = disk_cluster(s);
	if (s->arbiter_cluster)
		arbiter_expect(s->arbiter, s->arbiter_cluster);
	return 0;
}

static int open_servers(struct sup *s, struct err *e)
{
	for (int n = 0; n < NODES; n++) {
		for (int k = 0; k < DB_KIND_COUNT; k++) {
			struct server *v = &s->server[n][k];
			const struct conf_node *c = &s->conf->node[n];
			struct db_target t;

			v->s = s;
			v->node = n;
			v->applier_ours = n == s->me;
			if (!(k == DB_MYSQL ? c->mysql.present : c->redis.present))
				continue;
			specs_db(s->conf, n, s->me, (enum db_kind)k, &t);
			v->db = db_new(s->loop, &t, OBSERVE_EVERY, facts_observed, v, e);
			if (!v->db)
				return -1;
			v->facts = *db_look(v->db); /* nothing is known, which is not the same as nothing */
		}
	}
	return 0;
}

static int open_core(struct sup *s, const struct core_disk *disk, struct err *e)
{
	uint64_t incarnation = 0;

	while (!incarnation)
		if (getrandom(&incarnation, sizeof(incarnation), 0) != sizeof(incarnation))
			return err_set(e, "no random numbers: %s", strerror(errno));
	specs_core(s->conf, s->me, &s->core_conf);
	wire_key_make(&s->key, s->conf->key, s->conf->cluster);
	wire_session_init(&s->wire, s->me, incarnation);
	s->core = xcalloc(1, core_size());
	core_init(s->core, &s->core_conf, disk, incarnation, now_us());
	return 0;
}

static int open_all(struct sup *s, struct err *e)
{
	struct core_disk disk;

	if (disk_open(s, s->cli->state_dir, &disk, e))
		return -1;
	s->disk = disk;
	s->journal = journal_open(s->cli->state_dir, s->conf->node[s->me].name, e);
	if (!s->journal || open_signals(s, e) || open_core(s, &disk, e))
		return -1;
	deadline_start(s);
	s->tick = timer_new(s->loop, on_tick, s);
	s->observe = timer_new(s->loop, on_observe, s);
	if (open_arbiter(s, e))
		return -1;
	if (address_open(s, disk.term == 0, e) || link_open(s, e) || health_open(s, e) || open_servers(s, e) ||
		ask_open(s, e))
		return -1;
	rejoin_open(s);
	events_open(s);
	timer_in(s->tick, 0);
	timer_in(s->observe, 0);
	s->wake_at = 0; /* what opening took is no stall */
	s->opened_at = now_us();
	return 0;
}

static void close_all(struct sup *s)
{
	s->closing = true;
	rejoin_close(s);
	events_close(s);
	ask_close(s);
	hooks_close(s);
	for (size_t i = 0; i < MAX_RUNNING; i++)
		if (s->running[i].used)
			steps_cancel(s, s->running[i].serial);
	killer_close(s);
	for (int n = 0; n < NODES; n++)
		for (int k = 0; k < DB_KIND_COUNT; k++)
			db_free(s->server[n][k].db);
	health_close(s);
	link_close(s);
	address_close(s);
	witness_close(s);
	arbiter_free(s->arbiter);
	timer_free(s->tick);
	timer_free(s->observe);
	deadline_close(s->deadline);
	journal_close(s->journal);
	free(s->core);
	if (s->state_lock >= 0)
		close(s->state_lock);
	loop_free(s->loop);
}

/* What this version reads but does not do yet must not be believed to work. */
static void warn_unfinished(struct sup *s)
{
	if (s->conf->n_rules)
		warn(s, "rules: this version reads them and does not evaluate them");
	if (s->conf->gate_databases && (s->conf->enforce != ENFORCE_NFT || !s->conf->n_vips))
		warn(s, "authority.gate_databases does nothing without enforce = \"nft\" and a virtual IP: the "
			"databases' own ports are not gated");
	if (s->conf->enforce != ENFORCE_NFT && s->conf->n_vips)
		warn(s, "authority.enforce is not \"nft\": a stopped supervisor keeps answering for the virtual IP "
			"beyond its lease");
}

static int run(struct sup *s, struct err *e)
{
	uint64_t watchdog = 0;
	int code;

	ask_for_priority(s);
	warn_unfinished(s);
	if (open_all(s, e))
		return -1;
	if (sd_watchdog_enabled(0, &watchdog) > 0)
		s->watchdog_us = (us_t)watchdog;
	journal_add(s->journal, LOG_LVL_NOTICE, "note", NULL,
		"hactl " HACTL_VERSION " starts on %s: lease %.0f ms, promise %.0f ms", s->conf->node[s->me].name,
		(double)s->conf->lease / 1000, (double)core_promise_us(s->conf->lease) / 1000);
	sd_notify(0, "READY=1");
	code = loop_run(s->loop);
	journal_add(s->journal, LOG_LVL_NOTICE, "note", NULL, "hactl stops");
	return code < 0 ? err_set(e, "event loop: %s", strerror(-code)) : code;
}

int supervisor_run(struct cli *c, int argc, char **argv)
{
	struct sup *s = xcalloc(1, sizeof(*s));
	struct err e = { "" };
	int code = EXIT_REFUSED;

	(void)argv;
	log_setup(LOG_LVL_INFO, NULL);
	s->cli = c;
	s->state_lock = -1;
	if (argc > 1) {
		log_error("hactl run takes no arguments but its options; see hactl --help");
		free(s);
		return EXIT_USAGE;
	}
	s->conf = conf_load(c->conf, tell_mistake, NULL);
	s->loop = s->conf ? loop_new(&e) : NULL;
	if (s->loop && (s->me = conf_self(s->conf, c->node, &e)) != NOBODY) {
		s->peer = 1 - s->me;
		log_setup(LOG_LVL_INFO, s->conf->node[s->me].name);
		code = run(s, &e);
		if (code < 0)
			code = EXIT_REFUSED;
	}
	if (e.text[0])
		log_error("%s", e.text);
	close_all(s);
	conf_free(s->conf);
	free(s);
	return code;
}
