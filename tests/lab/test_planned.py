"""Changes somebody asked for, and the first start on a pair in service."""
import concurrent.futures
import contextlib
import re

import pytest

import flavour
import net
from flavour import MariaDB, MySQL
from pair import holds, now, wait_for


def test_first_start_adopts_a_pair_in_service(unsupervised, service):
    """Writers run on the node's own address; hactl is installed on both nodes: no write fails, nothing changes sides."""
    p = unsupervised
    with service(p, host=net.ADDRESS["n1"], timeout=5) as s:
        s.fault()
        p.supervise()
        assert p.wait_primary("n1")["vips"][0]["held"]
        s.acknowledged_by("n1")
        log, _ = s.end("n1", ["n1"], redis_lossless=True)
    assert not log.errors, "no write may fail while hactl takes a pair over"
    wait_for(lambda: p.replicating("n2"), 20, "n2 still follows")
    assert not p.writable("n2")


def test_first_start_waits_when_both_are_writable(unsupervised):
    p = unsupervised
    for statement in p.database.forget:
        p.sql("n2", statement)
    p.sql("n2", "SET GLOBAL read_only=OFF")
    for node in ("n1", "n2"):
        p.start_supervisor(node)
    wait_for(lambda: all(p.status(n)["failover"]["blockers"] for n in ("n1", "n2")), 20, "both say what is in the way")
    holds(lambda: all(p.role(n) != "primary" and p.writable(n) for n in ("n1", "n2")), 3, "nobody is made primary, nothing is frozen")


def planned(pair, s, command, source, target):
    pair.wait_ready()  # with its clients at work: an operator looks before he types
    s.fault()
    r = pair.hactl(source, *command)
    assert r.returncode == 0, r.stdout + r.stderr
    assert re.search(r"\d(\.\d+)? ?ms", r.stdout), f"no step with its milliseconds in:\n{r.stdout}"
    pair.wait_primary(target)
    s.acknowledged_by(target)
    return r.stdout


def test_switchover_and_back_under_load(either, service):
    pair = either
    with service(pair, name=f"switchover {pair.database.name}") as s:
        planned(pair, s, ["switchover"], "n1", "n2")
        with s.quiet():  # a busy machine's replica does not catch up with its own clients
            pair.wait_ready(primary="n2")
        s.end("n2", ["n1", "n2"], redis_lossless=True)
    wait_for(lambda: pair.replicating("n1"), 20, "n1 follows")
    assert not pair.writable("n1")
    assert pair.status("n2")["last_change"]["kind"] == "switchover"
    with service(pair, name=f"switchback {pair.database.name}") as s:
        planned(pair, s, ["switchback"], "n2", "n1")
        with s.quiet():
            pair.wait_ready(primary="n1")
        s.end("n1", ["n2", "n1"], redis_lossless=True)


def test_switchover_typed_on_the_standby(pair, service):
    with service(pair) as s:
        planned(pair, s, ["switchover", "--to", "n2"], "n2", "n2")
        s.end("n2", ["n1", "n2"], redis_lossless=True)


def test_dry_run_changes_nothing(pair, service):
    with service(pair, timeout=5) as s:
        pair.wait_ready()
        r = pair.hactl("n1", "switchover", "--dry-run")
        assert r.returncode == 0 and "mysql freeze" in r.stdout, r.stdout + r.stderr
        assert re.search(r"not received, \d+ transactions not applied; heard of .*before \d", r.stdout), r.stdout
        with transaction(pair, "n1"):
            wait_for(lambda: "rolled back: root" in pair.hactl("n1", "switchover", "--dry-run").stdout, 20, "the open transaction is named")
        log, _ = s.end("n1", ["n1"], redis_lossless=True)
    assert not log.errors and pair.role("n1") == "primary"


def test_switchover_refused_without_a_replica(pair, service):
    with service(pair) as s:
        pair["n2"].end("mysql")
        wait_for(lambda: pair.status("n1")["failover"]["blockers"], 20, "n1 sees that n2's database is gone")
        r = pair.hactl("n1", "switchover")
        assert r.returncode == 1 and (r.stdout + r.stderr).strip(), "refused, and said why"
        s.acknowledged_by("n1")
        s.end("n1", ["n1"])
    assert pair.role("n1") == "primary"


def test_switchover_to_the_primary_and_to_nobody(pair):
    assert pair.hactl("n1", "switchover", "--to", "n1").returncode == 0, "nothing to do"
    assert pair.hactl("n1", "switchover", "--to", "n3").returncode in (1, 2)
    assert pair.role("n1") == "primary"


SOURCE = {"MariaDB": "master", "MySQL": "source"}


@contextlib.contextmanager
def transaction(pair, node):
    """Has written and waits for its client."""
    with flavour.connect(f"{pair[node].dir}/mysql.sock") as db, db.cursor() as c:
        c.execute("BEGIN")
        c.execute("INSERT INTO lab.w VALUES (1, 0)")
        yield
        c.execute("ROLLBACK")


def undone(pair, s, r, why):
    """Writes go on as before, protected as before, and the operator was told."""
    assert r[0] == 1 and re.search(why, r[1]), r
    since = now()
    s.acknowledged_by("n1", since=since)
    assert pair.role("n1") == "primary" and pair.writable("n1") and not pair.writable("n2")
    # A standby that stood still for longer than its acknowledgement may take is done without, and comes back by itself.
    wait_for(lambda: pair.sql("n1", f"SELECT @@global.rpl_semi_sync_{SOURCE[pair.database.name]}_enabled")[0] == 1, 20, "semi-sync as before")


def pending_freeze(pair):
    return pair.sql("n1", "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE INFO LIKE 'SET /* hactl freeze%'")[0]


@pytest.mark.parametrize("database", [MariaDB, MySQL], ids=["MariaDB", "MySQL"])
def test_switchover_is_taken_back_when_writes_would_be_held_too_long(make_pair, service, database):
    """LOCK TABLES keeps the freeze waiting; then a statement does, and while it does the standby's server stands still."""
    pair = make_pair(database=database, max_freeze="1s")
    pair.supervise()
    with service(pair, timeout=5) as s:
        locker = pair.lock_table("n1", "lab.held WRITE")
        r = pair.hactl("n1", "switchover")
        undone(pair, s, (r.returncode, r.stdout + r.stderr), "LOCK TABLES|table locks|max_freeze")
        locker.stdin.close()
        locker.wait(10)
        pair.wait_ready(primary="n1")

        with flavour.connect(f"{pair['n1'].dir}/mysql.sock") as db, db.cursor() as c:
            c.execute("INSERT INTO lab.held VALUES (1)")
            c.execute("SELECT CONNECTION_ID()")
            number = c.fetchone()[0]
            with concurrent.futures.ThreadPoolExecutor() as pool:
                held = pool.submit(lambda: c.execute("UPDATE lab.held SET a = 1 + SLEEP(20)"))
                asked = pool.submit(pair.hactl, "n1", "switchover")
                wait_for(lambda: pending_freeze(pair) or asked.done(), 20, "the freeze waits")
                with pair.frozen("n2", "mysql"):
                    pair.sql("n1", f"KILL QUERY {number}")
                    r = asked.result(30)
                assert held.exception(20), "it was ended"
        undone(pair, s, (r.returncode, r.stdout + r.stderr), "taken back.*(held|frozen|long statements)")
        assert [e for e in pair.events("n1") if e["kind"] == "change" and not e["change"]["ok"] and e["change"]["steps"]], "with milliseconds"
        assert [e for e in pair.events("n1") if "taken back" in e["text"]], "and why"
        pair.wait_ready(primary="n1")
        s.end("n1", ["n1"], redis_lossless=True)


def test_switchover_when_quiet(pair, service):
    """A transaction that waits for its client is waited for; when it does not end in time, nothing was frozen."""
    with service(pair) as s:
        pair.wait_ready()
        with transaction(pair, "n1"):
            wait_for(lambda: "rolled back" in pair.hactl("n1", "switchover", "--dry-run").stdout, 20, "the transaction is seen")
            r = pair.hactl("n1", "switchover", "--when-quiet", "--timeout", "500ms")
            assert r.returncode == 1 and "did not become quiet" in r.stderr and "rolled back: root" in r.stderr, r.stdout + r.stderr
            assert pair.role("n1") == "primary"
        with concurrent.futures.ThreadPoolExecutor() as pool:
            with transaction(pair, "n1"):
                wait_for(lambda: "rolled back" in pair.hactl("n1", "switchover", "--dry-run").stdout, 20, "the transaction is seen")
                asked = pool.submit(pair.hactl, "n1", "switchover", "--when-quiet")
                holds(lambda: not asked.done(), 1, "it waits")
            r = asked.result(60)
        assert r.returncode == 0, r.stdout + r.stderr
        pair.wait_primary("n2")
        s.acknowledged_by("n2")
        s.end("n2", ["n1", "n2"], redis_lossless=True)


def test_switchover_is_refused_before_anything_is_frozen_when_redis_stalls(pair, service):
    """The replica of Redis has just stopped answering; nobody has noticed yet."""
    with service(pair, timeout=5) as s:
        pair.wait_ready()
        with pair.frozen("n2", "redis"):
            r = pair.hactl("n1", "switchover")
        assert r.returncode == 1 and "edis" in r.stdout + r.stderr, r.stdout + r.stderr
        assert "mysql freeze" not in r.stdout, r.stdout
        s.acknowledged_by("n1")
        log, _ = s.end("n1", ["n1"], redis_lossless=True)
    assert not log.errors and pair.role("n1") == "primary"


def test_forced_failover_without_the_peer(pair, service):
    with service(pair) as s:
        pair.hactl("n2", "pause")
        wait_for(lambda: all(pair.status(n)["paused"] for n in ("n1", "n2")), 20, "both are paused")
        pair["n1"].power_off()
        holds(lambda: pair.role("n2") != "primary", 3, "paused: no takeover")
        assert pair.hactl("n2", "failover").returncode == 2, "not without --force"
        r = pair.hactl("n2", "failover", "--force")
        assert r.returncode in (0, 4), r.stdout + r.stderr
        pair.wait_primary("n2")
        s.acknowledged_by("n2")
        s.end("n2", ["n1", "n2"])
