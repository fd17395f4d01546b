"""A caller of RQ; `retries` of the settings become its `Retry`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import redis
from rq import Queue, Retry

from benchmarks.peers import calling


@asynccontextmanager
async def opened(address: str, settings: dict[str, Any]) -> AsyncIterator[calling.Put]:
    with redis.Redis.from_url(address) as connection:
        queue = Queue("default", connection=connection)
        options = {"retry": Retry(max=settings["retries"])} if settings.get("retries") else {}

        async def put(task: str, payload: dict[str, Any]) -> None:
            queue.enqueue(f"benchmarks.peers.bodies.blocking_{task}", kwargs=payload, **options)

        yield put


calling.run(opened)
