"""Orders that Spores obey, broadcast like any other: {"hive": namespace, "target_nodes": names}.

Nobody named, nobody meant. The hive is named because two hives on one server may share the broadcast channel.
An order is old after `FRESH_S`, so that one that was overheard cannot be played again later. Whoever gives one
looks in the store whether it was heard, and gives it again until it was: a message alone is a hint.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from venom_core.clock import from_datetime
from venom_core.domain.order import Order

CORDON, UNCORDON, DRAIN, DRAIN_NOW = "NODE_CORDON", "NODE_UNCORDON", "NODE_DRAIN", "NODE_DRAIN_NOW"
NODE_ORDERS = (CORDON, UNCORDON, DRAIN, DRAIN_NOW)
FRESH_S = 60.0


def aimed_at(hive: str, node: str) -> dict[str, Any]:
    """The data of an order to one node of a hive, which is called by its namespace."""
    return {"hive": hive, "target_nodes": [node]}


def concerns(order: Order, hive: str, node: str) -> bool:
    """Whether it is an order to nodes of this hive, and this one is named."""
    names = order.data.get("target_nodes")
    meant = isinstance(names, list) and node in names
    return order.command in NODE_ORDERS and order.data.get("hive") == hive and meant


def is_fresh(order: Order, now_ms: int) -> bool:
    """Whether it was given within `FRESH_S` seconds of `now_ms` of Redis' clock, before or after."""
    try:
        given_ms = from_datetime(datetime.fromisoformat(order.timestamp))
    except (ValueError, OverflowError, OSError):
        return False
    return abs(now_ms - given_ms) <= FRESH_S * 1000
