"""The ends of many tasks in the order in which they come, for one reader.

Following costs one call for 500 tasks, and nothing per task while it waits: no coroutine, no future, no timer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

Landed = tuple[str, bytes | Exception]


class _Office(Protocol):
    """What an inbox needs of the waiter that fills it."""

    async def register(self, inbox: Inbox, task_ids: Sequence[str]) -> None: ...

    async def release(self, inbox: Inbox, task_ids: Sequence[str]) -> None: ...


class Inbox:
    """Collects ends. Every id that is followed lands once: with its outcome record, or with what is wrong with it."""

    def __init__(self, office: _Office) -> None:
        self._office = office
        self._awaited: set[str] = set()
        self._landed: list[Landed] = []
        self._fault: BaseException | None = None
        self._complete = False
        self._news = asyncio.Event()

    @property
    def awaited(self) -> int:
        """How many followed tasks have not landed."""
        return len(self._awaited)

    async def follow(self, task_ids: Sequence[str]) -> None:
        """Have these tasks land here. Raises `StoreUnavailable`; the call may be repeated."""
        self._awaited.update(task_ids)
        await self._office.register(self, task_ids)

    async def take(self) -> list[Landed]:
        """All that has landed since the last call, at least one; nothing once all is complete and taken.

        Raises what `fail` was told.
        """
        while not self._landed:
            if self._fault is not None:
                raise self._fault
            if self._complete and not self._awaited:
                return []
            self._news.clear()
            await self._news.wait()
        landed, self._landed = self._landed, []
        return landed

    async def close(self) -> None:
        """Nobody reads any more."""
        awaited, self._awaited = self._awaited, set()
        await self._office.release(self, list(awaited))

    def land(self, task_id: str, end: bytes | Exception) -> None:
        """One task has ended. What lands twice is heard once."""
        if task_id in self._awaited:
            self._awaited.remove(task_id)
            self._landed.append((task_id, end))
            self._news.set()

    def complete(self) -> None:
        """No more tasks will be followed."""
        self._complete = True
        self._news.set()

    def fail(self, fault: BaseException) -> None:
        """Nothing more will come: the reader is told why once it has taken what landed before."""
        self._fault = fault
        self._news.set()
