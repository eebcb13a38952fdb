"""The rows of the table: what is downloaded from whom, and which figures swarmlet must reach."""

from clients import OTHERS

FLOOR = ["bare-pwrite", "bare-window"]
ALL = ["swarmlet", *OTHERS]


class Row:
    """One kind of work.

    `entries` are pairs of a label and (client, options); `sets` names what else is done (see `Bench`). A bar is a
    text, a function of the medians that gives the figure, one that gives the limit, and the unit.
    """

    def __init__(self, key, title, size, piece_kib, seeder, entries, bars, **extra):
        self.key = key
        self.title = title
        self.size = size
        self.piece_kib = piece_kib
        self.seeder = seeder
        self.entries = entries
        self.bars = bars
        self.kind = extra.pop("kind", "download")
        self.extra = extra


class Bar:
    """`figure` must be at most `limit`; `least` turns both round. None is a figure that was not measured."""

    def __init__(self, what, figure, limit, least=False):
        self.what = what
        self.figure = figure
        self.limit = limit
        self.least = least


def clients(names):
    return [(name, name, []) for name in names]


def of(label, metric):
    return lambda medians: medians.get(label, {}).get(metric)


def times(factor, label, metric):
    def limit(medians):
        figure = of(label, metric)(medians)
        return None if figure is None else factor * figure

    return limit


def times_best(factor, metric, names=tuple(OTHERS)):
    """Against the best of those that were measured."""

    def limit(medians):
        figures = [medians[name][metric] for name in names if medians.get(name, {}).get(metric) is not None]
        return factor * min(figures) if figures else None

    return limit


def exactly(number):
    return lambda _medians: number


def own(what, metric, limit, label="swarmlet", **more):
    return Bar(what, of(label, metric), limit, **more)


FAST = tuple(name for name in OTHERS if name != "transmission")


def throughput():
    floor_bars = [
        own("CPU ≤ 1.15 × the better bare loop", "cpu_per_gib", times_best(1.15, "cpu_per_gib", FLOOR)),
        own("CPU ≤ 0.70 × aria2", "cpu_per_gib", times(0.70, "aria2", "cpu_per_gib")),
        own("wall ≤ 0.75 × the fastest", "wall_s", times_best(0.75, "wall_s", FAST)),
        own("anonymous memory ≤ 6 MiB", "anon_mib", exactly(6)),
        own("whole RSS ≤ 12 MiB", "rss_mib", exactly(12)),
        own("--memory 2: anonymous memory ≤ 3 MiB", "anon_mib", exactly(3), "swarmlet --memory 2"),
    ]
    entries = [*clients([*FLOOR, *ALL]), ("swarmlet --memory 2", "swarmlet", ["--memory", "2"])]
    yield Row("one", "1 seeder, 256 KiB pieces", 2048, 256, [], entries, floor_bars)
    bars = [
        own("CPU ≤ 0.70 × aria2", "cpu_per_gib", times(0.70, "aria2", "cpu_per_gib")),
        own("wall ≤ 0.95 × the fastest", "wall_s", times_best(0.95, "wall_s")),
    ]
    yield Row("eight", "8 seeders, 1 MiB pieces", 2048, 1024, ["--seeders", 8], clients(ALL), bars)
    bars = [
        own("CPU ≤ 0.60 × aria2", "cpu_per_gib", times(0.60, "aria2", "cpu_per_gib")),
        own("wall ≤ 0.75 × the fastest", "wall_s", times_best(0.75, "wall_s")),
    ]
    title = "5,000 files, 1 seeder, 256 KiB pieces, on a new ext4"
    yield Row("files", title, 1024, 256, [], clients(ALL), bars, files=5000, loop=True)


def swarms():
    seeder = ["--seeders", 20, "--latency-ms", 100, "--rate", 4096]
    ideal = 20 * 4  # MiB/s
    bars = [
        own("wall from the first block ≤ 1.06 × ideal", "over_ideal", exactly(1.06)),
        own("CPU ≤ 0.6 × the leanest", "cpu_per_gib", times_best(0.6, "cpu_per_gib")),
    ]
    title = "20 seeders at 100 ms, 4 MiB/s each, 256 KiB pieces"
    yield Row("distant", title, 512, 256, seeder, clients(ALL), bars, ideal_mib_per_s=ideal)
    bars = [
        own("wall ≤ 0.6 × libtorrent", "wall_s", times(0.6, "libtorrent", "wall_s")),
        own("anonymous memory ≤ 10 MiB", "anon_mib", exactly(10)),
    ]
    seeder = ["--seeders", 200, "--pieces", 5]
    yield Row("partial", "200 peers with 5 % of the 256 KiB pieces", 256, 256, seeder, clients(ALL), bars)
    bars = [
        own("wall ≤ 0.85 × the fastest", "wall_s", times_best(0.85, "wall_s")),
        own("bytes sent to it ≤ 1.05 × size", "sent_ratio", exactly(1.05)),
    ]
    seeder = ["--seeders", 6, "--poisoners", 2, "--poison", 5]
    title = "4 good and 2 poisoning seeders (5 % of blocks), 256 KiB pieces"
    yield Row("poison", title, 1024, 256, seeder, clients(ALL), bars, timeout=120)


def small():
    memory = ["--memory", "4"]
    labels = [("unlimited", None), ("in 32 MiB", 32), ("in 16 MiB", 16)]
    entries = [(label, "swarmlet", memory) for label, _ in labels]
    bars = [
        own("in 32 MiB: CPU ≤ 1.2 × unlimited", "cpu_per_gib", times(1.2, "unlimited", "cpu_per_gib"), "in 32 MiB"),
        own("in 16 MiB: CPU ≤ 1.2 × unlimited", "cpu_per_gib", times(1.2, "unlimited", "cpu_per_gib"), "in 16 MiB"),
    ]
    title = "memory cgroups, --memory 4, 1 seeder, 256 KiB pieces"
    yield Row("cgroup", title, 1024, 256, [], entries, bars, groups=dict(labels))
    many = ["--seeders", 500, "--choked"]
    bars = [own("anonymous memory ≤ 16 MiB", "anon_mib", exactly(16))]
    title = "500 peers with half of 100,000 pieces, for 20 s"
    row = {"kind": "watch", "seconds": 20, "settle": 3, "sparse": True}
    pieces = 100_000 * 16 / 1024
    yield Row("peers", title, pieces, 16, [*many, "--pieces", 50], clients(ALL), bars, **row)
    title = "500 peers without pieces, then 1,000,000 bytes of have a second, for 20 s"
    haves = [*many, "--empty", "--have-rate", 1_000_000]
    yield Row("haves", title, pieces, 16, haves, clients(ALL), bars, **row)
    bars = [own("wake-ups a second ≤ 0.2", "wakes_per_s", exactly(0.2))]
    row = {"kind": "watch", "seconds": 60, "settle": 15, "once": True}
    silent = ["--seeders", 50, "--empty", "--choked"]
    yield Row("idle", "idle with 50 silent peers, for 60 s", 64, 256, silent, clients(ALL), bars, **row)


def device():
    for key, kib in (("device256", 256), ("device1024", 1024)):
        bars = [own("bytes written ÷ size ≤ 1.05", "written_ratio", exactly(1.05))]
        title = f"written to a new ext4 that is synced every second, 8 seeders with 30 %, {kib} KiB pieces"
        seeder = ["--seeders", 8, "--pieces", 30, "--rate", 2048]
        extra = {"loop": True, "sync": 1.0, "once": True}
        yield Row(key, title, 256, kib, seeder, clients(ALL), bars, **extra)
    bars = [own("system calls per MiB ≤ 12", "calls_per_mib", exactly(12))]
    entries = clients(["bare-pwrite", *ALL])
    yield Row("calls", "system calls, 1 fast seeder, 256 KiB pieces", 1024, 256, [], entries, bars, kind="calls")
    bars = [own("the seeder sends ≥ 2 GiB/s", "gib_per_s", exactly(2), "bare-null", least=True)]
    entries = [("bare-null", "bare-null", ["--no-hash"])]
    yield Row("seeder", "our seeder into a null sink", 2048, 256, [], entries, bars)
    bars = [own("static x86-64 binary ≤ 900 KiB", "kib", exactly(900))]
    yield Row("binary", "size of the static binary, stripped", 0, 0, [], clients(["swarmlet"]), bars, kind="binary")


def giving():
    bars = [
        own("CPU ≤ that of receiving it", "cpu_per_gib", times(1.0, "receive", "cpu_per_gib"), "send"),
        own("CPU ≤ 1.5 × a bare sendfile loop", "cpu_per_gib", times(1.5, "bare sendfile", "cpu_per_gib"), "send"),
    ]
    entries = [("bare sendfile", "bare-null", []), ("send", "swarmlet", []), ("receive", "swarmlet", [])]
    yield Row("send", "giving everything to one fast peer, 256 KiB pieces", 1024, 256, [], entries, bars, kind="send")
    bars = [
        own("wall ≤ 1.15 × ideal", "over_ideal", exactly(1.15), "7 swarmlets"),
        own("the same with --super-seed", "over_ideal", exactly(1.15), "super-seed"),
    ]
    entries = [("7 swarmlets", "swarmlet", []), ("super-seed", "swarmlet", ["--super-seed"])]
    title = "a seeder limited to 20 MiB/s and 6 that start together, 1 MiB pieces"
    yield Row("swarm", title, 1024, 1024, [], entries, bars, kind="swarm")


ROWS = [*throughput(), *swarms(), *giving(), *small(), *device()]
