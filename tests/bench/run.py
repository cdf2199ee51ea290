#!/usr/bin/env python3
"""Runs rill beside a bare epoll program and three peers: one table of it all.

The server has one core, the load generator another.  The figure that counts
is the server's CPU time per operation: unlike the rate it does not depend on
how busy the generator is, and little on what else runs.  Servers alternate,
so that a bad minute of the machine hits all of them; medians are compared.
Then come the works that need no sockets (inside.py).
"""
import argparse
import json
import os
import random
import resource
import signal
import socket
import statistics
import subprocess
import sys
import time

import inside
from machine import QUIET, Others

HERE = os.path.dirname(os.path.abspath(__file__))
MAX_MESSAGE = 2 * 1024 * 1024
GOAL = 0.90
SOCKETIO_GOAL = 20  # times the rate per core of npm's socket.io
IDLE_GOAL = 400  # bytes of user memory per idle connection
SOCKETIO_IDLE_GOAL = 2048
START_SECONDS = 10
LOAD_SECONDS = 180  # what one run may take beyond its measured time
IDLE_CONNS, QUICK_CONNS = 20000, 4000
IDLE_SECONDS = 0.0006  # that each of them takes
ALL = ["bare", "rill", "ws", "lws", "sio"]
WEBSOCKET = ["bare", "rill", "ws", "lws"]


class Row:
    """One line of the table: a work, and what of its result is compared."""

    def __init__(self, key, title, work, *args, judged=True, dialect="ws"):
        self.key, self.title, self.work = key, title, work
        self.args = args + ("--dialect", dialect)
        self.judged, self.dialect = judged, dialect
        self.mode = "fanout" if work == "fanout" else "echo"
        self.idle = work == "idle"
        self.field = "bytes_per_conn" if self.idle else "server_ns_per_op"
        self.unit = "B" if self.idle else "ns"
        self.servers = WEBSOCKET
        if dialect == "socketio":
            self.servers = ["rill", "sio"] + ["bare"] * (not self.idle)
        elif dialect == "sse":
            self.servers = ["bare", "rill"]

    def miss(self, results):
        """How it misses its goal, in words; None: it does not, or has none."""
        socketio = self.dialect == "socketio"
        note = "" if self.judged else " (no goal is set for it)"
        if self.idle:
            rill = results.median(self, "rill") or 0
            goal = SOCKETIO_IDLE_GOAL if socketio else IDLE_GOAL
            return f"{rill:.0f} B, more than {goal}" if rill > goal else None
        words = []
        peer, bare = results.ratio(self, "sio"), results.ratio(self, "bare")
        if socketio and peer:
            if peer >= SOCKETIO_GOAL:
                return None
            words.append(f"{peer:.1f} times sio")
            if bare:
                words.append(f"of which the bare program has {peer / bare:.1f}")
        elif bare and bare < GOAL:
            words.append(f"{100 * bare:.0f} % of the bare program{note}")
        return ", ".join(words)


def rows(idle_conns):
    many = ("--conns", 1000, "--size", 128)
    fan = ("fanout", "--text", *many)
    sio = {"dialect": "socketio"}
    sse = {"dialect": "sse", "judged": False}
    return [
        Row("e64x1", "echo 64 B, 1 in flight, 100 conns", "echo",
            "--conns", 100, "--depth", 1, "--size", 64),
        Row("e64x32", "echo 64 B, 32 in flight, 100 conns", "echo",
            "--conns", 100, "--depth", 32, "--size", 64),
        Row("e16k", "echo 16 KiB, 4 in flight, 50 conns", "echo",
            "--conns", 50, "--depth", 4, "--size", 16 * 1024),
        Row("e1m", "echo 1 MiB, 1 in flight, 8 conns", "echo",
            "--conns", 8, "--depth", 1, "--size", 1024 * 1024),
        Row("f1", "fan-out to 1,000, window 1", *fan, "--window", 1),
        Row("f32", "fan-out to 1,000, window 32", *fan, "--window", 32),
        Row("f16", "fan-out to 1,000, 16 publishers", *fan, "--pubs", 16),
        Row("churn", "connect + upgrade + echo + close", "churn",
            "--conns", 100, judged=False),
        Row("idle", f"idle connection, {idle_conns} held", "idle",
            "--conns", idle_conns, judged=False),
        Row("sio1", "Socket.IO to 1,000, window 1", "fanout", *many,
            "--window", 1, **sio),
        Row("sio32", "Socket.IO to 1,000, window 32", "fanout", *many,
            "--window", 32, **sio),
        Row("sioidle", f"idle Socket.IO, {idle_conns // 2} held", "idle",
            "--conns", idle_conns // 2, **sio),
        Row("sse1", "SSE to 1,000, window 1", "fanout", *many,
            "--window", 1, **sse),
        Row("sse32", "SSE to 1,000, window 32", "fanout", *many,
            "--window", 32, **sse),
    ]


class Bench:
    def __init__(self, options):
        self.bin = os.path.join(options.build, "tests", "bench")
        self.build = options.build
        cores = sorted(os.sched_getaffinity(0))
        self.server_core, self.load_core = cores[0], cores[-1]
        self.seconds = options.seconds
        self.pinned = len(cores) > 1

    def command(self, server, port, mode, dialect="ws"):
        if server == "bare":
            return [os.path.join(self.bin, "bare"), str(port),
                    mode if dialect == "ws" else dialect]
        if server == "lws":
            return [os.path.join(self.bin, "lws_peer"), str(port), mode]
        if server in ("ws", "sio"):
            script = os.path.join(HERE, f"{server}_peer.mjs")
            return ["node", script, str(port), mode]
        if dialect != "ws":
            return [os.path.join(self.bin, "sio_server"), str(port), mode]
        flags = ["--broadcast"] if mode == "fanout" else []
        return [os.path.join(self.build, "examples", "echo_server"),
                "--listen", f"tcp://127.0.0.1:{port}", "--max-message",
                str(MAX_MESSAGE), "--idle", "0"] + flags

    def available(self, server):
        if server in ("ws", "sio"):
            module = "ws" if server == "ws" else "socket.io"
            return os.path.isdir(os.path.join(HERE, "node_modules", module))
        return os.access(self.command(server, 1, "echo")[0], os.X_OK)

    def start(self, server, port, row):
        process = subprocess.Popen(
            self.command(server, port, row.mode, row.dialect),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            preexec_fn=lambda: os.sched_setaffinity(0, {self.server_core}))
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end and process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                time.sleep(0.2)
                return process
            except OSError:
                time.sleep(0.05)
        stop(process)
        raise RuntimeError(f"{server} does not listen")

    def load(self, server, pid, port, row):
        words = [os.path.join(self.bin, "load"), row.work, *map(str, row.args),
                 "--port", str(port), "--pid", str(pid), "--label", server,
                 "--seconds", str(self.seconds)]
        done = subprocess.run(
            words, capture_output=True, text=True,
            timeout=self.seconds + LOAD_SECONDS,
            preexec_fn=lambda: os.sched_setaffinity(0, {self.load_core}))
        if done.returncode != 0:
            raise RuntimeError(done.stderr.strip() or "the generator died")
        return json.loads(done.stdout)

    def run(self, server, row):
        """One run; its result, with what others took of the two cores."""
        port = free_port()
        process = self.start(server, port, row)
        try:
            others = Others(process.pid)
            result = self.load(server, process.pid, port, row)
            result["others"] = others.share()
        finally:
            stop(process)
        return result


def free_port():
    """Below the range of the ports that the kernel gives to clients."""
    while True:
        port = random.randrange(20000, 30000)
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


def stop(process):
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def short(value):
    for limit, unit in ((1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:.3g}{unit}"
    return f"{value:.3g}"


class Results:
    def __init__(self, servers, works):
        self.servers, self.works = servers, works
        self.runs = {}  # (row key, server) -> results
        self.failures = []

    def add(self, row, server, result):
        self.runs.setdefault((row.key, server), []).append(result)

    def values(self, row, server, field=None):
        return [r[field or row.field]
                for r in self.runs.get((row.key, server), [])]

    def median(self, row, server, field=None):
        values = self.values(row, server, field)
        return statistics.median(values) if values else None

    def ratio(self, row, server):
        """How often rill's cost fits into the other's."""
        rill, other = self.median(row, "rill"), self.median(row, server)
        return other / rill if rill and other else None

    def core_rate(self, row, server):
        """Operations per second of a server's core that does nothing else."""
        value = None if row.idle else self.median(row, server)
        return 1e9 / value if value else None

    def line(self, row):
        cells = [f"{row.title:36}"]
        for server in self.servers:
            value = self.median(row, server)
            cells.append(f"{value:9.0f} {row.unit:2}" if value is not None
                         else f"{'-':>9}   ")
        for server in self.servers:
            if server != "rill":
                ratio = self.ratio(row, server)
                cells.append(f"{ratio:9.2f}" if ratio else f"{'-':>9}")
        rates = [self.core_rate(row, s) for s in self.servers]
        cells += [f"{short(r):>8}" if r else f"{'-':>8}" for r in rates]
        return " ".join(cells)

    def table(self, table_rows):
        if not table_rows:
            return
        head = [f"{'':36}"] + [f"{s:>12}" for s in self.servers]
        head += [f"{s + '/rill':>9}" for s in self.servers if s != "rill"]
        head += [f"{s + '/s':>8}" for s in self.servers]
        print("\nServer CPU per operation (memory per idle connection), "
              "medians; ratios above 1: rill is cheaper; operations/s of "
              "one core")
        print(" ".join(head))
        for row in table_rows:
            print(self.line(row))

    def spread(self, table_rows):
        if not table_rows:
            return
        print("\nLowest and highest, and what else ran (share of one core)")
        for row in table_rows:
            cells = [f"{row.title:36}"]
            for server in self.servers:
                values = self.values(row, server)
                if values:
                    cells.append(f"{server} {min(values):.0f}-"
                                 f"{max(values):.0f} {row.unit}")
            others = [x for s in self.servers
                      for x in self.values(row, s, "others")]
            if others:
                cells.append(f"others {100 * statistics.median(others):.0f}%")
            print("  ".join(cells))

    def busy(self):
        """How many of the runs others have disturbed."""
        runs = [r for results in self.runs.values() for r in results]
        runs += [line for work in self.works for line in work.lines]
        return sum(r["others"] > QUIET for r in runs), len(runs)

    def missed(self, table_rows):
        """The rows that miss their goal, in words."""
        words = []
        for row in table_rows:
            miss = row.miss(self)
            if miss:
                words.append(f"{row.title}: {miss}")
        return words + [w for work in self.works for w in work.missed()]

    def save(self, path):
        runs = {f"{k[0]} {k[1]}": v for k, v in self.runs.items()}
        runs.update((work.key, work.lines) for work in self.works)
        with open(path, "w") as f:
            json.dump(runs, f, indent=1)


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default="build")
    parser.add_argument("--quick", action="store_true",
                        help="one run of one second each, fewer idle "
                             "connections: a smoke test")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--peer-repeat", type=int,
                        help="of ws, lws, sio; default half of --repeat")
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--rows", help="keys, with commas between")
    parser.add_argument("--servers", help="some of " + ",".join(ALL))
    parser.add_argument("--strict", action="store_true",
                        help="exit 1 if a row misses its goal")
    options = parser.parse_args()
    options.build = os.path.abspath(options.build)
    if options.quick:
        options.repeat, options.seconds = 1, 1
    if options.peer_repeat is None:
        options.peer_repeat = (options.repeat + 1) // 2
    return options


def repeats(server, row, options):
    if row.idle:
        return 1
    return (options.repeat if server in ("bare", "rill")
            else min(options.peer_repeat, options.repeat))


def expect(results, table_rows, options):
    """Says how long all of it will take; starting and stopping included."""
    runs = [(row, repeats(server, row, options)) for row in table_rows
            for server in results.servers if server in row.servers]
    seconds = sum(row.args[1] * IDLE_SECONDS if row.idle
                  else n * (options.seconds + 0.8) for row, n in runs)
    seconds += sum(options.repeat * work.seconds for work in results.works)
    print(f"{sum(n for _, n in runs)} runs of servers, and "
          f"{options.repeat * len(results.works)} without: about "
          f"{seconds / 60:.0f} min", flush=True)


def measure(bench, results, row, options):
    for i in range(options.repeat):
        for server in results.servers:
            if server not in row.servers or i >= repeats(server, row, options):
                continue
            try:
                results.add(row, server, bench.run(server, row))
            except (RuntimeError, OSError,
                    subprocess.TimeoutExpired) as error:
                results.failures.append(f"{row.title}, {server}: {error}")
    print(results.line(row), flush=True)


def measure_work(bench, results, work, options):
    for _ in range(options.repeat):
        try:
            work.run(bench)
        except (RuntimeError, OSError, subprocess.TimeoutExpired) as error:
            results.failures.append(f"{work.key}: {error}")
    for row in work.rows():
        print(row, flush=True)


def wanted_of(options, bench):
    """The rows, the servers and the works that are asked for and there."""
    asked = options.servers.split(",") if options.servers else ALL
    servers = [s for s in asked if bench.available(s)]
    for server in set(asked) - set(servers):
        print(f"{server}: not there, left out")
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    held = QUICK_CONNS if options.quick else IDLE_CONNS
    works = inside.works(bench) if "rill" in servers else []
    keys = options.rows.split(",") if options.rows else None
    return ([r for r in rows(min(held, limit - 100))
             if not keys or r.key in keys], servers,
            [w for w in works if not keys or w.key in keys])


def judge(results, table_rows):
    """Says what is short of its goal; returns whether anything is."""
    missed = results.missed(table_rows)
    if "rill" in results.servers:
        print("\nShort of the goals: "
              + ("; ".join(missed) if missed else "none"))
    disturbed, total = results.busy()
    if disturbed > total / 4:
        print(f"In {disturbed} of {total} runs others used more than "
              f"{100 * QUIET:.0f} % of a core: measure again on a quiet "
              "machine before judging")
    for failure in results.failures:
        print("FAILED", failure)
    return bool(missed)


def main():
    options = parse()
    bench = Bench(options)
    if not os.access(os.path.join(bench.bin, "load"), os.X_OK):
        sys.exit(f"no {bench.bin}/load")
    if not bench.pinned:
        print("one core only: server and generator share it")
    table_rows, servers, works = wanted_of(options, bench)
    results = Results(servers, works)
    expect(results, table_rows, options)
    for row in table_rows:
        measure(bench, results, row, options)
    for work in works:
        measure_work(bench, results, work, options)
    results.table(table_rows)
    inside.table(works)
    results.spread(table_rows)
    missed = judge(results, table_rows)
    results.save(os.path.join(bench.bin, "results.json"))
    return bool(results.failures or (options.strict and missed))


if __name__ == "__main__":
    sys.exit(main())
