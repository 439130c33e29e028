/* sqlproc_child.c - helper side: one process, one connection, plain blocking calls of the client library.
 *
 * The deadline is the parent's SIGKILL; an interval timer one second behind it is the second line. Differences between Oracle's library
 * and MariaDB's Connector/C stand in the block below and nowhere else.
 */
#include "hactl/base/sqlproc.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/capability.h>
#include <mysql.h>
#include <errmsg.h>
#include <mysqld_error.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* --- what differs between the two client libraries --------------------------------------------------------------------- */
#ifdef MARIADB_PACKAGE_VERSION_ID
static int library_socket(MYSQL *db)
{
	return (int)mysql_get_socket(db);
}

/* SSL_ENFORCE alone falls back to plain text; VERIFY_SERVER_CERT is what refuses (measured with Connector/C 3.3) */
static void library_tls(MYSQL *db, bool tls)
{
	my_bool on = tls ? 1 : 0;
	mysql_optionsv(db, MYSQL_OPT_SSL_ENFORCE, &on);
	mysql_optionsv(db, MYSQL_OPT_SSL_VERIFY_SERVER_CERT, &on);
}
#else
static int library_socket(MYSQL *db)
{
	return (int)db->net.fd;
}

/* without TLS caching_sha2_password needs the server's public key */
static void library_tls(MYSQL *db, bool tls)
{
	unsigned mode = tls ? SSL_MODE_VERIFY_IDENTITY : SSL_MODE_DISABLED;
	bool key = !tls;
	mysql_options(db, MYSQL_OPT_SSL_MODE, &mode);
	mysql_options(db, MYSQL_OPT_GET_SERVER_PUBLIC_KEY, &key);
}
#endif

/* --- error numbers to statuses -------------------------------------------------------------------------------------------- */

static const struct {
	int code;
	enum sql_status status;
} meanings[] = {
	{ 1040, SQL_BUSY },   /* ER_CON_COUNT_ERROR */
	{ 1203, SQL_BUSY },   /* ER_TOO_MANY_USER_CONNECTIONS */
	{ 1226, SQL_BUSY },   /* ER_USER_LIMIT_REACHED */
	{ 1044, SQL_DENIED }, /* ER_DBACCESS_DENIED_ERROR */
	{ 1045, SQL_DENIED }, /* ER_ACCESS_DENIED_ERROR */
	{ 1130, SQL_DENIED }, /* ER_HOST_NOT_PRIVILEGED */
	{ 1129, SQL_DENIED }, /* ER_HOST_IS_BLOCKED */
	{ 1142, SQL_DENIED }, /* ER_TABLEACCESS_DENIED_ERROR */
	{ 1227, SQL_DENIED }, /* ER_SPECIFIC_ACCESS_DENIED_ERROR */
	{ 1698, SQL_DENIED }, /* ER_ACCESS_DENIED_NO_PASSWORD_ERROR */
	{ 1820, SQL_DENIED }, /* ER_MUST_CHANGE_PASSWORD */
	{ 1862, SQL_DENIED }, /* ER_MUST_CHANGE_PASSWORD_LOGIN */
	{ 3118, SQL_DENIED }, /* ER_ACCOUNT_HAS_BEEN_LOCKED (MySQL) */
	{ 4151, SQL_DENIED }, /* ER_ACCOUNT_HAS_BEEN_LOCKED (MariaDB) */
	{ 2006, SQL_GONE },   /* CR_SERVER_GONE_ERROR */
	{ 2013, SQL_GONE },   /* CR_SERVER_LOST */
	{ 2055, SQL_GONE },   /* CR_SERVER_LOST_EXTENDED */
	{ 1053, SQL_GONE },   /* ER_SERVER_SHUTDOWN */
	{ 1927, SQL_GONE },   /* ER_CONNECTION_KILLED (MariaDB) */
	{ 4031, SQL_GONE },   /* ER_CLIENT_INTERACTION_TIMEOUT (MySQL) */
};

static enum sql_status meaning(int code)
{
	for (size_t i = 0; i < ARRAY_LEN(meanings); i++)
		if (meanings[i].code == code)
			return meanings[i].status;
	return SQL_FAILED;
}

/* --- connecting -------------------------------------------------------------------------------------------------------------- */

static void where(const struct sql_target *t, char out[160])
{
	if (t->socket[0])
		snprintf(out, 160, "%s", t->socket);
	else
		snprintf(out, 160, "%s port %d", t->host, t->port);
}

static socklen_t address(const struct sql_target *t, struct sockaddr_storage *ss)
{
	struct sockaddr_un *un = (struct sockaddr_un *)ss;
	struct sockaddr_in *v4 = (struct sockaddr_in *)ss;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)ss;

	memset(ss, 0, sizeof(*ss));
	if (t->socket[0]) {
		un->sun_family = AF_UNIX;
		STR_COPY(un->sun_path, t->socket);
		return sizeof(*un);
	}
	if (inet_pton(AF_INET, t->host, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons((uint16_t)t->port);
		return sizeof(*v4);
	}
	if (inet_pton(AF_INET6, t->host, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons((uint16_t)t->port);
		return sizeof(*v6);
	}
	return 0;
}

/* errno of a connection of our own, 0 when it succeeds: the library's text does not reliably carry it, and a second refusal right after
 * the first is the confirmation that the server is dead. */
static int connect_errno(const struct sql_target *t)
{
	struct sockaddr_storage ss;
	socklen_t len = address(t, &ss);
	auto_close int fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (!len || fd < 0)
		return EINVAL;
	return connect(fd, (struct sockaddr *)&ss, len) == 0 ? 0 : errno;
}

static enum sql_status connect_status(const struct sql_target *t, char text[512])
{
	char at[160];
	int err = connect_errno(t);

	where(t, at);
	switch (err) {
	case ECONNREFUSED:
	case ENOENT:
		snprintf(text, 512, "connection refused by %s: no server listens there", at);
		return SQL_REFUSED;
	case EACCES:
	case EPERM:
		snprintf(text, 512, "not allowed to connect to %s: %s", at, strerror(err));
		return SQL_DENIED;
	case 0:
		snprintf(text, 512, "%s refused a connection and accepted the next one", at);
		return SQL_GONE;
	default:
		snprintf(text, 512, "cannot reach %s: %s", at, strerror(err));
		return SQL_UNREACHABLE;
	}
}

void *sqlproc_connect(const struct sql_target *t, us_t timeout, enum sql_status *status, int *code, char text[512])
{
	unsigned seconds = (unsigned)((timeout > 0 ? timeout : 0) / US_PER_SEC) + 1,
		 protocol = t->socket[0] ? MYSQL_PROTOCOL_SOCKET : MYSQL_PROTOCOL_TCP;
	unsigned no = 0;
	MYSQL *db = mysql_init(NULL);

	mysql_options(db, MYSQL_OPT_CONNECT_TIMEOUT, &seconds);
	mysql_options(db, MYSQL_OPT_PROTOCOL, &protocol);
	mysql_options(db, MYSQL_OPT_LOCAL_INFILE, &no);
	mysql_options(db, MYSQL_SET_CHARSET_NAME, "utf8mb4");
	/* an idle connection is our watch on the server: it must not be ended for idleness (maximum of both servers). Our statements mean
	 * the same whatever mode the server runs in: under NO_BACKSLASH_ESCAPES MySQL's LIKE knows no escape */
	mysql_options(db, MYSQL_INIT_COMMAND, "SET SESSION wait_timeout = 31536000, sql_mode = ''");
	library_tls(db, t->tls);
	if (t->tls)
		mysql_options(db, MYSQL_OPT_SSL_CA, t->ca_file);
	if (mysql_real_connect(db, t->socket[0] ? NULL : t->host, t->user, t->password, NULL, (unsigned)t->port,
		    t->socket[0] ? t->socket : NULL, CLIENT_MULTI_STATEMENTS)) {
		if (!t->tls || mysql_get_ssl_cipher(db))
			return db;
		*status = SQL_FAILED;
		*code = 0;
		snprintf(text, 512, "the server did not encrypt the connection although tls = true");
		mysql_close(db);
		return NULL;
	}
	*code = (int)mysql_errno(db);
	snprintf(text, 512, "%s", mysql_error(db));
	*status =
		*code == CR_CONNECTION_ERROR || *code == CR_CONN_HOST_ERROR ? connect_status(t, text) : meaning(*code);
	mysql_close(db);
	return NULL;
}

/* --- the helper ------------------------------------------------------------------------------------------------------------------ */

struct helper {
	struct sql_target target;
	const struct sql_routine *const *tables;
	size_t n_tables;
	MYSQL *db;
	timer_t eve;	 /* fires shortly before the parent's deadline */
	uint32_t serial; /* of the call being served */
	char *in, *out;
};

static void say(const struct sqlproc_head *head, const char *body)
{
	struct iovec iov[2] = { { (void *)(uintptr_t)head, sizeof(*head) },
		{ (void *)(uintptr_t)body, body ? strlen(body) : 0 } };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };
	if (sendmsg(SQLPROC_FD, &msg, MSG_NOSIGNAL) < 0)
		_exit(0); /* the parent is gone */
}

static bool syn_sent(int fd)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);
	return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 && info.tcpi_state == TCP_SYN_SENT;
}

/* The deadline is near. A socket that still waits for the first answer to its SYN says "unreachable", which says nothing about the
 * server; one that is connected but silent is left to the parent's SIGKILL and means "hung". Only async-signal-safe calls. */
static void on_eve(int sig, siginfo_t *si, void *ctx)
{
	const struct helper *h = si->si_value.sival_ptr;
	struct sqlproc_head reply = { .kind = SQLPROC_REPLY,
		.serial = h->serial,
		.status = SQL_UNREACHABLE,
		.text = "no answer to the connection attempt" };
	int saved = errno;
	(void)sig;
	(void)ctx;
	for (int fd = SQLPROC_FD + 1; fd < 32; fd++)
		if (syn_sent(fd)) {
			send(SQLPROC_FD, &reply, sizeof(reply), MSG_NOSIGNAL);
			_exit(0);
		}
	errno = saved;
}

static void arm(struct helper *h, us_t left)
{
	us_t eve = left > 8 ? left - (left / 8 < 25 * US_PER_MS ? left / 8 : 25 * US_PER_MS) : 1;
	us_t end = left > 0 ? left + US_PER_SEC : US_PER_SEC;
	struct itimerspec ts = { .it_value = { eve / US_PER_SEC, eve % US_PER_SEC * 1000 } };
	struct itimerval tv = { .it_value = { end / US_PER_SEC, end % US_PER_SEC } };
	timer_settime(h->eve, 0, &ts, NULL);
	setitimer(ITIMER_REAL, &tv, NULL); /* SIGALRM ends the process: only when the parent failed to */
}

static void disarm(struct helper *h)
{
	struct itimerspec ts = { { 0 } };
	struct itimerval tv = { { 0 } };
	timer_settime(h->eve, 0, &ts, NULL);
	setitimer(ITIMER_REAL, &tv, NULL);
}

static sql_routine_fn *find(const struct helper *h, const char *name)
{
	for (size_t i = 0; i < h->n_tables; i++)
		for (const struct sql_routine *r = h->tables[i]; r->name; r++)
			if (str_eq(r->name, name))
				return r->fn;
	return NULL;
}

static void disconnect(struct helper *h)
{
	if (h->db)
		mysql_close(h->db);
	h->db = NULL;
}

static void run(struct helper *h, const struct sqlproc_head *call, struct sqlproc_head *reply)
{
	sql_routine_fn *fn = find(h, call->name);
	struct err e = { "" };

	if (!fn) {
		reply->status = SQL_FAILED;
		snprintf(reply->text, sizeof(reply->text), "this binary has no routine \"%.40s\"", call->name);
		return;
	}
	if (!h->db) {
		enum sql_status status = SQL_FAILED;
		h->db = sqlproc_connect(&h->target, call->deadline - now_us(), &status, &reply->code, reply->text);
		reply->status = status;
	}
	if (!h->db)
		return;
	if (fn(h->db, h->in, h->out, SQLPROC_BODY_MAX, &e) == 0) {
		reply->status = SQL_OK;
		return;
	}
	h->out[0] = '\0';
	reply->code = (int)mysql_errno(h->db);
	reply->status = meaning(reply->code);
	STR_COPY(reply->text, e.text[0] ? e.text : mysql_error(h->db));
	if (reply->status == SQL_GONE)
		disconnect(h);
}

static bool serve(struct helper *h)
{
	struct sqlproc_head call, reply = { .kind = SQLPROC_REPLY };
	struct iovec iov[2] = { { &call, sizeof(call) }, { h->in, SQLPROC_BODY_MAX } };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };
	ssize_t n = recvmsg(SQLPROC_FD, &msg, 0);

	if (n < 0 && errno == EINTR)
		return true;
	if (n < (ssize_t)sizeof(call))
		return false; /* the parent closed its end */
	h->in[(size_t)n - sizeof(call)] = '\0';
	if (call.kind == SQLPROC_HELLO) {
		memcpy(&h->target, h->in, sizeof(h->target));
		explicit_bzero(h->in, sizeof(h->target));
		return true;
	}
	h->serial = reply.serial = call.serial;
	h->out[0] = '\0';
	arm(h, call.deadline - now_us());
	run(h, &call, &reply);
	disarm(h);
	say(&reply, h->out);
	return true;
}

/* Whatever arrives on an idle connection is its end: end of file, or the error packet of a server that shuts down. */
static void connection_ended(struct helper *h)
{
	struct sqlproc_head gone = { .kind = SQLPROC_GONE };
	disconnect(h);
	say(&gone, NULL);
}

/* No capability, now or by any later execution; not readable by others (it holds a password); ended with its parent. */
static void confine(void)
{
	struct __user_cap_header_struct hdr = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[2] = { { 0 } };

	for (unsigned long cap = 0; prctl(PR_CAPBSET_READ, cap) >= 0; cap++)
		prctl(PR_CAPBSET_DROP, cap);
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	syscall(SYS_capset, &hdr, none);
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	prctl(PR_SET_DUMPABLE, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL); /* a parent that died before this shows as end of file */
	prctl(PR_SET_NAME, "hactl-sql");
}

int sqlproc_main(const struct sql_routine *const *tables, size_t n_tables)
{
	struct helper h = { .tables = tables, .n_tables = n_tables };
	struct sigaction sa = { .sa_sigaction = on_eve, .sa_flags = SA_SIGINFO | SA_RESTART };
	struct sigevent ev = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1, .sigev_value.sival_ptr = &h };
	bool more = true;

	confine();
	signal(SIGPIPE, SIG_IGN);
	sigaction(SIGUSR1, &sa, NULL);
	if (timer_create(CLOCK_BOOTTIME, &ev, &h.eve) < 0)
		_exit(1);
	h.in = xcalloc(1, SQLPROC_BODY_MAX + 1);
	h.out = xcalloc(1, SQLPROC_BODY_MAX + 1);
	while (more) {
		struct pollfd pfd[2] = { { .fd = SQLPROC_FD, .events = POLLIN },
			{ .fd = h.db ? library_socket(h.db) : -1, .events = POLLIN } };
		if (poll(pfd, 2, -1) < 0)
			continue;
		if (pfd[1].revents)
			connection_ended(&h);
		if (pfd[0].revents)
			more = serve(&h);
	}
	_exit(0); /* the library's and the C library's own endings have nothing to do here */
}
