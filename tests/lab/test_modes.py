"""A pair without an arbiter: reference addresses, fencing, manual. What each is safe against, on real servers."""
import os

import net
from pair import NODES, holds, wait_for

REFERENCE = f'reference = ( "{net.ADDRESS["arbiter"]}" )'  # the machine is a gateway here: nothing but its echo counts

# By the convention of the fence agents. The test is the power switch: it pulls the plug when it finds a wish, and then says so.
FENCE_SCRIPT = """#!/bin/sh
options=$(cat)
cd "$(dirname "$0")" || exit 1
printf '%s\\n' "$options" >>log
[ ! -e broken ] || { echo "connecting"; echo "the power switch does not answer" >&2; exit 1; }
case "$options" in
action=off*)
    touch "wish-$HACTL_TARGET"
    until [ -e "off-$HACTL_TARGET" ]; do sleep 0.02; done ;;
action=status*)
    [ ! -e "off-$HACTL_TARGET" ] || exit 2 ;;
esac
"""
FENCE = 'fence = {{ command = "{dir}/switch/fence"; timeout = "10s"; delay = "1s"; }}'


class Switch:
    """The power switch of the pair's folder."""

    def __init__(self, pair):
        self.pair, self.dir = pair, f"{pair.dir}/switch"
        os.makedirs(self.dir)
        with open(os.open(f"{self.dir}/fence", os.O_WRONLY | os.O_CREAT, 0o755), "w") as f:
            f.write(FENCE_SCRIPT)

    def _path(self, name):
        return f"{self.dir}/{name}"

    def wish(self, node, bound=20):
        wait_for(lambda: os.path.exists(self._path(f"wish-{node}")), bound, f"somebody wants {node} switched off")

    def wishes(self):
        return [n for n in NODES if os.path.exists(self._path(f"wish-{n}"))]

    def confirm(self, node):
        open(self._path(f"off-{node}"), "w").close()

    def broken(self, yes):
        if yes:
            open(self._path("broken"), "w").close()
        else:
            os.remove(self._path("broken"))

    def log(self):
        try:
            with open(self._path("log")) as f:
                return f.read()
        except FileNotFoundError:
            return ""


def without_an_arbiter(make_pair, authority, **settings):
    p = make_pair(authority=authority, **settings)
    switch = Switch(p)
    p.supervise()
    assert p.status("n1")["authority"]["arbiter"] == "none"
    return p, switch


def cut_heartbeats(pair, ports="udp dport 7979"):
    """A firewall rule on both nodes, as somebody types one: the nodes are well and cannot hear each other."""
    for node, other in (("n1", "n2"), ("n2", "n1")):
        pair[node].call("nft", "-f", "-", stdin="table inet mistake {\nchain lost {\ntype filter hook input priority -400\n"
                        f"ip saddr {net.ADDRESS[other]} {ports} drop\n}}\n}}\n")


def mend_heartbeats(pair):
    for node in NODES:
        pair[node].call("nft", "delete", "table", "inet", "mistake")


def blockers(pair, node):
    return "; ".join(pair.status(node)["failover"]["blockers"])


# --- reference ------------------------------------------------------------------------------------------------------------------

def test_reference_power_loss(make_pair, service):
    pair, _ = without_an_arbiter(make_pair, REFERENCE)
    with service(pair) as s:
        s.fault()
        pair["n1"].power_off()
        s.acknowledged_by("n2")
        s.end("n2", ["n1", "n2"])
    assert pair.wait_primary("n2")["authority"]["from"] == ["reference"]
    pair.power_on("n1")
    pair.wait_ready(primary="n2")


def test_reference_isolated_primary(make_pair, service):
    """Cut from the other node and from the reference, its clients still with it: it stops by itself, before the other begins."""
    pair, _ = without_an_arbiter(make_pair, REFERENCE)
    with service(pair) as s:
        s.fault()
        pair.wire.isolate("n1")
        s.acknowledged_by("n2")
        wait_for(lambda: not pair.writable("n1"), 20, "n1, alone, stops taking writes")
        wait_for(lambda: net.VIP not in pair.addresses("n1"), 20, "n1, alone, drops the address")
        pair.wire.heal()
        wait_for(lambda: pair.role("n1") == "quarantined" or pair.ready("n2"), 30, "n1 is back, or says that it must not follow")
        s.end("n2", ["n1", "n2"])


def test_reference_isolated_standby(make_pair, service):
    """The primary is confirmed by the reference, and the standby by nobody."""
    pair, _ = without_an_arbiter(make_pair, REFERENCE)
    with service(pair) as s:
        s.fault()
        pair.wire.isolate("n2")
        wait_for(lambda: pair.status("n1")["authority"]["from"] == ["reference"], 20, "the reference confirms n1")
        wait_for(lambda: "no reference address answers n2" in blockers(pair, "n2"), 20, "n2 says why it does not take over")
        holds(lambda: pair.role("n2") != "primary" and pair.role("n1") == "primary", 3, "n1 stays primary")
        pair.wire.heal()
        pair.wait_ready(bound=60, primary="n1")
        s.end("n1", ["n1"])


def vetoed(make_pair, service, ports, reason):
    pair, _ = without_an_arbiter(make_pair, REFERENCE)
    with service(pair) as s:
        s.fault()
        cut_heartbeats(pair, ports)
        wait_for(lambda: reason in blockers(pair, "n2"), 20, f"n2 says that it must not take over: {reason}")
        holds(lambda: pair.role("n2") != "primary" and pair.role("n1") == "primary", 3, "n1 stays primary")
        mend_heartbeats(pair)
        pair.wait_ready(bound=60, primary="n1")
        s.end("n1", ["n1"])


def test_reference_veto_by_a_database(make_pair, service):
    """Two healthy nodes that do not hear each other: the databases still do."""
    vetoed(make_pair, service, "udp dport 7979", "shows n1 in service: MySQL")


def test_reference_veto_by_the_address(make_pair, service):
    """No packet of IP passes between the nodes; the virtual IP still answers ARP."""
    vetoed(make_pair, service, "ip protocol != icmp", f"{net.VIP} is answered for by {net.MAC['n1']}")


def test_reference_lost_alone_changes_nothing(make_pair, service):
    pair, _ = without_an_arbiter(make_pair, REFERENCE)
    terms = {n: pair.status(n)["term"] for n in NODES}
    with service(pair) as s:
        pair.wire.cable("arbiter", False)
        holds(lambda: pair.role("n1") == "primary" and pair.role("n2") == "standby", 4, "nothing changes")
        pair.wire.cable("arbiter", True)
        pair.wait_ready(primary="n1")
        s.end("n1", ["n1"])
    assert {n: pair.status(n)["term"] for n in NODES} == terms


# --- fence ----------------------------------------------------------------------------------------------------------------------

OFF = "action=off\nnodename=n1\nport=n1\nplug=n1\n"


def test_fence_power_loss(make_pair, service):
    """Nothing is taken over before the other is confirmed off; the command hears its options once."""
    pair, switch = without_an_arbiter(make_pair, FENCE)
    with service(pair) as s:
        s.fault()
        pair["n1"].power_off()
        switch.wish("n1")
        holds(lambda: pair.role("n2") != "primary" and not pair.writable("n2") and net.VIP not in pair.addresses("n2"), 2,
              "n2 waits for the confirmation")
        switch.confirm("n1")
        s.acknowledged_by("n2")
        s.end("n2", ["n1", "n2"])
    status = pair.wait_primary("n2")
    assert switch.log().count("action=off") == 1
    assert switch.log().startswith(OFF + OFF.replace("action=off", "action=status"))
    assert any(step["name"] == "fence" and step["outcome"] == "ok" for step in status["last_change"]["steps"])
    assert any(e["kind"] == "fence" and "action=off for n1" in e["text"] for e in pair.events("n2"))


def test_fence_cut_between_healthy_nodes(make_pair, service):
    """Each is well and cannot hear the other: the primary is switched off, and only then the other serves."""
    pair, switch = without_an_arbiter(make_pair, FENCE)
    with service(pair) as s:
        s.fault()
        pair.wire.cut("n1", "n2")
        switch.wish("n1")
        assert pair.role("n1") == "primary" and pair.writable("n1"), "a primary stays until the plug is pulled"
        pair["n1"].power_off()
        switch.confirm("n1")
        s.acknowledged_by("n2")
        assert switch.wishes() == ["n1"], "one of the two is switched off, not both"
        pair.wire.heal()
        s.end("n2", ["n1", "n2"])


def test_fence_command_fails(make_pair):
    pair, switch = without_an_arbiter(make_pair, FENCE)
    switch.broken(True)
    pair["n1"].power_off()
    wait_for(lambda: "the power switch does not answer" in blockers(pair, "n2"), 30, "n2 says what the fence command said")
    holds(lambda: pair.role("n2") != "primary" and not pair.writable("n2"), 3, "n2 does not take over")
    assert any(e["kind"] == "fence" and "the power switch does not answer" in e["text"] for e in pair.events("n2"))
    switch.confirm("n1")
    switch.broken(False)
    pair.wait_primary("n2", bound=60)


def test_fence_lost_standby_stops_nothing(make_pair, service):
    pair, switch = without_an_arbiter(make_pair, FENCE)
    with service(pair, timeout=60) as s:
        pair["n2"].power_off()
        holds(lambda: pair.role("n1") == "primary" and pair.writable("n1"), 4, "n1 goes on")
        s.acknowledged_by("n1", bound=60)
        s.end("n1", ["n1"])
    assert switch.wishes() == [] and switch.log() == "", "nobody is fenced by a primary"


# --- manual ---------------------------------------------------------------------------------------------------------------------

def test_manual_waits_for_a_person(make_pair):
    pair = make_pair(authority="manual = true")
    for node in NODES:
        pair.start_supervisor(node)
    pair.wait_primary("n1")
    pair.wait_role("n2", "standby")
    pair["n1"].power_off()
    wait_for(lambda: "authority.manual" in blockers(pair, "n2"), 20, "n2 says that it waits for a person")
    holds(lambda: pair.role("n2") != "primary" and not pair.writable("n2"), 4, "silence takes nothing over")
    r = pair.hactl("n2", "failover", "--force")
    assert r.returncode == 0, r.stdout + r.stderr
    pair.wait_primary("n2")
    wait_for(lambda: pair.writable("n2"), 20, "n2 accepts writes")
