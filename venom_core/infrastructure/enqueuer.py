"""Concurrent single enqueues share round trips by themselves.

Whatever gathered while the last call was under way leaves with the next: no timer, no threshold. Who is alone sends at
once and by itself, without a turn of the event loop in between; after callers that had company all leave together.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from venom_core.errors import StoreUnavailable
from venom_core.infrastructure.task_records import TaskGroup
from venom_core.infrastructure.task_store import TASKS_PER_CALL_MAX, TaskStore

log = logging.getLogger("venom.broker")

CALL_BYTES_MAX = 8 * 1024 * 1024
ATTEMPTS = 3
PAUSE_S = 0.05


@dataclass(slots=True)
class _Waiting:
    lane: str
    priority: int
    when: str
    task_id: str
    envelope: bytes
    reply_to: str
    done: asyncio.Future[bytes | None]


class Enqueuer:
    """Sends new tasks in batches. One call is under way at a time, so order of arrival is kept."""

    def __init__(self, store: TaskStore, queued_max: int) -> None:
        self._store, self._queued_max = store, queued_max
        self._waiting: list[_Waiting] = []
        self._sender: asyncio.Task[None] | None = None
        self._lone: asyncio.Future[None] | None = None
        self._in_company = False

    async def submit(
        self, lane: str, priority: int, when: str, task_id: str, envelope: bytes, reply_to: str = ""
    ) -> bytes | None:
        """Enqueue one task; None, or the envelope that already has this id. `reply_to`: as in `TaskGroup`.

        Of who gives up while waiting it is not known whether the task is enqueued.
        """
        if self._lone is None and not (self._in_company or self._waiting or self._is_sending):
            return await self._send_alone(TaskGroup(lane, priority, when, [task_id], [envelope], reply_to))
        done: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(lane, priority, when, task_id, envelope, reply_to, done))
        if self._lone is None:
            self._see_to_waiting(in_company=False)
        return await done

    async def send(self, groups: list[TaskGroup]) -> dict[str, bytes]:
        """Enqueue groups now; a lost connection is tried again, which is safe because ids make it so."""
        for attempt in range(1, ATTEMPTS):
            try:
                return await self._store.enqueue(groups, self._queued_max)
            except StoreUnavailable:
                await asyncio.sleep(PAUSE_S * 4**attempt)
        return await self._store.enqueue(groups, self._queued_max)

    async def close(self) -> None:
        """Wait until everything submitted has been sent or refused."""
        if self._lone is not None:
            await asyncio.wait([self._lone])
        self._see_to_waiting(in_company=True)
        if self._sender is not None:
            await asyncio.wait([self._sender])

    async def _send_alone(self, group: TaskGroup) -> bytes | None:
        sent = self._lone = asyncio.get_running_loop().create_future()
        try:
            return (await self.send([group])).get(group.ids[0])
        finally:
            sent.set_result(None)
            self._lone = None
            self._see_to_waiting(in_company=True)

    @property
    def _is_sending(self) -> bool:
        # One that was cancelled before its first step is done, and has sent nothing.
        return self._sender is not None and not self._sender.done()

    def _see_to_waiting(self, *, in_company: bool) -> None:
        if self._waiting and not self._is_sending:
            self._sender = asyncio.create_task(self._send_all(in_company=in_company))

    async def _send_all(self, *, in_company: bool) -> None:
        while self._waiting:
            batch, self._waiting = self._next_batch()
            self._in_company = in_company or len(batch) > 1
            await self._send_batch(batch)

    def _next_batch(self) -> tuple[list[_Waiting], list[_Waiting]]:
        batch: dict[str, _Waiting] = {}
        size = 0
        for position, item in enumerate(self._waiting):
            size += len(item.envelope)
            # The same id twice must go in two calls: the second has to see what the first stored.
            full = len(batch) == TASKS_PER_CALL_MAX or size > CALL_BYTES_MAX
            if batch and (full or item.task_id in batch):
                return list(batch.values()), self._waiting[position:]
            batch[item.task_id] = item
        return list(batch.values()), []

    async def _send_batch(self, batch: list[_Waiting]) -> None:
        groups: dict[tuple[str, int, str, str], TaskGroup] = {}
        for item in batch:
            kind = (item.lane, item.priority, item.when, item.reply_to)
            group = groups.get(kind)
            if group is None:
                group = groups[kind] = TaskGroup(item.lane, item.priority, item.when, reply_to=item.reply_to)
            group.ids.append(item.task_id)
            group.envelopes.append(item.envelope)
        try:
            taken = await self.send(list(groups.values()))
        except BaseException as fault:
            for item in batch:
                if not item.done.done():
                    item.done.set_exception(fault if isinstance(fault, Exception) else StoreUnavailable("closed"))
            if not isinstance(fault, Exception):
                raise
            return
        for item in batch:
            if not item.done.done():
                item.done.set_result(taken.get(item.task_id))
