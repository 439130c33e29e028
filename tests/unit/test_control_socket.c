/* The socket's server in a child process and its client in this one, with every kind of bad manners in between. */
#include "hactl/control/control.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <cmocka.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define WAIT (10 * US_PER_SEC)

enum { FLOOD = 64 * 1024, FLOOD_LINES = 400 };

struct server {
	char dir[64], path[108];
	pid_t pid;
};

/* --- the child -------------------------------------------------------------------------------------------------- */

struct held {
	struct loop *loop;
	struct control_request *later; /* "pause" is answered by the next "resume" of anybody */
	int paused;
};

static void answer_flood(struct control_request *r)
{
	char *text = xcalloc(1, FLOOD + 1);
	memset(text, 'x', FLOOD);
	for (int i = 0; i < FLOOD_LINES; i++)
		control_progress(r, json_pack("{s:s}", "progress", text));
	free(text);
	control_done(r, 0, NULL, "flooded");
}

static void on_command(void *arg, struct control_request *r, const char *cmd, json_t *args)
{
	struct held *h = arg;
	if (str_eq(cmd, "status")) {
		control_done(r, 1, json_pack("{s:{s:i}}", "status", "paused", h->paused), NULL);
	} else if (str_eq(cmd, "switchover")) {
		control_progress(r, json_pack("{s:{s:s, s:f}}", "progress", "step", "mysql freeze", "ms", 3.1));
		control_progress(r, json_pack("{s:{s:s, s:f}}", "progress", "step", "address del", "ms", 0.2));
		control_done(r, 0, NULL, "to %s", json_string_value(json_object_get(args, "to")));
	} else if (str_eq(cmd, "pause")) {
		h->later = r;
		h->paused++;
	} else if (str_eq(cmd, "resume")) {
		if (h->later)
			control_done(h->later, 0, NULL, "resumed");
		h->later = NULL;
		control_done(r, 0, NULL, NULL);
	} else if (str_eq(cmd, "failover")) {
		answer_flood(r);
	} else {
		control_done(r, 0, NULL, NULL);
		loop_exit(h->loop, 0);
	}
}

static int serve(const char *path, int ready)
{
	struct err e;
	struct held h = { .loop = loop_new(&e) };
	struct control *c = h.loop ? control_new(h.loop, path, on_command, &h, &e) : NULL;
	if (!c) {
		fprintf(stderr, "server: %s\n", e.text);
		return 1;
	}
	if (write(ready, "r", 1) != 1)
		return 1;
	close(ready);
	int r = loop_run(h.loop);
	control_free(c);
	if (h.later) /* its owner may still answer it when the socket has gone */
		control_done(h.later, 0, NULL, "late");
	loop_free(h.loop);
	return r;
}

/* --- the parent's side ------------------------------------------------------------------------------------------- */

static void start(struct server *s)
{
	int ready[2];
	char c;
	assert_int_equal(pipe(ready), 0);
	fflush(NULL);
	s->pid = fork();
	assert_true(s->pid >= 0);
	if (s->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(ready[0]);
		exit(serve(s->path, ready[1]));
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &c, 1), 1);
	close(ready[0]);
}

static int setup(void **state)
{
	struct server *s = xcalloc(1, sizeof(*s));
	STR_COPY(s->dir, "/tmp/hactl-control-XXXXXX");
	assert_non_null(mkdtemp(s->dir));
	snprintf(s->path, sizeof(s->path), "%s/hactl.sock", s->dir);
	start(s);
	*state = s;
	return 0;
}

static int ask(const struct server *s, const char *cmd, us_t timeout, control_line_fn *line, void *arg, struct err *e)
{
	return control_ask(s->path, json_pack("{s:s}", "cmd", cmd), timeout, line, arg, e);
}

/* The server ends by itself and by exit(), so that the leak checker has its say. */
static int teardown(void **state)
{
	struct server *s = *state;
	struct err e;
	int status = -1;
	if (s->pid > 0) {
		assert_int_equal(ask(s, "rejoin", WAIT, NULL, NULL, &e), 0);
		assert_int_equal(waitpid(s->pid, &status, 0), s->pid);
		assert_int_equal(status, 0);
		assert_int_equal(access(s->path, F_OK), -1); /* takes its file along */
	}
	unlink(s->path);
	rmdir(s->dir);
	free(s);
	return 0;
}

static int dial(const struct server *s)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	STR_COPY(a.sun_path, s->path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

static void put(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

/* One line without its newline; "" at the end of the stream. */
static void get(int fd, char *out, size_t size)
{
	size_t n = 0;
	while (n + 1 < size) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		assert_int_equal(poll(&p, 1, 10000), 1);
		ssize_t r = recv(fd, out + n, 1, 0);
		if (r <= 0 || out[n] == '\n')
			break;
		n++;
	}
	out[n] = 0;
}

static void expect(int fd, const char *part)
{
	char line[512];
	get(fd, line, sizeof(line));
	if (*part ? !strstr(line, part) : *line)
		fail_msg("got \"%s\", expected \"%s\"", line, part);
}

struct seen {
	int progress, last;
	char text[64];
};

static void on_line(void *arg, json_t *line)
{
	struct seen *s = arg;
	if (json_object_get(line, "progress"))
		s->progress++;
	if (!json_object_get(line, "exit"))
		return;
	s->last++;
	const char *text = json_string_value(json_object_get(line, "text"));
	STR_COPY(s->text, text ? text : "");
}

/* --- tests --------------------------------------------------------------------------------------------------------- */

static void test_answers(void **state)
{
	struct server *s = *state;
	struct err e = { "" };
	struct seen seen = { 0 };
	struct stat st;
	assert_int_equal(stat(s->path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0660);
	assert_int_equal(ask(s, "status", WAIT, on_line, &seen, &e), 1);
	assert_int_equal(seen.last, 1);
	json_t *r = json_pack("{s:s, s:s}", "cmd", "switchover", "to", "n2");
	assert_int_equal(control_ask(s->path, r, WAIT, on_line, &seen, &e), 0);
	assert_int_equal(seen.progress, 2);
	assert_string_equal(seen.text, "to n2");
	assert_string_equal(e.text, "");
}

static void test_nonsense(void **state)
{
	struct server *s = *state;
	auto_close int fd = dial(s);
	put(fd, "hello\n");
	expect(fd, "not JSON");
	put(fd, "{\"cmd\":\"reboot\"}\n");
	expect(fd, "no command");
	put(fd, "{\"cmd\":\"is\"}\n\n\n");
	expect(fd, "\"exit\":2");
	put(fd, "{\"cmd\":\"sta"); /* torn, and put together again */
	put(fd, "tus\"}\n{\"cmd\":\"status\"}\n{\"cmd\":\"sw");
	expect(fd, "\"exit\":1");
	expect(fd, "\"exit\":1");
	shutdown(fd, SHUT_WR); /* torn for good */
	expect(fd, "");
}

static void test_oversized(void **state)
{
	struct server *s = *state;
	auto_close int fd = dial(s);
	char block[4096];
	memset(block, 'a', sizeof(block));
	for (size_t sent = 0; sent <= CONTROL_LINE_MAX;) {
		ssize_t n = send(fd, block, sizeof(block), MSG_NOSIGNAL);
		if (n < 0)
			break; /* it has closed already */
		sent += (size_t)n;
	}
	expect(fd, "at most 64 KiB");
	expect(fd, "");
	struct err e;
	assert_int_equal(ask(s, "status", WAIT, NULL, NULL, &e), 1);
}

/* Its request stays where it is; the answer to nobody harms nobody. */
static void test_gone(void **state)
{
	struct server *s = *state;
	struct err e;
	int fd = dial(s);
	put(fd, "{\"cmd\":\"pause\"}\n");
	struct seen seen = { 0 };
	/* a second connection's answer shows that the first one's request has been read: the loop takes them in turn */
	for (int i = 0; i < 2; i++)
		assert_int_equal(ask(s, "status", WAIT, on_line, &seen, &e), 1);
	close(fd);
	assert_int_equal(ask(s, "status", WAIT, NULL, NULL, &e), 1);
	assert_int_equal(ask(s, "resume", WAIT, NULL, NULL, &e), 0);
	assert_int_equal(ask(s, "status", WAIT, NULL, NULL, &e), 1);
}

static void test_later(void **state)
{
	struct server *s = *state;
	struct err e;
	auto_close int fd = dial(s);
	put(fd, "{\"cmd\":\"pause\"}\n{\"cmd\":\"status\"}\n");
	auto_close int other = dial(s);
	put(other, "{\"cmd\":\"status\"}\n");
	expect(other, "\"exit\":1");
	assert_int_equal(ask(s, "resume", WAIT, NULL, NULL, &e), 0);
	expect(fd, "resumed");
	expect(fd, "\"paused\""); /* waited its turn */
}

/* Answers nobody reads fill a bounded buffer, then the client is dropped; others never notice. */
static void test_does_not_read(void **state)
{
	struct server *s = *state;
	struct err e;
	auto_close int fd = dial(s);
	put(fd, "{\"cmd\":\"failover\",\"force\":true}\n");
	assert_int_equal(ask(s, "status", WAIT, NULL, NULL, &e), 1);
	size_t got = 0;
	char block[65536];
	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		assert_int_equal(poll(&p, 1, 10000), 1);
		ssize_t n = recv(fd, block, sizeof(block), 0);
		if (n <= 0)
			break;
		got += (size_t)n;
	}
	assert_true(got < (size_t)FLOOD * FLOOD_LINES);
}

static void test_too_many(void **state)
{
	struct server *s = *state;
	int fd[40];
	size_t refused = 0;
	for (size_t i = 0; i < ARRAY_LEN(fd); i++) {
		fd[i] = dial(s);
		if (send(fd[i], "{\"cmd\":\"status\"}\n", 17, MSG_NOSIGNAL) < 0)
			continue; /* refused and closed already; its word is still there to be read */
	}
	for (size_t i = 0; i < ARRAY_LEN(fd); i++) {
		char line[128];
		get(fd[i], line, sizeof(line));
		/* closing with our request unread resets the connection and may take the word along */
		refused += !*line || strstr(line, "too many clients");
	}
	for (size_t i = 0; i < ARRAY_LEN(fd); i++)
		close(fd[i]);
	assert_int_equal(refused, ARRAY_LEN(fd) - 32);

	/* the places are free again as soon as the server has seen them leave: each question makes it look */
	struct err e;
	struct seen seen = { 0 };
	for (int i = 0; i < 1000; i++) {
		ask(s, "status", WAIT, on_line, &seen, &e);
		if (!strstr(seen.text, "too many"))
			return;
	}
	fail_msg("the clients' places were not freed");
}

static void test_nobody(void **state)
{
	struct server *s = *state;
	struct server none = *s;
	struct err e = { "" };
	snprintf(none.path, sizeof(none.path), "%s/none.sock", s->dir);
	assert_int_equal(ask(&none, "status", WAIT, NULL, NULL, &e), 3);
	assert_non_null(strstr(e.text, "no supervisor answers"));
}

/* It listens but does not run: what was asked may still be done, and the client says that it does not know. */
static void test_frozen(void **state)
{
	struct server *s = *state;
	struct err e = { "" };
	assert_int_equal(kill(s->pid, SIGSTOP), 0);
	int r = ask(s, "status", 100 * US_PER_MS, NULL, NULL, &e);
	assert_int_equal(kill(s->pid, SIGCONT), 0);
	assert_int_equal(r, 4);
	assert_non_null(strstr(e.text, "in time"));
}

/* Whoever gave up waiting has been told so: what it asked for is not done behind its back when the supervisor wakes up. */
static void test_gave_up(void **state)
{
	struct server *s = *state;
	assert_int_equal(kill(s->pid, SIGSTOP), 0);
	int fd = dial(s);
	put(fd, "{\"cmd\":\"pause\"}\n");
	close(fd);
	assert_int_equal(kill(s->pid, SIGCONT), 0);
	auto_close int next = dial(s);
	put(next, "{\"cmd\":\"status\"}\n");
	expect(next, "\"paused\":0");
}

static void test_killed(void **state)
{
	struct server *s = *state;
	struct err e = { "" };
	struct loop *l = loop_new(&e);
	assert_non_null(l);
	assert_null(control_new(l, s->path, on_command, NULL, &e)); /* somebody answers there */
	assert_non_null(strstr(e.text, "another supervisor answers"));

	kill(s->pid, SIGKILL);
	waitpid(s->pid, NULL, 0);
	assert_int_equal(access(s->path, F_OK), 0);
	start(s); /* over the stale file */
	assert_int_equal(ask(s, "status", WAIT, NULL, NULL, &e), 1);
	loop_free(l);
}

static void test_not_a_socket(void **state)
{
	struct server *s = *state;
	struct err e = { "" };
	char path[108], longer[200];
	struct loop *l = loop_new(&e);
	snprintf(path, sizeof(path), "%s/file", s->dir);
	auto_file FILE *f = fopen(path, "w");
	assert_non_null(f);
	assert_null(control_new(l, path, on_command, NULL, &e));
	assert_non_null(strstr(e.text, "is no socket"));
	assert_int_equal(access(path, F_OK), 0);
	unlink(path);
	memset(longer, 'a', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = 0;
	assert_null(control_new(l, longer, on_command, NULL, &e));
	assert_non_null(strstr(e.text, "longer than 107 bytes"));
	snprintf(path, sizeof(path), "%s/no/dir", s->dir);
	assert_null(control_new(l, path, on_command, NULL, &e));
	assert_non_null(strstr(e.text, "No such file"));
	loop_free(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_answers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nonsense, setup, teardown),
		cmocka_unit_test_setup_teardown(test_oversized, setup, teardown),
		cmocka_unit_test_setup_teardown(test_gone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_later, setup, teardown),
		cmocka_unit_test_setup_teardown(test_does_not_read, setup, teardown),
		cmocka_unit_test_setup_teardown(test_too_many, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nobody, setup, teardown),
		cmocka_unit_test_setup_teardown(test_frozen, setup, teardown),
		cmocka_unit_test_setup_teardown(test_gave_up, setup, teardown),
		cmocka_unit_test_setup_teardown(test_killed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_not_a_socket, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
