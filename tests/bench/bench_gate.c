/* bench_gate.c - what a renewal of the gate costs, and how exactly it ends. Needs root; works in namespaces of its own.
 *
 * Printed: microseconds of processor time (user and kernel, of this process) and of the clock per renewal, by gate_open (libmnl, two
 * transactions) and by the same change through libnftables (one transaction, no guard), alone and with others listening; then rounds
 * of expiry with a UDP echo through a veth pair, and a run in which the renewing process is stopped at random moments.
 */
#include "tests/unit/vip_lab.h"

#include <nftables/libnftables.h>
#include <signal.h>
#include <sys/mman.h>
#include <time.h>

static us_t cpu_us(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return t.tv_sec * US_PER_SEC + t.tv_nsec / 1000;
}

static int by_size(const void *a, const void *b)
{
	us_t x = *(const us_t *)a, y = *(const us_t *)b;
	return x < y ? -1 : x > y;
}

struct load { /* what is gated */
	size_t four, six, ports;
};

static void report(const char *what, struct load o, us_t *wall, size_t n, us_t cpu)
{
	qsort(wall, n, sizeof(*wall), by_size);
	printf("%-42s %zu IPv4 %zu IPv6 %zu ports  cpu %6.1f us  clock median %4lld  p99 %4lld  max %5lld us\n", what,
		o.four, o.six, o.ports, (double)cpu / (double)n, (long long)wall[n / 2], (long long)wall[n * 99 / 100],
		(long long)wall[n - 1]);
}

enum { RENEWALS = 5000 };

static const uint16_t ports[] = { 3306, 6379 };

static void specs(struct vip_spec *s, struct load o)
{
	for (size_t i = 0; i < o.four + o.six; i++) {
		bool six = i >= o.four;
		s[i] = (struct vip_spec){
			.family = six ? AF_INET6 : AF_INET, .prefix_len = six ? 128 : 32, .interface = "eth0"
		};
		snprintf(s[i].address, sizeof(s[i].address), "%s%zu", six ? "fd77::" : "10.77.0.", 100 + i);
	}
}

static void bench_mnl(struct lab *b, struct load o)
{
	static us_t wall[RENEWALS];
	struct vip_spec s[16];
	struct gate_spec gs = { .vip = s, .n_vips = o.four + o.six, .port = ports, .n_ports = o.ports };
	struct err e;
	specs(s, o);
	lab_enter(b->host);
	struct gate *g = gate_new(b->loop, "bench", &gs, 0, NULL, NULL, &e);
	LAB_MUST(g);
	us_t cpu = cpu_us();
	for (size_t i = 0; i < RENEWALS; i++) {
		us_t start = now_us();
		LAB_MUST(gate_open(g, start + US_PER_SEC, &e) == 0);
		wall[i] = now_us() - start;
	}
	cpu = cpu_us() - cpu;
	report("gate_open (libmnl, guard and renewal)", o, wall, RENEWALS, cpu);
	gate_free(g);
}

static size_t nft_change(char *cmd, size_t size, const struct vip_spec *s, struct load o)
{
	static const char *const sets[] = { "inet bench alive", "arp bench alive", "inet bench alive6" };
	size_t len = 0;
	for (size_t k = 0; k < ARRAY_LEN(sets); k++) {
		size_t from = k == 2 ? o.four : 0, to = k == 2 ? o.four + o.six : o.four;
		if (from == to)
			continue;
		str_add(cmd, size, &len, "flush set %s\nadd element %s { ", sets[k], sets[k]);
		for (size_t i = from; i < to; i++)
			str_add(cmd, size, &len, "%s%s timeout 1s", i > from ? ", " : "", s[i].address);
		str_add(cmd, size, &len, " }\n");
	}
	return len;
}

static void bench_nft(struct lab *b, struct load o)
{
	static us_t wall[RENEWALS];
	char cmd[8192];
	struct vip_spec s[16];
	size_t n = RENEWALS / 5;
	specs(s, o);
	nft_change(cmd, sizeof(cmd), s, o);
	lab_enter(b->host);
	struct nft_ctx *c = nft_ctx_new(NFT_CTX_DEFAULT);
	LAB_MUST(c);
	us_t cpu = cpu_us();
	for (size_t i = 0; i < n; i++) {
		us_t start = now_us();
		LAB_MUST(nft_run_cmd_from_buffer(c, cmd) == 0);
		wall[i] = now_us() - start;
	}
	cpu = cpu_us() - cpu;
	report("libnftables, same change without the guard", o, wall, n, cpu);
	nft_ctx_free(c);
}

/* --- the end ------------------------------------------------------------------------------------------------------------ */

struct echo {
	const struct lab_net *n;
	int client, server;
};

static struct echo echo_open(struct lab *b, const struct lab_net *n)
{
	lab_sh(b->host, "ip addr add %s/%d dev eth0", n->vip, n->len);
	return (struct echo){ n, lab_bind(b->client, SOCK_DGRAM, n->client, 21001),
		lab_bind(b->host, SOCK_DGRAM, n->vip, 21000) };
}

/* Does a datagram that is sent now get through and back? Delivery may be deferred a little on a busy machine: hence 2 ms. */
static bool passes(struct echo x)
{
	struct sockaddr_storage to = lab_addr(x.n->vip, 21000), from;
	socklen_t len = sizeof(from);
	char c[8];
	sendto(x.client, "x", 1, 0, (struct sockaddr *)&to, sizeof(to));
	if (!lab_ready(x.server, POLLIN, 2) ||
		recvfrom(x.server, c, sizeof(c), MSG_DONTWAIT, (struct sockaddr *)&from, &len) != 1)
		return false;
	sendto(x.server, "y", 1, 0, (struct sockaddr *)&from, len);
	return lab_ready(x.client, POLLIN, 2) && recv(x.client, c, sizeof(c), MSG_DONTWAIT) == 1;
}

static void bench_expiry(struct gate *g, struct echo x, us_t lease, int rounds)
{
	struct err e;
	us_t best = INT64_MIN, worst = INT64_MAX;
	printf("IPv%d, lease %lld ms: last answer against its end (ms):", x.n->family == AF_INET ? 4 : 6,
		(long long)(lease / 1000));
	for (int i = 0; i < rounds; i++) {
		us_t until = now_us() + lease, last = 0;
		LAB_MUST(gate_open(g, until, &e) == 0);
		while (now_us() < until + 50 * US_PER_MS) {
			us_t before = now_us();
			if (passes(x))
				last = before;
		}
		us_t diff = last - until;
		best = diff > best ? diff : best;
		worst = diff < worst ? diff : worst;
		printf(" %.1f", (double)diff / 1000);
	}
	printf("\n  earliest %.1f, latest %.1f ms against the lease's end (negative: before it)\n",
		(double)worst / 1000, (double)best / 1000);
}

/* A child renews a short lease as fast as it can and is stopped at random; nothing may pass after the last moment it ever asked for. */
static void bench_stops(struct gate *g, struct echo x, int stops)
{
	_Atomic us_t *asked = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	us_t lease = 60 * US_PER_MS, over = 0, passed = 0;
	int late = 0;
	LAB_MUST(asked != MAP_FAILED);
	srand(7);
	pid_t child = fork();
	LAB_MUST(child >= 0);
	if (child == 0) {
		for (;;) {
			us_t until = now_us() + lease;
			*asked = until;
			gate_open(g, until, NULL);
		}
	}
	for (int i = 0; i < stops; i++) {
		us_t run = now_us() + 2000 + rand() % 20000;
		while (now_us() < run)
			passed += passes(x);
		kill(child, SIGSTOP);
		us_t stopped = now_us() + (rand() % 2 ? 20 : 90) * US_PER_MS;
		while (now_us() < stopped) {
			us_t before = now_us();
			if (passes(x)) {
				us_t diff = before - *asked;
				late += diff >= 0;
				over = diff > over ? diff : over;
			}
		}
		kill(child, SIGCONT);
	}
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	printf("%d random stops of the renewing process, lease 60 ms: %lld answers while it ran, %d after a lease's "
	       "end (latest by %.1f ms)\n",
		stops, (long long)passed, late, (double)over / 1000);
}

/* --- made again ------------------------------------------------------------------------------------------------------------ */

struct remade {
	struct gate *g;
	us_t took; /* 0: not yet */
};

static void on_broken(void *arg)
{
	struct remade *r = arg;
	us_t start = now_us();
	LAB_MUST(gate_open(r->g, start + 60 * US_PER_SEC, NULL) == 0);
	r->took = now_us() - start;
}

static bool is_remade(void *arg)
{
	return ((struct remade *)arg)->took > 0;
}

/* From the end of `nft flush ruleset` until the gate stands and is open again, as the loop comes to it. */
static void bench_remake(struct lab *b, const struct gate_spec *spec)
{
	static us_t wall[50];
	us_t longest = 0;
	for (size_t i = 0; i < ARRAY_LEN(wall); i++) {
		struct remade r = { 0 };
		lab_enter(b->host);
		r.g = gate_new(b->loop, "bench", spec, now_us() + 60 * US_PER_SEC, on_broken, &r, NULL);
		LAB_MUST(r.g);
		lab_sh(b->host, "nft flush ruleset");
		us_t start = now_us();
		LAB_MUST(lab_until(b, is_remade, &r));
		wall[i] = now_us() - start;
		longest = r.took > longest ? r.took : longest;
		gate_free(r.g);
	}
	qsort(wall, ARRAY_LEN(wall), sizeof(*wall), by_size);
	printf("ruleset flushed, seen, gate whole and open again: median %lld, longest %lld us (of it the making: at "
	       "most %lld us)\n",
		(long long)wall[ARRAY_LEN(wall) / 2], (long long)wall[ARRAY_LEN(wall) - 1], (long long)longest);
}

int main(void)
{
	static const struct load loads[] = { { 1, 0, 0 }, { 0, 1, 0 }, { 4, 0, 0 }, { 1, 1, 2 }, { 4, 4, 2 } };
	struct err e;
	struct vip_spec s[] = { { VIP, AF_INET, 32, "eth0" }, { "fd77::100", AF_INET6, 128, "eth0" } };
	struct gate_spec both = { .vip = s, .n_vips = 2 };
	struct lab *b = lab_new();
	for (size_t i = 0; i < ARRAY_LEN(loads); i++) {
		bench_mnl(b, loads[i]);
		bench_nft(b, loads[i]);
		gate_remove("bench", NULL);
	}
	bench_remake(b, &both);
	struct echo x[] = { echo_open(b, &lab_v4), echo_open(b, &lab_v6) };
	lab_enter(b->host);
	struct gate *g = gate_new(b->loop, "bench", &both, 0, NULL, NULL, &e);
	LAB_MUST(g && gate_open(g, now_us() + 10 * US_PER_SEC, &e) == 0);
	for (size_t i = 0; i < ARRAY_LEN(x); i++) {
		us_t end = now_us() + 5 * US_PER_SEC;
		LAB_MUST(gate_open(g, now_us() + 10 * US_PER_SEC, &e) == 0);
		while (!passes(x[i])) /* until the neighbour tables are filled */
			LAB_MUST(now_us() < end);
		bench_expiry(g, x[i], 200 * US_PER_MS, 15);
		bench_expiry(g, x[i], 500 * US_PER_MS, 12);
		bench_expiry(g, x[i], 1000 * US_PER_MS, 9);
		bench_stops(g, x[i], 300);
	}
	gate_free(g);
	lab_free(b);
	return 0;
}
