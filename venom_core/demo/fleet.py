"""The processes of one quickstart: a server, a Nexus and Spores, all real, all ended with it.

Each has a session of its own, so that Ctrl-C reaches only us and we end them in order. Only processes
started here are ever signalled, by their id.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import os
import secrets
import shutil
import signal
import socket
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from venom_core.clock import Clock
from venom_core.config import Settings
from venom_core.demo.versions import MODULE
from venom_core.errors import VenomError
from venom_core.infrastructure.embedded import EmbeddedServer, ensure_server
from venom_spore.process_tree import descendants, send

if TYPE_CHECKING:
    from venom_core.demo.releases import Releases

OURS = ("HIVE_", "REDIS_", "NEXUS_", "VENOM_", "ENABLE_HIVE")
SKILLS = "venom_core.demo.skills:skills"
STOP_TIMEOUT_S = 8.0
LOG_LINES_SHOWN = 5
# A Spore of ours has nothing to finish when it is told to stop.
DRAIN_S = 0.5
# Who watches does not want to wait for an hour.
QUICK = ("--probation", "3", "--hint-every", "1", "--poll", "5")
LOOK_S = 1.0


class ComponentDied(VenomError):
    """A process of the fleet ended when nobody had asked it to."""


@dataclass
class Component:
    """One child process; `expected` once we have ended it ourselves, `orphans` what it had started by then."""

    name: str
    process: asyncio.subprocess.Process
    log: Path
    expected: bool = False
    orphans: list[psutil.Process] = field(default_factory=list)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    def last_words(self) -> str:
        """The end of its log."""
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return "\n".join(f"  {line}" for line in lines[-LOG_LINES_SHOWN:]) or "  it said nothing"


@dataclass
class Fleet:
    """Everything that runs; make it with `open_fleet`, end it with `close`."""

    folder: Path
    namespace: str
    server_binary: str | None
    clock: Clock = field(default_factory=Clock)
    releases: Releases | None = None
    api_port: int = 0
    components: dict[str, Component] = field(default_factory=dict)
    server: EmbeddedServer | None = None
    _starting: asyncio.Task[EmbeddedServer] | None = None
    _janitor: asyncio.subprocess.Process | None = None

    def settings(self) -> Settings:
        """How to reach this hive; nothing of the user's own settings is in it."""
        assert self.server is not None
        return Settings(_env_file=None, redis_url=self.server.url, hive_namespace=self.namespace)

    async def start_server(self) -> None:
        """Start the embedded server in the fleet's folder, and who stops it if we cannot; raises `StoreUnavailable`."""
        self._janitor = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "venom_core.demo.janitor", str(self.folder)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
        data_dir = self.folder / "data"
        self._starting = asyncio.create_task(
            asyncio.to_thread(ensure_server, data_dir, url=None, server_binary=self.server_binary)
        )
        self.server = await asyncio.shield(self._starting)

    async def start_nexus(self, name: str) -> None:
        """Start a Nexus."""
        await self._start(name, "venom_core.nexus", "--name", name)

    async def serve_releases(self) -> None:
        """Before the Nexus starts: make a repository of signed releases, which it will serve."""
        self.releases, self.api_port = _releases(self.folder), free_port()
        await asyncio.to_thread(self.releases.prepare, self.folder)

    async def start_spore(self, name: str) -> None:
        """Start a Spore with one slot and the scanner; under a launcher if there are releases for it."""
        options = ("--name", name, "--concurrency", "1", "--skills")
        if self.releases is None:
            await self._start(name, "venom_spore.main", *options, SKILLS)
            return
        home = self.home_of(name)
        await asyncio.to_thread(self.releases.join, home, f"http://127.0.0.1:{self.api_port}")
        await self._start(name, "venom_spore.launcher", "--home", str(home), *QUICK, "--", *options, f"{MODULE}:skills")

    def home_of(self, name: str) -> Path:
        """The folder of a Spore's launcher."""
        return self.folder / "homes" / name

    async def _start(self, name: str, *command: str) -> None:
        log = self.folder / f"{name}.log"
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "venom_core.demo.tether", str(os.getpid()), *command),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self.folder,
                env=self._environment(),
                start_new_session=True,
            )
        self.components[name] = Component(name, process, log)

    def _environment(self) -> dict[str, str]:
        assert self.server is not None
        served = (
            {"HIVE_API_PORT": str(self.api_port), "HIVE_OTA_HOME": str(self.releases.home)} if self.releases else {}
        )
        return {
            **os.environ,
            **served,
            "HIVE_OTA_INTERVAL": "0",
            "REDIS_URL": self.server.url,
            "HIVE_NAMESPACE": self.namespace,
            "HIVE_DRAIN_TIMEOUT": str(DRAIN_S),
        }

    async def watch(self) -> None:
        """Runs until something dies that was not ended by us: `ComponentDied` with its last words."""
        ends: dict[str, asyncio.Task[int]] = {}
        try:
            while True:
                self.check()
                for name, component in self.components.items():
                    if name not in ends:
                        ends[name] = asyncio.create_task(component.process.wait())
                pause = asyncio.create_task(asyncio.sleep(LOOK_S))
                living = [task for task in ends.values() if not task.done()]
                await asyncio.wait([pause, *living], return_when=asyncio.FIRST_COMPLETED)
                pause.cancel()
        finally:
            for task in ends.values():
                task.cancel()

    def check(self) -> None:
        """Raise `ComponentDied` if anything is gone that should be there."""
        if self.server is not None and not self.server.alive:
            raise ComponentDied("the embedded server died; start again")
        for component in self.components.values():
            code = component.process.returncode
            if code is not None and not component.expected:
                raise ComponentDied(
                    f"{component.name} died ({_ending(code)}); the end of its log:\n{component.last_words()}"
                )

    def kill(self, name: str) -> Component:
        """SIGKILL one component, as a broken machine would: no goodbye, nothing handed back."""
        component = self.components[name]
        component.expected = True
        component.orphans = descendants(component.pid)
        with contextlib.suppress(ProcessLookupError):
            os.kill(component.pid, signal.SIGKILL)
        return component

    def force(self) -> None:
        """SIGKILL everything at once."""
        for component in self.components.values():
            if component.process.returncode is None:
                self.kill(component.name)
                send(component.orphans, signal.SIGKILL)

    async def close(self) -> None:
        """End every process and remove the folder; returns when nothing is left."""
        living = [component for component in self.components.values() if component.process.returncode is None]
        for component in living:
            component.expected = True
            component.orphans = descendants(component.pid)
            with contextlib.suppress(ProcessLookupError):
                os.kill(component.pid, signal.SIGTERM)
        ends = [asyncio.ensure_future(component.process.wait()) for component in living]
        if ends:
            _, late = await asyncio.wait(ends, timeout=STOP_TIMEOUT_S)
            if late:
                self.force()
                await asyncio.wait(late)
        below = [process for component in self.components.values() for process in component.orphans]
        _, left = await asyncio.to_thread(psutil.wait_procs, below, STOP_TIMEOUT_S)
        send(left, signal.SIGKILL)
        if self._starting is not None:
            (started,) = await asyncio.gather(self._starting, return_exceptions=True)
            if isinstance(started, EmbeddedServer):
                await asyncio.to_thread(started.stop)
        shutil.rmtree(self.folder, ignore_errors=True)
        if self._janitor is not None:
            assert self._janitor.stdin is not None
            self._janitor.stdin.close()
            await self._janitor.wait()


def open_fleet(clock: Clock) -> Fleet:
    """An empty fleet in a folder of its own; from here on the user's hive settings are hidden from this process."""
    server_binary = os.environ.get("VENOM_REDIS_SERVER") or None
    for name in list(os.environ):
        if name.upper().startswith(OURS):
            del os.environ[name]
    folder = Path(tempfile.mkdtemp(prefix="venom-demo-"))
    return Fleet(folder, f"demo-{secrets.token_hex(6)}", server_binary, clock)


def _releases(folder: Path) -> Releases:
    """They need the extra `ota`, which a run without them does not ask for; `MissingExtra`."""
    made: Releases = importlib.import_module("venom_core.demo.releases").Releases(folder)
    return made


def free_port() -> int:
    """A port of this machine that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _ending(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"signal {signal.Signals(-code).name}"
    except ValueError:
        return f"signal {-code}"
