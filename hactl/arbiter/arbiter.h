/* arbiter.h - the register that gives the third vote: get and compare-and-swap of one struct reg_value.
 *
 * etcd v3 behind it through its JSON gateway (POST /v3/kv/range, /v3/kv/txn), by libcurl on the loop. All endpoints are
 * asked in parallel; the first usable answer counts. Reads are linearizable. Every call ends within the configured
 * timeout, by our own timer: REG_UNKNOWN then. After an ambiguous swap the next read settles it by the nonce (the core
 * does that); an answer whose cluster id changed or whose raft term fell is thrown away.
 */
#ifndef HACTL_ARBITER_ARBITER_H
#define HACTL_ARBITER_ARBITER_H

#include "hactl/base/base.h"
#include "hactl/config/config.h"

struct arbiter;
/* id as given; rev 0 and value untouched when the key does not exist. */
typedef void arbiter_fn(void *arg, uint32_t id, enum reg_outcome outcome, int64_t rev, const struct reg_value *value);

struct arbiter *arbiter_new(struct loop *l, const struct conf *c, arbiter_fn *fn, void *arg, struct err *e);
void arbiter_free(struct arbiter *a);
/* Several may be under way; answers come in any order, each exactly once, never from inside the call. */
void arbiter_read(struct arbiter *a, uint32_t id);
void arbiter_cas(
	struct arbiter *a, uint32_t id, int64_t rev, const struct reg_value *value); /* rev 0: only if absent */
/* For status: the last failure's sentence, "" when the last call succeeded. */
const char *arbiter_trouble(const struct arbiter *a);
/* The etcd cluster's id as the first accepted answer showed it, 0 before; answers of any other are thrown away. A caller that
 * stored it gives it back after a restart, before the first call, so that a replaced etcd is noticed then too. */
uint64_t arbiter_cluster(const struct arbiter *a);
void arbiter_expect(struct arbiter *a, uint64_t cluster_id);

/* Pure halves, for tests and fuzzers. Bodies are JSON text, caller frees; parse returns REG_OK, REG_LOST or REG_UNKNOWN with e. */
char *etcd_read_body(const char *key);
char *etcd_cas_body(const char *key, int64_t rev, const struct reg_value *value);
struct etcd_answer {
	enum reg_outcome outcome;
	int64_t rev;		/* of the entry; after a swap that won: of the new one. 0 = the key does not exist */
	struct reg_value value; /* read, or swap lost: what stands. A swap that won does not repeat what was sent */
	uint64_t cluster_id, raft_term;
	int64_t revision; /* of the whole store when it answered */
};
int etcd_parse(const char *body, size_t len, bool cas, struct etcd_answer *out, struct err *e);

#endif
