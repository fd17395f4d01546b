"""Orders to this Spore, heard on the hive's broadcast channel: cordon, uncordon, drain.

What is not signed by this hive (while a token is set), or is old, is refused with a line in the log and the audit.
"""

from __future__ import annotations

import asyncio
import logging

from venom_core.domain.node_order import CORDON, DRAIN_NOW, FRESH_S, UNCORDON, concerns, is_fresh
from venom_core.domain.order import Order, read_order
from venom_core.errors import SecurityError, StoreError
from venom_core.infrastructure.hive import Hive
from venom_spore.worker import Worker

log = logging.getLogger("venom.spore")

PAUSE_S = 2.0


class OrderDesk:
    """Hears orders for one worker."""

    def __init__(self, hive: Hive, worker: Worker, channel: str) -> None:
        self._hive, self._worker, self._channel = hive, worker, channel
        self._name, self._namespace = worker.profile.name, hive.tasks.keyspace.namespace

    async def run(self) -> None:
        """Hear and obey until cancelled; while the server is away nothing is heard, and whoever orders knows it."""
        while True:
            try:
                async for message in self._hive.link.listen(self._channel):
                    if message is not None:
                        await self.hear(message)
            except StoreError as fault:
                log.debug("the broadcast channel was lost: %s", fault)
                await asyncio.sleep(PAUSE_S)

    async def hear(self, message: bytes) -> None:
        """Obey one message, if it is an order to this node."""
        try:
            order = read_order(self._hive.seal, message)
            if not concerns(order, self._namespace, self._name):
                return
            if not is_fresh(order, self._hive.now_ms()):
                raise SecurityError(f"an order {order.command} is older than {FRESH_S:g} s, or of another time")
        except SecurityError as fault:
            log.warning("refused an order: %s", fault)
            await self._hive.pen.write("refused_order", self._name, str(fault), self._name)
        else:
            self._obey(order)

    def _obey(self, order: Order) -> None:
        if order.command in (CORDON, UNCORDON):
            self._worker.cordon(on=order.command == CORDON)
        else:
            log.info("told to leave the hive")
            self._worker.leave(now=order.command == DRAIN_NOW)
