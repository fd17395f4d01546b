"""What people see: tables, JSON, listings that renew themselves, progress bars.

Colours are the terminal's own red, green, cyan and magenta, bold and dim: themes, light or dark, keep these readable;
yellow and white they do not. Where nobody looks at a screen there are none, and nothing is cut or redrawn.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import click
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text
from rich.theme import Theme

from venom_core.demo.path_text import printable
from venom_core.errors import StoreError

# Wide enough that nothing is cut where nobody looks at a screen.
PIPE_COLUMNS = 1_000
STYLES = {
    "completed": "green", "online": "green", "ok": "green", "pass": "green", "met": "green", "yes": "green",
    "running": "cyan", "cordoned": "magenta", "warn": "magenta", "cannot know": "magenta", "quarantined": "bold red",
    "failed": "red", "fail": "red", "offline": "red", "not met": "red", "cancelled": "dim", "pending": "",
}  # fmt: skip


# Bars in the same colours; rich's own have yellow and grey.
_BARS = Theme({
    "bar.back": "dim", "bar.complete": "cyan", "bar.finished": "green", "bar.pulse": "cyan", "progress.elapsed": "",
    "progress.remaining": "", "progress.percentage": "", "progress.download": "", "progress.spinner": "",
})  # fmt: skip


def console(*, err: bool = False) -> Console:
    """The terminal, or wherever the output goes: there it is plain, and as wide as it needs to be."""
    made = Console(highlight=False, stderr=err, theme=_BARS)
    if not made.is_terminal:
        made.width = PIPE_COLUMNS
    return made


def word(text: object) -> Text:
    """A word of state in its colour."""
    return Text(printable(str(text)), style=STYLES.get(str(text), ""))


@dataclass(frozen=True, slots=True)
class Listing:
    """What a command found: `data` as JSON, the same as a table under a title, what to say in place of an empty one."""

    data: Any
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[object]] = field(default_factory=list)
    nothing: str = ""
    title: str = ""


Look = Callable[[], Awaitable[Listing]]


def print_json(data: Any, *, compact: bool = False) -> None:
    """Print data as JSON; compact is one line."""
    click.echo(json.dumps(data, ensure_ascii=False, indent=None if compact else 2))


def table_of(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    """Rows under their columns; a cell that is no rich text cannot steer the terminal."""
    table = Table(*columns, box=None, padding=(0, 3, 0, 0), header_style="bold")
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else Text(printable(str(cell))) for cell in row))
    return table


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows under their columns; whole, where it is not a screen."""
    _put(table_of(columns, rows))


def _put(shown: RenderableType) -> None:
    """On the screen, or into a pipe, where no line ends with the spaces that make a table even."""
    screen = console()
    if screen.is_terminal:
        screen.print(shown)
        return
    with screen.capture() as captured:
        screen.print(shown)
    click.echo("\n".join(line.rstrip() for line in captured.get().splitlines()))


def print_listing(listing: Listing, *, as_json: bool) -> None:
    """Print it once."""
    if as_json:
        print_json(listing.data)
    elif not listing.rows and listing.nothing:
        click.echo(listing.nothing, err=True)
    else:
        _put(picture(listing))


def picture(listing: Listing) -> RenderableType:
    """The table of a listing under its title."""
    table = table_of(listing.columns, listing.rows)
    return Group(Text(printable(listing.title), style="bold"), table) if listing.title else table


async def keep_showing(look: Look, interval_s: float, *, as_json: bool) -> None:
    """Look again and again until Ctrl-C: a screen that renews itself, or one JSON line or table a look in a pipe."""
    screen = console()
    if as_json or not screen.is_terminal:
        while True:
            listing = await look()
            if as_json:
                print_json(listing.data, compact=True)
            else:
                print_listing(listing, as_json=False)
            await asyncio.sleep(interval_s)
    shown: RenderableType = Text("…")
    with Live(shown, console=screen, screen=True, auto_refresh=False) as live:
        try:
            while True:
                shown = await _picture(look, shown)
                live.update(shown, refresh=True)
                await asyncio.sleep(interval_s)
        finally:
            live.stop()
            screen.print(shown)


async def _picture(look: Look, before: RenderableType) -> RenderableType:
    """What is to be shown; a server that is away is said above what was seen last."""
    try:
        listing = await look()
    except StoreError as fault:
        return Group(Text(printable(str(fault)), style="red"), before)
    if not listing.rows and listing.nothing:
        return Text(listing.nothing)
    return picture(listing)


class _RateColumn(ProgressColumn):
    """Pieces a second."""

    def render(self, task: Task) -> Text:
        """The rate, once there is one."""
        speed = task.finished_speed or task.speed
        return Text(f"{speed:,.1f}/s" if speed else "")


def result_line(data: Any, bar: Progress) -> None:
    """One JSON line of a result on standard output; above the bar, if both are on one screen."""
    if sys.stdout.isatty() and not bar.disable:
        bar.console.print(json.dumps(data, ensure_ascii=False), markup=False, highlight=False, soft_wrap=True)
    else:
        print_json(data, compact=True)


def several(count: int, what: str) -> str:
    """A number with its noun, such as 1 Spore or 2 Spores."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def progress_bar(unit: str) -> Progress:
    """A bar on standard error with count, rate, time gone and time left; nothing where that is not a terminal."""
    screen = console(err=True)
    return Progress(
        TextColumn(unit), BarColumn(30), MofNCompleteColumn(), _RateColumn(), TimeElapsedColumn(), TextColumn("left"),
        TimeRemainingColumn(), console=screen, disable=not screen.is_terminal, transient=False,
    )  # fmt: skip


def ago(seconds: float) -> str:
    """A stretch of time in its two largest units, such as 3m 12s."""
    whole = max(int(seconds), 0)
    for size, name, below, smaller in ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "m"), (60, "m", 1, "s")):
        if whole >= size:
            return f"{whole // size}{name} {whole % size // below}{smaller}"
    return f"{max(seconds, 0):.1f}s"
