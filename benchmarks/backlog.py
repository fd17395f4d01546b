"""What a transition costs Redis when little, much, and very much is queued."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext

from benchmarks.bare_store import bare_us
from benchmarks.crowd import crowd
from benchmarks.lab import Lab
from benchmarks.section import Promise, Section, middle
from benchmarks.store_probe import Costs, store_probe

LENGTHS = (1_000, 10_000, 100_000, 1_000_000)
USUAL, DELAYED, BEATING = 100_000, 100_000, 200
REPEATS = 40
SPREAD = 20.0
PARTS, WHOLE = ["claim", "settle", "enqueue"], "task (all three)"
NOTE = """Calls of 100 tasks by hand, one at a time; the queue is kept at its length. µs of Redis CPU a task
(`INFO cpu`), medians of the repetitions, with one task type. The nodes that beat are simulated and do so every second;
what their heartbeats cost Redis is counted in. Last column: what Redis takes for the bare commands (is it known, store,
put in line, take out of line, read) on a hash and a sorted set of that length, without a hive or a script; what memory
that no cache holds costs is seen there."""


def measure(lab: Lab) -> Section:
    section = Section(
        "backlog",
        "Redis CPU a task by length of the queue",
        ["queued", "claim µs", "settle µs", "enqueue µs", "all three µs", "bare µs"],
        notes=[NOTE],
    )
    found: dict[str, Costs] = {}
    bare: dict[str, list[float]] = {}
    for _ in range(lab.rounds):
        for length in LENGTHS:
            _add(found, f"{length:,}", asyncio.run(_costs(lab, length)))
            bare.setdefault(f"{length:,}", []).append(bare_us(lab.server, lab.count(length)))
        _add(found, f"{USUAL:,} and {DELAYED:,} delayed", asyncio.run(_costs(lab, USUAL, delayed=DELAYED)))
        _add(found, f"{USUAL:,} and {BEATING} nodes beating", asyncio.run(_costs(lab, USUAL, beating=BEATING)))
    for words, costs in found.items():
        columns = [middle(costs.claim), middle(costs.settle), middle(costs.enqueue)]
        shown = [f"{column:.2f}" for column in (*columns, sum(columns))]
        section.rows.append([words, *shown, f"{middle(bare[words]):.2f}" if words in bare else ""])
        section.numbers[words] = dict(zip(("claim_us", "settle_us", "enqueue_us"), columns, strict=True))
    section.numbers["bare_us"] = {words: middle(costs_us) for words, costs_us in bare.items()}
    _judge(section, [section.numbers[words] for words in found])
    return section


def _judge(section: Section, rows: list[dict[str, float]]) -> None:
    for words, parts in (("claim", ["claim"]), ("settle", ["settle"]), ("enqueue", ["enqueue"]), (WHOLE, PARTS)):
        costs_us = [sum(numbers[f"{part}_us"] for part in parts) for numbers in rows]
        least, most = min(costs_us), max(costs_us)
        section.notes.append(f"The dearest {words} costs {(most / least - 1) * 100:.0f} % more than the cheapest one.")
        if words in (PARTS[0], WHOLE):
            text = f"cost of a {words} about its middle, 1,000 to {LENGTHS[-1]:,} queued, delayed ones, nodes beating"
            section.promises.append(Promise(text, SPREAD, (most - least) / (most + least) * 100, "± %"))


def _add(found: dict[str, Costs], words: str, more: Costs) -> None:
    costs = found.setdefault(words, Costs())
    costs.claim += more.claim
    costs.settle += more.settle
    costs.enqueue += more.enqueue


async def _costs(lab: Lab, length: int, delayed: int = 0, beating: int = 0) -> Costs:
    async with store_probe(lab.server) as probe:
        await probe.fill(lab.count(length) if length > 10_000 else length)
        if delayed:
            await probe.fill(lab.count(delayed), when="+3600000")
        with crowd(lab.server.port, beating) if beating else nullcontext():
            await probe.cost(3)
            return await probe.cost(5 if lab.quick else REPEATS)
