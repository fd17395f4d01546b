"""The client of every peer: `client.py SETTINGS PORT VERB OPTIONS`, all but the port as JSON; prints JSON.

`bulk` enqueues `count` tasks as fast as coroutines can; `telling` enqueues `count` of them one after another, with
pauses of `pause_s` seconds and keys that count up.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from benchmarks.timing import Stopwatch, spread

Put = Callable[[str, dict[str, Any]], Awaitable[Any]]
Opened = AbstractAsyncContextManager[Put]


async def _bulk(put: Put, count: int, task: str, payload: dict[str, Any]) -> dict[str, Any]:
    watch = Stopwatch()
    await spread(count, lambda _: put(task, payload))
    return watch.read(count)


async def _telling(put: Put, count: int, payload: dict[str, Any], pause_s: float) -> dict[str, Any]:
    watch = Stopwatch()
    for number in range(count):
        await put("telling", payload | {"label": f"{payload['label']}-{number}"})
        await asyncio.sleep(pause_s)
    return watch.read(count)


VERBS: dict[str, Callable[..., Awaitable[dict[str, Any]]]] = {"bulk": _bulk, "telling": _telling}


async def _main(opened: Callable[[str, dict[str, Any]], Opened]) -> None:
    settings, port, verb, options = json.loads(sys.argv[1]), sys.argv[2], sys.argv[3], json.loads(sys.argv[4])
    async with opened(f"redis://127.0.0.1:{port}", settings) as put:
        print(json.dumps(await VERBS[verb](put, **options)), flush=True)


def run(opened: Callable[[str, dict[str, Any]], Opened]) -> None:
    """Do what the command line says with a queue: `opened(address, settings)` is its door."""
    asyncio.run(_main(opened))
