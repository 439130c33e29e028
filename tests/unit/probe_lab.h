/* probe_lab.h - for the probes' tests: real servers as children that end with the test, and one probe at a time. */
#ifndef TESTS_PROBE_LAB_H
#define TESTS_PROBE_LAB_H

#include "probes/probes.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#include <cmocka.h>

#define LAB_BOUND (20 * US_PER_SEC) /* a state that has not come by then does not come */

struct lab_port {
	char name[32];
	int port;
};

struct lab {
	char dir[64];
	struct loop *loop;
	pid_t python;
	int python_in;
	struct lab_port ports[32];
	size_t n_ports;
};

static struct lab lab;

static inline void lab_turn(void)
{
	assert_true(sd_event_run(loop_sd(lab.loop), 100000) >= 0);
}

/* argv[0] by path. in and out become standard input and output unless negative. */
static inline pid_t lab_spawn(char *const argv[], int in, int out)
{
	pid_t parent = getpid(), pid = fork();

	assert_true(pid >= 0);
	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	int null = open("/dev/null", O_RDWR);
	dup2(in >= 0 ? in : null, 0);
	dup2(out >= 0 ? out : null, 1);
	if (out < 0)
		dup2(null, 2);
	execv(argv[0], argv);
	_exit(127);
}

static inline void lab_end(pid_t *pid, int sig)
{
	if (*pid <= 0)
		return;
	kill(*pid, sig);
	kill(*pid, SIGCONT);
	waitpid(*pid, NULL, 0);
	*pid = 0;
}

static inline void lab_run(const char *command)
{
	if (system(command) != 0)
		fail_msg("failed: %s", command);
}

/* A free port below the ephemeral range. */
static inline int lab_free_port(void)
{
	for (;;) {
		struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), port = 20000 + (int)(now_us() % 12000);

		a.sin_port = htons((uint16_t)port);
		int taken = bind(fd, (struct sockaddr *)&a, sizeof(a));
		close(fd);
		if (!taken)
			return port;
	}
}

static inline int lab_port(const char *name)
{
	for (size_t i = 0; i < lab.n_ports; i++)
		if (str_eq(lab.ports[i].name, name))
			return lab.ports[i].port;
	fail_msg("no server \"%s\"", name);
	return 0;
}

/* Makes a certificate for app.example and 127.0.0.1, starts every server of probe_servers.py. */
static inline void lab_servers(void)
{
	auto_free char *openssl =
		str_printf("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout %s/good.key "
			   "-out %s/good.pem -days 2 "
			   "-subj /CN=app.example -addext subjectAltName=DNS:app.example,IP:127.0.0.1 2>/dev/null && "
			   "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout %s/other.key "
			   "-out %s/other.pem -days 2 "
			   "-subj /CN=other 2>/dev/null",
			lab.dir, lab.dir, lab.dir, lab.dir);
	char script[512], line[128];
	int in[2], out[2];

	lab_run(openssl);
	snprintf(script, sizeof(script), "%.*s/probe_servers.py", (int)(strrchr(__FILE__, '/') - __FILE__), __FILE__);
	assert_int_equal(pipe2(in, O_CLOEXEC) | pipe2(out, O_CLOEXEC), 0);
	char *argv[] = { (char *)"/usr/bin/python3", script, lab.dir, NULL };
	lab.python = lab_spawn(argv, in[0], out[1]);
	lab.python_in = in[1];
	close(in[0]);
	close(out[1]);
	FILE *f = fdopen(out[0], "r");
	while (fgets(line, sizeof(line), f) && !str_starts(line, "ready")) {
		assert_true(lab.n_ports < ARRAY_LEN(lab.ports));
		struct lab_port *p = &lab.ports[lab.n_ports++];
		assert_int_equal(sscanf(line, "%31s %d", p->name, &p->port), 2);
	}
	fclose(f);
	assert_true(lab.n_ports > 0);
}

static inline int lab_setup(void **state)
{
	(void)state;
	strcpy(lab.dir, "/tmp/hactl-probes-XXXXXX");
	assert_non_null(mkdtemp(lab.dir));
	lab.loop = loop_new(NULL);
	assert_non_null(lab.loop);
	lab.python_in = -1;
	return 0;
}

static inline int lab_remove(const char *path, const struct stat *st, int kind, struct FTW *at)
{
	(void)st;
	(void)kind;
	(void)at;
	return remove(path);
}

static inline int lab_teardown(void **state)
{
	(void)state;
	if (lab.python_in >= 0)
		close(lab.python_in);
	lab_end(&lab.python, SIGKILL);
	loop_free(lab.loop);
	nftw(lab.dir, lab_remove, 8, FTW_DEPTH | FTW_PHYS);
	return 0;
}

/* --- one probe ---------------------------------------------------------------------------------------------------- */

struct lab_answer {
	int times;
	struct probe_result result;
};

static inline void lab_on_result(void *arg, const struct probe_result *r)
{
	struct lab_answer *a = arg;
	a->times++;
	a->result = *r;
}

static inline struct probe_result lab_probe(const struct probe_spec *s)
{
	struct lab_answer a = { 0 };
	us_t until = now_us() + LAB_BOUND;
	struct err e;

	if (probe_once(lab.loop, s, lab_on_result, &a, &e))
		fail_msg("%s", e.text);
	assert_int_equal(a.times, 0); /* never from within */
	while (!a.times && now_us() < until)
		lab_turn();
	assert_int_equal(a.times, 1);
	return a.result;
}

static inline struct probe_spec lab_spec(enum probe_kind kind, int port)
{
	return (struct probe_spec){ .name = "p",
		.kind = kind,
		.host = "127.0.0.1",
		.port = port,
		.interval = US_PER_SEC,
		.timeout = 10 * US_PER_SEC,
		.fall = 3,
		.rise = 2 };
}

/* Waits until a server that was just started answers. */
static inline void lab_await(const struct probe_spec *s)
{
	us_t until = now_us() + LAB_BOUND;

	while (!lab_probe(s).ok)
		if (now_us() > until)
			fail_msg("a server did not come up");
}

#define expect_probe(what, spec, good, at, says)                                                                       \
	do {                                                                                                           \
		struct probe_result got_ = lab_probe(spec);                                                            \
		if (got_.ok != (good) || got_.layer != (at) || !strstr(got_.detail, says))                             \
			fail_msg("%s: ok %d, layer %s, \"%s\"", what, got_.ok, probe_layer_names[got_.layer],          \
				got_.detail);                                                                          \
		assert_true(got_.took_us >= 0);                                                                        \
	} while (0)

#endif
