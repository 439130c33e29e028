/* cmd_doctor_grants.c - what hactl's accounts must be allowed, and no more: the one table behind `doctor --grants`, the check of the
 * accounts found, and the lab's own accounts (tests/lab/test_doctor.py compares).
 */
#include "hactl/cli/cmd_doctor.h"

#define SCHEMA_PREFIX "SELECT ON "

static const char *const mariadb_needed[] = {
	"SLAVE MONITOR",	    /* SHOW ALL SLAVES STATUS */
	"BINLOG MONITOR",	    /* positions */
	"REPLICATION SLAVE ADMIN",  /* START, STOP, CHANGE MASTER, gtid_slave_pos */
	"REPLICATION MASTER ADMIN", /* the source side of semi-sync */
	"READ_ONLY ADMIN",	    /* read_only, and working under it */
	"CONNECTION ADMIN",	    /* ending sessions; a place when all connections are taken */
	"BINLOG ADMIN",
	"RELOAD",  /* RESET SLAVE */
	"PROCESS", /* whose sessions there are */
	NULL,
};

static const char *const mysql_needed[] = {
	"REPLICATION CLIENT",
	"REPLICATION_SLAVE_ADMIN",
	"SYSTEM_VARIABLES_ADMIN", /* super_read_only, semi-sync, net timeout */
	"CONNECTION_ADMIN",
	"RELOAD",
	"PROCESS",
	SCHEMA_PREFIX "performance_schema", /* NOLINT(bugprone-suspicious-missing-comma): one word */
	NULL,
};

/* mysql.reseed = "clone": one as donor, one as recipient. */
static const char *const mysql_reseed[] = { "BACKUP_ADMIN", "CLONE_ADMIN", NULL };
static const char *const none[] = { NULL };

/* mysql.events = "manage": to enable an event and keep its definer. */
static const char *const mariadb_events[] = { "EVENT", "SET USER", NULL };
static const char *const mysql_events[] = { "EVENT", "SET_ANY_DEFINER", NULL };
static const char *const mysql80_events[] = { "EVENT", "SET_USER_ID", NULL };
enum { ANY_DEFINER_SINCE = 80200 };

const char redis_acl[] = "-@all +info +role +ping +replicaof +failover +config|get +config|set +client|kill "
			 "+client|pause +client|unpause +multi +exec +discard +wait +pubsub|numsub";

const char *const *grants_needed(bool mariadb)
{
	return mariadb ? mariadb_needed : mysql_needed;
}

const char *const *grants_reseed(bool mariadb)
{
	return mariadb ? none : mysql_reseed;
}

const char *const *grants_events(bool mariadb, int version)
{
	if (mariadb)
		return mariadb_events;
	return version && version < ANY_DEFINER_SINCE ? mysql80_events : mysql_events;
}

static size_t count(const char *const *list)
{
	size_t n = 0;
	while (list[n])
		n++;
	return n;
}

char *grants_statement(const char *const *privileges, size_t n, const char *account)
{
	char text[1024] = "";
	size_t len = 0;
	bool global = false;

	for (size_t i = 0; i < n; i++)
		/* NOLINTNEXTLINE(clang-analyzer-core.CallAndMessage): n is their count */
		if (!str_starts(privileges[i], SCHEMA_PREFIX)) {
			str_add(text, sizeof(text), &len, "%s%s", global ? ", " : "GRANT ", privileges[i]);
			global = true;
		}
	if (global)
		str_add(text, sizeof(text), &len, " ON *.* TO '%s'@'%%';", account);
	for (size_t i = 0; i < n; i++)
		if (str_starts(privileges[i], SCHEMA_PREFIX))
			str_add(text, sizeof(text), &len, "%sGRANT SELECT ON %s.* TO '%s'@'%%';", len ? "\n" : "",
				privileges[i] + strlen(SCHEMA_PREFIX), account);
	return xstrdup(text);
}

/* On MySQL an event of an account with SYSTEM_USER is altered by such an account only (seen on 9.7): said, not asked for. */
static void print_events(bool mariadb, int version, const char *account, FILE *to)
{
	const char *const *list = grants_events(mariadb, version);
	auto_free char *grant = grants_statement(list, count(list), account);

	fprintf(to, "-- for mysql.events = \"manage\", the default; with \"leave\" hactl needs it not:\n%s\n", grant);
	if (!mariadb)
		fprintf(to,
			"-- an event whose definer holds SYSTEM_USER (root) needs this too; better, give the event a "
			"definer of its own: GRANT SYSTEM_USER ON *.* TO '%s'@'%%';\n",
			account);
}

void grants_print_sql(const struct grants_wish *w, const char *account, const char *replication_account, FILE *to)
{
	bool mariadb = w->mariadb;
	const char *const *needed = grants_needed(mariadb), *const *reseed = grants_reseed(mariadb);
	auto_free char *grant = grants_statement(needed, count(needed), account);
	auto_free char *more = grants_statement(reseed, count(reseed), account);
	fprintf(to,
		"-- %s: on the primary; replication carries it to the standby. '%%' may be narrowed to both nodes' "
		"addresses\n",
		mariadb ? "MariaDB" : "MySQL");
	fprintf(to, "CREATE USER IF NOT EXISTS '%s'@'%%' IDENTIFIED BY '...';\n%s\n", account, grant);
	if (w->events)
		print_events(mariadb, w->version, account, to);
	if (*more)
		fprintf(to, "-- for mysql.reseed = \"clone\" only:\n%s\n", more);
	if (*replication_account)
		fprintf(to,
			"CREATE USER IF NOT EXISTS '%s'@'%%' IDENTIFIED BY '...';\nGRANT REPLICATION SLAVE ON *.* TO "
			"'%s'@'%%';\n",
			replication_account, replication_account);
}

void grants_print_redis(const char *account, FILE *to)
{
	fprintf(to, "# Redis: on both nodes, then ACL SAVE or the same line as `user` in the file\n");
	fprintf(to, "ACL SETUSER %s on >... %s\n", account, redis_acl);
}
