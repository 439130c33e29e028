/* directed.c - runs whose every delay is chosen, where random ones would hardly come by.
 *
 * back to the peer   the model's directed scenario: the primary, alone by the register, hears one slow confirmation and goes back to
 *                    the peer's promise, then is cut off. It must not be left with more time than the standby waits. Seen from
 *                    several moments of the renewal cycle and with several lengths of the moment in which the nodes hear each other.
 * a late reference   reference mode: the primary hears nothing of the standby, and its question to a reference address is answered
 *                    late; with the question it is cut off. The standby heard it up to then.
 * an old word        fence mode: the standby cannot fence the primary while it believes to be in sync, and can when the primary has
 *                    long gone on alone.
 */
#include "tests/sim/directed.h"

#include "tests/sim/sim.h"

struct scenario {
	const char *name;
	enum core_mode mode;
	us_t interval;
	void (*hook)(struct world *w);
	us_t window_from, window_to, window_by; /* where in the renewal cycle, ms */
	us_t late_from, late_to, late_by;	/* ms */
	bool lossless;
};

static void peers(struct world *w, bool up)
{
	w->link[0][1] = w->link[1][0] = up;
}

static void cut_off(struct world *w, int who)
{
	for (int i = 0; i < PLACES; i++)
		w->link[who][i] = w->link[i][who] = false;
}

static void back_to_the_peer(struct world *w)
{
	struct node *a = &w->node[0];
	us_t left = a->core->lease_arb - local_now(a);

	if (w->phase == 3 && a->role == ROLE_PRIMARY && w->t > 4 * US_PER_SEC) {
		w->phase = 4; /* it serves; the nodes lose each other */
		peers(w, false);
	} else if (w->phase == 4 && w->t > 6500 * US_PER_MS && a->core->holding && a->core->solo && left > w->window &&
		   left < w->window + 10 * US_PER_MS) {
		w->phase = 1;
		peers(w, true);
		w->well_since = w->t;
	} else if (w->phase == 1 && w->t > w->well_since + w->late) {
		w->link[0][1] = false;
		if (!a->core->solo && w->exists && w->value.mode == REG_PEER && a->core->holding) {
			w->phase = 2;
			w->well_since = w->t;
		}
	} else if (w->phase == 2 && w->t > w->well_since + 12 * US_PER_MS) {
		cut_off(w, 0);
	}
	at(w, US_PER_MS, W_HOOK, 0, 0, 0, NULL);
}

/* The answer is on its way already when the last link goes. */
static void a_late_reference(struct world *w)
{
	struct node *a = &w->node[0];
	bool asked = a->core->ask.id && a->core->holding && a->core->lease_ref > local_now(a);

	if (w->phase == 3 && a->role == ROLE_PRIMARY && w->t > 4 * US_PER_SEC) {
		w->phase = 4;
		w->slow_ref = w->late;
		w->link[1][0] = false;
	} else if (w->phase == 4 && w->t > 5 * US_PER_SEC && asked && local_now(a) - a->core->ask.at < 3 * US_PER_MS) {
		w->phase = 2;
		cut_off(w, 0);
	}
	at(w, US_PER_MS, W_HOOK, 0, 0, 0, NULL);
}

/* Out of the standby's reach, and not to be fenced at first, the primary goes on alone; then fencing works. */
static void an_old_word(struct world *w)
{
	struct node *a = &w->node[0];
	bool alone = a->disk.alone == a->disk.term;

	if (w->phase == 3 && a->role == ROLE_PRIMARY && a->core->sync == SYNC_IN && w->t > 4 * US_PER_SEC) {
		w->phase = 4;
		w->calm = false;
		w->fence_dead = true;
		peers(w, false);
	} else if (w->phase == 4 && alone && a->db.up && !a->db.semi_on) {
		w->phase = 2;
		w->well_since = w->t;
	} else if (w->phase == 2 && w->t > w->well_since + w->late) {
		w->fence_dead = false;
	}
	at(w, US_PER_MS, W_HOOK, 0, 0, 0, NULL);
}

static const struct scenario scenarios[] = {
	{ "back to the peer", CORE_ARBITER, 50 * US_PER_MS, back_to_the_peer, 700, 990, 10, 55, 105, 50, false },
	{ "a late reference", CORE_REFERENCE, 50 * US_PER_MS, a_late_reference, 0, 0, 1, 20, 190, 17, false },
	{ "an old word", CORE_FENCE, 100 * US_PER_MS, an_old_word, 0, 0, 1, 200, 2200, 500, true },
};

static bool run(const struct scenario *s, us_t window, us_t late, bool *came_about, char bad[200])
{
	static struct world w;

	memset(&w, 0, sizeof(w));
	world_init(&w, 1);
	w.conf.mode = s->mode;
	w.conf.lossless = s->lossless;
	w.conf.has_redis = false;
	w.conf.flap_window = 0;
	w.conf.interval = s->interval;
	w.node[0].rate = 1 - .05;
	w.node[1].rate = 1 + .05;
	w.heal_at = w.end = 20 * US_PER_SEC;
	w.tidy = true; /* no chaos */
	w.phase = 3;
	w.window = window;
	w.late = late;
	w.hook = s->hook;
	at(&w, 100 * US_PER_MS, W_HOOK, 0, 0, 0, NULL);
	world_run(&w);
	memcpy(bad, w.bad, sizeof(w.bad));
	*came_about = w.phase == 2;
	world_free(&w);
	return !bad[0];
}

static void run_scenario(const struct scenario *s, uint64_t *passed, uint64_t *failed, bool show)
{
	char bad[200];
	unsigned about = 0;

	for (us_t window = s->window_from; window <= s->window_to; window += s->window_by)
		for (us_t late = s->late_from; late <= s->late_to; late += s->late_by) {
			bool came_about = false;
			bool ok = run(s, window * US_PER_MS, late * US_PER_MS, &came_about, bad);

			about += came_about;
			*passed += ok;
			*failed += !ok;
			if (!ok && show)
				printf("directed run \"%s\", %lld ms, %lld ms: %s\n", s->name, (long long)window,
					(long long)late, bad);
		}
	if (about || !show) /* with a rule taken away it need not come about, and that alone catches nothing */
		return;
	*failed += 1; /* a scenario that never happens tests nothing */
	printf("directed run \"%s\" never came about\n", s->name);
}

void run_directed(uint64_t *passed, uint64_t *failed, bool show)
{
	for (size_t i = 0; i < ARRAY_LEN(scenarios); i++)
		run_scenario(&scenarios[i], passed, failed, show);
}
