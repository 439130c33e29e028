/* sql_reseed.c - MySQL: this server's data replaced by the other one's, by SQL alone (CLONE, 8.0.17 and later).
 *
 * Until CLONE itself begins nothing is touched: the donor is asked first for everything that would make it fail. From then on this
 * server's own data are gone, whatever happens; the export was made before. Measured on 9.7: super_read_only must be off (read_only stays);
 * it ends with error 3707 and the server exits (0, or 16 with MYSQLD_PARENT_PID): "start me". server_uuid is kept, accounts are the
 * donor's.
 */
#include "replication/routines.h"

static int has_clone(struct task *t, const char *where, struct err *e)
{
	char v[32];
	if (sql_value(t->db, v, sizeof(v), e,
		    "SELECT PLUGIN_STATUS FROM information_schema.PLUGINS WHERE PLUGIN_NAME = 'clone'") < 0)
		return -1;
	if (str_eq(v, "ACTIVE"))
		return 0;
	return err_set(e,
		"the clone plugin is not loaded at %s: write plugin-load-add=mysql_clone.so in its configuration, or "
		"INSTALL PLUGIN clone SONAME 'mysql_clone.so'",
		where);
}

static int has_privilege(struct task *t, const char *name, const char *where, struct err *e)
{
	char v[32];
	if (sql_value(t->db, v, sizeof(v), e,
		    "SELECT COUNT(*) FROM information_schema.USER_PRIVILEGES WHERE PRIVILEGE_TYPE = '%s'", name) < 0)
		return -1;
	return !str_eq(v, "0") ? 0 : err_set(e, "hactl's account lacks the privilege %s at %s", name, where);
}

static int same_version(struct task *t, struct task *donor, struct err *e)
{
	const char *mine = mysql_get_server_info(t->db), *theirs = mysql_get_server_info(donor->db);
	return mysql_get_server_version(t->db) / 100 == mysql_get_server_version(donor->db) / 100
		       ? 0
		       : err_set(e, "CLONE needs equal series: this server is %s and the primary is %s", mine, theirs);
}

/* The donor, asked before anything here is touched. */
static int check_donor(struct task *t, struct err *e)
{
	struct task d = *t;
	struct err why = { "" };
	int r = -1;

	d.db = open_peer(t, false, &why);
	if (!d.db)
		return err_set(e, "the primary cannot be cloned: %s", why.text);
	d.dialect = dialect_of(d.db, e);
	if (d.dialect && d.dialect->mariadb)
		err_set(e, "the primary is MariaDB, which cannot be cloned");
	else if (d.dialect && same_version(t, &d, e) == 0 && has_clone(&d, "the primary", e) == 0)
		r = has_privilege(&d, "BACKUP_ADMIN", "the primary", e);
	mysql_close(d.db);
	return r;
}

static int check_here(struct task *t, struct err *e)
{
	if (t->dialect->mariadb)
		return err_set(e, "MariaDB has no CLONE: set mysql.reseed to a command, such as the reseed-mariadb "
				  "that comes with hactl");
	if (has_clone(t, "this server", e) < 0 || has_privilege(t, "CLONE_ADMIN", "this server", e) < 0)
		return -1;
	return has_privilege(t, "SYSTEM_VARIABLES_ADMIN", "this server", e);
}

/* The clone's own end: the server says "start me", or is gone before it can. */
static bool ended_well(MYSQL *db)
{
	unsigned code = mysql_errno(db);
	return code == 3707 /* ER_RESTART_SERVER_FAILED */ || code == 2013 || code == 2006 || code == 1053;
}

static int clone_now(struct task *t, struct err *e)
{
	char host[160], user[160], password[600], donor[160];
	struct err why = { "" }, ignored;
	int r;

	snprintf(donor, sizeof(donor), "%s:%lld", task_text(t, "host"), (long long)task_int(t, "host_port"));
	if (!sql_quote(t->db, task_text(t, "host"), host, sizeof(host)) ||
		!sql_quote(t->db, task_text(t, "user"), user, sizeof(user)) ||
		!sql_quote(t->db, task_text(t, "password"), password, sizeof(password)))
		return err_set(e, "the account's name or password is too long");
	if (sql_run(t->db, e, "SET GLOBAL clone_valid_donor_list = '%s'", donor) < 0 ||
		sql_run(t->db, e, "SET GLOBAL super_read_only = OFF") < 0)
		return -1;
	r = sql_run(t->db, &why, "CLONE INSTANCE FROM %s@%s:%lld IDENTIFIED BY %s %s", user, host,
		(long long)task_int(t, "host_port"), password, task_bool(t, "tls") ? "REQUIRE SSL" : "");
	explicit_bzero(password, sizeof(password));
	if (r == 0 || ended_well(t->db))
		return 0;
	sql_run(t->db, &ignored, "SET GLOBAL super_read_only = ON");
	return err_set(e, "CLONE failed, and " CLONE_TOUCHED ": %s", why.text);
}

int routine_clone(void *db, const char *args, char *out, size_t cap, struct err *e)
{
	auto_task struct task t;
	auto_free struct channel *c = xcalloc(1, sizeof(*c));
	int ro;

	if (task_open(&t, db, args, out, cap, e) < 0)
		return -1;
	ro = read_only(&t, e);
	if (ro < 0 || (ro == WRITES_OPEN && err_set(e, "this server is writable: it is no replica")) ||
		channel_read(&t, c, e) < 0)
		return -1;
	if (c->configured)
		return err_set(e, "this server replicates from %s:%d; nothing is cloned over it", c->host, c->port);
	if (check_here(&t, e) < 0 || check_donor(&t, e) < 0 || clone_now(&t, e) < 0)
		return -1;
	return task_say(&t, "cloned from %s:%lld, to be started again", task_text(&t, "host"),
		(long long)task_int(&t, "host_port"));
}

int routine_cloned(void *db, const char *args, char *out, size_t cap, struct err *e)
{
	auto_task struct task t;
	char state[64], error[300];

	if (task_open(&t, db, args, out, cap, e) < 0 ||
		sql_value(db, state, sizeof(state), e, "SELECT STATE FROM performance_schema.clone_status") < 0 ||
		sql_value(db, error, sizeof(error), e,
			"SELECT LEFT(ERROR_MESSAGE, 250) FROM performance_schema.clone_status") < 0)
		return -1;
	if (!str_eq(state, "Completed"))
		return err_set(e, "the clone's state is \"%s\"%s%s", state, error[0] ? ": " : "", error);
	return task_say(&t, "completed");
}
