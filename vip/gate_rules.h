/* gate_rules.h - the gate's rule set: what is installed, whether it stands, what is alive in it. Private to vip/.
 *
 * Two tables of the caller's name, `inet` for packets and `arp` for ARP. nf_tables sets belong to a table and have keys of one type:
 *   vips, vips6     the addresses                  alive, alive6   those that pass now; elements carry the lease as timeout
 *   ports           gated ports, if asked          open_ports      the same
 *   resets, resets6 addresses that were just shut: TCP to them is answered by a reset instead of silence
 *   peers, peers6   who reaches these ports always
 *   ifs             the addresses' interfaces      guard           one short-lived element per renewal, see gate.c
 * Only what the wish needs is made.
 */
#ifndef HACTL_VIP_GATE_RULES_H
#define HACTL_VIP_GATE_RULES_H

#include "vip/gate_nl.h"
#include "vip/vip.h"

#include <net/if.h>

enum { GATE_KEYS_MAX = 64, GATE_KEY_ROOM = 16 };
_Static_assert(IFNAMSIZ <= GATE_KEY_ROOM, "an interface's name is a key");

/* What the operator wishes, as keys in network order, each once. */
enum list { L_NONE, L_VIP4, L_VIP6, L_PORT, L_PEER4, L_PEER6, L_IF, LIST_COUNT };
struct keys {
	size_t n;
	uint8_t key[GATE_KEYS_MAX]
		   [GATE_KEY_ROOM]; /* the first bytes of each, as many as its type has; the others are 0 */
};
struct gate_shape {
	char table[64];
	struct keys list[LIST_COUNT];
	char print[48]; /* fingerprint of all that, kept as the tables' comment */
	bool no_resets; /* the kernel cannot reset in prerouting (before 5.9): left out */
};

/* The sets. needs: not made while that list is empty. */
enum life { AS_WISHED, LEASED /* elements carry the lease */, JUST_SHUT /* elements carry a moment's resets */ };
struct set_def {
	uint8_t family;
	const char *name;
	enum list list, needs;
	enum life life;
};
enum { SET_COUNT = 13 };
extern const struct set_def gate_sets[SET_COUNT];
extern const uint8_t gate_families[2];
#define SET_GUARD "guard"
size_t gate_key_len(enum list list);
static inline bool set_wanted(const struct gate_shape *s, const struct set_def *d)
{
	return s->list[d->needs].n > 0;
}

/* gate_shape.c */
int check_table_name(const char *name, struct err *e);
int shape_make(struct gate_shape *s, const char *table, const struct gate_spec *spec, struct err *e);

/* gate_rules.c. Replaces both tables whole, in one transaction; alive for alive_ms when > 0. Negative errno. Sets no_resets. */
int rules_install(struct nft_link *l, struct gate_shape *s, int64_t alive_ms);
size_t rules_wanted(const struct gate_shape *s, uint8_t family);
/* Deletes both tables; absent ones are fine. Negative errno. */
int rules_delete(struct nft_link *l, const char *table);
/* Messages of a renewal, hand-built with libmnl: no allocation. */
void put_guard(struct batch *b, const struct gate_shape *s, int64_t ms); /* 0: none */
void put_guard_spent(struct batch *b, const struct gate_shape *s); /* refused by the kernel when its time is over */
void put_alive(struct batch *b, const struct gate_shape *s, int64_t ms); /* 0: shut */
void put_resets(struct batch *b, const struct gate_shape *s, int64_t ms);

/* gate_look.c. 1: both tables stand as installed; 0: they do not; negative errno when the kernel would not say. */
int rules_stand(struct nft_link *l, const struct gate_shape *s);
/* Shortest time left over all that may be alive, in both tables, 0 when one is missing; negative errno, -ENOENT without the tables. A
 * set that an older table lacks says nothing. */
int64_t rules_alive_ms(struct nft_link *l, const struct gate_shape *s);

#endif
