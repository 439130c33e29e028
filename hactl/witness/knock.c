/* knock.c - does a TCP port take a connection? Nothing is sent over it. */
#include "hactl/witness/witness.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

struct knock {
	struct loop *loop;
	struct sockaddr_storage to;
	socklen_t to_len;
	int fd;
	struct watch *watch;
	char address[64];
	int port;
	bool open;
	knock_fn *fn;
	void *arg;
};

static void hang_up(struct knock *k)
{
	watch_free(k->watch);
	k->watch = NULL;
	cleanup_close(&k->fd);
	k->fd = -1;
}

static void on_settled(void *arg, uint32_t events)
{
	struct knock *k = arg;
	int error = 0;
	socklen_t len = sizeof(error);

	(void)events;
	if (getsockopt(k->fd, SOL_SOCKET, SO_ERROR, &error, &len) || error) {
		hang_up(k);
		return;
	}
	hang_up(k);
	k->open = true;
	k->fn(k->arg, k->address, k->port); /* may free k */
}

struct knock *knock_new(struct loop *l, const char *address, int port, knock_fn *fn, void *arg, struct err *e)
{
	struct knock *k = xcalloc(1, sizeof(*k));

	*k = (struct knock){ .loop = l, .fd = -1, .port = port, .fn = fn, .arg = arg };
	STR_COPY(k->address, address);
	if (sockaddr_make(address, port, &k->to, &k->to_len, e) == 0)
		return k;
	knock_free(k);
	return NULL;
}

void knock_again(struct knock *k)
{
	if (k->open)
		return;
	hang_up(k);
	k->fd = socket(k->to.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (k->fd < 0)
		return;
	/* one that connects at once is writable at once: the loop tells, not this call */
	if (connect(k->fd, (struct sockaddr *)&k->to, k->to_len) && errno != EINPROGRESS)
		hang_up(k);
	else
		k->watch = watch_new(k->loop, k->fd, EPOLLOUT, on_settled, k);
}

void knock_free(struct knock *k)
{
	if (!k)
		return;
	hang_up(k);
	free(k);
}
