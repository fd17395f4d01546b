"""What an idle hive holds: its keys and their bytes, and the memory of its processes. Weighed before a storm and after.

Both times everything that has ended is forgotten first, as if its time to live had run out: by the product's own
steps, with the time moved. What is left then belongs to the hive or to its nodes, and must not grow.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import psutil
import redis

from chaos.events import Recorder
from chaos.fleet import Node
from chaos.mix import RECIPES
from chaos.recording import RecordingStore
from venom_core.clock import Clock
from venom_core.config import Settings
from venom_core.infrastructure.hive import Hive
from venom_core.infrastructure.intake import Intake
from venom_core.infrastructure.keys import Keyspace
from venom_core.infrastructure.upkeep import NODE_FORGOTTEN_AFTER_MS

# Lists that hold a token or none, whoever slept last; and the audit, which is bounded but grows up to that.
COMES_AND_GOES = ("wake", "dispatch", "audit")
AHEAD_MS = 60_000
BURST = {"brief": 60, "urgent": 20, "nap": 4, "placed": 6}


@asynccontextmanager
async def hive_of(settings: Settings, recorder: Recorder) -> AsyncIterator[Hive]:
    """A hive whose tasks are written down."""
    hive = await Hive.connect(settings, Clock())
    try:
        hive.tasks = RecordingStore(hive.link, hive.tasks.keyspace, recorder=recorder)
        yield hive
    finally:
        await hive.close()


async def burst(hive: Hive, settings: Settings) -> None:
    """A little of everything, so that nothing is done for the first time in the storm."""
    intake = Intake(hive, settings)
    for name, count in BURST.items():
        recipe, ids = RECIPES[name], [f"burst-{name}-{number}" for number in range(count)]
        await intake.many(recipe.task_type, [recipe.payload] * count, ids, dict(recipe.options))
    await intake.close()


async def forget(hive: Hive, client: redis.Redis) -> None:
    """Whatever has ended, and every node that is gone, is past its time now."""
    space = hive.tasks.keyspace
    for partition in range(space.partitions):
        expiry = space.key(partition, "expiry").decode()
        client.zunionstore(expiry, {expiry: 0})
        for run in client.scan_iter(match=space.key(partition, "gather:") + b"*", count=1000):
            client.pexpire(run, 0)
        client.delete(space.key(partition, "audit"))
    while await hive.upkeep.forget():
        pass
    await hive.upkeep.forget_nodes(hive.now_ms() + NODE_FORGOTTEN_AFTER_MS + AHEAD_MS)


def weigh(client: redis.Redis, space: Keyspace, nodes: Sequence[Node], recorder: Recorder, text: str) -> None:
    """Write down what there is: keys without a TTL and their bytes, what the server holds in all, and each process."""
    names = sorted(key for partition in range(space.partitions) for key in _keys(client, space, partition))
    memory: Any = client.info("memory")
    recorder.write(
        "memory",
        text=text,
        number=int(memory["used_memory_dataset"]),
        ids=tuple(name.decode() for name in names),
        sums=tuple(int(client.memory_usage(name, samples=0) or 0) for name in names),
        fences=tuple(f"{node.name}~{node.process.pid}" for node in nodes),
        tokens=tuple(psutil.Process(node.process.pid).memory_info().rss for node in nodes),
    )


def _keys(client: redis.Redis, space: Keyspace, partition: int) -> list[bytes]:
    tag = space.key(partition, "")
    found = []
    for name in client.scan_iter(match=tag + b"*", count=1000):
        word = name.removeprefix(tag).decode().partition(":")[0]
        if word not in COMES_AND_GOES and client.pttl(name) == -1:
            found.append(name)
    return found
