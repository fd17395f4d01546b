"""Skills that wait: an item of a map-reduce, work on a node that is slower than others, what fills a node's slots."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

from benchmarks.tally import CELL_VARIABLE, FACTOR_VARIABLE, RECORD_VARIABLE, tally_of_worker
from venom_spore.skills import SkillSet

skills = SkillSet()
tally = tally_of_worker()
_node = int(os.environ.get(CELL_VARIABLE, "0"))
_factor = float(os.environ.get(FACTOR_VARIABLE, "1"))
_record = Path(os.environ.get(RECORD_VARIABLE, os.devnull)).open("ab", buffering=0)  # noqa: SIM115  # open as long as the process


@skills.skill
async def rest(item: float) -> float:
    await asyncio.sleep(item / 1000)
    tally.add()
    return item


@skills.skill
async def uneven(number: int, ms: float) -> int:
    """Work of `ms` on a node of factor 1; who ran it, when it began and when it ended is written down."""
    begin = time.time()
    await asyncio.sleep(ms * _factor / 1000)
    _record.write(f"{number} {ms!r} {_node} {begin!r} {time.time()!r}\n".encode())
    tally.add()
    return number


@skills.skill(f"hold_{_node}")
async def hold(ms: float) -> float:
    """Work that only this node takes, whatever it is: its load of its own, written down under number -1."""
    begin = time.time()
    await asyncio.sleep(ms / 1000)
    _record.write(f"-1 {ms!r} {_node} {begin!r} {time.time()!r}\n".encode())
    return ms
