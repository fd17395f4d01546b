"""How a run looks while it goes on: a live table in a terminal, plain lines anywhere else."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from venom_core.clock import Clock
from venom_core.demo.board import Row

PLAIN_LINE_S = 3.0
REFRESH_PER_S = 4


class View(Protocol):
    """What the run tells its watcher."""

    def say(self, text: str, style: str = "") -> None:
        """One line that stays."""

    def begin(self, what: str, files: int) -> None:
        """A stretch of work of so many files begins."""

    def advance(self) -> None:
        """One file is done."""

    def table(self, rows: Iterable[Row]) -> None:
        """The Spores, once a second."""

    def end(self) -> None:
        """The stretch is over."""


class PlainView:
    """Lines without colour or cursor movement: one every few seconds."""

    def __init__(self, console: Console, clock: Clock) -> None:
        self._console, self._clock = console, clock
        self._files = self._done = 0
        self._next_s = 0.0

    def say(self, text: str, style: str = "") -> None:
        """Print a line."""
        self._console.print(Text(text, style=style), soft_wrap=True)

    def begin(self, what: str, files: int) -> None:
        """Say what begins."""
        self._files, self._done = files, 0
        self._next_s = self._clock.monotonic_s() + PLAIN_LINE_S
        self.say(what)

    def advance(self) -> None:
        """Count."""
        self._done += 1

    def table(self, rows: Iterable[Row]) -> None:
        """A line for all Spores, when it is time."""
        now_s = self._clock.monotonic_s()
        if now_s < self._next_s:
            return
        self._next_s = now_s + PLAIN_LINE_S
        nodes = ", ".join(f"{row.name} {_state(row)} {row.done} done {row.rate:.0f}/s" for row in rows)
        self.say(f"  {self._done} of {self._files} files; {nodes}")

    def end(self) -> None:
        """Nothing is on the screen that would have to go."""


class LiveView:
    """A progress bar over a table of the Spores, redrawn in place."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None
        self._bar = Progress()
        self._rows: list[Row] = []

    def say(self, text: str, style: str = "") -> None:
        """Print a line, above the table if there is one."""
        self._console.print(Text(text, style=style), soft_wrap=True)

    def begin(self, what: str, files: int) -> None:
        """Draw the bar and the table."""
        self.say(what)
        self._bar = Progress(
            TextColumn("  files"), BarColumn(40), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn(),
            console=self._console,
        )  # fmt: skip
        self._bar.add_task("files", total=files)
        self._live = Live(console=self._console, refresh_per_second=REFRESH_PER_S, get_renderable=self._picture)
        self._live.start()

    def advance(self) -> None:
        """Move the bar."""
        self._bar.advance(self._bar.task_ids[0])

    def table(self, rows: Iterable[Row]) -> None:
        """Redraw."""
        self._rows = list(rows)

    def end(self) -> None:
        """Leave the last picture where it is."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _picture(self) -> Group:
        table = Table(box=None, padding=(0, 2))
        table.add_column("node")
        table.add_column("state", min_width=24)
        for name in ("running", "done", "files/s", "CPU %"):
            table.add_column(name, justify="right")
        for row in self._rows:
            cells = (
                row.name,
                _state(row),
                str(row.running),
                str(row.done),
                f"{row.rate:.1f}",
                f"{row.cpu_percent:.0f}",
            )
            table.add_row(*cells, style="red" if row.killed else "")
        return Group(self._bar, table)


def _state(row: Row) -> str:
    return "killed" if row.killed and not row.state.startswith("killed") else row.state
