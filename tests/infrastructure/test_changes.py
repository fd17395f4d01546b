"""Cancelling and retrying from outside, wherever the task stands and even if it moves meanwhile."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from tests.hives import altered
from venom_core.config import Settings
from venom_core.domain.lane import WAITING, own_lane
from venom_core.domain.node import NodeLoad, NodeProfile
from venom_core.domain.placement import Requirements
from venom_core.errors import InvalidTask, SecurityError, UnknownTask
from venom_core.infrastructure.changes import LOOKS_MAX, Changes, lanes_of
from venom_core.infrastructure.hive import Hive
from venom_core.infrastructure.message_broker import MessageBroker
from venom_core.infrastructure.placement_store import Assignment, Move
from venom_core.infrastructure.task_records import Seen

A = own_lane("a")
GPU = {"gpu": True}


async def move(hive: Hive, task_id: str, source: str, target: str, node: str = "") -> None:
    note = Assignment(node, Requirements())
    assert await hive.placement.move(hive.tasks.keyspace.partition_of(task_id), [Move(task_id, source, target, note)])


async def given(broker: MessageBroker, **options: Any) -> str:
    """A task that stands in the lane of node `a`."""
    task_id = await broker.enqueue_task("scan", {}, **options)
    await move(broker.hive, task_id, WAITING if options else "scan", A, "a")
    return task_id


async def body_and_seen(broker: MessageBroker, task_id: str) -> tuple[Seen, list[str]]:
    seen, body = await Changes(broker.hive, 1)._known(task_id)
    return seen, lanes_of(body, seen)


async def test_the_lanes_in_which_a_task_may_stand(broker: MessageBroker) -> None:
    plain, choosy = await broker.enqueue_task("scan"), await broker.enqueue_task("scan", requirements=GPU)
    assert (await body_and_seen(broker, plain))[1] == ["scan"]
    assert (await body_and_seen(broker, choosy))[1] == [WAITING]
    assert (await body_and_seen(broker, await given(broker)))[1] == [A, WAITING, "scan"]
    await move(broker.hive, plain, "scan", WAITING)
    assert (await body_and_seen(broker, plain))[1] == [WAITING, "scan"]


@pytest.mark.parametrize("options", [{}, {"requirements": GPU}], ids=["plain", "choosy"])
async def test_a_task_is_cancelled_wherever_it_stands(broker: MessageBroker, options: dict[str, Any]) -> None:
    tasks = [
        await broker.enqueue_task("scan", {}, **options),
        await broker.enqueue_task("scan", {}, delay=60, **options),
        await given(broker, **options),
    ]
    for task_id in tasks:
        assert await broker.cancel_task(task_id)
        assert not await broker.cancel_task(task_id)
    assert (await broker.get_queue_stats())["tasks_pending"] == 0
    hive = broker.hive
    names = [name.decode() for name in await hive.link.command("KEYS", f"{{{hive.tasks.keyspace.namespace}:0}}:*")]
    left = {name.partition("}:")[2] for name in names}
    assert not {"placed", "ready", "due", "assigned", f"queue:{A}", f"queue:{WAITING}", "queue:scan"} & left


def followed(hive: Hive, then: Callable[[], Awaitable[None]], monkeypatch: pytest.MonkeyPatch) -> None:
    """After every look at a task something happens to it."""
    look = hive.tasks.look

    async def look_and_then(ids: Sequence[str]) -> dict[str, Seen]:
        seen = await look(ids)
        await then()
        return seen

    monkeypatch.setattr(hive.tasks, "look", look_and_then)


async def test_one_that_moves_between_the_look_and_the_cancel_is_looked_for_again(
    broker: MessageBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    task_id, moves = await broker.enqueue_task("scan"), [("scan", A, "a")]

    async def moved() -> None:
        if moves:
            await move(broker.hive, task_id, *moves.pop())

    followed(broker.hive, moved, monkeypatch)
    assert await Changes(broker.hive, 1).cancel(task_id)


async def test_one_that_stands_in_no_line_is_told_after_a_few_looks(
    broker: MessageBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    task_id, looks = await broker.enqueue_task("scan"), 0
    hive = broker.hive
    await hive.link.command("ZREM", hive.tasks.keyspace.type_keys(0, "scan")[0], task_id)

    async def counted() -> None:
        nonlocal looks
        looks += 1

    followed(hive, counted, monkeypatch)
    with pytest.raises(UnknownTask, match="stands in no line; look at it with explain"):
        await Changes(hive, 1).cancel(task_id)
    assert looks == LOOKS_MAX


async def test_what_nobody_enqueued_is_neither_cancelled_nor_retried(broker: MessageBroker) -> None:
    changes = Changes(broker.hive, 1)
    for change in (changes.cancel, changes.retry):
        with pytest.raises(UnknownTask, match="no task nobody is known"):
            await change("nobody")
        with pytest.raises(InvalidTask):
            await change("not an id")


async def test_a_cancelled_one_is_retried_where_it_entered(broker: MessageBroker) -> None:
    changes = Changes(broker.hive, 1)
    for task_id, lane in ((await given(broker), "scan"), (await given(broker, requirements=GPU), WAITING)):
        assert await changes.cancel(task_id)
        assert await changes.retry(task_id)
        assert not await changes.retry(task_id)
        seen, lanes = await body_and_seen(broker, task_id)
        assert (seen.assigned, lanes) == (None, [lane])
        assert (await broker.hive.tasks.place(task_id, lane))[1] == 0


async def test_a_zombie_that_was_given_to_its_node_waits_to_be_placed_anew(settings: Settings) -> None:
    slow = altered(settings, hive_heartbeat_interval=30, hive_lease=90)
    async with MessageBroker(slow) as broker:
        hive = broker.hive
        task_id = await given(broker)
        other = await broker.enqueue_task("scan")
        joined = await hive.nodes.join(_profile("a"), 60_000)
        assert (await hive.tasks.claim(0, joined.epoch, 1, [A], 1)).leases
        changes = Changes(hive, 0.001)
        assert not await changes.retry(task_id)
        load = hive.nodes.renewal(0, joined.epoch, "a", 60_000, _silent(), may_reap=False)
        await hive.link.evaluate(load.source, load.keys, load.args)
        assert not await changes.retry(other)
        assert await changes.retry(task_id)
        assert (await body_and_seen(broker, task_id))[1] == [WAITING, "scan"]
        assert (await hive.tasks.place(task_id, WAITING))[1] == 0


async def test_a_forged_task_is_refused_by_name(settings: Settings, broker: MessageBroker) -> None:
    task_id = await broker.enqueue_task("scan", requirements=GPU)
    signed = altered(settings, nexus_shared_token="a token that has thirty-two letters")
    async with MessageBroker(signed) as guarded:
        with pytest.raises(SecurityError):
            await guarded.cancel_task(task_id)


def _profile(name: str) -> NodeProfile:
    return NodeProfile(name, skills=("scan",), concurrency=1)


def _silent() -> NodeLoad:
    return NodeLoad(loop_silent_ms=5_000, active_tasks=1)
