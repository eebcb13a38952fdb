"""How exactly --up-limit and --down-limit are kept: what the kernel counts on the leecher's socket, over 10 s and 500 ms."""

import os
import re
import subprocess
import sys
import tempfile
import time

ADDRESS, PORT = "127.0.0.1", 52011
SIZE_MIB = 128
WARM_S, SPAN_S, BURST_S = 2, 10, 0.5


def received_bytes():
    """Bytes that have come to the leecher so far."""
    command = ["ss", "-tinH", "dst", f"{ADDRESS}:{PORT}"]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return sum(map(int, re.findall(r"bytes_received:(\d+)", said)))


def samples():
    """Pairs of a time and the bytes that had come by then."""
    taken = []
    end = time.monotonic() + WARM_S + SPAN_S + 2 * BURST_S
    while time.monotonic() < end:
        taken.append((time.monotonic(), received_bytes()))
        time.sleep(0.02)
    return taken


def rate(first, last):
    return (last[1] - first[1]) / (last[0] - first[0])


def measure(program, folder, seeder_options, leecher_options):
    """Bytes a second over 10 s, and in the fastest half second of them."""
    common = [program, f"{folder}/torrent", "-q", "--bind", ADDRESS]
    seeder = [*common, "--seed", "-o", f"{folder}/seed", "--port", str(PORT), *seeder_options]
    output = tempfile.mkdtemp(dir=folder)
    leecher = [*common, "-o", output, "--port", "0", "--peer", f"{ADDRESS}:{PORT}", *leecher_options]
    running = [subprocess.Popen(seeder, stdin=subprocess.DEVNULL)]
    try:
        time.sleep(2)
        running.append(subprocess.Popen(leecher, stdin=subprocess.DEVNULL))
        taken = samples()
    finally:
        for process in running:
            process.kill()
            process.wait()
    start = taken[0][0] + WARM_S
    inner = [sample for sample in taken if start <= sample[0] <= start + SPAN_S]
    after = [next((other for other in taken if other[0] >= one[0] + BURST_S), taken[-1]) for one in inner]
    return rate(inner[0], inner[-1]), max(rate(one, other) for one, other in zip(inner, after))


def main():
    program = sys.argv[1]
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        os.mkdir(f"{folder}/seed")
        with open(f"{folder}/seed/payload", "wb") as file:
            for _ in range(SIZE_MIB):
                file.write(os.urandom(1 << 20))
        create = [program, "--create", f"{folder}/seed/payload", "-o", f"{folder}/torrent"]
        subprocess.run(create, check=True, stdout=subprocess.DEVNULL)
        for kib in (500, 4096):
            for options in ([["--up-limit", str(kib)], []], [[], ["--down-limit", str(kib)]]):
                whole, burst = measure(program, folder, *options)
                words = " ".join(options[0] or options[1])
                print(f"{words}: {whole / kib / 1024:.3f} of it over 10 s, {burst / kib / 1024:.2f} in the fastest 500 ms")


main()
