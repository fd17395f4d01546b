"""A Nexus keeps what every node refused: the store's audit, line by line, in a hash-chained file of its own.

The store forgets after some ten thousand lines, and whoever owns it may change them. What has been copied cannot be
changed unseen. Each line ends with its place in the store, so that a Nexus that starts again goes on where it was, and
that nobody tells the hive again of what came from it.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

from venom_core.audit_chain import COPIED, AuditChain, Line, older, read_entries
from venom_core.errors import AuditBroken, StoreError
from venom_core.infrastructure.audit import told_of
from venom_core.infrastructure.hive import Hive

log = logging.getLogger("venom.audit")

EVERY_S = 5.0
LINES_PER_LOOK_MAX = 500


class AuditFollower:
    """Copies the audit of one hive into one file."""

    def __init__(self, hive: Hive, path: Path, name: str) -> None:
        self._hive, self._chain = hive, AuditChain(path, name, hive.clock)
        self._seen: dict[int, str] | None = None
        self._said = ""

    async def run(self) -> None:
        """Copy until cancelled; what cannot be read or written now is copied later, which is said once.

        Nobody else writes into the file meanwhile: two Nexuses of one file would copy each line twice.
        """
        while True:
            try:
                with self._chain.claim(alone=True):
                    await self._keep_looking()
            except (StoreError, OSError, AuditBroken) as fault:
                if str(fault) != self._said:
                    self._said = str(fault)
                    log.error("the audit is copied later: %s", fault)
            await asyncio.sleep(EVERY_S)

    async def _keep_looking(self) -> None:
        while True:
            await self.look()
            self._said = ""
            await asyncio.sleep(EVERY_S)

    async def look(self) -> int:
        """Copy what is new, of each partition so many lines that none waits for a flood in another; how many.

        Raises `StoreError`, `AuditBroken` or `OSError`.
        """
        if self._seen is None:
            self._seen = await asyncio.to_thread(places, self._chain.path)
        copied = 0
        for partition in range(self._hive.tasks.keyspace.partitions):
            if found := await self._read(partition, self._seen.get(partition, "")):
                lines = [_line(partition, stamp, fields) for stamp, fields in found]
                await asyncio.to_thread(self._chain.extend, lines)
                self._seen[partition] = found[-1][0].decode()
                copied += len(found)
        return copied

    async def _read(self, partition: int, after: str) -> list[tuple[bytes, list[bytes]]]:
        key = self._hive.tasks.keyspace.key(partition, "audit")
        since = f"({after}" if after else "-"
        read: list[tuple[bytes, list[bytes]]] = await self._hive.link.command(
            "XRANGE", key, since, "+", "COUNT", LINES_PER_LOOK_MAX
        )
        return read


def places(path: Path) -> dict[int, str]:
    """The last place in the store that was copied from each partition, out of a log; blocks for reading it."""
    found: dict[int, str] = {}
    for part in [*older(path), path]:
        for entry in read_entries(part) if part.exists() else ():
            if entry is not None and (place := COPIED.search(entry.detail)):
                found[int(place[1])] = place[2]
    return found


def _line(partition: int, stamp: bytes, fields: list[Any]) -> Line:
    told = told_of(fields)
    words = told.get("why", "") or " ".join(f"{name}={told[name]}" for name in ("fence", "verb") if name in told)
    detail = f"{words[:600]} @{partition}:{stamp.decode()}"
    return Line(told.get("what", ""), told.get("task", ""), detail, told.get("node", ""))
