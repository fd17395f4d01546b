"""Orders broadcast to every node: JSON `{command, data, timestamp}`, signed when a token is set.

The signature covers the exact text of the other three, so a node can check it before it reads them.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from venom_core.domain.payload import encode_payload
from venom_core.domain.seal import Seal
from venom_core.errors import InvalidTask, SecurityError

UPDATE = "UPDATE_SYSTEM"
"""Tells Spores that there may be a signed update; no more than a hint."""
COMMAND = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
ORDER_BYTES_MAX = 65_536
MESSAGE_BYTES_MAX = 2 * ORDER_BYTES_MAX


@dataclass(frozen=True, slots=True)
class Order:
    """A command to all nodes; `timestamp` is ISO 8601 in UTC."""

    command: str
    data: dict[str, Any]
    timestamp: str


def _text(order: Order) -> str:
    fields = {"command": order.command, "data": order.data, "timestamp": order.timestamp}
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def write_order(seal: Seal, order: Order) -> bytes:
    """The message to publish; `InvalidTask` for a malformed command or data that JSON cannot carry."""
    if not isinstance(order.command, str) or not COMMAND.fullmatch(order.command):
        raise InvalidTask(f"a command is 1 to 64 capital letters, digits or '_', not {order.command!r:.60}")
    encode_payload(order.data, ORDER_BYTES_MAX, "data")
    fields: dict[str, Any] = {"command": order.command, "data": order.data, "timestamp": order.timestamp}
    if seal.required:
        fields["signature"] = seal.close("order", order.timestamp, 0, _text(order).encode())[:20].hex()
    message = json.dumps(fields, ensure_ascii=False).encode()
    if len(message) > MESSAGE_BYTES_MAX:
        raise InvalidTask(f"the order is {len(message):,} bytes of JSON, the limit is {MESSAGE_BYTES_MAX:,}")
    return message


def read_order(seal: Seal, message: bytes | str) -> Order:
    """The order in a message; `SecurityError` if it is malformed, or not signed by this hive while a token is set."""
    if len(message) > MESSAGE_BYTES_MAX:
        raise SecurityError(f"a broadcast of {len(message):,} bytes is longer than any order")
    try:
        fields = json.loads(message)
        order = Order(fields["command"], fields["data"], fields["timestamp"])
    except (ValueError, KeyError, TypeError, RecursionError) as fault:
        raise SecurityError(f"a broadcast is not an order: {type(fault).__name__}") from None
    if not (isinstance(order.command, str) and isinstance(order.data, dict) and isinstance(order.timestamp, str)):
        raise SecurityError("a broadcast is not an order: its fields have the wrong types")
    if seal.required:
        try:
            head = bytes.fromhex(fields.get("signature", ""))
        except (ValueError, TypeError):
            head = b""
        try:
            signed = head + _text(order).encode()
        except (UnicodeEncodeError, RecursionError) as fault:
            raise SecurityError(f"a broadcast is not an order: {type(fault).__name__}") from None
        seal.open("order", order.timestamp, signed)
    return order
