"""A caller of SAQ."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from benchmarks.peers import calling
from benchmarks.peers.saq.app import queue_at


@asynccontextmanager
async def opened(address: str, settings: dict[str, Any]) -> AsyncIterator[calling.Put]:
    queue = queue_at(address)
    await queue.connect()
    yield lambda task, payload: queue.enqueue(task, **payload, **settings)
    await queue.disconnect()


calling.run(opened)
