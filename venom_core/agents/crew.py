"""All Foreman services of one process, and its campaign for the leadership that gates them."""

from __future__ import annotations

import asyncio
import logging
import secrets

from venom_core.agents.dispatcher import Dispatcher
from venom_core.agents.service import Service
from venom_core.agents.watchdog import Watchdog
from venom_core.errors import StoreError
from venom_core.event_loop import end_tasks
from venom_core.infrastructure.hive import Hive
from venom_core.infrastructure.leadership import Leadership

log = logging.getLogger("venom.nexus")


class Crew:
    """Works while this process leads, stands by while another does."""

    def __init__(self, hive: Hive, name: str, zombie_timeout_s: float) -> None:
        self.name = name
        # The name alone would let two of the same name both lead.
        self.leadership = Leadership(hive.nodes, f"{name}~{secrets.token_hex(4)}", hive.rhythm.lease_s, hive.clock)
        self.services: tuple[Service, ...] = (
            Watchdog(hive, self.leadership, zombie_timeout_s),
            Dispatcher(hive, self.leadership),
        )
        self._lease_s = hive.rhythm.lease_s

    async def run(self) -> None:
        """Campaign and serve until cancelled; raises what a service did not foresee."""
        tasks = [asyncio.create_task(service.run(), name=service.name) for service in self.services]
        tasks.append(asyncio.create_task(self._campaign(), name="campaign"))
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await end_tasks(*tasks)
        for task in tasks:
            if not task.cancelled():
                task.result()

    async def _campaign(self) -> None:
        led = False
        while True:
            try:
                leads = await self.leadership.campaign()
            except StoreError as fault:
                log.debug("no campaign while Redis is away: %s", fault)
                leads = False
            if leads != led:
                log.info("%s %s", self.name, f"leads (epoch {self.leadership.epoch})" if leads else "stands by")
            led = leads
            await asyncio.sleep(self._lease_s / 3)
