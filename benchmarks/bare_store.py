"""What Redis takes for the commands below a task's way, without a hive: on one hash and one sorted set of a length."""

from __future__ import annotations

import time
from typing import Any

from benchmarks.server import Server
from venom_core.domain.task_id import TaskIds

FILL, BATCH = 1_000, 100
CALLS = 200
ENVELOPE = b"." * 170  # as long as that of the probe
COMMANDS = ("hmget", "hset", "zadd", "zrange", "zremrangebyrank")


def bare_us(server: Server, length: int) -> float:
    """Microseconds a task that is looked for, stored, put in line, taken out of line and read; by `commandstats`."""
    server.empty()
    ids = TaskIds()
    for start in range(0, length, FILL):
        _store(server, ids, start, min(FILL, length - start))
    server.client.config_resetstat()
    for call in range(CALLS):
        _store(server, ids, length + call * BATCH, BATCH)
        oldest: Any = server.client.zrange("queue", 0, BATCH - 1)
        server.client.zremrangebyrank("queue", 0, BATCH - 1)
        server.client.hmget("task", oldest)
        server.client.hdel("task", *oldest)
    stats = server.info("commandstats")
    return sum(float(stats[f"cmdstat_{name}"]["usec"]) for name in COMMANDS) / (CALLS * BATCH)


def _store(server: Server, ids: TaskIds, first: int, count: int) -> None:
    new = ids.take(count, time.time_ns() // 1_000_000)
    server.client.hmget("task", new)
    server.client.hset("task", mapping=dict.fromkeys(new, ENVELOPE))
    server.client.zadd("queue", {task_id: first + at for at, task_id in enumerate(new)})
