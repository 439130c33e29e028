/* broken.c - linked into a hactl whose core is built with CORE_BROKEN: the safety rule that $HACTL_BREAK names is taken away, to see that
 * the chaos checker would notice. Never in a product build.
 */
#include "hactl/core/inside.h"

#include <stdlib.h>
#include <unistd.h>

struct core_rules core_broken;

static const struct {
	const char *name;
	bool *rule;
} rules[] = {
	{ "half_promise", &core_broken.half_promise },
	{ "boot_bid", &core_broken.boot_bid },
	{ "keep_sync", &core_broken.keep_sync },
	{ "sync_off_first", &core_broken.sync_off_first },
};

__attribute__((constructor)) static void break_rule(void)
{
	const char *name = getenv("HACTL_BREAK");
	bool known = !name;

	for (size_t i = 0; name && i < ARRAY_LEN(rules); i++)
		if (!strcmp(name, rules[i].name))
			known = *rules[i].rule = true;
	if (!known) {
		fprintf(stderr, "HACTL_BREAK=%s is no rule that can be taken away here\n", name);
		_exit(2);
	}
}
