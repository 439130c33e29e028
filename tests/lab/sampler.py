"""Asks, from the client's namespace and without pause, who answers for the virtual IP and which databases accept writes.

    sampler.py VIP NAME=ADDRESS...      until standard input closes

One line each on standard output, moments in seconds of CLOCK_BOOTTIME:
    arp MOMENT REQUEST MAC SENT         an answer to the who-has with that number, which was asked at SENT
    rw FROM TO NAME yes|no|?            @@read_only read on that node's own address between two moments; ? unknown

Each who-has comes from another sender address, which the answer repeats: two answers to one number are two holders at once.
"""
import socket
import struct
import sys
import threading
import time

import pymysql

VIP, NODES = sys.argv[1], dict(a.split("=") for a in sys.argv[2:])
EVERY, TIMEOUT, SENDERS = 0.01, 0.2, 96
stop = threading.Event()


def now():
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def say(line):
    sys.stdout.write(line + "\n")


def sender(number):
    """10.77.0.128 to .223: no machine of the lab has one of these"""
    return socket.inet_aton(VIP)[:3] + bytes([128 + number % SENDERS])


def arp():
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806))
    s.bind(("eth0", 0))
    s.settimeout(EVERY)
    mac, vip = s.getsockname()[4], socket.inet_aton(VIP)
    number, numbers, due = 0, {}, now()
    while not stop.is_set():
        if now() >= due:
            number, due = number + 1, now() + EVERY
            numbers[sender(number)] = number, now()
            s.send(b"\xff" * 6 + mac + b"\x08\x06" + struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + mac + sender(number) + b"\0" * 6 + vip)
        s.settimeout(max(due - now(), 0.001))
        try:
            f = s.recv(64)
        except TimeoutError:
            continue
        if f[20:22] == b"\0\2" and f[28:32] == vip and f[38:42] in numbers:
            asked, sent = numbers[f[38:42]]
            say(f"arp {now():.6f} {asked} {f[22:28].hex(':')} {sent:.6f}")


def writable(name, address):
    db = None
    while not stop.is_set():
        start = now()
        try:
            db = db or pymysql.connect(host=address, user="app", autocommit=True, connect_timeout=TIMEOUT,
                                       read_timeout=TIMEOUT, write_timeout=TIMEOUT)
            with db.cursor() as c:
                c.execute("SELECT @@read_only")
                state = "no" if c.fetchone()[0] else "yes"
        except (pymysql.Error, OSError):
            if db and db.open:
                db.close()
            db, state = None, "?"
        say(f"rw {start:.6f} {now():.6f} {name} {state}")
        stop.wait(EVERY)


sys.stdout.reconfigure(line_buffering=True)
threads = [threading.Thread(target=arp)] + [threading.Thread(target=writable, args=i) for i in NODES.items()]
for t in threads:
    t.start()
sys.stdin.read()
stop.set()
for t in threads:
    t.join()
