/* status_text.c - the status document for somebody at three in the morning: the verdict first, in one sentence, then what it rests
 * on. Red is what is wrong, yellow what is unknown. */
#include "hactl/control/control.h"

#include "hactl/control/peek.h"

enum paint { PLAIN, GOOD, DOUBT, BAD, BOLD, FAINT, PAINT_COUNT };
static const char *const paints[PAINT_COUNT] = { [PLAIN] = "",
	[GOOD] = "\033[32m",
	[DOUBT] = "\033[33m",
	[BAD] = "\033[31m",
	[BOLD] = "\033[1m",
	[FAINT] = "\033[2m" };

struct screen {
	struct page_text t;
	bool colour;
};

/* Prints with the colour around it and a stranger's control characters defused. */
static void say(struct screen *s, enum paint paint, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static void say(struct screen *s, enum paint paint, const char *fmt, ...)
{
	va_list ap;
	char *line;
	va_start(ap, fmt);
	if (vasprintf(&line, fmt, ap) < 0)
		abort();
	va_end(ap);
	for (char *p = line; *p; p++)
		if (((unsigned char)*p < ' ' && *p != '\n') || *p == 0x7f)
			*p = '?';
	bool painted = s->colour && paint != PLAIN;
	text_add(&s->t, "%s%s%s", painted ? paints[paint] : "", line, painted ? "\033[0m" : "");
	free(line);
}

/* Starts a section; the name stands on its first line only. */
static void head(struct screen *s, const char *name)
{
	say(s, BOLD, "\n  %-13s", name);
}

static void more(struct screen *s)
{
	say(s, PLAIN, "\n  %-13s", "");
}

static void number(struct screen *s, const json_t *v, const char *before, const char *unit)
{
	if (json_is_integer(v))
		say(s, PLAIN, "%s%lld%s", before, (long long)json_integer_value(v), unit);
	else if (json_is_real(v))
		say(s, PLAIN, "%s%.1f%s", before, json_real_value(v), unit);
	else
		say(s, DOUBT, "%sunknown", before);
}

static void span(char out[32], const json_t *ms)
{
	if (!json_is_number(ms)) {
		snprintf(out, 32, "unknown");
		return;
	}
	double v = json_number_value(ms);
	if (v < 1000)
		snprintf(out, 32, "%.0f ms", v);
	else if (v < 120e3)
		snprintf(out, 32, "%.1f s", v / 1e3);
	else if (v < 7200e3)
		snprintf(out, 32, "%.0f min", v / 60e3);
	else if (v < 48 * 3600e3)
		snprintf(out, 32, "%.0f h", v / 3600e3);
	else
		snprintf(out, 32, "%.0f days", v / 86400e3);
}

static void verdict(struct screen *s, const json_t *st, char troubles[][SENTENCE_MAX], size_t n)
{
	const char *primary = json_string_value(peek(st, "primary", NULL));
	const char *node = peek_text(st, "node", NULL), *peer = peek_text(st, "peer", "name");
	bool ready = peek_true(st, "failover", "ready");
	say(s, BOLD, "%s: ", peek_text(st, "cluster", NULL));
	if (primary)
		say(s, PLAIN, "%s is primary; ", primary);
	else
		say(s, BAD, "nobody is known to be primary; ");
	const char *heir = str_eq(primary, node) ? peer : node;
	if (ready && !n)
		say(s, GOOD, "all is well, %s would take over at once and lose %s.", heir,
			peek_text(st, "failover", "would_lose"));
	else if (ready)
		say(s, DOUBT, "%s would take over, but not all is well: %s", heir, troubles[0]);
	else
		say(s, BAD, "a failover would NOT happen now: %s", n ? troubles[0] : "nobody said why");
	if (n > 1)
		say(s, ready ? DOUBT : BAD, " (and %zu more, below)", n - 1);
	say(s, PLAIN, "\n");
}

static void part_node(struct screen *s, const json_t *st)
{
	const char *role = peek_text(st, "role", NULL);
	bool usual = str_eq(role, role_names[ROLE_PRIMARY]) || str_eq(role, role_names[ROLE_STANDBY]);
	head(s, "this node");
	say(s, PLAIN, "%s  ", peek_text(st, "node", NULL));
	say(s, usual ? GOOD : BAD, "%s", role);
	number(s, peek(st, "term", NULL), ", term ", "");
	if (peek_true(st, "paused", NULL))
		say(s, DOUBT, ", PAUSED%s%s", json_is_string(peek(st, "pause_reason", NULL)) ? ": " : "",
			json_is_string(peek(st, "pause_reason", NULL)) ? peek_text(st, "pause_reason", NULL) : "");
	const json_t *plan = peek(st, "plan", NULL);
	if (!json_is_object(plan))
		return;
	more(s);
	say(s, DOUBT, "%s under way: %s", peek_text(plan, "name", NULL), peek_text(plan, "step", NULL));
	number(s, peek(plan, "step_ms", NULL), " for ", " ms");
	if (json_is_string(peek(plan, "detail", NULL))) {
		more(s);
		say(s, DOUBT, "%s", peek_text(plan, "detail", NULL));
	}
}

static void part_authority(struct screen *s, const json_t *st)
{
	const json_t *a = peek(st, "authority", NULL);
	head(s, "authority");
	if (peek_true(a, "held", NULL)) {
		say(s, GOOD, "held");
		number(s, peek(a, "remaining_ms", NULL), " for another ", " ms");
		size_t i;
		json_t *from;
		json_array_foreach(peek(a, "from", NULL), i, from)
		{
			say(s, PLAIN, "%s%s", i ? " and " : ", by ",
				json_string_value(from) ? json_string_value(from) : "?");
		}
	} else {
		bool needed = str_eq(peek_text(st, "role", NULL), role_names[ROLE_PRIMARY]);
		say(s, needed ? BAD : PLAIN, "not held by this node");
	}
	const char *arbiter = peek_text(a, "arbiter", NULL);
	if (str_eq(arbiter, "none"))
		say(s, PLAIN, "; no arbiter (%s)", peek_text(a, "mode", NULL));
	else
		say(s, str_eq(arbiter, "up") ? PLAIN : BAD, "; arbiter %s", arbiter);
	if (json_is_string(peek(a, "trouble", NULL))) {
		more(s);
		say(s, BAD, "%s", peek_text(a, "trouble", NULL));
	}
}

static void part_paths(struct screen *s, const json_t *paths)
{
	size_t i;
	json_t *p;
	json_array_foreach(paths, i, p)
	{
		const char *state = peek_text(p, "state", NULL);
		more(s);
		say(s, PLAIN, "path %s - %s  ", peek_text(p, "local", NULL), peek_text(p, "remote", NULL));
		say(s, str_eq(state, "alive") ? GOOD : str_eq(state, "silent") ? BAD : DOUBT, "%s", state);
		number(s, peek(p, "loss_percent", NULL), ", loss ", " %");
		number(s, peek(p, "rtt_ms", NULL), ", round trip ", " ms");
	}
}

static void part_peer(struct screen *s, const json_t *st)
{
	const json_t *p = peek(st, "peer", NULL);
	const char *state = peek_text(p, "state", NULL);
	char heard[32];
	head(s, "peer");
	say(s, PLAIN, "%s  ", peek_text(p, "name", NULL));
	say(s, str_eq(state, "alive") ? GOOD : BAD, "%s", state);
	if (str_eq(state, "unknown")) {
		say(s, DOUBT, ", nothing heard of it since this supervisor started");
		return;
	}
	span(heard, peek(p, "silent_ms", NULL));
	say(s, PLAIN, ", %s, heard %s ago", peek_text(p, "role", NULL), heard);
	number(s, peek(p, "rtt_ms", NULL), ", round trip ", " ms");
	part_paths(s, peek(p, "paths", NULL));
	if (peek_true(st, "config_differs", NULL)) {
		more(s);
		say(s, BAD, "its configuration differs from this node's in what must agree");
	}
}

static void part_failover(struct screen *s, const json_t *st, char troubles[][SENTENCE_MAX], size_t n)
{
	const json_t *f = peek(st, "failover", NULL);
	size_t blockers = json_array_size(peek(f, "blockers", NULL));
	head(s, "failover");
	if (peek_true(f, "ready", NULL))
		say(s, GOOD, "ready");
	else
		say(s, BAD, "NOT ready");
	const char *lose = json_string_value(peek(f, "would_lose", NULL));
	say(s, lose && str_eq(lose, "nothing") ? PLAIN : DOUBT, "; would lose: %s", lose ? lose : "unknown");
	for (size_t i = 0; i < blockers && i < n; i++) {
		more(s);
		say(s, BAD, "- %s", troubles[i]);
	}
	if (n <= blockers)
		return;
	head(s, "not well");
	for (size_t i = blockers; i < n; i++) {
		if (i > blockers)
			more(s);
		say(s, DOUBT, "- %s", troubles[i]);
	}
}

static void part_vips(struct screen *s, const json_t *st)
{
	bool primary = str_eq(peek_text(st, "role", NULL), role_names[ROLE_PRIMARY]);
	size_t i;
	json_t *v;
	json_array_foreach(peek(st, "vips", NULL), i, v)
	{
		bool held = peek_true(v, "held", NULL);
		i ? more(s) : head(s, "addresses");
		say(s, PLAIN, "%-18s ", peek_text(v, "address", NULL));
		say(s, held == primary ? (held ? GOOD : PLAIN) : BAD, held ? "on this host" : "not on this host");
		if (json_is_string(peek(v, "interface", NULL)))
			say(s, FAINT, "  %s", peek_text(v, "interface", NULL));
	}
}

static void database_replica(struct screen *s, const json_t *d, bool mysql)
{
	if (!mysql) {
		number(s, peek(d, "behind_bytes", NULL), "  behind ", " bytes");
		const char *link = peek_text(d, "link", NULL);
		say(s, str_eq(link, "up") ? PLAIN : BAD, ", link %s", link);
		return;
	}
	number(s, peek(d, "lag_ms", NULL), "  lag ", " ms");
	number(s, peek(d, "unreceived", NULL), ", unreceived ", "");
	number(s, peek(d, "unapplied", NULL), ", unapplied ", "");
	number(s, peek(d, "silent_ms", NULL), ", silent ", " ms");
	number(s, peek(d, "behind", NULL), ", behind ", " transactions");
	if (json_is_boolean(peek(d, "in_sync", NULL)))
		say(s, peek_true(d, "in_sync", NULL) ? GOOD : BAD,
			peek_true(d, "in_sync", NULL) ? ", in sync" : ", NOT in sync");
}

static void database_line(struct screen *s, const json_t *d, bool mysql)
{
	const json_t *up = peek(d, "up", NULL);
	const char *state = peek_text(d, "state", NULL), *role = peek_text(d, "role", NULL);
	say(s, PLAIN, "%-8s ", peek_text(d, "node", NULL));
	if (!json_is_true(up)) {
		say(s, json_is_false(up) ? BAD : DOUBT, "%s", state);
	} else {
		say(s, GOOD, "%-8s", role);
		if (mysql)
			say(s, PLAIN, "  %s", peek_true(d, "writable", NULL) ? "writable " : "read-only");
		if (str_eq(role, "replica"))
			database_replica(s, d, mysql);
		else if (!mysql)
			number(s, peek(d, "offset", NULL), "  offset ", "");
		if (json_is_string(peek(d, "version", NULL)))
			say(s, FAINT, "  %s", peek_text(d, "version", NULL));
	}
	static const char *const why[] = { "trouble", "error" };
	for (size_t i = 0; i < ARRAY_LEN(why); i++) {
		if (!json_is_string(peek(d, why[i], NULL)))
			continue;
		more(s);
		say(s, BAD, "         %s", peek_text(d, why[i], NULL));
	}
}

static void part_database(struct screen *s, const json_t *st, const char *kind)
{
	if (!json_is_object(peek(st, kind, NULL)))
		return;
	bool mysql = str_eq(kind, "mysql");
	head(s, kind);
	database_line(s, peek(st, kind, "local"), mysql);
	more(s);
	database_line(s, peek(st, kind, "peer"), mysql);
}

static void part_probes(struct screen *s, const json_t *st)
{
	size_t i;
	json_t *p;
	json_array_foreach(peek(st, "probes", NULL), i, p)
	{
		const char *state = peek_text(p, "state", NULL);
		enum paint paint = str_eq(state, "up") ? GOOD : str_eq(state, "down") ? BAD : DOUBT;
		const char *node = json_string_value(peek(p, "node", NULL));
		i ? more(s) : head(s, "probes");
		say(s, PLAIN, "%-8s %-18s %-5s ", node ? node : "-", peek_text(p, "name", NULL),
			peek_text(p, "type", NULL));
		say(s, paint, "%-7s", state);
		if (json_is_number(peek(p, "latency_ms", NULL)))
			say(s, PLAIN, " %8.1f ms", json_number_value(peek(p, "latency_ms", NULL)));
		else
			say(s, PLAIN, " %11s", "");
		if (json_is_string(peek(p, "detail", NULL)))
			say(s, paint == BAD ? BAD : FAINT, "  %s", peek_text(p, "detail", NULL));
	}
}

static void part_upstreams(struct screen *s, const json_t *st)
{
	size_t i, k;
	json_t *u, *server;
	json_array_foreach(peek(st, "upstreams", NULL), i, u)
	{
		i ? more(s) : head(s, "upstreams");
		say(s, PLAIN, "%s (%s, %s)", peek_text(u, "name", NULL), peek_text(u, "type", NULL),
			peek_text(u, "policy", NULL));
		if (!peek_true(u, "applied", NULL) || json_is_string(peek(u, "trouble", NULL)))
			say(s, BAD, "  not as it should be%s%s", json_is_string(peek(u, "trouble", NULL)) ? ": " : "",
				json_is_string(peek(u, "trouble", NULL)) ? peek_text(u, "trouble", NULL) : "");
		json_array_foreach(peek(u, "servers", NULL), k, server)
		{
			bool up = str_eq(peek_text(server, "state", NULL), "up");
			more(s);
			say(s, PLAIN, "  %-22s", peek_text(server, "address", NULL));
			number(s, peek(server, "weight", NULL), " weight ", "");
			say(s, PLAIN, "%s", peek_true(server, "backup", NULL) ? ", backup" : "");
			say(s, up ? GOOD : BAD, ", %s", peek_text(server, "state", NULL));
		}
	}
}

void status_text_steps(struct page_text *t, const json_t *steps, const char *indent)
{
	size_t i;
	json_t *step;
	json_array_foreach(steps, i, step)
	{
		const char *outcome = peek_text(step, "outcome", NULL);
		const json_t *ms = peek(step, "ms", NULL);
		text_add(t, "\n%s%-18s ", indent, peek_text(step, "name", NULL));
		if (json_is_number(ms))
			text_add(t, "%9.1f ms", json_number_value(ms));
		else
			text_add(t, "%12s", "?");
		text_add(t, "  %s", outcome);
	}
}

static void part_change(struct screen *s, const json_t *st)
{
	const json_t *c = peek(st, "last_change", NULL);
	if (!json_is_object(c))
		return;
	char ago[32];
	span(ago, peek(c, "ago_ms", NULL));
	head(s, "last change");
	say(s, PLAIN, "%s from %s to %s, %s ago (%s)", peek_text(c, "kind", NULL), peek_text(c, "from", NULL),
		peek_text(c, "to", NULL), ago, peek_text(c, "at", NULL));
	number(s, peek(c, "total_ms", NULL), ", took ", " ms");
	if (json_is_false(peek(c, "ok", NULL)))
		say(s, BAD, ", FAILED");
	more(s);
	say(s, PLAIN, "%s", peek_text(c, "reason", NULL));
	status_text_steps(&s->t, peek(c, "steps", NULL), "                 ");
}

static void part_rest(struct screen *s, const json_t *st)
{
	size_t i;
	json_t *w;
	if (json_is_string(peek(st, "keepalived", NULL))) {
		head(s, "keepalived");
		say(s, PLAIN, "%s", peek_text(st, "keepalived", NULL));
	}
	json_array_foreach(peek(st, "warnings", NULL), i, w)
	{
		i ? more(s) : head(s, "warnings");
		say(s, DOUBT, "%s", json_string_value(w) ? json_string_value(w) : "?");
	}
}

char *status_text(const json_t *status, bool colour)
{
	struct screen s = { .colour = colour };
	char troubles[STATUS_MAX_TROUBLES][SENTENCE_MAX];
	size_t n = status_troubles(status, troubles, STATUS_MAX_TROUBLES);
	verdict(&s, status, troubles, n);
	part_node(&s, status);
	part_authority(&s, status);
	part_peer(&s, status);
	part_failover(&s, status, troubles, n);
	part_vips(&s, status);
	part_database(&s, status, "mysql");
	part_database(&s, status, "redis");
	part_probes(&s, status);
	part_upstreams(&s, status);
	part_change(&s, status);
	part_rest(&s, status);
	say(&s, PLAIN, "\n");
	return s.t.text;
}
