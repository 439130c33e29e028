"""A failover before your eyes: `make demo`.

Raises a pair on this machine (network namespaces; nothing outside them is touched), writes through the virtual IP without pause,
pulls the plug on the primary, shows what happens with milliseconds, brings the old primary back, and switches back as planned.
Exit status 0 only when both changes worked and no acknowledged row was lost.
"""
import os
import shutil
import signal
import subprocess
import sys
import time

import net
from pair import BUILD, HACTL, NODES, SERVER_ID, Pair, now, wait_for

COLOUR = sys.stdout.isatty() and "NO_COLOR" not in os.environ
SHOWN = ("role", "change", "alert")  # kinds of journal lines that tell the story


def paint(code, text):
    return f"\033[{code}m{text}\033[0m" if COLOUR else text


def say(text=""):
    print(text, flush=True)


def chapter(text):
    say("\n" + paint("1", text))


def stamp(at, origin):
    return f"  {(at - origin) * 1000:+7.0f} ms  "


class Story:
    """Prints what one node's journal and the client saw, in order, as it comes."""

    def __init__(self, pair, writer, node):
        self.pair, self.writer, self.node = pair, writer, node
        self.seen = len(pair.events(node))
        self.origin = now()

    def tell(self, at, who, text, code="0"):
        say(stamp(at, self.origin) + paint(code, f"{who:7} {text}"))

    def follow(self, old, new, bound):
        """Until the new primary's database has acknowledged a write of every writer."""
        end, told_last, told_first = now() + bound, False, False
        while now() < end:
            events = self.pair.events(self.node)
            for e in events[self.seen:]:
                if e["kind"] in SHOWN:
                    self.tell(e["mono_us"] / 1e6, self.node, e["text"], "36")
            self.seen = len(events)
            acks = self.writer.log().of("mysql")
            before = [a for a in acks if a.server == SERVER_ID[old]]
            after = [a for a in acks if a.server == SERVER_ID[new] and a.sent > self.origin]
            if not told_last and before and now() - before[-1].at > 0.2:
                told_last = True
                self.tell(before[-1].at, "client", f"last write acknowledged by {old}", "33")
            if not told_first and after:
                told_first = True
                self.tell(after[0].at, "client", f"first write acknowledged by {new}", "32")
            if {a.thread for a in after} == {a.thread for a in acks}:
                return
            time.sleep(0.02)
        raise AssertionError(f"{new} did not take over within {bound} s")


def describe(pair):
    for name in NODES:
        s = pair.status(name)
        say(f"  {name:6} {net.ADDRESS[name]:11} {paint('1', s['role'].ljust(8))} "
            f"MariaDB {s['mysql']['local']['role']}, Redis {s['redis']['local']['role']}, nginx, web app, gRPC service")
    say(f"  client {net.ADDRESS['client']:11} writes through {net.VIP} with 4 connections and a time-out of 0.1 s; etcd is the arbiter")


def power_loss(pair, writer):
    story = Story(pair, writer, "n2")
    pair["n1"].power_off()
    story.tell(story.origin, "n1", "the plug is pulled", "31;1")
    story.follow("n1", "n2", 15)
    steps = wait_for(lambda: pair.status("n2")["last_change"]["steps"], 5, "n2 says what it did")
    say("  n2's steps: " + ", ".join(f"{s['name']} {s['ms']:.1f} ms" for s in steps))
    return story.origin


def come_back(pair):
    start = now()
    pair.power_on("n1")
    pair.wait_ready(bound=30, primary="n2")
    wait_for(lambda: pair.replicating("n1"), 10, "n1 replicates")
    say(f"  after {now() - start:.1f} s n1 replicates from n2 and a failover is possible again")


def switch_back(pair):
    origin = now()
    r = subprocess.run(pair["n2"].argv((HACTL, "switchback", "-c", f"{pair.dir}/hactl.conf", "-n", "n2",
                                        "-s", f"{pair.dir}/node/hactl.sock")),
                       stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
    for line in r.stdout.splitlines():
        say("  " + line)
    if r.returncode:
        raise AssertionError(f"hactl switchback exits {r.returncode}")
    pair.wait_ready(bound=20, primary="n1")
    return origin


def summary(rows):
    head = ("", "longest pause", "acknowledged", "lost")
    say("\n" + paint("1", f"  {head[0]:28}{head[1]:>15}{head[2]:>15}{head[3]:>8}"))
    for name, gap, acknowledged, lost in rows:
        say(f"  {name:28}{gap.seconds * 1000:12.0f} ms{acknowledged:15}{paint('31' if lost else '32', f'{lost:8}')}")


def demo(pair):
    pair.supervise()
    describe(pair)
    with pair.sampler() as sampler, pair.writer() as writer:
        wait_for(lambda: len(writer.log().of("mysql")) > 500, 20, "the client writes")

        chapter("n1 loses its power")
        lost_power = power_loss(pair, writer)

        chapter("n1 boots")
        come_back(pair)

        chapter("Planned switchback to n1: hactl switchback")
        switched = switch_back(pair)
        wait_for(lambda: (a := writer.log().of("mysql")[-1]).server == SERVER_ID["n1"] and a.at > switched + 1, 10, "writes on n1")
    log, witness = writer.stop(), sampler.stop()
    rows = pair.ids("n1")
    summary([(name, log.longest("mysql", since, until), sum(since <= a.at < until for a in log.of("mysql")),
              len({a.id for a in log.of("mysql") if since <= a.at < until} - rows))
             for name, since, until in (("power loss of the primary", lost_power, switched), ("planned switchback", switched, log.stop))])
    say()
    checks = ((not log.lost("mysql", rows), "every acknowledged row is on the primary"),
              (log.reigns() == ["1", "2", "1"], "writes were taken by n1, then n2, then n1, never by both"),
              (not witness.two_answers(), f"of {len(witness.arps)} ARP requests for {net.VIP} none was answered by both nodes"))
    for good, text in checks:
        say("  " + (paint("32", "yes") if good else paint("31", "NO ")) + "  " + text)
    return all(good for good, _ in checks)


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    if os.geteuid():
        sys.exit("make demo: run as root (it makes network namespaces)")
    started = time.monotonic()
    chapter("Two nodes on this machine, each in a network namespace of its own")
    pair = None
    try:
        pair = Pair()
        good = demo(pair)
    except (AssertionError, RuntimeError, OSError, subprocess.SubprocessError, KeyboardInterrupt) as e:
        good = False
        say("\n" + paint("31;1", f"  failed: {e}" if not isinstance(e, KeyboardInterrupt) else "  stopped"))
    finally:
        if pair:
            if not good:
                shutil.rmtree(f"{BUILD}/demo-logs", ignore_errors=True)
                pair.save_logs(f"{BUILD}/demo-logs")
            pair.close()
    if not good:
        say(f"  the logs of both nodes are in {BUILD}/demo-logs")
    say(f"\n  {time.monotonic() - started:.0f} s; everything is cleaned up.")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
