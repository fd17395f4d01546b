"""The no-op in a Spore that samples itself, from its first task to its end: for the measure `anatomy`."""

from __future__ import annotations

import atexit
import os
from pathlib import Path

from benchmarks.sampling import Sampler, write
from benchmarks.tally import RECORD_VARIABLE, tally_of_worker
from venom_spore.skills import SkillSet

skills = SkillSet()
tally = tally_of_worker()
_sampler = Sampler()


@skills.skill
async def noop(n: int) -> int:
    if tally.value == 0:
        _sampler.start()
    tally.add()
    return n


atexit.register(lambda: write(Path(os.environ[RECORD_VARIABLE]), _sampler.stop()))
