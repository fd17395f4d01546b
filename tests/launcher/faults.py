"""Every call by which a process changes files is a moment at which it may die, or the disk may refuse.

`changes` counts them in this process: what `os` offers, and writes of files that Python opened by itself. A `Fault`
does its worst at one of them. Killing is `os._exit`: nothing is flushed, no `finally` runs, as with kill -9.
"""

from __future__ import annotations

import builtins
import errno
import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

KILLED = 86
# Each call of these is one point, before it happens; `write` is a second one in the middle of what it writes.
CALLS = (
    "mkdir", "makedirs", "rename", "replace", "rmdir", "unlink", "remove", "symlink", "link", "truncate", "ftruncate",
    "chmod", "fchmod", "utime", "fsync", "fdatasync", "open", "write", "posix_fallocate",
)  # fmt: skip
# What a full disk still does: taking away, and reading.
NEEDS_NO_ROOM = frozenset(
    {"unlink", "remove", "rmdir", "fsync", "fdatasync", "truncate", "ftruncate", "utime", "chmod"}
)


@dataclass
class Fault:
    """What happens at the `at`-th change, counted from 1; 0: only counting. `lasting`: at all that follow as well."""

    at: int = 0
    kill: bool = False
    error: int = 0
    lasting: bool = False
    count: int = 0
    names: list[str] = field(default_factory=list)

    def strike(self, name: str, *, needs_room: bool = True) -> None:
        """One change is about to happen."""
        self.count += 1
        self.names.append(name)
        hit = self.at and (self.count == self.at or (self.lasting and self.count > self.at))
        if hit and self.kill:
            os._exit(KILLED)
        if hit and self.error and (needs_room or self.error != errno.ENOSPC):
            raise OSError(self.error, os.strerror(self.error))


class _TellingFile(io.FileIO):
    """A file that Python opened for writing: it may die between the halves of what it writes."""

    fault: Fault

    def write(self, data: Any, /) -> int:
        view = memoryview(data).cast("B")
        self.fault.strike("file.write")
        half = len(view) // 2
        super().write(view[:half])
        self.fault.strike("file.write half")
        return half + (super().write(view[half:]) or 0)


@contextmanager
def changes(fault: Fault) -> Iterator[Fault]:
    """For the length of a block every change of a file is told to `fault`."""
    real = {name: getattr(os, name) for name in CALLS if hasattr(os, name)}
    opens = (builtins.open, io.open)
    try:
        for name, call in real.items():
            setattr(os, name, _told(name, call, fault))
        opener = _opening(opens[0], fault)
        builtins.open = io.open = opener
        yield fault
    finally:
        for name, call in real.items():
            setattr(os, name, call)
        builtins.open, io.open = opens


def _told(name: str, call: Callable[..., Any], fault: Fault) -> Callable[..., Any]:
    def opened(path: Any, flags: int, *more: Any, **options: Any) -> Any:
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC):
            fault.strike("open for writing")
        return call(path, flags, *more, **options)

    def written(descriptor: int, data: Any) -> Any:
        view = memoryview(data).cast("B")
        fault.strike("write")
        if fault.at == fault.count + 1:
            call(descriptor, view[: len(view) // 2])
        fault.strike("write half")
        return call(descriptor, view)

    def done(*arguments: Any, **options: Any) -> Any:
        fault.strike(name, needs_room=name not in NEEDS_NO_ROOM)
        return call(*arguments, **options)

    doubles: dict[str, Callable[..., Any]] = {"open": opened, "write": written}
    return doubles.get(name, done)


def _opening(real: Callable[..., Any], fault: Fault) -> Callable[..., Any]:
    """As `open` does it, for files that are written."""

    def opened(file: Any, mode: str = "r", buffering: int = -1, *more: Any, **options: Any) -> Any:
        if not set(mode) & set("wax+") or isinstance(file, int):
            return real(file, mode, buffering, *more, **options)
        fault.strike("open for writing")
        raw = _TellingFile(file, mode.replace("b", "").replace("t", ""), opener=options.get("opener"))
        raw.fault = fault
        if "b" in mode and buffering == 0:
            return raw
        buffered = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
        if "b" in mode:
            return buffered
        encoding, errors, newline = (*more, None, None, None)[:3]
        return io.TextIOWrapper(
            buffered,
            options.get("encoding", encoding) or "utf-8",
            options.get("errors", errors),
            options.get("newline", newline),
            write_through=True,
        )

    return opened


def in_child(work: Callable[[], object]) -> int:
    """Run in a forked copy of this process, to its end or its death; the exit code, 1 for an error that got out."""
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            sys.stderr.flush()
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
