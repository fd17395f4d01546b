"""Signs the timestamp of a repository anew before half its life is over, where its open keys lie on this machine.

Every Nexus with such a folder does it for its own folder; two on one folder keep out of each other's way by the lock of
the repository. A Spore that sees an old timestamp takes no update, so that nobody can keep the newest from it unseen.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from venom_core.clock import Clock
from venom_core.errors import VenomError
from venom_core.ota.repository import Repository

log = logging.getLogger("venom.api")

LOOK_S = 600.0


class Renewal:
    """Keeps the repository in HIVE_OTA_HOME `home` fresh; nothing is done while there is none."""

    def __init__(self, home: Path, clock: Clock | None = None) -> None:
        self._home, self._clock = home, clock
        self._told: tuple[str, ...] = ()

    async def run(self) -> None:
        """Look every `LOOK_S` seconds, until cancelled."""
        while True:
            await asyncio.to_thread(self.renew)
            await asyncio.sleep(LOOK_S)

    def renew(self) -> tuple[str, ...]:
        """Sign what is due; the roles that were signed. What cannot be done is said in the log, once."""
        repository = Repository(self._home, clock=self._clock)
        try:
            if not repository.exists:
                return ()
            done = repository.publish(due_only=True)
        except (VenomError, OSError) as fault:
            self._tell(f"updates in {self._home} are not kept fresh: {fault}")
            return ()
        if done.renewed:
            log.info("signed anew: %s", ", ".join(done.renewed))
        self._tell(*done.warnings)
        return done.renewed

    def _tell(self, *words: str) -> None:
        if words != self._told:
            for sentence in words:
                log.warning("%s", sentence)
        self._told = words
