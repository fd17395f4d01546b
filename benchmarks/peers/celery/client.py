"""A caller of Celery."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from benchmarks.peers import calling
from benchmarks.peers.celery.app import app_at


@asynccontextmanager
async def opened(address: str, _: dict[str, Any]) -> AsyncIterator[calling.Put]:
    _, tasks = app_at(address, {})

    async def put(task: str, payload: dict[str, Any]) -> None:
        tasks[task].apply_async(kwargs=payload)

    yield put


calling.run(opened)
