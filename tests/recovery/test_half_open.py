"""Connections that are dead without either end knowing: nobody sleeps on one for long."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.cables import Cable
from tests.hives import altered, running, until
from venom_core.clock import Clock
from venom_core.config import Settings
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
