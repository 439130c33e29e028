/* directed.c - the model's directed scenario: the primary, alone by the register, hears one slow confirmation and goes back to
 * the peer's promise, then is cut off. It must not be left with more time than the standby waits. Seen from several
 * moments of the renewal cycle and with several lengths of the moment in which the nodes hear each other.
 */
#include "tests/sim/directed.h"

#include "tests/sim/sim.h"

static void peers(struct world *w, bool up)
{
	w->link[0][1] = w->link[1][0] = up;
}

static void hook(struct world *w)
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
		for (int i = 0; i < PLACES; i++)
			w->link[0][i] = w->link[i][0] = false;
	}
	at(w, US_PER_MS, W_HOOK, 0, 0, 0, NULL);
}

static bool run(us_t window, us_t hearing, bool *came_about, char bad[200])
{
	static struct world w;

	memset(&w, 0, sizeof(w));
	world_init(&w, 1);
	w.conf.mode = CORE_ARBITER;
	w.conf.lossless = w.conf.has_redis = false;
	w.conf.flap_window = 0;
	w.conf.interval = 50 * US_PER_MS;
	w.node[0].rate = 1 - .05;
	w.node[1].rate = 1 + .05;
	w.heal_at = w.end = 14 * US_PER_SEC;
	w.tidy = true; /* no chaos */
	w.phase = 3;
	w.window = window;
	w.late = hearing;
	w.hook = hook;
	at(&w, 100 * US_PER_MS, W_HOOK, 0, 0, 0, NULL);
	world_run(&w);
	memcpy(bad, w.bad, sizeof(w.bad));
	*came_about = w.phase == 2;
	world_free(&w);
	return !bad[0];
}

void run_directed(uint64_t *passed, uint64_t *failed, bool show)
{
	char bad[200];
	unsigned about = 0;

	for (us_t window = 700; window <= 990; window += 10)
		for (us_t hearing = 55; hearing <= 105; hearing += 50) {
			bool came_about = false;
			bool ok = run(window * US_PER_MS, hearing * US_PER_MS, &came_about, bad);

			about += came_about;
			*passed += ok;
			*failed += !ok;
			if (!ok && show)
				printf("directed run, window %lld ms, hearing %lld ms: %s\n", (long long)window,
					(long long)hearing, bad);
		}
	if (about)
		return;
	*failed += 1; /* a scenario that never happens tests nothing */
	if (show)
		printf("directed runs: the primary never went back to the peer's promise\n");
}
