"""What the writer and the sampler recorded, judged. Pure: text in, facts out."""
import bisect
from collections import defaultdict, namedtuple

Ack = namedtuple("Ack", "kind thread id server sent at")
Gap = namedtuple("Gap", "seconds begin end")
Arp = namedtuple("Arp", "at number mac sent")


class Log:
    """Lines as they come; a part of a line waits for its rest."""

    def __init__(self, text=""):
        self.rest = ""
        self.feed(text)

    def feed(self, text):
        *lines, self.rest = (self.rest + text).split("\n")
        for line in lines:
            self.line(line.split())
        return self


class WriterLog(Log):
    def __init__(self, text=""):
        self.acks, self.errors, self.start, self.stop = [], [], None, None
        super().__init__(text)

    def line(self, w):
        if w[0] == "ack":
            self.acks.append(Ack(w[1], int(w[2]), int(w[3]), w[4], float(w[5]), float(w[6])))
        elif w[0] == "err":
            self.errors.append((w[1], float(w[4]), " ".join(w[5:])))
        elif w[0] in ("start", "stop"):
            setattr(self, w[0], float(w[1]))
        else:
            raise AssertionError(f"the writer says: {' '.join(w)}")

    def of(self, kind):
        return sorted((a for a in self.acks if a.kind == kind), key=lambda a: a.at)

    def gaps(self, kind):
        """Each writer's pauses between two acknowledgements, its start and its stop included."""
        by = defaultdict(lambda: [self.start])
        for a in self.of(kind):
            by[a.thread].append(a.at)
        for times in by.values():
            if self.stop:
                times.append(self.stop)
            for b, e in zip(times, times[1:]):
                yield Gap(e - b, b, e)

    def longest(self, kind, since=None, until=None):
        """The longest pause any one writer suffered that touches [since, until]."""
        return max((g for g in self.gaps(kind) if (since is None or g.end > since) and (until is None or g.begin < until)),
                   default=Gap(0.0, None, None))

    def common_gap(self, kind, since):
        """The longest time since then in which nobody at all was acknowledged."""
        times = [a.at for a in self.of(kind) if a.at >= since - 1] + ([self.stop] if self.stop else [])
        return max((e - b for b, e in zip(times, times[1:]) if e > since), default=0.0)

    def lost(self, kind, present):
        return sorted({a.id for a in self.acks if a.kind == kind} - set(present))

    def reigns(self):
        """Database servers in the order in which they acknowledged. An answer of the reign before that was asked for before the
        present one's first answer is late, not a reign; so ["1", "2", "1"] without a way back in between is two at once."""
        out, begun = [], 0.0
        for a in self.of("mysql"):
            if not out or (a.server != out[-1] and not (len(out) > 1 and a.server == out[-2] and a.sent < begun)):
                out.append(a.server)
                begun = a.at
        return out


class SamplerLog(Log):
    def __init__(self, text=""):
        self.arps, self.rw = [], defaultdict(list)
        super().__init__(text)

    def line(self, w):
        if w[0] == "arp":
            self.arps.append(Arp(float(w[1]), int(w[2]), w[3], float(w[4])))
        elif w[0] == "rw":
            self.rw[w[3]].append((float(w[1]), float(w[2]), w[4]))
        else:
            raise AssertionError(f"the witness says: {' '.join(w)}")

    def two_answers(self):
        """Who-has requests that two machines answered."""
        by = defaultdict(set)
        for a in self.arps:
            by[a.number].add(a.mac)
        return [n for n, macs in by.items() if len(macs) > 1]

    def holders(self):
        """(moment, MAC) each time another machine began to answer."""
        out = []
        for a in sorted(self.arps):
            if not out or out[-1][1] != a.mac:
                out.append((a.at, a.mac))
        return out

    def two_writable(self):
        """[(a, b, moment)]: between two readings of a, both "yes" and none between, b was read "yes" from begin to end."""
        bad = []
        for a, samples in self.rw.items():
            for b in self.rw.keys() - {a}:
                yes = [(s, e) for s, e, v in self.rw[b] if v == "yes"]
                for (_, end, v), (start, _, w) in zip(samples, samples[1:]):
                    i = bisect.bisect(yes, (end,))
                    if v == w == "yes" and i < len(yes) and yes[i][1] < start:
                        bad.append((a, b, end))
        return bad

    def writable_now(self):
        return {name: samples[-1][2] for name, samples in self.rw.items() if samples}
