/* page.c - the file between the supervisor and the guard. */
#include "hactl/guard/guard.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { BODY = 40, COPIES = 2, READS = 64 };
enum side { SUPERVISOR, GUARD, SIDES };

struct head {
	char magic[8];
	uint32_t version, size;
	char boot[40]; /* the kernel's boot id: moments of another boot mean nothing */
	uint64_t sum;
};

struct copy {	      /* a cache line */
	uint64_t seq; /* 0: never written */
	unsigned char body[BODY];
	uint64_t sum;
	uint64_t spare;
};

struct page {
	struct head head;
	struct copy copy[SIDES][COPIES];
};

_Static_assert(sizeof(struct head) == 64 && sizeof(struct copy) == 64, "the layout is part of the version");
_Static_assert(sizeof(struct deadline) == BODY, "the supervisor's record fills its body");
_Static_assert(sizeof(struct guard_beat) <= BODY, "the guard's record fits its body");

struct deadline_file {
	char *path;
	struct page *page;
	dev_t dev;
	ino_t ino;
};

static const char magic[8] = "hactlDL";

const char *const guard_doing_names[GUARD_DOING_COUNT] = {
	[GUARD_WATCHES] = "watches", [GUARD_FREEZES] = "freezes", [GUARD_FROZE] = "frozen"
};

static uint64_t fnv(const void *p, size_t n)
{
	const unsigned char *b = p;
	uint64_t h = 14695981039346656037ull;

	for (size_t i = 0; i < n; i++)
		h = (h ^ b[i]) * 1099511628211ull;
	return h;
}

static uint64_t head_sum(const struct head *h)
{
	return fnv(h, offsetof(struct head, sum));
}

static uint64_t copy_sum(const struct copy *c)
{
	return fnv(c, offsetof(struct copy, sum));
}

static bool head_ours(const struct head *h)
{
	return !memcmp(h->magic, magic, sizeof(magic)) && h->version == DEADLINE_VERSION &&
	       h->size == sizeof(struct page) && h->sum == head_sum(h);
}

/* --- opening -------------------------------------------------------------------------------------------------------------- */

static void this_boot(char out[40])
{
	auto_free char *id = NULL;

	memset(out, 0, 40);
	if (file_read("/proc/sys/kernel/random/boot_id", 256, &id, NULL, NULL))
		return;
	id[strcspn(id, "\n")] = '\0';
	str_copy(out, 40, id);
}

/* In place and under the lock: whoever has it mapped sees the change, nobody is left with a file that has no name. Never made shorter:
 * that would kill who reads it. */
static int start_afresh(int fd, const char *boot, const struct stat *st, const char *path, struct err *e)
{
	struct page fresh = { .head = { .version = DEADLINE_VERSION, .size = sizeof(fresh) } };

	memcpy(fresh.head.magic, magic, sizeof(magic));
	memcpy(fresh.head.boot, boot, sizeof(fresh.head.boot));
	fresh.head.sum = head_sum(&fresh.head);
	if (st->st_size < (off_t)sizeof(fresh) && ftruncate(fd, sizeof(fresh)))
		return err_set(e, "%s cannot be given its size: %s", path, strerror(errno));
	if (pwrite(fd, &fresh, sizeof(fresh), 0) != (ssize_t)sizeof(fresh))
		return err_set(e, "%s cannot be written: %s", path, strerror(errno));
	return 0;
}

/* fd is locked. 0: the file's header is ours and of this boot. */
static int make_ours(int fd, const char *path, bool renew, struct stat *st, struct err *e)
{
	struct head h = { 0 };
	char boot[40];
	ssize_t got = pread(fd, &h, sizeof(h), 0);

	this_boot(boot);
	if (fstat(fd, st) || !S_ISREG(st->st_mode))
		return err_set(e, "%s is no regular file: remove it", path);
	if (got == (ssize_t)sizeof(h) && head_ours(&h) && st->st_size >= (off_t)sizeof(struct page) &&
		!memcmp(h.boot, boot, sizeof(boot)))
		return 0;
	if (!renew && st->st_size && !head_ours(&h)) {
		errno = EPROTO;
		return err_set(e,
			"%s is no deadline file of this version: restart hactl and hactl-guard so that both are the "
			"same",
			path);
	}
	return start_afresh(fd, boot, st, path, e);
}

/* The other side holds it for microseconds; one that was stopped while it held it must not stop us. */
static int lock(int fd)
{
	const struct timespec ms = { 0, 1000000 };

	for (int i = 0; i < 20; i++) {
		if (!flock(fd, LOCK_EX | LOCK_NB))
			return 0;
		nanosleep(&ms, NULL);
	}
	return -1;
}

struct deadline_file *deadline_open(const char *path, bool renew, struct err *e)
{
	auto_close int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
	struct deadline_file *f;
	struct stat st;
	void *page;

	if (fd < 0 || lock(fd)) {
		err_set(e, "%s cannot be opened: %s", path, strerror(errno));
		return NULL;
	}
	errno = 0;
	if (make_ours(fd, path, renew, &st, e)) {
		int why = errno;

		flock(fd, LOCK_UN);
		errno = why;
		return NULL;
	}
	page = mmap(NULL, sizeof(struct page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	flock(fd, LOCK_UN); /* a mapping would keep the lock beyond close */
	if (page == MAP_FAILED) {
		err_set(e, "%s cannot be mapped: %s", path, strerror(errno));
		return NULL;
	}
	f = xcalloc(1, sizeof(*f));
	*f = (struct deadline_file){ .path = xstrdup(path), .page = page, .dev = st.st_dev, .ino = st.st_ino };
	return f;
}

void deadline_close(struct deadline_file *f)
{
	if (!f)
		return;
	munmap(f->page, sizeof(*f->page));
	free(f->path);
	free(f);
}

static bool foreign(const struct deadline_file *f)
{
	struct head h;

	memcpy(&h, f->page, sizeof(h));
	return !head_ours(&h);
}

bool deadline_lost(const struct deadline_file *f)
{
	struct stat st;

	return stat(f->path, &st) || st.st_dev != f->dev || st.st_ino != f->ino || foreign(f);
}

/* --- records ------------------------------------------------------------------------------------------------------------------ */

static bool whole(const struct copy *from, struct copy *out)
{
	memcpy(out, from, sizeof(*out));
	atomic_thread_fence(memory_order_acquire);
	return !out->seq || out->sum == copy_sum(out);
}

/* The newest whole copy. While one is being written the other is whole; a reader overtaken twice looks again. */
static bool hear(const struct deadline_file *f, enum side side, void *body, size_t n)
{
	for (int i = 0; i < READS; i++) {
		const struct copy *at = f->page->copy[side];
		struct copy a, b;
		bool got_a = whole(&at[0], &a), got_b = whole(&at[1], &b);
		const struct copy *best = !got_a ? &b : !got_b || a.seq >= b.seq ? &a : &b;

		if (foreign(f))
			return false;
		if (!got_a && !got_b)
			continue;
		if (best->seq)
			memcpy(body, best->body, n);
		else if (got_a && got_b)
			memset(body, 0, n);
		else
			continue; /* the very first record is being written, or was torn: there is none that counts */
		return true;
	}
	return false;
}

static void say(struct deadline_file *f, enum side side, const void *body, size_t n)
{
	struct copy *at = f->page->copy[side], fresh = { 0 }, old[COPIES];
	bool got[COPIES] = { whole(&at[0], &old[0]), whole(&at[1], &old[1]) };
	int last = !got[0] ? 1 : !got[1] || old[0].seq >= old[1].seq ? 0 : 1;

	fresh.seq = (got[last] ? old[last].seq : 0) + 1;
	memcpy(fresh.body, body, n);
	fresh.sum = copy_sum(&fresh);
	memcpy(&at[1 - last], &fresh, sizeof(fresh));
	atomic_thread_fence(memory_order_release);
}

void deadline_say(struct deadline_file *f, const struct deadline *d)
{
	say(f, SUPERVISOR, d, sizeof(*d));
}

void guard_say(struct deadline_file *f, const struct guard_beat *b)
{
	say(f, GUARD, b, sizeof(*b));
}

bool deadline_hear(const struct deadline_file *f, struct deadline *out)
{
	return hear(f, SUPERVISOR, out, sizeof(*out));
}

bool guard_hear(const struct deadline_file *f, struct guard_beat *out)
{
	return hear(f, GUARD, out, sizeof(*out));
}

void deadline_path(const struct cli *c, char out[512])
{
	const char *slash = strrchr(c->socket, '/');

	if (c->deadline)
		str_copy(out, 512, c->deadline);
	else
		snprintf(out, 512, "%.*sdeadline", slash ? (int)(slash - c->socket) + 1 : 0, c->socket);
}
