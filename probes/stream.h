/* stream.h - a TCP connection to a numeric address on the loop: what tcp and redis share. */
#ifndef PROBES_STREAM_H
#define PROBES_STREAM_H

#include "probes/run.h"

#include <sys/socket.h>

struct stream {
	struct sockaddr_storage addr;
	socklen_t addr_len;
	int fd; /* -1 when closed */
	bool connected;
	struct watch *watch;
};

int stream_prepare(struct stream *s, const struct run *r, struct err *e);
/* Connects; fn (with r) runs with EPOLLOUT when it stands. Settles the run with the reason when it cannot. */
void stream_connect(struct stream *s, struct run *r, watch_fn *fn);
/* First thing in fn: true once connected; false when it has just settled the run, which must not be touched then. */
bool stream_ready(struct stream *s, struct run *r);
void stream_fault(struct run *r, int os_errno);
void stream_close(struct stream *s);
const char *stream_awaits(const struct stream *s);

#endif
