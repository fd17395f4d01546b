"""Whoever signs updates, the Nexus that serves them, and the home of a Spore that joined: all real, on one machine."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from venom_core.api.app import make_app
from venom_core.api.serving import HttpServer
from venom_core.clock import Clock
from venom_core.config import Settings
from venom_core.ota.joining import join
from venom_core.ota.manifest import Manifest
from venom_core.ota.package import build_package
from venom_core.ota.repository import Repository
from venom_core.ota.verifying import Signed
from venom_spore.launcher.layout import Layout
from venom_spore.launcher.machine import Machine
from venom_spore.updater.download import Pace
from venom_spore.updater.facts import Node
from venom_spore.updater.run import Expected, Look, Outcome

PASSPHRASE = "correct horse battery staple"
QUICK = Pace(whole_s=60, window_s=10, window_bytes=2000, connections=2, pause_s=0.01)
NODE = Node("spore-1", ("here",))

Event = tuple[str, dict[str, Any]]


class Releaser:
    """The one with the keys. `folder` is its HIVE_OTA_HOME."""

    def __init__(self, folder: Path, clock: Clock | None = None) -> None:
        self.folder = folder
        self.repository = Repository(folder, PASSPHRASE, clock=clock)
        self.fingerprint = self.repository.init()

    def build(self, version: str, files: Mapping[str, str], *, app: str = "tasks", **more: Any) -> Path:
        """A package with these files in its `app/`; `more`: fields of the manifest, or arguments of the builder."""
        sources = self.folder / "sources" / version
        for name, text in files.items():
            path = sources / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        building = {name: more.pop(name) for name in ("requirements", "wheelhouse", "embed_wheels") if name in more}
        manifest = Manifest(app=app, version=version, **more)
        built = build_package(manifest, sorted(sources.iterdir()), **building)
        package = self.folder / "packages" / built.package.name
        package.write_bytes(built.data)
        for wheel in built.package.wheels:
            self.repository.add_wheel(wheel)
        return package

    def release(self, version: str, files: Mapping[str, str] | None = None, **more: Any) -> Signed:
        """Build, sign and publish; `nodes`, `tags` and `downgrade_from` are of the signature."""
        signing = {name: more.pop(name) for name in ("nodes", "tags", "downgrade_from") if name in more}
        package = self.build(version, files or {"our_skills.py": f"VERSION = {version!r}\n"}, **more)
        signed = self.repository.add_package(package, **signing)
        self.repository.publish()
        return signed

    def withdraw(self, version: str) -> None:
        self.repository.withdraw(version)
        self.repository.publish()


class Home:
    """The home folder of a Spore that follows a repository. `events` is what it took down."""

    def __init__(self, folder: Path, url: str, fingerprint: str, clock: Clock | None = None) -> None:
        self.layout = Layout(folder)
        self.events: list[Event] = []
        self.layout.prepare()
        join(self.layout.trust, url, fingerprint, clock=clock)
        self.machine = Machine(self.layout, sys.executable)
        self.machine.recover()
        self.layout.update_lock.touch()

    def look(
        self,
        node: Node = NODE,
        *,
        expected: Expected | None = None,
        clock: Clock | None = None,
        pace: Pace = QUICK,
        **settings: Any,
    ) -> Outcome:
        """One look; there is no waiting between updates unless `hive_ota_interval` says so."""
        told = Settings.load(**{"hive_ota_interval": 0.0, **settings})
        return Look(self.layout.home, node, told, self._take_down, clock=clock, pace=pace).run(expected)

    def commit(self) -> None:
        """What is staged has been switched to and has proven itself."""
        self.machine.reload()
        self.machine.drain()
        self.machine.switch()
        self.machine.commit()

    def go_back(self) -> None:
        """What runs was withdrawn, and what ran before has proven itself."""
        self.machine.reload()
        self.machine.roll_back("it was withdrawn", blame=False)
        self.machine.settle()

    def _take_down(self, event: str, detail: dict[str, Any]) -> None:
        self.events.append((event, detail))


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a Nexus' HTTP server over HIVE_OTA_HOME `folder`, in a thread of its own."""
    loop = asyncio.new_event_loop()
    ready, address = threading.Event(), list[str]()
    ended = asyncio.Event()

    async def serve() -> None:
        settings = Settings.load(hive_ota_home=str(folder))
        async with HttpServer(make_app(settings), "127.0.0.1", 0) as server:
            address.append(f"http://127.0.0.1:{server.port}")
            ready.set()
            await ended.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=[serve()])
    thread.start()
    try:
        assert ready.wait(20)
        yield address[0]
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join()
        loop.close()
