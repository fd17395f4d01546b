"""What stands in line, by task type: how many are ready, delayed, given to a node; how long the first has waited."""

from __future__ import annotations

from dataclasses import dataclass

from venom_core.domain.lane import WAITING, node_of
from venom_core.domain.task import open_task
from venom_core.errors import SecurityError
from venom_core.infrastructure.hive import Hive

LANES_MAX = 1_000


@dataclass(slots=True)
class Queue:
    """One lane: a task type, or what waits to be placed, or a node's own line. `oldest_ms` is an age or -1."""

    lane: str
    ready: int = 0
    delayed: int = 0
    oldest_ms: int = -1

    @property
    def name(self) -> str:
        """The lane in words."""
        node = node_of(self.lane)
        if self.lane == WAITING:
            return "(to be placed)"
        return self.lane if node is None else f"(given to {node})"


async def read_queues(hive: Hive) -> list[Queue]:
    """Every lane with anything in it, at most 1,000 a partition, in order of name."""
    found: dict[str, Queue] = {}
    for partition in range(hive.tasks.keyspace.partitions):
        for lane in await _lanes(hive, partition):
            await _add(hive, partition, found.setdefault(lane, Queue(lane)))
    return sorted(found.values(), key=lambda queue: queue.name)


async def _lanes(hive: Hive, partition: int) -> dict[str, None]:
    lanes: dict[str, None] = {}
    for index in ("ready", "placed", "due"):
        names = await hive.link.command("ZRANGE", hive.tasks.keyspace.key(partition, index), 0, LANES_MAX - 1)
        lanes |= dict.fromkeys(name.decode() for name in names)
    return lanes


async def _add(hive: Hive, partition: int, queue: Queue) -> None:
    ready, later, _ = hive.tasks.keyspace.type_keys(partition, queue.lane)
    queue.ready += await hive.link.command("ZCARD", ready)
    queue.delayed += await hive.link.command("ZCARD", later)
    for task_id in await hive.link.command("ZRANGE", ready, 0, 0):
        seen = (await hive.tasks.look([task_id.decode()]))[task_id.decode()]
        if seen.envelope is not None:
            queue.oldest_ms = max(queue.oldest_ms, _age_ms(hive, task_id.decode(), seen.envelope, seen.now_ms))


def _age_ms(hive: Hive, task_id: str, envelope: bytes, now_ms: int) -> int:
    try:
        return max(now_ms - open_task(hive.seal, task_id, envelope).created_ms, 0)
    except SecurityError:
        return -1  # whoever claims it refuses it
