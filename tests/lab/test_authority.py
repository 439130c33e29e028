"""Who may be primary when votes are out of reach, and whose data: cuts, the arbiter's absences, the in-sync record's bad moments.

Scenes that need not be apart share a pair, one after the other; each has clients and a witness of its own and ends with a pair that is well.
"""
import signal

import pytest

import net
from pair import OTHER, holds, now, wait_for

LONG = 2.5  # seconds: more than twice the promise


def steady(pair, seconds=LONG):
    """Nobody changes sides, at any look."""
    holds(lambda: pair.role("n1") == "primary" and pair.role("n2") == "standby", seconds, "nothing changes")


CUTS = {"both ways": ("n1", "n2", True), "n1 to n2": ("n1", "n2", False), "n2 to n1": ("n2", "n1", False)}


@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS.keys())
def test_cut_between_the_nodes(pair, service, cut):
    """Both reach the arbiter and the client, not each other: one goes on, whichever, and never both; healed, the pair is redundant again."""
    with service(pair) as s:
        at = s.fault()
        pair.wire.cut(*cut)
        log = wait_for(lambda: (w := s.writer.log()) and len([a for a in w.of("mysql") if a.sent > at + LONG]) > 50 and w, 30,
                       "writes go on after the peer's promise has ended")
        primary = {"1": "n1", "2": "n2"}[log.reigns()[-1]]
        wait_for(lambda: pair.role(primary) == "primary", 10, f"{primary}, which takes the writes, is primary")
        assert pair.role(OTHER[primary]) != "primary"
        wait_for(lambda: not pair.writable(OTHER[primary]) and net.VIP not in pair.addresses(OTHER[primary]), 10, "the other one has shut itself")
        pair.wire.heal()
        pair.wait_settled(primary)
        s.end(primary, ["n1"] if primary == "n1" else ["n1", "n2"])


def test_cut_from_the_arbiter(pair, service):
    """One node, the other, both: as long as the nodes hear each other nothing changes, and no write fails."""
    for who in (["n1"], ["n2"], ["n1", "n2"]):
        with service(pair, timeout=5, name=f"arbiter cut from {' and '.join(who)}") as s:
            for node in who:
                pair.wire.cut(node, "arbiter")
            for node in who:
                wait_for(lambda: pair.status(node)["authority"]["arbiter"] == "down", 20, f"{node} says that the arbiter is away")
            steady(pair, 1.5)
            pair.wire.heal()
            pair.wait_ready(primary="n1")
            log, _ = s.end("n1", ["n1"])
        assert not log.errors, f"cut from {who}: {log.errors[:3]}"


def test_the_arbiter_and_the_standby_lost(pair, service):
    """One vote of three is no authority: the primary stops by itself. With either of the two back it goes on."""
    with service(pair) as s:
        s.fault()
        pair["arbiter"].signal("etcd", signal.SIGSTOP)
        pair["n2"].power_off()
        wait_for(lambda: pair.role("n1") != "primary", 20, "n1, alone, is not primary any more")
        wait_for(lambda: net.VIP not in pair.addresses("n1") and not pair.writable("n1"), 20, "no address and no writes on n1")
        s.nobody_acknowledges()
        assert not pair.writable("n1")
        pair["arbiter"].signal("etcd", signal.SIGCONT)
        s.acknowledged_by("n1", bound=40)
        pair.power_on("n2")
        pair.wait_ready(primary="n1", bound=40)
        s.end("n1", ["n1"])

    with service(pair) as s:  # the other one comes back first
        pair.wire.cut("n1", "arbiter")
        pair.wire.cut("n2", "arbiter")
        pair["n2"].signal("hactl", signal.SIGSTOP)
        wait_for(lambda: pair.role("n1") != "primary" and not pair.writable("n1"), 20, "n1 has stopped")
        pair["n2"].signal("hactl", signal.SIGCONT)
        primary = wait_for(lambda: next((n for n in ("n1", "n2") if pair.role(n) == "primary"), None), 40, "the two nodes agree on one")
        s.acknowledged_by(primary, bound=40)
        pair.wire.heal()
        pair.wait_settled(primary)
        s.end(primary, ["n1"] if primary == "n1" else ["n1", "n2"])


def test_the_arbiter_and_the_primary_lost(pair, service):
    """The standby cannot know that it is not the one cut off: it waits for a second vote, then takes over."""
    with service(pair) as s:
        pair.wire.cut("n2", "arbiter")
        wait_for(lambda: pair.status("n2")["authority"]["arbiter"] == "down", 20, "n2 says that the arbiter is away")
        s.fault()
        pair["n1"].power_off()
        holds(lambda: pair.role("n2") != "primary" and not pair.writable("n2"), LONG, "n2 has one vote of three")
        wait_for(lambda: any("arbiter" in b for b in pair.status("n2")["failover"]["blockers"]), 10, "and says so")
        pair.wire.heal()
        s.acknowledged_by("n2", bound=30)
        s.end("n2", ["n1", "n2"])


# --- whose data ------------------------------------------------------------------------------------------------------------------
def test_a_takeover_leaves_no_leave_for_the_next(pair, service):
    """n2 took over and went on alone; its power goes, and n1 boots: the swap that made n2 primary must not have left "n1 has everything"."""
    with service(pair) as s:
        pair["n1"].power_off()
        s.acknowledged_by("n2")
        pair["n2"].power_off()
        pair.power_on("n1")
        wait_for(lambda: pair.status("n1")["failover"]["blockers"], 20, "n1 says what it waits for")
        holds(lambda: pair.role("n1") != "primary" and not pair.writable("n1"), LONG, "n1 lacks what n2 acknowledged")
        log = s.writer.stop()
        assert log.lost("mysql", pair.ids("n1")), "the test means nothing when n1 has every row"
        pair.power_on("n2")
        pair.wait_settled("n2")
        s.end("n2", ["n1", "n2"])


def test_the_standby_that_lost_its_relay_log_stays(pair, service):
    """It had acknowledged rows which it had not executed; its server restarts without them before the primary could say so."""
    with service(pair) as s:
        pair.lock_table("n2", "lab.w READ")
        since = now()
        s.acknowledged_by("n1", since=since)  # n2 receives all the same
        pair.wire.cable("n1", False)  # a machine takes a while to end, and n2 would have executed everything by then
        pair["n2"].signal("mysql", signal.SIGKILL)
        pair["n1"].power_off()
        gone = pair.lose_relay_log("n2")
        pair.start("n2", "mysql")
        assert gone, "there was a relay log"
        wait_for(lambda: not pair.writable("n2"), 20, "n2's server is back")
        wait_for(lambda: pair.status("n2")["failover"]["blockers"], 20, "n2 says what it waits for")
        holds(lambda: pair.role("n2") != "primary" and not pair.writable("n2"), LONG, "n2 lacks what it acknowledged")
        log = s.writer.stop()
        assert log.lost("mysql", pair.ids("n2")), "the test means nothing when n2 has every row"
        pair.power_on("n1")
        pair.wait_settled("n1")
        s.end("n1", ["n1"])


def test_the_arbiter_away_while_the_stream_is_dead(pair, service):
    """The register cannot be told that n2 is out of sync, so n2 itself is: it stores that before n1 goes on without it, and keeps to it."""
    with service(pair) as s:
        pair["arbiter"].signal("etcd", signal.SIGSTOP)
        wait_for(lambda: pair.status("n1")["authority"]["arbiter"] == "down", 20, "n1 says that the arbiter is away")
        pair.wire.drop("ip saddr 10.77.0.1 tcp sport 3306 ip daddr 10.77.0.2", "ip saddr 10.77.0.2 tcp dport 3306 ip daddr 10.77.0.1")
        since = now()
        s.acknowledged_by("n1", bound=40, since=since + 1)
        pair["n1"].power_off()
        pair.wire.heal()
        pair["arbiter"].signal("etcd", signal.SIGCONT)
        wait_for(lambda: pair.status("n2")["failover"]["blockers"], 20, "n2 says what it waits for")
        holds(lambda: pair.role("n2") != "primary" and not pair.writable("n2"), LONG, "n2 was left behind")
        log = s.writer.stop()
        assert log.lost("mysql", pair.ids("n2")), "the test means nothing when n2 has every row"
        pair.power_on("n1")
        pair.wait_settled("n1")
        s.end("n1", ["n1"])


def test_a_replica_asks_first_at_installation(unsupervised, service):
    """hactl starts on the replica's node before it is installed on the other, whose database serves its clients."""
    pair = unsupervised
    with service(pair, host=net.ADDRESS["n1"], timeout=5) as s:
        pair.start_guard("n2")
        pair.start_supervisor("n2")
        wait_for(lambda: pair.status("n2")["failover"]["blockers"], 20, "n2 says what it waits for")
        holds(lambda: pair.role("n2") != "primary" and not pair.writable("n2") and pair.writable("n1"), LONG, "a replica does not begin")
        pair.start_guard("n1")
        pair.start_supervisor("n1")
        pair.wait_ready(primary="n1")
        log, _ = s.end("n1", ["n1"], redis_lossless=True)
    assert not log.errors
