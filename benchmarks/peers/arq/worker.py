"""arq's worker."""

from __future__ import annotations

import asyncio
from typing import Any

import uvloop
from arq.connections import RedisSettings
from arq.worker import Worker

from benchmarks.peers import bodies
from benchmarks.peers.serving import told_by_runner


async def noop(_: dict[str, Any], n: int) -> int:
    return await bodies.noop(n)


async def telling(_: dict[str, Any], label: str, first_s: float, again_s: float, hold: bool) -> None:
    await bodies.telling(label, first_s, again_s, hold)


address, settings = told_by_runner()
asyncio.set_event_loop(uvloop.new_event_loop())
Worker(functions=[noop, telling], redis_settings=RedisSettings.from_dsn(address), **settings).run()
