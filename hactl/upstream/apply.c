/* apply.c - keeps the proxies in step with role and health: gathers changes, brings them about, tries again.
 *
 * What stands is read anew each time; a file is touched only when a byte of it has to change. nginx: all upstreams that are due and
 * share the same test and reload go in one change and one reload; when that fails, each tries alone, so that one bad block holds up
 * nobody else. HAProxy: state read, commands, state read again.
 */
#include "hactl/upstream/change.h"
#include "hactl/upstream/haproxy.h"

#include <unistd.h>

#define BACKOFF_FIRST (2 * US_PER_SEC)
#define BACKOFF_MOST  (60 * US_PER_SEC)
#define LOOK_AGAIN    (30 * US_PER_SEC) /* for what others have changed meanwhile, a restarted HAProxy included */

struct item {
	struct upstreams *u;
	const struct conf_upstream *c;
	struct upstream_state state;
	struct server_seen seen[CONF_MAX_SERVERS];
	bool heard[CONF_MAX_SERVERS]; /* its probe has spoken; before that the proxy's present choice stands */
	struct server_want want[CONF_MAX_SERVERS];
	us_t due;	/* US_NEVER: nothing to do */
	us_t backoff;	/* the next pause after a failure */
	bool looking;	/* the next run is only a look at what others did */
	bool disturbed; /* the present run began as a look */
	bool busy, alone, unfinished;
	struct stat known; /* file as last read or written */
	/* HAProxy */
	struct haproxy_call *call;
	char command[HAPROXY_COMMANDS][HAPROXY_COMMAND];
	size_t n_commands, next;
	bool verifying;
	/* change under way */
	char what[SENTENCE_MAX];
};

struct upstreams {
	struct loop *loop;
	const struct conf *conf;
	int me, primary, n;
	upstreams_note_fn *fn;
	void *arg;
	struct timer *timer;
	struct change *change; /* one at a time */
	struct item item[CONF_MAX_UPSTREAMS];
};

static void schedule(struct upstreams *u);

/* --- what people hear ------------------------------------------------------------------------------------------------------- */

static const char *server_name(const struct item *it, int i)
{
	return it->c->type == UPSTREAM_HAPROXY ? it->c->servers[i].server : it->c->servers[i].address;
}

/* There is something to change: its sentence, for when it is done. */
static void begin(struct item *it)
{
	size_t len = 0;

	it->state.applied = false;
	str_add(it->what, sizeof it->what, &len, "upstream %s:", it->c->name);
	for (int i = 0; i < it->c->n_servers; i++)
		str_add(it->what, sizeof it->what, &len, "%s %s weight %d%s%s", i ? "," : "", server_name(it, i),
			it->want[i].weight, it->want[i].backup ? " backup" : "", it->want[i].down ? " down" : "");
	if (it->disturbed)
		str_add(it->what, sizeof it->what, &len, " (somebody else had changed it)");
}

static void say(struct upstreams *u, enum log_level level, const char *sentence)
{
	if (u->fn)
		u->fn(u->arg, level, sentence);
}

/* Each reason once, until it changes or goes away. */
static void in_trouble(struct item *it, const char *why)
{
	char text[sizeof(it->state.trouble)];

	STR_COPY(text, why);
	it->state.applied = false;
	if (str_eq(it->state.trouble, text))
		return;
	STR_COPY(it->state.trouble, text);
	auto_free char *sentence = str_printf("upstream %s is not as it should be: %s", it->c->name, why);
	say(it->u, LOG_LVL_WARN, sentence);
}

static void in_step(struct item *it)
{
	bool was = it->state.trouble[0] != '\0';
	auto_free char *sentence = was ? str_printf("upstream %s is as it should be again", it->c->name) : NULL;

	it->state.applied = true;
	it->state.trouble[0] = '\0';
	it->alone = it->unfinished = false;
	it->backoff = 0;
	if (sentence)
		say(it->u, LOG_LVL_NOTICE, sentence);
}

/* --- when ---------------------------------------------------------------------------------------------------------------------- */

static void due_in(struct item *it, us_t span)
{
	us_t at = now_us() + span;

	if (at < it->due || it->looking) {
		it->due = at;
		it->looking = false;
	}
}

static void done_for_now(struct item *it)
{
	bool dynamic = it->c->policy == POLICY_DYNAMIC;

	it->busy = false;
	if (it->due != US_NEVER) /* something changed meanwhile */
		return;
	it->due = now_us() + (dynamic ? it->c->interval : LOOK_AGAIN);
	it->looking = !dynamic;
}

static void failed(struct item *it, const char *why)
{
	in_trouble(it, why);
	it->busy = false;
	it->backoff = it->backoff == 0		       ? BACKOFF_FIRST
		      : it->backoff * 2 > BACKOFF_MOST ? BACKOFF_MOST
						       : it->backoff * 2;
	due_in(it, it->backoff);
}

/* --- what it should be ------------------------------------------------------------------------------------------------------------ */

/* it->state.now is what stands; fills it->want. */
static void decide(struct item *it)
{
	struct server_seen seen[CONF_MAX_SERVERS];

	for (int i = 0; i < it->c->n_servers; i++) {
		seen[i] = it->seen[i];
		seen[i].healthy = it->c->probe < 0 || (it->heard[i] ? it->seen[i].healthy : !it->state.now[i].down);
		it->state.healthy[i] = seen[i].healthy;
	}
	weights_decide(it->c, it->u->primary, seen, it->state.now, it->want);
}

/* --- nginx ------------------------------------------------------------------------------------------------------------------------- */

/* One change under construction: files read so far, their texts as rewritten so far. */
struct draft {
	struct disk_file file[CONF_MAX_UPSTREAMS];
	bool changed[CONF_MAX_UPSTREAMS], unfinished[CONF_MAX_UPSTREAMS];
	int n;
};

static int draft_file(struct draft *d, struct item *it, struct err *e)
{
	struct disk_file f;

	if (disk_read(it->c->file, &f, e) < 0)
		return -1;
	it->known = f.st;
	for (int i = 0; i < d->n; i++) {
		if (str_eq(d->file[i].path, f.path)) {
			free(f.text);
			return i;
		}
	}
	d->file[d->n] = f;
	return d->n++;
}

/* Puts the item's wish into the draft. 1 it has to change something, 0 it stands already, -1 it cannot be done. */
static int draft_item(struct draft *d, struct item *it, struct err *e)
{
	bool changed;
	char *text;
	size_t len;
	int i = draft_file(d, it, e);

	if (i < 0 || nginx_read(d->file[i].text, d->file[i].len, it->c, it->state.now, e) < 0)
		return -1;
	decide(it);
	if (nginx_rewrite(d->file[i].text, d->file[i].len, it->c, it->want, &text, &len, &changed, e) < 0)
		return -1;
	free(d->file[i].text);
	d->file[i].text = text;
	d->file[i].len = len;
	d->changed[i] = d->changed[i] || changed;
	d->unfinished[i] = d->unfinished[i] || it->unfinished;
	return changed || it->unfinished;
}

static void on_change(void *arg, enum change_outcome outcome, const char *why)
{
	struct upstreams *u = arg;
	int n_busy = 0;

	u->change = NULL;
	for (int i = 0; i < u->n; i++)
		n_busy += u->item[i].busy && u->item[i].c->type == UPSTREAM_NGINX;
	for (int i = 0; i < u->n; i++) {
		struct item *it = &u->item[i];
		struct stat st;

		if (!it->busy || it->c->type != UPSTREAM_NGINX)
			continue;
		if (outcome == CHANGE_OK) {
			memcpy(it->state.now, it->want, sizeof it->want);
			it->known = stat(it->c->file, &st) == 0 ? st : it->known;
			say(u, LOG_LVL_NOTICE, it->what);
			in_step(it);
			done_for_now(it);
			continue;
		}
		it->unfinished = it->unfinished || outcome == CHANGE_LEFT;
		if (outcome == CHANGE_MOVED || n_busy > 1) {
			it->alone = outcome != CHANGE_MOVED;
			it->busy = false;
			due_in(it, outcome == CHANGE_MOVED ? 100 * US_PER_MS : 0);
		} else
			failed(it, why);
	}
	schedule(u);
}

/* Items that may go together with the first one. */
static bool same_change(const struct item *first, const struct item *it)
{
	return first == it || (!first->alone && !it->alone && str_eq(first->c->test, it->c->test) &&
				      str_eq(first->c->reload, it->c->reload));
}

static void start_change(struct upstreams *u, struct item *first, struct draft *d)
{
	struct change *c = change_new(u->loop, first->c->test, first->c->reload);
	struct err e = { "" };
	int r = 0;

	for (int i = 0; i < d->n && r == 0; i++)
		if (d->changed[i] || d->unfinished[i])
			r = change_add(c, &d->file[i], d->changed[i] ? d->file[i].text : NULL, d->file[i].len, &e);
	if (r == 0) {
		u->change = c;
		change_run(c, on_change, u);
		return;
	}
	change_free(c);
	on_change(u, CHANGE_FAILED, e.text);
}

static void run_nginx(struct upstreams *u, struct item *first, us_t now)
{
	auto_free struct draft *d = xcalloc(1, sizeof(*d));
	bool wanted = false;

	for (int i = 0; i < u->n; i++) {
		struct item *it = &u->item[i];
		struct err e;
		int r;

		if (it->c->type != UPSTREAM_NGINX || it->due > now || !same_change(first, it))
			continue;
		it->due = US_NEVER;
		it->disturbed = it->looking;
		it->looking = false;
		r = draft_item(d, it, &e);
		if (r < 0)
			failed(it, e.text);
		else if (r == 0) {
			in_step(it);
			done_for_now(it);
		} else {
			begin(it);
			it->busy = wanted = true;
		}
	}
	if (wanted)
		start_change(u, first, d);
	for (int i = 0; i < d->n; i++)
		free(d->file[i].text);
}

/* A look costs one stat unless somebody has written to the file. */
static bool nothing_new(struct item *it)
{
	struct stat st;

	if (!it->looking || stat(it->c->file, &st) < 0 || !disk_same(&st, &it->known))
		return false;
	it->due = US_NEVER;
	done_for_now(it);
	return true;
}

/* --- HAProxy ------------------------------------------------------------------------------------------------------------------------ */

static void ask_state(struct item *it);

static void haproxy_done(struct item *it, int foreign)
{
	if (foreign >= 0) {
		auto_free char *why = str_printf("server %s was put in maintenance by somebody else: `set server %s/%s "
						 "state ready` brings it back",
			it->c->servers[foreign].server, it->c->name, it->c->servers[foreign].server);

		in_trouble(it, why);
	} else
		in_step(it);
	done_for_now(it);
}

static void on_command(void *arg, const char *answer, const char *error)
{
	struct item *it = arg;
	char shown[120];

	it->call = NULL;
	if (answer && answer[strspn(answer, "\r\n ")] != '\0') { /* it says something only when it refuses */
		str_escape(answer, strcspn(answer, "\n"), shown, sizeof shown);
		auto_free char *why = str_printf("HAProxy answers \"%s\" to \"%s\"", shown, it->command[it->next]);

		failed(it, why);
	} else if (error)
		failed(it, error);
	else if (++it->next < it->n_commands)
		it->call = haproxy_ask(it->u->loop, it->c->socket, it->command[it->next], on_command, it);
	else {
		it->verifying = true;
		ask_state(it);
	}
	schedule(it->u);
}

static void on_state(void *arg, const char *answer, const char *error)
{
	struct haproxy_server server[CONF_MAX_SERVERS];
	struct item *it = arg;
	struct err e;
	int foreign;

	it->call = NULL;
	if (error || haproxy_parse(answer, it->c, server, &e) < 0) {
		failed(it, error ? error : e.text);
		schedule(it->u);
		return;
	}
	haproxy_now(it->c, server, it->state.now);
	if (!it->verifying)
		decide(it);
	it->n_commands = haproxy_commands(it->c, server, it->want, it->command, &foreign);
	it->next = 0;
	if (it->n_commands == 0) {
		if (it->verifying)
			say(it->u, LOG_LVL_NOTICE, it->what);
		haproxy_done(it, foreign);
	} else if (it->verifying)
		failed(it, "HAProxy took the commands and its state did not follow");
	else {
		begin(it);
		it->call = haproxy_ask(it->u->loop, it->c->socket, it->command[0], on_command, it);
	}
	schedule(it->u);
}

static void ask_state(struct item *it)
{
	auto_free char *command = str_printf("show servers state %s", it->c->name);

	it->call = haproxy_ask(it->u->loop, it->c->socket, command, on_state, it);
}

static void run_haproxy(struct item *it)
{
	it->due = US_NEVER;
	it->disturbed = it->looking;
	it->looking = it->verifying = false;
	it->busy = true;
	ask_state(it);
}

/* --- the clockwork ---------------------------------------------------------------------------------------------------------------- */

static bool may_start(const struct upstreams *u, const struct item *it)
{
	return !it->busy && (it->c->type == UPSTREAM_HAPROXY || !u->change);
}

static void schedule(struct upstreams *u)
{
	us_t at = US_NEVER;

	for (int i = 0; i < u->n; i++)
		if (may_start(u, &u->item[i]) && u->item[i].due < at)
			at = u->item[i].due;
	timer_at(u->timer, at);
}

static void on_timer(void *arg, us_t now)
{
	struct upstreams *u = arg;

	for (int i = 0; i < u->n; i++) {
		struct item *it = &u->item[i];

		if (it->due > now || !may_start(u, it))
			continue;
		if (it->c->type == UPSTREAM_HAPROXY)
			run_haproxy(it);
		else if (!nothing_new(it))
			run_nginx(u, it, now);
	}
	schedule(u);
}

/* --- the room's face ----------------------------------------------------------------------------------------------------------------- */

struct upstreams *upstreams_new(struct loop *l, const struct conf *c, int me, upstreams_note_fn *fn, void *arg)
{
	struct upstreams *u = xcalloc(1, sizeof(*u));

	u->loop = l;
	u->conf = c;
	u->me = me;
	u->primary = NOBODY;
	u->fn = fn;
	u->arg = arg;
	u->n = c->n_upstreams;
	u->timer = timer_new(l, on_timer, u);
	for (int i = 0; i < u->n; i++) {
		struct item *it = &u->item[i];

		it->u = u;
		it->c = it->state.conf = &c->upstream[i];
		it->due = now_us();
		it->unfinished = it->c->type == UPSTREAM_NGINX && disk_unfinished(it->c->file);
		for (int s = 0; s < it->c->n_servers; s++) {
			it->seen[s] = (struct server_seen){ true, -1, -1, -1, -1, -1, -1 };
			it->state.healthy[s] = true;
			it->state.now[s].weight = it->c->servers[s].weight;
		}
	}
	schedule(u);
	return u;
}

void upstreams_free(struct upstreams *u)
{
	if (!u)
		return;
	change_free(u->change);
	for (int i = 0; i < u->n; i++)
		haproxy_cancel(u->item[i].call);
	timer_free(u->timer);
	free(u);
}

void upstreams_primary(struct upstreams *u, int primary)
{
	if (primary == u->primary)
		return;
	u->primary = primary;
	for (int i = 0; i < u->n; i++)
		if (u->item[i].c->policy == POLICY_ACTIVE_BACKUP)
			due_in(&u->item[i], 0);
	schedule(u);
}

static void hear(struct item *it, int server, bool up, double latency_ms)
{
	struct server_seen *s = &it->seen[server];
	bool news = !it->heard[server] || s->healthy != up;

	it->heard[server] = true;
	s->healthy = up;
	if (up && latency_ms >= 0) /* about the last ten answers; a refusal is quick, too, and none */
		s->response_ms = s->response_ms < 0 ? latency_ms : 0.9 * s->response_ms + 0.1 * latency_ms;
	it->state.healthy[server] = up;
	if (news)
		due_in(it, it->c->debounce);
}

void upstreams_health(struct upstreams *u, int probe, int node, bool up, double latency_ms)
{
	for (int i = 0; i < u->n; i++) {
		if (u->item[i].c->probe != probe || probe < 0)
			continue;
		for (int s = 0; s < u->item[i].c->n_servers; s++)
			if (u->item[i].c->servers[s].node == node)
				hear(&u->item[i], s, up, latency_ms);
	}
	schedule(u);
}

void upstreams_load(struct upstreams *u, int node, double cpu, double mem)
{
	for (int i = 0; i < u->n; i++) {
		for (int s = 0; s < u->item[i].c->n_servers; s++) {
			if (u->item[i].c->servers[s].node != node)
				continue;
			u->item[i].seen[s].cpu = cpu;
			u->item[i].seen[s].mem = mem;
		}
	}
}

const struct upstream_state *upstreams_look(const struct upstreams *u, int i)
{
	return i >= 0 && i < u->n ? &u->item[i].state : NULL;
}
