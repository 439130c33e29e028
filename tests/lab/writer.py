"""Writes through the virtual IP without pause and records every acknowledgement; run in the client's namespace.

    writer.py HOST RUN THREADS REDIS_THREADS TIMEOUT PAUSE     until standard input closes

One line each on standard output, moments in seconds of CLOCK_BOOTTIME (the supervisor's clock):
    ack KIND THREAD ID SERVER SENT ACKNOWLEDGED          KIND mysql or redis, SERVER the database's own id ("-" for redis)
    err KIND THREAD ID MOMENT TEXT                       what happened to ID is unknown; it is never used again
    start MOMENT / stop MOMENT
"""
import sys
import threading
import time

import pymysql
import redis

HOST, RUN, TIMEOUT = sys.argv[1], int(sys.argv[2]), float(sys.argv[5])
PAUSE, RETRY = float(sys.argv[6]), 0.005  # seconds: between writes, and after a failure; two cores are shared with the servers
stop = threading.Event()


def now():
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def say(line):
    sys.stdout.write(line + "\n")


class Mysql:
    errors = (pymysql.Error, OSError)

    def __init__(self):
        self.db = pymysql.connect(host=HOST, user="app", autocommit=True, connect_timeout=TIMEOUT,
                                  read_timeout=TIMEOUT, write_timeout=TIMEOUT)
        try:
            self.cursor = self.db.cursor()
            self.cursor.execute("SELECT @@server_id")
            self.server = self.cursor.fetchone()[0]
        except BaseException:
            self.close()
            raise

    def write(self, number):
        self.cursor.execute(f"INSERT INTO lab.w VALUES ({number}, @@server_id)")

    def close(self):
        if self.db.open:
            self.db.close()


class Redis:
    errors = (redis.RedisError, OSError)
    server = "-"

    def __init__(self):
        self.db = redis.Redis(host=HOST, socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT,
                              single_connection_client=True)

    def write(self, number):
        self.db.sadd("lab:acked", number)

    def close(self):
        self.db.close()


def writer(cls, kind, thread):
    db, number = None, RUN << 40 | thread << 32
    while not stop.is_set():
        number += 1
        try:
            db = db or cls()
            sent = now()
            db.write(number)
            say(f"ack {kind} {thread} {number} {db.server} {sent:.6f} {now():.6f}")
            stop.wait(PAUSE)
        except cls.errors as e:
            say(f"err {kind} {thread} {number} {now():.6f} {e!r}")
            if db:
                db.close()
            db = None
            stop.wait(RETRY)
    if db:
        db.close()


sys.stdout.reconfigure(line_buffering=True)
say(f"start {now():.6f}")
threads = [threading.Thread(target=writer, args=(Mysql, "mysql", n)) for n in range(int(sys.argv[3]))]
threads += [threading.Thread(target=writer, args=(Redis, "redis", 100 + n)) for n in range(int(sys.argv[4]))]
for t in threads:
    t.start()
sys.stdin.read()
stop.set()
for t in threads:
    t.join()
say(f"stop {now():.6f}")
