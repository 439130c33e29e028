"""What lies between the two nodes: several heartbeat paths, loss, another packet version, a supervisor that stood still, another etcd."""
import os
import shutil
import signal
import subprocess

import pytest

import net
import servers
from pair import BUILD, NODES, TOP, holds, wait_for

NEXT = os.path.join(BUILD, "hactl-next")


def path(pair, node, number):
    return pair.status(node)["peer"]["paths"][number]


def alerts(pair, node, part):
    return [e for e in pair.events(node) if e["kind"] == "alert" and part in e["text"]]


@pytest.fixture
def two_paths(make_pair):
    p = make_pair(second_link=True)
    p.supervise()
    return p


def unchanged(pair, terms):
    return all(pair.status(n)["term"] == terms[n] for n in NODES) and pair.role("n1") == "primary" and pair.role("n2") == "standby"


def test_both_nodes_measure_both_paths(two_paths):
    for node in NODES:
        wait_for(lambda: all(p["state"] == "alive" and p["loss_percent"] is not None and p["rtt_ms"] is not None
                             for p in two_paths.status(node)["peer"]["paths"]), 30, f"{node} has measured both paths")
        status = two_paths.status(node)
        assert len(status["peer"]["paths"]) == 2 and status["peer"]["rtt_ms"] is not None
        assert status["wire"]["double"] > 0 and status["wire"]["replayed"] == 0, "what comes over both paths is no replay"


def test_a_dead_path_is_an_alert_and_no_failover(two_paths, service):
    pair, terms = two_paths, {n: two_paths.status(n)["term"] for n in NODES}
    with service(pair) as s:
        s.fault()
        pair.wire.cut_second()
        for node in NODES:
            wait_for(lambda: path(pair, node, 1)["state"] == "silent", 30, f"{node} calls the second path silent")
            status = pair.status(node)
            assert status["peer"]["state"] == "alive" and path(pair, node, 0)["state"] == "alive"
            assert status["exit"] == 1, "a pair that hangs on one path is less than well"
            assert f"path {net.SECOND[node]}" in pair.hactl(node, "status").stdout
        holds(lambda: unchanged(pair, terms), 3, "no role changes")
        wait_for(lambda: path(pair, "n2", 1)["loss_percent"] == 100, 30, "all is lost on the second path")
        pair.wire.heal()
        pair.wait_ready(primary="n1")
        s.end("n1", ["n1"], redis_lossless=True)
    for node in NODES:
        assert len(alerts(pair, node, "is silent; the pair hangs")) == 1 and len(alerts(pair, node, "is back")) == 1


def test_the_second_path_carries_the_pair(two_paths):
    """The nodes' own network is cut between them: heartbeats go on, so nobody takes over, whatever replication suffers."""
    pair, terms = two_paths, {n: two_paths.status(n)["term"] for n in NODES}
    pair.wire.cut("n1", "n2")
    for node in NODES:
        wait_for(lambda: path(pair, node, 0)["state"] == "silent", 30, f"{node} calls the first path silent")
    holds(lambda: unchanged(pair, terms), 4, "no role changes")
    pair.wire.heal()
    pair.wait_ready(bound=60, primary="n1")


def test_all_paths_dead_is_a_failover(two_paths, service):
    pair = two_paths
    with service(pair) as s:
        s.fault()
        pair.wire.drop('iifname "p-n1"', 'oifname "p-n1"', 'iifname "q-n1"', 'iifname "q-n2"')  # at one moment
        s.acknowledged_by("n2")
        s.end("n2", ["n1", "n2"])
    assert not alerts(pair, "n2", "the pair hangs on what is left"), "one cause, one alert"


def test_packet_loss_changes_no_role(pair, service):
    terms = {n: pair.status(n)["term"] for n in NODES}
    with service(pair, timeout=10) as s:
        s.fault()
        pair.wire.lose("n1", "n2", 30)
        for node in NODES:
            wait_for(lambda: 10 <= path(pair, node, 0)["loss_percent"] <= 60, 60, f"{node} measures the loss")
        holds(lambda: unchanged(pair, terms), 20, "no role changes")
        pair.wire.heal()
        pair.wait_ready(bound=60, primary="n1")
        s.end("n1", ["n1"])


def test_versions(unsupervised, service):
    """A rolling upgrade: n2 speaks the next minor version, with a field that n1 does not know; then n1 follows."""
    pair = unsupervised
    subprocess.run(["make", "-s", "-C", TOP, f"BUILD={BUILD}", NEXT], check=True, stdin=subprocess.DEVNULL)
    for node in NODES:
        pair.start_guard(node)
    pair.start_supervisor("n1")
    pair.start_supervisor("n2", binary=NEXT)
    pair.wait_ready(primary="n1")
    with service(pair) as s:
        s.fault()
        for command, target in (("switchover", "n2"), ("switchback", "n1")):
            r = pair.hactl("n1", command)
            assert r.returncode == 0, r.stdout + r.stderr
            pair.wait_ready(primary=target)
        s.end("n1", ["n1", "n2", "n1"], redis_lossless=True)
    for node in NODES:
        assert pair.status(node)["wire"]["malformed"] == 0 and pair.status(node)["wire"]["version"] == 0
    pair["n1"].end("hactl", bound=30)
    pair.start_supervisor("n1", binary=NEXT)
    pair.wait_ready()


def test_a_supervisor_that_stood_still_looks_before_it_acts(pair):
    pair["n1"].signal("hactl", signal.SIGSTOP)
    pair.wait_primary("n2")
    pair["n1"].signal("hactl", signal.SIGCONT)
    wait_for(lambda: alerts(pair, "n1", "this supervisor stood still"), 20, "n1 has noticed")
    wait_for(lambda: pair.role("n1") in ("standby", "quarantined"), 20, "n1 stands by")
    events = pair.events("n1")
    told = next(i for i, e in enumerate(events) if "this supervisor stood still" in e["text"])
    after = [e for e in events[told:] if e["kind"] == "role"]
    assert after and after[0]["from"] == "primary" and after[0]["to"] in ("demoting", "standby"), "the first thing it does is to stop"
    assert not [e for e in after if e["to"] in ("promoting", "primary")]
    assert len(alerts(pair, "n1", "this supervisor stood still")) == 1


def test_another_etcd_is_noticed_after_a_restart(pair):
    """The arbiter is set up anew while both supervisors are down: it knows nothing of who holds the term, and is not believed."""
    arbiter = pair["arbiter"]
    for node in ("n2", "n1"):
        pair[node].signal("hactl", signal.SIGKILL)
    arbiter.end("etcd")
    shutil.rmtree(f"{arbiter.dir}/etcd")
    command, _ = servers.COMMANDS["etcd"]
    arbiter.spawn("etcd", *(a.format(dir=pair.dir, name="arbiter") for a in command), "--initial-cluster-token=another")
    for node in NODES:
        pair.start_supervisor(node)
    for node in NODES:
        wait_for(lambda: "another etcd cluster answers" in (pair.status(node)["authority"]["trouble"] or ""), 20, f"{node} refuses it")
        assert "remove the file arbiter-cluster" in pair.status(node)["authority"]["trouble"]
    for node in NODES:  # on purpose, then
        pair[node].signal("hactl", signal.SIGKILL)
        os.remove(f"{pair[node].dir}/state/arbiter-cluster")
    for node in NODES:
        pair.start_supervisor(node)
    pair.wait_ready()
