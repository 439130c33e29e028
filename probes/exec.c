/* exec.c - a command of the operator's: exit 0 is up, the first line of its output is the detail. */
#include "probes/run.h"

struct exec {
	struct proc *proc;
	char name[NAME_MAX_LEN + 32], host[300], port[48];
	const char *env[4];
};

static int exec_prepare(struct run *r, struct err *e)
{
	const struct probe_spec *s = r->spec;
	struct exec *x = r->kind;

	if (s->command[0] == '\0')
		return err_set(e, "wants a command");
	snprintf(x->name, sizeof(x->name), "HACTL_PROBE=%s", s->name);
	snprintf(x->host, sizeof(x->host), "HACTL_ADDRESS=%s", s->host);
	snprintf(x->port, sizeof(x->port), "HACTL_PORT=%d", s->port);
	x->env[0] = x->name;
	x->env[1] = x->host;
	x->env[2] = x->port;
	return 0;
}

/* proc escapes what the command printed, its line ends too. */
static int first_line(const char *output)
{
	const char *end = strstr(output, "\\x0a");
	size_t n = end ? (size_t)(end - output) : strcspn(output, "\n");

	return (int)(n < 200 ? n : 200);
}

static void on_exit_of(void *arg, const struct proc_result *p)
{
	struct run *r = arg;
	struct exec *x = r->kind;
	int n = first_line(p->output);

	x->proc = NULL;
	if (p->timed_out)
		run_settle(r, false, PL_TIMEOUT, "the command did not end in time and was killed");
	else if (p->status == 0)
		run_settle(r, true, PL_OK, "%.*s", n ? n : 6, n ? p->output : "exit 0");
	else if (n)
		run_settle(r, false, PL_EXEC, "exit %d: %.*s", p->status, n, p->output);
	else
		run_settle(r, false, PL_EXEC, "exit %d", p->status);
}

static void exec_start(struct run *r)
{
	struct exec *x = r->kind;
	struct err e;

	/* the run's deadline comes first; this one only guards against its absence */
	x->proc = proc_start(r->loop, r->spec->command, x->env, NULL, r->spec->timeout + US_PER_SEC, on_exit_of, r, &e);
	if (!x->proc)
		run_settle(r, false, PL_EXEC, "%.200s", e.text);
}

static void exec_stop(struct run *r)
{
	struct exec *x = r->kind;

	proc_cancel(x->proc);
	x->proc = NULL;
}

static void exec_release(struct run *r)
{
	(void)r; /* stop has ended what there was */
}

static const char *exec_awaits(const struct run *r)
{
	(void)r;
	return "the command was killed";
}

const struct run_ops run_exec = {
	.size = sizeof(struct exec),
	.prepare = exec_prepare,
	.start = exec_start,
	.stop = exec_stop,
	.release = exec_release,
	.awaits = exec_awaits,
};
