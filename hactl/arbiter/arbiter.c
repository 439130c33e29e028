/* arbiter.c - one call, all endpoints at once, one answer, before the deadline.
 *
 * A swap is sent to every endpoint, so it may be executed more than once. Only the first copy can win: it moves the revision
 * that the others compare with, and revisions never come back. The later copies answer "lost" and show our own entry; a lost
 * answer that shows exactly the entry of this attempt is therefore a swap that won, whichever copy did it.
 *
 * The first usable answer is delivered; slower endpoints finish behind it until the deadline, so that their connections stay
 * open for the next swap (cancelling a transfer closes its connection).
 */
#include "hactl/arbiter/etcd.h"

#include <curl/curl.h>
#include <inttypes.h>

enum { ANSWER_MAX = 16 * 1024, TOKEN_MAX = 1024 };

enum attempt_phase { ATTEMPT_IDLE, ATTEMPT_AUTH, ATTEMPT_ASK };

struct endpoint {
	char url[256];	       /* without a trailing slash */
	char token[TOKEN_MAX]; /* "" none yet. Its own: a member that restarted has forgotten the tokens it gave */
	uint64_t token_age;    /* rises with every token, so that an attempt knows whether it used the newest */
};

struct call;

/* One endpoint's share of a call. The easy handle lives as long as the arbiter. */
struct attempt {
	struct call *call;
	struct endpoint *at;
	CURL *easy;
	struct curl_slist *headers;
	enum attempt_phase phase;
	bool again;  /* a dead kept connection has been retried */
	bool authed; /* a token has been asked for within this attempt */
	uint64_t token_age;
	char body[ANSWER_MAX];
	size_t len;
};

struct call {
	struct arbiter *a;
	struct call *next; /* in arbiter.busy or arbiter.spare */
	uint32_t id;
	bool cas, answered;
	struct reg_value value;
	char *body;
	struct timer *deadline;
	uint64_t floor_term; /* a linearizable answer cannot be older than what was known when it was asked for */
	int64_t floor_revision;
	struct err trouble;
	size_t trouble_len;
	int running;
	struct attempt attempt[CONF_MAX_ENDPOINTS];
};

struct arbiter {
	struct loop *loop;
	arbiter_fn *fn;
	void *arg;
	us_t timeout;
	char *key, *auth_body;
	const struct conf *conf;
	struct endpoint endpoint[CONF_MAX_ENDPOINTS];
	int n_endpoints;
	struct call *busy, *spare;
	uint64_t cluster_id; /* 0 not yet known */
	uint64_t raft_term;
	int64_t revision;
	struct err trouble;
};

static void on_answer(void *arg, void *easy, int code);

/* --- handles --------------------------------------------------------------------------------------------------------- */

static size_t take_body(char *data, size_t size, size_t n, void *arg)
{
	struct attempt *t = arg;

	if (size * n > sizeof(t->body) - t->len)
		return 0; /* libcurl ends the transfer with CURLE_WRITE_ERROR */
	memcpy(t->body + t->len, data, size * n);
	t->len += size * n;
	return size * n;
}

static void set_file(CURL *easy, CURLoption option, const char *path)
{
	if (*path)
		curl_easy_setopt(easy, option, path);
}

#if LIBCURL_VERSION_NUM >= 0x075700
static void set_by_version(CURL *h)
{
	curl_easy_setopt(h, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(h, CURLOPT_QUICK_EXIT, 1L); /* a hung resolver must not hold the clean-up */
}
#else
static void set_by_version(CURL *h)
{
	curl_easy_setopt(h, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
}
#endif

static CURL *handle_new(const struct arbiter *a, struct attempt *t)
{
	CURL *h = curl_easy_init();

	if (!h)
		abort();
	curl_easy_setopt(h, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(h, CURLOPT_PROXY, ""); /* an http_proxy in the environment is not the way to the arbiter */
	curl_easy_setopt(h, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1); /* one connection, one swap */
	curl_easy_setopt(h, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(h, CURLOPT_TIMEOUT_MS, (long)(2 * a->timeout / US_PER_MS + 1)); /* ours ends it sooner */
	curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, take_body);
	curl_easy_setopt(h, CURLOPT_WRITEDATA, t);
	set_by_version(h);
	set_file(h, CURLOPT_CAINFO, a->conf->arbiter.ca_file);
	set_file(h, CURLOPT_SSLCERT, a->conf->arbiter.cert_file);
	set_file(h, CURLOPT_SSLKEY, a->conf->arbiter.cert_key_file);
	return h;
}

/* --- calls: a list in use and a list to use again ---------------------------------------------------------------------- */

static void on_deadline(void *arg, us_t now);

static struct call *call_take(struct arbiter *a)
{
	struct call *c = a->spare;

	if (c)
		a->spare = c->next;
	else {
		c = xcalloc(1, sizeof(*c));
		c->a = a;
		c->deadline = timer_new(a->loop, on_deadline, c);
		for (int i = 0; i < a->n_endpoints; i++) {
			c->attempt[i].call = c;
			c->attempt[i].at = &a->endpoint[i];
			c->attempt[i].easy = handle_new(a, &c->attempt[i]);
		}
	}
	c->answered = false;
	c->running = 0;
	c->trouble_len = 0;
	c->trouble.text[0] = '\0';
	c->next = a->busy;
	a->busy = c;
	return c;
}

static void attempt_end(struct attempt *t)
{
	if (t->phase == ATTEMPT_IDLE)
		return;
	web_cancel(t->call->a->loop, t->easy);
	curl_slist_free_all(t->headers);
	t->headers = NULL;
	t->phase = ATTEMPT_IDLE;
	t->call->running--;
}

static void call_release(struct call *c)
{
	struct arbiter *a = c->a;
	struct call **p = &a->busy;

	for (int i = 0; i < a->n_endpoints; i++)
		attempt_end(&c->attempt[i]);
	timer_off(c->deadline);
	free(c->body);
	c->body = NULL;
	while (*p != c)
		p = &(*p)->next;
	*p = c->next;
	c->next = a->spare;
	a->spare = c;
}

static void call_free(struct call *c)
{
	for (int i = 0; i < c->a->n_endpoints; i++) {
		attempt_end(&c->attempt[i]);
		curl_easy_cleanup(c->attempt[i].easy);
	}
	timer_free(c->deadline);
	free(c->body);
	free(c);
}

/* --- outcomes ------------------------------------------------------------------------------------------------------------ */

/* Gives the outcome to the owner; its callback may free the arbiter, so nothing is touched afterwards. */
static void deliver(struct call *c, enum reg_outcome outcome, int64_t rev, const struct reg_value *value)
{
	struct arbiter *a = c->a;
	struct reg_value copy = *value;

	c->answered = true;
	if (outcome == REG_UNKNOWN)
		a->trouble = c->trouble;
	else
		a->trouble.text[0] = '\0';
	if (c->running == 0)
		call_release(c);
	a->fn(a->arg, c->id, outcome, rev, &copy);
}

static void note_trouble(struct call *c, const struct endpoint *at, const char *sentence)
{
	str_add(c->trouble.text, sizeof(c->trouble.text), &c->trouble_len, "%s%s: %s",
		c->trouble_len ? "; " : "arbiter: ", at->url, sentence);
}

static void deliver_unknown(struct call *c)
{
	static const struct reg_value none = { 0 };

	deliver(c, REG_UNKNOWN, 0, &none);
}

static void on_deadline(void *arg, us_t now)
{
	struct call *c = arg;
	char span[32];
	(void)now;

	duration_text(c->a->timeout, span);
	auto_free char *silent = str_printf("no answer within %s", span);
	for (int i = 0; i < c->a->n_endpoints; i++) {
		if (c->attempt[i].phase == ATTEMPT_IDLE)
			continue;
		note_trouble(c, c->attempt[i].at, silent);
		attempt_end(&c->attempt[i]);
	}
	if (c->answered)
		call_release(c);
	else
		deliver_unknown(c);
}

static void attempt_failed(struct attempt *t, const char *sentence)
{
	struct call *c = t->call;

	note_trouble(c, t->at, sentence);
	attempt_end(t);
	if (c->running != 0)
		return;
	if (c->answered)
		call_release(c);
	else
		deliver_unknown(c);
}

/* --- one request ----------------------------------------------------------------------------------------------------------- */

static int ask(struct attempt *t, struct err *e)
{
	static const char *const no_wait = "Expect:"; /* no extra round trip for "100 Continue" */
	struct call *c = t->call;
	bool auth = t->phase == ATTEMPT_AUTH;
	auto_free char *url = str_printf("%s%s", t->at->url,
		auth	 ? "/v3/auth/authenticate"
		: c->cas ? "/v3/kv/txn"
			 : "/v3/kv/range");

	curl_slist_free_all(t->headers);
	t->headers = curl_slist_append(curl_slist_append(NULL, no_wait), "Content-Type: application/json");
	if (!auth && t->at->token[0]) {
		auto_free char *line = str_printf("Authorization: %s", t->at->token);

		t->headers = curl_slist_append(t->headers, line);
	}
	t->token_age = t->at->token_age;
	t->len = 0;
	curl_easy_setopt(t->easy, CURLOPT_URL, url);
	curl_easy_setopt(t->easy, CURLOPT_HTTPHEADER, t->headers);
	curl_easy_setopt(t->easy, CURLOPT_POSTFIELDS, auth ? c->a->auth_body : c->body);
	curl_easy_setopt(t->easy, CURLOPT_FRESH_CONNECT, t->again ? 1L : 0L);
	return web_start(c->a->loop, t->easy, on_answer, t, e);
}

/* A new or an idle attempt goes into a phase; fails like an answer would, later and from the loop. */
static void ask_or_fail(struct attempt *t, enum attempt_phase phase)
{
	struct err e;

	t->phase = phase;
	if (ask(t, &e) < 0)
		attempt_failed(t, e.text);
}

/* Kept connections die with their server and tell so only when used. */
static bool dead_connection(int code)
{
	return code == CURLE_SEND_ERROR || code == CURLE_RECV_ERROR || code == CURLE_GOT_NOTHING ||
	       code == CURLE_PARTIAL_FILE;
}

/* A member that restarted has forgotten its tokens; a change of users makes all tokens old. */
static bool wants_token(const struct attempt *t, long status, const struct err *e)
{
	return t->call->a->auth_body && t->phase == ATTEMPT_ASK &&
	       (status == 401 || strstr(e->text, "invalid auth token") ||
		       strstr(e->text, "revision of auth store is old") || strstr(e->text, "user name is empty"));
}

static void on_token(struct attempt *t, long status)
{
	struct err e;

	if (etcd_parse_token(t->body, t->len, t->at->token, sizeof(t->at->token), &e) == 0)
		t->at->token_age++;
	else if (!strstr(e.text, "authentication is not enabled")) {
		auto_free char *why = str_printf(
			"no token for user \"%s\" (HTTP %ld): %s", t->call->a->conf->arbiter.user, status, e.text);

		attempt_failed(t, why);
		return;
	} else
		t->at->token[0] = '\0'; /* the server's choice: it asks nobody */
	ask_or_fail(t, ATTEMPT_ASK);
}

/* What the register's own history forbids. Another cluster under the same address, or the same one with its data wiped
 * (which keeps its id when it is set up with the same names), would know nothing of who holds the term. */
static int check_history(struct call *c, const struct etcd_answer *r, struct err *e)
{
	struct arbiter *a = c->a;

	if (a->cluster_id != 0 && r->cluster_id != a->cluster_id)
		return err_set(e,
			"another etcd cluster answers (id %" PRIx64 ", expected %" PRIx64
			"): if that is meant, remove the file arbiter-cluster from hactl's state directory and restart "
			"hactl, on both nodes",
			r->cluster_id, a->cluster_id);
	if (r->raft_term < c->floor_term)
		return err_set(e,
			"etcd's raft term fell from %" PRIu64 " to %" PRIu64
			": its data was wiped or restored; if that is meant, restart hactl on both nodes",
			c->floor_term, r->raft_term);
	if (r->revision < c->floor_revision)
		return err_set(e,
			"etcd's revision fell from %" PRId64 " to %" PRId64
			": its data was wiped or restored; if that is meant, restart hactl on both nodes",
			c->floor_revision, r->revision);
	a->cluster_id = r->cluster_id;
	if (r->raft_term > a->raft_term)
		a->raft_term = r->raft_term;
	if (r->revision > a->revision)
		a->revision = r->revision;
	return 0;
}

static int understand(struct attempt *t, long status, struct etcd_answer *r, struct err *e)
{
	if (etcd_parse(t->body, t->len, t->call->cas, r, e) < 0)
		return -1;
	if (status != 200)
		return err_set(e, "HTTP status %ld", status);
	return check_history(t->call, r, e);
}

static void on_reply(struct attempt *t, long status)
{
	struct call *c = t->call;
	struct etcd_answer r;
	struct err e;

	if (understand(t, status, &r, &e) < 0) {
		if (wants_token(t, status, &e) && !t->authed) {
			t->authed = true;
			ask_or_fail(t, t->token_age == t->at->token_age ? ATTEMPT_AUTH : ATTEMPT_ASK);
		} else
			attempt_failed(t, e.text);
		return;
	}
	if (r.outcome == REG_OK && c->cas)
		r.value = c->value;
	else if (r.outcome == REG_LOST && r.rev != 0 && etcd_same_value(&r.value, &c->value))
		r.outcome = REG_OK; /* another copy of this very swap won */
	attempt_end(t);
	if (!c->answered)
		deliver(c, r.outcome, r.rev, &r.value);
	else if (c->running == 0)
		call_release(c);
}

static void on_answer(void *arg, void *easy, int code)
{
	struct attempt *t = arg;
	long status = 0;

	if (code != CURLE_OK && dead_connection(code) && !t->again) {
		t->again = true;
		ask_or_fail(t, t->phase);
		return;
	}
	if (code != CURLE_OK) {
		attempt_failed(t, code == CURLE_WRITE_ERROR
					  ? "the answer is too long to be hactl's entry: choose another prefix"
					  : curl_easy_strerror((CURLcode)code));
		return;
	}
	curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
	if (t->phase == ATTEMPT_AUTH)
		on_token(t, status);
	else
		on_reply(t, status);
}

/* --- the room's face ----------------------------------------------------------------------------------------------------------- */

static void call_start(struct arbiter *a, uint32_t id, bool cas, const struct reg_value *value, char *body)
{
	struct call *c = call_take(a);
	struct err e;

	c->id = id;
	c->cas = cas;
	c->value = value ? *value : (struct reg_value){ 0 };
	c->body = body;
	c->floor_term = a->raft_term;
	c->floor_revision = a->revision;
	timer_in(c->deadline, a->timeout);
	for (int i = 0; i < a->n_endpoints; i++) {
		struct attempt *t = &c->attempt[i];

		t->again = t->authed = false;
		t->phase = a->auth_body && !t->at->token[0] ? ATTEMPT_AUTH : ATTEMPT_ASK;
		t->authed = t->phase == ATTEMPT_AUTH;
		c->running++;
		if (ask(t, &e) < 0) {
			note_trouble(c, t->at, e.text);
			attempt_end(t);
		}
	}
	if (c->running == 0)
		timer_in(c->deadline, 0); /* never from inside the call */
}

void arbiter_read(struct arbiter *a, uint32_t id)
{
	call_start(a, id, false, NULL, etcd_read_body(a->key));
}

void arbiter_cas(struct arbiter *a, uint32_t id, int64_t rev, const struct reg_value *value)
{
	call_start(a, id, true, value, etcd_cas_body(a->key, rev, value));
}

const char *arbiter_trouble(const struct arbiter *a)
{
	return a->trouble.text;
}

uint64_t arbiter_cluster(const struct arbiter *a)
{
	return a->cluster_id;
}

void arbiter_expect(struct arbiter *a, uint64_t cluster_id)
{
	a->cluster_id = cluster_id;
}

static void set_endpoints(struct arbiter *a)
{
	a->n_endpoints = a->conf->arbiter.n_endpoints;
	for (int i = 0; i < a->n_endpoints; i++) {
		char *url = a->endpoint[i].url;

		STR_COPY(a->endpoint[i].url, a->conf->arbiter.endpoint[i]);
		while (*url && url[strlen(url) - 1] == '/')
			url[strlen(url) - 1] = '\0';
	}
}

struct arbiter *arbiter_new(struct loop *l, const struct conf *c, arbiter_fn *fn, void *arg, struct err *e)
{
	struct arbiter *a;

	if (c->arbiter.n_endpoints < 1 || c->arbiter.timeout <= 0) {
		err_set(e, "authority.arbiter needs at least one endpoint and a timeout");
		return NULL;
	}
	a = xcalloc(1, sizeof(*a));
	a->loop = l;
	a->conf = c;
	a->fn = fn;
	a->arg = arg;
	a->timeout = c->arbiter.timeout;
	a->key = str_printf("%s/authority", c->arbiter.prefix);
	set_endpoints(a);
	if (c->arbiter.user[0] && !(a->auth_body = etcd_auth_body(c->arbiter.user, c->arbiter.password))) {
		err_set(e, "authority.arbiter: user and password must be UTF-8 text");
		arbiter_free(a);
		return NULL;
	}
	return a;
}

void arbiter_free(struct arbiter *a)
{
	if (!a)
		return;
	for (struct call *c = a->busy, *next; c; c = next) {
		next = c->next;
		call_free(c);
	}
	for (struct call *c = a->spare, *next; c; c = next) {
		next = c->next;
		call_free(c);
	}
	if (a->auth_body)
		explicit_bzero(a->auth_body, strlen(a->auth_body));
	free(a->auth_body);
	free(a->key);
	free(a);
}
