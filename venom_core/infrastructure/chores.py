"""Upkeep that runs beside a process's main work. A store that is away puts it off: others, or the next beat, do it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Iterable
from typing import Any

from venom_core.errors import StoreError
from venom_core.event_loop import end_tasks
from venom_core.infrastructure.hive import Hive

log = logging.getLogger("venom.upkeep")


class Chores:
    """The chores of one process."""

    def __init__(self, hive: Hive) -> None:
        self._hive = hive
        self._running: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[Any, Any, Any]) -> None:
        """Do something once, beside everything else."""
        chore = asyncio.ensure_future(_put_off(work))
        self._running.add(chore)
        chore.add_done_callback(self._running.discard)

    def reap(self, epochs: Iterable[int], now_ms: int) -> None:
        """Return what dead incarnations held; whoever was given the duty does it."""
        for epoch in epochs:
            self.start(self._hive.reap(epoch, now_ms))

    async def end(self) -> None:
        """Stop what still runs; any of it may be done again by anybody."""
        await end_tasks(*self._running)


async def _put_off(work: Coroutine[Any, Any, Any]) -> None:
    try:
        await work
    except StoreError as fault:
        log.warning("upkeep put off: %s", fault)
