/* probes.h - is a service well? One interface for http(s), grpc, tcp, mysql, redis and exec; a scheduler with rise and fall.
 *
 * Knows nothing of roles. Every probe has a deadline of ours; a fresh connection each time. A verdict is one integer as HAProxy
 * keeps it: 0..rise-1 bad, rise..rise+fall-1 good, with the layer that failed and a sentence. Text from a server is escaped.
 */
#ifndef PROBES_PROBES_H
#define PROBES_PROBES_H

#include "hactl/base/base.h"

enum probe_kind { PK_HTTP, PK_HTTPS, PK_GRPC, PK_TCP, PK_MYSQL, PK_REDIS, PK_EXEC, PK_COUNT };

struct probe_spec {
	char name[NAME_MAX_LEN];
	int node;	   /* opaque to this room; -1 for a probe of a fixed address */
	enum probe_kind kind;
	char host[256];	   /* numeric address or host name */
	int port;
	char path[256], host_header[256], service[128], command[256], expect[64], ca_file[256], user[64], password[256];
	bool tls;
	us_t interval, timeout;
	int fall, rise;
};

enum probe_layer { PL_OK, PL_SOCKET, PL_TIMEOUT, PL_REFUSED, PL_TLS, PL_PROTOCOL, PL_STATUS, PL_EXEC, PL_COUNT };
extern const char *const probe_layer_names[PL_COUNT];

struct probe_result {
	bool ok;
	enum probe_layer layer;
	us_t took_us;
	char detail[SENTENCE_MAX]; /* "200", "SERVING", "connection refused", … */
};

struct probe_state { /* one spec's present standing */
	const struct probe_spec *spec;
	enum { PS_UNKNOWN, PS_UP, PS_DOWN } state; /* UNKNOWN until rise or fall is first reached; the first result decides */
	int health;		   /* 0 .. rise+fall-1 */
	us_t changed_at, checked_at; /* 0 never */
	struct probe_result last;
};

struct prober;
/* fn: after every result; was: the state before it. */
typedef void prober_fn(void *arg, size_t i, const struct probe_state *s, int was);
struct prober *prober_new(struct loop *l, const struct probe_spec *specs, size_t n, prober_fn *fn, void *arg, struct err *e);
void prober_free(struct prober *p);
size_t prober_count(const struct prober *p);
const struct probe_state *prober_look(const struct prober *p, size_t i);
void prober_hurry(struct prober *p, size_t i); /* probe now: news from elsewhere */

/* One probe, once; fn exactly once unless the loop ends first. For `hactl probe` and the scheduler itself. */
typedef void probe_fn(void *arg, const struct probe_result *r);
int probe_once(struct loop *l, const struct probe_spec *s, probe_fn *fn, void *arg, struct err *e);

/* Pure, for tests and fuzzers. */
int grpc_health_request(const char *service, uint8_t *out, size_t cap); /* frame's length */
int grpc_health_parse(const uint8_t *body, size_t len, struct err *e);  /* 0 = SERVING; -1 says what it was */
bool http_status_expected(const char *expect, long status);		/* "200-399,401" */
int http_expect_check(const char *expect, struct err *e);		/* -1: no such list; for the configuration */
int health_next(int health, bool ok, int fall, int rise);		/* HAProxy's integer */

extern const struct sql_routine probe_sql_routines[]; /* ends with a NULL name; for sqlproc_main */

#endif
