"""Runs from start to answer: opened under an id, gathered, folded, taken up again, cancelled, partly repeated."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from venom_core.domain.lifecycle import TaskStatus
from venom_core.domain.run import check_run_id, item_ids
from venom_core.domain.task_id import TaskIds
from venom_core.errors import IllegalTransition, StoreError, UnknownTask
from venom_core.execution.answer import Answer, entry
from venom_core.execution.gather import FORGOTTEN, NEVER_ENQUEUED, Gather
from venom_core.execution.plan import Plan
from venom_core.execution.reduction import Folded, Reduction
from venom_core.execution.sweep import cancel_tasks, retry_failed
from venom_core.infrastructure.message_broker import MessageBroker
from venom_core.infrastructure.run_store import KnownRun, RunStore


class Runs:
    """The runs of one hive."""

    def __init__(self, broker: MessageBroker) -> None:
        self._broker = broker
        self._ids = TaskIds()

    async def start(self, plan: Plan, run_id: str | None) -> Gather:
        """Open the run of a plan, or the same one that was opened before; nothing is sent before `ends`."""
        broker = self._broker
        # Nothing is enqueued by this, but a wrong option is refused before there is a run.
        await broker.enqueue_many(plan.record.skill, [], **plan.options)
        chosen = self._ids.take(1, broker.hive.now_ms())[0] if run_id is None else check_run_id(run_id)
        return Gather(broker, await RunStore(broker.hive).open(chosen, plan.record), plan)

    async def find(self, run_id: str) -> Gather:
        """A run that was started before; `UnknownTask`."""
        return Gather(self._broker, await RunStore(self._broker.hive).find(check_run_id(run_id)))

    async def status(self, run_id: str) -> dict[str, Any]:
        """How far a run is, without reading its items: {run_id, kind, skill, total, enqueued, ended, cancelled}."""
        known = (await self.find(run_id)).known
        return {
            "run_id": run_id,
            "kind": known.record.kind,
            "skill": known.record.skill,
            "total": known.record.total,
            "enqueued": known.enqueued,
            "ended": known.ended,
            "cancelled": known.cancelled,
        }

    async def entries(self, gather: Gather, wait_s: float) -> AsyncGenerator[dict[str, Any]]:
        """The results line by line as they land, and after `wait_s` seconds the others as they stand."""
        kind = gather.known.record.kind
        async with aclosing(gather.ends(_deadline(wait_s))) as ends:
            async for end in ends:
                yield entry(kind, end)

    async def answer(self, gather: Gather, wait_s: float, *, again: bool = False) -> str:
        """The answer of the documents once all has ended, or as it stands after `wait_s` seconds."""
        until_s = _deadline(wait_s)
        answer = Answer(gather.known.run_id, gather.known.record)
        async with aclosing(gather.ends(until_s)) as ends:
            async for end in ends:
                answer.add(end)
        folded = await self._fold(answer, gather.known, until_s, again=again)
        waiting = answer.first_waiting()
        if waiting is None and (folded is None or folded.status != TaskStatus.PENDING):
            await RunStore(self._broker.hive).end(answer.run_id)
        return answer.text(folded, await self._note(answer, waiting))

    async def cancel(self, run_id: str) -> dict[str, Any]:
        """Cancel what is pending, ask what runs to stop: {run_id, total, cancelled: how many that were}."""
        runs = RunStore(self._broker.hive)
        known = await runs.cancel(check_run_id(run_id))
        ids = [*item_ids(run_id, 0, known.record.total), *known.fold]
        return {
            "run_id": run_id,
            "total": known.record.total,
            "cancelled": await cancel_tasks(self._broker, ids),
        }

    async def retry(self, run_id: str) -> Gather:
        """Put what failed back in line; `IllegalTransition` for a run that was cancelled."""
        gather = await self.find(run_id)
        if gather.known.cancelled:
            raise IllegalTransition(f"run {run_id} was cancelled and stays so; start a new one")
        await retry_failed(self._broker, item_ids(run_id, 0, gather.known.record.total))
        return gather

    async def _fold(self, answer: Answer, known: KnownRun, until_s: float, *, again: bool) -> Folded | None:
        if known.record.reduce is None:
            return None
        counts, values = answer.counts(), answer.completed()
        if known.cancelled:
            return Folded(TaskStatus.CANCELLED, error="the run was cancelled")
        if counts["pending"] or NEVER_ENQUEUED in counts:
            return Folded(TaskStatus.PENDING, error="not every item has ended; nothing was folded yet")
        if not values or (len(values) < known.record.total and not known.record.skip_failed):
            return Folded(
                TaskStatus.FAILED,
                error=f"{known.record.total - len(values)} of {known.record.total} items did not complete, so nothing "
                f"was folded; retry_failed({known.run_id!r}) runs them again, skip_failed=True leaves them out",
            )
        return await Reduction(self._broker, known, again=again).fold(values, until_s)

    async def _note(self, answer: Answer, waiting: str | None) -> str:
        """What the reader is to know of items without an end."""
        counts, total, sentences = answer.counts(), answer.record.total, []
        if waiting is not None:
            sentences.append(
                f"{counts['pending']} of {total} have not ended; resume({answer.run_id!r}) waits on. "
                f"broker.explain({waiting!r}) says of the first: {await self._explain(waiting)}"
            )
        if never := counts.get(NEVER_ENQUEUED):
            sentences.append(
                f"{never} of {total} were never enqueued, because their caller ended before; the same call again "
                f"with run_id={answer.run_id!r} and the same items completes them"
            )
        if lost := counts.get(FORGOTTEN):
            sentences.append(f"{lost} of {total} ended, but their results were forgotten (HIVE_RESULT_TTL)")
        return "; ".join(sentences)

    async def _explain(self, task_id: str) -> str:
        """Why a task is where it is; a store that is away now does not cost the caller the answer."""
        try:
            return str(await self._broker.explain(task_id))
        except (StoreError, UnknownTask) as fault:
            return str(fault)


def _deadline(wait_s: float) -> float:
    return asyncio.get_running_loop().time() + wait_s
