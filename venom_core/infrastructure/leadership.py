"""Who leads: one Nexus at a time, by a lease in Redis with a fencing epoch."""

from __future__ import annotations

from venom_core.infrastructure.node_store import NodeStore


class Leadership:
    """One process's claim to lead. `epoch` is 0 while somebody else leads."""

    def __init__(self, nodes: NodeStore, name: str, lease_s: float) -> None:
        self._nodes, self._name, self._lease_ms = nodes, name, round(lease_s * 1000)
        self.epoch = 0

    async def campaign(self) -> bool:
        """Take or keep the leadership; whether this process leads now."""
        self.epoch = 0
        self.epoch = await self._nodes.lead(self._name, self._lease_ms)
        return self.epoch > 0

    async def resign(self) -> None:
        """Give the leadership up at once, so that the next need not wait for the lease to end."""
        self.epoch = 0
        # Also after a campaign that was cut short, which may have won.
        await self._nodes.resign(self._name)
