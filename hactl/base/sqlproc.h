/* sqlproc.h - what the two sides of a MySQL helper say to each other, and the one way to connect. For sqlproc.c, sqlproc_child.c and
 * routines that need a second connection; everybody else uses base.h.
 *
 * One SOCK_SEQPACKET message = one struct sqlproc_head followed by its body. Both ends are the same binary, so the struct goes as it is.
 */
#ifndef HACTL_BASE_SQLPROC_H
#define HACTL_BASE_SQLPROC_H

#include "hactl/base/base.h"

enum {
	SQLPROC_FD = 3,		       /* the helper's end of the pair */
	SQLPROC_BODY_MAX = 128 * 1024, /* below the kernel's default send buffer (208 KiB), which bounds a message */
};

enum sqlproc_kind {
	SQLPROC_HELLO, /* parent, first: body = struct sql_target (the password goes here, never by argv or environment) */
	SQLPROC_CALL,  /* parent: name, deadline; body = args */
	SQLPROC_REPLY, /* helper: serial of the call, status, code, text; body = what the routine printed */
	SQLPROC_GONE,  /* helper: the idle connection ended */
};

struct sqlproc_head {
	uint32_t kind;	 /* enum sqlproc_kind */
	uint32_t serial; /* of the call */
	int32_t status;	 /* enum sql_status */
	int32_t code;
	int64_t deadline; /* CALL: moment on CLOCK_BOOTTIME (one host, one clock) at which the parent kills the helper */
	char name[48];
	char text[512];
};

/* Connects by the library, blocking. TLS as t says: verified or refused. Returns a MYSQL * for mysql_close, or NULL with *status, *code and
 * text filled. timeout bounds the TCP connect in whole seconds only; the caller's real deadline is the helper's. */
void *sqlproc_connect(const struct sql_target *t, us_t timeout, enum sql_status *status, int *code, char text[512]);

#endif
