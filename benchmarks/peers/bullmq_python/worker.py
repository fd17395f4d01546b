"""The worker of BullMQ's Python port."""

from __future__ import annotations

import asyncio
from typing import Any

import uvloop
from bullmq import Worker

from benchmarks.peers import bodies
from benchmarks.peers.serving import told_by_runner


async def process(job: Any, _: str) -> Any:
    return await getattr(bodies, job.name)(**job.data)


async def main(address: str, settings: dict[str, Any]) -> None:
    worker = Worker("bench", process, {"connection": address, **settings})
    try:
        await asyncio.Event().wait()
    finally:
        await worker.close()


uvloop.run(main(*told_by_runner()))
