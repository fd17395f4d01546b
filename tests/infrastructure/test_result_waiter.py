from __future__ import annotations

import asyncio
import gc

import pytest

from tests.hives import PATIENCE_S, altered, ended, running, until, until_running
from tests.servers import PrivateServer, sync_client
from venom_core.config import Settings
from venom_core.errors import InvalidTask, UnknownTask
from venom_core.event_loop import end_tasks
from venom_core.infrastructure.message_broker import MessageBroker
from venom_core.infrastructure.result_waiter import ResultWaiter, _letters
from venom_spore.context import TaskContext
from venom_spore.skills import SkillSet

skills = SkillSet()


@skills.skill
async def echo(value: str = "") -> str:
    return value


@skills.skill
async def fail() -> None:
    raise RuntimeError("as asked")


@skills.skill
async def talk(ctx: TaskContext, words: list[str]) -> int:
    for word in words:
        ctx.emit(word)
        await asyncio.sleep(0)
    return len(words)


def waiter_of(broker: MessageBroker) -> ResultWaiter:
    assert broker._waiter is not None
    return broker._waiter


def waiters_noted(settings: Settings) -> int:
    """How many tasks have somebody noted in the store who waits for them."""
    with sync_client(settings.store_url()) as client:
        count = client.hlen(f"{{{settings.hive_namespace}:0}}:wait")
    assert isinstance(count, int)
    return count


# ----------------------------------------------------------------------------------------------------- the end


async def test_a_completed_task_comes_with_its_result(settings: Settings, broker: MessageBroker) -> None:
    task_id = await broker.enqueue_task("echo", {"value": "a"})
    async with running(skills, settings):
        task = await ended(broker, task_id)
    assert (task.status, task.result, task.error, task.assigned_node) == ("completed", "a", None, "spore")
    assert (task.attempt, task.crashes) == (1, 0)
    assert task.finished


async def test_a_failed_task_comes_with_its_error(settings: Settings, broker: MessageBroker) -> None:
    task_id = await broker.enqueue_task("fail", max_retries=0)
    async with running(skills, settings):
        task = await ended(broker, task_id)
    assert (task.status, task.result) == ("failed", None)
    assert task.error is not None
    assert task.error.startswith("RuntimeError: as asked\n")
    assert "Traceback" in task.error


async def test_a_cancelled_task_has_ended_too(broker: MessageBroker) -> None:
    task_id = await broker.enqueue_task("echo")
    waiting = asyncio.create_task(ended(broker, task_id))
    await until(lambda: bool(waiter_of(broker)._futures))
    await broker.cancel_task(task_id)
    assert (await waiting).status == "cancelled"


async def test_a_task_that_ended_long_ago_is_answered_at_once(settings: Settings, broker: MessageBroker) -> None:
    task_id = await broker.enqueue_task("echo", {"value": "a"})
    async with running(skills, settings):
        await ended(broker, task_id)
    assert (await ended(broker, task_id)).result == "a"


async def test_nothing_comes_when_time_runs_out_and_nobody_is_noted_afterwards(
    settings: Settings, broker: MessageBroker
) -> None:
    task_id = await broker.enqueue_task("echo")
    assert await broker.wait_for(task_id, timeout=0.05) is None
    assert await broker.wait_for(task_id, timeout=-1) is None
    assert waiters_noted(settings) == 0
    assert not waiter_of(broker)._futures


async def test_an_id_nobody_enqueued_is_refused(broker: MessageBroker) -> None:
    with pytest.raises(UnknownTask, match="nobody"):
        await broker.wait_for("nobody", timeout=1)
    with pytest.raises(UnknownTask, match="nobody"):
        await anext(broker.stream("nobody"))
    with pytest.raises(InvalidTask, match="task id"):
        await broker.wait_for("no body", timeout=1)


@pytest.mark.parametrize("size", [4_000, 4_200, 1_000_000])
async def test_a_result_of_any_size_arrives_whole(settings: Settings, broker: MessageBroker, size: int) -> None:
    async with running(skills, settings):
        task_id = await broker.enqueue_task("echo", {"value": "é" * (size // 2)})
        assert (await ended(broker, task_id)).result == "é" * (size // 2)


async def test_many_waiters_for_one_task_all_hear_of_it(settings: Settings, broker: MessageBroker) -> None:
    task_id = await broker.enqueue_task("echo", {"value": "a"})
    waiting = [asyncio.create_task(ended(broker, task_id)) for _ in range(100)]
    await until(lambda: len(waiter_of(broker)._futures.get(task_id, ())) == 100)
    async with running(skills, settings):
        assert {task.result for task in await asyncio.gather(*waiting)} == {"a"}
    assert waiters_noted(settings) == 0


async def test_a_waiter_that_gives_up_takes_its_note_back_and_leaves_the_others(
    settings: Settings, broker: MessageBroker
) -> None:
    task_id = await broker.enqueue_task("echo", {"value": "a"})
    async with MessageBroker(settings) as other:
        waiting, leaving = (asyncio.create_task(ended(each, task_id)) for each in (broker, other))
        await until(lambda: bool(waiter_of(broker)._futures and waiter_of(other)._futures))
        leaving.cancel()
        await asyncio.wait([leaving])
        assert not waiter_of(other)._futures
        async with running(skills, settings):
            assert (await waiting).result == "a"


async def test_of_a_task_that_nobody_knows_everybody_is_told_once(broker: MessageBroker) -> None:
    unread: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unread.append(str(context["message"])))
    streaming = asyncio.ensure_future(anext(broker.stream("nosuch")))
    with pytest.raises(UnknownTask):
        await broker.wait_for("nosuch")
    await end_tasks(streaming)
    del streaming
    gc.collect()
    assert unread == []


async def test_more_processes_than_one_task_can_note_are_refused(
    settings: Settings, broker: MessageBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("venom_core.infrastructure.task_store.WAITERS_MAX", 1)
    task_id = await broker.enqueue_task("echo", {"value": "a"})
    waiting = asyncio.create_task(ended(broker, task_id))
    await until(lambda: waiters_noted(settings) == 1)
    async with MessageBroker(settings) as other:
        with pytest.raises(InvalidTask, match=r"wait for .* already"):
            await other.wait_for(task_id, timeout=5)
    async with running(skills, settings):
        assert (await waiting).result == "a"


# ------------------------------------------------------------------------------------------------ a bad network


@pytest.fixture
def hardy(private_server: PrivateServer) -> Settings:
    """A hive on a server that may be killed."""
    return Settings.load(redis_url=private_server.url, hive_profile="fast")


async def test_waiting_survives_the_loss_of_its_connections(hardy: Settings, private_server: PrivateServer) -> None:
    async with MessageBroker(hardy) as broker:
        task_id = await broker.enqueue_task("echo", {"value": "a"})
        waiting = asyncio.create_task(ended(broker, task_id))
        await until(lambda: waiters_noted(hardy) == 1)
        with private_server.client() as client:
            client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        async with running(skills, hardy):
            assert (await waiting).result == "a"


async def test_waiting_survives_a_restart_of_redis(hardy: Settings, private_server: PrivateServer) -> None:
    async with MessageBroker(hardy) as broker, running(skills, hardy):
        task_id = await broker.enqueue_task("echo", {"value": "a"}, delay=1)
        waiting = asyncio.create_task(ended(broker, task_id))
        await until(lambda: waiters_noted(hardy) == 1)
        private_server.restart()
        task = await waiting
    assert (task.status, task.result, task.attempt) == ("completed", "a", 1)


async def test_waiting_may_begin_while_redis_is_away(hardy: Settings, private_server: PrivateServer) -> None:
    async with MessageBroker(hardy) as broker, running(skills, hardy):
        task_id = await broker.enqueue_task("echo", {"value": "a"}, delay=0.5)
        private_server.kill()
        waiting = asyncio.create_task(ended(broker, task_id))
        assert await broker.wait_for(task_id, timeout=0.5) is None
        private_server.restart()
        assert (await waiting).result == "a"


async def test_a_result_whose_message_was_lost_is_found_by_looking_again(
    settings: Settings, broker: MessageBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("venom_core.infrastructure.result_waiter.RECHECK_S", 0.1)
    task_id = await broker.enqueue_task("echo", {"value": "a"})
    waiting = asyncio.create_task(ended(broker, task_id))
    await until(lambda: waiters_noted(settings) == 1)
    with sync_client(settings.store_url()) as client:
        client.delete(f"{{{settings.hive_namespace}:0}}:wait")
    async with running(skills, settings):
        assert (await waiting).result == "a"


async def test_waiting_goes_on_when_the_server_says_no_for_a_while(
    hardy: Settings, private_server: PrivateServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("venom_core.infrastructure.result_waiter.RECHECK_S", 0.05)
    async with MessageBroker(hardy) as broker:
        task_id = await broker.enqueue_task("echo", {"value": "a"})
        assert await broker.wait_for(task_id, 0.05) is None
        await until(broker.results._listening.is_set)
        waiting = asyncio.create_task(ended(broker, task_id))
        await until(lambda: waiters_noted(hardy) == 1)
        with private_server.client() as client:
            client.execute_command("ACL", "SETUSER", "default", "-evalsha", "-eval")
            refused = client.info("errorstats").get("errorstat_NOPERM", {"count": 0})["count"]
            await until(lambda: client.info("errorstats").get("errorstat_NOPERM", {"count": 0})["count"] > refused)
            client.execute_command("ACL", "SETUSER", "default", "+@all")
        async with running(skills, hardy):
            assert (await waiting).result == "a"


# ------------------------------------------------------------------------------------------------- partial results


async def test_partial_results_of_a_finished_task_can_still_be_read(settings: Settings, broker: MessageBroker) -> None:
    async with running(skills, settings):
        task_id = await broker.enqueue_task("talk", {"words": ["a", "b"]})
        assert (await ended(broker, task_id)).result == 2
    assert [word async for word in broker.stream(task_id)] == ["a", "b"]


async def test_partial_results_are_heard_while_the_task_runs(settings: Settings, broker: MessageBroker) -> None:
    heard: asyncio.Queue[str] = asyncio.Queue()
    own = SkillSet()

    @own.skill
    async def echo_back(ctx: TaskContext) -> None:
        for word in ("a", "b", "c"):
            ctx.emit(word)
            assert await heard.get() == word

    task_id = await broker.enqueue_task("echo_back")
    async with running(own, settings), asyncio.timeout(PATIENCE_S):
        async for word in broker.stream(task_id):
            heard.put_nowait(word)
        assert (await ended(broker, task_id)).status == "completed"


async def test_a_stream_survives_the_loss_of_its_connections(hardy: Settings, private_server: PrivateServer) -> None:
    heard: asyncio.Queue[str] = asyncio.Queue()
    own = SkillSet()

    @own.skill
    async def speak(ctx: TaskContext) -> None:
        ctx.emit("a")
        assert await heard.get() == "a"
        with private_server.client() as client:
            client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        ctx.emit("b")
        assert await heard.get() == "b"

    async with MessageBroker(hardy) as broker, running(own, hardy), asyncio.timeout(PATIENCE_S):
        async for word in broker.stream(await broker.enqueue_task("speak")):
            heard.put_nowait(word)


async def test_a_stream_goes_on_beyond_the_number_of_partial_results_that_are_kept(
    settings: Settings, broker: MessageBroker
) -> None:
    own = SkillSet()

    @own.skill
    async def count(ctx: TaskContext) -> None:
        for number in range(2_500):
            ctx.emit(number)
            if number % 100 == 0:
                await asyncio.sleep(0.002)

    task_id = await broker.enqueue_task("count")
    async with running(own, settings), asyncio.timeout(PATIENCE_S):
        heard = [number async for number in broker.stream(task_id)]
    assert heard == sorted(set(heard))
    assert heard[-1] == 2_499


async def test_a_stream_that_is_left_early_takes_its_note_back(settings: Settings, broker: MessageBroker) -> None:
    task_id = await broker.enqueue_task("echo")
    stream = broker.stream(task_id)
    first = asyncio.ensure_future(anext(stream))
    await until(lambda: waiters_noted(settings) == 1)
    first.cancel()
    await asyncio.wait([first])
    await stream.aclose()
    assert waiters_noted(settings) == 0
    assert not waiter_of(broker)._futures
    assert not waiter_of(broker)._partials


async def test_a_slow_task_is_seen_running_by_whoever_waits(settings: Settings, broker: MessageBroker) -> None:
    go_on = asyncio.Event()
    own = SkillSet()

    @own.skill
    async def slow() -> None:
        await go_on.wait()

    async with running(own, altered(settings, hive_drain_timeout=1)):
        task_id = await broker.enqueue_task("slow")
        await until_running(broker, task_id)
        task = await broker.get_task_status(task_id)
        assert task is not None
        assert (task.attempt, task.assigned_node, task.completed_at) == (1, "spore", None)
        assert task.started_at is not None
        go_on.set()
        assert (await ended(broker, task_id)).status == "completed"


async def test_what_is_no_result_on_the_channel_disturbs_nobody(
    settings: Settings, broker: MessageBroker, caplog: pytest.LogCaptureFixture
) -> None:
    task_id = await broker.enqueue_task("echo", {"value": "a"})
    waiting = asyncio.create_task(ended(broker, task_id))
    await until(lambda: waiters_noted(settings) == 1)
    await broker.hive.link.command("PUBLISH", waiter_of(broker)._channel, b"nonsense")
    await until(lambda: "asking the store instead" in caplog.text)
    async with running(skills, settings):
        assert (await waiting).result == "a"


def test_a_message_may_hold_any_ids_and_records() -> None:
    message = b"2:3:a:bcd" + b"1:-1:x" + b"3:0:::\n"
    assert list(_letters(message)) == [("a:", b"bcd"), ("x", None), ("::\n", b"")]


@pytest.mark.parametrize("message", [b"-5:0:", b"0:0:", b"3:-2:abc", b"9:9:short", b"x:1:a"])
async def test_a_message_with_impossible_lengths_costs_no_more_than_a_look_into_the_store(
    settings: Settings, broker: MessageBroker, message: bytes
) -> None:
    async with running(skills, settings):
        task_id = await broker.enqueue_task("echo", {"value": "a"})
        assert (await ended(broker, task_id)).result == "a"
        await broker.hive.link.command("PUBLISH", broker.results._channel, message)
        assert (await ended(broker, await broker.enqueue_task("echo", {"value": "b"}))).result == "b"
