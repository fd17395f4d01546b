"""A caller of BullMQ's Python port."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from bullmq import Queue

from benchmarks.peers import calling


@asynccontextmanager
async def opened(address: str, settings: dict[str, Any]) -> AsyncIterator[calling.Put]:
    queue = Queue("bench", {"connection": address})
    yield lambda task, payload: queue.add(task, payload, settings)
    await queue.close()


calling.run(opened)
