/* test_probes_net.c - probes against real servers, well and ill: HTTP, TLS, gRPC, TCP. */
#include "tests/unit/probe_lab.h"

/* Long enough that only a server which never answers runs into it. */
static const us_t never_answers = 300 * US_PER_MS;

static int setup(void **state)
{
	lab_setup(state);
	lab_servers();
	return 0;
}

static void http_is_judged_by_status(void **state)
{
	static const struct {
		const char *path, *host, *expect;
		bool ok;
		enum probe_layer layer;
		const char *says;
	} row[] = {
		{ "/status/500", "", "", false, PL_STATUS, "500, expected 200-399" },
		{ "/status/404", "", "200-299,401", false, PL_STATUS, "404, expected 200-299,401" },
		{ "/host", "", "", false, PL_STATUS, "421" }, { "/cut", "", "", false, PL_PROTOCOL, "" },
		{ "/health", "", "201", false, PL_STATUS, "200, expected 201" },
		{ "/health", "", "", true, PL_OK, "200" }, { "/status/401", "", "200-299,401", true, PL_OK, "401" },
		{ "/host", "app.example", "", true, PL_OK, "200" },
		{ "/moved", "", "", true, PL_OK, "302" },	      /* a redirect is an answer, */
		{ "/moved", "", "200-299", false, PL_STATUS, "302" }, /* and not followed */
		{ "/big", "", "", true, PL_OK, "200" },
		{ "/..//odd", "", "", true, PL_OK, "204" }, /* the path goes out as it was written */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(row); i++) {
		struct probe_spec s = lab_spec(PK_HTTP, lab_port("http"));

		STR_COPY(s.path, row[i].path);
		STR_COPY(s.host_header, row[i].host);
		STR_COPY(s.expect, row[i].expect);
		expect_probe(row[i].path, &s, row[i].ok, row[i].layer, row[i].says);
	}
	struct probe_spec root = lab_spec(PK_HTTP, lab_port("http")); /* no path means / */
	expect_probe("/", &root, false, PL_STATUS, "404");
}

static void http_ignores_the_proxy_of_the_environment(void **state)
{
	struct probe_spec s = lab_spec(PK_HTTP, lab_port("http"));

	(void)state;
	STR_COPY(s.path, "/health");
	setenv("http_proxy", "http://127.0.0.1:1", 1);
	setenv("ALL_PROXY", "http://127.0.0.1:1", 1);
	expect_probe("with a proxy set", &s, true, PL_OK, "200");
	unsetenv("http_proxy");
	unsetenv("ALL_PROXY");
}

static void https_is_verified(void **state)
{
	auto_free char *good = str_printf("%s/good.pem", lab.dir), *other = str_printf("%s/other.pem", lab.dir),
		       *absent = str_printf("%s/absent.pem", lab.dir);
	const struct {
		const char *what, *ca, *host;
		bool ok;
		enum probe_layer layer;
	} row[] = {
		{ "an authority nobody knows", "", "", false, PL_TLS },
		{ "the wrong authority", other, "", false, PL_TLS },
		{ "no such file", absent, "", false, PL_TLS },
		{ "a name that is not in it", good, "evil.example", false, PL_TLS },
		{ "its address", good, "", true, PL_OK },
		{ "its name", good, "app.example", true, PL_OK },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(row); i++) {
		struct probe_spec s = lab_spec(PK_HTTPS, lab_port("https"));

		STR_COPY(s.path, "/health");
		STR_COPY(s.ca_file, row[i].ca);
		STR_COPY(s.host_header, row[i].host);
		expect_probe(row[i].what, &s, row[i].ok, row[i].layer, "");
	}
	struct probe_spec s = lab_spec(PK_HTTPS, lab_port("http"));
	expect_probe("TLS to a plain port", &s, false, PL_TLS, "");
	s = lab_spec(PK_HTTP, lab_port("https"));
	expect_probe("plain to a TLS port", &s, false, PL_PROTOCOL, "");
}

/* Every kind, every way of not answering. */
static void silence_ends_at_our_deadline(void **state)
{
	static const struct {
		enum probe_kind kind;
		bool tls;
		const char *server, *path, *says;
	} row[] = {
		{ PK_HTTP, false, "silent", "", "connected, then silence" },
		{ PK_HTTP, false, "deaf", "", "connected, then silence" },
		{ PK_HTTP, false, "http", "/trickle", "does not end" },
		{ PK_HTTPS, true, "silent", "", "TLS handshake" },
		{ PK_GRPC, false, "silent", "", "connected, then silence" },
		{ PK_GRPC, true, "silent", "", "TLS handshake" },
		{ PK_REDIS, false, "silent", "", "connected, then silence" },
		{ PK_REDIS, false, "deaf", "", "connected, then silence" },
		{ PK_REDIS, false, "drips", "", "connected, then silence" },
		{ PK_HTTP, false, "full", "", "not connected" },
		{ PK_GRPC, false, "full", "", "not connected" },
		{ PK_TCP, false, "full", "", "not connected" },
		{ PK_REDIS, false, "full", "", "not connected" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(row); i++) {
		struct probe_spec s = lab_spec(row[i].kind, lab_port(row[i].server));

		s.tls = row[i].tls;
		s.timeout = never_answers;
		STR_COPY(s.path, row[i].path);
		expect_probe(row[i].server, &s, false, PL_TIMEOUT, row[i].says);
		expect_probe(row[i].server, &s, false, PL_TIMEOUT, "no answer within 300ms");
	}
	struct probe_spec slow = lab_spec(PK_GRPC, lab_port("grpc"));
	slow.timeout = never_answers;
	STR_COPY(slow.service, "slow");
	struct probe_result r = lab_probe(&slow); /* the server's own view of our deadline may come a moment sooner */
	assert_false(r.ok);
}

static void a_stopped_server_is_silent(void **state)
{
	struct probe_spec s = lab_spec(PK_HTTP, lab_port("http"));

	(void)state;
	STR_COPY(s.path, "/health");
	kill(lab.python, SIGSTOP);
	s.timeout = never_answers;
	struct probe_result stopped = lab_probe(&s);
	kill(lab.python, SIGCONT);
	assert_int_equal(stopped.layer, PL_TIMEOUT);
	s.timeout = 10 * US_PER_SEC;
	expect_probe("continued", &s, true, PL_OK, "200");
}

static void refusal_has_its_own_layer(void **state)
{
	static const enum probe_kind kind[] = { PK_HTTP, PK_HTTPS, PK_GRPC, PK_TCP, PK_REDIS };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(kind); i++) {
		struct probe_spec s = lab_spec(kind[i], lab_free_port());
		expect_probe("nobody listens", &s, false, PL_REFUSED, "connection refused");
	}
	struct probe_spec v6 = lab_spec(PK_TCP, lab_free_port());
	STR_COPY(v6.host, "::1");
	struct probe_result r = lab_probe(&v6);
	assert_true(!r.ok && (r.layer == PL_REFUSED || r.layer == PL_SOCKET)); /* a machine may have no IPv6 */
}

static void nonsense_is_a_protocol_error(void **state)
{
	static const char *const server[] = { "garbage", "closes", "resets" };
	static const enum probe_kind kind[] = { PK_HTTP, PK_GRPC, PK_REDIS };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(server); i++)
		for (size_t k = 0; k < ARRAY_LEN(kind); k++) {
			struct probe_spec s = lab_spec(kind[k], lab_port(server[i]));
			struct probe_result r = lab_probe(&s);

			if (r.ok || r.layer != PL_PROTOCOL || !r.detail[0])
				fail_msg("%s, kind %d: ok %d, layer %s, \"%s\"", server[i], kind[k], r.ok,
					probe_layer_names[r.layer], r.detail);
			for (const char *c = r.detail; *c; c++)
				assert_in_range(*c, ' ', '~');
		}
	struct probe_spec s = lab_spec(PK_GRPC, lab_port("http"));
	struct probe_result r = lab_probe(&s);
	assert_false(r.ok);
	s = lab_spec(PK_HTTP, lab_port("grpc"));
	assert_false(lab_probe(&s).ok);
	s = lab_spec(PK_REDIS, lab_port("endless"));
	expect_probe("an endless line", &s, false, PL_PROTOCOL, "not Redis");
	s = lab_spec(PK_REDIS, lab_port("loading"));
	expect_probe("loading", &s, false, PL_STATUS, "loading its data set");
}

static void grpc_by_the_book(void **state)
{
	static const struct {
		const char *service;
		bool ok;
		enum probe_layer layer;
		const char *says;
	} row[] = {
		{ "", true, PL_OK, "SERVING" },
		{ "core", true, PL_OK, "SERVING" },
		{ "ill", false, PL_STATUS, "NOT_SERVING" },
		{ "nobody", false, PL_STATUS, "NOT_FOUND: unknown service" },
		{ "half", false, PL_PROTOCOL, "no HealthCheckResponse" },
		{ "rude", false, PL_STATUS, "INTERNAL: broken" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(row); i++) {
		struct probe_spec s = lab_spec(PK_GRPC, lab_port("grpc"));

		STR_COPY(s.service, row[i].service);
		expect_probe(row[i].service, &s, row[i].ok, row[i].layer, row[i].says);
	}
	struct probe_spec bare = lab_spec(PK_GRPC, lab_port("bare"));
	expect_probe("a server without the health service", &bare, false, PL_STATUS, "UNIMPLEMENTED");
}

static void grpc_over_tls(void **state)
{
	struct probe_spec s = lab_spec(PK_GRPC, lab_port("grpcs"));

	(void)state;
	s.tls = true;
	expect_probe("an authority nobody knows", &s, false, PL_TLS, "");
	snprintf(s.ca_file, sizeof(s.ca_file), "%s/good.pem", lab.dir);
	expect_probe("its address", &s, true, PL_OK, "SERVING");
	STR_COPY(s.host_header, "app.example");
	expect_probe("its name", &s, true, PL_OK, "SERVING");
	s.port = lab_port("https"); /* TLS, but HTTP/1.1 */
	assert_false(lab_probe(&s).ok);
}

static void grpc_against_the_book(void **state)
{
	static const struct {
		const char *scene;
		bool ok;
		enum probe_layer layer;
		const char *says;
	} row[] = {
		{ "good", true, PL_OK, "SERVING" },
		{ "proto", true, PL_OK, "SERVING" },
		{ "truncated", false, PL_PROTOCOL, "says 2 bytes and has 1" },
		{ "twice", false, PL_PROTOCOL, "says 2 bytes and has 9" },
		{ "compressed", false, PL_PROTOCOL, "compressed" },
		{ "long", false, PL_PROTOCOL, "longer" },
		{ "no-status", false, PL_PROTOCOL, "without grpc-status" },
		{ "odd-status", false, PL_STATUS, "unknown gRPC status" },
		{ "empty-status", false, PL_STATUS, "unknown gRPC status" },
		{ "http-503", false, PL_STATUS, "HTTP 503" },
		{ "html", false, PL_PROTOCOL, "not application/grpc" },
		{ "grpcish", false, PL_PROTOCOL, "not application/grpc" },
		{ "control", false, PL_PROTOCOL,
			"not closed cleanly" }, /* libcurl takes no control bytes in a header */
		{ "message", false, PL_STATUS, "UNAVAILABLE: going\\xc3\\xa9 down" },
		{ "none of these", false, PL_STATUS, "UNIMPLEMENTED" },
		{ "aged", true, PL_OK, "SERVING" }, /* GOAWAY took the trailers along: asked once more */
		{ "reset", true, PL_OK, "SERVING" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(row); i++) {
		struct probe_spec s = lab_spec(PK_GRPC, lab_port("h2"));

		STR_COPY(s.service, row[i].scene);
		expect_probe(row[i].scene, &s, row[i].ok, row[i].layer, row[i].says);
	}
}

static void tcp_connects(void **state)
{
	struct probe_spec s = lab_spec(PK_TCP, lab_port("silent"));

	(void)state;
	expect_probe("by address", &s, true, PL_OK, "connected");
	STR_COPY(s.host, "localhost"); /* libcurl knows this name without a resolver */
	expect_probe("by name", &s, true, PL_OK, "connected");
	s.port = lab_free_port();
	expect_probe("by name, nobody listens", &s, false, PL_REFUSED, "connection refused");
	STR_COPY(s.host, "no-such-host.invalid");
	s.timeout = never_answers; /* a resolver that answers says so, one that hangs is not waited for */
	struct probe_result r = lab_probe(&s);
	assert_true(!r.ok && (r.layer == PL_SOCKET || r.layer == PL_TIMEOUT));
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(http_is_judged_by_status),
	cmocka_unit_test(http_ignores_the_proxy_of_the_environment),
	cmocka_unit_test(https_is_verified),
	cmocka_unit_test(silence_ends_at_our_deadline),
	cmocka_unit_test(a_stopped_server_is_silent),
	cmocka_unit_test(refusal_has_its_own_layer),
	cmocka_unit_test(nonsense_is_a_protocol_error),
	cmocka_unit_test(grpc_by_the_book),
	cmocka_unit_test(grpc_over_tls),
	cmocka_unit_test(grpc_against_the_book),
	cmocka_unit_test(tcp_connects),
};

int main(void)
{
	return cmocka_run_group_tests(tests, setup, lab_teardown);
}
