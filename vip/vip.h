/* vip.h - virtual addresses, their announcements, and the kernel's gate in front of them.
 *
 * Knows nothing of roles: it does what it is asked and reports. All calls return quickly (rtnetlink and nf_tables answer in
 * microseconds); -1 with a sentence. CAP_NET_ADMIN for addresses and the gate, CAP_NET_RAW for announcements.
 *
 * Addresses (rtnetlink(7), RFC 3549): added with IFA_PROTO VIP_PROTO, /32 or /128 unless told otherwise, and a valid lifetime
 * as a broom: the kernel sweeps a forgotten one away; never a lease. IPv6 ones without duplicate address detection, and one that
 * failed somebody's detection is made anew. Read back after every change. Events and a dump after ENOBUFS keep the picture true.
 * Gate (nftables): packets to the address pass (prerouting, before DNAT), and packets, ARP and Neighbor Advertisements in its name
 * leave, only while an element of a set is alive; the element's timeout is the lease that remains, so it shuts on time when nobody
 * is left to shut it. By libmnl with libnftnl, not libnftables: a renewal costs a fifth, needs no text and no allocation, and one
 * socket makes our own events known from others'. Announcements: gratuitous ARP, request and reply form (RFC 5227 section 2.3,
 * RFC 826), and unsolicited Neighbor Advertisements (RFC 4861 section 7.2.6).
 *
 * Measured by tests/bench/bench_gate.c (Linux 6.18, HZ=250, two virtual processors, fresh namespaces; the machine was busy with
 * other work, a load of 25; on a quiet one an IPv4 address alone cost half as much):
 *   renewal      gate_open, guard included (libmnl), processor time, user and kernel, mean of 5000, at real-time priority:
 *                  1 IPv4 36 us, 1 IPv6 28, 4 IPv4 65, one of each and two ports 46, four of each and two ports 85
 *                the same change by libnftables, without the guard, mean of 1000: 193, 198, 233, 249, 277 us.
 *                At one renewal per 100 ms, one of each and two ports: 0.05 % of a processor.
 *   end          last answer to a UDP echo across a veth pair, before the lease's end, never after it:
 *                  lease 200 ms, 15 rounds: IPv4 16.1 to 43 ms, IPv6 16.0 to 47;  500 ms, 12 rounds: 16.4 to 65, 16.5 to 109;
 *                  1 s, 9 rounds: 17.4 to 28, 16.0 to 72.  15 to 20 ms are the gate's (three ticks of guard and one of rounding, see
 *                  gate.c), the rest is a client that had to wait for a processor.
 *                300 random stops of the renewing process, lease 60 ms: none of 61253 answers (IPv4) and 44918 (IPv6) after the end.
 *   in the lab   (tests/lab/test_gate.py) a supervisor stopped or killed, TCP, both families, on the host and in a container:
 *                last answer 15 to 31 ms before the end of a lease of 1 s, 18 to 48 ms of one of 200 ms.
 *   made again   after `nft flush ruleset`, whole and open: 0.6 ms in the median, at most 1.1 ms, 50 rounds.
 *   waiting      beside two processes that reload a firewall all the time (tests/unit/test_vip_lease.c) a renewal waited up to 305 ms
 *                inside the kernel: 1960 renewals, none alive past its lease; without the guard the same test fails.
 */
#ifndef HACTL_VIP_VIP_H
#define HACTL_VIP_VIP_H

#include "hactl/base/base.h"

enum { VIP_PROTO = 0x48 /* IFA_PROTO: marks our addresses */ };

struct vip_spec {
	char address[64];
	int family;	/* AF_INET, AF_INET6 */
	int prefix_len; /* to add with: 32 or 128 unless the operator said subnet */
	char interface[16];
};

struct vips;
struct gate;
/* changed: an address of ours appeared or vanished otherwise than by the calls below, or a link came up; look with vips_held. */
typedef void vips_changed_fn(void *arg);
struct vips *vips_new(struct loop *l, const struct vip_spec *spec, size_t n, us_t lifetime, vips_changed_fn *changed,
	void *arg, struct err *e);
void vips_free(struct vips *v); /* leaves addresses as they are */
/* All of them; idempotent; refreshes the lifetime; verified. -1: what this call had added is taken away again. */
int vips_add(struct vips *v, struct err *e);
int vips_refresh(struct vips *v, struct err *e); /* lifetime only; an address that has vanished is not re-created: -1 */
int vips_remove(struct vips *v, struct err *e);	 /* all of them, stops announcing, ends their TCP connections; verified */
/* From the kernel's own dump and events. One of IPv6 that somebody put under duplicate detection is not held until that is over. */
bool vips_held(const struct vips *v, size_t i);
bool vips_held_all(const struct vips *v);
bool vips_held_any(const struct vips *v);
/* Now, at 0.1, 0.5, 1, 2, 5 s and then every 30 s, until removed; again from the start after a link came up or changed its MAC. */
void vips_announce(struct vips *v);
/* Announcements leave only while g is open (packet sockets pass the gate by): a timer that fires late, after a stall, must not lead
 * clients back to a node whose lease has gone. g must outlive v, or be set to NULL (always) before it is freed. */
void vips_announce_through(struct vips *v, const struct gate *g);
/* From now on fn(arg, i, mac) for each frame of ARP or ND by which another MAC on the interface claims address i, whether it is held
 * here or not: on a standby those are the primary's announcements and answers. */
typedef void vips_conflict_fn(void *arg, size_t i, const char *mac);
/* One question an address (RFC 5227 section 2.1.1, RFC 4862 section 5.4.2), claiming nothing: who has it answers, and fn hears it.
 * Waiting is the caller's. */
void vips_probe(struct vips *v);
int vips_watch_conflicts(struct vips *v, vips_conflict_fn *fn, void *arg, struct err *e);

/* --- the gate ---------------------------------------------------------------------------------------------------------- */
/* What is gated: the addresses; and, when ports are named, TCP to and from these ports on every address of this host, but what comes
 * over loopback (this host's own programs, by whatever address) and what comes from or goes to a peer: the other node's supervisor,
 * probes and replica reach this node's databases whoever is primary. So do other programs on the other node, in the peer's name; and a
 * container on this host is one of "all the others", unless it reaches the database's own container past the host's address. */
struct gate_spec {
	const struct vip_spec *vip;
	size_t n_vips; /* at least one */
	const uint16_t *port;
	size_t n_ports;
	const char (*peer)[64]; /* numeric, of either family */
	size_t n_peers;
};

/* Installs table `name` (own tables only; unique per node). until: a moment not in the future installs it shut; a later one installs it
 * open up to then within the same transaction as the rules, so that an address already in service (first start on a running pair) does not
 * lose one packet. An existing table with live elements is taken over as it is: a restarted supervisor neither opens nor shuts. */
struct gate *gate_new(struct loop *l, const char *name, const struct gate_spec *spec, us_t until,
	vips_changed_fn *broken, void *arg, struct err *e);
void gate_free(struct gate *g); /* leaves the rules: they shut by themselves */
/* Open until `until` (this node's CLOCK_BOOTTIME); re-makes a table that somebody flushed or deleted. Reads the clock after the
 * transaction: too late means shut and -1. Idempotent; meant to be called with every renewal. */
int gate_open(struct gate *g, us_t until, struct err *e);
/* At once. Where it was open until now, TCP to the addresses is answered by resets for a second (kernel 5.9+), so that clients look for
 * the new holder at once; a lease that ends by itself ends in silence. (A reset is no service, and would do no harm there either as long
 * as nobody else serves. But then somebody may, and switches exist that learn an address from any packet sent in its name.) */
int gate_shut(struct gate *g, struct err *e);
bool gate_is_open(const struct gate *g, us_t now); /* from what the kernel last confirmed */
int gate_remove(const char *name, struct err *e);  /* deletes the table (hactl vip release, tests) */

#endif
