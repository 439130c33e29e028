/* guard.h - the second dead man's switch, for writers that reach a database by another way than the virtual IP.
 *
 * The supervisor and the guard share nothing but one small file in the runtime directory, mapped by both. In it the supervisor
 * writes until when writes may be open, the guard that it lives. When the deadline passes and was neither moved nor withdrawn,
 * the guard freezes this node's databases. One writer a record, one supervisor and one guard a node.
 *
 * The file: a header, then two copies of each side's record, written in turn, each with a number that rises and a checksum. A
 * reader takes the newest copy that is whole, so a record torn by a write under way, or by a writer killed in the middle of one, is
 * never taken for one that was written. A file of another boot is started afresh. Layout and meaning change with `version`.
 */
#ifndef HACTL_GUARD_GUARD_H
#define HACTL_GUARD_GUARD_H

#include "hactl/cli/cli.h"

enum { DEADLINE_VERSION = 1 };

/* What the supervisor says. Moments on CLOCK_BOOTTIME. A zeroed one is what stands before the first lease. */
struct deadline {
	uint32_t open;	      /* 0: none; every database here is frozen and verified, or never was ours to open */
	uint32_t maintenance; /* paused on both nodes: nobody takes over, so a dead supervisor is no reason to freeze */
	us_t until;	      /* writes may be open until then */
	us_t alive_at;	      /* when this was written */
	uint64_t incarnation;
	int64_t pid;
};

enum guard_doing { GUARD_WATCHES, GUARD_FREEZES, GUARD_FROZE, GUARD_DOING_COUNT };
extern const char *const guard_doing_names[GUARD_DOING_COUNT];

/* What the guard says. pid 0: none has run since the boot, or it was told to end (alive_at tells which). */
struct guard_beat {
	us_t alive_at; /* 0: no guard since the boot */
	int64_t pid;
	uint64_t doing; /* enum guard_doing */
};
#define GUARD_LOST_AFTER (3 * US_PER_SEC) /* a guard that has not written for so long does not live */

struct deadline_file;
/* Opens or makes the file. renew: one of another version or content is started afresh; otherwise it is an error, errno EPROTO. */
struct deadline_file *deadline_open(const char *path, bool renew, struct err *e);
void deadline_close(struct deadline_file *f);
/* The path no longer names this file, or its header is another's: open it again. What is mapped still tells what was said last. */
bool deadline_lost(const struct deadline_file *f);

void deadline_say(struct deadline_file *f, const struct deadline *d);
void guard_say(struct deadline_file *f, const struct guard_beat *b);
/* False: foreign header, or no whole copy at the moment; *out is then untouched. A record never written reads as zeros. */
bool deadline_hear(const struct deadline_file *f, struct deadline *out);
bool guard_hear(const struct deadline_file *f, struct guard_beat *out);

/* c->deadline, or "deadline" beside the supervisor's socket. */
void deadline_path(const struct cli *c, char out[512]);

cli_fn guard_run; /* `hactl guard` */

#endif
