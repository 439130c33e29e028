/* test_upstream_apply.c - real nginx obeys, refuses, and gets back what it had. */
#include "tests/unit/upstream_site.h"

static char *published(const struct site *s)
{
	return str_printf("upstream web_app_backend {\n    # main\n"
			  "    server 127.0.0.1:%d max_fails=3 fail_timeout=30s weight=2;\n    # second\n"
			  "    server 127.0.0.1:%d max_fails=3 fail_timeout=30s weight=1 backup;\n}\n"
			  "upstream grpc_backend { server 127.0.0.1:%d; server 127.0.0.1:%d backup; }\n"
			  "server { listen 127.0.0.1:%d; location / { proxy_pass http://web_app_backend; } }\n",
		s->port[0], s->port[1], s->port[0], s->port[1], s->front);
}

static void nginx_start(struct site *s)
{
	auto_free char *main_file = inside(s, "nginx.conf"), *log = inside(s, "error.log"), *text = published(s);
	auto_free char *main_text =
		str_printf("daemon off;\nworker_processes 1;\npid %s/pid;\nerror_log %s/error.log;\n"
			   "events { worker_connections 64; }\nhttp { access_log off;\ninclude %s/site.conf;\n"
			   "server { listen 127.0.0.1:%d; return 200 \"A\"; }\n"
			   "server { listen 127.0.0.1:%d; return 200 \"B\"; } }\n",
			s->dir, s->dir, s->dir, s->port[0], s->port[1]);
	char *argv[] = { "nginx", "-e", log, "-p", s->dir, "-c", main_file, NULL };

	put(main_file, main_text);
	put(s->site, text);
	assert_int_equal(symlink("site.conf", s->link), 0);
	s->proxy = spawn(s, argv);
	for (us_t until = now_us() + BOUND; ask(s->front) != 'A'; turn(s))
		assert_true(now_us() < until);
}

static void as_published(const struct site *s)
{
	auto_free char *text = published(s), *now = get(s->site);

	assert_string_equal(now, text);
	assert_false(there(s, ".site.conf.hactl-old") || there(s, ".site.conf.hactl-new"));
}

static void nothing_to_do(void **state)
{
	struct site *s = *state;
	struct stat before, after;

	nginx_start(s);
	add_upstream(s, "web_app_backend");
	stat(s->site, &before);
	open_upstreams(s);
	upstreams_primary(s->u, 0);
	upstreams_health(s->u, WEB_APP, 0, true, 1);
	upstreams_health(s->u, WEB_APP, 1, true, 1);
	until_state(s, 0, NULL);
	for (us_t until = now_us() + 200 * US_PER_MS; now_us() < until;)
		turn(s); /* beyond the debounce */
	stat(s->site, &after);
	assert_true(before.st_ino == after.st_ino && before.st_mtim.tv_nsec == after.st_mtim.tv_nsec);
	assert_int_equal(lines(s, "tests"), 0);
	assert_string_equal(s->notes, "");
}

static void role_moves_traffic(void **state)
{
	struct site *s = *state;
	struct stat st;

	nginx_start(s);
	add_upstream(s, "web_app_backend");
	assert_int_equal(chmod(s->site, 0640), 0);
	assert_int_equal(chown(s->site, 33, 34), 0);
	open_upstreams(s);
	upstreams_primary(s->u, 0);
	until_state(s, 0, NULL);
	upstreams_primary(s->u, 1);
	until_traffic(s, 'B');
	until_state(s, 0, NULL);
	assert_true(upstreams_look(s->u, 0)->now[0].backup && !upstreams_look(s->u, 0)->now[1].backup);
	assert_int_equal(lines(s, "reloads"), 1);
	assert_int_equal(lstat(s->link, &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	assert_int_equal(stat(s->site, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	assert_true(st.st_uid == 33 && st.st_gid == 34);
	upstreams_primary(s->u, 0);
	until_traffic(s, 'A');
	as_published(s);
}

static void health_moves_traffic(void **state)
{
	struct site *s = *state;

	nginx_start(s);
	add_upstream(s, "web_app_backend");
	open_upstreams(s);
	upstreams_primary(s->u, 0);
	upstreams_health(s->u, WEB_APP, 0, false, -1);
	until_traffic(s, 'B'); /* the main server is down, so nginx uses the backup */
	until_state(s, 0, NULL);
	assert_true(upstreams_look(s->u, 0)->now[0].down);
	assert_false(upstreams_look(s->u, 0)->healthy[0]);
	for (int i = 0; i < 20; i++) /* flaps within the debounce, and ends up well */
		upstreams_health(s->u, WEB_APP, 0, i % 2, 1);
	until_traffic(s, 'A');
	assert_int_equal(lines(s, "reloads"), 2);
	as_published(s);
	upstreams_health(s->u, OTHER_APP, 0, false, -1); /* another probe's business */
	upstreams_health(s->u, WEB_APP, 0, false, -1);
	upstreams_health(s->u, WEB_APP, 1, false, -1);
	for (us_t until = now_us() + 300 * US_PER_MS; now_us() < until;)
		turn(s);
	as_published(s); /* all are ill: nobody is marked */
}

static void failing_test(void **state)
{
	struct site *s = *state;
	struct stat before, after;

	nginx_start(s);
	add_upstream(s, "web_app_backend");
	stat(s->site, &before);
	touch(s, "no-test", true);
	open_upstreams(s);
	upstreams_primary(s->u, 1);
	until_state(s, 0, "failed (1)");
	as_published(s);
	stat(s->site, &after);
	assert_true(before.st_ino == after.st_ino);
	assert_int_equal(lines(s, "reloads"), 0);
	until_lines(s, "tests", 2); /* tries again by itself */
	assert_int_equal(noted(s, "warn"), 1);
	touch(s, "no-test", false);
	upstreams_health(s->u, WEB_APP, 0, false, -1); /* and at once when something changes */
	until_traffic(s, 'B');
	until_state(s, 0, NULL);
	assert_int_equal(noted(s, "again"), 1);
}

static void broken_configuration(void **state)
{
	struct site *s = *state;
	auto_free char *path = inside(s, "nginx.conf");

	nginx_start(s);
	add_upstream(s, "web_app_backend");
	auto_free char *good = get(path);
	auto_free char *bad = str_printf("%s\nnonsense 1;\n", good);
	put(path, bad);
	open_upstreams(s);
	upstreams_primary(s->u, 1);
	until_state(s, 0, "unknown directive");
	as_published(s);
	assert_int_equal(ask(s->front), 'A');
	put(path, good);
	until_traffic(s, 'B');
}

static void failing_reload(void **state)
{
	struct site *s = *state;

	nginx_start(s);
	add_upstream(s, "web_app_backend");
	touch(s, "no-reload", true);
	open_upstreams(s);
	upstreams_primary(s->u, 1);
	until_state(s, 0, "failed (1)");
	as_published(s);
	assert_int_equal(lines(s, "reloads"), 2); /* the second with the old bytes */
	touch(s, "no-reload", false);
	until_traffic(s, 'B');
	until_state(s, 0, NULL);
}

static void somebody_else_writes(void **state)
{
	struct site *s = *state;
	struct conf_upstream *u;
	char sane[CONF_PATH];

	nginx_start(s);
	u = add_upstream(s, "web_app_backend");
	STR_COPY(sane, u->test);
	snprintf(u->test, sizeof u->test,
		"cd %s; test -e theirs || { touch theirs; echo '# theirs' >>site.conf; exit 1; }", s->dir);
	open_upstreams(s);
	upstreams_primary(s->u, 1);
	until_traffic(s, 'B');
	auto_free char *now = get(s->site);
	assert_non_null(strstr(now, "# theirs\n"));
	assert_false(there(s, ".site.conf.hactl-old"));
}

static void cut_off_before(void **state)
{
	struct site *s = *state;
	auto_free char *old = inside(s, ".site.conf.hactl-old");

	nginx_start(s);
	add_upstream(s, "web_app_backend");
	put(old, "what stood before");
	open_upstreams(s);
	upstreams_primary(s->u, 0);
	until_lines(s, "reloads", 1); /* what nginx runs is not known: it is told */
	until_state(s, 0, NULL);
	as_published(s);
}

static void freed_under_way(void **state)
{
	struct site *s = *state;
	struct conf_upstream *u;

	nginx_start(s);
	u = add_upstream(s, "web_app_backend");
	snprintf(u->test, sizeof u->test, "cd %s; echo >>tests; exec sleep 60", s->dir);
	open_upstreams(s);
	upstreams_primary(s->u, 1);
	until_lines(s, "tests", 1);
	upstreams_free(s->u);
	s->u = NULL;
	as_published(s);
}

static void several_in_one_file(void **state)
{
	struct site *s = *state;

	nginx_start(s);
	add_upstream(s, "web_app_backend");
	add_upstream(s, "grpc_backend");
	add_upstream(s, "no_such_backend");
	s->conf->upstream[1].servers[0].weight = 1;
	open_upstreams(s);
	upstreams_primary(s->u, 0);
	until_state(s, 2, "no upstream no_such_backend");
	upstreams_primary(s->u, 1);
	until_traffic(s, 'B');
	until_state(s, 0, NULL);
	until_state(s, 1, NULL);
	assert_true(upstreams_look(s->u, 1)->now[0].backup);
	assert_int_equal(lines(s, "reloads"), 1); /* one for both */
	assert_int_equal(noted(s, "warn"), 1);
	auto_free char *now = get(s->site),
		       *name = str_printf("grpc_backend { server 127.0.0.1:%d backup; server 127.0.0.1:%d; }",
			       s->port[0], s->port[1]);
	assert_non_null(strstr(now, name));
}

#define real(test) cmocka_unit_test_setup_teardown(test, site_open, site_close)

int main(void)
{
	const struct CMUnitTest tests[] = {
		real(nothing_to_do),
		real(role_moves_traffic),
		real(health_moves_traffic),
		real(failing_test),
		real(broken_configuration),
		real(failing_reload),
		real(somebody_else_writes),
		real(cut_off_before),
		real(freed_under_way),
		real(several_in_one_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
