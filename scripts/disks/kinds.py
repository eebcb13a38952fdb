"""A download onto every kind of file system, compared byte for byte, with the way that it took."""

import contextlib
import os
import resource
import shutil
import subprocess
import sys
import time

import disk
from client import Client
from disk import MIB, Missing, drop_caches, mounted, written_bytes
from payload import Payload
from seeder import Seeder

FUSE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "fuse.py")
ANNOUNCE = "http://127.0.0.1:9/announce"
PIECES_KIB = [16, 64, 256, 1024, 2048, 4096, 16384]
# A download that takes longer than this, from fast peers, waits for something that it need not wait for.
START_S = 2
SLOWEST_BYTES_PER_S = 16e6
TABLE_KINDS = ["ext4", "xfs", "btrfs", "tmpfs"]


@contextlib.contextmanager
def on_device(kind, work, size):
    with disk.disk(kind, work, size) as (device, folder):
        yield device, folder


@contextlib.contextmanager
def in_memory(kind, work, size):
    options = f"size={size}" if kind == "tmpfs" else "mode=755"
    with mounted(os.path.join(work, kind), "-t", kind, "-o", options, "none") as folder:
        yield None, folder


@contextlib.contextmanager
def overlay(kind, work, size):
    """On tmpfs, where the upper layer may be in any container."""
    with in_memory("tmpfs", work, size) as (_, below):
        lower, upper, scratch = (os.path.join(below, name) for name in ("lower", "upper", "work"))
        for folder in (lower, upper, scratch):
            os.mkdir(folder)
        options = f"lowerdir={lower},upperdir={upper},workdir={scratch}"
        with mounted(os.path.join(work, kind), "-t", "overlay", "-o", options, "none") as folder:
            yield None, folder


def fuse(words):
    @contextlib.contextmanager
    def mount(kind, work, size):
        folder, control = os.path.join(work, kind), os.path.join(work, f"{kind}.control")
        os.makedirs(folder, exist_ok=True)
        with open(control, "w") as file:
            file.write(f"room={size} {words}")
        if not os.path.exists("/dev/fuse"):
            raise Missing("this kernel has no FUSE")
        server = subprocess.Popen(
            [sys.executable, "-B", FUSE, folder, control], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        try:
            if server.stdout.readline() != "ready\n":
                raise Missing("the FUSE server does not start")
            yield None, folder
        finally:
            server.stdin.close()
            server.wait()

    return mount


KINDS = {
    "ext4": on_device,
    "xfs": on_device,
    "btrfs": on_device,
    "vfat": on_device,
    "exfat": on_device,
    "tmpfs": in_memory,
    "ramfs": in_memory,
    "overlay": overlay,
    "fuse": fuse(""),
    "fuse-nomap": fuse("nomap"),
    "fuse-bare": fuse("nomap noreserve nospace"),
}


class Run:
    """One download: what it cost and which way it took."""

    # Whether one that takes too long is wrong: not where the machine is emulated.
    timed = True

    def __init__(self, built, work, payload, device, folder, arguments=()):
        log = os.path.join(work, "swarmlet.log")
        os.sync()
        before = written_bytes(device) if device else 0
        cpu_before = cpu_s()
        with Seeder(built, payload, "--seeders", 4) as seeder:
            peers = [word for peer in seeder.peers for word in ("--peer", peer)]
            start = time.monotonic()
            with Client(built, ["-v", "-o", folder, *peers, *arguments, payload.torrent], log) as client:
                while not client.ended and time.monotonic() < start + 300:
                    client.read(1)
                    client.sample()
                self.took_s = time.monotonic() - start
                self.code = client.process.poll()
            self.cpu_s = cpu_s() - cpu_before
        os.sync()
        self.written = written_bytes(device) - before if device else None
        with open(log, errors="replace") as file:
            self.log = file.read()
        drop_caches()
        self.same = payload.same_as(folder)
        self.slow = self.timed and self.took_s > START_S + payload.size / SLOWEST_BYTES_PER_S
        self.good = self.code == 0 and self.same and not self.slow

    def wrong(self):
        """What is not as it should be."""
        return f"WRONG (exit code {self.code}, same bytes: {self.same}, {self.took_s:.1f} s)"

    def way(self):
        """What the log says: maps or positioned writes, and whether space was reserved."""
        lines = [line for line in self.log.splitlines() if "stored through maps" in line]
        ways = lines[-1].split(": ", 1)[-1] if lines else "nothing said"
        refusals = sum("cannot be mapped" in line for line in self.log.splitlines())
        reserved = "no fallocate" if "cannot reserve" in self.log else "fallocate"
        if "knows no holes" in self.log:
            reserved = "from front to back"
        return f"{ways}, {reserved}" + (f", maps refused ({refusals} line)" if refusals else "")


def cpu_s():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def empty(folder):
    """Removes what was downloaded; not what the file system has there itself."""
    for entry in os.scandir(folder):
        if entry.name == "lost+found":
            continue
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path)
        else:
            os.unlink(entry.path)


def every(built, work, size, chosen):
    """Downloads onto each kind; false if one was wrong. What cannot be mounted is said."""
    payloads = [Payload(work, "many", size, 256 << 10, ANNOUNCE, files=300), Payload(work, "odd", size // 4 + 12345, 100_000, ANNOUNCE)]
    good, missing = True, []
    for kind in chosen or KINDS:
        try:
            with KINDS[kind](kind, work, 3 * size + 320 * MIB) as (device, folder):
                for payload in payloads:
                    run = Run(built, work, payload, device, folder)
                    if run.slow:
                        # Perhaps the machine was; what waits in vain does so each time.
                        empty(folder)
                        run = Run(built, work, payload, device, folder)
                    good &= run.good
                    verdict = f"same bytes in {run.took_s:.1f} s" if run.good else run.wrong()
                    print(f"{kind:10} {payload.name:10} {verdict}: {run.way()}", flush=True)
        except Missing as why:
            missing.append(kind)
            print(f"{kind:10} NOT TRIED: {why}", flush=True)
    print(f"tried {len(chosen or KINDS) - len(missing)} kinds; not tried: {', '.join(missing) or 'none'}")
    return good


def table(built, work, size, chosen):
    """Bytes that reach the device for each byte of the torrent, and CPU, for pieces of each size in rarest-first order."""
    print(f"{'pieces':>8}" + "".join(f"{kind:>26}" for kind in chosen or TABLE_KINDS))
    print(f"{'':>8}" + f"{'written wall s  CPU s/GiB':>26}" * len(chosen or TABLE_KINDS), flush=True)
    good = True
    for kib in PIECES_KIB:
        payload = Payload(work, "table", size, kib << 10, ANNOUNCE)
        cells = []
        for kind in chosen or TABLE_KINDS:
            try:
                with KINDS[kind](kind, work, size + size // 4 + 400 * MIB) as (device, folder):
                    run = Run(built, work, payload, device, folder)
                good &= run.good
                written = f"{run.written / size:.3f}" if device else "-"
                cells.append(f"{written} {run.took_s:6.2f} {run.cpu_s * 1024 * MIB / size:6.2f}" if run.good else "WRONG")
            except Missing as why:
                cells.append(str(why)[:24])
        print(f"{kib:>4} KiB" + "".join(f"{cell:>26}" for cell in cells), flush=True)
        os.unlink(payload.torrent)
    return good
