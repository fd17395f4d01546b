"""How nice the process is in which a task runs."""

from __future__ import annotations

import os

from venom_spore.skills import SkillSet

skills = SkillSet()


@skills.skill
async def nice_here() -> int:
    return os.nice(0)


@skills.skill
def nice_in_a_thread() -> int:
    return os.nice(0)


@skills.skill(process=True)
def nice_in_a_child() -> int:
    return os.nice(0)
