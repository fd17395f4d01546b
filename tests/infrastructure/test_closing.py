"""Closing a broker tells whoever waits for a result, wherever he is in asking for it."""

from __future__ import annotations

import asyncio
import gc
import threading

import pytest

from tests.hives import PATIENCE_S, until
from tests.servers import PrivateServer
from venom_core.config import Settings
from venom_core.errors import StoreUnavailable
from venom_core.infrastructure.consumer import BLOCK_S
from venom_core.infrastructure.message_broker import MessageBroker
from venom_core.infrastructure.result_waiter import ResultWaiter


def waiter_of(broker: MessageBroker) -> ResultWaiter:
    assert broker._waiter is not None
    return broker._waiter


@pytest.mark.parametrize("way", ["wait", "follow"])
@pytest.mark.parametrize("listening", [True, False])
async def test_closing_the_broker_tells_whoever_has_asked_and_was_not_answered(
    private_server: PrivateServer, way: str, listening: bool
) -> None:
    broker = MessageBroker(Settings.load(redis_url=private_server.url))
    await broker.connect()
    task_id, other_id = await broker.enqueue_task("echo"), await broker.enqueue_task("echo")
    waiter = waiter_of(broker)
    if listening:
        assert await broker.wait_for(other_id, 0.01) is None
        await until(lambda: waiter._hears)
    async with waiter.inbox() as inbox:
        private_server.stall()
        asking = asyncio.ensure_future(broker.wait_for(task_id) if way == "wait" else inbox.follow([task_id]))
        await until(lambda: task_id in waiter._futures or task_id in waiter._inboxes)
        closing = asyncio.ensure_future(broker.disconnect())
        with pytest.raises(StoreUnavailable, match="closed while waiting"):
            await asking
        private_server.resume()
        await closing
        with pytest.raises(StoreUnavailable, match="closed while waiting"):
            await inbox.follow([other_id])


async def test_closing_the_broker_tells_whoever_streams(private_server: PrivateServer) -> None:
    broker = MessageBroker(Settings.load(redis_url=private_server.url))
    await broker.connect()
    task_id = await broker.enqueue_task("echo")
    waiter = waiter_of(broker)
    assert await broker.wait_for(task_id, 0.01) is None
    await until(lambda: waiter._hears)

    async def read() -> None:
        async for _ in broker.stream(task_id):
            pass

    private_server.stall()
    reading = asyncio.create_task(read())
    await until(lambda: task_id in waiter._futures)
    closing = asyncio.create_task(broker.disconnect())
    await until(lambda: waiter._closed)
    private_server.resume()
    with pytest.raises(StoreUnavailable, match="closed while waiting"):
        await reading
    await closing


async def test_a_close_that_is_cancelled_leaves_nobody_waiting(private_server: PrivateServer) -> None:
    broker = MessageBroker(Settings.load(redis_url=private_server.url))
    await broker.connect()
    task_id = await broker.enqueue_task("echo")
    waiting = asyncio.create_task(broker.wait_for(task_id))
    await until(lambda: waiter_of(broker)._hears)
    closing = asyncio.create_task(broker.disconnect())
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    with pytest.raises(StoreUnavailable, match="closed while waiting"):
        await waiting


async def test_closing_the_broker_leaves_no_fault_that_nobody_reads(private_server: PrivateServer) -> None:
    unread: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unread.append(str(context["message"])))
    broker = MessageBroker(Settings.load(redis_url=private_server.url))
    await broker.connect()
    task_id = await broker.enqueue_task("echo")
    waiter = waiter_of(broker)
    private_server.stall()
    asking = asyncio.create_task(broker.wait_for(task_id))
    await until(lambda: task_id in waiter._futures)
    closing = asyncio.create_task(broker.disconnect())
    with pytest.raises(StoreUnavailable, match="closed while waiting"):
        await asking
    private_server.resume()
    await closing
    del asking
    gc.collect()
    assert unread == []


async def test_closing_the_broker_tells_whoever_waits(settings: Settings) -> None:
    broker = MessageBroker(settings)
    await broker.connect()
    task_id = await broker.enqueue_task("echo")
    waiting = asyncio.create_task(broker.wait_for(task_id, PATIENCE_S))
    await until(lambda: waiter_of(broker)._hears)
    await broker.disconnect()
    with pytest.raises(StoreUnavailable, match="closed while waiting"):
        await waiting


@pytest.mark.parametrize("types", [["echo"], None])
async def test_closing_the_broker_tells_whoever_waits_for_a_task_and_keeps_none(
    settings: Settings, broker: MessageBroker, types: list[str] | None
) -> None:
    for turns in range(30):
        closed = MessageBroker(settings)
        await closed.connect()
        waiting = asyncio.create_task(closed.next_task(types))
        await until(lambda closed=closed: blocks(closed))  # type: ignore[misc]  # mypy cannot infer it
        task_id = await broker.enqueue_task("echo")
        for _ in range(turns):
            await asyncio.sleep(0)
        await closed.disconnect()
        (told,) = await asyncio.gather(waiting, return_exceptions=True)
        assert getattr(told, "task_id", None) == task_id or "closed while waiting for a task" in str(told)
        found = await broker.get_task_status(task_id)
        assert found is not None
        assert (turns, found.status, found.crashes) == (turns, "pending", 0)
        assert await broker.cancel_task(task_id)


async def test_closing_the_broker_while_it_joins_for_a_first_task_leaves_no_node(
    settings: Settings, broker: MessageBroker
) -> None:
    before = set(threading.enumerate())
    for turns in range(1, 30):
        closed = MessageBroker(settings)
        await closed.connect()
        waiting = asyncio.create_task(closed.next_task(["echo"]))
        for _ in range(turns):
            await asyncio.sleep(0)
        await closed.disconnect()
        await asyncio.gather(waiting, return_exceptions=True)
        left = {thread for thread in threading.enumerate() if thread.name == "venom-lease"} - before
        assert (turns, left) == (turns, set())
    assert await broker.hive.nodes.all() == []


async def test_closing_the_broker_tells_all_who_wait_for_a_task_at_once(settings: Settings) -> None:
    broker = MessageBroker(settings)
    await broker.connect()
    waiting = [asyncio.create_task(broker.next_task(["echo"])) for _ in range(4)]
    await until(lambda: blocks(broker))
    await broker.disconnect()
    async with asyncio.timeout(BLOCK_S / 2):
        told = await asyncio.gather(*waiting, return_exceptions=True)
    assert all("closed while waiting for a task" in str(each) for each in told)


def blocks(broker: MessageBroker) -> bool:
    """Whether somebody waits for a task there."""
    return broker._consumer is not None and broker._consumer._wake._one_at_a_time.locked()


async def test_closing_the_broker_tells_whoever_waits_for_a_task_in_vain(settings: Settings) -> None:
    broker = MessageBroker(settings)
    await broker.connect()
    waiting = asyncio.create_task(broker.next_task())
    await until(lambda: blocks(broker))
    await broker.disconnect()
    with pytest.raises(StoreUnavailable, match="closed while waiting for a task"):
        await waiting
