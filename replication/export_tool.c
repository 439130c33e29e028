/* export_tool.c - the binary log tool as a child of the helper: its arguments, its account, its deadline. */
#include "replication/export.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

void tool_arg(struct tool *l, const char *fmt, ...)
{
	va_list ap;

	if (l->n == TOOL_ARGS - 1)
		abort(); /* a fixed list of this room's own making */
	va_start(ap, fmt);
	if (vasprintf(&l->arg[l->n++], fmt, ap) < 0)
		abort();
	va_end(ap);
}

void tool_free(struct tool *l)
{
	while (l->n)
		free(l->arg[--l->n]);
}

/* MySQL's tool never asks for the key by itself, and caching_sha2_password needs it or TLS. MariaDB's of 11.4 on asks for TLS unless told
 * otherwise, and refuses a server without it. */
static void tls_args(struct tool *l, const struct task *t)
{
	bool mariadb = t->dialect->mariadb, tls = task_bool(t, "repl_tls");

	if (tls)
		tool_arg(l, "--ssl-ca=%s", task_text(t, task_text(t, "tool")[0] ? "repl_ca_file" : "ca_file"));
	if (tls)
		tool_arg(l, mariadb ? "--ssl-verify-server-cert" : "--ssl-mode=VERIFY_IDENTITY");
	else
		tool_arg(l, mariadb ? "--skip-ssl-verify-server-cert" : "--get-server-public-key");
}

void tool_init(struct tool *l, const struct task *t, bool own)
{
	*l = (struct tool){ .end = t->end };
	tool_arg(l, "--defaults-file=/dev/stdin"); /* first, or it is not taken */
	if (t->dialect->mariadb)
		tool_arg(l, "--read-from-remote-server");
	else
		tool_arg(l, "--read-from-remote-source=BINLOG-DUMP-GTIDS");
	tool_arg(l, "--protocol=tcp");
	tool_arg(l, "--host=%s", task_text(t, own ? "own_host" : "host"));
	tool_arg(l, "--port=%lld", (long long)task_int(t, own ? "own_port" : "host_port"));
	tool_arg(l, "--to-last-log");
	tool_arg(l, "--verbose");
	tls_args(l, t);
}

/* --- the account ---------------------------------------------------------------------------------------------------------- */

/* In an option file the outer quotes go and a backslash begins an escape. */
static void put_option(char *out, size_t size, size_t *len, const char *name, const char *value)
{
	str_add(out, size, len, "%s=\"", name);
	for (; *value; value++)
		str_add(out, size, len, *value == '\\' ? "\\\\" : "%c", *value);
	str_add(out, size, len, "\"\n");
}

/* A pipe that already holds the option file. */
static int account_pipe(const struct task *t, struct err *e)
{
	char text[1024];
	size_t len = 0;
	int fd[2];
	bool whole;

	str_add(text, sizeof(text), &len, "[client]\n");
	put_option(text, sizeof(text), &len, "user", task_text(t, "repl_user"));
	put_option(text, sizeof(text), &len, "password", task_text(t, "repl_password"));
	if (pipe2(fd, O_CLOEXEC) < 0)
		return err_set(e, "pipe: %s", strerror(errno));
	whole = write(fd[1], text, len) == (ssize_t)len;
	explicit_bzero(text, sizeof(text));
	close(fd[1]);
	if (whole)
		return fd[0];
	close(fd[0]);
	return err_set(e, "pipe: %s", strerror(errno));
}

/* --- the child ------------------------------------------------------------------------------------------------------------ */

static const char *program(const struct task *t)
{
	const char *tool = task_text(t, "tool");
	return tool[0] ? tool : t->dialect->mariadb ? "mariadb-binlog" : "mysqlbinlog";
}

/* The configured command may be several words, so a shell reads it; the arguments never pass through one. */
static void child(struct tool *l, const struct task *t, pid_t parent, int in, int out, int err)
{
	char path[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
	char *const env[] = { path, NULL };
	char *argv[TOOL_ARGS + 4] = { "sh", "-c", NULL, "sh" };
	char *script;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	setpgid(0, 0);
	if (getppid() != parent || dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(err, 2) < 0)
		_exit(126);
	closefrom(3);
	if (asprintf(&script, "exec %s \"$@\"", program(t)) < 0)
		_exit(126);
	argv[2] = script;
	memcpy(&argv[4], l->arg, l->n * sizeof(l->arg[0]));
	signal(SIGPIPE, SIG_DFL);
	execve("/bin/sh", argv, env);
	_exit(126);
}

static pid_t start(struct tool *l, const struct task *t, int out, int err, struct err *e)
{
	auto_close int in = account_pipe(t, e);
	pid_t parent = getpid(), pid;

	if (in < 0)
		return -1;
	pid = fork();
	if (pid == 0)
		child(l, t, parent, in, out, err);
	return pid < 0 ? err_set(e, "fork: %s", strerror(errno)) : pid;
}

/* Keeps the last of what is said. */
static void listen_to(struct tool *l, const char *text, size_t n)
{
	char shown[TOOL_SAID];
	size_t len = strlen(l->said), drop;

	str_escape(text, n, shown, sizeof(shown));
	drop = len + strlen(shown) >= sizeof(l->said) ? len + strlen(shown) - sizeof(l->said) + 1 : 0;
	drop = drop < len ? drop : len;
	memmove(l->said, l->said + drop, len - drop + 1);
	str_copy(l->said + len - drop, sizeof(l->said) - (len - drop), shown);
}

struct intake { /* both pipes of a tool that is read into memory; for one that writes to a file out is -1 */
	int out, err;
	char *text;
	size_t len, size;
	bool full;
};

/* false: that pipe has ended */
static bool take(struct tool *l, struct intake *in, bool out)
{
	char spill[4096];
	size_t room = in->size - 1 - in->len;
	ssize_t n = out ? read(in->out, in->text + in->len, room) : read(in->err, spill, sizeof(spill));

	if (n <= 0)
		return false;
	if (!out)
		listen_to(l, spill, (size_t)n);
	else if ((in->len += (size_t)n) == in->size - 1)
		in->full = true;
	return true;
}

/* Until both pipes have ended, it has said enough, or its time is up. */
static void follow(struct tool *l, struct intake *in)
{
	bool out = in->out >= 0, err = true;

	while ((out || err) && !in->full) {
		us_t left = l->end - now_us();
		struct pollfd p[2] = { { .fd = out ? in->out : -1, .events = POLLIN },
			{ .fd = err ? in->err : -1, .events = POLLIN } };

		if (left <= 0 || (poll(p, 2, (int)(left / US_PER_MS + 1)) < 0 && errno != EINTR))
			return;
		if (p[0].revents)
			out = take(l, in, true);
		if (p[1].revents)
			err = take(l, in, false);
	}
}

/* A tool that has closed its pipes ends at once; one that has not is ended here. */
static int reap(struct tool *l, const struct task *t, pid_t pid, bool enough, struct err *e)
{
	bool late = now_us() >= l->end;
	int status = 0;

	if (late || enough)
		kill(-pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (late)
		return err_set(e, "%s did not end in time", program(t));
	if (enough || (WIFEXITED(status) && WEXITSTATUS(status) == 0))
		return 0;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
		return err_set(e,
			"there is no %s on this node: install the server's client programs, or set mysql.binlog_tool",
			program(t));
	return err_set(e, "%s failed with status %d: %.300s", program(t),
		WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), l->said);
}

static int run(struct tool *l, const struct task *t, int out_fd, struct intake *in, struct err *e)
{
	int err[2], r;
	pid_t pid;

	if (pipe2(err, O_CLOEXEC) < 0)
		return err_set(e, "pipe: %s", strerror(errno));
	pid = start(l, t, out_fd, err[1], e);
	close(err[1]);
	if (in->out >= 0)
		close(out_fd);
	in->err = err[0];
	if (pid > 0)
		follow(l, in);
	r = pid > 0 ? reap(l, t, pid, in->full, e) : -1;
	close(err[0]);
	return r;
}

int tool_run(struct tool *l, const struct task *t, int fd, struct err *e)
{
	struct intake in = { .out = -1, .size = 1 };
	return run(l, t, fd, &in, e);
}

int tool_read(struct tool *l, const struct task *t, char *out, size_t size, struct err *e)
{
	struct intake in = { .text = out, .size = size };
	int fd[2], r;

	if (pipe2(fd, O_CLOEXEC) < 0)
		return err_set(e, "pipe: %s", strerror(errno));
	in.out = fd[0];
	r = run(l, t, fd[1], &in, e);
	close(fd[0]);
	out[in.len] = '\0';
	return r;
}
