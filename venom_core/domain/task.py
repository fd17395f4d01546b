"""A task: what a caller asks for, how it travels, and how it ended.

`TaskBody` is what a worker acts on and is sealed as a whole; attempt counters live outside it because
they change. `Outcome` is the one recorded end. `TaskMessage` is the face of the documents.
"""

from __future__ import annotations

from typing import Any

import msgspec

from venom_core.domain.lifecycle import TaskStatus
from venom_core.domain.seal import Seal
from venom_core.errors import SecurityError

ERROR_CHARS_MAX = 8_000


class TaskBody(msgspec.Struct, frozen=True, array_like=True):
    """Everything immutable about a task; times in milliseconds, 0 = none."""

    task_type: str
    payload: msgspec.Raw
    timeout_ms: int
    max_retries: int
    created_ms: int
    deadline_ms: int = 0
    requirements: dict[str, Any] | None = None
    extra: dict[str, Any] | None = None


class Outcome(msgspec.Struct, frozen=True, array_like=True):
    """How a task ended; `result` is msgpack, `error` one text."""

    node: str
    attempt: int
    crashes: int
    started_ms: int
    completed_ms: int
    result: msgspec.Raw
    error: str | None = None


STATUS_MARKS = {
    TaskStatus.COMPLETED: ord("c"),
    TaskStatus.FAILED: ord("f"),
    TaskStatus.CANCELLED: ord("x"),
    TaskStatus.QUARANTINED: ord("q"),
}
MARK_STATUSES = {mark: status for status, mark in STATUS_MARKS.items()}
NOTHING = msgspec.Raw(msgspec.msgpack.encode(None))

_encoder = msgspec.msgpack.Encoder()
_body_decoder = msgspec.msgpack.Decoder(TaskBody)
_outcome_decoder = msgspec.msgpack.Decoder(Outcome)


def seal_task(seal: Seal, task_id: str, priority: int, body: TaskBody) -> bytes:
    """The envelope of a task."""
    return seal.close("task", task_id, priority, _encoder.encode(body))


def open_task(seal: Seal, task_id: str, envelope: bytes) -> TaskBody:
    """The body of an envelope; `SecurityError` if it is not ours."""
    try:
        return _body_decoder.decode(seal.open("task", task_id, envelope))
    except msgspec.MsgspecError as fault:
        raise SecurityError(f"the task record of {task_id} cannot be read: {fault}") from None


def priority_of(envelope: bytes) -> int:
    """The level in an envelope's header."""
    return envelope[3]


def seal_outcome(seal: Seal, task_id: str, status: TaskStatus, outcome: Outcome) -> bytes:
    """The record that ends a task."""
    return seal.close("outcome", task_id, STATUS_MARKS[status], _encoder.encode(outcome))


def open_outcome(seal: Seal, task_id: str, record: bytes) -> tuple[TaskStatus, Outcome]:
    """Status and outcome of a record; `SecurityError` if it is not ours."""
    body = seal.open("outcome", task_id, record)
    try:
        return MARK_STATUSES[record[3]], _outcome_decoder.decode(body)
    except (KeyError, msgspec.MsgspecError) as fault:
        raise SecurityError(f"the outcome record of {task_id} cannot be read: {fault}") from None


def clip_error(text: str) -> str:
    """An error text that UTF-8 can carry and of bounded length, its middle cut out if it is too long."""
    if not text.isascii():
        text = text.encode("utf-8", "replace").decode()
    if len(text) <= ERROR_CHARS_MAX:
        return text
    half = ERROR_CHARS_MAX // 2
    return f"{text[:half]}\n… {len(text) - 2 * half} characters cut …\n{text[-half:]}"
