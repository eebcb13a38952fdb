"""Measures swarmlet and other clients on loopback; prints a table and writes JSON. Started by scripts/bench."""

import argparse
import contextlib
import datetime
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile

from bench import Bench
from clients import CLIENTS, version
from rows import ROWS
from table import print_bars, print_row


def options():
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    keys = ",".join(row.key for row in ROWS)
    parser.add_argument("--runs", type=int, default=5, help="runs of each client and row (default 5)")
    parser.add_argument("--rows", help=f"only these, of {keys}")
    parser.add_argument("--clients", help=f"only these, of {','.join(CLIENTS)}")
    parser.add_argument("--size", type=int, help="MiB to download, instead of each row's own size")
    parser.add_argument("--quick", action="store_true", help="1 run, an eighth of the size: shows that it works")
    parser.add_argument("--dir", default="/var/tmp", help="where the files go (default /var/tmp)")
    parser.add_argument("--json", help="where the figures go (default: bench.json in the target folder)")
    parser.add_argument("--address", default="127.0.0.1", help=argparse.SUPPRESS)
    parser.add_argument("--release", required=True, help=argparse.SUPPRESS)
    return parser.parse_args()


def chosen_rows(text):
    if not text:
        return ROWS
    known = {row.key: row for row in ROWS}
    wrong = [key for key in text.split(",") if key not in known]
    if wrong:
        sys.exit(f"no such row: {', '.join(wrong)}; there are {', '.join(known)}")
    return [known[key] for key in text.split(",")]


def chosen_clients(text, release):
    wrong = [name for name in (text or "").split(",") if name and name not in CLIENTS]
    if wrong:
        sys.exit(f"no such client: {', '.join(wrong)}; there are {', '.join(CLIENTS)}")
    wanted = text.split(",") if text else list(CLIENTS)
    versions = {name: version(name, release) for name in wanted}
    for name in wanted:
        if versions[name] is None:
            print(f"{name}: not installed")
    return {name: found for name, found in versions.items() if found is not None}


def machine():
    processor = platform.machine()
    with contextlib.suppress(OSError, StopIteration), open("/proc/cpuinfo") as file:
        processor = next(line.split(":")[1].strip() for line in file if line.startswith("model name"))
    with open("/proc/meminfo") as file:
        memory_mib = int(file.readline().split()[1]) // 1024
    with open("/proc/loadavg") as file:
        load = file.read().split()[0]
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    return {
        "date": datetime.datetime.now().isoformat(timespec="seconds"),
        "processor": processor,
        "cores": os.cpu_count(),
        "memory_mib": memory_mib,
        "kernel": platform.release(),
        "load_before": float(load),
        "commit": commit.stdout.strip(),
    }


def main():
    arguments = options()
    if arguments.address == "127.0.0.1":
        print("without root, unshare and ip all is on 127.0.0.1, where transmission does not look for peers")
    json_path = arguments.json or os.path.join(os.path.dirname(arguments.release), "bench.json")
    rows = chosen_rows(arguments.rows)
    names = chosen_clients(arguments.clients, arguments.release)
    about = machine()
    print(", ".join(f"{key} {value}" for key, value in about.items()))
    print(", ".join(f"{name} {found}".strip() for name, found in names.items()))
    filesystem = subprocess.run(["stat", "-f", "-c", "%T", arguments.dir], capture_output=True, text=True)
    about["filesystem"] = filesystem.stdout.strip()
    # So that the files go and the processes end.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    work = tempfile.mkdtemp(prefix="swarmlet-bench.", dir=arguments.dir)
    report = {"machine": about, "clients": names, "rows": []}
    short = 0
    try:
        bench = Bench(work, arguments.release, names, arguments)
        for row in rows:
            result = bench.row(row)
            report["rows"].append(result)
            print_row(result)
            short += print_bars(result)
            with open(json_path, "w") as file:
                json.dump(report, file, indent=1)
    finally:
        shutil.rmtree(work)
    print(f"\nfigures: {json_path}; bars that were not reached: {short}")


main()
