"""What every phase of a run works with."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from venom_core.clock import Clock, from_datetime, to_naive_local
from venom_core.demo.board import Board
from venom_core.demo.fleet import Fleet
from venom_core.demo.job import Job
from venom_core.demo.ledger import Ledger
from venom_core.demo.sources import SourceFile, Sources
from venom_core.demo.view import View
from venom_core.domain.task_message import TaskMessage
from venom_core.errors import VenomError
from venom_core.event_loop import end_tasks
from venom_core.infrastructure.message_broker import MessageBroker

SAMPLE_S = 60.0
START_TIMEOUT_S = 30.0
LOOK_S = 0.02
TABLE_S = 1.0


@dataclass(frozen=True)
class Wishes:
    """What the caller asked for; `path` None = the installed packages, of which a sample worth `sample_s` seconds.

    `ota`: instead of killing a Spore, update all of them.
    """

    path: Path | None = None
    everything: bool = False
    sample_s: float = SAMPLE_S
    ota: bool = False

    @property
    def sampled(self) -> bool:
        """Whether only a part is scanned."""
        return self.path is None and not self.everything


@dataclass
class Scene:
    """One run: its files, its processes, and where it is watched."""

    wishes: Wishes
    sources: Sources
    view: View
    fleet: Fleet
    broker: MessageBroker
    clock: Clock
    board: Board = field(init=False)

    def __post_init__(self) -> None:
        self.board = Board(self.fleet, self.clock)

    def job(self, ledger: Ledger) -> Job:
        """A job whose ends show on the screen."""
        return Job(self.broker, ledger, self._on_end)

    def _on_end(self, file: SourceFile, task: TaskMessage) -> None:
        node = task.assigned_node or "?"
        self.board.ended(node)
        self.view.advance()
        if task.crashes:
            self.view.say(f"  recovered: {self.sources.shown(file.path)} ran again on {node}", "green")

    def now_s(self) -> float:
        """Now on Redis' clock, read the way the times of tasks are."""
        return seconds_of(to_naive_local(self.broker.hive.now_ms()))

    async def timed(self, what: str, start: Awaitable[None]) -> None:
        """Wait for a start and say how long it took."""
        begun_s = self.clock.monotonic_s()
        await start
        self.view.say(f"  {what:22} up after {self.clock.monotonic_s() - begun_s:.2f} s")

    async def start_nexus(self) -> None:
        """Start a Nexus and wait until the hive knows it."""
        await self.fleet.start_nexus("nexus")
        await self._online("nexus")

    async def start_spore(self, name: str) -> None:
        """Start a Spore and wait until the hive knows it."""
        self.board.row(name)
        await self.fleet.start_spore(name)
        await self._online(name)

    async def _online(self, name: str) -> None:
        deadline_s = self.clock.monotonic_s() + START_TIMEOUT_S
        while not any(node.profile.name == name and node.online for node in await self.broker.hive.nodes.all()):
            if self.clock.monotonic_s() > deadline_s:
                words = self.fleet.components[name].last_words()
                raise VenomError(f"{name} is not up after {START_TIMEOUT_S:.0f} s; the end of its log:\n{words}")
            await asyncio.sleep(LOOK_S)

    @asynccontextmanager
    async def shown(self, what: str, files: int) -> AsyncIterator[None]:
        """Show progress and the table of Spores meanwhile."""
        self.view.begin(what, files)
        refresher = asyncio.create_task(self._refresh())
        try:
            yield
        finally:
            await end_tasks(refresher)
            self.view.end()

    async def _refresh(self) -> None:
        while True:
            await self.board.refresh(self.broker)
            self.view.table(self.board.rows.values())
            await asyncio.sleep(TABLE_S)


def seconds_of(moment: datetime | None) -> float:
    """A time of a task in seconds since the epoch."""
    assert moment is not None
    return from_datetime(moment) / 1000
