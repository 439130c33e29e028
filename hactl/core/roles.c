/* roles.c - ONE total table: in each role, what each role event leads to, and one sentence that says why. The same table
 * drives the core, the log line, the explanation in `hactl status` and the manual page. A cell without a sentence is a
 * hole; tests/unit/test_core_tables.c fails on one. A cell that cannot happen says why; the simulation fails when it does,
 * and when one that can happen never does.
 */
#include "hactl/core/inside.h"

#include <stdarg.h>

static const char *const event_names[ROLE_EVENT_COUNT] = {
	[RE_WON] = "won a term",
	[RE_RESUMED] = "own term confirmed",
	[RE_LOST] = "lease ran out",
	[RE_HIGHER] = "other holds a higher term",
	[RE_PEER_PRIMARY] = "other is primary",
	[RE_WAITED] = "promise time since the start passed",
	[RE_ILL] = "ill, the other can take over",
	[RE_GAVE] = "released in a planned change",
	[RE_WITHDRAW] = "ends without a successor",
	[RE_REOPEN] = "own database found shut",
	[RE_STRAY] = "own database or address found open",
	[RE_PLAN_OK] = "plan done",
	[RE_PLAN_FAILED] = "plan failed",
	[RE_DIVERGED] = "diverged",
	[RE_REJOIN] = "divergence dealt with",
};
_Static_assert(ARRAY_LEN(event_names) == ROLE_EVENT_COUNT, "every role event has its name");

/* --- handlers: what a change of role sets going ------------------------------------------------------------------------ */

static void h_nothing(struct core *c)
{
	(void)c;
}

/* Authority is held; databases are opened once nothing in the register says the standby holds what is written then. */
static void h_promote(struct core *c)
{
	plan_cancel(c);
	c->release_after = false;
	c->takeover_waits = true;
	c->again = true;
}

static void h_demote(struct core *c)
{
	drop_authority(c);
	plan_start(c, PLAN_DEMOTION);
}

/* Gives up with a word: only the demotion's success gives it (see h_demoted). */
static void word_of_primary(struct core *c)
{
	c->release_ok = c->conf.lossless ? sync_in(c) : true;
	c->release_word = c->conf.lossless ? WORD_BOUND : WORD_ANY;
	c->release_db = c->sync_db_start;
}

static void h_give_up(struct core *c)
{
	word_of_primary(c);
	c->release_after = true;
	h_demote(c);
}

/* The takeover failed before the gate opened: whatever the other knew of the data still stands, if it held the term before. */
static void h_failed_takeover(struct core *c)
{
	c->hold_off = c->now + back_off(c->failures++);
	c->release_ok = c->pristine;
	c->release_word = WORD_AS_YOU_WERE;
	c->release_after = c->pristine && peer_alive(c) && (c->peer.flags & FLAG_READY) != 0;
	h_demote(c);
}

static void h_withdraw(struct core *c)
{
	word_of_primary(c);
	c->release_after = peer_alive(c);
	h_demote(c);
}

static void h_serve(struct core *c)
{
	c->shut_since = US_NEVER;
	c->next_beat = c->now;
	if (c->automatic && c->conf.flap_window)
		c->flap_until = c->now + c->conf.flap_window;
	c->automatic = false;
}

static void h_demoted(struct core *c)
{
	if (c->release_after)
		give_word(c);
	c->follow_at = c->now;
	c->follow_tries = 0;
}

/* Not confirmed shut: no word may be given. The standby's own cleaning tries again. */
static void h_undemoted(struct core *c)
{
	bool shut = c->facts.known && c->facts.frozen && c->facts_at > c->run.started && !c->facts.address_held;

	if (c->release_after && shut)
		give_word(c);
	c->release_after = false;
	c->stray_at = c->now + back_off(c->stray_tries++);
}

static void h_clean(struct core *c)
{
	if (!c->disk.term || first_start(c))
		return;	   /* first start: nothing is gated, frozen or removed */
	core_gate_shut(c); /* an earlier start's lease may still keep it open */
	if (c->facts.known && !c->facts.writable && !c->facts.address_held)
		return;
	plan_start(c, PLAN_DEMOTION);
}

static void h_reopen(struct core *c)
{
	core_gate_shut(c); /* what comes back may come back unprotected; the plan opens it last */
	c->gate_on = false;
	sync_must_drop(c);
	h_promote(c);
}

static void h_rejoin(struct core *c)
{
	c->follow_at = c->now;
	c->follow_tries = 0;
}

/* --- the table ---------------------------------------------------------------------------------------------------------------- */

struct cell {
	enum role next;
	void (*handler)(struct core *c);
	const char *why;
	bool never; /* cannot happen, `why` says why; should it all the same, next and handler are the safe answer */
};

#define NEVER(role, fn, text)                                                                                          \
	{                                                                                                              \
		role, fn, text, true                                                                                   \
	}
#define STAY(role, text)                                                                                               \
	{                                                                                                              \
		role, h_nothing, text                                                                                  \
	}

static const struct cell table[ROLE_COUNT][ROLE_EVENT_COUNT] = {
	[ROLE_STARTING] = {
		[RE_WON] = NEVER(ROLE_PROMOTING, h_promote, "bids are made standing by, a promise time after the start"),
		[RE_RESUMED] = { ROLE_PROMOTING, h_promote,
			"primary before the restart and confirmed again: everything is verified in place" },
		[RE_LOST] = NEVER(ROLE_STARTING, h_nothing, "nothing is held before the first confirmation"),
		[RE_HIGHER] = NEVER(ROLE_STANDBY, h_clean, "only a node that holds a term stands down for a higher one"),
		[RE_PEER_PRIMARY] = { ROLE_STANDBY, h_clean, "the other node is primary: this one stands by" },
		[RE_WAITED] = { ROLE_STANDBY, h_clean,
			"nobody has confirmed this node since it started: it stands by, without address and without writes" },
		[RE_ILL] = { ROLE_DEMOTING, h_aside,
			"positive evidence beats silence: this start cannot go on with its term, so it shuts everything and says so" },
		[RE_GAVE] = NEVER(ROLE_STARTING, h_nothing, "nothing is held that could be released"),
		[RE_WITHDRAW] = NEVER(ROLE_STARTING, h_nothing, "nothing is held that could be withdrawn"),
		[RE_REOPEN] = NEVER(ROLE_STARTING, h_nothing, "databases are opened under authority only"),
		[RE_STRAY] = NEVER(ROLE_STANDBY, h_clean, "what is open may still be confirmed: it is looked at when standing by"),
		[RE_PLAN_OK] = NEVER(ROLE_STARTING, h_nothing, "no plan runs before the first confirmation"),
		[RE_PLAN_FAILED] = NEVER(ROLE_STARTING, h_nothing, "no plan runs before the first confirmation"),
		[RE_DIVERGED] = NEVER(ROLE_QUARANTINED, h_nothing, "looked at when standing by"),
		[RE_REJOIN] = STAY(ROLE_STARTING, "it will follow as soon as it knows whom"),
	},
	[ROLE_STANDBY] = {
		[RE_WON] = { ROLE_PROMOTING, h_promote, "a new term is held: its databases are opened, then the address" },
		[RE_RESUMED] = { ROLE_PROMOTING, h_promote,
			"the term was confirmed again before anybody took it: this node goes on as primary" },
		[RE_LOST] = NEVER(ROLE_STANDBY, h_nothing, "a standby holds no lease"),
		[RE_HIGHER] = NEVER(ROLE_STANDBY, h_nothing, "only a node that holds a term stands down for a higher one"),
		[RE_PEER_PRIMARY] = NEVER(ROLE_STANDBY, h_nothing, "it stands by already, whoever is primary"),
		[RE_WAITED] = NEVER(ROLE_STANDBY, h_nothing, "the wait is over when it stands by"),
		[RE_ILL] = NEVER(ROLE_STANDBY, h_nothing, "an ill standby has nothing to hand over; it says so and does not bid"),
		[RE_GAVE] = NEVER(ROLE_STANDBY, h_nothing, "nothing is held that could be released"),
		[RE_WITHDRAW] = NEVER(ROLE_STANDBY, h_nothing, "nothing is held that could be withdrawn"),
		[RE_REOPEN] = NEVER(ROLE_STANDBY, h_nothing, "a standby's databases stay shut"),
		[RE_STRAY] = { ROLE_STANDBY, h_clean, "this node is not primary: what was found open is shut at once" },
		[RE_PLAN_OK] = { ROLE_STANDBY, h_demoted, "what was open is shut" },
		[RE_PLAN_FAILED] = { ROLE_STANDBY, h_undemoted, "it could not be shut: tried again soon" },
		[RE_DIVERGED] = { ROLE_QUARANTINED, h_nothing, "rows here that the primary lacks: a person decides before they go" },
		[RE_REJOIN] = { ROLE_STANDBY, h_rejoin, "already standing by: following is tried again" },
	},
	[ROLE_PROMOTING] = {
		[RE_WON] = NEVER(ROLE_PROMOTING, h_promote, "no bid is open while a term is held"),
		[RE_RESUMED] = NEVER(ROLE_PROMOTING, h_nothing, "authority is held already, nobody is asked for it"),
		[RE_LOST] = { ROLE_DEMOTING, h_demote, "authority ended before the address was up: everything is shut again" },
		[RE_HIGHER] = { ROLE_DEMOTING, h_demote, "the other node holds a newer term: everything is shut again" },
		[RE_PEER_PRIMARY] = NEVER(ROLE_DEMOTING, h_demote, "whoever holds a term learns of the other primary by its higher term"),
		[RE_WAITED] = NEVER(ROLE_PROMOTING, h_nothing, "only a node that has not been confirmed waits"),
		[RE_ILL] = NEVER(ROLE_DEMOTING, h_failed_takeover, "a service that dies fails the takeover itself"),
		[RE_GAVE] = NEVER(ROLE_DEMOTING, h_demote, "a planned change starts from a primary"),
		[RE_WITHDRAW] = { ROLE_DEMOTING, h_failed_takeover, "hactl is being stopped: everything is shut again" },
		[RE_REOPEN] = NEVER(ROLE_PROMOTING, h_nothing, "databases are being opened already"),
		[RE_STRAY] = NEVER(ROLE_PROMOTING, h_nothing, "databases are being opened under authority: open is what they should be"),
		[RE_PLAN_OK] = { ROLE_PRIMARY, h_serve, "databases verified, address up, gate open" },
		[RE_PLAN_FAILED] = { ROLE_DEMOTING, h_failed_takeover, "the takeover failed: no address here, everything is shut again" },
		[RE_DIVERGED] = NEVER(ROLE_PROMOTING, h_nothing, "a node that is being promoted compares itself with nobody"),
		[RE_REJOIN] = STAY(ROLE_PROMOTING, "a node that is being promoted follows nobody"),
	},
	[ROLE_PRIMARY] = {
		[RE_WON] = NEVER(ROLE_PROMOTING, h_promote, "no bid is open while a term is held"),
		[RE_RESUMED] = NEVER(ROLE_PRIMARY, h_nothing, "authority is held already, nobody is asked for it"),
		[RE_LOST] = { ROLE_DEMOTING, h_demote, "authority ended: the gate is shut, the address and writes go" },
		[RE_HIGHER] = { ROLE_DEMOTING, h_demote, "the other node holds a newer term: this one stands down at once" },
		[RE_PEER_PRIMARY] = NEVER(ROLE_DEMOTING, h_demote, "whoever holds a term learns of the other primary by its higher term"),
		[RE_WAITED] = NEVER(ROLE_PRIMARY, h_nothing, "only a node that has not been confirmed waits"),
		[RE_ILL] = { ROLE_DEMOTING, h_give_up, "positive evidence beats silence: shut first, then hand over by word" },
		[RE_GAVE] = { ROLE_DEMOTING, h_demote, "the planned change is past its point of no return: the rest is shut" },
		[RE_WITHDRAW] = { ROLE_DEMOTING, h_withdraw, "hactl is being stopped and nobody can take over: everything is shut" },
		[RE_REOPEN] = { ROLE_PROMOTING, h_reopen, "still primary: its databases are verified and opened again" },
		[RE_STRAY] = NEVER(ROLE_PRIMARY, h_nothing, "databases and address of a primary are meant to be open"),
		[RE_PLAN_OK] = NEVER(ROLE_PRIMARY, h_nothing, "a primary's plan is a planned change: it ends with the word of release"),
		[RE_PLAN_FAILED] = NEVER(ROLE_PRIMARY, h_nothing, "a primary's plan is a planned change: it is undone, not failed"),
		[RE_DIVERGED] = NEVER(ROLE_PRIMARY, h_nothing, "the primary's data are the reference"),
		[RE_REJOIN] = STAY(ROLE_PRIMARY, "the primary follows nobody"),
	},
	[ROLE_DEMOTING] = {
		[RE_WON] = NEVER(ROLE_PROMOTING, h_promote, "a bid that is won late counts only when everything is shut"),
		[RE_RESUMED] = NEVER(ROLE_PROMOTING, h_promote, "no confirmation is asked for before everything is shut"),
		[RE_LOST] = NEVER(ROLE_DEMOTING, h_nothing, "authority is given up already"),
		[RE_HIGHER] = NEVER(ROLE_DEMOTING, h_nothing, "authority is given up already"),
		[RE_PEER_PRIMARY] = NEVER(ROLE_DEMOTING, h_nothing, "it stands down already, whoever is primary"),
		[RE_WAITED] = NEVER(ROLE_DEMOTING, h_nothing, "only a node that has not been confirmed waits"),
		[RE_ILL] = NEVER(ROLE_DEMOTING, h_nothing, "authority is given up already"),
		[RE_GAVE] = NEVER(ROLE_DEMOTING, h_nothing, "a planned change starts from a primary"),
		[RE_WITHDRAW] = NEVER(ROLE_DEMOTING, h_nothing, "authority is given up already"),
		[RE_REOPEN] = NEVER(ROLE_DEMOTING, h_nothing, "databases are being shut"),
		[RE_STRAY] = NEVER(ROLE_DEMOTING, h_nothing, "what is open is being shut already"),
		[RE_PLAN_OK] = { ROLE_STANDBY, h_demoted, "address gone, writes shut: standing by" },
		[RE_PLAN_FAILED] = { ROLE_STANDBY, h_undemoted,
			"not everything is confirmed shut: standing by without a word of release, and tried again" },
		[RE_DIVERGED] = NEVER(ROLE_DEMOTING, h_nothing, "looked at when standing by"),
		[RE_REJOIN] = STAY(ROLE_DEMOTING, "it will follow when it stands by"),
	},
	[ROLE_QUARANTINED] = {
		[RE_WON] = { ROLE_PROMOTING, h_promote, "the operator forced the takeover: the rows here become the reference" },
		[RE_RESUMED] = NEVER(ROLE_PROMOTING, h_promote, "a quarantined node asks nobody to confirm it"),
		[RE_LOST] = NEVER(ROLE_QUARANTINED, h_nothing, "a quarantined node holds no lease"),
		[RE_HIGHER] = NEVER(ROLE_QUARANTINED, h_nothing, "only a node that holds a term stands down for a higher one"),
		[RE_PEER_PRIMARY] = NEVER(ROLE_QUARANTINED, h_nothing, "the primary is not followed before the rows are dealt with"),
		[RE_WAITED] = NEVER(ROLE_QUARANTINED, h_nothing, "the wait is over before a node is quarantined"),
		[RE_ILL] = NEVER(ROLE_QUARANTINED, h_nothing, "a quarantined node has nothing to hand over"),
		[RE_GAVE] = NEVER(ROLE_QUARANTINED, h_nothing, "nothing is held that could be released"),
		[RE_WITHDRAW] = NEVER(ROLE_QUARANTINED, h_nothing, "nothing is held that could be withdrawn"),
		[RE_REOPEN] = NEVER(ROLE_QUARANTINED, h_nothing, "a quarantined node's databases stay shut"),
		[RE_STRAY] = { ROLE_QUARANTINED, h_clean, "this node is not primary: what was found open is shut at once" },
		[RE_PLAN_OK] = { ROLE_QUARANTINED, h_demoted, "what was open is shut; the rows are still to be dealt with" },
		[RE_PLAN_FAILED] = { ROLE_QUARANTINED, h_undemoted, "it could not be shut: tried again soon" },
		[RE_DIVERGED] = NEVER(ROLE_QUARANTINED, h_nothing, "already quarantined"),
		[RE_REJOIN] = { ROLE_STANDBY, h_rejoin, "the divergent rows are dealt with: it stands by and follows" },
	},
};

/* --- calls ----------------------------------------------------------------------------------------------------------------------- */

static const char *kind_of_change(const struct core *c, enum role_event ev)
{
	if (ev == RE_RESUMED)
		return "resume";
	if (ev == RE_REOPEN)
		return "reopen";
	if (ev == RE_WON && c->disk.term == 1)
		return "first start";
	if (ev == RE_WON && c->won_by_word && !c->won_from_ill)
		return "switchover";
	return ev == RE_WON ? "failover" : "demotion";
}

static void begin_change(struct core *c, enum role_event ev, enum role next, const char *why)
{
	if (ev == RE_WON && c->changing && c->fence_term && c->fence_term == c->disk.term)
		return; /* it began with the fencing */
	if (next == ROLE_PROMOTING) {
		bool first = ev == RE_WON && c->disk.term == 1;
		bool fresh = ev == RE_WON && c->won_from != NOBODY;

		change_begin(c, kind_of_change(c, ev),
			first	? NOBODY
			: fresh ? c->won_from
				: me_of(c),
			me_of(c), ev == RE_WON && c->fault_at > 0 ? c->fault_at : c->now, why);
	} else if (next == ROLE_DEMOTING && ev != RE_GAVE) {
		change_begin(c, "demotion", me_of(c), NOBODY, c->now, why);
	}
}

void role_event(struct core *c, enum role_event ev, const char *fmt, ...)
{
	enum role from = c->role;
	const struct cell *cell = &table[from][ev];
	char why[SENTENCE_MAX] = "";
	va_list ap;

	if (c->reached[from][ev] < UINT8_MAX)
		c->reached[from][ev]++;
	if (fmt) {
		va_start(ap, fmt);
		vsnprintf(why, sizeof(why), fmt, ap);
		va_end(ap);
	}
	if (cell->next != from) {
		struct core_action *a;

		/* the gate goes first of all, whatever else a demotion brings */
		if (cell->next == ROLE_DEMOTING && c->holding)
			core_gate_shut(c);
		begin_change(c, ev, cell->next, why[0] ? why : cell->why);
		a = act(c, ACT_ROLE);
		a->from = from;
		a->to = cell->next;
		if (why[0])
			snprintf(a->text, sizeof(a->text), "%.120s: %.120s", why, cell->why);
		else
			say(a->text, "%s", cell->why);
		c->role = cell->next;
		c->role_since = c->now;
		c->again = true;
	}
	cell->handler(c);
}

size_t core_role_events(void)
{
	return ROLE_EVENT_COUNT;
}

const char *core_role_event_name(size_t event)
{
	return event < ROLE_EVENT_COUNT ? event_names[event] : "?";
}

const char *core_role_sentence(enum role r, size_t event)
{
	const char *why = (unsigned)r < ROLE_COUNT && event < ROLE_EVENT_COUNT ? table[r][event].why : NULL;

	return why ? why : "";
}

bool core_role_possible(enum role r, size_t event)
{
	return (unsigned)r < ROLE_COUNT && event < ROLE_EVENT_COUNT && !table[r][event].never;
}

unsigned core_role_reached(const struct core *c, enum role r, size_t event)
{
	return (unsigned)r < ROLE_COUNT && event < ROLE_EVENT_COUNT ? c->reached[r][event] : 0;
}
