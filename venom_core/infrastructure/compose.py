"""`docker compose` as a typed door: finds it, runs one of its commands within bounds, reads what it says.

Every fault is a `StackError` of one sentence. What docker prints is foreign text: it is cut, and what a
terminal would obey is taken out before it gets into a sentence.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from venom_core.clock import Clock
from venom_core.config import child_environment
from venom_core.errors import StackError
from venom_core.infrastructure.bounded_process import Finished, run_bounded

OLDEST_VERSION = 2
SAID_CHARS_MAX = 500
VERSION_TIMEOUT_S = 20.0
_SAID_LINES = 3
_VERSION = re.compile(r"^v?(\d{1,4})\.\d")
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_PROGRESS = re.compile(
    r"^\s*(\S+ )?(Network|Volume|Container|Image) \S+\s+"
    r"(Creating|Created|Starting|Started|Stopping|Stopped|Removing|Removed|Running|Pulling|Recreate\w*)\b"
)
_NO_DAEMON = re.compile(
    r"cannot connect to the docker daemon|is the docker daemon running|error during connect", re.IGNORECASE
)
_UNKNOWN_COMMAND = re.compile(r"unknown (shorthand )?flag|unknown command|is not a docker command")
_NO_PLUGIN = "docker has no compose plugin; install the package docker-compose-plugin or docker-compose-v2"


class Compose:
    """The compose implementation of this machine; looked for once, when it is first needed."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._command: tuple[str, ...] = ()

    def run(
        self, arguments: Sequence[str], *, folder: Path, timeout_s: float, variables: Mapping[str, str] | None = None
    ) -> str:
        """Run `docker compose` with these arguments in a folder and return what it printed.

        `variables` go in by the environment, which no list of processes shows.

        Raises:
            StackError: no docker, no compose, no daemon, out of time, or compose said no.
        """
        command = [*self._found(folder), *arguments]
        done = self._ask(command, folder, timeout_s, variables or {})
        if done.code != 0:
            raise StackError(what_was_said(done))
        return done.out

    def _found(self, folder: Path) -> tuple[str, ...]:
        if not self._command:
            self._command = self._find(folder)
        return self._command

    def _find(self, folder: Path) -> tuple[str, ...]:
        """The plugin of docker, or the same as a program of its own."""
        if shutil.which("docker") is None and shutil.which("docker-compose") is None:
            raise StackError("docker is not installed (no docker on PATH); install Docker and its compose plugin")
        faults = []
        for command in (("docker", "compose"), ("docker-compose",)):
            if shutil.which(command[0]) is None:
                continue
            done = self._ask([*command, "version", "--short"], folder, VERSION_TIMEOUT_S, {})
            if fault := _judge_version(done):
                faults.append(fault)
            else:
                return command
        raise StackError(faults[-1])

    def _ask(self, command: Sequence[str], folder: Path, timeout_s: float, variables: Mapping[str, str]) -> Finished:
        environment = child_environment(**variables)
        return run_bounded(command, timeout_s=timeout_s, folder=folder, environment=environment, clock=self._clock)


def _judge_version(done: Finished) -> str:
    """What is wrong with this compose; empty if nothing is."""
    if done.code != 0:
        said = _shown(done.err or done.out) or "nothing"
        return _NO_PLUGIN if _UNKNOWN_COMMAND.search(said) else f"{_NO_PLUGIN} (it said: {said})"
    found = _VERSION.match(done.out.strip())
    if found is None:
        return f"docker compose says no version but {_shown(done.out)!r}; is it really Docker?"
    if int(found[1]) < OLDEST_VERSION:
        return f"docker compose is version {done.out.strip()}, but it must be {OLDEST_VERSION}.0 or newer"
    return ""


def read_rows(printed: str) -> list[dict[str, Any]]:
    """The objects compose printed as JSON: one list, or one object a line, as its versions differ in that.

    Raises:
        StackError: it is something else.
    """
    text = printed.strip()
    try:
        rows = (
            msgspec.json.decode(text) if text.startswith("[") else [msgspec.json.decode(x) for x in text.splitlines()]
        )
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        rows = [None]
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise StackError(f"docker compose answered with something that is no list of objects: {_shown(printed)!r}")
    return rows


def what_was_said(done: Finished) -> str:
    """Why compose failed, out of all it printed, in one sentence."""
    lines = [line.strip() for line in _CONTROL.sub("", done.err or done.out).splitlines() if line.strip()]
    if _NO_DAEMON.search(" ".join(lines)):
        return "Docker's daemon does not answer; start it (systemctl start docker), or set DOCKER_HOST to where it is"
    telling = [line for line in lines if not _PROGRESS.match(line)][-_SAID_LINES:]
    said = _shown(" ".join(telling)) if telling else "nothing that says why"
    return f"docker compose ended with {done.code} and said: {said}"


def _shown(text: str) -> str:
    """Foreign text for a sentence of ours: one line, cut, without what a terminal would obey."""
    line = " ".join(_CONTROL.sub("", text).split())
    return line if len(line) <= SAID_CHARS_MAX else f"{line[: SAID_CHARS_MAX - 3]}..."
