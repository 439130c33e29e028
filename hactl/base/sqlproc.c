/* sqlproc.c - parent side of the MySQL helper process: spawn, call, deadline, replacement.
 *
 * A helper is never waited for: at the deadline it gets SIGKILL and goes to the list of the dying, from which its pidfd takes it.
 */
#include "hactl/base/sqlproc.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

const char *const sql_status_names[SQL_STATUS_COUNT] = {
	[SQL_OK] = "ok",
	[SQL_REFUSED] = "refused",
	[SQL_DENIED] = "denied",
	[SQL_BUSY] = "busy",
	[SQL_FAILED] = "failed",
	[SQL_GONE] = "gone",
	[SQL_TIMEOUT] = "timeout",
	[SQL_UNREACHABLE] = "unreachable",
};

struct helper {
	struct sqlproc *owner;
	struct helper *next; /* in the owner's list of the dying */
	pid_t pid;
	int pidfd;
	int fd; /* our end of the pair; -1 once it is dying */
	struct watch *in, *ended;
};

struct sqlproc {
	struct loop *loop;
	struct sql_target target;
	char label[NAME_MAX_LEN];
	void (*gone)(void *);
	void *gone_arg;
	struct helper *live;  /* NULL: the next call starts one */
	struct helper *dying; /* killed, not yet reaped */
	struct timer *deadline;
	uint32_t serial;
	bool busy;
	us_t started_at, timeout;
	sql_fn *fn;
	void *arg;
	char *body; /* SQLPROC_BODY_MAX + 1: the latest reply's */
};

/* --- the end of a helper ------------------------------------------------------------------------------------------ */

static void helper_free(struct helper *h)
{
	watch_free(h->in);
	watch_free(h->ended);
	if (h->fd >= 0)
		close(h->fd);
	if (h->pidfd >= 0)
		close(h->pidfd);
	free(h);
}

static bool helper_reap(struct helper *h)
{
	siginfo_t si = { 0 };
	return waitid((idtype_t)P_PIDFD, (id_t)h->pidfd, &si, WEXITED | WNOHANG) < 0 || si.si_pid != 0;
}

static void on_ended(void *arg, uint32_t events)
{
	struct helper *h = arg;
	(void)events;
	if (!helper_reap(h))
		return;
	for (struct helper **at = &h->owner->dying; *at; at = &(*at)->next)
		if (*at == h) {
			*at = h->next;
			break;
		}
	helper_free(h);
}

/* Kills the live helper without waiting for it. */
static void helper_drop(struct sqlproc *p)
{
	struct helper *h = p->live;
	if (!h)
		return;
	p->live = NULL;
	syscall(SYS_pidfd_send_signal, h->pidfd, SIGKILL, NULL, 0);
	watch_free(h->in);
	h->in = NULL;
	close(h->fd);
	h->fd = -1;
	h->next = p->dying;
	p->dying = h;
	h->ended = watch_new(p->loop, h->pidfd, EPOLLIN, on_ended, h);
}

/* --- replies ------------------------------------------------------------------------------------------------------- */

static void finish(struct sqlproc *p, struct sql_reply *r)
{
	sql_fn *fn = p->fn;
	void *arg = p->arg;
	p->busy = false;
	timer_off(p->deadline);
	r->took_us = now_us() - p->started_at;
	fn(arg, r); /* may free p */
}

static void finish_status(struct sqlproc *p, enum sql_status status, const char *text)
{
	struct sql_reply r = { .status = status, .out = "" };
	STR_COPY(r.text, text);
	finish(p, &r);
}

static void on_deadline(void *arg, us_t now)
{
	struct sqlproc *p = arg;
	char text[512], span[32];
	(void)now;
	helper_drop(p);
	duration_text(p->timeout, span);
	snprintf(text, sizeof(text), "no answer from %s within %s", p->label, span);
	finish_status(p, SQL_TIMEOUT, text);
}

static void helper_lost(struct sqlproc *p)
{
	char text[512];
	helper_drop(p);
	if (!p->busy)
		return;
	snprintf(text, sizeof(text), "the helper process for %s ended unexpectedly", p->label);
	finish_status(p, SQL_FAILED, text);
}

static void take_reply(struct sqlproc *p, const struct sqlproc_head *head, size_t body_len)
{
	struct sql_reply r = {
		.status = (enum sql_status)head->status, .code = head->code, .out = p->body, .out_len = body_len
	};
	if (!p->busy || head->serial != p->serial)
		return;
	if (head->status == SQL_UNREACHABLE)
		helper_drop(p); /* it said so with its last breath (on_eve): the next call must not be sent to it */
	STR_COPY(r.text, head->text);
	finish(p, &r);
}

static void on_readable(void *arg, uint32_t events)
{
	struct helper *h = arg;
	struct sqlproc *p = h->owner;
	struct sqlproc_head head;
	struct iovec iov[2] = { { &head, sizeof(head) }, { p->body, SQLPROC_BODY_MAX } };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };
	ssize_t n = recvmsg(h->fd, &msg, MSG_DONTWAIT);
	(void)events;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < (ssize_t)sizeof(head)) {
		helper_lost(p);
		return;
	}
	p->body[(size_t)n - sizeof(head)] = '\0';
	if (head.kind == SQLPROC_REPLY)
		take_reply(p, &head, (size_t)n - sizeof(head));
	else if (head.kind == SQLPROC_GONE && !p->busy && p->gone)
		p->gone(p->gone_arg); /* while busy the call's own answer tells */
}

/* --- start ---------------------------------------------------------------------------------------------------------- */

static int send_message(int fd, const struct sqlproc_head *head, const void *body, size_t len)
{
	struct iovec iov[2] = { { (void *)(uintptr_t)head, sizeof(*head) }, { (void *)(uintptr_t)body, len } };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };
	return sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -1 : 0;
}

/* The helper inherits standard error and its end of the pair, nothing else: no descriptor, no environment, no blocked signal. */
static int spawn(pid_t *pid, int child_end)
{
	char *const argv[] = { (char *)(uintptr_t) "hactl", (char *)(uintptr_t)SQLPROC_ARG, NULL };
	char *const env[] = { NULL };
	posix_spawn_file_actions_t fa;
	posix_spawnattr_t attr;
	sigset_t none, all;
	int rc;

	sigemptyset(&none);
	sigfillset(&all);
	posix_spawn_file_actions_init(&fa);
	posix_spawn_file_actions_addopen(&fa, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_addopen(&fa, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
	posix_spawn_file_actions_adddup2(&fa, child_end, SQLPROC_FD);
	posix_spawn_file_actions_addclosefrom_np(&fa, SQLPROC_FD + 1);
	posix_spawnattr_init(&attr);
	/* its own group: Ctrl-C at a terminal ends the supervisor, which needs its helpers to hand over */
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &all);
	rc = posix_spawn(pid, "/proc/self/exe", &fa, &attr, argv, env);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&fa);
	return rc;
}

static int helper_start(struct sqlproc *p, struct err *e)
{
	struct sqlproc_head hello = { .kind = SQLPROC_HELLO };
	struct helper *h;
	int pair[2], rc;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_set(e, "cannot make a socket pair for the helper of %s: %s", p->label, strerror(errno));
	h = xcalloc(1, sizeof(*h));
	*h = (struct helper){ .owner = p, .pidfd = -1, .fd = pair[0] };
	rc = spawn(&h->pid, pair[1]);
	close(pair[1]);
	if (rc) {
		helper_free(h);
		return err_set(e, "cannot start the helper process of %s: %s", p->label, strerror(rc));
	}
	h->pidfd = (int)syscall(SYS_pidfd_open, h->pid, 0);
	if (h->pidfd < 0) {
		err_set(e, "cannot watch the helper process of %s (pidfd_open): %s", p->label, strerror(errno));
		kill(h->pid, SIGKILL); /* our own unreaped child: the number is still its own */
		waitpid(h->pid, NULL, 0);
		helper_free(h);
		return -1;
	}
	h->in = watch_new(p->loop, h->fd, EPOLLIN, on_readable, h);
	p->live = h;
	if (send_message(h->fd, &hello, &p->target, sizeof(p->target)) < 0) {
		helper_drop(p);
		return err_set(e, "cannot speak to the helper process of %s", p->label);
	}
	return 0;
}

/* --- face ------------------------------------------------------------------------------------------------------------ */

struct sqlproc *sqlproc_new(
	struct loop *l, const struct sql_target *t, const char *label, void (*gone)(void *), void *arg)
{
	struct sqlproc *p = xcalloc(1, sizeof(*p));
	p->loop = l;
	p->target = *t;
	p->gone = gone;
	p->gone_arg = arg;
	STR_COPY(p->label, label);
	p->deadline = timer_new(l, on_deadline, p);
	p->body = xcalloc(1, SQLPROC_BODY_MAX + 1);
	return p;
}

void sqlproc_free(struct sqlproc *p)
{
	if (!p)
		return;
	helper_drop(p);
	while (p->dying) { /* a killed process that sits in a socket call ends within a millisecond */
		struct helper *h = p->dying;
		struct pollfd ended = { .fd = h->pidfd, .events = POLLIN };
		poll(&ended, 1, 1000);
		helper_reap(h);
		p->dying = h->next;
		helper_free(h);
	}
	timer_free(p->deadline);
	explicit_bzero(&p->target, sizeof(p->target));
	free(p->body);
	free(p);
}

bool sqlproc_busy(const struct sqlproc *p)
{
	return p->busy;
}

int sqlproc_call(
	struct sqlproc *p, const char *routine, const char *args, us_t timeout, sql_fn *fn, void *arg, struct err *e)
{
	struct sqlproc_head head = { .kind = SQLPROC_CALL };
	size_t len = args ? strlen(args) : 0;
	us_t now = now_us(); /* starting a helper counts */

	if (p->busy)
		return err_set(e, "the connection of %s is busy", p->label);
	if (len > SQLPROC_BODY_MAX || !STR_COPY(head.name, routine))
		return err_set(e, "the call of %s for %s is too long", routine, p->label);
	head.serial = ++p->serial;
	head.deadline = now + timeout;
	if (p->live && send_message(p->live->fd, &head, args, len) < 0)
		helper_drop(p); /* it died since; a new one takes the call */
	if (!p->live) {
		if (helper_start(p, e) < 0)
			return -1;
		if (send_message(p->live->fd, &head, args, len) < 0) {
			helper_drop(p);
			return err_set(e, "cannot speak to the helper process of %s", p->label);
		}
	}
	p->busy = true;
	p->started_at = now;
	p->timeout = timeout;
	p->fn = fn;
	p->arg = arg;
	timer_at(p->deadline, head.deadline);
	return 0;
}

void sqlproc_cancel(struct sqlproc *p)
{
	if (!p->busy)
		return;
	p->busy = false;
	timer_off(p->deadline);
	helper_drop(p);
}
