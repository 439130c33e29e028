/* hooks.c - what the operator wants run: own process group, clean environment, a deadline, output in the journal; never waited for.
 *
 * on_primary and on_standby at a change of role; on_event and webhook for every alert and role change, the event as JSON on standard
 * input (hook) or as the body (webhook).
 */
#include "hactl/supervisor/private.h"

#include <curl/curl.h>

/* what is said again within this (a full disk, every second) starts no further hook */
#define SAME_EVENT (60 * US_PER_SEC)

static struct hook *free_slot(struct sup *s)
{
	for (size_t i = 0; i < MAX_HOOKS; i++)
		if (!s->hook[i].proc)
			return &s->hook[i];
	return NULL;
}

/* The supervisor that has stopped waits for nothing else. */
static void one_ended(struct sup *s)
{
	if (s->stopped && !hooks_busy(s))
		loop_exit(s->loop, 0);
}

static void on_hook(void *arg, const struct proc_result *r)
{
	struct hook *h = arg;
	bool bad = r->timed_out || r->status;

	h->proc = NULL;
	journal_add(h->s->journal, bad ? LOG_LVL_WARN : LOG_LVL_INFO, "hook", NULL,
		"hook %s %s (status %d, %.0f ms)%s%s", h->name,
		r->timed_out ? "was killed at its timeout"
		: bad	     ? "failed"
			     : "ended",
		r->status, (double)r->took_us / 1000, r->output[0] ? ": " : "", r->output);
	one_ended(h->s);
}

bool hooks_busy(const struct sup *s)
{
	for (size_t i = 0; i < MAX_HOOKS; i++)
		if (s->hook[i].proc || s->post[i].easy)
			return true;
	return false;
}

void hooks_run(struct sup *s, const char *which, const char *command, const char *const *env, const char *input)
{
	struct hook *h = free_slot(s);
	struct err e;

	if (!command[0])
		return;
	if (!h) {
		journal_add(s->journal, LOG_LVL_WARN, "hook", NULL, "hook %s was left out: %d hooks still run", which,
			MAX_HOOKS);
		return;
	}
	h->s = s;
	STR_COPY(h->name, which);
	h->proc = proc_start(s->loop, command, env, input, s->conf->hooks.timeout, on_hook, h, &e);
	if (!h->proc)
		journal_add(s->journal, LOG_LVL_WARN, "hook", NULL, "hook %s: %s", which, e.text);
}

void hooks_role(struct sup *s, bool primary)
{
	auto_free char *node = str_printf("HACTL_NODE=%s", s->conf->node[s->me].name);
	auto_free char *cluster = str_printf("HACTL_CLUSTER=%s", s->conf->cluster);
	auto_free char *role = str_printf("HACTL_ROLE=%s", primary ? "primary" : "standby");
	const char *env[] = { node, cluster, role, NULL };

	hooks_run(s, primary ? "on_primary" : "on_standby",
		primary ? s->conf->hooks.on_primary : s->conf->hooks.on_standby, env, NULL);
}

void hooks_alert(struct sup *s, enum log_level level, const char *fmt, ...)
{
	char text[SENTENCE_MAX * 2];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	journal_add(s->journal, level, "alert", NULL, "%s", text);
	hooks_event(s, level, "alert", text);
}

/* --- webhook ------------------------------------------------------------------------------------------------------------------------ */

static void post_end(struct post *p)
{
	curl_easy_cleanup(p->easy);
	curl_slist_free_all(p->headers);
	free(p->body);
	*p = (struct post){ 0 };
}

static void on_posted(void *arg, void *easy, int code)
{
	struct post *p = arg;
	struct sup *s = p->s;
	long status = 0;

	curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
	if (code || status >= 300)
		log_warn("webhook %s: %s, status %ld", s->conf->hooks.webhook, curl_easy_strerror((CURLcode)code),
			status);
	post_end(p);
	one_ended(s);
}

static size_t swallow(char *data, size_t size, size_t n, void *arg)
{
	(void)data;
	(void)arg;
	return size * n;
}

static void post(struct sup *s, const char *body)
{
	struct post *p = NULL;
	CURL *easy;
	struct err e;

	if (!s->conf->hooks.webhook[0])
		return;
	for (size_t i = 0; i < MAX_HOOKS && !p; i++)
		p = s->post[i].easy ? NULL : &s->post[i];
	easy = p ? curl_easy_init() : NULL;
	if (!easy) {
		log_warn("webhook %s: an event was left out: %d still wait for its answer", s->conf->hooks.webhook,
			MAX_HOOKS);
		return;
	}
	*p = (struct post){ .s = s,
		.easy = easy,
		.body = xstrdup(body),
		.headers = curl_slist_append(NULL, "Content-Type: application/json") };
	curl_easy_setopt(easy, CURLOPT_URL, s->conf->hooks.webhook);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)(s->conf->hooks.timeout / US_PER_MS));
	curl_easy_setopt(easy, CURLOPT_POSTFIELDS, p->body);
	curl_easy_setopt(easy, CURLOPT_HTTPHEADER, p->headers);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, swallow);
	if (web_start(s->loop, easy, on_posted, p, &e))
		on_posted(p, easy, CURLE_FAILED_INIT);
}

void hooks_event(struct sup *s, enum log_level level, const char *kind, const char *text)
{
	const char *node = s->conf->node[s->me].name;
	bool again = str_eq(text, s->event_told) && now_us() - s->event_at < SAME_EVENT;
	auto_free char *body = NULL;
	json_t *o;

	if (again || s->stopped || s->closing || (!s->conf->hooks.on_event[0] && !s->conf->hooks.webhook[0]))
		return;
	STR_COPY(s->event_told, text);
	s->event_at = now_us();
	o = json_pack("{s:s, s:s, s:s, s:o, s:i}", "cluster", s->conf->cluster, "node", node, "kind", kind, "text",
		text_json(text), "level", (int)level);
	body = json_dumps(o, JSON_COMPACT);
	json_decref(o);
	if (!body)
		return;
	hooks_run(s, "on_event", s->conf->hooks.on_event, NULL, body);
	post(s, body);
}

void hooks_close(struct sup *s)
{
	for (size_t i = 0; i < MAX_HOOKS; i++)
		proc_cancel(s->hook[i].proc);
	for (size_t i = 0; i < MAX_HOOKS; i++) {
		if (!s->post[i].easy)
			continue;
		web_cancel(s->loop, s->post[i].easy);
		post_end(&s->post[i]);
	}
}
