"""Dead letters: tasks that failed for good or were quarantined, kept to be looked at, run again or forgotten."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from venom_core.clock import from_datetime
from venom_core.domain.lane import first_lane
from venom_core.domain.task import open_task
from venom_core.domain.task_id import check_id
from venom_core.domain.task_message import TaskMessage
from venom_core.errors import InvalidTask, SecurityError
from venom_core.infrastructure.hive import Hive
from venom_core.infrastructure.task_view import view_seen

PAGE_MAX = 1_000


class DeadLetters:
    """The dead letters of one hive."""

    def __init__(self, hive: Hive) -> None:
        self._hive = hive

    async def list(self, offset: int = 0, limit: int = 100) -> list[TaskMessage]:
        """A page of dead letters (at most 1,000), newest first; a forged one is shown by its id and the reason."""
        if not offset >= 0 or not 1 <= limit <= PAGE_MAX:
            raise InvalidTask(f"a page has an offset from 0 and 1 to {PAGE_MAX} entries, not {offset} and {limit}")
        ids = await self._hive.tasks.dead_letters(offset, limit)
        found = await self._hive.tasks.look(ids)
        letters = []
        for task_id in ids:
            try:
                letter = view_seen(self._hive.seal, task_id, found[task_id], {})
            except SecurityError as fault:
                letter = TaskMessage(task_id, "forged", status="failed", error=f"SecurityError: {fault}")  # type: ignore[arg-type]  # words are accepted
            if letter is not None:
                letters.append(letter)
        return letters

    async def requeue(self, task_ids: Iterable[str] | None = None) -> int:
        """Put the given dead letters (none given: all, at most 1,000) back in line; the number put back."""
        ids = [check_id(task_id) for task_id in task_ids] if task_ids is not None else None
        if ids is None:
            ids = await self._hive.tasks.dead_letters(0, PAGE_MAX)
        put_back = 0
        for task_id, seen in (await self._hive.tasks.look(ids)).items():
            if seen.envelope is None or seen.outcome is None:
                continue
            try:
                body = open_task(self._hive.seal, task_id, seen.envelope)
            except SecurityError:
                continue  # what was refused as forged stays refused
            put_back += await self._hive.tasks.requeue(task_id, first_lane(body)) == "pending"
        return put_back

    async def purge(self, task_ids: Iterable[str] | None = None, *, before: datetime | None = None) -> int:
        """Forget the given dead letters, or all (that died before a moment); the number forgotten."""
        if task_ids is not None:
            ids = [check_id(task_id) for task_id in task_ids]
            return await self._hive.tasks.purge(0, ids) if ids else 0
        moment = self._hive.now_ms() + 1 if before is None else from_datetime(before)
        gone = 0
        while step := await self._hive.tasks.purge(moment):
            gone += step
        return gone
