"""What a node needs so that hactl can rebuild its database from the primary's: the keys of the configuration, and for MariaDB the script's ssh."""
import os
import shlex
import subprocess

import net
import servers
from flavour import MariaDB
from pair import NODES, TOP, wait_for

SCRIPT = os.path.join(TOP, "conf", "hooks", "reseed-mariadb")


def mysqlbinlog(database):
    """MySQL's tool out of its private root; MariaDB's is installed."""
    r = getattr(database, "root", None)
    return r and f"{r}/lib64/ld-linux-x86-64.so.2 --library-path {r}/usr/lib/x86_64-linux-gnu {r}/usr/bin/mysqlbinlog"


def configure(pair, **keys):
    """More keys of the mysql section, before the supervisors start."""
    if mysqlbinlog(pair.database):
        keys.setdefault("binlog_tool", mysqlbinlog(pair.database))
    text = "".join(f" {k} = {v if v in ('true', 'false') else chr(34) + v + chr(34)};" for k, v in keys.items())
    path = f"{pair.dir}/hactl.conf"
    with open(path) as f:
        conf = f.read()
    servers.write(path, conf.replace('semi_sync = "auto";', 'semi_sync = "auto";' + text, 1))


def start_command(pair):
    """What the service manager of a real node does: waits for the old one's end. The server outlives the command that starts it."""
    node = f"{pair.dir}/node"
    server = " ".join(shlex.quote(a) for a in pair.database.command(pair.dir, f"--defaults-file={pair.database.here(pair.dir)}/my.cnf"))
    # not gone before the server has a session of its own: hactl ends what a command leaves behind in its process group
    servers.write(f"{pair.dir}/start", "#!/bin/sh\n"
                  f'while pid=$(cat {node}/mysql.pid 2>/dev/null) && readlink /proc/$pid/exe >/dev/null; do sleep 0.05; done\n'
                  f"setsid {server} >>{node}/log/mysql.log 2>&1 </dev/null &\n"
                  'until [ "$(ps -o sid= -p $! | tr -d " ")" = $! ]; do kill -0 $! || exit 1; done\n', 0o755)
    return f"{pair.dir}/start"


def enable_ssh(pair, remote=None, **settings):
    """Each node takes the backup's key, which runs the script's sender there and nothing else."""
    d, node = pair.dir, f"{pair.dir}/node"
    for key in ("host", "reseed.key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f"{d}/etc/{key}"], check=True)
    with open(f"{d}/etc/reseed.key.pub") as f:
        servers.write(f"{d}/etc/authorized", f'restrict,command="HACTL_RESEED_CONF={d}/etc/reseed.conf {SCRIPT} send" {f.read()}', 0o600)
    with open(f"{d}/etc/host.pub") as f:
        key = f.read()
    servers.write(f"{d}/etc/known_hosts", "".join(f"{net.ADDRESS[n]} {key}" for n in NODES))
    servers.write(f"{d}/sshd_config", f"HostKey {d}/etc/host\nPidFile none\nUsePAM no\nStrictModes no\n"
                  f"PermitRootLogin forced-commands-only\nPasswordAuthentication no\nAuthorizedKeysFile {d}/etc/authorized\n")
    settings = {"DATADIR": f"{node}/mysql", "OWNER": "root:root", "START": start_command(pair), "DEFAULTS": f"{node}/my.cnf",
                "STOP": f"mariadb-admin -u root -S {node}/mysql.sock shutdown && while [ -e {node}/mysql.pid ]; do sleep 0.05; done",
                "CLIENT": f"mariadb -u root -S {node}/mysql.sock", "BACKUP_OPTIONS": f"--user=root --socket={node}/mysql.sock",
                "REMOTE": remote or f"ssh -F /dev/null -o BatchMode=yes -i {d}/etc/reseed.key -o UserKnownHostsFile={d}/etc/known_hosts -l root",
                } | settings
    servers.write(f"{d}/etc/reseed.conf", "".join(f"{k}={shlex.quote(v)}\n" for k, v in settings.items()))
    os.makedirs("/run/sshd", exist_ok=True)
    pair.more["sshd"] = ("/usr/sbin/sshd", "-D", "-e", "-f", f"{d}/sshd_config")
    for name in NODES:
        pair.start(name, "sshd")
    wait_for(lambda: all(pair.listens(n, 22) for n in NODES), 10, "sshd listens")


def reseed(pair, **more):
    """The keys of a node that can be rebuilt."""
    if isinstance(pair.database, MariaDB):
        enable_ssh(pair, **more)
        return {"reseed": f"HACTL_RESEED_CONF={pair.dir}/etc/reseed.conf {SCRIPT}"}
    return {"reseed": "clone", "start": start_command(pair)}
