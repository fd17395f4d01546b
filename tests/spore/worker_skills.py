"""Skills of every kind for the tests of the worker; at the top level, so that child processes can import them."""

from __future__ import annotations

import asyncio
import builtins
import contextlib
import ctypes
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from venom_spore.context import TaskContext
from venom_spore.skills import SkillSet

skills = SkillSet()


def _total(left: int, right: list[int] | None) -> dict[str, Any]:
    return {"sum": left + sum(right or ()), "text": "äöü"}


@skills.skill
async def in_loop(left: int, right: list[int] | None = None) -> dict[str, Any]:
    return _total(left, right)


@skills.skill
def in_thread(left: int, right: list[int] | None = None) -> dict[str, Any]:
    return _total(left, right)


@skills.skill(process=True)
def in_process(left: int, right: list[int] | None = None) -> dict[str, Any]:
    return _total(left, right)


def _tell(ctx: TaskContext, word: str) -> list[Any]:
    ctx.emit(word)
    ctx.emit(f"{word} again")
    return [ctx.task_id, ctx.task_type, ctx.attempt, ctx.crashes, ctx.node_id]


@skills.skill
async def told_in_loop(ctx: TaskContext, word: str) -> list[Any]:
    return _tell(ctx, word)


@skills.skill
def told_in_thread(ctx: TaskContext, word: str) -> list[Any]:
    return _tell(ctx, word)


@skills.skill(process=True)
def told_in_process(ctx: TaskContext, word: str) -> list[Any]:
    return _tell(ctx, word)


@skills.skill
async def in_loop_wrong() -> Any:
    return {1, 2}


@skills.skill
def in_thread_wrong() -> Any:
    return {1, 2}


@skills.skill(process=True)
def in_process_wrong() -> Any:
    return {1, 2}


@skills.skill
async def in_loop_long(size: int) -> str:
    return "x" * size


def _raise(kind: str) -> None:
    made = asyncio.CancelledError if kind == "CancelledError" else getattr(builtins, kind)
    raise made("as asked")


@skills.skill
async def raise_in_loop(kind: str) -> None:
    _raise(kind)


@skills.skill
def raise_in_thread(kind: str) -> None:
    _raise(kind)


@skills.skill(process=True)
def raise_in_process(kind: str) -> None:
    _raise(kind)


@skills.skill
async def raise_at_length(size: int) -> None:
    raise RuntimeError("x" * size)


@skills.skill
async def succeed_at(ctx: TaskContext, attempt: int) -> int:
    if ctx.attempt < attempt:
        raise RuntimeError(f"attempt {ctx.attempt}")
    return ctx.attempt


@skills.skill
async def sleep_in_loop(seconds: float, note: str = "") -> None:
    _note(note)
    await asyncio.sleep(seconds)


@skills.skill
def sleep_in_thread(seconds: float, note: str = "") -> None:
    _note(note)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.01)


@skills.skill(process=True)
def sleep_in_process(seconds: float, note: str = "") -> None:
    child = subprocess.Popen([sys.executable, "-c", f"import time; time.sleep({seconds})"])
    _note(note, child.pid)
    time.sleep(seconds)


@skills.skill
async def block_loop(seconds: float, note: str = "") -> None:
    _note(note)
    _block(seconds)


@skills.skill
async def spin_loop(note: str = "") -> None:
    _note(note)
    while True:
        pass


@skills.skill
async def swallow_once(note: str = "") -> str:
    _note(note)
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.sleep(60)
    await asyncio.sleep(60)
    return "never"


@skills.skill
async def fork_and_return() -> int:
    child = os.fork()
    if child == 0:
        return -1
    return _exit_code(child)


@skills.skill
async def fork_in_c_and_return() -> int:
    child = ctypes.CDLL(None).fork()
    if child == 0:
        return -1
    return _exit_code(child)


@skills.skill(process=True, memory_mb=128)
def eat_memory() -> int:
    eaten = []
    while True:
        eaten.append(bytearray(16 * 1024 * 1024))


@skills.skill(process=True)
def leave_abruptly(code: int) -> None:
    os._exit(code)


def _block(seconds: float) -> None:
    time.sleep(seconds)


def _exit_code(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _note(path: str, child: int = 0) -> None:
    """Leave a mark in a file, so that a test knows that the work has begun, and under which process ids."""
    if path:
        with Path(path).open("a") as file:
            file.write(f"{os.getpid()} {child}\n")
