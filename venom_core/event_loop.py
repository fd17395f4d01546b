"""Running a coroutine on the fastest event loop there is, and ending tasks for sure."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

try:
    import uvloop

    LOOP_FACTORY: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
except ImportError:  # not on Windows, and not needed
    LOOP_FACTORY = asyncio.new_event_loop

RECANCEL_S = 0.2
LAST_WAIT_S = 2.0

log = logging.getLogger("venom.loop")


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run to the end; the loop is closed afterwards.

    What ignores being cancelled for 2 s is left behind, with the loop that it would go on in: it must not keep the
    process from ending.
    """
    runner = asyncio.Runner(loop_factory=LOOP_FACTORY)
    try:
        runner.run(main)
    finally:
        left = runner.get_loop().run_until_complete(_end_the_rest())
        if left:
            log.error("%d tasks ignore that they are to end; leaving without them", left)
        else:
            runner.close()


async def _end_the_rest() -> int:
    rest = asyncio.all_tasks() - {asyncio.current_task()}
    for task in rest:
        task.cancel()
    if rest:
        _, rest = await asyncio.wait(rest, timeout=LAST_WAIT_S)
    return len(rest)


async def end_tasks(*tasks: asyncio.Task[Any] | None) -> None:
    """Cancel tasks until they are done. Once is not enough: redis-py loses a cancel that meets it while connecting."""
    pending = {task for task in tasks if task is not None and not task.done()}
    while pending:
        for task in pending:
            task.cancel()
        done, pending = await asyncio.wait(pending, timeout=RECANCEL_S)
        for task in done:
            if not task.cancelled() and (fault := task.exception()) is not None:
                log.debug("a task that was being ended failed: %r", fault)


def overlook(*tasks: asyncio.Task[Any]) -> None:
    """Say nothing of what failed here already: for who reports another fault that has the same cause."""
    for task in tasks:
        if task.done() and not task.cancelled():
            task.exception()
