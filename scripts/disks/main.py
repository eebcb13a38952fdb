"""Downloads onto file systems and disks of all kinds. `scripts/filesystems` starts it."""

import argparse
import os
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "benchmark"))

import kinds  # noqa: E402
import slow  # noqa: E402
import stores  # noqa: E402

MIB = 1 << 20


def main():
    parser = argparse.ArgumentParser(prog="scripts/filesystems", description=__doc__)
    parser.add_argument("--built", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--work", help="where images go (default: a new folder below the temporary one)")
    parser.add_argument("--table", action="store_true", help="bytes written and CPU for pieces of each size")
    parser.add_argument("--slow", action="store_true", help="answer times, rate and memory on a throttled disk")
    parser.add_argument("--rate", type=float, default=5e6, help="bytes per second of that disk (default 5e6)")
    parser.add_argument("--kind", action="append", help="only this file system (repeatable)")
    parser.add_argument("--size-mib", type=int, default=96, help="size of the download (default 96)")
    parser.add_argument("--untimed", action="store_true", help=argparse.SUPPRESS)
    options, rest = parser.parse_known_args()
    if os.geteuid() != 0:
        parser.error("mounting needs root: sudo scripts/filesystems")
    size = options.size_mib * MIB
    kinds.Run.timed = not options.untimed
    with tempfile.TemporaryDirectory(prefix="swarmlet-disks-", dir=options.work) as work:
        if options.slow:
            chosen = options.kind or ["ext4"]
            good = all([slow.measure(options.built, work, kind, size, options.rate, rest) for kind in chosen])
        elif options.table:
            good = kinds.table(options.built, work, size, options.kind)
            good &= stores.table(options.built, work, size, options.kind)
        else:
            good = kinds.every(options.built, work, size, options.kind)
    return 0 if good else 1


sys.exit(main())
