/* unix_socket.c - opening Unix sockets. */
#include "hactl/control/unix_socket.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

static int address_make(const char *path, struct sockaddr_un *a, struct err *e)
{
	*a = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (STR_COPY(a->sun_path, path))
		return 0;
	errno = ENAMETOOLONG;
	return err_set(e, "the socket's path is longer than %zu bytes: %s", sizeof(a->sun_path) - 1, path);
}

int unix_connect(const char *path, us_t timeout, struct err *e)
{
	struct sockaddr_un a;
	if (address_make(path, &a, e) < 0)
		return -1;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | (timeout ? 0 : SOCK_NONBLOCK), 0);
	if (fd < 0)
		return err_set(e, "cannot make a socket: %s", strerror(errno));
	/* unix(7): connect to a full queue waits as long as the send time-out says */
	struct timeval tv = { .tv_sec = timeout / US_PER_SEC, .tv_usec = timeout % US_PER_SEC };
	if (timeout && setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)) < 0)
		goto failed;
	if (connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0)
		return fd;
failed:;
	int why = errno;
	close(fd);
	errno = why;
	return err_set(e, "%s: %s", path, strerror(why));
}

int unix_listen(const char *path, mode_t mode, struct err *e)
{
	struct sockaddr_un a;
	if (address_make(path, &a, e) < 0)
		return -1;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_set(e, "cannot make a socket: %s", strerror(errno));
	/* Linux gives the file the socket's own mode less the umask: too narrow for a moment, never too wide */
	if (fchmod(fd, mode) == 0 && bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0 && chmod(path, mode) == 0 &&
		listen(fd, 64) == 0)
		return fd;
	err_set(e, "cannot listen on %s: %s", path, strerror(errno));
	close(fd);
	return -1;
}
