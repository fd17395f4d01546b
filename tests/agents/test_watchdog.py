from __future__ import annotations

import asyncio

import pytest

from tests.hives import altered, ended, running, until_so
from tests.spore import worker_skills
from venom_core.agents.watchdog import Watchdog
from venom_core.config import Settings
from venom_core.infrastructure.leadership import Leadership
from venom_core.infrastructure.message_broker import MessageBroker
from venom_spore.skills import SkillSet


def watchdog_of(broker: MessageBroker, silence_s: float) -> Watchdog:
    hive = broker.hive
    return Watchdog(hive, Leadership(hive.nodes, "first", hive.rhythm.lease_s), silence_s)


async def claimed(broker: MessageBroker) -> str:
    """A task held by the hand-written loop of this broker."""
    task_id = await broker.enqueue_task("echo")
    task = await broker.next_task(["echo"], timeout=5)
    assert task is not None
    return task_id


async def silent_for(broker: MessageBroker, milliseconds: int) -> None:
    """Let the one node there is report that its event loop is silent."""
    hive = broker.hive
    node = (await hive.nodes.all())[0]
    call = hive.nodes.renewal(
        0,
        node.epoch,
        node.profile.name,
        60_000,
        type(node.load)(loop_silent_ms=milliseconds, active_tasks=1),
        may_reap=False,
    )
    await hive.link.evaluate(call.source, call.keys, call.args)


async def test_it_looks_once_a_lease(fast: Settings) -> None:
    async with MessageBroker(fast) as broker:
        assert watchdog_of(broker, 600).interval_s == fast.hive_lease


async def test_a_task_on_a_silent_node_is_put_back_in_line(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    slow_beat = altered(settings, hive_heartbeat_interval=30, hive_lease=90)
    async with MessageBroker(slow_beat) as broker, MessageBroker(slow_beat) as other:
        task_id = await claimed(broker)
        await silent_for(broker, 5_000)
        await watchdog_of(other, 6).tick()
        task = await other.get_task_status(task_id)
        assert task is not None
        assert task.status == "running"
        assert await other.detect_zombie_tasks() == []
        await watchdog_of(other, 4).tick()
        task = await other.get_task_status(task_id)
        assert task is not None
        assert (task.status, task.crashes) == ("pending", 1)
    assert "showed no sign of life: pending" in caplog.text


async def test_a_zombie_that_was_to_be_cancelled_ends_cancelled(settings: Settings) -> None:
    slow_beat = altered(settings, hive_heartbeat_interval=30, hive_lease=90)
    async with MessageBroker(slow_beat) as broker, MessageBroker(slow_beat) as other:
        task_id = await claimed(broker)
        assert await other.cancel_task(task_id)
        await silent_for(broker, 5_000)
        await watchdog_of(other, 4).tick()
        assert (await ended(other, task_id)).status == "cancelled"


async def test_a_healthy_long_task_is_never_taken_away(fast: Settings) -> None:
    skills, go_on, begun = SkillSet(), asyncio.Event(), asyncio.Event()

    @skills.skill
    async def long() -> None:
        begun.set()
        await go_on.wait()

    async with MessageBroker(fast) as broker, running(skills, fast) as spore:
        task_id = await broker.enqueue_task("long")
        await begun.wait()
        watchdog = watchdog_of(broker, 0.9)
        for _ in range(5):
            spore.worker._beaten.clear()
            await asyncio.wait_for(spore.worker._beaten.wait(), 5)
            await watchdog.tick()
        go_on.set()
        task = await ended(broker, task_id)
    assert (task.status, task.crashes) == ("completed", 0)


async def test_a_task_of_a_lease_that_nobody_knows_any_more_is_put_back(settings: Settings) -> None:
    slow_beat = altered(settings, hive_heartbeat_interval=30, hive_lease=90)
    async with MessageBroker(slow_beat) as broker, MessageBroker(slow_beat) as other:
        task_id = await claimed(broker)
        node = (await other.hive.nodes.all())[0]
        await other.hive.link.command("ZREM", other.hive.tasks.keyspace.key(0, "lease"), node.epoch)
        await watchdog_of(other, 600).tick()
        task = await other.get_task_status(task_id)
        assert task is not None
        assert (task.status, task.crashes) == ("pending", 1)


async def test_results_past_their_time_are_forgotten_even_when_nobody_works(settings: Settings) -> None:
    brief = altered(settings, hive_result_ttl=1)
    async with MessageBroker(brief) as broker:
        async with running(worker_skills.skills, brief):
            task_id = await broker.enqueue_task("in_loop", {"left": 1})
            await ended(broker, task_id)
        watchdog = watchdog_of(broker, 600)

        async def forgotten() -> bool:
            await watchdog.tick()
            return await broker.get_task_status(task_id) is None

        await until_so(forgotten)
        assert (await broker.get_queue_stats())["tasks_completed"] == 1
