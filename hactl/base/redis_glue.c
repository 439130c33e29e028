/* redis_glue.c - hiredis's asynchronous context on the loop: the adapter that 0.14 lacks for sd-event. */
#include "hactl/base/base.h"

#include <hiredis/async.h>
#include <sys/epoll.h>

struct glue {
	struct redisAsyncContext *ac;
	struct loop *loop;
	struct watch *watch;
	uint32_t wish;
	bool dispatching,
		dead; /* a handler may free the context: the glue then outlives it until the handler returns */
};

static void on_ready(void *arg, uint32_t events)
{
	struct glue *g = arg;

	g->dispatching = true;
	if (events & (EPOLLIN | EPOLLERR | EPOLLHUP))
		redisAsyncHandleRead(g->ac);
	if (!g->dead && (events & EPOLLOUT))
		redisAsyncHandleWrite(g->ac);
	g->dispatching = false;
	if (g->dead)
		free(g);
}

static void set_wish(struct glue *g, uint32_t wish)
{
	if (g->wish == wish)
		return;
	g->wish = wish;
	if (g->watch)
		watch_set(g->watch, wish);
	else
		g->watch = watch_new(g->loop, g->ac->c.fd, wish, on_ready, g);
}

static void add_read(void *p)
{
	struct glue *g = p;

	set_wish(g, g->wish | EPOLLIN);
}

static void del_read(void *p)
{
	struct glue *g = p;

	set_wish(g, g->wish & ~(uint32_t)EPOLLIN);
}

static void add_write(void *p)
{
	struct glue *g = p;

	set_wish(g, g->wish | EPOLLOUT);
}

static void del_write(void *p)
{
	struct glue *g = p;

	set_wish(g, g->wish & ~(uint32_t)EPOLLOUT);
}

static void cleanup(void *p)
{
	struct glue *g = p;

	watch_free(g->watch);
	g->watch = NULL;
	g->dead = true;
	if (!g->dispatching)
		free(g);
}

int redis_attach(struct loop *l, struct redisAsyncContext *ac)
{
	struct glue *g;

	if (ac->ev.data)
		return -1;
	g = xcalloc(1, sizeof(*g));
	g->ac = ac;
	g->loop = l;
	ac->ev.data = g;
	ac->ev.addRead = add_read;
	ac->ev.delRead = del_read;
	ac->ev.addWrite = add_write;
	ac->ev.delWrite = del_write;
	ac->ev.cleanup = cleanup;
	return 0;
}
