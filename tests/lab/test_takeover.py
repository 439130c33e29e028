"""The primary fails, in each way a primary can. After each: nothing acknowledged is lost, one node answers and takes writes."""
import signal

import pytest

import net
from pair import holds, now, wait_for

LEASE = 1.0  # seconds, of the lab's configuration
SLACK = 0.1  # a request sent so long after the gate must have closed is never acknowledged


def test_power_loss(either, service):
    pair = either
    with service(pair) as s:
        s.fault()
        pair["n1"].power_off()
        s.acknowledged_by("n2")
        s.end("n2", ["n1", "n2"])
    # the change is told whole when its last step, which delays nobody, is over
    status = wait_for(lambda: (told := pair.status("n2"))["last_change"]["kind"] == "failover" and told, 10, "n2 tells of a failover")
    assert status["role"] == "primary" and status["last_change"]["to"] == "n2"
    assert status["peer"]["state"] == "silent" and status["exit"] == 1
    assert pair.status("n2")["failover"]["ready"] is False and pair.status("n2")["failover"]["blockers"]


def test_mysqld_killed(either, service):
    pair = either
    with service(pair) as s:
        s.fault()
        pair["n1"].signal("mysql", signal.SIGKILL)
        s.acknowledged_by("n2")
        s.end("n2", ["n1", "n2"])
    pair.wait_primary("n2")
    wait_for(lambda: net.VIP not in pair.addresses("n1"), 20, "n1, whose database is dead, has dropped the address")


def test_mysqld_and_hactl_killed_together(make_pair, service):
    """The restarted supervisor finds its own term and a dead database: it shuts what is left and says so, long before its lease would
    have ended. The lease is long so that the test does not hang on how quick this machine is."""
    pair = make_pair(lease="4s")
    pair.supervise()
    with service(pair) as s:
        s.fault()
        for what in ("hactl", "mysql"):
            pair["n1"].signal(what, signal.SIGKILL)
        pair.start_supervisor("n1")
        s.acknowledged_by("n2")
        s.end("n2", ["n1", "n2"])
    wait_for(lambda: [e for e in pair.events("n1") if "n1 has released term" in e["text"]], 10, "n1 has said that it will not go on")
    wait_for(lambda: net.VIP not in pair.addresses("n1"), 20, "n1, whose database is dead, has dropped the address")
    assert pair.status("n2")["last_change"]["reason"] and pair.redis("n1", "ROLE", user="hactl")[0] == b"slave"


def test_mysqld_hung(pair, service):
    with service(pair) as s:
        s.fault()
        pair["n1"].signal("mysql", signal.SIGSTOP)
        s.acknowledged_by("n2", bound=30)
        s.end("n2", ["n1", "n2"], redis_lossless=False)
    pair.wait_primary("n2")
    wait_for(lambda: not pair["n1"].alive("mysql"), 20, "what does not let itself be frozen is killed")
    pair.start("n1", "mysql")
    wait_for(lambda: not pair.writable("n1") and pair.replicating("n1"), 20, "the server that comes back takes no writes and follows")


def test_isolated_primary_stands_down_by_itself(either, service):
    pair = either
    with service(pair) as s:
        s.fault()
        pair.wire.isolate("n1")
        s.acknowledged_by("n2")
        wait_for(lambda: not pair.writable("n1"), 20, "n1, alone, stops taking writes")
        wait_for(lambda: net.VIP not in pair.addresses("n1"), 20, "n1, alone, drops the address")
        assert pair.role("n1") != "primary"
        pair.wire.heal()
        # rows that were on their way when the cable went were acknowledged to nobody; n1 may hold them and must then say so
        wait_for(lambda: pair.role("n1") == "quarantined" or pair.ready("n2"), 30, "n1 is back, or says that it must not follow")
        s.end("n2", ["n1", "n2"])


def test_supervisor_killed(make_pair, service):
    """Without a guard, here and in the next two: what the kernel's gate and the supervisor do alone. test_guard.py has the rest."""
    pair = make_pair(guards=False)
    pair.supervise()
    with service(pair) as s:
        s.fault()
        pair["n1"].signal("hactl", signal.SIGKILL)
        at = now()
        s.acknowledged_by("n2")
        # mysqld on n1 is alive and open on the node's own address: only the gate keeps clients of the virtual one away
        log, _ = s.end("n2", ["n1", "n2"], one_writable=False)
    assert not [a for a in log.acks if a.server == "1" and a.sent > at + LEASE + SLACK]
    pair.start_supervisor("n1")
    wait_for(lambda: not pair.writable("n1"), 20, "the restarted supervisor freezes what it finds open")
    wait_for(lambda: pair.role("n1") in ("standby", "quarantined"), 20, "n1 is back")


@pytest.mark.parametrize("containers", [False, True], ids=["on-the-host", "behind-DNAT"])
def test_supervisor_stopped(make_pair, service, containers):
    pair = make_pair(containers=containers, guards=False)
    pair.supervise()
    with service(pair) as s:
        s.fault()
        pair["n1"].signal("hactl", signal.SIGSTOP)
        at = now()
        s.acknowledged_by("n2")
        log, _ = s.end("n2", ["n1", "n2"], one_writable=False)
    assert not [a for a in log.acks if a.server == "1" and a.sent > at + LEASE + SLACK]
    pair["n1"].signal("hactl", signal.SIGCONT)
    wait_for(lambda: not pair.writable("n1"), 20, "n1, awake again, freezes its database")
    wait_for(lambda: net.VIP not in pair.addresses("n1"), 20, "n1, awake again, drops the address")


@pytest.mark.parametrize("containers", [False, True], ids=["on-the-host", "behind-DNAT"])
def test_the_gate_closes_though_nobody_takes_over(make_pair, service, containers):
    """Both supervisors stopped: established clients of a healthy database are cut off when the lease ends, and ARP falls silent."""
    pair = make_pair(containers=containers, guards=False)
    pair.supervise()
    with service(pair) as s:
        pair["n2"].signal("hactl", signal.SIGSTOP)
        s.fault()
        pair["n1"].signal("hactl", signal.SIGSTOP)
        at = now()
        wait_for(lambda: now() > s.writer.log().of("mysql")[-1].at + 1, 15, "a second without one acknowledged write")
        wait_for(lambda: now() > s.sampler.log().arps[-1].at + 1, 15, "a second without one ARP answer")
        assert pair.writable("n1") and not pair.writable("n2")
        log, witness = s.writer.log(), s.sampler.log()
        assert not [a for a in log.acks if a.sent > at + LEASE + SLACK]
        assert not [a for a in witness.arps if a.sent > at + LEASE + SLACK]
        for node in ("n1", "n2"):
            pair[node].signal("hactl", signal.SIGCONT)
        pair.wait_ready()


def test_machine_frozen_and_back(pair, service):
    """All of n1 stands still for a while (a paused virtual machine): its kernel goes on answering, but for the gate."""
    with service(pair) as s:
        s.fault()
        pair["n1"].freeze()
        at = now()
        s.acknowledged_by("n2")
        pair["n1"].thaw()
        wait_for(lambda: not pair.writable("n1"), 20, "n1, awake again, stops taking writes")
        log, _ = s.end("n2", ["n1", "n2"], one_writable=False)
    assert not [a for a in log.acks if a.server == "1" and a.sent > at + LEASE + SLACK]


def test_the_standby_that_is_not_in_sync_stays(pair, service):
    """n2 stopped receiving, n1 went on alone with the register's leave; then n1's power goes: n2 lacks acknowledged rows and waits."""
    with service(pair) as s:
        pair.sql("n2", pair.database.stop_receiving)
        pair.wire.isolate("n2")
        since = now()
        s.acknowledged_by("n1", since=since)
        pair["n1"].power_off()
        pair.wire.heal()
        wait_for(lambda: pair.status("n2")["failover"]["blockers"], 20, "n2 says why it does not take over")
        holds(lambda: pair.role("n2") != "primary" and not pair.writable("n2"), 4, "n2 does not take over")
        log = s.writer.stop()
        assert log.lost("mysql", pair.ids("n2")), "the test means nothing when n2 has every row"
    pair.power_on("n1")
    pair.wait_ready(primary="n1", bound=40)
    assert not log.lost("mysql", pair.ids("n1"))


def test_old_primary_returns_and_follows(either, service):
    """With no row on its way when its power goes: one that nobody was told of could be on n1 alone, and quarantine it."""
    pair = either
    with service(pair) as s:
        with s.quiet():
            pair["n1"].power_off()
        s.acknowledged_by("n2")
        pair.power_on("n1")
        pair.wait_ready(primary="n2", bound=40)
        s.acknowledged_by("n2")
        w, _ = s.end("n2", ["n1", "n2"])
    wait_for(lambda: not w.lost("mysql", pair.ids("n1")), 20, "n1 holds every row again")
    wait_for(lambda: pair.replicating("n1"), 20, "n1 follows")
    assert not pair.writable("n1")
    assert pair.redis("n1", "ROLE", user="hactl")[0] == b"slave"


def test_diverged_old_primary_is_quarantined(either, service):
    pair = either
    with service(pair) as s:
        pair["n1"].power_off()
        s.acknowledged_by("n2")
        pair.power_on("n1", supervised=False)
        pair.sql("n1", "SET GLOBAL read_only=OFF", bound=20)
        # MariaDB, recovering, takes what nobody acknowledged out of its binlog and gives those numbers again: n2 may have one of this
        # number too, and the content tells
        pair.sql("n1", "INSERT INTO lab.w VALUES (1, 1)")
        pair.start_supervisor("n1")
        pair.wait_role("n1", "quarantined", bound=30)
        assert not pair.writable("n1") and not pair.replicating("n1")
        s.end("n2", ["n1", "n2"], one_writable=False)
    assert any("rejoin" in b or "diverged" in b or "quarantin" in b for b in pair.status("n1")["failover"]["blockers"])
    assert pair.status("n1")["exit"] == 1
    assert pair.sql("n1", "SELECT count(*) FROM lab.w WHERE id = 1")[0] == 1, "nothing is thrown away"


def test_redis_that_comes_back_empty_does_not_wipe_its_replica(pair, service):
    """The primary's Redis is killed and started again while the standby cannot take over: it stays shut, and its replica full, until it can."""
    with service(pair) as s:
        with s.quiet(), pair.frozen("n2", "mysql"):
            wait_for(lambda: not pair.status("n1")["failover"]["ready"], 20, "no failover to a hung database")
            wait_for(lambda: pair.redis_ids("n1") == pair.redis_ids("n2"), 10, "both hold the same")
            held = pair.redis_ids("n2")
            pair["n1"].signal("redis", signal.SIGKILL)
            pair.start("n1", "redis")
            wait_for(lambda: pair.redis("n1", "PING"), 10, "it is back")
            holds(lambda: pair.redis_ids("n2") == held and pair.role("n1") == "primary", 2, "n2's data are there, n1 is still primary")
            assert len(held) >= 20
            assert [e for e in pair.events("n1") if "restarted and has lost" in e["text"]], "the operator is told"
        s.acknowledged_by("n2", bound=40)
        s.end("n2", ["n1", "n2"], redis_lossless=True)


def test_power_loss_with_a_short_lease(make_pair, service):
    pair = make_pair(lease="600ms", arbiter_timeout="150ms")
    pair.supervise()
    with service(pair) as s:
        s.fault()
        pair["n1"].power_off()
        s.acknowledged_by("n2")
        s.end("n2", ["n1", "n2"])
