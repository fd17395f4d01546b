"""The processes of `venom up`: started, listened to, started again when they die, ended with it by their ids.

Each has a session of its own, so that Ctrl-C reaches only us and we end them in order; it ends as well when we are
killed (Linux). What they say is said again line by line, with the name in front.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from venom_core.clock import Clock
from venom_core.errors import VenomError

LINE_BYTES_MAX = 1 << 20
EARLY_S = 5.0
AGAIN_S = 1.0
FORCED_S = 6.0
LINES_KEPT = 5

Say = Callable[[str, str], None]


class EarlyEnd(VenomError):
    """A process ended right after its start: the same would happen again."""


@dataclass
class Child:
    """One process, and what started it; `lines` are the last it said."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    process: asyncio.subprocess.Process
    started_s: float
    lines: list[str] = field(default_factory=list)
    listener: asyncio.Task[None] | None = None

    @property
    def alive(self) -> bool:
        """Whether it has not ended."""
        return self.process.returncode is None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to this one process, by its id."""
        if self.alive:
            with suppress(ProcessLookupError):
                self.process.send_signal(number)


class Children:
    """Starts and ends processes; `say(name, line)` is told what they say. None starts again before `ready` is set."""

    def __init__(
        self, environment: Mapping[str, str], say: Say, clock: Clock | None = None, ready: asyncio.Event | None = None
    ) -> None:
        self._environment, self._say, self._ready = dict(environment), say, ready
        self._clock = clock or Clock()
        self._watchers: dict[str, asyncio.Task[None]] = {}
        self.living: dict[str, Child] = {}

    async def start(self, name: str, module: str, *arguments: str, own: Mapping[str, str] | None = None) -> None:
        """Start `python -m module arguments`, and again whenever it dies; `own`: of its environment, what differs."""
        command = ("-m", "venom_core.demo.tether", str(os.getpid()), module, *arguments)
        await self._spawn(name, command, {**self._environment, **(own or {})})
        self._watchers[name] = asyncio.create_task(self._look_after(name))

    async def ended(self) -> None:
        """Until nothing is left that would be started again. Raises `EarlyEnd`."""
        while watchers := list(self._watchers.values()):
            done, _ = await asyncio.wait(watchers, return_when=asyncio.FIRST_COMPLETED)
            for name in [name for name, watcher in self._watchers.items() if watcher in done]:
                self._watchers.pop(name).result()

    async def close(self, forced: asyncio.Event) -> None:
        """Tell all to leave and wait until they have; once `forced` is set, at once, and by force after 6 s."""
        for watcher in self._watchers.values():
            watcher.cancel()
        await asyncio.gather(*self._watchers.values(), return_exceptions=True)
        self._send(signal.SIGTERM)
        hurry = asyncio.create_task(self._hurry(forced))
        ends = [asyncio.ensure_future(child.process.wait()) for child in self.living.values()]
        if ends:
            await asyncio.wait(ends)
        hurry.cancel()
        await asyncio.gather(hurry, return_exceptions=True)
        for child in self.living.values():
            if child.listener is not None:
                await child.listener

    async def _hurry(self, forced: asyncio.Event) -> None:
        await forced.wait()
        self._send(signal.SIGTERM)
        await asyncio.sleep(FORCED_S)
        self._send(signal.SIGKILL)

    def _send(self, number: signal.Signals) -> None:
        for child in self.living.values():
            child.signal(number)

    async def _spawn(self, name: str, command: tuple[str, ...], environment: Mapping[str, str]) -> None:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, *command),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=environment,
            start_new_session=True,
            limit=LINE_BYTES_MAX,
        )
        child = self.living[name] = Child(name, command, environment, process, self._clock.monotonic_s())
        child.listener = asyncio.create_task(self._listen(child))

    async def _listen(self, child: Child) -> None:
        assert child.process.stdout is not None
        while True:
            try:
                line = await child.process.stdout.readline()
            except ValueError:
                continue  # longer than a line may be; the rest of it comes as one of its own
            if not line:
                return
            text = line.decode(errors="replace").rstrip("\r\n")
            child.lines = [*child.lines, text][-LINES_KEPT:]
            self._say(child.name, text)

    async def _look_after(self, name: str) -> None:
        """Start it again whenever it dies, until it leaves by itself."""
        while True:
            child = self.living[name]
            code = await child.process.wait()
            if child.listener is not None:
                await child.listener
            if code == 0:
                self._say(name, "has left")
                return
            # Without a server nobody gets far; that is nobody's own fault.
            served = self._ready is None or self._ready.is_set()
            if served and self._clock.monotonic_s() - child.started_s < EARLY_S:
                last = child.lines[-1] if child.lines else "it said nothing"
                raise EarlyEnd(f"{name} ended right after its start ({ending(code)}): {last}")
            self._say(name, f"died ({ending(code)}); it is started again")
            await asyncio.sleep(AGAIN_S)
            if self._ready is not None:
                await self._ready.wait()
            await self._spawn(name, child.command, child.environment)


def ending(code: int) -> str:
    """An exit code in words."""
    if code >= 0:
        return f"exit code {code}"
    with suppress(ValueError):
        return f"signal {signal.Signals(-code).name}"
    return f"signal {-code}"
