"""A supervisor that stood still, was replaced or told to stop; a lossy wire; a clock that jumps: none of them makes two primaries or moves
what is well."""
import datetime
import os
import re
import shutil
import signal

import pytest

import net
from pair import HACTL, TOP, holds, now, wait_for

W = 1.13  # seconds: how long the standby's promise binds, with the lab's lease of 1 s
LOSSY = 60 if os.environ.get("LAB_LONG") else 20  # seconds; `make lab-long` takes the whole minute


def general_log(pair, node):
    """What clients say to that database from here on; a function that returns the statements."""
    path = f"{pair[node].dir}/general.log"
    pair.sql(node, f"SET GLOBAL general_log_file='{pair.database.here(pair.dir)}/general.log'")
    pair.sql(node, "SET GLOBAL general_log=ON")

    def said():
        with open(path, encoding="utf-8", errors="replace") as f:
            lines = [re.match(r"(?:\S+(?: +\S+)?)?\t+ *\d+ (Query|Execute)\t(.*)", line) for line in f]
        return [m[2] for m in lines if m]
    return said


CHANGES = re.compile(r"(SET SESSION lock_wait_timeout = \d+; )?(SET( /\*.*\*/)? GLOBAL|START|STOP|CHANGE|RESET|KILL|INSERT|UPDATE|DELETE) ", re.I)
OPENS = re.compile(r"read_only *= *(0|OFF)", re.I)
FREEZES = re.compile(r"read_only *= *(1|ON)", re.I)


@pytest.mark.parametrize("guards", [True, False], ids=["guarded", "alone"])
def test_a_supervisor_that_slept_through_its_lease_observes_first(make_pair, service, guards):
    """Stopped for three times the promise and continued: it opens nothing, and the first thing that it changes is the freeze."""
    pair = make_pair(guards=guards)
    pair.supervise()
    with service(pair) as s:
        s.fault()
        pair["n1"].signal("hactl", signal.SIGSTOP)
        stopped = now()
        s.acknowledged_by("n2")
        wait_for(lambda: now() > stopped + 3 * W, 10, "three times the promise")
        wait_for(lambda: pair.writable("n1") != guards, 20, "the guard has shut it; nobody else could")
        said = general_log(pair, "n1")
        before = len(pair.events("n1"))
        pair["n1"].signal("hactl", signal.SIGCONT)
        wait_for(lambda: pair.role("n1") in ("standby", "quarantined"), 20, "n1 is back")
        wait_for(lambda: not pair.writable("n1") and net.VIP not in pair.addresses("n1"), 10, "n1 has no address and takes no writes")
        changes = [text for text in said() if CHANGES.match(text)]
        assert not [c for c in changes if OPENS.search(c)], f"it opens nothing: {changes}"
        assert guards or (changes and FREEZES.search(changes[0])), f"the freeze comes before anything else: {changes}"
        roles = [e["to"] for e in pair.events("n1")[before:] if e["kind"] == "role"]
        assert "primary" not in roles and "promoting" not in roles, roles
        pair.wait_settled("n2")
        s.end("n2", ["n1", "n2"], one_writable=guards)
    assert pair.redis("n1", "ROLE", user="hactl")[0] == b"slave"


def test_a_third_of_the_packets_lost_moves_nothing(pair, service):
    """Between the nodes, each way, for 20 s (for a minute by `make lab-long`, and at random in `make chaos`)."""
    with service(pair, timeout=5) as s:
        begun = len(pair.events("n1")), len(pair.events("n2"))
        pair.wire.lose("n1", "n2", 30)
        end = now() + LOSSY
        holds(lambda: pair.role("n1") == "primary" and pair.role("n2") == "standby", LOSSY, "nobody changes sides")
        assert now() > end
        pair.wire.heal()
        pair.wait_ready(primary="n1", bound=60)
        s.acknowledged_by("n1")
        s.end("n1", ["n1"])
    for node, since in zip(("n1", "n2"), begun):
        assert not [e for e in pair.events(node)[since:] if e["kind"] == "role"], f"{node} changed its role"


def stop_timeout():
    """Of the unit, in seconds."""
    with open(f"{TOP}/systemd/hactl.service", encoding="utf-8") as f:
        return int(re.search(r"^TimeoutStopSec=(\d+)$", f.read(), re.M)[1])


@pytest.mark.parametrize("standby", ["well", "away"])
def test_a_stop_hands_over_first(pair, service, standby):
    """SIGTERM, as `systemctl stop` sends it: a clean end within the unit's time, the service with the other node or shut here."""
    with service(pair) as s:
        if standby == "away":
            pair["n2"].power_off()
            s.acknowledged_by("n1")
        s.fault()
        p = pair["n1"].procs["hactl"]
        p.send_signal(signal.SIGTERM)
        assert p.wait(stop_timeout()) == 0
        wait_for(lambda: net.VIP not in pair.addresses("n1"), 5, "the address is gone")
        if standby == "well":
            s.acknowledged_by("n2")
            assert not pair.writable("n1")
            s.end("n2", ["n1", "n2"])
        else:
            assert not pair.writable("n1")
            s.nobody_acknowledges()
            pair.power_on("n2")
            pair.start_supervisor("n1")
            pair.wait_settled()
            s.acknowledged_by("n1")
            s.end("n1", ["n1"])


def test_an_upgrade_on_a_healthy_primary_moves_nothing(pair, service):
    """Supervisor and guard are killed and started from another file, one after the other: every ARP question for the address is answered."""
    new = f"{pair.dir}/hactl-new"
    shutil.copy(HACTL, new)
    with service(pair, timeout=5) as s:
        first = wait_for(lambda: s.sampler.log().arps, 10, "the address answers")[-1].number
        for node in ("n2", "n1"):
            for what in ("hactl", "guard"):
                pair.replace(node, what, binary=new)
                pair.wait_ready(primary="n1")
                wait_for(lambda: os.readlink(f"/proc/{pair[node].procs[what].pid}/exe") == new, 10, f"the new {what} of {node} runs")
        s.acknowledged_by("n1")
        log, witness = s.end("n1", ["n1"])
    assert not log.errors
    answered = {a.number for a in witness.arps}
    missed = sorted(set(range(first, max(answered))) - answered)
    assert not missed, f"{len(missed)} of {max(answered) - first} questions were not answered: {missed[:10]}"


def time_of(event):
    return datetime.datetime.fromisoformat(event["at"].rstrip("Z")).timestamp()


@pytest.mark.parametrize("jump", [3600, -3600], ids=["forward", "back"])
def test_the_clock_of_one_node_jumps_by_an_hour(make_pair, service, jump):
    """The time of day as hactl, its guard and MariaDB on n1 read it. What hactl decides by is the clock that counts since the boot; so nothing
    changes but the time in the journal."""
    pair = make_pair(clock_of="n1")
    pair.supervise()
    with service(pair, timeout=5) as s:
        before = pair.sql("n1", "SELECT unix_timestamp(now(6))")[0]
        pair.set_clock("n1", jump)
        wait_for(lambda: abs(pair.sql("n1", "SELECT unix_timestamp(now(6))")[0] - before) > 3000, 10, "n1's clock has jumped")
        holds(lambda: pair.role("n1") == "primary" and pair.role("n2") == "standby", 2 * W, "nothing changes")
        pair.wait_ready(primary="n1")
        r = pair.hactl("n1", "switchover")
        assert r.returncode == 0, r.stdout + r.stderr
        pair.wait_ready(primary="n2")
        log, _ = s.end("n2", ["n1", "n2"])
    told = pair.events("n1")[-1]
    assert abs(time_of(told) - time_of(pair.events("n2")[-1])) > 3000, "hactl on n1 reads the moved clock"
    assert abs(told["mono_us"] / 1e6 - now()) < 600, "and its moments are of the other one"
