"""What stands before a promotion: gates, backlogs, backups, frozen servers. Each with MariaDB and MySQL; each said before it is needed."""
import contextlib
import os
import re
import threading

import pymysql
import pytest

import flavour
from conftest import figure
from flavour import MariaDB, MySQL
from pair import NODES, now, wait_for
from test_stalls import general_log

STOP_APPLIER = {MariaDB: "STOP SLAVE SQL_THREAD", MySQL: "STOP REPLICA SQL_THREAD"}
START_APPLIER = {MariaDB: "START SLAVE SQL_THREAD", MySQL: "START REPLICA SQL_THREAD"}

BACKLOG = 30 if os.environ.get("LAB_LONG") else 12  # seconds of applying; longer than a step may take that does not move


def kind(pair):
    return type(pair.database)


def blockers(pair, node):
    return "; ".join(pair.status(node)["failover"]["blockers"])


def trouble(pair, node, of):
    """What that node's status says is odd about the database of that other (or same) node."""
    m = pair.status(node)["mysql"]
    return next(m[side]["trouble"] or "" for side in ("local", "peer") if m[side]["node"] == of)


def told(pair, node, part, kinds=("note", "gate", "alert")):
    return [e for e in pair.events(node) if e["kind"] in kinds and part in e["text"]]


def promote_ms(pair, node):
    status = wait_for(lambda: (s := pair.status(node))["last_change"]["kind"] == "failover" and s, 10, f"{node} tells of a failover")
    return next(s["ms"] for s in status["last_change"]["steps"] if s["name"] == "mysql promote")


@contextlib.contextmanager
def session(pair, node, user, *statements):
    """Somebody else's connection to that server, with what it holds."""
    db = flavour.connect(f"{pair[node].dir}/mysql.sock", user=user)
    try:
        with db.cursor() as c:
            for s in statements:
                c.execute(s)
        yield db
    finally:
        with contextlib.suppress(pymysql.Error):
            db.close()


def sleepers(pair, n):
    """On the primary they run side by side, and on a replica one after the other: a second each."""
    def one(i):
        with flavour.connect(f"{pair['n1'].dir}/mysql.sock") as db, db.cursor() as c:
            c.execute("SET SESSION binlog_format = STATEMENT")
            c.execute(f"INSERT INTO lab.w SELECT {-i}, SLEEP(1)")
    threads = [threading.Thread(target=one, args=(i,)) for i in range(1, n + 1)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()


# --- what was received is applied ------------------------------------------------------------------------------------------------

def test_a_long_backlog_behind_a_stopped_applier(either, service):
    """Somebody stopped the applier. It is said, it is left alone, the standby stays in sync; and a takeover applies everything first,
    for longer than any step may take that does not move."""
    pair, k = either, kind(either)
    if k is MySQL:  # one after the other, as on MariaDB
        pair.sql("n2", STOP_APPLIER[k])
        pair.sql("n2", "SET GLOBAL replica_parallel_workers = 1")
        pair.sql("n2", START_APPLIER[k])
        pair.wait_ready()
    with service(pair, name=f"a long backlog {pair.database.name}") as s:
        pair.sql("n2", STOP_APPLIER[k])
        sleepers(pair, BACKLOG)
        for node in NODES:
            wait_for(lambda: "by hand or by a backup" in trouble(pair, node, "n2"), 10, f"{node} says that n2's applier was stopped")
        status = pair.status("n2")
        assert status["failover"]["ready"] and status["mysql"]["local"]["in_sync"] and status["mysql"]["local"]["unapplied"] > BACKLOG, status
        assert status["mysql"]["local"]["lag_ms"] is None, "what is unknown is null"
        assert not pair.replicating("n2"), "whoever stopped it had a reason"
        s.fault()
        pair["n1"].power_off()
        detail = wait_for(lambda: (pair.status("n2")["plan"] or {}).get("detail"), 15, "n2 says how far it is")
        assert re.search(r"\d+ transactions left", detail), detail
        s.acknowledged_by("n2", bound=60)
        s.end("n2", ["n1", "n2"])
    assert pair.sql("n2", "SELECT COUNT(*) FROM lab.w WHERE id < 0")[0] == BACKLOG
    assert told(pair, "n2", "applies what it has received before it is opened")
    assert len([e for e in pair.events("n2") if e["kind"] == "change"]) == 1, "one takeover, not several attempts"
    figure(f"{pair.database.name}: promoted after {promote_ms(pair, 'n2') / 1000:.1f} s of applying")


def test_a_backup_on_the_standby(either, service):
    """FLUSH TABLES WITH READ LOCK stops the applier without an error: seen as what it is; a takeover ends that session."""
    pair = either
    for statement in ("CREATE USER backup@'%'", "GRANT RELOAD ON *.* TO backup@'%'"):
        pair.sql("n1", statement)
    wait_for(lambda: pair.sql("n2", "SELECT COUNT(*) FROM mysql.user WHERE user = 'backup'")[0], 10, "n2 knows the account")
    flavour.PASSWORD.setdefault("backup", "")
    with service(pair) as s, session(pair, "n2", "backup", "FLUSH TABLES WITH READ LOCK"):
        for node in NODES:
            wait_for(lambda: "holds up the applier" in trouble(pair, node, "n2"), 10, f"{node} says what holds n2 up")
        status = pair.status("n2")
        assert status["failover"]["ready"] and status["mysql"]["local"]["in_sync"], status
        assert not status["mysql"]["local"]["error"], "no failure"
        s.fault()
        pair["n1"].power_off()
        s.acknowledged_by("n2", bound=30)
        s.end("n2", ["n1", "n2"])
    assert told(pair, "n2", "client sessions were ended, one of them held that lock")


# --- servers that stand still, are full, or keep hactl out ------------------------------------------------------------------------

def packets(pair):
    return {n: pair.status(n)["wire"]["ok"] for n in NODES}


@contextlib.contextmanager
def heartbeats(pair, at_least=1.0):
    """Whatever happens meanwhile: each node hears the other, at half the rate at least and never later than a lease, and answers."""
    begun, before, gaps, over = now(), packets(pair), [], threading.Event()

    def watch():
        while not over.is_set():
            gaps.extend(pair.status(n)["peer"]["silent_ms"] for n in NODES)
    looker = threading.Thread(target=watch)
    looker.start()
    try:
        yield
        wait_for(lambda: now() > begun + at_least, at_least + 5, "long enough to be seen")
    finally:
        over.set()
        looker.join()
    span, after = now() - begun, packets(pair)
    assert gaps and max(gaps) < 1000, gaps
    for n in NODES:
        assert after[n] - before[n] >= 5 * span, f"{n} heard {after[n] - before[n]} packets in {span:.1f} s"


def test_a_server_that_stands_still_stops_no_heartbeat(either, service):
    """Full, locked, stopped: on the standby, then on the primary. Leases are renewed, packets go, status answers; a primary's server that
    is stopped is given up after a while, and its successor waits for nothing."""
    pair = either
    with service(pair, timeout=1) as s:
        before = len(pair.events("n1")), len(pair.events("n2"))
        with heartbeats(pair), pair.frozen("n2", "mysql"):
            wait_for(lambda: "does not answer: it is stopped, or stuck" in trouble(pair, "n1", "n2"), 10, "n1 sees that n2's server is hung")
            wait_for(lambda: "mysql on n2 is hung" in blockers(pair, "n2"), 10, "n2 says that it could not take over")
            s.acknowledged_by("n1", bound=30)
        pair.wait_ready(primary="n1", bound=60)
        with heartbeats(pair), contextlib.ExitStack() as hogs:
            with contextlib.suppress(pymysql.Error):
                for _ in range(110):
                    hogs.enter_context(session(pair, "n1", "app"))
        with heartbeats(pair), session(pair, "n1", "root", "FLUSH TABLES WITH READ LOCK"):
            pass
        pair.wait_ready(primary="n1")
        for node, since in zip(NODES, before):
            assert not [e for e in pair.events(node)[since:] if e["kind"] == "role"], "none of that moved anything"
        s.fault()
        with heartbeats(pair), pair.frozen("n1", "mysql"):
            s.acknowledged_by("n2", bound=30)
        figure(f"{pair.database.name}: source stopped, mysql promote took {promote_ms(pair, 'n2'):.1f} ms")
        s.end("n2", ["n1", "n2"])


def ended(pair, node):
    """Every connection of hactl's there."""
    with flavour.connect(f"{pair[node].dir}/mysql.sock") as db, db.cursor() as c:
        c.execute("SELECT id FROM information_schema.processlist WHERE user = 'hactl'")
        for (number,) in c.fetchall():
            with contextlib.suppress(pymysql.Error):
                c.execute(f"KILL {number}")


def test_five_findings(either):
    """What keeps hactl from a server has its own sentence each, on both nodes: they look at it both."""
    pair = either

    def found(part):
        for node in NODES:
            wait_for(lambda: part in trouble(pair, node, "n2"), 20, f"{node} says of n2: {part}")
        wait_for(lambda: "mysql on n2 is " in blockers(pair, "n1"), 10, "n1 says that nobody could take over")

    # full: every place is taken, also the one that is kept for administrators
    with contextlib.ExitStack() as hogs:
        pair.sql("n2", "SET GLOBAL max_connections = 10")
        root = hogs.enter_context(session(pair, "n2", "root"))
        with contextlib.suppress(pymysql.Error):
            for _ in range(20):
                hogs.enter_context(session(pair, "n2", "app"))
        end, seen = now() + 20, False
        while not seen and now() < end:  # the places of those who were there before are taken as they become free
            with root.cursor() as c:
                c.execute("SELECT id FROM information_schema.processlist WHERE user = 'hactl'")
                for (number,) in c.fetchall():
                    with contextlib.suppress(pymysql.Error):
                        c.execute(f"KILL {number}")
            for user in ("app", "root"):
                with contextlib.suppress(pymysql.Error):
                    hogs.enter_context(session(pair, "n2", user))
            seen = all("all its connections are in use" in trouble(pair, node, "n2") for node in NODES)
        assert seen, [trouble(pair, node, "n2") for node in NODES]
        found("all its connections are in use")
    pair.sql("n2", "SET GLOBAL max_connections = 100", bound=20)
    pair.wait_ready()
    # a wrong password
    quiet = ("SET SESSION sql_log_bin = 0",) if kind(pair) is MariaDB else ("SET GLOBAL super_read_only = 0", "SET SESSION sql_log_bin = 0")
    with session(pair, "n2", "root", *quiet, "ALTER USER hactl@'%' IDENTIFIED BY 'another'") as root:
        ended(pair, "n2")
        found("refuses hactl's account: set the password")
        with root.cursor() as c:
            c.execute(f"ALTER USER hactl@'%' IDENTIFIED BY '{flavour.PASSWORD['hactl']}'")
            c.execute("SET GLOBAL " + ("read_only = 1" if kind(pair) is MariaDB else "super_read_only = 1"))
    pair.wait_ready()
    # hung, and gone
    with pair.frozen("n2", "mysql"):
        found("it is stopped, or stuck")
    pair.wait_ready(bound=60)
    pair["n2"].end("mysql")
    found("nobody listens on its port: start it")


def test_a_look_is_one_round_trip_a_second(either):
    """By the servers' own logs: each node looks at each server once a second, with one request, and says nothing else while all is well."""
    pair = either
    said, begun = {n: general_log(pair, n) for n in NODES}, now()
    first = {n: len(said[n]()) for n in NODES}
    wait_for(lambda: now() > begun + 4, 6, "four seconds of looking")
    span, lines = now() - begun, {n: said[n]()[first[n]:] for n in NODES}
    for n in NODES:
        looks = [line for line in lines[n] if line.startswith("SELECT VERSION() AS version")]
        parts = (line for line in lines[n] if line not in looks)
        others = [line for line in parts if not re.match(r"\s*(?:SELECT LOWER\(VARIABLE_NAME\) AS name|SHOW ALL SLAVES STATUS|SELECT c.CHANNEL_NAME)", line)]
        assert span <= len(looks) + 3 and len(looks) <= 2 * span + 4, f"{len(looks)} looks at {n} in {span:.1f} s"
        assert not others, f"{n}: {others}"
        figure(f"{pair.database.name} on {n}: {len(looks)} looks, {len(lines[n])} statements in {span:.1f} s from two nodes and their guards")


# --- gates, each shown before it is needed ----------------------------------------------------------------------------------------

def set_delay(pair, seconds):
    """As an operator does it; MariaDB wants both threads stopped, and hactl may have started one again."""
    if kind(pair) is MySQL:
        statements = (STOP_APPLIER[MySQL], f"CHANGE REPLICATION SOURCE TO SOURCE_DELAY = {seconds}", START_APPLIER[MySQL])
    else:
        statements = ("STOP SLAVE", f"CHANGE MASTER TO MASTER_DELAY = {seconds}", "START SLAVE")

    def tried():
        for statement in statements:
            pair.sql("n2", statement, bound=0)
        return pair.status("n2")["mysql"]["local"]["delay_ms"] == 1000 * seconds
    wait_for(tried, 20, f"n2's delay is {seconds} s")


def on_the_replica_alone(pair, statement):
    lock, unlock = {MariaDB: ("DO 0", "DO 0"),
                    MySQL: ("SET GLOBAL super_read_only = 0", "SET GLOBAL super_read_only = 1")}[kind(pair)]
    with session(pair, "n2", "root", lock, "SET SESSION sql_log_bin = 0", statement, unlock):
        pass


def test_gates_are_shown_before_and_timed_when_they_act(either):
    """A delay, an applier's error and a pause: each with its sentence on both nodes while all is quiet. With an error there, the primary's
    server dies: nobody takes over, the journal says why, and for how long, when it is over."""
    pair, word = either, {MariaDB: "MASTER_DELAY", MySQL: "SOURCE_DELAY"}[kind(either)]
    wait_for(lambda: set_delay(pair, 60) or all(f"configured delay of 60s ({word})" in blockers(pair, n) for n in NODES), 30,
             "both nodes say that n2 is late on purpose")
    set_delay(pair, 0)
    pair.wait_ready(bound=60)
    assert pair.hactl("n1", "pause", "new cables").returncode == 0
    for node in NODES:
        wait_for(lambda: "paused (" in blockers(pair, node), 10, f"{node} says that it is paused")
    assert pair.hactl("n1", "resume").returncode == 0
    pair.wait_ready()
    # rows that somebody wrote on the replica alone
    on_the_replica_alone(pair, "INSERT INTO lab.w VALUES (-1, 2)")
    pair.sql("n1", "INSERT INTO lab.w VALUES (-1, 1)", bound=20)
    for node in NODES:
        wait_for(lambda: re.search("replication on n2 stopped, applier error 1062: .*Duplicate entry", blockers(pair, node)), 20,
                 f"{node} names the error")
    pair["n1"].end("mysql")
    for node in NODES:
        wait_for(lambda: told(pair, node, "a failover is held up: ") or node == "n2", 20, f"{node} says that a failover is held up")
    assert any("applier error 1062" in e["text"] for e in told(pair, "n1", "a failover is held up: "))
    assert pair.role("n2") == "standby" and not pair.writable("n2")
    on_the_replica_alone(pair, "DELETE FROM lab.w WHERE id = -1")
    pair.start("n1", "mysql")
    pair.wait_ready(bound=60)  # hactl tries the applier again by itself; who is primary then depends on whether n2 was still in sync
    for node in NODES:
        wait_for(lambda: pair.sql(node, "SELECT node FROM lab.w WHERE id = -1")[0] == 1, 10, f"{node} has the row that n1 wrote")
    over = told(pair, "n1", "the failover was held up for ")
    assert over and all(e["ms"] > 0 for e in over), over
    figure(f"{pair.database.name}: {max(over, key=lambda e: e['ms'])['text'][:110]}")


# --- what would be lost --------------------------------------------------------------------------------------------------------------

@pytest.fixture(params=[MariaDB, MySQL], ids=["MariaDB", "MySQL"])
def lossy(request, make_pair):
    """Without semi-sync, max_lag and max_unreceived are the gates."""
    p = make_pair(database=request.param, change=[('max_lag = "10s"; semi_sync = "auto"',
                                                   'max_lag = "2s"; semi_sync = "off"; max_unreceived = 4')])
    p.supervise()
    return p


def test_what_a_failover_would_lose(lossy):
    """Nothing; so many; nobody knows. `failover --force` says it before it does it."""
    pair = lossy
    pair.sql("n1", "INSERT INTO lab.w VALUES (0, 1)")
    for node in NODES:
        wait_for(lambda: pair.status(node)["failover"]["would_lose"] == "nothing", 10, f"{node}: nothing")
    pair.wire.drop("ip protocol tcp ip saddr 10.77.0.1 tcp sport 3306 ip daddr 10.77.0.2", "ip protocol tcp ip daddr 10.77.0.1 tcp dport 3306")
    for i in (1, 2, 3):
        pair.sql("n1", f"INSERT INTO lab.w VALUES ({-i}, 1)")
    for node in NODES:
        wait_for(lambda: pair.status(node)["failover"]["would_lose"] == "at most 3 transactions", 10, f"{node}: at most 3")
    m = pair.status("n2")["mysql"]["local"]
    assert m["unreceived"] == 3 and m["unapplied"] == 0 and m["silent_ms"] is not None, "three numbers"
    wait_for(lambda: "more than max_lag 2s" in blockers(pair, "n1"), 20, "n1 says that n2 is too far behind")
    assert pair.status("n2")["mysql"]["local"]["lag_ms"] is None, "the server still says 0"
    for i in (4, 5):
        pair.sql("n1", f"INSERT INTO lab.w VALUES ({-i}, 1)")
    too_many = "n2 has not received 5 transactions of n1, and mysql.max_unreceived is 4"
    for node in NODES:
        wait_for(lambda: too_many in pair.status(node)["failover"]["blockers"], 10, f"{node} says that n2 lacks too much")
    pair.wire.isolate("n1")
    since = wait_for(lambda: re.fullmatch(r"unknown since (\d\d:\d\d) UTC", pair.status("n2")["failover"]["would_lose"]), 10, "n2 does not know")
    wait_for(lambda: told(pair, "n2", f"a failover is held up: {too_many}", kinds=["gate"]), 10, "the gate acts")
    assert pair.role("n2") == "standby"
    pair["n1"].power_off()
    r = pair.hactl("n2", "failover", "--force")
    assert r.returncode in (0, 4), r.stdout + r.stderr
    said = f"lost by taking over now: {since[0]}"
    assert said in r.stdout and f"not done by itself, because: {too_many}" in r.stdout, r.stdout
    assert told(pair, "n2", f"lost by it: {since[0]}"), "and the journal has it"
    pair.wait_primary("n2")
    assert [e for e in told(pair, "n2", "the failover was held up for ") if too_many in e["text"] and e["ms"] > 0], "with its milliseconds"
