"""The shape of every Foreman service: `tick` does one bounded round, `run` repeats it.

A tick is skipped while another Nexus leads. Between ticks a service waits, by default for a jittered
interval, so that services do not march in step; one that reacts to something waits for that instead. A store
that is away is logged once and waited out; anything else ends the process loudly.
"""

from __future__ import annotations

import asyncio
import logging
import random
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable

from venom_core.errors import StoreError
from venom_core.infrastructure.leadership import Leadership

JITTER = 0.1


class Service(ABC):
    """A leader-gated service with its own interval in seconds."""

    name: str
    interval_s: float

    def __init__(self, leadership: Leadership) -> None:
        self._leadership = leadership
        self._log = logging.getLogger(f"venom.{self.name}")
        self._away = False

    @abstractmethod
    async def tick(self) -> None:
        """One round of work; called only while this process leads."""

    async def wait(self) -> None:
        """What lies between two ticks while this process leads."""
        await self._sleep()

    async def run(self) -> None:
        """Tick for ever."""
        while True:
            if not self._leadership.epoch or not await self._survives(self.wait):
                await self._sleep()
            if self._leadership.epoch:
                await self.tick_safely()

    async def tick_safely(self) -> None:
        """A tick that survives a store that is away."""
        await self._survives(self.tick)

    async def _survives(self, step: Callable[[], Awaitable[None]]) -> bool:
        try:
            await step()
        except StoreError as fault:
            if not self._away:
                self._log.warning("put off: %s", fault)
            self._away = True
            return False
        self._away = False
        return True

    async def _sleep(self) -> None:
        await asyncio.sleep(self.interval_s * random.uniform(1 - JITTER, 1 + JITTER))
