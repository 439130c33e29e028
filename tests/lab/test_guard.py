"""The guard: when the supervisor can no longer act, the databases themselves refuse writes, by whatever way the writer comes."""
import signal

import pytest
import redis

import net
from pair import now, wait_for

LEASE = 1.0  # seconds, of the lab's configuration


def mysql_refuses(pair, node):
    """An ordinary account's write on the node's own address, and one by the socket's way, where only read_only can stop it."""
    try:
        pair[node].call("/usr/bin/python3", "-c", "import pymysql; c = pymysql.connect(host='%s', user='app', autocommit=True, "
                        "connect_timeout=1, read_timeout=2, write_timeout=2); "
                        "c.cursor().execute('INSERT INTO lab.w VALUES (77, 77)')" % net.ADDRESS[node])
    except RuntimeError as e:
        return "read-only" in str(e) and not pair.writable(node)
    return False


def redis_refuses(pair, node):
    try:
        pair.redis(node, "SADD", "lab:other-way", "1")
    except redis.RedisError as e:
        return "READONLY" in str(e) or "read only" in str(e)
    return False


def refuses_all(pair, node):
    wait_for(lambda: mysql_refuses(pair, node), 10, f"MySQL on {node} refuses writes")
    wait_for(lambda: redis_refuses(pair, node), 10, f"Redis on {node} refuses writes")


def guard_log(pair, node):
    with open(f"{pair[node].dir}/log/guard.log", encoding="utf-8") as f:
        return f.read()


@pytest.fixture
def alone(request, make_pair):
    """n2's supervisor stands still too: nobody takes over, so that the guard is all there is."""
    p = make_pair()
    p.supervise()
    return p


@pytest.mark.parametrize("how", [signal.SIGSTOP, signal.SIGKILL], ids=["stopped", "killed"])
def test_nobody_takes_over_and_writes_end_all_the_same(alone, service, how):
    pair = alone
    with service(pair, host=net.ADDRESS["n1"]) as s:  # an app that never heard of the virtual IP
        pair["n2"].signal("hactl", signal.SIGSTOP)
        s.fault()
        pair["n1"].signal("hactl", how)
        at = now()
        refuses_all(pair, "n1")
        wait_for(lambda: now() > s.writer.log().of("mysql")[-1].at + 1, 15, "a second without one acknowledged write")
        last = s.writer.log().of("mysql")[-1]
        assert last.at > at + 0.1, "the lease was in force until its end"
        assert not s.sampler.log().two_writable()
        s.writer.stop()
        s.sampler.stop()
    wait_for(lambda: "their writes are shut" in guard_log(pair, "n1"), 10, "the guard says what it did")
    assert "their writes are shut" not in guard_log(pair, "n2"), "the standby's databases were withdrawn from the guard long before"
    pair["n2"].signal("hactl", signal.SIGCONT)
    if how == signal.SIGKILL:
        pair.start_supervisor("n1")
    else:
        pair["n1"].signal("hactl", signal.SIGCONT)
    pair.wait_ready(bound=40)


@pytest.mark.parametrize("how", [signal.SIGSTOP, signal.SIGKILL], ids=["stopped", "killed"])
def test_the_old_primary_is_shut_when_the_other_takes_over(either, service, how):
    pair = either
    with service(pair) as s:
        s.fault()
        pair["n1"].signal("hactl", how)
        s.acknowledged_by("n2")
        refuses_all(pair, "n1")
        s.end("n2", ["n1", "n2"])
    if how == signal.SIGSTOP:
        pair["n1"].signal("hactl", signal.SIGCONT)
    else:
        pair.start_supervisor("n1")
    wait_for(lambda: pair.role("n1") in ("standby", "quarantined"), 30, "n1 is back")
    wait_for(lambda: pair.status("n1")["guard"]["state"] == "watches", 20, "the guard has nothing left to do")


def test_a_restart_within_the_lease_freezes_nothing(pair, service):
    with service(pair, host=net.ADDRESS["n1"], timeout=5) as s:
        for _ in range(3):
            pair.replace("n1", "hactl")
            pair.wait_ready(primary="n1")
        s.acknowledged_by("n1")
        log = s.writer.stop()
        s.sampler.stop()
    assert not log.errors, f"no write failed: {log.errors[:3]}"
    assert "their writes are shut" not in guard_log(pair, "n1")


def test_a_pause_outlives_the_supervisor(pair):
    assert pair.hactl("n1", "pause", "maintenance").returncode == 0
    wait_for(lambda: all(pair.status(n)["paused"] for n in ("n1", "n2")), 10, "both have stored the pause")
    wait_for(lambda: pair.status("n1")["authority"]["from"].count("self"), 10, "n1 relies on itself")
    pair["n1"].signal("hactl", signal.SIGKILL)
    end = now() + 3 * LEASE
    wait_for(lambda: now() > end, 3 * LEASE + 2, "the lease is long over")
    assert pair.writable("n1") and pair.redis("n1", "ROLE", user="hactl")[0] == b"master"
    pair.start_supervisor("n1")
    pair.wait_role("n1", "primary")


def test_a_lost_guard_is_noticed(pair):
    def state():
        return pair.status("n1")["guard"]["state"]

    wait_for(lambda: state() == "watches", 10, "the guard is seen")
    pair["n1"].signal("guard", signal.SIGKILL)
    wait_for(lambda: state() == "missing", 10, "the status says that the guard is gone")
    assert pair.status("n1")["exit"] == 1 and "start hactl-guard" in pair.hactl("n1", "status").stdout
    pair.start_guard("n1")
    pair.wait_ready(primary="n1")
    assert state() == "watches"
    pair["n1"].signal("guard", signal.SIGSTOP)
    wait_for(lambda: state() == "missing", 10, "a guard that stands still guards nothing")
    pair["n1"].signal("guard", signal.SIGCONT)
    pair.wait_ready(primary="n1")
    pair["n1"].end("guard")
    wait_for(lambda: state() == "missing", 10, "nor does one that was told to end")


def test_a_pair_without_guards_is_warned(make_pair):
    pair = make_pair(guards=False)
    pair.supervise()
    wait_for(lambda: (s := pair.status("n1"))["exit"] == 0 and any("no guard runs" in w for w in s["warnings"]), 10, "well, with a warning")


def test_the_file_is_removed_and_made_again(pair):
    import os
    os.unlink(f"{pair['n1'].dir}/deadline")
    wait_for(lambda: os.path.exists(f"{pair['n1'].dir}/deadline"), 10, "there is a file again")
    pair.wait_ready(primary="n1")
    pair["n2"].signal("hactl", signal.SIGSTOP)
    pair["n1"].signal("hactl", signal.SIGKILL)
    refuses_all(pair, "n1")
