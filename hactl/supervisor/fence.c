/* fence.c - the other node switched off by the operator's command, by the convention of the fence agents (ClusterLabs' FenceAgentAPI):
 * options as name=value lines on standard input; action=off exits with 0 when it has done so; action=status exits with 2 when the node is
 * off, 0 when it is on, 1 when that cannot be known. "Timeout is a failure, not success."
 *
 * An exit status of 0 is a claim. Only a status that says off is a confirmation; while it says anything else it is asked again until the
 * step's time is over, because some devices take a while.
 */
#include "hactl/supervisor/private.h"

enum { STATUS_OFF = 2, STATUS_ON = 0 };
#define ASK_AGAIN (500 * US_PER_MS)

static int run(struct running *r, struct err *e);

/* Of what the command printed, what an operator wants to read in one sentence. The output comes escaped: a newline is \x0a. */
static const char *last_line(const char *output)
{
	static const char newline[] = "\\x0a";
	const char *line = output, *next;

	while ((next = strstr(line, newline)) && next[sizeof(newline) - 1])
		line = next + sizeof(newline) - 1;
	return line;
}

static void trim(char *text)
{
	char *newline = strstr(text, "\\x0a");

	if (newline)
		*newline = '\0';
}

static void say(const struct running *r, const struct proc_result *p)
{
	bool fine = !p->timed_out && p->status == (r->off_done ? STATUS_OFF : 0);

	journal_add(r->s->journal, fine ? LOG_LVL_NOTICE : LOG_LVL_WARN, "fence", NULL,
		"fence command, action=%s for %s: %s (status %d, %.0f ms)%s%s", r->off_done ? "status" : "off",
		r->s->conf->node[r->s->peer].name, p->timed_out ? "killed at the timeout" : "ended", p->status,
		(double)p->took_us / 1000, p->output[0] ? ": " : "", p->output);
}

static void fail(struct running *r, const struct proc_result *p)
{
	const char *other = r->s->conf->node[r->s->peer].name;
	char line[128], text[SENTENCE_MAX];

	STR_COPY(line, last_line(p->output));
	trim(line);
	if (p->timed_out)
		snprintf(text, sizeof(text), "the fence command (action=%s) did not end in time: %s may still run",
			r->off_done ? "status" : "off", other);
	else if (!r->off_done)
		snprintf(text, sizeof(text), "the fence command failed with status %d: %s may still run%s%s", p->status,
			other, line[0] ? ": " : "", line);
	else
		snprintf(text, sizeof(text),
			"the fence command says it has switched %s off, but its action=status %s (status %d; 2 is "
			"off)%s%s",
			other, p->status == STATUS_ON ? "says that it is on" : "does not say so", p->status,
			line[0] ? ": " : "", line);
	fence_cancel(r);
	steps_end(r, p->timed_out ? STEP_UNKNOWN : STEP_FAILED, text);
}

static void on_again(void *arg, us_t now)
{
	struct running *r = arg;
	struct err e = { "" };

	(void)now;
	if (run(r, &e) == 0)
		return;
	fence_cancel(r);
	steps_end(r, STEP_FAILED, e.text);
}

static void on_ended(void *arg, const struct proc_result *p)
{
	struct running *r = arg;
	char text[SENTENCE_MAX];
	struct err e = { "" };

	r->proc = NULL;
	say(r, p);
	if (!p->timed_out && r->off_done && p->status == STATUS_OFF) {
		snprintf(
			text, sizeof(text), "%s is off, confirmed by action=status", r->s->conf->node[r->s->peer].name);
		fence_cancel(r);
		steps_end(r, STEP_OK, text);
	} else if (!p->timed_out && !r->off_done && p->status == 0) {
		r->off_done = true;
		if (run(r, &e) == 0)
			return;
		fence_cancel(r);
		steps_end(r, STEP_FAILED, e.text);
	} else if (!p->timed_out && r->off_done && now_us() + ASK_AGAIN < r->deadline) {
		timer_in(r->again, ASK_AGAIN);
	} else {
		fail(r, p);
	}
}

static int run(struct running *r, struct err *e)
{
	const struct conf *c = r->s->conf;
	const char *other = c->node[r->s->peer].name;
	auto_free char *input = str_printf(
		"action=%s\nnodename=%s\nport=%s\nplug=%s\n", r->off_done ? "status" : "off", other, other, other);
	auto_free char *cluster = str_printf("HACTL_CLUSTER=%s", c->cluster);
	auto_free char *node = str_printf("HACTL_NODE=%s", c->node[r->s->me].name);
	auto_free char *target = str_printf("HACTL_TARGET=%s", other);
	const char *env[] = { cluster, node, target, NULL };
	us_t left = r->deadline - now_us();

	if (left <= 0)
		return err_set(e, "no time was left to ask whether %s is off", other);
	r->proc = proc_start(r->s->loop, c->fence.command, env, input, left, on_ended, r, e);
	return r->proc ? 0 : -1;
}

int fence_start(struct running *r, struct err *e)
{
	r->again = timer_new(r->s->loop, on_again, r);
	if (run(r, e) == 0)
		return 0;
	fence_cancel(r);
	return -1;
}

void fence_cancel(struct running *r)
{
	proc_cancel(r->proc);
	timer_free(r->again);
	r->proc = NULL;
	r->again = NULL;
}
