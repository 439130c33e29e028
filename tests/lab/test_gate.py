"""The kernel's gate in front of a real pair: addresses of both families, exact to the lease's end, made again whatever others do."""
import signal
import struct

import pytest

import net
import servers
from conftest import figure
from net import VIP
from pair import OTHER, Recorder, holds, now, wait_for

VIP6, PORT, INNER = "fd77::100", 9900, 9900
HOST6 = {"n1": "fd77::1", "n2": "fd77::2", "client": "fd77::50"}
SIX_TOO = ('interface = "eth0"; } );', f'interface = "eth0"; }}, {{ address = "{VIP6}/64"; interface = "eth0"; }} );')
QUICK = (('interval = "100ms"; key', 'interval = "20ms"; key'),)  # a lease of 200 ms needs it


class Log:
    """What gate_echo.py saw."""

    def __init__(self):
        self.answers, self.advertised, self.rest = [], [], ""

    def feed(self, text):
        lines = (self.rest + text).split("\n")
        self.rest = lines.pop()
        for w in (line.split() for line in lines):
            if w[0] == "ans":
                self.answers.append((w[1], float(w[2]), float(w[3]), w[4]))  # target, asked, arrived, who
            else:
                self.advertised.append((float(w[1]), w[2]))
        return self

    def of(self, who, target=None):
        return [a for a in self.answers if a[3] == who and target in (None, a[0])]


def echo(pair, *argv):
    return Recorder(pair, "gate_echo", Log, *argv)


def questions(pair, targets):
    return echo(pair, "ask", *(f"{name}={host}:{port}" for name, (host, port) in targets.items()))


TARGETS = {"IPv4": (VIP, PORT), "IPv6": (VIP6, PORT), "IPv4-container": (VIP, PORT + 1), "IPv6-container": (VIP6, PORT + 1)}


def publish(pair, node):
    """PORT + 1 leads to the container, as Docker publishes a port."""
    for family, to in (("ip", f"{net.BOX}.2"), ("ip6", "[fd72::2]")):
        pair[node].call("nft", f"table {family} published {{ chain pre {{ type nat hook prerouting priority -100; "
                        f"fib daddr type local tcp dport {PORT + 1} dnat to {to}:{INNER}; }}; }}")


def box(pair, node):
    """A container beside the node's servers, of both families."""
    m = pair[node]
    m.box = f"{m.ns}-box"
    net.run("ip", "-batch", "-", stdin=f"netns add {m.box}\nlink add docker0 netns {m.ns} type veth peer name eth0 netns {m.box}\n")
    net.run("ip", "-n", m.ns, "-batch", "-", stdin=f"link set docker0 up\naddress add {net.BOX}.1/24 dev docker0\n"
            "address add fd72::1/64 dev docker0 nodad\n")
    net.run("ip", "-n", m.box, "-batch", "-", stdin=f"link set eth0 up\naddress add {net.BOX}.2/24 dev eth0\n"
            f"address add fd72::2/64 dev eth0 nodad\nroute add default via {net.BOX}.1\nroute add default via fd72::1\n")
    m.call("sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding")
    publish(pair, node)


@pytest.fixture
def dual(make_pair):
    """A pair with a virtual address of each family; on both nodes something answers with the node's name, on the host and in a container."""
    def made(change=(), ready=True, **settings):
        p = make_pair(change=(SIX_TOO, *change), guards=False, **settings)
        for name, address in HOST6.items():
            net.run("ip", "-n", p[name].ns, "address", "add", f"{address}/64", "dev", "eth0", "nodad")
        for name in ("n1", "n2"):
            box(p, name)
            for where in (False, True):
                p[name].spawn(f"echo-{where}", "/usr/bin/python3", f"{servers.HERE}/gate_echo.py", "serve", name,
                              str(PORT), boxed=where)
        p.supervise()
        return p
    return made


def lease_end(pair, node):
    """Of a supervisor that stands still: until when it was primary, from the file it shares with the guard."""
    with open(f"{pair[node].dir}/deadline", "rb") as f:
        page = f.read()
    assert struct.unpack_from("<I", page, 8) == (1,), "another layout of the deadline file: teach it to this test"
    copies = [struct.unpack_from("<QIIq", page, at) for at in (64, 128)]
    _, opened, _, until = max(copies)
    assert opened
    return until / 1e6


def holding(pair, node):
    return VIP in pair.addresses(node) and VIP6 in pair.addresses(node)


def all_answer(log, node, since):
    return all(any(a[1] > since for a in log.log().of(node, t)) for t in TARGETS)


def answered_by(pair, log, node, bound=20, since=None):
    since = since or now()
    wait_for(lambda: all_answer(log, node, since), bound, f"{node} answers for both addresses, on the host and in its container")


def silent_in_time(log, node, end, name):
    for target in TARGETS:
        last = max(a[2] for a in log.of(node, target))
        figure(f"{name:44} {target:14} last answer {1000 * (end - last):6.1f} ms before the lease's end")
        assert last < end, f"{target}: an answer of {node} arrived {1000 * (last - end):.1f} ms after the lease's end"


@pytest.mark.parametrize("how", [signal.SIGSTOP, signal.SIGKILL], ids=["stopped", "killed"])
@pytest.mark.parametrize("lease", ["1s", "200ms"])
def test_silent_at_the_end_of_the_lease(dual, request, lease, how):
    short = dict(arbiter_timeout="80ms", change=QUICK) if lease == "200ms" else {}
    pair = dual(lease=lease, **short)
    old = pair.wait_ready()
    new = OTHER[old]
    with questions(pair, TARGETS) as log, echo(pair, "neighbours", VIP6) as nd, pair.sampler() as witness:
        answered_by(pair, log, old)
        wait_for(lambda: nd.log().advertised and witness.log().arps, 10, "neighbours are told")
        pair[old].signal("hactl", how)
        end = lease_end(pair, old)
        answered_by(pair, log, new)
        wait_for(lambda: nd.log().advertised[-1][1] == net.MAC[new], 10, f"{new} is advertised")
        assert now() > end
        seen, told, arp = log.stop(), nd.stop(), witness.stop()
    silent_in_time(seen, old, end, request.node.name)
    assert not [moment for moment, mac in told.advertised if mac == net.MAC[old] and moment > end], "ND was answered beyond the lease"
    assert not arp.two_answers()
    first = min(a[1] for a in seen.of(new))
    figure(f"{request.node.name:44} first question answered by the new primary {1000 * (first - end):6.0f} ms after the lease's end")
    assert first > end


HANDS = {
    "flushed": "nft flush ruleset",
    "nftables restarted": "printf '#!/usr/sbin/nft -f\\nflush ruleset\\ntable inet filter { chain input { type filter hook input priority 0; }; }\\n' "
                          "| nft -f -",
    "packets' table deleted": "nft delete table inet TABLE",
    "ARP's table deleted": "nft delete table arp TABLE",
    "set flushed": "nft flush set inet TABLE alive",
    "IPv6's set flushed": "nft flush set inet TABLE alive6",
    "rules flushed": "nft flush table inet TABLE",
    "switched off": "nft add table inet TABLE '{ flags dormant; }'",
}

# what dockerd does when it starts and when a port is published, through iptables-nft
DOCKER = "".join(f"{iptables} {args}\n" for iptables in ("iptables", "ip6tables") for args in (
    "-t nat -N DOCKER", "-t filter -N DOCKER", "-t filter -N DOCKER-USER", "-t filter -N DOCKER-ISOLATION-STAGE-1",
    "-t filter -P FORWARD ACCEPT", "-t nat -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER",
    "-t nat -A OUTPUT -m addrtype --dst-type LOCAL -j DOCKER", "-t filter -I FORWARD -j DOCKER-USER", "-t filter -A FORWARD -o docker0 -j DOCKER",
    "-t nat -A DOCKER -p tcp -m tcp --dport 9999 -j DNAT --to-destination :9999",
    "-t nat -F DOCKER", "-t filter -F DOCKER", "-t nat -D PREROUTING 1", "-t nat -D OUTPUT 1", "-t nat -X DOCKER",
    "-t filter -F FORWARD", "-t filter -X DOCKER", "-t filter -X DOCKER-USER", "-t filter -X DOCKER-ISOLATION-STAGE-1"))


def gate_rules(pair, node, handles=False):
    """The gate without what changes by itself."""
    text = "".join(pair[node].call("nft", "-a", "list", "table", family, f"hactl_{node}", check=False) for family in ("inet", "arp"))
    lines = [line for line in text.split("\n") if "elements" not in line and "expires" not in line]
    return "\n".join(line if handles else line.split("# handle")[0] for line in lines)


def alive(pair, node):
    return [pair[node].call("nft", "list", "set", family, f"hactl_{node}", name, check=False).count("expires")
            for family, name in (("inet", "alive"), ("inet", "alive6"), ("arp", "alive"))]


def test_made_again_whatever_others_do(dual, request):
    """By each hand, on the primary and on the standby: noticed, said and made again, and nobody moves."""
    pair = dual()
    assert pair.wait_ready() == "n1"
    whole = {n: gate_rules(pair, n) for n in ("n1", "n2")}
    assert all("hactl gate" in w and "vips6" in w for w in whole.values())
    with questions(pair, TARGETS) as log, pair.sampler() as witness:
        answered_by(pair, log, "n1")
        for what, hand in HANDS.items():
            for node, open_sets in (("n1", [1, 1, 1]), ("n2", [0, 0, 0])):
                if node == "n2" and "set flushed" in what:
                    continue  # it is empty there
                told = len(pair.events(node))
                pair[node].call("sh", "-c", hand.replace("TABLE", f"hactl_{node}"))
                wait_for(lambda: gate_rules(pair, node) == whole[node] and alive(pair, node) == open_sets, 10, f"{what} on {node}: made again")
                if node == "n1":
                    wait_for(lambda: any("nftables rules" in str(e) for e in pair.events(node)[told:]), 10, f"{what}: said")
            for name in ("n1", "n2"):  # the published ports went with the rule set
                if what in ("flushed", "nftables restarted"):
                    publish(pair, name)
            answered_by(pair, log, "n1")
        assert pair.role("n1") == "primary" and not witness.log().two_answers()
        assert not log.log().of("n2")
        pair["n1"].signal("hactl", signal.SIGSTOP)  # and it still shuts
        end = lease_end(pair, "n1")
        answered_by(pair, log, "n2")
        seen = log.stop()
    silent_in_time(seen, "n1", end, request.node.name)


def test_docker_rewrites_its_chains(dual):
    """It does not touch ours, and what it does is not mistaken for a change of ours; the databases' own rules are another table."""
    pair = dual()
    assert pair.wait_ready() == "n1"
    before, told = gate_rules(pair, "n1", handles=True), len(pair.events("n1"))
    with questions(pair, TARGETS) as log:
        answered_by(pair, log, "n1")
        for _ in range(3):
            pair["n1"].call("sh", "-e", "-c", DOCKER)
        answered_by(pair, log, "n1")
        assert gate_rules(pair, "n1", handles=True) == before
        assert not [e for e in pair.events("n1")[told:] if "nftables" in str(e)]
        pair["n1"].signal("hactl", signal.SIGSTOP)
        end = lease_end(pair, "n1")
        answered_by(pair, log, "n2")
        seen = log.stop()
    silent_in_time(seen, "n1", end, "test_docker_rewrites_its_chains")


GATED = (('enforce = "nft";', 'enforce = "nft"; gate_databases = true;'),)


def reaches(pair, machine, host, port):
    """A connection from that machine stands within half a second."""
    code = f"import socket; socket.create_connection(('{host}', {port}), timeout=0.5)"
    try:
        pair[machine].call("/usr/bin/python3", "-c", code)
        return True
    except RuntimeError as e:
        assert "timed out" in str(e) or "refused" in str(e), e
        return False


@pytest.mark.parametrize("containers", [False, True], ids=["host", "container"])
def test_databases_of_the_own_address_are_gated(make_pair, service, containers):
    """The client reaches the primary's by its own address, and the standby's by none; the two nodes and their own programs reach both."""
    pair = make_pair(change=GATED, containers=containers)
    pair.supervise()  # replication and probes go through: both nodes are well
    ports = (3306, 6379)
    for port in ports:
        assert reaches(pair, "client", net.ADDRESS["n1"], port) and not reaches(pair, "client", net.ADDRESS["n2"], port)
        for node in ("n1", "n2"):
            assert reaches(pair, node, net.ADDRESS["n2"], port), f"{node} reaches the standby's port {port}"
    assert reaches(pair, "client", net.ADDRESS["n2"], 80), "only the databases' ports are gated"
    with service(pair, host=net.ADDRESS["n1"]) as s:  # a writer that never heard of the virtual address
        at = s.fault()
        pair["n1"].signal("hactl", signal.SIGSTOP)
        end = lease_end(pair, "n1")
        pair.wait_primary("n2")
        wait_for(lambda: not pair.writable("n1"), 10, "the guard froze it too")
        acks = s.writer.log().of("mysql")
        last = max(a.at for a in acks)
        figure(f"writer on the own address, {'container' if containers else 'host':22} last acknowledged {1000 * (end - last):6.1f} ms before the lease's end")
        assert at < end
        # the moment at which a busy machine's client has read its answer says nothing about the gate
        assert not [a for a in acks if a.sent > end], "what was asked after the lease's end is not answered"
        assert not s.sampler.log().two_writable()
        s.writer.stop()
        s.sampler.stop()
    for port in ports:
        wait_for(lambda: reaches(pair, "client", net.ADDRESS["n2"], port), 10, f"the new primary's port {port} is open")
        assert not reaches(pair, "client", net.ADDRESS["n1"], port)


def test_one_of_several_addresses_cannot_be_added(make_pair):
    """A switchover to a node whose interface takes no IPv6 is undone: both addresses here, none there, and it says which failed."""
    pair = make_pair(change=(SIX_TOO,))
    pair["n2"].call("sh", "-c", "echo 1 >/proc/sys/net/ipv6/conf/eth0/disable_ipv6")
    pair.supervise()
    assert pair.wait_ready() == "n1" and holding(pair, "n1")
    pair["n1"].signal("hactl", signal.SIGKILL)
    wait_for(lambda: any("cannot add fd77::100/128 to eth0" in str(e) for e in pair.events("n2")), 20, "n2 names the address that failed")
    holds(lambda: VIP not in pair.addresses("n2"), 2, "the other one is not left on n2")
    assert alive(pair, "n2") == [0, 0, 0]
    pair["n2"].call("sh", "-c", "echo 0 >/proc/sys/net/ipv6/conf/eth0/disable_ipv6")


@pytest.mark.parametrize("enforce", ["address", "none"])
def test_what_enforce_costs(make_pair, enforce):
    """Without nftables a stopped supervisor's address stays: until the kernel sweeps it, or for ever. The figure is the cost."""
    pair = make_pair(change=(('enforce = "nft";', f'enforce = "{enforce}";'), SIX_TOO), guards=False)
    pair.supervise()
    assert pair.wait_ready() == "n1" and holding(pair, "n1")
    assert "hactl" not in pair["n1"].call("nft", "list", "ruleset")
    pair["n1"].signal("hactl", signal.SIGSTOP)
    end = lease_end(pair, "n1")
    pair.wait_primary("n2")
    if enforce == "none":
        holds(lambda: holding(pair, "n1"), max(end + 6 - now(), 0), "nothing takes the addresses off n1")
        return
    wait_for(lambda: VIP not in pair.addresses("n1") and VIP6 not in pair.addresses("n1"), 15, "both addresses are swept away")
    figure(f"enforce = \"address\": swept away {1000 * (now() - end):.0f} ms after the lease's end")


def test_release_by_hand(make_pair):
    """`hactl vip release` takes both addresses and the gate off a host, with no supervisor there."""
    pair = make_pair(change=(SIX_TOO,), guards=False)
    pair.supervise()
    assert holding(pair, "n1") and "hactl_n1" in pair["n1"].call("nft", "list", "tables")
    for node in ("n2", "n1"):
        pair[node].signal("hactl", signal.SIGKILL)
    r = pair.hactl("n1", "vip", "release")
    assert r.returncode == 0, r.stdout + r.stderr
    assert VIP not in pair.addresses("n1") and VIP6 not in pair.addresses("n1")
    assert "hactl_n1" not in pair["n1"].call("nft", "list", "tables")
