/* upstream.h - weights from health, and the proxies that obey them.
 *
 * nginx: only the `server` lines of the named `upstream` block change (weight=, backup, down); every other byte stays. The new
 * file is tested by the proxy's own test with the file in place, swapped in by rename, reloaded once, put back when test or
 * reload fails. HAProxy: `set server B/S weight N` and `state` on the runtime socket, replies read.
 */
#ifndef HACTL_UPSTREAM_UPSTREAM_H
#define HACTL_UPSTREAM_UPSTREAM_H

#include "hactl/base/base.h"
#include "hactl/config/config.h"

/* --- pure: what each server should be ------------------------------------------------------------------------------- */
struct server_want {
	int weight;  /* 1..256 */
	bool backup; /* active-backup: not the primary's */
	bool down;   /* probe says so */
};
struct server_seen {
	bool healthy;
	double response_ms, cpu, mem, used, limit, error_rate; /* dynamic; negative = unknown */
};
/* primary: node index or NOBODY (then the file's present main server is kept). All servers unhealthy: nobody is marked down
 * (a proxy without servers answers worse than one that tries). now[]: what stands at present, for hysteresis. */
void weights_decide(const struct conf_upstream *u, int primary, const struct server_seen *seen,
	const struct server_want *now, struct server_want *want);

/* --- pure: nginx file ------------------------------------------------------------------------------------------------- */
/* Rewrites text; *out (caller frees) is byte-identical when nothing needs to change (*changed false). -1 with a sentence when
 * the block or a server is missing or the file cannot be understood. */
int nginx_rewrite(const char *text, size_t len, const struct conf_upstream *u, const struct server_want *want,
	char **out, size_t *out_len, bool *changed, struct err *e);
int nginx_read(const char *text, size_t len, const struct conf_upstream *u, struct server_want *now, struct err *e);

/* --- the thing that keeps proxies in step -------------------------------------------------------------------------------- */
struct upstreams;
typedef void upstreams_note_fn(void *arg, enum log_level level, const char *sentence);
struct upstreams *upstreams_new(struct loop *l, const struct conf *c, int me, upstreams_note_fn *fn, void *arg);
void upstreams_free(struct upstreams *u);
/* Facts; cheap, idempotent. Role changes act at once, health after the debounce. */
void upstreams_primary(struct upstreams *u, int primary);
void upstreams_health(struct upstreams *u, int probe, int node, bool up, double latency_ms);
/* For policy "dynamic": percent of 0..100, negative when not known. Counted at the next interval. */
void upstreams_load(struct upstreams *u, int node, double cpu, double mem);
/* For status. */
struct upstream_state {
	const struct conf_upstream *conf;
	bool applied; /* the proxy runs what we want */
	char trouble[SENTENCE_MAX];
	struct server_want now[CONF_MAX_SERVERS];
	bool healthy[CONF_MAX_SERVERS];
};
const struct upstream_state *upstreams_look(const struct upstreams *u, int i);

#endif
