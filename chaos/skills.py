"""What the storm runs: skills that write down when a body starts and how it ends, and skills that do harm.

Every body has a token of its own, which is its result: so a result tells which body made it.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from chaos.events import here, wall_us
from venom_core.log_format import WORK
from venom_spore.context import TaskContext
from venom_spore.execution import Attempt
from venom_spore.skills import SkillSet

skills = SkillSet()

MIB = 1024 * 1024
# A call through this one keeps the interpreter's lock.
_GRIPPING = ctypes.PyDLL(None)
# When the last step of a body began (µs), by its token.
_steps: dict[int, int] = {}


@contextmanager
def _body(ctx: TaskContext) -> Iterator[int]:
    """Write down that the body starts, and whether it came to its end."""
    recorder, work = here(), WORK.get()
    fence = work.lease.fence if isinstance(work, Attempt) else ""
    token = recorder.token()
    recorder.write("start", ids=(ctx.task_id,), token=token, fence=fence, text=ctx.node_id)
    try:
        yield token
    except BaseException:
        recorder.write("stopped", ids=(ctx.task_id,), token=token)
        raise
    finally:
        stepped = _steps.pop(token, 0)
    recorder.write("end", ids=(ctx.task_id,), token=token, since=stepped)


async def _sleep(seconds: float, token: int) -> None:
    """A sleep of a body, after which its next step begins."""
    await asyncio.sleep(seconds)
    _steps[token] = wall_us()


@skills.skill
async def brief(ctx: TaskContext) -> int:
    """No time at all."""
    with _body(ctx) as token:
        return token


@skills.skill
async def nap(ctx: TaskContext, seconds: float) -> int:
    with _body(ctx) as token:
        await _sleep(seconds, token)
        return token


@skills.skill
async def flaky(ctx: TaskContext) -> int:
    """Fails the first time."""
    with _body(ctx) as token:
        if ctx.attempt == 1:
            raise RuntimeError("not yet")
        return token


@skills.skill
async def hopeless(ctx: TaskContext) -> int:
    with _body(ctx):
        raise RuntimeError("never")


@skills.skill
async def fickle(ctx: TaskContext, item: int = 0) -> int:
    """Every other run of it fails."""
    with _body(ctx) as token:
        if token % 2:
            raise RuntimeError("not this time")
        return token


@skills.skill
def threaded(ctx: TaskContext, seconds: float) -> int:
    with _body(ctx) as token:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(0.01)
        return token


@skills.skill
def numb(ctx: TaskContext, seconds: float) -> int:
    """One call into C, which nothing reaches."""
    with _body(ctx) as token:
        time.sleep(seconds)
        return token


@skills.skill(process=True)
def child(ctx: TaskContext, seconds: float) -> int:
    with _body(ctx) as token:
        time.sleep(seconds)
        return token


@skills.skill(process=True)
def brood(ctx: TaskContext, seconds: float) -> int:
    """A child with children, all of which ignore being asked to end."""
    with _body(ctx) as token:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if os.fork() == 0:
            time.sleep(seconds)
            os._exit(0)
        time.sleep(seconds)
        return token


@skills.skill
async def deaf(ctx: TaskContext, seconds: float) -> int:
    """Blocks the event loop on its first node."""
    with _body(ctx) as token:
        if not ctx.crashes:
            _sleep_without_await(seconds)
        return token


@skills.skill
async def gripping(ctx: TaskContext, seconds: float) -> int:
    """Keeps the interpreter's lock on its first node, so that nothing there renews the lease."""
    with _body(ctx) as token:
        if not ctx.crashes:
            _GRIPPING.usleep(ctypes.c_uint(round(seconds * 1e6)))
        return token


@skills.skill
async def stubborn(ctx: TaskContext, seconds: float) -> int:
    """Does not end when it is told to, on its first node."""
    with _body(ctx) as token:
        end = time.monotonic() + (0 if ctx.crashes or ctx.attempt > 1 else seconds)
        while time.monotonic() < end:
            try:
                await asyncio.sleep(0.05)
            except asyncio.CancelledError:
                continue
        return token


@skills.skill(process=True, memory_mb=192)
def hungry(ctx: TaskContext, mib: int) -> int:
    """Wants more memory than it may have."""
    with _body(ctx) as token:
        held = bytearray(mib * MIB)
        return token if held else 0


@skills.skill(process=True)
def strangled(ctx: TaskContext) -> int:
    """Ends as the kernel ends who has taken all memory."""
    with _body(ctx) as token:
        os.kill(os.getpid(), signal.SIGKILL)
        return token


@skills.skill
async def host_killer(ctx: TaskContext) -> int:
    """Takes its Spore with it."""
    with _body(ctx) as token:
        os.kill(os.getpid(), signal.SIGKILL)
        return token


@skills.skill
async def mapped(ctx: TaskContext, item: int, item_index: int) -> int:
    """One item of a run, which is its own index."""
    with _body(ctx) as token:
        if item != item_index or not ctx.task_id.endswith(f".{item_index}"):
            raise ValueError(f"{ctx.task_id} was given item {item} at {item_index}")
        await _sleep(0.08, token)
        return token


@skills.skill
async def gathered(ctx: TaskContext, results: list[Any], level: int) -> list[int]:
    """Folds results to one list in their order; its own token stands before them."""
    with _body(ctx) as token:
        values = results if level == 0 else [value for part in results for value in part[1:]]
        return [token, *values]


def _sleep_without_await(seconds: float) -> None:
    time.sleep(seconds)
