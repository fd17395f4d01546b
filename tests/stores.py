"""The stores of one hive without anything above them, and looks at all that Redis holds of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from venom_core.domain.lifecycle import TaskStatus
from venom_core.domain.node import NodeProfile
from venom_core.domain.seal import Seal
from venom_core.domain.task import NOTHING, STATUS_MARKS, Outcome, seal_outcome
from venom_core.infrastructure.keys import Keyspace
from venom_core.infrastructure.node_store import NodeStore
from venom_core.infrastructure.redis_link import RedisLink
from venom_core.infrastructure.run_store import JoinCounts
from venom_core.infrastructure.task_records import Held, Lease, Retention, Settlement, TaskGroup, Verb
from venom_core.infrastructure.task_store import TaskStore
from venom_core.infrastructure.upkeep import Upkeep

HOUR_MS = 3_600_000
KEEP = Retention(result_ttl_ms=HOUR_MS, dead_ttl_ms=2 * HOUR_MS, dead_max=1_000, crashes_max=3)
PLENTY = 1_000_000

Content = dict[str, Any]


def envelope(task_id: str, level: int, text: str = "") -> bytes:
    """An unsigned envelope that scripts can read: the level stands in its header."""
    return Seal("any").close("task", task_id, level, f"{task_id} {text}".encode())


def record(task_id: str, status: TaskStatus) -> bytes:
    """An unsigned end; scripts read the status in its header."""
    return seal_outcome(Seal("any"), task_id, status, Outcome("n", 1, 0, 1, 2, NOTHING))


def group(task_type: str, ids: Sequence[str], level: int = 2, when: str = "now") -> TaskGroup:
    return TaskGroup(task_type, level, when, list(ids), [envelope(task_id, level) for task_id in ids])


def end(lease: Lease, task_type: str = "scan", status: TaskStatus = TaskStatus.COMPLETED) -> Settlement:
    return Settlement(lease, task_type, "end", record(lease.task_id, status))


def other(lease: Lease, verb: Verb, data: bytes | int = b"", task_type: str = "scan") -> Settlement:
    if verb == "crash":
        data = record(lease.task_id, TaskStatus.QUARANTINED)
    return Settlement(lease, task_type, verb, data)


def status_of(outcome: bytes) -> TaskStatus:
    return next(status for status, mark in STATUS_MARKS.items() if mark == outcome[3])


def ends_of(task_id: str, held: Held) -> tuple[str, Held, bytes, bytes]:
    """What `take_back` wants of a task: its records for quarantine and for cancellation."""
    return task_id, held, record(task_id, TaskStatus.QUARANTINED), record(task_id, TaskStatus.CANCELLED)


def pairs(flat: Any) -> dict[bytes, bytes]:
    if isinstance(flat, dict):
        return flat
    return dict(zip(flat[::2], flat[1::2], strict=True))


@dataclass
class Stores:
    """One hive as the scripts see it."""

    link: RedisLink
    space: Keyspace
    tasks: TaskStore = field(init=False)
    nodes: NodeStore = field(init=False)
    upkeep: Upkeep = field(init=False)
    joins: JoinCounts = field(init=False)
    numbers: int = 0

    def __post_init__(self) -> None:
        self.tasks, self.nodes = TaskStore(self.link, self.space), NodeStore(self.link, self.space)
        self.joins = JoinCounts(self.link, self.space)
        self.upkeep = Upkeep(self.tasks, self.nodes, Seal(self.space.namespace), KEEP)

    def key(self, name: str, partition: int = 0) -> bytes:
        return self.space.key(partition, name)

    async def join(self, name: str = "node", lease_ms: int = HOUR_MS) -> int:
        return (await self.nodes.join(NodeProfile(name=name), lease_ms)).epoch

    async def put(self, *groups: TaskGroup) -> dict[str, bytes]:
        return await self.tasks.enqueue(groups, PLENTY)

    async def claim(
        self, epoch: int, count: int = 1, types: Sequence[str] = ("scan",), partition: int = 0
    ) -> list[Lease]:
        self.numbers += 1
        return (await self.tasks.claim(partition, epoch, self.numbers, types, count)).leases

    async def settle(self, epoch: int, *items: Settlement) -> tuple[list[Settlement], list[Settlement]]:
        self.numbers += 1
        return await self.tasks.settle(items[0].lease.partition, epoch, self.numbers, items, KEEP)

    async def held(self, task_id: str) -> Held:
        held = (await self.tasks.look([task_id]))[task_id].held
        assert held is not None
        return held

    async def expire_lease(self, epoch: int, score: int = 1) -> None:
        """The lease ran out long ago; 0 is how a newer incarnation fences it."""
        for partition in range(self.space.partitions):
            await self.link.command("ZADD", self.key("lease", partition), "XX", score, epoch)

    async def make_due(self, task_type: str, partition: int = 0) -> None:
        """All delayed tasks of a type are due since long, in their order."""
        later = self.space.type_keys(partition, task_type)[1]
        ids = await self.link.command("ZRANGE", later, 0, -1)
        for at, task_id in enumerate(ids, 1):
            await self.link.command("ZADD", later, at, task_id)
        if ids:
            await self.link.command("ZADD", self.key("due", partition), 1, task_type)

    async def tokens(self, task_type: str, partition: int = 0) -> int:
        wake = self.key("wake", partition) if task_type == "*" else self.space.type_keys(partition, task_type)[2]
        return int(await self.link.command("LLEN", wake))

    async def take_token(self, task_type: str, partition: int = 0) -> bool:
        wake = self.key("wake", partition) if task_type == "*" else self.space.type_keys(partition, task_type)[2]
        return await self.link.command("LPOP", wake) is not None

    async def audit(self) -> list[dict[str, str]]:
        lines = await self.link.command("XRANGE", self.key("audit"), "-", "+")
        return [{name.decode(): text.decode() for name, text in pairs(fields).items()} for _, fields in lines]

    async def dump(self) -> Content:
        """Everything Redis holds of the hive by key; a lease is only alive or not, an audit line has no stamp."""
        found: Content = {}
        names = await self.link.command("KEYS", f"{{{self.space.namespace}:*")
        for name in sorted(names):
            kind = (await self.link.command("TYPE", name)).decode()
            found[name.decode().partition("}:")[0][-1] + ":" + name.decode().partition("}:")[2]] = await self._read(
                kind, name
            )
        return found

    async def _read(self, kind: str, name: bytes) -> Any:
        if kind == "hash":
            return pairs(await self.link.command("HGETALL", name))
        if kind == "list":
            return await self.link.command("LRANGE", name, 0, -1)
        if kind == "stream":
            return [fields for _, fields in await self.link.command("XRANGE", name, "-", "+")]
        if kind == "string":
            return await self.link.command("GET", name)
        scores = pairs(await self.link.command("ZRANGE", name, 0, -1, "WITHSCORES"))
        if name.endswith(b":lease"):
            return {epoch: float(score) > 1 for epoch, score in scores.items()}
        return {member: float(score) for member, score in scores.items()}
