"""What a caller may change about a task from outside: cancel it, or put it back in line."""

from __future__ import annotations

from venom_core.domain.lane import WAITING, first_lane, own_lane
from venom_core.domain.lifecycle import TaskStatus
from venom_core.domain.task import NOTHING, Outcome, TaskBody, open_task, seal_outcome
from venom_core.domain.task_id import check_id
from venom_core.errors import UnknownTask
from venom_core.infrastructure.hive import Hive
from venom_core.infrastructure.placement_store import Assignment
from venom_core.infrastructure.task_records import Seen

# A task may be moved to another lane between the look and the change; this often in a row is somebody's mistake.
LOOKS_MAX = 5


class Changes:
    """Changes to the tasks of one hive."""

    def __init__(self, hive: Hive, zombie_timeout_s: float) -> None:
        self._hive, self._zombie_timeout_s = hive, zombie_timeout_s

    async def cancel(self, task_id: str) -> bool:
        """End a pending task, or ask its node to stop it; False if it had ended already. `UnknownTask`."""
        hive = self._hive
        for _ in range(LOOKS_MAX):
            seen, body = await self._known(task_id)
            outcome = Outcome("", seen.failures, seen.crashes, 0, seen.now_ms, NOTHING, "cancelled before it ran")
            record = seal_outcome(hive.seal, task_id, TaskStatus.CANCELLED, outcome)
            answer = await hive.tasks.cancel(task_id, lanes_of(body, seen), record, hive.keep)
            if answer != "elsewhere":
                return answer in ("cancelled", "asked")
        raise UnknownTask(f"task {task_id} stands in no line; look at it with explain")

    async def retry(self, task_id: str) -> bool:
        """Put a failed, quarantined or cancelled task, or a zombie, back in line; True if it is there now."""
        hive = self._hive
        seen, body = await self._known(task_id)
        if seen.outcome is not None:
            return await hive.tasks.requeue(task_id, first_lane(body)) == "pending"
        for zombie in await hive.find_zombies(self._zombie_timeout_s):
            if zombie.task_id == task_id:
                return await hive.upkeep.rescue(task_id, zombie.held, zombie.node, seen.now_ms) == "pending"
        return False

    async def _known(self, task_id: str) -> tuple[Seen, TaskBody]:
        seen = (await self._hive.tasks.look([check_id(task_id)]))[task_id]
        if seen.envelope is None:
            raise UnknownTask(f"no task {task_id} is known; was it enqueued in this hive?")
        return seen, open_task(self._hive.seal, task_id, seen.envelope)


def lanes_of(body: TaskBody, seen: Seen) -> list[str]:
    """The lanes in which a pending task may stand, as it looked a moment ago; the likeliest first."""
    if seen.assigned is None:
        return [first_lane(body)]
    given = Assignment.unpack(seen.assigned).node
    return [*([own_lane(given)] if given else []), WAITING, body.task_type]
