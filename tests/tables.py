"""Compares the tables that a program has just printed with those that a document shows."""
import re

FIGURE = re.compile(r"\d[\d,]*(\.\d+)?( [A-Za-z]+)?")


def stale(printed, path, tolerance=0.0):
    """What `path` shows otherwise, as sentences: for each row with figures in the Markdown tables `printed`, the row there that
    begins with the same words. A figure may differ by the share `tolerance` of itself."""
    shown = dict(rows(read(path)))
    findings = []
    for words, figures in rows(printed):
        if words not in shown:
            findings.append(f"{path} has no row '{words}'")
        elif not are_near(figures, shown[words], tolerance):
            findings.append(f"{path}: '{words}' is {joined(figures)}, not {joined(shown[words])}")
    return findings


def obsolete(printed, path):
    """The rows with figures in `path` that are not `printed`, as sentences."""
    known = dict(rows(printed))
    return [f"{path}: '{words}' is not printed any more" for words, _ in rows(read(path)) if words not in known]


def contradicted(printed, path, tolerance=0.0):
    """Where `path` repeats a printed row with another first figure, as sentences."""
    known = dict(rows(printed))
    repeated = [(words, figures[:1], known[words][:1]) for words, figures in rows(read(path)) if words in known]
    return [
        f"{path}: '{words}' is {joined(ours)}, not {joined(theirs)}"
        for words, theirs, ours in repeated
        if not are_near(ours, theirs, tolerance)
    ]


def read(path):
    with open(path, encoding="utf-8") as text:
        return text.read()


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
