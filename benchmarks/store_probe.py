"""Redis CPU of single transitions, by calling the typed door directly: no worker, no waiting, one call at a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import msgspec

from benchmarks.server import Server
from benchmarks.sides import TOKEN
from venom_core.clock import Clock
from venom_core.config import Settings
from venom_core.domain.lifecycle import TaskStatus
from venom_core.domain.node import NodeProfile
from venom_core.domain.task import NOTHING, Outcome, TaskBody, seal_outcome, seal_task
from venom_core.domain.task_id import TaskIds
from venom_core.infrastructure.hive import Hive
from venom_core.infrastructure.task_records import Batch, Settlement, TaskGroup

LEASE_MS = 3_600_000
QUEUED_MAX = 10_000_000
BATCH = 100
CALLS = 5
AT_ONCE = 4
_EMPTY_PAYLOAD = msgspec.Raw(msgspec.msgpack.encode({"n": 1}))


@dataclass
class Costs:
    """Redis CPU microseconds a task, one value per repetition."""

    enqueue: list[float] = field(default_factory=list)
    claim: list[float] = field(default_factory=list)
    settle: list[float] = field(default_factory=list)


class StoreProbe:
    """A node that claims and settles by hand, `batch` tasks a call."""

    def __init__(self, server: Server, hive: Hive, epoch: int, batch: int = BATCH) -> None:
        self._server, self._hive, self._epoch, self._batch = server, hive, epoch, batch
        self._number = 0
        self._ids = TaskIds()

    async def fill(self, count: int, types: Sequence[str] = ("noop",), when: str = "now") -> None:
        """Enqueue `count` tasks, spread over the types."""
        for start in range(0, count, 500 * len(types)):
            amount = min(count - start, 500 * len(types))
            groups = [self._group(name, amount // len(types), when) for name in types]
            for at in range(0, len(groups), 20):
                await self._hive.tasks.enqueue(groups[at : at + 20], QUEUED_MAX)

    async def cost(self, repeats: int, types: Sequence[str] = ("noop",)) -> Costs:
        """Claim, settle and enqueue five batches again and again, so that the queue keeps its length."""
        costs = Costs()
        tasks, keep = self._hive.tasks, self._hive.keep
        for _ in range(repeats):
            before = self._server.cpu_s()
            batches = [await self.claim(types) for _ in range(CALLS)]
            costs.claim.append(self._since(before))
            ends = [self._ends(batch) for batch in batches]
            numbers = [self._next() for _ in ends]
            before = self._server.cpu_s()
            for number, items in zip(numbers, ends, strict=True):
                await tasks.settle(0, self._epoch, number, items, keep)
            costs.settle.append(self._since(before))
            groups = [[self._group(types[0], self._batch, "now")] for _ in ends]
            before = self._server.cpu_s()
            for group in groups:
                await tasks.enqueue(group, QUEUED_MAX)
            costs.enqueue.append(self._since(before))
        return costs

    async def drain(self, calls: int) -> float:
        """Seconds a task when so many batches are claimed and settled, and Redis never has to wait for a call."""
        on_their_way = asyncio.Semaphore(AT_ONCE)

        async def batch() -> None:
            async with on_their_way:
                ends = self._ends(await self.claim(["noop"]))
                await self._hive.tasks.settle(0, self._epoch, self._next(), ends, self._hive.keep)

        begin = time.perf_counter()
        await asyncio.gather(*(batch() for _ in range(calls)))
        return (time.perf_counter() - begin) / (calls * self._batch)

    async def claim(self, types: Sequence[str]) -> Batch:
        """One claim of a batch."""
        batch = await self._hive.tasks.claim(0, self._epoch, self._next(), types, self._batch)
        if len(batch.leases) != self._batch:
            raise SystemExit(f"a claim brought {len(batch.leases)} tasks instead of {self._batch}")
        return batch

    def _since(self, before: float) -> float:
        return (self._server.cpu_s() - before) * 1e6 / (CALLS * self._batch)

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _group(self, task_type: str, count: int, when: str) -> TaskGroup:
        now_ms = self._hive.now_ms()
        group = TaskGroup(task_type, 2, when, self._ids.take(count, now_ms))
        body = TaskBody(task_type, _EMPTY_PAYLOAD, 300_000, 3, now_ms)
        group.envelopes.extend(seal_task(self._hive.seal, task_id, 2, body) for task_id in group.ids)
        return group

    def _ends(self, batch: Batch) -> list[Settlement]:
        seal = self._hive.seal
        outcome = Outcome("bench", 1, 0, batch.now_ms, batch.now_ms, NOTHING)
        return [
            Settlement(lease, "noop", "end", seal_outcome(seal, lease.task_id, TaskStatus.COMPLETED, outcome))
            for lease in batch.leases
        ]


@asynccontextmanager
async def store_probe(server: Server, batch: int = BATCH) -> AsyncIterator[StoreProbe]:
    """A joined probe on an empty server."""
    server.empty()
    hive = await Hive.connect(Settings.load(redis_url=server.url, nexus_shared_token=TOKEN), Clock())
    try:
        joined = await hive.nodes.join(NodeProfile("probe", concurrency=batch), LEASE_MS)
        yield StoreProbe(server, hive, joined.epoch, batch)
    finally:
        await hive.close()
