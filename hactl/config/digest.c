/* digest.c - 64 bits over every value that both nodes must agree on.
 *
 * HMAC-SHA256 under the cluster key, cut to 64 bits: heartbeats are not encrypted, and a plain hash over a file that is known
 * but for a weak password would let a listener try passwords at home. The dump is of values, not of text: comments, order of
 * keys and defaults that are written out do not change it. What schema.c marks local is left out. Each section has a digest of
 * its own beside it (32 bits), so that a mismatch can be named.
 */
#include "hactl/config/schema.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

static void dump_group(FILE *f, const struct draft *d, const struct schema *sc, const void *base);

static void dump_secret(FILE *f, const struct draft *d, const char *secret)
{
	unsigned char mac[EVP_MAX_MD_SIZE];
	unsigned int n = 0;

	HMAC(EVP_sha256(), d->conf.key, sizeof(d->conf.key), (const unsigned char *)secret, strlen(secret), mac, &n);
	for (unsigned i = 0; i < n; i++)
		fprintf(f, "%02x", mac[i]);
}

static void dump_value(FILE *f, const struct draft *d, const struct key *k, enum kind kind, const void *at)
{
	switch (kind) {
	case KIND_BOOL:
		fprintf(f, "%d", k->size ? *(const bool *)at : 0);
		break;
	case KIND_INT:
	case KIND_NODE:
	case KIND_PROBE:
		fprintf(f, "%d", *(const int *)at);
		break;
	case KIND_DURATION:
		fprintf(f, "%lld", (long long)*(const us_t *)at);
		break;
	case KIND_WORD:
		if (k->size == sizeof(int)) {
			fputs(k->words[*(const int *)at], f);
			break;
		}
		fputs(at, f);
		break;
	case KIND_SECRET:
		dump_secret(f, d, at);
		break;
	case KIND_CIDR:
		fprintf(f, "%s/%d", (const char *)at,
			((const struct conf_vip *)(const void *)((const char *)at - offsetof(struct conf_vip, address)))
				->prefix_len);
		break;
	default:
		fputs(at, f);
	}
}

static bool plain(const struct key *k)
{
	return k->kind != KIND_GROUP && k->kind != KIND_GROUPS && k->kind != KIND_VALUES && k->kind != KIND_LINKS;
}

/* Nothing, zero, the first word: left out, so that a later version's further keys change nothing as long as nobody writes them. Two nodes of
 * neighbouring versions form a pair. */
static bool blank(const struct key *k, const char *at)
{
	bool number = k->kind == KIND_INT || k->kind == KIND_NODE || k->kind == KIND_PROBE ||
		      (k->kind == KIND_WORD && k->size == sizeof(int));

	if (k->kind == KIND_BOOL)
		return !k->size || !*(const bool *)at;
	if (k->kind == KIND_DURATION)
		return !*(const us_t *)(const void *)at;
	return number ? !*(const int *)(const void *)at : !*at;
}

static void dump_key(FILE *f, const struct draft *d, const struct key *k, const void *base)
{
	const char *at = (const char *)base + k->offset;
	int n = k->counted ? *(const int *)(const void *)((const char *)base + k->count) : (int)k->max;

	if (plain(k) && blank(k, at))
		return;
	fprintf(f, "%s=", k->name);
	if (k->kind == KIND_GROUP) {
		if (k->marked)
			fprintf(f, "%d", *(const bool *)(const void *)((const char *)base + k->present));
		dump_group(f, d, k->group, at);
	} else if (k->kind == KIND_GROUPS) {
		for (int i = 0; i < n; i++)
			dump_group(f, d, k->group, at + (size_t)i * k->size);
	} else if (k->kind == KIND_VALUES) {
		for (int i = 0; i < n; i++, fputc(',', f))
			dump_value(f, d, k, k->item, at + (size_t)i * k->size);
	} else if (k->kind == KIND_LINKS) {
		for (int i = 0; i < n * NODES; i++, fputc(',', f))
			fputs(at + (size_t)i * k->size / NODES, f);
	} else {
		dump_value(f, d, k, k->kind, at);
	}
	fputc('\n', f);
}

static void dump_group(FILE *f, const struct draft *d, const struct schema *sc, const void *base)
{
	fputs("{\n", f);
	for (size_t i = 0; i < sc->n; i++)
		if (!sc->keys[i].local)
			dump_key(f, d, &sc->keys[i], base);
	fputs("}", f);
}

/* One dump signed; whole: the file, else the values of one key of it. */
static uint64_t sign(const struct draft *d, const struct key *only)
{
	auto_free char *dump = NULL;
	unsigned char mac[EVP_MAX_MD_SIZE] = { 0 };
	unsigned int n = 0;
	uint64_t digest = 0;
	size_t len = 0;
	FILE *f = open_memstream(&dump, &len);

	if (!f)
		abort();
	fprintf(f, "hactl 1 %s\n",
		!only || str_eq(only->name, conf_section_names[SECTION_AUTHORITY])
			? conf_authority_names[d->conf.authority]
			: "");
	if (only)
		dump_key(f, d, only, d);
	else
		dump_group(f, d, &schema_file, d);
	if (fclose(f))
		abort();
	HMAC(EVP_sha256(), d->conf.key, sizeof(d->conf.key), (const unsigned char *)dump, len, mac, &n);
	for (int i = 0; i < 8; i++)
		digest = digest << 8 | mac[i];
	return digest;
}

uint64_t draft_digest(const struct draft *d)
{
	return sign(d, NULL);
}

uint32_t draft_section(const struct draft *d, enum conf_section section)
{
	for (size_t i = 0; i < schema_file.n; i++) {
		uint32_t digest;

		if (!str_eq(schema_file.keys[i].name, conf_section_names[section]))
			continue;
		digest = (uint32_t)sign(d, &schema_file.keys[i]);
		return digest ? digest : 1;
	}
	return 0;
}
