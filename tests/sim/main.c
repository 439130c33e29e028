/* main.c - runs, workers, coverage.
 *
 *   hactl-sim SEEDS [FIRST]     runs them on two workers; prints every failing seed
 *   hactl-sim --seed N [-v]     the whole story of one run (-v: packets too)
 *   hactl-sim --break RULE|all [SEEDS]   in the CORE_BROKEN build: takes a rule away; the checks must notice
 */
#include "tests/sim/sim.h"
#include "tests/sim/directed.h"

#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { WORKERS = 2, SHOWN = 12, FULL = 50000 /* so many runs must reach every cell that can happen */ };

enum { MODES = 4 };
static const char *const mode_names[MODES] = {
	[CORE_ARBITER] = "arbiter", [CORE_MANUAL] = "manual", [CORE_REFERENCE] = "reference", [CORE_FENCE] = "fence"
};

struct tally {
	uint64_t passed, failed, events, acked, forces, changes;
	uint64_t runs[MODES],
		cared[MODES]; /* by mode; cared: a person had to act at the end, though no state was lost */
	uint64_t coverage[ROLE_COUNT][ROLE_EVENT_COUNT];
	struct {
		uint64_t seed;
		char bad[200];
	} shown[SHOWN];
	uint64_t n_shown;
};

static double skew = 1;
static bool story, packets;

static void count(struct world *w, struct tally *t)
{
	for (int i = 0; i < NODES; i++)
		if (w->node[i].running)
			node_crash(&w->node[i], false); /* counts its cells */
	for (int r = 0; r < ROLE_COUNT; r++)
		for (int e = 0; e < ROLE_EVENT_COUNT; e++)
			t->coverage[r][e] += w->coverage[r][e];
	t->events += w->events;
	t->acked += w->n_acked;
	t->forces += w->forces % 1000;
	t->runs[w->conf.mode]++;
	t->cared[w->conf.mode] += w->forces >= 1000 && !w->wiped;
	t->changes += w->changes;
}

static bool run_seed(uint64_t seed, struct tally *t)
{
	static struct world w;
	bool bad;

	w.story = story;
	w.packets = packets;
	w.skew = skew;
	world_init(&w, seed);
	world_run(&w);
	if (!w.over && !w.bad[0])
		fail(&w, "the run did not come to an end");
	count(&w, t);
	bad = w.bad[0];
	w.story = false;
	if (bad && t->n_shown < SHOWN) {
		t->shown[t->n_shown].seed = seed;
		snprintf(t->shown[t->n_shown++].bad, sizeof(t->shown[0].bad), "%s", w.bad);
	}
	t->passed += !bad;
	t->failed += bad;
	world_free(&w);
	return !bad;
}

static void work(int me, uint64_t seeds, uint64_t first, int fd)
{
	static struct tally t;

	for (uint64_t s = first + (uint64_t)me; s < first + seeds; s += WORKERS)
		run_seed(s, &t);
	if (write(fd, &t, sizeof(t)) != (ssize_t)sizeof(t))
		_exit(1);
	_exit(0);
}

static void add(struct tally *sum, const struct tally *t)
{
	sum->passed += t->passed;
	sum->failed += t->failed;
	sum->events += t->events;
	sum->acked += t->acked;
	sum->forces += t->forces;
	for (int m = 0; m < MODES; m++) {
		sum->runs[m] += t->runs[m];
		sum->cared[m] += t->cared[m];
	}
	sum->changes += t->changes;
	for (int r = 0; r < ROLE_COUNT; r++)
		for (int e = 0; e < ROLE_EVENT_COUNT; e++)
			sum->coverage[r][e] += t->coverage[r][e];
	for (uint64_t i = 0; i < t->n_shown && sum->n_shown < SHOWN; i++)
		sum->shown[sum->n_shown++] = t->shown[i];
}

/* Cells that can happen, and how many of them never did. Few runs need not reach every one. */
static unsigned print_coverage(const struct tally *t)
{
	unsigned possible = 0, reached = 0;

	printf("cells of the role table reached (- cannot happen):\n");
	for (int e = 0; e < ROLE_EVENT_COUNT; e++) {
		printf("  %-36s", core_role_event_name((size_t)e));
		for (int r = 0; r < ROLE_COUNT; r++) {
			if (!core_role_possible((enum role)r, (size_t)e)) {
				printf(" %9s", "-");
				continue;
			}
			printf(" %9llu", (unsigned long long)t->coverage[r][e]);
			possible++;
			reached += t->coverage[r][e] != 0;
		}
		putchar('\n');
	}
	printf("  %-36s", "");
	for (int r = 0; r < ROLE_COUNT; r++)
		printf(" %9.9s", role_names[r]);
	printf("\n%u of %u reachable cells reached\n", reached, possible);
	return possible - reached;
}

static int read_all(int fd, void *to, size_t n)
{
	size_t got = 0;

	while (got < n) {
		ssize_t k = read(fd, (char *)to + got, n - got);

		if (k <= 0)
			return -1;
		got += (size_t)k;
	}
	return 0;
}

static int run_many(uint64_t seeds, uint64_t first)
{
	static struct tally sum, part;
	int fd[WORKERS][2];
	struct timespec a, b;
	unsigned unreached;

	clock_gettime(CLOCK_MONOTONIC, &a);
	fflush(stdout);
	for (int i = 0; i < WORKERS; i++) {
		if (pipe(fd[i]))
			return 1;
		pid_t pid = fork();
		if (pid < 0)
			return 1;
		if (!pid)
			work(i, seeds, first, fd[i][1]);
		close(fd[i][1]);
	}
	for (int i = 0; i < WORKERS; i++) {
		if (read_all(fd[i][0], &part, sizeof(part))) {
			fprintf(stderr, "a worker died\n");
			sum.failed++;
			continue;
		}
		add(&sum, &part);
		close(fd[i][0]);
	}
	while (wait(NULL) > 0)
		;
	run_directed(&sum.passed, &sum.failed, true);
	clock_gettime(CLOCK_MONOTONIC, &b);
	unreached = print_coverage(&sum);
	if (unreached && seeds >= FULL) {
		printf("%u cells of the role table that can happen never did: the runs have a hole\n", unreached);
		sum.failed++;
	}
	for (uint64_t i = 0; i < sum.n_shown; i++)
		printf("seed %llu: %s\n", (unsigned long long)sum.shown[i].seed, sum.shown[i].bad);
	for (int m = 0; m < MODES; m++)
		printf("%-10s %8llu runs, %llu needed a person at the end (state lost apart)\n", mode_names[m],
			(unsigned long long)sum.runs[m], (unsigned long long)sum.cared[m]);
	printf("%llu events, %llu acknowledged rows, %llu role changes, %llu forced takeovers, %.1f s\n",
		(unsigned long long)sum.events, (unsigned long long)sum.acked, (unsigned long long)sum.changes,
		(unsigned long long)sum.forces, (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9);
	printf("%llu passed, %llu failed\n", (unsigned long long)sum.passed, (unsigned long long)sum.failed);
	return sum.failed != 0;
}

static int run_one(uint64_t seed)
{
	static struct tally t;

	story = true;
	run_seed(seed, &t);
	if (t.failed)
		printf("seed %llu: %s\n", (unsigned long long)seed, t.shown[0].bad);
	printf("%llu passed, %llu failed\n", (unsigned long long)t.passed, (unsigned long long)t.failed);
	return t.failed != 0;
}

#ifdef CORE_BROKEN
struct core_rules core_broken;

static const struct {
	const char *name;
	size_t offset; /* of the switch in struct core_rules; none for the clocks */
} rules[] = {
	{ "term_check", offsetof(struct core_rules, no_term_check) },
	{ "lease_from_answer", offsetof(struct core_rules, lease_from_answer) },
	{ "half_promise", offsetof(struct core_rules, half_promise) },
	{ "clocks", SIZE_MAX },
	{ "boot_bid", offsetof(struct core_rules, boot_bid) },
	{ "vote_after_bid", offsetof(struct core_rules, vote_after_bid) },
	{ "solo_unwatched", offsetof(struct core_rules, solo_unwatched) },
	{ "mode_drop", offsetof(struct core_rules, mode_drop) },
	{ "gate_early", offsetof(struct core_rules, gate_early) },
	{ "keep_sync", offsetof(struct core_rules, keep_sync) },
	{ "sync_off_first", offsetof(struct core_rules, sync_off_first) },
	{ "config_blind", offsetof(struct core_rules, config_blind) },
	{ "flap_blind", offsetof(struct core_rules, flap_blind) },
	{ "veto_blind", offsetof(struct core_rules, veto_blind) },
	{ "witness_late", offsetof(struct core_rules, witness_late) },
	{ "fence_hope", offsetof(struct core_rules, fence_hope) },
	{ "word_for_ever", offsetof(struct core_rules, word_for_ever) },
	{ "alone_required", offsetof(struct core_rules, alone_required) },
	{ "aside_open", offsetof(struct core_rules, aside_open) },
	{ "bare_required", offsetof(struct core_rules, bare_required) },
};

/* True when the checks noticed. */
static bool run_broken(size_t r, uint64_t seeds)
{
	static struct tally t;
	uint64_t passed = 0, failed = 0;

	memset(&core_broken, 0, sizeof(core_broken));
	memset(&t, 0, sizeof(t));
	skew = rules[r].offset == SIZE_MAX ? 6 : 1;
	if (rules[r].offset != SIZE_MAX)
		*((bool *)((char *)&core_broken + rules[r].offset)) = true;
	run_directed(&passed, &failed, false);
	if (failed) {
		printf("%-18s caught by %llu of %llu directed runs\n", rules[r].name, (unsigned long long)failed,
			(unsigned long long)(passed + failed));
		return true;
	}
	for (uint64_t s = 1; s <= seeds; s++) {
		if (run_seed(s, &t))
			continue;
		printf("%-18s caught by seed %llu: %s\n", rules[r].name, (unsigned long long)s, t.shown[0].bad);
		return true;
	}
	printf("%-18s NOT caught in %llu seeds\n", rules[r].name, (unsigned long long)seeds);
	return false;
}

static int break_rules(const char *name, uint64_t seeds)
{
	unsigned caught = 0, missed = 0;

	for (size_t r = 0; r < ARRAY_LEN(rules); r++) {
		if (strcmp(name, "all") && strcmp(name, rules[r].name))
			continue;
		if (run_broken(r, seeds))
			caught++;
		else
			missed++;
		fflush(stdout);
	}
	printf("%u passed, %u failed\n", caught, missed);
	return missed || !caught;
}
#else
static int break_rules(const char *name, uint64_t seeds)
{
	(void)name;
	(void)seeds;
	fprintf(stderr, "this build has every rule: use the one that `make sim-broken` makes\n");
	return 2;
}
#endif

int main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "";

	if (!strcmp(mode, "--seed") && argc > 2) {
		packets = argc > 3 && !strcmp(argv[3], "-v");
		return run_one(strtoull(argv[2], NULL, 10));
	}
	if (!strcmp(mode, "--break") && argc > 2)
		return break_rules(argv[2], argc > 3 ? strtoull(argv[3], NULL, 10) : 20000);
	if (argc > 1 && mode[0] >= '0' && mode[0] <= '9')
		return run_many(strtoull(mode, NULL, 10), argc > 2 ? strtoull(argv[2], NULL, 10) : 1);
	fprintf(stderr, "usage: hactl-sim SEEDS [FIRST] | --seed N [-v] | --break RULE|all [SEEDS]\n");
	return 2;
}
