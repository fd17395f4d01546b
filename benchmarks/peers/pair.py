"""Two workers of a queue on a server of their own, and what their tasks wrote down."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import psutil

from benchmarks.peers.diary import BEGUN, DIARY_VARIABLE, ENDED, NAME_VARIABLE, Entry, entries
from benchmarks.peers.peer import Mode
from benchmarks.server import Server
from benchmarks.sides import ROOT, Side, environment
from benchmarks.tally import Tally

NAMES = ("left", "right")
READY_S, BEGIN_S, POLL_S = 240.0, 180.0, 0.05  # patience with a machine that others use
MARKS, MARK_S = 6, 0.02
OTHERS_PAUSE_S = 0.5
T = TypeVar("T")


class Pair:
    """Two workers and what their tasks wrote down."""

    def __init__(self, folder: Path, server: Server, side: Side, mode: Mode) -> None:
        self._server, self._side, self._mode = server, side, mode
        self._tally = Tally(folder / "tally").path
        self._diary = folder / "diary"
        self._log = folder / "log"
        self._others: subprocess.Popen[bytes] | None = None
        self.workers: dict[str, subprocess.Popen[bytes]] = {}

    def tell(self, key: str, first_s: float, again_s: float, *, count: int = 1, hold: bool = False) -> None:
        """Enqueue tasks `key-0`, `key-1`, … of which the first bodies last `first_s`, later ones `again_s`."""
        payload = {"label": key, "first_s": first_s, "again_s": again_s, "hold": hold}
        caller = self._call({"count": count, "payload": payload, "pause_s": 0})
        if caller.wait(BEGIN_S):
            raise SystemExit(f"{self._side.name}: nothing can be enqueued; {self._last_words()}")

    def start(self) -> None:
        """Start both, until each has run something and nothing is left."""
        for number, name in enumerate(NAMES):
            self.workers[name] = self._start(number, name)
        begun: set[str] = set()
        deadline = time.monotonic() + READY_S
        number = 0
        while begun != set(NAMES):
            if time.monotonic() > deadline or any(worker.poll() is not None for worker in self.workers.values()):
                raise SystemExit(f"{self._side.name}: the workers do not come up; {self._last_words()}")
            self.tell(f"mark{number}", MARK_S, MARK_S, count=MARKS)
            number += 1
            wanted = number * MARKS
            self.until(lambda wanted=wanted: self._marks_ended() >= wanted, BEGIN_S)  # type: ignore[misc]  # a default binds it now
            begun = {entry.worker for entry in self.entries()}
        if self._mode.busy:
            self._start_others()

    def begin(self, key: str, first_s: float, again_s: float, *, hold: bool = False) -> Entry:
        """Enqueue one task and wait until it has begun."""
        self.tell(key, first_s, again_s, hold=hold)
        found = self.until(lambda: self.of(BEGUN, key), BEGIN_S)
        if not found:
            raise SystemExit(f"{self._side.name}: the task did not begin; {self._last_words()}")
        return found[0]

    def of(self, what: str, key: str) -> list[Entry]:
        """Entries of one kind about the task of `begin`."""
        return [entry for entry in self.entries() if (entry.what, entry.key) == (what, f"{key}-0")]

    def entries(self) -> list[Entry]:
        """All entries so far."""
        return entries(self._diary)

    def until(self, found: Callable[[], T], within_s: float) -> T:
        """The first true thing found, or the last false one when time is over."""
        deadline = time.monotonic() + within_s
        while not (value := found()) and time.monotonic() < deadline:
            time.sleep(POLL_S)
        return value

    def kill(self, name: str) -> float:
        """SIGKILL of a worker and of whatever it has started; the moment (s) of the first blow."""
        process = psutil.Process(self.workers[name].pid)
        every = [process, *process.children(recursive=True)]
        moment = time.time()
        for one in every:
            with suppress(psutil.NoSuchProcess):
                one.send_signal(signal.SIGKILL)
        self.workers[name].wait()
        return moment

    def close(self) -> None:
        """Kill whatever runs."""
        if self._others is not None:
            self._others.kill()
            self._others.wait()
        for name, worker in self.workers.items():
            if worker.poll() is None:
                self.kill(name)

    def _start(self, number: int, name: str) -> subprocess.Popen[bytes]:
        place = {"port": self._server.port, "url": self._server.url, "number": number}
        return self._run([part.format(**place) for part in self._side.worker], name)

    def _call(self, told: dict[str, Any]) -> subprocess.Popen[bytes]:
        return self._run([*self._side.client, str(self._server.port), "telling", json.dumps(told)], "caller")

    def _run(self, command: list[str], name: str) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            return subprocess.Popen(command, cwd=ROOT, env=self._environment(name), stdout=log, stderr=log)

    def _start_others(self) -> None:
        payload = {"label": "other", "first_s": MARK_S, "again_s": MARK_S, "hold": False}
        self._others = self._call({"count": 1_000_000, "payload": payload, "pause_s": OTHERS_PAUSE_S})

    def _environment(self, name: str) -> dict[str, str]:
        own = {DIARY_VARIABLE: str(self._diary), NAME_VARIABLE: name}
        return environment(self._tally) | own | dict(self._mode.environment)

    def _marks_ended(self) -> int:
        return sum(entry.what == ENDED and entry.key.startswith("mark") for entry in self.entries())

    def _last_words(self) -> str:
        return self._log.read_text(errors="replace")[-2000:] if self._log.exists() else "it wrote nothing"
