"""A thousand task types in one Spore."""

from __future__ import annotations

import asyncio

from benchmarks.lab import Drained, Lab
from benchmarks.section import Section, middle, whole
from benchmarks.store_probe import Costs, store_probe

TYPES = [f"noop.{number:04d}" for number in range(1000)]
TASKS = 100_000
REPEATS = 20


def measure(lab: Lab) -> Section:
    section = Section(
        "many_types",
        "A thousand task types in one Spore",
        ["types known", "types queued", "claim, Redis CPU µs/task", "drain tasks/s", "worker µs/task", "Redis µs/task"],
        notes=["Claims of 100 by hand, and a Spore that drains. The tasks stand in one line or in a thousand lines."],
    )
    one = TYPES[:1]
    for known, queued in ((one, one), (TYPES, one), (TYPES, TYPES)):
        costs = asyncio.run(_claims(lab, known, queued))
        skills = "benchmarks.many_skills"
        drained = [_drain(lab, queued, skills) for _ in range(lab.rounds)] if len(known) > 1 else []
        rates = [run.per_second for run in drained]
        shown = (
            [
                whole(middle(rates)),
                *(f"{middle([getattr(run, part) for run in drained]):.1f}" for part in ("worker_us", "redis_us")),
            ]
            if drained
            else ["see drain", "", ""]
        )
        section.rows.append([whole(len(known)), whole(len(queued)), f"{middle(costs.claim):.2f}", *shown])
        section.numbers[f"{len(known)} known, {len(queued)} queued"] = {
            "claim_us": middle(costs.claim), "per_second": rates,
        }  # fmt: skip
    return section


async def _claims(lab: Lab, known: list[str], queued: list[str]) -> Costs:
    async with store_probe(lab.server) as probe:
        await probe.fill(50_000, queued)
        return await probe.cost(3 if lab.quick else REPEATS, [*queued, *(set(known) - set(queued))])


def _drain(lab: Lab, queued: list[str], skills: str) -> Drained:
    count = max(lab.count(TASKS) // 1_000, 1) * 1_000
    asyncio.run(_fill(lab, count, queued))
    return lab.drain_queued(lab.hive, count, skills)


async def _fill(lab: Lab, count: int, queued: list[str]) -> None:
    async with store_probe(lab.server) as probe:
        await probe.fill(count, queued)
