/* cmd_events.c - `hactl events`: the journal's lines, with or without a supervisor. Survives its rotation and truncation while it
 * follows, and lines that a power cut has torn. */
#include "hactl/cli/cli.h"
#include "hactl/control/peek.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LINE_LONGEST = 1024 * 1024, FOLLOW_SHOWS = 10, LOOK_MS = 500, COUNT_MAX = 1000000 };

/* --- one file, line by line --------------------------------------------------------------------------------------- */

struct tail {
	int fd;
	off_t at; /* bytes read so far */
	char *buf;
	size_t len, size;
};

typedef void line_fn(void *arg, const char *line, size_t len);

static int tail_open(struct tail *t, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	cleanup_close(&t->fd);
	t->fd = fd;
	t->at = 0;
	t->len = 0;
	return 0;
}

static void tail_close(struct tail *t)
{
	cleanup_close(&t->fd);
	free(t->buf);
}

/* Room for more, or the line so far is thrown away: no event is that long. */
static void tail_room(struct tail *t)
{
	if (t->len >= LINE_LONGEST)
		t->len = 0;
	if (t->size - t->len >= 4096)
		return;
	char *bigger = realloc(t->buf, t->size * 2 + 65536);
	if (!bigger)
		abort();
	t->size = t->size * 2 + 65536;
	t->buf = bigger;
}

/* All full lines there are now; what has no newline yet waits. */
static void tail_read(struct tail *t, line_fn *fn, void *arg)
{
	struct stat st;
	if (fstat(t->fd, &st) == 0 && st.st_size < t->at) { /* truncated: from the start, and the torn half is void */
		t->at = 0;
		t->len = 0;
	}
	for (;;) {
		tail_room(t);
		ssize_t n = pread(t->fd, t->buf + t->len, t->size - t->len, t->at);
		if (n <= 0)
			return;
		t->at += n;
		t->len += (size_t)n;
		char *from = t->buf, *stop = t->buf + t->len;
		for (char *end; (end = memchr(from, '\n', (size_t)(stop - from))); from = end + 1)
			if (end > from)
				fn(arg, from, (size_t)(end - from));
		t->len = (size_t)(stop - from);
		memmove(t->buf, from, t->len);
	}
}

/* --- what is shown ------------------------------------------------------------------------------------------------- */

struct show {
	bool json;
	size_t damaged;
	/* the last `most` lines of the history, until they are printed; most 0: every line at once */
	char **ring;
	size_t most, count;
};

static void print_event(const json_t *o)
{
	char at[32];
	STR_COPY(at, peek_text(o, "at", NULL));
	if (strlen(at) > 10 && at[10] == 'T')
		at[10] = ' ';
	struct page_text t = { 0 };
	text_add(&t, "%-24s  %-7s  %-10s  %s", at, peek_text(o, "level", NULL), peek_text(o, "kind", NULL),
		peek_text(o, "text", NULL));
	status_text_steps(&t, peek(o, "change", "steps"), "                            ");
	for (char *p = t.text; *p; p++) /* the terminal obeys nobody else's bytes */
		if (((unsigned char)*p < ' ' && *p != '\n') || *p == 0x7f)
			*p = '?';
	puts(t.text);
	free(t.text);
}

static void print_line(void *arg, const char *line, size_t len)
{
	struct show *s = arg;
	json_t *o = json_loadb(line, len, 0, NULL);
	if (!json_is_object(o))
		s->damaged++;
	else if (s->json)
		printf("%.*s\n", (int)len, line);
	else
		print_event(o);
	json_decref(o);
}

static void keep_line(void *arg, const char *line, size_t len)
{
	struct show *s = arg;
	if (!s->most) {
		print_line(s, line, len);
		return;
	}
	char **slot = &s->ring[s->count++ % s->most];
	free(*slot);
	*slot = strndup(line, len);
	if (!*slot)
		abort();
}

static void print_kept(struct show *s)
{
	size_t from = s->count > s->most ? s->count - s->most : 0;
	for (size_t i = from; s->most && i < s->count; i++) {
		char **slot = &s->ring[i % s->most];
		print_line(s, *slot, strlen(*slot));
		free(*slot);
		*slot = NULL;
	}
	free(s->ring);
	s->ring = NULL;
	s->most = 0;
	fflush(stdout);
}

/* --- following ------------------------------------------------------------------------------------------------------ */

static bool moved(const struct tail *t, const char *path)
{
	struct stat now, ours;
	if (stat(path, &now) < 0)
		return false; /* gone: the new one will come */
	return t->fd < 0 || fstat(t->fd, &ours) < 0 || now.st_ino != ours.st_ino || now.st_dev != ours.st_dev;
}

/* Until something happens in the directory; a look twice a second where inotify cannot be had. False: nobody reads any more. */
static bool wait_for_news(int notify_fd)
{
	char events[4096];
	struct pollfd p[] = { { .fd = notify_fd, .events = POLLIN }, { .fd = STDOUT_FILENO } };
	if (poll(p, ARRAY_LEN(p), LOOK_MS) <= 0)
		return true;
	while (notify_fd >= 0 && read(notify_fd, events, sizeof(events)) > 0)
		;
	return !(p[1].revents & (POLLERR | POLLHUP));
}

static int follow(struct tail *t, const char *dir, const char *path, struct show *s)
{
	auto_close int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (fd >= 0 && inotify_add_watch(fd, dir, IN_MODIFY | IN_CREATE | IN_MOVED_TO) < 0)
		cleanup_close(&fd);
	for (;;) {
		if (t->fd >= 0)
			tail_read(t, print_line, s);
		if (moved(t, path)) {
			if (t->fd >= 0)
				tail_read(t, print_line, s); /* what was written before it moved */
			if (tail_open(t, path) == 0)
				continue;
		}
		if (fflush(stdout) != 0 || !wait_for_news(fd))
			return EXIT_DONE;
	}
}

static int count_parse(const char *text, bool following, size_t *out)
{
	*out = following ? FOLLOW_SHOWS : 0;
	if (!text)
		return 0;
	char *end;
	errno = 0;
	long n = strtol(text, &end, 10);
	if (end == text || *end || errno || n < 1 || n > COUNT_MAX)
		return -1;
	*out = (size_t)n;
	return 0;
}

/* The present file is opened first: if it moves aside meanwhile, it is found again under its old name and read only once. */
static int history(struct tail *t, const char *path, struct show *s)
{
	auto_free char *old_path = str_printf("%s.1", path);
	struct tail old = { .fd = -1 };
	int r = tail_open(t, path), why = errno;
	bool older = tail_open(&old, old_path) == 0;
	if (older && moved(t, old_path))
		tail_read(&old, keep_line, s);
	tail_close(&old);
	if (r == 0)
		tail_read(t, keep_line, s);
	print_kept(s);
	errno = why;
	return r == 0 || older ? 0 : -1;
}

int cli_events(struct cli *c, int argc, char **argv)
{
	struct show s = { 0 };
	bool following = false;
	const char *count = NULL;
	const struct cli_option own[] = { { "json", 'j', NULL, &s.json }, { "lines", 'n', &count, NULL },
		{ "follow", 'f', NULL, &following }, { 0 } };
	if (cli_parse(c, &argc, argv, own) < 0)
		return EXIT_USAGE;
	if (argc > 1)
		return cli_usage(c, "events takes no %s", argv[1]);
	if (count_parse(count, following, &s.most) < 0)
		return cli_usage(c, "-n takes a number of lines from 1 to %d", COUNT_MAX);
	s.ring = s.most ? xcalloc(s.most, sizeof(*s.ring)) : NULL;

	auto_free char *path = str_printf("%s/events.jsonl", c->state_dir);
	struct tail t = { .fd = -1 };
	int r = EXIT_DONE;
	if (history(&t, path, &s) < 0 && !following) {
		fprintf(stderr, "hactl: cannot read the journal %s: %s\n", path, strerror(errno));
		r = EXIT_REFUSED;
	}
	if (following)
		r = follow(&t, c->state_dir, path, &s);
	if (s.damaged)
		fprintf(stderr, "hactl: %zu damaged lines in %s were left out\n", s.damaged, path);
	tail_close(&t);
	return r;
}
