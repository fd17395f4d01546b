"""What a second Spore process adds, when the work is computing and when it is waiting."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from benchmarks.lab import Drained, Lab
from benchmarks.section import Promise, Section, middle, span, whole
from benchmarks.spores import BESIDE_REDIS, with_settings, with_slots

NOTE = """From when each has completed a task to the moment when the store holds none that is queued or running; the
same number of tasks for one as for two. With 100 slots, no-ops and tasks of 1 ms want more than the cores here have:
the server and two Spores share them, and the Spores give way to it (HIVE_NICENESS=19, with one as with two). With 16
slots, waiting is what bounds one Spore, so a second one can show what it adds."""
NEVER_SLOWER, WAITING = 1.0, 1.8


@dataclass(frozen=True, slots=True)
class Work:
    """A kind of task, the slots of each Spore, the promised ratio, and pairs a round, more where it is close."""

    words: str
    slots: int
    tasks: int
    task: str
    payload: dict[str, Any]
    least: float | None
    pairs: int = 1


@dataclass(slots=True)
class Found:
    """Drains with one and with two Spores, a pair a round."""

    one: list[Drained] = field(default_factory=list)
    two: list[Drained] = field(default_factory=list)

    def ratio(self) -> float:
        """Rate of two by that of one, the median of the pairs."""
        return middle([two.per_second / one.per_second for one, two in zip(self.one, self.two, strict=True)])


WORKS = (
    Work("no-ops", 100, 200_000, "noop", {"n": 1}, NEVER_SLOWER, pairs=3),
    Work("1 ms of waiting", 16, 60_000, "nap", {"ms": 1}, WAITING),
    Work("1 ms of waiting", 100, 150_000, "nap", {"ms": 1}, NEVER_SLOWER),
)


def measure(lab: Lab) -> Section:
    found = [Found() for _ in WORKS]
    for number in range(lab.rounds):
        for work, runs in zip(WORKS, found, strict=True):
            for pair in range(number, number + work.pairs):
                _drain_in_turns(lab, work, runs, (1, 2) if pair % 2 == 0 else (2, 1))
    return section_of(list(zip(WORKS, found, strict=True)))


def _drain_in_turns(lab: Lab, work: Work, runs: Found, turns: tuple[int, int]) -> None:
    side = with_settings(with_slots(lab.hive, work.slots), **BESIDE_REDIS)
    for processes in turns:
        drained = lab.drain(side, lab.count(work.tasks), work.task, work.payload, processes)
        (runs.one if processes == 1 else runs.two).append(drained)


def section_of(rows: list[tuple[Work, Found]]) -> Section:
    """The table, and what it says about the promises."""
    section = Section(
        "two_spores",
        "A second Spore",
        ["", "slots each", "one, tasks/s", "two, tasks/s", "least–most", "×", "worker CPU µs/task, two", "Redis, two"],
        notes=[NOTE],
    )
    for work, runs in rows:
        one, two = ([run.per_second for run in part] for part in (runs.one, runs.two))
        ratio, (worker_us, redis_us) = runs.ratio(), _cpu_us(runs.two)
        section.rows.append([
            work.words, str(work.slots), whole(middle(one)), whole(middle(two)), span(two), f"{ratio:.2f}",
            f"{worker_us:.1f}", f"{redis_us:.1f}",
        ])  # fmt: skip
        words = f"{work.words}, {work.slots} slots each"
        section.numbers[words] = {"one_per_s": one, "two_per_s": two, "worker_us": worker_us, "redis_us": redis_us}
        if work.least is not None:
            section.promises.append(Promise(f"two Spores by one: {words}", work.least, ratio, "×", at_least=True))
    return section


def _cpu_us(runs: list[Drained]) -> tuple[float, float]:
    return middle([run.worker_us for run in runs]), middle([run.redis_us for run in runs])
