"""Ends a task that blocks the event loop past its timeout or after it was cancelled.

A coroutine that never awaits cannot be cancelled from the loop it blocks. The lease thread still runs; it
sends the main thread a signal, and the handler raises inside whatever is on the stack, which is the
blocking task: the loop itself never runs long. It reaches Python code and system calls that a signal
interrupts (`time.sleep`, a socket); C code that ignores signals is out of reach of anything but a process.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
from collections.abc import Mapping
from types import FrameType
from typing import Any

from venom_core.errors import TaskTimeout
from venom_spore.execution import Attempt, Verdict

log = logging.getLogger("venom.spore")

SIGNAL = signal.SIGUSR2
SILENCE_S = 0.5


Running = Mapping[tuple[str, str], Attempt]


class LoopInterrupted(BaseException):
    """Raised inside the task that blocks the loop; not an `Exception`, so that ordinary handlers let it through."""


class LoopGuard:
    """Interrupts the blocking task of one event loop that runs in the main thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, running: Running) -> None:
        self._loop, self._running = loop, running
        self._main = threading.main_thread().ident
        self._armed = threading.current_thread() is threading.main_thread()
        self._previous: Any = signal.signal(SIGNAL, self._interrupt) if self._armed else None

    def close(self) -> None:
        """Give the signal back."""
        if self._armed:
            self._armed = False
            signal.signal(SIGNAL, self._previous or signal.SIG_DFL)

    def check(self, silent_s: float) -> None:
        """Called in the lease thread: if the loop has been silent and an attempt is overdue, knock."""
        if self._armed and self._main is not None and silent_s > SILENCE_S and self._overdue() is not None:
            signal.pthread_kill(self._main, SIGNAL)

    def cancel(self, task_ids: tuple[str, ...], silent_s: float) -> None:
        """Called in the lease thread: end these tasks if they keep the loop from hearing it."""
        if silent_s <= SILENCE_S:
            return
        for attempt in list(self._running.values()):
            if attempt.lease.task_id in task_ids and attempt.stop is None:
                attempt.stop = Verdict.CANCELLED
                attempt.stops_at_s = self._loop.time()
        self.check(silent_s)

    def _overdue(self) -> Attempt | None:
        now_s = self._loop.time()
        for attempt in list(self._running.values()):
            if attempt.stops_at_s <= now_s:
                return attempt
        return None

    def _interrupt(self, _number: int, _frame: FrameType | None) -> None:
        try:
            current = asyncio.current_task(self._loop)
        except RuntimeError:
            return
        for attempt in list(self._running.values()):
            if attempt.runner is current and attempt.stops_at_s <= self._loop.time():
                if attempt.stop is None:
                    attempt.stop = Verdict.TIMED_OUT
                log.warning("task %s blocks the event loop past its end; interrupting it", attempt.lease.task_id)
                raise LoopInterrupted from TaskTimeout("blocked the event loop")
