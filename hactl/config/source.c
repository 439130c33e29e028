/* source.c - the file's text before libconfig sees it: what libconfig 1.5 would change or follow without a word. */
#include "hactl/config/schema.h"

#include <ctype.h>

struct scan {
	const char *in;
	char *out;
	size_t at, len, used;
	int line;
	int open_text; /* line of the first text that does not end where it starts; 0 none */
};

static void copy(struct scan *s, size_t n)
{
	for (; n && s->at < s->len; n--) {
		s->line += s->in[s->at] == '\n';
		s->out[s->used++] = s->in[s->at++];
	}
}

static bool here(const struct scan *s, const char *text)
{
	return !strncmp(s->in + s->at, text, strlen(text)); /* in ends with a NUL */
}

static void copy_until(struct scan *s, const char *end)
{
	while (s->at < s->len && !here(s, end))
		copy(s, 1);
	copy(s, strlen(end));
}

static void copy_string(struct scan *s)
{
	int line = s->line;

	copy(s, 1);
	while (s->at < s->len && s->in[s->at] != '"')
		copy(s, s->in[s->at] == '\\' ? 2 : 1);
	copy(s, 1);
	if (s->line != line && !s->open_text)
		s->open_text = line;
}

static size_t run(const struct scan *s, const char *also)
{
	size_t n = 0;

	while (s->at + n < s->len && (isalnum((unsigned char)s->in[s->at + n]) || strchr(also, s->in[s->at + n])))
		n++;
	return n;
}

/* libconfig keeps a plain integer in an int: 4294967297 becomes 1. Marked with L it is kept whole, and the range check of its
 * key can name it. */
static void copy_number(struct scan *s)
{
	const char *text = s->in + s->at;
	bool hex = text[0] == '0' && (text[1] == 'x' || text[1] == 'X'), integer;
	size_t n = hex ? run(s, "") : strspn(text, "0123456789");
	unsigned long long value;
	char *end;

	integer = hex || !strchr(".eEL", text[n]) || !text[n];
	value = strtoull(text, &end, hex ? 16 : 10);
	if (!hex && !integer)
		n = run(s, ".");
	copy(s, n);
	if (integer && end == text + n && value > INT32_MAX)
		s->out[s->used++] = 'L';
}

char *source_prepare(const char *text, size_t len, struct mistakes *m, int *open_text)
{
	struct scan s = { .in = text, .out = xcalloc(2, len + 1), .len = len, .line = 1 };

	while (s.at < len) {
		unsigned char c = (unsigned char)text[s.at];

		if (c == '#' || here(&s, "//")) {
			copy_until(&s, "\n");
		} else if (here(&s, "/*")) {
			copy_until(&s, "*/");
		} else if (c == '"') {
			copy_string(&s);
		} else if (isalpha(c) || c == '*' || c == '_') {
			copy(&s, run(&s, "-_*"));
		} else if (isdigit(c)) {
			copy_number(&s);
		} else if (c == '@') {
			mistake_add(m, s.line,
				"@include is not followed: hactl.conf is one file, the same on both nodes; copy the "
				"included lines here");
			s.out[s.used++] = '#';
			s.at++;
		} else {
			copy(&s, 1);
		}
	}
	*open_text = s.open_text;
	return s.out;
}
