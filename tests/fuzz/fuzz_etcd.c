/* fuzz_etcd.c - an answer from whoever sits behind the endpoint: refused with a sentence, or numbers that stand in their ranges.
 * The first byte chooses read, swap or token; a second pass puts the bytes where the entry's text would be.
 *
 *	clang -g -O1 -fsanitize=fuzzer,address,undefined -I. tests/fuzz/fuzz_etcd.c hactl/arbiter/etcd_json.c hactl/base/{text,types,clock,file}.c \
 *		-ljansson -lcrypto -lm
 */
#include "hactl/arbiter/etcd.h"

#include <openssl/evp.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look(const char *body, size_t len, bool cas)
{
	struct etcd_answer a = { .rev = -7 };
	struct err e = { "" };

	if (etcd_parse(body, len, cas, &a, &e) < 0) {
		if (e.text[0] == '\0' || a.rev != -7)
			abort();
		return;
	}
	if (a.rev < 0 || (unsigned)a.outcome > REG_UNKNOWN || (!cas && a.outcome != REG_OK))
		abort();
	if (a.rev == 0 || (cas && a.outcome == REG_OK))
		return;
	if (a.value.holder < 0 || a.value.holder >= NODES || a.value.mode > REG_SOLO || a.value.sync.standby < NOBODY ||
		a.value.sync.standby >= NODES)
		abort();
	free(etcd_cas_body("k", a.rev, &a.value));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char coded[64 * 1024], body[80 * 1024];
	char token[64];
	struct err e;
	int n;

	if (size == 0 || size > 32 * 1024)
		return 0;
	look((const char *)data + 1, size - 1, data[0] & 1);
	etcd_parse_token((const char *)data + 1, size - 1, token, sizeof token, &e);
	EVP_EncodeBlock((unsigned char *)coded, data + 1, (int)size - 1);
	n = snprintf(body, sizeof body,
		"{\"header\":{\"cluster_id\":\"1\",\"raft_term\":\"2\",\"revision\":\"3\"},\"kvs\":[{\"mod_revision\":"
		"\"3\",\"value\":\"%s\"}]}",
		coded);
	look(body, (size_t)n, false);
	return 0;
}
