"""Claims tasks for a hand-written loop: `task = await broker.next_task()`.

The consumer is a node like a Spore: it holds a lease that its own thread renews, and keeps the fence of
every task it handed out, which settling needs.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import TypeVar

from msgspec import Raw

from venom_core.domain.lifecycle import TaskStatus
from venom_core.domain.node import NodeLoad, NodeProfile
from venom_core.domain.task import NOTHING, Outcome, TaskBody, clip_error, open_task, seal_outcome
from venom_core.errors import LeaseLate, LeaseLost, SecurityError, StoreError, StoreUnavailable
from venom_core.infrastructure.chores import Chores
from venom_core.infrastructure.hive import Hive
from venom_core.infrastructure.lease_keeper import LeaseKeeper
from venom_core.infrastructure.node_store import Beat
from venom_core.infrastructure.task_records import Lease, Settlement, claim_number
from venom_core.infrastructure.task_store import ANY_TYPE
from venom_core.infrastructure.wakeup import WakeLists

log = logging.getLogger("venom.consumer")

TYPES_MAX = 64
BLOCK_S = 10.0
ATTEMPTS, PAUSE_S = 3, 0.2
LET_GO_S = 1.0
CLOSED = "the broker was closed while waiting for a task"

Reply = TypeVar("Reply")


class Consumer:
    """One process's hand-claimed tasks."""

    def __init__(
        self,
        hive: Hive,
    ) -> None:
        self._hive, self._tasks, self._seal, self._keep = hive, hive.tasks, hive.seal, hive.keep
        self._wake = WakeLists(hive.link)
        name = f"consumer-{socket.gethostname()[:60]}-{os.getpid()}-{secrets.token_hex(2)}"
        profile = NodeProfile(name=name, kind="consumer", host=socket.gethostname(), pid=os.getpid())
        self._keeper = LeaseKeeper(hive.link, hive.nodes, profile, hive.rhythm, self, self._on_beat, hive.clock)
        self.name = name
        self._held: dict[str, tuple[Lease, TaskBody]] = {}
        self._sent: dict[str, dict[tuple[TaskStatus, bytes | None, str | None], bytes]] = {}
        self._given = 0
        self._number = 0
        self._watched: dict[int, str] = {}
        self._asked: dict[int, list[str]] = {}
        self._joined = self._closed = False
        self._one_claim = asyncio.Lock()
        self._chores = Chores(hive)

    def read(self) -> NodeLoad:
        """The load that the lease thread reports."""
        return NodeLoad(active_tasks=len(self._held))

    def hear(self, cancels: tuple[str, ...]) -> None:
        """A hand-written loop cannot be interrupted: a cancel wish takes effect when it hands the task back."""

    def _on_beat(self, beat: Beat) -> None:
        if not beat.alive and self._joined:
            log.warning("the lease of %s was lost; %d tasks it held will run elsewhere", self.name, len(self._held))
            # They stay known here: whoever reports the end of one is told by its fence that it was taken away.
            self._joined = False
        self._chores.reap(beat.expired, beat.now_ms)
        if beat.alive and beat.anew:
            self._chores.start(self._hive.link.check())
            self._chores.insist(partial(self._hand_back_forgotten, beat.partition, self._keeper.epoch))

    async def _hand_back_forgotten(self, partition: int, epoch: int) -> None:
        for item in await self._hive.upkeep.forgotten(partition, epoch, lambda: self._knows):
            if epoch == self._keeper.epoch:
                log.warning("Redis has lost its last writes: %s had ended and goes back in line", item.lease.task_id)
                await self._return(item)

    def _knows(self, task_id: str, fence: str) -> bool:
        held = self._held.get(task_id)
        return claim_number(fence) > self._given or (held is not None and held[0].fence == fence)

    def holds(self, task_id: str) -> bool:
        """Whether the task was handed out here and not settled yet."""
        return task_id in self._held

    async def next_lease(self, types: list[str], timeout_s: float | None) -> tuple[Lease, TaskBody] | None:
        """Claim one task of these types (none = any type); None when time runs out.

        Raises:
            StoreUnavailable: Redis is away, or this was closed meanwhile.
        """
        try:
            claimed = await self._next_lease(types, timeout_s)
        except StoreUnavailable:
            if self._closed:
                raise StoreUnavailable(CLOSED) from None
            raise
        except asyncio.CancelledError:
            with suppress(StoreError, TimeoutError):
                async with asyncio.timeout(LET_GO_S):
                    await self._let_go()
            raise
        try:
            await self._let_go()
        except StoreError as fault:
            if claimed is None:
                raise
            log.warning("somebody else may wake late for delayed tasks: %s", fault)
        return claimed

    async def _let_go(self) -> None:
        """Nobody waits here any more for a delayed task to come due, also in a partition that had nothing else."""
        for partition in list(self._watched):
            await self._tasks.unwatch(partition, self._keeper.epoch, self._asked[partition])
        self._watched.clear()

    async def _next_lease(self, types: list[str], timeout_s: float | None) -> tuple[Lease, TaskBody] | None:
        loop = asyncio.get_running_loop()
        deadline = None if timeout_s is None else loop.time() + timeout_s
        woken = ANY_TYPE if not types else ""
        while True:
            lease, wait_ms = await self._claim_whole(types, woken)
            if self._closed:
                raise StoreUnavailable(CLOSED)  # what was claimed meanwhile is handed back with all that is held
            if lease is not None:
                body = await self._take(lease)
                if body is not None:
                    return lease, body
                continue
            left = BLOCK_S if deadline is None else min(deadline - loop.time(), BLOCK_S)
            if wait_ms >= 0:
                left = min(left, wait_ms / 1000)
            if deadline is not None and loop.time() >= deadline:
                return None
            keys = self._tasks.wake_keys(types or [ANY_TYPE])
            woken = await self._wait(keys, max(left, 0.001), types)

    async def _claim_whole(self, types: list[str], woken: str) -> tuple[Lease | None, int]:
        """A claim that is never cut short: it would leave a task with a process that does not know of it."""
        claiming = asyncio.ensure_future(self._claim_alone(types, woken))
        try:
            return await asyncio.shield(claiming)
        except asyncio.CancelledError:
            lease, _ = await claiming
            if lease is not None and await self._take(lease) is not None:
                await self.settle(lease.task_id, TaskStatus.PENDING, None, None)
            raise

    async def _take(self, lease: Lease) -> TaskBody | None:
        """Open a claimed task and keep it as held here; None for one that is refused."""
        self._given = claim_number(lease.fence)
        try:
            body = open_task(self._seal, lease.task_id, lease.envelope)
        except SecurityError as fault:
            await self._refuse(lease, fault)
            return None
        self._held[lease.task_id] = (lease, body)
        return body

    async def _wait(self, keys: list[bytes], seconds: float, types: list[str]) -> str:
        key = await self._wake.pop(keys, seconds)
        if not types:
            return ANY_TYPE
        return key.decode().partition("}:wake:")[2] if key else ""

    async def _claim_alone(self, types: list[str], woken: str) -> tuple[Lease | None, int]:
        async with self._one_claim:
            return (None, -1) if self._closed else await self._claim(types, woken)

    async def _claim(self, types: list[str], woken: str) -> tuple[Lease | None, int]:
        if not self._joined:
            await self._keeper.join()
            self._joined = True
            if self._closed:
                await self._keeper.halt()
                return None, -1
        wait_ms = -1
        for partition in range(self._tasks.keyspace.partitions):
            wanted = types or await self._tasks.open_types(partition, TYPES_MAX)
            if self._closed:
                return None, -1
            if not wanted:
                continue
            self._asked[partition] = wanted
            self._number += 1
            hints = (woken, self._watched.pop(partition, ""))
            try:
                epoch, number = self._keeper.epoch, self._number
                batch = await _again(partial(self._tasks.claim, partition, epoch, number, wanted, 1, hints))
            except LeaseLate:
                return None, round(self._keeper.heartbeat_s * 1000)
            except LeaseLost:
                self._joined = False
                return None, 0
            if batch.old:
                return None, 0
            if batch.leases:
                return batch.leases[0], -1
            if batch.wait_ms >= 0:
                self._watched[partition] = batch.watched
                wait_ms = batch.wait_ms if wait_ms < 0 else min(wait_ms, batch.wait_ms)
        return None, wait_ms

    async def settle(self, task_id: str, status: TaskStatus, result: bytes | None, error: str | None) -> None:
        """Report a held task's end, or hand it back (`pending`); raises `LeaseLost` if it is not held any more."""
        lease, body = self._held[task_id]
        if status is TaskStatus.PENDING:
            refused = await self._return(Settlement(lease, body.task_type, "back"))
        else:
            # The same report again is the same record, so that it is known again.
            sent = self._sent.setdefault(task_id, {})
            record = sent.setdefault((status, result, error), self._record(lease, status, result, error))
            refused, _ = await self._send(Settlement(lease, body.task_type, "end", record))
            if refused and (await self._tasks.look([task_id]))[task_id].outcome == record:
                refused = []  # Redis had carried it out before the answer was lost
        self._held.pop(task_id, None)
        self._sent.pop(task_id, None)
        if refused:
            raise LeaseLost(f"{task_id} was taken from {self.name} meanwhile; its end is not recorded")

    async def _return(self, item: Settlement) -> list[Settlement]:
        """Hand a task back, or end it if somebody wants that; what was refused."""
        refused, asked = await self._send(item)
        if asked:
            record = self._record(item.lease, TaskStatus.CANCELLED, None, "cancelled")
            refused, _ = await self._send(Settlement(item.lease, item.lane, "end", record))
        return refused

    async def _send(self, item: Settlement) -> tuple[list[Settlement], list[Settlement]]:
        """Settle; a reply that is lost is asked for again under the same number, which the script recognises."""
        self._number += 1
        number, partition = self._number, item.lease.partition
        return await _again(lambda: self._tasks.settle(partition, self._keeper.epoch, number, [item], self._keep))

    def _record(self, lease: Lease, status: TaskStatus, result: bytes | None, error: str | None) -> bytes:
        value = NOTHING if result is None else Raw(result)
        outcome = Outcome(
            self.name,
            lease.failures + 1,
            lease.crashes,
            lease.claimed_ms,
            max(self._keeper.store_now_ms(), lease.claimed_ms),
            value,
            None if error is None else clip_error(error),
        )
        return seal_outcome(self._seal, lease.task_id, status, outcome)

    async def _refuse(self, lease: Lease, fault: SecurityError) -> None:
        log.error("refused a task: %s", fault)
        record = self._record(lease, TaskStatus.FAILED, None, f"SecurityError: {fault}")
        await self._send(Settlement(lease, "", "end", record))
        await self._hive.pen.write("refused_envelope", lease.task_id, str(fault), self.name)

    async def close(self) -> None:
        """Hand back what is held and leave; with the store away, the end of the lease does both."""
        self._closed, clean = True, True
        self._wake.end()
        try:
            # What is being claimed has come then, and is handed back with the rest.
            async with asyncio.timeout(LET_GO_S), self._one_claim:
                pass
        except TimeoutError:
            clean = False
        for task_id in list(self._held):
            try:
                await self.settle(task_id, TaskStatus.PENDING, None, None)
            except LeaseLost as fault:
                log.info("nothing to hand back: %s", fault)
            except StoreError as fault:
                log.warning("%s could not be handed back and will be taken when the lease ends: %s", task_id, fault)
                clean = False
        await self._chores.end()
        try:
            if clean and self._keeper.epoch:
                # Also what a claim brought whose reply never came.
                await self._hive.upkeep.hand_back(self._keeper.epoch, self._keeper.store_now_ms())
            await self._keeper.leave(clean=clean)
        except StoreError as fault:
            log.warning("left without saying goodbye: %s", fault)


async def _again(call: Callable[[], Awaitable[Reply]]) -> Reply:
    """A call that may be sent twice, sent up to three times while the store is out of reach."""
    for attempt in range(1, ATTEMPTS):
        try:
            return await call()
        except StoreUnavailable:
            await asyncio.sleep(PAUSE_S * attempt)
    return await call()
