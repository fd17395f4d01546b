"""What a waiting task wants of its node: read from its envelope, and remembered while it waits.

A task that no node can take is looked at with every tick. Opening its seal and reading its requirements costs more
than all the rest, so both are done once; and tasks that want the same share one `Want`, so that a tick asks for each
once, not for each task.
"""

from __future__ import annotations

import logging

from venom_core.domain.placement import Requirements
from venom_core.domain.seal import Seal
from venom_core.domain.task import open_task
from venom_core.errors import InvalidTask, SecurityError
from venom_core.infrastructure.placement_store import Unplaced

WARNED_MAX = 1_000
# Of each of two generations: the older one is dropped when the younger is full.
REMEMBERED_MAX = 20_000

log = logging.getLogger("venom.dispatcher")


class Want:
    """Requirements and a skill; None is any skill. Equal to itself only, so that a set of them costs nothing."""

    __slots__ = ("needs", "task_type")

    def __init__(self, needs: Requirements, task_type: str | None) -> None:
        self.needs, self.task_type = needs, task_type


# What a want was read from: a digest of the envelope (which may be a mebibyte), and what was asked besides.
_Source = tuple[int, Requirements]
_Signature = tuple[Requirements, str | None]


class Wants:
    """Reads and remembers."""

    def __init__(self, seal: Seal) -> None:
        self._seal = seal
        self._young: dict[str, tuple[_Source, Want | None]] = {}
        self._old: dict[str, tuple[_Source, Want | None]] = {}
        self._shared: dict[_Signature, Want] = {}
        self._warned: set[str] = set()

    def of(self, task: Unplaced) -> Want | None:
        """What a task wants, by its envelope and by what was asked besides; None if this version cannot tell."""
        source = hash(task.envelope), task.assignment.needs
        known = self._young.get(task.task_id) or self._old.get(task.task_id)
        want = known[1] if known is not None and known[0] == source else self._read(task)
        if max(len(self._young), len(self._shared)) >= REMEMBERED_MAX:
            self._old, self._young, self._shared = self._young, {}, {}
        self._young[task.task_id] = source, want
        return want

    def _read(self, task: Unplaced) -> Want | None:
        try:
            body = open_task(self._seal, task.task_id, task.envelope)
            needs = Requirements.parse(body.requirements).merged(task.assignment.needs)
            signature: _Signature = needs, body.task_type
        except SecurityError:
            signature = Requirements(), None  # whichever node claims it refuses it and says so in the audit
        except InvalidTask as fault:
            if task.task_id not in self._warned and len(self._warned) < WARNED_MAX:
                self._warned.add(task.task_id)
                log.warning("%s waits for a Nexus that understands it: %s", task.task_id, fault)
            return None
        return self._shared.setdefault(signature, Want(*signature))
