/* killer.c - a local MySQL that does not stop writing although this node is no longer primary is killed.
 *
 * Its process is found while it is well, and held by a descriptor that can never come to mean another process: whoever listens on the
 * configured socket (the kernel tells, also of a server that stands still), or on its port in our network namespace, or whom its pid file
 * names and who was started when the server says that it was. It must be called like a server. In a container whose processes we do not
 * see there is mysql.kill_command.
 *
 * Only a server that was last seen taking writes is killed, and not one that merely refuses our account: then nobody knows that it is
 * stuck.
 */
#include "hactl/supervisor/private.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PATIENCE      (4 * US_PER_SEC)
#define PATIENCE_HUNG (US_PER_SEC)
#define AFTERWARDS    (500 * US_PER_MS) /* of the step's time, for the look at what is left */
#define CLOCKS_AGREE  (30 * US_PER_SEC)

static const char *const names[] = { "mysqld", "mariadbd", NULL };

struct killing {
	struct running *r;
	us_t at;
	pid_t pid;
	struct watch *watch;
	struct timer *timer;
	struct proc *proc;
	char why[SENTENCE_MAX];
};

/* --- which process ------------------------------------------------------------------------------------------------------------------ */

static const struct conf_mysql *conf_of(const struct sup *s)
{
	return &s->conf->node[s->me].mysql;
}

/* Was it started when the server says it was? */
static bool agrees(const struct db_facts *f, pid_t pid)
{
	us_t started = pid > 1 && f->db_start ? process_started(pid) : US_UNKNOWN,
	     claimed = f->db_start * US_PER_SEC - (wall_us() - now_us());

	return started != US_UNKNOWN && llabs(started - claimed) <= CLOCKS_AGREE;
}

/* Over its own socket we speak with it. Who listens on the port may be another one, with a container's published port in front; a number in
 * a file proves nothing: a container counts its own processes, and a crash leaves the file behind. */
static pid_t find(const struct sup *s, const struct db_facts *f)
{
	const struct conf_mysql *m = conf_of(s);
	auto_free char *text = NULL;
	pid_t pid = m->socket[0] ? socket_process(m->socket) : listener_process(m->port, names);

	if (pid != NOBODY && !m->socket[0] && !agrees(f, pid))
		pid = NOBODY;
	if (pid == NOBODY && f->pid_file[0] == '/' && file_read(f->pid_file, 32, &text, NULL, NULL) == 0 &&
		agrees(f, (pid_t)atoi(text)))
		pid = (pid_t)atoi(text);
	return pid > 1 && process_called(pid, names) ? pid : NOBODY;
}

static void forget(struct victim *v)
{
	if (v->pid > 0)
		close(v->pidfd);
	v->pid = 0;
}

/* The descriptor first, then the proof once more: a number that came to mean another process in between does not pass it. */
static void identify(struct sup *s, const struct db_facts *f)
{
	struct victim *v = &s->victim;
	pid_t pid = find(s, f);

	forget(v);
	v->db_start = f->db_start;
	if (pid == NOBODY)
		return;
	v->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (v->pidfd < 0)
		return;
	v->pid = pid;
	if (find(s, f) != pid)
		forget(v);
}

void killer_observed(struct sup *s, const struct db_facts *f)
{
	if (!conf_of(s)->kill_stuck || conf_of(s)->kill_command[0])
		return;
	if (f->life == DB_DEAD)
		forget(&s->victim);
	if (f->life == DB_UP && f->db_start && f->db_start != s->victim.db_start)
		identify(s, f);
	if (f->life == DB_UP && f->db_start && !s->victim.pid && s->victim.told != f->db_start) {
		s->victim.told = f->db_start;
		log_notice("the process of mysql on %s is not to be seen from here: stuck, it could not be killed "
			   "(mysql.socket, mysql.kill_command)",
			s->conf->node[s->me].name);
	}
}

/* --- the end of it ------------------------------------------------------------------------------------------------------------------ */

static void drop(struct killing *k)
{
	k->r->killing = NULL;
	watch_free(k->watch);
	timer_free(k->timer);
	proc_cancel(k->proc);
	free(k);
}

static void ended(struct killing *k, const char *trouble)
{
	struct running *r = k->r;
	struct sup *s = r->s;
	const char *node = s->conf->node[s->me].name;
	char what[64] = "by mysql.kill_command", text[SENTENCE_MAX];
	double ms = (double)(now_us() - k->at) / 1000;

	if (k->pid)
		snprintf(what, sizeof(what), "process %d", (int)k->pid);
	STR_COPY(text, trouble);
	if (trouble[0])
		hooks_alert(s, LOG_LVL_ERROR,
			"mysql on %s does not stop writing and could not be killed (%s, %.0f ms): %s; %s", node, what,
			ms, trouble, k->why);
	else
		hooks_alert(s, LOG_LVL_WARN, "mysql on %s did not stop writing and was killed (%s, %.0f ms): %s", node,
			what, ms, k->why);
	drop(k);
	forget(&s->victim);
	steps_killed(r, text);
}

static void on_dead(void *arg, uint32_t events)
{
	(void)events;
	ended(arg, "");
}

/* Killed and not yet gone: it sits in the kernel, in a disk that does not answer or in a frozen cgroup, and executes nothing any more. */
static void on_late(void *arg, us_t now)
{
	(void)now;
	ended(arg, "it was sent SIGKILL and has not ended: its disk or its container stands still");
}

static void on_command(void *arg, const struct proc_result *p)
{
	struct killing *k = arg;
	char text[SENTENCE_MAX] = "";

	k->proc = NULL;
	if (p->timed_out || p->status)
		snprintf(text, sizeof(text), "mysql.kill_command %s (status %d)%s%.150s",
			p->timed_out ? "was ended at its timeout" : "failed", p->status, p->output[0] ? ": " : "",
			p->output);
	ended(k, text);
}

/* --- the beginning ---------------------------------------------------------------------------------------------------------------------- */

static int run_command(struct killing *k, us_t left, struct err *e)
{
	struct sup *s = k->r->s;
	auto_free char *node = str_printf("HACTL_NODE=%s", s->conf->node[s->me].name);
	auto_free char *port = str_printf("HACTL_PORT=%d", conf_of(s)->port);
	const char *env[] = { node, port, NULL };

	k->proc = proc_start(s->loop, conf_of(s)->kill_command, env, NULL, left, on_command, k, e);
	return k->proc ? 0 : -1;
}

static int send_kill(struct killing *k, us_t left, struct err *e)
{
	struct sup *s = k->r->s;
	struct victim *v = &s->victim;

	if (v->pid <= 0) /* not since this start; who listens is to be seen all the same */
		identify(s, &s->server[s->me][DB_MYSQL].facts);
	if (v->pid <= 0)
		return err_set(e, "its process is not to be seen from here: set mysql.socket or mysql.kill_command");
	k->pid = v->pid;
	if (syscall(SYS_pidfd_send_signal, v->pidfd, SIGKILL, NULL, 0) < 0 && errno != ESRCH)
		return err_set(e, "process %d cannot be killed: %s (CAP_KILL?)", (int)v->pid, strerror(errno));
	k->watch = watch_new(s->loop, v->pidfd, EPOLLIN, on_dead, k);
	k->timer = timer_new(s->loop, on_late, k);
	timer_in(k->timer, left);
	return 0;
}

us_t killer_patience(const struct sup *s, us_t left)
{
	us_t most = s->server[s->me][DB_MYSQL].hung_since ? PATIENCE_HUNG : PATIENCE;

	return conf_of(s)->kill_stuck && left > most ? most : left;
}

/* One that refuses our account, or whose port was shut by somebody's firewall, may be in the best of health. */
static bool stuck(const struct sup *s, enum db_outcome outcome)
{
	const struct server *v = &s->server[s->me][DB_MYSQL];

	return v->facts.writable && v->facts.life != DB_DEAD &&
	       (outcome == DB_TIMED_OUT || v->hung_since || v->facts.life == DB_UP);
}

bool killer_start(struct running *r, enum db_outcome outcome, const char *why)
{
	struct sup *s = r->s;
	us_t left = r->deadline - now_us() - AFTERWARDS;
	struct killing *k;
	struct err e;
	int bad;

	if (!conf_of(s)->kill_stuck || r->killed || left <= 0 || !stuck(s, outcome))
		return false;
	k = r->killing = xcalloc(1, sizeof(*k));
	r->killed = true;
	k->r = r;
	k->at = now_us();
	STR_COPY(k->why, why);
	bad = conf_of(s)->kill_command[0] ? run_command(k, left, &e) : send_kill(k, left, &e);
	if (!bad)
		return true;
	hooks_alert(s, LOG_LVL_ERROR, "mysql on %s does not stop writing and is not killed: %s",
		s->conf->node[s->me].name, e.text);
	drop(k);
	return false;
}

void killer_cancel(struct running *r)
{
	if (r->killing)
		drop(r->killing);
}

void killer_close(struct sup *s)
{
	forget(&s->victim);
}
