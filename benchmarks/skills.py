"""What the Spore under measurement can do: a small async skill set."""

from __future__ import annotations

import asyncio

from benchmarks.tally import tally_of_worker
from venom_spore.skills import SkillSet

skills = SkillSet()
tally = tally_of_worker()


@skills.skill
async def noop(n: int) -> int:
    tally.add()
    return n


@skills.skill
async def same(item: int) -> int:
    tally.add()
    return item


@skills.skill
async def nap(ms: float) -> float:
    await asyncio.sleep(ms / 1000)
    tally.add()
    return ms


@skills.skill
async def length(text: str) -> int:
    tally.add()
    return len(text)
