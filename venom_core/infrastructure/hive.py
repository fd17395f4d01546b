"""An open hive: the link, the stores over it and the values they share. Brokers, Spores and Nexus build on it."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from venom_core.clock import Clock
from venom_core.config import Settings
from venom_core.domain.retry import CRASHES_MAX
from venom_core.domain.seal import Seal
from venom_core.infrastructure.audit_pen import AuditPen
from venom_core.infrastructure.keys import Keyspace
from venom_core.infrastructure.lease_keeper import Rhythm
from venom_core.infrastructure.node_store import NodeStore
from venom_core.infrastructure.placement_store import PlacementStore
from venom_core.infrastructure.redis_link import RedisLink
from venom_core.infrastructure.task_records import Held, Retention
from venom_core.infrastructure.task_store import TaskStore
from venom_core.infrastructure.upkeep import Upkeep

log = logging.getLogger("venom.hive")


@dataclass(frozen=True, slots=True)
class Zombie:
    """A running task whose node is leased but shows no sign of life."""

    task_id: str
    held: Held
    node: str


@dataclass(slots=True)
class Hive:
    """Everything one process needs to work with one hive."""

    link: RedisLink
    tasks: TaskStore
    nodes: NodeStore
    placement: PlacementStore
    seal: Seal
    keep: Retention
    rhythm: Rhythm
    upkeep: Upkeep
    pen: AuditPen
    clock: Clock
    ahead_ms: int
    reaping: set[int] = field(default_factory=set)

    @classmethod
    async def connect(cls, settings: Settings, clock: Clock) -> Hive:
        """Connect and agree on the number of partitions, which is fixed when the hive is created."""
        link = RedisLink(settings)
        await link.connect()
        try:
            partitions = await _partitions(link, settings)
            seconds, micros = await link.command("TIME")
        except BaseException:
            await link.close()
            raise
        keyspace = Keyspace(settings.hive_namespace, partitions)
        token, previous = settings.nexus_shared_token, settings.nexus_shared_token_previous
        seal = Seal(
            settings.hive_namespace,
            token.get_secret_value() if token else None,
            previous.get_secret_value() if previous else None,
        )
        tasks, nodes = TaskStore(link, keyspace, guard_replays=seal.required), NodeStore(link, keyspace)
        keep = Retention(
            result_ttl_ms=round(settings.hive_result_ttl * 1000),
            dead_ttl_ms=round(settings.hive_dead_letter_ttl * 1000),
            dead_max=settings.hive_dead_letters_max,
            crashes_max=CRASHES_MAX,
        )
        return cls(
            link=link,
            tasks=tasks,
            nodes=nodes,
            placement=PlacementStore(link, keyspace),
            seal=seal,
            keep=keep,
            rhythm=Rhythm(settings.hive_heartbeat_interval, settings.hive_lease),
            upkeep=Upkeep(tasks, nodes, seal, keep),
            pen=AuditPen(tasks, settings.hive_audit_file, clock),
            clock=clock,
            ahead_ms=int(seconds) * 1000 + int(micros) // 1000 - round(clock.lasting_s() * 1000),
        )

    async def close(self) -> None:
        """Close every connection."""
        await self.link.close()

    def now_ms(self) -> int:
        """Redis' present time as compared when connecting, whatever this machine's clock says or is set to since."""
        return round(self.clock.lasting_s() * 1000) + self.ahead_ms

    async def node_names(self) -> dict[int, str]:
        """Names of the nodes by epoch of their newest incarnation."""
        return {node.epoch: node.profile.name for node in await self.nodes.all()}

    async def reap(self, epoch: int, now_ms: int, name: str = "") -> int:
        """Return what a dead incarnation held; the number returned. `name` is looked up if it is not given.

        Each heartbeat says who is dead; while this process is at it already, it is not begun again.
        """
        if epoch in self.reaping:
            return 0
        self.reaping.add(epoch)
        try:
            known = name or (await self.node_names()).get(epoch, f"of epoch {epoch}")
            return await self.upkeep.reap(epoch, known, now_ms)
        finally:
            self.reaping.discard(epoch)

    async def find_zombies(self, silence_s: float) -> list[Zombie]:
        """Tasks that run on leased nodes whose event loop has been silent for longer than `silence_s`.

        Who claims is not silent: a task claimed since the heartbeat that told of a silence is none.
        """
        silent = {
            node.epoch: node
            for node in await self.nodes.all()
            if node.online and node.load.loop_silent_ms > silence_s * 1000
        }
        zombies: list[Zombie] = []
        for partition in range(self.tasks.keyspace.partitions if silent else 0):
            async for page in self.tasks.running_pages(partition):
                zombies += [
                    Zombie(task_id, held, silent[held.epoch].profile.name)
                    for task_id, held in page
                    if held.epoch in silent and held.started_ms <= silent[held.epoch].heard_ms
                ]
        return zombies


async def _partitions(link: RedisLink, settings: Settings) -> int:
    """The number the hive was created with; only creating it writes, so that a full server can be joined."""
    key = Keyspace(settings.hive_namespace, 1).meta()
    found = await link.command("HGET", key, "partitions")
    if found is None:
        await link.command("HSETNX", key, "partitions", settings.hive_partitions)
        found = await link.command("HGET", key, "partitions")
    if int(found) != settings.hive_partitions:
        log.warning("this hive was created with %d partitions; HIVE_PARTITIONS is ignored", int(found))
    return int(found)
