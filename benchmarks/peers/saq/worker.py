"""SAQ's worker. Its lease is the task's own affair: with `heartbeat` set, the body has to say that it lives."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import uvloop
from saq import Worker

from benchmarks.peers import bodies
from benchmarks.peers.saq.app import queue_at
from benchmarks.peers.serving import told_by_runner

BEATS_A_LEASE = 4


async def noop(_: dict[str, Any], *, n: int) -> int:
    return await bodies.noop(n)


async def telling(context: dict[str, Any], *, label: str, first_s: float, again_s: float, hold: bool) -> None:
    beat = asyncio.create_task(beating(context["job"]))
    try:
        await bodies.telling(label, first_s, again_s, hold)
    finally:
        beat.cancel()
        with suppress(asyncio.CancelledError):
            await beat


async def beating(job: Any) -> None:
    while job.heartbeat:
        await asyncio.sleep(job.heartbeat / BEATS_A_LEASE)
        await job.update()


async def main(address: str, settings: dict[str, Any]) -> None:
    queue = queue_at(address, **settings.pop("queue", {}))
    await Worker(queue, functions=[noop, telling], **settings).start()


uvloop.run(main(*told_by_runner()))
