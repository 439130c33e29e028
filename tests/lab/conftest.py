"""One fresh pair a test (it is up in under two seconds), its logs kept when the test fails, and the figures that are printed, never asserted."""
import contextlib
import os
import re
import signal

import pytest

import janitor
import net
import pair as lab
from flavour import MariaDB, MySQL
from pair import BUILD, HACTL, NODES, SERVER_ID, now, wait_for

FIGURES = f"{BUILD}/lab-figures.txt"  # a file: the tests run in several processes


def pytest_sessionstart(session):
    if os.geteuid():
        raise pytest.UsageError("the lab makes network namespaces: run it as root")
    if not hasattr(session.config, "workerinput"):
        os.makedirs(BUILD, exist_ok=True)
        open(FIGURES, "w").close()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.when == "call":
        item.failed = report.failed


def pytest_terminal_summary(terminalreporter):
    with open(FIGURES) as f:
        figures = sorted(f.read().splitlines())
    if figures:
        terminalreporter.section("figures of this machine, for reading only")
        for line in figures:
            terminalreporter.line(line)


def figure(line):
    with open(FIGURES, "a") as f:
        f.write(line + "\n")


@pytest.fixture
def make_pair(request):
    """Pairs with other settings than the usual ones."""
    if not os.access(HACTL, os.X_OK):
        pytest.fail(f"there is no {HACTL}: run `make` first")
    with contextlib.ExitStack() as stack:
        def make(**settings):
            p = lab.Pair(**settings)
            stack.callback(p.close)
            return p

        def keep(p):
            if getattr(request.node, "failed", True):
                p.save_logs(f"{BUILD}/lab-logs/{re.sub('[^A-Za-z0-9_-]', '_', request.node.name)}")

        def made(**settings):
            p = make(**settings)
            stack.callback(keep, p)
            return p
        yield made


@pytest.fixture
def unsupervised(make_pair):
    return make_pair()


@pytest.fixture
def pair(make_pair):
    """n1 primary, n2 standby, both well."""
    p = make_pair()
    p.supervise()
    return p


@pytest.fixture(params=[MariaDB, MySQL], ids=["MariaDB", "MySQL"])
def either(request, make_pair):
    """The same, with each of the two servers."""
    p = make_pair(database=request.param)
    p.supervise()
    return p


class Service:
    """A client that writes without pause and a witness of who answers, around one or more faults."""

    def __init__(self, pair, writer, sampler, name):
        self.pair, self.writer, self.sampler, self.name, self.at = pair, writer, sampler, name, None

    def fault(self):
        """From here the longest pause counts."""
        self.at = self.at or now()
        return self.at

    def acknowledged_by(self, node, bound=20, since=None):
        """Waits until every writer has been acknowledged by that node's database after `since`."""
        since = since or now()

        def seen():
            acks = self.writer.log().of("mysql")
            threads = {a.thread for a in acks}
            return threads and threads == {a.thread for a in acks if a.server == SERVER_ID[node] and a.sent > since}
        wait_for(seen, bound, f"all writers acknowledged by {node}")

    def nobody_acknowledges(self, bound=20):
        """Waits for a second in which no write was acknowledged; what comes in later may have been written down late, not taken late."""
        wait_for(lambda: now() > max((a.at for a in self.writer.log().of("mysql")), default=0) + 1, bound, "a second without acknowledgement")

    @contextlib.contextmanager
    def quiet(self):
        """The clients hold their breath, and what they had asked for is on both nodes: no row is on its way when it happens."""
        self.writer.process.send_signal(signal.SIGSTOP)
        try:
            janitor.wait_stopped(self.writer.process.pid)
            wait_for(lambda: all(self.pair.at_rest(n) for n in NODES) and self.pair.ids("n1") == self.pair.ids("n2"), 20,
                     "both nodes hold the same rows, and none is on its way")
            yield
        finally:
            self.writer.process.send_signal(signal.SIGCONT)

    def end(self, primary, reigns, one_writable=True, redis_lossless=False):
        """reigns: the order in which databases acknowledged, or a tuple of such orders where more than one is right.
        What must hold after every fault: each acknowledged row is on the primary, nobody else took writes or answered for the
        address at the same time. Figures are kept, not judged. one_writable=False: where a database beside its frozen or dead
        supervisor is still open on the node's own address (the gate covers the virtual one)."""
        w, s = self.writer.stop(), self.sampler.stop()
        for kind, ids in (("mysql", self.pair.ids(primary)), ("redis", self.pair.redis_ids(primary))):
            lost, gap = w.lost(kind, ids), w.longest(kind, since=self.at)
            figure(f"{self.name:44} {kind:5} longest pause of a writer {gap.seconds * 1000:6.0f} ms, nobody written for "
                   f"{w.common_gap(kind, self.at or 0) * 1000:6.0f} ms, {len(w.of(kind))} acknowledged, {len(lost)} lost")
            if kind == "mysql" or redis_lossless:
                assert not lost, f"{len(lost)} acknowledged {kind} writes are not on {primary}: {lost[:5]}"
        assert not s.two_answers(), "both nodes answered one ARP request for the virtual IP"
        orders = reigns if isinstance(reigns, tuple) else (reigns,)
        assert w.reigns() in [[SERVER_ID[n] for n in order] for order in orders], "these databases acknowledged writes through the address, in this order"
        if one_writable:
            assert not s.two_writable(), "both databases accepted writes at one instant"
        wait_for(lambda: self.pair.writable(primary), 10, f"{primary} accepts writes")
        return w, s


@pytest.fixture
def service(request):
    @contextlib.contextmanager
    def serve(pair, host=net.VIP, name=None, **writer):
        with pair.sampler() as s, pair.writer(host, **writer) as w:
            wait_for(lambda: len(w.log().of("mysql")) >= 100 and (len(w.log().of("redis")) >= 20), 20, "the client writes")
            if all(pair[n].alive("hactl") for n in NODES):  # a standby that stood still under the first writes is done without for a while
                pair.wait_redundant()
            yield Service(pair, w, s, name or request.node.name)
    return serve
