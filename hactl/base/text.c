/* text.c - strings and memory. */
#include "hactl/base/base.h"

#include <unistd.h>

void cleanup_free(void *p)
{
	free(*(void **)p);
}

void cleanup_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

void cleanup_file(FILE **f)
{
	if (*f)
		fclose(*f);
}

bool str_copy(char *dst, size_t size, const char *src)
{
	size_t n = strlen(src), keep = n < size ? n : size - 1;

	memmove(dst, src, keep);
	dst[keep] = '\0';
	return keep == n;
}

bool str_eq(const char *a, const char *b)
{
	return a == b || (a && b && !strcmp(a, b));
}

bool str_starts(const char *s, const char *prefix)
{
	return !strncmp(s, prefix, strlen(prefix));
}

char *str_printf(const char *fmt, ...)
{
	va_list ap;
	char *s;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&s, fmt, ap);
	va_end(ap);
	if (n < 0)
		abort();
	return s;
}

bool str_add(char *buf, size_t size, size_t *len, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(buf + *len, size - *len, fmt, ap);
	va_end(ap);
	if (n < 0)
		return false;
	if ((size_t)n >= size - *len) {
		*len = size - 1;
		return false;
	}
	*len += (size_t)n;
	return true;
}

void str_escape(const char *src, size_t n, char *dst, size_t size)
{
	size_t len = 0;

	if (size)
		dst[0] = '\0';
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)src[i];

		if (c >= 0x20 && c < 0x7f ? !str_add(dst, size, &len, "%c", c)
					  : !str_add(dst, size, &len, "\\x%02x", c))
			return;
	}
}

void *xcalloc(size_t n, size_t size)
{
	void *p = calloc(n, size);

	if (!p)
		abort();
	return p;
}

char *xstrdup(const char *s)
{
	char *p = strdup(s);

	if (!p)
		abort();
	return p;
}
