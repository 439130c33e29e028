"""A pair of nodes on one machine, with the real servers, and what one can do to it.

    with Pair() as p:           n1 writable, n2 replicating, as somebody set it up by hand; no supervisor yet
        p.supervise()           both supervisors; returns when both nodes are well and a failover is possible
        with p.writer() as w:   writes through the virtual IP
            p["n1"].power_off()
            p.wait_primary("n2")
"""
import contextlib
import glob
import itertools
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time

import pymysql
import redis

import flavour
import measure
import net
import servers
from net import VIP

TOP = os.path.abspath(os.path.join(servers.HERE, "..", ".."))
BUILD = os.path.abspath(os.environ.get("BUILD") or os.path.join(TOP, "build"))
HACTL = os.path.abspath(os.environ.get("HACTL") or os.path.join(BUILD, "hactl"))
NODES = ("n1", "n2")
SERVER_ID = {"n1": "1", "n2": "2"}
OTHER = {"n1": "n2", "n2": "n1"}

_run = itertools.count(int(time.time()) & 0x3fffff)


def now():
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def wait_for(predicate, bound, what):
    """Returns the predicate's first true value. Anything the servers answer while they are not ready is not yet."""
    end, last = now() + bound, None
    while True:
        try:
            last = predicate()
            if last:
                return last
        except (pymysql.Error, redis.RedisError, OSError, RuntimeError, KeyError, TypeError, json.JSONDecodeError) as e:
            last = e
        if now() > end:
            raise AssertionError(f"not within {bound} s: {what}; last seen: {last!r}")
        time.sleep(0.02)


def holds(predicate, seconds, what):
    """For what must not happen: the predicate is true at every look for so long."""
    end = now() + seconds
    while now() < end:
        assert predicate(), f"did not hold: {what}"
        time.sleep(0.05)


class Recorder:
    """A recording process in the client's namespace (writer or sampler); leaving the context stops it."""

    def __init__(self, pair, program, cls, *args):
        name = f"{program}-{next(pair.recorders)}"
        self.process = pair["client"].spawn(name, "/usr/bin/python3", f"{servers.HERE}/{program}.py", *args, stdin=subprocess.PIPE)
        self.file = open(f"{pair['client'].dir}/log/{name}.log", encoding="utf-8")
        self.record = cls()

    def log(self):
        """What is recorded so far; one object that grows."""
        return self.record.feed(self.file.read())

    def stop(self):
        if self.process.stdin and not self.process.stdin.closed:
            self.process.stdin.close()
            self.process.wait(20)
        return self.log()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


class Pair:
    def __init__(self, lease="1s", arbiter_timeout="300ms", flap_window="0s", enforce="nft", containers=False, database=flavour.MariaDB,
                 guards=True, authority=None, second_link=False, change=(), clock_of=None, prepare=None, max_freeze="5s"):
        """guards=False: nothing but its supervisor and the kernel's gate stands between a node and its clients. authority: the line of
        hactl.conf, in place of the arbiter's; {dir} is the pair's folder. second_link: another wire, for heartbeats only.
        change: (what, instead) in the configuration file, each once. clock_of: a node whose time of day can be set.
        prepare: called with the pair and each node's name before its servers start. max_freeze: how fast a switchover is belongs to the
        benches; a busy test machine must not undo one."""
        self.database = database(BUILD)
        data = flavour.template(self.database, BUILD)
        self.dir = tempfile.mkdtemp(prefix="hactl-lab-")
        self.recorders = itertools.count(1)
        self.wire = net.Wire(self.dir, second_link)
        self.containers, self.guards = containers, guards
        self.more = {}  # further programs of a node, started when it boots: name -> command
        if clock_of:
            self._own_clock(clock_of)
        try:
            servers.write_shared(self.dir, lease=lease, arbiter_timeout=arbiter_timeout, flap_window=flap_window, enforce=enforce,
                                 authority=authority, second_link=second_link, max_freeze=max_freeze)
            servers.change(f"{self.dir}/hactl.conf", change)
            servers.start(self["arbiter"], "etcd")
            for i, name in enumerate(NODES, 1):
                servers.write_node(self[name], self.database, i, OTHER[name])
                subprocess.run(["cp", "-a", data, f"{self[name].dir}/mysql"], check=True)  # holes stay holes
                if prepare:
                    prepare(self, name)
                if containers:
                    self[name].containerise()
                for what in servers.ON_A_NODE:
                    self.start(name, what)
            self._introduce()
        except BaseException:
            self.close()
            raise

    def __getitem__(self, name):
        return self.wire.machines[name]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.wire.close()

    def save_logs(self, to):
        """Every server's output, both journals, and what both nodes say of themselves now."""
        shutil.rmtree(to, ignore_errors=True)
        for name in NODES:
            with contextlib.suppress(OSError, subprocess.TimeoutExpired), open(f"{self.dir}/{name}/log/status.txt", "w") as f:
                f.write(self.hactl(name, "status", timeout=5).stdout)
        for name in (*NODES, "client", "arbiter"):
            shutil.copytree(f"{self.dir}/{name}/log", f"{to}/{name}", dirs_exist_ok=True)
            for extra in ("state", "nginx"):
                if os.path.isdir(f"{self.dir}/{name}/{extra}"):
                    shutil.copytree(f"{self.dir}/{name}/{extra}", f"{to}/{name}/{extra}", dirs_exist_ok=True)

    def _introduce(self):
        """By hand, as on the day before hactl: n1 takes writes, n2 replicates from it."""
        self.sql("n1", "SET GLOBAL read_only=OFF", bound=30)
        for statement in self.database.follow:
            self.sql("n2", statement.format(host=net.ADDRESS["n1"], **flavour.PASSWORD), bound=30)
        for name in NODES:
            wait_for(lambda: self.redis(name, "PING"), 20, f"Redis on {name} answers")
        self.redis("n1", "REPLICAOF", "NO", "ONE", user="hactl")
        wait_for(lambda: self.replicating("n2") and self.redis("n2", "ROLE", user="hactl")[3] == b"connected", 20, "n2 replicates from n1")
        for name in NODES:
            wait_for(lambda: all(self.listens(name, port) for port in (80, 8001, 9001)), 20, f"nginx and the apps on {name} listen")
        wait_for(lambda: self["arbiter"].call("etcdctl", "--endpoints=http://10.77.0.9:2379", "endpoint", "health",
                                              "--command-timeout=1s") is not None, 20, "etcd answers")

    def start(self, node, what):
        if what in self.more:
            return self[node].spawn(what, *self.more[what])
        return servers.start(self[node], what, self.database)

    def adopt(self, node):
        """hactl may have replaced the database's data and started its server itself."""
        m = self[node]
        if not m.alive("mysql"):
            with open(f"{m.dir}/mysql.pid") as f:
                m.procs["mysql"] = net.Foreign(int(f.read()))

    # --- the servers, looked at past hactl: by their sockets and from within their namespaces -----------------------------
    def sql(self, node, statement, bound=5, **more):
        """The first row, or None. As root, by the local socket."""
        def once():
            with flavour.connect(f"{self[node].dir}/mysql.sock", **more) as db, db.cursor() as c:
                c.execute(statement)
                return (c.fetchone() if c.description else None,)
        return wait_for(once, bound, f"{node}: {statement}")[0]

    def ids(self, node):
        with flavour.connect(f"{self[node].dir}/mysql.sock") as db, db.cursor() as c:
            c.execute("SELECT id FROM lab.w")
            return {row[0] for row in c.fetchall()}

    def at_rest(self, node):
        """Whatever clients have asked its database to write has been read and answered."""
        unread = [line for line in self[node].call("ss", "-Htn", "sport = :3306").splitlines() if line.split()[1] != "0"]
        return not unread and not self.sql(node, "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE INFO LIKE 'INSERT%'")[0]

    def redis_ids(self, node):
        return {int(i) for i in self.redis(node, "SMEMBERS", "lab:acked")}

    def writable(self, node):
        return self.sql(node, "SELECT @@read_only")[0] == 0

    def replicating(self, node):
        """Both threads run and nothing is wrong."""
        with flavour.connect(f"{self[node].dir}/mysql.sock") as db, db.cursor(pymysql.cursors.DictCursor) as c:
            c.execute(self.database.status)
            s = c.fetchone()
            return bool(s) and all(s[thread] == "Yes" for thread in self.database.running)

    def redis(self, node, *command, user="default"):
        who = {} if user == "default" else {"username": user, "password": flavour.PASSWORD[user]}
        with redis.Redis(unix_socket_path=f"{self[node].dir}/redis.sock", socket_timeout=5, **who) as r:
            return r.execute_command(*command)

    def listens(self, node, port):
        return f":{port} " in self[node].call("ss", "-Hltn")

    def addresses(self, node):
        return self[node].call("ip", "-br", "address", "show", "dev", "eth0")

    def weights(self, node):
        """The server lines of the upstream block, without what hactl never touches."""
        with open(f"{self[node].dir}/nginx/conf.d/HiFate-bazi.conf") as f:
            lines = [line.strip().rstrip(";").split() for line in f if line.strip().startswith("server ")]
        return {w[1]: " ".join(x for x in w[2:] if x.startswith(("weight", "backup", "down"))) for w in lines}

    # --- hactl ------------------------------------------------------------------------------------------------------------
    def hactl(self, node, *args, conf=None, timeout=60):
        """A command typed on that node; CompletedProcess with text."""
        argv = self[node].argv((HACTL, "-c", conf or f"{self.dir}/hactl.conf", "-n", node, "-s", f"{self.dir}/node/hactl.sock",
                                "--state-dir", f"{self.dir}/node/state", *args))
        return subprocess.run(argv, capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL)

    def status(self, node):
        r = self.hactl(node, "status", "--json", timeout=10)
        if r.returncode not in (0, 1):
            raise RuntimeError(f"hactl status on {node} exits {r.returncode}: {r.stderr.strip()}")
        return json.loads(r.stdout) | {"exit": r.returncode}

    def role(self, node):
        return self.status(node)["role"]

    def _daemon(self, what, node, binary, conf=None):
        common = ("-c", conf or f"{self.dir}/hactl.conf", "-n", node, "-s", f"{self.dir}/node/hactl.sock")
        return {"hactl": (binary, "run", *common, "--state-dir", f"{self.dir}/node/state"), "guard": (binary, "guard", *common)}[what]

    def start_supervisor(self, node, conf=None, binary=HACTL):
        return self[node].spawn("hactl", *self._daemon("hactl", node, binary, conf))

    def start_guard(self, node, binary=HACTL):
        """A unit of its own: it stays when the supervisor goes."""
        return self[node].spawn("guard", *self._daemon("guard", node, binary))

    def replace(self, node, what, binary=HACTL):
        """Supervisor or guard killed and started again at once. Its successor has entered the machine before, so that no more than hactl's own
        start lies between: on a busy machine the way into three namespaces can take longer than a lease."""
        wait, old = ("sh", "-c", 'read -r go && exec "$@" </dev/null', "sh"), self[node].procs[what]
        new = self[node].spawn(what, *wait, *self._daemon(what, node, binary), stdin=subprocess.PIPE)

        def at_the_door():
            with open(f"/proc/{new.pid}/cmdline", encoding="utf-8") as f:
                return tuple(f.read().split("\0")[:len(wait)]) == wait
        wait_for(at_the_door, 20, f"the next {what} of {node} waits")
        old.kill()
        old.wait()
        new.stdin.write(b"\n")
        new.stdin.close()

    def supervise(self, bound=30):
        for node in NODES:
            if self.guards:
                self.start_guard(node)
            self.start_supervisor(node)
        self.wait_ready(bound)

    def wait_ready(self, bound=30, primary=None):
        """Both nodes say that all is well; returns the primary's name."""
        return wait_for(lambda: self.ready(primary), bound, f"both nodes well{', primary ' + primary if primary else ''}")

    def ready(self, primary=None):
        """The primary's name when both nodes are well now (and it is this one); what is not well is raised."""
        s = {n: self.status(n) for n in NODES}
        roles = {n: s[n]["role"] for n in NODES}
        if sorted(roles.values()) == ["primary", "standby"] and all(s[n]["exit"] == 0 for n in NODES):
            who = next(n for n in NODES if roles[n] == "primary")
            return who if primary in (None, who) else None
        raise RuntimeError(f"{roles}; " + "; ".join(f"{n}: {b}" for n in NODES for b in s[n]["failover"]["blockers"]))

    def wait_redundant(self, bound=30):
        """A failover is possible; what else is not well does not count."""
        wait_for(lambda: all(self.status(n)["failover"]["ready"] for n in NODES), bound, "a failover is possible")

    def wait_settled(self, primary=None, bound=60):
        """Both well again; or the other is quarantined, for rows of its own that nobody was told of. Returns the primary and whether so."""
        def settled():
            roles = {self.role(n): n for n in NODES}
            if set(roles) == {"primary", "quarantined"} and primary in (None, roles["primary"]):
                return (roles["primary"], True) if self.ids(roles["quarantined"]) - self.ids(roles["primary"]) else None
            return (who, False) if (who := self.ready(primary)) else None
        return wait_for(settled, bound, f"both nodes well, or one quarantined{', primary ' + primary if primary else ''}")

    def wait_primary(self, node, bound=15):
        def ready():
            s = self.status(node)
            return s if s["role"] == "primary" and s["vips"][0]["held"] else None
        return wait_for(ready, bound, f"{node} is primary and holds the address")

    def wait_role(self, node, role, bound=20):
        return wait_for(lambda: self.role(node) == role, bound, f"{node} is {role}")

    def events(self, node):
        try:
            with open(f"{self[node].dir}/state/events.jsonl") as f:
                return [json.loads(line) for line in f if line.endswith("\n")]
        except FileNotFoundError:
            return []

    def _own_clock(self, node):
        """Its hactl, guard and database server get the time of day from clock.c."""
        library = f"{self.dir}/clock.so"
        subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", library, f"{servers.HERE}/clock.c"], check=True)
        self.set_clock(node, 0)
        for what in ("hactl", "guard", "mysql"):
            self[node].env[what] = {"LD_PRELOAD": library, "LAB_CLOCK": f"{self[node].dir}/clock"}

    def set_clock(self, node, seconds):
        """So far from the machine's from now on, for every process there that reads the time of day."""
        servers.write(f"{self[node].dir}/clock.new", f"{seconds}\n")
        os.rename(f"{self[node].dir}/clock.new", f"{self[node].dir}/clock")

    def power_on(self, node, supervised=True):
        """The machine boots: kernel state is new, disks are as they were, every service starts by itself."""
        m = self[node]
        m.boot()
        if self.containers:
            m.containerise()
        for what in (*servers.ON_A_NODE, *self.more):
            self.start(node, what)
        if supervised and self.guards:
            self.start_guard(node)
        if supervised:
            self.start_supervisor(node)

    def lock_table(self, node, table_and_how):
        """Held until its standard input closes or its server ends; on a replica the applier waits, and what arrives is only received."""
        p = self[node].spawn("locker", "/usr/bin/python3", "-c",
                             "import pymysql,sys;d=pymysql.connect(unix_socket=sys.argv[1],user='root');c=d.cursor();"
                             "w=sys.argv[2];t=w.split()[0];"
                             "w.endswith('WRITE') and c.execute(f'CREATE TABLE IF NOT EXISTS {t} (a INT)');"
                             "c.execute(f'LOCK TABLES {w}');print('held',w,flush=True);sys.stdin.read()",
                             f"{self[node].dir}/mysql.sock", table_and_how, stdin=subprocess.PIPE)
        wait_for(lambda: f"held {table_and_how}" in open(f"{self[node].dir}/log/locker.log", encoding="utf-8").read(), 10,
                 f"{table_and_how} on {node} is locked")
        return p

    def lose_relay_log(self, node):
        """As a disk does that kept the tables and lost the rest: what was received and not executed is gone. Returns the lost files."""
        files = glob.glob(f"{self[node].dir}/mysql/*relay*")
        for f in files:
            os.remove(f)
        return files

    # --- the client ----------------------------------------------------------------------------------------------------------
    def writer(self, host=VIP, threads=4, redis_threads=1, timeout=0.1, pause=0.004):
        return Recorder(self, "writer", measure.WriterLog, host, str(next(_run)), str(threads), str(redis_threads), str(timeout), str(pause))

    def sampler(self):
        return Recorder(self, "sampler", measure.SamplerLog, VIP, *(f"{n}={net.ADDRESS[n]}" for n in NODES))

    @contextlib.contextmanager
    def frozen(self, node, what):
        """A server or the supervisor that is there and does nothing."""
        self[node].signal(what, signal.SIGSTOP)
        try:
            yield
        finally:
            self[node].signal(what, signal.SIGCONT)
