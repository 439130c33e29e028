/* proc.c - a shell command with a deadline: own process group, clean environment, output captured, child by pidfd. */
#include "hactl/base/base.h"
#include "hactl/base/loop_private.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <systemd/sd-event.h>
#include <unistd.h>

struct proc {
	struct loop *loop;
	pid_t pid;
	int out; /* read side of its stdout and stderr */
	us_t started;
	struct watch *watch;
	struct timer *deadline;
	sd_event_source *child;
	proc_fn *fn;
	void *arg;
	struct proc_result r;
	char raw[sizeof(((struct proc_result *)0)->output)];
	size_t n;
};

static const char *const clean_env[] = { "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
	"LANG=C.UTF-8", NULL };

static void proc_free(struct proc *p)
{
	sd_event_source_disable_unref(p->child);
	watch_free(p->watch);
	timer_free(p->deadline);
	if (p->out >= 0)
		close(p->out);
	free(p);
}

static void drain(struct proc *p)
{
	char spill[4096];
	ssize_t n;

	for (;;) {
		size_t room = sizeof(p->raw) - p->n;

		/* cppcheck-suppress legacyUninitvar ; it is what read() fills */
		n = read(p->out, room ? p->raw + p->n : spill, room ? room : sizeof(spill));
		if (n <= 0)
			break;
		p->n += room ? (size_t)n : 0;
	}
	if (n == 0 || (errno != EAGAIN && errno != EINTR)) { /* a closed pipe would wake the loop for ever */
		watch_free(p->watch);
		p->watch = NULL;
	}
}

static void on_output(void *arg, uint32_t events)
{
	(void)events;
	drain(arg);
}

static void on_deadline(void *arg, us_t now)
{
	struct proc *p = arg;

	(void)now;
	p->r.timed_out = true;
	kill(-p->pid, SIGKILL); /* the child's exit then ends the story in on_child */
}

static int on_child(sd_event_source *s, const siginfo_t *si, void *arg)
{
	struct proc *p = arg;

	(void)s;
	drain(p);
	kill(-p->pid, SIGKILL); /* whatever it left behind in its group */
	p->r.status = si->si_code == CLD_EXITED ? si->si_status : 128 + si->si_status;
	p->r.took_us = now_us() - p->started;
	str_escape(p->raw, p->n, p->r.output, sizeof(p->r.output));
	p->fn(p->arg, &p->r);
	proc_free(p);
	return 0;
}

/* A pipe that already holds the input: short texts only (a pipe takes 64 KiB without a reader). */
static int input_pipe(const char *input, struct err *e)
{
	size_t len = input ? strlen(input) : 0;
	int fd[2];

	if (!len)
		return open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (len > 60000)
		return err_set(e, "input for a command is longer than 60000 bytes");
	if (pipe2(fd, O_CLOEXEC))
		return err_set(e, "pipe: %s", strerror(errno));
	if (write(fd[1], input, len) != (ssize_t)len) {
		close(fd[0]);
		fd[0] = -1;
	}
	close(fd[1]);
	return fd[0];
}

static int spawn(struct proc *p, const char *command, const char *const *env, const char *input, struct err *e)
{
	char *const argv[] = { "sh", "-c", (char *)command, NULL };
	auto_close int in = input_pipe(input, e);
	const char *all[64];
	posix_spawn_file_actions_t fa;
	posix_spawnattr_t at;
	sigset_t none, dfl;
	size_t n = 0;
	int out[2], r;

	if (in < 0)
		return -1;
	for (size_t i = 0; clean_env[i]; i++)
		all[n++] = clean_env[i];
	for (size_t i = 0; env && env[i] && n < ARRAY_LEN(all) - 1; i++)
		all[n++] = env[i];
	all[n] = NULL;
	if (pipe2(out, O_CLOEXEC))
		return err_set(e, "pipe: %s", strerror(errno));
	sigemptyset(&none);
	sigfillset(&dfl);
	posix_spawn_file_actions_init(&fa);
	posix_spawn_file_actions_adddup2(&fa, in, 0);
	posix_spawn_file_actions_adddup2(&fa, out[1], 1);
	posix_spawn_file_actions_adddup2(&fa, out[1], 2);
	/* libcurl's and hiredis's sockets lack FD_CLOEXEC. libcurl 7.88 closes one whose connecting failed before it says so
	 * (CURL_POLL_REMOVE): with a second holder it would stay in our epoll set, and its next event would find its source freed. */
	posix_spawn_file_actions_addclosefrom_np(&fa, 3);
	posix_spawnattr_init(&at);
	posix_spawnattr_setflags(
		&at, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSCHEDULER);
	posix_spawnattr_setsigmask(&at, &none);
	posix_spawnattr_setsigdefault(&at, &dfl);
	/* a hook must not inherit the supervisor's real-time priority */
	posix_spawnattr_setschedpolicy(&at, SCHED_OTHER);
	posix_spawnattr_setschedparam(&at, &(struct sched_param){ .sched_priority = 0 });
	r = posix_spawn(&p->pid, "/bin/sh", &fa, &at, argv, (char *const *)all);
	posix_spawnattr_destroy(&at);
	posix_spawn_file_actions_destroy(&fa);
	close(out[1]);
	if (r) {
		close(out[0]);
		return err_set(e, "\"%s\" could not be started: %s", command, strerror(r));
	}
	p->out = out[0];
	fcntl(p->out, F_SETFL, O_NONBLOCK);
	return 0;
}

struct proc *proc_start(struct loop *l, const char *command, const char *const *env, const char *input, us_t timeout,
	proc_fn *fn, void *arg, struct err *e)
{
	struct proc *p = xcalloc(1, sizeof(*p));
	int r;

	p->loop = l;
	p->out = -1;
	p->fn = fn;
	p->arg = arg;
	p->started = now_us();
	if (spawn(p, command, env, input, e)) {
		free(p);
		return NULL;
	}
	r = sd_event_add_child(l->event, &p->child, p->pid, WEXITED, on_child, p);
	if (r < 0) {
		err_set(e, "\"%s\" could not be watched: %s", command, strerror(-r));
		kill(-p->pid, SIGKILL);
		waitpid(p->pid, NULL, 0);
		proc_free(p);
		return NULL;
	}
	p->watch = watch_new(l, p->out, EPOLLIN, on_output, p);
	p->deadline = timer_new(l, on_deadline, p);
	timer_in(p->deadline, timeout);
	return p;
}

void proc_cancel(struct proc *p)
{
	if (!p)
		return;
	kill(-p->pid, SIGKILL);
	sd_event_source_disable_unref(p->child);
	p->child = NULL;
	waitpid(p->pid, NULL, 0);
	proc_free(p);
}
