/* fuzz_nginx.c - any bytes as a configuration file: the rewriter refuses them, or what it writes reads back as what was wanted, a second
 * pass changes nothing, and going back to what stood gives a file that reads as before.
 *
 *	clang -g -O1 -fsanitize=fuzzer,address,undefined -I. tests/fuzz/fuzz_nginx.c hactl/upstream/nginx.c hactl/base/{text,types,clock,file}.c -lm
 */
#include "hactl/upstream/upstream.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void same(const struct server_want *a, const struct server_want *b)
{
	for (int i = 0; i < 2; i++)
		if (a[i].weight != b[i].weight || a[i].backup != b[i].backup || a[i].down != b[i].down)
			abort();
}

static char *must(const char *text, size_t len, const struct conf_upstream *u, const struct server_want *want,
	size_t *out_len, bool *changed)
{
	struct server_want now[2];
	struct err e;
	char *out;

	if (nginx_rewrite(text, len, u, want, &out, out_len, changed, &e) < 0 ||
		nginx_read(out, *out_len, u, now, &e) < 0)
		abort();
	same(now, want);
	return out;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct conf_upstream u = {
		.name = "w", .file = "f", .n_servers = 2, .servers = { { .address = "A:1" }, { .address = "B:1" } }
	};
	struct server_want was[2], want[2];
	const char *text = (const char *)data + 1;
	size_t len = size - 1, len1, len2, len3;
	bool changed;
	struct err e;
	char *out;

	if (size == 0 || nginx_read(text, len, &u, was, &e) < 0)
		return 0;
	for (int i = 0; i < 2; i++)
		want[i] = (struct server_want){ 1 + (data[0] >> (4 * i) & 3), data[0] >> (4 * i) & 4,
			data[0] >> (4 * i) & 8 };
	if (nginx_rewrite(text, len, &u, want, &out, &len1, &changed, &e) < 0)
		return 0; /* a method that allows no backup */
	free(out);
	char *one = must(text, len, &u, want, &len1, &changed);
	char *two = must(one, len1, &u, want, &len2, &changed);
	if (changed || len1 != len2 || memcmp(one, two, len1) != 0)
		abort();
	if (nginx_rewrite(text, len, &u, was, &out, &len3, &changed, &e) == 0) { /* what stood was itself allowed */
		free(out);
		free(must(one, len1, &u, was, &len3, &changed));
	}
	free(one);
	free(two);
	return 0;
}
