"""Skills that say each of their steps to a journal, for a Spore that stands still: "word number pid seconds"."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

from venom_core.clock import Clock
from venom_spore.context import TaskContext
from venom_spore.skills import SkillSet

skills = SkillSet()
STEP_S = 0.01


def note(journal: str, word: str, number: int = 0) -> None:
    """A line, with the moment in seconds of `Clock.lasting_s`, which all processes share."""
    with Path(journal).open("a") as file:
        file.write(f"{word} {number} {os.getpid()} {Clock().lasting_s()}\n")


@skills.skill
async def nap(ctx: TaskContext, journal: str, seconds: float) -> str:
    """One sleep on its first node, and none on a later one."""
    note(journal, "begin")
    try:
        await asyncio.sleep(0 if ctx.crashes else seconds)
    except asyncio.CancelledError:
        note(journal, "stopped")
        raise
    note(journal, "end")
    return ctx.node_id


@skills.skill
async def steps(ctx: TaskContext, journal: str, seconds: float) -> str:
    """Many short sleeps, in two tasks of its own."""
    note(journal, "begin")
    end_s = Clock().lasting_s() + (0 if ctx.crashes else seconds)

    async def walk(number: int) -> None:
        while Clock().lasting_s() < end_s:
            await asyncio.sleep(STEP_S)
            note(journal, "step", number)

    try:
        async with asyncio.TaskGroup() as group:
            for number in (1, 2):
                group.create_task(walk(number))
    except asyncio.CancelledError:
        note(journal, "stopped")
        raise
    note(journal, "end")
    return ctx.node_id


@skills.skill
def thread_steps(ctx: TaskContext, journal: str, seconds: float) -> str:
    """Asks before each step whether it is to stop."""
    note(journal, "begin")
    end_s = Clock().lasting_s() + (0 if ctx.crashes else seconds)
    try:
        while Clock().lasting_s() < end_s:
            ctx.raise_if_cancelled()
            note(journal, "step")
            time.sleep(STEP_S)
    except BaseException:
        note(journal, "stopped")
        raise
    note(journal, "end")
    return ctx.node_id


@skills.skill(process=True)
def process_steps(ctx: TaskContext, journal: str, seconds: float) -> str:
    """A child that steps and its own child that steps and ignores SIGTERM."""
    note(journal, "begin")
    end_s = Clock().lasting_s() + (0 if ctx.crashes else seconds)
    if not ctx.crashes and os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        _walk(journal, 2, end_s)
        os._exit(0)
    _walk(journal, 1, end_s)
    note(journal, "end")
    return ctx.node_id


def _walk(journal: str, number: int, end_s: float) -> None:
    while Clock().lasting_s() < end_s:
        time.sleep(STEP_S)
        note(journal, "step", number)
