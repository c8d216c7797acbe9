"""Makes the table and the chart out of what was measured."""
import html
import math


class Line:
    """One bar, and what each run found. The middle run decides."""

    def __init__(self, work, bar, runs):
        self.work, self.bar = work, bar
        ratios = sorted((bar.ratio(rounds), number) for number, rounds in enumerate(runs))
        self.ratio, middle = ratios[len(ratios) // 2]
        self.rounds, self.runs = runs[middle], [bar.ratio(rounds) for rounds in runs]
        self.holds = bar.holds(self.ratio)

    def title(self):
        return f"{self.work.title}: {self.bar.subject}" if self.bar.subject else self.work.title

    def cells(self):
        bar = self.bar
        theirs = bar.printed(self.rounds, bar.theirs) if bar.theirs else ""
        ratio = " / ".join(self.shown(ratio) for ratio in self.runs) if bar.theirs else ""
        return [self.title(), bar.words, bar.printed(self.rounds, bar.ours), theirs, ratio, bar.spread(self.rounds),
                self.verdict()]

    def verdict(self):
        if not self.bar.is_judged():
            return ""
        return "holds" if self.holds else "**missed**"

    def shown(self, ratio):
        """With as many digits as it takes to see which side of the limit it is on."""
        digits = next((digits for digits in (2, 3, 4) if self.bar.holds(round(ratio, digits)) == self.bar.holds(ratio)), 5)
        return f"{ratio:.{digits}f}"


def lines(works, runs):
    """`runs` has, for each run, the rounds of each work by its key."""
    return [Line(work, bar, [run[work.key] for run in runs]) for work in works for bar in work.bars]


def table(found, about):
    head = ["work", "asked", "Coracle", "beside it", "ratio", "of the rounds", ""]
    rows = [head, ["---", "---", "---:", "---:", "---:", "---:", "---"], *(line.cells() for line in found)]
    return "\n".join([about, "", *(f"| {' | '.join(row)} |" for row in rows)]) + "\n"


def chart(found, about):
    """How many times better than what is beside it, on a logarithmic scale; a tick shows what was asked."""
    found = [line for line in found if line.bar.theirs and line.bar.is_judged()]
    left, right, width, step, top = 620, 250, 360, 20, 58
    height = top + step * len(found) + 30
    advantages = [line.bar.advantage(line.rounds) for line in found]
    asked = [line.bar.least or 1 / line.bar.most for line in found]
    widest = max([1.0, *(abs(math.log2(ratio)) for ratio in advantages + asked)])
    middle = left + width / 2

    def place(ratio):
        return middle + math.log2(ratio) / widest * width / 2

    ink, soft, good, bad = "#24292f", "#8c959f", "#2f7d4f", "#b35900"
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + width + right}" height="{height}" '
           f'viewBox="0 0 {left + width + right} {height}" font-family="sans-serif" font-size="12">',
           '<rect width="100%" height="100%" fill="#ffffff"/>',
           f'<text x="10" y="20" fill="{ink}" font-size="14">How many times better Coracle is; a tick is what is asked</text>',
           f'<text x="10" y="38" fill="{soft}">{html.escape(about)}</text>',
           f'<line x1="{middle}" y1="{top - 8}" x2="{middle}" y2="{height - 24}" stroke="{soft}"/>',
           f'<text x="{middle}" y="{height - 8}" text-anchor="middle" fill="{soft}">1 x</text>']
    for number, (line, advantage, limit) in enumerate(zip(found, advantages, asked)):
        y = top + number * step
        start, end = sorted((middle, place(advantage)))
        beside = line.bar.words.partition(" x ")[2]
        out += [f'<text x="{left - 8}" y="{y + 11}" text-anchor="end" fill="{ink}">{html.escape(line.title())}</text>',
                f'<rect x="{start:.1f}" y="{y}" width="{max(end - start, 1):.1f}" height="14" '
                f'fill="{good if line.holds else bad}"/>',
                f'<line x1="{place(limit):.1f}" y1="{y - 2}" x2="{place(limit):.1f}" y2="{y + 16}" stroke="{ink}"/>',
                f'<text x="{left + width + 8}" y="{y + 11}" fill="{ink}">{advantage:.2f} x {html.escape(beside)}</text>']
    return "\n".join([*out, "</svg>"]) + "\n"
