/* mysql.c - MySQL and MariaDB from the loop's side: observation on a connection of its own, operations on others, so that neither waits
 * for the other. What is done on the server stands in the sql_*.c files, which run in the helpers.
 */
#include "replication/mysql.h"

#include <inttypes.h>
#include <unistd.h>

static const us_t forget_timeout = 90 * US_PER_SEC; /* beyond the servers' own net timeout of 60 s */

/* --- observation ------------------------------------------------------------------------------------------------------- */

static const enum db_life life_of[SQL_STATUS_COUNT] = {
	[SQL_OK] = DB_UP,
	[SQL_REFUSED] = DB_DEAD, /* the helper was refused twice, by the library and by itself */
	[SQL_DENIED] = DB_DENIED,
	[SQL_BUSY] = DB_DENIED,
	[SQL_FAILED] = DB_DENIED, /* it answers, but not with what we need */
	[SQL_GONE] = DB_HUNG,	  /* on a fresh connection: accepted and dropped without a greeting */
	[SQL_TIMEOUT] = DB_HUNG,
	[SQL_UNREACHABLE] = DB_UNREACHABLE,
};

/* A position that does not fit is replaced by a digest: still equal to itself, no longer comparable. */
static void copy_position(char *out, const char *text)
{
	uint64_t h = 14695981039346656037ull; /* FNV-1a */
	if (str_copy(out, GTID_MAX, text))
		return;
	for (const char *p = text; *p; p++)
		h = (h ^ (unsigned char)*p) * 1099511628211ull;
	snprintf(out, GTID_MAX, "#%016" PRIx64, h);
}

static const char *text_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));
	return s ? s : "";
}

static bool true_of(const json_t *o, const char *key)
{
	return json_is_true(json_object_get(o, key));
}

static int64_t int_of(const json_t *o, const char *key, int64_t otherwise)
{
	const json_t *v = json_object_get(o, key);
	return json_is_integer(v) ? json_integer_value(v) : otherwise;
}

static us_t silence(struct mysql *m, const char *arrival, us_t now)
{
	if (!arrival[0] || !m->arrival[0]) {
		STR_COPY(m->arrival, arrival);
		m->arrived_at = US_UNKNOWN;
	} else if (!str_eq(arrival, m->arrival)) {
		STR_COPY(m->arrival, arrival);
		m->arrived_at = now;
	}
	return m->arrived_at == US_UNKNOWN ? US_UNKNOWN : now - m->arrived_at;
}

/* Commits wait for the standby and none was acknowledged since: the stream may look alive on both sides for a minute more. */
static us_t stalled(struct mysql *m, int64_t waiting, int64_t acked, us_t now)
{
	if (!waiting || !m->stalled_at || acked != m->acked)
		m->stalled_at = waiting ? now : 0;
	m->acked = acked;
	return m->stalled_at ? now - m->stalled_at : 0;
}

/* An answer that takes half of what is allowed for one: the next may be none. */
static void tell_slowness(struct mysql *m, us_t took)
{
	struct db_facts *f = &m->db->facts;
	bool slow = took > db_look_timeout(m->db) / 2;

	if (slow && m->slow && !f->trouble[0])
		snprintf(f->trouble, sizeof(f->trouble), "it is slow: it took %lld ms to answer what takes one",
			(long long)(took / US_PER_MS));
	m->slow = slow;
}

/* What holds a replica up that is not its failure: a person, or a backup. */
static void tell_trouble(struct db_facts *f, const char *backup)
{
	bool receives = f->io_running || f->connecting;

	if (!f->replica || f->writable)
		return;
	if (!f->sql_running && !f->applier_error && receives)
		snprintf(f->trouble, sizeof(f->trouble),
			"the applier was stopped, by hand or by a backup (it had no error): a failover would start it "
			"and wait until it has caught up");
	else if (f->applier_waits[0])
		snprintf(f->trouble, sizeof(f->trouble),
			"a session on this server, a backup's or a client's, holds up the applier (%s): a failover "
			"would end it",
			f->applier_waits);
	else if (backup[0])
		snprintf(f->trouble, sizeof(f->trouble), "a backup holds %s: a failover would %s",
			strstr(backup, "GLOBAL") ? "the global read lock" : "LOCK INSTANCE FOR BACKUP",
			strstr(backup, "GLOBAL") ? "end its session" : "let it go on");
}

static void take_facts(struct mysql *m, const json_t *o)
{
	const struct db_target *t = &m->db->target;
	int64_t lag = int_of(o, "lag_s", -1);
	bool held_up; /* said when two looks in a row have seen it: locks come and go */
	struct db_facts f = { .life = DB_UP,
		.mariadb = true_of(o, "mariadb"),
		.writable = true_of(o, "writable"),
		.replica = true_of(o, "replica"),
		.io_running = true_of(o, "io"),
		.sql_running = true_of(o, "sql"),
		.connecting = true_of(o, "connecting"),
		.source_port = (int)int_of(o, "source_port", 0),
		.delay = int_of(o, "delay_s", 0) * US_PER_SEC,
		.lag = lag < 0 ? US_UNKNOWN : lag * US_PER_SEC,
		.silence = silence(m, text_of(o, "arrival"), now_us()),
		.unapplied = int_of(o, "unapplied", -1),
		.semi_source_on = true_of(o, "semi_source"),
		.semi_replica_on = true_of(o, "semi_replica"),
		.semi_clients = (int)int_of(o, "semi_clients", 0),
		.semi_waiting = (int)int_of(o, "semi_waiting", 0),
		.connections = (int)int_of(o, "connections", 0),
		.max_connections = (int)int_of(o, "max_connections", 0),
		.semi_stalled = stalled(m, int_of(o, "semi_waiting", 0), int_of(o, "semi_acked", 0), now_us()),
		.db_start = int_of(o, "db_start", 0),
		.applier_error = (int)int_of(o, "applier_error", 0),
		.replicas = (int)int_of(o, "replicas", 0) };
	STR_COPY(f.version, text_of(o, "version"));
	STR_COPY(f.origin, text_of(o, "origin"));
	STR_COPY(f.pid_file, text_of(o, "pid_file"));
	STR_COPY(f.source_host, text_of(o, "source_host"));
	STR_COPY(f.error, text_of(o, "error"));
	copy_position(f.executed, text_of(o, "executed"));
	copy_position(f.received, text_of(o, "received"));
	copy_position(f.purged, text_of(o, "purged"));
	f.from_peer = f.replica && str_eq(f.source_host, t->peer_host) && f.source_port == t->peer_port;
	STR_COPY(f.applier_waits, text_of(o, "applier_waits"));
	tell_trouble(&f, text_of(o, "backup"));
	held_up = f.trouble[0] != '\0';
	if (!m->held_up)
		f.trouble[0] = '\0';
	m->held_up = held_up;
	m->db->facts = f;
}

/* What an operator does about it differs, so each has its sentence; the server's own words follow. */
static void tell_silence(struct db *d, const struct sql_reply *r)
{
	static const struct {
		enum sql_status status;
		int code; /* 0: any */
		const char *means;
	} rows[] = {
		{ SQL_BUSY, 0, "it runs, and all its connections are in use: end some or raise max_connections" },
		{ SQL_DENIED, 1045, "it runs, and refuses hactl's account: set the password that the file names" },
		{ SQL_DENIED, 0, "it runs, and refuses hactl's account" },
		{ SQL_REFUSED, 0, "nobody listens on its port: start it" },
		{ SQL_TIMEOUT, 0, "it takes connections and does not answer: it is stopped, or stuck" },
		{ SQL_GONE, 0, "it takes connections and drops them without a word" },
	};
	char text[SENTENCE_MAX];

	STR_COPY(text, r->status == SQL_OK ? "the helper's answer is not understood" : r->text);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (rows[i].status == r->status && (!rows[i].code || rows[i].code == r->code)) {
			snprintf(text, sizeof(text), "%s (%.150s)", rows[i].means, r->text);
			break;
		}
	db_silent(d, life_of[r->status], text);
}

static void look(struct db *d);

static void on_observed(void *arg, const struct sql_reply *r)
{
	struct mysql *m = arg;
	json_error_t je;
	json_t *o = NULL;

	m->observing = false;
	/* The connection broke: the next answer tells why. A server that is just dying takes connections and resets them for some
	 * milliseconds more, before its port refuses. */
	if (r->status == SQL_GONE && m->lost_looks < MYSQL_LOST_LOOKS) {
		if (m->lost_looks++ == 0)
			look(m->db);
		else
			timer_in(m->db->next, 10 * US_PER_MS);
		return;
	}
	m->lost_looks = 0;
	if (r->status == SQL_OK)
		o = json_loadb(r->out, r->out_len, 0, &je);
	if (o) {
		take_facts(m, o);
		tell_slowness(m, r->took_us);
		json_decref(o);
		mysql_warm(m);
	} else {
		tell_silence(m->db, r);
	}
	db_looked(m->db, m->began);
}

static void look(struct db *d)
{
	struct mysql *m = d->own;
	us_t timeout = db_look_timeout(d);
	char args[64];
	struct err e;

	if (m->observing) {
		d->look_again = true;
		return;
	}
	m->began = now_us();
	snprintf(args, sizeof(args), "{\"timeout_ms\":%lld%s}", (long long)(timeout / US_PER_MS),
		m->forgetting ? ",\"brief\":true" : "");
	if (sqlproc_call(m->watch, "observe", args, timeout, on_observed, m, &e) == 0) {
		m->observing = true;
		return;
	}
	db_silent(d, DB_UNKNOWN, e.text);
	db_looked(d, m->began);
}

static void on_gone(void *arg)
{
	struct mysql *m = arg;
	look(m->db);
}

/* --- clean-up after a promotion ---------------------------------------------------------------------------------------------- */

static void on_forgotten(void *arg, const struct sql_reply *r)
{
	struct mysql *m = arg;
	struct mysql_slot *s = m->forgetting;
	(void)r; /* what is left shows in the facts: replica stays true */
	m->forgetting = NULL;
	mysql_slot_put(m, s);
	look(m->db);
}

void mysql_forget(struct mysql *m, bool released)
{
	const char *args = released ? "{\"timeout_ms\":90000,\"released\":true}" : "{\"timeout_ms\":90000}";
	struct err e;
	if (m->forgetting)
		return;
	m->forgetting = mysql_slot_spare(m);
	if (m->forgetting &&
		sqlproc_call(m->forgetting->proc, "forget", args, forget_timeout, on_forgotten, m, &e) < 0) {
		mysql_slot_put(m, m->forgetting);
		m->forgetting = NULL;
	}
}

void mysql_forget_stop(struct mysql *m)
{
	if (!m->forgetting)
		return;
	sqlproc_cancel(m->forgetting->proc);
	mysql_slot_put(m, m->forgetting);
	m->forgetting = NULL;
}

/* --- connections for operations ---------------------------------------------------------------------------------------------- */

static struct mysql_slot *get_from(struct mysql *m, size_t first)
{
	for (size_t i = first; i < ARRAY_LEN(m->slots); i++) {
		struct mysql_slot *s = &m->slots[i];
		if (s->used)
			continue;
		if (!s->proc)
			s->proc = sqlproc_new(m->db->loop, &m->db->target.at, m->db->target.label, on_gone, m);
		s->used = true;
		return s;
	}
	return NULL;
}

struct mysql_slot *mysql_slot_get(struct mysql *m)
{
	return get_from(m, 0);
}

/* For what nobody waits for: the connections that stand are left to the next step of a change. */
struct mysql_slot *mysql_slot_spare(struct mysql *m)
{
	return get_from(m, MYSQL_SLOTS_KEPT);
}

/* The first ones stay, connected; the rest are for the moment only. */
void mysql_slot_put(struct mysql *m, struct mysql_slot *s)
{
	s->used = false;
	if (s - m->slots < MYSQL_SLOTS_KEPT)
		return;
	sqlproc_free(s->proc);
	s->proc = NULL;
}

static void on_warm(void *arg, const struct sql_reply *r)
{
	struct mysql *m = arg;
	(void)r;
	mysql_slot_put(m, m->warming);
	m->warming = NULL;
}

/* One connection for operations is made before it is needed: a server under pressure may have none left to give. */
void mysql_warm(struct mysql *m)
{
	struct err e;
	if (m->warmed == m->db->facts.db_start || m->warming)
		return;
	m->warmed = m->db->facts.db_start;
	m->warming = mysql_slot_get(m);
	if (m->warming && sqlproc_call(m->warming->proc, "ping", "", 5 * US_PER_SEC, on_warm, m, &e) < 0) {
		mysql_slot_put(m, m->warming);
		m->warming = NULL;
	}
}

/* --- driver -------------------------------------------------------------------------------------------------------------------- */

static int open_mysql(struct db *d, struct err *e)
{
	struct mysql *m = xcalloc(1, sizeof(*m));
	(void)e;
	m->db = d;
	m->arrived_at = US_UNKNOWN;
	m->watch = sqlproc_new(d->loop, &d->target.at, d->target.label, on_gone, m);
	d->own = m;
	return 0;
}

static void close_mysql(struct db *d)
{
	struct mysql *m = d->own;
	mysql_cancel_all(m);
	for (size_t i = 0; i < ARRAY_LEN(m->slots); i++)
		sqlproc_free(m->slots[i].proc);
	sqlproc_free(m->watch);
	free(m);
}

const struct db_driver mysql_driver = {
	.open = open_mysql, .close = close_mysql, .look = look, .start = mysql_start, .cancel = mysql_cancel
};
