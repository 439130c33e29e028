"""Questions and answers through the gate, to the microsecond.

    gate_echo.py serve NAME PORT                    answers each byte with its name, over TCP, both families
    gate_echo.py ask NAME=HOST:PORT...  asks without pause over established connections, until standard input closes;
                                                    a connection that is cut off is made anew
    gate_echo.py neighbours ADDRESS                 asks for the IPv6 address by Neighbor Solicitation, a hundred times a second

One line each on standard output, moments in seconds of CLOCK_BOOTTIME:
    ans NAME ASKED ARRIVED WHO          the answer to a question, as the kernel saw it arrive
    nd MOMENT MAC                       an advertisement, as the kernel saw it arrive
"""
import socket
import struct
import sys
import threading
import time

SO_TIMESTAMPNS = 35
PATIENCE = 0.15  # of a client that has had no answer, before it connects anew
stop = threading.Event()


def now():
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def say(line):
    sys.stdout.write(line + "\n")  # in one piece: several threads speak


def serve(name, port):
    server = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=64)

    def answer(c):
        with c:
            c.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while c.recv(1):
                c.sendall(name.encode())
    while True:
        threading.Thread(target=answer, args=(server.accept()[0],), daemon=True).start()


def ahead():
    """How far the time of day is ahead of now(): by the closest of many readings, because others may run between two."""
    def look():
        before, day, after = now(), time.time(), now()
        return after - before, day - (before + after) / 2
    return min(look() for _ in range(100))[1]


AHEAD = ahead()


def arrival(stamps):
    """When the kernel received it; this process may come to it later. The first packets after the asking for it carry no stamp."""
    if not stamps:
        return now()
    sec, ns = struct.unpack("qq", stamps[0][2])
    return sec + ns / 1e9 - AHEAD


def converse(name, s):
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    s.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    s.settimeout(PATIENCE)
    while not stop.is_set():
        asked = now()
        s.sendall(b"?")
        who, stamps, _, _ = s.recvmsg(2, 256)
        if len(who) != 2:
            return
        say(f"ans {name} {asked:.6f} {arrival(stamps):.6f} {who.decode()}")
        stop.wait(0.001)


def ask(name, host, port):
    while not stop.is_set():
        try:
            with socket.create_connection((host, port), timeout=PATIENCE) as s:
                converse(name, s)
        except OSError:
            stop.wait(0.005)


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def solicitation(mac, source, target):
    group = bytes.fromhex("ff0200000000000000000001ff") + target[13:]
    body = struct.pack("!BBHI", 135, 0, 0, 0) + target + b"\1\1" + mac
    body = body[:2] + struct.pack("!H", checksum(source + group + struct.pack("!II", len(body), 58) + body)) + body[4:]
    return b"\x33\x33" + group[12:] + mac + b"\x86\xdd" + struct.pack("!IHBB", 6 << 28, len(body), 58, 255) + source + group + body


def neighbours(address):
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x86dd))
    s.bind(("eth0", 0))
    s.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    mac, target = s.getsockname()[4], socket.inet_pton(socket.AF_INET6, address)
    frame, due = solicitation(mac, target[:8] + b"\0" * 7 + b"\x50", target), 0
    while not stop.is_set():
        if now() >= due:
            due = now() + 0.01
            s.send(frame)
        s.settimeout(max(due - now(), 0.001))
        try:
            f, stamps, _, _ = s.recvmsg(128, 256)
        except TimeoutError:
            continue
        if len(f) >= 78 and f[20] == 58 and f[54] == 136 and f[62:78] == target:
            say(f"nd {arrival(stamps):.6f} {f[6:12].hex(':')}")


def until_told(threads):
    sys.stdout.reconfigure(line_buffering=True)
    for t in threads:
        t.start()
    sys.stdin.read()
    stop.set()
    for t in threads:
        t.join()


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(sys.argv[2], int(sys.argv[3]))
    elif sys.argv[1] == "ask":
        targets = [a.split("=", 1) for a in sys.argv[2:]]
        until_told([threading.Thread(target=ask, args=(name, *where.rsplit(":", 1))) for name, where in targets])
    else:
        until_told([threading.Thread(target=neighbours, args=(sys.argv[2],))])
