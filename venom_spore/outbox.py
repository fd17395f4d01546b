"""What a Spore has to report, sent in batches: whatever gathered since the last reply leaves with the next call.

No timer and no threshold: on a quiet node a lone result leaves at once, under load the batches grow by
themselves. A lost connection is waited out and the same batch sent again under the same number, which
the script recognises.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from itertools import chain

from venom_core.errors import StoreError
from venom_core.infrastructure.task_records import Lease, Retention, Settlement
from venom_core.infrastructure.task_store import TaskStore

log = logging.getLogger("venom.spore.outbox")

ITEMS_PER_CALL_MAX = 500
CALL_BYTES_MAX = 8 * 1024 * 1024
NOTES_BYTES_MAX = 32 * 1024 * 1024
PAUSE_S, PAUSE_MAX_S = 0.05, 1.0

Note = tuple[Lease, str, bytes]


class Outbox:
    """Settlements and notes of one Spore. `on_refused` hears of leases that were lost meanwhile."""

    def __init__(
        self,
        store: TaskStore,
        keep: Retention,
        on_refused: Callable[[Settlement], None],
        on_asked: Callable[[Settlement], Settlement],
    ) -> None:
        self.epoch = 0
        self._store, self._keep = store, keep
        self._on_refused, self._on_asked = on_refused, on_asked
        self._settlements: list[Settlement] = []
        self._under_way: list[Settlement] = []
        self._notes: dict[tuple[str, int], Note] = {}
        self._emitted = 0
        self._notes_bytes = 0
        self._overflowed = False
        self._number = 0
        self._full = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def settle(self, settlement: Settlement) -> None:
        """Report the end of an attempt."""
        if not self._settlements:
            self._full.set()
            self._idle.clear()
        self._settlements.append(settlement)

    def unsent(self) -> set[tuple[str, str]]:
        """(task id, fence) of the attempts whose end was reported here and is not acknowledged yet."""
        return {(item.lease.task_id, item.lease.fence) for item in chain(self._settlements, self._under_way)}

    def progress(self, lease: Lease, data: bytes) -> None:
        """Report progress; only the latest per task is sent."""
        self._notes[lease.task_id, 0] = (lease, "progress", data)
        self._full.set()
        self._idle.clear()

    def emit(self, lease: Lease, data: bytes) -> None:
        """Report a partial result. Each is sent once, in order; while Redis is away or cannot keep up they are lost."""
        self._notes_bytes += len(data)
        if self._notes_bytes > NOTES_BYTES_MAX:
            self._notes_bytes -= len(data)
            if not self._overflowed:
                log.warning("partial results are made faster than Redis takes them; some are dropped")
            self._overflowed = True
            return
        self._emitted += 1
        self._notes[lease.task_id, self._emitted] = (lease, "emit", data)
        self._full.set()
        self._idle.clear()

    def forget(self) -> None:
        """Drop everything: the lease it belongs to is lost."""
        self._settlements.clear()
        self._notes.clear()
        self._notes_bytes = 0

    async def drained(self) -> None:
        """Wait until everything reported so far was sent."""
        await self._idle.wait()

    async def run(self) -> None:
        """Send for ever."""
        while True:
            await self._full.wait()
            self._full.clear()
            while self._notes or self._settlements:
                # Taken together: what a task said before its end is among these notes, or has gone before.
                notes, self._notes, self._notes_bytes, self._overflowed = self._notes, {}, 0, False
                batch, self._settlements = self._cut(self._settlements)
                self._under_way = batch
                if notes:
                    await self._send_notes(list(notes.values()))
                if batch:
                    await self._send_settlements(batch)
                self._under_way = []
            if not self._full.is_set():
                self._idle.set()

    async def _send_notes(self, notes: list[Note]) -> None:
        for part in _calls(notes):
            try:
                stale = await self._store.note(part, self._keep.result_ttl_ms)
            except StoreError as fault:
                log.warning("%d progress notes were not stored: %s", len(part), fault)
            else:
                for lease in stale:
                    log.info("progress of %s refused: its lease was lost", lease.task_id)

    async def _send_settlements(self, batch: list[Settlement]) -> None:
        by_partition: dict[int, list[Settlement]] = {}
        for item in batch:
            by_partition.setdefault(item.lease.partition, []).append(item)
        for partition, items in by_partition.items():
            self._number += 1
            refused, asked = await self._send_until_heard(partition, self._number, items)
            for item in refused:
                self._on_refused(item)
            self._settlements += [self._on_asked(item) for item in asked]

    async def _send_until_heard(
        self, partition: int, number: int, items: list[Settlement]
    ) -> tuple[list[Settlement], list[Settlement]]:
        pause = PAUSE_S
        while True:
            try:
                refused, asked = await self._store.settle(partition, self.epoch, number, items, self._keep)
            except StoreError as fault:
                # Once an outage is enough.
                log.log(logging.WARNING if pause == PAUSE_S else logging.DEBUG, "results wait for Redis: %s", fault)
                await asyncio.sleep(pause)
                pause = min(pause * 2, PAUSE_MAX_S)
            else:
                if pause != PAUSE_S:
                    log.info("Redis is back; %d results were sent", len(items))
                return refused, asked

    @staticmethod
    def _cut(waiting: list[Settlement]) -> tuple[list[Settlement], list[Settlement]]:
        if len(waiting) <= ITEMS_PER_CALL_MAX:
            sizes = sum(len(item.data) for item in waiting if isinstance(item.data, bytes))
            if sizes <= CALL_BYTES_MAX:
                return waiting, []
        size = 0
        for position, item in enumerate(waiting[:ITEMS_PER_CALL_MAX]):
            size += len(item.data) if isinstance(item.data, bytes) else 0
            if position and size > CALL_BYTES_MAX:
                return waiting[:position], waiting[position:]
        return waiting[:ITEMS_PER_CALL_MAX], waiting[ITEMS_PER_CALL_MAX:]


def _calls(notes: list[Note]) -> Iterator[list[Note]]:
    """Notes in parts of which each fits into one call."""
    part: list[Note] = []
    size = 0
    for note in notes:
        size += len(note[2])
        if part and (size > CALL_BYTES_MAX or len(part) == ITEMS_PER_CALL_MAX):
            yield part
            part, size = [], len(note[2])
        part.append(note)
    if part:
        yield part
