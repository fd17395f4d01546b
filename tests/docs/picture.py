"""The picture in the README, drawn from what a run really printed: python -m tests.docs.picture

    ./scripts/quickstart > docs/picture.txt && python -m tests.docs.picture

Of a list or a stretch of progress lines only the first few are drawn; a line with … stands for the rest.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import groupby
from xml.sax.saxutils import escape

from tests.tidy.source import ROOT

RUN = ROOT / "docs/picture.txt"
PICTURE = ROOT / "docs/picture.svg"
COMMAND = "./scripts/quickstart"

SHOWN_OF_EACH = 3
COLUMNS = 130
CHAR_W, LINE_H, MARGIN, BAR_H = 7.8, 18, 16, 28

# The kinds of lines that come in numbers, and what has a colour.
_KINDS = (re.compile(r"  \d+ of \d+ files; "), re.compile(r" +[\d,]+  [A-Z]\d+ "), re.compile(r" +\d+ +\d+ +\d+  "))
_COLOURS = (
    (re.compile(r"\$ |now yours|Findings|Worst files|Speed-up"), "#ffffff", True),
    (re.compile(r" *SIGKILL"), "#ff7b72", True),
    (re.compile(r" *[Rr]ecovered|All [\d,]+ files"), "#7ee787", False),
    (re.compile(r"  what took|  one slot|  \d+ of"), "#8b949e", False),
)
_PLAIN = ("#c9d1d9", False)


def _kind(line: str) -> int:
    return next((number for number, pattern in enumerate(_KINDS) if pattern.match(line)), -1)


def shortened(lines: Iterable[str]) -> Iterator[str]:
    """The lines to draw."""
    for kind, group in groupby(lines, key=_kind):
        stretch = list(group)
        if kind == -1 or len(stretch) <= SHOWN_OF_EACH + 1:
            yield from stretch
        else:
            yield from stretch[:SHOWN_OF_EACH]
            yield "  …"


def _line(number: int, text: str) -> str:
    colour, bold = next(((tint, heavy) for pattern, tint, heavy in _COLOURS if pattern.match(text)), _PLAIN)
    if len(text) > COLUMNS:
        text = text[: COLUMNS - 1] + "…"
    weight = ' font-weight="bold"' if bold else ""
    y = BAR_H + MARGIN + number * LINE_H
    return (
        f'<text x="{MARGIN}" y="{y}" fill="{colour}"{weight} textLength="{len(text) * CHAR_W:.1f}" '
        f'lengthAdjust="spacingAndGlyphs">{escape(text)}</text>'
    )


def draw(said: str) -> str:
    """The picture of a run as SVG."""
    lines = [f"$ {COMMAND}", *shortened(said.rstrip("\n").split("\n"))]
    width, height = round(COLUMNS * CHAR_W + 2 * MARGIN), BAR_H + MARGIN + len(lines) * LINE_H
    dots = "".join(
        f'<circle cx="{MARGIN + 4 + 18 * place}" cy="14" r="5" fill="{colour}"/>'
        for place, colour in enumerate(("#ff5f57", "#febc2e", "#28c840"))
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="Terminal: a run of {COMMAND}">\n'
        f'<rect width="{width}" height="{height}" rx="8" fill="#0d1117"/>\n{dots}\n'
        '<g font-family="ui-monospace, Menlo, Consolas, DejaVu Sans Mono, monospace" font-size="13" '
        'xml:space="preserve">\n'
        + "\n".join(_line(number, line) for number, line in enumerate(lines) if line.strip())
        + "\n</g>\n</svg>\n"
    )


if __name__ == "__main__":
    PICTURE.write_text(draw(RUN.read_text(encoding="utf-8")), encoding="utf-8")
