from __future__ import annotations

import asyncio
import logging

import pytest

from tests.hives import until
from venom_core.agents.service import Service
from venom_core.config import Settings
from venom_core.errors import StoreUnavailable
from venom_core.infrastructure.leadership import Leadership
from venom_core.infrastructure.message_broker import MessageBroker


class Ticker(Service):
    name = "ticker"
    interval_s = 0.01

    def __init__(self, leadership: Leadership) -> None:
        super().__init__(leadership)
        self.ticks = 0
        self.faults: list[Exception] = []

    async def tick(self) -> None:
        self.ticks += 1
        if self.faults:
            raise self.faults.pop()


@pytest.fixture
def leadership(broker: MessageBroker, settings: Settings) -> Leadership:
    return Leadership(broker.hive.nodes, "first", settings.hive_lease)


async def test_it_ticks_only_while_its_process_leads(leadership: Leadership) -> None:
    ticker = Ticker(leadership)
    work = asyncio.create_task(ticker.run())
    other = Ticker(leadership)
    other.interval_s = 0.001
    waiting = asyncio.create_task(other.run())
    await asyncio.wait([work, waiting], timeout=0.1)
    assert ticker.ticks == other.ticks == 0
    await leadership.campaign()
    await until(lambda: ticker.ticks > 2)
    await leadership.resign()
    seen = ticker.ticks
    await asyncio.wait([work, waiting], timeout=0.1)
    assert ticker.ticks == seen
    for task in (work, waiting):
        task.cancel()


async def test_a_store_that_is_away_is_logged_once_and_waited_out(
    leadership: Leadership, caplog: pytest.LogCaptureFixture
) -> None:
    ticker = Ticker(leadership)
    ticker.faults = [StoreUnavailable("away"), StoreUnavailable("away")]
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            await ticker.tick_safely()
        assert caplog.text.count("put off: away") == 1
        ticker.faults = [StoreUnavailable("away again")]
        await ticker.tick_safely()
    assert caplog.text.count("put off") == 2
    assert ticker.ticks == 4


async def test_what_nobody_foresaw_comes_through(leadership: Leadership) -> None:
    ticker = Ticker(leadership)
    ticker.faults = [RuntimeError("a bug")]
    await leadership.campaign()
    with pytest.raises(RuntimeError, match="a bug"):
        await asyncio.wait_for(ticker.run(), 5)
    await leadership.resign()
