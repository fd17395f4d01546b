"""A random walk through the store with a history: nodes that claim, settle, die and reap one another, by a seed.

With the scripts as they are every walk is clean; with a bug put into one of them the checker names it.
"""

from __future__ import annotations

import asyncio
import contextlib
import random

from msgspec import Raw, msgpack

from chaos.events import Recorder, wall_us
from chaos.recording import RecordingNodes, RecordingStore
from venom_core.domain.lifecycle import TaskStatus
from venom_core.domain.node import NodeLoad, NodeProfile
from venom_core.domain.seal import Seal
from venom_core.domain.task import Outcome, seal_outcome
from venom_core.errors import LeaseLost
from venom_core.infrastructure.keys import Keyspace
from venom_core.infrastructure.node_store import Beat
from venom_core.infrastructure.redis_link import RedisLink
from venom_core.infrastructure.task_records import Held, Lease, Retention, Settlement, TaskGroup

HOUR_MS = 3_600_000
KEEP = Retention(result_ttl_ms=HOUR_MS, dead_ttl_ms=HOUR_MS, dead_max=10_000, crashes_max=3)
LANES = ("brief", "nap", "fickle")
TASKS_PER_STEP, STEPS, NODES = 12, 80, 3
# Redis tells time in ms: what is to be later must be seen to be later.
TICK_S = 0.002


class Walker:
    """One hive and its nodes, each of which holds some tasks."""

    def __init__(self, link: RedisLink, namespace: str, recorder: Recorder, seed: int) -> None:
        self.rng = random.Random(seed)
        self.space, self.seal = Keyspace(namespace, 1), Seal(namespace)
        self.link, self.recorder = link, recorder
        self.tasks = RecordingStore(link, self.space, recorder=recorder)
        self.nodes = RecordingNodes(link, self.space, recorder=recorder)
        self.held: dict[int, list[Lease]] = {}
        self.names: dict[int, str] = {}
        self.tokens: dict[str, int] = {}
        self.numbers = self.made = 0
        self.fickle: set[str] = set()

    async def walk(self) -> None:
        for _ in range(NODES):
            await self.join()
        for _ in range(STEPS):
            epoch = self.rng.choice(list(self.held))
            roll = self.rng.random()
            if roll < 0.28:
                await self.enqueue()
            elif roll < 0.56:
                await self.claim(epoch, self.rng.randint(1, 40))
            elif roll < 0.74:
                await self.settle(epoch)
            elif roll < 0.77:
                await self.renew(epoch)
            elif roll < 0.85:
                await self.wish(epoch)
            elif roll < 0.89:
                await self.requeue()
            else:
                await self.die(epoch)
        await self.finish()

    async def finish(self) -> None:
        """All that is left is done, and everybody leaves."""
        for _ in range(STEPS):
            for epoch in list(self.held):
                await self.settle(epoch)
                await self.claim(epoch, 500)
            if not any(self.held.values()):
                break
        for epoch in list(self.held):
            await self.nodes.leave(epoch, self.names[epoch], clean=True)

    async def join(self) -> None:
        name = f"node-{len(self.names)}"
        epoch = (await self.nodes.join(NodeProfile(name=name), HOUR_MS)).epoch
        self.held[epoch], self.names[epoch] = [], name

    async def enqueue(self) -> None:
        lane, level = self.rng.choice(LANES), self.rng.choice((2, 8))
        ids = [f"task-{number:05d}" for number in range(self.made, self.made + TASKS_PER_STEP)]
        self.made += TASKS_PER_STEP
        if lane == LANES[2]:
            self.fickle.update(ids)
        envelopes = [self.seal.close("task", task_id, level, b"") for task_id in ids]
        await self.tasks.enqueue([TaskGroup(lane, level, "now", ids, envelopes)], 1_000_000)

    async def claim(self, epoch: int, count: int) -> None:
        self.numbers += 1
        batch = await self.tasks.claim(0, epoch, self.numbers, LANES, count)
        for lease in batch.leases:
            token = self.tokens[lease.task_id + lease.fence] = self.recorder.token()
            self.recorder.write("start", ids=(lease.task_id,), token=token, fence=lease.fence)
            self.recorder.write("end", ids=(lease.task_id,), token=token)
        self.held[epoch] += batch.leases

    async def settle(self, epoch: int) -> None:
        """Report all that a node holds; most of it has ended, some is handed back or tried again."""
        leases, self.held[epoch] = self.held[epoch], []
        await self.send(epoch, [self.settlement(lease) for lease in leases])

    async def send(self, epoch: int, items: list[Settlement]) -> None:
        if not items:
            return
        self.numbers += 1
        _, asked = await self.tasks.settle(0, epoch, self.numbers, items, KEEP)
        await self.send(epoch, [Settlement(item.lease, item.lane, "end", self.end(item.lease, "x")) for item in asked])

    def settlement(self, lease: Lease) -> Settlement:
        roll = self.rng.random()
        if roll < 0.1:
            return Settlement(lease, LANES[0], "back")
        if roll < 0.2 and lease.failures < 2:
            return Settlement(lease, LANES[0], "retry", 0)
        if roll < 0.6 and lease.task_id in self.fickle:
            return Settlement(lease, LANES[0], "end", self.end(lease, "f"))
        return Settlement(lease, LANES[0], "end", self.end(lease, "c"))

    def end(self, lease: Lease, mark: str) -> bytes:
        token = self.tokens[lease.task_id + lease.fence]
        return self.record(lease.task_id, mark, lease.failures, lease.crashes, token)

    def record(self, task_id: str, mark: str, failures: int, crashes: int, token: int = 0) -> bytes:
        status = {
            "c": TaskStatus.COMPLETED,
            "f": TaskStatus.FAILED,
            "q": TaskStatus.QUARANTINED,
            "x": TaskStatus.CANCELLED,
        }[mark]
        now_ms = wall_us() // 1000
        outcome = Outcome("node", failures + 1, crashes, now_ms, now_ms, Raw(msgpack.encode(token)))
        return seal_outcome(self.seal, task_id, status, outcome)

    async def renew(self, epoch: int) -> None:
        call = self.nodes.renewal(0, epoch, self.names[epoch], HOUR_MS, NodeLoad(), may_reap=False)
        beat = Beat.parse(0, await self.link.evaluate(call.source, call.keys, call.args))
        self.recorder.write("renew", epoch=epoch, now=beat.now_ms, text="ok" if beat.alive else "lost")

    async def wish(self, epoch: int) -> None:
        """Somebody wants some running tasks cancelled."""
        for lease in self.held[epoch][:3]:
            task_id = lease.task_id
            await self.tasks.cancel(task_id, LANES, self.record(task_id, "x", 0, 0), KEEP)

    async def requeue(self) -> None:
        """Somebody wants some tasks run again, however they have ended."""
        for task_id in self.rng.sample(sorted(self.fickle), min(60, len(self.fickle))):
            await self.tasks.requeue(task_id, LANES[2])

    async def die(self, victim: int) -> None:
        """A node dies; a quick reaper returns what it held, and a slow one tries once more what it read before."""
        await self.claim(victim, 3)
        _, read = await self.tasks.running(0, 0)
        await asyncio.sleep(TICK_S)
        if self.rng.random() < 0.5:
            await self.reap(victim, read)  # too early, it lives
        await self.link.command("ZADD", self.space.key(0, "lease"), "XX", 1, victim)
        self.recorder.write("leave", epoch=victim)
        await self.reap(victim, read)
        leases = self.held.pop(victim)
        for epoch in self.held:
            await self.claim(epoch, 4)
        await self.reap(victim, read)
        await asyncio.sleep(TICK_S)
        for epoch in self.held:
            await self.claim(epoch, 4)
        await self.enqueue()
        await self.haunt(victim, leases)
        await self.nodes.bury(0, victim)
        await self.join()

    async def haunt(self, victim: int, leases: list[Lease]) -> None:
        """It was not dead after all: it reports what it has, and wants more."""
        await self.send(victim, [self.settlement(lease) for lease in leases])
        self.held[victim] = []
        with contextlib.suppress(LeaseLost):
            await self.claim(victim, 1)
        await self.settle(victim)
        del self.held[victim]

    async def reap(self, epoch: int, read: list[tuple[str, Held]]) -> None:
        """Act on what was read of an incarnation, however long ago."""
        mine = [(task_id, held) for task_id, held in read if held.epoch == epoch]
        tries = await self.tasks.tries(0, [task_id for task_id, _ in mine]) if mine else []
        items: list[tuple[str, Held, bytes, bytes]] = []
        for (task_id, held), (failures, crashes) in zip(mine, tries, strict=True):
            lost, off = (self.record(task_id, mark, failures, crashes + 1) for mark in "qx")
            items.append((task_id, held, lost, off))
        if items:
            await self.tasks.take_back(0, epoch, items, KEEP)
