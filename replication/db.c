/* db.c - the face of the room: one server, its facts, its operations. */
#include "replication/db.h"

const char *const db_life_names[DB_LIFE_COUNT] = {
	[DB_UNKNOWN] = "unknown",
	[DB_UP] = "up",
	[DB_DEAD] = "dead",
	[DB_HUNG] = "hung",
	[DB_DENIED] = "denied",
	[DB_UNREACHABLE] = "unreachable",
};

const char *const db_op_names[OP_COUNT] = {
	[OP_PROMOTE] = "promote",
	[OP_VERIFY_PRIMARY] = "verify",
	[OP_FREEZE] = "freeze",
	[OP_UNFREEZE] = "unfreeze",
	[OP_POSITION] = "position",
	[OP_REACH] = "reach",
	[OP_RECEIVE] = "receive",
	[OP_DEMOTE] = "demote",
	[OP_FOLLOW] = "follow",
	[OP_HANDOVER] = "handover",
	[OP_RECLAIM] = "reclaim",
	[OP_SYNC_ON] = "sync on",
	[OP_SYNC_OFF] = "sync off",
	[OP_KILL_CLIENTS] = "end clients",
	[OP_PRECHECK] = "precheck",
	[OP_EXPORT] = "export",
	[OP_CLONE] = "clone",
	[OP_CLONED] = "cloned",
	[OP_EVENTS] = "events",
	[OP_EVENTS_ON] = "events on",
	[OP_EVENTS_OFF] = "events off",
};

static const struct db_driver *const drivers[DB_KIND_COUNT] = {
	[DB_MYSQL] = &mysql_driver, [DB_REDIS] = &redis_driver
};

static void on_due(void *arg, us_t now)
{
	struct db *d = arg;
	(void)now;
	d->driver->look(d);
}

struct db *db_new(
	struct loop *l, const struct db_target *t, us_t interval, db_observed_fn *observed, void *arg, struct err *e)
{
	struct db *d = xcalloc(1, sizeof(*d));
	*d = (struct db){ .driver = drivers[t->kind],
		.loop = l,
		.target = *t,
		.interval = interval,
		.observed = observed,
		.arg = arg };
	d->facts.lag = d->facts.silence = US_UNKNOWN;
	d->facts.unapplied = -1;
	if (d->driver->open(d, e) < 0) {
		free(d);
		return NULL;
	}
	d->next = timer_new(l, on_due, d);
	timer_in(d->next, 0);
	return d;
}

void db_free(struct db *d)
{
	if (!d)
		return;
	timer_free(d->next);
	d->driver->close(d);
	explicit_bzero(&d->target, sizeof(d->target));
	free(d);
}

const struct db_facts *db_look(const struct db *d)
{
	return &d->facts;
}

void db_hurry(struct db *d)
{
	d->driver->look(d);
}

void db_interval(struct db *d, us_t interval)
{
	bool sooner = interval < d->interval;
	d->interval = interval;
	if (sooner)
		timer_in(d->next, interval);
}

struct db_call *db_start(
	struct db *d, enum db_op op, const char *arg_text, us_t timeout, db_done_fn *done, void *arg, struct err *e)
{
	us_t now = now_us();
	struct db_call *c = d->driver->start(d, op, arg_text, timeout, e);
	if (!c)
		return NULL;
	c->done = done;
	c->arg = arg;
	c->started_at = now;
	return c;
}

void db_cancel(struct db_call *c)
{
	if (c)
		c->db->driver->cancel(c);
}

/* --- for the drivers ----------------------------------------------------------------------------------------------------- */

us_t db_look_timeout(const struct db *d)
{
	return d->interval < 250 * US_PER_MS ? 250 * US_PER_MS : d->interval > US_PER_SEC ? US_PER_SEC : d->interval;
}

/* What restarts it may bring it up writable where nobody expects it (a container's restart policy), and a refusal costs nothing. */
static const us_t dead_every = 100 * US_PER_MS;

void db_looked(struct db *d, us_t began)
{
	bool dead = d->facts.life == DB_DEAD;

	d->facts.seen_at = now_us();
	timer_at(d->next, d->look_again ? 0 : began + (dead && dead_every < d->interval ? dead_every : d->interval));
	d->look_again = false;
	if (d->observed)
		d->observed(d->arg, &d->facts); /* last: it may free d */
}

void db_silent(struct db *d, enum db_life life, const char *trouble)
{
	struct db_facts *f = &d->facts;
	f->life = life;
	STR_COPY(f->trouble, trouble);
	f->lag = f->silence = US_UNKNOWN;
	if (life != DB_DEAD)
		return;
	f->writable = f->io_running = f->sql_running = f->connecting = f->link_up = false;
	f->semi_source_on = f->semi_replica_on = false;
	f->semi_clients = f->replicas = 0;
}
