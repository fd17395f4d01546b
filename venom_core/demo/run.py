"""What is known of a run of the quickstart, and what a line of its report is."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field

from venom_core.demo.ledger import Ledger
from venom_core.demo.rates import OneSlot, SpeedUp
from venom_core.demo.sources import SourceFile, Sources

Line = tuple[str, str]


@dataclass
class Killed:
    """The Spore that was killed: when, in seconds of Redis' clock, and what it held."""

    node: str
    at_s: float
    held: tuple[tuple[SourceFile, float], ...] = ()


@dataclass
class Update:
    """One release given to all Spores: from when to when, in seconds of Redis' clock. `fails`: it cannot start."""

    version: str
    nodes: int
    begun_s: float
    ended_s: float = 0.0
    fails: bool = False

    @property
    def seconds(self) -> float:
        """How long it took until every Spore had come through it."""
        return self.ended_s - self.begun_s


@dataclass
class Run:
    """All that is known of a run when it is over."""

    sources: Sources
    files: Sequence[SourceFile]
    ledger: Ledger
    seconds: float = 0.0
    one: OneSlot = field(default_factory=OneSlot)
    speed_up: SpeedUp | None = None
    slots: int = 1
    killed: Killed | None = None
    updates: list[Update] = field(default_factory=list)

    @property
    def undisturbed_until_s(self) -> float:
        """When the first thing happened to the Spores, in seconds of Redis' clock."""
        moments = [update.begun_s for update in self.updates]
        return min([*moments, self.killed.at_s if self.killed else math.inf])


def cores() -> int:
    """Processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
