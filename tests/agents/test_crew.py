"""The services of one process: they work while it leads, and what none of them foresaw ends it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.hives import FAST, until, until_so
from tests.servers import PrivateServer
from venom_core.agents.crew import Crew
from venom_core.agents.dispatcher import Dispatcher
from venom_core.config import Settings
from venom_core.domain.node import NodeProfile
from venom_core.event_loop import end_tasks
from venom_core.infrastructure.message_broker import MessageBroker


@asynccontextmanager
async def at_work(broker: MessageBroker, name: str = "crew") -> AsyncIterator[tuple[Crew, asyncio.Task[None]]]:
    crew = Crew(broker.hive, name, 600)
    work = asyncio.create_task(crew.run())
    try:
        yield crew, work
    finally:
        await end_tasks(work)
        await crew.leadership.resign()


async def placed(broker: MessageBroker, node: str) -> None:
    """Until the one task that waits has been given to the node."""

    async def so() -> bool:
        return await broker.hive.placement.given() == {node: 1}

    await until_so(so)


async def test_of_two_one_leads_and_the_other_follows_when_it_resigns(
    fast: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    async with MessageBroker(fast) as broker:
        await broker.hive.nodes.join(NodeProfile(name="a", concurrency=1, skills=("scan",)), 600_000)
        with caplog.at_level(logging.INFO, "venom.nexus"):
            async with at_work(broker, "same") as (first, _):
                await until(lambda: first.leadership.epoch > 0)
                async with at_work(broker, "same") as (second, _):
                    task_id = await broker.enqueue_task("scan", requirements={"node": "a"})
                    await placed(broker, "a")
                    assert await broker.cancel_task(task_id)
                    assert second.leadership.epoch == 0
                    await first.leadership.resign()
                    await until(lambda: first.leadership.epoch + second.leadership.epoch > 0)
                    await broker.enqueue_task("scan", requirements={"node": "a"})
                    await placed(broker, "a")
        assert "same leads (epoch " in caplog.text


async def test_what_a_service_did_not_foresee_ends_the_crew_and_comes_out(
    fast: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(_: Dispatcher) -> None:
        raise RuntimeError("a bug")

    async with MessageBroker(fast) as broker, at_work(broker) as (crew, work):
        monkeypatch.setattr(Dispatcher, "tick", broken)
        await until(work.done)
        with pytest.raises(RuntimeError, match="a bug"):
            await work
        assert [task for task in asyncio.all_tasks() if task.get_name() in {it.name for it in crew.services}] == []


async def test_a_record_that_no_node_wrote_does_not_end_it(fast: Settings) -> None:
    async with MessageBroker(fast) as broker, at_work(broker) as (crew, work):
        await broker.hive.nodes.join(NodeProfile(name="a", concurrency=1, skills=("scan",)), 600_000)
        space = broker.hive.nodes.keyspace
        await broker.hive.link.command("HSET", space.key(0, "profile"), "b", b"nonsense")
        await broker.hive.link.command("HSET", space.key(0, "load"), "b", b"nonsense")
        await until(lambda: crew.leadership.epoch > 0)
        await broker.enqueue_task("scan", requirements={"node": "a"})
        await placed(broker, "a")
        assert not work.done()


async def test_it_leads_no_more_while_the_server_is_away_and_again_when_it_is_back(
    private_server: PrivateServer,
) -> None:
    async with (
        MessageBroker(Settings.load(redis_url=private_server.url, **FAST)) as broker,
        at_work(broker) as (crew, work),
    ):
        await until(lambda: crew.leadership.epoch > 0)
        before = crew.leadership.epoch
        private_server.kill()
        await until(lambda: crew.leadership.epoch == 0)
        private_server.restart()
        await until(lambda: crew.leadership.epoch >= before)
        await broker.hive.nodes.join(NodeProfile(name="a", concurrency=1, skills=("scan",)), 600_000)
        await broker.enqueue_task("scan", requirements={"node": "a"})
        await placed(broker, "a")
        assert not work.done()
