"""Runs the rows: every client in turn, as often as asked, and takes the medians."""

import contextlib
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import time

import giving
import payload as payloads
from clients import CLIENTS, Job, Start
from measure import MIB, MemoryGroup, Process, sleeps, touch_memory
from seeder import Seeder

GIB_MIB = 1024
TIMEOUT_S = 180


class Failed(Exception):
    """A run whose figures do not count."""


class Bench:
    def __init__(self, work, release, names, arguments):
        self.work = work
        self.release = release
        self.names = names
        self.arguments = arguments
        self.address = arguments.address
        self.tracker = (self.address, self.free_port())

    def row(self, row):
        entries = [entry for entry in row.entries if entry[1] in self.names]
        runs = 1 if self.arguments.quick or row.extra.get("once") or row.kind == "binary" else self.arguments.runs
        size_mib = self.size_mib(row)
        result = {"key": row.key, "title": row.title, "size_mib": size_mib, "runs": runs}
        result |= {"entries": [label for label, _, _ in entries], "failures": {}}
        all_figures = {label: [] for label, _, _ in entries}
        measure = {"download": self.download, "watch": self.watch, "calls": self.calls, "binary": self.binary}
        measure |= {"send": self.send, "swarm": self.swarm}
        with self.payload(row, size_mib) as payload:
            for _ in range(runs):
                for label, client, options in entries:
                    if sys.stderr.isatty():
                        print(f"{row.key}: {label} ...", end="\x1b[K\r", file=sys.stderr, flush=True)
                    try:
                        figures = measure[row.kind](row, payload, label, client, options)
                        all_figures[label].append(figures)
                    except (Failed, OSError, RuntimeError, subprocess.SubprocessError) as error:
                        result["failures"].setdefault(label, []).append(str(error))
        result["figures"] = all_figures
        result["medians"] = {label: medians(figures) for label, figures in all_figures.items() if figures}
        result["bars"] = [judge(bar, result["medians"], result["failures"]) for bar in row.bars]
        return result

    def seeder(self, payload, row):
        """A seeder with its tracker."""
        address, port = self.tracker
        place = ["--address", address, "--tracker-port", port, "--spread", "--lenient"]
        return Seeder(self.release, payload, *place, *row.seeder)

    def size_mib(self, row):
        if row.kind in ("watch", "binary"):
            return row.size
        return self.arguments.size or (row.size // 8 if self.arguments.quick else row.size)

    @contextlib.contextmanager
    def payload(self, row, size_mib):
        if row.kind == "binary":
            yield None
            return
        files = row.extra.get("files", 1)
        announce = "http://{}:{}/announce".format(*self.tracker)
        size, piece_bytes, sparse = int(size_mib * MIB), row.piece_kib << 10, row.extra.get("sparse", False)
        payload = payloads.Payload(self.work, row.key, size, piece_bytes, announce, files, sparse)
        try:
            yield payload
        finally:
            payload.remove()

    @contextlib.contextmanager
    def place(self, row, payload):
        """A new folder, and the loop device that it is on, if the row asks for one."""
        scratch = os.path.join(self.work, "scratch")
        os.mkdir(scratch)
        try:
            if not row.extra.get("loop"):
                folder = os.path.join(self.work, "output")
                os.mkdir(folder)
                try:
                    yield scratch, folder, None
                finally:
                    shutil.rmtree(folder)
            elif payloads.can_mount():
                with payloads.loop(self.work, payload.size) as loop:
                    folder = os.path.join(loop.mount, "output")
                    os.mkdir(folder)
                    yield scratch, folder, loop
            else:
                raise Failed("a new file system needs root, loop devices and mkfs.ext4")
        finally:
            shutil.rmtree(scratch)

    def start(self, job, client):
        return CLIENTS[client](job, self.release)

    def download(self, row, payload, label, client, options):
        timeout = row.extra.get("timeout", TIMEOUT_S)
        limit_mib = row.extra.get("groups", {}).get(label)
        with contextlib.ExitStack() as stack:
            scratch, folder, loop = stack.enter_context(self.place(row, payload))
            group = None
            if limit_mib:
                group = MemoryGroup(limit_mib)
                stack.callback(group.remove)
            with self.seeder(payload, row) as seeder:
                start = self.start(Job(payload, folder, scratch, (self.address, self.free_port()), seeder, options), client)
                figures, started_at = self.run(payload, start, scratch, loop, row, group, timeout)
            if client != "bare-null" and not payload.same_as(folder):
                raise Failed("what it downloaded is not what was sent")
        size_mib = payload.size / MIB
        figures["cpu_per_gib"] = figures["cpu_s"] * GIB_MIB / size_mib
        figures["sent_ratio"] = seeder.done["sent_bytes"] / payload.size
        from_first = started_at + figures["wall_s"] - seeder.done["first_block_at"]
        figures["fetch_s"] = from_first
        if client == "bare-null":
            figures["gib_per_s"] = size_mib / GIB_MIB / figures["wall_s"]
        if ideal := row.extra.get("ideal_mib_per_s"):
            figures["over_ideal"] = from_first / (size_mib / ideal)
        return figures

    def run(self, payload, start, scratch, loop, row, group, timeout):
        """Figures, and the time of the start."""
        touch_memory(2 * payload.size if loop else payload.size)
        every = self.syncer(loop, row.extra.get("sync"))
        before = loop.written_bytes() if loop else 0
        with open(os.path.join(scratch, "log"), "w+b") as log:
            process = Process(start, log, group)
            try:
                done = process.wait(timeout, every)
            finally:
                process.stop()
            if not done:
                raise Failed(f"not done after {timeout} s")
            if process.code != 0 and not process.mark:
                raise Failed(f"exit code {process.code}: {last_line(log)}")
        figures = process.figures()
        if row.extra.get("sync"):
            loop.sync()
            figures["written_ratio"] = (loop.written_bytes() - before) / payload.size
        return figures, process.started_at

    def syncer(self, loop, interval):
        """Writes back what is dirty, as the kernel does it in a download that takes longer."""
        last = time.monotonic()

        def every():
            nonlocal last
            if interval and time.monotonic() - last >= interval:
                last = time.monotonic()
                loop.sync()

        return every

    def watch(self, row, payload, _label, client, options):
        """Lets it run without an end, and looks at its memory and how often it wakes."""
        settle, seconds = row.extra["settle"], row.extra["seconds"] // (4 if self.arguments.quick else 1)
        with contextlib.ExitStack() as stack:
            scratch, folder, _loop = stack.enter_context(self.place(row, payload))
            seeder = stack.enter_context(self.seeder(payload, row))
            start = self.start(Job(payload, folder, scratch, (self.address, self.free_port()), seeder, options), client)
            log = stack.enter_context(open(os.path.join(scratch, "log"), "w+b"))
            process = Process(start, log)
            try:
                ended = process.wait(settle)
                before, since = sleeps(process.pid), time.monotonic()
                ended = ended or process.wait(seconds)
                connected = connections(process.pid, seeder.peers)
                wakes = (sleeps(process.pid) - before) / (time.monotonic() - since)
            finally:
                process.stop()
            if ended:
                raise Failed(f"ended with {process.code}: {last_line(log)}")
            if connected < len(seeder.peers) * 0.9:
                raise Failed(f"only {connected} of {len(seeder.peers)} peers connected")
        figures = process.figures()
        del figures["wall_s"]
        return figures | {"wakes_per_s": wakes, "connected": connected}

    def calls(self, row, payload, _label, client, options):
        """Counts system calls with perf, which hardly disturbs, or else with strace."""
        with contextlib.ExitStack() as stack:
            scratch, folder, _loop = stack.enter_context(self.place(row, payload))
            seeder = stack.enter_context(self.seeder(payload, row))
            job = Job(payload, folder, scratch, (self.address, self.free_port()), seeder, options)
            start = self.start(job, client)
            counts = os.path.join(scratch, "counts")
            start.command = [*counter(counts), *start.command]
            log = stack.enter_context(open(os.path.join(scratch, "log"), "w+b"))
            process = Process(start, log)
            try:
                if not process.wait(TIMEOUT_S):
                    raise Failed(f"not done after {TIMEOUT_S} s")
            finally:
                process.stop()
            if not payload.same_as(folder):
                raise Failed(f"what it downloaded is not what was sent: {last_line(log)}")
            with open(counts) as file:
                return {"calls_per_mib": count(file.read()) / (payload.size / MIB)}

    def binary(self, _row, _payload, _label, _client, _options):
        # As `scripts/cross` builds it: without TLS, with a standard library made for size.
        steps = ". scripts/lib.sh; . scripts/boxes.sh; need_cargo; mkdir -p $cross; need_zig; choose_target x86_64;"
        steps += "build_binary release; stat -c %s $(binary_of release)"
        done = subprocess.run(["bash", "-euo", "pipefail", "-c", steps], capture_output=True, text=True)
        if done.returncode != 0:
            raise Failed(f"it cannot be built: {done.stderr.strip()[-200:]}")
        return {"kib": int(done.stdout.split()[-1]) / 1024}

    def send(self, row, payload, label, client, options):
        """What it costs to give everything to one, or, for the label of that name, to get it."""
        if label == "receive":
            return self.download(row, payload, label, client, options)
        return giving.send(self, row, payload, label, client, options)

    def swarm(self, row, payload, label, client, options):
        return giving.swarm(self, row, payload, label, client, options)

    def free_port(self):
        """One for the client to listen on; never that of the tracker."""
        with socket.socket() as probe:
            probe.bind((self.address, 0))
            return probe.getsockname()[1]


def counter(path):
    """The command that counts; empty where neither tool works."""
    perf = ["perf", "stat", "-x,", "-e", "raw_syscalls:sys_enter", "-o", path, "--"]
    with contextlib.suppress(OSError):
        if subprocess.run([*perf, "true"], capture_output=True).returncode == 0:
            return perf
    if shutil.which("strace"):
        return ["strace", "-f", "-c", "-o", path]
    raise Failed("perf (as root) or strace is needed")


def count(text):
    """The number of calls, from what perf or strace has written."""
    perf = re.search(r"^(\d+),.*raw_syscalls", text, re.MULTILINE)
    if perf:
        return int(perf.group(1))
    total = next(line for line in text.splitlines() if line.rstrip().endswith("total"))
    return int(total.split()[3 if "." in total.split()[1] or len(total.split()) > 4 else 2])


def connections(pid, peers):
    """How many of the seeders are connected to, by the kernel's table."""
    found = set()
    for name in ("tcp", "tcp6"):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/net/{name}") as file:
            for line in list(file)[1:]:
                words = line.split()
                address, port = words[2].split(":")
                # The last four bytes, in the order of the processor; 01 is established.
                octets = reversed([int(address[-8:][nth : nth + 2], 16) for nth in (0, 2, 4, 6)])
                peer = ".".join(map(str, octets)) + f":{int(port, 16)}"
                if words[3] == "01" and peer in peers:
                    found.add(peer)
    return len(found)


def last_line(log):
    log.seek(0)
    lines = log.read().decode(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")


def medians(figures):
    keys = figures[0].keys()
    return {key: statistics.median(figure[key] for figure in figures) for key in keys}


def judge(bar, medians_of, failures):
    figure, limit = bar.figure(medians_of), bar.limit(medians_of)
    judged = {"what": bar.what, "figure": figure, "limit": limit, "ratio": None, "verdict": "-"}
    if figure is not None and limit is not None:
        judged["ratio"] = figure / limit if limit else None
        judged["verdict"] = "ok" if (figure >= limit if bar.least else figure <= limit) else "short"
    elif figure is None and failures:
        judged["verdict"] = "failed"
    return judged
