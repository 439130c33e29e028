/* fuzz_wire.c - a datagram from anybody: decode must refuse or give a message whose strings end and whose numbers stand
 * in their enums. The fuzzer cannot guess the code, so a second pass signs its bytes and lets them reach the fields.
 *
 *	clang -g -O1 -fsanitize=fuzzer,address,undefined -I. tests/fuzz/fuzz_wire.c hactl/wire/wire.c -lcrypto
 */
#include "hactl/wire/wire.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look(const struct wire_key *k, const uint8_t *packet, size_t len)
{
	uint8_t again[WIRE_MAX];
	struct msg m, twin;
	int n;

	if (wire_decode(k, packet, len, &m) != WIRE_OK)
		return;
	if (strnlen(m.note, sizeof(m.note)) == sizeof(m.note) || strnlen(m.gtid, sizeof(m.gtid)) == sizeof(m.gtid))
		abort();
	if (m.kind >= MSG_KIND_COUNT || m.role >= ROLE_COUNT || m.from < 0 || m.from >= NODES)
		abort();
	n = wire_encode(k, &m, again);
	if (n < 0 || wire_decode(k, again, (size_t)n, &twin) != WIRE_OK || memcmp(&m, &twin, sizeof(m)) != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum { HEAD = 22, MAC = 32 };
	static const uint8_t raw[WIRE_KEY] = { 1, 2, 3 };
	uint8_t packet[WIRE_MAX] = "HACT";
	struct wire_key k;
	size_t n = 0;

	wire_key_make(&k, raw, "fuzz");
	look(&k, data, size);

	if (size < 1 || size > WIRE_MAX - HEAD - MAC)
		return 0;
	packet[4] = WIRE_MAJOR;
	packet[5] = data[0] & 1;
	memcpy(packet + 6, k.cluster, sizeof(k.cluster));
	memcpy(packet + HEAD, data + 1, size - 1);
	EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, k.key, WIRE_KEY, packet, HEAD + size - 1,
		packet + HEAD + size - 1, MAC, &n);
	look(&k, packet, HEAD + size - 1 + MAC);
	return 0;
}
