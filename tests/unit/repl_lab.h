/* repl_lab.h - for the replication tests: real MariaDB and Redis servers in a folder of their own, ended with the test; one loop; writers
 * that remember every row the server acknowledged. The hactl account has the privileges of FACTS and no more.
 */
#ifndef TESTS_REPL_LAB_H
#define TESTS_REPL_LAB_H

#include "replication/replication.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <mysql.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <systemd/sd-event.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define LAB_BOUND (30 * US_PER_SEC) /* a state that has not come by then does not come */

static char lab_dir[64];
static struct loop *lab_loop;

/* --- processes -------------------------------------------------------------------------------------------------------------------- */

static inline pid_t lab_spawn(char *const argv[], const char *log)
{
	pid_t parent = getpid(), pid = fork();
	assert_true(pid >= 0);
	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	int null = open("/dev/null", O_RDWR), to = log ? open(log, O_WRONLY | O_CREAT | O_APPEND, 0600) : null;
	dup2(null, 0);
	dup2(to, 1);
	dup2(to, 2);
	execvp(argv[0], argv);
	_exit(127);
}

static inline int lab_wait(pid_t pid)
{
	int status = 0;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return status;
}

static inline void lab_kill(pid_t *pid)
{
	if (*pid <= 0)
		return;
	kill(*pid, SIGKILL);
	lab_wait(*pid);
	*pid = 0;
}

static inline void lab_nap(void);

/* SIGSTOP, and until every thread stands: the signal takes effect thread by thread. */
static inline void lab_freeze(pid_t pid)
{
	char command[160];
	snprintf(command, sizeof(command), "! grep -L '^State:.T' /proc/%d/task/*/status | grep -q .", (int)pid);
	kill(pid, SIGSTOP);
	for (us_t end = now_us() + LAB_BOUND; system(command) != 0; lab_nap())
		assert_true(now_us() < end);
}

static inline void lab_nap(void)
{
	struct timespec ts = { 0, 3000000 };
	nanosleep(&ts, NULL);
}

/* A free port below the ephemeral range, tried by binding. Programs that run side by side look in different hundreds: a server listens only a
 * while after its port was found free. */
static inline int lab_port(void)
{
	static int next;
	if (!next)
		next = 20000 + getpid() % 100 * 100;
	for (;;) {
		struct sockaddr_in a = { .sin_family = AF_INET,
			.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
			.sin_port = htons((uint16_t)++next) };
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
		int r = bind(fd, (struct sockaddr *)&a, sizeof(a));
		close(fd);
		if (r == 0)
			return next;
		if (next > 31000)
			next = 20000;
	}
}

static inline int lab_remove_one(const char *path, const struct stat *st, int flag, struct FTW *f)
{
	(void)st;
	(void)flag;
	(void)f;
	return remove(path);
}

static inline void lab_open(void)
{
	struct err e = { "" };
	strcpy(lab_dir, "/tmp/hactl-repl-XXXXXX");
	assert_non_null(mkdtemp(lab_dir));
	lab_loop = loop_new(&e);
	assert_non_null(lab_loop);
}

static inline void lab_close(void)
{
	loop_free(lab_loop);
	nftw(lab_dir, lab_remove_one, 32, FTW_DEPTH | FTW_PHYS);
}

/* --- MariaDB ------------------------------------------------------------------------------------------------------------------------ */

struct sqld {
	pid_t pid;
	int id, port;
	bool started;
	char dir[96], socket[128];
};

/* HACTL_MYSQL_ROOT names the private root that tests/mysql-root.sh unpacks: then it is MySQL's turn, otherwise MariaDB's. */
static inline const char *mysql_root(void)
{
	const char *root = getenv("HACTL_MYSQL_ROOT");
	return root && root[0] ? root : NULL;
}

static const char lab_mariadb_rights[] = "GRANT SLAVE MONITOR, BINLOG MONITOR, REPLICATION SLAVE ADMIN, REPLICATION "
					 "MASTER ADMIN, READ_ONLY ADMIN, CONNECTION ADMIN, "
					 "BINLOG ADMIN, RELOAD, PROCESS ON *.* TO hactl@'%'";
static const char lab_mysql_rights[] = "GRANT REPLICATION CLIENT, REPLICATION_SLAVE_ADMIN, SYSTEM_VARIABLES_ADMIN, "
				       "CONNECTION_ADMIN, RELOAD, PROCESS ON *.* TO hactl@'%';"
				       "GRANT SELECT ON performance_schema.* TO hactl@'%'";
static const char lab_accounts[] =
	"SET GLOBAL read_only = 0; SET sql_log_bin = 0; CREATE USER hactl@'%%' IDENTIFIED BY 'hactl-pw'; %s;"
	"CREATE USER repl@'%%' IDENTIFIED BY 'repl-pw'; GRANT REPLICATION SLAVE ON *.* TO repl@'%%';"
	"CREATE USER app@'%%' IDENTIFIED BY 'app-pw'; GRANT ALL ON app.* TO app@'%%';"
	"CREATE DATABASE app; CREATE TABLE app.rows (writer INT, n INT, PRIMARY KEY (writer, n)) ENGINE = InnoDB; SET "
	"GLOBAL %s = 1";

static inline MYSQL *sql_try(const struct sqld *s, const char *user, const char *password)
{
	MYSQL *db = mysql_init(NULL);
	if (mysql_real_connect(db, NULL, user, password, NULL, 0, s->socket, CLIENT_MULTI_STATEMENTS))
		return db;
	mysql_close(db);
	return NULL;
}

static inline MYSQL *sql_as(const struct sqld *s, const char *user, const char *password)
{
	MYSQL *db = NULL;
	for (us_t end = now_us() + LAB_BOUND; !db && now_us() < end; lab_nap())
		db = sql_try(s, user, password);
	assert_non_null(db);
	return db;
}

static inline int sql_exec(MYSQL *db, const char *stmt)
{
	int r = mysql_query(db, stmt) ? 1 : 0;
	for (; r == 0; r = mysql_next_result(db)) {
		MYSQL_RES *res = mysql_store_result(db);
		if (res)
			mysql_free_result(res);
	}
	return r > 0 ? (int)mysql_errno(db) : 0;
}

static inline void root_do(const struct sqld *s, const char *stmt)
{
	MYSQL *db = sql_as(s, "root", "");
	int r = sql_exec(db, stmt);
	if (r)
		print_error("%s: %s\n", stmt, mysql_error(db));
	assert_int_equal(r, 0);
	mysql_close(db);
}

/* First column of the first row as root; "" for none. Static buffer. */
static inline const char *root_ask(const struct sqld *s, const char *stmt)
{
	static char out[4096];
	MYSQL *db = sql_as(s, "root", "");
	assert_int_equal(mysql_query(db, stmt), 0);
	MYSQL_RES *res = mysql_store_result(db);
	MYSQL_ROW row = mysql_fetch_row(res);
	STR_COPY(out, row && row[0] ? row[0] : "");
	mysql_free_result(res);
	mysql_close(db);
	return out;
}

static inline pid_t sqld_spawn(const struct sqld *s)
{
	const char *root = mysql_root();
	char command[2000], log[160];
	snprintf(log, sizeof(log), "%s/log", s->dir);
	if (root)
		snprintf(command, sizeof(command),
			"mount --bind %s %s/lab && exec chroot %s /usr/sbin/mysqld --no-defaults --user=root "
			"--datadir=/lab/data --socket=/lab/sock "
			"--pid-file=/lab/pid --port=%d --server-id=%d --bind-address=127.0.0.1 --log-bin=bin "
			"--gtid-mode=ON "
			"--enforce-gtid-consistency=ON --skip-replica-start --super-read-only=ON --mysqlx=OFF "
			"--secure-file-priv=NULL "
			"--plugin-load-add=semisync_source.so --plugin-load-add=semisync_replica.so "
			"--innodb-buffer-pool-size=16M "
			"--innodb-redo-log-capacity=8M --innodb-flush-log-at-trx-commit=2 --sync-binlog=0 "
			"--skip-name-resolve",
			s->dir, root, root, s->port, s->id);
	else
		snprintf(command, sizeof(command),
			"o=--no-defaults; [ -f %s/tls.cnf ] && o=--defaults-file=%s/tls.cnf; exec mariadbd $o "
			"--user=root --datadir=%s/data --socket=%s --pid-file=%s/pid "
			"--port=%d --server-id=%d "
			"--bind-address=127.0.0.1 --log-bin=bin --log-slave-updates --gtid-strict-mode=1 "
			"--skip-slave-start --read-only=1 "
			"--innodb-buffer-pool-size=16M --innodb-log-file-size=8M --innodb-flush-log-at-trx-commit=2 "
			"--skip-name-resolve --tmpdir=%s",
			s->dir, s->dir, s->dir, s->socket, s->dir, s->port, s->id, s->dir);
	char *plain[] = { (char *)"sh", (char *)"-c", command, NULL };
	char *boxed[] = { (char *)"unshare", (char *)"--mount", (char *)"--propagation", (char *)"private",
		(char *)"sh", (char *)"-c", command, NULL };
	return lab_spawn(root ? boxed : plain, log);
}

static inline void sqld_run(struct sqld *s)
{
	s->pid = sqld_spawn(s);
	for (us_t end = now_us() + LAB_BOUND;; lab_nap()) {
		MYSQL *db = sql_try(s, "root", "");
		if (db) {
			mysql_close(db);
			s->started = true;
			return;
		}
		if (waitpid(s->pid, NULL, WNOHANG) == s->pid) { /* somebody took its port meanwhile */
			if (!s->started)
				s->port = lab_port();
			s->pid = sqld_spawn(s);
		}
		if (now_us() > end) {
			char show[400];
			snprintf(show, sizeof(show),
				"grep -v Warning..Access %s/log | head -n 60 >&2; ls -la %s/data/mysql/global_priv* "
				">&2",
				s->dir, s->dir);
			fail_msg("server %d did not start (%d)", s->id, system(show));
		}
	}
}

/* One fresh data folder a program, copied for each server. Each has a tmpdir of its own: a MariaDB that starts deletes the temporary tables
 * it finds in its tmpdir, those of other servers included. */
static inline void sqld_new(struct sqld *s, int id)
{
	const char *root = mysql_root();
	char command[1200];
	*s = (struct sqld){ .id = id, .port = lab_port() };
	snprintf(s->dir, sizeof(s->dir), "%s/m%d", lab_dir, id);
	snprintf(s->socket, sizeof(s->socket), "%s/sock", s->dir);
	mkdir(s->dir, 0700);
	if (root)
		snprintf(command, sizeof(command),
			"mkdir -p %s/lab; [ -d %s/fresh ] || unshare --mount --propagation private sh -c 'mount --bind "
			"%s %s/lab && chroot %s "
			"/usr/sbin/mysqld --no-defaults --user=root --datadir=/lab/fresh --innodb-redo-log-capacity=8M "
			"--mysqlx=OFF "
			"--secure-file-priv=NULL --initialize-insecure' > /dev/null 2>&1 && cp -a %s/fresh %s/data && "
			"rm %s/data/auto.cnf",
			root, lab_dir, lab_dir, root, root, lab_dir, s->dir, s->dir);
	else
		snprintf(command, sizeof(command),
			"cd %s; [ -d fresh ] || TMPDIR=$PWD mariadb-install-db --no-defaults "
			"--auth-root-authentication-method=normal "
			"--skip-test-db --user=root --datadir=$PWD/fresh > install.log 2>&1 || { cat install.log >&2; "
			"exit 1; }; "
			"cp -a fresh %s/data",
			lab_dir, s->dir);
	assert_int_equal(system(command), 0);
	sqld_run(s);
	snprintf(command, sizeof(command), lab_accounts, root ? lab_mysql_rights : lab_mariadb_rights,
		root ? "super_read_only" : "read_only");
	root_do(s, command);
}

static inline struct db_target sqld_target(const struct sqld *s, const struct sqld *peer)
{
	struct db_target t = {
		.kind = DB_MYSQL, .at.port = s->port, .peer_port = peer ? peer->port : 1, .semi_sync = true
	};
	STR_COPY(t.at.host, "127.0.0.1");
	STR_COPY(t.at.user, "hactl");
	STR_COPY(t.at.password, "hactl-pw");
	snprintf(t.label, sizeof(t.label), "mysql on n%d", s->id);
	STR_COPY(t.peer_host, "127.0.0.1");
	STR_COPY(t.own_host, "127.0.0.1");
	STR_COPY(t.repl_user, "repl");
	STR_COPY(t.repl_password, "repl-pw");
	return t;
}

/* --- operations and facts ------------------------------------------------------------------------------------------------------------- */

static inline void lab_turn(void)
{
	assert_true(sd_event_run(loop_sd(lab_loop), 50000) >= 0);
}

struct result {
	bool done;
	enum db_outcome outcome;
	us_t took;
	char text[2048];
};

static inline void on_result(void *arg, enum db_outcome outcome, us_t took, const char *text)
{
	struct result *r = arg;
	assert_false(r->done); /* exactly once */
	r->done = true;
	r->outcome = outcome;
	r->took = took;
	STR_COPY(r->text, text);
}

static inline void await_result(struct result *r)
{
	for (us_t end = now_us() + LAB_BOUND; !r->done && now_us() < end;)
		lab_turn();
	assert_true(r->done);
}

static inline struct result op_run(struct db *d, enum db_op op, const char *arg, us_t timeout)
{
	struct result r = { 0 };
	struct err e = { "" };
	if (!db_start(d, op, arg, timeout, on_result, &r, &e))
		fail_msg("%s: %s", db_op_names[op], e.text);
	await_result(&r);
	return r;
}

static inline struct result op_ok(struct db *d, enum db_op op, const char *arg)
{
	us_t end = now_us() + LAB_BOUND;
	struct result r;
	do /* a promotion comes back while it drains */
		r = op_run(d, op, arg, 10 * US_PER_SEC);
	while ((r.outcome == DB_MORE || (op == OP_PROMOTE && r.outcome == DB_WAITS)) && now_us() < end);
	if (r.outcome != DB_OK)
		fail_msg("%s: outcome %d: %s", db_op_names[op], (int)r.outcome, r.text);
	print_message("  %-12s %7.1f ms  %s\n", db_op_names[op], (double)r.took / 1000, r.text);
	return r;
}

static inline struct db *lab_db(const struct db_target *t, us_t interval)
{
	struct err e = { "" };
	struct db *d = db_new(lab_loop, t, interval, NULL, NULL, &e);
	if (!d)
		fail_msg("%s", e.text);
	return d;
}

/* Turns the loop until cond holds on fresh facts f. */
#define AWAIT_FACTS(db_, cond)                                                                                         \
	do {                                                                                                           \
		const struct db_facts *f = db_look(db_);                                                               \
		us_t end_ = now_us() + LAB_BOUND;                                                                      \
		while (!(cond) && now_us() < end_)                                                                     \
			lab_turn();                                                                                    \
		if (!(cond))                                                                                           \
			fail_msg("never came: %s (life %s, trouble \"%s\")", #cond, db_life_names[f->life],            \
				f->trouble);                                                                           \
	} while (0)

/* --- writers -------------------------------------------------------------------------------------------------------------------------- */

enum { WRITERS = 4 };

struct writers {
	pid_t pid[WRITERS];
	volatile struct {
		int acked;    /* rows 1..acked are acknowledged */
		us_t longest; /* between two acknowledgements */
	} * shared;	      /* WRITERS of them */
	volatile int *stop;
	char (*socket)[128]; /* where to write, changed by the test; shared */
	int pause_us;
};

static inline void writer_main(struct writers *w, int me)
{
	MYSQL *db = NULL;
	us_t last = now_us();
	char at[128] = "", stmt[128];
	for (int n = 1; !*w->stop;) {
		if (!db || strcmp(at, *w->socket)) {
			struct sqld s = { 0 };
			unsigned seconds = 2;
			if (db)
				mysql_close(db);
			STR_COPY(at, *w->socket);
			STR_COPY(s.socket, at);
			db = mysql_init(NULL);
			mysql_options(db, MYSQL_OPT_CONNECT_TIMEOUT, &seconds);
			if (!mysql_real_connect(db, NULL, "app", "app-pw", "app", 0, at, 0)) {
				mysql_close(db);
				db = NULL;
				lab_nap();
				continue;
			}
		}
		snprintf(stmt, sizeof(stmt), "INSERT INTO app.rows VALUES (%d, %d)", me, n);
		int r = mysql_query(db, stmt) ? (int)mysql_errno(db) : 0;
		if (r == 0 || r == 1062) { /* 1062: an earlier try, unacknowledged, got through */
			us_t now = now_us();
			if (now - last > w->shared[me].longest)
				w->shared[me].longest = now - last;
			last = now;
			w->shared[me].acked = n++;
			usleep((useconds_t)w->pause_us);
			continue;
		}
		mysql_close(db);
		db = NULL;
		lab_nap();
	}
	_exit(0);
}

static inline void writers_start(struct writers *w, const struct sqld *s, int pause_us)
{
	char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(page, MAP_FAILED);
	w->stop = (int *)page;
	w->socket = (char(*)[128])(page + 64);
	w->shared = (void *)(page + 256);
	w->pause_us = pause_us;
	str_copy(*w->socket, 128, s->socket);
	for (int i = 0; i < WRITERS; i++) {
		pid_t parent = getpid();
		w->pid[i] = fork();
		if (w->pid[i] == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			if (getppid() != parent)
				_exit(1);
			writer_main(w, i);
		}
	}
}

static inline void writers_await(const struct writers *w, int rows)
{
	for (int i = 0; i < WRITERS; i++) {
		int from = w->shared[i].acked;
		for (us_t end = now_us() + LAB_BOUND; w->shared[i].acked < from + rows && now_us() < end;)
			lab_turn();
		assert_true(w->shared[i].acked >= from + rows);
	}
}

static inline void writers_end(struct writers *w)
{
	*w->stop = 1;
	for (int i = 0; i < WRITERS; i++)
		lab_kill(&w->pid[i]);
}

/* Every acknowledged row is on s. */
static inline void writers_check(const struct writers *w, const struct sqld *s)
{
	int total = 0;
	us_t longest = 0;
	for (int i = 0; i < WRITERS; i++) {
		char stmt[128];
		snprintf(stmt, sizeof(stmt), "SELECT COUNT(*) FROM app.rows WHERE writer = %d AND n <= %d", i,
			w->shared[i].acked);
		assert_int_equal(atoi(root_ask(s, stmt)), w->shared[i].acked);
		total += w->shared[i].acked;
		longest = w->shared[i].longest > longest ? w->shared[i].longest : longest;
	}
	print_message(
		"  %d acknowledged rows present; longest pause of a writer %.1f ms\n", total, (double)longest / 1000);
}

#endif
