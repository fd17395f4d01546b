"""arq's worker at its fastest settings; runs in arq's own environment: python -m benchmarks.arq_worker PORT"""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import Any

import uvloop
from arq.connections import RedisSettings
from arq.worker import Worker

from benchmarks.tally import tally_of_worker

tally = tally_of_worker()


async def noop(_: dict[str, Any], n: int) -> int:
    tally.add()
    return n


async def nap(_: dict[str, Any], ms: float) -> float:
    await asyncio.sleep(ms / 1000)
    tally.add()
    return ms


async def length(_: dict[str, Any], text: str) -> int:
    tally.add()
    return len(text)


def main() -> None:
    logging.disable(logging.CRITICAL)
    asyncio.set_event_loop(uvloop.new_event_loop())
    Worker(
        functions=[noop, nap, length],
        redis_settings=RedisSettings(host="127.0.0.1", port=int(sys.argv[1])),
        max_jobs=100,
        poll_delay=0.001,
        log_results=False,
    ).run()


main()
