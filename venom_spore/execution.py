"""One attempt of one task, step by step, to one verdict.

open the envelope -> find the skill -> check deadline and arguments -> run -> encode the result. Every way
out ends in one `Verdict`; `Executor.settlement` alone maps verdicts to what is stored. Whoever ends an
attempt early (timeout, cancel, drain, lost lease) says so in `attempt.stop` and cancels its asyncio task.
No step of a task is taken while the node's lease is in doubt (`lease_guard`).
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import random
import traceback
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

import msgspec

from venom_core.domain.lane import WAITING
from venom_core.domain.lifecycle import TaskStatus
from venom_core.domain.payload import encode
from venom_core.domain.retry import after_failure
from venom_core.domain.seal import Seal
from venom_core.domain.task import NOTHING, Outcome, TaskBody, clip_error, open_task, seal_outcome
from venom_core.errors import InputError, SandboxCrashed, SecurityError
from venom_core.infrastructure.task_records import Lease, Settlement
from venom_core.log_format import WORK
from venom_spore.context import Report, TaskContext
from venom_spore.fork_mark import marked_page
from venom_spore.lease_guard import LeaseGuard, go_on, guarded
from venom_spore.sandbox import Sandbox, SkillError
from venom_spore.skills import Skill, SkillSet
from venom_spore.threads import LeftRunning, ThreadRunner

log = logging.getLogger("venom.spore")

ESCAPED_FORK_EXIT = 70


class Verdict(StrEnum):
    """How an attempt ended."""

    DONE = "done"
    FAILED = "failed"
    HOPELESS = "hopeless"
    REFUSED = "refused"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    CRASHED = "crashed"
    HANDED_BACK = "handed_back"
    LOST = "lost"


# Looked up once, not for each task: Python 3.11 takes longer to find a member of an enumeration than to run a no-op.
_DONE, _COMPLETED, _QUARANTINED = Verdict.DONE, TaskStatus.COMPLETED, TaskStatus.QUARANTINED


class Attempt(msgspec.Struct, eq=False):
    """The accumulating record of one attempt; mutable, and cheap because there is one per task."""

    lease: Lease
    body: TaskBody | None = None
    skill: Skill | None = None
    context: TaskContext | None = None
    runner: asyncio.Task[None] | None = None
    started_s: float = 0.0
    stops_at_s: float = math.inf
    stop: Verdict | None = None
    verdict: Verdict | None = None
    result: bytes = b""
    error: str | None = None
    told: int = 0
    reported: bool = False
    waits: bool = False

    @property
    def task_type(self) -> str:
        """What it is an attempt at; "" before its envelope is open."""
        return self.body.task_type if self.body is not None else ""

    def identity(self) -> tuple[str, int]:
        """Task id and number of the attempt, for log lines."""
        return self.lease.task_id, self.lease.failures + 1


@dataclass(frozen=True, slots=True)
class Limits:
    """What bounds an attempt on this node."""

    result_bytes_max: int


class Table(Protocol):
    """Where an executor's attempts run."""

    def report(self, attempt: Attempt) -> Report:
        """What the attempt's context reports to."""

    def will_wait(self, attempt: Attempt) -> None:
        """Its body is about to wait."""

    def ended(self, attempt: Attempt) -> None:
        """It has its verdict."""


class Executor:
    """Runs attempts with the skills of one Spore."""

    def __init__(
        self,
        node: str,
        seal: Seal,
        skills: SkillSet,
        limits: Limits,
        threads: ThreadRunner,
        sandbox: Sandbox,
        guard: LeaseGuard,
    ) -> None:
        self._node, self._seal, self._skills, self._limits = node, seal, skills, limits
        self._threads, self._sandbox, self.guard = threads, sandbox, guard
        self._original = marked_page()

    @property
    def stuck(self) -> int:
        """Threads that were given up but have not ended: slots that serve nobody."""
        return self._threads.stuck

    def prepare(self, attempt: Attempt, now_ms: int) -> bool:
        """Open the envelope and check what needs no run; False if the attempt has its verdict already."""
        lease = attempt.lease
        try:
            body = open_task(self._seal, lease.task_id, lease.envelope)
        except SecurityError as fault:
            return self._give_up(attempt, Verdict.REFUSED, f"SecurityError: {fault}")
        attempt.body = body
        attempt.skill = self._skills.get(body.task_type)
        if attempt.skill is None:
            return self._give_up(attempt, Verdict.HANDED_BACK, "")
        if body.deadline_ms and body.deadline_ms <= now_ms:
            return self._give_up(attempt, Verdict.HOPELESS, "its deadline passed before it could start")
        if body.extra is not None and body.extra.get("offered"):
            chosen = attempt.skill.binder.choose(bytes(body.payload))
            attempt.body = msgspec.structs.replace(body, payload=msgspec.Raw(chosen))
        return True

    def seconds_allowed(self, attempt: Attempt, now_ms: int) -> float:
        """How long the attempt may run: its timeout, or less if its deadline comes first."""
        body = attempt.body
        assert body is not None
        allowed_ms = body.timeout_ms
        if body.deadline_ms:
            allowed_ms = min(allowed_ms, body.deadline_ms - now_ms)
        return allowed_ms / 1000

    def begin(self, attempt: Attempt, table: Table) -> Coroutine[Any, Any, None] | None:
        """Run the attempt to its verdict and say so to the table; its `runner` awaits what is left after one step.

        Most tasks end in their first, and a coroutine less is felt at 100,000 a second.
        """
        skill, body, guard = attempt.skill, attempt.body, self.guard
        assert skill is not None
        assert body is not None
        if not skill.is_plain or attempt.stop is not None or guard.now_s() > guard.until_s:
            return self._run(attempt, skill, body, table)
        try:
            args, kwargs = skill.binder.decode(bytes(body.payload))
            try:
                steps = skill.function(*args, **kwargs)
                waits = steps.send(None)
            except StopIteration as end:
                result = end.value
            else:
                return self._end_later(attempt, go_on(guard, steps, waits), table)
            attempt.result = encode(result, "result", self._limits.result_bytes_max)
            attempt.verdict = _DONE
        except BaseException as fault:  # noqa: BLE001  whatever a task raises, SystemExit too, is its outcome
            self._judge(attempt, fault)
        self._end(attempt, table)
        return None

    async def _run(self, attempt: Attempt, skill: Skill, body: TaskBody, table: Table) -> None:
        if attempt.stop is None:
            await self._end_later(attempt, self._call(attempt, skill, body, table.report), table)
            return
        attempt.error = attempt.error or "stopped before it began"
        self._judge(attempt, asyncio.CancelledError())
        self._end(attempt, table)

    async def _end_later(self, attempt: Attempt, rest: Awaitable[Any], table: Table) -> None:
        try:
            table.will_wait(attempt)
            result = await rest
            if type(result) is not _Encoded:
                result = encode(result, "result", self._limits.result_bytes_max)
            attempt.result, attempt.verdict = result, _DONE
        except BaseException as fault:  # noqa: BLE001  as above
            self._judge(attempt, fault)
        self._end(attempt, table)

    def _end(self, attempt: Attempt, table: Table) -> None:
        if not self._original[0]:
            os._exit(ESCAPED_FORK_EXIT)  # the task forked and this is the child: it must not touch our sockets
        table.ended(attempt)

    async def _call(self, attempt: Attempt, skill: Skill, body: TaskBody, report: Callable[[Attempt], Report]) -> Any:
        await self.guard.certain()
        lease = attempt.lease
        WORK.set(attempt)
        if skill.wants_context or skill.mode == "process":
            attempt.context = TaskContext(
                lease.task_id,
                body.task_type,
                attempt=lease.failures + 1,
                crashes=lease.crashes,
                node_id=self._node,
                report=report(attempt),
                certain=self.guard.wait_in_thread if skill.mode == "thread" else None,
            )
        raw = bytes(body.payload)
        if skill.mode == "process":
            return _Encoded(await self._sandbox.run(skill, raw, attempt.context))
        args, kwargs = skill.binder.decode(raw)
        if skill.wants_context:
            args = (attempt.context, *args)
        if skill.mode == "async":
            return await guarded(self.guard, skill.function(*args, **kwargs))
        return await self._threads.run(skill.function, args, kwargs)

    def _judge(self, attempt: Attempt, fault: BaseException) -> None:
        if attempt.stop is not None:
            attempt.verdict = attempt.stop
            attempt.error = attempt.error or _STOP_WORDS.get(attempt.stop)
            if isinstance(fault, LeftRunning):
                log.error(
                    "the thread of task %s was told to stop and goes on; it keeps its slot", attempt.lease.task_id
                )
                attempt.error = f"{attempt.error or 'stopped'}{_GOES_ON}"
        elif isinstance(fault, SandboxCrashed):
            attempt.verdict, attempt.error = Verdict.CRASHED, str(fault)
        elif isinstance(fault, InputError):
            attempt.verdict, attempt.error = Verdict.HOPELESS, f"{type(fault).__name__}: {_text_of(fault)}"
        else:
            attempt.verdict, attempt.error = Verdict.FAILED, describe(fault)
        if log.isEnabledFor(logging.INFO):
            log.info("attempt %s: %s", attempt.verdict, (attempt.error or "no reason given").partition("\n")[0])

    def settlement(self, attempt: Attempt, now_ms: int) -> Settlement | None:
        """What to store for the verdict; None for a lease that is lost, because nothing may be."""
        verdict, lease, body = attempt.verdict, attempt.lease, attempt.body
        lane = WAITING if lease.given else body.task_type if body is not None else ""
        if verdict is _DONE:
            return Settlement(lease, lane, "end", self.record(attempt, _COMPLETED, now_ms))
        if verdict is Verdict.LOST:
            return None
        if verdict is Verdict.HANDED_BACK:
            return Settlement(lease, lane, "back")
        if verdict is Verdict.CRASHED:
            return Settlement(lease, lane, "crash", self.record(attempt, TaskStatus.QUARANTINED, now_ms))
        if verdict in (Verdict.FAILED, Verdict.TIMED_OUT) and body is not None:
            decision = after_failure(lease.failures + 1, body.max_retries, random.random())
            if decision.again:
                return Settlement(lease, lane, "retry", decision.delay_ms)
        status = TaskStatus.CANCELLED if verdict is Verdict.CANCELLED else TaskStatus.FAILED
        return Settlement(lease, lane, "end", self.record(attempt, status, now_ms))

    def cancelled(self, settlement: Settlement, now_ms: int) -> Settlement:
        """The end of a task that was about to go back in line when somebody had it cancelled."""
        attempt = Attempt(settlement.lease)
        attempt.error = _STOP_WORDS[Verdict.CANCELLED]
        record = self.record(attempt, TaskStatus.CANCELLED, now_ms)
        return Settlement(settlement.lease, settlement.lane, "end", record)

    def record(self, attempt: Attempt, status: TaskStatus, now_ms: int) -> bytes:
        """The sealed outcome of an attempt."""
        lease = attempt.lease
        outcome = Outcome(
            self._node,
            lease.failures + 1,
            lease.crashes + (status is _QUARANTINED),
            lease.claimed_ms,
            max(now_ms, lease.claimed_ms),
            msgspec.Raw(attempt.result) if attempt.result else NOTHING,
            None if status is _COMPLETED else clip_error(attempt.error or str(status)),
        )
        return seal_outcome(self._seal, lease.task_id, status, outcome)

    @staticmethod
    def _give_up(attempt: Attempt, verdict: Verdict, error: str) -> bool:
        attempt.verdict, attempt.error = verdict, error
        return False


class _Encoded(bytes):
    """A result that the child encoded already."""


_GOES_ON = "; its thread goes on, and keeps its slot until it ends by itself"
_STOP_WORDS = {
    Verdict.CANCELLED: "cancelled while it ran",
    Verdict.TIMED_OUT: "TaskTimeout: it ran longer than its timeout",
}


def describe(fault: BaseException) -> str:
    """An exception as text: type, message, and where it happened."""
    if isinstance(fault, SkillError):
        return f"{fault}\n\n{fault.trace}"
    lines = traceback.format_exception(fault)
    return f"{type(fault).__name__}: {_text_of(fault)}\n\n{''.join(lines)}"


def _text_of(fault: BaseException) -> str:
    try:
        return str(fault)
    except Exception:  # noqa: BLE001  a task's own exception may fail even at this
        return "(its text cannot be shown)"
