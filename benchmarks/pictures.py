"""Pictures of measures, as SVG with a ground of their own, so that they can be read on a light page and a dark one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

from benchmarks.section import Section, middle

WIDTH, LEFT, RIGHT, TOP, ROW = 760, 210, 110, 56, 26
PLOT_H, SIDE = 260, 70
GROUND, TEXT, FAINT = "#ffffff", "#24292f", "#57606a"
OURS, OTHERS = "#0969da", "#8c959f"
COLOURS = ("#0969da", "#bc4c00", "#1a7f37")

Bar = tuple[str, float]
Curve = tuple[str, Sequence[float]]


def bars(title: str, rows: Sequence[Bar], ours: str, number: str = "{:,.0f}") -> str:
    """Bars from nought, each with its number; `ours` has a colour of its own."""
    most = max(value for _, value in rows) or 1.0
    parts = []
    for place, (label, value) in enumerate(rows):
        y, width = TOP + place * ROW, value / most * (WIDTH - LEFT - RIGHT)
        colour = OURS if label == ours else OTHERS
        parts += [
            _text(LEFT - 10, y + 14, label, anchor="end", bold=label == ours),
            f'<rect x="{LEFT}" y="{y}" width="{max(width, 1):.1f}" height="18" fill="{colour}"/>',
            _text(LEFT + width + 8, y + 14, number.format(value), bold=label == ours),
        ]
    return _frame(title, TOP + len(rows) * ROW + 10, parts)


def curves(title: str, across: Sequence[float], series: Sequence[Curve], unit: str, along: str) -> str:
    """Lines over one axis from nought; both axes tell their greatest value."""
    most, far = max(max(values) for _, values in series) or 1.0, max(across) or 1.0
    width, parts = WIDTH - 2 * SIDE, list[str]()
    for number, (label, values) in enumerate(series):
        points = " ".join(
            f"{SIDE + x / far * width:.1f},{TOP + PLOT_H - y / most * PLOT_H:.1f}"
            for x, y in zip(across, values, strict=True)
        )
        colour = COLOURS[number]
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.append(_text(SIDE + number * 200, TOP + PLOT_H + 46, f"— {label}", colour=colour, bold=True))
    low = TOP + PLOT_H
    parts += [
        f'<path d="M{SIDE} {TOP}V{low}H{SIDE + width}" fill="none" stroke="{FAINT}"/>',
        _text(SIDE - 8, TOP + 6, f"{most:,.0f} {unit}", anchor="end", colour=FAINT),
        _text(SIDE - 8, low, "0", anchor="end", colour=FAINT),
        _text(SIDE + width, low + 20, f"{far:,.0f} {along}", anchor="end", colour=FAINT),
    ]
    return _frame(title, low + 64, parts)


def _text(x: float, y: float, words: str, *, anchor: str = "start", colour: str = TEXT, bold: bool = False) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}"{weight}>{escape(words)}</text>'


def _frame(title: str, height: int, parts: Iterable[str]) -> str:
    ground = f'<rect width="{WIDTH}" height="{height}" rx="6" fill="{GROUND}"/>'
    label = escape(title, {'"': "&quot;"})
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{label}">',
        f'{ground}\n<g font-family="system-ui, sans-serif" font-size="13">',
        _text(16, 28, title, bold=True),
        *parts,
        "</g>\n</svg>\n",
    ])  # fmt: skip


def _drains(section: Section) -> str:
    rates = [(title, middle(numbers["per_second"])) for title, numbers in section.numbers.items()]
    rows = sorted(rates, key=lambda row: -row[1])
    return bars("No-ops drained a second, one worker process", rows, "hive")


def _makespans(section: Section) -> str:
    rows = [(words, middle(seconds)) for words, seconds in section.numbers.items()]
    return bars("Makespan on nodes of unequal speed, seconds", rows, "the hive", "{:.2f}")


def _memory(section: Section) -> str:
    numbers = section.numbers
    series = [("Redis", numbers["redis_mb"]), ("Spore, resident", numbers["spore_mb"])]
    return curves(f"{section.title}, MB", numbers["seconds"], series, "MB", "s")


# Measure -> its file beside the report, and how it is drawn.
PICTURES: dict[str, tuple[str, Callable[[Section], str]]] = {
    "peers": ("benchmarks-drain.svg", _drains),
    "balance": ("benchmarks-balance.svg", _makespans),
    "soak": ("benchmarks-memory.svg", _memory),
}


def write_pictures(folder: Path, sections: Iterable[Section]) -> None:
    """Draw each section that has a picture."""
    for section in sections:
        if section.name in PICTURES:
            file, draw = PICTURES[section.name]
            (folder / file).write_text(draw(section), encoding="utf-8")


def link_to(section: Section) -> list[str]:
    """The lines of the report that show a section's picture, if it has one."""
    if section.name not in PICTURES:
        return []
    return ["", f"![{section.title}]({PICTURES[section.name][0]})"]
