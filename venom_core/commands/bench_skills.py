"""What the Spores of `venom bench` can do."""

from __future__ import annotations

import asyncio

from venom_core.clock import Clock
from venom_spore.skills import SkillSet

skills = SkillSet()
_CLOCK = Clock()


@skills.skill
async def bench_wait(seconds: float) -> None:
    """Wait, as for a page or a model."""
    await asyncio.sleep(seconds)


@skills.skill
async def bench_moment() -> float:
    """When it began, on the clock of this machine that all its processes share."""
    return _CLOCK.monotonic_s()
