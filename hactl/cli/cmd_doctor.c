/* cmd_doctor.c - `hactl doctor`: the servers of both nodes as they are reached from here, this node's host and files, against what a
 * failover needs. Every server is asked at the same time, each with a deadline of ours: one that hangs is a finding.
 */
#include "hactl/cli/cmd_doctor.h"

#include "hactl/control/control.h"

#include <systemd/sd-event.h>
#include <unistd.h>

#define EXAM_TIMEOUT   (3 * US_PER_SEC)
#define STATUS_TIMEOUT (2 * US_PER_SEC)

struct doctor;
struct sql_case { /* one server under one account */
	struct doctor *d;
	struct sqlproc *proc;
	struct sql_reply reply; /* status and text; no reply yet: proc NULL */
	json_t *doc;
};

struct redis_case {
	struct doctor *d;
	enum db_life life;
	char text[512];
	json_t *doc;
};

struct doctor {
	struct host_view host;
	struct loop *loop;
	size_t pending;
	bool done;
	struct sql_case sql[NODES], follow,
		admin; /* follow: the replication account at the peer; admin: root at the local server */
	struct redis_case redis[NODES];
	struct report report;
};

void loop_until(struct loop *l, const bool *done)
{
	while (!*done)
		if (sd_event_run(loop_sd(l), UINT64_MAX) < 0)
			return;
}

static void answered(struct doctor *d)
{
	d->done = --d->pending == 0;
}

/* --- asking ------------------------------------------------------------------------------------------------------------------- */

static void on_sql(void *arg, const struct sql_reply *r)
{
	struct sql_case *c = arg;
	c->reply = *r;
	if (r->status == SQL_OK)
		c->doc = json_loadb(r->out, r->out_len, 0, NULL);
	c->reply.out = NULL;
	answered(c->d);
}

static void ask_sql(struct sql_case *c, const struct sql_target *t, const char *label, const char *routine)
{
	char args[64];
	struct err e;
	snprintf(args, sizeof(args), "{\"timeout_ms\":%lld}", (long long)(EXAM_TIMEOUT / US_PER_MS));
	c->proc = sqlproc_new(c->d->loop, t, label, NULL, NULL);
	c->d->pending++;
	if (sqlproc_call(c->proc, routine, args, EXAM_TIMEOUT, on_sql, c, &e) == 0)
		return;
	c->reply = (struct sql_reply){ .status = SQL_FAILED };
	STR_COPY(c->reply.text, e.text);
	answered(c->d);
}

static void on_redis(void *arg, const char *doc, enum db_life life, const char *text)
{
	struct redis_case *c = arg;
	c->life = life;
	STR_COPY(c->text, text ? text : "");
	c->doc = doc ? json_loads(doc, 0, NULL) : NULL;
	answered(c->d);
}

static void ask_redis(struct redis_case *c, const struct sql_target *t)
{
	struct err e;
	c->d->pending++;
	if (redis_examine(c->d->loop, t, EXAM_TIMEOUT, on_redis, c, &e) < 0)
		on_redis(c, NULL, DB_UNREACHABLE, e.text);
}

static void ask_servers(struct doctor *d)
{
	const struct conf *conf = d->host.conf;
	int peer = 1 - d->host.me;
	for (int i = 0; i < NODES; i++) {
		struct db_target t;
		specs_db(conf, i, d->host.me, DB_MYSQL, &t);
		if (conf->node[i].mysql.present)
			ask_sql(&d->sql[i], &t.at, t.label, "examine");
		if (conf->node[i].mysql.present && i == peer && *conf->node[i].mysql.replication_user) {
			struct sql_target as = t.at;
			STR_COPY(as.user, conf->node[i].mysql.replication_user);
			STR_COPY(as.password, conf->node[i].mysql.replication_password);
			ask_sql(&d->follow, &as, t.label, "examine_self");
			explicit_bzero(&as, sizeof(as));
		}
		specs_db(conf, i, d->host.me, DB_REDIS, &t);
		if (conf->node[i].redis.present)
			ask_redis(&d->redis[i], &t.at);
		explicit_bzero(&t, sizeof(t));
	}
	d->done = d->pending == 0;
	loop_until(d->loop, &d->done);
}

/* --- the administrator's view of the local server --------------------------------------------------------------------------------- */

/* Root by the server's own socket, as packages of Debian set it up: the configured one, or the one the server names if it lies here. */
static bool socket_of(const json_t *doc, const struct conf_mysql *m, char path[108])
{
	const json_t *row = doc_row(json_object_get(doc, "variables"), "name", "socket");
	const char *name = *m->socket ? m->socket : json_string_value(json_object_get(row, "value"));
	return name && name[0] == '/' && access(name, F_OK) == 0 && str_copy(path, 108, name);
}

static const char *server_field(const json_t *doc, const char *key)
{
	return json_string_value(json_object_get(json_array_get(json_object_get(doc, "server"), 0), key));
}

/* The same server: its start and number. Another one behind that socket must not be judged in its place. */
static bool same_server(const json_t *a, const json_t *b)
{
	return str_eq(server_field(a, "started"), server_field(b, "started")) &&
	       str_eq(server_field(a, "server_id"), server_field(b, "server_id"));
}

static const char *ask_administrator(struct doctor *d)
{
	const json_t *doc = d->sql[d->host.me].doc;
	struct sql_target t = { .user = "root" };
	if (!doc)
		return "the server did not answer";
	if (!socket_of(doc, &d->host.conf->node[d->host.me].mysql, t.socket))
		return "the server's socket is not on this host";
	d->done = false;
	ask_sql(&d->admin, &t, "the local server as root", "examine_admin");
	loop_until(d->loop, &d->done);
	if (!d->admin.doc)
		return d->admin.reply.text;
	if (same_server(doc, d->admin.doc))
		return NULL;
	json_decref(d->admin.doc);
	d->admin.doc = NULL;
	return "another server answers on its socket";
}

/* --- judging ------------------------------------------------------------------------------------------------------------------------ */

static const char *const sql_fixes[SQL_STATUS_COUNT] = {
	[SQL_REFUSED] = "start the server there (systemctl start mariadb, or mysql); does it listen on the node's "
			"address (bind_address)?",
	[SQL_DENIED] = "the account and its password: hactl doctor --grants; mysql.password_file",
	[SQL_BUSY] = "SET GLOBAL max_connections = ...;   and in the option file; CONNECTION_ADMIN gives hactl a place "
		     "of its own",
	[SQL_FAILED] = "what the error says",
	[SQL_GONE] = "look into the server's error log",
	[SQL_TIMEOUT] = "the server hangs: look into its error log, its disk, SHOW PROCESSLIST",
	[SQL_UNREACHABLE] = "the network between the nodes, and the firewall on the server's port",
};

static void judge_follow(struct doctor *d)
{
	const struct conf_node *peer = &d->host.conf->node[1 - d->host.me];
	const char *account = peer->mysql.replication_user;
	struct sql_case *c = &d->follow;
	char area[NAME_MAX_LEN + 16];
	struct verdict *v;
	if (!c->proc || !d->sql[1 - d->host.me].doc)
		return;
	snprintf(area, sizeof(area), "mysql on %.60s", peer->name);
	v = report_add(&d->report, area, "replication account");
	const char *here = d->host.conf->node[d->host.me].name;
	if (!c->doc)
		say_wrong(v, "account %s cannot log in there from %s: %.300s", account, here, c->reply.text);
	else if (doc_row(json_object_get(c->doc, "privileges"), "privilege", "REPLICATION SLAVE"))
		say_ok(v, "%s may log in from %s and replicate", account, here);
	else
		say_wrong(v, "account %s may log in and lacks REPLICATION SLAVE", account);
	if (v->severity == SEV_WRONG)
		say_fix(v,
			"ALTER USER '%s'@'%%' IDENTIFIED BY '<as in mysql.replication_password_file>'; GRANT "
			"REPLICATION SLAVE ON *.* TO '%s'@'%%';   (on the primary)",
			account, account);
}

static void judge_sql(struct doctor *d, struct sql_exam x[NODES], int i)
{
	const struct conf *conf = d->host.conf;
	char area[NAME_MAX_LEN + 16];
	struct verdict *v;
	if (!conf->node[i].mysql.present)
		return;
	snprintf(area, sizeof(area), "mysql on %.60s", x[i].node);
	v = report_add(&d->report, area, "server");
	if (!x[i].doc) {
		say_wrong(v, "%s", d->sql[i].reply.text);
		say_fix(v, "%s", sql_fixes[d->sql[i].reply.status] ? sql_fixes[d->sql[i].reply.status] : "");
		return;
	}
	say_ok(v, "%s answers in %.1f ms", server_field(x[i].doc, "version"), (double)d->sql[i].reply.took_us / 1e3);
	doctor_sql(&x[i], &d->report);
}

static const char *server_ca(const struct conf_mysql *m)
{
	return !m->tls ? NULL : *m->replication_ca_file ? m->replication_ca_file : m->ca_file;
}

static void judge_all_sql(struct doctor *d)
{
	const struct conf *conf = d->host.conf;
	struct sql_exam x[NODES];
	json_t *files = NULL;
	for (int i = 0; i < NODES; i++)
		x[i] = (struct sql_exam){ .node = conf->node[i].name,
			.peer_host = conf->node[1 - i].address,
			.peer_port = conf->node[1 - i].mysql.port,
			.account = conf->node[i].mysql.user,
			.local = i == d->host.me,
			.semi_sync = conf->node[i].mysql.semi_sync != SEMI_SYNC_OFF,
			.clone = str_eq(conf->node[i].mysql.reseed, "clone"),
			.ca_file = server_ca(&conf->node[i].mysql),
			.events = conf->node[i].mysql.events == EVENTS_MANAGE,
			.doc = d->sql[i].doc };
	struct sql_exam *mine = &x[d->host.me];
	if (mine->doc) {
		mine->admin_why = ask_administrator(d);
		mine->admin = d->admin.doc;
		mine->files = files = options_of_server(conf->node[d->host.me].mysql.port,
			json_is_true(json_object_get(mine->doc, "mariadb")),
			(int)json_integer_value(json_object_get(mine->doc, "number")));
	}
	for (int i = 0; i < NODES; i++) {
		judge_sql(d, x, i);
		if (i != d->host.me)
			judge_follow(d);
	}
	doctor_sql_pair(x, &d->report);
	json_decref(files);
}

static const char *const redis_fixes[DB_LIFE_COUNT] = {
	[DB_DEAD] =
		"start the server there (systemctl start redis-server); does it listen on the node's address (bind)?",
	[DB_HUNG] = "the server hangs: look into its log, SLOWLOG GET, the disk",
	[DB_DENIED] = "the account and its password: hactl doctor --grants; redis.password_file",
	[DB_UNREACHABLE] = "the network between the nodes, and the firewall on the server's port",
};

static void judge_redis(struct doctor *d, const struct redis_exam_view *x, int i)
{
	char area[NAME_MAX_LEN + 16];
	struct verdict *v;
	if (!d->host.conf->node[i].redis.present)
		return;
	snprintf(area, sizeof(area), "redis on %.60s", x->node);
	v = report_add(&d->report, area, "server");
	if (!x->doc) {
		say_wrong(v, "%s: %.400s", db_life_names[d->redis[i].life], d->redis[i].text);
		say_fix(v, "%s", redis_fixes[d->redis[i].life] ? redis_fixes[d->redis[i].life] : "");
		return;
	}
	say_ok(v, "answers");
	doctor_redis(x, &d->report);
}

static void judge_all_redis(struct doctor *d)
{
	const struct conf *conf = d->host.conf;
	struct redis_exam_view x[NODES];
	json_t *files = NULL;
	for (int i = 0; i < NODES; i++) {
		const json_t *info = json_object_get(d->redis[i].doc, "info");
		const char *file = json_string_value(json_object_get(info, "config_file"));
		x[i] = (struct redis_exam_view){ .node = conf->node[i].name,
			.account = conf->node[i].redis.user,
			.password = *conf->node[i].redis.password,
			.peer_host = conf->node[1 - i].address,
			.peer_port = conf->node[1 - i].redis.port,
			.local = i == d->host.me,
			.doc = d->redis[i].doc };
		if (x[i].local && x[i].doc)
			x[i].files = files = directives_of_server(conf->node[i].redis.port, file ? file : "");
		judge_redis(d, &x[i], i);
	}
	doctor_redis_pair(x, &d->report);
	json_decref(files);
}

/* --- the command -------------------------------------------------------------------------------------------------------------------- */

static void on_status(void *arg, json_t *line)
{
	json_t **status = arg;
	json_decref(*status);
	*status = json_incref(json_object_get(line, "status"));
}

static void print(const struct doctor *d, bool json)
{
	const struct conf *conf = d->host.conf;
	const char *me = conf->node[d->host.me].name, *peer = conf->node[1 - d->host.me].name;
	if (json) {
		json_t *list = report_json(&d->report);
		auto_free char *text = json_dumps(list, JSON_INDENT(2));
		puts(text ? text : "[]");
		json_decref(list);
		return;
	}
	cli_say_safety(conf);
	printf("examined from %s: the servers of both nodes; host, files, events and proxies of %s only: type this on "
	       "%s too\n",
		me, me, peer);
	report_print(&d->report, stdout);
}

static void doctor_free(struct doctor *d)
{
	struct sql_case *const cases[] = { &d->sql[0], &d->sql[1], &d->follow, &d->admin };
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		sqlproc_free(cases[i]->proc);
		json_decref(cases[i]->doc);
	}
	for (int i = 0; i < NODES; i++)
		json_decref(d->redis[i].doc);
	json_decref((json_t *)(uintptr_t)d->host.status);
	report_free(&d->report);
	loop_free(d->loop);
	free(d);
}

static int examine(struct cli *c, const struct conf *conf, int me, bool json)
{
	struct doctor *d = xcalloc(1, sizeof(*d));
	json_t *status = NULL;
	struct err e;
	d->loop = loop_new(&e);
	if (!d->loop) {
		fprintf(stderr, "hactl: %s\n", e.text);
		free(d);
		return EXIT_REFUSED;
	}
	control_ask(c->socket, json_pack("{s:s}", "cmd", "status"), STATUS_TIMEOUT, on_status, &status, &e);
	d->host = (struct host_view){ .loop = d->loop, .cli = c, .conf = conf, .me = me, .status = status };
	d->sql[0].d = d->sql[1].d = d->follow.d = d->admin.d = d->redis[0].d = d->redis[1].d = d;
	ask_servers(d);
	doctor_peer(&d->host, &d->report);
	judge_all_sql(d);
	judge_all_redis(d);
	doctor_host(&d->host, &d->report);
	doctor_upstreams(&d->host, &d->report);
	print(d, json);
	int r = report_wrong(&d->report) ? EXIT_REFUSED : EXIT_DONE;
	doctor_free(d);
	return r;
}

/* The dialect of a server that answers; without one both are printed. */
static int print_grants(struct cli *c, const struct conf *conf, int me)
{
	struct doctor *d = xcalloc(1, sizeof(*d));
	struct err e;
	const struct conf_mysql *m = &conf->node[me].mysql;
	d->loop = loop_new(&e);
	if (!d->loop) {
		fprintf(stderr, "hactl: %s\n", e.text);
		free(d);
		return EXIT_REFUSED;
	}
	d->host = (struct host_view){ .cli = c, .conf = conf, .me = me };
	d->sql[0].d = d->sql[1].d = d->follow.d = d->redis[0].d = d->redis[1].d = d;
	ask_servers(d);
	const json_t *doc = d->sql[me].doc ? d->sql[me].doc : d->sql[1 - me].doc;
	bool mariadb = json_is_true(json_object_get(doc, "mariadb"));
	int version = (int)json_integer_value(json_object_get(doc, "number"));
	if (m->present && (!doc || mariadb))
		grants_print_sql(&(struct grants_wish){ true, m->events == EVENTS_MANAGE, version }, m->user,
			m->replication_user, stdout);
	if (m->present && (!doc || !mariadb))
		grants_print_sql(&(struct grants_wish){ false, m->events == EVENTS_MANAGE, version }, m->user,
			m->replication_user, stdout);
	if (!m->present && !conf->node[me].redis.present)
		fputs("hactl: no database is configured: no account is needed\n", stderr);
	if (conf->node[me].redis.present)
		grants_print_redis(*conf->node[me].redis.user ? conf->node[me].redis.user : "hactl", stdout);
	doctor_free(d);
	return EXIT_DONE;
}

int cli_doctor(struct cli *c, int argc, char **argv)
{
	bool json = false, grants = false;
	const struct cli_option own[] = { { "json", 'j', NULL, &json }, { "grants", 'g', NULL, &grants }, { 0 } };
	struct err e;
	if (cli_parse(c, &argc, argv, own) < 0)
		return EXIT_USAGE;
	if (argc > 1)
		return cli_usage(c, "doctor takes no %s", argv[1]);
	if (json && grants)
		return cli_usage(c, "--grants prints statements to type, not JSON");
	struct conf *conf = cli_conf(c);
	if (!conf)
		return EXIT_REFUSED;
	int me = conf_self(conf, c->node, &e);
	int r = EXIT_REFUSED;
	if (me == NOBODY)
		fprintf(stderr, "hactl: %s\n", e.text);
	else
		r = grants ? print_grants(c, conf, me) : examine(c, conf, me, json);
	conf_free(conf);
	return r;
}
