/* The journal's file: what a line holds, torn ends, rotation, removal, and a disk that does not take it. */
#include "hactl/control/control.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <signal.h>
#include <unistd.h>

enum { ROTATE_AT = 8 * 1024 * 1024 };

struct place {
	char dir[64], path[128], old[128];
};

static int setup(void **state)
{
	struct place *p = xcalloc(1, sizeof(*p));
	STR_COPY(p->dir, "/tmp/hactl-journal-XXXXXX");
	assert_non_null(mkdtemp(p->dir));
	snprintf(p->path, sizeof(p->path), "%s/events.jsonl", p->dir);
	snprintf(p->old, sizeof(p->old), "%s/events.jsonl.1", p->dir);
	log_setup(LOG_LVL_ERROR, NULL);
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct place *p = *state;
	unlink(p->path);
	unlink(p->old);
	rmdir(p->dir);
	free(p);
	return 0;
}

static struct journal *open_it(const struct place *p)
{
	struct err e = { "" };
	struct journal *j = journal_open(p->dir, "n1", &e);
	if (!j)
		fail_msg("%s", e.text);
	return j;
}

/* Line i (from 0) of the file as JSON; NULL when it is not. Counts all lines. */
static json_t *line(const char *path, size_t i, size_t *count)
{
	json_t *found = NULL;
	char *text = NULL;
	size_t size = 0, n = 0;
	auto_file FILE *f = fopen(path, "r");
	assert_non_null(f);
	for (; getline(&text, &size, f) > 0; n++)
		if (n == i)
			found = json_loads(text, 0, NULL);
	free(text);
	if (count)
		*count = n;
	return found;
}

static void expect_text(const char *path, size_t i, const char *text)
{
	json_t *o = line(path, i, NULL);
	assert_non_null(o);
	assert_string_equal(json_string_value(json_object_get(o, "text")), text);
	json_decref(o);
}

static void write_file(const char *path, const char *text)
{
	auto_file FILE *f = fopen(path, "w");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
}

static void test_no_directory(void **state)
{
	(void)state;
	struct err e = { "" };
	assert_null(journal_open("/nonexistent/hactl", "n1", &e));
	assert_non_null(strstr(e.text, "/nonexistent/hactl/events.jsonl"));
	journal_add(NULL, LOG_LVL_DEBUG, "note", json_object(), "goes to the log only");
}

static void test_line(void **state)
{
	struct place *p = *state;
	struct journal *j = open_it(p);
	json_t *fields = json_pack("{s:s, s:s, s:i}", "from", "standby", "text", "must not win", "term", 7);
	journal_add(j, LOG_LVL_NOTICE, "role", fields, "n1 is now %s", "primary");
	journal_add(j, LOG_LVL_WARN, "alert", NULL, "bytes \xff\n and a newline");
	journal_close(j);

	size_t n;
	json_t *o = line(p->path, 0, &n);
	assert_int_equal(n, 2);
	assert_non_null(o);
	assert_string_equal(json_string_value(json_object_get(o, "kind")), "role");
	assert_string_equal(json_string_value(json_object_get(o, "level")), "notice");
	assert_string_equal(json_string_value(json_object_get(o, "text")), "n1 is now primary");
	assert_string_equal(json_string_value(json_object_get(o, "from")), "standby");
	assert_int_equal(json_integer_value(json_object_get(o, "term")), 7);
	assert_true(json_integer_value(json_object_get(o, "mono_us")) > 0);
	assert_int_equal(strlen(json_string_value(json_object_get(o, "at"))), 24);
	json_decref(o);
	expect_text(p->path, 1, "bytes \\xff\\x0a and a newline");
}

/* A power cut left half a line: the next one begins on its own. */
static void test_torn(void **state)
{
	struct place *p = *state;
	write_file(p->path, "{\"text\":\"whole\"}\n{\"text\":\"ha");
	struct journal *j = open_it(p);
	journal_add(j, LOG_LVL_INFO, "note", NULL, "after");
	journal_add(j, LOG_LVL_INFO, "note", NULL, "and again");
	journal_close(j);
	size_t n;
	assert_null(line(p->path, 1, &n));
	assert_int_equal(n, 4);
	expect_text(p->path, 0, "whole");
	expect_text(p->path, 2, "after");
	expect_text(p->path, 3, "and again");
}

static void test_rotation(void **state)
{
	struct place *p = *state;
	write_file(p->path, "");
	assert_int_equal(truncate(p->path, ROTATE_AT - 10), 0);
	struct journal *j = open_it(p);
	journal_add(j, LOG_LVL_INFO, "note", NULL, "first of the new file");
	journal_add(j, LOG_LVL_INFO, "note", NULL, "second");
	journal_close(j);
	struct stat st;
	assert_int_equal(stat(p->old, &st), 0);
	assert_int_equal(st.st_size, ROTATE_AT - 10);
	expect_text(p->path, 0, "first of the new file");
	expect_text(p->path, 1, "second");
}

static void test_removed(void **state)
{
	struct place *p = *state;
	struct journal *j = open_it(p);
	journal_add(j, LOG_LVL_INFO, "note", NULL, "lost with its file");
	assert_int_equal(unlink(p->path), 0);
	journal_add(j, LOG_LVL_INFO, "note", NULL, "in a new one");
	journal_close(j);
	expect_text(p->path, 0, "in a new one");
}

/* The disk takes half a line, then nothing, then is well again; it is said once. */
static void test_full(void **state)
{
	struct place *p = *state;
	struct journal *j = open_it(p);
	struct rlimit before, limit;
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	signal(SIGXFSZ, SIG_IGN);
	int err = dup(STDERR_FILENO), pipe_fd[2]; /* what is said goes through a pipe: no file can grow now */
	assert_true(err >= 0);
	assert_int_equal(pipe(pipe_fd), 0);

	limit = before;
	limit.rlim_cur = 40;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	limit.rlim_cur = before.rlim_cur;
	log_setup(LOG_LVL_WARN, NULL);
	dup2(pipe_fd[1], STDERR_FILENO);
	for (int i = 0; i < 3; i++)
		journal_add(j, LOG_LVL_INFO, "note", NULL, "does not fit");
	dup2(err, STDERR_FILENO);
	close(pipe_fd[1]);
	setrlimit(RLIMIT_FSIZE, &limit);
	char text[4096];
	ssize_t n = read(pipe_fd[0], text, sizeof(text) - 1);
	close(pipe_fd[0]);
	close(err);
	assert_true(n > 0);
	text[n] = 0;
	char *first = strstr(text, "cannot write the journal");
	assert_non_null(first);
	assert_null(strstr(first + 1, "cannot write the journal"));

	journal_add(j, LOG_LVL_INFO, "note", NULL, "well again");
	journal_close(j);
	size_t lines;
	assert_null(line(p->path, 0, &lines));
	assert_int_equal(lines, 2);
	expect_text(p->path, 1, "well again");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_no_directory, setup, teardown),
		cmocka_unit_test_setup_teardown(test_line, setup, teardown),
		cmocka_unit_test_setup_teardown(test_torn, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rotation, setup, teardown),
		cmocka_unit_test_setup_teardown(test_removed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_full, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
