"""Machines on one wire: a network namespace each, joined by a bridge in a namespace of its own.

What an operator can do to a real pair can be done here: pull a cable, cut a path in the switch one way or both,
switch a machine off, freeze it. Nothing outside these namespaces is touched.
"""
import itertools
import os
import select
import signal
import subprocess
import sys
import uuid
import weakref

import janitor
from janitor import NETNS

ADDRESS = {"n1": "10.77.0.1", "n2": "10.77.0.2", "arbiter": "10.77.0.9", "client": "10.77.0.50"}
SECOND = {"n1": "192.168.9.1", "n2": "192.168.9.2"}  # a wire of its own, for heartbeats
VIP = "10.77.0.100"
MAC = {name: f"02:77:00:00:00:{int(a.rsplit('.', 1)[1]):02x}" for name, a in ADDRESS.items()}
BOX = "172.30.0"  # inside a node that runs its servers in a container

_number = itertools.count(1)

# Each process gets a mount namespace in which DIR/node is its own machine's folder and the kernel's boot id its
# machine's: so one configuration file serves both nodes, and a machine switched off and on has booted.
_ENTER = 'mount --bind "$1/$2" "$1/node" && mount --bind "$1/$2/boot_id" /proc/sys/kernel/random/boot_id && shift 2 && exec "$@"'


def run(*argv, stdin=None, check=True):
    r = subprocess.run(argv, input=stdin, text=True, capture_output=True)
    if check and r.returncode:
        raise RuntimeError(f"{' '.join(argv)}: {r.stderr.strip() or r.stdout.strip()}")
    return r.stdout


class Foreign:
    """A process of a machine that nobody here started: what a Popen tells of its own."""

    def __init__(self, pid):
        self.pid, self.fd, self.returncode = pid, os.pidfd_open(pid), None
        weakref.finalize(self, os.close, self.fd)

    def poll(self):
        if select.select([self.fd], [], [], 0)[0]:
            self.returncode = 0
        return self.returncode

    def wait(self, timeout=None):
        if not select.select([self.fd], [], [], timeout)[0]:
            raise subprocess.TimeoutExpired(str(self.pid), timeout)
        return self.poll()

    def send_signal(self, sig):
        if self.poll() is None:
            signal.pidfd_send_signal(self.fd, sig)

    def terminate(self):
        self.send_signal(signal.SIGTERM)

    def kill(self):
        self.send_signal(signal.SIGKILL)


class Machine:
    """One namespace with its folder and its processes."""

    def __init__(self, wire, name):
        self.wire, self.name, self.address = wire, name, ADDRESS[name]
        self.ns = f"{wire.tag}-{name}"
        self.box = None  # second namespace, when its servers run in a container
        self.dir = os.path.join(wire.dir, name)
        self.procs = {}
        self.env = {}  # process -> variables of its environment
        os.makedirs(os.path.join(self.dir, "log"), exist_ok=True)
        os.makedirs(os.path.join(wire.dir, "node"), exist_ok=True)

    def namespaces(self):
        return [self.ns] + ([self.box] if self.box else [])

    def boot(self):
        """The wire, the address, a new boot id: everything a fresh kernel has."""
        with open(f"{self.dir}/boot_id", "w") as f:
            f.write(f"{uuid.uuid4()}\n")
        port = f"p-{self.name}"
        run("ip", "-batch", "-", stdin=f"netns add {self.ns}\n"
            f"link add eth0 netns {self.ns} address {MAC[self.name]} type veth peer name {port} netns {self.wire.bridge}\n")
        run("ip", "-n", self.wire.bridge, "-batch", "-", stdin=f"link set {port} master br0 up\n")
        run("ip", "-n", self.ns, "-batch", "-",
            stdin=f"link set lo up\nlink set eth0 up\naddress add {self.address}/24 dev eth0\n")
        if self.wire.second and self.name in SECOND:
            self._second_wire()

    def _second_wire(self):
        port = f"q-{self.name}"
        run("ip", "-batch", "-", stdin=f"link add eth1 netns {self.ns} type veth peer name {port} netns {self.wire.bridge}\n")
        run("ip", "-n", self.wire.bridge, "-batch", "-", stdin=f"link set {port} master br1 up\n")
        run("ip", "-n", self.ns, "-batch", "-", stdin=f"link set eth1 up\naddress add {SECOND[self.name]}/24 dev eth1\n")

    def containerise(self):
        """Ports 3306 and 6379 published as Docker publishes them: DNAT for what comes in and for the node's own calls, masquerade outwards."""
        self.box = f"{self.ns}-box"
        run("ip", "-batch", "-", stdin=f"netns add {self.box}\n"
            f"link add docker0 netns {self.ns} type veth peer name eth0 netns {self.box}\n")
        run("ip", "-n", self.ns, "-batch", "-", stdin=f"link set docker0 up\naddress add {BOX}.1/24 dev docker0\n")
        run("ip", "-n", self.box, "-batch", "-", stdin=f"link set lo up\nlink set eth0 up\n"
            f"address add {BOX}.2/24 dev eth0\nroute add default via {BOX}.1\n")
        self.call("sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward")
        published = f"tcp dport {{ 3306, 6379 }} dnat to {BOX}.2"
        self.call("nft", "-f", "-", stdin=f"""table ip docker {{
            chain pre {{
                type nat hook prerouting priority -100
                fib daddr type local {published}
            }}
            chain out {{
                type nat hook output priority -100
                ip daddr != 127.0.0.0/8 fib daddr type local {published}
            }}
            chain post {{
                type nat hook postrouting priority 100
                ip saddr {BOX}.0/24 oifname eth0 masquerade
            }}
        }}
        """)

    def argv(self, argv, boxed=False):
        return ["nsenter", f"--net={NETNS}/{self.box if boxed and self.box else self.ns}", "unshare", "--mount",
                "--propagation", "private", "sh", "-c", _ENTER, "sh", self.wire.dir, self.name, *argv]

    def call(self, *argv, stdin=None, check=True):
        return run(*self.argv(argv), stdin=stdin, check=check)

    def spawn(self, what, *argv, boxed=False, stdin=None):
        """A process of this machine; every program in between is replaced by the next, so its pid is the server's."""
        if what in self.env:
            argv = ("env", *(f"{k}={v}" for k, v in self.env[what].items()), *argv)
        with open(f"{self.dir}/log/{what}.log", "ab") as log:
            p = subprocess.Popen(self.argv(argv, boxed), stdin=stdin or subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.wire.dir)
        self.procs[what] = p
        return p

    def alive(self, what):
        return what in self.procs and self.procs[what].poll() is None

    def signal(self, what, sig):
        """Returns when it has had its effect."""
        self.procs[what].send_signal(sig)
        if sig == signal.SIGKILL:
            self.procs[what].wait()
        if sig == signal.SIGSTOP:
            janitor.wait_stopped(self.procs[what].pid)

    def end(self, what, bound=10):
        p = self.procs[what]
        if p.poll() is None:
            p.send_signal(signal.SIGCONT)
            p.terminate()
            try:
                p.wait(bound)
            except subprocess.TimeoutExpired:
                p.kill()
                p.wait()

    def freeze(self):
        """Returns when nothing of it runs: what is forked while its parent is being stopped is found the second time."""
        for _ in range(2):
            for pid in janitor.signal_all(self.namespaces(), signal.SIGSTOP):
                janitor.wait_stopped(pid)

    def thaw(self):
        janitor.signal_all(self.namespaces(), signal.SIGCONT)

    def power_off(self):
        """The cable first: what the dying processes would still send must not leave."""
        self.wire.cable(self.name, False)
        if self.wire.second:
            self.wire.cable(self.name, False, "q")
        janitor.kill_all(self.namespaces())
        for p in self.procs.values():
            p.wait()
        for ns in self.namespaces():
            run("ip", "netns", "del", ns)
        self.box = None
        # the kernel removes a namespace's devices by and by; the name on the bridge must be free before the next boot
        for wire in ("p", "q"):
            run("ip", "-n", self.wire.bridge, "link", "del", f"{wire}-{self.name}", check=False)


class Wire:
    """The bridge, and who is plugged in. Removed with everything in it when this process ends, in whatever way."""

    def __init__(self, directory, second=False):
        self.second = second
        self.dir, self.tag = directory, f"hl{os.getpid()}x{next(_number)}"
        self.bridge = f"{self.tag}-wire"
        self.janitor = subprocess.Popen([sys.executable, janitor.__file__, self.tag, directory],
                                        stdin=subprocess.PIPE, start_new_session=True)
        run("ip", "netns", "add", self.bridge)
        run("ip", "-n", self.bridge, "link", "add", "br0", "type", "bridge")
        run("ip", "-n", self.bridge, "link", "set", "br0", "up")
        if second:
            run("ip", "-n", self.bridge, "link", "add", "br1", "type", "bridge")
            run("ip", "-n", self.bridge, "link", "set", "br1", "up")
        self._nft("add table bridge lab\nadd chain bridge lab cut { type filter hook forward priority 0; }\n")
        self.machines = {name: Machine(self, name) for name in ADDRESS}
        for m in self.machines.values():
            m.boot()

    def _nft(self, text):
        run("nsenter", f"--net={NETNS}/{self.bridge}", "nft", "-f", "-", stdin=text)

    def cable(self, name, plugged, wire="p"):
        run("ip", "-n", self.bridge, "link", "set", f"{wire}-{name}", "up" if plugged else "down")

    def cut(self, a, b, both=True):
        """Frames from a to b are lost in the switch (and from b to a); links stay up."""
        self._nft("".join(f'add rule bridge lab cut iifname "p-{x}" oifname "p-{y}" drop\n'
                          for x, y in ((a, b), (b, a))[:2 if both else 1]))

    def cut_second(self):
        """The second wire, as if it were unplugged somewhere between."""
        self.drop('iifname "q-n1"', 'iifname "q-n2"')

    def drop(self, *matches):
        """Frames of this kind are lost in the switch."""
        self._nft("".join(f"add rule bridge lab cut {m} drop\n" for m in matches))

    def lose(self, a, b, percent):
        """So many of a hundred frames between the two are lost, each way."""
        self.drop(*(f'iifname "p-{x}" oifname "p-{y}" numgen random mod 100 < {percent}' for x, y in ((a, b), (b, a))))

    def isolate(self, name):
        self._nft(f'add rule bridge lab cut iifname "p-{name}" drop\nadd rule bridge lab cut oifname "p-{name}" drop\n')

    def heal(self):
        self._nft("flush chain bridge lab cut\n")

    def close(self):
        self.janitor.stdin.close()
        self.janitor.wait()
        for m in self.machines.values():
            for p in m.procs.values():
                p.wait()
