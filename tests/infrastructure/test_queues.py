from __future__ import annotations

import pytest

from tests.hives import altered
from venom_core.config import Settings
from venom_core.infrastructure.message_broker import MessageBroker
from venom_core.infrastructure.queues import Queue, read_queues

TOKEN = "a token of at least thirty-two characters"


@pytest.mark.parametrize("partitions", [1, 4])
async def test_what_stands_in_line_is_counted_over_all_partitions(settings: Settings, partitions: int) -> None:
    async with MessageBroker(altered(settings, hive_partitions=partitions)) as broker:
        await broker.enqueue_many("scan", [{}] * 8)
        await broker.enqueue_many("scan", [{}] * 3, delay=60)
        await broker.enqueue_task("look", delay=60)
        await broker.enqueue_task("look", requirements={"tags": "nobody"})
        queues = await read_queues(broker.hive)
    assert [(queue.name, queue.ready, queue.delayed) for queue in queues] == [
        ("(to be placed)", 1, 0),
        ("look", 0, 1),
        ("scan", 8, 3),
    ]
    assert [queue.oldest_ms >= 0 for queue in queues] == [True, False, True]


async def test_a_lane_has_a_name_for_people() -> None:
    assert [Queue(lane).name for lane in ("scan", "?", "@n1")] == ["scan", "(to be placed)", "(given to n1)"]


async def test_a_task_that_is_not_ours_has_no_age(settings: Settings, broker: MessageBroker) -> None:
    await broker.enqueue_task("scan")
    async with MessageBroker(altered(settings, nexus_shared_token=TOKEN)) as signing:
        [queue] = await read_queues(signing.hive)
    assert (queue.ready, queue.oldest_ms) == (1, -1)


async def test_an_empty_hive_has_none(broker: MessageBroker) -> None:
    assert await read_queues(broker.hive) == []
