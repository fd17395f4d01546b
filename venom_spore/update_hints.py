"""Hears of updates on the hive's broadcast channel, beside the orders to this Spore.

`UPDATE_SYSTEM` is only ever a hint to look now: what is installed is what signed metadata names. It is heard if it is
genuine (signed while a token is set), fresh, and for this node; one that was heard already is no news.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from venom_core.clock import from_datetime
from venom_core.domain.node_order import is_fresh
from venom_core.domain.order import UPDATE, Order, read_order
from venom_core.errors import SecurityError
from venom_core.infrastructure.hive import Hive
from venom_spore.orders import OrderDesk
from venom_spore.worker import Worker


class HintDesk(OrderDesk):
    """Hears orders as any Spore does; `look` is called with the moment of a hint, in milliseconds since the epoch."""

    def __init__(self, hive: Hive, worker: Worker, channel: str, look: Callable[[int], None]) -> None:
        super().__init__(hive, worker, channel)
        self._look = look
        self._heard_ms = 0

    async def hear(self, message: bytes) -> None:
        """Look if it is a hint; whatever else it is, is heard as ever, and refused there if it is not genuine."""
        try:
            order = read_order(self._hive.seal, message)
        except SecurityError:
            order = None
        if order is None or order.command != UPDATE or not is_fresh(order, self._hive.now_ms()):
            await super().hear(message)
        elif self._is_meant(order):
            self._hear_of_update(order)

    def _is_meant(self, order: Order) -> bool:
        names, hive = order.data.get("target_nodes"), order.data.get("hive", self._namespace)
        return hive == self._namespace and (not names or (isinstance(names, list) and self._name in names))

    def _hear_of_update(self, order: Order) -> None:
        at_ms = from_datetime(datetime.fromisoformat(order.timestamp))
        if at_ms > self._heard_ms:
            self._heard_ms = at_ms
            self._look(at_ms)
