/* What /proc and a socket say of a process: our own. */
#include "hactl/base/base.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

static const char *const ours[] = { "mysqld", "test_proc", NULL }, *const others[] = { "mysqld", "mariadbd", NULL };

static void a_process_by_its_name(void **state)
{
	(void)state;
	assert_true(process_called(getpid(), ours));
	assert_false(process_called(getpid(), others));
	assert_false(process_called(0, ours));
}

static void when_a_process_started(void **state)
{
	us_t at = process_started(getpid());

	(void)state;
	assert_true(at > 0 && at <= now_us() && now_us() - at < 600 * US_PER_SEC);
	assert_true(process_started(1) <= at);
	assert_int_equal(process_started(0), US_UNKNOWN);
}

static void who_listens_on_a_socket(void **state)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	auto_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)state;
	snprintf(un.sun_path, sizeof(un.sun_path), "/tmp/hactl-test-process.%d", (int)getpid());
	unlink(un.sun_path);
	assert_int_equal(socket_process(un.sun_path), NOBODY);
	assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
	assert_int_equal(socket_process(un.sun_path), NOBODY); /* nobody listens yet */
	assert_int_equal(listen(fd, 5), 0);
	assert_int_equal(socket_process(un.sun_path), getpid()); /* and nobody accepts */
	unlink(un.sun_path);
}

static void who_listens_on_a_port(void **state)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	auto_close int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof(in);

	(void)state;
	assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &len), 0);
	assert_int_equal(listener_process(ntohs(in.sin_port), ours), NOBODY);
	assert_int_equal(listen(fd, 5), 0);
	assert_int_equal(listener_process(ntohs(in.sin_port), ours), getpid());
	assert_int_equal(listener_process(ntohs(in.sin_port), others), NOBODY);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_process_by_its_name),
		cmocka_unit_test(when_a_process_started),
		cmocka_unit_test(who_listens_on_a_socket),
		cmocka_unit_test(who_listens_on_a_port),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
