"""A caller of arq, in arq's own environment: python -m benchmarks.arq_client PORT VERB OPTIONS; prints JSON."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import uvloop
from arq.connections import ArqRedis, RedisSettings, create_pool

from benchmarks.timing import Stopwatch, round_trips, spread

RESULT_POLL_S = 0.001


async def hundred(pool: ArqRedis, count: int, task: str, payload: dict[str, Any]) -> dict[str, Any]:
    watch = Stopwatch()
    await spread(count, lambda _: pool.enqueue_job(task, **payload))
    return watch.read(count)


async def one(pool: ArqRedis, count: int, task: str, payload: dict[str, Any]) -> dict[str, Any]:
    watch = Stopwatch()
    for _ in range(count):
        await pool.enqueue_job(task, **payload)
    return watch.read(count)


async def awaited(pool: ArqRedis, count: int, task: str, payload: dict[str, Any]) -> dict[str, Any]:
    async def call(_: int) -> None:
        job = await pool.enqueue_job(task, **payload)
        await job.result(timeout=60, poll_delay=RESULT_POLL_S)

    watch = Stopwatch()
    await spread(count, call)
    return watch.read(count)


async def trips(pool: ArqRedis, count: int, task: str, payload: dict[str, Any]) -> dict[str, Any]:
    async def call() -> None:
        job = await pool.enqueue_job(task, **payload)
        await job.result(timeout=60, poll_delay=RESULT_POLL_S)

    return await round_trips(count, call, pool.ping)


# arq has no bulk call: a hundred coroutines are its fastest way in.
VERBS = {"bulk": hundred, "hundred": hundred, "one": one, "awaited": awaited, "trips": trips}


async def main() -> None:
    port, verb, options = int(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])
    pool = await create_pool(RedisSettings(host="127.0.0.1", port=port))
    before = await pool.info("cpu")
    done = await VERBS[verb](pool, options["count"], options["task"], options["payload"])
    after = await pool.info("cpu")
    done["redis_cpu_s"] = sum(after[name] - before[name] for name in ("used_cpu_user", "used_cpu_sys"))
    print(json.dumps(done))
    await pool.aclose()


asyncio.set_event_loop(loop := uvloop.new_event_loop())
loop.run_until_complete(main())
