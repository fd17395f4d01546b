"""What came back: every result once, added up as it arrives, and the proof that no file is missing."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from venom_core.clock import from_datetime
from venom_core.demo.path_text import to_wire
from venom_core.demo.rates import Span
from venom_core.demo.sources import SourceFile
from venom_core.domain.lifecycle import TaskStatus
from venom_core.domain.task_message import TaskMessage

WEIGHTS = {"HIGH": 100, "MEDIUM": 10, "LOW": 1}


@dataclass(frozen=True, slots=True)
class Recovered:
    """A file whose Spore died under it: where and when it started again and ended, in seconds of Redis' clock."""

    file: SourceFile
    crashes: int
    node: str
    started_s: float
    ended_s: float


@dataclass(frozen=True, slots=True)
class Scanned:
    """Findings of one file, by severity."""

    file: SourceFile
    severities: dict[str, int]

    @property
    def weight(self) -> int:
        """One high finding weighs ten medium ones, one medium ten low ones."""
        return sum(WEIGHTS.get(name, 0) * count for name, count in self.severities.items())


@dataclass(frozen=True, slots=True)
class Proof:
    """Files that are not in the result exactly once."""

    missing: tuple[str, ...]
    repeated: tuple[str, ...]
    foreign: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether every file is there exactly once and nothing else is."""
        return not (self.missing or self.repeated or self.foreign)


@dataclass
class Ledger:
    """Sums over all results, and one line for each that deserves a name."""

    seen: Counter[str] = field(default_factory=Counter)
    severities: Counter[str] = field(default_factory=Counter)
    rules: Counter[str] = field(default_factory=Counter)
    releases: Counter[str] = field(default_factory=Counter)
    nodes: Counter[str] = field(default_factory=Counter)
    lines: int = 0
    scanned: list[Scanned] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    skipped: list[tuple[SourceFile, str]] = field(default_factory=list)
    failed: list[tuple[SourceFile, str]] = field(default_factory=list)
    recovered: list[Recovered] = field(default_factory=list)
    count: int = 0
    _grown: asyncio.Event = field(default_factory=asyncio.Event)

    async def reached(self, count: int) -> None:
        """Wait until so many tasks have ended."""
        while self.count < count:
            self._grown.clear()
            await self._grown.wait()

    def add(self, file: SourceFile, task: TaskMessage) -> None:
        """Take the end of one task in."""
        self.count += 1
        self._grown.set()
        assert task.started_at is not None
        assert task.completed_at is not None
        started_s, ended_s = from_datetime(task.started_at) / 1000, from_datetime(task.completed_at) / 1000
        node = task.assigned_node or "?"
        if task.crashes:
            self.recovered.append(Recovered(file, task.crashes, node, started_s, ended_s))
        if task.status is not TaskStatus.COMPLETED:
            reason = (task.error or "without a word").splitlines()[0]
            self.failed.append((file, f"{task.status}: {reason}"))
            return
        self.nodes[node] += 1
        size = 0 if "skipped" in task.result else file.size  # a file that was not scanned says nothing of the pace
        self.spans.append(Span(str(file.path), node, size, started_s, ended_s))
        self._add_result(file, task.result)

    def _add_result(self, file: SourceFile, result: dict[str, Any]) -> None:
        self.seen[result["path"]] += 1
        if "release" in result:
            self.releases[result["release"]] += 1
        if "skipped" in result:
            self.skipped.append((file, result["skipped"]))
            return
        self.lines += result["lines"]
        self.severities.update(result["severities"])
        self.rules.update(result["rules"])
        if result["severities"]:
            self.scanned.append(Scanned(file, result["severities"]))

    def worst(self, count: int) -> list[Scanned]:
        """The files with the gravest findings, gravest first."""
        return sorted(self.scanned, key=lambda file: (-file.weight, str(file.file.path)))[:count]

    def prove(self, files: Iterable[SourceFile]) -> Proof:
        """Compare the paths in the results with the files that were to be scanned."""
        wanted = {to_wire(file.path) for file in files}
        return Proof(
            missing=tuple(sorted(wanted - self.seen.keys())),
            repeated=tuple(sorted(path for path, times in self.seen.items() if times > 1)),
            foreign=tuple(sorted(self.seen.keys() - wanted)),
        )
