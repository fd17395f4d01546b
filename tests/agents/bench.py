"""Nodes that only say what the test tells them to, and a dispatcher that ticks when the test says so."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from venom_core.agents.dispatcher import Dispatcher
from venom_core.domain.lane import WAITING, own_lane
from venom_core.domain.node import NodeLoad, NodeProfile
from venom_core.infrastructure.hive import Hive
from venom_core.infrastructure.leadership import Leadership
from venom_core.infrastructure.message_broker import MessageBroker
from venom_core.infrastructure.task_records import Lease

LEASE_MS = 600_000


@dataclass
class Bench:
    """One hive, its nodes by name (their epochs), and its dispatcher."""

    broker: MessageBroker
    dispatcher: Dispatcher = field(init=False)
    epochs: dict[str, int] = field(default_factory=dict)
    numbers: int = 0

    def __post_init__(self) -> None:
        self.dispatcher = Dispatcher(self.hive, Leadership(self.hive.nodes, "bench", 60))

    @property
    def hive(self) -> Hive:
        return self.broker.hive

    async def join(self, name: str, cpu: float = 0.0, active: int = 0, *, slots: int = 2, **profile: Any) -> None:
        """A node with the skill `scan`, and its first heartbeat."""
        said = NodeProfile(name=name, concurrency=slots, **{"skills": ("scan",), **profile})
        self.epochs[name] = (await self.hive.nodes.join(said, LEASE_MS)).epoch
        await self.beat(name, cpu_percent=cpu, active_tasks=active)

    async def beat(self, name: str, **load: Any) -> None:
        """A heartbeat of a later millisecond than the last."""
        before = {node.profile.name: node.heard_ms for node in await self.hive.nodes.all()}
        while before[name] == {node.profile.name: node.heard_ms for node in await self.hive.nodes.all()}[name]:
            assert await self.hive.nodes.renew(self.epochs[name], name, LEASE_MS, NodeLoad(**load))

    async def die(self, name: str) -> None:
        """Its lease ran out."""
        space = self.hive.tasks.keyspace
        for partition in range(space.partitions):
            await self.hive.link.command("ZADD", space.key(partition, "lease"), "XX", 1, self.epochs[name])

    async def put(self, count: int = 1, wanted: dict[str, Any] | None = None, **options: Any) -> list[str]:
        """Tasks of the type `scan` that ask for a tag `x` unless told otherwise."""
        asked = {"tags": "x"} if wanted is None else wanted
        return await self.broker.enqueue_many("scan", [{} for _ in range(count)], requirements=asked, **options)

    async def tick(self) -> None:
        await self.dispatcher.tick()

    async def lane(self, name: str = "") -> list[str]:
        """What stands in the line of a node, or in that of what waits to be placed; all partitions."""
        found = []
        for partition in range(self.hive.tasks.keyspace.partitions):
            lane = own_lane(name) if name else WAITING
            queue = self.hive.tasks.keyspace.type_keys(partition, lane)[0]
            found += [task_id.decode() for task_id in await self.hive.link.command("ZRANGE", queue, 0, -1)]
        return found

    async def claim(self, name: str, count: int = 10) -> list[Lease]:
        """What a node claims from its own line."""
        leases: list[Lease] = []
        for partition in range(self.hive.tasks.keyspace.partitions):
            self.numbers += 1
            lanes = ["scan", own_lane(name)]
            leases += (await self.hive.tasks.claim(partition, self.epochs[name], self.numbers, lanes, count)).leases
        return leases
