/* gate_rules.h - the gate's rule set: what is installed, whether it stands, what is alive in it. Private to vip/.
 *
 * Two tables of the caller's name, `inet` for packets and `arp` for ARP, each with its own sets (nf_tables sets belong to a table):
 *   vips   the addresses          alive  those that pass now; elements carry the lease as timeout
 *   ifs    their interfaces       guard  one short-lived element per renewal, see gate.c         (inet only)
 */
#ifndef HACTL_VIP_GATE_RULES_H
#define HACTL_VIP_GATE_RULES_H

#include "vip/gate_nl.h"
#include "vip/vip.h"

#include <net/if.h>

enum { GATE_VIPS_MAX = 64 };

#define SET_VIPS  "vips"
#define SET_ALIVE "alive"
#define SET_IFS	  "ifs"
#define SET_GUARD "guard"

struct gate_shape {
	char table[64];
	size_t n;
	uint32_t address[GATE_VIPS_MAX]; /* network order, each once */
	size_t n_ifs;
	char ifs[GATE_VIPS_MAX][IFNAMSIZ]; /* each once, padded with NULs */
	char print[48];			   /* fingerprint of all that, kept as the tables' comment */
};

int check_table_name(const char *name, struct err *e);
int shape_make(struct gate_shape *s, const char *table, const struct vip_spec *spec, size_t n, struct err *e);
/* Replaces both tables whole, in one transaction; addresses alive for alive_ms when > 0. Negative errno. */
int rules_install(struct nft_link *l, const struct gate_shape *s, int64_t alive_ms);
/* 1: both tables stand as installed; 0: they do not; negative errno when the kernel would not say. */
int rules_stand(struct nft_link *l, const struct gate_shape *s);
/* Shortest time left over all addresses in both tables, 0 when one is missing; negative errno, -ENOENT without the tables. */
int64_t rules_alive_ms(struct nft_link *l, const struct gate_shape *s);
/* Deletes both tables; absent ones are fine. Negative errno. */
int rules_delete(struct nft_link *l, const char *table);

/* Messages of a renewal, hand-built with libmnl: no allocation. ms 0: without timeout. */
void put_flush(struct batch *b, uint8_t family, const char *table, const char *set);
void put_elems(struct batch *b, uint16_t msg, uint8_t family, const char *table, const char *set, const uint32_t *key,
	size_t n, int64_t ms);

#endif
