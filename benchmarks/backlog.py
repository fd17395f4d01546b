"""What a transition costs Redis when little, much, and very much is queued."""

from __future__ import annotations

import asyncio

from benchmarks.lab import Lab
from benchmarks.section import Promise, Section, middle
from benchmarks.store_probe import Costs, store_probe

LENGTHS = (1_000, 10_000, 100_000, 500_000)
DELAYED = 100_000
REPEATS = 40
SPREAD = 20.0
NOTE = """Calls of 100 tasks by hand, one at a time; the queue is kept at its length. µs of Redis CPU a task
(`INFO cpu`), medians of the repetitions, with one task type."""


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
            _add(found, f"{length:,}", asyncio.run(_costs(lab, length, 0)))
        _add(found, f"{100_000:,} and {DELAYED:,} delayed", asyncio.run(_costs(lab, 100_000, DELAYED)))
    for words, costs in found.items():
        parts = [middle(costs.claim), middle(costs.settle), middle(costs.enqueue)]
        section.rows.append([words, *(f"{part:.2f}" for part in parts)])
        section.numbers[words] = {"claim_us": parts[0], "settle_us": parts[1], "enqueue_us": parts[2]}
    claims = [numbers["claim_us"] for numbers in section.numbers.values()]
    least, most = min(claims), max(claims)
    section.notes.append(f"The dearest claim costs {(most / least - 1) * 100:.0f} % more than the cheapest one.")
    spread = (most - least) / (most + least) * 100
    section.promises.append(
        Promise("claim cost about its middle, 1,000 to 500,000 queued and with delayed ones", SPREAD, spread, "± %")
    )
    return section


def _add(found: dict[str, Costs], words: str, more: Costs) -> None:
    costs = found.setdefault(words, Costs())
    costs.claim += more.claim
    costs.settle += more.settle
    costs.enqueue += more.enqueue


async def _costs(lab: Lab, length: int, delayed: int) -> Costs:
    async with store_probe(lab.server) as probe:
        await probe.fill(lab.count(length) if length > 10_000 else length)
        if delayed:
            await probe.fill(lab.count(delayed), when="+3600000")
        await probe.cost(3)
        return await probe.cost(5 if lab.quick else REPEATS)
