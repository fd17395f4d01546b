"""What a Nexus costs while a thousand nodes beat, alone and while tasks with requirements arrive one by one."""

from __future__ import annotations

import asyncio
import time
from contextlib import ExitStack

import psutil

from benchmarks.crowd import Beating, crowd
from benchmarks.lab import Lab
from benchmarks.section import Promise, Section
from benchmarks.sides import TOKEN
from benchmarks.spores import nexus
from venom_core.config import Settings
from venom_core.infrastructure.message_broker import MessageBroker

NODES = (0, 200, 1_000)
MANY = NODES[-1]
TASKS_A_S = 50
WANTED = {"tags": "cellar", "capabilities": {"ocr": 0.5}}
SETTLE_S, WATCH_S, PATIENCE_S = 5.0, 30.0, 10.0
LIMIT_PERCENT = 10.0
NOTE = f"""CPU seconds of a real `venom-nexus` at default settings, and of Redis, over {WATCH_S:g} s, in percent of a
core. The nodes are simulated by one process that sends the heartbeat script for each of them every second (less up to a
tenth); loads are random, so that budgets are found and told with each look, which nodes of like load would not need.
The tasks need a tag that half of the nodes have, and a capability; they come one by one, each wakes the dispatcher, and
each must have been given to a node at the end."""


def measure(lab: Lab) -> Section:
    section = Section(
        "foreman",
        "A Nexus with a thousand nodes",
        ["nodes", "tasks with requirements a second", "Nexus CPU %", "Redis CPU %", "heartbeats a second"],
        notes=[NOTE],
    )
    watch_s = 5.0 if lab.quick else WATCH_S
    for nodes, tasks in [*((nodes, 0) for nodes in NODES), (MANY, TASKS_A_S)]:
        busy, redis, beats = _watch(lab, nodes, tasks, watch_s)
        words = f"{nodes:,} nodes, {tasks} tasks a second"
        section.rows.append([f"{nodes:,}", str(tasks or "–"), f"{busy:.2f}", f"{redis:.2f}", f"{beats:,.0f}"])
        section.numbers[words] = {"nexus_percent": busy, "redis_percent": redis, "beats_per_s": beats}
        if nodes == MANY:
            text = f"CPU of a Nexus with {nodes:,} nodes" + (f" and {tasks} tasks a second to place" if tasks else "")
            section.promises.append(Promise(text, LIMIT_PERCENT, busy, "% of a core"))
    return section


def _watch(lab: Lab, nodes: int, tasks_a_s: int, watch_s: float) -> tuple[float, float, float]:
    """CPU of Nexus and Redis in percent of a core, and heartbeats a second."""
    lab.server.empty()
    beating = Beating()
    with ExitStack() as stack:
        if nodes:
            beating = stack.enter_context(crowd(lab.server.port, nodes))
        process = stack.enter_context(nexus(lab))
        time.sleep(SETTLE_S)
        nexus_s, redis_s, begin = _cpu_s(process), lab.server.cpu_s(), time.perf_counter()
        if tasks_a_s:
            asyncio.run(_enqueue(lab, tasks_a_s, watch_s))
        time.sleep(max(begin + watch_s - time.perf_counter(), 0))
        seconds = time.perf_counter() - begin
        nexus_s, redis_s = _cpu_s(process) - nexus_s, lab.server.cpu_s() - redis_s
    return nexus_s / seconds * 100, redis_s / seconds * 100, beating.beats_a_s


async def _enqueue(lab: Lab, tasks_a_s: int, watch_s: float) -> None:
    """Tasks at a steady rate; each must be given to a node."""
    async with MessageBroker(Settings.load(redis_url=lab.server.url, nexus_shared_token=TOKEN)) as broker:
        count, begin = round(tasks_a_s * watch_s), time.perf_counter()
        for number in range(count):
            await asyncio.sleep(max(begin + number / tasks_a_s - time.perf_counter(), 0))
            await broker.enqueue_task("scan", {"n": number}, requirements=WANTED)
        deadline = time.perf_counter() + PATIENCE_S
        while (given := sum((await broker.hive.placement.given()).values())) < count:
            if time.perf_counter() > deadline:
                raise SystemExit(f"{given:,} of {count:,} tasks were given to a node")
            await asyncio.sleep(0.05)


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
