"""What an operator types: exit statuses and sentences, against a running pair and without one."""
import json
import os
import signal
import stat

import pytest

import net
import servers
from flavour import PASSWORD
from pair import NODES, Pair, wait_for


def edited(pair, old, new):
    """A copy of the lab's configuration with one mistake; its path and the mistake's line."""
    with open(f"{pair.dir}/hactl.conf") as f:
        text = f.read()
    assert old in text
    path = f"{pair.dir}/bad.conf"
    servers.write(path, text.replace(old, new, 1))
    line = text[:text.index(old)].count("\n") + 1
    return path, line


@pytest.fixture(scope="module")
def machine():
    """Only the files and the wire of a pair; no server needs to run for `check`."""
    with Pair() as p:
        yield p


MISTAKES = [
    ('lease = "1s"', "lease = 1"),
    ('lease = "1s"', 'lease = "1 week"'),
    ('lease = "1s"', 'lease = "3ms"'),
    ('enforce = "nft"', 'enforce = "iptables"'),
    ('enforce = "nft"', 'enfroce = "nft"'),
    ('interval = "100ms"', 'interval = "100"'),
    ("port = 3306", 'port = "3306"'),
    ("port = 6379", "port = 70000"),
    ('name = "n2"', 'name = "n1"'),
    ('address = "10.77.0.2"; }', 'address = "10.77.0.1"; }'),
    ('address = "10.77.0.2"; }', 'address = "10.77.0.300"; }'),
    ('"10.77.0.100/24"', '"10.77.0.100/99"'),
    ('probe = "web-app"', 'probe = "web-ap"'),
    ('node = "n2"; address = "10.77.0.2:8001"', 'node = "n3"; address = "10.77.0.2:8001"'),
    ('mysql.pw', 'nosuch.pw'),
]


@pytest.mark.parametrize("old,new", MISTAKES, ids=[new for _, new in MISTAKES])
def test_check_names_the_line_of_a_mistake(machine, old, new):
    path, line = edited(machine, old, new)
    r = machine.hactl("n1", "check", conf=path)
    assert r.returncode == 1
    assert any(text.startswith(f"{path}:{line}: ") for text in (r.stdout + r.stderr).splitlines()), r.stdout + r.stderr


def test_check_names_every_mistake_in_one_run(machine):
    with open(f"{machine.dir}/hactl.conf") as f:
        text = f.read()
    for old, new in (('cluster = "hifate"', 'clutser = "hifate"'), ('lease = "1s"', "lease = 1"), ("port = 6379", "port = -1")):
        text = text.replace(old, new, 1)
    servers.write(f"{machine.dir}/bad.conf", text)
    r = machine.hactl("n1", "check", conf=f"{machine.dir}/bad.conf")
    assert r.returncode == 1 and len((r.stdout + r.stderr).splitlines()) >= 3, r.stdout + r.stderr


def test_check_good_and_usage(machine):
    r = machine.hactl("n1", "check")
    assert r.returncode == 0, r.stdout + r.stderr
    assert machine.hactl("n1", "chekc").returncode == 2
    assert machine.hactl("n1", "check", "--nonsense").returncode == 2


def test_check_refuses_a_readable_secret(machine):
    path = f"{machine.dir}/etc/mysql.pw"
    os.chmod(path, 0o644)
    try:
        r = machine.hactl("n1", "check")
        assert r.returncode == 1 and "mysql.pw" in r.stdout + r.stderr
    finally:
        os.chmod(path, 0o600)


def test_keygen_writes_once(machine):
    path = f"{machine.dir}/new.key"
    assert machine.hactl("n1", "keygen", path).returncode == 0
    with open(path) as f:
        key = f.read()
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600 and len(key) == 65 and int(key, 16) >= 0
    assert machine.hactl("n1", "keygen", path).returncode == 1
    with open(path) as f:
        assert f.read() == key


@pytest.mark.parametrize("command", [["status"], ["status", "--json"], ["switchover"], ["is", "primary"], ["pause"]], ids=" ".join)
def test_no_supervisor(machine, command):
    r = machine.hactl("n1", *command)
    assert r.returncode == 3 and r.stderr.strip(), "says that no supervisor answers"


def test_status_of_a_pair_that_is_well(pair):
    probed = {(name, node) for name in ("web-app", "bazi_core", "nginx") for node in NODES}

    def well(node):
        return wait_for(lambda: (s := pair.status(node))["exit"] == 0 and {(p["name"], p["node"]) for p in s["probes"] if p["state"] == "up"} >= probed
                        and s, 20, f"{node} says that all is well, and every service up")

    s = well("n1")
    assert s["role"] == "primary" and s["primary"] == "n1" and s["term"] >= 1 and s["paused"] is False
    assert s["authority"]["held"] is True and 0 < s["authority"]["remaining_ms"] <= 1000 and s["authority"]["arbiter"] == "up"
    assert s["peer"]["name"] == "n2" and s["peer"]["state"] == "alive" and s["peer"]["role"] == "standby"
    assert s["failover"]["ready"] is True and s["failover"]["blockers"] == [] and s["failover"]["would_lose"] == "nothing"
    assert s["vips"][0]["held"] is True and s["vips"][0]["address"].startswith(net.VIP)
    assert s["mysql"]["local"]["role"] == "source" and s["mysql"]["local"]["writable"] is True
    assert s["mysql"]["peer"]["role"] == "replica" and s["mysql"]["peer"]["in_sync"] is True
    assert s["redis"]["local"]["role"] == "master" and s["redis"]["peer"]["role"] == "replica"
    other = well("n2")
    assert other["role"] == "standby" and other["primary"] == "n1" and other["vips"][0]["held"] is False
    text = wait_for(lambda: (r := pair.hactl("n1", "status")).returncode == 0 and r, 20, "the same in words")
    assert "primary" in text.stdout and "\033" not in text.stdout
    assert pair.hactl("n1", "is", "primary").returncode == 0 and pair.hactl("n1", "is", "standby").returncode == 1
    assert pair.hactl("n2", "is", "standby").returncode == 0 and pair.hactl("n2", "is", "primary").returncode == 1


def test_history_and_notifications(pair):
    r = pair.hactl("n1", "events", "--json")
    lines = [json.loads(line) for line in r.stdout.splitlines()]
    assert r.returncode == 0 and lines and {"at", "mono_us", "kind", "text"} <= lines[0].keys()
    assert any(e["kind"] == "role" for e in lines)
    assert pair.hactl("n1", "events").stdout.strip()
    r = pair.hactl("n1", "notify", "--source", "keepalived", "INSTANCE", "VI_1", "MASTER", "150")
    assert r.returncode == 0, r.stderr
    wait_for(lambda: any(e["kind"] == "keepalived" for e in pair.events("n1")), 10, "the notification is in the journal")
    assert pair.role("n1") == "primary" and pair.role("n2") == "standby"


def test_wrong_database_password(pair, service):
    """Alive but closed to us: said in words, and no reason to move anything."""
    with service(pair) as s:
        servers.write(f"{pair.dir}/etc/mysql.pw", "wrong\n", 0o600)
        pair["n2"].signal("hactl", signal.SIGKILL)
        pair.start_supervisor("n2")
        wait_for(lambda: any("denied" in b.lower() or "password" in b.lower() or "refuse" in b.lower()
                             for b in pair.status("n2")["failover"]["blockers"]), 20, "n2 names the refused account")
        s.acknowledged_by("n1")
        servers.write(f"{pair.dir}/etc/mysql.pw", PASSWORD["hactl"] + "\n", 0o600)
        pair["n2"].signal("hactl", signal.SIGKILL)
        pair.start_supervisor("n2")
        pair.wait_ready(primary="n1")
        s.end("n1", ["n1"])


def test_vip_release(pair):
    for node in ("n1", "n2"):
        pair[node].signal("hactl", signal.SIGKILL)
    r = pair.hactl("n1", "vip", "release")
    assert r.returncode == 0, r.stderr
    assert net.VIP not in pair.addresses("n1")
