from __future__ import annotations

import io

from rich.console import Console

from venom_core.clock import ManualClock
from venom_core.demo.board import Row
from venom_core.demo.view import PLAIN_LINE_S, LiveView, PlainView

ROWS = [
    Row("spore-1", "online", running=1, done=4, rate=2.0, cpu_percent=97.0),
    Row("spore-2", "gone", done=3, killed=True),
    Row("spore-3", "killed, lease ends in 3 s", killed=True),
]


def test_plain_lines_come_every_few_seconds_only() -> None:
    out, clock = io.StringIO(), ManualClock()
    view = PlainView(Console(file=out, width=200), clock)
    view.begin("Scanning", 8)
    view.advance()
    view.table(ROWS)
    clock.advance(PLAIN_LINE_S)
    view.table(ROWS)
    view.table(ROWS)
    view.end()
    view.say("done [red]really[/red]")
    first, line, last = out.getvalue().splitlines()
    assert first == "Scanning"
    assert line == (
        "  1 of 8 files; spore-1 online 4 done 2/s, spore-2 killed 3 done 0/s, "
        "spore-3 killed, lease ends in 3 s 0 done 0/s"
    )
    assert last == "done [red]really[/red]"


def test_a_terminal_shows_a_bar_and_a_row_for_each_spore() -> None:
    out = io.StringIO()
    view = LiveView(Console(file=out, width=120, force_terminal=True))
    view.say("before")
    view.begin("Scanning", 8)
    view.table(ROWS)
    view.advance()
    view.end()
    view.end()
    text = out.getvalue()
    assert "1/8" in text
    for words in ("before", "Scanning", "spore-1", "online", "97", "killed", "lease ends in 3 s", "files/s"):
        assert words in text
