"""What must change nothing, or only what it should: the arbiter, the standby, a meddling hand, a dead web app."""
import concurrent.futures
import contextlib
import signal

import pytest
import redis

import flavour
import net
import servers
from pair import holds, now, wait_for

def unmoved(pair, s, redis_lossless=True):
    log, witness = s.end("n1", ["n1"], redis_lossless=redis_lossless)
    assert pair.role("n1") == "primary"
    return log, witness


@pytest.mark.parametrize("how", [signal.SIGSTOP, signal.SIGKILL], ids=["frozen", "killed"])
def test_arbiter_away(pair, service, how):
    with service(pair, timeout=5) as s:  # the client's patience is long, so that a busy test machine is not taken for an error
        pair["arbiter"].signal("etcd", how)
        wait_for(lambda: pair.status("n1")["authority"]["arbiter"] == "down", 20, "n1 says that the arbiter is away")
        assert pair.status("n1")["exit"] == 1
        holds(lambda: pair.role("n1") == "primary" and pair.role("n2") == "standby", 3, "nothing changes")
        if how == signal.SIGSTOP:
            pair["arbiter"].signal("etcd", signal.SIGCONT)
        else:
            pair.start("arbiter", "etcd")
        pair.wait_ready(primary="n1")
        log, _ = unmoved(pair, s)
    assert not log.errors


def test_standby_database_hung(pair, service):
    """n1 may go on alone only after the register, or n2, has stored that n2 is not in sync. n2's supervisor stays in touch."""
    with service(pair) as s:
        s.fault()
        with pair.frozen("n2", "mysql"):
            since = now()
            s.acknowledged_by("n1", since=since)
            wait_for(lambda: not pair.status("n1")["failover"]["ready"], 20, "no failover to a hung database")
            hung = now()
            wait_for(lambda: now() > hung + 3, 10, "the database hangs for three seconds more")
            wait_for(lambda: (p := pair.status("n1")["peer"])["state"] == "alive" and p["silent_ms"] < 1000, 10,
                     "a supervisor that waited for its hung database would be silent all the time")
        pair.wait_ready(primary="n1")
        unmoved(pair, s)


def test_standby_power_lost_and_back(pair, service):
    with service(pair) as s:
        s.fault()
        pair["n2"].power_off()
        since = now()
        s.acknowledged_by("n1", since=since + 1)
        pair.power_on("n2")
        pair.wait_ready(primary="n1", bound=40)
        unmoved(pair, s)


@contextlib.contextmanager
def reading(pair, node):
    """A client reads on that node's own database all the while, and one of its Redis is there: neither is cut off."""
    with (flavour.connect(f"{pair[node].dir}/mysql.sock", read_timeout=120) as db, db.cursor() as c,
          redis.Redis(unix_socket_path=f"{pair[node].dir}/redis.sock", single_connection_client=True) as r,
          concurrent.futures.ThreadPoolExecutor() as pool):
        c.execute("SELECT CONNECTION_ID()")
        number, guest = c.fetchone()[0], r.client_id()
        look = f"SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE ID = {number} AND INFO LIKE 'SELECT SLEEP%'"
        asked = pool.submit(c.execute, "SELECT SLEEP(100)")
        try:
            wait_for(lambda: pair.sql(node, look)[0] == 1, 10, "it reads")
            yield
            assert pair.sql(node, look)[0] == 1 and not asked.done(), "a client that only reads was cut off"
            assert r.client_id() == guest, "a client of Redis that only reads was cut off"
        finally:
            if not asked.done():
                pair.sql(node, f"KILL QUERY {number}")


@pytest.mark.parametrize("node", ["n1", "n2"])
def test_supervisor_restarted(pair, service, node):
    """Killed and started again within the lease, as systemd does: nobody moves and no client is refused or cut off."""
    with service(pair, timeout=5) as s, reading(pair, node):
        s.fault()
        pair[node].signal("hactl", signal.SIGKILL)
        pair.start_supervisor(node)
        pair.wait_ready(primary="n1")
        s.acknowledged_by("n1")
        log, _ = unmoved(pair, s)
    assert not log.errors


def test_supervisor_of_the_primary_stopped_by_hand_hands_over(pair, service):
    with service(pair) as s:
        s.fault()
        pair["n1"].end("hactl", bound=20)
        s.acknowledged_by("n2")
        s.end("n2", ["n1", "n2"])
    assert net.VIP not in pair.addresses("n1") and not pair.writable("n1")


def test_address_deleted_by_hand(pair, service):
    held = next(w for w in pair.addresses("n1").split() if w.startswith(net.VIP))
    with service(pair) as s:
        s.fault()
        pair["n1"].call("ip", "address", "del", held, "dev", "eth0")
        wait_for(lambda: net.VIP in pair.addresses("n1"), 10, "the address is there again")
        s.acknowledged_by("n1")
        unmoved(pair, s)


def test_rule_set_flushed_by_hand(pair, service):
    """The gate is gone for a moment; it must come back, and still close."""
    with service(pair) as s:
        pair["n1"].call("nft", "flush", "ruleset")
        wait_for(lambda: "hactl" in pair["n1"].call("nft", "list", "ruleset"), 10, "the gate is made again")
        s.acknowledged_by("n1")
        unmoved(pair, s)


def test_address_taken_on_the_standby_by_hand(pair, service):
    """What an operator does by hand on the wrong node is named; the gate there does not let it answer."""
    with service(pair) as s:
        pair["n2"].call("ip", "address", "add", f"{net.VIP}/32", "dev", "eth0")
        wait_for(lambda: net.VIP not in pair.addresses("n2"), 10, "n2 removes it")
        s.acknowledged_by("n1")
        unmoved(pair, s)


def test_standby_database_opened_by_hand(pair, service):
    with service(pair) as s:
        pair.sql("n2", "SET GLOBAL read_only=OFF")
        wait_for(lambda: not pair.writable("n2"), 10, "n2's database is frozen again")
        s.end("n1", ["n1"], one_writable=False)


def test_pause_and_resume(pair, service):
    with service(pair) as s:
        assert pair.hactl("n1", "pause", "replacing a disk").returncode == 0
        wait_for(lambda: all(pair.status(n)["paused"] for n in ("n1", "n2")), 20, "both are paused")
        assert pair.status("n1")["exit"] == 1
        pair["n1"].signal("mysql", signal.SIGKILL)
        holds(lambda: pair.role("n2") == "standby" and not pair.writable("n2"), 3, "paused: no takeover")
        for node in ("n1", "n2"):  # survives a restart
            pair[node].signal("hactl", signal.SIGKILL)
            pair.start_supervisor(node)
        wait_for(lambda: all(pair.status(n)["paused"] for n in ("n1", "n2")), 20, "both are still paused")
        assert pair.hactl("n2", "resume").returncode == 0
        s.acknowledged_by("n2", bound=30)
        s.end("n2", ["n1", "n2"])


def fetch(pair):
    """Who answers a browser at the virtual IP."""
    return pair["client"].call("/usr/bin/python3", "-c", "import urllib.request as u;"
                               f"print(u.urlopen('http://{net.VIP}/', timeout=2).read().decode().strip())").strip()


def test_upstream_weights_follow_role_and_health(pair):
    n1, n2 = "10.77.0.1:8001", "10.77.0.2:8001"
    want = {n1: "weight=2", n2: "weight=1 backup"}
    for node in ("n1", "n2"):
        wait_for(lambda: pair.weights(node) == want, 10, f"{node}'s file names n1 first")
    wait_for(lambda: fetch(pair) == "n1", 10, "n1's web app answers")

    pair["n1"].end("web")  # no failover: the traffic moves, the databases stay
    wait_for(lambda: fetch(pair) == "n2", 10, "n2's web app answers")
    for node in ("n1", "n2"):
        wait_for(lambda: "down" in pair.weights(node)[n1], 10, f"{node}'s file has n1 down")
    assert pair.role("n1") == "primary"
    wait_for(lambda: [p for p in pair.status("n1")["probes"] if p["name"] == "web-app" and p["node"] == "n1"][0]["state"] == "down", 10,
             "n1 says so")
    pair.start("n1", "web")
    wait_for(lambda: pair.weights("n1") == want and pair.weights("n2") == want, 10, "the files are as they were")

    pair.wait_ready()
    r = pair.hactl("n1", "switchover")
    assert r.returncode == 0, r.stdout + r.stderr
    for node in ("n1", "n2"):
        wait_for(lambda: "backup" in pair.weights(node)[n1] and "backup" not in pair.weights(node)[n2], 10, f"{node}'s file names n2 first")
    wait_for(lambda: fetch(pair) == "n2", 10, "n2's web app answers")
    for node in ("n1", "n2"):
        with open(f"{pair[node].dir}/nginx/conf.d/HiFate-bazi.conf") as f:
            text = f.read()
        assert [line for line in text.splitlines() if " server " not in line] == \
            [line for line in servers.UPSTREAM.splitlines() if " server " not in line], "every other line is untouched"


def blocked(pair, node, *words):
    """One of the sentences that name what blocks a failover has all these words."""
    return any(all(w in b for w in words) for b in pair.status(node)["failover"]["blockers"])


def test_configurations_differ(pair, service):
    """A file is changed on one node first: nobody moves and nothing is taken over before the two agree again."""
    other = f"{pair.dir}/other.conf"
    with open(f"{pair.dir}/hactl.conf") as f:
        text = f.read()
    assert 'interval = "250ms"' in text
    servers.write(other, text.replace('interval = "250ms"', 'interval = "350ms"', 1))
    with service(pair) as s:
        pair["n2"].signal("hactl", signal.SIGKILL)
        pair.start_supervisor("n2", conf=other)
        for node in ("n1", "n2"):
            wait_for(lambda: blocked(pair, node, "another configuration", "probes differs"), 20, f"{node} names what differs")
        assert pair.role("n1") == "primary" and pair.status("n1")["exit"] == 1
        r = pair.hactl("n1", "switchover")
        assert r.returncode == 1 and "another configuration" in r.stdout + r.stderr, (r.returncode, r.stdout, r.stderr)
        s.acknowledged_by("n1")
        pair["n1"].signal("mysql", signal.SIGKILL)
        holds(lambda: pair.role("n1") == "primary" and pair.role("n2") == "standby" and not pair.writable("n2"), 4, "no takeover")
        pair["n2"].signal("hactl", signal.SIGKILL)
        pair.start_supervisor("n2")
        s.acknowledged_by("n2", bound=30)
        s.end("n2", ["n1", "n2"])


def test_second_failover_waits_for_a_person(make_pair, service):
    """One automatic failover a window: the one back is held, by illness and by silence, until somebody resumes."""
    pair = make_pair(flap_window="10m")
    pair.supervise()
    with service(pair) as s:
        s.fault()
        pair["n1"].signal("mysql", signal.SIGKILL)
        s.acknowledged_by("n2")
        pair.start("n1", "mysql")
        wait_for(lambda: pair.replicating("n1"), 20, "n1 follows")
        for node in ("n1", "n2"):
            wait_for(lambda: pair.status(node)["failover"]["blockers"] and
                     all("second failover within 10m" in b for b in pair.status(node)["failover"]["blockers"]), 20, f"{node} names the hold")
        pair["n2"].signal("mysql", signal.SIGKILL)
        holds(lambda: pair.role("n2") == "primary" and not pair.writable("n1"), 3, "held: n2's illness hands nothing over")
        pair["n2"].signal("hactl", signal.SIGKILL)
        holds(lambda: pair.role("n1") == "standby" and not pair.writable("n1"), 4, "held: n2's silence is not taken over")
        r = pair.hactl("n1", "resume")
        assert r.returncode == 0, r.stdout + r.stderr
        s.acknowledged_by("n1")
        s.end("n1", ["n1", "n2", "n1"])
