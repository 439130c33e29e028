/* journal.c - the history as JSON lines, appended; and the log. A full or broken disk costs lines, never anything else. */
#include "hactl/control/control.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { JOURNAL_MAX = 8 * 1024 * 1024 };

struct journal {
	char *path, *old_path;
	char node[NAME_MAX_LEN];
	int fd;
	bool torn;    /* the last byte in the file is not a newline: begin with one */
	bool failing; /* said already */
};

static const char *level_name(enum log_level level)
{
	static const char *const names[] = { [LOG_LVL_ERROR] = "error",
		[LOG_LVL_WARN] = "warning",
		[LOG_LVL_NOTICE] = "notice",
		[LOG_LVL_INFO] = "info",
		[LOG_LVL_DEBUG] = "debug" };
	return (size_t)level < ARRAY_LEN(names) && names[level] ? names[level] : "notice";
}

static int file_open(struct journal *j, struct err *e)
{
	int fd = open(j->path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
	if (fd < 0)
		return err_set(e, "cannot open the journal %s: %s", j->path, strerror(errno));
	struct stat st;
	char last = '\n';
	if (fstat(fd, &st) == 0 && st.st_size > 0 && pread(fd, &last, 1, st.st_size - 1) != 1)
		last = 0;
	cleanup_close(&j->fd);
	j->fd = fd;
	j->torn = last != '\n';
	return 0;
}

struct journal *journal_open(const char *dir, const char *node, struct err *e)
{
	struct journal *j = xcalloc(1, sizeof(*j));
	j->fd = -1;
	j->path = str_printf("%s/events.jsonl", dir);
	j->old_path = str_printf("%s/events.jsonl.1", dir);
	STR_COPY(j->node, node);
	if (file_open(j, e) == 0)
		return j;
	journal_close(j);
	return NULL;
}

void journal_close(struct journal *j)
{
	if (!j)
		return;
	cleanup_close(&j->fd);
	free(j->path);
	free(j->old_path);
	free(j);
}

/* Full: the file moves aside. Gone (somebody removed it): a new one. */
static int file_ready(struct journal *j, size_t more, struct err *e)
{
	struct stat st;
	if (fstat(j->fd, &st) < 0)
		return err_set(e, "%s: %s", j->path, strerror(errno));
	bool full = st.st_size > 0 && st.st_size + (off_t)more > JOURNAL_MAX;
	if (st.st_nlink > 0 && !full)
		return 0;
	if (st.st_nlink > 0 && rename(j->path, j->old_path) < 0)
		return err_set(e, "cannot move %s aside: %s", j->path, strerror(errno));
	return file_open(j, e);
}

static int line_write(struct journal *j, const char *line, size_t len, struct err *e)
{
	if (file_ready(j, len, e) < 0)
		return -1;
	auto_free char *whole = str_printf("%s%s\n", j->torn ? "\n" : "", line);
	size_t want = strlen(whole);
	ssize_t n = write(j->fd, whole, want);
	if (n < 0)
		return err_set(e, "cannot write the journal %s: %s", j->path, strerror(errno));
	if ((size_t)n == want) {
		j->torn = false;
		return 0;
	}
	j->torn = n > 0 ? whole[n - 1] != '\n' : j->torn;
	return err_set(e, "cannot write the journal %s: no space for a whole line", j->path);
}

static char *line_make(
	const struct journal *j, enum log_level level, const char *kind, json_t *fields, const char *text)
{
	char at[32], clean[1024];
	wall_text(wall_us(), at);
	json_t *shown = json_string(text);
	if (!shown) { /* not UTF-8 */
		str_escape(text, strlen(text), clean, sizeof(clean));
		shown = json_string(clean);
	}
	json_t *o = json_pack("{s:s, s:I, s:s, s:s, s:s, s:o}", "at", at, "mono_us", (json_int_t)now_us(), "node",
		j->node, "level", level_name(level), "kind", kind, "text", shown);
	if (o && fields)
		json_object_update_missing(o, fields);
	char *line = o ? json_dumps(o, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
	json_decref(o);
	return line;
}

void journal_add(struct journal *j, enum log_level level, const char *kind, json_t *fields, const char *fmt, ...)
{
	char text[1024];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	log_at(level, "%s", text);

	auto_free char *line = j ? line_make(j, level, kind, fields, text) : NULL;
	json_decref(fields);
	if (!line)
		return;
	struct err e;
	int r = line_write(j, line, strlen(line), &e);
	if (r < 0 && !j->failing)
		log_warn("%s; events go to the log only until it can be written again", e.text);
	j->failing = r < 0;
}
