"""A skill that leaves a process behind which no parent, group or session leads to, and one that ends its Spore."""

from __future__ import annotations

import asyncio
import os
import sys

from venom_spore.skills import SkillSet

skills = SkillSet()

_TWICE = """
import os, sys, time
if os.fork():
    os._exit(0)
os.setsid()
with open(sys.argv[1], "w") as place:
    place.write(f"{os.getpid()}\\n")
time.sleep(float(sys.argv[2]))
"""


@skills.skill
async def hide(place: str, seconds: float = 600.0) -> str:
    """Returns once the first of the two processes has ended."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _TWICE, place, str(seconds), stdout=asyncio.subprocess.DEVNULL
    )
    assert await process.wait() == 0
    return "hidden"


@skills.skill
async def leave_with(code: int) -> None:
    """End the Spore with this exit code."""
    os._exit(code)
