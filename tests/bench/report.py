"""Makes the table, the verdicts on the bars and the chart out of the raw rounds."""
import statistics

from bars import judge

# The kinds of works: what is compared, its unit, whether more is better, and the columns beside it.
KINDS = {
    "bulk": ("GB/s", True, lambda r: r["bytes"] / r["seconds"] / 1e9),
    "small": ("requests/s", True, lambda r: r["requests"] / r["seconds"]),
    "list": ("ms", False, lambda r: r["seconds"] * 1e3),
    "idle": ("s to connect", False, lambda r: r["connect_seconds"]),
    "paced": ("CPU µs a request", False, lambda r: r["cpu_seconds"] / r["requests"] * 1e6),
}


def table(result):
    """The whole report as Markdown, and the bars."""
    bars = judge(result)
    machine = result["machine"]
    lines = [
        f"Measured {result['date']} on {machine['cores']} cores of {machine['processor']}, "
        f"{machine['memory_gib']} GiB, Linux {machine['kernel']}, load {machine['load'][0]:.1f} at the end; "
        + ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
        + f". {result['rounds']} rounds and more in which the servers take turns; medians, and the range of the rounds.",
        "",
        "| bar | asked | measured | |",
        "| --- | --- | --- | --- |",
    ]
    lines += [f"| {bar.title} | {bar.asked} | {bar.measured} | {bar.verdict} |" for bar in bars]
    lines += ["", "| work | server | median | range | ratio | CPU | more |", "| --- | --- | ---: | ---: | ---: | ---: | --- |"]
    for work in result["works"]:
        lines += rows(work)
    return "\n".join(lines) + "\n", bars


def rows(work):
    unit, more_is_better, value = KINDS[work["kind"]]
    medians = {name: statistics.median(map(value, rounds)) for name, rounds in work["rounds"].items()}
    for number, (name, rounds) in enumerate(work["rounds"].items()):
        values = sorted(map(value, rounds))
        reference = medians[work["reference"]]
        title = f"{work['title']} ({work['pinning']}), {unit}" if number == 0 else ""
        yield (f"| {title} | {name} | {figure(medians[name])} | {figure(values[0])} to {figure(values[-1])} "
               f"| {medians[name] / reference:.2f} | {processor(rounds)} | {beside(work['kind'], rounds)} |")


def processor(rounds):
    """The server's, for each GB or request."""
    if "cpu_seconds" not in rounds[0]:
        return ""
    if "requests" in rounds[0]:
        return f"{median(rounds, lambda r: r['cpu_seconds'] / r['requests'] * 1e6):.1f} µs"
    if rounds[0].get("bytes"):
        return f"{median(rounds, lambda r: r['cpu_seconds'] / r['bytes'] * 1e9):.3f} s/GB"
    return f"{median(rounds, lambda r: r['cpu_seconds']):.2f} s"


def beside(kind, rounds):
    if kind == "small":
        return f"p50 {median(rounds, lambda r: r['p50_us']):.0f} µs, p99 {median(rounds, lambda r: r['p99_us']):.0f} µs"
    if kind == "list" and "memory_more" in rounds[0]:
        return f"{median(rounds, lambda r: r['memory_more']) / 2**20:.1f} MiB more, {rounds[0]['bytes'] / 1e6:.1f} MB"
    if kind == "idle":
        return (f"{median(rounds, lambda r: r['resident_each']) / 1024:.1f} KiB of the process each, "
                f"{median(rounds, lambda r: r['kernel_each']) / 1024:.1f} KiB of the kernel's, both ends; "
                f"{rounds[0]['served']:,} served in {median(rounds, lambda r: r['wake_seconds']):.2f} s")
    return ""


def median(rounds, value):
    return statistics.median(map(value, rounds))


def figure(value):
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def chart(result):
    """Ratios to the reference of each work, as bars on a logarithmic scale; longer is better."""
    import math

    bars = []
    for work in result["works"]:
        _, more_is_better, value = KINDS[work["kind"]]
        medians = {name: statistics.median(map(value, rounds)) for name, rounds in work["rounds"].items()}
        ours = next(name for name in medians if name.startswith("coracle"))
        if work["reference"].startswith("coracle"):
            continue
        ratio = medians[ours] / medians[work["reference"]]
        reference = work["reference"].split(", many")[0].split(", idle")[0]
        bars.append((f"{work['title']}, {work['pinning']}", reference, ratio if more_is_better else 1 / ratio))
    left, right, width, step, top = 450, 180, 420, 20, 46
    height = top + step * len(bars) + 30
    widest = max([2.0, *(abs(math.log2(ratio)) for _, _, ratio in bars)])
    middle = left + width / 2

    def place(ratio):
        return middle + math.log2(ratio) / widest * width / 2

    ink, soft, good, bad = "#24292f", "#8c959f", "#2f7d4f", "#b35900"
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + width + right}" height="{height}" '
           f'viewBox="0 0 {left + width + right} {height}" font-family="sans-serif" font-size="12">',
           f'<rect width="100%" height="100%" fill="#ffffff"/>',
           f'<text x="10" y="20" fill="{ink}" font-size="14">How many times better than the rival, by medians of '
           f'{result["rounds"]} interleaved rounds</text>',
           f'<line x1="{middle}" y1="{top - 8}" x2="{middle}" y2="{height - 24}" stroke="{soft}"/>',
           f'<text x="{middle}" y="{height - 8}" text-anchor="middle" fill="{soft}">1 x</text>']
    for number, (title, reference, ratio) in enumerate(bars):
        y = top + number * step
        start, end = sorted((middle, place(ratio)))
        out += [f'<text x="{left - 8}" y="{y + 11}" text-anchor="end" fill="{ink}">{title}</text>',
                f'<rect x="{start:.1f}" y="{y}" width="{max(end - start, 1):.1f}" height="14" '
                f'fill="{good if ratio >= 1 else bad}"/>',
                f'<text x="{left + width + 8}" y="{y + 11}" fill="{ink}">{ratio:.2f} x {reference}</text>']
    return "\n".join([*out, "</svg>"]) + "\n"
