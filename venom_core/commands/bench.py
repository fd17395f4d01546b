"""`venom bench`: the documents' own figures, measured on your server with Spores of its own, met or not."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from typing import Any

import click

from venom_core.commands.children import Children
from venom_core.commands.frame import FAILED, OK, json_option, redis_url_option, settings_at
from venom_core.commands.screen import Listing, print_listing, progress_bar, word
from venom_core.config import Settings, child_environment
from venom_core.errors import StoreUnavailable
from venom_core.infrastructure.message_broker import MessageBroker
from venom_core.infrastructure.scratch import forget_scratch, scratch_namespace

SPORES = 5
SKILLS = "venom_core.commands.bench_skills:skills"
ENQUEUE_MS, ROUTING_MS, BROADCAST_MS = 10.0, 50.0, 100.0
SPEED_UP, SPEED_UP_LEAST, OVERHEAD_PERCENT = 5.0, 4.5, 5.0
START_S = 60.0
WARM_UP = 10
TASK_S_MAX = 600.0


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured: calls of each kind, seconds a waiting task takes, and how many of them a Spore gets."""

    calls: int = 200
    wait_s: float = 0.25
    tasks_a_spore: int = 80


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of the documents and what was measured."""

    what: str
    promised: str
    measured: str
    met: bool


@click.command()
@click.option("--quick", is_flag=True, help="A tenth of it: rougher figures.")
@json_option
@redis_url_option
def bench(quick: bool, redis_url: str | None, as_json: bool) -> None:
    """Measure the documents' figures on this server, in about a minute; 1 if one is not met.

    Five Spores of one slot and a Nexus are started on this machine, in a namespace of their own that is removed
    afterwards. What else runs on machine and server counts in.
    """
    settings = settings_at(redis_url)
    size = Size(20, 0.25, 8) if quick else Size()
    figures = asyncio.run(_bench(settings, size))
    rows = [(word("met" if it.met else "not met"), it.what, it.promised, it.measured) for it in figures]
    listing = Listing([asdict(it) for it in figures], ("", "figure", "promised", "measured"), rows)
    print_listing(listing, as_json=as_json)
    click.get_current_context().exit(OK if all(it.met for it in figures) else FAILED)


async def _bench(settings: Settings, size: Size) -> list[Figure]:
    async with _scratch_hive(settings) as (broker, children):
        with progress_bar("measurements") as bar:
            line = bar.add_task("measurements", total=5)
            figures = []
            for measure in (_enqueue, _routing, _broadcast):
                await _spores(broker, children, 1)
                figures.append(await measure(broker, size))
                bar.advance(line)
            one_s = await _waiting_work(broker, size, size.tasks_a_spore)
            bar.advance(line)
            await _spores(broker, children, SPORES)
            all_s = await _waiting_work(broker, size, size.tasks_a_spore * SPORES)
            bar.advance(line)
        return [*figures, *_speed(size, one_s, all_s)]


@asynccontextmanager
async def _scratch_hive(settings: Settings) -> AsyncIterator[tuple[MessageBroker, Children]]:
    """A hive that nobody else uses on this server; nothing of it is left."""
    namespace = scratch_namespace()
    channel = f"{namespace}:broadcast"
    given = {name: value for name, value in settings.model_dump().items() if name in settings.model_fields_set}
    own = Settings.load(**given | {"hive_namespace": namespace, "hive_broadcast_channel": channel})
    environment = child_environment(
        REDIS_URL=own.store_url(), HIVE_NAMESPACE=namespace, HIVE_BROADCAST_CHANNEL=channel, HIVE_DRAIN_TIMEOUT="1"
    )
    children = Children(environment, lambda _name, _line: None)
    async with MessageBroker(own) as broker:
        try:
            await children.start("bench-nexus", "venom_core.nexus", "--name", "bench-nexus")
            yield broker, children
        finally:
            forced = asyncio.Event()
            forced.set()
            await children.close(forced)
            await forget_scratch(broker.hive.link, namespace)


async def _spores(broker: MessageBroker, children: Children, count: int) -> None:
    """So many Spores of one slot, online."""
    names = {f"bench-{number}" for number in range(1, count + 1)}
    for name in sorted(names - children.living.keys()):
        arguments = ("--name", name, "--concurrency", "1", "--skills", SKILLS, "--tags", "bench")
        await children.start(name, "venom_spore.main", *arguments)
    async with asyncio.timeout(START_S):
        while not await _ready(broker, names):  # noqa: ASYNC110 - a node that comes tells nobody
            await asyncio.sleep(0.05)


async def _ready(broker: MessageBroker, names: set[str]) -> bool:
    online = {node.profile.name for node in await broker.hive.nodes.all() if node.online}
    return names <= online and await broker.hive.nodes.led()


async def _enqueue(broker: MessageBroker, size: Size) -> Figure:
    """How long a caller waits for its task to be taken in."""
    clock, times, ids = broker.hive.clock, [], []
    for _ in range(size.calls):
        began_s = clock.monotonic_s()
        ids.append(await broker.enqueue_task("bench_moment"))
        times.append(clock.monotonic_s() - began_s)
    for task_id in ids:
        await _result(broker, task_id)
    return _latency("enqueue a task", ENQUEUE_MS, times)


async def _routing(broker: MessageBroker, size: Size) -> Figure:
    """From the end of the call to the start on the node that the Foreman chose; one task at a time."""
    times = []
    for number in range(size.calls + WARM_UP):
        task_id = await broker.enqueue_task("bench_moment", requirements={"tags": ["bench"]})
        given_s = broker.hive.clock.monotonic_s()
        took_s = max(await _result(broker, task_id) - given_s, 0.0)
        if number >= WARM_UP:
            times.append(took_s)
    return _latency("route a task (Foreman)", ROUTING_MS, times)


async def _broadcast(broker: MessageBroker, size: Size) -> Figure:
    """From the call to who hears it."""
    clock, times = broker.hive.clock, []
    async with await broker.subscribe_broadcast() as channel:
        await channel.get_message(timeout=TASK_S_MAX)
        for number in range(size.calls):
            began_s = clock.monotonic_s()
            await broker.broadcast_control("BENCH", {"number": number})
            if await channel.get_message(timeout=TASK_S_MAX) is None:
                raise StoreUnavailable("a broadcast was not heard; is the server overloaded?")
            times.append(clock.monotonic_s() - began_s)
    return _latency("broadcast an order", BROADCAST_MS, times)


async def _result(broker: MessageBroker, task_id: str) -> Any:
    task = await broker.wait_for(task_id, TASK_S_MAX)
    if task is None or task.error:
        raise StoreUnavailable(f"a task of the measurement did not end well: {task.error if task else 'too slow'}")
    return task.result


async def _waiting_work(broker: MessageBroker, size: Size, tasks: int) -> float:
    """Seconds for tasks that wait, as for pages or models, after the Spores have warmed up."""
    warm = await broker.enqueue_many("bench_wait", [{"seconds": 0.01}] * SPORES * 2)
    for task_id in warm:
        await _result(broker, task_id)
    began_s = broker.hive.clock.monotonic_s()
    for task_id in await broker.enqueue_many("bench_wait", [{"seconds": size.wait_s}] * tasks):
        await _result(broker, task_id)
    return broker.hive.clock.monotonic_s() - began_s


def _latency(what: str, promised_ms: float, times: Sequence[float]) -> Figure:
    """Met if 95 of 100 are fast enough."""
    ms = sorted(time * 1000 for time in times)
    slow = ms[min(len(ms) * 95 // 100, len(ms) - 1)]
    measured = f"{statistics.median(ms):.1f} ms, 95 of 100 within {slow:.1f} ms"
    return Figure(what, f"under {promised_ms:g} ms", measured, slow < promised_ms)


def _speed(size: Size, one_s: float, all_s: float) -> list[Figure]:
    """Both runs give each Spore the same work: five do five times as much in the same time if nothing is lost."""
    speed_up = SPORES * one_s / all_s
    overhead = (all_s / (size.tasks_a_spore * size.wait_s) - 1) * 100
    work = f"{size.tasks_a_spore} waiting tasks of {size.wait_s:g} s a Spore"
    return [
        Figure(
            f"{SPORES} Spores beside one, {work}",
            f"about {SPEED_UP:g}x",
            f"{speed_up:.2f}x",
            speed_up >= SPEED_UP_LEAST,
        ),
        Figure(
            "overhead of the hive on that work",
            f"under {OVERHEAD_PERCENT:g} %",
            f"{overhead:.1f} %",
            overhead < OVERHEAD_PERCENT,
        ),
    ]
