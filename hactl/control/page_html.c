/* page_html.c - the status page: one plain page, nothing fetched, refreshed by the browser. */
#include "hactl/control/control.h"

#include "hactl/control/peek.h"

static const char top[] =
	"<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta http-equiv=\"refresh\" content=\"2\">"
	"<meta name=\"viewport\" content=\"width=device-width\"><title>hactl</title><style>"
	"body{font:15px/1.45 system-ui,sans-serif;max-width:60em;margin:1.5em auto;padding:0 "
	"1em;background:#fff;color:#222}"
	"table{border-collapse:collapse;width:100%;margin:.3em 0 1.2em}td,th{text-align:left;padding:.2em .8em .2em 0;"
	"border-bottom:1px solid #8883;vertical-align:top}h1{font-size:1.3em}h2{font-size:1em;margin:.2em 0}"
	".up{color:#080}.down{color:#c00}.unknown{color:#a60}ul{margin:.2em 0;padding-left:1.2em}"
	"@media(prefers-color-scheme:dark){body{background:#181818;color:#ddd}.up{color:#6c6}.down{color:#f77}.unknown{"
	"color:#fb5}}"
	"</style></head><body>";

static void escaped(struct page_text *t, const char *s)
{
	static const char *const entity[256] = {
		['&'] = "&amp;", ['<'] = "&lt;", ['>'] = "&gt;", ['"'] = "&quot;", ['\''] = "&#39;"
	};
	for (; *s; s++) {
		const char *e = entity[(unsigned char)*s];
		text_put(t, e ? e : s, e ? strlen(e) : 1);
	}
}

/* A value as a cell: true and false are yes and no, null is unknown. */
static void cell(struct page_text *t, const json_t *v)
{
	text_add(t, "<td>");
	if (json_is_string(v))
		escaped(t, json_string_value(v));
	else if (json_is_integer(v))
		text_add(t, "%lld", (long long)json_integer_value(v));
	else if (json_is_real(v))
		text_add(t, "%.1f", json_real_value(v));
	else if (json_is_boolean(v))
		text_add(t, "%s", json_is_true(v) ? "yes" : "no");
	else
		text_add(t, "<span class=\"unknown\">unknown</span>");
	text_add(t, "</td>");
}

static void state_cell(struct page_text *t, const char *state, const char *shown)
{
	text_add(t, "<td class=\"%s\">", str_eq(state, "up") ? "up" : str_eq(state, "down") ? "down" : "unknown");
	escaped(t, shown);
	text_add(t, "</td>");
}

static void headings(struct page_text *t, const char *title, const char *const *names)
{
	text_add(t, "<h2>%s</h2><table><tr>", title);
	for (; *names; names++)
		text_add(t, "<th>%s</th>", *names);
	text_add(t, "</tr>");
}

static void verdict(struct page_text *t, const json_t *s)
{
	char troubles[STATUS_MAX_TROUBLES][SENTENCE_MAX];
	size_t n = status_troubles(s, troubles, STATUS_MAX_TROUBLES);
	const char *primary = json_string_value(peek(s, "primary", NULL));
	bool ready = peek_true(s, "failover", "ready");
	text_add(t, "<h1>");
	escaped(t, peek_text(s, "cluster", NULL));
	text_add(t, ": ");
	escaped(t, primary ? primary : "nobody");
	text_add(t, " is primary; <span class=\"%s\">%s</span></h1>", ready ? (n ? "unknown" : "up") : "down",
		!ready ? "a failover would NOT happen now"
		: n    ? "not all is well"
		       : "all is well");
	if (!n)
		return;
	text_add(t, "<ul>");
	for (size_t i = 0; i < n; i++) {
		text_add(t, "<li>");
		escaped(t, troubles[i]);
		text_add(t, "</li>");
	}
	text_add(t, "</ul>");
}

static void nodes(struct page_text *t, const json_t *s)
{
	static const char *const names[] = { "node", "role", "term", "authority, ms", "heard, ms ago", "round trip, ms",
		NULL };
	json_t *dash = json_string("");
	headings(t, "Nodes", names);
	text_add(t, "<tr>");
	cell(t, peek(s, "node", NULL));
	cell(t, peek(s, "role", NULL));
	cell(t, peek(s, "term", NULL));
	cell(t, peek(s, "authority", "remaining_ms"));
	cell(t, dash);
	cell(t, dash);
	text_add(t, "</tr><tr>");
	cell(t, peek(s, "peer", "name"));
	cell(t, peek(s, "peer", "role"));
	cell(t, dash);
	cell(t, dash);
	cell(t, peek(s, "peer", "silent_ms"));
	cell(t, peek(s, "peer", "rtt_ms"));
	text_add(t, "</tr></table>");
	json_decref(dash);
}

static void databases(struct page_text *t, const json_t *s)
{
	static const char *const names[] = { "server", "node", "state", "role", "writable", "lag, ms", "behind", NULL };
	static const char *const kinds[] = { "mysql", "redis" }, *const sides[] = { "local", "peer" };
	headings(t, "Databases", names);
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		for (size_t k = 0; k < ARRAY_LEN(sides); k++) {
			const json_t *d = peek(s, kinds[i], sides[k]), *up = peek(d, "up", NULL);
			if (!d)
				continue;
			bool replica = str_eq(peek_text(d, "role", NULL), "replica");
			text_add(t, "<tr><td>%s</td>", kinds[i]);
			cell(t, peek(d, "node", NULL));
			state_cell(t,
				json_is_true(up)    ? "up"
				: json_is_false(up) ? "down"
						    : "unknown",
				peek_text(d, "state", NULL));
			cell(t, peek(d, "role", NULL));
			if (i == 0)
				cell(t, peek(d, "writable", NULL));
			else
				text_add(t, "<td></td>");
			if (i == 0 && replica)
				cell(t, peek(d, "lag_ms", NULL));
			else
				text_add(t, "<td></td>");
			if (replica)
				cell(t, peek(d, i ? "behind_bytes" : "behind", NULL));
			else
				text_add(t, "<td></td>");
			text_add(t, "</tr>");
		}
	}
	text_add(t, "</table>");
}

static void probes(struct page_text *t, const json_t *s)
{
	static const char *const names[] = { "probe", "node", "type", "state", "ms", "detail", NULL };
	size_t i;
	json_t *p;
	if (!json_array_size(peek(s, "probes", NULL)))
		return;
	headings(t, "Probes", names);
	json_array_foreach(peek(s, "probes", NULL), i, p)
	{
		const char *state = peek_text(p, "state", NULL);
		text_add(t, "<tr>");
		cell(t, peek(p, "name", NULL));
		text_add(t, "<td>");
		escaped(t, json_is_string(peek(p, "node", NULL)) ? peek_text(p, "node", NULL) : "-");
		text_add(t, "</td>");
		cell(t, peek(p, "type", NULL));
		state_cell(t, state, state);
		cell(t, peek(p, "latency_ms", NULL));
		cell(t, peek(p, "detail", NULL));
		text_add(t, "</tr>");
	}
	text_add(t, "</table>");
}

static void upstreams(struct page_text *t, const json_t *s)
{
	static const char *const names[] = { "upstream", "server", "weight", "state", "backup", NULL };
	size_t i, k;
	json_t *u, *server;
	if (!json_array_size(peek(s, "upstreams", NULL)))
		return;
	headings(t, "Upstreams", names);
	json_array_foreach(peek(s, "upstreams", NULL), i, u)
	{
		json_array_foreach(peek(u, "servers", NULL), k, server)
		{
			const char *state = peek_text(server, "state", NULL);
			text_add(t, "<tr>");
			cell(t, peek(u, "name", NULL));
			cell(t, peek(server, "address", NULL));
			cell(t, peek(server, "weight", NULL));
			state_cell(t, state, state);
			cell(t, peek(server, "backup", NULL));
			text_add(t, "</tr>");
		}
	}
	text_add(t, "</table>");
}

static void change(struct page_text *t, const json_t *s)
{
	static const char *const names[] = { "step", "ms", "outcome", NULL };
	const json_t *c = peek(s, "last_change", NULL);
	size_t i;
	json_t *step;
	if (!json_is_object(c))
		return;
	headings(t, "Last change", names);
	json_array_foreach(peek(c, "steps", NULL), i, step)
	{
		text_add(t, "<tr>");
		cell(t, peek(step, "name", NULL));
		cell(t, peek(step, "ms", NULL));
		cell(t, peek(step, "outcome", NULL));
		text_add(t, "</tr>");
	}
	text_add(t, "</table><p>");
	escaped(t, peek_text(c, "kind", NULL));
	text_add(t, " from ");
	escaped(t, peek_text(c, "from", NULL));
	text_add(t, " to ");
	escaped(t, peek_text(c, "to", NULL));
	text_add(t, ", ");
	escaped(t, peek_text(c, "at", NULL));
	text_add(t, ": ");
	escaped(t, peek_text(c, "reason", NULL));
	text_add(t, "</p>");
}

char *status_page(const json_t *s)
{
	struct page_text t = { 0 };
	text_put(&t, top, sizeof(top) - 1);
	verdict(&t, s);
	nodes(&t, s);
	databases(&t, s);
	probes(&t, s);
	upstreams(&t, s);
	change(&t, s);
	text_add(
		&t, "<p><a href=\"/status.json\">status.json</a> <a href=\"/metrics\">metrics</a></p></body></html>\n");
	return t.text;
}
