"""The configuration texts of the real servers and how each is started."""
import os

import net
from flavour import PASSWORD

REDIS = """bind 0.0.0.0
protected-mode no
port 6379
unixsocket {dir}/node/redis.sock
dir {dir}/node/redis
save ""
appendonly no
repl-diskless-sync-delay 0
# both files name the other: a restarted master boots as a replica
replicaof {peer} 6379
masteruser repl
masterauth {repl}
user default on nopass ~* &* +@all -@admin
user repl on >{repl} -@all +psync +replconf +ping
user hactl on >{hactl} -@all +info +role +ping +replicaof +failover +config|get +config|set +client|kill +client|pause +client|unpause +multi +exec +discard +wait +pubsub|numsub
"""

NGINX = """daemon off;
user root;
worker_processes 1;
pid {dir}/node/nginx/pid;
error_log stderr;
events {{ worker_connections 128; }}
http {{
    access_log off;
    client_body_temp_path {dir}/node/nginx/body; proxy_temp_path {dir}/node/nginx/proxy; fastcgi_temp_path {dir}/node/nginx/fastcgi;
    uwsgi_temp_path {dir}/node/nginx/uwsgi; scgi_temp_path {dir}/node/nginx/scgi;
    include {dir}/node/nginx/conf.d/*.conf;
    server {{ listen 80; location / {{ proxy_pass http://web_app_backend; }} }}
}}
"""

# the pair's published file, comments and all
UPSTREAM = """# HiFate-bazi: traffic to the web app
upstream web_app_backend {
    # Node1
    server 10.77.0.1:8001 max_fails=3 fail_timeout=30s weight=2;

    # Node2: used when Node1 is down
    server 10.77.0.2:8001 max_fails=3 fail_timeout=30s weight=1 backup;

    keepalive 32;
}
"""

HACTL = """cluster = "hifate";
nodes = (
  {{ name = "n1"; address = "10.77.0.1"; prefer = true; }},
  {{ name = "n2"; address = "10.77.0.2"; }}
);
heartbeat = {{ port = 7979; interval = "100ms"; key_file = "{dir}/etc/cluster.key"; {links} }};
authority = {{
  lease = "{lease}"; flap_window = "{flap_window}";
  enforce = "{enforce}";
  {authority};
}};
vips = ( {{ address = "{vip}/24"; interface = "eth0"; }} );
mysql = {{
  port = 3306; user = "hactl"; password_file = "{dir}/etc/mysql.pw";
  replication_user = "repl"; replication_password_file = "{dir}/etc/repl.pw"; max_freeze = "{max_freeze}";
  max_lag = "10s"; semi_sync = "auto";
}};
redis = {{ port = 6379; user = "hactl"; password_file = "{dir}/etc/redis.pw"; max_lag = "10s"; }};
probes = (
  {{ name = "web-app"; type = "http"; port = 8001; path = "/health"; interval = "250ms"; timeout = "1s"; fall = 3; rise = 2; }},
  {{ name = "bazi_core"; type = "grpc"; port = 9001; service = ""; interval = "500ms"; timeout = "1s"; fall = 3; rise = 2; }},
  {{ name = "nginx"; type = "tcp"; port = 80; interval = "500ms"; timeout = "1s"; fall = 3; rise = 2; }}
);
upstreams = (
  {{ name = "web_app_backend"; type = "nginx"; file = "{dir}/node/nginx/conf.d/HiFate-bazi.conf";
    policy = "active-backup"; probe = "web-app";
    servers = ( {{ node = "n1"; address = "10.77.0.1:8001"; weight = 2; }},
                {{ node = "n2"; address = "10.77.0.2:8001"; weight = 1; }} );
    test = "/usr/sbin/nginx -t -q -c {dir}/node/nginx/nginx.conf"; reload = "/usr/sbin/nginx -s reload -c {dir}/node/nginx/nginx.conf"; }}
);
http = {{ listen = "127.0.0.1:7980"; }};
"""


def write(path, text, mode=0o644):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w") as f:
        f.write(text)


ARBITER = 'arbiter = {{ endpoints = ( "http://10.77.0.9:2379" ); prefix = "/hactl/hifate"; timeout = "{arbiter_timeout}"; }}'


def write_node(m, flavour, number, peer):
    """Every server's files of one node."""
    d = m.wire.dir
    words = dict(dir=d, peer=net.ADDRESS[peer], **PASSWORD)
    os.makedirs(f"{m.dir}/tmp", exist_ok=True)
    write(f"{m.dir}/my.cnf", flavour.conf.format(here=flavour.here(d), id=number))
    write(f"{m.dir}/redis.conf", REDIS.format(**words))
    write(f"{m.dir}/nginx/nginx.conf", NGINX.format(**words))
    write(f"{m.dir}/nginx/conf.d/HiFate-bazi.conf", UPSTREAM)
    os.makedirs(f"{m.dir}/redis", exist_ok=True)
    os.makedirs(f"{m.dir}/state", exist_ok=True)


def write_shared(directory, **words):
    for name, user in (("mysql.pw", "hactl"), ("repl.pw", "repl"), ("redis.pw", "hactl")):
        write(f"{directory}/etc/{name}", PASSWORD[user] + "\n", 0o600)
    write(f"{directory}/etc/cluster.key", os.urandom(32).hex() + "\n", 0o600)
    words["authority"] = (words.get("authority") or ARBITER).format(dir=directory, **words)
    words["links"] = f'links = ( ("{net.SECOND["n1"]}", "{net.SECOND["n2"]}") );' if words.pop("second_link", False) else ""
    write(f"{directory}/hactl.conf", HACTL.format(dir=directory, vip=net.VIP, **words))


def change(path, pairs):
    with open(path) as f:
        text = f.read()
    for what, instead in pairs:
        assert text.count(what) == 1, f"{what!r} stands {text.count(what)} times in {path}"
        text = text.replace(what, instead)
    write(path, text)


HERE = os.path.dirname(os.path.abspath(__file__))

# name -> (command, runs in the container when there is one)
COMMANDS = {
    "redis": (("redis-server", "{dir}/node/redis.conf"), True),
    "nginx": (("nginx", "-e", "stderr", "-c", "{dir}/node/nginx/nginx.conf"), False),
    "web": (("/usr/bin/python3", HERE + "/webapp.py", "{name}"), False),
    "grpc": (("/usr/bin/python3", HERE + "/grpcapp.py"), False),
    "etcd": (("etcd", "--data-dir={dir}/node/etcd", "--unsafe-no-fsync", "--listen-client-urls=http://0.0.0.0:2379",
              "--advertise-client-urls=http://10.77.0.9:2379", "--listen-peer-urls=http://127.0.0.1:2380", "--log-level=warn",
              "--initial-advertise-peer-urls=http://127.0.0.1:2380", "--initial-cluster=default=http://127.0.0.1:2380",
              "--heartbeat-interval=30", "--election-timeout=300"), False),
}
ON_A_NODE = ("mysql", "redis", "web", "grpc", "nginx")


def start(m, what, flavour=None):
    if what == "mysql":
        return m.spawn(what, *flavour.command(m.wire.dir, f"--defaults-file={flavour.here(m.wire.dir)}/my.cnf"), boxed=True)
    command, boxed = COMMANDS[what]
    return m.spawn(what, *(a.format(dir=m.wire.dir, name=m.name) for a in command), boxed=boxed)
