"""Takes down in the node's audit what its launcher did: the launcher knows the standard library alone, and no chain.

The launcher keeps its last steps in its state. A Spore that it runs looks, with each heartbeat, whether that file has
changed, and writes the steps that are new into the chain.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from venom_core.audit_chain import AuditChain, Line
from venom_core.audit_mark import Mark
from venom_core.clock import to_utc
from venom_core.errors import AuditBroken
from venom_spore.launcher.layout import LauncherFault, Layout
from venom_spore.launcher.state import Note, StateFile

log = logging.getLogger("venom.audit")

NOTED = "audit.noted"


class StateAudit:
    """Copies the steps of one launcher into one chain."""

    def __init__(self, home: Path, chain: Path, node: str) -> None:
        self._layout, self._chain, self._node = Layout(home), AuditChain(chain, node), node
        self._mark = Mark(home / NOTED)
        self._seen_ns = -1
        self._working: asyncio.Future[None] | None = None

    def look(self, loop: asyncio.AbstractEventLoop) -> None:
        """Copy in a thread what is new, if the state has changed since the last look; costs next to nothing if not."""
        try:
            changed_ns = self._layout.state_file.stat().st_mtime_ns
        except OSError:
            return
        if changed_ns != self._seen_ns and (self._working is None or self._working.done()):
            self._working = loop.run_in_executor(None, self.copy, changed_ns)

    def copy(self, changed_ns: int = -1) -> None:
        """Copy what is new; what hinders it is said in the log, and hinders nobody else. Blocks."""
        try:
            notes = StateFile(self._layout).load().notes
            last = self._mark.read()
            if notes and notes[-1].number < last:
                last = 0  # the state was lost and has begun anew
            new = [note for note in notes if note.number > last]
            if new:
                lost = new[0].number - last - 1
                missing = [Line("release_steps_lost", "launcher", f"{lost} steps", self._node)] if lost else []
                self._chain.extend([*missing, *map(self._line, new)])
                self._mark.write(new[-1].number)
            self._seen_ns = changed_ns
        except (OSError, LauncherFault, AuditBroken) as fault:
            log.error("the steps of the launcher were not taken down: %s", fault)

    def _line(self, note: Note) -> Line:
        at = to_utc(round(note.at_s * 1000)).isoformat(timespec="milliseconds")
        words = f"{note.release} at {at}" + (f": {note.why}" if note.why else "")
        return Line(f"release_{note.phase}", "launcher", words, self._node)
