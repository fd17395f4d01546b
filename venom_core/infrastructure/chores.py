"""Upkeep that runs beside a process's main work. A store that is away puts it off: others, or the next beat, do it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from venom_core.errors import StoreError
from venom_core.event_loop import end_tasks
from venom_core.infrastructure.hive import Hive

log = logging.getLogger("venom.upkeep")

PAUSE_S = 1.0


class Chores:
    """The chores of one process."""

    def __init__(self, hive: Hive) -> None:
        self._hive = hive
        self._running: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[Any, Any, Any]) -> None:
        """Do something once, beside everything else."""
        self._run(_put_off(work))

    def insist(self, work: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        """Do something beside everything else that nobody else would do: while the store is away, again and again."""
        self._run(_insist(work))

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        chore = asyncio.ensure_future(work)
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


async def _insist(work: Callable[[], Coroutine[Any, Any, Any]]) -> None:
    while True:
        try:
            await work()
        except StoreError as fault:
            log.warning("upkeep is tried again: %s", fault)
            await asyncio.sleep(PAUSE_S)
        else:
            return
