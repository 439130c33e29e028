/* http.c - http and https: one GET, judged by its status. And tcp to a host name, which borrows libcurl's resolver. */
#include "probes/easy.h"

enum { BODY_ENOUGH = 64 * 1024 }; /* bytes of body after which nobody needs more of it */

struct http {
	struct easy easy;
	size_t body;
};

static size_t on_body(char *data, size_t size, size_t n, void *arg)
{
	struct http *h = arg;

	(void)data;
	h->body += size * n;
	return h->body > BODY_ENOUGH ? 0 : size * n;
}

static const char *expect_of(const struct probe_spec *s)
{
	return s->expect[0] ? s->expect : "200-399";
}

static int http_prepare(struct run *r, struct err *e)
{
	const char *path = r->spec->path[0] ? r->spec->path : "/";
	struct http *h = r->kind;
	bool tls = r->spec->kind == PK_HTTPS || r->spec->tls;

	if (path[0] != '/')
		return err_set(e, "path \"%s\" must begin with /", path);
	if (http_expect_check(expect_of(r->spec), e) || easy_open(&h->easy, r, tls ? "https" : "http", path, e))
		return -1;
	curl_easy_setopt(h->easy.curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(h->easy.curl, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(h->easy.curl, CURLOPT_WRITEDATA, h);
	h->easy.headers = curl_slist_append(NULL, "Connection: close");
	curl_easy_setopt(h->easy.curl, CURLOPT_HTTPHEADER, h->easy.headers);
	return 0;
}

static void on_http(void *arg, void *curl, int code)
{
	struct run *r = arg;
	struct http *h = r->kind;
	long status = 0;

	h->easy.flying = false;
	if (code != CURLE_OK && !(code == CURLE_WRITE_ERROR && h->body > BODY_ENOUGH)) {
		easy_fault(&h->easy, r, code);
		return;
	}
	curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
	if (http_status_expected(expect_of(r->spec), status))
		run_settle(r, true, PL_OK, "%ld", status);
	else
		run_settle(r, false, PL_STATUS, "%ld, expected %s", status, expect_of(r->spec));
}

static void http_start(struct run *r)
{
	struct http *h = r->kind;

	h->body = 0;
	easy_fly(&h->easy, r, on_http);
}

static void http_stop(struct run *r)
{
	easy_stop(&((struct http *)r->kind)->easy, r);
}

static void http_release(struct run *r)
{
	easy_close(&((struct http *)r->kind)->easy);
}

static const char *http_awaits(const struct run *r)
{
	return easy_awaits(&((const struct http *)r->kind)->easy, r);
}

const struct run_ops run_http = {
	.size = sizeof(struct http),
	.prepare = http_prepare,
	.start = http_start,
	.stop = http_stop,
	.release = http_release,
	.awaits = http_awaits,
};

/* --- tcp by name -------------------------------------------------------------------------------------------------- */

static int named_prepare(struct run *r, struct err *e)
{
	struct http *h = r->kind;

	if (easy_open(&h->easy, r, "http", "/", e))
		return -1;
	curl_easy_setopt(h->easy.curl, CURLOPT_CONNECT_ONLY, 1L); /* closed when the handle leaves the multi */
	return 0;
}

static void on_named(void *arg, void *curl, int code)
{
	struct run *r = arg;
	struct http *h = r->kind;

	(void)curl;
	h->easy.flying = false;
	if (code != CURLE_OK)
		easy_fault(&h->easy, r, code);
	else
		run_settle(r, true, PL_OK, "connected");
}

static void named_start(struct run *r)
{
	easy_fly(&((struct http *)r->kind)->easy, r, on_named);
}

const struct run_ops run_tcp_by_name = {
	.size = sizeof(struct http),
	.prepare = named_prepare,
	.start = named_start,
	.stop = http_stop,
	.release = http_release,
	.awaits = http_awaits,
};
