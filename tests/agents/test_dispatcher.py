"""Where tasks with requirements go: one tick at a time, with nodes that say what the test tells them to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest

from tests.agents.bench import Bench
from tests.hives import altered, until_so
from tests.stores import KEEP, other
from venom_core.agents import dispatcher as module
from venom_core.config import Settings
from venom_core.domain.lane import WAITING, own_lane
from venom_core.domain.placement import Requirements
from venom_core.domain.task import NOTHING, TaskBody, seal_task
from venom_core.infrastructure.message_broker import MessageBroker
from venom_core.infrastructure.placement_store import Assignment, Move
from venom_core.infrastructure.task_records import TaskGroup

X = ("x",)
NOBODY = {"tags": "nobody"}


@asynccontextmanager
async def bench_of(settings: Settings, partitions: int) -> AsyncIterator[Bench]:
    slow = altered(settings, hive_heartbeat_interval=30, hive_lease=90, hive_partitions=partitions)
    async with MessageBroker(slow) as broker:
        yield Bench(broker)


@pytest.fixture
async def bench(settings: Settings) -> AsyncIterator[Bench]:
    """A hive whose dispatcher waits for half a minute unless it is woken."""
    async with bench_of(settings, 1) as made:
        yield made


@pytest.fixture(params=[1, 4])
async def either(settings: Settings, request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    """The same with one partition or four."""
    async with bench_of(settings, request.param) as made:
        yield made


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three pages of four tasks a tick."""
    monkeypatch.setattr(module, "PAGE", 4)
    monkeypatch.setattr(module, "PAGES_MAX", 3)


# ------------------------------------------------------------------------------------------------- what is in the way


async def test_what_nobody_can_take_does_not_stand_in_the_way(bench: Bench, small_pages: None) -> None:
    await bench.join("a", tags=X)
    hopeless = await bench.put(9, NOBODY)
    (task_id,) = await bench.put()
    await bench.tick()
    assert await bench.lane("a") == [task_id]
    assert await bench.lane() == hopeless


async def test_not_even_if_it_is_more_than_one_tick_looks_through(bench: Bench, small_pages: None) -> None:
    await bench.join("a", tags=X)
    hopeless = await bench.put(30, NOBODY)
    (last,) = await bench.put()
    for _ in range(4):
        await bench.tick()
    assert await bench.lane("a") == [last]
    (urgent,) = await bench.put(priority=10)
    await bench.tick()
    assert await bench.lane("a") == [urgent, last]
    assert await bench.lane() == hopeless
    await bench.join("b", tags=("nobody",), slots=100)
    for _ in range(5):
        await bench.tick()
    assert await bench.lane("b") == hopeless


async def test_tasks_that_were_deleted_meanwhile_are_not_in_the_way(bench: Bench, small_pages: None) -> None:
    await bench.join("a", tags=X)
    deleted = await bench.put(6, NOBODY)
    blocked = await bench.put(3, NOBODY)
    (task_id,) = await bench.put()
    space = bench.hive.tasks.keyspace
    await bench.hive.link.command("HDEL", space.key(0, "task"), *deleted)
    await bench.tick()
    assert await bench.lane("a") == [task_id]
    assert await bench.lane() == blocked
    assert (await bench.broker.get_queue_stats())["tasks_pending"] == 4


async def test_a_full_node_leaves_its_tasks_waiting_but_not_those_of_others(bench: Bench, small_pages: None) -> None:
    await bench.join("a", tags=X, slots=2)
    await bench.join("b", tags=("y",), slots=2)
    mine, others = await bench.put(10), await bench.put(1, {"tags": "y"})
    await bench.tick()
    assert await bench.lane("a") == mine[:2]
    assert await bench.lane("b") == others
    assert await bench.lane() == mine[2:]


# ------------------------------------------------------------------------------------------------- who gets what


async def test_a_node_gets_no_more_ahead_than_it_has_slots(either: Bench) -> None:
    await either.join("a", tags=X, slots=3)
    tasks = await either.put(20)
    for _ in range(3):
        await either.tick()
    ahead = await either.lane("a")
    assert len(ahead) == 3
    assert sorted(ahead + await either.lane()) == sorted(tasks)
    assert len(await either.claim("a")) == 3
    await either.tick()
    assert len(await either.lane("a")) == 3


async def test_what_was_given_since_the_last_heartbeat_counts(either: Bench) -> None:
    for node in ("a", "b"):
        await either.join(node, tags=X, slots=4)
    for _ in range(4):
        await either.put(2)
        await either.tick()
        for node in ("a", "b"):
            assert len(await either.claim(node)) == 1
    assert {node: sent for node, (_, sent) in either.dispatcher._sent.items()} == {"a": 4, "b": 4}
    await either.beat("a", active_tasks=1)
    await either.beat("b", active_tasks=3)
    await either.put(2)
    await either.tick()
    assert len(await either.lane("a")) == 2


async def test_a_node_that_is_gone_is_not_remembered(bench: Bench) -> None:
    await bench.join("a", tags=X)
    await bench.put()
    await bench.tick()
    assert list(bench.dispatcher._sent) == ["a"]
    await bench.claim("a")
    await bench.hive.nodes.leave(bench.epochs["a"], "a", clean=False)
    await bench.tick()
    assert bench.dispatcher._sent == {}


async def test_one_with_room_is_found_though_a_less_loaded_one_is_full(bench: Bench) -> None:
    await bench.join("quiet", tags=X, active=1, slots=1)
    await bench.join("loud", 90, 4, tags=X, slots=4)
    tasks = await bench.put(4)
    await bench.tick()
    assert await bench.lane("quiet") == tasks[:1]
    assert await bench.lane("loud") == tasks[1:]


async def test_a_node_with_a_silent_event_loop_gets_nothing_while_another_can(bench: Bench) -> None:
    await bench.join("silent", tags=X)
    await bench.join("busy", 99, tags=X)
    await bench.beat("silent", loop_silent_ms=91_000)
    tasks = await bench.put(2)
    await bench.tick()
    assert await bench.lane("busy") == tasks


async def test_what_a_silent_node_was_given_is_given_to_an_idle_one(bench: Bench) -> None:
    await bench.join("silent", tags=X)
    tasks = await bench.put(2)
    await bench.tick()
    assert await bench.lane("silent") == tasks
    await bench.beat("silent", loop_silent_ms=91_000, active_tasks=1)
    await bench.join("idle", tags=X)
    await bench.tick()
    assert await bench.lane("idle") == tasks


async def test_what_waits_at_a_busy_node_goes_to_one_with_a_free_slot(bench: Bench) -> None:
    await bench.join("busy", tags=X, active=2)
    tasks = await bench.put(2)
    await bench.tick()
    assert await bench.lane("busy") == tasks
    await bench.join("idle", 95, tags=X, slots=1)
    await bench.tick()
    assert (await bench.lane("busy"), await bench.lane("idle")) == (tasks[1:], tasks[:1])


async def test_between_busy_nodes_nothing_moves_though_somebody_else_is_idle(bench: Bench) -> None:
    await bench.join("a", tags=X, active=2)
    await bench.join("b", tags=X, active=2)
    tasks = await bench.put(4)
    await bench.tick()
    before = await bench.lane("a"), await bench.lane("b")
    assert sorted([*before[0], *before[1]]) == sorted(tasks)
    await bench.join("of-no-use")
    for _ in range(3):
        await bench.tick()
        assert (await bench.lane("a"), await bench.lane("b")) == before


# ------------------------------------------------------------------------------------------------- nodes that go


async def test_the_tasks_of_a_drained_and_of_a_killed_node_return_though_no_nexus_ran(either: Bench) -> None:
    await either.join("drained", tags=X, slots=20)
    await either.join("killed", tags=("y",), slots=20)
    tasks = [*await either.put(8), *await either.put(8, {"tags": "y"})]
    await either.tick()
    assert len(await either.lane("drained")) == len(await either.lane("killed")) == 8
    running = await either.claim("killed", 1)
    await either.hive.nodes.leave(either.epochs["drained"], "drained", clean=True)
    await either.die("killed")
    assert await either.hive.upkeep.reap(either.epochs["killed"], "killed", 1) == len(running)

    explained = await either.broker.explain(tasks[0])
    assert explained.reason in ("no_nodes", "no_fit")
    await either.tick()
    assert sorted(await either.lane()) == sorted(tasks)
    await either.join("heir", tags=("x", "y"), slots=20)
    await either.tick()
    assert sorted(await either.lane("heir")) == sorted(tasks)
    assert await either.hive.placement.given() == {"heir": 16}


async def test_whoever_explains_knows_that_the_node_is_gone(bench: Bench) -> None:
    await bench.join("a", tags=X)
    (task_id,) = await bench.put()
    await bench.tick()
    assert (await bench.broker.explain(task_id)).reason == "assigned"
    await bench.join("b", tags=X)
    await bench.die("a")
    explained = await bench.broker.explain(task_id)
    assert explained.sentence.startswith(
        "it was given to a, which is gone; nobody places tasks now; start a venom-nexus"
    )
    assert await bench.dispatcher._leadership.campaign()
    explained = await bench.broker.explain(task_id)
    assert explained.sentence.startswith("it was given to a, which is gone; a dispatcher (venom-nexus) will give it to")


async def test_a_task_that_failed_waits_for_its_retry_and_is_placed_again(bench: Bench) -> None:
    await bench.join("a", tags=X)
    (task_id,) = await bench.put()
    await bench.tick()
    (lease,) = await bench.claim("a")
    bench.numbers += 1
    item = other(lease, "retry", 50_000, WAITING)
    assert await bench.hive.tasks.settle(0, bench.epochs["a"], bench.numbers, [item], KEEP) == ([], [])
    explained = await bench.broker.explain(task_id)
    assert (explained.reason, explained.sentence[:23]) == ("retrying", "attempt 1 failed; the n")
    task = await bench.broker.get_task_status(task_id)
    assert task is not None
    assert task.assigned_node is None
    await bench.hive.link.command("ZADD", bench.hive.tasks.keyspace.type_keys(0, WAITING)[1], 1, task_id)
    await bench.hive.link.command("ZADD", bench.hive.tasks.keyspace.key(0, "due"), 1, WAITING)
    await bench.tick()
    assert await bench.lane("a") == [task_id]


# ------------------------------------------------------------------------------------------------- being woken


async def test_a_delayed_task_is_placed_when_it_is_due(bench: Bench) -> None:
    await bench.join("a", tags=X)
    await bench.tick()
    (task_id,) = await bench.put(delay=0.2)
    async with asyncio.timeout(10):
        while await bench.lane("a") != [task_id]:
            await bench.dispatcher.wait()
            await bench.tick()
    assert bench.dispatcher._due_ms == float("inf")


async def test_it_is_woken_by_a_new_task_and_by_a_node_that_has_emptied_its_line(either: Bench) -> None:
    await either.join("a", tags=X, slots=1)
    await either.tick()
    (first,) = await either.put()
    await asyncio.wait_for(either.dispatcher.wait(), 5)
    await either.tick()
    assert await either.lane("a") == [first]
    assert len(await either.claim("a")) == 1
    await asyncio.wait_for(either.dispatcher.wait(), 5)


async def test_who_does_not_lead_places_nothing(bench: Bench) -> None:
    await bench.join("a", tags=X)
    tasks = await bench.put(2)
    bench.dispatcher.interval_s = 0.01
    work = asyncio.create_task(bench.dispatcher.run())
    await asyncio.wait([work], timeout=0.1)
    assert await bench.lane() == tasks
    assert await bench.dispatcher._leadership.campaign()

    async def placed() -> bool:
        return await bench.lane("a") == tasks

    await until_so(placed)
    work.cancel()


# --------------------------------------------------------------------------------------------- what is no task of ours


async def raw(bench: Bench, task_id: str, envelope: bytes, lane: str = WAITING) -> None:
    """Written by somebody who is no broker of this version."""
    await bench.hive.tasks.enqueue([TaskGroup(lane, 9, "now", [task_id], [envelope])], 1_000)


@pytest.mark.parametrize("needs", [{"cpus": 3}, {"gpu": -1}, {"gpu": True, "memory_mb": "much"}, {"tags": ["a b"]}])
async def test_a_requirement_of_another_version_waits_and_stops_nobody(
    bench: Bench, caplog: pytest.LogCaptureFixture, needs: dict[str, object]
) -> None:
    await bench.join("a", tags=X)
    body = TaskBody("scan", NOTHING, 1_000, 0, 1, requirements=needs)
    await raw(bench, "newer", seal_task(bench.hive.seal, "newer", 9, body))
    (task_id,) = await bench.put()
    for _ in range(3):
        await bench.tick()
    assert (await bench.lane("a"), await bench.lane()) == ([task_id], ["newer"])
    assert caplog.text.count("newer waits for a Nexus that understands it: ") == 1
    explained = await bench.broker.explain("newer")
    assert explained.reason == "no_fit"
    assert "waits for a Nexus that understands it" in explained.sentence
    note = Assignment("gone", Requirements())
    assert await bench.hive.placement.move(0, [Move("newer", WAITING, own_lane("gone"), note)])
    await bench.tick()
    assert await bench.lane() == ["newer"]
    assert await bench.broker.cancel_task("newer")


async def test_a_forged_task_goes_to_a_node_that_refuses_it(settings: Settings) -> None:
    signed = altered(
        settings, nexus_shared_token="a token that has thirty-two letters", hive_heartbeat_interval=30, hive_lease=90
    )
    async with MessageBroker(signed) as broker:
        bench = Bench(broker)
        await raw(bench, "forged", b"\x01\x01t\x09" + msgspec.msgpack.encode(["scan"]))
        (task_id,) = await bench.put()
        await bench.tick()
        assert await bench.lane() == ["forged", task_id]
        await bench.join("a", tags=X)
        await bench.tick()
        assert await bench.lane("a") == ["forged", task_id]
        # What was asked besides and is not sealed takes nothing from what is.
        note = Assignment("a", Requirements.parse({"node": "b"}))
        await bench.hive.placement.move(0, [Move(task_id, own_lane("a"), WAITING, note)])
        await bench.tick()
        assert await bench.lane() == [task_id]


# ------------------------------------------------------------------------------------------------- budgets
