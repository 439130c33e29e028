/* etcd_json.c - the pure half: what goes to etcd's JSON gateway and what comes back.
 *
 * The gateway is protobuf's JSON mapping (measured against 3.4.23, FACTS.md): bytes are padded base64, 64-bit integers are
 * strings, fields that are zero are left out, and unknown fields are ignored with 200 - so a misspelt name here would not
 * be refused, it would compare with zero. tests/unit/test_arbiter_etcd.c holds every name against the real server.
 */
#include "hactl/arbiter/etcd.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <openssl/evp.h>

enum { VALUE_VERSION = 1, BASE64_INPUT_MAX = 48 * 1024 };

static const char *const mode_names[] = { [REG_PEER] = "peer", [REG_SOLO] = "solo" };

/* --- base64 ------------------------------------------------------------------------------------------------------ */

static char *base64(const char *text)
{
	size_t n = strlen(text);
	char *out = xcalloc(1, 4 * ((n + 2) / 3) + 1);

	EVP_EncodeBlock((unsigned char *)out, (const unsigned char *)text, (int)n);
	return out;
}

/* Caller frees; NULL when it is not padded base64. The result is terminated; *len does not count the NUL. */
static char *unbase64(const char *text, size_t *len)
{
	size_t n = strlen(text), pad = 0;
	char *out;

	if (n % 4 != 0 || n > BASE64_INPUT_MAX)
		return NULL;
	while (pad < 2 && pad < n && text[n - 1 - pad] == '=')
		pad++;
	out = xcalloc(1, n / 4 * 3 + 1);
	if (n != 0 && EVP_DecodeBlock((unsigned char *)out, (const unsigned char *)text, (int)n) != (int)(n / 4 * 3)) {
		free(out);
		return NULL;
	}
	*len = n / 4 * 3 - pad;
	out[*len] = '\0';
	return out;
}

/* --- numbers as strings ------------------------------------------------------------------------------------------ */

static json_t *number_text(uint64_t v)
{
	return json_sprintf("%" PRIu64, v);
}

/* Digits only: strtoull alone would take "-1" and " 7" and call them numbers. */
static bool read_u64(const json_t *j, uint64_t *out)
{
	const char *s = json_string_value(j);
	char *end;
	uint64_t v;

	if (!s || *s < '0' || *s > '9')
		return false;
	errno = 0;
	v = strtoull(s, &end, 10);
	if (errno != 0 || *end != '\0')
		return false;
	*out = v;
	return true;
}

static bool read_i64(const json_t *j, int64_t *out)
{
	const char *s = json_string_value(j);
	char *end;
	int64_t v;

	if (!s || !((*s >= '0' && *s <= '9') || (*s == '-' && s[1] >= '0' && s[1] <= '9')))
		return false;
	errno = 0;
	v = strtoll(s, &end, 10);
	if (errno != 0 || *end != '\0')
		return false;
	*out = v;
	return true;
}

static bool read_int(const json_t *j, int low, int high, int *out)
{
	if (!json_is_integer(j) || json_integer_value(j) < low || json_integer_value(j) > high)
		return false;
	*out = (int)json_integer_value(j);
	return true;
}

/* --- the entry --------------------------------------------------------------------------------------------------- */

static char *value_text(const struct reg_value *v)
{
	json_t *sync = json_pack("{s:b, s:i, s:o, s:o, s:o}", "in_sync", (int)v->sync.in_sync, "standby",
		(int)v->sync.standby, "boot", number_text(v->sync.boot), "db_start",
		json_sprintf("%" PRId64, v->sync.db_start), "seq", number_text(v->sync.seq));
	json_t *all = json_pack("{s:i, s:i, s:s, s:o, s:o, s:o}", "version", VALUE_VERSION, "holder", (int)v->holder,
		"mode", mode_names[v->mode == REG_SOLO ? REG_SOLO : REG_PEER], "term", number_text(v->term), "nonce",
		number_text(v->nonce), "sync", sync);
	char *text = all ? json_dumps(all, JSON_COMPACT) : NULL;

	json_decref(all);
	if (!text)
		abort(); /* only without memory: every argument above is of our making */
	return text;
}

static bool read_mode(const json_t *j, uint8_t *out)
{
	for (size_t i = 0; i < ARRAY_LEN(mode_names); i++) {
		if (json_is_string(j) && strcmp(json_string_value(j), mode_names[i]) == 0) {
			*out = (uint8_t)i;
			return true;
		}
	}
	return false;
}

static bool read_sync(const json_t *j, struct sync_record *out)
{
	int standby = NOBODY;

	if (!json_is_boolean(json_object_get(j, "in_sync")) ||
		!read_int(json_object_get(j, "standby"), NOBODY, NODES - 1, &standby) ||
		!read_u64(json_object_get(j, "boot"), &out->boot) ||
		!read_i64(json_object_get(j, "db_start"), &out->db_start) ||
		!read_u64(json_object_get(j, "seq"), &out->seq))
		return false;
	out->in_sync = json_is_true(json_object_get(j, "in_sync"));
	out->standby = (int8_t)standby;
	return true;
}

static int parse_value(const char *text, size_t len, struct reg_value *out, struct err *e)
{
	struct reg_value v = { 0 };
	json_t *j = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
	int version = 0, holder = 0;
	bool good;

	if (json_is_object(j) && read_int(json_object_get(j, "version"), 0, INT32_MAX, &version) &&
		version != VALUE_VERSION) {
		json_decref(j);
		return err_set(e,
			"the arbiter's entry has version %d and this hactl knows only %d: run the same hactl on both "
			"nodes",
			version, VALUE_VERSION);
	}
	good = json_is_object(j) && json_is_integer(json_object_get(j, "version")) &&
	       read_int(json_object_get(j, "holder"), 0, NODES - 1, &holder) &&
	       read_mode(json_object_get(j, "mode"), &v.mode) && read_u64(json_object_get(j, "term"), &v.term) &&
	       read_u64(json_object_get(j, "nonce"), &v.nonce) && read_sync(json_object_get(j, "sync"), &v.sync);
	json_decref(j);
	if (!good) {
		char shown[64];

		str_escape(text, len < 40 ? len : 40, shown, sizeof shown);
		return err_set(e,
			"the arbiter's entry was not written by hactl (\"%s\"): choose another prefix, or delete the "
			"key",
			shown);
	}
	v.holder = (int8_t)holder;
	*out = v;
	return 0;
}

bool etcd_same_value(const struct reg_value *a, const struct reg_value *b)
{
	return a->nonce == b->nonce && a->term == b->term && a->holder == b->holder && a->mode == b->mode &&
	       a->sync.in_sync == b->sync.in_sync && a->sync.standby == b->sync.standby &&
	       a->sync.boot == b->sync.boot && a->sync.db_start == b->sync.db_start && a->sync.seq == b->sync.seq;
}

/* --- requests ------------------------------------------------------------------------------------------------------ */

char *etcd_read_body(const char *key)
{
	auto_free char *k = base64(key);

	return str_printf("{\"key\":\"%s\"}", k);
}

/* The failure branch reads the key, so that a lost swap tells in the same round trip what stands now. */
char *etcd_cas_body(const char *key, int64_t rev, const struct reg_value *value)
{
	auto_free char *k = base64(key);
	auto_free char *text = value_text(value);
	auto_free char *v = base64(text);
	auto_free char *compare = rev != 0 ? str_printf("\"target\":\"MOD\",\"mod_revision\":\"%" PRId64 "\"", rev)
					   : str_printf("\"target\":\"CREATE\",\"create_revision\":\"0\"");

	return str_printf("{\"compare\":[{\"key\":\"%s\",\"result\":\"EQUAL\",%s}],"
			  "\"success\":[{\"request_put\":{\"key\":\"%s\",\"value\":\"%s\"}}],"
			  "\"failure\":[{\"request_range\":{\"key\":\"%s\"}}]}",
		k, compare, k, v, k);
}

char *etcd_auth_body(const char *user, const char *password)
{
	json_t *j = json_pack("{s:s, s:s}", "name", user, "password", password);
	char *text = j ? json_dumps(j, JSON_COMPACT) : NULL;

	json_decref(j);
	return text;
}

/* --- answers ------------------------------------------------------------------------------------------------------- */

static int parse_entry(const json_t *range, struct etcd_answer *out, struct err *e)
{
	const json_t *kvs = json_object_get(range, "kvs"), *kv = json_array_get(kvs, 0);
	const char *coded;
	size_t len = 0;

	if (!kvs || (json_is_array(kvs) && json_array_size(kvs) == 0)) {
		out->rev = 0;
		return 0;
	}
	if (!read_i64(json_object_get(kv, "mod_revision"), &out->rev) || out->rev <= 0)
		return err_set(e, "etcd's answer has an entry without a revision");
	/* an empty value is a zero field and left out */
	coded = json_object_get(kv, "value") ? json_string_value(json_object_get(kv, "value")) : "";
	auto_free char *text = coded ? unbase64(coded, &len) : NULL;
	if (!text)
		return err_set(e, "etcd's answer has a value that is not base64");
	return parse_value(text, len, &out->value, e);
}

static int parse_cas(const json_t *j, struct etcd_answer *out, struct err *e)
{
	const json_t *first = json_array_get(json_object_get(j, "responses"), 0);

	if (json_is_true(json_object_get(j, "succeeded"))) {
		if (!json_is_object(json_object_get(first, "response_put")))
			return err_set(e, "etcd says the swap succeeded and shows no put");
		/* one transaction is one revision: the key's mod_revision is the header's (out->rev is it already) */
		out->outcome = REG_OK;
		return 0;
	}
	if (!json_is_object(json_object_get(first, "response_range")))
		return err_set(e, "etcd says the swap failed and does not show what stands");
	out->outcome = REG_LOST;
	return parse_entry(json_object_get(first, "response_range"), out, e);
}

/* {"error": "...", "message": "...", "code": N} with any status but 200. */
static int parse_error(const json_t *j, struct err *e)
{
	const char *said = json_string_value(json_object_get(j, "message"));
	char shown[200];

	if (!said)
		said = json_string_value(json_object_get(j, "error"));
	if (!said)
		return err_set(e, "the answer is not etcd's (no header in it)");
	str_escape(said, strlen(said), shown, sizeof shown);
	return err_set(e, "etcd says: %s", shown);
}

int etcd_parse(const char *body, size_t len, bool cas, struct etcd_answer *out, struct err *e)
{
	struct etcd_answer a = { .outcome = REG_OK };
	json_t *j = json_loadb(body, len, JSON_REJECT_DUPLICATES, NULL);
	const json_t *header = json_object_get(j, "header");
	int r;

	if (!json_is_object(j))
		r = err_set(e, "the answer is not etcd's (no JSON object)");
	else if (!json_is_object(header))
		r = parse_error(j, e);
	else if (!read_u64(json_object_get(header, "cluster_id"), &a.cluster_id) ||
		 !read_u64(json_object_get(header, "raft_term"), &a.raft_term) ||
		 !read_i64(json_object_get(header, "revision"), &a.revision))
		r = err_set(e, "etcd's answer has no cluster id, raft term or revision");
	else if (cas) {
		a.rev = a.revision;
		r = parse_cas(j, &a, e);
	} else
		r = parse_entry(j, &a, e);
	json_decref(j);
	if (r == 0)
		*out = a;
	return r;
}

int etcd_parse_token(const char *body, size_t len, char *out, size_t size, struct err *e)
{
	json_t *j = json_loadb(body, len, 0, NULL);
	const char *token = json_string_value(json_object_get(j, "token"));
	int r = 0;

	if (!token)
		r = json_is_object(j) ? parse_error(j, e) : err_set(e, "the answer is not etcd's (no JSON object)");
	else if (strpbrk(token, "\r\n") || strlen(token) >= size)
		r = err_set(e, "etcd's token is longer than %zu bytes or not one line", size - 1);
	else
		str_copy(out, size, token);
	json_decref(j);
	return r;
}
