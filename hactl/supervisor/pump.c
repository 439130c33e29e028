/* pump.c - the only place where the core is called. Events queue up (a step may end while actions are being performed); one at a time is
 * handled, its actions performed strictly in order. */
#include "hactl/supervisor/private.h"

#include <systemd/sd-daemon.h>

#define STALL_AGAIN (10 * US_PER_SEC)
#define HOOKS_GRACE (5 * US_PER_SEC) /* on_standby has only just been started by the hand-over */

static void perform(struct sup *s, const struct core_action *a, bool *drop);

static struct queued *push(struct sup *s, enum core_event_kind kind)
{
	struct queued *q;

	if (s->closing)
		return NULL;
	if (s->q_len == MAX_QUEUE) {
		/* cannot happen while every source waits for its answer; dropping a tick or a packet is what a network does too */
		log_error("event queue full: an event of kind %d was dropped", (int)kind);
		return NULL;
	}
	q = &s->queue[(s->q_head + s->q_len++) % MAX_QUEUE];
	memset(&q->ev, 0, sizeof(q->ev));
	q->ev.kind = kind;
	return q;
}

/* Before everything that waits. */
static struct queued *push_first(struct sup *s, enum core_event_kind kind)
{
	size_t front = (s->q_head + MAX_QUEUE - 1) % MAX_QUEUE;

	if (s->q_len == MAX_QUEUE)
		s->q_len--; /* the newest of the others gives way */
	memset(&s->queue[front].ev, 0, sizeof(s->queue[front].ev));
	s->queue[front].ev.kind = kind;
	s->q_head = front;
	s->q_len++;
	return &s->queue[front];
}

/* On a starved machine one stall follows the other. */
static void tell_stall(struct sup *s, us_t now, us_t late)
{
	s->stall_told = now;
	journal_add(s->journal, LOG_LVL_WARN, "alert", NULL,
		"this supervisor stood still for %.0f ms: it looks at everything again before it acts",
		(double)late / 1000);
}

/* This process stood still: stopped, starved, its machine suspended. What it knows of the servers here is from before, and what the other
 * node did since waits unread. The core is told that it knows nothing before it hears anything else; every server is asked again, and
 * what they are known for comes with the first answers. Authority needs no such care: the core reads the clock at each event. */
static void notice_stall(struct sup *s)
{
	us_t now = now_us(), late = s->wake_at ? now - s->wake_at : 0;
	struct queued *q;

	if (late < s->conf->lease * 3 / 10)
		return;
	s->wake_at = now;
	if (!s->stall_told || now - s->stall_told >= STALL_AGAIN)
		tell_stall(s, now, late);
	if (!facts_forget(s))
		return;
	q = push_first(s, EV_FACTS);
	q->data.facts = s->facts;
	q->ev.facts = &q->data.facts;
}

/* Two states one right after the other: nothing happens in between that would rest on the first alone. */
static bool stored_by_the_next(const struct sup *s, size_t i)
{
	return i + 1 < s->out.n && s->out.act[i].kind == ACT_PERSIST && s->out.act[i + 1].kind == ACT_PERSIST;
}

static void run_actions(struct sup *s)
{
	bool drop = false;

	for (size_t i = 0; i < s->out.n && !drop; i++)
		if (!stored_by_the_next(s, i))
			perform(s, &s->out.act[i], &drop);
}

static void pump(struct sup *s)
{
	if (s->pumping)
		return;
	s->pumping = true;
	notice_stall(s);
	while (s->q_len) {
		struct queued *q = &s->queue[s->q_head];

		core_handle(s->core, &q->ev, now_us(), &s->out);
		s->q_head = (s->q_head + 1) % MAX_QUEUE;
		s->q_len--;
		deadline_follow(s);
		run_actions(s);
	}
	s->pumping = false;
	s->wake_at = core_wake(s->core);
	timer_at(s->tick, s->wake_at);
	look_changed(s);
}

/* systemd's watchdog is fed by the core's own ticks, so that a loop that spins without deciding is noticed too */
static void feed_watchdog(struct sup *s)
{
	us_t now = now_us();

	if (!s->watchdog_us || now - s->watchdog_at < s->watchdog_us / 4)
		return;
	s->watchdog_at = now;
	sd_notify(0, "WATCHDOG=1");
}

void pump_tick(struct sup *s)
{
	if (push(s, EV_TICK))
		feed_watchdog(s);
	pump(s);
}

void pump_msg(struct sup *s, const struct msg *m)
{
	struct queued *q = push(s, EV_MSG);

	if (!q)
		return;
	q->data.msg = *m;
	q->ev.msg = &q->data.msg;
	pump(s);
}

void pump_facts(struct sup *s)
{
	struct queued *q = push(s, EV_FACTS);

	if (!q)
		return;
	q->data.facts = s->facts;
	q->ev.facts = &q->data.facts;
	pump(s);
}

void pump_step(struct sup *s, uint32_t serial, enum step_outcome outcome, us_t took, const char *text)
{
	struct queued *q = push(s, EV_STEP);

	if (!q)
		return;
	STR_COPY(q->data.text, text ? text : "");
	q->ev.step.serial = serial;
	q->ev.step.outcome = outcome;
	q->ev.step.took_us = took;
	q->ev.step.text = q->data.text;
	pump(s);
}

void pump_register(struct sup *s, uint32_t id, enum reg_outcome outcome, int64_t rev, const struct reg_value *value)
{
	struct queued *q;

	if (outcome != REG_UNKNOWN && value && (value->term != s->reg.term || value->holder != s->reg.holder)) {
		s->reg = *value;
		facts_update(s); /* what it says about the data here the core has to know before it acts on it */
	}
	q = push(s, EV_REGISTER);
	if (!q)
		return;
	q->ev.reg.id = id;
	q->ev.reg.outcome = outcome;
	q->ev.reg.rev = rev;
	if (value)
		q->ev.reg.value = *value;
	pump(s);
}

void pump_witness(struct sup *s, uint32_t id, bool reached, bool veto, const char *text)
{
	struct queued *q = push(s, EV_WITNESS);

	if (!q)
		return;
	STR_COPY(q->data.text, text ? text : "");
	q->ev.witness.id = id;
	q->ev.witness.reached = reached;
	q->ev.witness.veto = veto;
	q->ev.witness.text = q->data.text;
	pump(s);
}

bool pump_command(struct sup *s, const struct core_command *c)
{
	struct queued *q = s->stopped ? NULL : push(s, EV_COMMAND);

	if (!q)
		return false;
	q->ev.command = *c;
	pump(s);
	return true;
}

/* --- actions ------------------------------------------------------------------------------------------------------------------ */

typedef void act_fn(struct sup *s, const struct core_action *a, bool *drop);

static void act_persist(struct sup *s, const struct core_action *a, bool *drop)
{
	struct err e;

	if (!disk_store(s, &a->disk, &e)) {
		s->disk = a->disk;
		s->disk_trouble = false;
		return;
	}
	if (!s->disk_trouble) /* tried again every second; the core tells the hooks */
		journal_add(s->journal, LOG_LVL_ERROR, "alert", NULL,
			"state cannot be stored, so nothing is decided that needs it: %s", e.text);
	s->disk_trouble = true;
	*drop = true;
	push_first(s, EV_DISK_FAILED); /* the core believes its state is stored until it hears otherwise */
}

static void act_send(struct sup *s, const struct core_action *a, bool *drop)
{
	(void)drop;
	link_send(s, &a->msg);
}

static void act_read(struct sup *s, const struct core_action *a, bool *drop)
{
	(void)drop;
	if (s->arbiter)
		arbiter_read(s->arbiter, a->id);
	else
		pump_register(s, a->id, REG_UNKNOWN, 0, NULL);
}

static void act_cas(struct sup *s, const struct core_action *a, bool *drop)
{
	(void)drop;
	if (s->arbiter)
		arbiter_cas(s->arbiter, a->id, a->rev, &a->value);
	else
		pump_register(s, a->id, REG_UNKNOWN, 0, NULL);
}

static void act_gate(struct sup *s, const struct core_action *a, bool *drop)
{
	(void)drop;
	address_gate(s, a->until);
}

static void act_step(struct sup *s, const struct core_action *a, bool *drop)
{
	(void)drop;
	steps_start(s, a);
}

static void act_step_cancel(struct sup *s, const struct core_action *a, bool *drop)
{
	(void)drop;
	steps_cancel(s, a->serial);
}

static void act_role(struct sup *s, const struct core_action *a, bool *drop)
{
	json_t *f = json_pack("{s:s, s:s, s:s}", "from", role_names[a->from], "to", role_names[a->to], "why", a->text);

	(void)drop;
	journal_add(
		s->journal, LOG_LVL_NOTICE, "role", f, "%s -> %s: %s", role_names[a->from], role_names[a->to], a->text);
	hooks_event(s, LOG_LVL_NOTICE, "role", a->text);
	sd_notifyf(0, "STATUS=%s: %s", role_names[a->to], a->text);
	facts_update(s);
	rejoin_role(s, a->to);
	events_role(s, a->to);
}

static void act_note(struct sup *s, const struct core_action *a, bool *drop)
{
	(void)drop;
	journal_add(
		s->journal, (enum log_level)a->level, a->level <= LOG_LVL_WARN ? "alert" : "note", NULL, "%s", a->text);
	if (a->level <= LOG_LVL_NOTICE)
		hooks_event(s, (enum log_level)a->level, a->level <= LOG_LVL_WARN ? "alert" : "note", a->text);
}

static void act_witness(struct sup *s, const struct core_action *a, bool *drop)
{
	(void)drop;
	witness_ask(s, a);
}

static void act_progress(struct sup *s, const struct core_action *a, bool *drop)
{
	(void)drop;
	ask_progress(s, a);
}

static void act_done(struct sup *s, const struct core_action *a, bool *drop)
{
	(void)drop;
	ask_done(s, a);
}

static void act_stopped(struct sup *s, const struct core_action *a, bool *drop)
{
	(void)a;
	(void)drop;
	deadline_stop(s);
	s->stopped = true;
	if (hooks_busy(s))
		timer_in(s->observe, HOOKS_GRACE);
	else
		loop_exit(s->loop, 0);
}

static act_fn *const acts[] = {
	[ACT_PERSIST] = act_persist,
	[ACT_SEND] = act_send,
	[ACT_REG_READ] = act_read,
	[ACT_REG_CAS] = act_cas,
	[ACT_WITNESS] = act_witness,
	[ACT_GATE] = act_gate,
	[ACT_STEP] = act_step,
	[ACT_STEP_CANCEL] = act_step_cancel,
	[ACT_ROLE] = act_role,
	[ACT_NOTE] = act_note,
	[ACT_PROGRESS] = act_progress,
	[ACT_DONE] = act_done,
	[ACT_STOPPED] = act_stopped,
};
_Static_assert(ARRAY_LEN(acts) == ACT_COUNT, "every action has its effect");

static void perform(struct sup *s, const struct core_action *a, bool *drop)
{
	acts[a->kind](s, a, drop);
}
