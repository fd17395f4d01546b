"""A caller of taskiq."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from benchmarks.peers import calling
from benchmarks.peers.taskiq.app import broker_at


@asynccontextmanager
async def opened(address: str, _: dict[str, Any]) -> AsyncIterator[calling.Put]:
    broker, tasks = broker_at(address, {})
    await broker.startup()
    yield lambda task, payload: tasks[task].kiq(**payload)
    await broker.shutdown()


calling.run(opened)
