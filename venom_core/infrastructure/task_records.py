"""What goes through the door to the tasks in Redis, and what comes back: plain records.

A lease is known by its fence, "epoch.number|": the node's incarnation and the claim that took it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import msgspec

Verb = Literal["end", "retry", "back", "crash"]


@dataclass(frozen=True, slots=True)
class Retention:
    """How long ends are remembered, in milliseconds, and how many dead letters and crashes are allowed."""

    result_ttl_ms: int
    dead_ttl_ms: int
    dead_max: int
    crashes_max: int


@dataclass(slots=True)
class TaskGroup:
    """New tasks that share lane, level and moment; `when` is "now", "+ms" or "@ms" of Redis' clock.

    `reply_to`: the channel of a process that is to hear of their end, or "".
    """

    lane: str
    priority: int
    when: str
    ids: list[str] = field(default_factory=list)
    envelopes: list[bytes] = field(default_factory=list)
    reply_to: str = ""


def claim_number(fence: str) -> int:
    """The number of the claim that a fence is from."""
    return int(fence.partition(".")[2].removesuffix("|"))


class Lease(msgspec.Struct, gc=False):
    """A task as claimed, with the fence that proves it is held; `given` if it was meant for this node alone."""

    task_id: str
    envelope: bytes
    failures: int
    crashes: int
    fence: str
    partition: int
    claimed_ms: int
    given: bool = False


@dataclass(frozen=True, slots=True)
class Batch:
    """What one claim brought; `wait_ms` until the next delayed task of type `watched`, or -1.

    `old`: its number was answered or overtaken already; the next number is to be asked.
    """

    leases: list[Lease]
    now_ms: int
    wait_ms: int
    watched: str
    old: bool = False


class Settlement(msgspec.Struct, gc=False):
    """How one attempt ended: `lane` is where a task returns to, `data` a sealed record, a delay in ms, or empty."""

    lease: Lease
    lane: str
    verb: Verb
    data: bytes | int = b""


@dataclass(frozen=True, slots=True)
class Held:
    """A running task as the store knows it."""

    epoch: int
    fence: str
    started_ms: int
    lane: str

    @classmethod
    def parse(cls, text: bytes) -> Held:
        """Read "epoch.number|score|started ms|lane"."""
        token, _score, started, lane = text.decode().split("|", 3)
        return cls(int(token.partition(".")[0]), token + "|", int(started), lane)


@dataclass(frozen=True, slots=True)
class Seen:
    """All the store holds of one task."""

    now_ms: int
    envelope: bytes | None
    held: Held | None
    outcome: bytes | None
    failures: int
    crashes: int
    progress: bytes | None
    assigned: bytes | None = None
