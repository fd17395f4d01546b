"""Time as a value that tests can hold.

Everything that must know the hour takes a `Clock`; nothing else in the project calls `time` or
`datetime.now`. Deadlines and leases are judged by Redis `TIME`, never by this clock: it only stamps
records and measures waits on one machine.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial


class Clock:
    """The machine's clock: wall time for stamps, monotonic time for waits."""

    def now_ms(self) -> int:
        """Milliseconds since the Unix epoch, UTC."""
        return time.time_ns() // 1_000_000

    def monotonic_s(self) -> float:
        """Seconds on a clock that never goes back."""
        return time.monotonic()

    def lasting_s(self) -> float:
        """Seconds on a clock that never goes back, is never set, and goes on while the machine sleeps."""
        return _lasting_s()

    def lasting_reader(self) -> Callable[[], float]:
        """What gives `lasting_s` with the least effort, for who asks at each step of each task."""
        return _lasting_s


def _lasting() -> Callable[[], float]:
    """`time.monotonic` stands still in the sleep of a machine, where another clock is to be had."""
    if sys.platform == "win32":
        return time.monotonic
    return partial(time.clock_gettime, getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


_lasting_s = _lasting()


@dataclass
class ManualClock(Clock):
    """A clock that moves only when a test moves it."""

    wall_ms: int = 1_800_000_000_000
    elapsed_s: float = 0.0

    def now_ms(self) -> int:
        """The held wall time in milliseconds."""
        return self.wall_ms

    def monotonic_s(self) -> float:
        """The held monotonic time in seconds."""
        return self.elapsed_s

    def lasting_s(self) -> float:
        """The same."""
        return self.elapsed_s

    def lasting_reader(self) -> Callable[[], float]:
        """`lasting_s` itself."""
        return self.lasting_s

    def advance(self, seconds: float) -> None:
        """Move both faces of the clock forward."""
        self.elapsed_s += seconds
        self.wall_ms += round(seconds * 1000)


def to_utc(milliseconds: int) -> datetime:
    """Aware UTC time of a stamp in milliseconds since the epoch."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def to_naive_local(milliseconds: int) -> datetime:
    """Naive local time of a stamp: the one converter for documents that subtract from `datetime.now()`."""
    return datetime.fromtimestamp(milliseconds / 1000)


def from_datetime(moment: datetime) -> int:
    """Milliseconds since the epoch; a naive time is read as local time."""
    return round(moment.timestamp() * 1000)
