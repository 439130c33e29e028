/* cmd_doctor.h - `hactl doctor`: what is asked of the servers and this host, the judgment, and what is said. For the cmd_doctor*.c
 * files and their tests. The judgments are pure: documents in (JSON, as replication.h describes them), findings out.
 */
#ifndef HACTL_CLI_CMD_DOCTOR_H
#define HACTL_CLI_CMD_DOCTOR_H

#include "hactl/cli/cli.h"

#include <jansson.h>

/* --- findings -------------------------------------------------------------------------------------------------------------- */

enum severity {
	SEV_UNSEEN, /* cannot be judged from this node; shown, and no finding */
	SEV_OK,
	SEV_NOTE,
	SEV_WRONG,
	SEV_COUNT
};
extern const char *const severity_names[SEV_COUNT];

struct verdict {
	enum severity severity;
	char what[512]; /* one sentence; for SEV_OK what was found */
	char fix[768];	/* text to type; "" none */
};

struct finding {
	char area[NAME_MAX_LEN + 16]; /* "mysql on n1" */
	const char *title;	      /* of the check: "read-only after a restart" */
	struct verdict v;
};

struct report {
	struct finding *list;
	size_t n, room;
};

/* The new finding's verdict, SEV_UNSEEN and empty; valid until the next call. */
struct verdict *report_add(struct report *r, const char *area, const char *title);
bool report_wrong(const struct report *r);
void report_print(const struct report *r, FILE *to); /* grouped by area in the order of report_add */
json_t *report_json(const struct report *r);	     /* array of notes and wrongs; new reference */
void report_free(struct report *r);
/* A check ends with one of the first four; say_fix goes with what is not ok. */
#define SAYS __attribute__((format(printf, 2, 3)))
void say_unseen(struct verdict *v, const char *fmt, ...) SAYS;
void say_ok(struct verdict *v, const char *fmt, ...) SAYS;
void say_note(struct verdict *v, const char *fmt, ...) SAYS;
void say_wrong(struct verdict *v, const char *fmt, ...) SAYS;
void say_fix(struct verdict *v, const char *fmt, ...) SAYS;

/* Runs the loop until *done; whoever sets it has a deadline. Unlike loop_run it can be called again. */
void loop_until(struct loop *l, const bool *done);

/* Reading the documents: o[key] as text, "" when it is not there; the first row whose column is value, or NULL. */
const char *doc_text(const json_t *o, const char *key);
const json_t *doc_row(const json_t *rows, const char *column, const char *value);

/* --- one MySQL or MariaDB -------------------------------------------------------------------------------------------------- */

struct sql_exam {
	const char *node;
	const char *peer_host; /* whom it should replicate from when it is the standby */
	int peer_port;
	const char *account; /* mysql.user */
	bool local;	     /* its files and its administrator's view can be had here */
	bool semi_sync;	     /* wanted */
	bool clone;	     /* mysql.reseed = "clone" */
	const char *ca_file; /* as the server names it, when mysql.tls is true; NULL: it is not */
	bool events;	     /* mysql.events = "manage" */
	const json_t *doc;   /* routine "examine" */
	const json_t *files; /* options_of_server(); NULL: not local */
	const json_t *admin; /* routine "examine_admin"; NULL: not had, and why: */
	const char *admin_why;
};
void doctor_sql(const struct sql_exam *x, struct report *r);
/* Both nodes' documents; NULL where a server did not answer. */
void doctor_sql_pair(const struct sql_exam x[NODES], struct report *r);

/* --- one Redis ------------------------------------------------------------------------------------------------------------- */

struct redis_exam_view {
	const char *node;
	const char *account; /* "" the default user */
	bool password;
	const char *peer_host;
	int peer_port;
	bool local;
	const json_t *doc;   /* redis_examine() */
	const json_t *files; /* directives_of_server(); NULL: not local */
};
void doctor_redis(const struct redis_exam_view *x, struct report *r);
void doctor_redis_pair(const struct redis_exam_view x[NODES], struct report *r);

/* --- a server's own files, read where the server reads them ------------------------------------------------------------------- */

/* The process that listens on this port in our network namespace, and a descriptor of its root directory. NOBODY (and *root -1): none
 * to be seen, or one whose program's name does not start with one of names (a container's proxy). */
pid_t server_of_port(int port, const char *const *names, int *root);
/* {"seen": true, "where": "/etc/mysql/my.cnf", "options": {"read_only": {"value": "ON", "path": "…"}}} or
 * {"seen": false, "why": "…"}. New reference. version: 101119 as mysql_get_server_version has it. */
json_t *options_of_server(int port, bool mariadb, int version);
/* The same of Redis: directives and their arguments, the last one wins. path: INFO's config_file. */
json_t *directives_of_server(int port, const char *path);
/* Pure: options of the groups that a server of that kind reads, from one file's text; !include lines are given to include (may be NULL). */
typedef void include_fn(void *arg, const char *path, bool folder);
void options_parse(
	const char *text, const char *path, bool mariadb, int version, json_t *options, include_fn *include, void *arg);
void directives_parse(const char *text, const char *path, json_t *options, include_fn *include, void *arg);
bool option_on(const char *value); /* "ON", "1", "TRUE", or nothing behind the name */

/* --- privileges -------------------------------------------------------------------------------------------------------------- */

/* Those hactl's account needs: NULL ends the list. "SELECT ON performance_schema" is one on a schema, all others are on *.*. */
const char *const *grants_needed(bool mariadb);
const char *const *grants_reseed(bool mariadb); /* and these for mysql.reseed = "clone" */
const char *const *grants_events(bool mariadb, int version); /* and these for mysql.events = "manage" */
/* CREATE USER and GRANT statements for both accounts, to stdout. */
struct grants_wish {
	bool mariadb, events;
	int version; /* as mysql_get_server_version has it; 0 not known: the newest */
};
void grants_print_sql(const struct grants_wish *w, const char *account, const char *replication_account, FILE *to);
void grants_print_redis(const char *account, FILE *to);
/* "GRANT a, b ON *.* TO 'account'@'%'" for these; one string, caller frees. */
char *grants_statement(const char *const *privileges, size_t n, const char *account);
/* The access list of Redis's control user, as ACL SETUSER takes it. */
extern const char redis_acl[];

/* --- this host ----------------------------------------------------------------------------------------------------------------- */

struct host_view {
	struct loop *loop; /* for the proxies' tests */
	const struct cli *cli;
	const struct conf *conf;
	int me;
	const json_t *status; /* of the running supervisor; NULL: none answers */
};
void doctor_host(const struct host_view *h, struct report *r);
void doctor_peer(const struct host_view *h, struct report *r);
void doctor_upstreams(const struct host_view *h, struct report *r); /* runs the proxies' own tests */

/* Pure halves. */
/* systemd-networkd's and NetworkManager's own note on a link (NULL: none), and whether one of them would remove an address. */
void judge_manager(const char *networkd, const char *network_manager, const char *interface, struct verdict *v);
void judge_capabilities(uint64_t effective, const char *whose, struct verdict *v);
void judge_status_peer(const json_t *status, struct verdict *v);

#endif
