"""A node that holds what the primary lacks: quarantined, exported, rebuilt from the primary, redundant again; or left as it is, and said why."""
import glob
import os
import signal
import stat
import threading

import pytest

import flavour
import servers
from conftest import figure
from flavour import MariaDB, MySQL
from pair import now, wait_for
from reseeding import configure, reseed

ONLY_HERE = (9001, 9002, 9003)


def diverge(pair):
    """n1 loses its power; n2 goes on; somebody opens n1 by hand and writes there; then its supervisor starts."""
    pair["n1"].power_off()
    pair.wait_primary("n2")
    pair.power_on("n1", supervised=False)
    pair.sql("n1", "SET GLOBAL read_only=OFF", bound=20)
    for row in ONLY_HERE:
        pair.sql("n1", f"INSERT INTO lab.w VALUES ({row}, 1)")
    pair.sql("n2", "INSERT INTO lab.w VALUES (9100, 2)")
    pair.start_guard("n1")
    pair.start_supervisor("n1")
    pair.wait_role("n1", "quarantined", bound=30)


def exports(pair, node="n1"):
    return sorted(glob.glob(f"{pair[node].dir}/state/divergent-*.sql"))


def exported(pair):
    """The one export's path and text."""
    path, = wait_for(lambda: exports(pair), 20, "what only n1 holds is exported")
    with open(path) as f:
        return path, f.read()


def said(pair, text):
    return any(text in e["text"] for e in pair.events("n1"))


def equal(pair):
    return pair.ids("n1") == pair.ids("n2")


def nothing_lost(pair):
    assert pair.ids("n1") >= set(ONLY_HERE) and 9100 not in pair.ids("n1"), "n1's data are as they were"
    assert pair.role("n1") == "quarantined" and not pair.writable("n1") and pair.role("n2") == "primary"


@pytest.fixture(params=[MariaDB, MySQL], ids=["MariaDB", "MySQL"])
def spare(request, make_pair):
    """Not yet supervised."""
    return make_pair(database=request.param)


def rebuild(pair):
    """What the command prints."""
    r = pair.hactl("n1", "rejoin", "--discard-divergent", timeout=240)
    assert r.returncode == 0, r.stdout + r.stderr
    pair.wait_ready(primary="n2", bound=30)
    wait_for(lambda: equal(pair), 20, "the same rows on both nodes")
    return r.stdout


def test_exported_discarded_and_redundant_again(spare):
    pair = spare
    configure(pair, **reseed(pair))
    pair.supervise()
    pair.sql("n1", "INSERT INTO lab.w VALUES (1, 1)")
    diverge(pair)
    path, text = exported(pair)
    name = os.path.basename(path)
    for row in ONLY_HERE:
        assert f"###   @1={row}\n" in text, "the rows can be read"
    assert "@1=9100\n" not in text and flavour.PASSWORD["repl"] not in text
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    wait_for(lambda: said(pair, name), 10, "the journal names the file")
    wait_for(lambda: any(name in b for b in pair.status("n1")["failover"]["blockers"]), 10, "status names the file")
    # without the word it is compared again, and nothing is gone
    assert pair.hactl("n1", "rejoin").returncode == 0
    pair.wait_role("n1", "quarantined", bound=30)
    nothing_lost(pair)
    assert pair.hactl("n2", "rejoin", "--discard-divergent").returncode == 1, "n2 is not quarantined"
    begun = now()
    printed = rebuild(pair)
    assert "export" in printed and " ms" in printed and "follows n2 again" in printed, printed
    figure(f"{pair.database.name}: rejoin --discard-divergent, until the pair is redundant: {now() - begun:.1f} s")
    pair.sql("n2", "INSERT INTO lab.w VALUES (9101, 2)")
    wait_for(lambda: equal(pair), 20, "the same rows on both nodes")
    assert not pair.ids("n1") & set(ONLY_HERE) and {9100, 9101} <= pair.ids("n1")
    assert exports(pair) == [path], "one export, and it stays"
    # the rebuilt node knows the whole history: nobody is found diverged on the way back and forth
    for target in ("n1", "n2"):
        r = pair.hactl("n1", "switchover", "--to", target)
        assert r.returncode == 0, r.stdout + r.stderr
        pair.wait_ready(primary=target, bound=30)
        pair.sql(target, f"INSERT INTO lab.w VALUES (92{target[1]}0, 0)")
        wait_for(lambda: equal(pair), 20, "the same rows on both nodes")


def test_without_an_export_nothing_is_discarded(spare):
    pair = spare
    configure(pair, **reseed(pair), binlog_tool="/nonexistent/mysqlbinlog")
    pair.supervise()
    diverge(pair)
    wait_for(lambda: any("could not be exported" in b for b in pair.status("n1")["failover"]["blockers"]), 20, "status says so")
    r = pair.hactl("n1", "rejoin", "--discard-divergent")
    assert r.returncode == 1 and "nothing was discarded" in r.stderr and "/nonexistent/mysqlbinlog" in r.stderr, r.stdout + r.stderr
    nothing_lost(pair)
    assert not exports(pair)


def test_reseed_off_is_said(pair):
    diverge(pair)
    path, _ = exported(pair)
    wait_for(lambda: said(pair, os.path.basename(path)), 10, "exported")
    r = pair.hactl("n1", "rejoin", "--discard-divergent")
    assert r.returncode == 1 and "mysql.reseed" in r.stderr and path.rsplit("/", 1)[1] in r.stderr, r.stdout + r.stderr
    nothing_lost(pair)


def test_a_standby_that_the_primary_cannot_serve_any_more(spare):
    """Not diverged: what it lacks was purged. It is rebuilt all the same when asked."""
    pair = spare
    configure(pair, **reseed(pair))
    pair.supervise()
    pair["n1"].power_off()
    pair.wait_primary("n2")
    for row in (9100, 9101):
        pair.sql("n2", f"INSERT INTO lab.w VALUES ({row}, 2)")
        pair.sql("n2", "FLUSH BINARY LOGS")
    status = "SHOW MASTER STATUS" if isinstance(pair.database, MariaDB) else "SHOW BINARY LOG STATUS"

    def purged():
        pair.sql("n2", f"PURGE BINARY LOGS TO '{pair.sql('n2', status)[0]}'")
        return pair.sql("n2", "SHOW BINARY LOGS")[0] == pair.sql("n2", status)[0]
    wait_for(purged, 20, "n2 has purged what n1 lacks")
    pair.power_on("n1")
    wait_for(lambda: any("reseeded" in e["text"] for e in pair.events("n1")), 40, "n1 says that it must be reseeded")
    rebuild(pair)
    assert not exports(pair)


def refused(pair, word):
    r = pair.hactl("n1", "rejoin", "--discard-divergent", timeout=120)
    assert r.returncode == 1 and word in r.stderr and "divergent-" in r.stderr, r.stdout + r.stderr
    wait_for(lambda: pair.status("n1")["mysql"]["local"]["up"], 20, "the server runs")
    nothing_lost(pair)


def test_a_stream_that_is_cut_and_a_server_that_does_not_start(make_pair):
    """MariaDB: each failure leaves the old data where they were, and the next try succeeds."""
    pair = make_pair()
    configure(pair, **reseed(pair))
    pair.supervise()
    diverge(pair)
    conf = f"{pair.dir}/etc/reseed.conf"
    with open(conf) as f:
        good = f.read()
    # in the middle of a chunk mbstream notices; at the end of one it does not, and only the sender's status tells
    servers.write(conf, good + f"REMOTE='{pair.dir}/cut'\n")
    for through, word in (("head -c 3000000", "mbstream failed"), ("cat", "the primary's side failed with status 255")):
        servers.write(f"{pair.dir}/cut", f"#!/bin/sh\nssh -F /dev/null -o BatchMode=yes -i {pair.dir}/etc/reseed.key -o "
                      f"UserKnownHostsFile={pair.dir}/etc/known_hosts -l root \"$@\" | {through}\nexit 255\n", 0o755)
        refused(pair, word)
    servers.write(conf, good + "BACKUP_OPTIONS=--no-such-option\n")
    refused(pair, "mariadb-backup failed")
    # the new data are in place, and the server does not start on them
    servers.write(conf, good + f"START='[ ! -e {pair.dir}/node/mysql/xtrabackup_info ] && {pair.dir}/start'\n")
    refused(pair, "could not be started on the new data")
    assert not os.path.exists(f"{pair['n1'].dir}/mysql.before-reseed")
    servers.write(conf, good)
    rebuild(pair)


def test_a_clone_that_cannot_succeed_touches_nothing(make_pair):
    pair = make_pair(database=MySQL)
    configure(pair, **reseed(pair))
    pair.supervise()
    diverge(pair)
    pair.sql("n2", "REVOKE BACKUP_ADMIN ON *.* FROM hactl@'%'")
    refused(pair, "BACKUP_ADMIN")
    pair.sql("n2", "GRANT BACKUP_ADMIN ON *.* TO hactl@'%'")
    pair.sql("n2", "UNINSTALL PLUGIN clone")
    refused(pair, "plugin")
    pair.sql("n2", "INSTALL PLUGIN clone SONAME 'mysql_clone.so'")
    rebuild(pair)


def test_a_clone_that_is_cut_can_be_done_again(make_pair):
    """CLONE has thrown the node's own data away by then: it stays quarantined, says so, and the export of before still counts."""
    pair = make_pair(database=MySQL)
    configure(pair, **reseed(pair))
    pair.supervise()
    diverge(pair)
    path, text = exported(pair)
    pair.sql("n1", "SET GLOBAL clone_max_data_bandwidth = 1")
    said_there = {}
    typed = threading.Thread(target=lambda: said_there.update(r=pair.hactl("n1", "rejoin", "--discard-divergent", timeout=120)))
    typed.start()
    copying = "SELECT 1 FROM performance_schema.clone_progress WHERE STAGE = 'FILE COPY' AND STATE = 'In Progress' AND DATA > 3000000"
    wait_for(lambda: pair.sql("n1", copying), 30, "the clone copies")
    assert any("being rebuilt" in b for b in pair.status("n1")["failover"]["blockers"])
    assert pair.hactl("n1", "failover", "--force", "--to", "n1").returncode == 1, "there is nothing to serve"
    donor = wait_for(lambda: pair.sql("n2", "SELECT ID FROM performance_schema.processlist WHERE COMMAND = 'Clone'"), 10, "the donor's session")
    pair.sql("n2", f"KILL {donor[0]}")
    typed.join(120)
    r = said_there["r"]
    assert r.returncode == 1 and "own data may be gone" in r.stderr and os.path.basename(path) in r.stderr, r.stdout + r.stderr
    assert pair.role("n1") == "quarantined" and pair.role("n2") == "primary" and not pair.writable("n1")
    with open(path) as f:
        assert f.read() == text
    # an emptied server has an empty position and lacks nothing: it must not pass for clean, now or after a restart of hactl
    assert pair.hactl("n1", "rejoin").returncode == 1
    pair["n1"].signal("hactl", signal.SIGKILL)
    pair.start_supervisor("n1")
    pair.wait_role("n1", "quarantined", bound=30)
    assert any("not whole" in b for b in pair.status("n1")["failover"]["blockers"])
    assert pair.hactl("n1", "failover", "--force", "--to", "n1").returncode == 1
    assert not pair.replicating("n1")
    pair.sql("n1", "SET GLOBAL clone_max_data_bandwidth = 0")
    rebuild(pair)
    assert exports(pair) == [path]


def nobody_acts(pair, *nodes):
    """hactl stands still there: what lies between a cut and a crash takes as long as it takes, and nobody goes on without the standby meanwhile."""
    for node in nodes:
        for what in ("guard", "hactl"):
            pair[node].signal(what, signal.SIGSTOP)


def in_flight(pair, row):
    """A commit on n1 that waits for the standby's acknowledgement, for ever."""
    def write():
        try:
            with flavour.connect(f"{pair['n1'].dir}/mysql.sock") as db, db.cursor() as c:
                c.execute(f"INSERT INTO lab.w VALUES ({row}, 1)")
        except Exception:  # its server dies
            pass
    threading.Thread(target=write, daemon=True).start()
    words = "source" if isinstance(pair.database, MySQL) else "master"
    wait_for(lambda: pair.sql("n1", f"SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE INFO LIKE 'INSERT INTO lab.w VALUES ({row},%'")[0] and
             int(pair.sql("n1", f"SHOW GLOBAL STATUS LIKE 'Rpl_semi_sync_{words}_wait_sessions'")[1]) > 0, 10, "it waits")


def test_crash_with_writes_in_flight_needs_nobody(spare, service):
    """Rows that n2 never received and nobody was told of. MariaDB takes them back by itself; MySQL keeps them and is rebuilt."""
    pair = spare
    if isinstance(pair.database, MySQL):
        configure(pair, **reseed(pair), reseed_automatic="true")
    pair.supervise()
    with service(pair) as s:
        s.fault()
        nobody_acts(pair, "n1")
        pair.wire.cable("n1", False)
        in_flight(pair, 7001)
        pair["n1"].power_off()
        s.acknowledged_by("n2")
        begun = now()
        pair.power_on("n1")
        pair.wait_ready(primary="n2", bound=90)
        figure(f"{pair.database.name}: crash of a semi-sync primary with writes in flight, from power on to redundant: {now() - begun:.1f} s")
        s.acknowledged_by("n2")
        w, _ = s.end("n2", ["n1", "n2"])
    wait_for(lambda: equal(pair), 20, "the same rows on both nodes")
    assert not w.lost("mysql", pair.ids("n1")) and 7001 not in pair.ids("n1")
    assert bool(exports(pair)) == isinstance(pair.database, MySQL)


def test_a_gtid_given_twice_does_not_hide_a_divergence(make_pair):
    """MariaDB: n2 received what n1, after its crash, took back; what is then written by hand on n1 gets the same numbers."""
    pair = make_pair()
    pair.supervise()
    for row in (1, 2):
        pair.sql("n1", f"INSERT INTO lab.w VALUES ({row}, 1)")
    wait_for(lambda: equal(pair), 20, "n2 has them")
    nobody_acts(pair, "n1", "n2")
    pair.wire.cut("n2", "n1", both=False)
    in_flight(pair, 7001)
    wait_for(lambda: 7001 in pair.ids("n2"), 10, "n2 has the row, and its word does not arrive")
    pair["n1"].power_off()
    pair.wire.heal()
    pair["n2"].thaw()
    pair.wait_primary("n2")
    pair.sql("n2", "INSERT INTO lab.w VALUES (9100, 2)")
    pair.power_on("n1", supervised=False)
    pair.sql("n1", "SET GLOBAL read_only=OFF", bound=20)
    with open(f"{pair['n1'].dir}/log/mysql.log") as f:
        assert "truncated binlog" in f.read(), "the test means nothing when n1 has kept the row"
    pair.sql("n1", "INSERT INTO lab.w VALUES (9001, 1)")
    state = [pair.sql(n, "SELECT @@gtid_binlog_state")[0] for n in ("n1", "n2")]
    pair.start_supervisor("n1")
    pair.wait_role("n1", "quarantined", bound=30)
    assert said(pair, "given twice"), state
    _, text = exported(pair)
    assert "###   @1=9001\n" in text
    assert 9001 in pair.ids("n1") and not pair.replicating("n1")


@pytest.mark.parametrize("supervisor_too", [False, True], ids=["server", "server-and-supervisor"])
def test_a_primary_that_lost_its_own_transactions_is_not_opened(make_pair, supervisor_too):
    """MariaDB: its server crashes while no role may change; n2 has a row that it took back, and whose number it would give again."""
    pair = make_pair()
    pair.supervise()
    for row in (1, 2):
        pair.sql("n1", f"INSERT INTO lab.w VALUES ({row}, 1)")
    wait_for(lambda: equal(pair), 20, "n2 has them")
    assert pair.hactl("n1", "pause").returncode == 0
    wait_for(lambda: all(pair.status(n)["paused"] for n in ("n1", "n2")), 20, "both are paused")
    nobody_acts(pair, "n1")
    pair.wire.cut("n2", "n1", both=False)
    in_flight(pair, 7001)
    wait_for(lambda: 7001 in pair.ids("n2"), 10, "n2 has the row, and its word does not arrive")
    if supervisor_too:
        pair["n1"].signal("hactl", signal.SIGKILL)
    pair["n1"].signal("mysql", signal.SIGKILL)
    pair["n1"].thaw()
    pair.wire.heal()
    pair.start("n1", "mysql")
    wait_for(lambda: 7001 not in pair.ids("n1"), 20, "n1's server is back, without the row")
    if supervisor_too:
        pair.start_supervisor("n1")
    wait_for(lambda: any("transactions of its own that n2 holds" in b for b in pair.status("n1")["failover"]["blockers"]) or
             pair.role("n2") == "primary", 20, "n1 says why it stays shut")
    assert not pair.writable("n1")
    assert pair.hactl("n1", "resume").returncode == 0
    pair.wait_primary("n2", bound=30)
    pair.sql("n2", "INSERT INTO lab.w VALUES (9100, 2)")
    pair.wait_ready(primary="n2", bound=30)
    wait_for(lambda: equal(pair), 20, "the same rows on both nodes")
    assert {7001, 9100} <= pair.ids("n1") and not exports(pair)
