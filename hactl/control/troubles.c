/* troubles.c - what is less than well, a sentence each, read from the status document; the verdict of `hactl status`. */
#include "hactl/control/control.h"

#include "hactl/control/peek.h"

struct troubles {
	char (*out)[SENTENCE_MAX];
	size_t max, n;
};

static void add(struct troubles *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void add(struct troubles *t, const char *fmt, ...)
{
	if (t->n >= t->max)
		return;
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(t->out[t->n++], SENTENCE_MAX, fmt, ap);
	va_end(ap);
}

/* The sentence, and the document's own reason when it gives one. */
static void add_because(struct troubles *t, const json_t *why, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
static void add_because(struct troubles *t, const json_t *why, const char *fmt, ...)
{
	char sentence[SENTENCE_MAX];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(sentence, sizeof(sentence), fmt, ap);
	va_end(ap);
	const char *text = json_string_value(why);
	add(t, "%s%s%s", sentence, text && *text ? ": " : "", text ? text : "");
}

static void failover_troubles(struct troubles *t, const json_t *s)
{
	const json_t *list = peek(s, "failover", "blockers");
	size_t i;
	json_t *b;
	json_array_foreach(list, i, b)
	{
		add(t, "%s", json_string_value(b) ? json_string_value(b) : "?");
	}
	if (!peek_true(s, "failover", "ready") && !json_array_size(list))
		add(t, "a failover would not happen now");
}

static void path_troubles(struct troubles *t, const json_t *paths)
{
	size_t i;
	json_t *p;
	json_array_foreach(paths, i, p)
	{
		if (str_eq(peek_text(p, "state", NULL), "silent"))
			add(t, "heartbeat path %s - %s is silent; the pair hangs on what is left: check that network",
				peek_text(p, "local", NULL), peek_text(p, "remote", NULL));
	}
}

static void pair_troubles(struct troubles *t, const json_t *s)
{
	const char *role = peek_text(s, "role", NULL), *peer_role = peek_text(s, "peer", "role");
	const char *peer = peek_text(s, "peer", "name"), *state = peek_text(s, "peer", "state");
	bool primary = str_eq(role, role_names[ROLE_PRIMARY]);
	bool paused = peek_true(s, "paused", NULL);
	if (paused && !t->n) /* else a blocker says so already */
		add(t, "automatic failover is paused (`hactl resume` ends that)");
	if (!paused && peek_true(s, "peer", "paused"))
		add(t, "%s is paused and this node is not (`hactl resume` or `hactl pause`)", peer);
	if (!primary && !str_eq(role, role_names[ROLE_STANDBY]))
		add(t, "this node is %s", role);
	if (primary && !peek_true(s, "authority", "held"))
		add(t, "this node is primary without authority");
	if (!str_eq(state, "alive"))
		add(t, str_eq(state, "silent") ? "%s is silent" : "nothing has been heard of %s yet", peer);
	else if (!str_eq(peer_role, role_names[primary ? ROLE_STANDBY : ROLE_PRIMARY]))
		add(t, "%s is %s", peer, peer_role);
	if (str_eq(state, "alive")) /* else all of them are, and the cause is one */
		path_troubles(t, peek(s, "peer", "paths"));
	if (str_eq(peek_text(s, "authority", "arbiter"), "down"))
		add_because(t, peek(s, "authority", "trouble"), "the arbiter does not answer");
	if (peek_true(s, "config_differs", NULL))
		add(t, "the two nodes' configuration files differ in what must agree");
}

static void database_troubles(struct troubles *t, const json_t *s, const char *kind)
{
	static const char *const sides[] = { "local", "peer" };
	const json_t *pair = json_object_get(s, kind);
	for (size_t i = 0; json_is_object(pair) && i < ARRAY_LEN(sides); i++) {
		const json_t *d = json_object_get(pair, sides[i]);
		const json_t *up = peek(d, "up", NULL), *trouble = peek(d, "trouble", NULL);
		const char *node = peek_text(d, "node", NULL), *state = peek_text(d, "state", NULL);
		if (str_eq(state, "unknown"))
			add(t, "%s on %s has not been observed yet", kind, node);
		else if (!json_is_true(up))
			add_because(t, trouble, "%s on %s is %s", kind, node, state);
		else if (json_is_string(trouble))
			add(t, "%s on %s: %s", kind, node, json_string_value(trouble));
		if (json_is_string(peek(d, "error", NULL)))
			add(t, "%s on %s does not replicate: %s", kind, node, peek_text(d, "error", NULL));
		if (json_is_false(peek(d, "in_sync", NULL)))
			add(t, "%s on %s is not known to hold every acknowledged write", kind, node);
	}
}

static void waiting_troubles(struct troubles *t, const json_t *s)
{
	const char *node = peek_text(s, "node", NULL);
	const json_t *since = peek(json_object_get(json_object_get(s, "mysql"), "local"), "writes_wait_since", NULL);

	if (json_is_string(since))
		add(t,
			"writes wait: mysql.semi_sync = \"required\" and %s is away since %s; to write without it, set "
			"mysql.semi_sync = \"auto\" on %s and restart hactl there",
			peek_text(s, "peer", "name"), json_string_value(since), node);
}

static void service_troubles(struct troubles *t, const json_t *s)
{
	size_t i;
	json_t *p;
	json_array_foreach(json_object_get(s, "probes"), i, p)
	{
		const char *state = peek_text(p, "state", NULL), *node = json_string_value(peek(p, "node", NULL));
		if (str_eq(state, "up"))
			continue;
		add_because(t, peek(p, "detail", NULL), "probe %s%s%s %s", peek_text(p, "name", NULL),
			node ? " on " : "", node ? node : "", str_eq(state, "down") ? "is down" : "has no verdict yet");
	}
	json_array_foreach(json_object_get(s, "upstreams"), i, p)
	{
		const json_t *trouble = peek(p, "trouble", NULL);
		if (!peek_true(p, "applied", NULL) || json_is_string(trouble))
			add_because(t, trouble, "upstream %s is not as it should be", peek_text(p, "name", NULL));
	}
	json_array_foreach(json_object_get(s, "vips"), i, p)
	{
		bool primary = str_eq(peek_text(s, "role", NULL), role_names[ROLE_PRIMARY]);
		if (primary != peek_true(p, "held", NULL))
			add(t, "%s is %s this host", peek_text(p, "address", NULL), primary ? "not on" : "still on");
	}
}

static void guard_troubles(struct troubles *t, const json_t *s)
{
	const char *state = peek_text(s, "guard", "state");
	if (str_eq(state, "missing") && peek_true(s, "guard", "expected"))
		add(t, "no guard runs any more: nothing shuts this node's databases when its supervisor dies; start "
		       "hactl-guard");
	else if (str_eq(state, "freezes") || str_eq(state, "frozen"))
		add(t, "the guard keeps this node's databases shut: their lease ended and was not withdrawn");
}

size_t status_troubles(const json_t *status, char out[][SENTENCE_MAX], size_t max)
{
	struct troubles t = { .out = out, .max = max };
	waiting_troubles(&t, status);
	failover_troubles(&t, status);
	pair_troubles(&t, status);
	database_troubles(&t, status, "mysql");
	database_troubles(&t, status, "redis");
	service_troubles(&t, status);
	guard_troubles(&t, status);
	return t.n;
}

int status_exit(const json_t *status)
{
	char first[1][SENTENCE_MAX];
	return status_troubles(status, first, 1) ? 1 : 0;
}
