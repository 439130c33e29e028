/* cli.h - what an operator types. Each command parses its own arguments and returns the process's exit status (CONTRACT). */
#ifndef HACTL_CLI_CLI_H
#define HACTL_CLI_CLI_H

#include "hactl/base/base.h"

struct cli { /* options every command takes */
	const char *conf;	 /* -c, default /etc/hactl/hactl.conf */
	const char *node;	 /* -n, NULL: this host's */
	const char *socket;	 /* -s, default /run/hactl/hactl.sock */
	const char *state_dir;	 /* --state-dir, default /var/lib/hactl */
	const char *deadline;	 /* --deadline of run and guard, NULL: beside the socket */
	const struct cli_command *command; /* the row being run, for its usage line; set by main.c */
};

enum { EXIT_DONE = 0, EXIT_REFUSED = 1, EXIT_USAGE = 2, EXIT_NOBODY = 3, EXIT_DEGRADED = 4 };

typedef int cli_fn(struct cli *c, int argc, char **argv); /* argv[0] is the command's name */

struct cli_command {
	const char *name;
	const char *arguments; /* for usage: "[--json] [--watch]" */
	const char *sentence;  /* for --help */
	cli_fn *fn;
	bool later; /* promised, not in this version: says so, exit 1 */
};

cli_fn cli_check, cli_status, cli_switchover, cli_switchback, cli_failover, cli_pause, cli_resume, cli_events, cli_probe,
	cli_keygen, cli_vip, cli_is, cli_notify, cli_rejoin, cli_doctor, cli_later;

/* One option of a command's own; a row with NULL name ends a table. Exactly one of value and flag is set. An own letter hides
 * a common one of the same letter (events' -n N hides -n NODE after the command's name). */
struct cli_option {
	const char *name;
	char letter;	    /* 0 none */
	const char **value; /* takes an argument: where to put it */
	bool *flag;	    /* takes none: set to true */
};

/* Parses -c -n -s --state-dir and own (may be NULL) wherever they stand before "--"; what is left are the operands argv[1..*argc).
 * -1 = usage error, said on stderr with the command's usage line. --help is main.c's. */
int cli_parse(struct cli *c, int *argc, char **argv, const struct cli_option *own);
int cli_options(struct cli *c, int *argc, char **argv); /* cli_parse without own options */
/* The same for what stands in front of the command's name; stops at the first operand. Returns its index, -1 = usage error. */
int cli_parse_front(struct cli *c, int argc, char **argv, const struct cli_option *own);
/* Says the sentence and the command's usage line on stderr; returns EXIT_USAGE. */
int cli_usage(const struct cli *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The row called name, or NULL; then *near (may be NULL) is the name most like it, or NULL when none is. */
const struct cli_command *cli_find(const struct cli_command *table, size_t n, const char *name, const char **near);

/* --- helpers the commands share ---------------------------------------------------------------------------------------- */

struct conf;
/* Loads -c's file; every mistake goes to stderr as "file:line: sentence". NULL when there was one. */
struct conf *cli_conf(const struct cli *c);
/* What the configuration is safe against and what not, and its times: on stdout, for check and doctor. */
void cli_say_safety(const struct conf *conf);
/* `--timeout`: duration between 1ms and 1h; text NULL gives the default. -1 with a sentence. */
int cli_timeout(const char *text, us_t otherwise, us_t *out, struct err *e);

/* --- configuration into what probes, vip and replication take: for the commands and for the supervisor -------------------- */

#include "hactl/config/config.h"
#include "hactl/core/core.h"
#include "probes/probes.h"
#include "replication/replication.h"
#include "vip/vip.h"

/* The virtual addresses as this node adds them: /32 or /128 unless `subnet`. Returns how many. */
size_t specs_vips(const struct conf *c, int node, struct vip_spec out[CONF_MAX_VIPS]);
/* Every probe in the configuration's order, node 0 before node 1, a fixed address once with node -1. Returns how many. */
enum { SPECS_MAX_PROBES = CONF_MAX_PROBES * NODES };
size_t specs_probes(const struct conf *c, struct probe_spec *out /* SPECS_MAX_PROBES */);
int specs_probe_index(const struct conf *c, const struct probe_spec *s); /* its conf->probe[] index; -1 none */
/* node's server as the node seen_from reaches it: by its socket when it is its own and has one. What is not configured stays
 * zeroed but for kind. */
void specs_db(const struct conf *c, int node, int seen_from, enum db_kind kind, struct db_target *out);
/* What the core is told of the configuration. */
void specs_core(const struct conf *c, int me, struct core_conf *out);
/* The gate's table: "hactl_" and the node's name, anything but letters and digits as '_'. */
void specs_gate_name(const struct conf *c, int node, char out[NAME_MAX_LEN + 8]);

#endif
