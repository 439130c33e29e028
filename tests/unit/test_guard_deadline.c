/* The file between the supervisor and the guard: what is damaged, foreign or torn is never taken for what somebody wrote. */
#include "hactl/guard/guard.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <cmocka.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { HEAD = 64, COPY = 64, PAGE = HEAD + 4 * COPY };

struct place {
	char dir[64], path[96];
};

static int setup(void **state)
{
	struct place *p = xcalloc(1, sizeof(*p));

	STR_COPY(p->dir, "/tmp/hactl-deadline-XXXXXX");
	assert_non_null(mkdtemp(p->dir));
	snprintf(p->path, sizeof(p->path), "%s/deadline", p->dir);
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct place *p = *state;

	unlink(p->path);
	rmdir(p->dir);
	free(p);
	return 0;
}

static void put(const struct place *p, const void *bytes, size_t n, off_t at)
{
	int fd = open(p->path, O_WRONLY | O_CREAT, 0600);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, bytes, n, at), n);
	close(fd);
}

static struct deadline_file *must_open(const struct place *p, bool renew)
{
	struct err e = { "" };
	struct deadline_file *f = deadline_open(p->path, renew, &e);

	if (!f)
		fail_msg("%s", e.text);
	return f;
}

static struct deadline numbered(int64_t n)
{
	return (struct deadline){ .open = 1, .until = n, .alive_at = n, .incarnation = (uint64_t)n, .pid = n };
}

static void a_path_that_cannot_be(void **state)
{
	const struct place *p = *state;
	char below[128];
	struct err e = { "" };

	snprintf(below, sizeof(below), "%s/none/deadline", p->dir);
	assert_null(deadline_open(below, true, &e));
	assert_non_null(strstr(e.text, below));
	assert_null(deadline_open(p->dir, true, &e));
	assert_int_equal(symlink("/dev/null", p->path), 0);
	assert_null(deadline_open(p->path, true, &e));
}

static void foreign_content_is_an_error_for_the_guard_and_replaced_by_the_supervisor(void **state)
{
	static const char other[PAGE] = "something else";
	const struct place *p = *state;
	struct deadline d = numbered(1);
	struct err e = { "" };
	struct deadline_file *f;

	put(p, other, sizeof(other), 0);
	assert_null(deadline_open(p->path, false, &e));
	assert_non_null(strstr(e.text, "version"));
	f = must_open(p, true);
	assert_true(deadline_hear(f, &d));
	assert_int_equal(d.open, 0);
	deadline_close(f);
}

static void another_version_is_not_read(void **state)
{
	const struct place *p = *state;
	const uint32_t version = DEADLINE_VERSION + 1;
	struct deadline said = numbered(7), heard = numbered(1);
	struct deadline_file *f = must_open(p, true);
	struct err e;

	deadline_say(f, &said);
	assert_false(deadline_lost(f));
	put(p, &version, sizeof(version), 8);
	assert_false(deadline_hear(f, &heard));
	assert_int_equal(heard.until, 1); /* untouched */
	assert_true(deadline_lost(f));
	assert_null(deadline_open(p->path, false, &e));
	deadline_close(f);
}

static void too_short_a_file_is_made_whole(void **state)
{
	const struct place *p = *state;
	struct guard_beat b = { 1, 1, 1 };
	struct deadline_file *f;

	put(p, "", 0, 0);
	f = must_open(p, false);
	assert_true(guard_hear(f, &b));
	assert_int_equal(b.alive_at, 0);
	deadline_close(f);
}

static void a_file_of_another_boot_starts_afresh(void **state)
{
	const struct place *p = *state;
	struct deadline d = numbered(7);
	struct deadline_file *f = must_open(p, true);
	unsigned char head[HEAD];
	int fd = open(p->path, O_RDWR);
	uint64_t sum = 14695981039346656037ull;

	deadline_say(f, &d);
	deadline_close(f);
	assert_int_equal(pread(fd, head, HEAD, 0), HEAD);
	head[16] ^= 1; /* the boot id, and the header's sum again as another boot would have written it */
	for (size_t i = 0; i < HEAD - 8; i++)
		sum = (sum ^ head[i]) * 1099511628211ull;
	memcpy(head + HEAD - 8, &sum, 8);
	assert_int_equal(pwrite(fd, head, HEAD, 0), HEAD);
	close(fd);
	f = must_open(p, false);
	assert_true(deadline_hear(f, &d));
	assert_int_equal(d.open, 0);
	deadline_close(f);
}

static void what_one_says_the_other_hears(void **state)
{
	const struct place *p = *state;
	struct deadline_file *sup = must_open(p, true), *guard = must_open(p, false);
	struct guard_beat b;
	struct deadline d;

	for (int64_t n = 1; n < 100; n++) {
		struct deadline said = numbered(n);
		struct guard_beat beat = { n, n + 1, GUARD_FREEZES };

		deadline_say(sup, &said);
		guard_say(guard, &beat);
		assert_true(deadline_hear(guard, &d) && guard_hear(sup, &b));
		assert_memory_equal(&d, &said, sizeof(d));
		assert_memory_equal(&b, &beat, sizeof(b));
	}
	deadline_close(sup);
	sup = must_open(p, true); /* a restart finds what stood there */
	assert_true(deadline_hear(sup, &d));
	assert_int_equal(d.until, 99);
	deadline_close(sup);
	deadline_close(guard);
}

/* Every byte of the newest copy, damaged alone: the one before is heard. Both damaged: nothing is. */
static void a_torn_record_is_not_heard(void **state)
{
	const struct place *p = *state;
	struct deadline_file *f = must_open(p, true);
	struct deadline one = numbered(1), two = numbered(2), d;
	unsigned char whole[COPY], byte;
	int fd = open(p->path, O_RDWR), at;

	deadline_say(f, &one);
	deadline_say(f, &two);
	assert_int_equal(pread(fd, whole, COPY, HEAD), COPY);
	at = whole[0] == 2 ? HEAD : HEAD + COPY; /* where the second one went */
	assert_int_equal(pread(fd, whole, COPY, at), COPY);
	for (int i = 0; i < COPY - 8; i++) { /* the last eight are spare */
		byte = whole[i] ^ 0x10;
		put(p, &byte, 1, at + i);
		assert_true(deadline_hear(f, &d));
		assert_int_equal(d.until, 1);
		put(p, &whole[i], 1, at + i);
	}
	assert_true(deadline_hear(f, &d) && d.until == 2);
	byte = whole[20] ^ 1;
	put(p, &byte, 1, HEAD + 20);
	put(p, &byte, 1, HEAD + COPY + 20);
	assert_false(deadline_hear(f, &d));
	assert_int_equal(d.until, 2);
	deadline_say(f, &one); /* and the writer heals it */
	assert_true(deadline_hear(f, &d) && d.until == 1);
	close(fd);
	deadline_close(f);
}

/* A writer at full speed, killed in the middle of a record again and again; every record that is heard is one that was written. */
static void a_writer_killed_at_any_moment(void **state)
{
	const struct place *p = *state;
	struct deadline_file *f = must_open(p, true);
	int64_t heard = 0, last = 0;

	for (int round = 0; round < 20; round++) {
		pid_t pid = fork();
		struct deadline d = { 0 };

		if (pid == 0)
			for (int64_t n = last + 1;; n++) {
				d = numbered(n);
				deadline_say(f, &d);
			}
		for (int64_t from = heard; heard < from + 2000;) {
			if (!deadline_hear(f, &d))
				continue;
			assert_true(d.until >= last);
			assert_true(!d.open ||
				    (d.alive_at == d.until && d.pid == d.until && d.incarnation == (uint64_t)d.until));
			last = d.until;
			heard++;
		}
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		assert_true(deadline_hear(f, &d)); /* the copy before the torn one is whole */
		assert_true(d.until >= last && d.pid == d.until);
		last = d.until;
	}
	deadline_close(f);
}

static void a_file_that_was_removed_still_tells(void **state)
{
	const struct place *p = *state;
	struct deadline_file *old = must_open(p, true), *f;
	struct deadline d = numbered(5);

	deadline_say(old, &d);
	unlink(p->path);
	assert_true(deadline_lost(old));
	assert_true(deadline_hear(old, &d) && d.until == 5);
	f = must_open(p, true);
	assert_true(deadline_lost(old) && !deadline_lost(f));
	deadline_close(old);
	deadline_close(f);
}

static void the_path_stands_beside_the_socket(void **state)
{
	struct cli c = { .socket = "/run/hactl/hactl.sock" };
	char path[512];

	(void)state;
	deadline_path(&c, path);
	assert_string_equal(path, "/run/hactl/deadline");
	c.socket = "sock";
	deadline_path(&c, path);
	assert_string_equal(path, "deadline");
	c.deadline = "/x/y";
	deadline_path(&c, path);
	assert_string_equal(path, "/x/y");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_path_that_cannot_be),
		TEST(foreign_content_is_an_error_for_the_guard_and_replaced_by_the_supervisor),
		TEST(another_version_is_not_read),
		TEST(too_short_a_file_is_made_whole),
		TEST(a_file_of_another_boot_starts_afresh),
		TEST(what_one_says_the_other_hears),
		TEST(a_torn_record_is_not_heard),
		TEST(a_writer_killed_at_any_moment),
		TEST(a_file_that_was_removed_still_tells),
		cmocka_unit_test(the_path_stands_beside_the_socket),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
