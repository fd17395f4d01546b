"""Balance: Spores of unequal speed and load on uneven tasks, beside a scheduler that knows all before it begins."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.lab import Lab
from benchmarks.scheduling import Slot, Works, all_knowing, at_random, lower_bound, plain_pull, round_robin
from benchmarks.section import Promise, Section, middle
from benchmarks.spores import nexus, standing, with_settings, with_slots
from benchmarks.tally import FACTOR_VARIABLE, RECORD_VARIABLE

FACTORS = (1.0, 1.0, 1.5, 2.0, 4.0)
SLOTS, TASKS, SHORT_MS, LONG_MS = 4, 1_500, 20.0, 400.0
LOADED, LOADED_SLOTS, LOAD_MS = 1, 2, 4_000.0
LIMIT, DICE = 1.15, 20
HIVE, ALL_KNOWING, PULL, RANDOM, DEALT = "the hive", "all-knowing", "plain pull", "random", "round robin"
NOTE = f"""Five Spore processes of {SLOTS} slots and a Nexus. The work is waiting: {TASKS:,} tasks of {SHORT_MS:g} to
{LONG_MS:g} ms, seeded, most of them short; a node of factor 2 takes twice as long for each. The factors are
{", ".join(f"{factor:g}" for factor in FACTORS)}; the second node is loaded too: {LOADED_SLOTS} of its slots are taken
for the first {LOAD_MS / 1000:g} s. Which node ran a task, from when to when, is written down by the task. Makespan:
from the first begin to the last end. The others are reckoned for the durations of the same run: a task's work is its
duration over the speed of its node, a node's speed is what it showed. The all-knowing one knows both before it begins,
and gives the longest task first to the slot where it ends first; none can be below the bound. Random: the mean of
{DICE}."""


@dataclass(frozen=True, slots=True)
class Ran:
    """One task as it was recorded: number, seconds it would take at factor 1, node, begin and end in seconds."""

    number: int
    work_s: float
    node: int
    begin_s: float
    end_s: float


def measure(lab: Lab) -> Section:
    return section_of([compared(*_recorded(lab, seed)) for seed in range(lab.rounds)])


def section_of(rounds: Sequence[Mapping[str, float]]) -> Section:
    """The table from makespans of rounds."""
    head = ["", "makespan s", "× all-knowing", "× lower bound"]
    section = Section("balance", "Balance between unequal nodes", head, notes=[NOTE])
    for words in (HIVE, ALL_KNOWING, PULL, RANDOM, DEALT):
        seconds = [found[words] for found in rounds]
        by_best, by_bound = (
            middle([found[words] / found[other] for found in rounds]) for other in (ALL_KNOWING, "bound")
        )
        section.rows.append([words, f"{middle(seconds):.2f}", f"{by_best:.2f}", f"{by_bound:.2f}"])
        section.numbers[words] = seconds
    section.numbers["bound"] = [found["bound"] for found in rounds]
    ratio = middle([found[HIVE] / found[ALL_KNOWING] for found in rounds])
    section.promises.append(
        Promise("makespan on unequal, loaded nodes, by an all-knowing scheduler's", LIMIT, ratio, "×")
    )
    return section


def compared(ran: Sequence[Ran], holds: Sequence[Ran]) -> dict[str, float]:
    """Makespan of the recorded run and of each scheduler on the same tasks, in seconds."""
    first = min(one.begin_s for one in ran)
    works, seen = replayable(ran, slots_of(holds, first))
    reckoned: dict[str, Callable[[Works, Sequence[Slot]], float]] = {
        ALL_KNOWING: all_knowing, PULL: plain_pull, DEALT: round_robin, "bound": lower_bound
    }  # fmt: skip
    found = {words: scheduler(works, seen) for words, scheduler in reckoned.items()}
    found[RANDOM] = sum(at_random(works, seen, seed) for seed in range(DICE)) / DICE
    return found | {HIVE: max(one.end_s for one in ran) - first}


def replayable(ran: Sequence[Ran], slots: Sequence[Slot]) -> tuple[list[float], list[Slot]]:
    """Works in the order of their numbers, and slots of the speed that each node really had.

    What a task really took, over what its node took for a second of work on the whole, is its work.
    """
    told: dict[int, float] = {}
    took: dict[int, float] = {}
    for one in ran:
        told[one.node] = told.get(one.node, 0.0) + one.work_s
        took[one.node] = took.get(one.node, 0.0) + one.end_s - one.begin_s
    factors = {node: took[node] / told[node] for node in told}
    seen = [Slot(slot.node, factors.get(slot.node, slot.factor), slot.free_s) for slot in slots]
    ordered = sorted(ran, key=lambda one: one.number)
    return [(one.end_s - one.begin_s) / factors[one.node] for one in ordered], seen


def uneven_ms(seed: int, count: int) -> list[float]:
    """Durations at factor 1: each power between the shortest and the longest is as likely."""
    dice = random.Random(seed)
    return [SHORT_MS * (LONG_MS / SHORT_MS) ** dice.random() for _ in range(count)]


def records(text: str) -> list[Ran]:
    """What the tasks wrote down."""
    found = []
    for line in text.splitlines():
        number, ms, node, begin_s, end_s = line.split()
        found.append(Ran(int(number), float(ms) / 1000, int(node), float(begin_s), float(end_s)))
    return found


def slots_of(holds: Sequence[Ran], first_s: float) -> list[Slot]:
    """All slots of the hive; one that something held is free when that ended, counted from `first_s`."""
    slots = []
    for node, factor in enumerate(FACTORS):
        free_s = [max(hold.end_s - first_s, 0.0) for hold in holds if hold.node == node]
        slots += [Slot(node, factor, moment) for moment in [*free_s, *[0.0] * SLOTS][:SLOTS]]
    return slots


def _recorded(lab: Lab, seed: int) -> tuple[list[Ran], list[Ran]]:
    """The tasks that ran, and what held slots."""
    count = TASKS // 4 if lab.quick else TASKS
    record = Path(f"{lab.tally.path}.record")
    record.write_bytes(b"")
    side = with_slots(lab.hive, SLOTS)
    sides = [with_settings(side, **{FACTOR_VARIABLE: factor, RECORD_VARIABLE: record}) for factor in FACTORS]
    with standing(lab, sides, "benchmarks.waiting_skills"), nexus(lab):
        load = {"hold": f"hold_{LOADED}", "holds": LOADED_SLOTS, "hold_ms": LOAD_MS / 4 if lab.quick else LOAD_MS}
        lab.ask(lab.hive, "uneven", count, "uneven", {"all_ms": uneven_ms(seed, count), **load})
    found = records(record.read_text())
    ran, holds = ([one for one in found if (one.number < 0) == held] for held in (False, True))
    if sorted(one.number for one in ran) != list(range(count)) or len(holds) != LOADED_SLOTS:
        raise SystemExit(f"{len(ran):,} of {count:,} tasks wrote down when they ran, and {len(holds)} held a slot")
    return ran, holds
