/* cmd_doctor_redis.c - one Redis judged. Pure. */
#include "hactl/cli/cmd_doctor.h"

enum { REPL_TIMEOUT_MAX_S = 15, MIN_REPLICAS_LAG_MAX_S = 10 };

static const char *info(const struct redis_exam_view *x, const char *key)
{
	return doc_text(json_object_get(x->doc, "info"), key);
}

static const char *config(const struct redis_exam_view *x, const char *key)
{
	return doc_text(json_object_get(x->doc, "config"), key);
}

static bool master(const struct redis_exam_view *x)
{
	return str_eq(info(x, "role"), "master");
}

static const char *account(const struct redis_exam_view *x)
{
	return *x->account ? x->account : "default";
}

static void check_commands(const struct redis_exam_view *x, struct verdict *v)
{
	const json_t *row, *list = json_object_get(x->doc, "denied");
	char names[300] = "", acl[300] = "";
	size_t i, len = 0, acl_len = 0;
	json_array_foreach(list, i, row)
	{
		str_add(names, sizeof(names), &len, "%s%s", i ? ", " : "", doc_text(row, "command"));
		str_add(acl, sizeof(acl), &acl_len, " +%s", doc_text(row, "command"));
	}
	if (!len) {
		say_ok(v, "account %s may run what hactl needs", account(x));
		return;
	}
	say_wrong(
		v, "account %s may not run: %s (%.80s)", account(x), names, doc_text(json_array_get(list, 0), "error"));
	say_fix(v, "ACL SETUSER %s%s   and in the file, or ACL SAVE (a command that was renamed needs its name back)",
		account(x), acl);
}

/* FAILOVER came with 6.2. */
static void check_version(const struct redis_exam_view *x, struct verdict *v)
{
	int major = 0, minor = 0;
	if (sscanf(info(x, "redis_version"), "%d.%d", &major, &minor) != 2) {
		say_note(v, "not known");
	} else if (major * 100 + minor < 602) {
		say_wrong(v, "Redis %s has no FAILOVER: a switchover is refused", info(x, "redis_version"));
		say_fix(v, "upgrade to 6.2 or later");
	} else {
		say_ok(v, "%s", info(x, "redis_version"));
	}
}

static void check_sentinel(const struct redis_exam_view *x, struct verdict *v)
{
	if (!json_is_true(json_object_get(x->doc, "sentinel"))) {
		say_ok(v, "none watches it");
		return;
	}
	say_wrong(v, "a Sentinel watches this server: it would undo within seconds what hactl does");
	say_fix(v, "on every Sentinel: SENTINEL REMOVE <its name for this master>, or stop it");
}

static void check_link(const struct redis_exam_view *x, struct verdict *v)
{
	if (master(x)) {
		say_ok(v, "master with %s replicas", info(x, "connected_slaves"));
	} else if (!str_eq(info(x, "master_host"), x->peer_host) || atoi(info(x, "master_port")) != x->peer_port) {
		say_wrong(v, "it replicates from %s:%s, which is not the other node (%s:%d)", info(x, "master_host"),
			info(x, "master_port"), x->peer_host, x->peer_port);
		say_fix(v, "REPLICAOF %s %d", x->peer_host, x->peer_port);
	} else if (!str_eq(info(x, "master_link_status"), "up")) {
		say_wrong(v, "its link to the master is down");
		say_fix(v, "look into its log; is masterauth right, does %s:%d answer?", x->peer_host, x->peer_port);
	} else {
		say_ok(v, "follows %s", info(x, "master_host"));
	}
}

static void check_read_only(const struct redis_exam_view *x, struct verdict *v)
{
	if (!str_eq(config(x, "replica-read-only"), "no")) {
		say_ok(v, "on");
		return;
	}
	say_wrong(
		v, "replica-read-only is no: clients write to the standby, and lose it with the next synchronisation");
	say_fix(v, "CONFIG SET replica-read-only yes   and in the file");
}

/* 1: in the file. 0: not. -1: the file is not seen. */
static int replicaof_in_file(const struct redis_exam_view *x)
{
	const json_t *options = json_object_get(x->files, "options");
	const char *r = doc_text(json_object_get(options, "replicaof"), "value");
	if (!json_is_true(json_object_get(x->files, "seen")))
		return -1;
	r = *r ? r : doc_text(json_object_get(options, "slaveof"), "value");
	return *r && !str_eq(r, "no one");
}

static void check_file(const struct redis_exam_view *x, struct verdict *v)
{
	int found = replicaof_in_file(x);
	if (!x->local)
		say_unseen(v, "not known from here: its file is seen from its own node only");
	else if (found < 0)
		say_note(v, "whether its file says replicaof is not known: %s", doc_text(x->files, "why"));
	else if (found)
		say_ok(v, "replicaof stands in %s", doc_text(x->files, "where"));
	else
		say_wrong(v, "no replicaof in %s: killed and started again it boots as a second master",
			*info(x, "config_file") ? info(x, "config_file") : "its file (it runs without one)");
	if (v->severity >= SEV_NOTE)
		say_fix(v, "in the file: replicaof %s %d", x->peer_host, x->peer_port);
}

static void check_persistence(const struct redis_exam_view *x, struct verdict *v)
{
	bool kept = str_eq(config(x, "appendonly"), "yes") || *config(x, "save");
	if (kept || replicaof_in_file(x) == 1) {
		say_ok(v, "%s", kept ? "data survive a restart" : "nothing is kept, and it boots as a replica");
		return;
	}
	if (!x->local) {
		say_unseen(v, "nothing is kept; whether it boots as a replica is seen from its own node only");
		return;
	}
	if (replicaof_in_file(x) < 0) {
		say_note(v,
			"appendonly and save are both off, and whether its file makes it a replica is not known: if "
			"not, an automatic restart of the master comes back empty, and its replica empties itself "
			"after it");
		say_fix(v, "in the file: replicaof %s %d   (or appendonly yes)", x->peer_host, x->peer_port);
		return;
	}
	say_wrong(v, "appendonly and save are both off, and its file does not make it a replica: an automatic restart "
		     "of the master comes back empty, and its replica empties itself after it");
	say_fix(v, "in the file: replicaof %s %d   (or appendonly yes)", x->peer_host, x->peer_port);
}

static void check_timeout(const struct redis_exam_view *x, struct verdict *v)
{
	int s = atoi(config(x, "repl-timeout"));
	if (s > 0 && s <= REPL_TIMEOUT_MAX_S) {
		say_ok(v, "%d s", s);
		return;
	}
	say_note(v,
		"repl-timeout is %d s: so long a replica takes a frozen master for a living one (hactl asks by itself)",
		s);
	say_fix(v, "CONFIG SET repl-timeout %d   and in the file (with repl-ping-replica-period below it)",
		REPL_TIMEOUT_MAX_S - 5);
}

static void check_min_replicas(const struct redis_exam_view *x, struct verdict *v)
{
	int n = atoi(config(x, "min-replicas-to-write")), lag = atoi(config(x, "min-replicas-max-lag"));
	if (n == 0) {
		say_ok(v, "0");
	} else if (n > 1) {
		say_wrong(
			v, "min-replicas-to-write is %d: a pair has one replica, so the master refuses every write", n);
		say_fix(v, "CONFIG SET min-replicas-to-write 1   (or 0) and in the file");
	} else if (master(x) && atoi(info(x, "connected_slaves")) == 0) {
		say_wrong(v, "min-replicas-to-write is 1 and no replica is connected: the master refuses every write");
		say_fix(v, "CONFIG SET min-replicas-to-write 0");
	} else {
		say_note(v, "min-replicas-to-write is 1 (max-lag %d s): a lost standby stops the master's writes%s",
			lag, lag > MIN_REPLICAS_LAG_MAX_S ? ", and only after that long" : "");
		say_fix(v, "CONFIG SET min-replicas-to-write 0 if availability comes first; else CONFIG SET "
			   "min-replicas-max-lag 3");
	}
}

/* FAILOVER and the comparison of roles want the address that INFO shows to be the node's. */
static void check_announced(const struct redis_exam_view *x, struct verdict *v)
{
	char ip[80] = "", port[16] = "";
	const char *replica = info(x, "slave0"), *at = strstr(replica, "port=");
	if (!*replica) {
		say_ok(v, "no replica is connected");
		return;
	}
	sscanf(replica, "ip=%79[^,]", ip);
	if (at)
		sscanf(at, "port=%15[0-9]", port);
	if (str_eq(ip, x->peer_host) && atoi(port) == x->peer_port) {
		say_ok(v, "the replica is %s:%s", ip, port);
		return;
	}
	say_wrong(v, "its replica shows itself as %s:%s and not as %s:%d (NAT, a container?): a switchover is refused",
		ip, port, x->peer_host, x->peer_port);
	say_fix(v,
		"on the other node: CONFIG SET replica-announce-ip %s, CONFIG SET replica-announce-port %d   and in "
		"its file",
		x->peer_host, x->peer_port);
}

static void check_masterauth(const struct redis_exam_view *x, struct verdict *v)
{
	if (!x->password || *config(x, "masterauth")) {
		say_ok(v, "%s", x->password ? "set" : "no password is used");
		return;
	}
	say_note(
		v, "masterauth is not set: hactl gives the replica its own account, which then needs +psync +replconf");
	say_fix(v, "in both files: masteruser and masterauth of an account with +psync +replconf +ping");
}

static const struct {
	const char *title;
	void (*judge)(const struct redis_exam_view *x, struct verdict *v);
} checks[] = {
	{ "commands", check_commands },
	{ "version", check_version },
	{ "Sentinel", check_sentinel },
	{ "replication", check_link },
	{ "replica is read-only", check_read_only },
	{ "role after a restart", check_file },
	{ "data after a restart", check_persistence },
	{ "repl-timeout", check_timeout },
	{ "min-replicas", check_min_replicas },
	{ "announced address", check_announced },
	{ "replication password", check_masterauth },
};

void doctor_redis(const struct redis_exam_view *x, struct report *r)
{
	char area[NAME_MAX_LEN + 16];
	snprintf(area, sizeof(area), "redis on %s", x->node);
	for (size_t i = 0; i < ARRAY_LEN(checks); i++)
		checks[i].judge(x, report_add(r, area, checks[i].title));
}

void doctor_redis_pair(const struct redis_exam_view x[NODES], struct report *r)
{
	if (!x[0].doc || !x[1].doc)
		return;
	struct verdict *v = report_add(r, "redis, the pair", "roles");
	if (master(&x[0]) != master(&x[1])) {
		say_ok(v, "%s is the master, %s its replica", x[master(&x[0]) ? 0 : 1].node,
			x[master(&x[0]) ? 1 : 0].node);
		return;
	}
	say_wrong(v, "%s", master(&x[0]) ? "both are masters" : "each replicates from the other: there is no master");
	say_fix(v, master(&x[0]) ? "REPLICAOF <the other node> <port>   (on the one that is not the primary)"
				 : "REPLICAOF NO ONE   (on the one that shall be master)");
}
