/* redis_ops.c - operations on Redis, each a list of steps: commands to one server, a verdict on the last reply.
 *
 * Planned handover is not FAILOVER TO: measured on 7.0.15, loopback, idle pair, it holds writes for 600 to 810 ms, because it waits for the
 * replica's acknowledgement, sent once a second. Here: CLIENT PAUSE WRITE on the old master, the new one's offset read from itself until it
 * is equal, the old master made replica FIRST, then the new one made master: at no moment are there two. The old one keeps its history
 * as FAILOVER does, so its resync is a partial one.
 */
#include "replication/redis_call.h"

#include <inttypes.h>

static const us_t pause_ms = 60000; /* of a freeze; Redis ends it by itself */

/* --- commands ------------------------------------------------------------------------------------------------------------------------ */

static void send_info(struct redis_call *c, struct redis_conn *k)
{
	redis_conn_send(k, redis_on_info, c, "INFO");
	redis_conn_send(k, redis_on_last, c, "PING");
}

static void send_examine(struct redis_call *c, struct redis_conn *k)
{
	redis_conn_send(k, redis_on_info, c, "INFO");
	redis_conn_send(k, redis_on_last, c, "PUBSUB NUMSUB __sentinel__:hello");
}

static void send_role(struct redis_call *c, struct redis_conn *k)
{
	redis_conn_send(k, redis_on_last, c, "ROLE");
}

/* All or nothing: without the right to one of them none is done. */
static void send_promote(struct redis_call *c, struct redis_conn *k)
{
	redis_conn_send(k, redis_on_quiet, c, "MULTI");
	redis_conn_send(k, redis_on_quiet, c, "REPLICAOF NO ONE");
	redis_conn_send(k, redis_on_quiet, c, "CONFIG SET min-replicas-to-write 0");
	redis_conn_send(k, redis_on_quiet, c, "CLIENT UNPAUSE");
	redis_conn_send(k, redis_on_quiet, c, "CLIENT KILL TYPE normal");
	redis_conn_send(k, redis_on_quiet, c, "CLIENT KILL TYPE pubsub");
	redis_conn_send(k, redis_on_last, c, "EXEC");
}

static void send_unpause(struct redis_call *c, struct redis_conn *k)
{
	redis_conn_send(k, redis_on_last, c, "CLIENT UNPAUSE");
}

/* Master already (adopted, resumed, or handed over to): its clients have nothing to unlearn and stay. */
static void send_promote_again(struct redis_call *c, struct redis_conn *k)
{
	redis_conn_send(k, redis_on_quiet, c, "CONFIG SET min-replicas-to-write 0");
	send_unpause(c, k);
}

static void send_pause(struct redis_call *c, struct redis_conn *k)
{
	redis_conn_send(k, redis_on_quiet, c, "CLIENT PAUSE %lld WRITE", (long long)pause_ms);
	send_info(c, k);
}

static void send_kill(struct redis_call *c, struct redis_conn *k)
{
	redis_conn_send(k, redis_on_quiet, c, "CLIENT KILL TYPE normal");
	redis_conn_send(k, redis_on_quiet, c, "CLIENT KILL TYPE pubsub");
	redis_conn_send(k, redis_on_last, c, "CLIENT UNPAUSE");
}

static void send_ask_auth(struct redis_call *c, struct redis_conn *k)
{
	redis_conn_send(k, redis_on_last, c, "CONFIG GET masterauth");
}

/* The server that is left has to attach to the other: as replica it refuses writes at once, whether it reaches its master or not. */
static void send_replicaof(struct redis_call *c, struct redis_conn *k)
{
	const struct sql_target *master = &c->at[NEW];
	redis_conn_send(k, redis_on_quiet, c, "CONFIG SET replica-read-only yes");
	redis_conn_send(k, redis_on_quiet, c, "REPLICAOF %s %d", master->host, master->port);
	redis_conn_send(k, redis_on_last, c, "ROLE");
}

static void send_no_one(struct redis_call *c, struct redis_conn *k)
{
	redis_conn_send(k, redis_on_quiet, c, "REPLICAOF NO ONE");
	redis_conn_send(k, redis_on_last, c, "CLIENT UNPAUSE");
}

/* --- verdicts --------------------------------------------------------------------------------------------------------------------------- */

static enum verdict refuse(struct redis_call *c, const char *why)
{
	STR_COPY(c->text, why);
	return FAIL;
}

static enum verdict say(struct redis_call *c, enum verdict v, const char *text)
{
	STR_COPY(c->text, text);
	return v;
}

static bool role_is(const redisReply *r, const char *role)
{
	return r->type == REDIS_REPLY_ARRAY && r->elements > 0 && r->element[0]->type == REDIS_REPLY_STRING &&
	       str_eq(r->element[0]->str, role);
}

static enum verdict took_examined(struct redis_call *c, const redisReply *r)
{
	if (redis_sentinel_seen(r))
		return refuse(c,
			"a Redis Sentinel manages this server and would undo the change within seconds: stop it first");
	if (c->info.loading)
		return refuse(c, "Redis is still loading its data set");
	return NEXT;
}

static const struct step promote_again_steps[];

static enum verdict took_whole(struct redis_call *c, const redisReply *r)
{
	enum verdict v = took_examined(c, r);
	if (v == NEXT && c->info.sync_in_progress)
		return refuse(c, "Redis is in the middle of a full resync: its data set is incomplete");
	return v;
}

static enum verdict took_promotable(struct redis_call *c, const redisReply *r)
{
	enum verdict v = took_whole(c, r);
	c->jump = promote_again_steps;
	return v == NEXT && c->info.master ? JUMP : v;
}

static enum verdict took_exec(struct redis_call *c, const redisReply *r)
{
	return r->type == REDIS_REPLY_ARRAY && r->elements == 5
		       ? NEXT
		       : refuse(c, "the transaction that promotes was not executed");
}

static enum verdict took_master(struct redis_call *c, const redisReply *r)
{
	return role_is(r, "master") ? NEXT : refuse(c, "Redis is not master");
}

static enum verdict took_replica(struct redis_call *c, const redisReply *r)
{
	return role_is(r, "slave") ? NEXT : refuse(c, "Redis did not become a replica");
}

static enum verdict took_position(struct redis_call *c, const redisReply *r)
{
	(void)r;
	snprintf(c->text, sizeof(c->text), "%" PRIu64, c->info.offset);
	return DONE;
}

static enum verdict took_reached(struct redis_call *c, const redisReply *r)
{
	(void)r;
	if (c->info.offset >= c->offset)
		return say(c, NEXT, "reached");
	if (!c->info.master && !c->info.link_up)
		return refuse(c, "the link to the master is down before everything was received");
	return AGAIN;
}

/* A freeze is for a server that accepts writes; one that does not is frozen already. */
static enum verdict took_frozen(struct redis_call *c, const redisReply *r)
{
	(void)r;
	c->redis->frozen_until = now_us() + pause_ms * US_PER_MS;
	c->offset = c->info.offset;
	snprintf(c->text, sizeof(c->text), "writes paused at offset %" PRIu64, c->offset);
	return NEXT;
}

static enum verdict took_thawed(struct redis_call *c, const redisReply *r)
{
	(void)r;
	c->redis->frozen_until = 0;
	return NEXT;
}

static enum verdict took_prechecked(struct redis_call *c, const redisReply *r)
{
	enum verdict v = took_examined(c, r);
	if (v != NEXT)
		return v;
	if (!c->info.master)
		return refuse(c, "this Redis is not the master");
	c->offset = c->info.offset;
	return c->info.replicas ? NEXT : refuse(c, "no replica is connected to this Redis");
}

/* masteruser and masterauth of the file stand: the control account may not be allowed to replicate. Without any, the peer's account. */
static void send_auth(struct redis_call *c, struct redis_conn *k)
{
	const struct sql_target *peer = &c->at[NEW];
	redis_conn_send(k, redis_on_quiet, c, "CONFIG SET masteruser %s", peer->user);
	redis_conn_send(k, redis_on_last, c, "CONFIG SET masterauth %s", peer->password);
}

static enum verdict took_auth(struct redis_call *c, const redisReply *r)
{
	bool set = r->type == REDIS_REPLY_ARRAY && r->elements == 2 && r->element[1]->len > 0;
	if (set || !c->at[NEW].password[0])
		c->step++; /* over send_auth */
	return NEXT;
}

/* --- simple operations --------------------------------------------------------------------------------------------------------------------- */

#define END                                                                                                            \
	{                                                                                                              \
		OLD, NULL, NULL                                                                                        \
	}

static const struct step promote_steps[] = { { OLD, send_examine, took_promotable }, { OLD, send_promote, took_exec },
	{ OLD, send_role, took_master }, END };
static const struct step promote_again_steps[] = { { OLD, send_promote_again, took_thawed },
	{ OLD, send_role, took_master }, END };
static const struct step verify_steps[] = { { OLD, send_role, took_master }, END };
static const struct step freeze_steps[] = { { OLD, send_pause, took_frozen }, END };
static const struct step unfreeze_steps[] = { { OLD, send_unpause, took_thawed }, END };
static const struct step position_steps[] = { { OLD, send_info, took_position }, END };
static const struct step reach_steps[] = { { OLD, send_info, took_reached }, END };
static const struct step kill_steps[] = { { OLD, send_kill, NULL }, END };

/* --- following -------------------------------------------------------------------------------------------------------------------------------- */

static bool follows_already(const struct redis_call *c)
{
	return !c->info.master && c->info.link_up && str_eq(c->info.master_host, c->at[NEW].host) &&
	       c->info.master_port == c->at[NEW].port;
}

/* A handshake with a master whose host lost its power waits for Redis's own minute (repl-timeout), and REPLICAOF the same master again
 * does nothing. A moment as somebody else's replica ends it; the server is a replica all the while and keeps its history. */
static void send_reattach(struct redis_call *c, struct redis_conn *k)
{
	const struct sql_target *master = &c->at[NEW];
	bool stuck = !c->info.master && !c->info.link_up && !c->info.sync_in_progress;

	if (stuck) {
		redis_conn_send(k, redis_on_quiet, c, "MULTI");
		redis_conn_send(k, redis_on_quiet, c, "REPLICAOF %s %d", master->host, master->port == 1 ? 2 : 1);
		redis_conn_send(k, redis_on_quiet, c, "REPLICAOF %s %d", master->host, master->port);
		redis_conn_send(k, redis_on_quiet, c, "EXEC");
	}
	send_replicaof(c, k);
}

static enum verdict took_before_follow(struct redis_call *c, const redisReply *r)
{
	enum verdict v = took_examined(c, r);
	if (v != NEXT)
		return v;
	c->offset = c->info.offset;
	return follows_already(c) ? say(c, DONE, "followed already") : NEXT;
}

static enum verdict took_attached(struct redis_call *c, const redisReply *r)
{
	(void)r;
	if (!follows_already(c) || c->info.sync_in_progress)
		return AGAIN;
	if (c->offset > c->info.offset)
		snprintf(c->text, sizeof(c->text),
			"follows %s:%d; its own data set was %" PRIu64 " bytes ahead and is replaced", c->at[NEW].host,
			c->at[NEW].port, c->offset - c->info.offset);
	else
		snprintf(c->text, sizeof(c->text), "follows %s:%d", c->at[NEW].host, c->at[NEW].port);
	return NEXT;
}

static const struct step follow_steps[] = { { OLD, send_examine, took_before_follow },
	{ OLD, send_ask_auth, took_auth }, { OLD, send_auth, NULL }, { OLD, send_reattach, took_replica },
	{ OLD, send_kill, NULL }, { OLD, send_info, took_attached }, END };

/* --- demotion: a moment for the replica to receive what is on its way, then replica of the other, whatever the other is ----------------------- */

static const struct step demote_shut[] = { { OLD, send_ask_auth, took_auth }, { OLD, send_auth, NULL },
	{ OLD, send_replicaof, took_replica }, { OLD, send_kill, took_thawed }, END };

static enum verdict shut(struct redis_call *c)
{
	c->jump = demote_shut;
	return JUMP;
}

static enum verdict took_demotable(struct redis_call *c, const redisReply *r)
{
	took_frozen(c, r);
	c->text[0] = '\0';
	c->patience = now_us() + (c->base.end - now_us()) / 10;
	return c->info.master && c->info.replicas ? NEXT : shut(c);
}

static enum verdict took_demote_reached(struct redis_call *c, const redisReply *r)
{
	(void)r;
	if (c->info.offset >= c->offset || c->info.master || !c->info.link_up || now_us() >= c->patience)
		return shut(c);
	return AGAIN;
}

/* Nobody writes to a read-only replica: its readers and its link stay. Whom it follows, following sees to. */
static const struct step demote_steps[];

static enum verdict took_rest(struct redis_call *c, const redisReply *r)
{
	(void)r;
	c->jump = demote_steps;
	return c->info.master || !c->info.replica_read_only ? JUMP : say(c, DONE, "replica already: nothing was ended");
}

static const struct step demote_unless_at_rest[] = { { OLD, send_info, took_rest }, END };

static const struct step demote_steps[] = { { OLD, send_pause, took_demotable },
	{ NEW, send_info, took_demote_reached }, END };

/* --- handover ------------------------------------------------------------------------------------------------------------------------------------ */

static const struct step undo_pause[] = { { OLD, send_unpause, took_thawed }, END };
static const struct step undo_replica[] = { { OLD, send_no_one, took_thawed }, END };

static enum verdict took_old_is_master(struct redis_call *c, const redisReply *r)
{
	enum verdict v = took_examined(c, r);
	if (v != NEXT)
		return v;
	c->offset = c->info.offset;
	return c->info.master ? NEXT : refuse(c, "this Redis is not the master");
}

static enum verdict took_new_is_replica(struct redis_call *c, const redisReply *r)
{
	enum verdict v = took_whole(c, r);
	if (v != NEXT)
		return v;
	if (c->info.master)
		return refuse(c, "the other Redis is a master of its own, not a replica of this one");
	if (!c->info.link_up)
		return refuse(c, "the other Redis is not connected to this one");
	/* caught up before writes are held: a replica that has just attached receives nothing until its first acknowledgement, which
	 * it sends once a second */
	return c->info.offset < c->offset ? AGAIN : NEXT;
}

static enum verdict took_paused(struct redis_call *c, const redisReply *r)
{
	took_frozen(c, r);
	c->undo = undo_pause;
	return NEXT;
}

static enum verdict took_stepped_down(struct redis_call *c, const redisReply *r)
{
	c->undo = undo_replica;
	return took_replica(c, r);
}

static enum verdict took_handed_over(struct redis_call *c, const redisReply *r)
{
	c->undo = NULL; /* from here on the other is the master */
	if (took_master(c, r) != NEXT)
		return FAIL;
	snprintf(c->text, sizeof(c->text), "handed over at offset %" PRIu64, c->offset);
	return NEXT;
}

static const struct step handover_steps[] = { { OLD, send_examine, took_old_is_master },
	{ NEW, send_examine, took_new_is_replica }, { OLD, send_ask_auth, took_auth }, { OLD, send_auth, NULL },
	{ OLD, send_pause, took_paused }, { NEW, send_info, took_reached }, { OLD, send_replicaof, took_stepped_down },
	{ NEW, send_promote, took_exec }, { NEW, send_role, took_handed_over }, { OLD, send_kill, took_thawed }, END };

/* What a hand-over asks of both before it holds a single write: a replica that does not answer or keep up is found out here. */
static const struct step precheck_steps[] = { { OLD, send_examine, took_prechecked },
	{ NEW, send_examine, took_new_is_replica }, END };

/* --- reclaim: NEW is this server, OLD the other ----------------------------------------------------------------------------------------------------- */

static const struct step reclaim_attach[] = { { OLD, send_ask_auth, took_auth }, { OLD, send_auth, NULL },
	{ OLD, send_replicaof, took_replica }, { OLD, send_kill, NULL }, END };
static const struct step reclaim_both_replicas[] = { { NEW, send_promote, took_exec }, { NEW, send_role, took_master },
	{ OLD, send_replicaof, took_replica }, { OLD, send_kill, NULL }, END };
static const struct step reclaim_alone[] = { { NEW, send_promote, took_exec }, { NEW, send_role, took_master }, END };

static enum verdict took_own(struct redis_call *c, const redisReply *r)
{
	enum verdict v = took_examined(c, r);
	c->offset = c->info.master; /* remembered for the next verdict */
	return v;
}

static enum verdict took_other(struct redis_call *c, const redisReply *r)
{
	bool mine_master = c->offset != 0, other_master = c->info.master;
	(void)r;
	if (mine_master && !other_master)
		return say(c, DONE, "master already");
	c->jump = mine_master ? reclaim_attach : other_master ? handover_steps : reclaim_both_replicas;
	return say(c, JUMP, "master again");
}

static const struct step reclaim_steps[] = { { NEW, send_examine, took_own }, { OLD, send_info, took_other }, END };

/* --- what the driver asks ------------------------------------------------------------------------------------------------------------------------------------------------ */

static const struct step *const steps_of[OP_COUNT] = {
	[OP_PROMOTE] = promote_steps,
	[OP_VERIFY_PRIMARY] = verify_steps,
	[OP_FREEZE] = freeze_steps,
	[OP_UNFREEZE] = unfreeze_steps,
	[OP_POSITION] = position_steps,
	[OP_REACH] = reach_steps,
	[OP_DEMOTE] = demote_steps,
	[OP_FOLLOW] = follow_steps,
	[OP_HANDOVER] = handover_steps,
	[OP_RECLAIM] = reclaim_steps,
	[OP_KILL_CLIENTS] = kill_steps,
	[OP_PRECHECK] = precheck_steps,
};

const struct step *redis_steps(enum db_op op, const char *arg)
{
	return op == OP_DEMOTE && arg ? demote_unless_at_rest : steps_of[op];
}

enum excuse redis_do_without(struct redis_call *c, enum side side, enum db_life why)
{
	if (c->base.op == OP_DEMOTE && side == OLD && why == DB_DEAD) {
		STR_COPY(c->text, "dead");
		return OVER;
	}
	if (c->base.op == OP_DEMOTE && side == NEW) { /* the replica need not be there */
		if (c->step->side != NEW)
			return IGNORE;
		c->step = demote_shut;
		return GO_ON;
	}
	if (c->base.op == OP_RECLAIM && side == OLD && c->step->send == send_info && c->step->took == took_other) {
		STR_COPY(c->text, "master; the other Redis cannot be reached and does not follow yet");
		c->step = reclaim_alone;
		return GO_ON;
	}
	return NO_EXCUSE;
}

const char *redis_awaited(const struct redis_call *c)
{
	if (c->step->took == took_attached)
		return "waiting for the link to the new master";
	if (c->step->took == took_reached)
		return "waiting for the replica to receive everything";
	return "waiting for an answer of Redis";
}

bool redis_changed_nothing(const struct redis_call *c)
{
	bool reads = c->step->send == send_info || c->step->send == send_examine || c->step->send == send_role;

	return reads && !c->undo && c->step->took != took_handed_over;
}

bool redis_only_paused(const struct redis_call *c)
{
	return c->undo == undo_pause && !c->undoing;
}
