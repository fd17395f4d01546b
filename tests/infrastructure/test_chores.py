"""Chores run beside a process's main work, whatever becomes of the store."""

from __future__ import annotations

import asyncio
import logging

import pytest

from tests.hives import until
from venom_core.errors import StoreUnavailable
from venom_core.infrastructure import chores as module
from venom_core.infrastructure.chores import Chores
from venom_core.infrastructure.message_broker import MessageBroker


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSE_S", 0.0)


async def test_a_chore_that_others_would_do_too_is_put_off(
    broker: MessageBroker, caplog: pytest.LogCaptureFixture
) -> None:
    async def work() -> None:
        raise StoreUnavailable("away")

    chores = Chores(broker.hive)
    chores.start(work())
    await until(lambda: not chores._running)
    assert caplog.messages == ["upkeep put off: away"]


async def test_a_chore_that_is_insisted_on_is_done_once_the_store_is_back(
    broker: MessageBroker, caplog: pytest.LogCaptureFixture
) -> None:
    tries = 0

    async def work() -> None:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise StoreUnavailable("away")

    chores = Chores(broker.hive)
    with caplog.at_level(logging.WARNING, "venom.upkeep"):
        chores.insist(work)
        await until(lambda: not chores._running)
    assert tries == 3
    assert caplog.messages == ["upkeep is tried again: away"] * 2


async def test_what_is_insisted_on_ends_with_its_process(broker: MessageBroker) -> None:
    begun = asyncio.Event()

    async def work() -> None:
        begun.set()
        raise StoreUnavailable("away")

    chores = Chores(broker.hive)
    chores.insist(work)
    await begun.wait()
    await chores.end()
    assert not chores._running
