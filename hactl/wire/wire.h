/* wire.h - heartbeat packets: encode, decode, authenticate, and accept or refuse. Pure: bytes and structs only.
 *
 * One UDP datagram = header (magic "HACT", major, minor, 16-byte cluster hash), the fields of struct msg as
 * type-length-value (unknown types are skipped, so that the next minor version can add some), and 32 bytes of
 * HMAC-SHA256 (RFC 2104, 4231) over all before it with the cluster key. A different major version is refused.
 */
#ifndef HACTL_WIRE_WIRE_H
#define HACTL_WIRE_WIRE_H

#include "hactl/base/types.h"

enum { WIRE_MAJOR = 1, WIRE_MINOR = 1, WIRE_MAX = 2048, WIRE_KEY = 32 };

struct wire_key {
	uint8_t key[WIRE_KEY];
	uint8_t cluster[16]; /* first bytes of SHA-256 of the cluster's name */
};
void wire_key_make(struct wire_key *k, const uint8_t key[WIRE_KEY], const char *cluster);

/* Every verdict but WIRE_OK leaves *out untouched. WIRE_HELLO and below come from wire_accept. */
enum wire_verdict {
	WIRE_OK,
	WIRE_SHORT,	/* truncated or malformed */
	WIRE_FOREIGN,	/* no hactl packet, or another cluster's */
	WIRE_VERSION,	/* another major version */
	WIRE_FORGED,	/* the authentication code does not fit */
	WIRE_SELF,	/* our own packet came back, or both nodes claim the same place */
	WIRE_HELLO,	/* authentic, but a new incarnation that has not yet echoed ours: answer, do not act on it */
	WIRE_REPLAYED,	/* authentic, but its counter is not newer than what this incarnation has shown, or it is of a past one */
	WIRE_VERDICT_COUNT
};
extern const char *const wire_verdict_names[WIRE_VERDICT_COUNT];

/* Returns the packet's length, or -1 when m does not fit (it always does). */
int wire_encode(const struct wire_key *k, const struct msg *m, uint8_t out[WIRE_MAX]);
enum wire_verdict wire_decode(const struct wire_key *k, const uint8_t *in, size_t len, struct msg *out);

/* Freshness. A recorded packet can neither act nor block: a new incarnation is believed only when it echoes our own
 * incarnation and a counter that we sent at most WIRE_FRESH ago; after that only rising counters are. Reordered packets
 * (older counter) are dropped. Owner: the supervisor, one for the peer, all paths together (doubles over a second path are
 * REPLAYED and only counted). */
#define WIRE_FRESH (5 * US_PER_SEC)
enum { WIRE_SENT_RING = 128 };
struct wire_session {
	int me;
	uint64_t incarnation, counter; /* ours */
	uint64_t peer_incarnation, peer_counter; /* newest accepted; 0 none */
	uint64_t floor; /* our counter when peer_incarnation was accepted: its predecessors cannot echo more */
	uint64_t hello_incarnation, hello_counter; /* what the next outgoing packet, and only it, echoes; 0 none */
	struct { uint64_t counter; us_t at; } sent[WIRE_SENT_RING];
	us_t rtt_us;	 /* of the newest answer (PROMISE, VOTE, HIGHER: kinds that leave at once); US_UNKNOWN */
	us_t heard_at;	 /* newest accepted packet; 0 never */
	uint64_t count[WIRE_VERDICT_COUNT];
};
void wire_session_init(struct wire_session *s, int me, uint64_t incarnation);
/* Fills from, incarnation, counter, echo_* of an outgoing message and remembers when it left. */
void wire_stamp(struct wire_session *s, struct msg *m, us_t now);
/* Judges a decoded message and counts the verdict (also those of wire_decode: pass them through wire_count). For WIRE_HELLO the
 * echo fields are updated for the next outgoing packet, nothing else: answer a hello at once (a MSG_BEAT will do), but no oftener
 * than every 10 ms, so that a flood of recorded hellos cannot push what we sent out of the ring. */
enum wire_verdict wire_accept(struct wire_session *s, const struct msg *m, us_t now);
void wire_count(struct wire_session *s, enum wire_verdict v);

#endif
