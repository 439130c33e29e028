/* test_witness.c - echo and open ports, in a network namespace of the test's own in which the kernel answers, or the test does by hand. */
#include "hactl/witness/witness.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum {
	HEAD = 20,
	ECHO = 24,
	REPLY = 0,
	REQUEST = 8
}; /* bytes of an IP header without options, of our echo; ICMP types */

struct bench {
	struct loop *loop;
	struct timer *bound;
	int answers;
	bool late;
	char who[64];
};

static void on_bound(void *arg, us_t now)
{
	struct bench *b = arg;

	(void)now;
	b->late = true;
	loop_exit(b->loop, 0);
}

static int setup(void **state)
{
	struct bench *b = xcalloc(1, sizeof(*b));
	struct err e;

	b->loop = loop_new(&e);
	assert_non_null(b->loop);
	b->bound = timer_new(b->loop, on_bound, b);
	timer_in(b->bound, 20 * US_PER_SEC);
	*state = b;
	return 0;
}

static int teardown(void **state)
{
	struct bench *b = *state;

	timer_free(b->bound);
	loop_free(b->loop);
	free(b);
	return 0;
}

static void on_answer(void *arg, const char *address)
{
	struct bench *b = arg;

	b->answers++;
	STR_COPY(b->who, address);
	loop_exit(b->loop, 0);
}

static void on_open(void *arg, const char *address, int port)
{
	(void)port;
	on_answer(arg, address);
}

static void must_not(void *arg, const char *address)
{
	(void)arg;
	fail_msg("%s is said to have answered", address);
}

static void must_not_be_open(void *arg, const char *address, int port)
{
	(void)arg;
	fail_msg("%s:%d is said to be open", address, port);
}

static void write_to(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

/* --- echo ----------------------------------------------------------------------------------------------------------------------- */

static void test_no_address(void **state)
{
	struct bench *b = *state;
	struct err e;

	assert_null(echo_new(b->loop, "gateway.example", must_not, b, &e));
	assert_non_null(strstr(e.text, "not a numeric address"));
}

static void ask(struct bench *b, const char *address)
{
	struct err e = { "" };
	struct echo *x = echo_new(b->loop, address, on_answer, b, &e),
		    *no = echo_new(b->loop, address, must_not, b, &e);

	assert_string_equal(e.text, "");
	for (int i = 0; i < 3; i++)
		echo_send(x);
	loop_run(b->loop);
	echo_free(x);
	echo_free(no); /* it sent nothing, so the answers to the other one are none of its business */
	assert_false(b->late);
	assert_int_equal(b->answers, 1);
	assert_string_equal(b->who, address);
}

static void test_answers(void **state)
{
	ask(*state, "127.0.0.1");
}

static void test_answers_6(void **state)
{
	ask(*state, "::1");
}

static int raw(int *spy)
{
	*spy = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP);
	assert_true(*spy >= 0);
	return *spy;
}

/* The next echo request on the wire. */
static void take_request(int spy, uint8_t out[ECHO])
{
	uint8_t bytes[256];

	do
		assert_true(recv(spy, bytes, sizeof(bytes), 0) >= HEAD + ECHO);
	while (bytes[HEAD] != REQUEST);
	memcpy(out, bytes + HEAD, ECHO);
}

static void reply(const uint8_t request[ECHO], int spoilt_byte, const char *source)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct sockaddr_in me = { .sin_family = AF_INET };
	uint8_t answer[ECHO];
	uint32_t sum = 0;
	int fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP);

	memcpy(answer, request, ECHO);
	answer[0] = REPLY;
	answer[2] = answer[3] = 0;
	if (spoilt_byte >= 0)
		answer[spoilt_byte] ^= 1;
	for (size_t i = 0; i < ECHO; i += 2)
		sum += (uint32_t)(answer[i] << 8 | answer[i + 1]);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	answer[2] = (uint8_t)(~sum >> 8);
	answer[3] = (uint8_t)~sum;
	inet_pton(AF_INET, source, &me.sin_addr);
	assert_int_equal(bind(fd, (struct sockaddr *)&me, sizeof(me)), 0);
	assert_int_equal(sendto(fd, answer, ECHO, 0, (struct sockaddr *)&to, sizeof(to)), ECHO);
	close(fd);
}

/* The kernel is mute; what it would have said is said by hand, wrongly in each field, by another host, and for another question. Raw
 * sockets get packets in the order they were sent, so when the honest answer to the second question is there, the first has seen its lies. */
static void test_only_the_answer_counts(void **state)
{
	static const int spoilt[] = { 4, 5, 8, 15, 23 }; /* id, and the secret's first, middle and last byte */
	struct bench *b = *state;
	auto_close int spy = -1;
	uint8_t request[ECHO], second[ECHO];
	struct echo *deceived, *honest;
	struct err e = { "" };

	write_to("/proc/sys/net/ipv4/icmp_echo_ignore_all", "1");
	deceived = echo_new(b->loop, "127.0.0.1", must_not, b, &e);
	honest = echo_new(b->loop, "127.0.0.1", on_answer, b, &e);
	assert_string_equal(e.text, "");
	raw(&spy);
	echo_send(deceived);
	take_request(spy, request);
	for (size_t i = 0; i < ARRAY_LEN(spoilt); i++)
		reply(request, spoilt[i], "127.0.0.1");
	reply(request, -1, "127.0.0.2"); /* right in all but who says it */
	request[7]++;			 /* a sequence number that was not sent yet */
	reply(request, -1, "127.0.0.1");
	echo_send(honest);
	take_request(spy, second);
	reply(second, -1, "127.0.0.1");
	loop_run(b->loop);
	assert_false(b->late);
	assert_int_equal(b->answers, 1);
	echo_free(deceived);
	echo_free(honest);
	write_to("/proc/sys/net/ipv4/icmp_echo_ignore_all", "0");
}

static void test_no_route(void **state)
{
	struct bench *b = *state;
	struct err e = { "" };
	struct echo *x = echo_new(b->loop, "192.0.2.1", must_not, b, &e);

	assert_null(x); /* not reached, and why */
	assert_non_null(strstr(e.text, "192.0.2.1 cannot be asked"));
}

/* --- ports ---------------------------------------------------------------------------------------------------------------------- */

static int listening(int backlog, int *port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	if (backlog >= 0)
		assert_int_equal(listen(fd, backlog), 0);
	*port = ntohs(a.sin_port);
	return fd;
}

/* Nobody accepts: a server that hangs is there all the same. The refused one goes first and stays silent. */
static void test_open_and_refused(void **state)
{
	struct bench *b = *state;
	int open_port, shut_port;
	auto_close int served = listening(4, &open_port), unserved = listening(-1, &shut_port);
	struct err e = { "" };
	struct knock *shut = knock_new(b->loop, "127.0.0.1", shut_port, must_not_be_open, b, &e);
	struct knock *k = knock_new(b->loop, "127.0.0.1", open_port, on_open, b, &e);

	assert_string_equal(e.text, "");
	for (int i = 0; i < 3; i++) {
		knock_again(shut);
		knock_again(k);
	}
	loop_run(b->loop);
	assert_false(b->late);
	assert_int_equal(b->answers, 1);
	knock_again(k); /* it is known */
	knock_free(k);
	knock_free(shut);
	assert_true(served >= 0 && unserved >= 0);
}

static void test_freed_unanswered(void **state)
{
	struct bench *b = *state;
	int port;
	auto_close int served = listening(4, &port);
	struct err e = { "" };
	struct knock *k = knock_new(b->loop, "127.0.0.1", port, must_not_be_open, b, &e);
	struct echo *x = echo_new(b->loop, "127.0.0.1", must_not, b, &e);

	knock_again(k);
	echo_send(x);
	knock_free(k);
	echo_free(x);
	ask(b, "127.0.0.1"); /* what came for the freed ones has been passed by */
	assert_true(served >= 0);
	assert_null(knock_new(b->loop, "n1", 3306, must_not_be_open, b, &e));
}

static void lo_up(void)
{
	struct ifreq r = { .ifr_name = "lo" };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_int_equal(ioctl(fd, SIOCGIFFLAGS, &r), 0);
	r.ifr_flags |= IFF_UP;
	assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &r), 0);
	close(fd);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_no_address),
		T(test_answers),
		T(test_answers_6),
		T(test_only_the_answer_counts),
		T(test_no_route),
		T(test_open_and_refused),
		T(test_freed_unanswered),
	};

	if (unshare(CLONE_NEWNET)) {
		fprintf(stderr, "test_witness: needs root for a network namespace: %s\n", strerror(errno));
		return 1;
	}
	lo_up();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
