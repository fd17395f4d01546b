"""The attempts that run now: started, watched for their end, stopped early.

What was launched stands in a line, and one asyncio task, the runner, begins it attempt by attempt: many bodies end in
their first step, and a task for each would cost more than they do. A body that has to wait keeps the runner to itself;
what is left of the line gets another. A runner that a body has left changed (a context variable set, a cancellation
asked for) begins no other. Types whose last body did one or the other do not stand in line: each body has a runner of
its own at once.

One timer watches the earliest moment at which an attempt must end; there is no timer a task. Whoever is
told to stop and swallows it is told again; after `TOLD_MAX` times its end is reported without it, so that
a caller is not kept waiting, and the body keeps its slot until it gives in.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from typing import Any

from venom_spore.context import Report
from venom_spore.execution import Attempt, Executor, Verdict

log = logging.getLogger("venom.spore")

STUBBORN_S = 5.0
TOLD_MAX = 2

Key = tuple[str, str]


class Attempts:
    """The running table of one Spore; used in its event loop only."""

    def __init__(
        self, executor: Executor, report: Callable[[Attempt], Report], on_end: Callable[[Attempt], None]
    ) -> None:
        self.running: dict[Key, Attempt] = {}
        self.freed = asyncio.Event()
        self._executor, self.report, self._on_end = executor, report, on_end
        self._loop = asyncio.get_running_loop()
        self._line: deque[Attempt] = deque()
        self._loners: set[str] = set()
        self._runner: asyncio.Task[None] | None = None
        self._context: Context | None = None
        self._sweep: asyncio.TimerHandle | None = None
        self._sweep_s = math.inf

    def __len__(self) -> int:
        return len(self.running)

    def launch(self, attempt: Attempt, now_ms: int) -> None:
        """Start a prepared attempt; `now_ms` is Redis' time."""
        lease = attempt.lease
        attempt.started_s = self._loop.time()
        attempt.stops_at_s = attempt.started_s + self._executor.seconds_allowed(attempt, now_ms)
        self.running[lease.task_id, lease.fence] = attempt
        if self._loners and attempt.task_type in self._loners:
            attempt.runner = self._task(self._run_alone(attempt))
        else:
            self._line.append(attempt)
            if self._runner is None or self._runner.done():
                self._see_to_line()
        if attempt.stops_at_s < self._sweep_s:
            self._sweep_at(attempt.stops_at_s)

    def stop(self, attempt: Attempt, verdict: Verdict) -> None:
        """End an attempt early with this verdict; a lost lease overrules any other."""
        if attempt.stop is None or verdict is Verdict.LOST:
            attempt.stop = verdict
        attempt.told += 1
        attempt.stops_at_s = self._loop.time() + STUBBORN_S
        if attempt.told > TOLD_MAX and attempt.verdict is None:
            self._report_without(attempt)
        if attempt.context is not None:
            attempt.context.cancel()
        if attempt.runner is not None:
            if attempt.told == 1:
                attempt.runner.add_done_callback(lambda _: self._collect(attempt))
            attempt.runner.cancel()
        self._see_to_line()
        if attempt.stops_at_s < self._sweep_s:
            self._sweep_at(attempt.stops_at_s)

    def stop_all(self, verdict: Verdict) -> None:
        """End everything that runs."""
        for attempt in list(self.running.values()):
            self.stop(attempt, verdict)

    def stop_task(self, task_id: str, verdict: Verdict) -> None:
        """End the attempts at one task, unless they are being stopped already."""
        for attempt in [attempt for attempt in self.running.values() if attempt.lease.task_id == task_id]:
            if attempt.stop is None or verdict is Verdict.LOST:
                self.stop(attempt, verdict)

    def at_work(self) -> Attempt | None:
        """The attempt whose own asyncio task runs now, for its log lines; None elsewhere.

        Those without a context are found so, because a context variable set for each is felt at 100,000 a second.
        """
        try:
            current = asyncio.current_task()
        except RuntimeError:
            current = None  # a thread
        running = list(self.running.values()) if current is not None else []
        return next((attempt for attempt in running if attempt.runner is current), None)

    def is_body(self, task: asyncio.Task[Any]) -> bool:
        """Whether the asyncio task that runs now is the one in which the body of an `async` skill runs."""
        if getattr(task.get_coro(), "cr_code", None) not in (Attempts._run_line.__code__, Attempts._run_alone.__code__):
            return False
        attempt = self.at_work()
        return attempt is not None and attempt.skill is not None and attempt.skill.mode == "async"

    async def until_idle(self) -> None:
        """Wait until nothing runs."""
        while self.running:
            self.freed.clear()
            await self.freed.wait()

    def will_wait(self, attempt: Attempt) -> None:
        """The body of this attempt keeps its runner: what stands behind it in line begins elsewhere."""
        attempt.waits = True
        self._loners.add(attempt.task_type)
        if self._runner is attempt.runner:
            self._runner = None
            self._see_to_line()

    def ended(self, attempt: Attempt) -> None:
        """An attempt has its verdict."""
        lease = attempt.lease
        del self.running[lease.task_id, lease.fence]
        try:
            if not attempt.reported:
                self._on_end(attempt)
        finally:
            self.freed.set()

    def _collect(self, attempt: Attempt) -> None:
        """A runner that was cancelled before its first step, or died, never says that its attempt ended."""
        if self.running.get((attempt.lease.task_id, attempt.lease.fence)) is attempt:
            attempt.verdict = attempt.stop
            attempt.error = attempt.error or "stopped before it began"
            self.ended(attempt)

    def _see_to_line(self) -> None:
        """What stands in line has a runner that lives: a body may cancel any asyncio task, even before it begins."""
        if self._line and (self._runner is None or self._runner.done()):
            self._runner = self._task(self._run_line())

    def _task(self, run: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        # Past the loop's task factory, which is for what bodies make; in a context that no body has touched.
        if self._context is None:
            self._context = copy_context()
        return asyncio.Task(run, loop=self._loop, context=self._context.copy())

    async def _run_line(self) -> None:
        runner, untouched = asyncio.current_task(), copy_context()
        assert runner is not None
        try:
            while self._line:
                # What is launched meanwhile waits a turn of the loop, in which reports leave and claims come.
                for _ in range(len(self._line)):
                    attempt = self._line.popleft()
                    attempt.runner = runner
                    rest = self._executor.begin(attempt, self)
                    if rest is not None:
                        await rest
                    if _is_changed(runner, untouched):
                        self._loners.add(attempt.task_type)
                        return
                    if self._runner is not runner:
                        return
                if self._line:
                    await asyncio.sleep(0)
        finally:
            if self._runner is runner:
                self._runner = None
                self._see_to_line()

    async def _run_alone(self, attempt: Attempt) -> None:
        untouched = copy_context()
        if (rest := self._executor.begin(attempt, self)) is not None:
            await rest
        if not (attempt.waits or attempt.stop or attempt.runner is None or _is_changed(attempt.runner, untouched)):
            self._loners.discard(attempt.task_type)

    def _report_without(self, attempt: Attempt) -> None:
        task_id, number = attempt.identity()
        about = {"task_id": task_id, "attempt": number}
        log.error("task %s was told %d times to stop and goes on; it keeps its slot", task_id, TOLD_MAX, extra=about)
        attempt.verdict = attempt.stop
        attempt.error = f"it was told to stop ({attempt.stop}) and did not"
        attempt.reported = True
        self._on_end(attempt)

    def _sweep_at(self, when_s: float) -> None:
        if self._sweep is not None:
            self._sweep.cancel()
        self._sweep, self._sweep_s = self._loop.call_at(when_s, self._sweep_overdue), when_s

    def _sweep_overdue(self) -> None:
        self._sweep, self._sweep_s = None, math.inf
        now_s = self._loop.time()
        for attempt in list(self.running.values()):
            if attempt.stops_at_s <= now_s:
                self.stop(attempt, attempt.stop or Verdict.TIMED_OUT)
        next_s = min((attempt.stops_at_s for attempt in self.running.values()), default=math.inf)
        # Whoever was told to stop just now is looked at later than the next one is due.
        if next_s < self._sweep_s:
            self._sweep_at(next_s)


def _is_changed(runner: asyncio.Task[None], untouched: Context) -> bool:
    """Whether a body has left its runner other than it was; values of context variables are compared."""
    try:
        return bool(runner.cancelling()) or copy_context() != untouched
    except Exception:  # noqa: BLE001  a value that cannot be compared was not there before
        return True
