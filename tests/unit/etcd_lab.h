/* etcd_lab.h - for the arbiter's tests: real etcd servers in a folder of their own, clients that ask them and wait for the answer. */
#ifndef TESTS_UNIT_ETCD_LAB_H
#define TESTS_UNIT_ETCD_LAB_H

#include "tests/unit/ports.h"
#include "hactl/arbiter/etcd.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <systemd/sd-event.h>
#include <unistd.h>
#include <cmocka.h>

#define BOUND (30 * US_PER_SEC) /* for states to come about; nothing here measures time */

enum { MEMBERS = 3 };

struct member {
	pid_t pid;
	int port, peer_port;
	bool tls;
};

struct etcd {
	char dir[64];
	char token[64]; /* goes into the cluster's id */
	struct member member[MEMBERS];
	int n;
};

struct answer {
	bool done;
	uint32_t id;
	enum reg_outcome outcome;
	int64_t rev;
	struct reg_value value;
};

struct client {
	struct conf *conf;
	struct arbiter *a;
	struct answer last;
};

static struct loop *loop;

/* --- servers ------------------------------------------------------------------------------------------------------------- */

static inline pid_t spawn(const char *dir, char *const argv[], bool quiet)
{
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (quiet) {
		auto_free char *log = str_printf("%s/log", dir);
		int fd = open(log, O_CREAT | O_WRONLY | O_APPEND, 0600);

		dup2(fd, 1);
		dup2(fd, 2);
	}
	execvp(argv[0], argv);
	_exit(127);
}

static inline int run(const char *dir, const char *command)
{
	char *argv[] = { "sh", "-c", (char *)command, NULL };
	int status;
	pid_t pid = spawn(dir, argv, true);

	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

static inline void member_start(struct etcd *s, int i)
{
	struct member *m = &s->member[i];
	const char *scheme = m->tls ? "https" : "http";
	auto_free char *name = str_printf("m%d", i), *data = str_printf("%s/m%d", s->dir, i);
	auto_free char *client = str_printf("%s://127.0.0.1:%d", scheme, m->port);
	auto_free char *peer = str_printf("http://127.0.0.1:%d", m->peer_port);
	auto_free char *cert = str_printf("%s/cert.pem", s->dir), *key = str_printf("%s/key.pem", s->dir);
	char all[512] = "";
	size_t len = 0;

	for (int k = 0; k < s->n; k++)
		str_add(all, sizeof all, &len, "%sm%d=http://127.0.0.1:%d", k ? "," : "", k, s->member[k].peer_port);
	char *argv[] = { "etcd", "--unsafe-no-fsync", "--name", name, "--data-dir", data, "--listen-client-urls",
		client, "--advertise-client-urls", client, "--listen-peer-urls", peer, "--initial-advertise-peer-urls",
		peer, "--initial-cluster", all, "--initial-cluster-token", s->token, "--heartbeat-interval", "50",
		"--election-timeout", "500", "--bcrypt-cost", "4", m->tls ? "--cert-file" : NULL, cert, "--key-file",
		key, "--trusted-ca-file", cert, "--client-cert-auth", NULL };
	m->pid = spawn(s->dir, argv, true);
	assert_true(m->pid > 0);
}

static inline void member_kill(struct member *m)
{
	if (m->pid <= 0)
		return;
	kill(m->pid, SIGKILL);
	waitpid(m->pid, NULL, 0);
	m->pid = 0;
}

/* Stopped, not just about to be: otherwise one of its threads may still answer. */
static inline void freeze(const struct member *m)
{
	int status = 0;

	kill(m->pid, SIGSTOP);
	assert_int_equal(waitpid(m->pid, &status, WUNTRACED), m->pid);
	assert_true(WIFSTOPPED(status));
}

static inline void thaw(const struct member *m)
{
	kill(m->pid, SIGCONT);
}

static inline void etcd_prepare(struct etcd *s, int n, bool tls)
{
	*s = (struct etcd){ .n = n, .dir = "/tmp/hactl-arbiter-XXXXXX", .token = "one" };
	assert_non_null(mkdtemp(s->dir));
	for (int i = 0; i < n; i++)
		s->member[i] = (struct member){ .port = free_port(), .peer_port = free_port(), .tls = tls };
}

static inline void etcd_start(struct etcd *s, int n)
{
	etcd_prepare(s, n, false);
	for (int i = 0; i < n; i++)
		member_start(s, i);
}

static inline void etcd_stop(struct etcd *s)
{
	auto_free char *command = str_printf("rm -rf %s", s->dir);

	for (int i = 0; i < s->n; i++)
		member_kill(&s->member[i]);
	run("/tmp", command);
}

static inline int etcdctl(const struct etcd *s, const char *args)
{
	auto_free char *command =
		str_printf("ETCDCTL_API=3 etcdctl --endpoints=http://127.0.0.1:%d %s", s->member[0].port, args);

	return run(s->dir, command);
}

/* --- clients --------------------------------------------------------------------------------------------------------------- */

static inline void on_answer(void *arg, uint32_t id, enum reg_outcome outcome, int64_t rev, const struct reg_value *value)
{
	struct client *c = arg;

	assert_false(c->last.done); /* each exactly once */
	c->last = (struct answer){ .done = true, .id = id, .outcome = outcome, .rev = rev, .value = *value };
}

static inline void client_prepare(struct client *c, const struct etcd *s)
{
	memset(c, 0, sizeof *c);
	c->conf = xcalloc(1, sizeof *c->conf);
	STR_COPY(c->conf->arbiter.prefix, "/hactl/test");
	c->conf->arbiter.timeout = 3 * US_PER_SEC; /* generous: a busy machine must not turn an answer into "unknown" */
	c->conf->arbiter.n_endpoints = s->n;
	for (int i = 0; i < s->n; i++)
		snprintf(c->conf->arbiter.endpoint[i], sizeof c->conf->arbiter.endpoint[i], "%s://127.0.0.1:%d%s",
			s->member[i].tls ? "https" : "http", s->member[i].port, i % 2 ? "/" : "");
}

static inline void client_open(struct client *c)
{
	struct err e = { "" };

	c->a = arbiter_new(loop, c->conf, on_answer, c, &e);
	if (!c->a)
		fail_msg("%s", e.text);
}

static inline void client_start(struct client *c, const struct etcd *s)
{
	client_prepare(c, s);
	client_open(c);
}

static inline void client_stop(struct client *c)
{
	arbiter_free(c->a);
	free(c->conf);
}

static inline void await(struct client *c)
{
	us_t until = now_us() + BOUND;

	while (!c->last.done && now_us() < until)
		sd_event_run(loop_sd(loop), 50000);
	if (!c->last.done)
		fail_msg("no answer at all, not even \"unknown\"");
}

static inline enum reg_outcome read_now(struct client *c)
{
	c->last.done = false;
	arbiter_read(c->a, 1);
	assert_false(c->last.done); /* never from inside the call */
	await(c);
	return c->last.outcome;
}

static inline enum reg_outcome swap_now(struct client *c, int64_t rev, const struct reg_value *v)
{
	c->last.done = false;
	arbiter_cas(c->a, 2, rev, v);
	assert_false(c->last.done);
	await(c);
	return c->last.outcome;
}

static inline void pause_a_little(void)
{
	us_t until = now_us() + 20 * US_PER_MS;

	while (now_us() < until)
		sd_event_run(loop_sd(loop), 5000);
}

static inline void until_readable(struct client *c)
{
	us_t until = now_us() + BOUND;

	while (read_now(c) != REG_OK) {
		if (now_us() > until)
			fail_msg("etcd never answered: %s", arbiter_trouble(c->a));
		pause_a_little();
	}
}

/* As the core does it: what is unknown is read back, and tried again from what stands. Never lost: nobody else swaps. */
static inline void swap_settled(struct client *c, int64_t *rev, const struct reg_value *v)
{
	us_t until = now_us() + BOUND;

	while (swap_now(c, *rev, v) != REG_OK) {
		assert_int_equal(c->last.outcome, REG_UNKNOWN);
		assert_true(now_us() < until);
		until_readable(c);
		*rev = c->last.rev;
		if (etcd_same_value(&c->last.value, v))
			return;
	}
	assert_true(c->last.rev > *rev);
	*rev = c->last.rev;
}

static inline void says(const struct client *c, const char *word)
{
	if (!strstr(arbiter_trouble(c->a), word))
		fail_msg("\"%s\" does not say \"%s\"", arbiter_trouble(c->a), word);
}

static inline struct reg_value value_of(int holder, uint64_t nonce)
{
	return (struct reg_value){ .holder = (int8_t)holder,
		.mode = nonce % 2,
		.term = UINT64_MAX - nonce,
		.nonce = nonce,
		.sync = { .in_sync = nonce % 3 == 0, .standby = 1, .boot = UINT64_MAX, .db_start = -5, .seq = nonce } };
}

#endif
