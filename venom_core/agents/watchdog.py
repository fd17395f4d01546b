"""The watchdog: rescues zombies, takes orphans back, forgets what is past its time."""

from __future__ import annotations

from venom_core.agents.service import Service
from venom_core.infrastructure.hive import Hive
from venom_core.infrastructure.leadership import Leadership


class Watchdog(Service):
    """Upkeep that wants one pair of eyes. Dead nodes are reaped by every node, with or without it."""

    name = "watchdog"

    def __init__(self, hive: Hive, leadership: Leadership, zombie_timeout_s: float) -> None:
        super().__init__(leadership)
        self._hive, self._zombie_timeout_s = hive, zombie_timeout_s
        self.interval_s = hive.rhythm.lease_s

    async def tick(self) -> None:
        """Rescue, reap, forget: each in bounded steps."""
        hive = self._hive
        now_ms = hive.now_ms()
        for zombie in await hive.find_zombies(self._zombie_timeout_s):
            outcome = await hive.upkeep.rescue(zombie.task_id, zombie.held, zombie.node, now_ms)
            self._log.warning("task %s on %s showed no sign of life: %s", zombie.task_id, zombie.node, outcome)
        await hive.upkeep.reap_orphans(now_ms)
        await hive.upkeep.forget()
        await hive.upkeep.forget_nodes(now_ms)
