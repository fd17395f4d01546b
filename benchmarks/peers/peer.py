"""A queue that is measured beside the hive: its settings as data, which its worker gets and the report prints."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis

from benchmarks.environments import environment_of, node_modules_of
from benchmarks.sides import CACHE, ROOT, Side

FOLDER = ROOT / "benchmarks" / "peers"
PYTHON, NODE, OURS = "python", "node", "ours"

Settings = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Mode:
    """One way to run a queue: settings of its worker and of its tasks, environment of its processes, and whether other
    tasks come in while a trial lasts. `soon` says that a trial of it is over within seconds.
    """

    worker: Settings = field(default_factory=dict)
    task: Settings = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    busy: bool = False
    soon: bool = False

    @property
    def words(self) -> str:
        """The settings that differ from the defaults."""
        named = [*self.environment.items(), *self.task.items(), *_flat(self.worker)]
        words = ", ".join(f"`{name}={_value(value)}`" for name, value in named) or "default"
        return words + ("; two other tasks a second" if self.busy else "")


def _flat(settings: Settings) -> list[tuple[str, Any]]:
    """Names and values; of a setting that holds settings, these."""
    found: list[tuple[str, Any]] = []
    for name, value in settings.items():
        found += _flat(value) if isinstance(value, Mapping) else [(name, value)]
    return found


def shielded(text: str) -> str:
    """As a part of a command that will be formatted."""
    return text.replace("{", "{{").replace("}", "}}")


def _value(value: Any) -> str:
    return " ".join(value) if isinstance(value, list) else str(value)


@dataclass(frozen=True, slots=True)
class Peer:
    """A queue: its folder here, the packages of which the report says the versions, and its modes.

    The last of `modes` is its best for a fast recovery. `drain` are its fastest settings that still keep a killed
    worker's task, and `tasks` how many of those a round drains. `how` tells how it finds such a task.
    """

    folder: str
    title: str
    packages: tuple[str, ...]
    how: str
    modes: tuple[Mode, ...]
    drain: Mode
    tasks: int
    unfinished: Callable[[redis.Redis], int]
    language: str = PYTHON

    def side(self, mode: Mode) -> Side:
        """How to call it in a mode; makes its environment if there is none."""
        if self.language == OURS:
            client = sys.executable, "-m", "benchmarks.peers.hive.client"
            spore = sys.executable, "-m", "venom_spore.main", "--skills", "benchmarks.peers.hive.skills:skills"
            where = "--redis-url", "{url}", "--name", "bench-{number}", "--log-level", "WARNING"
            return Side(self.title, (*client, "{}"), (*spore, *where), self.unfinished)
        start, client_file, worker_file = self._files()
        served = (*start, worker_file, "{port}", shielded(json.dumps(mode.worker)))
        return Side(self.title, (*start, client_file, json.dumps(mode.task)), served, self.unfinished)

    def versions(self) -> str:
        """Name and version of each of `packages`."""
        if self.language == NODE:
            manifests = ((name, self._modules() / name / "package.json") for name in self.packages)
            found = {name: json.loads(manifest.read_text())["version"] for name, manifest in manifests}
        else:
            code = "import sys,json,importlib.metadata as m;print(json.dumps({n: m.version(n) for n in sys.argv[1:]}))"
            asked = [self._python(), "-c", code, *self.packages]
            found = json.loads(subprocess.run(asked, check=True, stdout=subprocess.PIPE, text=True).stdout)
        return ", ".join(f"{name} {version}" for name, version in found.items())

    def _files(self) -> tuple[tuple[str, ...], str, str]:
        """How to start a program of it, its client, its worker."""
        if self.language == NODE:
            start = "/usr/bin/env", f"NODE_PATH={self._modules()}", "node"
            return start, str(FOLDER / self.folder / "client.cjs"), str(FOLDER / self.folder / "worker.cjs")
        room = f"benchmarks.peers.{self.folder}"
        return (self._python(), "-m"), f"{room}.client", f"{room}.worker"

    def _python(self) -> str:
        if self.language == OURS:
            return sys.executable
        return str(environment_of(CACHE / "peers" / self.folder, FOLDER / self.folder / "locked.txt"))

    def _modules(self) -> Path:
        return node_modules_of(CACHE / "peers" / self.folder, FOLDER / self.folder)
