"""What each Spore is doing, as the hive and this machine see it, refreshed once a second."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import psutil

from venom_core.clock import Clock
from venom_core.demo.fleet import Component, Fleet
from venom_core.infrastructure.message_broker import MessageBroker
from venom_spore.process_tree import descendants

RATE_OVER_S = 5.0


@dataclass
class Row:
    """One Spore: `rate` in files a second over the last seconds, `cpu_percent` of one core, all its processes."""

    name: str
    state: str = "starting"
    running: int = 0
    done: int = 0
    rate: float = 0.0
    cpu_percent: float = 0.0
    killed: bool = False
    ends: deque[float] = field(default_factory=deque)
    cpu_read: tuple[float, float] | None = None


class Board:
    """The rows by name; `ended` is told of every file, `refresh` looks at nodes and processes."""

    def __init__(self, fleet: Fleet, clock: Clock) -> None:
        self._fleet, self._clock = fleet, clock
        self.rows: dict[str, Row] = {}

    def row(self, name: str) -> Row:
        """The row of a Spore, new if there is none."""
        return self.rows.setdefault(name, Row(name))

    def ended(self, node: str) -> None:
        """A file was finished there."""
        row = self.row(node)
        row.done += 1
        row.ends.append(self._clock.monotonic_s())

    async def refresh(self, broker: MessageBroker) -> None:
        """Read the heartbeats, and the processor time of each Spore with its children."""
        now_s = self._clock.monotonic_s()
        for node in await broker.hive.nodes.all():
            row = self.rows.get(node.profile.name)
            if row is None:
                continue
            row.running = node.load.active_tasks if node.online else 0
            row.state = "online" if node.online else "gone"
            if row.killed and node.online:
                row.state = f"killed, lease ends in {node.lease_left_ms / 1000:.0f} s"
        for row in self.rows.values():
            while row.ends and now_s - row.ends[0] > RATE_OVER_S:
                row.ends.popleft()
            row.rate = len(row.ends) / RATE_OVER_S
            self._read_cpu(row, now_s)

    def _read_cpu(self, row: Row, now_s: float) -> None:
        component = self._fleet.components.get(row.name)
        used_s = _cpu_seconds(component) if component is not None and not row.killed else None
        before, row.cpu_read = row.cpu_read, (now_s, used_s) if used_s is not None else None
        if row.cpu_read is None or before is None or now_s <= before[0]:
            row.cpu_percent = 0.0
            return
        row.cpu_percent = max(row.cpu_read[1] - before[1], 0.0) / (now_s - before[0]) * 100


def _cpu_seconds(component: Component) -> float:
    total = 0.0
    try:
        for process in (psutil.Process(component.pid), *descendants(component.pid)):
            times = process.cpu_times()
            total += times.user + times.system
    except psutil.NoSuchProcess:
        pass
    return total
