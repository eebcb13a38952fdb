"""A slow disk and fast peers: how long `status` takes to be answered, and how fast the download is."""

import os
import shutil
import statistics
import subprocess
import time

from client import Client
from disk import MIB, disk, drop_caches, throttled, written_bytes
from payload import Payload
from seeder import Seeder

EVERY_S = 0.1
# What is asked of a run: answers at the 99th percentile, the rate as a share of the device's, anonymous memory.
ANSWER_S, RATE_SHARE, ANON_KIB = 0.1, 0.9, 10 << 10


def percentile(figures, share):
    figures = sorted(figures)
    return figures[min(len(figures) - 1, int(share * len(figures)))] if figures else float("nan")


def prove(folder, bytes_per_s):
    """Writes past the cache for a second or two; the rate that the device gives."""
    path = os.path.join(folder, "proof")
    count = max(1, int(bytes_per_s * 2) // MIB)
    start = time.monotonic()
    subprocess.run(
        ["dd", "if=/dev/zero", f"of={path}", "bs=1M", f"count={count}", "oflag=direct"],
        check=True,
        stderr=subprocess.DEVNULL,
    )
    took = time.monotonic() - start
    os.unlink(path)
    return count * MIB / took


def words(times):
    figures = [1000 * took for took, _, _ in times]
    shares = ", ".join(f"{name} {percentile(figures, share):.0f}" for name, share in (("p50", 0.5), ("p99", 0.99)))
    return f"{len(figures)} answers in ms: {shares}, most {max(figures, default=float('nan')):.0f}"


def judged(name, good):
    print(f"  {'ok    ' if good else 'MISSED'} {name}", flush=True)
    return good


def answers_fast(times):
    return percentile([took for took, _, _ in times], 0.99) < ANSWER_S


def measure(built, work, kind, size, bytes_per_s, arguments, piece_bytes=256 << 10):
    """A download onto a throttled disk, then a check of it from there; prints what was seen."""
    payload = Payload(work, f"slow{size // MIB}", size, piece_bytes, "http://127.0.0.1:9/announce")
    with disk(kind, work, size + size // 4 + 300 * MIB) as (device, folder), throttled(device, bytes_per_s):
        proof = prove(folder, bytes_per_s)
        print(f"{kind}: the device takes {proof / 1e6:.1f} MB/s (dd)", flush=True)
        before = written_bytes(device)
        with Seeder(built, payload, "--seeders", 4, "--rate", 25_000) as seeder:
            peers = [word for peer in seeder.peers for word in ("--peer", peer)]
            start = time.monotonic()
            with Client(built, ["-o", folder, *peers, *arguments, payload.torrent], f"{work}/slow.log") as client:
                times = client.answer_times(EVERY_S, 20 * size / bytes_per_s + 60)
                took = time.monotonic() - start
                code = client.process.poll()
        rate = (written_bytes(device) - before) / took
        print(f"  download: {words(times)}")
        print(f"  ended with {code} after {took:.1f} s: {size / took / 1e6:.2f} MB/s, the device {rate / 1e6:.2f} MB/s")
        print(f"  memory: anonymous {client.peak_anon_kib / 1024:.1f} MiB, resident {client.peak_rss_kib / 1024:.1f} MiB")
        bars = [
            judged(f"status is answered within {1000 * ANSWER_S:.0f} ms (p99)", answers_fast(times)),
            judged(f"{RATE_SHARE} of what the device takes", size / took >= RATE_SHARE * proof),
            judged(f"anonymous memory below {ANON_KIB >> 10} MiB", client.peak_anon_kib < ANON_KIB),
        ]
        for took, at, what in sorted(times, key=lambda one: -one[0])[:5]:
            done = what["torrents"][0]["done_bytes"] / 1e6
            print(f"    {1000 * took:6.0f} ms, asked at {at - start:5.1f} s with {done:.1f} MB there")
        same = payload.same_as(folder)
        print("  same bytes:", same, flush=True)
        drop_caches()
        with Client(built, ["--check", "-o", folder, payload.torrent], f"{work}/slow.log") as client:
            times = client.answer_times(EVERY_S, 10 * size / bytes_per_s + 60)
            code = client.process.poll()
        print(f"  check: ended with {code}; {words(times)}", flush=True)
        bars.append(judged("and while it checks", answers_fast(times)))
        return same and code == 0 and all(bars)
