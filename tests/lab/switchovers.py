"""Switchovers to and fro on a real pair under load: the longest pause of any writer in each, and the rows that were lost.

    switchovers.py ROUNDS [MariaDB|MySQL [TIMEOUT [THREADS]]]      TIMEOUT: the clients' own, in seconds (0.1); THREADS: that write (8)

A line a round, then how the pauses and the steps' times are distributed. Exits 1 when an acknowledged row is missing, two nodes
answered for the address at once. A switchover that was refused or taken back (a busy machine) is counted, and tried again.
"""
import collections
import contextlib
import datetime
import os
import re
import shutil
import signal
import sys
import time

import flavour
import pair as lab
from measure import SamplerLog, WriterLog
from pair import BUILD, OTHER, SERVER_ID, now, wait_for

DATABASES = {d.name: d for d in (flavour.MariaDB, flavour.MySQL)}
KINDS = ("mysql", "redis")


def acknowledged(writer, node, threads):
    """Every writer is acknowledged by that node from now on."""
    since = now()
    wait_for(lambda: len({a.thread for a in writer.log().acks if a.sent > since and (a.server == SERVER_ID[node] or a.kind == "redis")})
             > threads, 30, f"all writers are acknowledged by {node}")


def turn_the_page(recorder, cls):
    """What was recorded so far, taken out: the next round is looked at alone."""
    old = recorder.log()
    recorder.record = cls()
    recorder.record.rest, old.rest = old.rest, ""
    return old


def spread(name, values, unit="ms"):
    v = sorted(values)
    at = lambda part: v[min(len(v) - 1, int(len(v) * part))]
    return f"{name:28} n={len(v):3}  min {v[0]:7.1f}  median {at(0.5):7.1f}  p90 {at(0.9):7.1f}  max {v[-1]:7.1f} {unit}"


# Where the milliseconds of a pause go: marks in the two supervisors' logs, in the order in which they come; the node (of: 0 source, 1
# target) and the moment, which is the line's own or, for begin, the step's beginning.
MARKS = (
    ("frozen", 0, "step mysql freeze done"), ("reached", 0, "step mysql reach done"), ("address gone", 0, "step address del done"),
    ("Redis handed over", 0, "step redis handover done"), ("released", 0, "primary -> demoting"),
    ("term taken", 1, "standby -> promoting"), ("databases open", 1, "step (mysql|redis) promote done"),
    ("verified", 1, "step (mysql|redis) verify done"), ("gate open", 1, "step gate open done"),
)


def moments(log, since):
    """Lines of a supervisor's log with their moments on the recorders' clock, from `since` on."""
    ahead = time.time() - now()
    for line in log.splitlines():
        stamp = re.match(r"(\S+)Z ", line)
        at = stamp and datetime.datetime.fromisoformat(stamp[1] + "+00:00").timestamp() - ahead
        if at and at >= since - 0.002:
            yield at, line


def breakdown(logs, since, acks, target):
    """(what, ms it took after what came before) from the freeze's beginning to the last writer's first row on the target."""
    lines = [list(moments(log, since)) for log in logs]
    begun = [at - float(re.search(r"after ([\d.]+) ms", line)[1]) / 1000 for at, line in lines[0] if MARKS[0][2] in line]
    first = {}
    for a in acks:
        if a.server == target:
            first.setdefault(a.thread, a.at)
    if not begun or not first:
        return []
    out, before = [], begun[0]
    for what, node, pattern in MARKS:
        seen = [at for at, line in lines[node] if at >= begun[0] and re.search(pattern, line)]
        if seen:
            at = max(seen[:2]) if "|" in pattern else seen[0]
            out.append((what, (at - before) * 1000))
            before = at
    out.append(("first writer served", (min(first.values()) - before) * 1000))
    out.append(("last writer served", (max(first.values()) - min(first.values())) * 1000))
    return out


class Rounds:
    def __init__(self, pair, writer, sampler, threads):
        self.pair, self.writer, self.sampler, self.threads = pair, writer, sampler, threads
        self.pauses, self.steps = {k: [] for k in KINDS}, collections.defaultdict(list)
        self.parts = collections.defaultdict(list)
        self.acked, self.gone = {k: set() for k in KINDS}, {k: set() for k in KINDS}
        self.bad = self.refused = 0

    def lost(self, primary):
        """Acknowledged and not there, each told once."""
        present = {"mysql": self.pair.ids(primary), "redis": self.pair.redis_ids(primary)}
        lost = {k: self.acked[k] - present[k] - self.gone[k] for k in KINDS}
        for k in KINDS:
            self.gone[k] |= lost[k]
        return {k: len(lost[k]) for k in KINDS}

    def ready(self):
        """The primary. Writers that fill the machine keep a standby from catching up: they hold their breath then."""
        try:
            return self.pair.wait_ready(8)
        except AssertionError:
            self.writer.process.send_signal(signal.SIGSTOP)
        try:
            return self.pair.wait_ready(60)
        finally:
            self.writer.process.send_signal(signal.SIGCONT)

    def play(self, number):
        source = self.ready()
        target = OTHER[source]
        acknowledged(self.writer, source, self.threads)
        turn_the_page(self.sampler, SamplerLog)
        for a in turn_the_page(self.writer, WriterLog).acks:
            self.acked[a.kind].add(a.id)
        self.writer.record.start = since = now()
        r = self.pair.hactl(source, "switchover")
        if r.returncode:
            self.refused += 1
            print(f"{number:3} {source} -> {target}: {r.stderr.strip()}", flush=True)
            return
        acknowledged(self.writer, target, self.threads)
        w, s = self.writer.log(), self.sampler.log()
        for a in w.acks:
            self.acked[a.kind].add(a.id)
        pause = {k: w.longest(k, since=since).seconds * 1000 for k in KINDS}
        lost, twice = self.lost(target), len(s.two_answers())
        self.bad += bool(lost["mysql"] or lost["redis"] or twice or w.reigns() != [SERVER_ID[source], SERVER_ID[target]])
        for k in KINDS:
            self.pauses[k].append(pause[k])
        steps = re.findall(r"^  (\S.*?) +([\d.]+) ms", r.stdout, re.M)
        told = [e for e in self.pair.events(target) if e.get("kind") == "change"][-1:]
        steps += [(f"{step['name']} (there)", step["ms"]) for e in told for step in e["change"]["steps"]]
        logs = []
        for node in (source, target):
            with open(f"{self.pair[node].dir}/log/hactl.log", encoding="utf-8") as log:
                logs.append(log.read())
        for name, ms in breakdown(logs, since, w.of("mysql"), SERVER_ID[target]):
            self.parts[name].append(ms)
        for name, ms in steps:
            self.steps[name].append(float(ms))
        print(f"{number:3} {source} -> {target}  longest pause of a writer {pause['mysql']:6.1f} ms, Redis {pause['redis']:6.1f} ms; "
              f"lost {lost['mysql']}, Redis {lost['redis']}" + (f"; {twice} ARP requests answered twice" if twice else "")
              + ("  " + ", ".join(f"{n} {m}" for n, m in steps) if "STEPS" in os.environ else ""), flush=True)


def main(rounds, database, timeout, threads):
    with lab.Pair(database=database, max_freeze="1s") as p:
        p.supervise()
        with p.sampler() as s, p.writer(threads=threads, timeout=timeout) as w:
            r = Rounds(p, w, s, threads)
            try:
                for number in range(1, rounds + 1):
                    r.play(number)
            except BaseException:
                with contextlib.suppress(shutil.Error):
                    p.save_logs(f"{BUILD}/lab-logs/switchovers")
                raise
    print(f"\n{database.name}, {threads} writers with a time-out of {timeout} s")
    for k in KINDS:
        if r.pauses[k]:
            print("  " + spread(f"longest pause, {k}", r.pauses[k]))
    for name, values in r.steps.items():
        print("  " + spread(name, values))
    print("  where the time goes, each after the one before:")
    for name, values in r.parts.items():
        print("  " + spread(name, values))
    print(f"  lost: {len(r.gone['mysql'])} of {len(r.acked['mysql'])} acknowledged rows, "
          f"{len(r.gone['redis'])} of {len(r.acked['redis'])} in Redis; {r.bad} rounds bad, {r.refused} refused or taken back")
    return 1 if r.bad or not r.pauses["mysql"] else 0


if __name__ == "__main__":
    argv = sys.argv[1:] + [None] * 5
    if not (argv[0] or "").isdigit() or (argv[1] or "MariaDB") not in DATABASES or len(sys.argv) > 5:
        sys.exit(__doc__)
    if os.geteuid():
        sys.exit("the lab makes network namespaces: run it as root")
    sys.exit(main(int(argv[0]), DATABASES[argv[1] or "MariaDB"], float(argv[2] or 0.1), int(argv[3] or 8)))
