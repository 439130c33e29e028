/* loop_private.h - what the files of this folder share about the loop. */
#ifndef HACTL_BASE_LOOP_PRIVATE_H
#define HACTL_BASE_LOOP_PRIVATE_H

#include "hactl/base/base.h"

struct web;

struct loop {
	struct sd_event *event;
	struct web *web; /* libcurl's multi handle and its sources; NULL until the first web_start */
};

void web_close(struct loop *l);

#endif
