"""Who leads: one Nexus at a time, by a lease in Redis with a fencing epoch."""

from __future__ import annotations

from venom_core.clock import Clock
from venom_core.infrastructure.node_store import NodeStore


class Leadership:
    """One process's claim to lead."""

    def __init__(self, nodes: NodeStore, name: str, lease_s: float, clock: Clock | None = None) -> None:
        self._nodes, self._name, self._lease_s = nodes, name, lease_s
        self._clock = clock or Clock()
        self._epoch, self._until_s = 0, 0.0

    @property
    def epoch(self) -> int:
        """0 while somebody else leads, or may lead: the lease has run out, however late its answer came."""
        return self._epoch if self._clock.lasting_s() < self._until_s else 0

    async def campaign(self) -> bool:
        """Take or keep the leadership; whether this process leads now."""
        asked_s = self._clock.lasting_s()
        try:
            self._epoch = await self._nodes.lead(self._name, round(self._lease_s * 1000))
        except BaseException:
            self._epoch = 0
            raise
        self._until_s = asked_s + self._lease_s
        return self.epoch > 0

    async def resign(self) -> None:
        """Give the leadership up at once, so that the next need not wait for the lease to end."""
        self._epoch = 0
        # Also after a campaign that was cut short, which may have won.
        await self._nodes.resign(self._name)
