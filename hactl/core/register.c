/* register.c - attempts at the arbiter's register. One under way at a time; after arbiter_timeout its outcome is unknown
 * and whatever is read next settles it by the attempt's nonce, the lease counting from when that attempt was sent.
 */
#include "hactl/core/inside.h"

bool arbiter_used(const struct core *c)
{
	return c->conf.mode == CORE_ARBITER;
}

static bool silent(const struct core *c)
{
	return c->now - c->acked > c->silence;
}

/* --- sending ------------------------------------------------------------------------------------------------------------- */

static struct attempt *attempt(struct core *c, enum try_kind kind)
{
	struct attempt *t = &c->try;

	t->id = ++c->last_id;
	t->kind = kind;
	t->sent = c->now;
	t->rev = c->rev;
	alarm_at(c, c->now + c->conf.arbiter_timeout);
	return t;
}

static void read_register(struct core *c)
{
	attempt(c, TRY_READ);
	act(c, ACT_REG_READ)->id = c->try.id;
}

static void cas(struct core *c, enum try_kind kind, enum reg_mode mode, struct sync_record sync)
{
	struct attempt *t = attempt(c, kind);
	struct core_action *a;

	t->value.holder = (int8_t)me_of(c);
	t->value.mode = (uint8_t)mode;
	t->value.term = c->disk.term;
	t->value.nonce = c->inc + ++c->tries * 0x9E3779B97F4A7C15u;
	t->value.sync = sync;
	a = act(c, ACT_REG_CAS);
	a->id = t->id;
	a->rev = c->rev;
	a->value = t->value;
}

static struct sync_record no_record(uint64_t seq)
{
	return (struct sync_record){ .in_sync = false, .standby = NOBODY, .seq = seq };
}

/* swap of the model: solo asks for a lease, peer gives the register's lease up before it says so. */
void swap_register(struct core *c, enum reg_mode mode)
{
	struct sync_record next = sync_next(c);

	if (c->try.id)
		return;
	if (mode == REG_PEER) {
		if (!core_broken.mode_drop) {
			c->lease_arb = -1;
			gate_follow(c);
		}
		c->solo = false;
		c->void_at = c->now;
	} else {
		c->lease_try = c->now + c->conf.lease;
	}
	if (next.in_sync)
		c->sync_maybe = true;
	if (next.seq > c->sync_seq)
		c->sync_seq = next.seq;
	cas(c, TRY_SWAP, mode, next);
}

/* --- what an answer shows -------------------------------------------------------------------------------------------------- */

static void learn(struct core *c, int64_t rev, const struct reg_value *v)
{
	if (!c->reg_at || rev != c->rev)
		c->watch_at = c->now;
	c->reg_known = true;
	c->rev = rev;
	c->reg = *v;
	if (!rev) {
		memset(&c->reg, 0, sizeof(c->reg));
		c->reg.holder = NOBODY;
	}
	c->reg_at = c->now;
	if (rev && c->reg.holder == me_of(c) && c->reg.term == c->disk.term && c->reg.sync.seq > c->sync_seq)
		c->sync_seq = c->reg.sync.seq;
}

/* The swap t of ours stands in the register (told so, or found there by its nonce). */
static void swap_won(struct core *c, const struct attempt *t)
{
	us_t from = core_broken.lease_from_answer ? c->now : t->sent;
	us_t lease = from + c->conf.lease;
	bool current = t->value.term == c->disk.term && c->disk.voted == me_of(c) && c->disk.released < c->disk.term;

	if (!current || t->sent < c->void_at)
		return;
	if (c->holding) {
		if (t->value.mode == REG_SOLO) {
			c->solo = true;
			c->lease_arb = max_us(c->lease_arb, lease);
		}
		sync_written(c, &t->value.sync);
		return;
	}
	if (c->now >= lease || t->kind == TRY_SWAP || c->role == ROLE_DEMOTING)
		return; /* demoting: the term was won another way meanwhile, and failed; it is asked for again when all is shut */
	if (t->kind == TRY_BID) {
		take_term(c, from, true);
		if (!c->holding)
			return;
		sync_written(c, &t->value.sync);
		role_event(c, RE_WON, "the arbiter gave term %llu to %s", (unsigned long long)c->disk.term, my_name(c));
	} else if (resume_candidate(c)) {
		resume_term(c);
		c->solo = true;
		c->lease_arb = c->lease_try = lease;
		c->acked = c->now;
		sync_written(c, &t->value.sync);
		role_event(c, RE_RESUMED, "the arbiter confirmed term %llu", (unsigned long long)c->disk.term);
	}
}

/* An ambiguous swap of ours that turns out to have happened. */
static void settle(struct core *c)
{
	for (size_t i = 0; i < PAST_TRIES; i++) {
		struct attempt *t = &c->past[i];

		if (!t->id || !c->rev || t->value.nonce != c->reg.nonce || c->reg.holder != me_of(c) ||
			t->value.term != c->reg.term || t->value.mode != c->reg.mode)
			continue;
		t->id = 0;
		swap_won(c, t);
	}
}

static void overtaken(struct core *c)
{
	bool newer = c->reg.term > c->disk.term || (c->reg.term == c->disk.term && c->reg.holder != me_of(c));

	if (c->holding && c->rev && newer)
		role_event(c, RE_HIGHER, "the arbiter has given term %llu to %s", (unsigned long long)c->reg.term,
			c->reg.holder == other_of(c) ? peer_name(c) : "another");
}

static void forget(struct core *c)
{
	if (c->try.kind != TRY_READ) {
		c->past[c->past_next] = c->try;
		c->past_next = (c->past_next + 1) % PAST_TRIES;
	}
	c->try.id = 0;
	c->try_after = c->try.sent + c->conf.interval; /* an arbiter that refuses at once is not asked without pause */
	c->arb_heard = true;
	c->arb_down = true;
}

void on_register(struct core *c, const struct core_event *ev)
{
	struct attempt t = c->try;

	if (!t.id || ev->reg.id != t.id)
		return; /* too late: it was given up; reading settles it */
	if (ev->reg.outcome == REG_UNKNOWN) {
		forget(c);
		return;
	}
	c->try.id = 0;
	c->arb_heard = true;
	c->arb_down = false;
	if (t.kind != TRY_READ && ev->reg.outcome == REG_OK) {
		learn(c, ev->reg.rev, &t.value);
		if (t.kind == TRY_BID && core_broken.vote_after_bid) {
			c->disk.term = t.value.term;
			c->disk.voted = (int8_t)me_of(c);
			persist(c);
		}
		swap_won(c, &t);
		return;
	}
	learn(c, ev->reg.rev, &ev->reg.value);
	settle(c);
	overtaken(c);
}

void check_attempt(struct core *c)
{
	if (!c->try.id)
		return;
	if (c->now - c->try.sent >= c->conf.arbiter_timeout)
		forget(c);
	else
		alarm_at(c, c->try.sent + c->conf.arbiter_timeout);
}

/* --- the holder's needs ------------------------------------------------------------------------------------------------------- */

static bool poll_due(struct core *c, us_t span)
{
	us_t due = c->reg_at + span;

	if (c->arb_heard && c->now < due && c->reg_known) {
		alarm_at(c, due);
		return false;
	}
	return true;
}

static us_t idle_poll(const struct core *c)
{
	return max_us(c->conf.lease, US_PER_SEC);
}

static void hold_register(struct core *c)
{
	bool peer_ok = !silent(c) && c->lease_peer > c->now && (c->lease_peer >= c->lease_try || core_broken.mode_drop);
	us_t renew_at = c->lease_arb - c->conf.lease * 7 / 10;
	bool solo_due = silent(c) && (!c->solo || c->now > renew_at);
	bool ours = c->reg_known && c->rev && c->reg.holder == me_of(c) && c->reg.term == c->disk.term;
	bool write = !ours || sync_write_wanted(c);

	if (!silent(c))
		alarm_at(c, c->acked + c->silence + 1);
	else if (c->solo)
		alarm_at(c, max_us(renew_at, c->now) + 1);
	if (!c->reg_known)
		read_register(c);
	else if (solo_due)
		swap_register(c, REG_SOLO);
	else if (write || (c->solo && peer_ok))
		swap_register(c, peer_ok ? REG_PEER : REG_SOLO);
	else if (poll_due(c, idle_poll(c)))
		read_register(c);
}

/* --- the others' needs ---------------------------------------------------------------------------------------------------------- */

/* The solo entry of the other is safe to take when it has stood unchanged for W since we first saw it. */
static bool watched(struct core *c)
{
	bool solo = c->rev && c->reg.holder == other_of(c) && c->reg.mode == REG_SOLO;
	us_t end = c->watch_at + c->promise_span;

	if (!solo || core_broken.solo_unwatched || (released_to_me(c) && c->reg.term <= c->peer_released))
		return true;
	if (c->now >= end)
		return true;
	alarm_at(c, end);
	return false;
}

static void bid(struct core *c)
{
	uint64_t term = (c->disk.term > c->reg.term ? c->disk.term : c->reg.term) + 1;
	struct sync_record sync = core_broken.keep_sync ? c->reg.sync : no_record(1);

	if (core_broken.vote_after_bid) {
		cas(c, TRY_BID, REG_SOLO, sync);
		c->try.value.term = term;
		c->out->act[c->out->n - 1].value.term = term;
		return;
	}
	if (!store_bid(c, term))
		return;
	cas(c, TRY_BID, REG_SOLO, sync);
}

static void seek_register(struct core *c)
{
	char why[SENTENCE_MAX];
	us_t quiet = c->now - c->heard;
	bool resume = resume_candidate(c);
	bool want = may_bid(c);
	us_t free_at = max_us(c->promise, c->heard + c->suspicion + 1);

	if (c->reg_known && resume && c->reg.holder == me_of(c) && c->reg.term == c->disk.term) {
		cas(c, TRY_RESUME, REG_SOLO, core_broken.keep_sync ? c->reg.sync : no_record(c->sync_seq + 1));
		return;
	}
	if (want && free_to_bid(c)) {
		if (!c->reg_known || c->arb_down) {
			read_register(c);
		} else if (!watched(c) || !data_gate(c, &c->reg, &c->bid_db_start, why)) {
			if (poll_due(c, c->conf.interval * 2))
				read_register(c);
		} else {
			bid(c);
		}
		return;
	}
	if (want)
		alarm_at(c, free_at);
	if (poll_due(c, (want || resume) && quiet > c->silence ? c->conf.interval * 2 : idle_poll(c)))
		read_register(c);
}

void run_register(struct core *c)
{
	if (!arbiter_used(c) || c->try.id)
		return;
	if (c->now < c->try_after) {
		alarm_at(c, c->try_after);
		return;
	}
	if (c->holding)
		hold_register(c);
	else
		seek_register(c);
}
