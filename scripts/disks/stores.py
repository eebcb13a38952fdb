"""What storing alone costs on each file system: extents in random and in file order, by windows or positioned writes,
with the read-ahead of a common disk and with a large one."""

import glob
import os
import statistics
import subprocess

from disk import MIB, Missing, number, written_bytes
from kinds import ANNOUNCE, KINDS, TABLE_KINDS
from payload import Payload

RUNS = 3
READ_AHEAD_KIB = [128, 8192]
WAYS = [("by itself", []), ("positioned", ["--positioned"])]
ORDERS = [("random", []), ("in order", ["--sequential"])]


def read_ahead(device, kib):
    """Sets the read-ahead of the device and of the file system that keeps its own."""
    for path in [f"/sys/class/bdi/{number(device)}", *glob.glob("/sys/class/bdi/btrfs-*")]:
        with open(f"{path}/read_ahead_kb", "w") as file:
            file.write(str(kib))


def once(built, payload, device, folder, options):
    """CPU seconds, bytes written, and the share that went through maps."""
    os.sync()
    before = written_bytes(device) if device else 0
    command = [f"{built}/examples/stores", "--torrent", payload.torrent, "--output", folder, *options]
    answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    figures = dict(word.split("=") for word in answer.split())
    os.sync()
    written = written_bytes(device) - before if device else None
    return float(figures["cpu_s"]), written, int(figures["mapped_percent"])


def cell(built, work, payload, kind, kib, options):
    """One file system, new for each run."""
    results = []
    for _ in range(RUNS):
        with KINDS[kind](kind, work, payload.size + payload.size // 4 + 400 * MIB) as (device, folder):
            if device:
                read_ahead(device, kib)
            results.append(once(built, payload, device, folder, options))
    cpu, written, mapped = (list(column) for column in zip(*results))
    ratio = f"{statistics.median(written) / payload.size:.3f}" if written[0] is not None else "-"
    return f"{ratio} {statistics.median(cpu) * 1024 * MIB / payload.size:5.2f} {statistics.median(mapped):4.0f} %"


def table(built, work, size, chosen):
    """Prints it; false if something stored wrongly. Medians of some runs."""
    payload = Payload(work, "stores", size, 1 << 20, ANNOUNCE, sparse=True)
    kinds = chosen or TABLE_KINDS
    print(f"\nstoring alone, extents of 2 MiB, medians of {RUNS}: written ÷ size, CPU s/GiB, share through maps")
    print(f"{'read-ahead, order, way':>34}" + "".join(f"{kind:>22}" for kind in kinds), flush=True)
    good = True
    for kib in READ_AHEAD_KIB:
        for order, how in ORDERS:
            for way, more in WAYS:
                cells = []
                for kind in kinds:
                    try:
                        cells.append(cell(built, work, payload, kind, kib, [*how, *more]))
                    except Missing as why:
                        cells.append(str(why)[:20])
                    except subprocess.CalledProcessError as error:
                        good = False
                        cells.append(f"WRONG: {error.stderr}")
                print(f"{f'{kib} KiB, {order}, {way}':>34}" + "".join(f"{text:>22}" for text in cells), flush=True)
    return good
