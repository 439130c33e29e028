/* types.c - name tables of the shared plain types, and err_set. Pure. */
#include "hactl/base/types.h"

#include <stdarg.h>
#include <stdio.h>

const char *const role_names[ROLE_COUNT] = {
	[ROLE_STARTING] = "starting",
	[ROLE_STANDBY] = "standby",
	[ROLE_PROMOTING] = "promoting",
	[ROLE_PRIMARY] = "primary",
	[ROLE_DEMOTING] = "demoting",
	[ROLE_QUARANTINED] = "quarantined",
};
_Static_assert(ARRAY_LEN(role_names) == ROLE_COUNT, "every role has its name");

const char *const msg_kind_names[MSG_KIND_COUNT] = {
	[MSG_BEAT] = "beat",
	[MSG_RENEW] = "renew",
	[MSG_PROMISE] = "promise",
	[MSG_HIGHER] = "higher",
	[MSG_RELEASED] = "released",
	[MSG_CLAIM] = "claim",
	[MSG_VOTE] = "vote",
};
_Static_assert(ARRAY_LEN(msg_kind_names) == MSG_KIND_COUNT, "every kind of message has its name");

const char *const conf_section_names[SECTION_COUNT] = {
	[SECTION_NODES] = "nodes",
	[SECTION_HEARTBEAT] = "heartbeat",
	[SECTION_AUTHORITY] = "authority",
	[SECTION_VIPS] = "vips",
	[SECTION_MYSQL] = "mysql",
	[SECTION_REDIS] = "redis",
	[SECTION_PROBES] = "probes",
	[SECTION_UPSTREAMS] = "upstreams",
};
_Static_assert(ARRAY_LEN(conf_section_names) <= MSG_SECTIONS, "every section has its place in a message");

int err_set(struct err *e, const char *fmt, ...)
{
	va_list ap;

	if (!e)
		return -1;
	va_start(ap, fmt);
	vsnprintf(e->text, sizeof(e->text), fmt, ap);
	va_end(ap);
	return -1;
}
