/* grpc.c - the gRPC health check by libcurl. Healthy needs all of: transfer complete, HTTP 200, application/grpc, a
 * grpc-status of 0, one exact frame, SERVING.
 */
#include "probes/easy.h"
#include "probes/grpc_frame.h"

#include <strings.h>

enum { NO_STATUS = -1 };

struct grpc {
	struct easy easy;
	uint8_t request[192];
	bool retried;
	/* the answer so far */
	bool is_grpc;
	long code; /* grpc-status, NO_STATUS until it came */
	char message[128];
	uint8_t body[128];
	size_t len; /* counts on beyond sizeof(body): an answer that long is none of ours */
};

/* --- reading the answer ------------------------------------------------------------------------------------------- */

static size_t on_body(char *data, size_t size, size_t n, void *arg)
{
	struct grpc *g = arg;
	size_t got = size * n, room = g->len < sizeof(g->body) ? sizeof(g->body) - g->len : 0;

	if (room)
		memcpy(g->body + g->len, data, got < room ? got : room);
	g->len += got;
	return g->len > sizeof(g->body) ? 0 : got;
}

/* "name: value" of exactly this name: the value without blanks and line end, else NULL. */
static const char *value_of(const char *line, size_t n, const char *name, size_t *len)
{
	size_t k = strlen(name);

	if (n <= k || strncasecmp(line, name, k) != 0 || line[k] != ':')
		return NULL;
	for (k++; k < n && line[k] == ' ';)
		k++;
	while (n > k && (line[n - 1] == '\r' || line[n - 1] == '\n' || line[n - 1] == ' '))
		n--;
	*len = n - k;
	return line + k;
}

static long take_code(const char *v, size_t n)
{
	long code = 0;

	if (n == 0 || n > 3)
		return INT32_MAX; /* there, but no status that anybody knows */
	for (size_t i = 0; i < n; i++) {
		if (v[i] < '0' || v[i] > '9')
			return INT32_MAX;
		code = code * 10 + (v[i] - '0');
	}
	return code;
}

/* Headers and trailers alike come here: a trailers-only answer has its status among the headers. */
static size_t on_header(char *line, size_t size, size_t n, void *arg)
{
	struct grpc *g = arg;
	const char *v;
	size_t len;

	(void)size;
	if ((v = value_of(line, n, "content-type", &len)))
		g->is_grpc =
			len >= 16 && strncasecmp(v, "application/grpc", 16) == 0 && (len == 16 || strchr("+;", v[16]));
	else if ((v = value_of(line, n, "grpc-status", &len)))
		g->code = take_code(v, len);
	else if ((v = value_of(line, n, "grpc-message", &len)))
		str_escape(v, len, g->message, sizeof(g->message));
	return n;
}

/* --- judging it --------------------------------------------------------------------------------------------------- */

static void judge_frame(struct grpc *g, struct run *r)
{
	struct err why = { "" };
	int64_t status = grpc_health_status(g->body, g->len, &why);

	if (status < 0)
		run_settle(r, false, PL_PROTOCOL, "%.200s", why.text);
	else if (status != GRPC_HEALTH_SERVING)
		run_settle(r, false, PL_STATUS, "%s", grpc_health_name(status));
	else
		run_settle(r, true, PL_OK, "SERVING");
}

static void judge(struct grpc *g, struct run *r, int curlcode)
{
	long status = 0;

	curl_easy_getinfo(g->easy.curl, CURLINFO_RESPONSE_CODE, &status);
	if (g->len > sizeof(g->body))
		run_settle(r, false, PL_PROTOCOL, "the answer is longer than any HealthCheckResponse");
	else if (curlcode != CURLE_OK)
		easy_fault(&g->easy, r, curlcode);
	else if (status != 200)
		run_settle(r, false, PL_STATUS, "HTTP %ld", status);
	else if (!g->is_grpc)
		run_settle(r, false, PL_PROTOCOL, "the answer is not application/grpc");
	else if (g->code == NO_STATUS)
		run_settle(r, false, PL_PROTOCOL, "the answer ended without grpc-status");
	else if (g->code != 0)
		run_settle(
			r, false, PL_STATUS, "%s%s%s", grpc_code_name(g->code), g->message[0] ? ": " : "", g->message);
	else
		judge_frame(g, r);
}

/* --- asking ------------------------------------------------------------------------------------------------------- */

static void on_grpc(void *arg, void *curl, int code);

static void ask(struct grpc *g, struct run *r)
{
	g->is_grpc = false;
	g->code = NO_STATUS;
	g->message[0] = '\0';
	g->len = 0;
	easy_fly(&g->easy, r, on_grpc);
}

/* libcurl 7.88 loses trailers that come together with a GOAWAY, as from a server that closes aged connections: once more,
 * within the same deadline, before anybody calls it ill. */
static bool trailers_lost(const struct grpc *g, int code)
{
	return code == CURLE_HTTP2 || code == CURLE_HTTP2_STREAM ||
	       (code == CURLE_OK && g->is_grpc && g->code == NO_STATUS);
}

static void on_grpc(void *arg, void *curl, int code)
{
	struct run *r = arg;
	struct grpc *g = r->kind;

	(void)curl;
	g->easy.flying = false;
	if (!g->retried && trailers_lost(g, code)) {
		g->retried = true;
		ask(g, r);
		return;
	}
	judge(g, r, code);
}

static void grpc_start(struct run *r)
{
	struct grpc *g = r->kind;

	g->retried = false;
	ask(g, r);
}

static void set_headers(struct grpc *g, const struct probe_spec *s)
{
	us_t ms = s->timeout / US_PER_MS;
	char timeout[48];

	snprintf(timeout, sizeof(timeout), "grpc-timeout: %lldm",
		(long long)(ms < 1	    ? 1
			    : ms > 99999999 ? 99999999
					    : ms));
	g->easy.headers = curl_slist_append(NULL, "content-type: application/grpc");
	g->easy.headers = curl_slist_append(g->easy.headers, "te: trailers");
	g->easy.headers = curl_slist_append(g->easy.headers, timeout);
	curl_easy_setopt(g->easy.curl, CURLOPT_HTTPHEADER, g->easy.headers);
}

static int grpc_prepare(struct run *r, struct err *e)
{
	const struct probe_spec *s = r->spec;
	struct grpc *g = r->kind;
	int len = grpc_health_request(s->service, g->request, sizeof(g->request));

	if (len < 0)
		return err_set(e, "the service's name is longer than 127 bytes");
	if (easy_open(&g->easy, r, s->tls ? "https" : "http", "/grpc.health.v1.Health/Check", e))
		return -1;
	curl_easy_setopt(g->easy.curl, CURLOPT_HTTP_VERSION,
		s->tls ? (long)CURL_HTTP_VERSION_2TLS : (long)CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE);
	curl_easy_setopt(g->easy.curl, CURLOPT_POSTFIELDSIZE, (long)len);
	curl_easy_setopt(g->easy.curl, CURLOPT_POSTFIELDS, g->request);
	curl_easy_setopt(g->easy.curl, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(g->easy.curl, CURLOPT_WRITEDATA, g);
	curl_easy_setopt(g->easy.curl, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(g->easy.curl, CURLOPT_HEADERDATA, g);
	set_headers(g, s);
	return 0;
}

static void grpc_stop(struct run *r)
{
	easy_stop(&((struct grpc *)r->kind)->easy, r);
}

static void grpc_release(struct run *r)
{
	easy_close(&((struct grpc *)r->kind)->easy);
}

static const char *grpc_awaits(const struct run *r)
{
	return easy_awaits(&((const struct grpc *)r->kind)->easy, r);
}

const struct run_ops run_grpc = {
	.size = sizeof(struct grpc),
	.prepare = grpc_prepare,
	.start = grpc_start,
	.stop = grpc_stop,
	.release = grpc_release,
	.awaits = grpc_awaits,
};
