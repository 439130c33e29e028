/* change.h - inside upstream's room: new contents of one or more files, put in place together, tested, reloaded, or taken back.
 *
 * Nothing here waits in the loop: flushing to disk, test and reload are child processes. */
#ifndef HACTL_UPSTREAM_CHANGE_H
#define HACTL_UPSTREAM_CHANGE_H

#include "hactl/base/base.h"

#include <limits.h>
#include <sys/stat.h>

/* A file as it was read. */
struct disk_file {
	char path[PATH_MAX]; /* links followed: what is replaced is the file, never a link to it */
	struct stat st;
	char *text; /* caller frees */
	size_t len;
};
int disk_read(const char *path, struct disk_file *f, struct err *e);
bool disk_same(const struct stat *a, const struct stat *b); /* same file, not written to since */
/* A change of this file was cut off by the end of the process that made it: what the proxy runs is not known. */
bool disk_unfinished(const char *path);

struct change;
enum change_outcome {
	CHANGE_OK,
	CHANGE_MOVED,  /* somebody else wrote to a file meanwhile; nothing was touched. Read again */
	CHANGE_FAILED, /* everything is as it was; why says it */
	CHANGE_LEFT /* failed, and a file could not be put back or carries what somebody else wrote meanwhile: not loaded */
};
typedef void change_fn(void *arg, enum change_outcome outcome, const char *why);

struct change *change_new(struct loop *l, const char *test, const char *reload); /* "" leaves that step out */
/* Copies what it needs of f. text NULL: the file as it stands is to be tested and loaded (after disk_unfinished). */
int change_add(struct change *c, const struct disk_file *f, const char *text, size_t len, struct err *e);
void change_run(struct change *c, change_fn *fn, void *arg); /* fn once, from the loop; c is freed before */
/* Before the reload everything is put back; from then on the next start finishes it (disk_unfinished). */
void change_free(struct change *c);

#endif
