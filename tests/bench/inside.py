"""Works without sockets: programs that measure what they do themselves.

Each prints one line of JSON, or a reason why there is none: if anything was
not as it should be there is no figure.  The bounds of times are somewhat more
than twice what was measured when they were set, on one core of an AMD EPYC:
an encoding and 10,000 queues, at 120 ns each.  A slower machine stays within
them, a cost that grows with the square of the crowd does not.
"""
import json
import os
import statistics
import subprocess

from machine import Others

STORE_GOAL = 0.70  # of the rate of a bare SQLite loop
ROUNDS = 4  # of a bare loop and a store in one run: disks have moods
LATE_SECONDS = 60  # what one run may take beyond what it should


def short(value):
    return f"{value:.4g}" if value < 1000 else f"{value:.0f}"


class Figure:
    """A number of a work's line, and what it must reach."""

    def __init__(self, title, field, unit="", scale=1.0, most=None,
                 least=None, over=None, notes=()):
        self.title, self.field, self.unit, self.scale = (title, field, unit,
                                                         scale)
        self.most, self.least = most, least
        self.over = over  # the field that it is divided by
        self.notes = notes  # (field, text with a place for its value)

    def value(self, line):
        divisor = line[self.over] if self.over else self.scale
        return line[self.field] / divisor

    def goal(self):
        if self.most is not None:
            return f"at most {self.most:g}"
        return f"at least {self.least:g}" if self.least is not None else "-"

    def missed(self, value):
        return (self.most is not None and value > self.most) or (
            self.least is not None and value < self.least)


class Work:
    """A program, and the figures of its line."""

    def __init__(self, key, command, figures, seconds, pinned=True):
        self.key, self.command, self.figures = key, command, figures
        self.seconds = seconds  # that it should take
        self.pinned = pinned  # to one core
        self.lines = []

    def run(self, bench):
        words = [os.path.join(bench.bin, self.command[0])]
        words += [str(w) for w in self.command[1:]]
        others = Others()
        done = subprocess.run(
            words, capture_output=True, text=True,
            timeout=self.seconds + LATE_SECONDS,
            preexec_fn=lambda: self.pinned and os.sched_setaffinity(
                0, {bench.server_core}))
        if done.returncode != 0:
            raise RuntimeError(done.stderr.strip() or "it died")
        self.lines.append({**json.loads(done.stdout),
                           "others": others.share()})

    def rows(self):
        """A line of the table for each figure."""
        for figure in self.figures:
            values = [figure.value(line) for line in self.lines]
            if not values:
                continue
            median = statistics.median(values)
            span = f"{short(min(values))}-{short(max(values))}"
            notes = ", ".join(
                text.format(statistics.median(x[field] for x in self.lines))
                for field, text in figure.notes)
            yield (f"{figure.title:46} {short(median):>9} {figure.unit:3}"
                   f" {span:>15}  {figure.goal():14} {notes}").rstrip()

    def missed(self):
        for figure in self.figures:
            values = [figure.value(line) for line in self.lines]
            if values and figure.missed(statistics.median(values)):
                median = short(statistics.median(values))
                yield (f"{figure.title.strip()}: {median} {figure.unit}, "
                       f"{figure.goal()}")


def resume():
    def back(title, way, most, reads_most):
        notes = ((f"{way}_part_ns", "{:.0f} ns without the handshake"),
                 (f"{way}_bytes", "{:.0f} B out"))
        return [Figure(f"10,000 are back, {title}: each", f"{way}_ns", "us",
                       1000, most=most, notes=notes),
                Figure("  reads of the store, of all", f"{way}_reads",
                       most=reads_most)]

    return (back("by number, from the ring", "ring", 30, 0)
            + back("by session", "session", 25, 0)
            + back("durable room, in memory", "memory", None, None)
            + back("durable room, SQLite", "sqlite", None, None))


def presence():
    return [
        Figure("10,000 come at once: each", "arrive_ns", "us", 1000, most=10,
               notes=(("arrive_bytes", "{:.0f} B out"),)),
        Figure("10,000 are back within the grace: each", "again_ns", "us",
               1000, most=10, notes=(("again_bytes", "{:.0f} B out"),)),
        Figure("1 change, told to 10,000", "one_ns", "ms", 1e6, most=2.5,
               notes=(("one_bytes", "{:.0f} B out for each"),)),
        Figure("100 changes in a window, told to 10,000", "hundred_ns", "ms",
               1e6, most=3,
               notes=(("hundred_bytes", "{:.0f} B out for each"),)),
        Figure("  1 change: times a plain event to the same", "one_ns",
               over="plain_ns", most=1.6,
               notes=(("plain_ns", "which takes {:.0f} ns"),)),
        Figure("memory of a membership", "member_bytes", "B", most=512,
               notes=(("bare_member_bytes", "{:.0f} without presence"),)),
    ]


def store():
    return [
        Figure(f"durable, {n} in flight: rate by the bare loop's",
               f"ratio_{n}", least=STORE_GOAL,
               notes=((f"store_{n}", "{:.0f}/s"), (f"bare_{n}", "bare {:.0f}/s"),
                      (f"store_us_{n}", "{:.1f} us CPU"),
                      (f"bare_us_{n}", "bare {:.1f}")))
        for n in (1, 16, 128)]


def works(bench):
    appends = ["store_bench", "--json", bench.seconds / ROUNDS, ROUNDS,
               bench.bin]
    return [
        Work("resume", ["crowd", "resume"], resume(), 3),
        Work("presence", ["crowd", "presence"], presence(), 1),
        Work("store", appends, store(), 6 * bench.seconds, pinned=False),
    ]


def table(all_works):
    """All that was measured, and what else ran (share of one core)."""
    if not all_works:
        return
    print("\nCPU without sockets, and durable appends: medians, "
          "lowest and highest, goals")
    for work in all_works:
        for row in work.rows():
            print(row)
        if work.lines:
            others = statistics.median(x["others"] for x in work.lines)
            print(f"{work.key}: others {100 * others:.0f}%")
