from __future__ import annotations

import asyncio
import logging
from datetime import timedelta

import pytest

from tests.hives import ShiftedClock, altered, done, ended, running
from tests.servers import PrivateServer, leaked_keys, sync_client
from venom_core.clock import Clock, to_naive_local
from venom_core.config import Settings
from venom_core.domain.task_message import TaskMessage
from venom_core.errors import InvalidTask, QueueFull, StoreRefused, StoreUnavailable, TaskExists, UnknownTask
from venom_core.infrastructure.message_broker import MessageBroker
from venom_spore.skills import SkillSet

skills = SkillSet()


@skills.skill
async def echo(value: str = "") -> str:
    return value


async def known(broker: MessageBroker, task_id: str) -> TaskMessage:
    task = await broker.get_task_status(task_id)
    assert task is not None
    return task


# ------------------------------------------------------------------------------------------------- connecting


async def test_connect_says_true_and_is_connected_follows(settings: Settings) -> None:
    broker = MessageBroker(settings)
    assert not broker.is_connected()
    assert await broker.connect()
    assert await broker.connect()
    assert broker.is_connected()
    await broker.disconnect()
    await broker.disconnect()
    assert not broker.is_connected()


async def test_a_broker_connects_again_after_it_was_disconnected(settings: Settings) -> None:
    broker = MessageBroker(settings)
    await broker.connect()
    await broker.disconnect()
    async with broker:
        assert await broker.enqueue_task("echo")


async def test_connect_says_false_and_why_when_redis_is_away(caplog: pytest.LogCaptureFixture) -> None:
    broker = MessageBroker(Settings.load(redis_url="redis://127.0.0.1:1"))
    assert not await broker.connect()
    assert not broker.is_connected()
    assert "127.0.0.1:1 cannot be reached" in caplog.text


async def test_connect_says_false_and_why_when_the_password_is_wrong(
    private_server: PrivateServer, caplog: pytest.LogCaptureFixture
) -> None:
    with private_server.client() as client:
        client.config_set("requirepass", "right")
    broker = MessageBroker(Settings.load(redis_url=private_server.url, redis_password="wrong"))
    assert not await broker.connect()
    assert "password" in caplog.text
    assert "wrong" not in caplog.text.replace("WRONGPASS", "")


async def test_connect_says_false_and_why_when_the_hive_is_switched_off(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    broker = MessageBroker(altered(settings, enable_hive=False))
    assert not await broker.connect()
    assert "ENABLE_HIVE" in caplog.text


async def test_async_with_raises_what_connect_only_logs() -> None:
    with pytest.raises(StoreUnavailable, match="cannot be reached"):
        async with MessageBroker(Settings.load(redis_url="redis://127.0.0.1:1")):
            pytest.fail("there is nothing to connect to")


async def test_everything_asked_of_an_unconnected_broker_says_so(settings: Settings) -> None:
    broker = MessageBroker(settings)
    for call in (
        broker.enqueue_task("echo"),
        broker.enqueue_many("echo", [{}]),
        broker.get_task_status("x"),
        broker.wait_for("x"),
        broker.cancel_task("x"),
        broker.retry_task("x"),
        broker.explain("x"),
        broker.next_task(),
        broker.update_task_status("x", "failed"),
        broker.get_queue_stats(),
        broker.get_queue_length("venom:tasks:high"),
        broker.detect_zombie_tasks(),
        broker.broadcast_control("STOP"),
        broker.subscribe_broadcast(),
        anext(broker.stream("x")),
    ):
        with pytest.raises(StoreUnavailable, match="not connected"):
            await call
    with pytest.raises(StoreUnavailable, match="not connected"):
        broker.dead_letters  # noqa: B018 - looking is what fails


async def test_the_settings_come_from_the_environment_when_none_are_given(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HIVE_NAMESPACE", settings.hive_namespace)
    monkeypatch.setenv("REDIS_URL", settings.store_url())
    async with MessageBroker() as broker:
        assert await broker.enqueue_task("echo")


async def test_a_hive_keeps_the_number_of_partitions_it_was_made_with(
    settings: Settings, broker: MessageBroker, caplog: pytest.LogCaptureFixture
) -> None:
    task_id = await broker.enqueue_task("echo")
    with caplog.at_level(logging.WARNING):
        async with MessageBroker(altered(settings, hive_partitions=4)) as other:
            assert (await known(other, task_id)).status == "pending"
    assert "created with 1 partitions" in caplog.text


# -------------------------------------------------------------------------------------------------- enqueueing


async def test_a_new_task_is_pending_and_keeps_what_was_asked(broker: MessageBroker) -> None:
    deadline = to_naive_local(Clock().now_ms()) + timedelta(hours=1)
    task_id = await broker.enqueue_task(
        "echo", {"value": "é"}, "high_priority", timeout=5, max_retries=0, deadline=deadline, metadata={"from": "me"},
        parent_id="p", root_id="r", correlation_id="c", key="k",
    )  # fmt: skip
    task = await known(broker, task_id)
    assert (task.status, task.task_type, task.payload, task.priority) == ("pending", "echo", {"value": "é"}, 8)
    assert (task.timeout, task.max_retries, task.attempt) == (5, 0, 0)
    assert (task.parent_id, task.root_id, task.correlation_id, task.key) == ("p", "r", "c", "k")
    assert task.metadata == {"from": "me"}
    assert task.created_at is not None
    assert abs(deadline - task.created_at - timedelta(hours=1)) < timedelta(seconds=30)


async def test_ids_made_one_after_the_other_are_in_order(broker: MessageBroker) -> None:
    ids = [await broker.enqueue_task("echo") for _ in range(20)]
    assert ids == sorted(set(ids))


async def test_many_tasks_go_in_one_call_and_come_back_in_order(broker: MessageBroker) -> None:
    ids = await broker.enqueue_many("echo", ({"value": str(n)} for n in range(1_203)), priority=7)
    assert len(set(ids)) == 1_203
    assert (await known(broker, ids[1_100])).payload == {"value": "1100"}
    assert (await broker.get_queue_stats())["high_priority_queue"] == 1_203


async def test_many_tasks_may_have_ids_of_their_own(broker: MessageBroker) -> None:
    assert await broker.enqueue_many("echo", [{}, {}], task_ids=["a", "b"]) == ["a", "b"]
    with pytest.raises(InvalidTask, match="1 distinct task ids for 2 payloads"):
        await broker.enqueue_many("echo", [{}, {}], task_ids=["a", "a"])


async def test_nothing_is_stored_when_one_of_many_payloads_is_bad(broker: MessageBroker) -> None:
    with pytest.raises(InvalidTask, match="set"):
        await broker.enqueue_many("echo", [{}, {"value": {1, 2}}])
    assert (await broker.get_queue_stats())["tasks_pending"] == 0


async def test_the_same_id_with_the_same_content_changes_nothing(broker: MessageBroker) -> None:
    for _ in range(2):
        assert await broker.enqueue_task("echo", {"value": "a"}, task_id="mine") == "mine"
        assert await broker.enqueue_many("echo", [{"value": "a"}], task_ids=["mine"]) == ["mine"]
    assert (await broker.get_queue_stats())["tasks_pending"] == 1


async def test_the_same_id_with_other_content_is_refused(broker: MessageBroker) -> None:
    await broker.enqueue_task("echo", {"value": "a"}, task_id="mine")
    for payload, options in (({"value": "b"}, {}), ({"value": "a"}, {"timeout": 1}), ({"value": "a"}, {"priority": 9})):
        with pytest.raises(TaskExists, match="mine"):
            await broker.enqueue_task("echo", payload, task_id="mine", **options)
    with pytest.raises(TaskExists, match="mine"):
        await broker.enqueue_task("other", {"value": "a"}, task_id="mine")
    with pytest.raises(TaskExists, match="mine"):
        await broker.enqueue_many("echo", [{"value": "b"}], task_ids=["mine"])
    assert (await known(broker, "mine")).payload == {"value": "a"}


async def test_the_same_id_again_after_its_end_does_not_run_again(settings: Settings, broker: MessageBroker) -> None:
    async with running(skills, settings):
        await done(broker, "echo", {"value": "a"}, task_id="mine")
        assert await done(broker, "echo", {"value": "a"}, task_id="mine") == "a"
    assert (await broker.get_queue_stats())["tasks_completed"] == 1


async def test_single_enqueues_at_the_same_time_share_round_trips(settings: Settings, broker: MessageBroker) -> None:
    await broker.enqueue_task("echo")
    with sync_client(settings.store_url()) as client:
        before = client.info("commandstats")["cmdstat_evalsha"]["calls"]
        ids = await asyncio.gather(*(broker.enqueue_task("echo", {"value": str(n)}) for n in range(200)))
        calls = client.info("commandstats")["cmdstat_evalsha"]["calls"] - before
    assert len(set(ids)) == 200
    assert calls <= 5


async def test_the_same_id_twice_at_the_same_time_is_one_task(broker: MessageBroker) -> None:
    answers = await asyncio.gather(
        *(broker.enqueue_task("echo", {"value": "a"}, task_id="mine") for _ in range(5)),
        broker.enqueue_task("echo", {"value": "b"}, task_id="mine"),
        return_exceptions=True,
    )
    assert answers[:5] == ["mine"] * 5
    assert isinstance(answers[5], TaskExists)


async def test_a_full_queue_refuses_more_and_takes_again_when_there_is_room(settings: Settings) -> None:
    async with MessageBroker(altered(settings, hive_queued_max=3)) as broker:
        ids = await broker.enqueue_many("echo", [{}, {}, {}])
        with pytest.raises(QueueFull, match="HIVE_QUEUED_MAX"):
            await broker.enqueue_task("echo")
        assert await broker.cancel_task(ids[0])
        assert await broker.enqueue_task("echo")


async def test_a_connection_lost_half_way_through_many_says_how_many_were_stored(
    private_server: PrivateServer,
) -> None:
    settings = Settings.load(redis_url=private_server.url)
    async with MessageBroker(settings) as broker:
        with private_server.client() as client:
            client.acl_setuser(
                "default", keys=["*"], channels=["*"], commands=["+@all", "-evalsha", "-eval"], enabled=True
            )
            with pytest.raises(StoreRefused) as caught:
                await broker.enqueue_many("echo", [{}] * 1_000)
            client.acl_setuser("default", keys=["*"], channels=["*"], commands=["+@all"], enabled=True)
        assert caught.value.__notes__ == ["0 of 1,000 tasks were stored before this"]


# --------------------------------------------------------------------------------------------------- following


async def test_a_status_nobody_enqueued_is_none(broker: MessageBroker) -> None:
    assert await broker.get_task_status("nobody") is None


async def test_two_brokers_see_the_same_truth(settings: Settings, broker: MessageBroker) -> None:
    async with MessageBroker(settings) as other, running(skills, settings):
        task_id = await broker.enqueue_task("echo", {"value": "a"})
        ends = await asyncio.gather(ended(broker, task_id), ended(other, task_id))
        assert ends[0] == ends[1] == await known(other, task_id)
        assert await broker.get_queue_stats() == await other.get_queue_stats()


async def test_two_hives_on_one_server_do_not_see_each_other(settings: Settings, broker: MessageBroker) -> None:
    neighbour = f"n{settings.hive_namespace[1:]}"
    async with MessageBroker(altered(settings, hive_namespace=neighbour)) as other:
        task_id = await broker.enqueue_task("echo")
        assert await other.get_task_status(task_id) is None
        assert (await other.get_queue_stats())["tasks_pending"] == 0
    with sync_client(settings.store_url()) as client:
        assert leaked_keys(client, neighbour) == []


async def test_many_partitions_serve_like_one(settings: Settings) -> None:
    split = altered(settings, hive_partitions=5)
    async with MessageBroker(split) as broker, running(skills, split):
        ids = await broker.enqueue_many("echo", [{"value": str(n)} for n in range(50)])
        tasks = await asyncio.gather(*(ended(broker, task_id) for task_id in ids))
        assert [task.result for task in tasks] == [str(n) for n in range(50)]
        later = await broker.enqueue_many("echo", [{"value": "x"}] * 10, delay=0.05)
        assert {(await ended(broker, task_id)).result for task_id in later} == {"x"}
        stats = await broker.get_queue_stats()
    assert (stats["tasks_completed"], stats["tasks_pending"]) == (60, 0)


@pytest.mark.parametrize("hours", [-1, 1])
async def test_a_machine_whose_clock_is_an_hour_off_neither_disturbs_nor_is_disturbed(
    fast: Settings, hours: int
) -> None:
    wrong = ShiftedClock(3600 * hours)
    async with MessageBroker(fast, clock=wrong) as broker, MessageBroker(fast) as right:
        async with running(skills, fast, clock=wrong), running(skills, fast, "right"):
            task = await ended(broker, await broker.enqueue_task("echo", {"value": "a"}, delay=0.2, timeout=5))
            assert (task.status, task.result, task.attempt) == ("completed", "a", 1)
            assert all(node.online for node in await right.hive.nodes.all())
        assert task.started_at is not None
        assert task.completed_at is not None
        assert task.created_at is not None
        assert timedelta(0) <= task.completed_at - task.created_at < timedelta(seconds=20)
        assert await broker.next_task(timeout=0.01) is None


# ----------------------------------------------------------------------------------------- counting and orders


async def test_the_counters_are_exact_through_a_life(settings: Settings, broker: MessageBroker) -> None:
    await broker.enqueue_many("echo", [{}] * 3, priority=6)
    await broker.enqueue_many("echo", [{}] * 2, priority=5)
    stats = await broker.get_queue_stats()
    assert (stats["high_priority_queue"], stats["background_queue"], stats["total_queued"]) == (3, 2, 5)
    assert await broker.get_queue_length("venom:tasks:high") == 3
    assert await broker.get_queue_length("venom:tasks:background") == 2
    claimed = await broker.next_task()
    assert claimed is not None
    stats = await broker.get_queue_stats()
    assert (stats["tasks_pending"], stats["tasks_running"]) == (4, 1)
    await broker.update_task_status(claimed.task_id, "failed", error="no")
    async with running(skills, settings):
        await done(broker, "echo", priority=0)
    stats = await broker.get_queue_stats()
    assert (stats["tasks_completed"], stats["tasks_failed"], stats["dead_letters"]) == (5, 1, 1)
    assert (stats["tasks_pending"], stats["tasks_running"], stats["connected"]) == (0, 0, True)


async def test_an_unknown_queue_is_refused_with_the_names_there_are(broker: MessageBroker) -> None:
    with pytest.raises(InvalidTask, match="venom:tasks:high, venom:tasks:background"):
        await broker.get_queue_length("venom:tasks:medium")


async def test_a_cancelled_pending_task_never_runs(settings: Settings, broker: MessageBroker) -> None:
    waiting, delayed = await broker.enqueue_task("echo"), await broker.enqueue_task("echo", delay=0.05)
    assert await broker.cancel_task(waiting)
    assert await broker.cancel_task(delayed)
    assert not await broker.cancel_task(waiting)
    async with running(skills, settings):
        await done(broker, "echo")
        assert (await ended(broker, waiting)).status == (await ended(broker, delayed)).status == "cancelled"
    stats = await broker.get_queue_stats()
    assert (stats["tasks_cancelled"], stats["tasks_completed"], stats["tasks_pending"]) == (2, 1, 0)


async def test_a_task_retried_by_hand_runs_again_unless_it_completed(settings: Settings, broker: MessageBroker) -> None:
    task_id = await broker.enqueue_task("echo", {"value": "a"})
    assert not await broker.retry_task(task_id)
    await broker.cancel_task(task_id)
    assert await broker.retry_task(task_id)
    async with running(skills, settings):
        assert (await ended(broker, task_id)).result == "a"
        assert not await broker.retry_task(task_id)
    assert (await broker.get_queue_stats())["tasks_completed"] == 1


async def test_changing_a_task_nobody_enqueued_is_refused(broker: MessageBroker) -> None:
    for call in (broker.cancel_task("nobody"), broker.retry_task("nobody"), broker.explain("nobody")):
        with pytest.raises(UnknownTask, match="nobody"):
            await call
    with pytest.raises(UnknownTask, match="nobody"):
        await broker.update_task_status("nobody", "cancelled")
