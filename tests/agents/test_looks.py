"""How often a dispatcher looks at the nodes: in a large hive not with every task that wakes it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.agents.bench import Bench
from tests.hives import altered
from venom_core.agents import dispatcher as module
from venom_core.clock import ManualClock
from venom_core.config import Settings
from venom_core.infrastructure.message_broker import MessageBroker

X = ("x",)
HEARTBEAT_S = 30.0


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def bench(settings: Settings, clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    """A dispatcher that takes two nodes for many, on a clock that stands."""
    monkeypatch.setattr(module, "LARGE", 2)
    monkeypatch.setattr(module, "LOOKED_AT_A_S", 1)
    slow = altered(settings, hive_heartbeat_interval=HEARTBEAT_S, hive_lease=90)
    async with MessageBroker(slow, clock=clock) as broker:
        yield Bench(broker)


async def test_a_look_at_few_is_never_good_for_the_next_tick(bench: Bench) -> None:
    await bench.join("a", tags=X)
    await bench.tick()
    await bench.join("b", tags=("y",))
    tasks = await bench.put(1, {"tags": "y"})
    await bench.tick()
    assert await bench.lane("b") == tasks


async def test_a_look_at_many_is_good_for_a_moment(bench: Bench, clock: ManualClock) -> None:
    await bench.join("a", tags=X, slots=2)
    await bench.join("b")
    await bench.tick()
    await bench.join("late", 50, tags=X)
    tasks = await bench.put(3)
    await bench.tick()
    assert (await bench.lane("a"), await bench.lane()) == (tasks[:2], tasks[2:])
    clock.advance(1.9)
    await bench.tick()
    assert await bench.lane() == tasks[2:]
    clock.advance(0.1)
    await bench.tick()
    assert (await bench.lane("a"), await bench.lane("late")) == (tasks[:2], tasks[2:])


async def test_however_many_they_are_they_are_looked_at_twice_a_heartbeat(
    bench: Bench, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOOKED_AT_A_S", 0.001)
    await bench.join("a", tags=X)
    await bench.join("b")
    await bench.tick()
    tasks = await bench.put(1, {"tags": "y"})
    await bench.join("late", tags=("y",))
    clock.advance(HEARTBEAT_S / 2 - 1)
    await bench.tick()
    assert await bench.lane() == tasks
    clock.advance(1)
    await bench.tick()
    assert await bench.lane("late") == tasks


async def test_what_is_sent_on_one_look_is_remembered_on_the_next_tick_with_it(bench: Bench) -> None:
    await bench.join("a", tags=X, slots=4)
    await bench.join("b", 5, tags=X, slots=4)  # 2 points of score more; each task sent counts 3
    for _ in range(4):
        await bench.put(1)
        await bench.tick()
    assert (len(await bench.lane("a")), len(await bench.lane("b"))) == (2, 2)
    assert await bench.claim("a")
    await bench.put(2)
    await bench.tick()
    assert len(await bench.lane("a")) == len(await bench.lane("b")) - 2 == 1


async def test_in_a_large_hive_ticks_lie_some_time_apart_and_what_woke_it_meanwhile_is_not_lost(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LARGE", 1)
    monkeypatch.setattr(module, "REST_S", 0.2)
    async with MessageBroker(altered(settings, hive_heartbeat_interval=HEARTBEAT_S, hive_lease=90)) as broker:
        bench = Bench(broker)
        await bench.join("a", tags=X)
        await bench.tick()
        (task_id,) = await bench.put()
        async with asyncio.timeout(HEARTBEAT_S / 2):
            await bench.dispatcher.wait()
        assert broker.hive.clock.monotonic_s() - bench.dispatcher._ticked_s >= 0.2
        await bench.tick()
        assert await bench.lane("a") == [task_id]
