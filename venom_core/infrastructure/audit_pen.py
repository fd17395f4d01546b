"""Writing the security audit: into the store, where every Nexus reads it, and into this machine's own chain if any.

A flood of bad messages is counted, not written out: `PER_MINUTE_MAX` lines, then one that says how many more there
were.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from venom_core.audit_chain import COPIED, AuditChain, Entry, read_entries, write_head
from venom_core.audit_mark import Mark
from venom_core.clock import Clock
from venom_core.errors import AuditBroken, StoreError
from venom_core.infrastructure.task_store import TaskStore

log = logging.getLogger("venom.audit")

PER_MINUTE_MAX = 60
TELL_EVERY_S = 60.0
HEAD_SEEN = "audit_head"
OF_UPDATES = ("update_", "release_")
FORWARDED_MAX = 100
TOLD = ".told"
"""What the file beside a log is called that says up to which number its lines were told."""


class AuditPen:
    """Where one process writes down what it refused."""

    def __init__(self, tasks: TaskStore, path: str, clock: Clock) -> None:
        """`path`: of the chain; empty for none."""
        self._tasks, self._path, self._clock = tasks, path, clock
        self._minute, self._written, self._skipped, self._told = -1, 0, 0, 0

    async def write(self, what: str, subject: str, why: str, node: str) -> None:
        """One line; a disk that is full or a store that is away is said in the log and stops nobody."""
        if not self._may_write():
            return
        if self._skipped:
            why = f"{why} (and {self._skipped} more within a minute)"
            self._skipped = 0
        await self._chain(what, subject, why, node)
        await self._tasks.audit(what, subject, why, node)

    async def keep_telling(self, node: str) -> None:
        """Tell the hive now and then how far this machine's chain goes, until cancelled.

        The chain is this node's as long as that: if it is another's, which is said, this process keeps none.
        """
        while self._path:
            try:
                with AuditChain(Path(self._path), node, self._clock).claim():
                    while True:
                        await self.tell_head(node)
                        await asyncio.sleep(TELL_EVERY_S)
            except AuditBroken as fault:
                log.error("no audit is kept here: %s", fault)
                self._path = ""
            except OSError as fault:
                log.error("the audit is not this node's yet: %s", fault)
                await asyncio.sleep(TELL_EVERY_S)

    async def tell_head(self, node: str) -> None:
        """Tell the hive how far this machine's chain goes, if that is news, so that cutting its end off would show.

        And what its launcher and its updater wrote into it, so that it stands in every Nexus's chain, too.
        """
        if not self._path:
            return
        try:
            head = await asyncio.to_thread(AuditChain(Path(self._path), node, self._clock).head)
            if head.seq > self._told:
                for entry in await asyncio.to_thread(_of_updates, Path(self._path), node):
                    await self._tasks.audit(entry.event, node, f"{entry.actor}: {entry.detail}", node)
                    await asyncio.to_thread(_mark_of(Path(self._path)).write, entry.seq)
                await self._tasks.audit(HEAD_SEEN, node, write_head(head), node)
                self._told = head.seq
        except (AuditBroken, StoreError, OSError) as fault:
            log.error("the end of the audit was not told: %s", fault)

    async def _chain(self, what: str, subject: str, why: str, node: str) -> None:
        if not self._path:
            return
        try:
            await asyncio.to_thread(AuditChain(Path(self._path), node, self._clock).append, what, subject, why)
        except (AuditBroken, OSError) as fault:
            log.error("the audit was not written: %s", fault)

    def _may_write(self) -> bool:
        minute = int(self._clock.lasting_s() // 60)
        if minute != self._minute:
            self._minute, self._written = minute, 0
        self._written += 1
        if self._written > PER_MINUTE_MAX:
            self._skipped += 1
            return False
        return True


def _of_updates(path: Path, node: str) -> list[Entry]:
    """This node's newest lines about updates that nobody was told of yet; blocks for reading the log.

    Never what came from the hive, or it would be told and copied without end where a Nexus copied into the same file.
    """
    told = _mark_of(path).read()
    entries = (entry for entry in read_entries(path) if entry is not None and entry.seq > told)
    own = (entry for entry in entries if entry.node == node and not COPIED.search(entry.detail))
    return [entry for entry in own if entry.event.startswith(OF_UPDATES)][-FORWARDED_MAX:]


def _mark_of(path: Path) -> Mark:
    return Mark(path.with_name(path.name + TOLD))
