"""Downloads onto file systems and disks of all kinds. `scripts/filesystems` starts it."""

import argparse
import os
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "benchmark"))
MIB = 1 << 20


def main():
    parser = argparse.ArgumentParser(prog="scripts/filesystems", description=__doc__)
    parser.add_argument("--built", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--work", help="where images go (default: a new folder below the temporary one)")
    parser.add_argument("--slow", action="store_true", help="answer times and rate on a throttled disk")
    parser.add_argument("--kind", default="ext4")
    parser.add_argument("--size-mib", type=int, default=96)
    parser.add_argument("--rate", type=float, default=5e6, help="bytes per second of the throttled disk")
    options, rest = parser.parse_known_args()
    with tempfile.TemporaryDirectory(prefix="swarmlet-disks-", dir=options.work) as work:
        if options.slow:
            import slow

            slow.measure(options.built, work, options.kind, options.size_mib * MIB, options.rate, rest)


main()
