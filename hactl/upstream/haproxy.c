/* haproxy.c - reads and sets servers of one backend over HAProxy's runtime socket (management.txt of 2.6, section 9.3). */
#include "hactl/upstream/haproxy.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { ANSWER_MAX = 64 * 1024, FIELDS = 32 };
#define CALL_TIMEOUT (2 * US_PER_SEC)

/* Bits of srv_admin_state that a command sets; the inherited and configured ones are not ours to undo. */
enum { ADMIN_MAINT = 0x01, ADMIN_DRAIN = 0x08 };

/* --- what stands ------------------------------------------------------------------------------------------------------------ */

struct columns { /* found by name in the header line: their places have moved between versions */
	int backend, server, admin, weight;
};

static int split(char *line, char *field[FIELDS])
{
	int n = 0;

	for (char *save, *p = strtok_r(line, " ", &save); p && n < FIELDS; p = strtok_r(NULL, " ", &save))
		field[n++] = p;
	return n;
}

static int find(char *const field[], int n, const char *name)
{
	for (int i = 0; i < n; i++)
		if (str_eq(field[i], name))
			return i;
	return -1;
}

static bool read_columns(char *const field[], int n, struct columns *c)
{
	/* the header's "#" stands alone and counts as a field that the rows do not have */
	*c = (struct columns){ find(field, n, "be_name") - 1, find(field, n, "srv_name") - 1,
		find(field, n, "srv_admin_state") - 1, find(field, n, "srv_uweight") - 1 };
	return c->backend >= 0 && c->server >= 0 && c->admin >= 0 && c->weight >= 0;
}

static void read_row(char *const field[], int n, const struct columns *c, const struct conf_upstream *u,
	struct haproxy_server *now, bool *seen)
{
	if (c->backend >= n || c->server >= n || c->admin >= n || c->weight >= n || !str_eq(field[c->backend], u->name))
		return;
	for (int i = 0; i < u->n_servers; i++) {
		long admin = strtol(field[c->admin], NULL, 10);

		if (!str_eq(field[c->server], u->servers[i].server))
			continue;
		seen[i] = true;
		now[i] = (struct haproxy_server){
			.weight = atoi(field[c->weight]), .maint = admin & ADMIN_MAINT, .drain = admin & ADMIN_DRAIN
		};
	}
}

/* The first line of an answer that is no table, for a person. */
static int answer_error(const struct conf_upstream *u, const char *text, struct err *e)
{
	char shown[120];

	str_escape(text, strcspn(text, "\n"), shown, sizeof shown);
	return err_set(e, "%s: HAProxy says \"%s\" of backend %s", u->socket, shown, u->name);
}

int haproxy_parse(const char *text, const struct conf_upstream *u, struct haproxy_server *now, struct err *e)
{
	struct haproxy_server r[CONF_MAX_SERVERS] = { 0 };
	bool seen[CONF_MAX_SERVERS] = { 0 }, have_columns = false;
	struct columns c = { -1, -1, -1, -1 };
	auto_free char *copy = xstrdup(text);
	char *save, *field[FIELDS];

	for (char *line = strtok_r(copy, "\r\n", &save); line; line = strtok_r(NULL, "\r\n", &save)) {
		bool header = line[0] == '#';
		int n = split(line, field);

		if (header)
			have_columns = read_columns(field, n, &c);
		else if (have_columns)
			read_row(field, n, &c, u, r, seen);
	}
	if (!have_columns)
		return answer_error(u, text, e);
	for (int i = 0; i < u->n_servers; i++)
		if (!seen[i])
			return err_set(e, "%s: backend %s has no server %s", u->socket, u->name, u->servers[i].server);
	memcpy(now, r, sizeof(r[0]) * (size_t)u->n_servers);
	return 0;
}

void haproxy_now(const struct conf_upstream *u, const struct haproxy_server *server, struct server_want *now)
{
	for (int i = 0; i < u->n_servers; i++)
		now[i] = (struct server_want){ .weight = server[i].weight,
			.down = server[i].maint,
			.backup = server[i].weight == 0 && !server[i].maint };
}

/* --- what to say ---------------------------------------------------------------------------------------------------------------- */

size_t haproxy_commands(const struct conf_upstream *u, const struct haproxy_server *now, const struct server_want *want,
	char out[HAPROXY_COMMANDS][HAPROXY_COMMAND], int *foreign)
{
	bool fronted = false;
	size_t n = 0;

	*foreign = -1;
	for (int i = 0; i < u->n_servers; i++)
		fronted = fronted || (!want[i].backup && !want[i].down);
	for (int i = 0; i < u->n_servers; i++) {
		int weight = want[i].down || (want[i].backup && fronted) ? 0 : want[i].weight;
		const char *state = NULL;

		if (now[i].maint && now[i].weight > 0) {
			*foreign = i;
			continue;
		}
		if (want[i].down && !now[i].maint)
			state = "maint";
		else if (!want[i].down && now[i].maint)
			state = "ready";
		if (weight != now[i].weight)
			snprintf(out[n++], HAPROXY_COMMAND, "set server %s/%s weight %d", u->name, u->servers[i].server,
				weight);
		if (state)
			snprintf(out[n++], HAPROXY_COMMAND, "set server %s/%s state %s", u->name, u->servers[i].server,
				state);
	}
	return n;
}

/* --- the socket ------------------------------------------------------------------------------------------------------------------- */

struct haproxy_call {
	struct loop *loop;
	int fd;
	struct watch *watch;
	struct timer *deadline;
	haproxy_fn *fn;
	void *arg;
	char *command;
	size_t sent, len;
	char error[SENTENCE_MAX];
	char answer[ANSWER_MAX];
};

void haproxy_cancel(struct haproxy_call *c)
{
	if (!c)
		return;
	watch_free(c->watch);
	timer_free(c->deadline);
	if (c->fd >= 0)
		close(c->fd);
	free(c->command);
	free(c);
}

static void call_end(struct haproxy_call *c, const char *error)
{
	haproxy_fn *fn = c->fn;
	void *arg = c->arg;
	auto_free char *text = xstrdup(error ? error : c->answer);

	haproxy_cancel(c);
	fn(arg, error ? NULL : text, error ? text : NULL);
}

static void on_deadline(void *arg, us_t now)
{
	struct haproxy_call *c = arg;
	(void)now;

	call_end(c, c->error[0] ? c->error : "HAProxy does not answer on its runtime socket");
}

static void read_answer(struct haproxy_call *c)
{
	for (;;) {
		ssize_t n = read(c->fd, c->answer + c->len, sizeof(c->answer) - 1 - c->len);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n < 0) {
			call_end(c, strerror(errno));
			return;
		}
		if (n == 0) {
			c->answer[c->len] = '\0';
			call_end(c, c->len == sizeof(c->answer) - 1 ? "HAProxy's answer is too long" : NULL);
			return;
		}
		c->len += (size_t)n;
	}
}

static void on_socket(void *arg, uint32_t events)
{
	struct haproxy_call *c = arg;
	size_t left = strlen(c->command) - c->sent;

	if (left > 0 && (events & (EPOLLOUT | EPOLLERR | EPOLLHUP))) {
		ssize_t n = send(c->fd, c->command + c->sent, left, MSG_NOSIGNAL);

		if (n < 0 && errno != EAGAIN && errno != EINTR) {
			call_end(c, strerror(errno));
			return;
		}
		c->sent += n > 0 ? (size_t)n : 0;
		if (c->sent == strlen(c->command))
			watch_set(c->watch, EPOLLIN);
		return;
	}
	read_answer(c);
}

static int call_connect(struct haproxy_call *c, const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	if (!STR_COPY(a.sun_path, path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&a, sizeof a) < 0)
		return -1;
	c->watch = watch_new(c->loop, c->fd, EPOLLOUT, on_socket, c);
	return c->watch ? 0 : -1;
}

struct haproxy_call *haproxy_ask(struct loop *l, const char *path, const char *command, haproxy_fn *fn, void *arg)
{
	struct haproxy_call *c = xcalloc(1, sizeof(*c));

	c->loop = l;
	c->fd = -1;
	c->fn = fn;
	c->arg = arg;
	c->command = str_printf("%s\n", command);
	c->deadline = timer_new(l, on_deadline, c);
	timer_in(c->deadline, CALL_TIMEOUT);
	if (call_connect(c, path) < 0) {
		snprintf(c->error, sizeof c->error, "%s: %s: is HAProxy running, and `stats socket` at level admin?",
			path, strerror(errno));
		timer_in(c->deadline, 0);
	}
	return c;
}
