"""A caller of Docket."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from docket import Docket

from benchmarks.peers import bodies, calling


@asynccontextmanager
async def opened(address: str, _: dict[str, Any]) -> AsyncIterator[calling.Put]:
    async with Docket(url=f"{address}?max_connections=1000") as docket:
        yield lambda task, payload: docket.add(getattr(bodies, task))(**payload)


calling.run(opened)
