"""The database on the side where it belongs: its scheduled events, a server that does not stop writing, one that comes back by itself, TLS,
ports and sockets of its own. Each with both servers."""
import json
import os
import shutil
import signal
import subprocess

import pytest

import flavour
import servers
from conftest import figure
from flavour import MariaDB, MySQL
from pair import NODES, OTHER, SERVER_ID, now, wait_for

both = pytest.mark.parametrize("database", [MariaDB, MySQL], ids=["MariaDB", "MySQL"])


def statuses(pair, node):
    """What information_schema says of each event, without what differs between the servers' words."""
    with flavour.connect(f"{pair[node].dir}/mysql.sock") as db, db.cursor() as c:
        c.execute("SELECT EVENT_NAME, REPLACE(STATUS, 'REPLICA_SIDE', 'SLAVESIDE'), DEFINER, CHARACTER_SET_CLIENT, SQL_MODE, TIME_ZONE "
                  "FROM information_schema.EVENTS WHERE EVENT_SCHEMA = 'lab'")
        return {row[0]: row[1:] for row in c.fetchall()}


def ticks(pair, node):
    """Server ids that the event wrote, on the data of that node."""
    return [row for row in rows(pair, node, "SELECT srv FROM lab.ticks ORDER BY a")]


def rows(pair, node, query):
    with flavour.connect(f"{pair[node].dir}/mysql.sock") as db, db.cursor() as c:
        c.execute(query)
        return [row[0] for row in c.fetchall()]


def make_events(pair):
    with flavour.connect(f"{pair['n1'].dir}/mysql.sock") as db, db.cursor() as c:
        for s in ("CREATE USER ticker@'%'", "GRANT ALL ON lab.* TO ticker@'%'",
                  "CREATE TABLE lab.ticks (a INT AUTO_INCREMENT PRIMARY KEY, srv INT NOT NULL)",
                  "SET SESSION sql_mode='ANSI', time_zone='+03:00', character_set_client=latin1",
                  "CREATE DEFINER=ticker@'%' EVENT lab.tick ON SCHEDULE EVERY 1 SECOND DO INSERT INTO lab.ticks (srv) VALUES (@@server_id)",
                  "CREATE DEFINER=ticker@'%' EVENT lab.quiet ON SCHEDULE EVERY 1 SECOND DISABLE DO INSERT INTO lab.ticks (srv) VALUES (99)"):
            c.execute(s)


def only_on(pair, node, made):
    """The event runs there and nowhere else, made as it was; the disabled one runs nowhere."""
    before = len(ticks(pair, node))
    wait_for(lambda: len(ticks(pair, node)) >= before + 2, 20, f"the event runs on {node}")
    assert set(ticks(pair, node)[before:]) == {int(SERVER_ID[node])}
    wait_for(lambda: statuses(pair, node) == made, 10, "definer, character set, mode and zone are kept, and what was disabled stays so")
    assert set(ticks(pair, node)) <= {1, 2}


@both
def test_events_run_on_the_primary_alone(make_pair, database):
    """Through a switchover, the way back, and a failover with the old primary's return."""
    pair = make_pair(database=database)
    for n in NODES:
        pair.sql(n, "SET GLOBAL event_scheduler=ON")
    make_events(pair)
    made = statuses(pair, "n1")
    assert {name: row[0] for name, row in made.items()} == {"tick": "ENABLED", "quiet": "DISABLED"}
    pair.supervise()
    wait_for(lambda: "quiet" in open(f"{pair['n2'].dir}/state/scheduled-events.json").read(), 20, "the standby knows what the primary runs")
    only_on(pair, "n1", made)
    for to in ("n2", "n1"):
        r = pair.hactl("n1", "switchover", "--to", to)
        assert r.returncode == 0, r.stdout
        pair.wait_ready(primary=to)
        only_on(pair, to, made)
        wait_for(lambda: statuses(pair, OTHER[to])["tick"][0] == "SLAVESIDE_DISABLED", 10, f"and not on {OTHER[to]}")
    # between two ticks: one that n2 never received would be on n1 alone, and quarantine it
    before = len(ticks(pair, "n2"))
    wait_for(lambda: len(ticks(pair, "n2")) > before, 20, "a tick has arrived")
    pair["n1"].freeze()
    pair["n1"].power_off()
    pair.wait_primary("n2")
    only_on(pair, "n2", made)
    servers.change(f"{pair['n1'].dir}/my.cnf", [("[mysqld]\n", "[mysqld]\nevent-scheduler=ON\n")])
    pair.power_on("n1")
    pair.wait_ready(primary="n2", bound=40)
    only_on(pair, "n2", made)
    assert rows(pair, "n1", "SELECT COUNT(*) FROM lab.ticks WHERE srv NOT IN (1, 2)") == [0]
    if database is MariaDB:
        wait_for(lambda: statuses(pair, "n1")["tick"][0] == "SLAVESIDE_DISABLED", 10, "it would run there, and fail, each second")
    r = pair.hactl("n1", "switchover", "--to", "n1")
    assert r.returncode == 0, r.stdout
    pair.wait_ready(primary="n1")
    only_on(pair, "n1", made)


# --- a server that does not stop writing ------------------------------------------------------------------------------------------------

def killed(pair, node):
    return [e["text"] for e in pair.events(node) if "did not stop writing and was killed" in e.get("text", "")]


@both
def test_a_frozen_server_is_killed(make_pair, service, database):
    """It answers nobody, and would go on writing when it wakes up. The other takes over; its process, and no other, is ended."""
    pair = make_pair(database=database)
    pair.supervise()
    with service(pair) as s:
        s.fault()
        pair["n1"].signal("mysql", signal.SIGSTOP)
        s.acknowledged_by("n2")
        wait_for(lambda: not pair["n1"].alive("mysql"), 20, "the frozen server is dead")
        wait_for(lambda: killed(pair, "n1"), 10, "the journal says so")
        assert f"process {pair['n1'].procs['mysql'].pid}" in killed(pair, "n1")[0]
        assert pair["n2"].alive("mysql") and not killed(pair, "n2")
        pair.start("n1", "mysql")
        s.end("n2", ["n1", "n2"])
    pair.wait_settled(primary="n2")


@pytest.mark.parametrize("how", ["command", "never"])
def test_table_locks_that_nobody_may_end(make_pair, how):
    """MySQL lets nobody without SYSTEM_USER end root's session. Cut off, the old primary cannot shut its server: it is killed, or left and named."""
    words = {"command": 'kill_command = "kill -9 $(cat {dir}/node/mysql.pid)";', "never": "kill_stuck = false;"}[how]
    pair = make_pair(database=MySQL, change=[('semi_sync = "auto";', 'semi_sync = "auto"; ' + words)])
    servers.change(f"{pair.dir}/hactl.conf", [("{dir}", pair.dir)] if how == "command" else [])
    pair.supervise()
    pair.sql("n1", "CREATE TABLE lab.l (a INT)")
    with pair.lock_table("n1", "lab.l WRITE"):
        pair.wire.isolate("n1")
        pair.wait_primary("n2")  # which waits for nothing of this
        if how == "never":
            wait_for(lambda: any("mysql demote" in e["text"] and "still writable" in e["text"] for e in pair.events("n1")), 20, "the failure is named")
            assert pair["n1"].alive("mysql") and not killed(pair, "n1")
            return
        wait_for(lambda: not pair["n1"].alive("mysql"), 20, "the server is dead")
        text = wait_for(lambda: killed(pair, "n1"), 10, "the journal says so")[0]
        assert "mysql.kill_command" in text and "still writable" in text, text
        wait_for(lambda: pair.role("n1") == "standby", 10, "the demotion has ended")


# --- TLS ------------------------------------------------------------------------------------------------------------------------------------

def openssl(*argv):
    subprocess.run(["openssl", *argv], check=True, capture_output=True)


def authority(directory, name):
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "3650", "-subj", f"/CN=lab {name}",
            "-keyout", f"{directory}/{name}.key", "-out", f"{directory}/{name}.pem")


def certificate(directory, name, address, ca="ca"):
    """Signed by that authority, for that address."""
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", f"/CN=lab {name}",
            "-keyout", f"{directory}/{name}.key", "-out", f"{directory}/{name}.csr")
    servers.write(f"{directory}/{name}.ext", f"subjectAltName=IP:{address}\n")
    openssl("x509", "-req", "-in", f"{directory}/{name}.csr", "-CA", f"{directory}/{ca}.pem", "-CAkey", f"{directory}/{ca}.key",
            "-CAcreateserial", "-days", "3650", "-extfile", f"{directory}/{name}.ext", "-out", f"{directory}/{name}.pem")


def with_certificates(pair, node):
    """In the node's folder: tls/ca.pem, another authority's wrong.pem, the server's own server.pem and one for another address."""
    d = f"{pair[node].dir}/tls"
    if node == "n1":
        os.makedirs(f"{pair.dir}/ca")
        for name in ("ca", "wrong"):
            authority(f"{pair.dir}/ca", name)
    shutil.copytree(f"{pair.dir}/ca", d)
    certificate(d, "server", pair[node].address)
    certificate(d, "elsewhere", "10.77.9.9")
    here = pair.database.here(pair.dir)
    servers.change(f"{pair[node].dir}/my.cnf", [("[mysqld]\n", f"[mysqld]\nssl-ca={here}/tls/ca.pem\nssl-cert={here}/tls/server.pem\n"
                                                 f"ssl-key={here}/tls/server.key\n")])


def restart_as(pair, node, certificate_name):
    """Its server with another certificate; None: without TLS."""
    path = f"{pair[node].dir}/my.cnf"
    with open(path) as f:
        lines = [line for line in f if not line.startswith(("ssl-", "skip-ssl", "tls-version"))]
    here = pair.database.here(pair.dir)
    off = "skip-ssl\n" if pair.database.name == "MariaDB" else "tls-version=\n"
    lines[1:1] = [off] if certificate_name is None else [f"ssl-ca={here}/tls/ca.pem\n", f"ssl-cert={here}/tls/{certificate_name}.pem\n",
                                                         f"ssl-key={here}/tls/{certificate_name}.key\n"]
    servers.write(path, "".join(lines))
    pair[node].end("mysql", bound=30)
    pair.start(node, "mysql")
    pair.sql(node, "SELECT 1", bound=30)


def doctor(pair, area, check, conf=None):
    findings = json.loads(pair.hactl("n1", "doctor", "--json", conf=conf).stdout)
    return next((f["what"] for f in findings if (f["area"], f["check"], f["severity"]) == (area, check, "wrong")), None)


@both
def test_tls_is_verified_or_refused(make_pair, database):
    """Both ways: hactl's own connections, and the replication it sets up, by accounts that may not come without."""
    here = "{dir}/node" if database is MariaDB else "/lab"
    pair = make_pair(database=database, prepare=with_certificates, change=[(
        'semi_sync = "auto";', f'semi_sync = "auto"; tls = true; ca_file = "{{dir}}/node/tls/ca.pem"; replication_ca_file = "{here}/tls/ca.pem";')])
    with open(f"{pair.dir}/hactl.conf") as f:
        text = f.read().replace("{dir}", pair.dir)
    servers.write(f"{pair.dir}/hactl.conf", text)
    assert pair.hactl("n1", "check").returncode == 0
    assert "verified against ca_file" in pair.hactl("n1", "check").stdout
    assert "replication is" in doctor(pair, "mysql on n2", "encryption"), "as it was set up by hand: plain, or with any certificate"
    for account in ("hactl", "repl"):
        pair.sql("n1", f"ALTER USER {account}@'%' REQUIRE SSL")
    pair.supervise()
    for to in ("n2", "n1"):
        r = pair.hactl("n1", "switchover", "--to", to)
        assert r.returncode == 0, r.stdout
        pair.wait_ready(primary=to, bound=40)
    assert not doctor(pair, "mysql on n2", "encryption"), "hactl's own replication is verified"
    # another authority's certificates here: nothing is believed
    servers.write(f"{pair.dir}/wrong.conf", text.replace('ca_file = "{}/node/tls/ca.pem"'.format(pair.dir), 'ca_file = "{}/node/tls/wrong.pem"'.format(pair.dir), 1))
    for node in NODES:
        assert "certificate" in doctor(pair, f"mysql on {node}", "server", conf=f"{pair.dir}/wrong.conf").lower()
    for name, words in (("elsewhere", ("certificate", "tls/ssl", "host")), (None, ("ssl", "tls"))):
        restart_as(pair, "n2", name)
        what = doctor(pair, "mysql on n2", "server")
        assert what and any(w in what.lower() for w in words), what
    wait_for(lambda: pair.status("n1")["mysql"]["peer"]["up"] is False, 20, "the supervisor does not believe it either")
    restart_as(pair, "n2", "server")
    pair.wait_ready(primary="n1", bound=40)
    # replication: the server itself refuses a source whose certificate somebody else has signed
    pair["n2"].end("hactl")
    servers.write(f"{pair.dir}/astray.conf", text.replace(f'replication_ca_file = "{here.format(dir=pair.dir)}/tls/ca.pem"',
                                                         f'replication_ca_file = "{here.format(dir=pair.dir)}/tls/wrong.pem"', 1))
    for statement in database.forget:
        pair.sql("n2", statement)
    pair.start_supervisor("n2", conf=f"{pair.dir}/astray.conf")
    source = f"{pair['n1'].address}:3306"
    said = wait_for(lambda: next((e["text"] for e in pair.events("n2") if "mysql follow" in e.get("text", "") and source in e["text"]
                                  and "SSL" in e["text"]), None), 30, "why it does not follow")
    assert not pair.replicating("n2"), said


# --- a server that comes back by itself -------------------------------------------------------------------------------------------------

@both
def test_a_container_that_restarts_its_server_writable(make_pair, database):
    """`restart: unless-stopped`, and nothing in its file says read_only: on the node that is not primary it is frozen at once."""
    pair = make_pair(database=database, prepare=lambda p, node: servers.change(f"{p[node].dir}/my.cnf", [("read-only=ON\n", "")] if database is MariaDB else [
        ("\nread-only=ON\n", "\n"), ("super-read-only=ON\n", "")]))
    pair.sql("n2", f"SET GLOBAL {'' if database is MariaDB else 'super_'}read_only=ON")
    pair.supervise()
    open_for = []
    for _ in range(2):
        pair["n2"].signal("mysql", signal.SIGKILL)
        pair.start("n2", "mysql")
        pair.sql("n2", "SELECT 1", bound=30)
        at = now()
        wait_for(lambda: not pair.writable("n2"), 20, "n2 is frozen")
        open_for.append(now() - at)
        pair.wait_ready(primary="n1", bound=40)
    figure(f"{database.name}: a standby's server that came back writable took writes for {', '.join(f'{1000 * s:.0f}' for s in open_for)} ms")
    if database is MySQL:  # what doctor offers: it lasts with the data
        pair.sql("n2", "SET PERSIST_ONLY super_read_only = ON")
        pair["n2"].signal("mysql", signal.SIGKILL)
        pair.start("n2", "mysql")
        pair.sql("n2", "SELECT 1", bound=30)
        assert not pair.writable("n2")
        pair.wait_ready(primary="n1", bound=40)


# --- ports and sockets of its own -------------------------------------------------------------------------------------------------------

PORT = {"n1": 3316, "n2": 3326}


def own_port(pair, node):
    path = f"{pair[node].dir}/my.cnf"
    with open(path) as f:
        text = f.read()
    servers.write(path, text.replace("port=3306", f"port={PORT[node]}").replace("mysql.sock", f"{node}.sock"))
    os.symlink(f"{node}.sock", f"{pair[node].dir}/mysql.sock")  # where the lab looks


@both
def test_each_node_has_its_own_port_and_socket(make_pair, database):
    class There(database):
        name = database.name
        follow = tuple(s.replace("_host='{host}'", f"_host='{{host}}', {'master' if database is MariaDB else 'source'}_port={PORT['n1']}")
                       for s in database.follow)
    overrides = [(f'address = "10.77.0.{i}";', f'address = "10.77.0.{i}"; mysql = {{ port = {PORT[n]}; socket = "{{dir}}/node/{n}.sock"; }};')
                 for i, n in enumerate(NODES, 1)]
    pair = make_pair(database=There, prepare=own_port, change=overrides)
    with open(f"{pair.dir}/hactl.conf") as f:
        text = f.read().replace("{dir}", pair.dir)
    servers.write(f"{pair.dir}/hactl.conf", text)
    pair.supervise()
    for to in ("n2", "n1"):
        r = pair.hactl("n1", "switchover", "--to", to)
        assert r.returncode == 0, r.stdout
        pair.wait_ready(primary=to, bound=40)
    for node in NODES:
        assert not pair.listens(node, 3306) and pair.listens(node, PORT[node])
    pair["n1"].signal("mysql", signal.SIGKILL)
    pair.wait_primary("n2")
    pair.start("n1", "mysql")
    pair.wait_settled(primary="n2")
