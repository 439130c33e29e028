/* witness.c - a node without an arbiter asks the world around it: a reference address, and whatever shows the other in service.
 */
#include "hactl/core/inside.h"

/* Nothing asks yet, so no answer belongs to a question. */
void on_witness(struct core *c, const struct core_event *ev)
{
	(void)c;
	(void)ev;
}
