/* chaos.c - faults and operators; healing, and what operators do after it. */
#include "tests/sim/sim.h"

static void toggle_link(struct world *w)
{
	static const int pairs[][2] = { { 0, 1 }, { 1, 0 }, { 0, ARB }, { ARB, 0 }, { 1, ARB }, { ARB, 1 }, { 0, REF },
		{ REF, 0 }, { 1, REF }, { REF, 1 } };
	bool ref = w->conf.mode == CORE_REFERENCE;
	const int *p = pairs[pick(w, ARRAY_LEN(pairs) - (ref ? 0 : 4))];

	w->link[p[0]][p[1]] = !w->link[p[0]][p[1]];
	tell_world(w, "link %d->%d %s", p[0], p[1], w->link[p[0]][p[1]] ? "up" : "down");
}

static void all_links(struct world *w, bool up, int only)
{
	for (int i = 0; i < PLACES; i++)
		for (int k = 0; k < PLACES; k++)
			if (only < 0 || i == only || k == only)
				w->link[i][k] = up;
}

static void isolate(struct world *w)
{
	int who = (int)pick(w, w->conf.mode == CORE_REFERENCE ? PLACES : REF);

	all_links(w, false, who);
	tell_world(w, "%s is cut off", who == REF ? "the reference" : who == ARB ? "the arbiter" : w->conf.name[who]);
}

static void mend(struct world *w)
{
	all_links(w, true, -1);
	w->arb_up = true;
	w->loss = 0;
	tell_world(w, "the network is mended");
}

static void stall(struct world *w)
{
	struct node *n = &w->node[pick(w, NODES)];

	if (!n->running || n->out_held)
		return;
	n->stalled = w->t + (us_t)rnd_in(w, 0, rnd(w) < .7 ? 1.5e6 : 4e6);
	tell(n, "stalls for %lld ms", (long long)((n->stalled - w->t) / 1000));
}

static void crash(struct world *w)
{
	struct node *n = &w->node[pick(w, NODES)];
	bool power = rnd(w) < .4;

	if (!n->running)
		return;
	node_crash(n, power);
	at(w, (us_t)rnd_in(w, 2e4, rnd(w) < .3 ? 2e5 : 3e6), W_BOOT, n->me, 0, 0, NULL);
}

static void kill_server(struct world *w)
{
	struct node *n = &w->node[pick(w, NODES)];

	if (!n->db.up)
		return;
	server_kill(n);
	at(w, (us_t)rnd_in(w, 5e3, rnd(w) < .3 ? 1e5 : 3e6), W_SERVER_UP, n->me, rnd(w) < .25, 0, NULL);
}

/* One node's file is changed and its supervisor restarted; the other's follows later, or never. */
static void edit(struct world *w)
{
	struct node *n = &w->node[pick(w, NODES)];

	w->file[n->me] = rnd(w) < .6 ? 7 : 8;
	tell(n, "operator: its configuration is version %llu now", (unsigned long long)w->file[n->me]);
	if (!n->running)
		return;
	if (rnd(w) < .5) {
		command(n, CMD_STOP, NOBODY); /* and started again */
		return;
	}
	node_crash(n, false);
	at(w, (us_t)rnd_in(w, 2e4, 4e5), W_BOOT, n->me, 0, 0, NULL);
}

static void weather(struct world *w)
{
	static const double losses[] = { 0, 0, .1, .3, .6 };

	w->loss = losses[pick(w, ARRAY_LEN(losses))];
	tell_world(w, "loss %.0f %%", w->loss * 100);
}

static void arbiter_outage(struct world *w)
{
	w->arb_up = !w->arb_up;
	tell_world(w, "the arbiter is %s", w->arb_up ? "up" : "down");
}

/* Without their state the nodes know neither the terms nor what was acknowledged: what holds is that at most one serves. */
static void forget_everything(struct world *w)
{
	w->top_term = 0;
	w->top_forced = false;
	for (int i = 0; i < MAX_ROWS; i++)
		w->acked[i] = w->acked[i] ? 2 : 0;
}

static void clumsy(struct world *w)
{
	static const double fails[] = { 0, 0, .1, .3 };
	static const double often[] = { 0, 0, 0, .002, .01 };

	w->step_fail = fails[pick(w, ARRAY_LEN(fails))];
	w->crash_p = often[pick(w, ARRAY_LEN(often))];
	w->stall_p = often[pick(w, ARRAY_LEN(often))];
	w->probe_lies = rnd(w) < .3 ? rnd(w) * .3 : 0;
	w->fence_fail = w->conf.mode == CORE_FENCE ? rnd(w) * rnd(w) : 0;
	w->lies = w->conf.mode == CORE_REFERENCE ? rnd(w) * .2 : 0;
	for (int i = 0; i < NODES; i++)
		w->node[i].disk_bad = rnd(w) < .05;
	tell_world(w, "steps fail %.0f %%, crashes %.3f, stalls %.3f, disks %s %s", w->step_fail * 100, w->crash_p,
		w->stall_p, w->node[0].disk_bad ? "bad" : "good", w->node[1].disk_bad ? "bad" : "good");
}

void command(struct node *n, enum core_command_kind kind, int to)
{
	static const char *const names[CMD_COUNT] = { "switchover", "failover --force", "pause", "resume", "stop",
		"rejoin" };
	struct core_event ev = { .kind = EV_COMMAND };
	static uint32_t id;

	if (!n->running || n->stalled > n->w->t || n->out_held)
		return;
	ev.command.kind = kind;
	ev.command.id = ++id;
	ev.command.to = (int8_t)to;
	ev.command.timeout = 5 * US_PER_SEC;
	tell(n, "operator: %s", names[kind]);
	if (kind == CMD_RESUME)
		n->held_until = 0;
	node_feed(n, &ev);
}

/* An operator forces a takeover. Where the rules leave it to the person's word that the other is off (manual mode, a pause
 * both have stored), the person has looked. */
static void force(struct node *n)
{
	struct node *o = &n->w->node[1 - n->me];
	bool on_word = n->w->conf.mode != CORE_ARBITER || n->disk.paused || o->disk.paused;

	if (on_word && (o->power || n->w->t - o->db.down_since < 3 * US_PER_SEC))
		return;
	if (!n->running)
		return;
	n->forced = true;
	n->w->forces++;
	command(n, CMD_FAILOVER, NOBODY);
}

static void operators(struct world *w)
{
	struct node *n = &w->node[pick(w, NODES)];
	double r = rnd(w);

	if (r < .5)
		command(n, CMD_SWITCHOVER, rnd(w) < .5 ? NOBODY : (int)pick(w, NODES));
	else if (r < .65)
		force(n);
	else if (r < .75)
		command(n, CMD_PAUSE, NOBODY);
	else if (r < .84)
		command(n, CMD_RESUME, NOBODY);
	else if (r < .89)
		command(n, CMD_REJOIN, NOBODY);
	else
		command(n, CMD_STOP, NOBODY);
}

/* Both hosts lose power and come back at about the same moment, sometimes with nothing on their disks. */
static void both_boot(struct world *w)
{
	bool wiped = rnd(w) < .15;

	for (int i = 0; i < NODES; i++) {
		struct node *n = &w->node[i];

		node_crash(n, true);
		at(w, (us_t)rnd_in(w, 1e5, rnd(w) < .5 ? 1.2e5 : 2e6), W_BOOT, i, 0, 0, NULL);
		if (wiped)
			memset(&n->disk, 0, sizeof(n->disk));
	}
	tell_world(w, "both hosts were off%s", wiped ? ", and their state is gone" : "");
	w->wiped = w->wiped || wiped;
	if (wiped)
		forget_everything(w);
}

typedef void fault_fn(struct world *w);
static const struct {
	double share;
	fault_fn *fn;
} faults[] = {
	{ .20, toggle_link },
	{ .04, edit },
	{ .12, mend },
	{ .08, isolate },
	{ .12, stall },
	{ .015, both_boot },
	{ .105, crash },
	{ .10, kill_server },
	{ .06, weather },
	{ .04, arbiter_outage },
	{ .04, clumsy },
	{ .08, operators },
};

void chaos(struct world *w)
{
	double r = rnd(w);

	if (w->tidy)
		return;
	w->calm = false;
	for (size_t i = 0; i < ARRAY_LEN(faults); i++) {
		r -= faults[i].share;
		if (r < 0) {
			faults[i].fn(w);
			break;
		}
	}
	at(w, (us_t)(-700e3 * __builtin_log(1 - rnd(w))), W_CHAOS, 0, 0, 0, NULL);
}

/* --- healing ------------------------------------------------------------------------------------------------------------- */

void heal(struct world *w)
{
	mend(w);
	w->tidy = true;
	w->step_fail = w->crash_p = w->stall_p = w->fence_fail = w->lies = w->probe_lies = 0;
	for (int i = 0; i < NODES; i++) {
		struct node *n = &w->node[i];

		n->disk_bad = false;
		w->file[i] = 7;
		if (n->running && n->config != w->file[i])
			node_crash(n, false);
		if (!n->running)
			at(w, 100000, W_BOOT, i, 0, 0, NULL);
		if (!n->db.up)
			at(w, 1500000, W_SERVER_UP, i, 0, 0, NULL);
	}
	tell_world(w, "everything heals");
	at(w, 250000, W_CARE, 0, 0, 0, NULL);
}

/* The rows of a quarantined node were exported; its data are thrown away and taken from the primary. */
static void reseed(struct node *n)
{
	struct server *s = &n->db, *o = &n->w->node[1 - n->me].db;

	if (n->w->node[1 - n->me].role != ROLE_PRIMARY || !s->up)
		return;
	memcpy(s->log, o->log, (size_t)o->len * sizeof(int));
	for (int i = 0; i < o->len; i++)
		n->w->both[o->log[i]] = 1;
	s->len = s->exec = s->wait_from = o->len;
	s->start++;
	tell(n, "operator: reseeded");
	command(n, CMD_REJOIN, NOBODY);
}

void care(struct world *w)
{
	us_t since = w->t - w->heal_at;
	int turn = (int)(since / 250000);
	bool primary = false;

	if (!is_well(w))
		w->well_since = 0;
	else if (!w->well_since)
		w->well_since = w->t;
	if (w->well_since && w->t - w->well_since >= 500 * US_PER_MS) {
		w->over = true;
		return;
	}
	for (int i = 0; i < NODES; i++) {
		struct node *n = &w->node[i];

		primary = primary || n->role == ROLE_PRIMARY || n->role == ROLE_PROMOTING;
		if (turn % 4 == 0 && n->role == ROLE_QUARANTINED)
			reseed(n);
		if (turn % 8 == 4 * i && (n->disk.paused || n->core->flap_until > local_now(n)))
			command(n, CMD_RESUME, NOBODY);
		if (!n->running && turn > 4)
			node_boot(n);
		if (!n->db.up && turn > 8)
			at(w, 1000, W_SERVER_UP, i, 0, 0, NULL);
	}
	/* what a person does when nobody may go on by itself: the fuller data, by force */
	if (!primary && since > 12 * US_PER_SEC && turn % 16 == 0) {
		struct node *n = &w->node[w->node[0].db.len >= w->node[1].db.len ? 0 : 1];

		w->forces += 1000;
		dump(&w->node[0]);
		dump(&w->node[1]);
		n->forced = true;
		command(n, CMD_FAILOVER, NOBODY);
	}
	if (since > 35 * US_PER_SEC)
		fail(w, "not well %lld s after healing: n1 %s term %llu, n2 %s term %llu",
			(long long)(since / US_PER_SEC), role_names[w->node[0].role],
			(unsigned long long)w->node[0].disk.term, role_names[w->node[1].role],
			(unsigned long long)w->node[1].disk.term);
	at(w, 250000, W_CARE, 0, 0, 0, NULL);
}
