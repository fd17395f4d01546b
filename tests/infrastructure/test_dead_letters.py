from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

import pytest

from tests.hives import altered, ended, running
from venom_core.config import Settings
from venom_core.domain.task_message import TaskMessage
from venom_core.errors import InvalidTask
from venom_core.infrastructure.message_broker import MessageBroker
from venom_spore.skills import SkillSet


async def bury(broker: MessageBroker, count: int) -> list[str]:
    """So many dead letters, the oldest first."""
    ids = await broker.enqueue_many("echo", [{}] * count)
    for _ in ids:
        task = await broker.next_task(["echo"], timeout=5)
        assert task is not None
        await broker.update_task_status(task.task_id, "failed", error="no")
    return ids


async def listed(broker: MessageBroker) -> list[str]:
    return [letter.task_id for letter in await broker.dead_letters.list()]


def newest_first(letters: list[TaskMessage]) -> bool:
    """By the stamp of who reported the end, which may be a few milliseconds off the store's."""
    ends = [letter.completed_at for letter in letters if letter.completed_at]
    return all(later + timedelta(milliseconds=5) >= earlier for later, earlier in pairwise(ends))


async def test_they_are_listed_newest_first_and_by_the_page(broker: MessageBroker) -> None:
    assert await broker.dead_letters.list() == []
    ids = await bury(broker, 5)
    letters = await broker.dead_letters.list()
    assert {letter.task_id for letter in letters} == set(ids)
    assert {(letter.status, letter.error, letter.task_type) for letter in letters} == {("failed", "no", "echo")}
    assert newest_first(letters)
    pages = [await broker.dead_letters.list(offset, 2) for offset in (0, 2, 4, 6)]
    assert [len(page) for page in pages] == [2, 2, 1, 0]
    assert [letter for page in pages for letter in page] == letters


@pytest.mark.parametrize(("offset", "limit"), [(-1, 10), (0, 0), (0, 1_001)])
async def test_a_page_that_is_none_is_refused(broker: MessageBroker, offset: int, limit: int) -> None:
    with pytest.raises(InvalidTask, match="a page has"):
        await broker.dead_letters.list(offset, limit)


async def test_put_back_in_line_they_run_as_if_new(settings: Settings, broker: MessageBroker) -> None:
    skills = SkillSet()

    @skills.skill
    async def echo() -> str:
        return "this time"

    first, second = await bury(broker, 2)
    assert await broker.dead_letters.requeue([first, "nobody"]) == 1
    assert await listed(broker) == [second]
    async with running(skills, settings):
        task = await ended(broker, first)
        assert (task.status, task.result, task.attempt) == ("completed", "this time", 1)
        assert await broker.dead_letters.requeue() == 1
        assert (await ended(broker, second)).result == "this time"
    assert await listed(broker) == []
    assert await broker.dead_letters.requeue() == 0


async def test_purged_they_are_forgotten(broker: MessageBroker) -> None:
    first, second, third = await bury(broker, 3)
    assert await broker.dead_letters.purge([]) == 0
    assert await broker.dead_letters.purge([first, "nobody"]) == 1
    assert await broker.get_task_status(first) is None
    letters = {letter.task_id: letter.completed_at for letter in await broker.dead_letters.list()}
    assert set(letters) == {second, third}
    oldest = min(moment for moment in letters.values() if moment)
    assert await broker.dead_letters.purge(before=oldest - timedelta(seconds=5)) == 0
    assert await broker.dead_letters.purge() == 2
    assert await listed(broker) == []


async def test_a_task_that_is_no_dead_letter_is_not_purged(broker: MessageBroker) -> None:
    pending = await broker.enqueue_task("other")
    assert await broker.dead_letters.purge([pending]) == 0
    assert await broker.get_task_status(pending) is not None


async def test_only_so_many_are_kept_and_the_oldest_leaves(settings: Settings) -> None:
    async with MessageBroker(altered(settings, hive_dead_letters_max=2)) as broker:
        ids = await bury(broker, 4)
        assert len(await listed(broker)) == 2
        assert (await broker.get_queue_stats())["tasks_failed"] == 4
        assert sum([await broker.get_task_status(task_id) is None for task_id in ids]) == 2


async def test_those_of_every_partition_are_listed_and_purged(settings: Settings) -> None:
    async with MessageBroker(altered(settings, hive_partitions=3)) as broker:
        ids = await bury(broker, 9)
        assert set(await listed(broker)) == set(ids)
        assert newest_first(await broker.dead_letters.list())
        assert len(await broker.dead_letters.list(3, 4)) == 4
        assert await broker.dead_letters.purge(ids[:2]) == 2
        assert await broker.dead_letters.purge() == 7
