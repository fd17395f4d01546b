"""`TaskMessage`: a task as the documents show it, with naive local times that subtract from `datetime.now()`."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any

from venom_core.domain.lifecycle import TERMINAL, TaskStatus
from venom_core.domain.priority import DEFAULT_PRIORITY, Priority, parse_priority
from venom_core.domain.task_id import check_id, check_type
from venom_core.errors import InvalidTask

_TIMES = ("created_at", "started_at", "completed_at")
_OPTIONAL = ("metadata", "parent_id", "root_id", "correlation_id", "key", "offered")


@dataclass(slots=True)
class TaskMessage:
    """A task with its status; `timeout` in seconds, times naive local, `result` any JSON value."""

    task_id: str
    task_type: str
    payload: dict[str, Any] = field(default_factory=dict)
    priority: Priority = DEFAULT_PRIORITY
    created_at: datetime | None = None
    timeout: float | None = None
    max_retries: int | None = None
    status: TaskStatus = TaskStatus.PENDING
    attempt: int = 0
    crashes: int = 0
    assigned_node: str | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    result: Any = None
    error: str | None = None
    progress: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None
    parent_id: str | None = None
    root_id: str | None = None
    correlation_id: str | None = None
    key: str | None = None
    offered: bool | None = None

    def __post_init__(self) -> None:
        check_id(self.task_id)
        check_type(self.task_type)
        self.priority = parse_priority(self.priority)
        self.status = TaskStatus(self.status)

    @property
    def id(self) -> str:
        """The same as `task_id`."""
        return self.task_id

    @property
    def finished(self) -> bool:
        """Whether the status is terminal."""
        return self.status in TERMINAL

    def to_dict(self) -> dict[str, Any]:
        """A JSON object; times in ISO 8601, optional fields only if they hold something."""
        result: dict[str, Any] = {}
        for spec in fields(self):
            value = getattr(self, spec.name)
            if value is None and (spec.name in _OPTIONAL or spec.name == "progress"):
                continue
            result[spec.name] = value.isoformat() if isinstance(value, datetime) else value
        result["status"] = str(self.status)
        return result

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> TaskMessage:
        """The reverse of `to_dict`; `InvalidTask` names what is missing or unknown."""
        known = {spec.name for spec in fields(cls)}
        if unknown := [name for name in data if name not in known]:
            raise InvalidTask(f"a task message has no field {unknown[0]!r:.60}")
        try:
            times = {name: _read_time(data[name]) for name in _TIMES if data.get(name)}
            return cls(**{**data, **times})
        except (TypeError, ValueError) as fault:
            raise InvalidTask(f"this is not a task message: {fault}") from None


def _read_time(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo is None else moment.astimezone().replace(tzinfo=None)
