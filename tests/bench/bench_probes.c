/* bench_probes.c - what a probe costs: 1,000 a second against nginx on loopback, and HAProxy's checks at the same rate.
 *
 * usage: bench_probes [SECONDS [SPECS]]     (5 and 1,000; every spec is probed once a second)
 *
 * Printed: probes done, how many failed, and processor time (user and kernel) of the probing process per probe. HAProxy runs with
 * as many servers in one backend, one thread, `option httpchk`. nginx's own time is nobody's here.
 */
#include "tests/unit/probe_lab.h"

#include <sys/resource.h>

struct tally {
	long done, failed;
	us_t slowest;
	bool settled; /* counting begins when every spec has had its first result */
};

static void on_state(void *arg, size_t i, const struct probe_state *s, int was)
{
	struct tally *t = arg;

	(void)i;
	(void)was;
	if (!t->settled)
		return;
	t->done++;
	t->failed += !s->last.ok;
	if (s->last.took_us > t->slowest)
		t->slowest = s->last.took_us;
}

static us_t cpu_us(const struct rusage *u)
{
	return (u->ru_utime.tv_sec + u->ru_stime.tv_sec) * US_PER_SEC + u->ru_utime.tv_usec + u->ru_stime.tv_usec;
}

static void turn_until(us_t until)
{
	while (now_us() < until)
		if (sd_event_run(loop_sd(lab.loop), (uint64_t)US_PER_MS * 10) < 0)
			abort();
}

static pid_t start_nginx(int port)
{
	auto_free char *conf = str_printf("%s/nginx.conf", lab.dir);
	auto_free char *prefix = str_printf("%s/", lab.dir);
	FILE *f = fopen(conf, "w");

	fprintf(f,
		"daemon off; master_process off; worker_processes 1; pid %s/nginx.pid; error_log stderr crit;\n"
		"events { worker_connections 4096; }\n"
		"http { access_log off; server { listen 127.0.0.1:%d backlog=4096; location / { return 200 "
		"\"fine\\n\"; } location /count { stub_status; } } }\n",
		lab.dir, port);
	fclose(f);
	char *argv[] = { (char *)"/usr/sbin/nginx", (char *)"-p", prefix, (char *)"-c", conf, NULL };
	return lab_spawn(argv, -1, -1);
}

static void report(const char *what, long done, long failed, us_t cpu, double seconds)
{
	printf("%-24s %7ld probes in %.1f s  %4ld failed  %6.1f us of processor each\n", what, done, seconds, failed,
		done ? (double)cpu / (double)done : 0.0);
}

static void bench_kind(const char *what, enum probe_kind kind, int port, size_t n, int seconds)
{
	struct probe_spec *specs = xcalloc(n, sizeof(*specs));
	struct rusage before, after;
	struct tally t = { 0 };
	struct prober *p;
	us_t began;
	struct err e;

	for (size_t i = 0; i < n; i++)
		specs[i] = lab_spec(kind, port);
	p = prober_new(lab.loop, specs, n, on_state, &t, &e);
	if (!p) {
		fprintf(stderr, "%s\n", e.text);
		exit(1);
	}
	turn_until(now_us() + 2 * US_PER_SEC);
	t.settled = true;
	began = now_us();
	getrusage(RUSAGE_SELF, &before);
	turn_until(began + seconds * US_PER_SEC);
	getrusage(RUSAGE_SELF, &after);
	report(what, t.done, t.failed, cpu_us(&after) - cpu_us(&before), (double)(now_us() - began) / 1e6);
	printf("%-24s slowest %.1f ms, resident at most %ld MB\n", "", (double)t.slowest / 1e3, after.ru_maxrss / 1024);
	prober_free(p);
	free(specs);
}

/* --- HAProxy ------------------------------------------------------------------------------------------------------ */

static us_t cpu_of(pid_t pid)
{
	unsigned long user = 0, kernel = 0;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	FILE *f = fopen(path, "r");
	if (f) {
		if (fscanf(f, "%*d %*s %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &kernel) != 2)
			user = kernel = 0;
		fclose(f);
	}
	return (us_t)(user + kernel) * US_PER_SEC / sysconf(_SC_CLK_TCK);
}

/* Requests that nginx has answered so far, by its own count; our own question is one of them. */
static long requests(int port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	auto_close int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	static const char ask[] = "GET /count HTTP/1.0\r\n\r\n";
	char text[2048];
	size_t have = 0;
	ssize_t n;
	long count;

	a.sin_port = htons((uint16_t)port);
	if (connect(fd, (struct sockaddr *)&a, sizeof(a)) || write(fd, ask, sizeof(ask) - 1) < 0)
		return -1;
	while (have < sizeof(text) - 1 && (n = read(fd, text + have, sizeof(text) - 1 - have)) > 0)
		have += (size_t)n;
	text[have] = '\0';
	const char *at = strstr(text, "requests\n");
	return at && sscanf(at, "requests %*d %*d %ld", &count) == 1 ? count : -1;
}

static void bench_haproxy(int port, size_t n, int seconds)
{
	auto_free char *conf = str_printf("%s/haproxy.cfg", lab.dir);
	FILE *f = fopen(conf, "w");

	fprintf(f,
		"global\n nbthread 1\n maxconn 100\ndefaults\n mode http\n timeout client 5s\n timeout server 5s\n "
		"timeout connect 5s\n"
		"frontend f\n bind unix@%s/haproxy.sock\n default_backend b\n"
		"backend b\n option httpchk GET /\n http-check expect status 200-399\n",
		lab.dir);
	for (size_t i = 0; i < n; i++)
		fprintf(f, " server s%zu 127.0.0.1:%d check inter 1s\n", i, port);
	fclose(f);
	char *argv[] = { (char *)"/usr/sbin/haproxy", (char *)"-db", (char *)"-f", conf, NULL };
	pid_t pid = lab_spawn(argv, -1, -1);
	turn_until(now_us() + 3 * US_PER_SEC);
	us_t began = now_us(), cpu = cpu_of(pid);
	long done = requests(port);
	turn_until(began + seconds * US_PER_SEC);
	if (waitpid(pid, NULL, WNOHANG) == pid) {
		printf("HAProxy did not start with %s\n", conf);
		return;
	}
	cpu = cpu_of(pid) - cpu;
	done = requests(port) - done - 1;
	report("HAProxy http (inter 1s)", done, 0, cpu, (double)(now_us() - began) / 1e6);
	lab_end(&pid, SIGTERM);
}

int main(int argc, char **argv)
{
	int seconds = argc > 1 ? atoi(argv[1]) : 5;
	size_t n = argc > 2 ? (size_t)atol(argv[2]) : 1000;
	struct rlimit files = { 8192, 8192 };
	int port;

	if (seconds < 1 || n < 1) {
		fprintf(stderr, "usage: bench_probes [SECONDS [SPECS]]\n");
		return 2;
	}
	setrlimit(RLIMIT_NOFILE, &files);
	lab_setup(NULL);
	port = lab_free_port();
	pid_t nginx = start_nginx(port);
	struct probe_spec s = lab_spec(PK_HTTP, port);
	while (!lab_probe(&s).ok)
		;
	bench_kind("hactl http", PK_HTTP, port, n, seconds);
	bench_kind("hactl tcp", PK_TCP, port, n, seconds);
	if (access("/usr/sbin/haproxy", X_OK) == 0)
		bench_haproxy(port, n, seconds);
	lab_end(&nginx, SIGTERM);
	return lab_teardown(NULL);
}
