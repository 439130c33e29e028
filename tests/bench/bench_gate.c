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

static void report(const char *what, size_t vips, us_t *wall, size_t n, us_t cpu)
{
	qsort(wall, n, sizeof(*wall), by_size);
	printf("%-42s %2zu address%s  cpu %6.1f us  clock median %4lld  p99 %4lld  max %5lld us\n", what, vips,
		vips == 1 ? "  " : "es", (double)cpu / (double)n, (long long)wall[n / 2], (long long)wall[n * 99 / 100],
		(long long)wall[n - 1]);
}

enum { RENEWALS = 5000 };

static void specs(struct vip_spec *s, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		s[i] = (struct vip_spec){ .family = AF_INET, .prefix_len = 32, .interface = "eth0" };
		snprintf(s[i].address, sizeof(s[i].address), "10.77.0.%zu", 100 + i);
	}
}

static void bench_mnl(struct lab *b, size_t vips)
{
	static us_t wall[RENEWALS];
	struct vip_spec s[16];
	struct err e;
	specs(s, vips);
	lab_enter(b->host);
	struct gate *g = gate_new(b->loop, "bench", s, vips, 0, NULL, NULL, &e);
	LAB_MUST(g);
	us_t cpu = cpu_us();
	for (size_t i = 0; i < RENEWALS; i++) {
		us_t start = now_us();
		LAB_MUST(gate_open(g, start + US_PER_SEC, &e) == 0);
		wall[i] = now_us() - start;
	}
	cpu = cpu_us() - cpu;
	report("gate_open (libmnl, guard and renewal)", vips, wall, RENEWALS, cpu);
	gate_free(g);
}

static void bench_nft(struct lab *b, size_t vips)
{
	static us_t wall[RENEWALS];
	char elems[1024] = "", cmd[4096];
	size_t len = 0, n = RENEWALS / 5;
	for (size_t i = 0; i < vips; i++)
		str_add(elems, sizeof(elems), &len, "%s10.77.0.%zu timeout 1s", i ? ", " : "", 100 + i);
	snprintf(cmd, sizeof(cmd),
		"flush set inet bench alive\nadd element inet bench alive { %s }\nflush set arp bench alive\n"
		"add element arp bench alive { %s }\n",
		elems, elems);
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
	report("libnftables, same change without the guard", vips, wall, n, cpu);
	nft_ctx_free(c);
}

/* Does a datagram that is sent now get through and back? Delivery may be deferred a little on a busy machine: hence 2 ms. */
static bool passes(int client, int server)
{
	struct sockaddr_in to = lab_addr(VIP, 21000), from;
	socklen_t len = sizeof(from);
	char c[8];
	sendto(client, "x", 1, 0, (struct sockaddr *)&to, sizeof(to));
	if (!lab_ready(server, POLLIN, 2) ||
		recvfrom(server, c, sizeof(c), MSG_DONTWAIT, (struct sockaddr *)&from, &len) != 1)
		return false;
	sendto(server, "y", 1, 0, (struct sockaddr *)&from, len);
	return lab_ready(client, POLLIN, 2) && recv(client, c, sizeof(c), MSG_DONTWAIT) == 1;
}

static void bench_expiry(struct lab *b, struct gate *g, int client, int server, us_t lease, int rounds)
{
	struct err e;
	us_t best = INT64_MIN, worst = INT64_MAX;
	printf("lease %lld ms: last answer before its end (ms):", (long long)(lease / 1000));
	for (int i = 0; i < rounds; i++) {
		us_t until = now_us() + lease, last = 0;
		LAB_MUST(gate_open(g, until, &e) == 0);
		while (now_us() < until + 50 * US_PER_MS) {
			us_t before = now_us();
			if (passes(client, server))
				last = before;
		}
		us_t diff = last - until;
		best = diff > best ? diff : best;
		worst = diff < worst ? diff : worst;
		printf(" %.1f", (double)diff / 1000);
	}
	printf("\n  earliest %.1f, latest %.1f ms against the lease's end (negative: before it)\n",
		(double)worst / 1000, (double)best / 1000);
	(void)b;
}

/* A child renews a short lease as fast as it can and is stopped at random; nothing may pass after the last moment it ever asked for. */
static void bench_stops(struct lab *b, struct gate *g, int client, int server, int stops)
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
			passed += passes(client, server);
		kill(child, SIGSTOP);
		us_t stopped = now_us() + (rand() % 2 ? 20 : 90) * US_PER_MS;
		while (now_us() < stopped) {
			us_t before = now_us();
			if (passes(client, server)) {
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
	(void)b;
}

int main(void)
{
	struct err e;
	struct vip_spec s = { VIP, AF_INET, 32, "eth0" };
	struct lab *b = lab_new();
	for (size_t vips = 1; vips <= 4; vips *= 4) {
		bench_mnl(b, vips);
		bench_nft(b, vips);
		gate_remove("bench", NULL);
	}
	lab_sh(b->host, "ip addr add " VIP "/32 dev eth0");
	int server = lab_bind(b->host, SOCK_DGRAM, VIP, 21000),
	    client = lab_bind(b->client, SOCK_DGRAM, "10.77.0.2", 21001);
	lab_enter(b->host);
	struct gate *g = gate_new(b->loop, "bench", &s, 1, 0, NULL, NULL, &e);
	LAB_MUST(g && gate_open(g, now_us() + 10 * US_PER_SEC, &e) == 0);
	us_t end = now_us() + 5 * US_PER_SEC;
	while (!passes(client, server)) /* until the neighbour tables are filled */
		LAB_MUST(now_us() < end);
	bench_expiry(b, g, client, server, 500 * US_PER_MS, 12);
	bench_expiry(b, g, client, server, 1000 * US_PER_MS, 9);
	bench_stops(b, g, client, server, 300);
	gate_free(g);
	close(server);
	close(client);
	lab_free(b);
	return 0;
}
