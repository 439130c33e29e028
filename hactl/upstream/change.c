/* change.c - files swapped in by rename, tested by the proxy, reloaded once, put back when either fails.
 *
 * Beside NAME stand, while a change is under way, .NAME.hactl-new (before the rename) and .NAME.hactl-old (after it: a second link to
 * the very file that was there, so that putting it back restores owner, mode and everything else). A leading dot keeps both out of
 * the proxy's `include *`.
 */
#include "hactl/upstream/change.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum { FILE_MAX = 4 * 1024 * 1024, FILES = 32 };

#define SYNC_TIMEOUT	(10 * US_PER_SEC)
#define COMMAND_TIMEOUT (15 * US_PER_SEC) /* nginx -t resolves names and may wait for them */

enum phase { PHASE_SYNC, PHASE_TEST, PHASE_RELOAD, PHASE_RELOAD_OLD };

struct change_file {
	char *path, *fresh, *old;
	struct stat before, after; /* as read; as put in place */
	bool in_place, adopted;
};

struct change {
	struct loop *loop;
	char *test, *reload;
	struct change_file file[FILES];
	int n;
	enum phase phase;
	struct proc *proc;
	struct timer *soon; /* an outcome known at once is told from the loop all the same */
	enum change_outcome outcome;
	char why[SENTENCE_MAX];
	change_fn *fn;
	void *arg;
};

/* --- files --------------------------------------------------------------------------------------------------------------- */

static char *beside(const char *path, const char *suffix)
{
	const char *slash = strrchr(path, '/');

	return str_printf("%.*s.%s.hactl-%s", (int)(slash + 1 - path), path, slash + 1, suffix);
}

int disk_read(const char *path, struct disk_file *f, struct err *e)
{
	struct disk_file r;

	if (!realpath(path, r.path))
		return err_set(e, "%s: %s", path, strerror(errno));
	if (stat(r.path, &r.st) < 0)
		return err_set(e, "%s: %s", r.path, strerror(errno));
	if (!S_ISREG(r.st.st_mode))
		return err_set(e, "%s is not a file", r.path);
	if (file_read(r.path, FILE_MAX, &r.text, &r.len, e) < 0)
		return -1;
	*f = r;
	return 0;
}

bool disk_same(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

bool disk_unfinished(const char *path)
{
	char real[PATH_MAX];

	if (!realpath(path, real))
		return false;
	auto_free char *old = beside(real, "old");
	return access(old, F_OK) == 0;
}

static int write_all(int fd, const char *text, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, text, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		text += n;
		len -= (size_t)n;
	}
	return 0;
}

/* The new content beside the old, with the old one's owner and mode. */
static int write_fresh(const struct change_file *f, const char *text, size_t len, struct err *e)
{
	unlink(f->fresh);
	auto_close int fd = open(f->fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return err_set(e, "%s: %s", f->fresh, strerror(errno));
	if (fchown(fd, f->before.st_uid, f->before.st_gid) < 0 || fchmod(fd, f->before.st_mode & 07777) < 0 ||
		write_all(fd, text, len) < 0) {
		err_set(e, "%s: %s", f->fresh, strerror(errno));
		unlink(f->fresh);
		return -1;
	}
	return 0;
}

static enum change_outcome restore_one(struct change_file *f)
{
	struct stat now;

	if (!f->adopted)
		unlink(f->fresh);
	if (!f->in_place)
		return CHANGE_FAILED;
	f->in_place = false;
	if (stat(f->path, &now) == 0 && !disk_same(&now, &f->after)) {
		unlink(f->old); /* somebody has written to it since: theirs stands */
		return CHANGE_LEFT;
	}
	return rename(f->old, f->path) == 0 ? CHANGE_FAILED : CHANGE_LEFT;
}

static enum change_outcome restore(struct change *c)
{
	enum change_outcome r = CHANGE_FAILED;

	for (int i = c->n - 1; i >= 0; i--)
		if (restore_one(&c->file[i]) == CHANGE_LEFT)
			r = CHANGE_LEFT;
	return r;
}

static enum change_outcome put_one(struct change *c, struct change_file *f)
{
	struct stat now;

	if (stat(f->path, &now) < 0 || !disk_same(&now, &f->before))
		return CHANGE_MOVED;
	unlink(f->old);
	if (link(f->path, f->old) < 0) {
		snprintf(c->why, sizeof c->why, "%s: %s", f->old, strerror(errno));
		return CHANGE_FAILED;
	}
	if (rename(f->fresh, f->path) < 0) {
		snprintf(c->why, sizeof c->why, "%s: %s", f->path, strerror(errno));
		unlink(f->old);
		return CHANGE_FAILED;
	}
	f->in_place = true;
	return stat(f->path, &f->after) == 0 ? CHANGE_OK : CHANGE_FAILED;
}

static enum change_outcome put_in_place(struct change *c)
{
	enum change_outcome r = CHANGE_OK;

	for (int i = 0; i < c->n && r == CHANGE_OK; i++)
		if (!c->file[i].adopted)
			r = put_one(c, &c->file[i]);
	if (r != CHANGE_OK && restore(c) == CHANGE_LEFT)
		r = CHANGE_LEFT;
	return r;
}

/* --- life ------------------------------------------------------------------------------------------------------------------ */

static void on_soon(void *arg, us_t now);

struct change *change_new(struct loop *l, const char *test, const char *reload)
{
	struct change *c = xcalloc(1, sizeof(*c));

	c->loop = l;
	c->test = xstrdup(test);
	c->reload = xstrdup(reload);
	c->soon = timer_new(l, on_soon, c);
	return c;
}

static void change_drop(struct change *c)
{
	proc_cancel(c->proc);
	timer_free(c->soon);
	for (int i = 0; i < c->n; i++) {
		free(c->file[i].path);
		free(c->file[i].fresh);
		free(c->file[i].old);
	}
	free(c->test);
	free(c->reload);
	free(c);
}

void change_free(struct change *c)
{
	if (!c)
		return;
	if (c->phase < PHASE_RELOAD)
		restore(c);
	change_drop(c);
}

int change_add(struct change *c, const struct disk_file *f, const char *text, size_t len, struct err *e)
{
	struct change_file n = { .before = f->st, .after = f->st, .adopted = !text };

	if (c->n == FILES)
		return err_set(e, "more than %d files in one change", FILES);
	n.path = xstrdup(f->path);
	n.fresh = beside(f->path, "new");
	n.old = beside(f->path, "old");
	c->file[c->n++] = n;
	return text ? write_fresh(&n, text, len, e) : 0;
}

/* --- steps ------------------------------------------------------------------------------------------------------------------ */

static void on_step(void *arg, const struct proc_result *r);

static void finish(struct change *c, enum change_outcome outcome)
{
	change_fn *fn = c->fn;
	void *arg = c->arg;
	char why[SENTENCE_MAX];

	STR_COPY(why, c->why);
	for (int i = 0; i < c->n && outcome == CHANGE_OK; i++)
		unlink(c->file[i].old);
	change_drop(c);
	fn(arg, outcome, why);
}

static void on_soon(void *arg, us_t now)
{
	struct change *c = arg;
	(void)now;

	finish(c, c->outcome);
}

static void finish_soon(struct change *c, enum change_outcome outcome)
{
	c->outcome = outcome;
	timer_in(c->soon, 0);
}

static void step(struct change *c, enum phase phase, const char *command)
{
	static const struct proc_result nothing = { .status = 0 };
	struct err e;

	c->phase = phase;
	if (*command == '\0') {
		on_step(c, &nothing);
		return;
	}
	c->proc = proc_start(
		c->loop, command, NULL, NULL, phase == PHASE_SYNC ? SYNC_TIMEOUT : COMMAND_TIMEOUT, on_step, c, &e);
	if (!c->proc) {
		struct proc_result failed = { .status = -1 };

		STR_COPY(failed.output, e.text);
		on_step(c, &failed);
	}
}

/* One line of a command's output: nginx puts warnings before the line that counts. */
static void say_failed(struct change *c, const char *command, const struct proc_result *r)
{
	const char *line = strstr(r->output, "[emerg]");
	char shown[160];
	char *end;

	STR_COPY(shown, line ? line : r->output);
	end = strstr(shown, "\\x0a");
	if (end)
		*end = '\0';
	if (r->timed_out)
		snprintf(c->why, sizeof c->why, "\"%.60s\" did not end in time", command);
	else
		snprintf(c->why, sizeof c->why, "\"%.60s\" failed (%d): %s", command, r->status, shown);
}

/* Puts back what was there. What was adopted has nothing older to go back to. */
static void step_failed(struct change *c, const char *command, const struct proc_result *r)
{
	bool reached = c->phase == PHASE_RELOAD;

	say_failed(c, command, r);
	c->outcome = restore(c);
	if (reached)
		step(c, PHASE_RELOAD_OLD, c->reload);
	else
		finish_soon(c, c->outcome);
}

static void on_step(void *arg, const struct proc_result *r)
{
	struct change *c = arg;
	bool good = r->status == 0 && !r->timed_out;
	enum change_outcome put;

	c->proc = NULL;
	switch (c->phase) {
	case PHASE_SYNC: /* its failure only means that a power cut now would matter */
		put = put_in_place(c);
		if (put != CHANGE_OK)
			finish_soon(c, put);
		else
			step(c, PHASE_TEST, c->test);
		break;
	case PHASE_TEST:
		if (good)
			step(c, PHASE_RELOAD, c->reload);
		else
			step_failed(c, c->test, r);
		break;
	case PHASE_RELOAD:
		if (good)
			finish_soon(c, CHANGE_OK);
		else
			step_failed(c, c->reload, r);
		break;
	case PHASE_RELOAD_OLD:
		finish_soon(c, c->outcome);
		break;
	}
}

static void add_quoted(char *out, size_t size, size_t *len, const char *word)
{
	str_add(out, size, len, " '");
	for (; *word; word++)
		str_add(out, size, len, *word == '\'' ? "'\\''" : "%c", *word);
	str_add(out, size, len, "'");
}

void change_run(struct change *c, change_fn *fn, void *arg)
{
	size_t size = 16, len = 0;

	c->fn = fn;
	c->arg = arg;
	for (int i = 0; i < c->n; i++)
		size += strlen(c->file[i].fresh) * 4 + 4;
	auto_free char *command = xcalloc(1, size);
	for (int i = 0; i < c->n; i++) {
		if (c->file[i].adopted)
			continue;
		if (len == 0)
			str_add(command, size, &len, "sync --");
		add_quoted(command, size, &len, c->file[i].fresh);
	}
	step(c, PHASE_SYNC, command); /* without a fresh file: "" */
}
