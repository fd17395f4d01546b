"""Work that waits: how near a run comes to the time that its waiting alone would take, and what more Spores add."""

from __future__ import annotations

from benchmarks.lab import Lab
from benchmarks.section import Promise, Section, middle
from benchmarks.spores import standing, with_slots

ITEMS, ITEM_MS, SLOTS = 10_000, 50.0, 100
FEW_SLOTS, MANY = 10, (1, 5, 10)
TASKS = 2_000
OVER_PERCENT, FIVE, TEN = 5.0, 4.8, 9.6
SKILLS = "benchmarks.waiting_skills"
NOTE = f"""From the call to the last result in the caller; every Spore is a process of its own that has joined before.
The first row is `map_reduce` over {ITEMS:,} items of {ITEM_MS:g} ms with {SLOTS} slots. The others are {TASKS:,} tasks
of {ITEM_MS:g} ms with {FEW_SLOTS} slots a Spore, enqueued in bulk and gathered. Ideal: tasks times their waiting, over
the slots; nothing can be faster. Ten Spores need no simulation here: what waits leaves the cores free, so that all ten
run."""


def measure(lab: Lab) -> Section:
    runs: dict[int, list[float]] = {count: [] for count in MANY}
    mapped = []
    for _ in range(lab.rounds):
        mapped.append(_mapped(lab))
        for spores in MANY:
            runs[spores].append(_gathered(lab, spores))
    return section_of(mapped, runs, items=_items(lab, ITEMS), tasks=_items(lab, TASKS))


def section_of(mapped: list[float], runs: dict[int, list[float]], items: int, tasks: int) -> Section:
    """The table from seconds of rounds."""
    head = ["", "Spores", "slots of all", "ideal s", "measured s", "over the ideal", "× one Spore"]
    section = Section("ideal", "Work that waits, beside the ideal", head, notes=[NOTE])
    ideal_s, took_s = items * ITEM_MS / 1000 / SLOTS, middle(mapped)
    over = (took_s / ideal_s - 1) * 100
    section.rows.append(["map_reduce", "1", str(SLOTS), f"{ideal_s:.2f}", f"{took_s:.3f}", f"{over:.1f} %", ""])
    section.numbers["map_reduce_s"] = mapped
    text = f"map-reduce of {items:,} × {ITEM_MS:g} ms on {SLOTS} slots, over the ideal"
    section.promises.append(Promise(text, OVER_PERCENT, over, "%"))
    for spores, seconds in runs.items():
        slots, took_s = spores * FEW_SLOTS, middle(seconds)
        ideal_s, ratio = tasks * ITEM_MS / 1000 / slots, middle(runs[1]) / took_s
        section.rows.append([
            "tasks", str(spores), str(slots), f"{ideal_s:.2f}", f"{took_s:.3f}",
            f"{(took_s / ideal_s - 1) * 100:.1f} %", f"{ratio:.2f}",
        ])  # fmt: skip
        section.numbers[f"{spores} Spores, s"] = seconds
        if spores > 1:
            least = FIVE if spores == 5 else TEN
            section.promises.append(
                Promise(f"{spores} Spores by one on work that waits", least, ratio, "×", at_least=True)
            )
    return section


def _items(lab: Lab, full: int) -> int:
    """Full rounds of the slots, so that the ideal can be reached."""
    return full // 10 if lab.quick else full


def _mapped(lab: Lab) -> float:
    with standing(lab, [lab.hive], SKILLS):
        lab.ask(lab.hive, "mapped", 1, "rest", {"item": 1.0})
        return float(lab.ask(lab.hive, "mapped", _items(lab, ITEMS), "rest", {"item": ITEM_MS})["seconds"])


def _gathered(lab: Lab, spores: int) -> float:
    side = with_slots(lab.hive, FEW_SLOTS)
    with standing(lab, [side] * spores, SKILLS):
        lab.ask(lab.hive, "gathered", 1, "rest", {"item": 1.0})
        return float(lab.ask(lab.hive, "gathered", _items(lab, TASKS), "rest", {"item": ITEM_MS})["seconds"])
