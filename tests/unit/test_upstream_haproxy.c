/* test_upstream_haproxy.c - real HAProxy obeys and refuses, by its runtime socket. */
#include "tests/unit/upstream_site.h"

static void haproxy_start(struct site *s)
{
	auto_free char *file = inside(s, "haproxy.cfg");
	auto_free char *text = str_printf(
		"global\n stats socket %s/sock level admin\ndefaults\n mode http\n timeout connect 2s\n"
		" timeout client 5s\n timeout server 5s\nlisten app\n bind 127.0.0.1:%d\n balance roundrobin\n"
		" server web1 127.0.0.1:%d weight 100\n server web2 127.0.0.1:%d weight 100\n"
		"frontend a\n bind 127.0.0.1:%d\n http-request return status 200 content-type text/plain string A\n"
		"frontend b\n bind 127.0.0.1:%d\n http-request return status 200 content-type text/plain string B\n",
		s->dir, s->front, s->port[0], s->port[1], s->port[0], s->port[1]);
	char *argv[] = { "haproxy", "-db", "-f", file, NULL };

	put(file, text);
	s->proxy = spawn(s, argv);
	for (us_t until = now_us() + BOUND; ask(s->front) == 0; turn(s))
		assert_true(now_us() < until);
}

static struct conf_upstream *add_haproxy(struct site *s, const char *backend, const char *second)
{
	struct conf_upstream *u = add_upstream(s, backend);

	u->type = UPSTREAM_HAPROXY;
	snprintf(u->socket, sizeof u->socket, "%s/sock", s->dir);
	STR_COPY(u->servers[0].server, "web1");
	STR_COPY(u->servers[1].server, second);
	u->servers[0].weight = u->servers[1].weight = 100;
	return u;
}

static void tell_haproxy(const struct site *s, const char *command)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	auto_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char rest[64];

	snprintf(a.sun_path, sizeof a.sun_path, "%s/sock", s->dir);
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
	assert_int_equal(write(fd, command, strlen(command)), (ssize_t)strlen(command));
	while (read(fd, rest, sizeof rest) > 0)
		;
}

static void haproxy_obeys(void **state)
{
	struct site *s = *state;

	haproxy_start(s);
	add_haproxy(s, "app", "web2");
	open_upstreams(s);
	upstreams_primary(s->u, 0);
	until_traffic(s, 'A');
	upstreams_primary(s->u, 1);
	until_traffic(s, 'B');
	until_state(s, 0, NULL);
	upstreams_health(s->u, WEB_APP, 1, false, -1); /* who serves is ill: who waits serves */
	until_traffic(s, 'A');
	until_state(s, 0, NULL); /* it was known to be out of step before the first command */
	assert_true(upstreams_look(s->u, 0)->now[1].down);
	upstreams_health(s->u, WEB_APP, 1, true, 1);
	until_traffic(s, 'B');
	proxy_stop(s); /* forgets what it was told */
	upstreams_health(s->u, WEB_APP, 0, false, -1);
	until_state(s, 0, "is HAProxy running");
	haproxy_start(s);
	until_traffic(s, 'B');
	until_state(s, 0, NULL);
	assert_int_equal(noted(s, "warn"), 1);
}

static void haproxy_balanced(void **state)
{
	struct site *s = *state;

	haproxy_start(s);
	add_haproxy(s, "app", "web2")->policy = POLICY_BALANCED;
	open_upstreams(s);
	upstreams_health(s->u, WEB_APP, 0, false, -1);
	until_traffic(s, 'B');
	upstreams_health(s->u, WEB_APP, 0, true, -1);
	for (us_t until = now_us() + BOUND; ask(s->front) != 'A'; turn(s))
		assert_true(now_us() < until);
	until_state(s, 0, NULL);
	tell_haproxy(s, "set server app/web1 state maint\n"); /* an operator's own wish is left alone, and named */
	upstreams_health(s->u, WEB_APP, 1, false, -1);
	until_state(s, 0, "somebody else");
	tell_haproxy(s, "set server app/web1 state ready\n");
	upstreams_health(s->u, WEB_APP, 1, true, -1);
	until_state(s, 0, NULL);
}

static void haproxy_refuses(void **state)
{
	struct site *s = *state;

	haproxy_start(s);
	add_haproxy(s, "nobody", "web2");
	add_haproxy(s, "app", "web9");
	open_upstreams(s);
	upstreams_primary(s->u, 1);
	until_state(s, 0, "Can't find backend");
	until_state(s, 1, "no server web9");
}

#define real(test) cmocka_unit_test_setup_teardown(test, site_open, site_close)

int main(void)
{
	const struct CMUnitTest tests[] = {
		real(haproxy_obeys),
		real(haproxy_balanced),
		real(haproxy_refuses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
