/* witness.c - what the world around says, without an arbiter. */
#include "hactl/supervisor/private.h"

/* The core asks nothing yet. */
void witness_ask(struct sup *s, const struct core_action *a)
{
	(void)s;
	(void)a;
}
