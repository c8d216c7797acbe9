"""Turns a terminal's screen, as `tmux capture-pane -e` gives it, into a picture (SVG)."""
import html
import re
import unicodedata

BACKGROUND, FOREGROUND = "#1b1f27", "#d7dce4"
# The sixteen colours, by their numbers in SGR sequences (ECMA-48, 8.3.117).
COLORS = ["#2a303b", "#e06c75", "#8fc379", "#e3bf78", "#61a5e8", "#c678dd", "#56b6c2", "#c8cdd6"]
BRIGHT = ["#4b5363", "#f08a92", "#a9d98f", "#f2d59b", "#86bdf2", "#d99bec", "#7fd0da", "#ffffff"]
COLUMN, ROW, SIZE, EDGE = 8.4, 18, 14, 14


def svg(screen, width, height, title):
    """A window with this title and this screen in it."""
    total_width, total_height = width * COLUMN + 2 * EDGE, height * ROW + 2 * EDGE + 24
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{total_width:g}" height="{total_height:g}" '
        f'viewBox="0 0 {total_width:g} {total_height:g}" font-size="{SIZE}" '
        """font-family="'DejaVu Sans Mono', 'Noto Sans Mono', 'Noto Sans Mono CJK SC', Menlo, Consolas, monospace">""",
        f"<title>{html.escape(title)}</title>",
        f'<rect width="100%" height="100%" rx="8" fill="{BACKGROUND}"/>',
        *(f'<circle cx="{18 + 18 * n}" cy="17" r="5" fill="{color}"/>' for n, color in enumerate(COLORS[1:4])),
        f'<text x="{total_width / 2:g}" y="21" fill="{FOREGROUND}" fill-opacity="0.6" text-anchor="middle">{html.escape(title)}</text>',
    ]
    state = {}
    for number, line in enumerate(screen.split("\n")[:height]):
        column = 0
        for text, style in runs(line, state):
            columns = sum(wide(character) for character in text)
            parts += run(text, style, EDGE + column * COLUMN, EDGE + 24 + number * ROW, columns)
            column += columns
    return "\n".join([*parts, "</svg>", ""])


def runs(line, state):
    """The pieces of a line, each with its style. `state` is what the line before left switched on."""
    for piece in re.split(r"(\x1b\[[\d;]*m)", line):
        if piece.startswith("\x1b["):
            change(state, [int(number or 0) for number in piece[2:-1].split(";")])
        elif piece:
            yield piece, dict(state)


def change(state, numbers):
    numbers = list(numbers)
    while numbers:
        number = numbers.pop(0)
        if number == 0:
            state.clear()
        elif number in (1, 2, 7):
            state[{1: "bold", 2: "dim", 7: "reversed"}[number]] = True
        elif number in (22, 27):
            for name in ("bold", "dim") if number == 22 else ("reversed",):
                state.pop(name, None)
        elif number in (38, 48) and numbers[:1] == [5]:
            index = numbers[1]
            del numbers[:2]
            state["color" if number == 38 else "ground"] = (COLORS + BRIGHT)[index]
        elif number // 10 in (3, 4, 9, 10) and number % 10 < 8:
            palette = COLORS if number < 90 else BRIGHT
            state["color" if number // 10 in (3, 9) else "ground"] = palette[number % 10]
        elif number in (39, 49):
            state.pop("color" if number == 39 else "ground", None)
        else:
            raise ValueError(f"an SGR number that is not known here: {number}")


def run(text, style, x, y, columns):
    color, ground = style.get("color", FOREGROUND), style.get("ground")
    if style.get("reversed"):
        color, ground = ground or BACKGROUND, color
    width = columns * COLUMN
    if ground:
        yield f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{ROW}" fill="{ground}"/>'
    blocks = "▁▂▃▄▅▆▇█"
    if any(character in blocks for character in text):
        # As shapes: fonts leave gaps between them.
        for index, character in enumerate(text):
            if character in blocks:
                tall = ROW * (blocks.index(character) + 1) / 8
                yield (
                    f'<rect x="{x + index * COLUMN:g}" y="{y + ROW - tall:g}" width="{COLUMN + 0.2:g}" '
                    f'height="{tall:g}" fill="{color}"/>'
                )
        return
    # Word by word, so that a font of another width cannot push the columns out of line.
    for word in re.finditer(r"\S+", text):
        before = sum(wide(character) for character in text[: word.start()]) * COLUMN
        length = sum(wide(character) for character in word[0]) * COLUMN
        attributes = f'x="{x + before:g}" y="{y + 13:g}" fill="{color}" textLength="{length:g}"'
        attributes += ' font-weight="bold"' if style.get("bold") else ""
        attributes += ' fill-opacity="0.55"' if style.get("dim") else ""
        yield f"<text {attributes}>{html.escape(word[0])}</text>"


def wide(character):
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
