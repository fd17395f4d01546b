"""What a Spore says with each heartbeat, read in the lease thread: load, and whether its event loop is alive."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from venom_core.clock import Clock
from venom_core.domain.node import NodeLoad, finite_percent
from venom_spore.loop_guard import LoopGuard, Running
from venom_spore.machine import MachineReader

MIB = 1024 * 1024


class Heartbeat:
    """Readings of one Spore. `read` is called in the lease thread, everything else in the event loop."""

    def __init__(self, reader: MachineReader, clock: Clock) -> None:
        self._reader, self._clock = reader, clock
        self._loop = asyncio.get_running_loop()
        self._ticked_s = clock.monotonic_s()
        self._running: Running = {}
        self._stuck: Callable[[], int] = lambda: 0
        self._guard: LoopGuard | None = None
        self.cordoned = False

    def watch(self, running: Running, stuck: Callable[[], int] = lambda: 0) -> None:
        """Report these attempts, and slots that are stuck, as active; interrupt what blocks the loop past its end."""
        self._running, self._stuck = running, stuck
        self._guard = LoopGuard(self._loop, running)

    def unwatch(self) -> None:
        """Stop interrupting."""
        if self._guard is not None:
            self._guard.close()
            self._guard = None

    def hear(self, cancels: tuple[str, ...]) -> None:
        """In the lease thread: cancel wishes, for an event loop that is too busy to hear them itself."""
        if cancels and self._guard is not None:
            self._guard.cancel(cancels, self._clock.monotonic_s() - self._ticked_s)

    def tick(self) -> None:
        """The event loop is alive."""
        self._ticked_s = self._clock.monotonic_s()

    def read(self) -> NodeLoad:
        """The load now; percentages 0-100."""
        silent_s = self._clock.monotonic_s() - self._ticked_s
        guard = self._guard
        if guard is not None:
            guard.check(silent_s)
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.tick)
        reading = self._reader.read()
        return NodeLoad(
            cpu_percent=finite_percent(reading.cpu_percent),
            memory_percent=finite_percent(reading.memory_percent),
            disk_percent=finite_percent(reading.disk_percent),
            load_1m=reading.load_1m,
            active_tasks=len(self._running) + self._stuck(),
            loop_silent_ms=round(silent_s * 1000),
            memory_available_mb=reading.memory_available_bytes / MIB,
            cordoned=self.cordoned,
        )
