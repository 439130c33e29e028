"""Both nodes boot at once, with what they knew or without; a node loses its power in the middle of a change: it ends as one primary, and no
acknowledged row is missing."""
import shutil
import subprocess

import pytest

from pair import HACTL, NODES, OTHER, now, wait_for


def both_off(pair):
    for node in NODES:
        pair[node].power_off()


def both_on(pair, forgetful=()):
    for node in forgetful:
        shutil.rmtree(f"{pair[node].dir}/state")
    for node in NODES:
        pair.power_on(node)


def one_primary(pair, s, orders):
    """Whoever it is serves, and has every row; orders: of acknowledging databases, per primary."""
    primary, _ = pair.wait_settled()
    s.acknowledged_by(primary, bound=30)
    s.end(primary, orders[primary])
    return primary


def test_both_boot_at_once_with_stale_state(pair, service):
    """n2 was primary last, n1 still believes that it was."""
    with service(pair) as s:
        pair["n1"].power_off()
        s.acknowledged_by("n2")
        pair["n2"].power_off()
        both_on(pair)
        assert one_primary(pair, s, {"n2": ["n1", "n2"], "n1": []}) == "n2"


def test_both_boot_at_once_and_have_forgotten(pair, service):
    """The state of one node, of the other, of both is gone: the register knows who was primary."""
    for forgetful in (["n2"], ["n1"], ["n1", "n2"]):
        with service(pair, name=f"both booted, forgotten by {' and '.join(forgetful)}") as s:
            first = pair.wait_ready()
            with s.quiet():
                both_off(pair)
            both_on(pair, forgetful)
            one_primary(pair, s, {first: [first], OTHER[first]: [first, OTHER[first]]})


def begun(pair, node, text, since, bound=20):
    """That node's log says so, since that length."""
    def said():
        with open(f"{pair[node].dir}/log/hactl.log", encoding="utf-8") as f:
            return text in f.read()[since:]
    wait_for(said, bound, f"{node}: {text}")


def log_length(pair, node):
    with open(f"{pair[node].dir}/log/hactl.log", encoding="utf-8") as f:
        return len(f.read())


@pytest.mark.parametrize("reboot", ["the one that takes over", "both"])
def test_a_reboot_in_the_middle_of_a_takeover(pair, service, reboot):
    """n2 is still executing what it had received when its power goes. With n1 gone as well, and then both back, n1's rows are as they were."""
    with service(pair) as s:
        pair.lock_table("n2", "lab.w READ")
        s.acknowledged_by("n1", since=now())
        at = log_length(pair, "n2")
        pair["n1"].power_off()
        begun(pair, "n2", "standby -> promoting", at)
        pair["n2"].power_off()
        if reboot == "both":
            both_on(pair)
        else:
            pair.power_on("n2")
            wait_for(lambda: pair.status("n2")["failover"]["blockers"], 20, "n2 says what it waits for")
            pair.power_on("n1")
        one_primary(pair, s, {"n1": ["n1"], "n2": ["n1", "n2"]})


def switching(pair):
    """A switchover away from n1 that stands in its freeze."""
    locker = pair.lock_table("n1", "lab.held WRITE")
    p = subprocess.Popen(pair["n1"].argv((HACTL, "-c", f"{pair.dir}/hactl.conf", "-n", "n1", "-s", f"{pair.dir}/node/hactl.sock", "switchover")),
                         stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(lambda: pair.sql("n1", "SELECT count(*) FROM information_schema.PROCESSLIST WHERE info LIKE 'SET /*%%read_only%%'")[0], 20,
             "the freeze waits for the table")
    return p, locker


@pytest.mark.parametrize("node", NODES)
def test_a_reboot_in_the_middle_of_a_switchover(pair, service, node):
    """In its freeze, and after it: the power of the old primary goes, or that of the one that shall be it."""
    with service(pair) as s:
        p, locker = switching(pair)
        pair[node].power_off()
        if node == "n2":
            assert p.wait(40) == 1, "undone, and the operator is told"
            s.acknowledged_by("n1", since=now())
        else:
            s.acknowledged_by("n2")
        p.kill()
        p.wait()
        locker.stdin.close()
        pair.power_on(node)
        first = one_primary(pair, s, {"n1": ["n1"], "n2": ["n1", "n2"]})
    if pair.role(OTHER[first]) == "quarantined":
        return
    with service(pair) as s:
        at = log_length(pair, first)
        p = subprocess.Popen(pair[first].argv((HACTL, "-c", f"{pair.dir}/hactl.conf", "-n", first, "-s", f"{pair.dir}/node/hactl.sock",
                                               "switchover")), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        begun(pair, first, "step mysql freeze done", at)
        pair[node].power_off()
        p.kill()
        p.wait()
        pair.power_on(node)
        one_primary(pair, s, {first: ([first], [first, OTHER[first], first]), OTHER[first]: [first, OTHER[first]]})
