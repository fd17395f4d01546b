"""Skills that test_sandbox runs in child processes; what they do to those is the point."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any, NoReturn

from venom_core.errors import InvalidSetting
from venom_spore.context import TaskContext
from venom_spore.skills import SkillSet

skills = SkillSet()

FOREVER_S = 3600
_kept: list[TaskContext] = []
SLEEPER = (sys.executable, "-c", f"import time; time.sleep({FOREVER_S})")


@skills.skill(process=True)
def add(a: int, b: int = 2) -> int:
    return a + b


@skills.skill(process=True)
async def add_soon(a: int, *, b: int = 2) -> int:
    await asyncio.sleep(0)
    return a + b


@skills.skill(process=True)
def log_line(text: str) -> list[str]:
    """Logs a text as the root logger of this process does; gives the arguments and environment it was started with."""
    logging.getLogger("shop").error(text)
    handler = logging.getLogger().handlers[0]
    record = logging.LogRecord("shop", logging.ERROR, __file__, 1, text, None, None)
    return [handler.format(record), " ".join(sys.argv), " ".join(sys.orig_argv), " ".join(os.environ.values())]


@skills.skill(process=True)
def whoami() -> int:
    return os.getpid()


@skills.skill(process=True)
def tell(ctx: TaskContext, steps: int) -> list[Any]:
    for step in range(1, steps + 1):
        ctx.progress(step / steps, f"step {step}")
    ctx.emit({"half": steps / 2})
    return [ctx.task_id, ctx.task_type, ctx.attempt, ctx.crashes, ctx.node_id, ctx.cancelled]


@skills.skill(process=True)
def shout() -> str:
    sys.stdout.write("\x00\x00\x00\x05frame?")
    sys.stdout.flush()
    os.write(1, b"\xff" * 100)
    sys.stderr.write("not on the socket")
    return "heard"


@skills.skill(process=True)
def close_stdout() -> str:
    sys.stdout.close()
    return "closed"


@skills.skill(process=True)
def fail(text: str) -> NoReturn:
    raise ValueError(text)


@skills.skill(process=True)
def fail_with_half_a_pair() -> NoReturn:
    raise ValueError("half a pair: \ud800")


@skills.skill(process=True)
def fail_unprintably() -> NoReturn:
    class Strange(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    raise Strange


@skills.skill(process=True)
def refuse() -> NoReturn:
    raise InvalidSetting("API_KEY is missing; set it")


@skills.skill(process=True)
def leave() -> NoReturn:
    sys.exit(3)


@skills.skill(process=True)
def unserialisable() -> object:
    return {"place": [object()]}


@skills.skill(process=True)
def return_text(length: int) -> str:
    return "x" * length


@skills.skill(process=True)
def exit_hard(code: int) -> NoReturn:
    os._exit(code)


@skills.skill(process=True)
def signal_self(number: int) -> None:
    os.kill(os.getpid(), number)
    time.sleep(FOREVER_S)


@skills.skill(process=True, memory_mb=128)
def allocate_without_end() -> None:
    parts = []
    while True:
        parts.append(bytearray(1_000_000))


@skills.skill(process=True, memory_mb=128)
def allocate_some(megabytes: int) -> int:
    return len(bytearray(megabytes * 1_000_000))


@skills.skill(process=True)
def fork_and_return() -> str:
    os.fork()
    return "who returns?"


@skills.skill(process=True)
def spin(started: str) -> None:
    _write(started, [os.getpid()])
    while True:
        pass


@skills.skill(process=True)
def tidy_up(started: str, ended: str) -> None:
    try:
        _write(started, [os.getpid()])
        time.sleep(FOREVER_S)
    finally:
        _write(ended, [1])


@skills.skill(process=True)
async def tidy_up_async(ctx: TaskContext, started: str, ended: str) -> None:
    try:
        _write(started, [os.getpid()])
        await asyncio.sleep(FOREVER_S)
    finally:
        _write(ended, [int(ctx.cancelled)])


@skills.skill(process=True)
def stubborn_family(started: str) -> None:
    """Ignores SIGTERM, with a child that does too, and one that hides in a session of its own, orphaned."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    pids = [os.getpid(), _sleeper(), _hidden_orphan()]
    _write(started, pids)
    time.sleep(FOREVER_S)


@skills.skill(process=True)
def leave_family_behind() -> list[int]:
    return [_sleeper(), _hidden_orphan()]


@skills.skill(process=True)
def leave_a_child_behind() -> int:
    return _sleeper()


@skills.skill(process=True)
def signal_itself_in_a_handler(number: int) -> None:
    try:
        os.kill(os.getpid(), number)
        time.sleep(FOREVER_S)
    except Exception:  # noqa: BLE001 the point of the test
        return


@skills.skill(process=True)
def keep_context(ctx: TaskContext) -> bool:
    _kept.append(ctx)
    return ctx.cancelled


@skills.skill(process=True)
def was_cancelled() -> bool:
    return _kept.pop().cancelled


@skills.skill(process=True)
def die_with_family(started: str) -> None:
    _write(started, [_sleeper(), _hidden_orphan()])
    os._exit(7)


@skills.skill(process=True)
def take_over_sigterm() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


@skills.skill(process=True)
def close_all_descriptors() -> None:
    os.closerange(3, 256)


@skills.skill(process=True)
def speak_from_threads(ctx: TaskContext, threads: int) -> int:
    def speak() -> None:
        for _ in range(50):
            ctx.progress(0.5)

    speakers = [threading.Thread(target=speak) for _ in range(threads)]
    for speaker in speakers:
        speaker.start()
    for speaker in speakers:
        speaker.join()
    return threads


def _sleeper() -> int:
    """The pid of a child that sleeps; no `Popen`, which would complain that nobody waited for it."""
    return os.posix_spawn(sys.executable, SLEEPER, os.environ)


def _hidden_orphan() -> int:
    """The pid of a process that was forked twice into a session of its own and ignores SIGTERM."""
    read_end, write_end = os.pipe()
    first = os.fork()
    if first == 0:
        os.setsid()
        second = os.fork()
        if second == 0:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            os.write(write_end, str(os.getpid()).encode())
            time.sleep(FOREVER_S)
        os._exit(0)
    os.waitpid(first, 0)
    return int(os.read(read_end, 32))


def _write(path: str, pids: list[int]) -> None:
    """Write at once, so that a reader sees all or nothing."""
    part = Path(path).with_suffix(".part")
    part.write_text(" ".join(str(pid) for pid in pids))
    part.rename(path)
