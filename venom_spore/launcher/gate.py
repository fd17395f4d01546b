"""Whether a release on trial is healthy: what its worker said, and when. Pure; times are seconds of one clock.

Healthy is who was ready in time, had a task through the hive, passed the release's own check, and then beat without a
gap for long enough. A gap (the hive's Redis was away) begins the count anew; only the deadline ends the patience.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

READY_S = 30.0
PATIENCE_S = 60.0
GAP_S = 6.0


class Verdict(StrEnum):
    """How a trial stands."""

    OPEN = "open"
    HEALTHY = "healthy"
    SICK = "sick"


@dataclass(frozen=True, slots=True)
class Terms:
    """What is asked: ready within `ready_s`, steady beats for `steady_s`; `patience_s` is what both may take longer."""

    steady_s: float
    ready_s: float = READY_S
    patience_s: float = PATIENCE_S

    @property
    def deadline_s(self) -> float:
        """How long a trial may last."""
        return self.ready_s + 2 * self.steady_s + self.patience_s


class Gate:
    """One trial, from the start of its worker."""

    def __init__(self, terms: Terms, started_s: float) -> None:
        self._terms, self._started_s = terms, started_s
        self._gap_s = GAP_S
        self._ready = False
        self._passed: set[str] = set()
        self._failed = ""
        self._steady_since_s = self._last_beat_s = -math.inf

    def ready(self, now_s: float, gap_s: float = GAP_S) -> None:
        """The worker joined the hive; `gap_s`: how far apart its beats may be."""
        self._ready, self._gap_s = True, gap_s
        if now_s - self._started_s > self._terms.ready_s:
            self._failed = self._failed or self._late()

    @property
    def joined(self) -> bool:
        """Whether the worker has joined the hive."""
        return self._ready

    def beat(self, now_s: float) -> None:
        """Redis answered a heartbeat, and the worker's event loop heard it."""
        if now_s - self._last_beat_s > self._gap_s:
            self._steady_since_s = now_s
        self._last_beat_s = now_s

    def tested(self, what: str, *, ok: bool, why: str = "") -> None:
        """The end of the self-test or of the release's own check."""
        if ok:
            self._passed.add(what)
        else:
            self._failed = self._failed or f"{what} failed: {why or 'no reason given'}"

    def died(self, how: str) -> None:
        """The worker ended, which no worker on trial may."""
        self._failed = self._failed or how

    def again(self, now_s: float) -> bool:
        """Begin the patience anew, with what was passed already; False if that cannot help, because a test failed."""
        self._started_s = now_s
        return not self._failed

    def verdict(self, now_s: float) -> tuple[Verdict, str]:
        """How it stands, and why if it is sick."""
        age_s = now_s - self._started_s
        if self._failed:
            return Verdict.SICK, self._failed
        if not self._ready:
            return (Verdict.SICK, self._late()) if age_s > self._terms.ready_s else (Verdict.OPEN, "")
        if not self._missing(now_s):
            return Verdict.HEALTHY, ""
        if age_s > self._terms.deadline_s:
            return Verdict.SICK, f"after {self._terms.deadline_s:g} s still without {self._missing(now_s)}"
        return Verdict.OPEN, ""

    def next_s(self) -> float:
        """When to ask again at the latest, though nothing is said."""
        limit_s = self._terms.deadline_s if self._ready else self._terms.ready_s
        return self._started_s + limit_s + 0.01

    def _missing(self, now_s: float) -> str:
        steady = now_s - self._last_beat_s <= self._gap_s
        steady = steady and self._last_beat_s - self._steady_since_s >= self._terms.steady_s
        missing = [what for what in ("self-test", "check") if what not in self._passed]
        return ", ".join(missing if steady else [*missing, f"{self._terms.steady_s:g} s of steady beats"])

    def _late(self) -> str:
        return f"not ready within {self._terms.ready_s:g} s"
