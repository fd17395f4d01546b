"""Drain of a preloaded queue of no-ops: the hive beside every other queue at its fastest settings that keep a killed
worker's task.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.lab import Drained, Lab
from benchmarks.peers.catalogue import HIVE, PEERS
from benchmarks.peers.peer import PYTHON, Peer
from benchmarks.recovery import keepers
from benchmarks.section import Promise, Section, middle, span, whole
from benchmarks.sides import ROOT, Side

ARQ = "arq"
MOST_S = 10.0
RATIO_TO_ARQ, RATIO_TO_FASTEST = 28.0, 20.0
HEAD = [
    "queue", "tasks/s", "least–most", "× arq", "of the hive's", "worker CPU µs/task", "Redis CPU µs/task",
    "two processes, tasks/s", "keeps a killed worker's task",
]  # fmt: skip
NOTE = f"""One worker process, or two; from when each has completed a task to the moment when the store holds none that
is queued or running, at most {MOST_S:g} s. Results are stored, logs are off, loops are uvloop's where there is one.
Whether a queue keeps a killed worker's task is taken from the trials of the section on recovery: whether one has begun
again there, at any settings. Settings and numbers of tasks:"""


@dataclass(slots=True)
class Row:
    """A queue and its drains."""

    peer: Peer
    side: Side
    one: list[Drained] = field(default_factory=list)
    two: list[Drained] = field(default_factory=list)

    @property
    def per_second(self) -> float:
        """Tasks a second with one process, the median."""
        return middle([run.per_second for run in self.one])


def measure(lab: Lab) -> Section:
    rows = [Row(HIVE, lab.hive), *(Row(peer, peer.side(peer.drain)) for peer in PEERS)]
    for row in lab.in_turns(rows):
        row.one.append(_drain(lab, row, 1))
        row.two.append(_drain(lab, row, 2))
    return section_of(rows, _kept(), quick=lab.quick)


def _drain(lab: Lab, row: Row, processes: int) -> Drained:
    count = lab.count(row.peer.tasks)
    lab.server.empty()
    lab.ask(row.side, "bulk", count, "noop", {"n": 1})
    return lab.drain_queued(row.side, count, most_s=MOST_S, processes=processes)


def _kept() -> dict[str, bool]:
    path = ROOT / "benchmarks" / "results.json"
    found: dict[str, Any] = json.loads(path.read_text())["sections"] if path.exists() else {}
    return keepers(found["recovery"]) if "recovery" in found else {}


def section_of(rows: Sequence[Row], kept: Mapping[str, bool], *, quick: bool) -> Section:
    """The table, and what it says about the promises."""
    section = Section("peers", "Drain of no-ops beside other queues", HEAD, notes=[NOTE])
    rates = {row.peer.title: row.per_second for row in rows}
    for row in rows:
        cpu_us = [[getattr(run, part) for run in row.one] for part in ("worker_us", "redis_us")]
        section.rows.append(
            [
                row.peer.title,
                whole(row.per_second),
                span([run.per_second for run in row.one]),
                f"{row.per_second / rates[ARQ]:.1f}",
                f"1/{rates[HIVE.title] / row.per_second:.0f}",
                *(f"{middle(values):.1f}" for values in cpu_us),
                whole(middle([run.per_second for run in row.two])),
                {True: "yes", False: "no", None: "not measured"}[kept.get(row.peer.title)],
            ]
        )
        section.numbers[row.peer.title] = {
            "per_second": [run.per_second for run in row.one],
            "per_second_of_two": [run.per_second for run in row.two],
            "worker_us": middle(cpu_us[0]),
            "redis_us": middle(cpu_us[1]),
        }
    section.notes.append("\n".join(_settings(row, quick=quick) for row in rows))
    section.promises += _promises(*ratios(rows, kept))
    return section


def ratios(rows: Sequence[Row], kept: Mapping[str, bool]) -> tuple[dict[str, float], str]:
    """The hive's rate by that of arq and by that of the fastest Python queue that keeps a killed worker's task; its
    title, or "" if none is known to.
    """
    rates = {row.peer.title: row.per_second for row in rows}
    keeping = [row.peer.title for row in rows if row.peer.language == PYTHON and kept.get(row.peer.title)]
    fastest = max(keeping, key=rates.__getitem__, default="")
    return {title: rates[HIVE.title] / rates[title] for title in (ARQ, fastest) if title in rates}, fastest


def _promises(by: Mapping[str, float], fastest: str) -> Iterator[Promise]:
    if ARQ in by:
        yield Promise("drain of no-ops, one process, beside arq", RATIO_TO_ARQ, by[ARQ], "×", at_least=True)
    if fastest:
        words = f"the same beside the fastest Python queue that keeps a killed worker's task, {fastest}"
        yield Promise(words, RATIO_TO_FASTEST, by[fastest], "×", at_least=True)


def _settings(row: Row, *, quick: bool) -> str:
    tasks = "" if quick else f", {row.peer.tasks:,} tasks"
    words = "`--concurrency=100`, all else by default" if row.peer is HIVE else row.peer.drain.words
    return f"- **{row.peer.title}** ({row.peer.versions()}): {words}{tasks}"
