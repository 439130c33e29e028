/* test_arbiter_etcd.c - the arbiter against real etcd servers: they are started here, frozen, killed, wiped. */
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

/* Below 32768, so that no outgoing connection of this machine sits on it. */
static int free_port(void)
{
	static uint32_t x;

	for (;;) {
		struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
		auto_close int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

		x = x ? x * 1664525u + 1013904223u : (uint32_t)getpid() * 2654435761u + (uint32_t)now_us();
		a.sin_port = htons((uint16_t)(12000 + x % 20000));
		if (bind(fd, (struct sockaddr *)&a, sizeof a) == 0)
			return ntohs(a.sin_port);
	}
}

static pid_t spawn(const char *dir, char *const argv[], bool quiet)
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

static int run(const char *dir, const char *command)
{
	char *argv[] = { "sh", "-c", (char *)command, NULL };
	int status;
	pid_t pid = spawn(dir, argv, true);

	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

static void member_start(struct etcd *s, int i)
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

static void member_kill(struct member *m)
{
	if (m->pid <= 0)
		return;
	kill(m->pid, SIGKILL);
	waitpid(m->pid, NULL, 0);
	m->pid = 0;
}

/* Stopped, not just about to be: otherwise one of its threads may still answer. */
static void freeze(const struct member *m)
{
	int status = 0;

	kill(m->pid, SIGSTOP);
	assert_int_equal(waitpid(m->pid, &status, WUNTRACED), m->pid);
	assert_true(WIFSTOPPED(status));
}

static void thaw(const struct member *m)
{
	kill(m->pid, SIGCONT);
}

static void etcd_prepare(struct etcd *s, int n, bool tls)
{
	*s = (struct etcd){ .n = n, .dir = "/tmp/hactl-arbiter-XXXXXX", .token = "one" };
	assert_non_null(mkdtemp(s->dir));
	for (int i = 0; i < n; i++)
		s->member[i] = (struct member){ .port = free_port(), .peer_port = free_port(), .tls = tls };
}

static void etcd_start(struct etcd *s, int n)
{
	etcd_prepare(s, n, false);
	for (int i = 0; i < n; i++)
		member_start(s, i);
}

static void etcd_stop(struct etcd *s)
{
	auto_free char *command = str_printf("rm -rf %s", s->dir);

	for (int i = 0; i < s->n; i++)
		member_kill(&s->member[i]);
	run("/tmp", command);
}

static int etcdctl(const struct etcd *s, const char *args)
{
	auto_free char *command =
		str_printf("ETCDCTL_API=3 etcdctl --endpoints=http://127.0.0.1:%d %s", s->member[0].port, args);

	return run(s->dir, command);
}

/* --- clients --------------------------------------------------------------------------------------------------------------- */

static void on_answer(void *arg, uint32_t id, enum reg_outcome outcome, int64_t rev, const struct reg_value *value)
{
	struct client *c = arg;

	assert_false(c->last.done); /* each exactly once */
	c->last = (struct answer){ .done = true, .id = id, .outcome = outcome, .rev = rev, .value = *value };
}

static void client_prepare(struct client *c, const struct etcd *s)
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

static void client_open(struct client *c)
{
	struct err e = { "" };

	c->a = arbiter_new(loop, c->conf, on_answer, c, &e);
	if (!c->a)
		fail_msg("%s", e.text);
}

static void client_start(struct client *c, const struct etcd *s)
{
	client_prepare(c, s);
	client_open(c);
}

static void client_stop(struct client *c)
{
	arbiter_free(c->a);
	free(c->conf);
}

static void await(struct client *c)
{
	us_t until = now_us() + BOUND;

	while (!c->last.done && now_us() < until)
		sd_event_run(loop_sd(loop), 50000);
	if (!c->last.done)
		fail_msg("no answer at all, not even \"unknown\"");
}

static enum reg_outcome read_now(struct client *c)
{
	c->last.done = false;
	arbiter_read(c->a, 1);
	assert_false(c->last.done); /* never from inside the call */
	await(c);
	return c->last.outcome;
}

static enum reg_outcome swap_now(struct client *c, int64_t rev, const struct reg_value *v)
{
	c->last.done = false;
	arbiter_cas(c->a, 2, rev, v);
	assert_false(c->last.done);
	await(c);
	return c->last.outcome;
}

static void pause_a_little(void)
{
	us_t until = now_us() + 20 * US_PER_MS;

	while (now_us() < until)
		sd_event_run(loop_sd(loop), 5000);
}

static void until_readable(struct client *c)
{
	us_t until = now_us() + BOUND;

	while (read_now(c) != REG_OK) {
		if (now_us() > until)
			fail_msg("etcd never answered: %s", arbiter_trouble(c->a));
		pause_a_little();
	}
}

/* As the core does it: what is unknown is read back, and tried again from what stands. Never lost: nobody else swaps. */
static void swap_settled(struct client *c, int64_t *rev, const struct reg_value *v)
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

static void says(const struct client *c, const char *word)
{
	if (!strstr(arbiter_trouble(c->a), word))
		fail_msg("\"%s\" does not say \"%s\"", arbiter_trouble(c->a), word);
}

static struct reg_value value_of(int holder, uint64_t nonce)
{
	return (struct reg_value){ .holder = (int8_t)holder,
		.mode = nonce % 2,
		.term = UINT64_MAX - nonce,
		.nonce = nonce,
		.sync = { .in_sync = nonce % 3 == 0, .standby = 1, .boot = UINT64_MAX, .db_start = -5, .seq = nonce } };
}

/* --- tests -------------------------------------------------------------------------------------------------------------------- */

static void create_swap_lose(void **state)
{
	struct reg_value a = value_of(0, 1), b = value_of(1, 2), c = value_of(0, 3);
	struct etcd s;
	struct client x;
	int64_t first, second;
	(void)state;

	etcd_start(&s, 1);
	client_start(&x, &s);
	until_readable(&x);
	assert_int_equal(x.last.rev, 0);		 /* absent */
	assert_int_equal(swap_now(&x, 7, &a), REG_LOST); /* a compare that etcd ignored would win here */
	assert_int_equal(x.last.rev, 0);
	assert_int_equal(swap_now(&x, 0, &a), REG_OK);
	first = x.last.rev;
	assert_true(first > 0);
	assert_int_equal(swap_now(&x, 0, &b), REG_LOST); /* no second creation */
	assert_int_equal(x.last.rev, first);
	assert_true(etcd_same_value(&x.last.value, &a));
	assert_int_equal(swap_now(&x, first, &b), REG_OK);
	second = x.last.rev;
	assert_true(second > first);
	assert_int_equal(swap_now(&x, first, &c), REG_LOST);
	assert_int_equal(x.last.rev, second);
	assert_true(etcd_same_value(&x.last.value, &b));
	assert_int_equal(swap_now(&x, second, &c), REG_OK); /* the returned revision is good for the next swap */
	assert_int_equal(read_now(&x), REG_OK);
	assert_true(etcd_same_value(&x.last.value, &c));
	/* the same entry again is this attempt's own copy that arrived first */
	assert_int_equal(swap_now(&x, first, &c), REG_OK);
	assert_string_equal(arbiter_trouble(x.a), "");
	client_stop(&x);
	etcd_stop(&s);
}

static void one_wins(void **state)
{
	struct etcd s;
	struct client x, y;
	int64_t rev = 0;
	int x_wins = 0;
	(void)state;

	etcd_start(&s, 1);
	client_start(&x, &s);
	client_start(&y, &s);
	until_readable(&x);
	for (uint64_t i = 0; i < 300; i++) {
		struct reg_value a = value_of(0, 1000 + i), b = value_of(1, 5000 + i);
		struct client *won, *lost;

		x.last.done = y.last.done = false;
		arbiter_cas(i % 2 ? x.a : y.a, 3, rev, i % 2 ? &a : &b);
		arbiter_cas(i % 2 ? y.a : x.a, 3, rev, i % 2 ? &b : &a);
		await(&x);
		await(&y);
		assert_true((x.last.outcome == REG_OK) != (y.last.outcome == REG_OK));
		won = x.last.outcome == REG_OK ? &x : &y;
		lost = won == &x ? &y : &x;
		x_wins += won == &x;
		assert_int_equal(lost->last.outcome, REG_LOST);
		assert_int_equal(lost->last.rev, won->last.rev);
		assert_true(etcd_same_value(&lost->last.value, won == &x ? &a : &b));
		rev = won->last.rev;
	}
	assert_in_range(x_wins, 1, 299);
	client_stop(&x);
	client_stop(&y);
	etcd_stop(&s);
}

static void frozen_server(void **state)
{
	struct reg_value a = value_of(0, 1), b = value_of(1, 2), c = value_of(0, 3);
	struct etcd s;
	struct client x;
	(void)state;

	etcd_start(&s, 1);
	client_prepare(&x, &s);
	x.conf->arbiter.timeout = 500 * US_PER_MS;
	client_open(&x);
	until_readable(&x);
	assert_int_equal(swap_now(&x, 0, &a), REG_OK);
	int64_t rev = x.last.rev;
	freeze(&s.member[0]);
	assert_int_equal(swap_now(&x, rev, &b), REG_UNKNOWN);
	says(&x, "no answer within 500ms");
	assert_int_equal(read_now(&x), REG_UNKNOWN);
	thaw(&s.member[0]);
	for (int tries = 0;; tries++) { /* the frozen swap may come to pass between the read and the next swap */
		until_readable(&x);	/* settles it: ours or still the old one */
		assert_true(etcd_same_value(&x.last.value, &b) ? x.last.rev > rev : x.last.rev == rev);
		if (swap_now(&x, x.last.rev, &c) == REG_OK)
			break;
		assert_int_equal(x.last.outcome, REG_LOST);
		assert_true(etcd_same_value(&x.last.value, &b) && tries == 0);
	}
	client_stop(&x);
	etcd_stop(&s);
}

static void killed_and_restarted(void **state)
{
	struct reg_value a = value_of(0, 1), b = value_of(1, 2);
	struct etcd s;
	struct client x, y;
	int64_t rev;
	(void)state;

	etcd_start(&s, 1);
	client_start(&x, &s);
	client_start(&y, &s);
	until_readable(&x);
	assert_int_equal(swap_now(&x, 0, &a), REG_OK);
	rev = x.last.rev;
	member_kill(&s.member[0]);
	assert_int_equal(swap_now(&x, rev, &b), REG_UNKNOWN);
	assert_true(arbiter_trouble(x.a)[0] != '\0');
	member_start(&s, 0);
	until_readable(&y);
	assert_int_equal(swap_now(&x, rev, &b), REG_OK);
	/* a kept connection whose server went and came back within its idle time: noticed when used, and asked again at once */
	member_kill(&s.member[0]);
	member_start(&s, 0);
	until_readable(&y);
	assert_int_equal(read_now(&x), REG_OK);
	assert_true(etcd_same_value(&x.last.value, &b));
	client_stop(&x);
	client_stop(&y);
	etcd_stop(&s);
}

static void three_members(void **state)
{
	struct etcd s;
	struct client x;
	int64_t rev = 0;
	(void)state;

	etcd_start(&s, MEMBERS);
	client_start(&x, &s);
	until_readable(&x);
	/* three copies each: two of them lose to the first, and it is still a win */
	for (uint64_t i = 1; i <= 100; i++) {
		struct reg_value v = value_of((int)(i % 2), i);

		swap_settled(&x, &rev, &v);
	}
	for (int frozen = 0; frozen < MEMBERS; frozen++) { /* one of them leads: then after an election */
		struct reg_value v = value_of(0, 1000 + (uint64_t)frozen);

		freeze(&s.member[frozen]);
		until_readable(&x);
		assert_int_equal(x.last.rev, rev);
		swap_settled(&x, &rev, &v);
		thaw(&s.member[frozen]);
		until_readable(&x);
		assert_true(etcd_same_value(&x.last.value, &v));
		assert_int_equal(x.last.rev, rev); /* copies that the frozen member sends on late change nothing */
	}
	freeze(&s.member[0]);
	freeze(&s.member[1]);
	assert_int_equal(read_now(&x), REG_UNKNOWN); /* a minority knows nothing */
	thaw(&s.member[0]);
	thaw(&s.member[1]);
	until_readable(&x);
	client_stop(&x);
	etcd_stop(&s);
}

static void wipe_and_start(struct etcd *s, const char *token)
{
	auto_free char *wipe = str_printf("rm -rf %s/m0", s->dir);

	member_kill(&s->member[0]);
	run("/tmp", wipe);
	STR_COPY(s->token, token);
	member_start(s, 0);
}

static void other_history(void **state)
{
	struct reg_value a = value_of(0, 1), b = value_of(1, 2);
	struct etcd s;
	struct client x, y;
	uint64_t cluster;
	(void)state;

	etcd_start(&s, 1);
	client_start(&x, &s);
	until_readable(&x);
	assert_int_equal(swap_now(&x, 0, &a), REG_OK);
	assert_int_equal(swap_now(&x, x.last.rev, &b), REG_OK);
	cluster = arbiter_cluster(x.a);
	assert_true(cluster != 0);

	wipe_and_start(&s, "one"); /* same names, same id, nothing in it */
	client_start(&y, &s);
	until_readable(&y);
	assert_int_equal(arbiter_cluster(y.a), cluster);
	assert_int_equal(read_now(&x), REG_UNKNOWN);
	says(&x, "fell");
	assert_int_equal(swap_now(&x, 0, &a), REG_UNKNOWN);

	wipe_and_start(&s, "two"); /* another cluster */
	client_stop(&y);
	client_start(&y, &s);
	until_readable(&y);
	assert_true(arbiter_cluster(y.a) != cluster);
	assert_int_equal(read_now(&x), REG_UNKNOWN);
	says(&x, "another etcd cluster");
	arbiter_expect(y.a, cluster);
	assert_int_equal(read_now(&y), REG_UNKNOWN);
	says(&y, "another etcd cluster");
	client_stop(&x);
	client_stop(&y);
	etcd_stop(&s);
}

static void foreign_entry(void **state)
{
	struct reg_value a = value_of(0, 1);
	struct etcd s;
	struct client x;
	(void)state;

	etcd_start(&s, 1);
	client_start(&x, &s);
	until_readable(&x);
	assert_int_equal(etcdctl(&s, "put /hactl/test/authority '{\"leader\": \"someone\"}'"), 0);
	assert_int_equal(read_now(&x), REG_UNKNOWN);
	says(&x, "not written by hactl");
	assert_int_equal(swap_now(&x, 0, &a), REG_UNKNOWN);
	assert_int_equal(etcdctl(&s, "get /hactl/test/authority | grep -q someone"), 0);
	client_stop(&x);
	etcd_stop(&s);
}

static void with_users(void **state)
{
	struct reg_value a = value_of(0, 1), b = value_of(1, 2);
	struct etcd s;
	struct client x, y, z;
	(void)state;

	etcd_start(&s, 1);
	client_start(&x, &s); /* nobody */
	until_readable(&x);
	client_prepare(&y, &s);
	STR_COPY(y.conf->arbiter.user, "hactl");
	STR_COPY(y.conf->arbiter.password, "p\"w");
	client_open(&y);
	assert_int_equal(read_now(&y), REG_OK); /* a user where none is asked for does no harm */
	assert_int_equal(etcdctl(&s, "user add root:root"), 0);
	assert_int_equal(etcdctl(&s, "user add hactl:'p\"w'"), 0);
	assert_int_equal(etcdctl(&s, "role add r"), 0);
	assert_int_equal(etcdctl(&s, "role grant-permission r --prefix=true readwrite /hactl/test"), 0);
	assert_int_equal(etcdctl(&s, "user grant-role hactl r"), 0);
	assert_int_equal(etcdctl(&s, "auth enable"), 0);
	assert_int_equal(read_now(&x), REG_UNKNOWN);
	says(&x, "user name is empty");
	assert_int_equal(swap_now(&y, 0, &a), REG_OK);
	client_prepare(&z, &s);
	STR_COPY(z.conf->arbiter.user, "hactl");
	STR_COPY(z.conf->arbiter.password, "wrong");
	client_open(&z);
	assert_int_equal(read_now(&z), REG_UNKNOWN);
	says(&z, "authentication failed");

	int64_t rev = y.last.rev;
	member_kill(&s.member[0]); /* forgets its tokens */
	member_start(&s, 0);
	us_t until = now_us() + BOUND;
	while (read_now(&z), !strstr(arbiter_trouble(z.a), "authentication failed")) {
		assert_true(now_us() < until);
		pause_a_little();
	}
	assert_int_equal(swap_now(&y, rev, &b), REG_OK);
	rev = y.last.rev;
	assert_int_equal(etcdctl(&s, "--user root:root user add later:x"), 0); /* makes every token old */
	assert_int_equal(swap_now(&y, rev, &a), REG_OK);
	client_stop(&x);
	client_stop(&y);
	client_stop(&z);
	etcd_stop(&s);
}

static void with_certificates(void **state)
{
	struct reg_value a = value_of(0, 1);
	struct etcd s;
	struct client x, y;
	(void)state;

	etcd_prepare(&s, 1, true);
	auto_free char *make = str_printf(
		"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=hactl "
		"-addext subjectAltName=IP:127.0.0.1 -keyout %s/key.pem -out %s/cert.pem",
		s.dir, s.dir);
	assert_int_equal(run(s.dir, make), 0);
	member_start(&s, 0);
	client_prepare(&x, &s);
	snprintf(x.conf->arbiter.ca_file, sizeof x.conf->arbiter.ca_file, "%s/cert.pem", s.dir);
	snprintf(x.conf->arbiter.cert_file, sizeof x.conf->arbiter.cert_file, "%s/cert.pem", s.dir);
	snprintf(x.conf->arbiter.cert_key_file, sizeof x.conf->arbiter.cert_key_file, "%s/key.pem", s.dir);
	client_open(&x);
	until_readable(&x);
	assert_int_equal(swap_now(&x, 0, &a), REG_OK);
	client_prepare(&y, &s); /* trusts nobody we know */
	client_open(&y);
	assert_int_equal(read_now(&y), REG_UNKNOWN);
	says(&y, "certificate");
	client_stop(&y);
	client_prepare(&y, &s); /* shows no certificate of its own */
	snprintf(y.conf->arbiter.ca_file, sizeof y.conf->arbiter.ca_file, "%s/cert.pem", s.dir);
	client_open(&y);
	assert_int_equal(read_now(&y), REG_UNKNOWN);
	client_stop(&x);
	client_stop(&y);
	etcd_stop(&s);
}

static void nobody_there(void **state)
{
	struct etcd s;
	struct client x;
	(void)state;

	etcd_prepare(&s, 2, false);
	client_start(&x, &s);
	assert_int_equal(read_now(&x), REG_UNKNOWN);
	says(&x, "connect");
	STR_COPY(x.conf->arbiter.endpoint[0], "gopher://127.0.0.1:1"); /* not ours to speak */
	arbiter_free(x.a);
	x.conf->arbiter.n_endpoints = 1;
	client_open(&x);
	assert_int_equal(read_now(&x), REG_UNKNOWN);
	arbiter_read(x.a, 9); /* freed while under way: no answer, no leak */
	client_stop(&x);
	etcd_stop(&s);
}

static int open_loop(void **state)
{
	struct err e;
	(void)state;

	loop = loop_new(&e);
	return loop ? 0 : -1;
}

static int close_loop(void **state)
{
	(void)state;
	loop_free(loop);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nobody_there),
		cmocka_unit_test(create_swap_lose),
		cmocka_unit_test(one_wins),
		cmocka_unit_test(frozen_server),
		cmocka_unit_test(killed_and_restarted),
		cmocka_unit_test(three_members),
		cmocka_unit_test(other_history),
		cmocka_unit_test(foreign_entry),
		cmocka_unit_test(with_users),
		cmocka_unit_test(with_certificates),
	};

	return cmocka_run_group_tests(tests, open_loop, close_loop);
}
