"""The same task as a skill of the hive."""

from __future__ import annotations

from benchmarks.peers import bodies
from venom_spore.skills import SkillSet

skills = SkillSet()


@skills.skill
async def telling(label: str, first_s: float, again_s: float, hold: bool) -> None:
    await bodies.telling(label, first_s, again_s, hold)
