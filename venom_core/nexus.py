"""`venom-nexus`: the master process. It leads or stands by, and runs the Foreman's services while it leads.

It holds no state: with every Nexus down, Spores go on claiming, promoting and rescuing one another's tasks.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from venom_core import __version__
from venom_core.agents.crew import Crew
from venom_core.clock import Clock
from venom_core.config import Settings
from venom_core.daemon import prepare
from venom_core.domain.node import NodeLoad, NodeProfile, check_name
from venom_core.errors import LeaseLost, MissingExtra, StoreError, VenomError
from venom_core.event_loop import end_tasks, run
from venom_core.infrastructure.audit_follower import AuditFollower
from venom_core.infrastructure.chores import Chores
from venom_core.infrastructure.hive import Hive
from venom_core.infrastructure.leadership import Leadership
from venom_core.infrastructure.lease_keeper import LeaseKeeper
from venom_core.infrastructure.node_store import Beat
from venom_core.log_format import last_words, name_node

log = logging.getLogger("venom.nexus")

REJOIN_PAUSE_S = 0.5


class _Pulse:
    """A Nexus runs no tasks: it has no load to tell and nothing to cancel."""

    def read(self) -> NodeLoad:
        return NodeLoad()

    def hear(self, cancels: tuple[str, ...]) -> None:
        """Nothing runs here."""


class Nexus:
    """One Nexus: a node with a lease, a campaign for the leadership, and the services behind it."""

    def __init__(self, settings: Settings | None = None, *, name: str = "", clock: Clock | None = None) -> None:
        self.settings = settings or Settings.load()
        self.name = check_name(name or f"nexus-{socket.gethostname()}-{os.getpid()}")
        self._clock = clock or Clock()
        self._stop = asyncio.Event()
        self._lost = asyncio.Event()
        self._chores: Chores | None = None
        self._fault: LeaseLost | None = None
        self.hive: Hive | None = None
        self.leadership: Leadership | None = None

    async def run(self) -> None:
        """Connect and serve until `stop`; raises what `MessageBroker.open` raises if the start fails.

        Raises `LeaseLost` if another Nexus of the same name takes over.
        """
        hive = self.hive = await Hive.connect(self.settings, self._clock)
        try:
            async with _http(self.settings) as http:
                await self._serve(hive, *http)
        finally:
            await hive.close()
        if self._fault is not None:
            raise self._fault

    async def _serve(self, hive: Hive, *beside: asyncio.Task[None]) -> None:
        """Join, and serve until told to stop or until something ends that should not, also of what runs `beside`."""
        chores = self._chores = Chores(hive)
        crew = Crew(hive, self.name, self.settings.hive_zombie_task_timeout)
        profile = NodeProfile(
            name=self.name, kind="nexus", release=__version__, host=socket.gethostname(), pid=os.getpid()
        )
        keeper = LeaseKeeper(hive.link, hive.nodes, profile, hive.rhythm, _Pulse(), self._on_beat, self._clock)
        await keeper.join()
        self.leadership = crew.leadership
        log.info("%s is up", self.name)
        tasks = [asyncio.create_task(crew.run()), asyncio.create_task(self._rejoin(keeper))]
        if self.settings.hive_audit_file:
            follower = AuditFollower(hive, Path(self.settings.hive_audit_file), self.name)
            tasks.append(asyncio.create_task(follower.run()))
        stopped = asyncio.create_task(self._stop.wait())
        await asyncio.wait([*tasks, *beside, stopped], return_when=asyncio.FIRST_COMPLETED)
        await end_tasks(*tasks, stopped)
        await chores.end()
        faults = [task.exception() for task in tasks if not task.cancelled()]
        await self._say_goodbye(keeper, crew.leadership)
        for fault in faults:
            if fault is not None:
                raise fault

    def stop(self) -> None:
        """Resign and leave."""
        self._stop.set()

    async def _rejoin(self, keeper: LeaseKeeper) -> None:
        while True:
            await self._lost.wait()
            self._lost.clear()
            try:
                await keeper.join()
            except StoreError as fault:
                log.warning("cannot join yet: %s", fault)
                self._lost.set()
                await asyncio.sleep(REJOIN_PAUSE_S)

    def _on_beat(self, beat: Beat) -> None:
        if beat.replaced:
            self._fault = LeaseLost(f"another Nexus named {self.name!r} took over; give each its own --name")
            self.stop()
        elif not beat.alive:
            self._lost.set()
        if self._chores is not None:
            self._chores.reap(beat.expired, beat.now_ms)
            if beat.anew and self.hive is not None:
                self._chores.start(self.hive.link.check())

    async def _say_goodbye(self, keeper: LeaseKeeper, leadership: Leadership) -> None:
        try:
            await leadership.resign()
            await keeper.leave(clean=True)
        except StoreError as fault:
            log.warning("left without saying goodbye: %s", fault)
        finally:
            await keeper.halt()


@asynccontextmanager
async def _http(settings: Settings) -> AsyncIterator[list[asyncio.Task[None]]]:
    """HTTP on HIVE_API_PORT while the block lasts, where one is given; the tasks of it."""
    if not settings.hive_api_port:
        yield []
        return
    try:
        serving = importlib.import_module("venom_core.api.serving")
    except ImportError:
        sentence = "HIVE_API_PORT needs packages that are missing; in the clone, run: pip install '.[ota]'"
        raise MissingExtra(sentence) from None
    async with serving.nexus_http(settings) as tasks:
        yield tasks


async def serve(nexus: Nexus) -> None:
    """Run a Nexus until SIGTERM or SIGINT."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, nexus.stop)
    await nexus.run()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="venom-nexus", description="Watch over a Venom Hive.")
    parser.add_argument("--name", default="", help="name of this Nexus (default: from host and process)")
    parser.add_argument("--redis-url", metavar="URL", help="where the hive's Redis is (default: REDIS_URL)")
    parser.add_argument("--log-level", default="", help="DEBUG, INFO, WARNING or ERROR (default: HIVE_LOG_LEVEL)")
    parser.add_argument("--log-format", default="", help="console or json (default: HIVE_LOG_FORMAT)")
    parser.add_argument("--version", action="version", version=f"venom-nexus {__version__}")
    return parser


async def _main(settings: Settings, name: str) -> None:
    nexus = Nexus(settings, name=name)
    name_node(nexus.name)
    await serve(nexus)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 0 after a clean stop, 1 with one sentence for anything that is wrong."""
    parsed = _parser().parse_args(arguments)
    try:
        settings = prepare(parsed.redis_url, parsed.log_level, "a Nexus", parsed.log_format)
        run(_main(settings, parsed.name))
    except VenomError as fault:
        last_words("venom-nexus", fault)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
