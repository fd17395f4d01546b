"""A caller of the hive: python -m benchmarks.hive_client PORT|URL VERB OPTIONS; prints JSON. Twin of `arq_client`."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from typing import Any

from benchmarks.timing import Stopwatch, round_trips, spread, timed_ms
from venom_core.config import Settings
from venom_core.event_loop import run
from venom_core.execution.ends import ends_of
from venom_core.execution.skills.parallel_skill import ParallelSkill
from venom_core.infrastructure.message_broker import MessageBroker

WAIT_S = 60.0


async def bulk(broker: MessageBroker, count: int, task: str, payload: dict[str, Any]) -> dict[str, Any]:
    watch = Stopwatch()
    await broker.enqueue_many(task, (payload for _ in range(count)))
    return watch.read(count)


async def hundred(broker: MessageBroker, count: int, task: str, payload: dict[str, Any]) -> dict[str, Any]:
    watch = Stopwatch()
    await spread(count, lambda _: broker.enqueue_task(task, payload))
    return watch.read(count)


async def one(broker: MessageBroker, count: int, task: str, payload: dict[str, Any]) -> dict[str, Any]:
    watch = Stopwatch()
    for _ in range(count):
        await broker.enqueue_task(task, payload)
    return watch.read(count)


async def awaited(broker: MessageBroker, count: int, task: str, payload: dict[str, Any]) -> dict[str, Any]:
    watch = Stopwatch()
    ids = await broker.enqueue_many(task, (payload for _ in range(count)))
    ended = await asyncio.gather(*(broker.wait_for(task_id, WAIT_S) for task_id in ids))
    done = watch.read(count)
    if any(message is None or message.error for message in ended):
        raise SystemExit("a result is missing")
    return done


async def gathered(broker: MessageBroker, count: int, task: str, payload: dict[str, Any]) -> dict[str, Any]:
    watch = Stopwatch()
    ids = await broker.enqueue_many(task, (payload for _ in range(count)))
    until_s = asyncio.get_running_loop().time() + WAIT_S
    completed = [end.status async for end in ends_of(broker, ids, until_s)].count("completed")
    done = watch.read(count)
    if completed != count:
        raise SystemExit("a result is missing")
    return done


async def mapped(broker: MessageBroker, count: int, task: str, payload: dict[str, Any]) -> dict[str, Any]:
    parallel, items = ParallelSkill(broker), [payload["item"]] * count
    watch = Stopwatch()
    answer = await parallel.map_reduce("Give the item back.", items, wait_timeout=WAIT_S, skill=task)
    done = watch.read(count)
    if json.loads(answer)["summary"]["completed"] != count:
        raise SystemExit("a result is missing")
    return done


async def trips(broker: MessageBroker, count: int, task: str, payload: dict[str, Any]) -> dict[str, Any]:
    async def call() -> None:
        await broker.wait_for(await broker.enqueue_task(task, payload), WAIT_S)

    async def ping() -> None:
        await broker.hive.link.command("PING")

    return await round_trips(count, call, ping)


async def urgent(broker: MessageBroker, count: int, task: str, payload: dict[str, Any]) -> dict[str, Any]:
    async def call() -> None:
        task_id = await broker.enqueue_task(task, payload, priority="high_priority")
        if await broker.wait_for(task_id, WAIT_S) is None:
            raise SystemExit(f"an urgent task did not end within {WAIT_S:g} s")

    await call()  # the Spore has started
    return {"calls_ms": [await timed_ms(call) for _ in range(count)]}


async def uneven(broker: MessageBroker, count: int, task: str, payload: dict[str, Any]) -> dict[str, Any]:
    """Tasks of durations of their own, once what loads a node runs; to the end of all."""
    holds = await broker.enqueue_many(payload["hold"], [{"ms": payload["hold_ms"]}] * payload["holds"])
    until_s = asyncio.get_running_loop().time() + WAIT_S
    while (await broker.get_queue_stats())["tasks_running"] < len(holds):  # noqa: ASYNC110  # the hive tells only when asked
        await asyncio.sleep(0.005)
    payloads = ({"number": number, "ms": ms} for number, ms in enumerate(payload["all_ms"]))
    ids = [*holds, *await broker.enqueue_many(task, payloads)]
    completed = [end.status async for end in ends_of(broker, ids, until_s)].count("completed")
    if completed != len(ids) or len(ids) != count + len(holds):
        raise SystemExit("a result is missing")
    return {"count": count}


VERBS = {
    "bulk": bulk,
    "hundred": hundred,
    "one": one,
    "awaited": awaited,
    "gathered": gathered,
    "mapped": mapped,
    "trips": trips,
    "uneven": uneven,
    "urgent": urgent,
}


async def redis_cpu_s(broker: MessageBroker) -> float:
    reply: bytes = await broker.hive.link.command("INFO", "cpu")
    lines = dict(line.split(":") for line in reply.decode().split() if ":" in line)
    return float(lines["used_cpu_user"]) + float(lines["used_cpu_sys"])


async def main() -> None:
    address, verb, options = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
    url = f"redis://127.0.0.1:{address}" if address.isdecimal() else address
    async with MessageBroker(Settings.load(redis_url=url)) as broker:
        before = await redis_cpu_s(broker)
        done = await VERBS[verb](broker, options["count"], options["task"], options["payload"])
        done["redis_cpu_s"] = await redis_cpu_s(broker) - before
        print(json.dumps(done))


logging.disable(logging.CRITICAL)
run(main())
