"""Folding the results of a run on the Spores, as a tree: each task turns some results into one.

A fold's task has the payload {"results": [...], "task_description", "level", "part", "parts"}, of which its
skill gets what it names. `results` are in the order of the items. On level 0 they are results of items, also
when there is only one; above, they are what the level below returned. So the skill must return what it could
take in again: a sum of sums, a merge of merges.

The id of such a task holds a digest of its payload: whoever folds the same results again finds what is done.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from venom_core.domain.lifecycle import TaskStatus
from venom_core.domain.payload import encode, encode_payload
from venom_core.errors import InvalidTask
from venom_core.execution.ends import ends_of
from venom_core.execution.sweep import cancel_tasks, retry_failed
from venom_core.infrastructure.message_broker import MessageBroker
from venom_core.infrastructure.run_store import KnownRun, RunStore

FAN_IN = 32
# Room in a payload for its other keys beside `results` and `task_description`.
KEYS_BYTES = 256
BYTES_MAX = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Folded:
    """How a fold ended: `status` is completed, failed, cancelled or pending (time ran out)."""

    status: str
    value: Any = None
    error: str | None = None


def group(values: list[Any], bytes_max: int, fan_in: int = FAN_IN) -> list[list[Any]]:
    """Neighbours together, of about the same number each, at most `fan_in` and `bytes_max` encoded bytes a group."""
    parts = -(-len(values) // fan_in)
    most = -(-len(values) // parts) if parts else 1
    groups: list[list[Any]] = []
    size = 0
    for value in values:
        added = len(encode(value, "a result", BYTES_MAX))
        if not groups or len(groups[-1]) == most or size + added > bytes_max:
            groups.append([])
            size = 0
        groups[-1].append(value)
        size += added
    return groups


class Reduction:
    """The fold of one run; `again` runs tasks of the fold that failed before once more."""

    def __init__(self, broker: MessageBroker, known: KnownRun, *, again: bool = False) -> None:
        self._broker, self._known, self._again = broker, known, again
        self._runs = RunStore(broker.hive)
        self._payload_bytes = broker.settings.hive_payload_bytes_max
        self._skill = known.record.reduce or ""

    async def fold(self, values: list[Any], until_s: float) -> Folded:
        """Fold results to one value, level by level; at `until_s` of the loop's clock it is left pending."""
        room = self._payload_bytes - len(self._known.record.description.encode()) - KEYS_BYTES
        level = 0
        while level == 0 or len(values) > 1:
            groups = group(values, room)
            if level and len(groups) == len(values):
                return self._failed("no two of its results fit into one payload; let it return less")
            folded = await self._fold_level(level, groups, until_s)
            if isinstance(folded, Folded):
                return folded
            values, level = folded, level + 1
        return Folded(TaskStatus.COMPLETED, values[0])

    async def _fold_level(self, level: int, groups: list[list[Any]], until_s: float) -> list[Any] | Folded:
        """One value for each group. Above level 0 a group of one passes as it is."""
        try:
            tasks = dict(self._tasks(level, groups))
        except InvalidTask as fault:
            return self._failed(str(fault))
        if await self._send(tasks):
            return Folded(TaskStatus.CANCELLED, error="the run was cancelled")
        ends = {}
        async for end in ends_of(self._broker, list(tasks), until_s):
            if end.status != TaskStatus.COMPLETED:
                return self._failed(f"{end.task_id} is {end.status}: {end.error}", end.status)
            ends[end.task_id] = end.result
        if len(ends) < len(tasks):
            return Folded(TaskStatus.PENDING, error=f"{len(tasks) - len(ends)} tasks of {self._skill!r} had not ended")
        made = iter(ends[task_id] for task_id in tasks)
        return [next(made) if self._is_task(level, values) else values[0] for values in groups]

    def _tasks(self, level: int, groups: list[list[Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
        """Id and payload of each task of a level; `InvalidTask` for a single result that is too large."""
        for part, values in enumerate(groups):
            if self._is_task(level, values):
                payload = {
                    "results": values,
                    "task_description": self._known.record.description,
                    "level": level,
                    "part": part,
                    "parts": len(groups),
                }
                digest = blake2b(encode_payload(payload, self._payload_bytes), digest_size=6).hexdigest()
                yield f"{self._known.run_id}.fold-{level}.{part}-{digest}", payload

    @staticmethod
    def _is_task(level: int, values: list[Any]) -> bool:
        return level == 0 or len(values) > 1

    async def _send(self, tasks: dict[str, dict[str, Any]]) -> bool:
        """Enqueue the tasks of a level; whether the run was cancelled meanwhile."""
        record, ids = self._known.record, list(tasks)
        if (await self._runs.note_fold(self._known.run_id, ids)).cancelled:
            return True
        await self._broker.enqueue_many(
            self._skill,
            tasks.values(),
            task_ids=ids,
            offered=True,
            priority=record.priority,
            timeout=record.timeout,
            max_retries=record.max_retries,
        )
        if self._again:
            await retry_failed(self._broker, ids)
        # Whoever cancelled between the two steps may have found nothing to cancel yet.
        if (await self._runs.find(self._known.run_id)).cancelled:
            await cancel_tasks(self._broker, ids)
        return False

    def _failed(self, why: str, status: str = TaskStatus.FAILED) -> Folded:
        return Folded(status, error=f"folding with {self._skill!r}: {why}")
