"""The answer of a run, in the shape of the documents: summary, and the results in the order of the items."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec

from venom_core.domain.lifecycle import TaskStatus
from venom_core.domain.run import RunKind, RunRecord
from venom_core.errors import InvalidTask
from venom_core.execution.ends import End
from venom_core.execution.reduction import Folded
from venom_core.execution.sweep import FAILURES

ANSWER_BYTES_MAX = 256 * 1024 * 1024
INDEX_NAMES: dict[RunKind, str] = {"map": "item_index", "parallel": "subtask_index"}
TOTAL_NAMES: dict[RunKind, str] = {"map": "total_tasks", "parallel": "total_subtasks"}
_WAITING = frozenset({TaskStatus.PENDING, TaskStatus.RUNNING})


def to_json(value: Any) -> str:
    """JSON text; what is not ASCII stands in it as it is."""
    return msgspec.json.encode(value).decode()


def entry(kind: RunKind, end: End) -> dict[str, Any]:
    """One line of the results."""
    return {
        "task_id": end.task_id,
        "status": str(end.status),
        "result": end.result,
        "error": end.error,
        INDEX_NAMES[kind]: end.index,
    }


class Answer:
    """Collects the ends of a run."""

    def __init__(self, run_id: str, record: RunRecord) -> None:
        self.run_id, self.record = run_id, record
        self._ends: list[End | None] = [None] * record.total
        self._bytes = 0

    def add(self, end: End) -> None:
        """Note one end; `InvalidTask` when all together are more than one answer may hold."""
        self._bytes += end.record_bytes
        if self._bytes > ANSWER_BYTES_MAX:
            raise InvalidTask(
                f"the results of run {self.run_id} are over {ANSWER_BYTES_MAX:,} bytes together; they are kept: "
                f"read them one by one with follow({self.run_id!r})"
            )
        self._ends[end.index] = end

    @property
    def ends(self) -> list[End]:
        """What is noted, in the order of the items."""
        return [end for end in self._ends if end is not None]

    def counts(self) -> dict[str, int]:
        """Number of items by word: completed, failed, pending, and what else there is."""
        found = Counter("failed" if end.status in FAILURES else _word(end.status) for end in self.ends)
        return {word: found.pop(word, 0) for word in ("completed", "failed", "pending")} | dict(found)

    def completed(self) -> list[Any]:
        """Results of the items that completed, in order."""
        return [end.result for end in self.ends if end.status == TaskStatus.COMPLETED]

    def first_waiting(self) -> str | None:
        """The task of the first item that has not ended."""
        return next((end.task_id for end in self.ends if end.status in _WAITING), None)

    def text(self, folded: Folded | None, note: str) -> str:
        """The answer as JSON text."""
        kind, counts = self.record.kind, self.counts()
        rate = f"{counts['completed'] / self.record.total * 100:.1f}%"
        answer: dict[str, Any] = {} if kind == "map" else {"task_description": self.record.description}
        answer["run_id"] = self.run_id
        answer["summary"] = {TOTAL_NAMES[kind]: self.record.total, **counts, "success_rate": rate}
        answer["results"] = [entry(kind, end) for end in self.ends]
        if folded is not None:
            answer["reduced"] = folded.value
            answer["reduction"] = {
                "skill": self.record.reduce,
                "status": str(folded.status),
                "left_out": self.record.total - counts["completed"],
                "error": folded.error,
            }
        if note:
            answer["note"] = note
        return to_json(answer)


def _word(status: str) -> str:
    return "pending" if status in _WAITING else str(status)
