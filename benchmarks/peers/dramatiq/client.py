"""A caller of Dramatiq."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from benchmarks.peers import calling
from benchmarks.peers.dramatiq.app import broker_at


@asynccontextmanager
async def opened(address: str, _: dict[str, Any]) -> AsyncIterator[calling.Put]:
    _, actors = broker_at(address, {})

    async def put(task: str, payload: dict[str, Any]) -> None:
        actors[task].send(**payload)

    yield put


calling.run(opened)
