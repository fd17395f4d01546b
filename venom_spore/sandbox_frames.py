"""What a Spore and its sandbox process say to each other: msgpack frames behind a length, over a socket of their own.

The socket is neither stdin nor stdout, so a task may print what it likes. Down goes a `Job`; up come one `Begun`,
any number of `Progress` and `Emitted`, then exactly one of `Done`, `Refused` and `Failed`.
"""

from __future__ import annotations

import struct

import msgspec

FRAME_MARGIN_BYTES = 65_536
TRACE_CHARS_MAX = 4_000
MESSAGE_CHARS_MAX = 2_000

_LENGTH = struct.Struct(">I")
LENGTH_BYTES = _LENGTH.size


class Who(msgspec.Struct, array_like=True, frozen=True):
    """The fields of a `TaskContext`."""

    task_id: str
    task_type: str
    attempt: int
    crashes: int
    node_id: str


class Job(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """Run skill `name` of the SkillSet at `origin`.

    `path` replaces `sys.path` when it is not empty, and `secrets` what log lines mask: both with a child's first job.
    """

    origin: str
    name: str
    payload: bytes
    result_bytes_max: int
    memory_mb: int | None
    who: Who | None
    path: list[str]
    secrets: tuple[str, ...] = ()


class Begun(msgspec.Struct, array_like=True, frozen=True, tag="begun"):
    """The job arrived. If a process dies before it says so, the task may safely be given to another."""


class Progress(msgspec.Struct, array_like=True, frozen=True, tag="progress"):
    """The task said how far it is."""

    fraction: float
    note: str


class Emitted(msgspec.Struct, array_like=True, frozen=True, tag="emit"):
    """The task handed out a partial result, as msgpack."""

    data: bytes


class Done(msgspec.Struct, array_like=True, frozen=True, tag="done"):
    """The task returned; `result` is msgpack."""

    result: bytes


class Refused(msgspec.Struct, array_like=True, frozen=True, tag="refused"):
    """The input or the result is not acceptable; trying again would change nothing."""

    message: str


class Failed(msgspec.Struct, array_like=True, frozen=True, tag="failed"):
    """The task raised."""

    kind: str
    message: str
    trace: str


Reply = Begun | Progress | Emitted | Done | Refused | Failed

_encoder = msgspec.msgpack.Encoder()
_job_decoder = msgspec.msgpack.Decoder(Job)
_reply_decoder: msgspec.msgpack.Decoder[Reply] = msgspec.msgpack.Decoder(Reply)


def pack(frame: Job | Reply) -> bytes:
    """A frame as it goes over the socket, length first."""
    body = _encoder.encode(frame)
    return _LENGTH.pack(len(body)) + body


def length_of(head: bytes) -> int:
    """How many bytes follow the first `LENGTH_BYTES`."""
    return int(_LENGTH.unpack(head)[0])


def read_job(body: bytes) -> Job:
    """The job in a frame's body; raises `msgspec.DecodeError`."""
    return _job_decoder.decode(body)


def read_reply(body: bytes) -> Reply:
    """The reply in a frame's body; raises `msgspec.DecodeError`."""
    return _reply_decoder.decode(body)
