/* command.c - what operators ask for: switchover, forced failover, pause, resume, stop, rejoin. */
#include "hactl/core/inside.h"

#include <stdarg.h>

/* --- answers -------------------------------------------------------------------------------------------------------------- */

static void answer(struct core *c, uint32_t id, enum step_outcome outcome, const char *text)
{
	struct core_action *a;

	if (!id)
		return;
	a = act(c, ACT_DONE);
	a->id = id;
	a->outcome = outcome;
	say(a->text, "%s", text);
	c->answered = id;
}

void command_progress(struct core *c, enum step_kind step, us_t took, enum step_outcome outcome, const char *text)
{
	struct core_action *a;

	if (c->cmd.stage == STAGE_NONE || !c->cmd.c.id)
		return;
	a = act(c, ACT_PROGRESS);
	a->id = c->cmd.c.id;
	a->step = step;
	a->took_us = took;
	a->outcome = outcome;
	say(a->text, "%s", text);
}

static void stop_now(struct core *c)
{
	act(c, ACT_STOPPED);
	c->stopped = true;
}

void command_done(struct core *c, enum step_outcome outcome, const char *fmt, ...)
{
	char text[SENTENCE_MAX];
	struct core_command cmd = c->cmd.c;
	va_list ap;

	if (c->cmd.stage == STAGE_NONE)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	c->cmd.stage = STAGE_NONE;
	c->forced = false;
	answer(c, cmd.id, outcome, text);
	if (outcome != STEP_OK && !cmd.id && cmd.kind == CMD_SWITCHOVER)
		say(c->refusal, "%s", text); /* the other's operator asked */
	note(c, outcome == STEP_OK ? 5 : 4, "%s", text);
	if (cmd.kind == CMD_STOP)
		stop_now(c);
}

/* --- can the other take over by our word? ------------------------------------------------------------------------------------ */

bool can_hand_over(const struct core *c, bool planned, char why[SENTENCE_MAX])
{
	const struct msg *p = &c->peer;
	bool following = !has_databases(c) || (p->flags & FLAG_FOLLOWING);

	why[0] = '\0';
	if (!peer_alive(c))
		say(why, "%s does not answer", peer_name(c));
	else if (p->flags & FLAG_STOPPING)
		say(why, "hactl is being stopped on %s", peer_name(c));
	else if (!c->stopping && config_differs(c, why))
		return false; /* a stop hands over all the same: otherwise nobody would serve while a file is changed */
	else if (!(p->flags & FLAG_READY) || (p->flags & FLAG_ILL))
		say(why, "%s is not ready: %.180s", peer_name(c),
			p->note[0] ? p->note : "its servers cannot be promoted");
	else if (p->term != c->disk.term || p->role != ROLE_STANDBY)
		say(why, "%s does not stand by (it is %s)", peer_name(c),
			p->role < ROLE_COUNT ? role_names[p->role] : "unknown");
	else if (planned && c->facts.shut)
		say(why, "a database of %s is shut for writes at present", my_name(c));
	else if (planned && !following)
		say(why, "%s does not replicate from %s", peer_name(c), my_name(c));
	else if (!planned && c->disk.paused)
		say(why, "automatic changes are paused");
	else if (!planned && flap_held(c, why))
		return false;
	else if (!planned && c->conf.lossless && !sync_in(c))
		say(why, "%s is not in sync: it may lack acknowledged writes", peer_name(c));
	else
		return true;
	return false;
}

/* --- switchover ----------------------------------------------------------------------------------------------------------------- */

static void begin(struct core *c, const struct core_command *cmd)
{
	c->cmd.stage = STAGE_RUNNING;
	c->cmd.c = *cmd;
	c->cmd.begun = c->now;
	c->cmd.from_term = c->disk.term;
}

static void start_switchover(struct core *c, const struct core_command *cmd)
{
	begin(c, cmd);
	c->cmd.c.to = (int8_t)other_of(c);
	c->refusal[0] = '\0';
	change_begin(
		c, "switchover", me_of(c), other_of(c), c->now, cmd->reason[0] ? cmd->reason : "asked by the operator");
	plan_start(c, PLAN_SWITCHOVER);
}

/* Everything is shut, frozen and reached: past the point of no return. */
void switchover_concluded(struct core *c, bool ok, const char *text)
{
	if (!ok) {
		say(c->cmd.c.reason, "%s", text);
		plan_undo(c);
		return;
	}
	change_end(c, true);
	c->release_ok = true;
	c->release_word = WORD_ANY;
	drop_authority(c);
	give_word(c);
	c->cmd.stage = STAGE_WAIT_PEER;
	role_event(c, RE_GAVE, "switchover to %s", peer_name(c));
}

void undo_concluded(struct core *c, bool ok, const char *text)
{
	bool stop = c->cmd.c.kind == CMD_STOP;

	change_end(c, false);
	if (!ok)
		role_event(c, RE_REOPEN, "taking the switchover back failed (%s)", text);
	if (stop && ok)
		role_event(c, RE_WITHDRAW, "hactl is being stopped and the hand-over failed: %s", c->cmd.c.reason);
	else if (!stop)
		command_done(c, STEP_FAILED, "taken back, %s stays primary: %.180s", my_name(c), c->cmd.c.reason);
}

static bool busy(struct core *c, const struct core_command *cmd)
{
	if (c->cmd.stage == STAGE_NONE)
		return false;
	answer(c, cmd->id, STEP_FAILED, "another command is under way: wait for its end");
	return true;
}

static void cmd_switchover(struct core *c, const struct core_command *cmd)
{
	char why[SENTENCE_MAX], text[SENTENCE_MAX];
	bool to_me = cmd->to == me_of(c) || (cmd->to == NOBODY && !c->holding);

	if (busy(c, cmd))
		return;
	if (to_me && c->role == ROLE_PRIMARY) {
		answer(c, cmd->id, STEP_OK, "already primary: nothing to do");
	} else if (to_me && !c->holding && peer_serves(c)) {
		if (!bid_gate(c, why))
			answer(c, cmd->id, STEP_FAILED, why);
		else
			begin(c, cmd); /* FLAG_WANT asks the primary */
	} else if (to_me) {
		answer(c, cmd->id, STEP_FAILED, "no primary answers that could hand over: `hactl status` says why");
	} else if (c->role != ROLE_PRIMARY && peer_serves(c)) {
		answer(c, cmd->id, STEP_OK, "already primary there: nothing to do");
	} else if (c->role != ROLE_PRIMARY) {
		answer(c, cmd->id, STEP_FAILED, "this node is not primary and no primary answers");
	} else if (plan_busy(c) || c->facts.ill) {
		answer(c, cmd->id, STEP_FAILED, "a change is under way on this node: try again in a moment");
	} else if (!can_hand_over(c, true, why)) {
		say(text, "refused: %.240s", why);
		answer(c, cmd->id, STEP_FAILED, text);
	} else {
		start_switchover(c, cmd);
	}
}

/* The standby's operator wants it there. One attempt a wish; why not goes back in msg.note. */
static void on_want(struct core *c, bool wants)
{
	struct core_command cmd = { .kind = CMD_SWITCHOVER, .to = (int8_t)other_of(c), .timeout = 30 * US_PER_SEC };
	char why[SENTENCE_MAX];

	if (!wants) {
		c->want_seen = false;
		c->refusal[0] = '\0';
	}
	if (!wants || c->want_seen || c->role != ROLE_PRIMARY || c->cmd.stage != STAGE_NONE)
		return;
	c->want_seen = true;
	say(cmd.reason, "asked on %s", peer_name(c));
	if (plan_busy(c))
		say(c->refusal, "refused: a change is under way on %s", my_name(c));
	else if (!can_hand_over(c, true, why))
		say(c->refusal, "refused: %.240s", why);
	else
		start_switchover(c, &cmd);
}

/* --- failover --force ---------------------------------------------------------------------------------------------------------------- */

static void cmd_failover(struct core *c, const struct core_command *cmd)
{
	if (busy(c, cmd))
		return;
	if (cmd->to != NOBODY && cmd->to != me_of(c))
		answer(c, cmd->id, STEP_FAILED, "a forced takeover is asked on the node that shall take over");
	else if (c->role == ROLE_PRIMARY)
		answer(c, cmd->id, STEP_OK, "already primary: nothing to do");
	else if (c->holding)
		answer(c, cmd->id, STEP_FAILED, "this node is taking over already: wait for it");
	else if (peer_serves(c))
		answer(c, cmd->id, STEP_FAILED, "the other node is alive and primary: use `hactl switchover`");
	else {
		begin(c, cmd);
		c->forced = true;
		note(c, 4, "takeover forced by the operator: writes that only %s holds may be lost", peer_name(c));
	}
}

/* Manual mode: the operator's word is the second vote; only the waiting remains. */
static void run_forced(struct core *c)
{
	us_t free_at = max_us(c->promise, c->heard + c->suspicion + 1);

	if (c->role != ROLE_STANDBY && c->role != ROLE_QUARANTINED)
		return;
	if (!c->facts.known || arbiter_used(c) || c->conf.mode == CORE_REFERENCE || plan_busy(c))
		return; /* with a third vote the bid goes its usual way, with fewer gates */
	if (!free_to_bid(c)) {
		alarm_at(c, free_at);
		return;
	}
	c->bid_db_start = 0;
	if (!store_bid(c, term_to_take(c)))
		return;
	take_term(c, c->now, false);
	c->lease_peer = -1; /* nobody promised anything */
	if (c->holding)
		role_event(c, RE_WON, "forced by the operator");
}

/* --- pause --------------------------------------------------------------------------------------------------------------------------------- */

/* The primary's flag is the pair's; a standby stores what it says and acknowledges. A primary relies on the pause only once
 * the standby has acknowledged; a standby gives it up only after the primary has said that it does not rely on it any
 * more. So a cut at any moment leaves at most a pause that lasts too long. */
static void store_pause(struct core *c, bool paused, bool mine, const char *reason)
{
	if (c->disk_bad || (c->disk.paused == paused && c->disk.pause_mine == mine))
		return;
	if (c->disk.paused != paused)
		note(c, 5, "%s: automatic changes are %s%s%s", my_name(c), paused ? "paused" : "resumed",
			reason[0] ? ": " : "", reason);
	/* the primary may rely on it from now on: a takeover forced before does not go on under it */
	if (paused && !c->disk.paused && c->cmd.stage == STAGE_RUNNING && c->cmd.c.kind == CMD_FAILOVER && !c->holding)
		command_done(c, STEP_FAILED,
			"automatic changes were paused meanwhile: force it again when the other is off");
	c->disk.paused = paused;
	c->disk.pause_mine = mine;
	if (paused != (c->disk.pause_reason[0] != '\0') || paused)
		say(c->disk.pause_reason, "%s", paused ? reason : "");
	if (!paused)
		c->peer_pause_ok = false;
	persist(c);
}

static void cmd_pause(struct core *c, const struct core_command *cmd)
{
	char text[SENTENCE_MAX];

	if (c->disk_bad) {
		answer(c, cmd->id, STEP_FAILED, "refused: this node cannot store its state, repair its disk");
		return;
	}
	store_pause(c, true, !c->holding, cmd->reason[0] ? cmd->reason : "asked by the operator");
	c->next_beat = c->now;
	say(text, "paused on %s; %s", my_name(c),
		peer_alive(c) ? "the other node stores it now"
			      : "the other node does not answer and will store it when it does");
	answer(c, cmd->id, STEP_OK, text);
}

/* Would this primary go on without the pause? */
static bool confirmed(const struct core *c)
{
	us_t others = max_us(c->lease_peer, max_us(c->lease_arb, c->lease_ref));

	return c->now < others || (c->conf.mode != CORE_ARBITER && c->conf.mode != CORE_REFERENCE);
}

static void cmd_resume(struct core *c, const struct core_command *cmd)
{
	bool paused = c->disk.paused || (peer_alive(c) && (c->peer.flags & FLAG_PAUSED));
	bool theirs = !c->holding && peer_alive(c) && c->peer.role == ROLE_PRIMARY; /* the primary's word counts */
	char why[SENTENCE_MAX];
	bool held = flap_held(c, why);

	if (busy(c, cmd))
		return;
	if (!paused && held && theirs) {
		begin(c, cmd); /* FLAG_WANT_RESUME asks the primary */
		c->next_beat = c->now;
	} else if (!paused && held) {
		flap_release(c);
		answer(c, cmd->id, STEP_OK, "released: another automatic failover may follow");
	} else if (!paused) {
		answer(c, cmd->id, STEP_OK, "not paused: nothing to do");
	} else if (!peer_alive(c)) {
		answer(c, cmd->id, STEP_FAILED,
			"refused: the other node does not answer, and it may still rely on the pause; resume when it "
			"is back, or run `hactl failover --force` once you made sure that it is off");
	} else if (c->holding && !confirmed(c)) {
		answer(c, cmd->id, STEP_FAILED,
			"refused: nobody else confirms this primary at present, it would have to stop");
	} else {
		begin(c, cmd);
		if (!theirs)
			flap_release(c);
		if (c->holding)
			store_pause(c, false, false, cmd->reason);
		c->next_beat = c->now;
	}
}

static void run_resume(struct core *c)
{
	bool peer_primary =
		c->peer.role == ROLE_PRIMARY || c->peer.role == ROLE_PROMOTING || c->peer.role == ROLE_DEMOTING;

	if (!peer_alive(c))
		return;
	/* two standbys: neither relies on it */
	if (!c->holding && c->disk.paused && !peer_primary && c->peer.role != ROLE_STARTING)
		store_pause(c, false, false, "");
	if (!c->disk.paused && !(c->peer.flags & FLAG_PAUSED) && c->now >= c->flap_until)
		command_done(c, STEP_OK, "resumed on both nodes");
}

/* What the newest message says about pause and switchover. */
void on_wishes(struct core *c, const struct msg *m)
{
	bool newest = m->incarnation == c->peer.incarnation && m->counter == c->peer.counter;
	bool renew = m->kind == MSG_RENEW;

	if (!newest)
		return;
	if (c->holding)
		on_want(c, m->flags & FLAG_WANT);
	if (c->holding && m->flags & FLAG_WANT_RESUME && c->flap_until)
		flap_release(c);
	if (m->flags & FLAG_WANT_PAUSE)
		store_pause(c, true, c->disk.paused && c->disk.pause_mine, "asked on the other node");
	else if (m->flags & FLAG_WANT_RESUME && (c->holding || m->role == ROLE_STANDBY) && c->disk.paused) {
		if (!c->holding || confirmed(c))
			store_pause(c, false, false, "");
		else
			say(c->refusal, "refused: nobody else confirms %s at present, it would have to stop",
				my_name(c));
	}
	if (!renew || c->holding)
		return;
	if (m->flags & FLAG_PAUSED)
		store_pause(c, true, false, c->disk.paused ? c->disk.pause_reason : "asked on the other node");
	else if (c->disk.paused && !c->disk.pause_mine)
		store_pause(c, false, false, "");
}

/* --- stop ------------------------------------------------------------------------------------------------------------------------------------ */

static void cmd_stop(struct core *c, const struct core_command *cmd)
{
	char why[SENTENCE_MAX];

	if (c->cmd.stage != STAGE_NONE && c->cmd.c.kind != CMD_STOP && c->cmd.stage != STAGE_WAIT_PEER)
		command_done(c, STEP_FAILED, "hactl is being stopped");
	if (c->cmd.stage != STAGE_NONE && c->cmd.c.kind == CMD_STOP)
		return;
	if (c->cmd.stage == STAGE_WAIT_PEER) {
		c->cmd.c.kind = CMD_STOP;
		c->stopping = true;
		return;
	}
	c->stopping = true;
	begin(c, cmd);
	if (c->run.id == PLAN_SWITCHOVER || c->run.id == PLAN_UNDO)
		return; /* goes on; what follows is decided at its end */
	if (!c->disk.term || pause_holds(c) || (!c->holding && c->disk.paused)) {
		command_done(c, STEP_OK,
			"stopped; databases are left as they are; the virtual IP goes silent when the lease ends, "
			"until hactl runs again");
	} else if (c->role == ROLE_PRIMARY && !plan_busy(c) && can_hand_over(c, true, why)) {
		change_begin(c, "switchover", me_of(c), other_of(c), c->now, "hactl is being stopped");
		plan_start(c, PLAN_SWITCHOVER);
	} else if (c->holding) {
		role_event(c, RE_WITHDRAW, "hactl is being stopped and nobody can take over%s%s",
			c->role == ROLE_PRIMARY ? ": " : "", c->role == ROLE_PRIMARY ? why : "");
	}
}

static void run_stop(struct core *c)
{
	bool withdrawing = c->role == ROLE_DEMOTING || plan_busy(c);

	if (c->holding || withdrawing)
		return;
	if (c->releasing && c->disk.released == c->disk.term)
		send_released(c);
	else
		send_msg(c, MSG_BEAT, c->disk.term, 0, 0);
	command_done(c, STEP_OK,
		c->disk.owner == other_of(c) || !c->disk.term
			? "stopped"
			: "stopped; the address and writes were withdrawn and nobody has taken over yet");
}

/* --- the rest ------------------------------------------------------------------------------------------------------------------------------------ */

static void cmd_rejoin(struct core *c, const struct core_command *cmd)
{
	bool was = c->role == ROLE_QUARANTINED;

	c->facts.diverged = false;
	role_event(c, RE_REJOIN, NULL);
	answer(c, cmd->id, STEP_OK, was ? "it stands by and follows now" : "not quarantined: following is tried again");
}

typedef void command_fn(struct core *c, const struct core_command *cmd);
static command_fn *const command_table[CMD_COUNT] = {
	[CMD_SWITCHOVER] = cmd_switchover,
	[CMD_FAILOVER] = cmd_failover,
	[CMD_PAUSE] = cmd_pause,
	[CMD_RESUME] = cmd_resume,
	[CMD_STOP] = cmd_stop,
	[CMD_REJOIN] = cmd_rejoin,
};
_Static_assert(ARRAY_LEN(command_table) == CMD_COUNT, "every command has its handler");

void on_command(struct core *c, const struct core_command *cmd)
{
	if ((unsigned)cmd->kind < CMD_COUNT)
		command_table[cmd->kind](c, cmd);
}

/* The freeze is measured: a switchover that holds writes for longer than allowed is taken back. */
static void check_freeze(struct core *c)
{
	for (size_t i = 0; c->run.id == PLAN_SWITCHOVER && i < c->run.n; i++) {
		const struct run_step *s = &c->run.step[i];
		us_t end = s->first_at + c->conf.max_freeze;

		if (s->def->action != STEP_MYSQL_FREEZE || s->state == TODO)
			continue;
		if (c->now < end) {
			alarm_at(c, end);
			return;
		}
		say(c->cmd.c.reason, "writes were held for %lld ms, and max_freeze is %lld ms",
			(long long)((c->now - s->first_at) / US_PER_MS), (long long)(c->conf.max_freeze / US_PER_MS));
		plan_undo(c);
		return;
	}
}

static void run_wait_peer(struct core *c)
{
	bool serves = c->peer_primary_term > c->cmd.from_term;

	if (serves)
		command_done(c, STEP_OK, "%s is primary", peer_name(c));
	else if (c->holding && c->role == ROLE_PRIMARY)
		command_done(c, STEP_FAILED, "%s did not take over; %s is primary again", peer_name(c), my_name(c));
}

static void run_want(struct core *c)
{
	bool answered = c->peer_seen > c->cmd.begun + 3 * c->conf.interval;

	if (c->role == ROLE_PRIMARY)
		command_done(c, STEP_OK, "%s is primary", my_name(c));
	else if (!c->holding && answered && c->peer.role == ROLE_PRIMARY && !strncmp(c->peer.note, "refused", 7))
		command_done(c, STEP_FAILED, "%.250s", c->peer.note);
	else if (!c->holding && answered && c->peer.role == ROLE_PRIMARY && !strncmp(c->peer.note, "taken back", 10))
		command_done(c, STEP_FAILED, "%.250s", c->peer.note);
}

static void run_running(struct core *c)
{
	switch (c->cmd.c.kind) {
	case CMD_SWITCHOVER:
		if (c->run.id == PLAN_SWITCHOVER)
			check_freeze(c);
		else if (c->run.id == PLAN_UNDO)
			return;
		else if (c->cmd.c.to == other_of(c) && !c->holding)
			command_done(c, STEP_FAILED, "%s lost its authority before it could hand over", my_name(c));
		else if (c->cmd.c.to == other_of(c) && c->role != ROLE_PRIMARY)
			return;
		else if (c->cmd.c.to != other_of(c))
			run_want(c);
		break;
	case CMD_FAILOVER:
		if (c->role == ROLE_PRIMARY)
			command_done(c, STEP_OK, "%s is primary", my_name(c));
		else if (peer_serves(c))
			command_done(c, STEP_FAILED, "%s is alive and primary: use `hactl switchover`", peer_name(c));
		else if (!c->holding)
			run_forced(c);
		break;
	case CMD_RESUME:
		run_resume(c);
		break;
	case CMD_STOP:
		check_freeze(c);
		run_stop(c);
		break;
	default:
		break;
	}
}

static void timed_out(struct core *c)
{
	if (c->run.id == PLAN_SWITCHOVER) {
		say(c->cmd.c.reason, "the time allowed for it ran out");
		plan_undo(c);
		return;
	}
	if (c->cmd.stage == STAGE_WAIT_PEER) {
		command_done(c, STEP_UNKNOWN, "%s has released, but %s has not said that it is primary", my_name(c),
			peer_name(c));
		return;
	}
	if (c->run.id == PLAN_UNDO)
		return;
	if (c->cmd.c.kind == CMD_FAILOVER && c->holding)
		command_done(c, STEP_UNKNOWN, "%s holds the term, but its takeover is not done yet", my_name(c));
	else
		command_done(c, STEP_FAILED, "the time allowed for it ran out");
}

void run_command(struct core *c)
{
	us_t end = c->cmd.begun + c->cmd.c.timeout;

	if (c->cmd.stage == STAGE_NONE)
		return;
	if (c->cmd.stage == STAGE_WAIT_PEER)
		run_wait_peer(c);
	else
		run_running(c);
	if (c->cmd.stage == STAGE_NONE || c->cmd.c.timeout <= 0)
		return;
	if (c->now >= end)
		timed_out(c);
	else
		alarm_at(c, end);
}
