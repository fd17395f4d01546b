from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from tests.hives import ended, running, until, until_so
from tests.servers import PrivateServer, sync_client
from venom_core.clock import Clock, to_naive_local
from venom_core.config import Settings
from venom_core.errors import IllegalTransition, InvalidTask, LeaseLost, StoreUnavailable
from venom_core.infrastructure.consumer import ATTEMPTS, Consumer
from venom_core.infrastructure.message_broker import MessageBroker
from venom_spore.skills import SkillSet

skills = SkillSet()


@skills.skill
async def echo(value: str = "") -> str:
    return value


def consumer_of(broker: MessageBroker) -> Consumer:
    assert broker._consumer is not None
    return broker._consumer


async def status_of(broker: MessageBroker, task_id: str) -> str:
    task = await broker.get_task_status(task_id)
    assert task is not None
    return str(task.status)


async def claimed(broker: MessageBroker, *types: str) -> str:
    task = await broker.next_task(types or None, timeout=5)
    assert task is not None
    return task.task_id


# ---------------------------------------------------------------------------------------------------- claiming


async def test_the_next_task_is_the_most_urgent_then_the_oldest(broker: MessageBroker) -> None:
    low, first, second, top = [
        await broker.enqueue_task("echo", priority=priority) for priority in (0, "high_priority", 8, 10)
    ]
    assert [await claimed(broker) for _ in range(4)] == [top, first, second, low]


async def test_a_claimed_task_is_running_here_and_known_as_such(broker: MessageBroker) -> None:
    task_id = await broker.enqueue_task("echo", {"value": "a"})
    task = await broker.get_next_task_from_queue()
    assert task is not None
    assert (task.task_id, task.payload, task.status, task.attempt) == (task_id, {"value": "a"}, "running", 1)
    assert task.assigned_node == consumer_of(broker).name
    assert task.started_at is not None
    assert abs(to_naive_local(Clock().now_ms()) - task.started_at) < timedelta(seconds=30)
    seen = await broker.get_task_status(task_id)
    assert seen is not None
    assert (seen.status, seen.assigned_node) == ("running", task.assigned_node)
    assert (await broker.explain(task_id)).reason == "running"
    await broker.update_task_status(task_id, "running")
    assert await status_of(broker, task_id) == "running"


async def test_only_the_types_asked_for_are_claimed(broker: MessageBroker) -> None:
    other, mine = await broker.enqueue_task("other", priority=10), await broker.enqueue_task("mine")
    assert await claimed(broker, "mine", "yours") == mine
    assert await broker.next_task(["mine"], timeout=0.01) is None
    assert await claimed(broker) == other
    with pytest.raises(InvalidTask, match="task type"):
        await broker.next_task(["no such type"])


async def test_nothing_comes_when_time_runs_out(broker: MessageBroker) -> None:
    assert await broker.next_task(timeout=0) is None
    assert await broker.next_task(timeout=0.05) is None


async def test_a_waiting_call_is_woken_by_a_new_task(broker: MessageBroker) -> None:
    for types in (None, ["echo"]):
        waiting = asyncio.create_task(broker.next_task(types, timeout=20))
        await until(lambda: broker._consumer is not None and not consumer_of(broker)._one_claim.locked())
        task_id = await broker.enqueue_task("echo")
        task = await asyncio.wait_for(waiting, 5)
        assert task is not None
        assert task.task_id == task_id


async def test_a_delayed_task_comes_when_it_is_due_and_not_before(broker: MessageBroker) -> None:
    task_id = await broker.enqueue_task("echo", delay=0.3)
    for types in (None, ["echo"]):
        assert await broker.next_task(types, timeout=0.01) is None
    task = await broker.next_task(timeout=5)
    assert task is not None
    assert task.task_id == task_id
    assert task.created_at is not None
    assert task.started_at is not None
    assert task.started_at - task.created_at >= timedelta(seconds=0.29)


async def test_a_delayed_task_is_not_late_because_a_waiting_call_gave_up(
    settings: Settings, broker: MessageBroker
) -> None:
    with sync_client(settings.store_url()) as client:
        giving_up = asyncio.create_task(broker.next_task(["echo"], timeout=0.3))
        await until(lambda: client.info("clients")["blocked_clients"] == 1)
        async with running(skills, settings):
            await until(lambda: client.info("clients")["blocked_clients"] == 2)
            task_id = await broker.enqueue_task("echo", delay=0.5)
            assert await giving_up is None
            assert (await ended(broker, task_id, within_s=3)).status == "completed"


async def test_a_call_that_is_cancelled_at_any_moment_holds_no_task(broker: MessageBroker) -> None:
    await broker.enqueue_many("echo", [{}] * 100)
    held = 0
    for moment in range(60):
        call = asyncio.create_task(broker.next_task(timeout=5))
        await asyncio.wait([call], timeout=moment * 0.00002)
        call.cancel()
        await asyncio.wait([call])
        held += not call.cancelled()
    assert (await broker.get_queue_stats())["tasks_running"] == held


async def test_closing_hands_back_and_survives_what_was_taken_over(fast: Settings) -> None:
    async with MessageBroker(fast) as other, MessageBroker(fast) as broker:
        task_id = await broker.enqueue_task("echo")
        await claimed(broker)
        epoch = consumer_of(broker)._keeper.epoch
        await broker.hive.link.command("ZADD", broker.hive.tasks.keyspace.key(0, "lease"), 0, epoch)
        async with running(skills, fast):
            assert (await ended(other, task_id)).status == "completed"


async def test_several_calls_at_the_same_time_get_different_tasks(broker: MessageBroker) -> None:
    ids = await broker.enqueue_many("echo", [{}] * 10)
    tasks = await asyncio.gather(*(broker.next_task(timeout=5) for _ in range(10)))
    assert sorted(task.task_id for task in tasks if task) == ids


async def test_the_tasks_of_every_partition_are_found(settings: Settings) -> None:
    split = Settings.load(redis_url=settings.store_url(), hive_namespace=settings.hive_namespace, hive_partitions=3)
    async with MessageBroker(split) as broker:
        ids = await broker.enqueue_many("echo", [{}] * 10)
        assert sorted([await claimed(broker) for _ in range(10)]) == ids
        later = await broker.enqueue_task("echo", delay=0.2)
        assert await claimed(broker) == later


# ----------------------------------------------------------------------------------------------------- the end


async def test_a_completed_task_has_its_result(broker: MessageBroker) -> None:
    task_id = await broker.enqueue_task("echo")
    await claimed(broker)
    await broker.update_task_status(task_id, "completed", result={"answer": 42})
    task = await ended(broker, task_id)
    assert (task.status, task.result, task.assigned_node) == ("completed", {"answer": 42}, consumer_of(broker).name)
    assert task.started_at is not None
    assert task.completed_at is not None
    assert task.started_at <= task.completed_at


async def test_a_failed_task_has_its_error_and_is_a_dead_letter(broker: MessageBroker) -> None:
    task_id = await broker.enqueue_task("echo")
    await claimed(broker)
    await broker.update_task_status(task_id, "failed", error="no luck")
    assert (await ended(broker, task_id)).error == "no luck"
    assert [letter.task_id for letter in await broker.dead_letters.list()] == [task_id]


async def test_a_task_handed_back_keeps_its_place_and_its_attempts(broker: MessageBroker) -> None:
    first, second = await broker.enqueue_many("echo", [{}, {}])
    assert await claimed(broker) == first
    await broker.update_task_status(first, "pending")
    task = await broker.next_task(timeout=5)
    assert task is not None
    assert (task.task_id, task.attempt, task.crashes) == (first, 1, 0)
    assert await claimed(broker) == second


async def test_a_cancel_wish_is_granted_when_the_task_is_handed_back(broker: MessageBroker) -> None:
    task_id = await broker.enqueue_task("echo")
    await claimed(broker)
    assert await broker.cancel_task(task_id)
    assert await status_of(broker, task_id) == "running"
    await broker.update_task_status(task_id, "pending")
    assert (await ended(broker, task_id)).status == "cancelled"


async def test_who_holds_a_task_may_cancel_it(broker: MessageBroker) -> None:
    task_id = await broker.enqueue_task("echo")
    await claimed(broker)
    await broker.update_task_status(task_id, "cancelled", error="changed my mind")
    assert (await ended(broker, task_id)).error == "changed my mind"


async def test_a_status_that_is_none_is_refused(broker: MessageBroker) -> None:
    task_id = await broker.enqueue_task("echo")
    with pytest.raises(InvalidTask, match="pending, running, completed"):
        await broker.update_task_status(task_id, "finished")


async def test_nobody_can_quarantine_a_task_by_hand(broker: MessageBroker) -> None:
    task_id = await broker.enqueue_task("echo")
    await claimed(broker)
    with pytest.raises(IllegalTransition, match="only crashes"):
        await broker.update_task_status(task_id, "quarantined")
    assert await status_of(broker, task_id) == "running"


async def test_a_result_that_json_cannot_carry_is_refused_and_the_task_still_held(broker: MessageBroker) -> None:
    task_id = await broker.enqueue_task("echo")
    await claimed(broker)
    with pytest.raises(InvalidTask, match="result"):
        await broker.update_task_status(task_id, "completed", result={1, 2})
    await broker.update_task_status(task_id, "completed", result=[1, 2])
    assert (await ended(broker, task_id)).result == [1, 2]


async def test_who_did_not_claim_a_task_may_only_cancel_it_while_it_is_pending(
    settings: Settings, broker: MessageBroker
) -> None:
    task_id = await broker.enqueue_task("echo")
    for status in ("running", "completed", "failed", "quarantined"):
        with pytest.raises(IllegalTransition, match="is pending and cannot be made"):
            await broker.update_task_status(task_id, status)
    await broker.update_task_status(task_id, "pending")
    async with MessageBroker(settings) as other:
        await claimed(other)
        for status in ("pending", "completed", "cancelled"):
            with pytest.raises(IllegalTransition, match="is running and cannot be made"):
                await broker.update_task_status(task_id, status)
        await other.update_task_status(task_id, "pending")
    await broker.update_task_status(task_id, "cancelled")
    assert await status_of(broker, task_id) == "cancelled"
    with pytest.raises(IllegalTransition, match="is cancelled"):
        await broker.update_task_status(task_id, "pending")


# ------------------------------------------------------------------------------------------------------ losing it


async def test_disconnecting_hands_back_what_was_claimed(settings: Settings) -> None:
    async with MessageBroker(settings) as other:
        async with MessageBroker(settings) as broker:
            task_id = await broker.enqueue_task("echo")
            await claimed(broker)
            assert len(await other.hive.nodes.all()) == 1
        task = await other.get_task_status(task_id)
        assert task is not None
        assert (task.status, task.attempt, task.crashes) == ("pending", 0, 0)
        assert await other.hive.nodes.all() == []


async def test_disconnecting_works_while_redis_is_away(private_server: PrivateServer) -> None:
    settings = Settings.load(redis_url=private_server.url, hive_profile="fast")
    broker = MessageBroker(settings)
    await broker.connect()
    task_id = await broker.enqueue_task("echo", {"value": "a"})
    await claimed(broker)
    private_server.kill()
    await broker.disconnect()
    private_server.restart()
    async with MessageBroker(settings) as other, running(skills, settings):
        task = await ended(other, task_id)
    assert (task.result, task.crashes) == ("a", 1)


async def test_a_lease_is_renewed_for_as_long_as_the_loop_thinks(fast: Settings) -> None:
    async with MessageBroker(fast) as broker, MessageBroker(fast) as other:
        task_id = await broker.enqueue_task("echo")
        await claimed(broker)
        begun = Clock().monotonic_s()
        async with running(skills, fast):
            await until(lambda: Clock().monotonic_s() - begun > 2)
            assert await status_of(other, task_id) == "running"
        await broker.update_task_status(task_id, "completed")
        assert (await ended(other, task_id)).crashes == 0


async def test_the_end_of_a_task_that_was_taken_over_is_refused(fast: Settings) -> None:
    async with MessageBroker(fast) as broker, MessageBroker(fast) as other:
        task_id = await broker.enqueue_task("echo", {"value": "a"})
        await claimed(broker)
        epoch = consumer_of(broker)._keeper.epoch
        await broker.hive.link.command("ZADD", broker.hive.tasks.keyspace.key(0, "lease"), 0, epoch)
        async with running(skills, fast):
            assert (await ended(other, task_id)).crashes == 1
        await until(lambda: not consumer_of(broker)._joined)
        with pytest.raises(LeaseLost, match=task_id):
            await broker.update_task_status(task_id, "completed", result="late")
        assert (await ended(other, task_id)).result == "a"


async def test_an_end_that_was_recorded_without_an_answer_is_no_lost_lease_when_it_is_reported_again(
    broker: MessageBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    task_id = await broker.enqueue_task("echo")
    await claimed(broker)
    settle, left = broker.hive.tasks.settle, ATTEMPTS

    async def unheard(*args: Any) -> Any:
        nonlocal left
        answer = await settle(*args)
        left -= 1
        if left >= 0:
            raise StoreUnavailable("the answer was lost")
        return answer

    monkeypatch.setattr(broker.hive.tasks, "settle", unheard)
    with pytest.raises(StoreUnavailable):
        await broker.update_task_status(task_id, "completed", result="once")
    await broker.update_task_status(task_id, "completed", result="once")
    assert (await ended(broker, task_id)).result == "once"
    assert (await broker.get_queue_stats())["tasks_completed"] == 1


async def test_another_end_than_the_recorded_one_is_refused(
    broker: MessageBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    task_id = await broker.enqueue_task("echo")
    await claimed(broker)
    settle = broker.hive.tasks.settle

    async def unheard(*args: Any) -> Any:
        await settle(*args)
        raise StoreUnavailable("the answer was lost")

    monkeypatch.setattr(broker.hive.tasks, "settle", unheard)
    with pytest.raises(StoreUnavailable):
        await broker.update_task_status(task_id, "completed", result="once")
    monkeypatch.undo()
    with pytest.raises(LeaseLost):
        await broker.update_task_status(task_id, "failed", error="twice")
    assert (await ended(broker, task_id)).result == "once"


async def test_a_consumer_that_lost_its_lease_joins_again_with_the_next_call(fast: Settings) -> None:
    async with MessageBroker(fast) as broker:
        await broker.next_task(timeout=0)
        epoch = consumer_of(broker)._keeper.epoch
        await broker.hive.link.command("ZREM", broker.hive.tasks.keyspace.key(0, "lease"), epoch)
        task_id = await broker.enqueue_task("echo")
        assert await claimed(broker) == task_id
        assert consumer_of(broker)._keeper.epoch > epoch


async def test_a_late_lease_is_renewed_before_it_claims(fast: Settings) -> None:
    async with MessageBroker(fast) as broker:
        await broker.next_task(timeout=0)
        lease = broker.hive.tasks.keyspace.key(0, "lease")
        epoch = consumer_of(broker)._keeper.epoch
        await broker.hive.link.command("ZADD", lease, 1, epoch)
        task_id = await broker.enqueue_task("echo")
        assert await claimed(broker) == task_id
        assert consumer_of(broker)._keeper.epoch == epoch


async def test_the_consumer_is_a_node_that_everybody_sees(settings: Settings, broker: MessageBroker) -> None:
    await broker.enqueue_many("echo", [{}, {}])
    await claimed(broker)
    nodes = await broker.hive.nodes.all()
    assert [(node.profile.kind, node.profile.name, node.online) for node in nodes] == [
        ("consumer", consumer_of(broker).name, True)
    ]

    async def counted() -> bool:
        return (await broker.hive.nodes.all())[0].load.active_tasks == 1

    await until_so(counted)
