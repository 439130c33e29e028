/* fuzz_grpc.c - a gRPC health answer from anybody: judged without reading a byte too far, the same by both functions, with a
 * sentence for every refusal; and what we ask with any name is a frame that says its own length.
 *
 *	clang -std=gnu11 -g -O1 -D_GNU_SOURCE -fsanitize=fuzzer,address,undefined -I. tests/fuzz/fuzz_grpc.c probes/grpc_frame.c \
 *		hactl/base/text.c hactl/base/types.c
 */
#include "probes/grpc_frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void ask(const uint8_t *data, size_t size)
{
	char name[160] = "";
	uint8_t out[160];
	int n;

	memcpy(name, data, size < sizeof(name) - 1 ? size : sizeof(name) - 1);
	n = grpc_health_request(name, out, sizeof(out));
	if ((n < 0) != (strlen(name) > 127))
		abort();
	/* request and answer share the frame: our own, read back, is a message without a status */
	if (n > 0 && grpc_health_status(out, (size_t)n, NULL) > 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err e = { "" };
	int64_t status = grpc_health_status(data, size, &e);

	if ((status < 0) != (e.text[0] != '\0'))
		abort();
	if ((grpc_health_parse(data, size, NULL) == 0) != (status == GRPC_HEALTH_SERVING))
		abort();
	if (!grpc_health_name(status)[0])
		abort();
	ask(data, size);
	return 0;
}
