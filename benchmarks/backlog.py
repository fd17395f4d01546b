"""What a transition costs Redis when little, much, and very much is queued."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext

from benchmarks.crowd import crowd
from benchmarks.lab import Lab
from benchmarks.section import Promise, Section, middle
from benchmarks.store_probe import Costs, store_probe

LENGTHS = (1_000, 10_000, 100_000, 1_000_000)
USUAL, DELAYED, BEATING = 100_000, 100_000, 200
REPEATS = 40
SPREAD = 20.0
NOTE = """Calls of 100 tasks by hand, one at a time; the queue is kept at its length. µs of Redis CPU a task
(`INFO cpu`), medians of the repetitions, with one task type. The nodes that beat are simulated and do so every second;
what their heartbeats cost Redis is counted in."""


def measure(lab: Lab) -> Section:
    section = Section(
        "backlog",
        "Redis CPU a task by length of the queue",
        ["queued", "claim µs", "settle µs", "enqueue µs"],
        notes=[NOTE],
    )
    found: dict[str, Costs] = {}
    for _ in range(lab.rounds):
        for length in LENGTHS:
            _add(found, f"{length:,}", asyncio.run(_costs(lab, length)))
        _add(found, f"{USUAL:,} and {DELAYED:,} delayed", asyncio.run(_costs(lab, USUAL, delayed=DELAYED)))
        _add(found, f"{USUAL:,} and {BEATING} nodes beating", asyncio.run(_costs(lab, USUAL, beating=BEATING)))
    for words, costs in found.items():
        parts = [middle(costs.claim), middle(costs.settle), middle(costs.enqueue)]
        section.rows.append([words, *(f"{part:.2f}" for part in parts)])
        section.numbers[words] = {"claim_us": parts[0], "settle_us": parts[1], "enqueue_us": parts[2]}
    for part in ("claim", "settle", "enqueue"):
        costs_us = [numbers[f"{part}_us"] for numbers in section.numbers.values()]
        least, most = min(costs_us), max(costs_us)
        section.notes.append(f"The dearest {part} costs {(most / least - 1) * 100:.0f} % more than the cheapest one.")
        text = f"{part} cost about its middle, 1,000 to {LENGTHS[-1]:,} queued, with delayed ones, with nodes beating"
        section.promises.append(Promise(text, SPREAD, (most - least) / (most + least) * 100, "± %"))
    return section


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
