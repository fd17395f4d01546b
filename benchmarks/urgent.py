"""A task of high priority on a hive that is full of background work: how long its caller waits for the result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from benchmarks.lab import Lab
from benchmarks.section import Promise, Section, middle
from benchmarks.timing import percentile

PERCENTS = (50, 95, 99)
LIMIT_MS = 15.0
NOTE = """One Spore with 100 slots works through background tasks, of which enough are queued to outlast the calls. The
caller is another process: it enqueues a no-op of priority `high_priority`, waits for its result, and only then enqueues
the next. Each percentile is the median of the rounds. Naps of 10 ms keep every slot taken, so that an urgent task waits
for one of them to end: that alone is up to 10 ms."""


@dataclass(frozen=True, slots=True)
class Background:
    """What fills the hive: so many tasks, and how many urgent calls go on beside it."""

    words: str
    tasks: int
    task: str
    payload: dict[str, Any]
    calls: int


WORKS = (
    Background("no-ops", 600_000, "noop", {"n": 1}, 500),
    Background("naps of 10 ms in all slots", 60_000, "nap", {"ms": 10}, 300),
)


def measure(lab: Lab) -> Section:
    found: dict[str, list[list[float]]] = {work.words: [] for work in WORKS}
    for _ in range(lab.rounds):
        for work in WORKS:
            calls_ms = _calls_ms(lab, work)
            found[work.words].append([percentile(calls_ms, percent) for percent in PERCENTS])
    return section_of(found)


def section_of(found: dict[str, list[list[float]]]) -> Section:
    """The table from percentiles of rounds; the worse p99 is judged."""
    head = ["background", *(f"p{percent} ms" for percent in PERCENTS)]
    section = Section("urgent", "Urgent tasks on a saturated hive", head, notes=[NOTE])
    for words, rounds in found.items():
        values = [middle(column) for column in zip(*rounds, strict=True)]
        section.rows.append([words, *(f"{value:.2f}" for value in values)])
        section.numbers[words] = {"calls_ms": values, "percents": list(PERCENTS)}
    worst = max(numbers["calls_ms"][-1] for numbers in section.numbers.values())
    section.promises.append(Promise("a high-priority task on a saturated hive, p99, the worse", LIMIT_MS, worst, "ms"))
    return section


def _calls_ms(lab: Lab, work: Background) -> list[float]:
    """Milliseconds of the calls; raises if the background was over before they were."""
    lab.server.empty()
    lab.tally.reset()
    # Not scaled down further when only trying out: the calls take as long as they take.
    lab.ask(lab.hive, "bulk", work.tasks // 4 if lab.quick else work.tasks, work.task, work.payload)
    with lab.worker(lab.hive):
        calls = max(work.calls // 10, 20) if lab.quick else work.calls
        calls_ms: list[float] = lab.ask(lab.hive, "urgent", calls, "noop", {"n": 1})["calls_ms"]
        left = lab.hive.unfinished(lab.server.client)
    if left == 0:
        raise SystemExit(f"the {work.words} in the background were over before {calls} urgent calls were")
    return calls_ms
