/* witness.h - what the world around a node answers at this moment: ICMP echo, and TCP ports that take a connection.
 *
 * Knows nothing of roles and draws no conclusion: it sends, and reports what came back for what it sent. Waiting, repeating and giving up
 * are the caller's. Sources: RFC 792, RFC 4443 section 4 (echo), RFC 1122 section 3.2.2.6 (an answer comes from the address that was asked).
 */
#ifndef HACTL_WITNESS_WITNESS_H
#define HACTL_WITNESS_WITNESS_H

#include "hactl/base/base.h"

/* --- one address, asked by echo requests ------------------------------------------------------------------------------------- */
/* The payload is random and new with every echo_new, so that no answer to an earlier question, and none made up by a stranger who
 * does not see the request, counts. Raw sockets: CAP_NET_RAW. */
struct echo;
typedef void echo_fn(void *arg, const char *address); /* it answered; called at most once, never from inside a call */
struct echo *echo_new(struct loop *l, const char *address, echo_fn *fn, void *arg, struct err *e);
void echo_send(struct echo *x); /* one request; may be repeated. What cannot be sent is as good as lost */
void echo_free(struct echo *x);

/* --- one TCP port ----------------------------------------------------------------------------------------------------------------- */
struct knock;
typedef void knock_fn(void *arg, const char *address, int port); /* the port is open; called at most once, never from inside a call */
struct knock *knock_new(struct loop *l, const char *address, int port, knock_fn *fn, void *arg, struct err *e);
void knock_again(struct knock *k); /* one attempt to connect, in place of one that is still unanswered; nothing is sent once connected */
void knock_free(struct knock *k);

#endif
