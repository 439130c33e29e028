"""The primary is killed, again and again, under eight writers; after each time the pair must be redundant again without a person.

    kills.py ROUNDS SEED [MariaDB|MySQL]        round i has the seed SEED + i and can be played alone: kills.py 1 SEED+i

A round: after a random while the primary's database is killed, or its supervisor with it, or its machine loses its power or stands still; what
was killed is started again as its unit or its machine would. Then every acknowledged row must be on the present primary, and within a
bound, under the same writers, the standby must be in sync and hold the same. Reseeding is automatic (mysql.reseed_automatic): a round says
whether the killed node followed by itself or was rebuilt. The rest is judged as chaos.py judges it: two holders, two writable.

A process that is killed, not a disk that loses what it had not written: a lost page cache is not played here.
"""
import collections
import math
import os
import random
import signal
import subprocess
import sys

import chaos
import janitor
import pair as lab
from chaos import DATABASES, Failed, Fault
from pair import NODES, OTHER, SERVER_ID, now, wait_for
from reseeding import configure, reseed

WRITERS, PAUSE = 8, 0.02  # at most 400 writes a second
REDUNDANT = 90            # seconds, from the moment at which all that was killed runs again, a reseed included
EQUAL = 60                # seconds in which the standby must hold the same once nobody writes
LONG = 1.6                # seconds: a pause above it is explained, from both journals
LINES = 12                # of the explanation; the rest is in the logs


def database(rnd):
    """The unit starts it again: MySQL's after 0.1 s, MariaDB's after 5 s."""
    return [Fault("kill mysql", "primary", 0.0, math.exp(rnd.uniform(math.log(0.1), math.log(5))))]


def both(rnd):
    faults = database(rnd) + [Fault("kill hactl", "primary", 0.0, 0.1)]
    rnd.shuffle(faults)
    return faults


def power(rnd):
    return [Fault("power loss", "primary", 0.0, rnd.uniform(0.5, 6))]


def frozen(rnd):
    return [Fault("freeze", "primary", 0.0, rnd.uniform(1.5, 6))]


KINDS = {"mysqld killed": database, "mysqld and hactl killed": both, "power lost": power, "machine frozen": frozen}


def draw(seed):
    """(kind, faults) of a round."""
    rnd = random.Random(f"kill {seed}")  # a number's neighbour draws the same kind
    kind = rnd.choice(list(KINDS))
    moment = rnd.uniform(0, 2)
    return kind, [f._replace(at=moment) for f in KINDS[kind](rnd)]


def prepare(pair):
    configure(pair, **reseed(pair), reseed_automatic="true")


class Stage(chaos.Stage):
    well, saturated, quarantined = REDUNDANT, math.inf, math.inf

    def __init__(self, database):
        super().__init__(prepare, WRITERS, PAUSE, database=database)

    def round(self, faults, story):
        for n in NODES:
            self.pair.adopt(n)
        told = self.play(faults, story)
        told["killed"] = told["start"] + faults[0].at
        told["how"] = self.how(told)
        told["pauses"] = self.pauses(told)  # before the next line makes one
        told["equal"] = self.equal(told["primary"])
        return told

    def pauses(self, told):
        """Times (from, to) in which nobody was acknowledged: the longest until the other node's first answer, and the longest after it (the
        killed one catches up, or takes the primary's data)."""
        acks = [a for a in self.writer.log().of("mysql") if a.at > told["killed"]]
        times = [told["killed"]] + [a.at for a in acks]
        gaps = list(zip(times, times[1:]))
        new = SERVER_ID[told["primary"]]
        moved = next((i for i, a in enumerate(acks) if a.server == new), 0) + 1 if told["how"] != "stayed" else len(gaps)
        return tuple(max(some, key=lambda g: g[1] - g[0], default=(told["killed"],) * 2) for some in (gaps[:moved], gaps[moved:]))

    def equal(self, primary):
        """Seconds until both hold the same rows once the clients hold their breath."""
        self.writer.process.send_signal(signal.SIGSTOP)
        try:
            janitor.wait_stopped(self.writer.process.pid)
            since, rows = now(), lambda n: self.pair.sql(n, "CHECKSUM TABLE lab.w", bound=EQUAL)[1]
            wait_for(lambda: rows(primary) == rows(OTHER[primary]), EQUAL, f"{OTHER[primary]} holds the same rows as {primary}")
            return now() - since
        finally:
            self.writer.process.send_signal(signal.SIGCONT)

    def how(self, told):
        """How the killed node came to stand by again."""
        if told["primary"] == told["first"]:
            return "stayed"
        replaced = [e for e in self.journal(told["start"], now()) if e["node"] == told["first"] and "are replaced by those of" in e["text"]]
        return "reseeded" if replaced else "followed"

    def journal(self, since, until):
        """What both nodes wrote down, in order."""
        return sorted((e for n in NODES for e in self.pair.events(n) if since <= e["mono_us"] / 1e6 <= until), key=lambda e: e["mono_us"])

    def explain(self, told):
        """What the journals say of each long pause, with the milliseconds since the kill."""
        long = [(b, e) for b, e in told["pauses"] if e - b > LONG]
        return [f"{e['mono_us'] / 1e3 - told['killed'] * 1e3:+9.0f} ms {e['node']} {e['kind']}: {e['text']}"
                for begin, end in long for e in self.journal(begin - 0.05, end + 0.3)]


def line(told):
    moved = " -> ".join(told["reigns"]) if len(told["reigns"]) > 1 else f"{told['primary']} stays"
    gap, later = ((e - b) * 1000 for b, e in told["pauses"])
    return (f"{moved} | gap {gap:.0f} ms, later {later:.0f} ms | redundant after {told['well']:.1f} s ({told['how']}), "
            f"{told['healed'] + told['well'] - told['killed']:.1f} s after the kill | equal after {told['equal']:.1f} s")


def figures(values, unit):
    v = sorted(values)
    return f"{v[len(v) // 2]:6.{unit}f} {v[len(v) * 9 // 10]:6.{unit}f} {v[-1]:6.{unit}f}"


def table(name, rounds):
    print(f"\n{name}: kills of the primary under {WRITERS} writers; each column: median, p90, max.\n"
          "gap: nobody was acknowledged until the other node answered; later: the same, afterwards; redundant: from the moment at which what\n"
          "was killed runs again until both nodes are well and in sync, under the same writers")
    print(f"{'':26} {'rounds':>6}   {'gap ms':22} {'later ms':22} {'redundant s':22} followed/reseeded/stayed")
    by = collections.defaultdict(list)
    for kind, told in rounds:
        by[kind].append(told)
        by["all"].append(told)
    for kind in sorted(by, key=lambda k: (k == "all", k)):
        some = by[kind]
        how = collections.Counter(t["how"] for t in some)
        gap, later = (figures([1000 * (t["pauses"][i][1] - t["pauses"][i][0]) for t in some], 0) for i in (0, 1))
        print(f"{kind:26} {len(some):6}   {gap:22} {later:22} {figures([t['well'] for t in some], 1):22} "
              f"{how['followed']}/{how['reseeded']}/{how['stayed']}")


def main(rounds, seed, database):
    stage, passed, failed, lost = None, [], 0, 0
    try:
        for number in range(seed, seed + rounds):
            (kind, faults), story = draw(number), []
            name = " + ".join(map(chaos.text, faults))
            try:
                stage = stage or Stage(database)
                told = stage.round(faults, story)
            except (Failed, AssertionError, RuntimeError, OSError, subprocess.SubprocessError, lab.pymysql.Error,
                    lab.redis.RedisError) as e:
                failed += 1
                print(f"seed {number}: {name} | FAILED: {e}", flush=True)
                if stage:
                    lost += stage.lost
                    to = stage.keep(f"{database.name}-{number}", [f"{number}: {name}", *story, f"FAILED: {e}"], "kills-logs")
                    print(f"    logs: {to}    replay: make kills ROUNDS=1 SEED={number} DATABASE={database.name}", flush=True)
                    stage.close()
                    stage = None
                continue
            passed.append((kind, told))
            print(f"seed {number}: {name} | {line(told)}", flush=True)
            why = stage.explain(told)
            for text in why[:LINES]:
                print(f"    {text}", flush=True)
            if why or "KEEP" in os.environ:
                stage.keep(f"{database.name}-{number}", [f"{number}: {name}", *story, line(told), *why], "kills-logs")
    finally:
        if stage:
            stage.close()
    if passed:
        table(database.name, passed)
    print(f"{lost} acknowledged rows lost; {len(passed)} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4) or sys.argv[3:] not in ([], *([name] for name in DATABASES)):
        sys.exit(__doc__)
    if os.geteuid():
        sys.exit("the lab makes network namespaces: run it as root")
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2]), DATABASES[(sys.argv[3:] or ['MariaDB'])[0]]))
