"""Real launchers over real Spores, and real releases for them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from contextlib import suppress
from copy import copy
from pathlib import Path
from types import TracebackType

from tests.hives import until
from tests.processes import SKILLS, NodeProcess, _as_environment
from venom_core.config import Settings
from venom_core.ota.environment import base_site_packages, build
from venom_core.ota.manifest import MANIFEST, Manifest, write_manifest
from venom_spore.launcher.layout import Layout
from venom_spore.launcher.phases import Phase
from venom_spore.launcher.releases import release_name, write_complete
from venom_spore.launcher.state import State, StateFile

# Long enough for a Spore to start on a machine whose cores are busy; a release that hangs is given up after it.
READY_S = 8.0
PATIENCE_S = 60.0
HIDING = "tests.launcher.hiding:skills"
CHECK = "release_check:well"
YES = {"release_check.py": "def well():\n    return True\n"}
NO = {"release_check.py": "def well():\n    return False\n"}
DIES_AFTER_READY = {
    "release_check.py": """
        import os, signal, time
        def well():
            time.sleep(1)
            os.kill(os.getpid(), signal.SIGKILL)
    """
}


def worker_of(body: str) -> dict[str, str]:
    """The files of a release whose worker does this instead."""
    return {"venom_spore/__init__.py": "", "venom_spore/main.py": body}


DIES_AT_IMPORT = worker_of("raise SystemExit(9)\n")
HANGS = worker_of("import time\nwhile True:\n    time.sleep(60)\n")
NEVER_BEATS = worker_of("""
    import os, signal, time
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    link = int(os.environ["VENOM_RELEASE_LINK"])
    for word in ("ready", "self-test", "check", "nonsense"):
        os.write(link, b'{"say": "%s", "ok": true}' % word.encode() + bytes([10, 91, 10]))
    while True:
        time.sleep(60)
""")


class LauncherProcess(NodeProcess):
    """`venom-launcher` over one Spore with the skills of the recovery tests; `options` are the launcher's own."""

    def __init__(
        self,
        settings: Settings,
        folder: Path,
        *options: str,
        name: str = "n1",
        skills: str = f"{SKILLS},{HIDING}",
        path: Path | None = None,
        before: tuple[str, ...] = (),
        secrets: Mapping[str, str] | None = None,
        slots: int = 100,
    ) -> None:
        self.layout = Layout(folder / f"{name}-home")
        self.log = folder / f"{name}.log"
        known = ("--home", str(self.layout.home), "--ready", f"{READY_S:g}", "--patience", "30", "--probation", "0.5")
        spore = ("--", "--name", name, "--skills", skills, "--concurrency", str(slots))
        self._command = [*before, sys.executable, "-m", "venom_spore.launcher", *known, *options, *spore]
        self._environment = os.environ | _as_environment(settings) | ({"PYTHONPATH": str(path)} if path else {})
        self._environment |= secrets or {}
        self.process = self._start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """It leaves by itself, as quickly as it can: what it ran is measured only then."""
        if self.process.poll() is None and error is None:
            self.send(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(PATIENCE_S)
        super().__exit__(kind, error, trace)

    @property
    def state(self) -> State:
        """What it was about to do, as it lies on the disk."""
        return StateFile(self.layout).load()

    @property
    def workers(self) -> list[int]:
        """Processes that it has started and that live."""
        listed = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(self.process.pid)], capture_output=True, text=True, check=False
        )
        return [int(pid) for pid in listed.stdout.split()]

    async def rests(self, phase: Phase, current: str, version_bad: str = "") -> None:
        """Wait until it is in this phase with this release."""

        def there() -> bool:
            state = self.state
            return state.phase is phase and state.current == current and (version_bad in {"", *state.known_bad})

        await until(there, PATIENCE_S)

    async def said_in_time(self, words: str, times: int = 1) -> None:
        """Like `said`, for what takes as long as a release may."""
        await until(lambda: self.text.count(words) >= times, PATIENCE_S)

    def stage(self, version: str, files: Mapping[str, str], check: str = "") -> str:
        """Put a release beside the others and ask for it, as an updater does; its name."""
        name = put(self.layout, version, files, check)
        StateFile(self.layout).change(lambda state: state.move(Phase.STAGED, next=name))
        self.send(signal.SIGHUP)
        return name

    def twin(self) -> LauncherProcess:
        """Another launcher of the same home."""
        twin = copy(self)
        twin.log = self.log.with_suffix(".twin")
        twin.process = twin._start()
        return twin

    def withdraw(self) -> None:
        """Ask it to leave the release that it runs, as an updater does."""
        StateFile(self.layout).change(lambda state: state.move(Phase.GO_BACK))
        self.send(signal.SIGHUP)


def put(layout: Layout, version: str, files: Mapping[str, str], check: str = "") -> str:
    """A complete release with its environment, of these files in its `app/`."""
    name = release_name(version, "0123456789abcdef")
    folder = layout.release(name)
    for path, text in files.items():
        place = folder / "app" / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(textwrap.dedent(text))
    (folder / "app").mkdir(parents=True, exist_ok=True)
    (folder / MANIFEST).write_bytes(write_manifest(Manifest(app="tasks", version=version, check=check)))
    python = build(folder, [], base_site_packages())
    write_complete(folder, version, str(python))
    return name


def exists(pid: int) -> bool:
    """Whether a process lives, or is dead and not yet reaped."""
    return Path(f"/proc/{pid}").exists()
