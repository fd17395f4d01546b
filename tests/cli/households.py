"""`venom up` as a process of its own, and what it said."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

from tests.hives import until
from tests.processes import ROOT
from venom_core.infrastructure.embedded import find_server

VENOM = (sys.executable, "-m", "venom_core.cli")
SKILLS = "tests.recovery.skills:skills"
PATIENCE_S = 60.0


class Household:
    """One `venom up` in a folder; `front` are words in front of its command."""

    def __init__(self, data: Path, *arguments: str, front: Sequence[str] = (), skills: str = SKILLS) -> None:
        self.data = data
        self._log = data.parent / f"{data.name}.log"
        command = [*front, *VENOM, "up", "--data", str(data), "--skills", skills, *arguments]
        environment = {name: value for name, value in os.environ.items() if name != "REDIS_URL"}
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                command, cwd=ROOT, stdout=log, stderr=log, env=environment | {"HIVE_PROFILE": "fast"}
            )

    @property
    def text(self) -> str:
        """All it has said."""
        return self._log.read_text(errors="replace")

    async def said(self, words: str) -> None:
        """Wait until it has said these words; it may not end before."""
        await until(lambda: words in self.text or self.process.poll() is not None, PATIENCE_S)
        assert words in self.text, self.text

    async def up(self) -> None:
        """Wait until all is up."""
        await self.said("Ctrl-C ends it all.")

    async def ended(self) -> int:
        """The exit code."""
        await until(lambda: self.process.poll() is not None, PATIENCE_S)
        return self.process.returncode

    def interrupt(self) -> None:
        """Ctrl-C."""
        self.process.send_signal(signal.SIGINT)

    def children(self) -> list[psutil.Process]:
        """Its processes, without the server, which is nobody's child to end with it."""
        below = psutil.Process(self.process.pid).children(recursive=True)
        # A server that died and was not waited for has no command line any more.
        alive = [process for process in below if process.status() != psutil.STATUS_ZOMBIE]
        return [process for process in alive if "venom_" in " ".join(process.cmdline())]

    @property
    def invitation(self) -> str:
        """The one line for the next machine."""
        [line] = [line for line in self.text.splitlines() if line.startswith("REDIS_URL=")]
        return line

    @property
    def secrets(self) -> tuple[str, str]:
        """Password and token in that line."""
        words = dict(word.partition("=")[::2] for word in shlex.split(self.invitation) if "=" in word)
        found = re.search(r"://:(.+)@", words["REDIS_URL"])
        assert found is not None
        return found[1], words["NEXUS_SHARED_TOKEN"]


@contextmanager
def household(data: Path, *arguments: str, front: Sequence[str] = (), skills: str = SKILLS) -> Iterator[Household]:
    """A hive in one terminal; whatever is left of it at the end is ended, server and all."""
    running = Household(data, *arguments, front=front, skills=skills)
    try:
        yield running
    except BaseException as error:
        error.add_note(running.text)
        raise
    finally:
        if running.process.poll() is None:
            left = running.children()
            running.process.kill()
            for process in left:
                process.kill()
        running.process.wait()
        if data.exists() and (server := find_server(data)):
            server.stop()
