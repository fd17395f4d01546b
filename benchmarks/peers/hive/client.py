"""A caller of the hive."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from benchmarks.peers import calling
from venom_core.config import Settings
from venom_core.infrastructure.message_broker import MessageBroker


@asynccontextmanager
async def opened(address: str, _: dict[str, Any]) -> AsyncIterator[calling.Put]:
    async with MessageBroker(Settings.load(redis_url=address)) as broker:
        yield broker.enqueue_task


logging.disable(logging.CRITICAL)  # a server without persistence is warned about at every connect
calling.run(opened)
