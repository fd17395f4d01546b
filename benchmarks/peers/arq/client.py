"""A caller of arq."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from arq.connections import RedisSettings, create_pool

from benchmarks.peers import calling


@asynccontextmanager
async def opened(address: str, settings: dict[str, Any]) -> AsyncIterator[calling.Put]:
    pool = await create_pool(RedisSettings.from_dsn(address))
    yield lambda task, payload: pool.enqueue_job(task, **payload, **settings)
    await pool.aclose()


calling.run(opened)
