"""The life of a task as one table.

A task is born `pending`, is leased to a node and `running`, and ends in one of four terminal states.
Being scheduled, retried or waiting for a node are reasons to be pending, not states of their own.
Every Lua script that changes a task performs exactly one row of this table; the diagram in the
documents is generated from it. There is no other place that decides what may follow what.

A crash (the node died under the task) is its own event: it keeps the task's place in line and is
counted apart from a failure, and too many of them end in quarantine instead of one more run.
"""

from __future__ import annotations

from enum import StrEnum

from venom_core.errors import IllegalTransition


class TaskStatus(StrEnum):
    """Where a task stands. Compares equal to the plain words used in the documents."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    QUARANTINED = "quarantined"


class TaskEvent(StrEnum):
    """What can happen to a task."""

    CLAIM = "claim"
    COMPLETE = "complete"
    FAIL = "fail"
    RETRY = "retry"
    RELEASE = "release"
    CRASH = "crash"
    QUARANTINE = "quarantine"
    CANCEL = "cancel"
    REQUEUE = "requeue"


_S = TaskStatus
_E = TaskEvent

TRANSITIONS: dict[tuple[TaskStatus, TaskEvent], TaskStatus] = {
    (_S.PENDING, _E.CLAIM): _S.RUNNING,
    (_S.PENDING, _E.CANCEL): _S.CANCELLED,
    (_S.RUNNING, _E.COMPLETE): _S.COMPLETED,
    (_S.RUNNING, _E.FAIL): _S.FAILED,
    (_S.RUNNING, _E.RETRY): _S.PENDING,
    (_S.RUNNING, _E.RELEASE): _S.PENDING,
    (_S.RUNNING, _E.CRASH): _S.PENDING,
    (_S.RUNNING, _E.QUARANTINE): _S.QUARANTINED,
    (_S.RUNNING, _E.CANCEL): _S.CANCELLED,
    (_S.FAILED, _E.REQUEUE): _S.PENDING,
    (_S.QUARANTINED, _E.REQUEUE): _S.PENDING,
    (_S.CANCELLED, _E.REQUEUE): _S.PENDING,
}

TERMINAL = frozenset({_S.COMPLETED, _S.FAILED, _S.CANCELLED, _S.QUARANTINED})
DEAD_LETTERS = frozenset({_S.FAILED, _S.QUARANTINED})

MEANING: dict[TaskEvent, str] = {
    _E.CLAIM: "a node takes it under a lease",
    _E.COMPLETE: "its result is recorded",
    _E.FAIL: "no attempt is left, or it can never succeed",
    _E.RETRY: "an attempt failed or ran out of time; the next starts after a backoff",
    _E.RELEASE: "handed back unfinished by a node that drains; counts nothing",
    _E.CRASH: "its node died under it; keeps its place in line",
    _E.QUARANTINE: "it crashed its node too often",
    _E.CANCEL: "somebody does not want it any more",
    _E.REQUEUE: "somebody wants it again; all counts start anew",
}


def after(status: TaskStatus, event: TaskEvent) -> TaskStatus:
    """The state that follows, or `IllegalTransition` naming what would be legal."""
    try:
        return TRANSITIONS[status, event]
    except KeyError:
        legal = ", ".join(sorted(e for s, e in TRANSITIONS if s is status)) or "nothing"
        raise IllegalTransition(f"a {status} task cannot {event}; from {status} it may: {legal}") from None


def diagram() -> str:
    """The table as a Mermaid state diagram; `docs/concepts.md` holds this text."""
    lines = ["stateDiagram-v2", "    [*] --> pending: enqueue"]
    lines += [f"    {source} --> {target}: {event}" for (source, event), target in TRANSITIONS.items()]
    lines += [f"    {status} --> [*]: forgotten after its time to live" for status in sorted(TERMINAL)]
    return "\n".join(lines)
