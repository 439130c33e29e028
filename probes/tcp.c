/* tcp.c - does the port take a connection? A server stopped with its socket listening does: that is all tcp can say. */
#include "probes/stream.h"

static int tcp_prepare(struct run *r, struct err *e)
{
	return stream_prepare(r->kind, r, e);
}

static void on_tcp(void *arg, uint32_t events)
{
	struct run *r = arg;

	(void)events;
	if (stream_ready(r->kind, r))
		run_settle(r, true, PL_OK, "connected");
}

static void tcp_start(struct run *r)
{
	stream_connect(r->kind, r, on_tcp);
}

static void tcp_stop(struct run *r)
{
	stream_close(r->kind);
}

static void tcp_release(struct run *r)
{
	(void)r; /* stop has closed what there was */
}

static const char *tcp_awaits(const struct run *r)
{
	return stream_awaits(r->kind);
}

const struct run_ops run_tcp = {
	.size = sizeof(struct stream),
	.prepare = tcp_prepare,
	.start = tcp_start,
	.stop = tcp_stop,
	.release = tcp_release,
	.awaits = tcp_awaits,
};
