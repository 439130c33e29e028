/* test_supervisor_disk.c - the words that survive a power cut: what is damaged is refused and left as it was, what was stored comes back. */
#include "hactl/supervisor/private.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

struct bench {
	char dir[64];
	char file[96];
	struct sup *s;
};

static void forget(struct bench *b)
{
	if (b->s->state_lock >= 0)
		close(b->s->state_lock);
	memset(b->s, 0, sizeof(*b->s));
	b->s->state_lock = -1;
}

static int setup(void **state)
{
	struct bench *b = xcalloc(1, sizeof(*b));

	STR_COPY(b->dir, "/tmp/hactl-disk-XXXXXX");
	assert_non_null(mkdtemp(b->dir));
	snprintf(b->file, sizeof(b->file), "%s/authority.json", b->dir);
	b->s = xcalloc(1, sizeof(*b->s));
	b->s->state_lock = -1;
	*state = b;
	return 0;
}

static int teardown(void **state)
{
	struct bench *b = *state;
	auto_free char *lock = str_printf("%s/lock", b->dir), *spare = file_spare(b->file);

	forget(b);
	unlink(b->file);
	unlink(spare);
	unlink(lock);
	rmdir(b->dir);
	free(b->s);
	free(b);
	return 0;
}

static void write_file(const char *path, const void *text, size_t len)
{
	struct err e;

	assert_int_equal(file_replace(path, text, len, 0600, &e), 0);
}

/* Every member has a value of its own, so that two that change places are noticed. */
static struct core_disk full_disk(void)
{
	struct core_disk d = { .term = UINT64_MAX,
		.voted = 1,
		.owner = 0,
		.other_term = 12,
		.released = 13,
		.void_term = 14,
		.void_seq = (uint64_t)1 << 60,
		.held = 16,
		.served = 17,
		.bound_db = -18,
		.bound_prev = 19,
		.sync_floor = 20,
		.alone = 21,
		.held_boot = 22,
		.paused = true,
		.pause_mine = false };

	STR_COPY(d.pause_reason, "new \"disks\"\n\xc3\xa4");
	return d;
}

static void assert_same(const struct core_disk *a, const struct core_disk *b)
{
	assert_true(a->term == b->term && a->other_term == b->other_term && a->released == b->released);
	assert_true(a->void_term == b->void_term && a->void_seq == b->void_seq && a->sync_floor == b->sync_floor);
	assert_true(a->held == b->held && a->served == b->served && a->alone == b->alone);
	assert_true(a->held_boot == b->held_boot);
	assert_true(a->bound_db == b->bound_db && a->bound_prev == b->bound_prev);
	assert_int_equal(a->voted, b->voted);
	assert_int_equal(a->owner, b->owner);
	assert_int_equal(a->paused, b->paused);
	assert_int_equal(a->pause_mine, b->pause_mine);
	assert_string_equal(a->pause_reason, b->pause_reason);
}

/* --- damaged ------------------------------------------------------------------------------------------------------------------- */

#define WHOLE(term_, voted_, owner_, paused_, mine_, reason_)                                                          \
	"{\"version\":1,\"term\":" term_                                                                               \
	",\"other_term\":\"0\",\"released\":\"0\",\"void_term\":\"0\",\"void_seq\":\"0\",\"held\":"                    \
	"\"0\",\"served\":\"0\",\"bound_db\":\"0\",\"bound_prev\":\"0\",\"sync_floor\":\"0\",\"voted\":" voted_        \
	",\"flap\":false,\"owner\":" owner_ ",\"paused\":" paused_ ",\"pause_mine\":" mine_                            \
	",\"pause_reason\":" reason_ "}"

static const struct {
	const char *name, *text;
} damaged[] = {
	{ "empty", "" },
	{ "zeros", NULL },
	{ "not JSON", "\x7f"
		      "ELF" },
	{ "another's JSON", "{\"hello\":\"world\"}" },
	{ "an array", "[1,2]" },
	{ "cut short", "{\"term\":\"7\",\"voted\":1" },
	{ "two documents", WHOLE("\"7\"", "1", "0", "false", "false", "\"\"") "{}" },
	{ "a doubled key", "{\"term\":\"9\"," WHOLE("\"7\"", "1", "0", "false", "false", "\"\"") },
	{ "a term that is a number", WHOLE("7", "1", "0", "false", "false", "\"\"") },
	{ "a term with a sign", WHOLE("\"-1\"", "1", "0", "false", "false", "\"\"") },
	{ "a term after a blank", WHOLE("\" 7\"", "1", "0", "false", "false", "\"\"") },
	{ "a term that is too big", WHOLE("\"18446744073709551616\"", "1", "0", "false", "false", "\"\"") },
	{ "a term with a tail", WHOLE("\"7x\"", "1", "0", "false", "false", "\"\"") },
	{ "an empty term", WHOLE("\"\"", "1", "0", "false", "false", "\"\"") },
	{ "a third node", WHOLE("\"7\"", "2", "0", "false", "false", "\"\"") },
	{ "a node below nobody", WHOLE("\"7\"", "1", "-2", "false", "false", "\"\"") },
	{ "a vote that is no number", WHOLE("\"7\"", "\"1\"", "0", "false", "false", "\"\"") },
	{ "a pause that is no truth", WHOLE("\"7\"", "1", "0", "1", "false", "\"\"") },
	{ "a lost pause of its own", WHOLE("\"7\"", "1", "0", "false", "null", "\"\"") },
	{ "a lost reason", WHOLE("\"7\"", "1", "0", "false", "false", "null") },
};

/* "a doubled key" above needs one brace less; built here so that the macro stays one. */
static char *text_of(size_t i, size_t *len)
{
	char *text = damaged[i].text ? xstrdup(damaged[i].text) : xcalloc(1, 512);
	char *inner = strstr(text, ",{");

	*len = damaged[i].text ? strlen(text) : 512;
	if (inner) {
		memmove(inner + 1, inner + 2, strlen(inner + 2) + 1);
		(*len)--;
	}
	return text;
}

static void damage_is_refused(void **state)
{
	struct bench *b = *state;

	for (size_t i = 0; i < ARRAY_LEN(damaged); i++) {
		size_t len, after_len;
		auto_free char *text = text_of(i, &len), *after = NULL;
		struct core_disk d = { .term = 77 };
		struct err e = { "" };

		write_file(b->file, text, len);
		if (disk_open(b->s, b->dir, &d, &e) == 0)
			fail_msg("%s was believed", damaged[i].name);
		assert_non_null(strstr(e.text, "is damaged"));
		assert_non_null(strstr(e.text, b->file));
		assert_non_null(strstr(e.text, "make sure the other node is primary"));
		assert_int_equal(d.term, 77); /* untouched on failure */
		assert_int_equal(file_read(b->file, 4096, &after, &after_len, &e), 0);
		assert_int_equal(after_len, len);
		assert_memory_equal(after, text, len);
		forget(b);
	}
}

/* Every prefix of a real file: a power cut may leave any of them on a careless file system. */
static void any_cut_is_refused(void **state)
{
	struct bench *b = *state;
	struct core_disk d = full_disk(), back;
	auto_free char *text = NULL;
	struct err e = { "" };
	size_t len;

	assert_int_equal(disk_open(b->s, b->dir, &back, &e), 0);
	assert_int_equal(disk_store(b->s, &d, &e), 0);
	assert_int_equal(file_read(b->file, 65536, &text, &len, &e), 0);
	for (size_t cut = 0; cut + 1 < len; cut++) { /* the last byte is a newline and may go */
		forget(b);
		write_file(b->file, text, cut);
		if (disk_open(b->s, b->dir, &back, &e) == 0)
			fail_msg("%zu of %zu bytes were believed", cut, len);
	}
}

static void a_file_too_long_is_refused(void **state)
{
	struct bench *b = *state;
	auto_free char *text = xcalloc(1, 70001);
	struct core_disk d;
	struct err e = { "" };

	memset(text, ' ', 70000);
	write_file(b->file, text, 70000);
	assert_int_equal(disk_open(b->s, b->dir, &d, &e), -1);
	assert_non_null(strstr(e.text, "longer than"));
}

/* --- refused by the system ------------------------------------------------------------------------------------------------------- */

static void one_supervisor_a_directory(void **state)
{
	struct bench *b = *state;
	struct core_disk d;
	struct err e = { "" };
	int ready[2], end[2], status;
	char c;
	pid_t child;

	assert_int_equal(pipe(ready), 0);
	assert_int_equal(pipe(end), 0);
	child = fork();
	assert_true(child >= 0);
	if (!child) {
		close(end[1]); /* so that the parent's end, however it comes, ends the read */
		c = disk_open(b->s, b->dir, &d, &e) ? 'n' : 'y';
		if (write(ready[1], &c, 1) != 1 || read(end[0], &c, 1) < 0)
			_exit(1);
		_exit(0);
	}
	assert_int_equal(read(ready[0], &c, 1), 1);
	assert_int_equal(c, 'y');
	assert_int_equal(disk_open(b->s, b->dir, &d, &e), -1);
	assert_non_null(strstr(e.text, "another hactl runs with the state directory"));
	forget(b);
	close(end[1]);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(disk_open(b->s, b->dir, &d, &e), 0); /* the lock goes with its holder */
	close(end[0]);
	close(ready[0]);
	close(ready[1]);
}

static void no_directory(void **state)
{
	struct bench *b = *state;
	auto_free char *below_file = str_printf("%s/x", b->file), *deep = str_printf("%s/a/b", b->dir);
	auto_free char *longer = xcalloc(1, 700);
	struct core_disk d;
	struct err e = { "" };

	write_file(b->file, "x", 1);
	assert_int_equal(disk_open(b->s, below_file, &d, &e), -1);
	assert_non_null(strstr(e.text, "cannot be made"));
	forget(b);
	assert_int_equal(disk_open(b->s, deep, &d, &e), -1);
	assert_non_null(strstr(e.text, "cannot be made"));
	forget(b);
	memset(longer, '/', 600); /* the same directory, by a name that does not fit */
	memcpy(longer, b->dir, strlen(b->dir));
	assert_int_equal(disk_open(b->s, longer, &d, &e), -1);
	assert_non_null(strstr(e.text, "too long"));
}

static void unwritable_directory(void **state)
{
	struct bench *b = *state;
	struct core_disk d = full_disk(), back;
	struct err e = { "" };
	int opened, stored;

	if (geteuid() != 0)
		skip(); /* a directory nobody but root can write to is what it needs */
	assert_int_equal(chmod(b->dir, 0755), 0);
	assert_int_equal(seteuid(65534), 0);
	opened = disk_open(b->s, b->dir, &back, &e);
	assert_int_equal(seteuid(0), 0);
	assert_int_equal(opened, -1);
	assert_non_null(strstr(e.text, "cannot be opened"));

	forget(b);
	assert_int_equal(disk_open(b->s, b->dir, &back, &e), 0);
	assert_int_equal(disk_store(b->s, &d, &e), 0);
	d.term = 5;
	assert_int_equal(seteuid(65534), 0);
	stored = disk_store(b->s, &d, &e);
	assert_int_equal(seteuid(0), 0);
	assert_int_equal(stored, -1);
	assert_non_null(strstr(e.text, "cannot be written"));
	forget(b);
	assert_int_equal(disk_open(b->s, b->dir, &back, &e), 0);
	assert_true(back.term == UINT64_MAX); /* what was stored last still stands */
}

static void full_disk_keeps_the_old_state(void **state)
{
	struct bench *b = *state;
	struct core_disk d = full_disk(), back;
	auto_free char *left = str_printf("%s.new", b->file);
	struct rlimit was, none;
	struct err e = { "" };
	int stored;

	assert_int_equal(disk_open(b->s, b->dir, &back, &e), 0);
	assert_int_equal(disk_store(b->s, &d, &e), 0);
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
	none = (struct rlimit){ .rlim_cur = 100,
		.rlim_max = was.rlim_max }; /* a part of it still fits, as on a real one */
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
	d.term = 5;
	stored = disk_store(b->s, &d, &e);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
	assert_int_equal(stored, -1);
	assert_non_null(strstr(e.text, "cannot be written"));
	assert_int_equal(access(left, F_OK), -1);
	forget(b);
	assert_int_equal(disk_open(b->s, b->dir, &back, &e), 0);
	assert_true(back.term == UINT64_MAX);
}

/* The content before is written over, whatever length it has; an earlier start's is not: after a power cut it might be the file. */
static void the_spare(void **state)
{
	struct bench *b = *state;
	struct core_disk d = full_disk(), back;
	auto_free char *spare = file_spare(b->file), *longer = xcalloc(1, 5001), *text = NULL;
	struct stat was, is;
	struct err e = { "" };
	size_t len;

	assert_int_equal(disk_open(b->s, b->dir, &back, &e), 0);
	for (d.term = 1; d.term <= 3; d.term++) {
		assert_int_equal(d.term > 2 ? stat(spare, &was) : 0, 0);
		assert_int_equal(disk_store(b->s, &d, &e), 0);
	}
	assert_int_equal(stat(b->file, &is), 0);
	assert_true(was.st_ino == is.st_ino && was.st_size == is.st_size);
	memset(longer, 'x', 5000);
	write_file(spare, longer, 5000);
	d.term = 4;
	assert_int_equal(disk_store(b->s, &d, &e), 0);
	assert_int_equal(file_read(b->file, 65536, &text, &len, &e), 0);
	assert_int_equal(len, is.st_size);
	assert_int_equal(access(spare, F_OK), 0);
	forget(b);
	assert_int_equal(disk_open(b->s, b->dir, &back, &e), 0);
	assert_true(back.term == 4);
	assert_int_equal(access(spare, F_OK), -1);
}

/* --- what comes back -------------------------------------------------------------------------------------------------------------- */

static void first_start(void **state)
{
	struct bench *b = *state;
	struct core_disk d = full_disk(), fresh = { .voted = NOBODY, .owner = NOBODY };
	struct err e = { "" };

	assert_int_equal(disk_open(b->s, b->dir, &d, &e), 0);
	assert_same(&d, &fresh);
	assert_int_equal(access(b->file, F_OK), -1); /* nothing is promised by looking */
}

static void every_member_comes_back(void **state)
{
	struct bench *b = *state;
	struct core_disk rows[] = { full_disk(), full_disk(), { .voted = NOBODY, .owner = NOBODY } };
	struct core_disk back;
	struct err e = { "" };
	struct stat st;

	rows[1].paused = false;
	rows[1].pause_mine = true;
	rows[1].bound_db = INT64_MIN;
	rows[1].voted = 0;
	rows[1].owner = 1;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(disk_open(b->s, b->dir, &back, &e), 0);
		assert_int_equal(disk_store(b->s, &rows[i], &e), 0);
		forget(b);
		assert_int_equal(disk_open(b->s, b->dir, &back, &e), 0);
		assert_same(&back, &rows[i]);
		assert_int_equal(stat(b->file, &st), 0);
		assert_int_equal(st.st_mode & 07777, 0600);
		forget(b);
	}
}

/* A reason is cut at 255 bytes, where a character of several bytes may stand: no reason for a primary to lose its disk. */
static void a_cut_character_is_stored(void **state)
{
	struct bench *b = *state;
	struct core_disk d = full_disk(), back;
	struct err e = { "" };

	memset(d.pause_reason, 'a', SENTENCE_MAX - 1);
	d.pause_reason[SENTENCE_MAX - 2] = '\xc3';
	assert_int_equal(disk_open(b->s, b->dir, &back, &e), 0);
	assert_int_equal(disk_store(b->s, &d, &e), 0);
	forget(b);
	assert_int_equal(disk_open(b->s, b->dir, &back, &e), 0);
	assert_true(str_starts(back.pause_reason, "aaaaaaaaaa"));
	assert_true(back.term == d.term);

	memset(d.pause_reason, '\x01', SENTENCE_MAX - 1); /* the longest there is in JSON */
	assert_int_equal(disk_store(b->s, &d, &e), 0);
	forget(b);
	assert_int_equal(disk_open(b->s, b->dir, &back, &e), 0);
	assert_string_equal(back.pause_reason, d.pause_reason);
}

/* Of version 1: what it lacks is as it was on a node that knew no such thing. */
static void an_older_file_is_read(void **state)
{
	static const char text[] = WHOLE("\"7\"", "1", "0", "false", "false", "\"\"");
	struct core_disk want = { .term = 7, .voted = 1, .owner = 0 }, back = full_disk();
	struct bench *b = *state;
	struct err e = { "" };

	write_file(b->file, text, strlen(text));
	assert_int_equal(disk_open(b->s, b->dir, &back, &e), 0);
	assert_same(&back, &want);
}

/* The etcd's id; the file removed means that the next one is welcome, and one that nobody can read is no reason to lose the node. */
static void which_etcd_it_was(void **state)
{
	struct bench *b = *state;
	struct cli cli = { .state_dir = b->dir };
	auto_free char *path = str_printf("%s/arbiter-cluster", b->dir);
	struct err e = { "" };

	b->s->cli = &cli;
	assert_true(disk_cluster(b->s) == 0);
	assert_int_equal(disk_cluster_store(b->s, UINT64_MAX - 1, &e), 0);
	assert_true(disk_cluster(b->s) == UINT64_MAX - 1);
	write_file(path, "none", 4);
	assert_true(disk_cluster(b->s) == 0);
	unlink(path);
	assert_true(disk_cluster(b->s) == 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(damage_is_refused),
		TEST(any_cut_is_refused),
		TEST(a_file_too_long_is_refused),
		TEST(one_supervisor_a_directory),
		TEST(no_directory),
		TEST(unwritable_directory),
		TEST(full_disk_keeps_the_old_state),
		TEST(the_spare),
		TEST(first_start),
		TEST(every_member_comes_back),
		TEST(a_cut_character_is_stored),
		TEST(an_older_file_is_read),
		TEST(which_etcd_it_was),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
