"""Connections that are dead without either end knowing: nobody sleeps on one for long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.cables import Cable
from tests.hives import altered, ended, running, until, until_so
from venom_core.clock import Clock
from venom_core.config import Settings
from venom_core.infrastructure import result_waiter
from venom_core.infrastructure.message_broker import MessageBroker
from venom_spore.skills import SkillSet

skills = SkillSet()


@skills.skill
async def quick(number: int) -> int:
    return number


@pytest.fixture
async def cable(fast: Settings) -> AsyncIterator[Cable]:
    async with Cable(fast.store_url()) as made:
        yield made


async def test_a_sleeping_spore_whose_connections_died_in_silence_takes_what_comes(
    fast: Settings, broker: MessageBroker, cable: Cable
) -> None:
    async with running(skills, altered(fast, redis_url=cable.url)) as spore:
        await until(spore.worker._claimer._wake._one_at_a_time.locked)
        cable.forget()
        begun_s = Clock().monotonic_s()
        task_id = await broker.enqueue_task("quick", {"number": 7})
        task = await broker.wait_for(task_id, 20)
        took_s = Clock().monotonic_s() - begun_s
    assert task is not None
    assert task.result == 7
    assert took_s < 8


async def test_a_waiting_caller_whose_connections_died_in_silence_hears_the_end(
    fast: Settings, broker: MessageBroker, cable: Cable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(result_waiter, "RECHECK_S", 0.2)
    async with MessageBroker(altered(fast, redis_url=cable.url)) as caller:
        caller.hive.link._timeout_s = 0.5
        task_id = await caller.enqueue_task("quick", {"number": 7})
        waiting = asyncio.create_task(caller.wait_for(task_id, 60))
        waiter = caller.hive.tasks.keyspace.reply_channel("*")
        await until_so(lambda: hears(broker, waiter))
        cable.forget()
        async with running(skills, fast):
            assert (await ended(broker, task_id)).result == 7
            heard = await waiting
    assert heard is not None
    assert heard.result == 7


async def hears(broker: MessageBroker, channel: str) -> bool:
    return bool(await broker.hive.link.command("PUBSUB", "CHANNELS", channel))
