"""Prints what was measured."""

COLUMNS = [
    ("cpu_per_gib", "CPU-s/GiB", 2),
    ("wall_s", "wall s", 2),
    ("fetch_s", "from 1st block", 2),
    ("anon_mib", "anon MiB", 1),
    ("file_mib", "file MiB", 1),
    ("rss_mib", "RSS MiB", 1),
    ("sent_ratio", "sent/size", 3),
    ("over_ideal", "wall/ideal", 3),
    ("written_ratio", "written/size", 3),
    ("calls_per_mib", "calls/MiB", 1),
    ("wakes_per_s", "wakes/s", 2),
    ("gib_per_s", "GiB/s", 2),
    ("kib", "KiB", 0),
]


def print_row(result):
    print(f"\n== {result['key']}: {result['title']} ({result['size_mib']:.0f} MiB, median of {result['runs']})")
    medians = result["medians"]
    columns = [column for column in COLUMNS if any(column[0] in figures for figures in medians.values())]
    width = max([len(label) for label in result["entries"]] + [10])
    print(" " * width + "".join(f"{head:>15}" for _, head, _ in columns))
    for label in result["entries"]:
        figures = medians.get(label, {})
        cells = (number(figures.get(metric), digits) for metric, _, digits in columns)
        print(f"{label:<{width}}" + "".join(f"{cell:>15}" for cell in cells) + note(result, label), flush=True)


def number(figure, digits):
    return "-" if figure is None else f"{figure:.{digits}f}"


def note(result, label):
    wrong = result["failures"].get(label, [])
    return f"   {len(wrong)} failed: {wrong[0]}" if wrong else ""


def print_bars(result):
    """Returns how many were not reached."""
    for bar in result["bars"]:
        figure, limit = number(bar["figure"], 3), number(bar["limit"], 3)
        ratio = f", ratio {bar['ratio']:.2f}" if bar["ratio"] is not None else ""
        print(f"  {bar['verdict']:<6} {bar['what']}: {figure} against {limit}{ratio}", flush=True)
    return sum(bar["verdict"] in ("short", "failed") for bar in result["bars"])
