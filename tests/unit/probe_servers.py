#!/usr/bin/python3
"""Servers that are well, and servers that are ill in every way a probe must tell apart. Prints "NAME PORT" lines, then
"ready", and serves until standard input ends.   usage: probe_servers.py DIR (holds good.pem and good.key)"""
import http.server, os, random, socket, socketserver, ssl, struct, sys, threading
from concurrent.futures import ThreadPoolExecutor

import grpc


def bound(name, backlog=64):
    """a listening socket on a port below the ephemeral range, announced"""
    while True:
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("127.0.0.1", random.randrange(20000, 32000)))
            s.listen(backlog)
            break
        except OSError:
            s.close()
    print(name, s.getsockname()[1], flush=True)
    return s


def serve(name, handler):
    """handler(connection) in a thread each; closed when it returns"""
    s = bound(name)

    def one(c):
        try:
            handler(c)
        except OSError:
            pass
        finally:
            c.close()

    def accept():
        while True:
            c, _ = s.accept()
            threading.Thread(target=one, args=(c,), daemon=True).start()
    threading.Thread(target=accept, daemon=True).start()


# --- HTTP -------------------------------------------------------------------------------------------------------------

class Web(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *a): pass

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        for k, v in headers.items(): self.send_header(k, v)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        p = self.path
        if p == "/health": self.answer(200, b"fine")
        elif p == "/moved": self.answer(302, Location="/no-such-place")
        elif p.startswith("/status/"): self.answer(int(p[8:]))
        elif p == "/host": self.answer(200 if self.headers["Host"] == "app.example" else 421)
        elif p == "/big": self.answer(200, b"x" * (1 << 20))
        elif p == "/..//odd": self.answer(204)
        elif p == "/trickle":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
            while True:
                self.wfile.write(b"."); self.wfile.flush(); gone.wait(0.01)
        elif p == "/cut":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort"); self.close_connection = True
        else: self.answer(404)


class WebServer(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True

    def handle_error(self, *a): pass


def web(name, wrap=None):
    s = WebServer(("127.0.0.1", 0), Web, bind_and_activate=False)
    s.socket.close()
    s.socket = bound(name)
    if wrap: s.socket = wrap.wrap_socket(s.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=s.serve_forever, daemon=True).start()


# --- raw ill ones -------------------------------------------------------------------------------------------------------

def read_some(c): c.settimeout(30); return c.recv(4096)

def garbage(c): read_some(c); c.sendall(b"SSH-2.0-OpenSSH_9.2\x00\x07\x1b[31m\r\n"); c.shutdown(socket.SHUT_WR); read_some(c)
def closes(c): read_some(c)
def resets(c): read_some(c); c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
def silent(c): gone.wait(30)
def loading(c): read_some(c); c.sendall(b"-LOADING Redis is loading the dataset in memory\r\n" * 2); read_some(c)
def endless(c): read_some(c); c.sendall(b"+" + b"a" * 4000); read_some(c)
def drips(c):
    read_some(c)
    for b in b"+PON": c.sendall(bytes([b])); gone.wait(0.01)
    gone.wait(30)


# --- gRPC by the book ------------------------------------------------------------------------------------------------------

SERVING, NOT_SERVING = b"\x08\x01", b"\x08\x02"

def check(request, context):
    name = request[2:].decode()
    if name in ("", "core"): return SERVING
    if name == "ill": return NOT_SERVING
    if name == "half": return b"\x08"
    if name == "slow": gone.wait(30); return SERVING
    if name == "rude": context.abort(grpc.StatusCode.INTERNAL, "broken\x1b[31m\nline two é")
    context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")


def grpc_server(name, handlers, key=None):
    port = 0
    server = grpc.server(ThreadPoolExecutor(4), options=[("grpc.so_reuseport", 0)])
    if handlers:
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(
            "grpc.health.v1.Health", {"Check": grpc.unary_unary_rpc_method_handler(check)}),))
    while not port:
        where = "127.0.0.1:%d" % random.randrange(20000, 32000)
        try:
            port = server.add_secure_port(where, grpc.ssl_server_credentials([key])) if key else server.add_insecure_port(where)
        except RuntimeError: pass
    server.start()
    print(name, port, flush=True)
    return server


# --- gRPC against the book: HTTP/2 by hand -----------------------------------------------------------------------------------

DATA, HEADERS, SETTINGS, GOAWAY = 0, 1, 4, 7
END_STREAM, END_HEADERS = 1, 4

def frame(kind, flags, stream, payload=b""): return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload
def field(name, value): return b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value
def head(status=b"200", kind=b"application/grpc"): return frame(HEADERS, END_HEADERS, 1, field(b":status", status) + field(b"content-type", kind))
def data(payload, end=False): return frame(DATA, END_STREAM * end, 1, payload)
def trailers(*fields): return frame(HEADERS, END_HEADERS | END_STREAM, 1, b"".join(field(*f) for f in fields))

GOOD = b"\0\0\0\0\2\x08\1"
OK = trailers((b"grpc-status", b"0"))
tries = {}

def scene(name, n):
    return {
        "good": head() + data(GOOD) + OK,
        "truncated": head() + data(GOOD[:6]) + OK,
        "twice": head() + data(GOOD + GOOD) + OK,
        "compressed": head() + data(b"\1" + GOOD[1:]) + OK,
        "long": head() + data(b"x" * 5000) + OK,
        "no-status": head() + data(GOOD, end=True),
        "odd-status": head() + data(GOOD) + trailers((b"grpc-status", b"0x0")),
        "empty-status": head() + data(GOOD) + trailers((b"grpc-status", b"")),
        "http-503": head(b"503") + data(GOOD) + OK,
        "html": head(kind=b"text/html") + data(GOOD) + OK,
        "grpcish": head(kind=b"application/grpc-web") + data(GOOD) + OK,
        "proto": head(kind=b"application/grpc+proto") + data(GOOD) + OK,
        "control": head() + trailers((b"grpc-status", b"0"), (b"grpc-message", b"a\x1b[2Jb")),
        "message": head() + trailers((b"grpc-status", b"14"), (b"grpc-message", b"going\xc3\xa9 down")),
        # an aged connection: the first answer comes with a GOAWAY (libcurl 7.88 then loses the trailers), the second is well
        "aged": (b"" if n else frame(GOAWAY, 0, 0, struct.pack(">II", 1, 0))) + head() + data(GOOD) + OK,
        "reset": head() + data(GOOD) + OK if n else frame(3, 0, 1, struct.pack(">I", 2)),
    }.get(name, head() + trailers((b"grpc-status", b"12")))


def h2(c):
    c.settimeout(30)
    f = c.makefile("rb")
    f.read(24)
    c.sendall(frame(SETTINGS, 0, 0))
    while True:
        n, kind, flags, _ = struct.unpack(">IBBI", b"\0" + f.read(9))
        payload = f.read(n)
        if kind == SETTINGS and not flags & 1: c.sendall(frame(SETTINGS, 1, 0))
        if kind == DATA and flags & END_STREAM: break
    name = payload[7:].decode()
    n = tries.get(name, 0)
    tries[name] = n + 1
    c.sendall(scene(name, n))
    f.read()


if __name__ == "__main__":
    where, gone = sys.argv[1], threading.Event()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(where + "/good.pem", where + "/good.key")
    web("http"); web("https", tls)
    for f in (garbage, closes, resets, silent, loading, endless, drips): serve(f.__name__, f)
    serve("h2", h2)
    deaf = bound("deaf")                                   # listens, and nobody ever accepts
    full, crowd = bound("full", 0), [socket.socket() for _ in range(4)]   # ... and its queue is full: SYNs are dropped
    for c in crowd: c.setblocking(False); c.connect_ex(full.getsockname())
    keep = [grpc_server("grpc", True), grpc_server("bare", False),
            grpc_server("grpcs", True, (open(where + "/good.key", "rb").read(), open(where + "/good.pem", "rb").read()))]
    print("ready", flush=True)
    sys.stdin.read()
    os._exit(0)
