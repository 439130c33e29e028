/* peek.c - forgiving reads of JSON, and text that grows. */
#include "hactl/control/peek.h"

const json_t *peek(const json_t *o, const char *key, const char *sub)
{
	const json_t *v = json_object_get(o, key);
	return sub ? json_object_get(v, sub) : v;
}

bool peek_true(const json_t *o, const char *key, const char *sub)
{
	return json_is_true(peek(o, key, sub));
}

const char *peek_text(const json_t *o, const char *key, const char *sub)
{
	const char *s = json_string_value(peek(o, key, sub));
	return s ? s : "unknown";
}

void text_put(struct page_text *t, const char *bytes, size_t n)
{
	if (t->size - t->len < n + 1) {
		size_t size = (t->len + n + 1) * 2 + 1024;
		char *grown = realloc(t->text, size);
		if (!grown)
			abort();
		t->text = grown;
		t->size = size;
	}
	memcpy(t->text + t->len, bytes, n);
	t->len += n;
	t->text[t->len] = 0;
}

void text_add(struct page_text *t, const char *fmt, ...)
{
	va_list ap;
	char *s;
	va_start(ap, fmt);
	int n = vasprintf(&s, fmt, ap);
	va_end(ap);
	if (n < 0)
		abort();
	text_put(t, s, (size_t)n);
	free(s);
}
