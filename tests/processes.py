"""Real Spores and Nexus processes that tests start, watch and kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.hives import until
from venom_core.config import Settings

ROOT = Path(__file__).parent.parent
SKILLS = "tests.recovery.skills:skills"


class NodeProcess:
    """One process of the hive; what it logs is in `log`. Killed at the end if it still lives."""

    def __init__(self, module: str, name: str, settings: Settings, folder: Path, *arguments: str) -> None:
        self.log = folder / f"{name}.log"
        self._command = [sys.executable, "-m", module, "--name", name, *arguments]
        self._environment = os.environ | _as_environment(settings)
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(self._command, cwd=ROOT, env=self._environment, stderr=log, stdout=log)

    def start_again(self) -> None:
        """The same command once more, after the process has ended."""
        assert self.process.poll() is not None
        self.process = self._start()

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self.process.kill()
        self.process.wait()

    async def ended(self) -> int:
        """The exit code, once the process has ended by itself."""
        await until(lambda: self.process.poll() is not None)
        return self.process.returncode

    async def said(self, words: str, times: int = 1) -> None:
        """Wait until it has logged these words so often."""
        await until(lambda: self.text.count(words) >= times)

    @property
    def text(self) -> str:
        """All it has logged."""
        return self.log.read_text()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        if error is not None:
            error.add_note(f"{self.log.name}:\n{self.text}")


def _as_environment(settings: Settings) -> dict[str, str]:
    """What makes another process load the same settings."""
    names = [name for name in settings.model_fields_set if name.startswith("hive_")]
    values = {name.upper(): str(getattr(settings, name)) for name in names}
    return values | {"REDIS_URL": settings.store_url()}


def spore(name: str, settings: Settings, folder: Path, *arguments: str) -> NodeProcess:
    """A `venom-spore` with the skills of the recovery tests."""
    return NodeProcess("venom_spore.main", name, settings, folder, "--skills", SKILLS, *arguments)


def nexus(name: str, settings: Settings, folder: Path) -> NodeProcess:
    """A `venom-nexus`."""
    return NodeProcess("venom_core.nexus", name, settings, folder)
