"""MariaDB and MySQL: where they differ, as far as the lab itself must know. Accounts have the privileges FACTS names and no more.

The app's account has no password: pymysql would want a library of its own for MySQL's caching_sha2_password without TLS.
"""
import contextlib
import fcntl
import hashlib
import os
import subprocess
import tempfile
import time

import pymysql

PASSWORD = {"hactl": "hactl-secret", "repl": "repl-secret"}

_COMMON_SQL = """
CREATE DATABASE lab;
CREATE TABLE lab.w (id BIGINT PRIMARY KEY, node INT NOT NULL) ENGINE=InnoDB;
CREATE USER hactl@'%' IDENTIFIED BY '{hactl}';
CREATE USER repl@'%' IDENTIFIED BY '{repl}';
GRANT REPLICATION SLAVE ON *.* TO repl@'%';
CREATE USER app@'%';
GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, LOCK TABLES ON lab.* TO app@'%';
""".format(**PASSWORD)

_COMMON_CONF = """[mysqld]
user=root
datadir={here}/mysql
socket={here}/mysql.sock
pid-file={here}/mysql.pid
# its own: a server that starts removes every #sql file in its tmpdir, other servers' too
tmpdir={here}/tmp
port=3306
bind-address=0.0.0.0
skip-name-resolve
server-id={id}
log-bin=bin
read-only=ON
max-connections=100
# small and quick: the lab ends processes, it never loses what the kernel holds
sync-binlog=0
innodb-flush-log-at-trx-commit=2
innodb-buffer-pool-size=16M
"""


def connect(socket, user="root", read_timeout=10, **more):
    return pymysql.connect(unix_socket=socket, user=user, password=PASSWORD.get(user, ""), autocommit=True, connect_timeout=5,
                           read_timeout=read_timeout, **more)


def _await(socket, process, bound=30):
    end = time.monotonic() + bound
    while True:
        try:
            return connect(socket)
        except pymysql.Error:
            if process.poll() is not None or time.monotonic() > end:
                raise
            time.sleep(0.02)


@contextlib.contextmanager
def one_at_a_time(build):
    """What is made once for all tests, though several processes run them."""
    os.makedirs(f"{build}/lab", exist_ok=True)
    with open(f"{build}/lab/lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


class MariaDB:
    name = "MariaDB"
    status, running = "SHOW SLAVE STATUS", ("Slave_IO_Running", "Slave_SQL_Running")
    stop_receiving = "STOP SLAVE IO_THREAD"
    forget = ("STOP SLAVE", "RESET SLAVE ALL")
    follow = ("CHANGE MASTER TO master_host='{host}', master_user='repl', master_password='{repl}', master_use_gtid=slave_pos, "
              "master_heartbeat_period=1, master_connect_retry=1, master_ssl=0", "START SLAVE")
    sql = _COMMON_SQL + """
GRANT SLAVE MONITOR, BINLOG MONITOR, REPLICATION SLAVE ADMIN, REPLICATION MASTER ADMIN, READ_ONLY ADMIN, CONNECTION ADMIN,
    BINLOG ADMIN, RELOAD, PROCESS, EVENT, SET USER ON *.* TO hactl@'%';
"""
    conf = _COMMON_CONF + """
binlog-format=ROW
log-slave-updates=ON
gtid-strict-mode=ON
# a reboot comes up harmless
skip-slave-start=ON
init-rpl-role=SLAVE
rpl-semi-sync-slave-enabled=ON
rpl-semi-sync-master-wait-point=AFTER_SYNC
innodb-log-file-size=8M
aria-pagecache-buffer-size=1M
performance-schema=OFF
"""

    def __init__(self, build):
        self.version = subprocess.run(["mariadbd", "--version"], capture_output=True, check=True, text=True).stdout

    def here(self, wire_dir):
        """How the server itself names its node's folder."""
        return f"{wire_dir}/node"

    def command(self, wire_dir, *args):
        return ("mariadbd", *args)

    def init(self, directory):
        subprocess.run(["mariadb-install-db", "--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db", "--force",
                        f"--datadir={directory}/mysql", "--user=root", "--innodb-log-file-size=8M"], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return ["mariadbd", "--no-defaults", "--user=root", f"--datadir={directory}/mysql", f"--socket={directory}/sock",
                "--skip-networking", "--innodb-log-file-size=8M", "--innodb-buffer-pool-size=16M"]


class MySQL:
    """The newest MySQL of Debian unstable, in a private root; the node's folder appears in it as /lab."""
    name = "MySQL"
    status, running = "SHOW REPLICA STATUS", ("Replica_IO_Running", "Replica_SQL_Running")
    stop_receiving = "STOP REPLICA IO_THREAD"
    forget = ("STOP REPLICA", "RESET REPLICA ALL")
    follow = ("CHANGE REPLICATION SOURCE TO source_host='{host}', source_user='repl', source_password='{repl}', source_auto_position=1, "
              "get_source_public_key=1, source_heartbeat_period=1, source_connect_retry=1, source_retry_count=86400", "START REPLICA")
    sql = _COMMON_SQL + """
GRANT REPLICATION CLIENT, REPLICATION_SLAVE_ADMIN, SYSTEM_VARIABLES_ADMIN, CONNECTION_ADMIN, RELOAD, PROCESS,
    BACKUP_ADMIN, CLONE_ADMIN, EVENT, SET_ANY_DEFINER ON *.* TO hactl@'%';
GRANT SELECT ON performance_schema.* TO hactl@'%';
"""
    conf = _COMMON_CONF + """
gtid-mode=ON
enforce-gtid-consistency=ON
super-read-only=ON
skip-replica-start=ON
plugin-load-add=semisync_source.so
plugin-load-add=semisync_replica.so
plugin-load-add=mysql_clone.so
rpl-semi-sync-replica-enabled=ON
mysqlx=OFF
secure-file-priv=NULL
innodb-redo-log-capacity=8M
"""

    def __init__(self, build):
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "mysql-root.sh")
        with one_at_a_time(build):
            self.root = subprocess.run([script, f"{build}/mysql-root"], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
        self.version = self.root + str(os.stat(f"{self.root}/usr/sbin/mysqld").st_mtime)
        os.makedirs(f"{self.root}/lab", exist_ok=True)

    def here(self, wire_dir):
        return "/lab"

    def _within(self, folder, *argv):
        return ("unshare", "--mount", "--propagation", "private", "sh", "-c", 'mount --bind "$1" "$2/lab" && shift && exec chroot "$@"',
                "sh", folder, self.root, *argv)

    def command(self, wire_dir, *args):
        return self._within(f"{wire_dir}/node", "/usr/sbin/mysqld", *args)

    def init(self, directory):
        base = ("--no-defaults", "--user=root", "--datadir=/lab/mysql", "--innodb-redo-log-capacity=8M", "--mysqlx=OFF",
                "--secure-file-priv=NULL")
        subprocess.run(self._within(directory, "/usr/sbin/mysqld", *base, "--initialize-insecure"), check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return self._within(directory, "/usr/sbin/mysqld", *base, "--socket=/lab/sock", "--skip-networking", "--disable-log-bin")


def template(flavour, build):
    """A data directory with the accounts, the lab's table and no binary log: made once for this server, kept under the build folder."""
    path = f"{build}/lab/{flavour.name}-{hashlib.sha256((flavour.version + flavour.sql).encode()).hexdigest()[:12]}"
    with one_at_a_time(build):
        if not os.path.isdir(path):
            _make(flavour, build, path)
    return path


def _make(flavour, build, path):
    with tempfile.TemporaryDirectory(dir=f"{build}/lab") as work:
        argv = flavour.init(work)
        with open(f"{work}/log", "w") as log:
            p = subprocess.Popen(argv, stdout=log, stderr=log)
        try:
            with _await(f"{work}/sock", p) as db, db.cursor() as c:
                for statement in filter(str.strip, flavour.sql.split(";")):
                    c.execute(statement)
        finally:
            p.terminate()
            p.wait()
        if os.path.exists(f"{work}/mysql/auto.cnf"):
            os.remove(f"{work}/mysql/auto.cnf")  # every copy makes a server_uuid of its own
        subprocess.run(["cp", "-a", "--sparse=always", f"{work}/mysql", f"{work}/sparse"], check=True)  # of MySQL's 96 MB 70 are nothing
        os.rename(f"{work}/sparse", path)
