"""Who is busy does not wake for delayed tasks: somebody else has to, in every partition."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from tests.hives import altered, ended, running, until, until_running, until_so
from venom_core.config import Settings
from venom_core.infrastructure.message_broker import MessageBroker
from venom_spore.skills import SkillSet

PARTITIONS = 4


def id_in(broker: MessageBroker, partition: int) -> str:
    """An id of that partition."""
    space = broker.hive.tasks.keyspace
    return next(task_id for number in range(99) if space.partition_of(task_id := f"t-{number}") == partition)


async def watchers(broker: MessageBroker) -> int:
    """How many types are watched in all partitions."""
    hive = broker.hive
    found = [await hive.link.command("HLEN", hive.tasks.keyspace.key(k, "watch")) for k in range(PARTITIONS)]
    return sum(found)


async def test_a_spore_whose_slots_are_taken_watches_no_partition(settings: Settings) -> None:
    settings = altered(settings, hive_partitions=PARTITIONS)
    skills, go_on = SkillSet(), asyncio.Event()

    @skills.skill
    async def hold() -> None:
        await go_on.wait()

    async with MessageBroker(settings) as broker, running(skills, settings, slots=1):
        late = await broker.enqueue_task("hold", task_id=id_in(broker, 0), delay=0.5)

        async def watched() -> bool:
            return await watchers(broker) == 1

        async def unwatched() -> bool:
            return await watchers(broker) == 0

        await until_so(watched)
        now = await broker.enqueue_task("hold", task_id=id_in(broker, 3))
        await until_running(broker, now)
        await until_so(unwatched)
        go_on.set()
        for task_id in (now, late):
            assert (await ended(broker, task_id)).status == "completed"


async def test_a_slot_that_is_freed_while_the_watch_is_given_up_is_filled(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = altered(settings, hive_partitions=PARTITIONS)
    skills, go_on = SkillSet(), asyncio.Event()

    @skills.skill
    async def hold() -> None:
        await go_on.wait()

    async with MessageBroker(settings) as broker, running(skills, settings, slots=1) as spore:
        tasks = spore.worker.hive.tasks
        give_up = tasks.unwatch

        async def while_the_slot_is_freed(partition: int, epoch: int, types: Sequence[str]) -> None:
            go_on.set()
            await spore.worker.attempts.until_idle()
            await give_up(partition, epoch, types)

        monkeypatch.setattr(tasks, "unwatch", while_the_slot_is_freed)
        await broker.enqueue_task("hold", task_id=id_in(broker, 0), delay=3600)
        await until(lambda: bool(spore.worker._claimer._watched))  # else it has no watch to give up
        first = await broker.enqueue_task("hold", task_id=id_in(broker, 3))
        await ended(broker, first)
        second = await broker.enqueue_task("hold", task_id=id_in(broker, 2))
        assert (await ended(broker, second)).status == "completed"
        monkeypatch.undo()


async def test_a_hand_written_loop_that_has_a_task_watches_no_partition(settings: Settings) -> None:
    settings = altered(settings, hive_partitions=PARTITIONS)
    async with MessageBroker(settings) as broker:
        await broker.enqueue_task("by-hand", task_id=id_in(broker, 0), delay=3600)
        now = await broker.enqueue_task("by-hand", task_id=id_in(broker, 3))
        task = await broker.next_task(["by-hand"], timeout=5)
        assert task is not None
        assert task.task_id == now
        assert await watchers(broker) == 0
        await broker.update_task_status(now, "completed")
