/* peek.h - reading a status document that may come from another version: what is missing is "unknown", never a crash. Private to
 * hactl/control and hactl/cli.
 */
#ifndef HACTL_CONTROL_PEEK_H
#define HACTL_CONTROL_PEEK_H

#include "hactl/base/base.h"
#include <jansson.h>

/* o[key], or o[key][sub] unless sub is NULL; NULL when it is not there. Borrowed. */
const json_t *peek(const json_t *o, const char *key, const char *sub);
bool peek_true(const json_t *o, const char *key, const char *sub);
const char *peek_text(const json_t *o, const char *key, const char *sub); /* "unknown" unless a string */

/* Text that grows; abort without memory. Start with a zeroed one; the caller frees text. */
struct page_text {
	char *text;
	size_t len, size;
};
void text_add(struct page_text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void text_put(struct page_text *t, const char *bytes, size_t n);
/* A change's steps, a line each, every line beginning with a newline and indent. */
void status_text_steps(struct page_text *t, const json_t *steps, const char *indent);

#endif
