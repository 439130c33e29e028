"""Random faults on a real pair, by seed; what must hold is looked at after each.

    chaos.py ROUNDS SEED [MariaDB|MySQL]       round i has the seed SEED + i and can be played alone: chaos.py 1 SEED+i
    chaos.py --broken RULE      with a hactl that lacks this safety rule (broken.c): it must be caught

A round: one fault or two at once, each for a while, while clients write through the virtual IP and the witness looks; then
everything is healed and the pair must be well again within a bound. It fails when two nodes answered for the address, or two
databases acknowledged writes through it in turns, or an acknowledged MySQL row is missing, or the pair does not come back. A
node that is quarantined for rows which nobody was told of is a known outcome: the pair is then raised anew.
"""
import collections
import contextlib
import heapq
import itertools
import math
import os
import random
import signal
import subprocess
import sys
import time

import flavour
import pair as lab
from measure import SamplerLog, WriterLog
from net import MAC, VIP
from pair import BUILD, NODES, OTHER, SERVER_ID, now, wait_for

WELL = 60         # seconds until the healed pair must be well
SATURATED = 20    # seconds after which a standby that only has to catch up is given peace for it: clients pause until it has
QUARANTINED = 3   # seconds for which quarantine must last to be one
FRESH = 20        # rounds on one pair: its tables grow
DATABASES = {d.name: d for d in (flavour.MariaDB, flavour.MySQL)}
NAME = {SERVER_ID[n]: n for n in NODES}
HOLDER = {MAC[n]: n for n in NODES}

Fault = collections.namedtuple("Fault", "kind where at seconds")


class Failed(Exception):
    """What must not be."""


# --- faults: each begins, and returns what ends it ---------------------------------------------------------------------------
class Faults:
    def __init__(self, pair):
        self.pair, self.rules, self.off, self.asked = pair, {}, set(), []
        self.number = itertools.count(1)

    def _signal(self, node, what, sig):
        if self.pair[node].alive(what):
            self.pair[node].signal(what, sig)

    def _restart(self, node, what):
        if node not in self.off and not self.pair[node].alive(what):
            self.pair.start_supervisor(node) if what == "hactl" else self.pair.start(node, what)

    def _switch(self, *rules):
        """Rules in the switch, for as long as they stand here."""
        key = next(self.number)
        self.rules[key] = rules
        self._apply()

        def end():
            del self.rules[key]
            self._apply()
        return end

    def _apply(self):
        self.pair.wire._nft("flush chain bridge lab cut\n" +
                            "".join(f"add rule bridge lab cut {r}\n" for rules in self.rules.values() for r in rules))

    def kill(self, node, what):
        self._signal(node, what, signal.SIGKILL)
        return lambda: self._restart(node, what)

    def stop(self, node, what):
        self._signal(node, what, signal.SIGSTOP)
        return lambda: self._signal(node, what, signal.SIGCONT)

    def power(self, node):
        if node in self.off:
            return None
        self.off.add(node)
        self.pair[node].power_off()

        def on():
            self.off.discard(node)
            self.pair.power_on(node)
        return on

    def freeze(self, node):
        self.pair[node].freeze()
        return self.pair[node].thaw

    def isolate(self, node):
        return self._switch(f'iifname "p-{node}" drop', f'oifname "p-{node}" drop')

    def between(self, node):
        return self._switch('iifname "p-n1" oifname "p-n2" drop', 'iifname "p-n2" oifname "p-n1" drop')

    def deaf(self, node):
        return self._switch(f'iifname "p-{OTHER[node]}" oifname "p-{node}" drop')

    def arbiter(self, node):
        return self._switch(*self._from_arbiter(node))

    def arbiters(self, node):
        return self._switch(*self._from_arbiter(node), *self._from_arbiter(OTHER[node]))

    @staticmethod
    def _from_arbiter(node):
        return f'iifname "p-{node}" oifname "p-arbiter" drop', f'iifname "p-arbiter" oifname "p-{node}" drop'

    def loss(self, node):
        return self._switch(f'iifname "p-{node}" numgen random mod 100 < 30 drop', f'oifname "p-{node}" numgen random mod 100 < 30 drop')

    def losses(self, node):
        return self._switch("numgen random mod 100 < 30 drop")

    def address(self, node):
        if node not in self.off:
            line = next((w for w in self.pair.addresses(node).split() if w.startswith(VIP)), f"{VIP}/32")
            self.pair[node].call("ip", "address", "del", line, "dev", "eth0", check=False)

    def ruleset(self, node):
        if node not in self.off:
            self.pair[node].call("nft", "flush", "ruleset", check=False)

    def switchover(self, node):
        if node not in self.off:
            p, at = self.pair, now()
            conf, here = f"{p.dir}/hactl.conf", f"{p.dir}/node"
            self.asked.append((at, p[node].spawn(f"switchover-{next(self.number)}", lab.HACTL, "-c", conf, "-n", node, "-s",
                                                 f"{here}/hactl.sock", "--state-dir", f"{here}/state", "switchover")))

    def heal(self):
        """Whatever was left: the ends of faults have run, but one may have undone another's."""
        self.rules.clear()
        self._apply()
        for node in NODES:
            self.pair[node].thaw()
            for what in (*lab.servers.ON_A_NODE, "hactl"):
                self._restart(node, what)
        self._signal("arbiter", "etcd", signal.SIGCONT)
        self._restart("arbiter", "etcd")


ONE = ("primary", "standby")
# name -> (on which node, begins); "-": the name says where
KINDS = {
    "power loss": (ONE, Faults.power),
    **{f"kill {what}": (ONE, lambda f, n, what=what: f.kill(n, what)) for what in ("mysql", "redis", "hactl")},
    **{f"stop {what}": (ONE, lambda f, n, what=what: f.stop(n, what)) for what in ("mysql", "redis", "hactl")},
    "freeze": (ONE, Faults.freeze),
    "isolate": (ONE, Faults.isolate),
    "cut between": (("-",), Faults.between),
    "deaf to the other": (ONE, Faults.deaf),
    "cut from arbiter": (ONE, Faults.arbiter),
    "both cut from arbiter": (("-",), Faults.arbiters),
    "stop etcd": (("-",), lambda f, n: f.stop("arbiter", "etcd")),
    "kill etcd": (("-",), lambda f, n: f.kill("arbiter", "etcd")),
    "loss 30 %": (ONE, Faults.loss),
    "loss 30 % everywhere": (("-",), Faults.losses),
    "address deleted": (("primary",), Faults.address),
    "nft flush": (ONE, Faults.ruleset),
    "switchover": (ONE, Faults.switchover),
}
# a node's database may stay open on the node's own address while nobody there can shut it: only the gate is judged then
MUTE = {"kill hactl", "stop hactl", "freeze", "stop mysql"}
PLANNED = {"switchover", "address deleted", "nft flush"}


def draw(seed):
    """The round's faults. Who is primary is not drawn: so a round means the same in whatever order rounds are played."""
    rnd = random.Random(seed)
    while True:
        faults = []
        for number, kind in enumerate(rnd.sample(list(KINDS), 1 if rnd.random() < 0.55 else 2)):
            seconds = math.exp(rnd.uniform(math.log(0.2), math.log(8)))
            faults.append(Fault(kind, rnd.choice(KINDS[kind][0]), rnd.uniform(0, 2) if number else 0.0, seconds))
        kinds = {f.kind for f in faults}
        if not ("nft flush" in kinds and kinds & MUTE):  # a gate that was removed while nobody is there to put it back is no gate
            return faults


def text(f):
    lasts = "" if f.kind in PLANNED else f" {f.seconds:.1f}s"
    return f.kind + ("" if f.where == "-" else f" {f.where}") + (f" @{f.at:.1f}s" if f.at else "") + lasts


# --- what must hold ----------------------------------------------------------------------------------------------------------
def once(names):
    return [k for k, _ in itertools.groupby(names)]


def within(some, all_of_them):
    rest = iter(all_of_them)
    return all(x in rest for x in some)


def gap(log, kind, since, until):
    """The longest time after the fault in which nobody was acknowledged, in ms."""
    times = [since] + [a.at for a in log.of(kind) if since < a.at < until]
    return max((e - b for b, e in zip(times, times[1:])), default=0.0) * 1000


class Stage:
    """One pair with its clients."""
    well, saturated, quarantined = WELL, SATURATED, QUARANTINED

    def __init__(self, prepare=lambda pair: None, threads=4, pause=0.004, **settings):
        """prepare: what is done to the pair before its supervisors start. threads, pause: how many write, and how long between two writes."""
        self.quieted = None  # since when the clients pause
        self.threads, self.lost = threads, 0  # lost: acknowledged MySQL rows, in the last round
        self.stack = contextlib.ExitStack()
        self.acked, self.rounds, self.gone = {"mysql": set(), "redis": set()}, 0, set()
        try:
            self.pair = lab.Pair(**settings)
            self.stack.callback(self.pair.close)
            prepare(self.pair)
            self.pair.supervise()
            self.sampler = self.stack.enter_context(self.pair.sampler())
            self.writer = self.stack.enter_context(self.pair.writer(threads=threads, pause=pause))
            self.faults = Faults(self.pair)
        except BaseException:
            self.stack.close()
            raise

    def close(self):
        self.stack.close()

    def keep(self, seed, story, folder="chaos-logs"):
        to = f"{BUILD}/{folder}/{seed}"
        self.pair.save_logs(to)
        with open(f"{to}/story.txt", "w") as f:
            f.write("\n".join(story) + "\n")
        return to

    def turn_the_page(self):
        """What was recorded before belongs to the round before."""
        for r, cls in ((self.writer, WriterLog), (self.sampler, SamplerLog)):
            rest = r.log().rest
            self.remember()
            r.record = cls()
            r.record.rest = rest
        self.writer.record.start = now()
        self.quieted = None

    def remember(self):
        for a in self.writer.record.acks:
            self.acked[a.kind].add(a.id)

    def acknowledged_by(self, node, bound=20):
        since = now()

        def seen():
            acks = [a for a in self.writer.log().acks if a.kind == "mysql" and a.sent > since]
            if len({a.thread for a in acks if a.server == SERVER_ID[node]}) < self.threads:
                raise RuntimeError(f"since then {len(acks)} acknowledged by {({a.server for a in acks})}")
            return True
        wait_for(seen, bound, f"all writers are acknowledged by {node}")

    def settle(self):
        """(primary, quarantined node or None) once the healed pair is well."""
        begun, since, seen = now(), None, {}
        try:
            while now() < begun + self.well:
                primary, quarantined, since = self.look(seen, since)
                if primary:
                    return primary, quarantined
                if now() > begun + self.saturated and self.catching_up(seen):
                    self.quieted = self.quieted or now()
                    self.writer.process.send_signal(signal.SIGSTOP)
                time.sleep(0.1)
        finally:
            self.writer.process.send_signal(signal.SIGCONT)
        raise Failed(f"not well within {self.well} s: " + "; ".join(
            f"{n} {seen[n]['role']} {seen[n]['failover']['blockers']}" for n in NODES))

    @staticmethod
    def catching_up(seen):
        """Nothing is in the way but what the standby has yet to receive and execute."""
        blockers = [b for n in NODES for b in seen[n]["failover"]["blockers"]]
        return {seen[n]["role"] for n in NODES} == {"primary", "standby"} and all("not in sync" in b for b in blockers)

    def look(self, seen, since):
        """(primary or None, quarantined or None, since when quarantine has lasted)"""
        for n in NODES:
            try:
                seen[n] = self.pair.status(n)
            except (RuntimeError, ValueError, subprocess.TimeoutExpired) as e:
                seen[n] = {"role": "mute", "exit": 1, "failover": {"blockers": [str(e)]}}
        roles = {seen[n]["role"]: n for n in NODES}
        if set(roles) == {"primary", "standby"} and not any(seen[n]["exit"] for n in NODES):
            return roles["primary"], None, None
        since = (since or now()) if set(roles) == {"primary", "quarantined"} else None
        if since and now() - since > self.quarantined:
            return roles["primary"], roles["quarantined"], since
        return None, None, since

    def serving(self):
        """(primary, quarantined node or None, since when well) once it serves its clients: what the last fault led to may come after a look at
        which all was well."""
        end = now() + self.well
        while True:
            primary, quarantined = self.settle()
            well = now()
            try:
                self.acknowledged_by(primary)
                return primary, quarantined, well
            except AssertionError:
                if now() > end or self.pair.role(primary) == "primary":
                    raise

    def promotions(self, first, since):
        """Who was primary, in order, by both journals."""
        told = sorted((e["mono_us"] / 1e6, n) for n in NODES for e in self.pair.events(n)
                      if e.get("kind") == "role" and e.get("to") == "primary")
        return once([first] + [n for at, n in told if at > since])

    def judge(self, faults, first, since, primary):
        """Raises Failed, or returns what there is to tell."""
        w, s = self.writer.log(), self.sampler.log()
        self.remember()
        present = {"mysql": self.pair.ids(primary), "redis": self.pair.redis_ids(primary)}
        lost = {kind: self.acked[kind] - present[kind] - self.gone for kind in present}
        self.gone |= lost["redis"]
        self.lost = len(lost["mysql"])
        reigns, bad, until = self.promotions(first, since), [], self.quieted or math.inf
        if lost["mysql"]:
            when = sorted((a.at - since, a.server) for a in w.of("mysql") if a.id in lost["mysql"])
            bad.append(f"{len(lost['mysql'])} acknowledged MySQL rows are not on {primary}; acknowledged (s after the fault, server): "
                       f"{[(round(t, 3), n) for t, n in when[:3] + when[-1:]]}")
        if s.two_answers():
            bad.append(f"two nodes answered {len(s.two_answers())} who-has requests")
        holders = once(HOLDER.get(mac, mac) for _, mac in s.holders())
        if not within(holders, reigns):
            bad.append(f"{holders} answered for the address in this order, but primary were {reigns}")
        writers = [NAME[i] for i in w.reigns()]
        if not within(writers, reigns):
            bad.append(f"{writers} acknowledged writes through the address in this order, but primary were {reigns}")
        open_twice = s.two_writable()
        if open_twice and not {f.kind for f in faults} & MUTE:
            bad.append(f"both databases were writable at {len(open_twice)} moments, first {open_twice[0][2] - since:.3f} s after the fault")
        if lost["redis"] and {f.kind for f in faults} == {"switchover"}:
            bad.append(f"{len(lost['redis'])} acknowledged Redis writes lost in a planned change")
        for node in (primary, OTHER[primary]):
            if (VIP in self.pair.addresses(node)) != (node == primary):
                bad.append(f"{primary} is primary, and on {node}'s interface is: {self.pair.addresses(node).split()[2:]}")
        if bad:
            raise Failed("; ".join(bad))
        return {"reigns": reigns, "gap": gap(w, "mysql", since, until), "redis gap": gap(w, "redis", since, until),
                "redis lost": len(lost["redis"]), "open twice": len(open_twice)}

    def play(self, faults, story):
        first, _ = self.settle()
        self.acknowledged_by(first)
        self.turn_the_page()
        start, queue, order = now(), [], itertools.count()
        tell = lambda what: story.append(f"{now():.6f} {now() - start:+8.3f} {what}")
        where = {"primary": first, "standby": OTHER[first], "-": first}
        for f in faults:
            heapq.heappush(queue, (start + f.at, next(order), f, None))
        while queue:
            at, _, f, end = heapq.heappop(queue)
            time.sleep(max(0, at - now()))
            if end:
                tell(f"ends:   {text(f)}")
                end()
                continue
            tell(f"begins: {text(f)} ({where[f.where]})")
            end = KINDS[f.kind][1](self.faults, where[f.where])
            if end:
                heapq.heappush(queue, (now() + f.seconds, next(order), f, end))
        self.faults.heal()
        tell("all is healed")
        healed = now()
        said = [p.wait(60) for _, p in self.faults.asked]  # a pair that has not begun yet looks well, too
        self.faults.asked.clear()
        primary, quarantined, well = self.serving()
        quieted = self.quieted
        tell(f"well: primary {primary}" + (f", quarantined {quarantined}" if quarantined else ""))
        well -= healed
        if quarantined and not self.pair.ids(quarantined) - self.pair.ids(primary):
            raise Failed(f"{quarantined} is quarantined, but {primary} has every row it has")
        told = self.judge(faults, first, start, primary)
        if said and len(faults) == 1 and said != [0]:
            raise Failed(f"a switchover of a healthy pair exits {said[0]}")
        return told | {"first": first, "quieted": quieted, "primary": primary, "quarantined": quarantined, "well": well, "switchover": said,
                       "start": start, "healed": healed}


def line(told):
    out = " -> ".join(told["reigns"]) if len(told["reigns"]) > 1 else f"{told['primary']} stays"
    if told["quarantined"]:
        out += f", {told['quarantined']} quarantined"
    if told["switchover"]:
        out += f", switchover exits {told['switchover'][0]}"
    out += f" | gap {told['gap']:.0f} ms, Redis {told['redis gap']:.0f} ms | well after {told['well']:.1f} s"
    if told["quieted"]:
        out += " | clients paused so that the standby could catch up"
    if told["redis lost"]:
        out += f" | Redis lost {told['redis lost']}"
    return out + (f" | {told['open twice']} x both open behind the gate" if told["open twice"] else "")


def figures(name, values):
    v = sorted(values)
    return f"{name:34} n={len(v):3}  min {v[0]:6.0f}  median {v[len(v) // 2]:6.0f}  p90 {v[len(v) * 9 // 10]:6.0f}  max {v[-1]:6.0f} ms"


def main(rounds, seed, database):
    stage, passed, failed, quarantined = None, 0, 0, 0
    gaps, redis = collections.defaultdict(list), collections.defaultdict(lambda: [0, 0])
    try:
        for number in range(seed, seed + rounds):
            faults, story = draw(number), []
            name = " + ".join(map(text, faults))
            try:
                stage = stage or Stage(database=database)
                told = stage.play(faults, story)
            except (Failed, AssertionError, RuntimeError, OSError, subprocess.SubprocessError, lab.pymysql.Error,
                    lab.redis.RedisError) as e:
                failed += 1
                print(f"seed {number}: {name} | FAILED: {e}", flush=True)
                if stage:
                    to = stage.keep(number, [f"{number}: {name}", *story, f"FAILED: {e}"])
                    print(f"    logs: {to}    replay: make chaos ROUNDS=1 SEED={number} DATABASE={database.name}", flush=True)
                    stage.close()
                    stage = None
                continue
            passed += 1
            stage.rounds += 1
            if "KEEP" in os.environ:  # the logs of rounds that passed, too
                stage.keep(number, [f"{number}: {name}", *story, line(told)])
            print(f"seed {number}: {name} | {line(told)}", flush=True)
            for kind in {f.kind + (" of " + f.where if f.where in ONE else "") for f in faults}:
                redis[kind][0] += 1
                redis[kind][1] += told["redis lost"]
                if len(faults) == 1:
                    gaps[kind].append(told["gap"])
            gaps["all"].append(told["gap"])
            quarantined += bool(told["quarantined"])
            if told["quarantined"] or stage.rounds == FRESH:
                stage.close()
                stage = None
    finally:
        if stage:
            stage.close()
    print("\nlongest time in which no MySQL write was acknowledged; rounds of one fault by kind, then all rounds")
    for kind in sorted(gaps, key=lambda k: (k == "all", k)):
        print("  " + figures(kind, gaps[kind]))
    for kind, (n, lost) in sorted(redis.items()):
        if lost:
            print(f"  Redis: {lost} acknowledged writes lost in {n} rounds with {kind}")
    print(f"  {quarantined} rounds ended with a node quarantined for rows that nobody was told of")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


# --- is the checker blind? ---------------------------------------------------------------------------------------------------
def caught(**settings):
    """The checker's complaint about a pair that must not pass: its primary's supervisor or whole machine stands still, the standby takes over,
    and what should have ended the old primary's reign by then has been taken away. None: it passed."""
    alone = (s for s in itertools.count(1) if [(f.kind, f.where) for f in draw(s)] in ([("stop hactl", "primary")], [("freeze", "primary")]))
    for seed in itertools.islice((s for s in alone if draw(s)[0].seconds > 2), 2):
        stage, story = Stage(**settings), []
        try:
            stage.play(draw(seed), story)
        except Failed as e:
            return f"seed {seed}: {' + '.join(map(text, draw(seed)))} | {e}"
        finally:
            stage.close()
    return None


def broken(what):
    os.environ["HACTL_BREAK"] = what
    complaint = caught()
    print(f"{what} taken away: {'caught: ' + complaint if complaint else 'NOT CAUGHT'}")
    return 0 if complaint else 1


if __name__ == "__main__":
    if sys.argv[1:2] == ["--broken"] and len(sys.argv) == 3:
        sys.exit(broken(sys.argv[2]))
    if len(sys.argv) not in (3, 4) or sys.argv[3:] not in ([], *([name] for name in DATABASES)):
        sys.exit(__doc__)
    if os.geteuid():
        sys.exit("the lab makes network namespaces: run it as root")
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2]), DATABASES[(sys.argv[3:] or ['MariaDB'])[0]]))
