/* redis.c - Redis observed: INFO and the trace of a Sentinel, on a timer of ours and a connection that is kept, so that the end of the
 * server is known at once. Two refusals in a row mean dead.
 */
#include "replication/redis.h"

#include <inttypes.h>

static void look(struct db *d);

static void ended(struct redis *r)
{
	timer_off(r->deadline);
	r->observing = false;
	db_looked(r->db, r->began);
}

static void silent(struct redis *r, enum db_life life, const char *text)
{
	char sentence[SENTENCE_MAX];
	snprintf(sentence, sizeof(sentence), "%s: %.150s", r->db->target.label, text);
	redis_conn_close(&r->watch);
	db_silent(r->db, life, sentence);
	ended(r);
}

/* --- facts -------------------------------------------------------------------------------------------------------------------- */

static int64_t start_token(const char *run_id)
{
	uint64_t h = 14695981039346656037ull; /* FNV-1a; Redis draws a new run_id at every start */
	for (const char *p = run_id; *p; p++)
		h = (h ^ (unsigned char)*p) * 1099511628211ull;
	return run_id[0] ? (int64_t)(h & INT64_MAX) : 0;
}

static void take_facts(struct redis *r, bool sentinel, const char *sentinel_error)
{
	const struct redis_info *i = &r->info;
	const struct db_target *t = &r->db->target;
	struct db_facts f = { .life = DB_UP,
		.writable = i->master ? now_us() >= r->frozen_until : !i->replica_read_only,
		.replica = !i->master,
		.io_running = !i->master && i->link_up,
		.sql_running = !i->master && i->link_up,
		.connecting = !i->master && !i->link_up,
		.source_port = i->master_port,
		/* Redis knows no apply lag: what has arrived is applied */
		.lag = !i->master && i->link_up && !i->sync_in_progress ? 0 : US_UNKNOWN,
		.silence = i->silent_s < 0 || i->master ? US_UNKNOWN : i->silent_s * US_PER_SEC,
		.unapplied = -1,
		.db_start = start_token(i->run_id),
		.offset = i->offset,
		.link_up = i->link_up,
		.sync_in_progress = i->sync_in_progress,
		.loading = i->loading,
		.sentinel = sentinel,
		.replicas = i->replicas };
	STR_COPY(f.version, i->version);
	STR_COPY(f.source_host, i->master_host);
	snprintf(f.executed, sizeof(f.executed), "%" PRIu64, i->offset);
	f.from_peer = f.replica && str_eq(f.source_host, t->peer_host) && f.source_port == t->peer_port;
	if (sentinel)
		STR_COPY(f.trouble, "a Redis Sentinel manages this server and would undo what hactl does");
	else if (sentinel_error[0])
		snprintf(f.trouble, sizeof(f.trouble), "cannot see whether a Sentinel runs: %.150s", sentinel_error);
	else if (!i->master && !i->replica_read_only)
		STR_COPY(f.trouble, "replica-read-only is off: clients can write to this replica");
	r->db->facts = f;
}

static void on_numsub(void *arg, const redisReply *reply)
{
	struct redis *r = arg;
	if (!r->observing || !r->have_info)
		return;
	take_facts(r, redis_sentinel_seen(reply), reply->type == REDIS_REPLY_ERROR ? reply->str : "");
	ended(r);
}

static void on_info(void *arg, const redisReply *reply)
{
	struct redis *r = arg;
	if (!r->observing)
		return;
	if (reply->type == REDIS_REPLY_ERROR)
		silent(r, DB_DENIED, reply->str); /* alive, but not for us */
	else if (reply->type != REDIS_REPLY_STRING || redis_info_parse(reply->str, &r->info) < 0)
		silent(r, DB_DENIED, "its answer to INFO is not Redis's");
	else
		r->have_info = true;
}

/* --- asking ---------------------------------------------------------------------------------------------------------------------- */

static void ask(struct redis *r);

static void failed_to_connect(struct redis *r, enum db_life why, const char *text)
{
	if (why == DB_DEAD && ++r->refused < 2)
		ask(r); /* confirmed at once */
	else
		silent(r, why, text);
}

static void on_lost(void *arg, enum db_life why, const char *text)
{
	struct redis *r = arg;
	if (!r->observing) {
		look(r->db);
	} else if (why != DB_UNKNOWN) {
		failed_to_connect(r, why, text);
	} else if (++r->broken > 2) {
		silent(r, DB_HUNG, text); /* it accepts and drops: says nothing about its data */
	} else {
		ask(r);
	}
}

static void ask(struct redis *r)
{
	enum db_life why = DB_UNKNOWN;
	char text[512];
	if (!r->watch.ac && redis_conn_open(&r->watch, r->db->loop, &r->db->target.at, on_lost, r, &why, text) < 0) {
		failed_to_connect(r, why, text);
		return;
	}
	r->have_info = false;
	redis_conn_send(&r->watch, on_info, r, "INFO");
	redis_conn_send(&r->watch, on_numsub, r, "PUBSUB NUMSUB __sentinel__:hello");
}

static void on_deadline(void *arg, us_t now)
{
	struct redis *r = arg;
	bool connected = r->watch.connected;
	(void)now;
	silent(r, connected ? DB_HUNG : DB_UNREACHABLE,
		connected ? "no answer in time" : "no answer to the connection attempt");
}

static void look(struct db *d)
{
	struct redis *r = d->own;
	if (r->observing) {
		d->look_again = true;
		return;
	}
	r->observing = true;
	r->refused = r->broken = 0;
	r->began = now_us();
	timer_in(r->deadline, db_look_timeout(d));
	ask(r);
}

/* --- driver ---------------------------------------------------------------------------------------------------------------------- */

static int open_redis(struct db *d, struct err *e)
{
	struct redis *r = xcalloc(1, sizeof(*r));
	(void)e;
	r->db = d;
	r->deadline = timer_new(d->loop, on_deadline, r);
	d->own = r;
	return 0;
}

static void close_redis(struct db *d)
{
	struct redis *r = d->own;
	redis_cancel_all(r);
	redis_conn_close(&r->watch);
	timer_free(r->deadline);
	free(r);
}

const struct db_driver redis_driver = {
	.open = open_redis, .close = close_redis, .look = look, .start = redis_start, .cancel = redis_cancel
};
