/* haproxy.h - inside upstream's room: HAProxy's runtime socket.
 *
 * HAProxy cannot turn a server into a `backup` while it runs, so active-backup is done with weights here: who serves has its
 * weight, who waits has weight 0 (no new traffic, its own checks go on), who is unhealthy has weight 0 and is in maintenance (no
 * traffic at all, not even to those with its cookie). When all who should serve are unhealthy, those who wait serve.
 * A server in maintenance with a weight above 0 was put there by an operator: it is left alone, and said.
 */
#ifndef HACTL_UPSTREAM_HAPROXY_H
#define HACTL_UPSTREAM_HAPROXY_H

#include "hactl/upstream/upstream.h"

struct haproxy_server {
	int weight;	   /* 0..256, as it runs */
	bool maint, drain; /* forced by somebody */
};
enum { HAPROXY_COMMAND = 192, HAPROXY_COMMANDS = CONF_MAX_SERVERS * 2 };

/* Pure. Answer of `show servers state BACKEND`; -1 with a sentence when a server is missing or the answer is an error. */
int haproxy_parse(const char *text, const struct conf_upstream *u, struct haproxy_server *now, struct err *e);
void haproxy_now(const struct conf_upstream *u, const struct haproxy_server *server, struct server_want *now);
/* The commands that turn `now` into `want`, none when it is so already. *foreign: index of a server left alone, or -1. */
size_t haproxy_commands(const struct conf_upstream *u, const struct haproxy_server *now, const struct server_want *want,
	char out[HAPROXY_COMMANDS][HAPROXY_COMMAND], int *foreign);

/* One command on a connection of its own: HAProxy closes it behind the answer. */
struct haproxy_call;
typedef void haproxy_fn(void *arg, const char *answer, const char *error); /* one of the two; once, from the loop */
struct haproxy_call *haproxy_ask(struct loop *l, const char *socket, const char *command, haproxy_fn *fn, void *arg);
void haproxy_cancel(struct haproxy_call *c); /* NULL allowed */

#endif
