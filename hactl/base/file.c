/* file.c - whole files: read, replace so that it survives a power cut, read a secret. */
#include "hactl/base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <sys/stat.h>
#include <unistd.h>

static int read_all(int fd, const char *path, size_t max, char **out, size_t *len, struct err *e)
{
	size_t cap = 4096, n = 0;
	char *buf = xcalloc(1, cap + 1);

	for (;;) {
		ssize_t got = read(fd, buf + n, cap - n);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0) {
			err_set(e, "%s: cannot be read: %s", path, strerror(errno));
			free(buf);
			return -1;
		}
		if (got == 0)
			break;
		n += (size_t)got;
		if (n > max) {
			err_set(e, "%s: longer than %zu bytes", path, max);
			free(buf);
			return -1;
		}
		if (n == cap) {
			cap *= 2;
			buf = realloc(buf, cap + 1);
			if (!buf)
				abort();
		}
	}
	buf[n] = '\0';
	*out = buf;
	if (len)
		*len = n;
	return 0;
}

int file_read(const char *path, size_t max, char **out, size_t *len, struct err *e)
{
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return err_set(e, "%s: cannot be opened: %s", path, strerror(errno));
	return read_all(fd, path, max, out, len, e);
}

static int write_all(int fd, const void *data, size_t len)
{
	const char *p = data;

	while (len) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

static int sync_folder(const char *path)
{
	auto_free char *copy = xstrdup(path);
	auto_close int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? -1 : fsync(fd);
}

int file_replace(const char *path, const void *data, size_t len, mode_t mode, struct err *e)
{
	auto_free char *tmp = str_printf("%s.new", path);
	auto_close int fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);

	if (fd < 0)
		return err_set(e, "%s: cannot be written: %s", tmp, strerror(errno));
	if (write_all(fd, data, len) || fchmod(fd, mode) || fsync(fd)) {
		err_set(e, "%s: cannot be written: %s", tmp, strerror(errno));
		unlink(tmp);
		return -1;
	}
	if (rename(tmp, path) || sync_folder(path)) {
		err_set(e, "%s: cannot be replaced: %s", path, strerror(errno));
		unlink(tmp);
		return -1;
	}
	return 0;
}

char *file_spare(const char *path)
{
	return str_printf("%s.new", path);
}

/* fdatasync leaves out what nobody needs to read the data: an inode that is neither new nor longer is not written. */
static int write_over(int fd, const void *data, size_t len, mode_t mode)
{
	struct stat st;
	bool same;

	if (fstat(fd, &st))
		return -1;
	same = st.st_size == (off_t)len && (st.st_mode & 07777) == mode;
	if (write_all(fd, data, len))
		return -1;
	if (same)
		return fdatasync(fd);
	return ftruncate(fd, (off_t)len) || fchmod(fd, mode) || fsync(fd) ? -1 : 0;
}

/* ENOENT: there is none yet. EINVAL, ENOSYS: a file system, or a kernel, that cannot. */
static int exchange(const char *tmp, const char *path)
{
	if (!renameat2(AT_FDCWD, tmp, AT_FDCWD, path, RENAME_EXCHANGE))
		return 0;
	return errno == ENOENT || errno == EINVAL || errno == ENOSYS ? rename(tmp, path) : -1;
}

/* A spare whose exchange may not have reached the disk is never written over: after a power cut it may be the file. */
int file_exchange(const char *path, const void *data, size_t len, mode_t mode, struct err *e)
{
	auto_free char *tmp = file_spare(path);
	auto_close int fd = open(tmp, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, mode);

	if (fd < 0)
		return err_set(e, "%s: cannot be written: %s", tmp, strerror(errno));
	if (write_over(fd, data, len, mode)) {
		err_set(e, "%s: cannot be written: %s", tmp, strerror(errno));
		unlink(tmp);
		return -1;
	}
	if (exchange(tmp, path) || sync_folder(path)) {
		err_set(e, "%s: cannot be replaced: %s", path, strerror(errno));
		unlink(tmp);
		return -1;
	}
	return 0;
}

int secret_read(const char *path, char *out, size_t size, struct err *e)
{
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	auto_free char *text = NULL;
	struct stat st;
	size_t len;

	if (fd < 0)
		return err_set(e, "%s: cannot be opened: %s", path, strerror(errno));
	if (fstat(fd, &st) || !S_ISREG(st.st_mode))
		return err_set(e, "%s: is not a regular file", path);
	if (st.st_mode & 077)
		return err_set(e, "%s: mode %04o lets others read a secret; run: chmod 0600 %s", path,
			st.st_mode & 07777u, path);
	if (read_all(fd, path, 64 * 1024, &text, &len, e))
		return -1;
	while (len && (text[len - 1] == '\n' || text[len - 1] == '\r'))
		text[--len] = '\0';
	if (!len)
		return err_set(e, "%s: is empty", path);
	if (strlen(text) != len || strchr(text, '\n'))
		return err_set(e, "%s: must hold one line of text", path);
	if (len >= size)
		return err_set(e, "%s: longer than %zu characters", path, size - 1);
	memcpy(out, text, len + 1);
	explicit_bzero(text, len);
	return 0;
}
