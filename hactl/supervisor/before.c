/* before.c - what a planned change would meet now: asked of the servers, changing nothing, for --dry-run (said) and --when-quiet (waited
 * for). One at a time. A look is: would the primary's server be held up, does the way back work, and how soon does the standby execute
 * what was written up to now.
 */
#include "hactl/supervisor/private.h"

#define LOOK_TIMEOUT (2 * US_PER_SEC)
#define QUIET_REACH  (100 * US_PER_MS) /* the standby is near nothing behind when it reaches the position within this */
#define PAUSE	     (200 * US_PER_MS) /* between looks */

struct before {
	struct sup *s;
	struct control_request *request; /* NULL: free */
	bool dry;
	struct core_command command;
	us_t begun, end;
	struct timer *again;
	struct server *asked; /* call is under way on it */
	struct db_call *call;
	int stage;
	us_t reached; /* how long the standby took; US_UNKNOWN */
	char position[POSITION_MAX];
	char said[SENTENCE_MAX], why[SENTENCE_MAX]; /* the precheck's words; what is in the way, "" nothing */
};

static const struct {
	enum db_op op;
	enum db_kind kind;
	bool peer;
} stages[] = { { OP_PRECHECK, DB_MYSQL, false }, { OP_PRECHECK, DB_REDIS, false }, { OP_POSITION, DB_MYSQL, false },
	{ OP_REACH, DB_MYSQL, true } };

static void next(struct before *b);

static int say_plan(struct before *b, char *text, size_t size, size_t *len)
{
	struct sup *s = b->s;
	enum step_kind step[CORE_MAX_STEPS];
	int phase[CORE_MAX_STEPS];
	size_t n = core_plan_steps(&s->core_conf, "switchover", step, phase);
	struct core_view v;

	core_look(s->core, now_us(), &v);
	str_add(text, size, len, "plan for a switchover from %s (nothing was done):\n",
		v.primary == NOBODY ? "nobody" : s->conf->node[v.primary].name);
	for (size_t i = 0; i < n; i++)
		str_add(text, size, len, "  %d. %s\n", phase[i] + 1, step_names[step[i]]);
	return str_add(text, size, len, "  then the other node takes over\n") ? 0 : -1;
}

static void say_count(char *text, size_t size, size_t *len, const char *what, int64_t n)
{
	if (n < 0)
		str_add(text, size, len, "unknown what is %s", what);
	else
		str_add(text, size, len, "%lld transactions %s", (long long)n, what);
}

static void say_span(char *text, size_t size, size_t *len, const char *what, us_t span)
{
	char t[32] = "unknown";

	if (span != US_UNKNOWN)
		duration_text(span, t);
	str_add(text, size, len, "; %s %s", what, t);
}

/* The three numbers, as observed, and one measured. */
static void say_lag(struct before *b, char *text, size_t size, size_t *len)
{
	struct sup *s = b->s;
	const struct db_facts *f;
	struct core_view v;

	core_look(s->core, now_us(), &v);
	f = &s->server[v.primary == s->me ? s->peer : s->me][DB_MYSQL].facts;
	str_add(text, size, len, "present lag of the standby: ");
	say_count(text, size, len, "not received", facts_unreceived(s, &v));
	str_add(text, size, len, ", ");
	say_count(text, size, len, "not applied", f->life == DB_UP ? f->unapplied : -1);
	say_span(text, size, len, "heard of the primary's server before", f->life == DB_UP ? f->silence : US_UNKNOWN);
	if (b->reached != US_UNKNOWN)
		say_span(text, size, len, "had executed what was written up to now after", b->reached);
	str_add(text, size, len, "\nlost by a failover now: %s\n", s->would_lose);
}

static void tell(struct before *b)
{
	char text[4096] = "", blockers[CORE_MAX_BLOCKERS][SENTENCE_MAX];
	size_t len = 0, n = core_blockers(b->s->core, now_us(), blockers);

	say_plan(b, text, sizeof(text), &len);
	if (b->s->server[b->s->me][DB_MYSQL].db)
		say_lag(b, text, sizeof(text), &len);
	if (b->said[0])
		str_add(text, sizeof(text), &len, "%s\n", b->said);
	for (size_t i = 0; i < n; i++)
		str_add(text, sizeof(text), &len, "in the way now: %s\n", blockers[i]);
	str_add(text, sizeof(text), &len, "%s%s", b->why[0] ? "it would be refused now: " : "",
		b->why[0] ? b->why
		: n	  ? ""
			  : "nothing would refuse it now");
	control_done(b->request, EXIT_DONE, NULL, "%s", text);
	b->request = NULL;
}

static void quiet(struct before *b)
{
	struct control_request *r = b->request;

	b->request = NULL;
	journal_add(b->s->journal, LOG_LVL_NOTICE, "note", NULL, "it is quiet after %lld ms: the switchover begins",
		(long long)((now_us() - b->begun) / US_PER_MS));
	ask_core(b->s, r, &b->command);
}

/* A look has come to its end. */
static void looked(struct before *b)
{
	if (b->dry) {
		tell(b);
	} else if (!b->why[0]) {
		quiet(b);
	} else if (now_us() + PAUSE >= b->end) {
		control_done(b->request, EXIT_REFUSED, NULL,
			"refused: it did not become quiet within %lld ms; last seen: %s",
			(long long)((b->end - b->begun) / US_PER_MS), b->why);
		b->request = NULL;
	} else {
		timer_in(b->again, PAUSE);
	}
}

static void on_answer(void *arg, enum db_outcome outcome, us_t took, const char *text)
{
	struct before *b = arg;
	enum db_op op = stages[b->stage].op;

	b->call = NULL;
	b->asked->ops--;
	if (outcome != DB_OK && op == OP_REACH)
		snprintf(b->why, sizeof(b->why), "the standby is behind: %.200s", text);
	else if (outcome != DB_OK)
		snprintf(b->why, sizeof(b->why), "%s", text[0] ? text : "the server did not answer in time");
	else if (op == OP_POSITION && !STR_COPY(b->position, text))
		snprintf(b->why, sizeof(b->why), "the replication position is too long");
	else if (op == OP_PRECHECK && stages[b->stage].kind == DB_MYSQL)
		STR_COPY(b->said, text);
	else if (op == OP_REACH)
		b->reached = took;
	b->stage++;
	next(b);
}

static void next(struct before *b)
{
	struct sup *s = b->s;
	struct err e = { "" };

	for (; !b->why[0] && b->stage < (int)ARRAY_LEN(stages); b->stage++) {
		enum db_op op = stages[b->stage].op;
		const char *arg = op == OP_REACH ? b->position : op == OP_PRECHECK && !b->dry ? "quiet" : NULL;

		b->asked = &s->server[stages[b->stage].peer ? s->peer : s->me][stages[b->stage].kind];
		if (!b->asked->db)
			continue;
		b->call = db_start(b->asked->db, op, stages[b->stage].kind == DB_MYSQL ? arg : NULL,
			op == OP_REACH ? QUIET_REACH : LOOK_TIMEOUT, on_answer, b, &e);
		if (!b->call) {
			STR_COPY(b->why, e.text);
			break;
		}
		b->asked->ops++;
		return;
	}
	looked(b);
}

static void look(void *arg, us_t now)
{
	struct before *b = arg;
	struct core_view v;

	b->stage = 0;
	b->reached = US_UNKNOWN;
	b->said[0] = b->why[0] = '\0';
	core_look(b->s->core, now, &v);
	if (v.role != ROLE_PRIMARY && b->dry) {
		snprintf(b->why, sizeof(b->why), "%s is not primary: ask there what its servers say",
			b->s->conf->node[b->s->me].name);
		tell(b);
		return;
	}
	if (v.role != ROLE_PRIMARY) {
		control_done(b->request, EXIT_REFUSED, NULL,
			"refused: --when-quiet looks at the primary's servers: type it there");
		b->request = NULL;
		return;
	}
	next(b);
}

static struct before *take(struct sup *s, struct control_request *r)
{
	if (!s->before) {
		s->before = xcalloc(1, sizeof(*s->before));
		s->before->s = s;
		s->before->again = timer_new(s->loop, look, s->before);
	}
	if (s->before->request) {
		control_done(r, EXIT_REFUSED, NULL, "another such command is under way: wait for its end");
		return NULL;
	}
	s->before->request = r;
	s->before->begun = now_us();
	return s->before;
}

void before_tell(struct sup *s, struct control_request *r)
{
	struct before *b = take(s, r);

	if (!b)
		return;
	b->dry = true;
	look(b, now_us());
}

void before_wait(struct sup *s, struct control_request *r, const struct core_command *c)
{
	struct before *b = take(s, r);

	if (!b)
		return;
	b->dry = false;
	b->command = *c;
	b->end = b->begun + c->timeout;
	look(b, now_us());
}

void before_close(struct sup *s)
{
	struct before *b = s->before;

	if (!b)
		return;
	if (b->request)
		control_done(b->request, EXIT_DEGRADED, NULL, "hactl ended before the command began");
	db_cancel(b->call);
	timer_free(b->again);
	free(b);
	s->before = NULL;
}
