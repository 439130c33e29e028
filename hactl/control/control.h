/* control.h - how people and programs reach a running supervisor: the local socket, the status document, the journal of events
 * and the HTTP page. Renders what it is shown; decides nothing.
 *
 * Socket: SOCK_STREAM, one JSON object a line each way, mode 0660. Request: {"cmd": "...", ...}. Answer: zero or more lines
 * {"progress": …} and one last line with "exit": the command's exit status, and "text" or "status".
 */
#ifndef HACTL_CONTROL_CONTROL_H
#define HACTL_CONTROL_CONTROL_H

#include "hactl/base/base.h"
#include "hactl/config/config.h"
#include "hactl/core/core.h"
#include "hactl/upstream/upstream.h"
#include "hactl/wire/wire.h"
#include "probes/probes.h"
#include "replication/replication.h"
#include <jansson.h>

/* --- requests -------------------------------------------------------------------------------------------------------------- */
enum { CONTROL_LINE_MAX = 64 * 1024 }; /* a request, without its newline */
/* Pure. One request line into the object a control_fn gets: cmd is known, every field it lists has the right type and range, and
 * fields left out stand there with their defaults. New reference, or NULL with a sentence. */
json_t *control_parse(const char *line, size_t len, struct err *e);

/* --- status ----------------------------------------------------------------------------------------------------------- */
struct path_view { /* a heartbeat path */
	const char *local, *remote;
	bool silent;
	int loss;	/* per cent; -1 unknown */
	us_t rtt_us;	/* US_UNKNOWN */
	us_t silent_us; /* US_UNKNOWN: nothing has come over it yet */
};
struct status_view { /* pointers into the supervisor's state, valid during the call */
	const struct conf *conf;
	int me;
	const struct core_view *core;
	const char (*blockers)[SENTENCE_MAX];
	size_t n_blockers;
	const char *plan_detail; /* how far the step under way is, NULL or "" nothing to say */
	const char *would_lose; /* "nothing", "at most 3 transactions", "unknown since 14:02" */
	const struct wire_session *wire;
	const struct path_view *paths;
	size_t n_paths;
	const struct db_facts *mysql[NODES], *redis[NODES]; /* NULL when not configured */
	int64_t mysql_behind; /* transactions of the primary that the standby has not executed; -1 unknown */
	int64_t mysql_unreceived; /* … that it has not received; -1 unknown */
	const bool *vip_held; /* n_vips of them */
	const struct probe_state *const *probes;
	size_t n_probes;
	const struct upstream_state *const *upstreams;
	size_t n_upstreams;
	const char *arbiter_trouble;
	bool config_differs;
	const char *warnings[9]; /* "runs without real-time priority: …" */
	size_t n_warnings;
	const char *keepalived; /* last notification, "" none */
	const char *guard;	/* "watches", "freezes", "frozen", "missing"; NULL: no databases, so none is needed */
	bool guard_ran;		/* one has run since the boot: its absence is less than well, not only a warning */
	us_t now;
};
json_t *status_json(const struct status_view *v); /* CONTRACT's document; new reference */
/* last_change alone, for a "change" line of the journal; null before the first one. New reference. */
json_t *status_change(const struct conf *conf, const struct core_view *core, us_t now);
int status_exit(const json_t *status); /* 0 both well and failover possible, else 1 */
/* What keeps status_exit from 0, a sentence each; blockers first. Returns how many (at most max). */
enum { STATUS_MAX_TROUBLES = 24 };
size_t status_troubles(const json_t *status, char out[][SENTENCE_MAX], size_t max);
char *status_text(const json_t *status, bool colour); /* what `hactl status` prints; caller frees */
char *status_page(const json_t *status);	      /* HTML; caller frees */
char *status_metrics(const json_t *status);	      /* Prometheus text format; caller frees */

/* --- journal: JSON lines in the state directory, and the log -------------------------------------------------------------- */
struct journal;
struct journal *journal_open(const char *dir, const char *node, struct err *e);
void journal_close(struct journal *j);
/* Never fails and never stops anything: a line that cannot be written is logged, and that it cannot be is said once. j may be NULL
 * (then only logged). Lines: {"at","mono_us","level","kind","text", ...fields}; at 8 MB the file becomes events.jsonl.1.
 * kind: "role", "change", "probe", "alert", "note", "hook", "fence", "gate", "keepalived". fields (stolen, may be NULL) are merged into the line. Also logged. */
void journal_add(struct journal *j, enum log_level level, const char *kind, json_t *fields, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));

/* --- socket --------------------------------------------------------------------------------------------------------------- */
struct control;
struct control_request; /* one client's command, until answered; forgets a client that has gone */
typedef void control_fn(void *arg, struct control_request *r, const char *cmd, json_t *args);
/* Requests are passed on one at a time a client, checked by control_parse; control_done must be called exactly once for each, in fn or
 * later. A client that hung up before its request was read is forgotten; answers to one that has gone go nowhere.
 * Stale socket files are replaced, one that somebody answers on is an error. control_free may come before the last
 * control_done, but not inside fn. */
struct control *control_new(struct loop *l, const char *path, control_fn *fn, void *arg, struct err *e);
void control_free(struct control *c);
void control_progress(struct control_request *r, json_t *line /* whole: {"progress": {…}}; stolen */);
void control_done(struct control_request *r, int exit_status, json_t *line /* stolen, may be NULL */, const char *fmt,
	...) __attribute__((format(printf, 4, 5)));

/* --- HTTP page (libmicrohttpd): / /status.json /metrics /primary /standby /health --------------------------------------------- */
struct page;
typedef json_t *page_status_fn(void *arg); /* new reference */
struct page *page_new(struct loop *l, const char *listen, page_status_fn *fn, void *arg, struct err *e);
void page_free(struct page *p);
int page_port(const struct page *p); /* the port it listens on (listen may say 0) */

/* --- client side, blocking, for hactl/cli ------------------------------------------------------------------------------------- */
/* Sends one request, calls line (may be NULL) for every answer line, the last one included; returns the exit status. With e:
 * 3 when no supervisor answers, 4 when one took the request but its last word did not come within timeout. */
typedef void control_line_fn(void *arg, json_t *line);
int control_ask(
	const char *path, json_t *request /* stolen */, us_t timeout, control_line_fn *line, void *arg, struct err *e);

#endif
