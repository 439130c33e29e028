/* node.c - the shell around a core: performs its actions strictly in order, loses its life between any two of them. */
#include "tests/sim/sim.h"

static void perform(struct node *n);

/* --- feeding the core ------------------------------------------------------------------------------------------------ */

static void set_wake(struct node *n)
{
	us_t want = core_wake(n->core);
	double in;

	if (want == n->wake_at && want > local_now(n))
		return;
	n->wake_at = want;
	n->wake_gen++;
	if (want == US_NEVER)
		return;
	in = ((double)want - n->offset) / n->rate - (double)n->w->t;
	at(n->w, in > 0 ? (us_t)in + 1 : 1, W_WAKE, n->me, n->wake_gen, n->start, NULL);
}

static bool fenced(const struct node *n, const struct core_event *ev)
{
	return ev->kind == EV_STEP && ev->step.outcome == STEP_OK && n->feeding == STEP_FENCE;
}

void node_feed(struct node *n, const struct core_event *ev)
{
	n->fed = (struct fed){ .kind = ev->kind, .fenced = fenced(n, ev) };
	if (ev->kind == EV_MSG)
		n->fed.msg = ev->msg->kind;
	if (ev->kind == EV_WITNESS) {
		n->fed.reached = ev->witness.reached;
		n->fed.veto = ev->witness.veto && n->core->ask.kind == WITNESS_CLEAR;
	}
	core_handle(n->core, ev, local_now(n), &n->out);
	n->out_at = 0;
	n->list_at = n->w->t;
	perform(n);
}

/* --- actions -------------------------------------------------------------------------------------------------------------- */

static void do_persist(struct node *n, const struct core_action *a)
{
	if (a->disk.term < n->disk.term || a->disk.released < n->disk.released ||
		a->disk.other_term < n->disk.other_term)
		fail(n->w, "%s: the disk went back from term %llu to %llu", n->w->conf.name[n->me],
			(unsigned long long)n->disk.term, (unsigned long long)a->disk.term);
	if (a->disk.term == n->disk.term && n->disk.voted != NOBODY && n->disk.term && a->disk.voted != n->disk.voted)
		fail(n->w, "%s: two votes in term %llu", n->w->conf.name[n->me], (unsigned long long)n->disk.term);
	n->disk = a->disk;
	n->doubt = false;
}

static void do_gate(struct node *n, const struct core_action *a)
{
	n->gate = a->until;
	if (gate_open(n)) {
		n->address_until = a->until + 1500 * US_PER_MS;
		check_gates(n->w);
	} else {
		tell(n, "gate shut");
	}
}

static struct doing *free_doing(struct node *n)
{
	for (int i = 0; i < MAX_STEPS_OUT; i++)
		if (!n->doing[i].serial)
			return &n->doing[i];
	fail(n->w, "%s: more steps under way than there are", n->w->conf.name[n->me]);
	return &n->doing[0];
}

static us_t usual_time(struct world *w, enum step_kind k)
{
	switch (k) {
	case STEP_GATE_OPEN:
	case STEP_ADDRESS_ADD:
	case STEP_ADDRESS_DEL:
	case STEP_ANNOUNCE:
		return 100;
	case STEP_MYSQL_PROMOTE:
	case STEP_MYSQL_DEMOTE:
	case STEP_MYSQL_FOLLOW:
		return (us_t)rnd_in(w, 2e3, rnd(w) < .9 ? 60e3 : 1500e3);
	case STEP_FENCE: /* the command confirms; some devices are slow */
		if (w->phase)
			return 100000;
		return (us_t)rnd_in(w, 2e4, rnd(w) < .7 ? 3e5 : 3e6);
	default:
		return (us_t)rnd_in(w, 300, 20e3);
	}
}

static void do_step(struct node *n, const struct core_action *a)
{
	struct world *w = n->w;
	struct doing *d = free_doing(n);
	double r = w->calm ? 1 : rnd(w);
	us_t in = usual_time(w, a->step);

	tell(n, "step %s begins", step_names[a->step]);
	*d = (struct doing){ .serial = a->serial,
		.step = a->step,
		.until = a->until,
		.asked = w->t,
		.db_start = a->db_start,
		.deadline = w->t + a->timeout_us,
		.mark = -1,
		.outcome = STEP_OK };
	if (r < (a->step == STEP_FENCE ? w->fence_fail : w->step_fail))
		d->outcome = rnd(w) < .5 ? STEP_FAILED : STEP_UNKNOWN;
	if (a->step == STEP_MYSQL_PROMOTE && !w->calm && w->step_fail > 0 && rnd(w) < .05) { /* much was received and not applied */
		in = (us_t)rnd_in(w, 1e6, 15e6);
		for (us_t t = US_PER_SEC / 2; t < in; t += US_PER_SEC / 2)
			at(w, t, W_MOVES, n->me, a->serial, n->start, NULL);
	}
	if (a->step == STEP_FENCE &&
		in > a->timeout_us) { /* ended by its deadline; what it had asked for may still happen */
		d->outcome = STEP_UNKNOWN;
		in = a->timeout_us;
	}
	if (a->step == STEP_FENCE && w->fence_dead) {
		d->outcome = STEP_FAILED;
		in = 1000;
	}
	at(w, in, W_EFFECT, n->me, a->serial, n->start, NULL);
}

/* The helper that ran the step is killed: what it had brought about stays, and of what it had asked the server for the one
 * statement that was waiting may still take effect. */
static void cut_off(struct node *n, struct doing *d)
{
	bool kernel = d->step == STEP_GATE_OPEN || d->step == STEP_ADDRESS_ADD || d->step == STEP_ADDRESS_DEL;
	bool freezes = d->step == STEP_MYSQL_FREEZE || d->step == STEP_MYSQL_DEMOTE || d->step == STEP_MYSQL_FOLLOW;
	char text[80];

	d->serial = 0;
	if (d->done || kernel)
		return;
	if (rnd(n->w) < .5)
		effect(n, d->step, d->db_start, text, sizeof(text));
	else if (freezes && rnd(n->w) < .5)
		at(n->w, (us_t)rnd_in(n->w, 0, 2e6), W_LATE, n->me, d->step, (uint64_t)n->db.start, NULL);
	observe_soon(n);
}

static void do_cancel(struct node *n, const struct core_action *a)
{
	for (int i = 0; i < MAX_STEPS_OUT; i++)
		if (n->doing[i].serial == a->serial)
			cut_off(n, &n->doing[i]);
}

static void do_role(struct node *n, const struct core_action *a)
{
	tell(n, "%s -> %s, term %llu: %s", role_names[a->from], role_names[a->to], (unsigned long long)n->disk.term,
		a->text);
	if (a->from != n->role)
		fail(n->w, "%s: role change from %s, but it was %s", n->w->conf.name[n->me], role_names[a->from],
			role_names[n->role]);
	n->role = a->to;
	n->w->changes++;
	if (a->to == ROLE_PROMOTING)
		n->stage = 0;
}

static void do_stopped(struct node *n)
{
	struct world *w = n->w;

	tell(n, "hactl has stopped");
	node_crash(n, false);
	at(w, (us_t)rnd_in(w, 1e5, 2e6), W_BOOT, n->me, 0, 0, NULL);
}

static void perform_one(struct node *n, const struct core_action *a)
{
	check_action(n, a);
	switch (a->kind) {
	case ACT_PERSIST:
		do_persist(n, a);
		break;
	case ACT_SEND:
		send_packet(n, &a->msg);
		break;
	case ACT_REG_READ:
	case ACT_REG_CAS:
		ask(n, a, a->kind == ACT_REG_CAS);
		break;
	case ACT_WITNESS:
		ask_witness(n, a);
		break;
	case ACT_GATE:
		do_gate(n, a);
		break;
	case ACT_STEP:
		do_step(n, a);
		break;
	case ACT_STEP_CANCEL:
		do_cancel(n, a);
		break;
	case ACT_ROLE:
		do_role(n, a);
		break;
	case ACT_NOTE:
		tell(n, "note: %s", a->text);
		break;
	case ACT_PROGRESS:
		break;
	case ACT_DONE:
		tell(n, "command ends, outcome %d: %s", a->outcome, a->text);
		break;
	case ACT_STOPPED:
		do_stopped(n);
		break;
	case ACT_COUNT:
		break;
	}
}

static void crash_and_back(struct node *n)
{
	struct world *w = n->w;

	node_crash(n, rnd(w) < .4);
	at(w, (us_t)rnd_in(w, 2e4, rnd(w) < .3 ? 2e5 : 4e6), W_BOOT, n->me, 0, 0, NULL);
}

static void perform(struct node *n)
{
	struct world *w = n->w;
	uint64_t start = n->start;

	n->out_held = false;
	while (n->out_at < n->out.n && n->running && n->start == start && !w->bad[0]) {
		const struct core_action *a = &n->out.act[n->out_at];

		if (w->crash_p > 0 && rnd(w) < w->crash_p) {
			tell(n, "crashes before action %zu of a list", n->out_at);
			if (a->kind == ACT_PERSIST && !n->disk_bad && rnd(w) < .5)
				do_persist(n, a); /* the last write was kept */
			crash_and_back(n);
			return;
		}
		if (w->stall_p > 0 && rnd(w) < w->stall_p) {
			n->stalled = w->t + (us_t)rnd_in(w, 1e3, 2e6);
			n->out_held = true;
			tell(n, "stalls before action %zu of a list for %lld ms", n->out_at,
				(long long)((n->stalled - w->t) / 1000));
			at(w, n->stalled - w->t, W_CONTINUE, n->me, 0, n->start, NULL);
			return;
		}
		if (a->kind == ACT_PERSIST && n->disk_bad) {
			struct core_event ev = { .kind = EV_DISK_FAILED };

			tell(n, "the disk refuses");
			n->refused = a->disk; /* a crash before the next write shows which of the two it kept */
			n->doubt = true;
			n->role = n->core->role; /* the note of a change went with the list */
			node_feed(n, &ev);
			return;
		}
		n->out_at++;
		perform_one(n, a);
	}
	if (n->running && n->start == start)
		set_wake(n);
}

/* --- life and death -------------------------------------------------------------------------------------------------------------- */

void node_boot(struct node *n)
{
	struct world *w = n->w;
	struct core_event tick = { .kind = EV_TICK };

	if (n->running)
		return;
	if (!n->power) {
		n->power = true;
		n->offset =
			rnd_in(w, 1e6, 5e6) - n->rate * (double)w->t; /* a monotonic clock begins anew with the host */
		n->boot = 1 + pick(w, 1u << 30);
		at(w, (us_t)rnd_in(w, 1e4, 8e5), W_SERVER_UP, n->me, 0, 0, NULL);
	}
	n->running = true;
	n->start = ++w->seq;
	n->seen_start = n->peer_start = 0;
	n->config = w->file[n->me];
	n->heard_config = 0;
	n->held_until = 0; /* on its disk it stays held, for longer */
	n->held_start = n->held_counter = 0;
	n->stalled = 0;
	n->out_held = n->stop_asked = false;
	n->role = ROLE_STARTING;
	n->stage = 0;
	n->wake_at = US_NEVER;
	n->facts_sent = -1;
	n->sees_at = w->t + (!w->calm && rnd(w) < .3 ? (us_t)rnd_in(w, 1e5, 2e6) : 0);
	n->facts_digest = 0;
	memset(n->doing, 0, sizeof(n->doing));
	w->conf.me = n->me;
	core_init(n->core, &w->conf, &n->disk, (uint64_t)(rnd(w) * 0x1.0p62) | 1, local_now(n));
	tell(n, "starts (term %llu on disk, gate %s)", (unsigned long long)n->disk.term,
		gate_open(n) ? "open" : "shut");
	n->observing = false;
	observe_soon(n);
	node_feed(n, &tick);
}

static void count_cells(struct node *n)
{
	for (int r = 0; r < ROLE_COUNT; r++)
		for (int e = 0; e < ROLE_EVENT_COUNT; e++) {
			unsigned reached = core_role_reached(n->core, (enum role)r, (size_t)e);

			n->w->coverage[r][e] += reached;
			if (reached && !core_role_possible((enum role)r, (size_t)e))
				fail(n->w, "%s: in role %s \"%s\" happened, which cannot happen: %s",
					n->w->conf.name[n->me], role_names[r], core_role_event_name((size_t)e),
					core_role_sentence((enum role)r, (size_t)e));
		}
}

void node_crash(struct node *n, bool power)
{
	if (n->running) {
		tell(n, power ? "loses power" : "the supervisor ends");
		count_cells(n);
	}
	if (n->doubt && rnd(n->w) < .5)
		n->disk = n->refused;
	n->doubt = false;
	n->running = false;
	n->out_held = false;
	n->role = ROLE_STARTING;
	for (int i = 0; i < MAX_STEPS_OUT; i++) {
		if (n->doing[i].serial && !power)
			cut_off(n, &n->doing[i]);
		n->doing[i].serial = 0;
	}
	if (!power)
		return;
	n->power = false;
	n->gate = -1;
	n->address_until = 0;
	n->address = false;
	server_kill(n);
}

/* --- events ------------------------------------------------------------------------------------------------------------------------- */

static void on_wake(struct world *w, struct event *e)
{
	struct node *n = &w->node[e->node];
	struct core_event tick = { .kind = EV_TICK };

	if (!n->running || n->start != e->b || n->wake_gen != e->a || put_off(w, e))
		return;
	n->wake_at = US_NEVER;
	node_feed(n, &tick);
}

static struct doing *find_doing(struct node *n, uint32_t serial)
{
	for (int i = 0; i < MAX_STEPS_OUT; i++)
		if (n->doing[i].serial == serial)
			return &n->doing[i];
	return NULL;
}

static void on_effect(struct world *w, struct event *e)
{
	struct node *n = &w->node[e->node];
	struct doing *d = e->b == n->start ? find_doing(n, (uint32_t)e->a) : NULL;

	if (d && !put_off(w, e))
		do_effect(n, d);
}

/* The shell looks every second whether it still may, and only what authority is now counts (steps.c, drain_on). */
static void on_moves(struct world *w, struct event *e)
{
	struct node *n = &w->node[e->node];
	struct doing *d = e->b == n->start ? find_doing(n, (uint32_t)e->a) : NULL;
	struct core_event ev = { .kind = EV_STEP, .step = { (uint32_t)e->a, STEP_MORE, 0, "" } };

	if (!d || !n->running || put_off(w, e))
		return;
	if (authority_until(n->core) > local_now(n))
		d->until = authority_until(n->core);
	node_feed(n, &ev);
}

static void on_result(struct world *w, struct event *e)
{
	struct node *n = &w->node[e->node];
	struct doing *d = e->b == n->start ? find_doing(n, (uint32_t)e->a) : NULL;
	struct core_event ev = { .kind = EV_STEP };
	char text[80];

	if (!d || put_off(w, e))
		return;
	snprintf(text, sizeof(text), "%s", d->text);
	ev.step.serial = d->serial;
	ev.step.outcome = d->outcome;
	ev.step.took_us = w->t - d->asked;
	ev.step.text = text;
	d->serial = 0;
	if (!n->running)
		return;
	if (w->crash_p > 0 && rnd(w) < 4 * w->crash_p) { /* done, and nobody knows */
		tell(n, "crashes at the end of step %s", step_names[d->step]);
		crash_and_back(n);
		return;
	}
	tell(n, "step %s: %s %s", step_names[d->step],
		d->outcome == STEP_OK	    ? "ok"
		: d->outcome == STEP_FAILED ? "FAILED"
					    : "UNKNOWN",
		text);
	if (d->outcome == STEP_OK) {
		n->stage |= d->step == STEP_MYSQL_PROMOTE ? PROMOTED : d->step == STEP_MYSQL_VERIFY ? VERIFIED : 0;
		n->stage |= d->step == STEP_ADDRESS_ADD ? ADDRESSED : d->step == STEP_REDIS_PROMOTE ? R_PROMOTED : 0;
		n->stage |= d->step == STEP_REDIS_VERIFY ? R_VERIFIED : 0;
	}
	n->feeding = (int)d->step;
	node_feed(n, &ev);
	n->feeding = NOBODY;
}

static void on_continue(struct world *w, struct event *e)
{
	struct node *n = &w->node[e->node];

	if (n->running && n->start == e->b && n->out_held && !put_off(w, e))
		perform(n);
}

void node_event(struct world *w, struct event *e)
{
	if (e->what == W_WAKE)
		on_wake(w, e);
	else if (e->what == W_EFFECT)
		on_effect(w, e);
	else if (e->what == W_MOVES)
		on_moves(w, e);
	else if (e->what == W_RESULT)
		on_result(w, e);
	else if (e->what == W_CONTINUE)
		on_continue(w, e);
	else if (e->what == W_BOOT)
		node_boot(&w->node[e->node]);
}
