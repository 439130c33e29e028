/* wire.h - heartbeat packets: encode, decode, authenticate, and accept or refuse. Pure: bytes and structs only.
 *
 * One UDP datagram = header (magic "HACT", major, minor, 16-byte cluster hash), the fields of struct msg as
 * type-length-value (unknown types are skipped, so that the next minor version can add some), and 32 bytes of
 * HMAC-SHA256 (RFC 2104, 4231) over all before it with the cluster key. A different major version is refused.
 */
#ifndef HACTL_WIRE_WIRE_H
#define HACTL_WIRE_WIRE_H

#include "hactl/base/types.h"

/* 1.1 section digests and the hold, 1.2 the echo of each path. -DWIRE_NEXT builds what a next minor version would be, with a field that this
 * one does not know: for the tests of a rolling upgrade. */
#ifdef WIRE_NEXT
enum { WIRE_MINOR = 3 };
#else
enum { WIRE_MINOR = 2 };
#endif
enum { WIRE_MAJOR = 1, WIRE_MAX = 2048, WIRE_KEY = 32 };

struct wire_key {
	uint8_t key[WIRE_KEY];
	uint8_t cluster[16]; /* first bytes of SHA-256 of the cluster's name */
};
void wire_key_make(struct wire_key *k, const uint8_t key[WIRE_KEY], const char *cluster);

/* Every verdict but WIRE_OK leaves *out untouched. WIRE_HELLO and below come from wire_accept. */
enum wire_verdict {
	WIRE_OK,
	WIRE_SHORT,   /* truncated or malformed */
	WIRE_FOREIGN, /* no hactl packet, or another cluster's */
	WIRE_VERSION, /* another major version */
	WIRE_FORGED,  /* the authentication code does not fit */
	WIRE_SELF,    /* our own packet came back, or both nodes claim the same place */
	WIRE_HELLO,   /* authentic, but a new incarnation that has not yet echoed ours: answer, do not act on it */
	WIRE_DOUBLE, /* authentic and new on its path, but the same one or a newer one has been accepted: it came over another path too, or late */
	WIRE_REPLAYED, /* authentic, but its counter is not newer than what this incarnation has shown, or it is of a past one */
	WIRE_VERDICT_COUNT
};
extern const char *const wire_verdict_names[WIRE_VERDICT_COUNT];

/* Returns the packet's length, or -1 when m does not fit (it always does). */
int wire_encode(const struct wire_key *k, const struct msg *m, uint8_t out[WIRE_MAX]);
enum wire_verdict wire_decode(const struct wire_key *k, const uint8_t *in, size_t len, struct msg *out);

/* Freshness. A recorded packet can neither act nor block: a new incarnation is believed only when it echoes our own
 * incarnation and a counter that we sent at most WIRE_FRESH ago; after that only rising counters are. Reordered packets
 * (older counter) are dropped. Owner: the supervisor, one for the peer, all paths together. */
#define WIRE_FRESH (5 * US_PER_SEC)
enum { WIRE_SENT_RING = 128 };
struct wire_session {
	int me;
	uint64_t incarnation, counter;		 /* ours */
	uint64_t peer_incarnation, peer_counter; /* newest accepted; 0 none */
	uint64_t peer_first;			 /* the counter it was accepted with, */
	us_t peer_since;			 /*   and when */
	uint64_t floor; /* our counter when peer_incarnation was accepted: its predecessors cannot echo more */
	uint64_t hello_incarnation, hello_counter; /* what the next outgoing packet, and only it, echoes; 0 none */
	struct {
		uint64_t counter;
		us_t at;
	} sent[WIRE_SENT_RING];
	us_t heard_at; /* newest accepted packet; 0 never */
	uint64_t count[WIRE_VERDICT_COUNT];
};
void wire_session_init(struct wire_session *s, int me, uint64_t incarnation);
/* Fills from, incarnation, counter, echo_* of an outgoing message and remembers when it left. */
void wire_stamp(struct wire_session *s, struct msg *m, us_t now);
/* Judges a decoded message and counts the verdict (also those of wire_decode: pass them through wire_count). For WIRE_HELLO the
 * echo fields are updated for the next outgoing packet, nothing else: answer a hello at once (a MSG_BEAT will do), but no oftener
 * than every 10 ms, so that a flood of recorded hellos cannot push what we sent out of the ring. path: where it came in (may be NULL). */
struct wire_path;
enum wire_verdict wire_accept(struct wire_session *s, struct wire_path *path, const struct msg *m, us_t now);
void wire_count(struct wire_session *s, enum wire_verdict v);

/* One heartbeat path, measured: every packet goes over all of them, so what one brought and another did not is lost there. Owner: the
 * supervisor, one for each path. Decides nothing. */
enum { WIRE_PATH_RING = 256, WIRE_PATH_WINDOW = 100 };
struct wire_path {
	uint64_t incarnation;	      /* the peer's, of which the rest speaks; 0 none yet */
	uint64_t newest;	      /* counter */
	us_t newest_at, heard_at;     /* heard_at: any packet of the living incarnation; 0 never */
	uint64_t got[WIRE_PATH_RING]; /* counters, each in its slot */
	us_t rtt_us;		      /* smoothed; US_UNKNOWN */
};
void wire_path_init(struct wire_path *p);
/* After wire_stamp, for the copy that leaves over p. */
void wire_path_stamp(const struct wire_path *p, const struct wire_session *s, struct msg *m, us_t now);
/* For wire_accept. A packet of the living incarnation came in; true when it is new on this path. */
bool wire_path_take(struct wire_path *p, const struct wire_session *s, const struct msg *m, us_t now);
/* Per cent of the last WIRE_PATH_WINDOW packets the peer sent; -1 while too few are known of. interval: how often it sends at least,
 * for the time since it was last heard on any path. */
int wire_path_loss(const struct wire_path *p, const struct wire_session *s, us_t interval, us_t now);

#endif
