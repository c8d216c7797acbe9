"""Whether the tables that a program has just printed are those that a text shows."""
import re

FIGURE = re.compile(r"\d[\d,]*(\.\d+)?( [A-Za-z]+)?")


def stale(printed, path, tolerance=0.0):
    """What `path` shows otherwise, as sentences: for each row with figures in the Markdown tables `printed`, the row there that
    begins with the same words. A figure may differ by the share `tolerance` of itself."""
    with open(path, encoding="utf-8") as text:
        shown = dict(rows(text.read()))
    findings = []
    for words, figures in rows(printed):
        if words not in shown:
            findings.append(f"{path} has no row '{words}'")
        elif not are_near(figures, shown[words], tolerance):
            findings.append(f"{path}: '{words}' is {joined(figures)}, not {joined(shown[words])}")
    return findings


def rows(text):
    """The first cell of each row, and the figures in the others."""
    for line in text.splitlines():
        words, *cells = (cell.strip() for cell in line.strip("| ").split("|"))
        figures = [cell for cell in cells if FIGURE.fullmatch(cell)]
        if line.startswith("|") and figures:
            yield words, [float(figure.split()[0].replace(",", "")) for figure in figures]


def are_near(ours, theirs, tolerance):
    return len(ours) == len(theirs) and all(abs(one - other) <= tolerance * one for one, other in zip(ours, theirs))


def joined(figures):
    return " and ".join(f"{figure:,.10g}" for figure in figures)
