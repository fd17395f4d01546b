"""A no-op that burns CPU: what a slow commit looks like to the gate. Only the gate's test runs it."""

from __future__ import annotations

import time

from benchmarks.tally import tally_of_worker
from venom_spore.skills import SkillSet

BURN_S = 0.0005

skills = SkillSet()
tally = tally_of_worker()


@skills.skill
async def noop(n: int) -> int:
    end_s = time.process_time() + BURN_S
    while time.process_time() < end_s:
        pass
    tally.add()
    return n
