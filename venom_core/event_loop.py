"""Running a coroutine on the fastest event loop there is, and ending tasks for sure."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from venom_core.errors import VenomError

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
    """Cancel tasks until they are done. Once is not enough: redis-py loses a cancel that meets it while connecting.

    What had failed before is logged, with its traceback unless it is an error of our own: those are foreseen, and
    whoever ends several tasks after one of them failed has it to report.
    """
    asked = {task for task in tasks if task is not None}
    failed = {task for task in asked if task.done()}
    pending = asked - failed
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=RECANCEL_S)
    for task in asked:
        if not task.cancelled() and (fault := task.exception()) is not None:
            if task in failed and not _is_foreseen(fault):
                log.error("a task had failed when it was to end: %r", fault, exc_info=fault)
            else:
                log.debug("a task that was to end failed: %r", fault)


def _is_foreseen(fault: BaseException) -> bool:
    if isinstance(fault, BaseExceptionGroup):
        return all(map(_is_foreseen, fault.exceptions))
    return isinstance(fault, VenomError)
