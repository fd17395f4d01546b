"""A caller of streaQ."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from benchmarks.peers import calling
from benchmarks.peers.streaq.app import worker_at


@asynccontextmanager
async def opened(address: str, _: dict[str, Any]) -> AsyncIterator[calling.Put]:
    worker, tasks = worker_at(address, {})

    async def put(task: str, payload: dict[str, Any]) -> None:
        await tasks[task].enqueue(**payload)

    async with worker:
        yield put


calling.run(opened)
