"""`hactl doctor` against real servers: a pair in order has nothing wrong, each thing that is made wrong is found and named, and the fix that
is printed mends it."""
import contextlib
import json
import re
import subprocess

import pytest
import redis

import flavour
import net
import pair as lab
import servers
from flavour import MariaDB, MySQL
from pair import HACTL, NODES, wait_for


def configuration(pair, old="", new="", name="doctor.conf"):
    """The lab's configuration, with the database's socket (by which root looks) and perhaps one thing changed."""
    with open(f"{pair.dir}/hactl.conf") as f:
        text = f.read().replace("port = 3306;", f'port = 3306; socket = "{pair.dir}/node/mysql.sock";', 1)
    assert old in text
    servers.write(f"{pair.dir}/{name}", text.replace(old, new, 1))
    return f"{pair.dir}/{name}"


class Opinion:
    """One run of doctor."""

    def __init__(self, pair, node="n1", conf=None, args=()):
        r = pair.hactl(node, "doctor", "--json", *args, conf=conf or configuration(pair))
        assert r.returncode in (0, 1), r.stderr
        self.exit, self.findings = r.returncode, json.loads(r.stdout)
        assert self.exit == (1 if self.wrong() else 0)
        assert all(f["what"] and f["severity"] in ("wrong", "note") for f in self.findings)
        assert all(f["fix"] for f in self.findings), "each finding names its fix"

    def wrong(self):
        return {(f["area"], f["check"]) for f in self.findings if f["severity"] == "wrong"}

    def notes(self):
        return {f["check"] for f in self.findings if f["severity"] == "note"}

    def find(self, area, check):
        return next((f for f in self.findings if (f["area"], f["check"]) == (area, check)), None)


def found(pair, area, check, severity="wrong", words="", **how):
    f = Opinion(pair, **how).find(area, check)
    assert f, f"{area}: {check} is not found"
    assert f["severity"] == severity and words in f["what"], f
    return f


def gone(pair, area, check, **how):
    wait_for(lambda: not Opinion(pair, **how).find(area, check), 20, f"{area}: {check} is mended")


def only_wrong(p, findings, **more):
    """Kernels answer only so many datagrams to closed ports a second (icmp_ratelimit): without an answer doctor says that it does not know."""
    wait_for(lambda: Opinion(p, **more).wrong() == findings, 20, f"nothing but {findings} is wrong")


def in_order(pair):
    """What the lab does for speed, undone; what hactl itself sets when it makes a replica."""
    for node in NODES:
        pair.sql(node, "SET GLOBAL sync_binlog=1")
        pair.sql(node, f"SET GLOBAL innodb_flush_log_at_trx_commit={3 if isinstance(pair.database, MariaDB) else 1}")
        pair.redis(node, "CONFIG", "SET", "repl-timeout", "10", user="hactl")
    word = "slave" if pair.database.name == "MariaDB" else "replica"
    pair.sql("n2", f"SET GLOBAL {word}_net_timeout=5")


@pytest.fixture(scope="module", params=[MariaDB, MySQL], ids=["MariaDB", "MySQL"])
def plain(request):
    """A pair as one set up by hand: no supervisor undoes what a test makes wrong."""
    with lab.Pair(database=request.param) as p:
        in_order(p)
        yield p


@pytest.fixture(scope="module")
def plain_redis():
    with lab.Pair() as p:
        in_order(p)
        yield p


def test_a_pair_in_order_has_nothing_wrong(either):
    in_order(either)
    for node in NODES:
        only_wrong(either, set(), node=node)
        o = Opinion(either, node)
        assert o.notes() <= {"clock"}, o.findings
    text = either.hactl("n1", "doctor", conf=configuration(either))
    assert text.returncode == 0 and text.stdout.startswith("authority     arbiter: ") and "safe against" in text.stdout and "type this on n2 too" in text.stdout
    assert not [line for line in text.stdout.splitlines() if line.startswith("  wrong")]
    assert {n: either.role(n) for n in NODES} == {"n1": "primary", "n2": "standby"}, "it only looks"


def test_without_a_supervisor_only_the_supervisors_are_missed(plain):
    for node in NODES:
        only_wrong(plain, {("the pair", "heartbeat"), (f"host {node}", "guard")}, node=node)


# check -> (node, statements that make it wrong, words of the finding), by flavour; undone by the fix that is printed
MARIADB = {
    "GTID": ("n1", ["SET GLOBAL gtid_strict_mode=OFF"], "gtid_strict_mode"),
    "row format": ("n1", ["SET GLOBAL binlog_format='MIXED'"], "MIXED"),
    "sync_binlog": ("n2", ["SET GLOBAL sync_binlog=0"], "0"),
    "InnoDB log flushed": ("n1", ["SET GLOBAL innodb_flush_log_at_trx_commit=2"], "2"),
    "semi-sync wait point": ("n1", ["SET GLOBAL rpl_semi_sync_master_wait_point='AFTER_COMMIT'"], "AFTER_COMMIT"),
    "semi-sync source side": ("n2", ["SET GLOBAL rpl_semi_sync_master_enabled=ON"], "stalls"),
    "net timeout": ("n2", ["SET GLOBAL slave_net_timeout=60"], "60 s"),
    "replication": ("n2", ["STOP SLAVE SQL_THREAD"], "applier: No"),
    "delay": ("n2", ["STOP SLAVE", "CHANGE MASTER TO master_delay=30", "START SLAVE"], "30 s"),
    "reconnecting": ("n2", ["STOP SLAVE", "CHANGE MASTER TO master_connect_retry=60", "START SLAVE"], "60 s"),
    "replication heartbeat": ("n2", ["STOP SLAVE", "CHANGE MASTER TO master_heartbeat_period=30", "START SLAVE"], "30 s"),
    "writers past read_only": ("n1", ["GRANT READ_ONLY ADMIN ON *.* TO app@'%'"], "'app'@'%'"),
}
MYSQL = {
    "row format": ("n1", ["SET GLOBAL binlog_format='MIXED'"], "MIXED"),
    "sync_binlog": ("n2", ["SET GLOBAL sync_binlog=0"], "0"),
    "InnoDB log flushed": ("n1", ["SET GLOBAL innodb_flush_log_at_trx_commit=2"], "2"),
    "semi-sync wait point": ("n1", ["SET GLOBAL rpl_semi_sync_source_wait_point='AFTER_COMMIT'"], "AFTER_COMMIT"),
    "semi-sync source side": ("n2", ["SET GLOBAL rpl_semi_sync_source_enabled=ON"], "stalls"),
    "net timeout": ("n2", ["SET GLOBAL replica_net_timeout=60"], "60 s"),
    "GTID": ("n1", ["SET GLOBAL gtid_mode=ON_PERMISSIVE"], "ON_PERMISSIVE"),
    "replication": ("n2", ["STOP REPLICA SQL_THREAD"], "applier: No"),
    "delay": ("n2", ["STOP REPLICA", "CHANGE REPLICATION SOURCE TO source_delay=30", "START REPLICA"], "30 s"),
    "reconnecting": ("n2", ["STOP REPLICA", "CHANGE REPLICATION SOURCE TO source_retry_count=10", "START REPLICA"], "10 times"),
    "replication heartbeat": ("n2", ["STOP REPLICA", "CHANGE REPLICATION SOURCE TO source_heartbeat_period=30", "START REPLICA"], "30 s"),
}
BROKEN = {MariaDB: MARIADB, MySQL: MYSQL}


def mend(pair, node, fix):
    """The statements of a fix, as an operator would type them: up to three spaces or the end of the line."""
    for statement in filter(None, map(str.strip, re.split(r" {3}|\n", fix)[0].split(";"))):
        with contextlib.suppress(flavour.pymysql.Warning):
            pair.sql(node, statement)


@pytest.mark.parametrize("plain, check", [pytest.param(d, c, id=f"{d.name}-{c}") for d in BROKEN for c in sorted(BROKEN[d])],
                         indirect=["plain"], scope="module")
def test_a_wrong_setting_is_found_and_the_fix_mends_it(plain, check):
    table = BROKEN[type(plain.database)]
    node, statements, words = table[check]
    area = f"mysql on {node}"
    gone(plain, area, check, node=node)  # replication that the test before had stopped may still be connecting
    for statement in statements:
        plain.sql(node, statement)
    severity = "note" if (check, plain.database.name) == ("GTID", "MariaDB") else "wrong"
    f = found(plain, area, check, severity, words, node=node)
    mend(plain, node, f["fix"])
    gone(plain, area, check, node=node)


def test_by_file_and_position(plain):
    maria = plain.database.name == "MariaDB"
    stop, start = ("STOP SLAVE", "START SLAVE") if maria else ("STOP REPLICA", "START REPLICA")
    for s in (stop, "CHANGE MASTER TO master_use_gtid=no" if maria else "CHANGE REPLICATION SOURCE TO source_auto_position=0", start):
        plain.sql("n2", s)
    f = found(plain, "mysql on n2", "replication", words="by file and position")
    mend(plain, "n2", f["fix"])
    gone(plain, "mysql on n2", "replication")


def test_filters(plain):
    maria = plain.database.name == "MariaDB"
    stop, start = ("STOP SLAVE", "START SLAVE") if maria else ("STOP REPLICA SQL_THREAD", "START REPLICA SQL_THREAD")
    on, off = (("SET GLOBAL replicate_do_db='lab'", "SET GLOBAL replicate_do_db=''") if maria else
               ("CHANGE REPLICATION FILTER REPLICATE_DO_DB=(lab)", "CHANGE REPLICATION FILTER REPLICATE_DO_DB=()"))
    for s in (stop, on, start):
        plain.sql("n2", s)
    found(plain, "mysql on n2", "filters", words="lab")
    for s in (stop, off, start):
        plain.sql("n2", s)
    gone(plain, "mysql on n2", "filters")


def test_identity_and_roles_of_the_pair(plain):
    plain.sql("n2", "SET GLOBAL server_id=1")
    found(plain, "mysql, the pair", "identity", words="both have server_id 1")
    plain.sql("n2", "SET GLOBAL server_id=2")
    gone(plain, "mysql, the pair", "identity")
    frozen = "read_only" if plain.database.name == "MariaDB" else "super_read_only"
    plain.sql("n2", "SET GLOBAL read_only=OFF")
    f = found(plain, "mysql, the pair", "roles", words="both servers accept writes")
    assert frozen in f["fix"]
    mend(plain, "n2", f["fix"])
    gone(plain, "mysql, the pair", "roles")
    plain.sql("n1", f"SET GLOBAL {frozen}=ON")
    f = found(plain, "mysql, the pair", "roles", words="neither accepts writes")
    plain.sql("n1", "SET GLOBAL read_only=OFF")
    gone(plain, "mysql, the pair", "roles")


@pytest.mark.parametrize("privilege", ["RELOAD", "PROCESS", "the first to look"])
def test_a_missing_privilege(plain, privilege):
    maria = plain.database.name == "MariaDB"
    scope = "*.*"
    if privilege == "the first to look":
        privilege, scope = ("SLAVE MONITOR", "*.*") if maria else ("SELECT", "performance_schema.*")
    plain.sql("n1", f"REVOKE {privilege} ON {scope} FROM hactl@'%'")
    f = found(plain, "mysql on n1", "privileges", words=privilege)
    statement = f["fix"].split(";", 1)[0]
    assert statement == f"GRANT {privilege} ON {scope} TO 'hactl'@'%'"
    plain.sql("n1", statement)
    gone(plain, "mysql on n1", "privileges")


def test_more_privileges_than_needed(plain):
    plain.sql("n1", "GRANT CREATE USER ON *.* TO hactl@'%'")
    mend(plain, "n1", found(plain, "mysql on n1", "privileges", "note", "CREATE USER")["fix"])
    gone(plain, "mysql on n1", "privileges")


@contextlib.contextmanager
def secret(pair, name, text):
    path = f"{pair.dir}/etc/{name}"
    with open(path) as f:
        right = f.read()
    servers.write(path, text + "\n", 0o600)
    try:
        yield
    finally:
        servers.write(path, right, 0o600)


def test_accounts(plain):
    with secret(plain, "repl.pw", "wrong"):
        found(plain, "mysql on n2", "replication account", words="cannot log in")
    plain.sql("n1", "REVOKE REPLICATION SLAVE ON *.* FROM repl@'%'")
    found(plain, "mysql on n2", "replication account", words="lacks REPLICATION SLAVE")
    plain.sql("n1", "GRANT REPLICATION SLAVE ON *.* TO repl@'%'")
    gone(plain, "mysql on n2", "replication account")
    with secret(plain, "mysql.pw", "wrong"):
        o = Opinion(plain)
        assert {("mysql on n1", "server"), ("mysql on n2", "server")} <= o.wrong()
        assert "--grants" in o.find("mysql on n1", "server")["fix"]
    assert ("mysql on n1", "server") not in Opinion(plain).wrong()


def test_events(plain):
    plain.sql("n1", "CREATE DEFINER=`ghost`@`%` EVENT lab.haunt ON SCHEDULE EVERY 1 DAY DO SELECT 1")
    assert "ghost" in found(plain, "mysql on n1", "events", words="lab.haunt")["what"]
    plain.sql("n1", "DROP EVENT lab.haunt")
    plain.sql("n1", "SET GLOBAL event_scheduler=OFF")
    plain.sql("n1", "CREATE DEFINER=app@'%' EVENT lab.tick ON SCHEDULE EVERY 1 DAY DO SELECT 1")
    found(plain, "mysql on n1", "events", "note", "event_scheduler")
    mend(plain, "n1", "SET GLOBAL event_scheduler = ON;")
    gone(plain, "mysql on n1", "events")
    plain.sql("n2", "SET GLOBAL event_scheduler=OFF")
    f = found(plain, "mysql, the pair", "event scheduler", words="OFF on n2")
    mend(plain, "n2", f["fix"])
    gone(plain, "mysql, the pair", "event scheduler")
    plain.sql("n1", "ALTER DEFINER=root@localhost EVENT lab.tick COMMENT ''")
    if plain.database.name == "MariaDB":  # root's: it would write to a standby
        f = found(plain, "mysql on n1", "events", "note", "read_only does not stop")
        assert "lab.tick" in f["what"]
    plain.sql("n1", "DROP EVENT lab.tick")


@pytest.mark.parametrize("plain", [MySQL], ids=["MySQL"], indirect=True, scope="module")
def test_without_root_the_unseen_is_said(plain):
    """MySQL's alone: MariaDB's socket lies where it says."""
    f = found(plain, "mysql on n1", "events", "note", conf=f"{plain.dir}/hactl.conf")  # names no socket; the server's own is in its chroot
    assert "information_schema.EVENTS" in f["fix"]


@contextlib.contextmanager
def without(path, *starts):
    """A server's file while some of its lines are away; memory is as it was."""
    with open(path) as f:
        text = f.read()
    lines = [line for line in text.splitlines(keepends=True) if not line.startswith(starts)]
    assert len(lines) == len(text.splitlines()) - len(starts)
    servers.write(path, "".join(lines))
    try:
        yield
    finally:
        servers.write(path, text)


def test_what_is_only_in_memory(plain):
    """The running server is as it should be; the next start would not be."""
    path = f"{plain['n2'].dir}/my.cnf"
    maria = plain.database.name == "MariaDB"
    with without(path, "read-only" if maria else "super-read-only", "skip-slave-start" if maria else "skip-replica-start"):
        o = Opinion(plain, "n2")
        assert {("mysql on n2", "read-only after a restart"), ("mysql on n2", "replication after a restart")} <= o.wrong()
        fix = o.find("mysql on n2", "read-only after a restart")["fix"]
        if not maria:  # a server in a container keeps it with its volume
            assert fix.startswith("SET PERSIST_ONLY super_read_only = ON;")
            plain.sql("n2", fix.split(";")[0])
            gone(plain, "mysql on n2", "read-only after a restart", node="n2")
            plain.sql("n2", "RESET PERSIST super_read_only")
    if maria:
        with without(path, "init-rpl-role"):
            found(plain, "mysql on n2", "recovery after a crash", words="init_rpl_role", node="n2")
    assert not {c for a, c in Opinion(plain, "n2").wrong() if a == "mysql on n2"}


def restarted(pair, node):
    pair[node].end("mysql", bound=30)
    pair.start(node, "mysql")
    pair.sql(node, pair.database.follow[-1], bound=30)
    in_order(pair)


def test_what_only_a_restart_changes(plain):
    """The binary log, what goes into it, and MySQL's plugins: away at one start, back at the next."""
    path = f"{plain['n2'].dir}/my.cnf"
    maria = plain.database.name == "MariaDB"
    with open(path) as f:
        text = f.read()
    plugins = text if maria else text.replace("plugin-load-add=semisync_source.so\n", "").replace("plugin-load-add=semisync_replica.so\n", "")
    logged = "log-slave-updates=ON\n" if maria else "mysqlx=OFF\n"
    servers.write(path, plugins.replace("rpl-semi-sync-replica-enabled=ON\n", "").replace(
        logged, "log-slave-updates=OFF\n" if maria else logged + "log-replica-updates=OFF\n"))
    restarted(plain, "n2")
    assert {c for a, c in Opinion(plain, "n2").wrong() if a == "mysql on n2"} == {"replicated writes logged"} | (
        set() if maria else {"semi-sync plugins"})
    servers.write(path, text.replace("log-bin=bin\n", "skip-log-bin\n"))
    restarted(plain, "n2")
    found(plain, "mysql on n2", "binary log", words="off", node="n2")
    servers.write(path, text)
    restarted(plain, "n2")
    wait_for(lambda: not [c for a, c in Opinion(plain, "n2").wrong() if a == "mysql on n2"], 20, "n2 is in order again")


def test_servers_that_do_not_answer(plain):
    with plain.frozen("n2", "mysql"), plain.frozen("n2", "redis"):
        o = Opinion(plain)
        assert "no answer" in o.find("mysql on n2", "server")["what"] and "hung" in o.find("redis on n2", "server")["what"]
        assert not {a for a, _ in o.wrong()} & {"mysql on n1", "redis on n1"}, "the others are judged all the same"
    gone(plain, "mysql on n2", "server")


def test_grants_without_a_server_are_for_both(plain):
    with plain.frozen("n1", "mysql"), plain.frozen("n2", "mysql"):
        r = plain.hactl("n1", "doctor", "--grants")
    assert r.returncode == 0 and "-- MariaDB" in r.stdout and "-- MySQL" in r.stdout
    mine = plain.hactl("n1", "doctor", "--grants").stdout
    assert f"-- {plain.database.name}:" in mine and mine.count("-- M") == 1


def privileges(pair, account):
    """What the account may, as a set, without the password that MariaDB shows."""
    with flavour.connect(f"{pair['n1'].dir}/mysql.sock") as db, db.cursor() as c:
        c.execute(f"SHOW GRANTS FOR {account}@'%'")
        rows = [re.match(r"GRANT (.*) ON (\S+) TO ", row[0]) for row in c.fetchall()]
    return {(p.strip(), r[2].replace("`", "")) for r in rows for p in r[1].split(",")}


@pytest.mark.parametrize("database", [MariaDB, MySQL], ids=["MariaDB", "MySQL"])
def test_a_pair_lives_by_what_grants_prints(make_pair, database):
    """Accounts made anew by the printed statements and nothing else: the same rights as the lab's own, enough for both directions."""
    p = make_pair(database=database)
    printed = p.hactl("n1", "doctor", "--grants").stdout
    before = {a: privileges(p, a) for a in ("hactl", "repl")}
    for account in before:
        p.sql("n1", f"DROP USER {account}@'%'")
    with pytest.raises(AssertionError):
        p.sql("n1", "SELECT 1", bound=0, user="hactl")
    for statement in filter(None, map(str.strip, re.sub(r"^(--|#|ACL).*$", "", printed, flags=re.M).split(";"))):
        account = re.search(r"'(hactl|repl)'@", statement)[1]
        p.sql("n1", statement.replace("'...'", f"'{flavour.PASSWORD[account]}'"))
    assert {a: privileges(p, a) for a in before} == before
    wait_for(lambda: p.replicating("n2"), 20, "n2 has the accounts")
    p.supervise()
    for to in ("n2", "n1"):
        r = p.hactl("n1", "switchover", "--to", to)
        assert r.returncode == 0, r.stdout + r.stderr
        p.wait_ready(primary=to)
    p["n1"].signal("mysql", lab.signal.SIGKILL)
    p.wait_primary("n2")


def test_redis_grants_are_the_labs(plain_redis):
    line = re.search(r"^ACL SETUSER hactl on >\.\.\. (.*)$", plain_redis.hactl("n1", "doctor", "--grants").stdout, re.M)[1]
    assert f"user hactl on >{flavour.PASSWORD['hactl']} {line}\n" in servers.REDIS.format(dir="", peer="", **flavour.PASSWORD)


# --- Redis ------------------------------------------------------------------------------------------------------------------------

@pytest.fixture
def redis_admin(plain_redis):
    """The lab's default account may not change settings; hactl's may, but no access list."""
    def call(node, *command):
        return plain_redis.redis(node, *command, user="hactl")
    return call


@pytest.mark.parametrize("node,setting,wrong,right,check,severity", [
    ("n2", "replica-read-only", "no", "yes", "replica is read-only", "wrong"),
    ("n1", "repl-timeout", "60", "10", "repl-timeout", "note"),
    ("n1", "min-replicas-to-write", "2", "0", "min-replicas", "wrong"),
    ("n1", "min-replicas-to-write", "1", "0", "min-replicas", "note"),
])
def test_redis_settings(plain_redis, redis_admin, node, setting, wrong, right, check, severity):
    redis_admin(node, "CONFIG", "SET", setting, wrong)
    found(plain_redis, f"redis on {node}", check, severity, wrong)
    redis_admin(node, "CONFIG", "SET", setting, right)
    gone(plain_redis, f"redis on {node}", check)


def test_a_sentinel_is_seen(plain_redis):
    with redis.Redis(unix_socket_path=f"{plain_redis['n1'].dir}/redis.sock") as r, r.pubsub() as hello:
        hello.subscribe("__sentinel__:hello")
        assert hello.get_message(timeout=5)["type"] == "subscribe"
        found(plain_redis, "redis on n1", "Sentinel")
    gone(plain_redis, "redis on n1", "Sentinel")


def test_redis_behind_nat(plain_redis, redis_admin):
    def again():
        redis_admin("n2", "REPLICAOF", "NO", "ONE")
        redis_admin("n2", "REPLICAOF", net.ADDRESS["n1"], "6379")
        wait_for(lambda: redis_admin("n2", "ROLE")[3] == b"connected", 20, "n2 follows")
    redis_admin("n2", "CONFIG", "SET", "replica-announce-ip", "172.17.0.2")
    again()
    f = wait_for(lambda: Opinion(plain_redis).find("redis on n1", "announced address"), 20, "NAT is found")
    assert f["severity"] == "wrong" and "172.17.0.2" in f["what"] and net.ADDRESS["n2"] in f["fix"]
    redis_admin("n2", "CONFIG", "SET", "replica-announce-ip", "")
    again()
    gone(plain_redis, "redis on n1", "announced address")


def test_redis_roles(plain_redis, redis_admin):
    redis_admin("n2", "REPLICAOF", "NO", "ONE")
    found(plain_redis, "redis, the pair", "roles", words="both are masters")
    redis_admin("n2", "REPLICAOF", net.ADDRESS["client"], "6379")
    assert net.ADDRESS["client"] in found(plain_redis, "redis on n2", "replication")["what"]
    redis_admin("n2", "REPLICAOF", net.ADDRESS["n1"], "6379")
    gone(plain_redis, "redis on n2", "replication")
    assert not Opinion(plain_redis).find("redis, the pair", "roles")


def test_redis_file(plain_redis):
    with without(f"{plain_redis['n1'].dir}/redis.conf", "replicaof"):
        o = Opinion(plain_redis)
        assert {("redis on n1", "role after a restart"), ("redis on n1", "data after a restart")} <= o.wrong()
        assert f"replicaof {net.ADDRESS['n2']} 6379" in o.find("redis on n1", "role after a restart")["fix"]
    assert not {c for a, c in Opinion(plain_redis).wrong() if a == "redis on n1"}


def test_redis_password_and_commands(make_pair):
    p = make_pair()
    with secret(p, "redis.pw", "wrong"):
        assert ("redis on n1", "server") in Opinion(p).wrong()
    with without(f"{p['n2'].dir}/redis.conf", "user hactl"):
        with open(f"{p['n2'].dir}/redis.conf", "a") as f:
            f.write(f"user hactl on >{flavour.PASSWORD['hactl']} -@all +info +role +ping +config|get +multi +exec +discard +pubsub|numsub\n")
        p["n2"].end("redis")
        p.start("n2", "redis")
        f = wait_for(lambda: Opinion(p).find("redis on n2", "commands"), 20, "what is missing is found")
    assert f["severity"] == "wrong"
    for command in ("replicaof", "failover", "config|set", "client|kill", "client|pause", "client|unpause", "wait"):
        assert f"+{command}" in f["fix"].split(), f
    assert "+info" not in f["fix"]


# --- this host ----------------------------------------------------------------------------------------------------------------------

def test_host(plain_redis):
    p = plain_redis
    conf = configuration(p, 'interface = "eth0"', 'interface = "eth7"')
    found(p, "host n1", "interface", words="eth7", conf=conf)
    o = Opinion(p, args=("--state-dir", f"{p.dir}/nosuch"))
    assert ("host n1", "state directory") in o.wrong()
    conf = configuration(p, 'http = {', f'hooks = {{ on_primary = "{p.dir}/hook"; }};\nhttp = {{')
    found(p, "host n1", "hooks", words="hook", conf=conf)
    conf = configuration(p, "10.77.0.2:8001", "10.77.0.3:8001")
    found(p, "proxies on n1", "web_app_backend", words="10.77.0.3", conf=conf)
    with without(f"{p['n1'].dir}/nginx/nginx.conf", "events {"):
        found(p, "proxies on n1", "web_app_backend", words="fails")
    only_wrong(p, {("the pair", "heartbeat"), ("host n1", "guard")})


def test_without_databases_and_arbiter(plain_redis):
    p = plain_redis
    with open(f"{p.dir}/hactl.conf") as f:
        text = re.sub(r"(?m)^(mysql|redis) = \{.*?\};\n", "", f.read(), flags=re.S)
    text = re.sub(r"arbiter = \{.*?\};", "manual = true;", text, flags=re.S)
    servers.write(f"{p.dir}/bare.conf", text)
    only_wrong(p, {("the pair", "heartbeat")}, conf=f"{p.dir}/bare.conf")
    r = p.hactl("n1", "doctor", conf=f"{p.dir}/bare.conf")
    assert "\nmysql" not in r.stdout and "\nredis" not in r.stdout and r.stdout.startswith("authority     manual: ")
    assert p.hactl("n1", "doctor", "--grants", conf=f"{p.dir}/bare.conf").stdout == ""


def test_capabilities(plain_redis):
    p = plain_redis
    argv = p["n1"].argv(("setpriv", "--bounding-set", "-net_raw", HACTL, "-c", configuration(p), "-n", "n1", "-s", f"{p.dir}/node/hactl.sock",
                         "--state-dir", f"{p.dir}/node/state", "doctor", "--json"))
    r = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    assert any(f["check"] == "capabilities" and "CAP_NET_RAW" in f["what"] for f in json.loads(r.stdout)), r.stdout + r.stderr


def test_the_other_node_and_the_arbiter(pair):
    in_order(pair)
    pair["n2"].end("hactl")
    servers.write(f"{pair.dir}/other.conf", open(f"{pair.dir}/hactl.conf").read().replace('max_lag = "10s"', 'max_lag = "11s"', 1))
    pair.start_supervisor("n2", conf=f"{pair.dir}/other.conf")
    wait_for(lambda: ("the pair", "configuration") in Opinion(pair).wrong(), 20, "the difference is found")
    assert "different configurations" in found(pair, "the pair", "configuration")["what"]
    with pair.frozen("arbiter", "etcd"):
        found(pair, "the pair", "arbiter")
    pair["n2"].signal("hactl", lab.signal.SIGKILL)
    f = wait_for(lambda: Opinion(pair).find("the pair", "heartbeat"), 20, "its silence is found")
    assert "n2" in f["what"]


def test_usage(plain_redis):
    assert plain_redis.hactl("n1", "doctor", "me").returncode == 2
    assert plain_redis.hactl("n1", "doctor", "--grants", "--json").returncode == 2
    assert plain_redis.hactl("n1", "doctor", conf=f"{plain_redis.dir}/nosuch.conf").returncode == 1
    r = plain_redis.hactl("n1", "doctor", "--help")
    assert r.returncode == 0 and "--grants" in r.stdout
