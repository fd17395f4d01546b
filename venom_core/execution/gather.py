"""Fan out and gather: enqueues the tasks of a run slice by slice and yields their ends as they land.

Enqueueing and gathering go on at the same time. Nothing polls: the ends come through one inbox, and after a
lost connection the store is asked again for what is still awaited.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from venom_core.domain.lifecycle import TaskStatus
from venom_core.domain.run import index_of, item_ids
from venom_core.errors import StoreUnavailable, UnknownTask, VenomError
from venom_core.event_loop import end_tasks
from venom_core.execution.ends import End, follow, read_end, take
from venom_core.execution.plan import Plan
from venom_core.execution.sweep import cancel_tasks
from venom_core.infrastructure.inbox import Inbox, Landed
from venom_core.infrastructure.message_broker import MessageBroker
from venom_core.infrastructure.run_store import KnownRun, RunStore

SLICE = 2_000
LOOK_PAGE = 500
NEVER_ENQUEUED, FORGOTTEN = "never_enqueued", "forgotten"


class Gather:
    """The tasks of one run: sent if there is a plan, followed in any case."""

    def __init__(self, broker: MessageBroker, known: KnownRun, plan: Plan | None = None) -> None:
        self._broker, self._plan = broker, plan
        self._runs = RunStore(broker.hive)
        self.known = known
        self._open = set(range(known.record.total))

    async def ends(self, until_s: float) -> AsyncGenerator[End]:
        """One `End` for every item, as they land; at `until_s` of the loop's clock the others as they stand then.

        What is to be enqueued is enqueued, even if that takes longer; if the store is away then, `StoreUnavailable`.
        """
        async with self._broker.results.inbox() as inbox:
            feeder = asyncio.create_task(self._feed(inbox, until_s))
            try:
                while landed := await self._take(inbox, feeder, until_s):
                    for task_id, found in landed:
                        index = index_of(task_id)
                        self._open.discard(index)
                        yield self._read(task_id, index, found)
            finally:
                await end_tasks(feeder)
        async for end in self._standing():
            yield end

    @staticmethod
    async def _take(inbox: Inbox, feeder: asyncio.Task[None], until_s: float) -> list[Landed]:
        """What landed; nothing when all has, or when time ran out and all is enqueued."""
        landed = await take(inbox, until_s)
        if landed or feeder.done():
            return landed
        await asyncio.wait([feeder])
        return await take(inbox, until_s)

    async def _feed(self, inbox: Inbox, until_s: float) -> None:
        try:
            total = self.known.record.total
            for start in range(0, total, SLICE):
                ids = item_ids(self.known.run_id, start, min(start + SLICE, total))
                if self._plan is not None and not await self._sent(self._plan, start, ids):
                    break
                if not await follow(self._broker, inbox, ids, until_s) and self._all_sent():
                    break
            inbox.complete()
        except Exception as fault:  # noqa: BLE001 - the reader raises it
            inbox.fail(fault)

    def _all_sent(self) -> bool:
        """Whether there is nothing left to enqueue by this call."""
        return self._plan is None or self.known.enqueued == self.known.record.total

    async def _sent(self, plan: Plan, start: int, ids: list[str]) -> bool:
        """Whether these items are in the queue or were; not if the run was cancelled before."""
        stop = start + len(ids)
        if stop <= self.known.enqueued:
            return True
        if self.known.cancelled:
            return False
        try:
            await self._send(plan, start, ids)
            self.known = await self._runs.note_enqueued(self.known.run_id, stop)
        except VenomError as fault:
            fault.add_note(
                f"run {self.known.run_id} stands with {start:,} to {stop:,} of {self.known.record.total:,} items "
                "enqueued; the same call with this run_id completes it, cancel ends it"
            )
            raise
        if self.known.cancelled:
            await cancel_tasks(self._broker, ids)
        return True

    async def _send(self, plan: Plan, start: int, ids: list[str]) -> None:
        for batch in plan.batches(start, start + len(ids)):
            await self._broker.enqueue_many(
                batch[0].task_type,
                [task.payload for task in batch],
                task_ids=[ids[task.index - start] for task in batch],
                **plan.options,
                offered=batch[0].offered,
            )

    def _read(self, task_id: str, index: int, found: bytes | Exception) -> End:
        if isinstance(found, UnknownTask):
            return self._missing(task_id, index)
        if isinstance(found, Exception):
            raise found
        return read_end(self._broker, task_id, found, index)

    def _missing(self, task_id: str, index: int) -> End:
        if index < self.known.enqueued:
            return End(task_id, index, FORGOTTEN, error="it ended, and its result was forgotten after its time to live")
        if self.known.cancelled:
            return End(task_id, index, TaskStatus.CANCELLED, error="never enqueued: the run was cancelled before")
        return End(task_id, index, NEVER_ENQUEUED, error="never enqueued: its caller ended before")

    def _unseen(self, task_id: str, index: int, fault: StoreUnavailable) -> End:
        """An item of which nothing is known now: the time is over, and the store is away."""
        if index >= self.known.enqueued:
            return self._missing(task_id, index)
        return End(task_id, index, TaskStatus.PENDING, error=f"not known to have ended, the store is away: {fault}")

    async def _standing(self) -> AsyncGenerator[End]:
        """The items that have not landed, in order."""
        left = {f"{self.known.run_id}.{index}": index for index in sorted(self._open)}
        ids = list(left)
        for start in range(0, len(ids), LOOK_PAGE):
            try:
                found = await self._broker.hive.tasks.look(ids[start : start + LOOK_PAGE])
            except StoreUnavailable as fault:
                if not self._broker.is_connected():
                    raise
                for task_id in ids[start:]:
                    yield self._unseen(task_id, left[task_id], fault)
                return
            for task_id in ids[start : start + LOOK_PAGE]:
                seen, index = found[task_id], left[task_id]
                if seen.outcome is not None:
                    yield read_end(self._broker, task_id, seen.outcome, index)
                elif seen.envelope is None:
                    yield self._missing(task_id, index)
                else:
                    yield End(task_id, index, TaskStatus.RUNNING if seen.held is not None else TaskStatus.PENDING)
