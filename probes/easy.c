/* easy.c - libcurl options shared by http, https, grpc and tcp by name. */
#include "probes/easy.h"

#include <errno.h>
#include <sys/socket.h>

/* A probe that closes first would leave a TIME_WAIT each: 28,000 local ports last 28 s at 1,000 probes a second. The answer
 * is complete by then, so a reset loses nothing (HAProxy's checks do the same). */
static int on_socket_made(void *arg, curl_socket_t fd, curlsocktype purpose)
{
	static const struct linger at_once = { .l_onoff = 1, .l_linger = 0 };

	(void)purpose;
	((struct easy *)arg)->fd = fd;
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	return CURL_SOCKOPT_OK;
}

static void set_common(struct easy *e)
{
	CURL *c = e->curl;

	curl_easy_setopt(c, CURLOPT_ERRORBUFFER, e->error);
	curl_easy_setopt(c, CURLOPT_SOCKOPTDATA, e);
	curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c, CURLOPT_FRESH_CONNECT, 1L);
	curl_easy_setopt(c, CURLOPT_FORBID_REUSE, 1L);
	curl_easy_setopt(c, CURLOPT_SOCKOPTFUNCTION, on_socket_made);
	curl_easy_setopt(c, CURLOPT_PROXY, ""); /* none, whatever the environment says */
	curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(c, CURLOPT_PATH_AS_IS, 1L);
	curl_easy_setopt(c, CURLOPT_USERAGENT, "hactl/" HACTL_VERSION);
	curl_easy_setopt(c, CURLOPT_DNS_CACHE_TIMEOUT, 10L);
	curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, 0L); /* the deadline is the run's */
	/* a resumed TLS session would not show the certificate that the server has now */
	curl_easy_setopt(c, CURLOPT_SSL_SESSIONID_CACHE, 0L);
#if LIBCURL_VERSION_NUM >= 0x075500
	curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
#else
	curl_easy_setopt(c, CURLOPT_PROTOCOLS, CURLPROTO_HTTP | CURLPROTO_HTTPS);
#endif
#if LIBCURL_VERSION_NUM >= 0x075700
	curl_easy_setopt(c, CURLOPT_QUICK_EXIT, 1L); /* cancelling must not wait for a hung resolver */
#endif
}

/* The address we connect to, whatever the URL says: so that Host header, TLS server name and certificate check all speak of
 * host_header while the packet goes to this very server. */
static void set_target(struct easy *e, const struct probe_spec *s)
{
	bool v6 = strchr(s->host, ':') != NULL;
	auto_free char *to = str_printf("::%s%s%s:%d", v6 ? "[" : "", s->host, v6 ? "]" : "", s->port);

	e->connect_to = curl_slist_append(NULL, to);
	curl_easy_setopt(e->curl, CURLOPT_CONNECT_TO, e->connect_to);
}

static char *url_of(const struct probe_spec *s, const char *scheme, const char *path)
{
	bool v6 = strchr(s->host, ':') != NULL;

	if (s->host_header[0])
		return str_printf("%s://%s%s", scheme, s->host_header, path);
	return str_printf("%s://%s%s%s:%d%s", scheme, v6 ? "[" : "", s->host, v6 ? "]" : "", s->port, path);
}

static int set_url(struct easy *e, const char *url, struct err *err)
{
	CURLU *u = curl_url();
	CURLUcode bad = curl_url_set(u, CURLUPART_URL, url, 0);

	curl_url_cleanup(u);
	if (bad)
		return err_set(err, "\"%s\" is no URL: %s", url, curl_url_strerror(bad));
	curl_easy_setopt(e->curl, CURLOPT_URL, url);
	return 0;
}

int easy_open(struct easy *e, const struct run *r, const char *scheme, const char *path, struct err *err)
{
	const struct probe_spec *s = r->spec;
	auto_free char *url = url_of(s, scheme, path);

	if (s->host[0] == '\0' || s->port < 1 || s->port > 65535)
		return err_set(err, "wants an address and a port from 1 to 65535");
	e->curl = curl_easy_init();
	if (!e->curl)
		return err_set(err, "libcurl gave no handle");
	set_common(e);
	if (s->ca_file[0]) {
		curl_easy_setopt(e->curl, CURLOPT_CAINFO, s->ca_file);
		curl_easy_setopt(e->curl, CURLOPT_CAPATH, NULL); /* this authority alone */
	}
	if (s->host_header[0])
		set_target(e, s);
	return set_url(e, url, err);
}

void easy_fly(struct easy *e, struct run *r, web_fn *fn)
{
	struct err err;

	e->error[0] = '\0';
	e->fd = -1;
	if (web_start(r->loop, e->curl, fn, r, &err)) {
		run_settle(r, false, PL_SOCKET, "%.200s", err.text);
		return;
	}
	e->flying = true;
}

void easy_stop(struct easy *e, struct run *r)
{
	if (e->flying)
		web_cancel(r->loop, e->curl);
	e->flying = false;
}

void easy_close(struct easy *e)
{
	if (e->curl)
		curl_easy_cleanup(e->curl);
	curl_slist_free_all(e->connect_to);
	curl_slist_free_all(e->headers);
}

/* --- what went wrong ---------------------------------------------------------------------------------------------- */

static enum probe_layer layer_of(int curlcode)
{
	static const struct {
		CURLcode code;
		enum probe_layer layer;
	} row[] = {
		{ CURLE_COULDNT_RESOLVE_HOST, PL_SOCKET },
		{ CURLE_COULDNT_CONNECT, PL_SOCKET },
		{ CURLE_OPERATION_TIMEDOUT, PL_TIMEOUT },
		{ CURLE_SSL_CONNECT_ERROR, PL_TLS },
		{ CURLE_PEER_FAILED_VERIFICATION, PL_TLS },
		{ CURLE_SSL_CACERT_BADFILE, PL_TLS },
		{ CURLE_SSL_ISSUER_ERROR, PL_TLS },
		{ CURLE_SSL_CIPHER, PL_TLS },
		{ CURLE_SSL_CERTPROBLEM, PL_TLS },
	};

	for (size_t i = 0; i < ARRAY_LEN(row); i++)
		if (row[i].code == (CURLcode)curlcode)
			return row[i].layer;
	return PL_PROTOCOL;
}

void easy_fault(struct easy *e, struct run *r, int curlcode)
{
	const char *said = e->error[0] ? e->error : curl_easy_strerror((CURLcode)curlcode);
	char text[SENTENCE_MAX];
	long os_errno = 0;

	curl_easy_getinfo(e->curl, CURLINFO_OS_ERRNO, &os_errno);
	if (curlcode == CURLE_COULDNT_CONNECT && os_errno == ECONNREFUSED) {
		run_settle(r, false, PL_REFUSED, "connection refused");
		return;
	}
	if (curlcode == CURLE_COULDNT_CONNECT && os_errno)
		said = strerror((int)os_errno);
	str_escape(said, strlen(said), text, sizeof(text));
	run_settle(r, false, layer_of(curlcode), "%s", text);
}

/* libcurl counts a connection as made only after its TLS handshake; the kernel knows sooner. */
static bool connected(const struct easy *e)
{
	struct sockaddr_storage peer;
	socklen_t len = sizeof(peer);

	return e->fd >= 0 && getpeername(e->fd, (struct sockaddr *)&peer, &len) == 0;
}

const char *easy_awaits(const struct easy *e, const struct run *r)
{
	curl_off_t secured = 0;
	long status = 0;

	curl_easy_getinfo(e->curl, CURLINFO_APPCONNECT_TIME_T, &secured);
	curl_easy_getinfo(e->curl, CURLINFO_RESPONSE_CODE, &status);
	if (e->fd < 0 && !host_is_numeric(r->spec->host))
		return "its name is not resolved";
	if (!connected(e))
		return "not connected";
	if ((r->spec->kind == PK_HTTPS || r->spec->tls) && !secured)
		return "connected, TLS handshake not finished";
	return status ? "the answer began and does not end" : "connected, then silence";
}
