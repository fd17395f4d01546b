"""Claiming for one Spore: from each partition in turn, and sleeping when there is nothing.

A claim whose reply was lost is asked again under the same number, which brings the same batch. A claim
is never cancelled: its tasks would be leased to a node that does not know of them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

from venom_core.errors import LeaseLost, StoreError
from venom_core.infrastructure.hive import Hive
from venom_core.infrastructure.task_records import Batch
from venom_core.infrastructure.task_store import ANY_LANE
from venom_core.infrastructure.wakeup import WakeLists

log = logging.getLogger("venom.spore")

BLOCK_S = 10.0
PAUSE_S, PAUSE_MAX_S = 0.1, 2.0


class Claimer:
    """What one Spore asks the queues for; once `quiet` is set, a claim that is not answered is given up.

    `lanes` are its types, and last the lane of what was given to it.
    """

    def __init__(self, hive: Hive, lanes: Sequence[str], quiet: asyncio.Event) -> None:
        self._tasks, self._lanes, self._quiet = hive.tasks, lanes, quiet
        self._placement = hive.placement
        self._wake = WakeLists(hive.link)
        self._disturbed = False
        self._wake_keys = hive.tasks.wake_keys(lanes)
        self._number = 0
        self._next_partition = 0
        self._woken: dict[int, str] = {}
        self._watched: dict[int, str] = {}
        self._wait_ms = -1
        self.emptied = False

    async def claim(self, epoch: int, count: int) -> Batch | None:
        """Up to `count` tasks from the next partition that has any; None if none has. Raises `LeaseLost`."""
        partitions = self._tasks.keyspace.partitions
        self._wait_ms = -1
        for step in range(partitions):
            partition = (self._next_partition + step) % partitions
            batch = await self._claim(partition, epoch, count)
            if batch.wait_ms >= 0:
                self._watched[partition] = batch.watched
                self._wait_ms = batch.wait_ms if self._wait_ms < 0 else min(self._wait_ms, batch.wait_ms)
            if batch.leases:
                self._next_partition = (partition + 1) % partitions
                # What is enqueued from now on leaves a token, so there is no need to look again before sleeping.
                self.emptied = partitions == 1 and len(batch.leases) < count
                return batch
        self.emptied = True
        return None

    async def _claim(self, partition: int, epoch: int, count: int) -> Batch:
        self._number += 1
        number, pause, hints = self._number, PAUSE_S, (self._woken.pop(partition, ""), self._watched.pop(partition, ""))
        while True:
            try:
                batch = await self._tasks.claim(partition, epoch, number, self._lanes, count, hints)
            except StoreError as fault:
                if self._quiet.is_set():
                    raise
                # Once an outage is enough.
                level = logging.WARNING if pause == PAUSE_S else logging.DEBUG
                log.log(level, "a claim was not answered, asking again: %s", fault)
                await asyncio.sleep(pause)
                pause = min(pause * 2, PAUSE_MAX_S)
                continue
            if pause != PAUSE_S:
                log.info("Redis is back; it answers claims again")
                pause = PAUSE_S
            if not batch.old:
                return batch
            # It was answered, with nothing, to a line that is lost; what has changed since is asked anew.
            self._number += 1
            number, hints = self._number, (ANY_LANE, hints[1])

    async def let_go(self, epoch: int) -> None:
        """This node claims no more: somebody else has to wake for the next delayed task, and for what woke it last."""
        await self.pass_on()
        await self.unwatch(epoch)

    async def unwatch(self, epoch: int) -> None:
        """This node will not wake for the next delayed task; costs nothing if it was not to."""
        for partition in list(self._watched):
            await self._tasks.unwatch(partition, epoch, self._lanes)
            self._watched.pop(partition, None)

    async def pass_on(self) -> None:
        """Leave the tokens that woke this node to others; the next claim looks at those lanes all the same."""
        for partition, lane in self._woken.items():
            if lane != ANY_LANE:
                await self._placement.pass_on(partition, lane)

    def disturb(self) -> None:
        """End the present sleep, or the next one before it begins."""
        self._disturbed = True
        self._wake.give_up()

    async def sleep(self, epoch: int, count: int) -> Batch | None:
        """Block until there may be work or somebody disturbs; what the server claimed the moment it woke this node.

        A claim of `count` (0 = none) travels behind the blocking call, which saves the way there and back. It is
        of use with one partition only, because a claim touches one. If nobody reads its answer, the next claim has
        the same number and is given the same batch. Raises `LeaseLost`.
        """
        await self._settle_first()
        seconds = BLOCK_S if self._wait_ms < 0 else min(BLOCK_S, self._wait_ms / 1000)
        ahead = b""
        if count and self._tasks.keyspace.partitions == 1:
            watched = self._watched.get(0, "")
            ahead = self._tasks.claim_command(0, epoch, self._number + 1, self._lanes, count, watched)
        disturbed, self._disturbed = self._disturbed, False
        self.emptied = False
        if disturbed:
            return None
        popped = await self._wake.pop_and(self._wake_keys, max(seconds, 0.001), ahead)
        if popped is None:
            self._disturbed = False
            return None
        key, reply = popped
        if ahead and reply is None:
            # The server has forgotten its scripts; the next claim sends the source, and looks at every lane.
            self._woken[0] = ANY_LANE
        return await self._wake_up(key, reply, epoch, count)

    @staticmethod
    async def _settle_first() -> None:
        """What has just been started may end at once: its report goes out before the call that blocks, not after."""
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    async def _wake_up(self, key: bytes | None, reply: Any, epoch: int, count: int) -> Batch | None:
        if key is not None:
            tag, _, lane = key.decode().partition("}:wake:")
            self._woken[int(tag.rpartition(":")[2])] = lane
        if reply is None:
            return None
        self._number += 1
        try:
            batch = self._tasks.read_claim(0, epoch, self._number, reply)
        except LeaseLost:
            await self.pass_on()
            raise
        self._woken.clear()
        self._watched.clear()
        self._wait_ms = batch.wait_ms
        if batch.wait_ms >= 0:
            self._watched[0] = batch.watched
        self.emptied = len(batch.leases) < count
        return batch
