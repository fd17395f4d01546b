"""From what the store holds to what a caller sees."""

from __future__ import annotations

from typing import Any

import msgspec

from venom_core.clock import to_naive_local
from venom_core.domain import payload
from venom_core.domain.lifecycle import TaskStatus
from venom_core.domain.seal import Seal
from venom_core.domain.task import open_outcome, open_task, priority_of
from venom_core.domain.task_message import TaskMessage
from venom_core.infrastructure.placement_store import Assignment
from venom_core.infrastructure.task_records import Seen


def view_task(seal: Seal, task_id: str, envelope: bytes) -> TaskMessage:
    """A task as enqueued; `SecurityError` if the envelope is not ours."""
    body = open_task(seal, task_id, envelope)
    return TaskMessage(
        task_id=task_id,
        task_type=body.task_type,
        payload=payload.decode(bytes(body.payload)),
        priority=priority_of(envelope),
        created_at=to_naive_local(body.created_ms),
        timeout=body.timeout_ms / 1000,
        max_retries=body.max_retries,
        **(body.extra or {}),
    )


def add_outcome(seal: Seal, message: TaskMessage, record: bytes) -> TaskMessage:
    """The same task with its recorded end; `SecurityError` if the record is not ours."""
    status, outcome = open_outcome(seal, message.task_id, record)
    message.status = status
    message.attempt, message.crashes = outcome.attempt, outcome.crashes
    message.assigned_node = outcome.node or None
    message.started_at = to_naive_local(outcome.started_ms) if outcome.started_ms else None
    message.completed_at = to_naive_local(outcome.completed_ms)
    message.result = payload.decode(bytes(outcome.result))
    message.error = outcome.error
    return message


def view_seen(seal: Seal, task_id: str, seen: Seen, node_names: dict[int, str]) -> TaskMessage | None:
    """A task at one moment, or None if the store does not know it."""
    if seen.envelope is None:
        return None
    message = view_task(seal, task_id, seen.envelope)
    if seen.outcome is not None:
        return add_outcome(seal, message, seen.outcome)
    message.crashes = seen.crashes
    message.attempt = seen.failures
    message.progress = view_progress(seen.progress)
    message.assigned_node = Assignment.unpack(seen.assigned).node or None
    if seen.held is not None:
        message.status = TaskStatus.RUNNING
        message.attempt = seen.failures + 1
        message.assigned_node = node_names.get(seen.held.epoch)
        message.started_at = to_naive_local(seen.held.started_ms)
    return message


def view_progress(note: bytes | None) -> dict[str, Any] | None:
    """A progress note: {"fraction": 0-1, "note": text}."""
    if note is None:
        return None
    fraction, text = msgspec.msgpack.decode(note, type=tuple[float, str])
    return {"fraction": fraction, "note": text}
