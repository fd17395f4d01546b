"""Zip archives made by hand, field by field, so that each can be wrong in exactly one thing."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

FILE = 0o100644 << 16
_LOCAL = struct.Struct("<4s5H3I2H")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_END = struct.Struct("<4s4H2IH")


@dataclass
class Hand:
    """One entry. `local` and `central` replace fields of one record only: flags, method, crc, packed, size, name, …"""

    name: bytes
    content: bytes = b"print('hello')\n"
    method: int = 0
    attributes: int = FILE
    extra: bytes = b""
    comment: bytes = b""
    made: int = 3 << 8 | 20
    data: bytes | None = None
    local: dict[str, Any] = field(default_factory=dict)
    central: dict[str, Any] = field(default_factory=dict)

    def both(self, **fields: Any) -> Hand:
        """The same wrong thing in both records."""
        self.local.update(fields)
        self.central.update(fields)
        return self

    @property
    def packed(self) -> bytes:
        if self.data is not None:
            return self.data
        return deflated(self.content) if self.method == 8 else self.content

    def fields(self) -> dict[str, Any]:
        """Needs, flags, method, time, date, crc, sizes and name as they should be."""
        return {
            "needs": 20,
            "flags": 0 if self.name.isascii() else 0x800,
            "method": self.method,
            "time": 0,
            "date": 0x21,
            "crc": zlib.crc32(self.content),
            "packed": len(self.packed),
            "size": len(self.content),
            "name": self.name,
            "extra": self.extra,
        }


def deflated(content: bytes) -> bytes:
    squeezer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return squeezer.compress(content) + squeezer.flush()


def local_record(entry: Hand) -> bytes:
    own = entry.fields() | entry.local
    fixed = [own[key] for key in ("needs", "flags", "method", "time", "date", "crc", "packed", "size")]
    made = _LOCAL.pack(b"PK\x03\x04", *fixed, len(own["name"]), len(own["extra"]))
    return bytes(made + own["name"] + own["extra"])


def central_record(entry: Hand, offset: int) -> bytes:
    own = {"offset": offset, "disk": 0, "inner": 0} | entry.fields() | entry.central
    fixed = [own[key] for key in ("needs", "flags", "method", "time", "date", "crc", "packed", "size")]
    lengths = len(own["name"]), len(own["extra"]), len(entry.comment)
    places = own["disk"], own["inner"], entry.attributes, own["offset"]
    made = _CENTRAL.pack(b"PK\x01\x02", entry.made, *fixed, *lengths, *places)
    return bytes(made + own["name"] + own["extra"] + entry.comment)


def end_record(
    count: int, length: int, start: int, *, comment: bytes = b"", here: int | None = None, disk: int = 0
) -> bytes:
    first = count if here is None else here
    return _END.pack(b"PK\x05\x06", disk, disk, first, count, length, start, len(comment)) + comment


def hand_zip(entries: Sequence[Hand], *, before: bytes = b"", gap: bytes = b"", count: int | None = None) -> bytes:
    """An archive of these entries in this order; `before`, `gap`: bytes in front, and before the central records."""
    body, central = before, b""
    for entry in entries:
        central += central_record(entry, len(body))
        body += local_record(entry) + entry.packed
    body += gap
    number = len(entries) if count is None else count
    return body + central + end_record(number, len(central), len(body))
