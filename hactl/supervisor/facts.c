/* facts.c - what the observations of the servers mean for the core: writable, following, ready, ill. Each "no" has its sentence. */
#include "hactl/supervisor/private.h"

static const char *const kind_names[DB_KIND_COUNT] = { [DB_MYSQL] = "mysql", [DB_REDIS] = "redis" };

static us_t max_lag(const struct sup *s, enum db_kind kind)
{
	const struct conf_node *n = &s->conf->node[s->me];

	return kind == DB_MYSQL ? n->mysql.max_lag : n->redis.max_lag;
}

/* Somebody stopped the applier (a person, a backup) and nothing is wrong with it: what arrives is kept and acknowledged, and a promotion
 * starts it. It is not started before: whoever stopped it had a reason. One that a promotion of ours stopped has none. */
static bool pausing(const struct server *v, const struct db_facts *f)
{
	return !f->sql_running && !f->applier_error && !v->applier_ours;
}

static bool streams(const struct server *v, const struct db_facts *f, enum db_kind kind)
{
	if (f->life != DB_UP || !f->replica || !f->from_peer || f->error[0])
		return false;
	return kind == DB_MYSQL ? f->io_running && !f->connecting && (f->sql_running || pausing(v, f))
				: f->link_up && !f->sync_in_progress;
}

/* Both nodes required: this part of a server's connections may be taken while commits wait; and how often that is looked at. */
enum { CROWD = 2 };
static const us_t crowd_look = 500 * US_PER_MS;

static const us_t compare_within = 3 * US_PER_SEC; /* of this start */

static us_t at_least_a_second(us_t t)
{
	return t > US_PER_SEC ? t : US_PER_SEC;
}

/* A server that accepts connections and stays silent is ill only after a while: a stall of a second is not worth a failover. */
static bool hung_for_long(const struct sup *s, const struct server *v)
{
	return v->hung_since && now_us() - v->hung_since > at_least_a_second(2 * s->conf->lease);
}

static bool server_ill(const struct sup *s, enum db_kind kind, char *why)
{
	const struct server *v = &s->server[s->me][kind];

	if (!v->db || (v->facts.life != DB_DEAD && !hung_for_long(s, v)))
		return false;
	snprintf(why, SENTENCE_MAX, "%s on %s is %s", kind_names[kind], s->conf->node[s->me].name,
		v->facts.life == DB_DEAD ? "dead: nobody listens on its port"
					 : "hung: it accepts connections and does not answer");
	return true;
}

/* Is this node primary, or would it go on as primary in the term on its disk once it is confirmed? */
static bool primary_still(const struct sup *s)
{
	const struct core_disk *d = &s->disk;
	bool own = d->term && d->owner == s->me && d->held == d->term && d->released < d->term;
	struct core_view v;

	core_look(s->core, now_us(), &v);
	return v.role == ROLE_PRIMARY || (own && (v.role == ROLE_STARTING || v.role == ROLE_STANDBY));
}

/* Its server is shut and the other's has not answered yet: whether anything is lost here is not known before. One that is away for good
 * is not waited for. */
static bool not_compared(const struct sup *s, char *why)
{
	const struct db_facts *mine = &s->server[s->me][DB_MYSQL].facts, *theirs = &s->server[s->peer][DB_MYSQL].facts;
	bool told = theirs->life == DB_UP || theirs->life == DB_DEAD || now_us() - s->opened_at > compare_within;

	if (!s->core_conf.lossless || told || mine->writable || !primary_still(s))
		return false;
	snprintf(why, SENTENCE_MAX, "mysql on %.32s is not compared with the one on %.32s yet",
		s->conf->node[s->me].name, s->conf->node[s->peer].name);
	return true;
}

/* A primary whose server came back from a crash without transactions that it had written and the standby has: MariaDB takes back what
 * nobody acknowledged, and would give the same numbers to the next ones. It is not opened; the standby, which has them, may take over. */
static bool server_lost(const struct sup *s, char *why)
{
	const struct db_facts *mine = &s->server[s->me][DB_MYSQL].facts, *theirs = &s->server[s->peer][DB_MYSQL].facts;
	const char *node = s->conf->node[s->me].name, *peer = s->conf->node[s->peer].name;

	if (!primary_still(s) || mine->life != DB_UP || mine->writable || theirs->life != DB_UP)
		return false;
	if (gtid_lost(mine->mariadb, mine->executed, theirs->executed, mine->origin) != 1 &&
		gtid_lost(mine->mariadb, mine->executed, theirs->received, mine->origin) != 1)
		return false;
	snprintf(why, SENTENCE_MAX,
		"mysql on %.32s came back without transactions of its own that %.32s holds; opened, it would number "
		"others the same: make %.32s primary, or set read_only = OFF by hand",
		node, peer, peer);
	return true;
}

/* How old this replica's data may be: the lag it had when its stream last ran, plus how long the primary lived on without it. */
static us_t staleness(const struct sup *s, const struct server *v)
{
	us_t apart = s->heard_primary_at - v->stream_ok_at;

	if (!v->stream_ok_at) /* not since this start; the server itself may know */
		return v->facts.silence;
	return v->stream_lag + (apart > 0 ? apart : 0);
}

/* Did this node hold the newest term that anybody can have held? Then nobody has newer data. By the register, or by the other's word. */
static bool last_holder(const struct sup *s)
{
	const struct core_disk *d = &s->disk;
	bool by_register = s->reg.term && s->reg.holder == s->me && s->reg.term >= d->other_term;
	bool by_peer = s->heard_at && s->heard.term <= d->held && d->held > d->other_term && d->held > d->released;

	return by_register || (by_peer && !(s->reg.term > d->held));
}

/* A Redis whose master is gone or that has followed nobody since it started: may its data be taken for the pair's? Only when the
 * other's are known to be no more (the offset goes on through promotions and resyncs, and is lost only with the data), or nobody can
 * have newer ones. */
static bool nothing_newer(const struct sup *s, enum db_kind kind)
{
	const struct db_facts *mine = &s->server[s->me][kind].facts, *theirs = &s->server[s->peer][kind].facts;
	bool seen = kind == DB_REDIS && theirs->life == DB_UP && !theirs->loading && !theirs->writable;

	return last_holder(s) || (seen && theirs->offset <= mine->offset);
}

static bool mysql_unready(const struct db_facts *f, const char *node, char *why)
{
	/* an error of the thread that receives is no obstacle: a dead source is when a replica is needed */
	if (f->applier_error && !f->sql_running)
		snprintf(why, SENTENCE_MAX, "replication on %s stopped, %.180s", node, f->error);
	else if (f->replica && f->delay > 0)
		snprintf(why, SENTENCE_MAX, "the replica on %s has a configured delay of %llds (%s): set it to 0", node,
			(long long)(f->delay / US_PER_SEC), f->mariadb ? "MASTER_DELAY" : "SOURCE_DELAY");
	else if (f->replica && f->unapplied < 0)
		snprintf(why, SENTENCE_MAX, "how much the replica on %s has yet to apply is unknown", node);
	else
		return false;
	return true;
}

static bool redis_unready(const struct db_facts *f, const char *node, char *why)
{
	if (f->sentinel)
		snprintf(why, SENTENCE_MAX,
			"a Redis Sentinel watches the Redis on %s and would undo a promotion; stop it", node);
	else if (f->loading)
		snprintf(why, SENTENCE_MAX, "Redis on %s is still loading its data set", node);
	else if (f->replica && f->sync_in_progress)
		snprintf(why, SENTENCE_MAX,
			"Redis on %s is in the middle of a full resync and holds a part of the data", node);
	else
		return false;
	return true;
}

/* mysql.max_unreceived: what a takeover would lose is counted. Not known is no number within it. */
static bool lacks_too_much(const struct sup *s, char *why)
{
	int most = s->conf->node[s->me].mysql.max_unreceived;
	const char *node = s->conf->node[s->me].name, *peer = s->conf->node[s->peer].name;

	if (!most || (s->missing >= 0 && s->missing <= most) || last_holder(s))
		return false;
	if (s->missing >= 0)
		snprintf(why, SENTENCE_MAX,
			"%.32s has not received %lld transactions of %.32s, and mysql.max_unreceived is %d", node,
			(long long)s->missing, peer, most);
	else
		snprintf(why, SENTENCE_MAX,
			"%.32s does not know how many transactions of %.32s it has not received, and "
			"mysql.max_unreceived is %d",
			node, peer, most);
	return true;
}

static bool server_unready(const struct sup *s, enum db_kind kind, char *why)
{
	const struct server *v = &s->server[s->me][kind];
	const struct db_facts *f = &v->facts;
	const char *node = s->conf->node[s->me].name;
	us_t stale;
	char text[32], most[32];

	if (!v->db)
		return false;
	if (f->life != DB_UP) {
		snprintf(why, SENTENCE_MAX, "%s on %s is %s%s%.150s", kind_names[kind], node, db_life_names[f->life],
			f->trouble[0] ? ": " : "", f->trouble);
		return true;
	}
	if (kind == DB_MYSQL ? mysql_unready(f, node, why) : redis_unready(f, node, why))
		return true;
	/* with semi-sync the in-sync record says more than any lag, and the core asks for it */
	if (!f->replica || (kind == DB_MYSQL && s->core_conf.lossless))
		return false;
	if (kind == DB_MYSQL && lacks_too_much(s, why))
		return true;
	stale = staleness(s, v);
	if ((stale != US_UNKNOWN && stale <= max_lag(s, kind)) || nothing_newer(s, kind))
		return false;
	duration_text(stale / US_PER_MS * US_PER_MS, text);
	duration_text(max_lag(s, kind), most);
	snprintf(why, SENTENCE_MAX, "%s on %s is behind by %s, more than max_lag %s", kind_names[kind], node,
		stale == US_UNKNOWN ? "an unknown time" : text, most);
	return true;
}

/* Two replicas of each other: one was the master, was restarted and has lost what the other still holds. */
static bool fuller(const struct db_facts *f, const struct db_facts *than)
{
	bool alone = f->life == DB_UP && f->replica && !f->link_up && !f->loading;
	bool returned = than->life == DB_UP && than->replica && !than->link_up && !than->sync_in_progress;

	return alone && returned && f->offset > than->offset;
}

/* The primary's Redis came back with less than the other's holds. Opened as it is, it would wipe that one too. So it stays shut, and the
 * node is ill as soon as the other can take over, data and all. */
static bool redis_bereft(const struct sup *s, const struct core_view *v, char *why)
{
	const struct db_facts *mine = &s->server[s->me][DB_REDIS].facts, *theirs = &s->server[s->peer][DB_REDIS].facts;

	if (v->role != ROLE_PRIMARY || !fuller(theirs, mine))
		return false;
	snprintf(why, SENTENCE_MAX,
		"redis on %s was restarted and has lost what the one on %s still holds: it is not opened; %s takes "
		"over when it is ready (or, to go on without those data, type REPLICAOF NO ONE into it)",
		s->conf->node[s->me].name, s->conf->node[s->peer].name, s->conf->node[s->peer].name);
	return true;
}

/* The primary's Redis has just come back as a replica: what the other holds has to be looked at once more before that means anything. */
static bool redis_uncompared(const struct sup *s)
{
	const struct server *mine = &s->server[s->me][DB_REDIS], *theirs = &s->server[s->peer][DB_REDIS];
	bool old = theirs->facts.life == DB_UP && theirs->facts.seen_at <= mine->up_at;

	return mine->facts.life == DB_UP && mine->facts.replica && old && now_us() - mine->up_at < compare_within;
}

static uint64_t boot_hash(void)
{
	auto_free char *id = NULL;
	uint64_t h = 1469598103934665603u; /* FNV-1a */

	if (file_read("/proc/sys/kernel/random/boot_id", 256, &id, NULL, NULL))
		return 0;
	for (const char *p = id; *p; p++)
		h = (h ^ (unsigned char)*p) * 1099511628211u;
	return h;
}

/* This node's servers summed up: any writable, any replicating, all following, all frozen. */
static void sum_up(struct sup *s, struct core_facts *n)
{
	n->known = n->following = n->frozen = true;
	for (size_t k = 0; k < DB_KIND_COUNT; k++) {
		const struct server *v = &s->server[s->me][k];
		const struct db_facts *f = &v->facts;

		if (!v->db)
			continue;
		n->known &= f->life != DB_UNKNOWN;
		n->writable |= f->life == DB_UP && f->writable;
		n->shut |= f->life == DB_UP && (!f->writable || f->replica) &&
			   !(k == DB_REDIS && (s->bereft || redis_uncompared(s)));
		n->replicating |= f->life == DB_UP && f->replica;
		n->following &= streams(v, f, (enum db_kind)k) ||
				(k == DB_REDIS && fuller(f, &s->server[s->peer][DB_REDIS].facts));
		n->frozen &= f->life == DB_DEAD || (f->life == DB_UP && !f->writable);
	}
}

/* The standby has received about all there is: commits would not wait long for it. The two positions are read up to a second apart. An
 * applier that is late does not matter: in-sync is about what would be lost, and under load it may be late for ever. */
static const int64_t nearly_all = 10000; /* transactions */

static bool nearly_received(const struct db_facts *mine, const struct db_facts *theirs)
{
	bool told = mine->executed[0] && (theirs->executed[0] || theirs->received[0]);
	int64_t missing =
		told ? gtid_unreceived(mine->mariadb, mine->executed, theirs->executed, theirs->received) : -1;

	return (theirs->lag != US_UNKNOWN && theirs->lag <= 2 * US_PER_SEC) || (missing >= 0 && missing <= nearly_all);
}

static void source_side(struct sup *s, struct core_facts *n)
{
	const struct server *mine = &s->server[s->me][DB_MYSQL], *theirs = &s->server[s->peer][DB_MYSQL];

	if (!mine->db)
		return;
	n->mysql_writable = mine->facts.life == DB_UP && mine->facts.writable;
	n->semi_on = mine->facts.life == DB_UP && mine->facts.semi_source_on;
	n->db_start = mine->facts.db_start;
	STR_COPY(n->gtid, mine->facts.executed);
	n->standby_streams = streams(theirs, &theirs->facts, DB_MYSQL) &&
			     nearly_received(&mine->facts, &theirs->facts) &&
			     (!s->core_conf.required || mine->facts.semi_clients > 0);
	n->standby_lost = (n->semi_on && mine->facts.semi_clients == 0) || theirs->facts.life == DB_DEAD ||
			  (n->semi_on && mine->facts.semi_stalled >= at_least_a_second(s->conf->lease)) ||
			  (theirs->facts.life == DB_UP && !streams(theirs, &theirs->facts, DB_MYSQL));
	n->acked_elsewhere = mine->others_ack;
	/* one commit waits for the acknowledgement, the others for that one */
	n->crowded = s->core_conf.required && mine->facts.semi_waiting &&
		     mine->facts.connections >= mine->facts.max_connections / CROWD;
}

/* The core takes facts for news of this moment: between the end of an operation and the look after it there are none to tell. */
static bool awaited(const struct sup *s)
{
	for (size_t k = 0; k < DB_KIND_COUNT; k++)
		if (s->server[s->me][k].stale && !s->server[s->me][k].ops)
			return true;
	return false;
}

/* An acknowledgement has no name: any semi-sync replica's ends the wait of a commit. */
static void tell_others(struct sup *s, bool others)
{
	const char *me = s->conf->node[s->me].name, *peer = s->conf->node[s->peer].name;

	if (others)
		hooks_alert(s, LOG_LVL_WARN,
			"another server than %s is a semi-sync replica of mysql on %s: what it acknowledges need not "
			"be on %s, so %s cannot be in sync; set its rpl_semi_sync_replica_enabled "
			"(rpl_semi_sync_slave_enabled) = OFF and restart its receiver",
			peer, me, peer, peer);
	else
		hooks_alert(s, LOG_LVL_NOTICE, "mysql on %s: no other server than %s is a semi-sync replica any more",
			me, peer);
}

void facts_update(struct sup *s)
{
	struct core_facts n = { .boot = s->facts.boot ? s->facts.boot : boot_hash(), .config = s->conf->digest };
	const struct server *mine = &s->server[s->me][DB_MYSQL];
	bool bereft = s->bereft;
	struct core_view v;

	core_look(s->core, now_us(), &v);
	s->bereft = redis_bereft(s, &v, n.why);
	if (s->bereft && !bereft)
		hooks_alert(s, LOG_LVL_WARN, "%s", n.why);
	if (mine->others_ack != s->facts.acked_elsewhere)
		tell_others(s, mine->others_ack);
	memcpy(n.section, s->conf->section, sizeof(s->conf->section));
	sum_up(s, &n);
	source_side(s, &n);
	if (not_compared(s, n.why))
		n.known = false; /* an open Redis alone would let the core resume */
	n.redis_offset = s->server[s->me][DB_REDIS].facts.offset;
	n.address_held = s->vips && vips_held_any(s->vips);
	n.ill = (s->bereft && v.failover_ready) || server_ill(s, DB_MYSQL, n.why) || server_ill(s, DB_REDIS, n.why) ||
		server_lost(s, n.why) || health_ill(s, n.why);
	n.ready = !n.ill && !server_unready(s, DB_MYSQL, n.why) && !server_unready(s, DB_REDIS, n.why) && n.known;
	n.diverged = rejoin_holds(s);
	if (n.diverged)
		STR_COPY(n.why, rejoin_unfinished(s) ? "a reseed was cut short and its data are not whole"
						     : "its data are to be replaced by the primary's");
	s->facts = n;
	if (s->core_conf.required && s->server[s->me][DB_MYSQL].db)
		db_interval(s->server[s->me][DB_MYSQL].db, v.role == ROLE_PRIMARY ? crowd_look : OBSERVE_EVERY);
	facts_would_lose(s);
	if (!awaited(s))
		pump_facts(s);
}

bool facts_forget(struct sup *s)
{
	bool any = false;

	for (size_t k = 0; k < DB_KIND_COUNT; k++) {
		struct server *v = &s->server[s->me][k];

		if (!v->db)
			continue;
		any = true;
		v->stale = STALE;
		db_hurry(v->db);
	}
	if (any)
		s->facts.known = false;
	return any;
}

/* Our own server is never out of reach: when it does not even take the connection, its queue is full because it is stopped. */
static bool silent_life(const struct sup *s, const struct server *v, const struct db_facts *f)
{
	return f->life == DB_HUNG || (f->life == DB_UNREACHABLE && v->node == s->me);
}

/* Between two looks at a replica something came from its source: data, or a heartbeat of the stream. Redis tells silence in whole seconds
 * only, but its offset moves with every ping of its master. */
static bool stream_moved(enum db_kind kind, const struct db_facts *before, const struct db_facts *f)
{
	if (before->life != DB_UP || f->life != DB_UP || !before->replica || !f->replica)
		return false;
	if (kind == DB_REDIS)
		return f->offset > before->offset;
	return !str_eq(f->received, before->received) ||
	       (f->silence != US_UNKNOWN && f->seen_at - f->silence > before->seen_at);
}

static const us_t silence_usual = 3 * US_PER_SEC; /* heartbeats of the stream come every second, looks too */

/* Transactions up to that position (told: there is one, if only an empty one) that a replica has not received; -1 unknown. */
static int64_t lacking(const struct db_facts *replica, bool told, const char *position)
{
	if (told && !position[0]) /* nothing was ever written */
		return 0;
	if (!position[0] || !(replica->received[0] || replica->executed[0]))
		return -1;
	return gtid_unreceived(replica->mariadb, position, replica->executed, replica->received);
}

/* The other's position was read before it was heard, and this before our own replica was looked at: a stream that is in time lacks nothing
 * by then, however much is written. */
static int64_t missing_now(const struct sup *s, const struct db_facts *own)
{
	const char *position = s->heard.gtid[0] ? s->heard.gtid : s->peer_at;

	return lacking(own, s->heard.db_start != 0, position);
}

/* Transactions of the primary that the standby, of which these are the facts, has not received; -1 unknown. */
static int64_t unreceived(const struct sup *s, const struct core_view *v, const struct db_facts *standby)
{
	const struct db_facts *own = &s->server[s->me][DB_MYSQL].facts;
	bool mine = v->primary == s->me, known = mine ? own->life == DB_UP : s->heard.db_start != 0;

	return v->primary == NOBODY ? -1 : lacking(standby, known, mine ? own->executed : s->heard.gtid);
}

/* "Lag 0" of a stream that has brought nothing for a while, though the primary has gone on, is no news: a cut connection looks alive until
 * the server's net timeout. Without word of the primary's position any silence counts. */
bool facts_cut_off(const struct sup *s, const struct server *v, const struct db_facts *f)
{
	struct core_view c;

	core_look(s->core, now_us(), &c);
	if (c.primary != 1 - v->node || f->silence == US_UNKNOWN || f->silence <= silence_usual)
		return false;
	return unreceived(s, &c, f) != 0;
}

void facts_observed(void *arg, const struct db_facts *f)
{
	struct server *v = arg;
	struct sup *s = v->s;
	enum db_kind kind = v == &s->server[v->node][DB_MYSQL] ? DB_MYSQL : DB_REDIS;
	bool news, told;

	if (stream_moved(kind, &v->looked, f))
		v->moved_after = v->looked.seen_at;
	v->looked = *f;
	if (v == &s->server[s->me][DB_MYSQL])
		killer_observed(s, f);
	/* while an operation of ours runs, and for what was asked before it ended, only death is news */
	if (f->life == DB_UP && v->ops > 0)
		return;
	if (f->life == DB_UP && v->stale == STALE) {
		v->stale = RENEWING;
		db_hurry(v->db);
		return;
	}
	v->stale = FRESH;
	news = f->life != v->facts.life && v->facts.life != DB_UNKNOWN;
	v->hung_since = !silent_life(s, v, f) ? 0 : v->hung_since ? v->hung_since : now_us();
	if (f->life == DB_UP && v->facts.life != DB_UP) {
		v->up_at = now_us();
		if (v == &s->server[s->me][DB_REDIS] && s->server[s->peer][DB_REDIS].db)
			db_hurry(s->server[s->peer][DB_REDIS].db);
	}
	told = f->life == DB_UP && v->facts.life == DB_UP && !!f->trouble[0] != !!v->facts.trouble[0];
	if (told && f->trouble[0])
		hooks_alert(s, LOG_LVL_WARN, "%s on %s: %s", kind_names[kind], s->conf->node[v->node].name, f->trouble);
	else if (told)
		hooks_alert(s, LOG_LVL_NOTICE, "%s on %s: no longer so: %s", kind_names[kind],
			s->conf->node[v->node].name, v->facts.trouble);
	/* for a moment it may be the standby's old connection */
	v->others_ack = f->life == DB_UP && f->semi_clients > 1 && v->facts.semi_clients > 1;
	v->facts = *f;
	if (v == &s->server[s->me][DB_MYSQL])
		s->missing = missing_now(s, f);
	if (f->life == DB_UP && f->sql_running)
		v->applier_ours = false;
	if (streams(v, f, kind) && (kind == DB_REDIS || (f->lag != US_UNKNOWN && !facts_cut_off(s, v, f)))) {
		v->stream_ok_at = f->seen_at;
		v->stream_lag = kind == DB_REDIS ? 0 : f->lag;
	}
	facts_update(s);
	if (news && f->life == DB_UP && v->node == s->me)
		rejoin_server_up(s);
	if (news) /* after the core has decided: a hook takes a millisecond to start */
		hooks_alert(s, f->life == DB_UP ? LOG_LVL_NOTICE : LOG_LVL_WARN, "%s on %s is %s%s%s", kind_names[kind],
			s->conf->node[v->node].name, db_life_names[f->life], f->trouble[0] ? ": " : "", f->trouble);
}

/* --- what a failover now would lose ---------------------------------------------------------------------------------------------- */

int64_t facts_unreceived(const struct sup *s, const struct core_view *v)
{
	return v->primary == NOBODY ? -1 : unreceived(s, v, &s->server[1 - v->primary][DB_MYSQL].facts);
}

void facts_would_lose(struct sup *s)
{
	struct core_view v;
	us_t silent = 0;
	int64_t n;
	char at[32];

	core_look(s->core, now_us(), &v);
	n = s->server[s->me][DB_MYSQL].db ? facts_unreceived(s, &v) : 0;
	if (n >= 0 && v.primary == s->peer && v.peer == PEER_SILENT) { /* it may have gone on since its last word */
		n = -1;
		silent = v.peer_silent_us;
	}
	s->unreceived = n;
	if (n >= 0 || v.in_sync)
		s->exposed_since = 0;
	else if (!s->exposed_since)
		s->exposed_since = wall_us() - silent;
	wall_text(s->exposed_since, at);
	if (v.in_sync || n == 0)
		STR_COPY(s->would_lose, "nothing");
	else if (n > 0)
		snprintf(s->would_lose, sizeof(s->would_lose), "at most %lld transaction%s", (long long)n,
			n == 1 ? "" : "s");
	else
		snprintf(s->would_lose, sizeof(s->would_lose), "unknown since %.5s UTC", at + 11);
}
