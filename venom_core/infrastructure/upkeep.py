"""Small bounded steps that keep a hive in order; any process may run them, at any time, twice.

Promoting what is due happens inside the claim. Here is the rest: tasks of dead nodes go back in line,
results past their time are forgotten, and nodes long gone are struck from the list.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from venom_core.domain.lane import home_lane
from venom_core.domain.lifecycle import TaskStatus
from venom_core.domain.retry import CRASHES_MAX
from venom_core.domain.seal import Seal
from venom_core.domain.task import NOTHING, Outcome, seal_outcome
from venom_core.infrastructure.node_store import NodeStore
from venom_core.infrastructure.task_records import Held, Lease, Retention, Settlement
from venom_core.infrastructure.task_store import TaskStore

log = logging.getLogger("venom.upkeep")

FORGET_STEP, FORGET_STEPS_MAX = 20, 100
TAKE_BACK_STEP = 200
NODE_FORGOTTEN_AFTER_MS = 3_600_000
# Numbers of a node's last settles, out of reach of those its outbox counted.
HAND_BACK_FROM = 2**52


@dataclass(frozen=True, slots=True)
class Upkeep:
    """The upkeep of one hive."""

    tasks: TaskStore
    nodes: NodeStore
    seal: Seal
    keep: Retention

    async def reap(self, epoch: int, node: str, now_ms: int) -> int:
        """Return what a dead incarnation held, in every partition, and strike it off; the number returned."""
        returned = 0
        for partition in range(self.tasks.keyspace.partitions):
            returned += await self._sweep(partition, lambda held: held.epoch == epoch, node, now_ms)
            await self.nodes.bury(partition, epoch)
        if returned:
            log.warning("node %s died holding %d tasks; they are back in line", node, returned)
        return returned

    async def reap_orphans(self, now_ms: int) -> int:
        """Return what is held under epochs that have no lease at all (a server that lost its last second of writes)."""
        returned = 0
        for partition in range(self.tasks.keyspace.partitions):
            leased = await self.nodes.leased(partition)
            returned += await self._sweep(partition, _not_in(leased), "of a lost lease", now_ms)
        return returned

    async def _sweep(self, partition: int, belongs: Callable[[Held], bool], node: str, now_ms: int) -> int:
        returned = 0
        async for page in self.tasks.running_pages(partition):
            mine = [(task_id, held) for task_id, held in page if belongs(held)]
            for start in range(0, len(mine), TAKE_BACK_STEP):
                returned += await self._take_back(partition, mine[start : start + TAKE_BACK_STEP], node, now_ms)
        return returned

    async def _take_back(self, partition: int, part: list[tuple[str, Held]], node: str, now_ms: int) -> int:
        by_epoch: dict[int, list[tuple[str, Held, bytes, bytes]]] = {}
        tries = await self.tasks.tries(partition, [task_id for task_id, _ in part])
        for (task_id, held), tried in zip(part, tries, strict=True):
            records = self.end_records(task_id, held, node, now_ms, tried)
            by_epoch.setdefault(held.epoch, []).append((task_id, held, *records))
        counts = [await self.tasks.take_back(partition, epoch, items, self.keep) for epoch, items in by_epoch.items()]
        return sum(returned for returned, _ in counts)

    async def forgotten(
        self, partition: int, epoch: int, known: Callable[[], Callable[[str, str], bool]]
    ) -> list[Settlement]:
        """What a partition holds under a living epoch although its node knows nothing of it, as hand-backs.

        A server that lost its last writes holds again what it had acknowledged the end of; nobody else would ever
        take it from a node that lives. `known` gives, page by page, who is asked for a task id and its fence.
        """
        found: dict[str, Settlement] = {}
        async for page in self.tasks.running_pages(partition):
            knows = known()
            strange = [
                (task_id, held) for task_id, held in page if held.epoch == epoch and not knows(task_id, held.fence)
            ]
            # What ended while the page was under way is known no more either: only what is still held was forgotten.
            now = await self.tasks.held(partition, [task_id for task_id, _ in strange])
            lost = [(task_id, held) for task_id, held in strange if now.get(task_id) == held]
            tries = await self.tasks.tries(partition, [task_id for task_id, _ in lost]) if lost else []
            for (task_id, held), tried in zip(lost, tries, strict=True):
                lease = Lease(task_id, b"", *tried, held.fence, partition, held.started_ms)
                found[task_id] = Settlement(lease, home_lane(held.lane), "back")
        return list(found.values())

    async def hand_back(self, epoch: int, now_ms: int) -> int:
        """Return whatever the store still holds under an epoch that is about to leave; it counts nothing."""
        returned, number = 0, HAND_BACK_FROM
        for partition in range(self.tasks.keyspace.partitions):
            async for page in self.tasks.running_pages(partition):
                items = [
                    Settlement(Lease(task_id, b"", 0, 0, held.fence, partition, 0), home_lane(held.lane), "back")
                    for task_id, held in page
                    if held.epoch == epoch
                ]
                if items:
                    number += 1
                    refused, asked = await self.tasks.settle(partition, epoch, number, items, self.keep)
                    returned += len(items) - len(refused)
                    if asked:
                        number += 1
                        ends = [self._cancelled(item, now_ms) for item in asked]
                        await self.tasks.settle(partition, epoch, number, ends, self.keep)
        return returned

    def _cancelled(self, item: Settlement, now_ms: int) -> Settlement:
        """The end of a task that was about to go back in line although somebody had asked to cancel it."""
        lease = item.lease
        outcome = Outcome("", lease.failures, lease.crashes, 0, now_ms, NOTHING, "cancelled while its node left")
        record = seal_outcome(self.seal, lease.task_id, TaskStatus.CANCELLED, outcome)
        return Settlement(lease, item.lane, "end", record)

    async def rescue(self, task_id: str, held: Held, node: str, now_ms: int) -> str:
        """Take one running task from a living node that shows no sign of life: "pending", "ended" or "gone"."""
        partition = self.tasks.keyspace.partition_of(task_id)
        (tried,) = await self.tasks.tries(partition, [task_id])
        records = self.end_records(task_id, held, node, now_ms, tried)
        returned, ended = await self.tasks.take_back(
            partition, held.epoch, [(task_id, held, *records)], self.keep, force=True
        )
        return "pending" if returned else "ended" if ended else "gone"

    def end_records(
        self, task_id: str, held: Held, node: str, now_ms: int, tried: tuple[int, int]
    ) -> tuple[bytes, bytes]:
        """The outcomes for the cases that this crash is one too many, and that somebody wanted the task cancelled.

        `tried` are its failures and crashes before this one.
        """
        failures, crashes = tried

        def record(status: TaskStatus, error: str) -> bytes:
            outcome = Outcome(node, failures + 1, crashes + 1, held.started_ms, now_ms, NOTHING, error)
            return seal_outcome(self.seal, task_id, status, outcome)

        crashed = f"its node died under it {CRASHES_MAX} times, the last was {node}; it will not be run again by itself"
        return record(TaskStatus.QUARANTINED, crashed), record(TaskStatus.CANCELLED, f"cancelled; its node {node} died")

    async def forget(self) -> int:
        """Forget results past their time; the number forgotten."""
        gone = 0
        for _ in range(FORGET_STEPS_MAX):
            step = await self.tasks.forget_expired(FORGET_STEP)
            gone += step
            if not step:  # a step of fewer may have been cut short by the size of its batches
                break
        return gone

    async def forget_nodes(self, now_ms: int) -> list[str]:
        """Strike nodes off the list that have been offline for an hour; their names."""
        gone = []
        for node in await self.nodes.all():
            name = node.profile.name
            if not node.online and await self.nodes.forget(name, now_ms - NODE_FORGOTTEN_AFTER_MS):
                gone.append(name)
        return gone


def _not_in(leased: set[int]) -> Callable[[Held], bool]:
    return lambda held: held.epoch not in leased
