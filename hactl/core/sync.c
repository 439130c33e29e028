/* sync.c - "the standby holds every acknowledged write": when that becomes true, and how it becomes false.
 *
 * Invariant: the record says true => the semi-sync source side is on here, or the database here takes no writes. So true is
 * written after semi-sync is on, and semi-sync goes off after false is stored: in the register, or, while the arbiter is
 * away, by the standby itself (it is the only one the record could ever promote). With neither a register nor a third vote
 * the standby keeps the record in its memory, for as long as the primary's word lasts: word.c. In manual mode nobody but this
 * primary reads the record: it is a matter of its own memory.
 *
 * conf.required: semi-sync is on whenever writes are open (STEP_MYSQL_PROMOTE sees to it, core.c shuts the gate otherwise) and is
 * never switched off here. Nothing is acknowledged that the standby has not received, so losing it makes the record no less true:
 * it stands until the standby's host or database server is another one.
 */
#include "hactl/core/inside.h"

#define SEQUENCES ((uint64_t)1 << 32) /* set aside for one start; records change once a second at most */

/* A start numbers its records above everything an earlier start may have written or asked to be voided, even what is still
 * on its way: the numbers are set aside on disk before the first is used. */
void sync_set_aside(struct core *c)
{
	if (c->sync_numbers || !c->conf.lossless)
		return;
	c->sync_numbers = true;
	if (c->sync_seq < c->disk.sync_floor)
		c->sync_seq = c->disk.sync_floor;
	c->disk.sync_floor = c->sync_seq + SEQUENCES;
	persist(c);
}

void sync_reset(struct core *c, bool maybe)
{
	if (c->sync_serial)
		act(c, ACT_STEP_CANCEL)->serial = c->sync_serial;
	c->sync_serial = 0;
	c->sync = SYNC_NONE;
	c->sync_maybe = maybe && c->conf.lossless && c->conf.mode != CORE_MANUAL;
	if (without_vote(c) && c->disk.alone == c->disk.term)
		c->sync_maybe = false;
	c->void_seq = 0;
	c->loss_at = c->unseen_at = US_NEVER;
	c->sync_retry = c->bare_since = c->now;
}

void sync_must_drop(struct core *c)
{
	if (c->sync_serial)
		act(c, ACT_STEP_CANCEL)->serial = c->sync_serial;
	c->sync_serial = 0;
	if (c->sync == SYNC_IN)
		c->bare_since = c->now;
	if (c->sync != SYNC_NONE || c->sync_maybe)
		c->sync = SYNC_DROPPING;
	if (c->conf.mode == CORE_MANUAL)
		c->sync_maybe = false;
	c->again = true;
}

bool sync_in(const struct core *c)
{
	return c->sync == SYNC_IN && c->peer_known && c->peer.boot == c->sync_boot &&
	       c->peer.db_start == c->sync_db_start;
}

bool sync_strict(const struct core *c)
{
	return c->conf.required && c->conf.lossless;
}

/* --- the record in the register -------------------------------------------------------------------------------------- */

static struct sync_record present(const struct core *c)
{
	bool ours = c->reg_known && c->rev && c->reg.holder == me_of(c) && c->reg.term == c->disk.term;

	return ours ? c->reg.sync : (struct sync_record){ .standby = NOBODY };
}

static uint64_t next_seq(const struct core *c)
{
	return c->sync_seq + 1;
}

/* What the next swap of the holder writes. */
struct sync_record sync_next(const struct core *c)
{
	struct sync_record now = present(c);
	bool on = c->sync == SYNC_WRITING || c->sync == SYNC_IN;

	if (core_broken.keep_sync && c->sync == SYNC_NONE)
		return now;
	if (!on)
		return (struct sync_record){ .standby = NOBODY,
			.seq = now.in_sync || c->sync_maybe ? next_seq(c) : now.seq };
	/* one that the standby was asked to void, or may have voided, counts no more for it: true again needs a new number */
	if (now.in_sync && now.seq >= c->sync_seq && now.boot == c->sync_boot && now.db_start == c->sync_db_start)
		return now;
	return (struct sync_record){ .in_sync = true,
		.standby = (int8_t)other_of(c),
		.boot = c->sync_boot,
		.db_start = c->sync_db_start,
		.seq = next_seq(c) };
}

bool sync_write_wanted(const struct core *c)
{
	bool drop = c->sync_maybe && (c->sync == SYNC_DROPPING || c->sync == SYNC_NONE);

	return c->conf.lossless && (c->sync == SYNC_WRITING || drop);
}

/* A swap of ours stands in the register with this record. No older swap can still happen: their revision is gone. */
void sync_written(struct core *c, const struct sync_record *r)
{
	if (!r->in_sync) {
		c->sync_maybe = false;
		c->void_seq = 0;
	} else if (c->sync == SYNC_WRITING && r->seq >= c->sync_seq) {
		c->sync = SYNC_IN;
		c->sync_tries = 0;
		c->sync_since = c->now;
		note(c, 5,
			"%s is in sync: every acknowledged write is on both nodes from now on; for %.1f s that was not "
			"sure",
			peer_name(c), (double)(c->now - c->bare_since) / US_PER_SEC);
	}
	c->again = true;
}

void sync_peer_voided(struct core *c, const struct msg *m)
{
	if (!c->void_seq || m->sync_term != c->disk.term || m->sync_seq < c->void_seq)
		return;
	if (c->sync_maybe)
		note(c, 5, "%s has stored that it is not in sync", peer_name(c));
	c->void_seq = 0;
	c->sync_maybe = false;
	if (without_vote(c) && c->holding)
		word_stored(c, true);
	c->again = true;
}

/* --- the standby's side -------------------------------------------------------------------------------------------------- */

bool record_for_me(const struct core *c, const struct reg_value *v, char why[SENTENCE_MAX])
{
	const struct sync_record *r = &v->sync;
	const struct core_facts *f = &c->facts;
	bool voided = c->disk.void_term > v->term || (c->disk.void_term == v->term && c->disk.void_seq >= r->seq);

	why[0] = '\0';
	if (!r->in_sync || r->standby != me_of(c))
		say(why,
			"%s is not in sync: it has not caught up since the last change; hactl brings it back by itself",
			my_name(c));
	else if (v->term < c->disk.other_term)
		say(why, "%s cannot know whether it is in sync: the arbiter's entry is older than the last primary",
			my_name(c));
	else if (r->boot != f->boot)
		say(why, "%s is not in sync: it was restarted; hactl brings it back by itself when it has caught up",
			my_name(c));
	else if (r->db_start != f->db_start)
		say(why,
			"%s is not in sync: its database was restarted; hactl brings it back by itself when it has "
			"caught up",
			my_name(c));
	else if (voided)
		say(why, "%s is not in sync: the primary has gone on without it", my_name(c));
	return !why[0];
}

/* --- the primary's side --------------------------------------------------------------------------------------------------- */

/* A supervisor that was just restarted says nothing of its servers until it has looked. What this node's own server and its looks at the
 * other's say (standby_lost) covers that while. */
static const us_t observing = 3 * US_PER_SEC;

static bool peer_says_broken(struct core *c)
{
	bool unseen = c->peer.flags & FLAG_UNSEEN;
	bool boot = c->peer.boot != c->sync_boot && !(unseen && !c->peer.boot);
	bool server = c->peer.db_start != c->sync_db_start && !(unseen && !c->peer.db_start);

	if (boot || server || !unseen) {
		c->unseen_at = US_NEVER;
		return boot || server || !(c->peer.flags & FLAG_FOLLOWING);
	}
	if (c->unseen_at == US_NEVER)
		c->unseen_at = c->now;
	alarm_at(c, c->unseen_at + observing);
	return c->now >= c->unseen_at + observing;
}

/* Something waits for a standby that is not there. Only news from a live database counts: when ours died, nobody waits, and
 * the record is what lets the other take over. */
static bool lost(struct core *c)
{
	const struct core_facts *f = &c->facts;
	us_t heard = min_us(c->peer_seen, c->acked); /* it may be heard and hear nothing */
	bool silent = c->now - heard > c->suspicion;
	bool broken = peer_says_broken(c) || f->standby_lost || f->acked_elsewhere;

	if (!silent && !broken) {
		alarm_at(c, heard + c->suspicion + 1);
		c->loss_at = US_NEVER;
		return false;
	}
	if (c->loss_at == US_NEVER)
		c->loss_at = c->now;
	if (!f->mysql_writable || f->ill || plan_busy(c) || c->facts_at < c->loss_at)
		return false;
	if (c->now >= c->loss_at + c->conf.lease / 5 || silent)
		return true;
	alarm_at(c, c->loss_at + c->conf.lease / 5);
	return false;
}

/* Required mode: the standby is not the one any more that the record names. Of a server that is down nothing new is known. */
static bool replaced(const struct core *c)
{
	bool restarted = c->peer.db_start && c->peer.db_start != c->sync_db_start;

	return c->peer_known && c->peer.boot && (c->peer.boot != c->sync_boot || restarted);
}

us_t sync_away_us(const struct core *c, us_t now)
{
	bool waits = sync_strict(c) && c->role == ROLE_PRIMARY && c->away_since != US_NEVER;

	return waits && now - c->away_since >= c->silence ? now - c->away_since : 0;
}

/* Required mode: said when commits begin to wait for an absent standby, and when they go on. */
static void watch_standby(struct core *c)
{
	const struct core_facts *f = &c->facts;
	bool away = f->mysql_writable && (f->standby_lost || (!peer_alive(c) && !f->standby_streams));

	if (!away) {
		if (c->away_told)
			note(c, 5, "%s is back: writes on %s go on", peer_name(c), my_name(c));
		c->away_since = US_NEVER;
		c->away_told = false;
		if (peer_alive(c))
			alarm_at(c, c->peer_seen + c->silence + 1);
		return;
	}
	if (c->away_since == US_NEVER)
		c->away_since = c->now;
	if (!sync_away_us(c, c->now)) {
		alarm_at(c, c->away_since + c->silence);
	} else if (!c->away_told) {
		c->away_told = true;
		note(c, 4, "%s is away: writes on %s wait until it is back, both nodes are required (mysql.semi_sync)",
			peer_name(c), my_name(c));
	}
}

static bool standby_good(const struct core *c)
{
	const struct core_facts *f = &c->facts;

	return peer_alive(c) && f->known && f->mysql_writable && !f->ill && f->standby_streams && !f->standby_lost &&
	       !f->acked_elsewhere && (c->peer.flags & FLAG_FOLLOWING) && c->peer.db_start && c->peer.boot &&
	       c->peer.term == c->disk.term && !(c->peer.flags & FLAG_STOPPING);
}

static void step(struct core *c, enum step_kind kind, us_t timeout)
{
	struct core_action *a = act(c, ACT_STEP);

	c->sync_serial = a->serial = ++c->serial;
	c->sync_step_at = c->now;
	a->step = kind;
	a->timeout_us = timeout;
	a->until = kind == STEP_SYNC_ON ? authority_until(c) : US_NEVER;
}

static void retry_later(struct core *c, const char *what, const char *text)
{
	c->sync_retry = c->now + back_off(c->sync_tries++);
	note(c, 4, "%s failed, tried again soon: %s", what, text[0] ? text : "no reason given");
}

bool sync_step(struct core *c, uint32_t serial, enum step_outcome outcome, const char *text)
{
	if (!c->sync_serial || serial != c->sync_serial)
		return false;
	c->sync_serial = 0;
	c->again = true;
	if (c->sync == SYNC_ENABLING) {
		c->sync = outcome == STEP_OK ? SYNC_PROVING : SYNC_DROPPING;
		c->sync_since = c->now;
		if (outcome != STEP_OK)
			retry_later(c, "switching semi-sync on", text);
	} else if (c->sync == SYNC_DISABLING) {
		c->sync = outcome == STEP_OK ? SYNC_NONE : SYNC_DROPPING;
		c->sync_off_at = c->now + US_PER_SEC;
		if (outcome != STEP_OK)
			note(c, 4, "switching semi-sync off failed, tried again in a second: %s", text);
	}
	return true;
}

static void run_none(struct core *c)
{
	if (c->sync_maybe) {
		sync_must_drop(c);
		return;
	}
	if (c->now < c->sync_retry) {
		alarm_at(c, c->sync_retry);
		return;
	}
	if (!standby_good(c) || c->stopping) {
		c->sync_tries = 0; /* when it is good again, that is news */
		return;
	}
	c->sync = SYNC_ENABLING;
	c->sync_boot = c->peer.boot;
	c->sync_db_start = c->peer.db_start;
	c->loss_at = US_NEVER;
	step(c, STEP_SYNC_ON, 3 * US_PER_SEC);
}

static void run_enabling(struct core *c)
{
	us_t end = c->sync_step_at + 4 * US_PER_SEC;

	if (lost(c) || c->now >= end) {
		sync_must_drop(c);
		c->sync_retry = c->now + back_off(c->sync_tries++);
	} else {
		alarm_at(c, end);
	}
}

/* Facts from before the step may still be on their way: wait for some that show it. */
static void run_proving(struct core *c)
{
	if (lost(c) || c->now > c->sync_since + 5 * US_PER_SEC) {
		sync_must_drop(c);
		c->sync_retry = c->now + back_off(c->sync_tries++);
	} else if (c->facts_at > c->sync_since && c->facts.semi_on && c->facts.mysql_writable &&
		   !(without_vote(c) && c->disk_bad)) {
		c->sync = arbiter_used(c) ? SYNC_WRITING : SYNC_IN;
		if (without_vote(c)) {
			c->sync_seq = next_seq(c);
			word_stored(c, false);
		}
		c->again = true;
	} else {
		alarm_at(c, c->sync_since + 5 * US_PER_SEC + 1);
	}
}

static void run_in(struct core *c)
{
	if (sync_strict(c) && !core_broken.alone_required) {
		bool elsewhere = c->facts.acked_elsewhere;

		if (!replaced(c) && !elsewhere)
			return;
		note(c, 5,
			elsewhere ? "whether %s is in sync is not known: another server acknowledges writes, too"
				  : "%s or its database was restarted: it is in sync when it has caught up",
			peer_name(c));
		c->sync_retry = c->now;
		sync_must_drop(c);
		return;
	}
	if (!lost(c))
		return;
	note(c, 4, "%s is out of sync: %s goes on without it once that is stored", peer_name(c), my_name(c));
	c->sync_retry = c->now + back_off(0);
	sync_must_drop(c);
}

/* False first: swapped by register.c, or stored by the standby; beats carry the wish until then. */
static void run_dropping(struct core *c)
{
	word_expire(c);
	if (core_broken.sync_off_first && c->sync_maybe && c->role == ROLE_PRIMARY) {
		c->sync = SYNC_DISABLING;
		step(c, STEP_SYNC_OFF, 2 * US_PER_SEC);
		return;
	}
	if (c->sync_maybe) {
		if (!c->void_seq)
			c->void_seq = c->sync_seq = next_seq(c);
		return;
	}
	if (sync_strict(c) && !core_broken.alone_required) {
		c->sync = SYNC_NONE; /* semi-sync stays on */
		c->again = true;
		return;
	}
	if (c->now < c->sync_off_at) {
		alarm_at(c, c->sync_off_at);
		return;
	}
	if (c->role == ROLE_PRIMARY && !plan_busy(c)) {
		c->sync = SYNC_DISABLING;
		step(c, STEP_SYNC_OFF, 2 * US_PER_SEC);
	}
}

static void run_disabling(struct core *c)
{
	us_t end = c->sync_step_at + 3 * US_PER_SEC;

	if (c->now < end) {
		alarm_at(c, end);
		return;
	}
	c->sync = SYNC_DROPPING;
	c->again = true;
}

void sync_run(struct core *c)
{
	if (!c->conf.lossless || !c->holding)
		return;
	if (c->role != ROLE_PRIMARY) { /* the takeover waits for the record to be false */
		if (c->sync_maybe) {
			c->sync = SYNC_DROPPING;
			run_dropping(c);
		}
		return;
	}
	if (sync_strict(c))
		watch_standby(c);
	if (plan_busy(c) && c->sync == SYNC_NONE)
		return;
	switch (c->sync) {
	case SYNC_NONE:
		run_none(c);
		break;
	case SYNC_ENABLING:
		run_enabling(c);
		break;
	case SYNC_PROVING:
		run_proving(c);
		break;
	case SYNC_WRITING:
	case SYNC_IN:
		run_in(c);
		break;
	case SYNC_DROPPING:
		run_dropping(c);
		break;
	case SYNC_DISABLING:
		run_disabling(c);
		break;
	}
}
