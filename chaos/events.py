"""The history of one process: a JSON line an event, each written by one call, so that a crash tears at most the last.

Whatever changes the store is written twice: before it is sent, and when it is answered (`op` names the first line). A
call without an answer may have happened or not. `at` is this machine's clock, which is Redis' too because both
run here; `now` is what Redis said itself.
"""

from __future__ import annotations

import itertools
import os
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import msgspec

HISTORY = "CHAOS_HISTORY"
# Nanoseconds by which true time is ahead of the monotonic clock, for a process whose own clock is wrong on purpose.
CLOCK = "CHAOS_CLOCK"
FILE_BYTES_MAX = 4 * 1024**3
PID_SHIFT = 32


class HistoryFull(RuntimeError):
    """A file of a history has reached its limit; a process that cannot say what it does must not go on."""


class Event(msgspec.Struct, omit_defaults=True, gc=False):
    """One line. `n` counts the lines of its file; times: `at`, `since`, `until` in µs, `now` and `delay` in ms.

    what      further fields
    hello     text: name of the process; lane: its kind; number: its process id
    enqueue   lane, level, delay, ids
    claim     partition, epoch, number, count; its answer: ids, marks (see `level_mark`)
    settle    epoch, number, fence, ids, marks (a letter a task, see `recording`), sums of the records
    take      partition, epoch, ids, fences, number: 1 if by force; its answer: count taken
    cancel    ids, sums; its answer: text
    requeue   ids; its answer: text
    join      text: name of the node, number: ms of the lease; its answer: epoch, older
    leave     epoch
    lead      text: who wants to lead, number: ms of the lease; its answer: epoch, 0 if somebody else leads
    resign    text: who led (no answer to it)
    renew     partition, epoch, text: ok or lost (no line before it)
    ok        op, now: the answer to a call, refused and asked: indexes into its ids
    fault     op, text: the error that a call ended with
    start     ids, token, fence, text: a body begins on a node; end, stopped: how it ended, since: its last step's begin
    still     text: name, since, until: a process was stopped in between
    told      ids, text: status, token: what a caller heard of a task
    disowned  ids, token: a hand-written loop was told that an end is not recorded
    run       text: id, number: items, lane: what folds them: a caller begins a run, or begins it anew
    ran       text: id, since: when it was asked, ids, marks, tokens: the lines of its answer, sums: the folded value,
              fence: how the fold ended
    joined    text: id, count: how many items of a run have ended by its counter in Redis
    rollback  since, until: what the server said in between may be undone
    blow      text: what the suite did
    found     ids, marks (status letter or "-"), sums, tokens, tries ("attempt.crashes"): what is in Redis at the end;
              stamps: the earliest and the latest moment (ms) at which these are said to have begun or ended
    counts    sums: the counters in Redis, in the order of `TaskStore.stats`
    memory    text: before or after, ids, sums: keys and their bytes, number: bytes of data in the server,
              fences, tokens: processes and their resident bytes
    residue   text: what is in Redis and should not be
    """

    n: int
    at: int
    what: str
    op: int = 0
    now: int = 0
    partition: int = 0
    epoch: int = 0
    older: int = 0
    number: int = 0
    count: int = 0
    level: int = 0
    delay: int = 0
    token: int = 0
    since: int = 0
    until: int = 0
    lane: str = ""
    text: str = ""
    fence: str = ""
    marks: str = ""
    ids: tuple[str, ...] = ()
    fences: tuple[str, ...] = ()
    sums: tuple[int, ...] = ()
    tokens: tuple[int, ...] = ()
    tries: tuple[str, ...] = ()
    stamps: tuple[int, ...] = ()
    refused: tuple[int, ...] = ()
    asked: tuple[int, ...] = ()


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Event).decode


_ahead_ns = int(os.environ[CLOCK]) if CLOCK in os.environ else None


def wall_us() -> int:
    """True time in µs: what this machine's clock says, also if this process is made to see another one."""
    return (time.time_ns() if _ahead_ns is None else time.monotonic_ns() + _ahead_ns) // 1000


def sum_of(record: bytes) -> int:
    """What tells a record from another."""
    return zlib.crc32(record)


def level_mark(level: int, *, tried: bool) -> str:
    """A level as a letter, a to k; a capital one if the task was tried before."""
    letter = chr(ord("a") + level)
    return letter.upper() if tried else letter


class Recorder:
    """Appends events to one file; any thread may."""

    def __init__(self, path: Path, *, bytes_max: int = FILE_BYTES_MAX) -> None:
        self.pid = os.getpid()
        self._file = os.open(path, os.O_APPEND | os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        self._numbers = itertools.count(1)
        self._bytes_max, self._bytes = bytes_max, os.fstat(self._file).st_size

    def write(self, what: str, **fields: int | str | tuple[int, ...] | tuple[str, ...]) -> int:
        """Write an event; its number."""
        event = Event(next(self._numbers), wall_us(), what, **fields)  # type: ignore[arg-type]  # by name, checked in tests
        line = _encode(event) + b"\n"
        self._bytes += len(line)
        if self._bytes > self._bytes_max:
            raise HistoryFull(f"the history of process {self.pid} has reached {self._bytes_max:,} bytes")
        os.write(self._file, line)
        return event.n

    def token(self) -> int:
        """A number nobody else has: it names one run of one body."""
        return self.pid << PID_SHIFT | next(self._numbers)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


_here: Recorder | None = None


def here(kind: str = "body") -> Recorder:
    """The recorder of this process, in the folder that `CHAOS_HISTORY` names; a child of a Spore gets its own."""
    global _here  # noqa: PLW0603 - a process has one history
    if _here is None or _here.pid != os.getpid():
        _here = Recorder(Path(os.environ[HISTORY]) / f"{kind}-{os.getpid()}-{time.time_ns()}.jsonl")
    return _here


def read(path: Path) -> Iterator[Event]:
    """The events of one file; a torn last line is left out. Raises `msgspec.MsgspecError` for any other bad one."""
    with path.open("rb") as lines:
        for line in lines:
            if line.endswith(b"\n"):
                yield _decode(line)
