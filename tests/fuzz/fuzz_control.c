/* libFuzzer: a request from the socket. What is taken must come out complete and taken again unchanged.
 * clang -std=gnu11 -g -O1 -fsanitize=fuzzer,address,undefined -D_GNU_SOURCE -I. tests/fuzz/fuzz_control.c hactl/control/request.c
 *   hactl/base/text.c hactl/base/types.c -ljansson (and the include paths of the Makefile) */
#include "hactl/control/control.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err e = { "" };
	json_t *once = control_parse((const char *)data, size, &e);
	if (!once) {
		if (!*e.text)
			abort(); /* refused without a sentence */
		return 0;
	}
	char *text = json_dumps(once, JSON_COMPACT);
	json_t *twice = text ? control_parse(text, strlen(text), &e) : NULL;
	/* defaults and escapes may make it longer than a line may be */
	if (text && strlen(text) <= CONTROL_LINE_MAX && (!twice || !json_equal(once, twice)))
		abort();
	free(text);
	json_decref(once);
	json_decref(twice);
	return 0;
}
