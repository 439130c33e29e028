"""mysql.semi_sync = "required": nothing is acknowledged that is on one node only, whatever that costs."""
import signal

import pytest

from conftest import figure
from flavour import MariaDB, MySQL
from pair import SERVER_ID, holds, now, wait_for

REQUIRED = ('semi_sync = "auto"', 'semi_sync = "required"')


@pytest.fixture(params=[MariaDB, MySQL], ids=["MariaDB", "MySQL"])
def strict(request, make_pair):
    p = make_pair(database=request.param, change=(REQUIRED,))
    p.supervise()
    return p


def waits_since(pair, node):
    return pair.status(node)["mysql"]["local"]["writes_wait_since"]


def acknowledged(s, node):
    return len([a for a in s.writer.log().of("mysql") if a.server == SERVER_ID[node]])


def test_writes_wait_for_the_standby(strict, service):
    """The standby's database goes and comes back; then the primary's power goes, and the new primary waits for the old one."""
    pair = strict
    with service(pair, timeout=3) as s:
        pair["n2"].signal("mysql", signal.SIGKILL)
        s.nobody_acknowledges()
        before = acknowledged(s, "n1")
        assert wait_for(lambda: waits_since(pair, "n1"), 10, "n1 says since when").endswith("Z")
        holds(lambda: pair.role("n1") == "primary" and pair.writable("n1"), 1, "n1 stays primary")
        assert acknowledged(s, "n1") == before
        text = pair.hactl("n1", "status").stdout
        assert 'writes wait: mysql.semi_sync = "required" and n2 is away since' in text, text
        pair.start("n2", "mysql")
        begun = now()
        s.acknowledged_by("n1", bound=40)  # a server that was killed starts
        figure(f"{pair.database.name}: required, from the standby's start to writes going on: {now() - begun:.1f} s")
        pair.wait_ready(primary="n1")
        with s.quiet():
            s.fault()
            pair["n1"].power_off()
        pair.wait_primary("n2")
        wait_for(lambda: waits_since(pair, "n2"), 10, "n2 says that writes wait")
        s.nobody_acknowledges()
        assert not acknowledged(s, "n2") and pair.writable("n2")
        pair.power_on("n1")
        s.acknowledged_by("n2", bound=40)
        pair.wait_ready(primary="n2", bound=40)
        s.end("n2", ["n1", "n2"])


def test_clients_that_give_up_leave_room_for_the_standby(strict, service):
    """Each attempt leaves a commit behind that waits, with its connection: the standby needs one to end the waiting."""
    pair = strict
    with service(pair, threads=8) as s:
        pair["n2"].signal("mysql", signal.SIGKILL)
        wait_for(lambda: any("finds a free connection" in e["text"] for e in pair.events("n1")), 20, "n1 shuts its gate")
        s.nobody_acknowledges()
        pair.start("n2", "mysql")
        s.acknowledged_by("n1", bound=40)
        pair.wait_ready(primary="n1", bound=40)
        s.end("n1", ["n1"])
