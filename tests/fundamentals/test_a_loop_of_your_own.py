"""Working without a Spore: claim, do the work, report. For programs that cannot be a skill."""

from __future__ import annotations

import pytest

from tests.hives import ended
from venom_core.errors import IllegalTransition
from venom_core.infrastructure.message_broker import MessageBroker


async def test_a_hand_written_loop_claims_works_and_reports(broker: MessageBroker) -> None:
    ids = await broker.enqueue_many("double", [{"number": number} for number in range(3)])

    while task := await broker.next_task(["double"], timeout=0.05):
        result = 2 * task.payload["number"]
        await broker.update_task_status(task.task_id, "completed", result=result)

    assert [(await ended(broker, task_id)).result for task_id in ids] == [0, 2, 4]


async def test_what_went_wrong_is_reported_in_words(broker: MessageBroker) -> None:
    task_id = await broker.enqueue_task("double", {"number": "two"})
    task = await broker.next_task()
    assert task is not None
    await broker.update_task_status(task.task_id, "failed", error="cannot double 'two'")
    assert (await ended(broker, task_id)).error == "cannot double 'two'"


async def test_a_task_one_cannot_do_now_is_handed_back(broker: MessageBroker) -> None:
    task_id = await broker.enqueue_task("double")
    assert await broker.next_task()
    await broker.update_task_status(task_id, "pending")
    again = await broker.next_task()
    assert again is not None
    assert again.task_id == task_id


async def test_only_who_claimed_a_task_decides_how_it_ended(broker: MessageBroker) -> None:
    task_id = await broker.enqueue_task("double")
    with pytest.raises(IllegalTransition):
        await broker.update_task_status(task_id, "completed")
