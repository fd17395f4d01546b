"""One skill of each kind that does not end by itself, for the tests of how work is ended; a second try ends at once.

Each notes the ids of its processes when it has begun. `stop_waiting` lets the thread go that hears nothing.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from pathlib import Path

from venom_spore.context import TaskContext
from venom_spore.skills import SkillSet

skills = SkillSet()
FOREVER_S = 3600.0
stop_waiting = threading.Event()


def _begun(ctx: TaskContext, note: str, *children: int) -> bool:
    """Whether this is to last."""
    with Path(note).open("a") as file:
        file.write(" ".join(map(str, (os.getpid(), *children))) + "\n")
    return not ctx.crashes


@skills.skill
async def in_loop(ctx: TaskContext, note: str) -> str:
    if _begun(ctx, note):
        await asyncio.sleep(FOREVER_S)
    return ctx.node_id


@skills.skill
def in_thread(ctx: TaskContext, note: str) -> str:
    """Looks whether it is to stop."""
    lasts = _begun(ctx, note)
    while lasts:
        ctx.raise_if_cancelled()
        time.sleep(0.01)
    return ctx.node_id


@skills.skill
def in_thread_unheard(ctx: TaskContext, note: str) -> str:
    """Waits in C and is reached by nothing."""
    if _begun(ctx, note):
        stop_waiting.wait(FOREVER_S)
    return ctx.node_id


@skills.skill(process=True)
def in_process(ctx: TaskContext, note: str) -> str:
    if _begun(ctx, note):
        time.sleep(FOREVER_S)
    return ctx.node_id


@skills.skill(process=True)
def in_process_with_brood(ctx: TaskContext, note: str) -> str:
    """It and its child ignore SIGTERM, and its child has hidden in a session of its own."""
    if ctx.crashes:
        return ctx.node_id
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    child = os.fork()
    if child == 0:
        os.setsid()
        time.sleep(FOREVER_S)
        os._exit(0)
    _begun(ctx, note, child)
    time.sleep(FOREVER_S)
    return ctx.node_id


@skills.skill
async def quick() -> str:
    return "quick"
