/* core.c - one event in, a list of actions out: dispatch, the order in which everything is evaluated, wake, messages. */
#include "hactl/core/inside.h"

#include <stdarg.h>

enum { EVALUATIONS = 6 }; /* a decision may make the next one possible; more than a few in a row would be a loop */

size_t core_size(void)
{
	return sizeof(struct core);
}

us_t core_promise_us(us_t lease)
{
	return lease * 105 / 95 + 20 * US_PER_MS;
}

/* --- actions ------------------------------------------------------------------------------------------------------ */

struct core_action *act(struct core *c, enum core_action_kind kind)
{
	struct core_out *out = c->out;
	struct core_action *a = out->n < CORE_MAX_ACTIONS ? &out->act[out->n++] : &c->spare;

	a->kind = kind;
	a->id = a->serial = 0;
	a->step = 0;
	a->outcome = STEP_OK;
	a->timeout_us = a->took_us = 0;
	a->until = US_NEVER;
	a->db_start = 0;
	a->rev = 0;
	a->from = a->to = c->role;
	a->level = 0;
	a->text[0] = '\0';
	return a;
}

void say(char out[SENTENCE_MAX], const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(out, SENTENCE_MAX, fmt, ap);
	va_end(ap);
}

void note(struct core *c, int level, const char *fmt, ...)
{
	struct core_action *a = act(c, ACT_NOTE);
	va_list ap;

	a->level = level;
	va_start(ap, fmt);
	vsnprintf(a->text, sizeof(a->text), fmt, ap);
	va_end(ap);
}

/* One ACT_PERSIST a list: a second change joins the first, so that a failure takes back all or nothing. */
void persist(struct core *c)
{
	struct core_action *a = NULL;

	for (size_t i = 0; i < c->out->n; i++)
		if (c->out->act[i].kind == ACT_PERSIST)
			a = &c->out->act[i];
	if (!a)
		a = act(c, ACT_PERSIST);
	a->disk = c->disk;
	c->persisting = true;
}

static uint16_t flags_now(const struct core *c, enum msg_kind kind)
{
	const struct core_facts *f = &c->facts;
	char why[SENTENCE_MAX];
	unsigned flags = 0;

	if (!f->known && has_databases(c))
		flags |= FLAG_UNSEEN;
	if (f->known && bid_gate(c, why))
		flags |= FLAG_READY;
	if (f->known && f->writable)
		flags |= FLAG_WRITABLE;
	if (f->known && f->replicating)
		flags |= FLAG_REPLICATING;
	if (f->known && f->following)
		flags |= FLAG_FOLLOWING;
	if (f->known && f->ill)
		flags |= FLAG_ILL;
	if (c->disk.paused)
		flags |= FLAG_PAUSED;
	if (c->stopping)
		flags |= FLAG_STOPPING;
	if (kind == MSG_RELEASED && c->release_ok)
		flags |= FLAG_SYNC_OK;
	if (c->cmd.stage == STAGE_RUNNING && c->cmd.c.kind == CMD_SWITCHOVER && !c->holding)
		flags |= FLAG_WANT;
	if (c->disk.paused && c->disk.pause_mine)
		flags |= FLAG_WANT_PAUSE;
	if (c->cmd.stage == STAGE_RUNNING && c->cmd.c.kind == CMD_RESUME && !c->holding)
		flags |= FLAG_WANT_RESUME;
	return (uint16_t)flags;
}

/* A refusal the other's operator waits for goes first, then why this node would not be promoted. */
static void note_for_peer(const struct core *c, char out[SENTENCE_MAX])
{
	out[0] = '\0';
	if (c->refusal[0])
		say(out, "%s", c->refusal);
	else if (!c->holding && !bid_gate(c, out))
		return;
	else
		out[0] = '\0';
}

void send_msg(struct core *c, enum msg_kind kind, uint64_t term, uint64_t nonce, uint64_t for_incarnation)
{
	struct msg *m = &act(c, ACT_SEND)->msg;
	const struct core_facts *f = &c->facts;
	bool says_in = kind == MSG_RENEW && for_incarnation, asks_void = c->holding && c->void_seq && !says_in;

	m->kind = (uint8_t)kind;
	m->from = (int8_t)me_of(c);
	m->role = (uint8_t)c->role;
	m->primary = c->holding ? (int8_t)me_of(c) : c->disk.owner;
	m->flags = flags_now(c, kind);
	m->term = term;
	m->incarnation = c->inc;
	m->counter = m->echo_incarnation = m->echo_counter = 0;
	m->nonce = nonce;
	m->for_incarnation = for_incarnation;
	m->boot = f->known ? f->boot : 0;
	m->db_start = f->known ? f->db_start : 0;
	m->sync_term = asks_void || says_in ? c->disk.term : c->disk.void_term;
	m->sync_seq = asks_void ? c->void_seq : says_in ? c->sync_seq : c->disk.void_seq;
	if (says_in)
		c->word_given = c->now;
	m->config = f->config; /* known from the first facts on, whatever the servers do */
	memcpy(m->section, f->section, sizeof(m->section));
	m->hold_us = c->holding && c->flap_until > c->now ? (uint64_t)(c->flap_until - c->now) : 0;
	m->redis_offset = f->known ? f->redis_offset : 0;
	note_for_peer(c, m->note);
	m->gtid[0] = '\0';
	if (f->known)
		memcpy(m->gtid, f->gtid, strnlen(f->gtid, GTID_MAX - 1) + 1);
}

us_t back_off(unsigned tries)
{
	static const us_t steps[] = { 1, 2, 5, 10 };

	return steps[tries < ARRAY_LEN(steps) ? tries : ARRAY_LEN(steps) - 1] * US_PER_SEC;
}

bool has_databases(const struct core *c)
{
	return c->conf.has_mysql || c->conf.has_redis;
}

/* --- start ----------------------------------------------------------------------------------------------------------- */

void core_init(
	struct core *c, const struct core_conf *conf, const struct core_disk *disk, uint64_t incarnation, us_t now)
{
	memset(c, 0, sizeof(*c));
	c->conf = *conf;
	c->disk = *disk;
	if (!disk->term) { /* zeroed = first start: nobody holds, nobody got a vote */
		c->disk.voted = NOBODY;
		c->disk.owner = NOBODY;
	}
	c->before = c->disk;
	c->inc = incarnation;
	c->now = c->wake = c->booted = now;
	c->promise_span = core_broken.half_promise ? core_promise_us(conf->lease) / 2 : core_promise_us(conf->lease);
	c->silence = conf->lease * 3 / 10;
	c->suspicion = conf->lease / 2;
	c->role = ROLE_STARTING;
	c->role_since = now;
	c->lease_peer = c->lease_arb = c->lease_ref = c->lease_self = c->lease_try = c->void_at = -1;
	c->word_given = now; /* a former start may have said so up to its end */
	c->promise = core_broken.boot_bid ? now : now + c->promise_span; /* we may have promised just before the end */
	c->heard = core_broken.boot_bid ? now - c->suspicion - 1 : now;
	c->acked = now;
	c->shut_since = c->loss_at = c->unseen_at = c->away_since = US_NEVER;
	/* a word once given stands; what it said about data is known again only where the disk tells */
	c->releasing = c->disk.term && c->disk.owner == NOBODY && c->disk.released == c->disk.term;
	c->release_ok = c->releasing && c->disk.bound_db;
	c->release_word = WORD_AS_YOU_WERE;
	c->prev_term = c->disk.bound_prev;
	c->flap_until = c->disk.flap && conf->flap_window ? now + conf->flap_window : 0;
	c->gate_until = -1;
	c->sync_maybe = true;
	c->change.from = c->change.to = NOBODY;
	c->cmd.c.to = NOBODY;
}

/* --- events ------------------------------------------------------------------------------------------------------------ */

static void on_tick(struct core *c, const struct core_event *ev)
{
	(void)c;
	(void)ev;
}

static void on_message(struct core *c, const struct core_event *ev)
{
	on_msg(c, ev->msg);
}

static void on_step(struct core *c, const struct core_event *ev)
{
	const char *text = ev->step.text ? ev->step.text : "";

	if (!plan_step(c, ev->step.serial, ev->step.outcome, ev->step.took_us, text))
		sync_step(c, ev->step.serial, ev->step.outcome, text);
}

static void on_facts(struct core *c, const struct core_event *ev)
{
	c->facts = *ev->facts;
	c->facts_at = c->now;
}

static void on_operator(struct core *c, const struct core_event *ev)
{
	on_command(c, &ev->command);
}

/* The list before this event was cut short at its ACT_PERSIST: nothing in it that depended on the disk has happened. */
static void on_disk_failed(struct core *c, const struct core_event *ev)
{
	(void)ev;
	c->disk = c->before;
	c->disk_bad = true;
	c->disk_probe = c->now + US_PER_SEC;
	c->claim = 0;
	if (c->peer_released > c->disk.other_term)
		c->peer_released = 0; /* whose term it was is not stored */
	c->releasing = c->releasing && c->disk.released == c->disk.term;
	note(c, 3,
		"%s cannot store its state: no vote, no promise of a new term and no change before the disk works "
		"again",
		my_name(c));
	if (c->answered) {
		struct core_action *a = act(c, ACT_DONE);
		a->id = c->answered;
		a->outcome = STEP_FAILED;
		say(a->text, "%s cannot store its state", my_name(c));
	}
	if (without_vote(c) && c->sync == SYNC_IN && c->disk.alone == c->disk.term)
		sync_must_drop(c); /* the word was never given: that it may be is not stored */
	c->sync_numbers = c->sync_numbers && c->disk.sync_floor > c->sync_seq;
	if (c->holding &&
		(c->disk.voted != me_of(c) || c->disk.owner != me_of(c) || (c->conf.lossless && !c->sync_numbers)))
		role_event(c, RE_LOST, "%s cannot store the term it holds", my_name(c));
}

typedef void event_fn(struct core *c, const struct core_event *ev);
static event_fn *const event_table[EV_COUNT] = {
	[EV_TICK] = on_tick,
	[EV_MSG] = on_message,
	[EV_REGISTER] = on_register,
	[EV_WITNESS] = on_witness,
	[EV_STEP] = on_step,
	[EV_FACTS] = on_facts,
	[EV_COMMAND] = on_operator,
	[EV_DISK_FAILED] = on_disk_failed,
};
_Static_assert(ARRAY_LEN(event_table) == EV_COUNT, "every event has its handler");

/* --- what the servers tell ----------------------------------------------------------------------------------------------- */

/* A supervisor that was only restarted goes on alone. Manual mode: nobody takes over on silence, and the address is still within
 * its lifetime. Fence mode: whoever had taken over would have switched this host off. After a reboot the other, or a person, decides. */
bool resumes_alone(const struct core *c)
{
	bool still_open = c->conf.has_vip ? c->facts.address_held : c->facts.writable;
	bool untouched = c->conf.mode == CORE_FENCE ? same_boot(c) : c->conf.mode == CORE_MANUAL && still_open;

	return untouched && resume_candidate(c) && !peer_alive(c);
}

/* Boot: after a promise time without confirmation this is a standby like any other. */
static void check_boot(struct core *c)
{
	us_t end = core_broken.boot_bid ? c->booted : c->booted + c->promise_span;

	if (!c->boot_over && c->now >= end)
		c->boot_over = true;
	if (!c->boot_over) {
		alarm_at(c, end);
		return;
	}
	if (c->role != ROLE_STARTING)
		return;
	if (resumes_alone(c)) {
		resume_term(c);
		role_event(c, RE_RESUMED, "%s does not answer and %s still has what it held before the restart",
			peer_name(c), my_name(c));
		return;
	}
	if (own_still(c) &&
		c->now < end + 2 * c->conf.witness_timeout) { /* what is in place may stay: a moment to ask */
		alarm_at(c, end + 2 * c->conf.witness_timeout);
		return;
	}
	role_event(c, RE_WAITED, NULL);
}

/* Facts observed before the last change of ours may arrive after it: news only when it stays. */
static bool shut_long_enough(struct core *c)
{
	bool shut = has_databases(c) && (c->facts.shut || !c->facts.writable);

	if (!shut || c->facts.ill) {
		c->shut_since = US_NEVER;
		return false;
	}
	if (c->shut_since == US_NEVER || c->shut_since < c->role_since)
		c->shut_since = c->facts_at;
	return c->facts_at >= c->shut_since + 300 * US_PER_MS;
}

static void check_primary(struct core *c)
{
	char why[SENTENCE_MAX];

	if (plan_busy(c) || c->disk.paused || c->stopping || c->cmd.stage == STAGE_WAIT_PEER)
		return;
	if (c->facts.ill) {
		if (can_hand_over(c, false, why))
			role_event(c, RE_ILL, "%s is ill: %s", my_name(c),
				c->facts.why[0] ? c->facts.why : "a service is dead");
		return;
	}
	if (!shut_long_enough(c))
		return;
	if (can_hand_over(c, false, why))
		role_event(c, RE_ILL, "a database of %s was found shut for writes", my_name(c));
	else
		role_event(c, RE_REOPEN, "a database of %s was found shut for writes and %s", my_name(c), why);
}

/* A database that came back unprotected (semi-sync off) while the record says true: nothing may be acknowledged through
 * the address until the record is false. */
static void check_protection(struct core *c)
{
	bool strict = sync_strict(c) && c->facts_at > c->role_since && !core_broken.bare_required;
	bool relied = strict || c->sync_maybe || c->sync == SYNC_IN || c->sync == SYNC_WRITING;
	bool bare =
		c->role == ROLE_PRIMARY && c->conf.lossless && relied && c->facts.mysql_writable && !c->facts.semi_on;

	if (bare && !c->gate_held) {
		sync_must_drop(c);
		if (!c->sync_maybe && !strict)
			return; /* manual mode: only this primary's own word would have said so */
		core_gate_shut(c);
		c->gate_held = true;
		note(c, 4, "semi-sync was found off on %s: the gate is shut until %s", my_name(c),
			strict ? "it is on" : "the record says so");
	}
	if (c->gate_held && !c->sync_maybe && !(strict && bare))
		c->gate_held = false;
	if (strict && bare && !plan_busy(c) && !c->stopping)
		role_event(c, RE_REOPEN, "semi-sync, which is required, was found off on %s", my_name(c));
}

/* Clients that give up and come back leave their waiting commits behind, each with its connection, and the standby needs one to
 * end the waiting: no new clients before there is room again. */
static void check_room(struct core *c)
{
	bool crowded = c->role == ROLE_PRIMARY && sync_strict(c) && c->facts.crowded;

	if (crowded == c->gate_crowded)
		return;
	c->gate_crowded = crowded;
	if (crowded)
		core_gate_shut(c);
	note(c, crowded ? 4 : 5,
		crowded ? "too many writes wait for %s: the gate is shut so that it finds a free connection"
			: "fewer writes wait for %s: the gate opens again",
		peer_name(c));
}

/* The same found at the start, while the last lease may still keep the gate open: left alone unless the record may be true. */
static void check_protection_at_start(struct core *c)
{
	bool ours = c->conf.lossless && c->disk.term && c->disk.owner == me_of(c);
	bool relied = c->sync_maybe || sync_strict(c);
	bool bare = ours && !c->gate_on && relied && c->facts.mysql_writable && !c->facts.semi_on;
	bool maybe = c->reg_known && c->rev && c->reg.term == c->disk.term && c->reg.sync.in_sync;

	if (without_vote(c))
		maybe = c->disk.alone != c->disk.term;
	maybe = (maybe && c->conf.mode != CORE_MANUAL) || sync_strict(c);
	if (!bare || !maybe || c->gate_until == 0)
		return;
	core_gate_shut(c);
	note(c, 4, "semi-sync was found off on %s at the start: the gate is shut until it is confirmed", my_name(c));
}

static void check_standby(struct core *c)
{
	const struct core_facts *f = &c->facts;
	bool stray = c->disk.term && !first_start(c) && ((has_databases(c) && f->writable) || f->address_held);
	us_t grace; /* a planned change hands Redis over a moment before its word */

	/* whom it follows is gone: what may come now must not wait for that */
	if (c->run.id == PLAN_FOLLOW && (!peer_serves(c) || released_to_me(c))) {
		plan_cancel(c);
		c->follow_at = c->now + US_PER_SEC;
	}
	if (plan_busy(c) || (c->run.id == PLAN_DEMOTION))
		return;
	if (hand_back(c) || step_aside(c))
		return;
	if (f->diverged && c->role == ROLE_STANDBY) {
		role_event(c, RE_DIVERGED, "%s", f->why[0] ? f->why : "the databases have diverged");
		return;
	}
	if (!stray || released_to_me(c))
		c->stray_since = c->now;
	grace = c->stray_since + (c->conf.has_redis ? 200 * US_PER_MS : 0);
	if (stray && c->now < grace)
		alarm_at(c, grace);
	if (stray && c->now >= grace && c->now >= c->stray_at && c->facts_at >= c->role_since &&
		(c->boot_over || c->disk.owner == other_of(c))) {
		c->stray_at = c->now + back_off(c->stray_tries++);
		role_event(c, RE_STRAY, "%s is not primary, but %s", my_name(c),
			f->writable ? "its database was found writable" : "it still has the address");
		return;
	}
	if (!stray)
		c->stray_tries = 0;
	else if (c->stray_at > c->now)
		alarm_at(c, c->stray_at);
	if (c->role != ROLE_STANDBY || !has_databases(c) || stray)
		return;
	if (f->following) {
		c->follow_tries = 0;
		return;
	}
	if (!peer_serves(c) || released_to_me(c) || c->stopping) {
		c->follow_tries = 0; /* a primary that serves again is news: whatever failed before, it is tried soon */
		c->follow_at = min_us(c->follow_at, c->now + US_PER_SEC);
		return;
	}
	if (c->now < c->follow_at) {
		alarm_at(c, c->follow_at);
		return;
	}
	plan_start(c, PLAN_FOLLOW);
}

static void check_servers(struct core *c)
{
	if (!c->facts.known)
		return;
	check_protection(c);
	check_room(c);
	if (c->role == ROLE_STARTING)
		aside_at_start(c);
	if (c->role == ROLE_STARTING || c->role == ROLE_PROMOTING)
		check_protection_at_start(c);
	else if (c->role == ROLE_PRIMARY)
		check_primary(c);
	else if (c->role == ROLE_STANDBY || c->role == ROLE_QUARANTINED)
		check_standby(c);
}

/* --- one call ------------------------------------------------------------------------------------------------------------- */

/* Until it works again the disk is tried once a second, last of all in a list. */
static void probe_disk(struct core *c)
{
	if (!c->disk_bad)
		return;
	if (c->now >= c->disk_probe) {
		c->disk_probe = c->now + US_PER_SEC;
		persist(c);
	}
	alarm_at(c, c->disk_probe);
}

static void evaluate(struct core *c)
{
	check_lease(c);
	check_boot(c);
	check_attempt(c);
	check_flap(c);
	check_servers(c);
	run_command(c);
	plan_run(c);
	sync_run(c);
	run_register(c);
	run_witness(c);
	run_fence(c);
	run_claim(c);
	gate_follow(c);
	beat(c);
	probe_disk(c);
}

void core_handle(struct core *c, const struct core_event *ev, us_t now, struct core_out *out)
{
	out->n = 0;
	c->out = out;
	if (now > c->now)
		c->now = now;
	if (ev->kind != EV_DISK_FAILED) {
		if (c->persisting)
			c->disk_bad = false;
		c->before = c->disk;
		c->answered = 0;
	}
	c->persisting = false;
	if (c->stopped && ev->kind == EV_DISK_FAILED) {
		act(c, ACT_STOPPED); /* it stood in the list that was cut short */
	} else if (!c->stopped) {
		event_table[ev->kind](c, ev);
		for (int i = 0; i < EVALUATIONS; i++) {
			c->again = false;
			c->wake = US_NEVER;
			evaluate(c);
			if (!c->again)
				break;
		}
		if (c->again)
			c->wake = c->now;
	}
	c->out = NULL;
}

us_t core_wake(const struct core *c)
{
	return c->stopped ? US_NEVER : c->wake;
}
