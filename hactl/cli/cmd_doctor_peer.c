/* cmd_doctor_peer.c - the other node, the arbiter, and the proxies here: what answers, and whether both nodes mean the same. */
#include "hactl/cli/cmd_doctor.h"

#include "hactl/arbiter/arbiter.h"
#include "hactl/control/control.h"
#include "hactl/control/peek.h"
#include "hactl/upstream/haproxy.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#define TEST_TIMEOUT (10 * US_PER_SEC)
enum { UDP_WAIT_MS = 300, FILE_MAX = 4 * 1024 * 1024 };

/* --- the other node ------------------------------------------------------------------------------------------------------------ */

void judge_status_peer(const json_t *status, struct verdict *v)
{
	const char *state = peek_text(status, "peer", "state");
	if (str_eq(state, "alive")) {
		say_ok(v, "alive, %s", peek_text(status, "peer", "role"));
		return;
	}
	say_wrong(v, "the supervisor here hears no heartbeats of %s (%s)", peek_text(status, "peer", "name"), state);
	say_fix(v, "there: systemctl status hactl; between the two: UDP on heartbeat.port must pass both ways, and "
		   "both need the same cluster.key");
}

/* An empty datagram: a supervisor counts it as foreign and does nothing; a closed port answers by ICMP. */
static int udp_refused(const char *address, int port)
{
	struct sockaddr_in a4 = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	struct sockaddr_in6 a6 = { .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port) };
	bool v6 = inet_pton(AF_INET, address, &a4.sin_addr) != 1;
	char byte;
	inet_pton(AF_INET6, address, &a6.sin6_addr);
	auto_close int fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int r = v6 ? connect(fd, (struct sockaddr *)&a6, sizeof(a6)) : connect(fd, (struct sockaddr *)&a4, sizeof(a4));
	struct pollfd p = { .fd = fd, .events = POLLIN };
	if (r < 0 || send(fd, "", 0, MSG_NOSIGNAL) < 0)
		return errno;
	if (poll(&p, 1, UDP_WAIT_MS) <= 0)
		return 0;
	return recv(fd, &byte, 1, MSG_DONTWAIT) < 0 ? errno : 0;
}

static void check_heartbeat(const struct host_view *h, struct verdict *v)
{
	const struct conf_node *peer = &h->conf->node[1 - h->me];
	if (h->status) {
		judge_status_peer(h->status, v);
		return;
	}
	int error = udp_refused(peer->address, h->conf->heartbeat_port);
	if (error) {
		say_wrong(v, "no supervisor takes heartbeats on %s port %d: %s", peer->address, h->conf->heartbeat_port,
			strerror(error));
		say_fix(v, "on %s: systemctl enable --now hactl", peer->name);
	} else {
		say_unseen(v, "%s port %d does not refuse (more is known when a supervisor runs here)", peer->address,
			h->conf->heartbeat_port);
	}
}

static void check_configuration(const struct host_view *h, struct verdict *v)
{
	if (!h->status) {
		say_unseen(v, "compared when a supervisor runs here");
	} else if (peek_true(h->status, "config_differs", NULL)) {
		say_wrong(v, "the two nodes run with different configurations: nothing changes by itself");
		say_fix(v, "hactl status names the sections; copy %s to %s and restart hactl there", h->conf->file,
			h->conf->node[1 - h->me].name);
	} else if (!str_eq(peek_text(h->status, "peer", "state"), "alive")) {
		say_note(v, "the other node has not told its own yet");
		say_fix(v, "what stands under heartbeat; then again");
	} else {
		say_ok(v, "the same on both");
	}
}

static void check_paused(const struct host_view *h, struct verdict *v)
{
	if (!h->status) {
		say_unseen(v, "known when a supervisor runs here");
		return;
	}
	if (!peek_true(h->status, "paused", NULL)) {
		say_ok(v, "no");
		return;
	}
	say_note(v, "automatic role changes are paused");
	say_fix(v, "hactl resume");
}

struct asked {
	bool done, answered;
};

static void on_register(void *arg, uint32_t id, enum reg_outcome outcome, int64_t rev, const struct reg_value *value)
{
	struct asked *a = arg;
	(void)id;
	(void)rev;
	(void)value;
	a->answered = outcome == REG_OK;
	a->done = true;
}

static void check_arbiter(const struct host_view *h, struct verdict *v)
{
	struct asked asked = { 0 };
	struct err e;
	if (h->conf->authority != AUTHORITY_ARBITER) {
		say_ok(v, "none is configured");
		return;
	}
	struct arbiter *a = arbiter_new(h->loop, h->conf, on_register, &asked, &e);
	if (a) {
		arbiter_read(a, 1);
		loop_until(h->loop, &asked.done);
	}
	if (asked.answered)
		say_ok(v, "answers");
	else
		say_wrong(v, "it does not answer: %.300s", a ? arbiter_trouble(a) : e.text);
	arbiter_free(a);
	if (v->severity == SEV_WRONG)
		say_fix(v, "on its machine: systemctl status etcd; then authority.arbiter in %s", h->conf->file);
}

void doctor_peer(const struct host_view *h, struct report *r)
{
	static const struct {
		const char *title;
		void (*judge)(const struct host_view *h, struct verdict *v);
	} checks[] = {
		{ "heartbeat", check_heartbeat },
		{ "configuration", check_configuration },
		{ "paused", check_paused },
		{ "arbiter", check_arbiter },
	};
	for (size_t i = 0; i < ARRAY_LEN(checks); i++)
		checks[i].judge(h, report_add(r, "the pair", checks[i].title));
}

/* --- the proxies ------------------------------------------------------------------------------------------------------------------- */

struct trial {
	struct loop *loop;
	bool done;
	struct verdict *v;
	const struct conf_upstream *u;
};

static void on_test(void *arg, const struct proc_result *r)
{
	struct trial *t = arg;
	t->done = true;
	if (r->status == 0 && !r->timed_out)
		return;
	say_wrong(t->v, "`%s` fails%s: %.250s", t->u->test, r->timed_out ? " (no end within 10 s)" : "", r->output);
	say_fix(t->v, "%s", t->u->test);
}

/* The file as it stands, and the proxy's own test of it: nothing is written. */
static void try_nginx(struct trial *t)
{
	auto_free char *text = NULL;
	struct server_want now[CONF_MAX_SERVERS];
	size_t len;
	struct err e;
	if (file_read(t->u->file, FILE_MAX, &text, &len, &e) < 0 || nginx_read(text, len, t->u, now, &e) < 0) {
		say_wrong(t->v, "%.400s", e.text);
		say_fix(t->v,
			"an `upstream %s { ... }` in %s with a `server` line for each address under upstreams.servers",
			t->u->name, t->u->file);
		return;
	}
	say_ok(t->v, "%s has the block and its servers%s", t->u->file, *t->u->test ? ", and its test passes" : "");
	if (!*t->u->test)
		return;
	if (proc_start(t->loop, t->u->test, NULL, NULL, TEST_TIMEOUT, on_test, t, &e))
		loop_until(t->loop, &t->done);
	else
		say_wrong(t->v, "`%s` cannot be started: %.300s", t->u->test, e.text);
}

static void on_haproxy(void *arg, const char *answer, const char *error)
{
	struct trial *t = arg;
	struct haproxy_server now[CONF_MAX_SERVERS];
	struct err e = { "" };
	t->done = true;
	if (answer && haproxy_parse(answer, t->u, now, &e) == 0) {
		say_ok(t->v, "the backend and its servers answer on %s", t->u->socket);
		return;
	}
	say_wrong(t->v, "%.400s", answer ? e.text : error);
	say_fix(t->v, "in haproxy.cfg: global, stats socket %s level admin; and a backend %s with the servers named",
		t->u->socket, t->u->name);
}

static void try_haproxy(struct trial *t)
{
	auto_free char *command = str_printf("show servers state %s", t->u->name);
	haproxy_ask(t->loop, t->u->socket, command, on_haproxy, t);
	loop_until(t->loop, &t->done);
}

void doctor_upstreams(const struct host_view *h, struct report *r)
{
	static void (*const tries[])(
		struct trial *) = { [UPSTREAM_NGINX] = try_nginx, [UPSTREAM_HAPROXY] = try_haproxy };
	char area[NAME_MAX_LEN + 16];
	snprintf(area, sizeof(area), "proxies on %.60s", h->conf->node[h->me].name);
	for (int i = 0; i < h->conf->n_upstreams; i++) {
		struct trial t = { .loop = h->loop, .u = &h->conf->upstream[i] };
		t.v = report_add(r, area, t.u->name);
		tries[t.u->type](&t);
	}
}
