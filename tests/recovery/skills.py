"""Skills that leave a line in a journal whenever something happens to them: "word number pid"."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from venom_spore.context import TaskContext
from venom_spore.skills import SkillSet

skills = SkillSet()


def _note(journal: str, word: str, number: int) -> None:
    with Path(journal).open("a") as file:
        file.write(f"{word} {number} {os.getpid()}\n")


@skills.skill
async def work(journal: str, number: int = 0, seconds: float = 0.0) -> int:
    _note(journal, "begin", number)
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        _note(journal, "stopped", number)
        raise
    _note(journal, "end", number)
    return number


@skills.skill
async def hold_first(ctx: TaskContext, journal: str) -> str:
    """Takes a minute on its first node and no time on any later one."""
    _note(journal, "begin", ctx.crashes)
    try:
        await asyncio.sleep(0 if ctx.crashes else 60)
    except asyncio.CancelledError:
        _note(journal, "stopped", ctx.crashes)
        raise
    return ctx.node_id


@skills.skill
async def die(journal: str) -> None:
    """Takes its Spore with it."""
    _note(journal, "begin", 0)
    os._exit(3)


@skills.skill
async def deaf_first(ctx: TaskContext, journal: str, gate: str) -> str:
    """On its first node it blocks the event loop until somebody writes to the FIFO `gate`."""
    _note(journal, "begin", ctx.crashes)
    if not ctx.crashes:
        _read(gate)
        _note(journal, "late", ctx.crashes)
    return ctx.node_id


def _read(gate: str) -> None:
    Path(gate).read_bytes()


@skills.skill
async def pause(seconds: float) -> None:
    await asyncio.sleep(seconds)


@skills.skill
async def heedless(journal: str) -> None:
    """Does not end when it is told to."""
    _note(journal, "begin", 0)
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            _note(journal, "told", 0)
