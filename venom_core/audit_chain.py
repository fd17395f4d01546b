"""A log of what concerns security, each line sealed to the one before it by a hash.

One JSON object a line: `{"seq", "at", "node", "event", "actor", "detail", "prev", "hash"}`. `hash` is the SHA-256
of the line without it, in sorted compact JSON, and `prev` is the hash of the line before (64 zeros at the first). So a
line that is changed, taken out, put in or moved breaks the chain where it stands. What is cut off at the end leaves a
chain that is whole: that shows only beside a *head*, a number and hash that somebody else has seen. The file
`<log>.head` holds the last one, and a Nexus keeps those that nodes have told it of.

A process that dies while it writes leaves a torn line. The next one closes it and says so, which the chain allows there
only. Who appends to a log that ends before its own head says so too, and no later head hides it. A log of
`ROTATE_BYTES` becomes `<log>.1`, the next one `<log>.2`, and the chain goes on in a new file; `PARTS_MAX` are kept.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TextIO

from venom_core.audit_mark import FILE_MODE, replace_text
from venom_core.clock import Clock, to_utc
from venom_core.errors import AuditBroken

if sys.platform != "win32":
    import fcntl

FIRST = "0" * 64
DETAIL_BYTES_MAX = 8192
NAME_BYTES_MAX = 1024
"""Of a text as it stands in the file, where a strange character takes twelve."""
LINE_BYTES_MAX = 16_384
ROTATE_BYTES = 64 * 1024 * 1024
PARTS_MAX = 16
COPIED = re.compile(r" @(\d{1,6}):(\d{1,20}-\d{1,20})$")
"""How the words of a line end that a Nexus copied from the hive: the part of the store, and the place in it."""
TORN, CUT = "torn", "cut"
OWNER = ".owner"
"""What the file beside a log is called that names who keeps it, and is locked while he runs."""
REMEDY = (
    "keep it as evidence: move it away together with the files beside it whose names begin with its own, then a new "
    "one begins by itself; venom audit verify --witness compares it with what a Nexus has seen"
)


@dataclass(frozen=True, slots=True)
class Head:
    """The end of a chain at some moment: how many lines, and the hash of the last."""

    seq: int = 0
    hash: str = FIRST


@dataclass(frozen=True, slots=True)
class Entry:
    """One line. `at`: ISO 8601 in UTC; `actor`: who did it, or whom it is about."""

    seq: int
    at: str
    node: str
    event: str
    actor: str
    detail: str
    prev: str
    hash: str = ""

    def sealed(self) -> str:
        """What its hash has to be."""
        told = {name: getattr(self, name) for name in ("seq", "at", "node", "event", "actor", "detail", "prev")}
        text = json.dumps(told, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def line(self) -> bytes:
        """The line in the file, sealed."""
        told = {name: getattr(self, name) for name in self.__slots__ if name != "hash"}
        return json.dumps({**told, "hash": self.sealed()}).encode() + b"\n"


@dataclass(frozen=True, slots=True)
class Line:
    """What is to be written down: what happened, by or to whom, and in which words; `node` says so."""

    event: str
    actor: str
    detail: str
    node: str


class AuditChain:
    """One log file, to which any process of this machine may append."""

    def __init__(self, path: Path, node: str, clock: Clock | None = None) -> None:
        self.path, self.node = path, node
        self._clock = clock or Clock()
        self._is_mine = False

    @property
    def head_file(self) -> Path:
        """Where the last head stands."""
        return self.path.with_name(f"{self.path.name}.head")

    def append(self, event: str, actor: str = "", detail: str = "") -> Head:
        """Add a line and make it last; blocks for the disk. `AuditBroken` if the log's end is no line, or `OSError`."""
        return self.extend([Line(event, actor, detail, self.node)])

    def extend(self, lines: Iterable[Line]) -> Head:
        """The same for any number of lines, of any node, with one wait for the disk."""
        with self._alone():
            self._rotate()
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
            with os.fdopen(descriptor, "r+b", buffering=0) as file:
                head = self._repaired(file)
                for line in lines:
                    head = self._write(file, head, line)
                os.fsync(file.fileno())
            replace_text(self.head_file, write_head(head))
            return head

    def head(self) -> Head:
        """The present end, as the file of heads says it; the first if there is none."""
        try:
            return read_head(self.head_file.read_text(encoding="ascii"))
        except FileNotFoundError:
            return Head()
        except (OSError, UnicodeDecodeError) as fault:
            raise AuditBroken(f"{self.head_file} cannot be read: {fault}") from None

    def _rotate(self) -> None:
        if not self.path.exists() or self.path.stat().st_size < ROTATE_BYTES:
            return
        old = older(self.path)
        number = _number(old[-1]) + 1 if old else 1
        self.path.replace(self.path.with_name(f"{self.path.name}.{number}"))
        for part in old[: max(len(old) + 1 - PARTS_MAX, 0)]:
            part.unlink()

    @contextmanager
    def claim(self, *, alone: bool = False) -> Iterator[None]:
        """For the length of a block this log is that of `node`; blocks for the disk.

        Other processes of the same node may write into it too; nobody else may if `alone`, as a Nexus is, in whose log
        the lines of all nodes stand. Raises `AuditBroken` if it is another's, or OSError.
        """
        with self.path.with_name(f"{self.path.name}{OWNER}").open("a+", encoding="utf-8") as file:
            with self._lock():
                self._take(file, alone=alone)
            self._is_mine = True
            try:
                yield
            finally:
                self._is_mine = False

    def _take(self, file: TextIO, *, alone: bool) -> None:
        if _locked(file, shared=False):
            file.truncate(0)
            file.write(self.node)
            file.flush()
            if not alone:
                _locked(file, shared=True)
        elif alone or _owner(file) != self.node or not _locked(file, shared=True):
            raise self._of_another(file)

    def _of_another(self, file: TextIO) -> AuditBroken:
        owner = _owner(file) or "another process"
        return AuditBroken(f"{self.path} is the audit of {owner}, which runs; give this process a file of its own")

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One writer at a time, and none in the log of somebody who writes it alone."""
        with self._lock():
            owned = self.path.with_name(f"{self.path.name}{OWNER}")
            if not self._is_mine and owned.exists():
                with owned.open("r", encoding="utf-8") as file:
                    if not _locked(file, shared=True):
                        raise self._of_another(file)
                    yield
            else:
                yield

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """One writer at a time; the kernel lets go when the file is closed."""
        with self.path.with_name(f"{self.path.name}.lock").open("a") as lock:
            if sys.platform != "win32":
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _repaired(self, file: BinaryIO) -> Head:
        """The end of the chain; what is wrong with it is written down first."""
        last, torn = _tail(file)
        if last is None and (old := older(self.path)):
            with old[-1].open("rb") as before:
                last, _ = _tail(before)
        head = Head() if last is None else Head(last.seq, last.hash)
        if torn:
            file.seek(0, os.SEEK_END)
            file.write(b"\n")
            words = "the line before this one was not written to its end"
            head = self._write(file, head, Line(TORN, "", words, self.node))
        if wrong := self._wrong_of_head(last):
            head = self._write(file, head, Line(CUT, "", wrong, self.node))
        return head

    def _wrong_of_head(self, last: Entry | None) -> str:
        """What the head that was written with the last line has against this end; empty if nothing."""
        try:
            told = self.head()
        except AuditBroken as fault:
            return str(fault)
        seq, digest = (last.seq, last.hash) if last is not None else (0, FIRST)
        if told.seq > seq or (told.seq == seq and told.hash != digest):
            return f"the log ended at {seq}, but its head was {write_head(told)}"
        return ""

    def _write(self, file: BinaryIO, head: Head, line: Line) -> Head:
        at = to_utc(self._clock.now_ms()).isoformat()
        node, what, who = (_clean(word, NAME_BYTES_MAX) for word in (line.node, line.event, line.actor))
        entry = Entry(head.seq + 1, at, node, what, who, _clean(line.detail, DETAIL_BYTES_MAX), head.hash)
        file.seek(0, os.SEEK_END)
        left = entry.line()
        while left:
            left = left[file.write(left) :]
        return Head(entry.seq, entry.sealed())


def _locked(file: TextIO, *, shared: bool) -> bool:
    """Take the lock that goes with an open file, if it is free; the kernel lets go when the file is closed."""
    if sys.platform != "win32":
        try:
            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def _owner(file: TextIO) -> str:
    file.seek(0)
    return file.read(NAME_BYTES_MAX)


def older(path: Path) -> list[Path]:
    """The parts before the present one of a log, oldest first."""
    parts = [part for part in path.parent.glob(f"{path.name}.*") if _number(part)]
    return sorted(parts, key=_number)


def _number(part: Path) -> int:
    """Which part of a log a file is; 0 if it is none."""
    digits = part.name.rpartition(".")[2]
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 10 else 0


def write_head(head: Head) -> str:
    """A head as text: `seq hash`."""
    return f"{head.seq} {head.hash}"


def read_head(text: str) -> Head:
    """The head in a text; `AuditBroken` if it is none."""
    seq, _, digest = text.strip().partition(" ")
    if not (seq.isascii() and seq.isdigit() and len(seq) < 16 and len(digest) == len(FIRST)):
        raise AuditBroken(f"{text.strip()!r:.60} is no head of an audit (a number and 64 hexadecimal digits)")
    return Head(int(seq), digest)


def read_entries(path: Path) -> Iterator[Entry | None]:
    """The lines of a log, oldest first; None for one that is not a line. `AuditBroken` if the file cannot be read."""
    return map(_entry, _raw_lines(path))


def _raw_lines(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            while raw := file.readline(LINE_BYTES_MAX):
                yield raw
    except OSError as fault:
        raise AuditBroken(f"{path} cannot be read: {fault.strerror}") from None


def verify(path: Path, witnesses: Iterable[Head] = ()) -> Head:
    """Check a whole log, and that it still holds each head that was seen of it; its end.

    Raises:
        AuditBroken: the first line that is wrong, or a head that is not in it; the sentence says which.
    """
    seen: dict[int, set[str]] = {}
    for each in witnesses:
        if each.seq:
            seen.setdefault(each.seq, set()).add(each.hash)
    parts, head = [*older(path), path], Head()
    if len(parts) > 1 and (first := next(read_entries(parts[0]), None)):
        # What was before it is gone for good, so its own beginning is believed.
        head = Head(first.seq - 1, first.prev)
    for part in parts:
        head = _walk(part, head, seen)
    if seen and head.seq < max(seen):
        raise _tampered(f"{path} ends at number {head.seq}, but number {max(seen)} has been seen: its end is cut off")
    return head


def _walk(path: Path, head: Head, seen: Mapping[int, set[str]]) -> Head:
    odd = b""
    for number, raw in enumerate(_raw_lines(path), 1):
        place, entry = f"line {number} of {path}", _entry(raw)
        if odd and (entry is None or entry.event != TORN):
            raise _tampered(f"line {number - 1} of {path} is no line of an audit: it was changed or cut")
        odd = raw if entry is None else b""
        if entry is not None:
            head = _next(place, head, entry)
            if not seen.get(entry.seq, {entry.hash}) <= {entry.hash}:
                raise _tampered(f"{place} is not what was seen as number {entry.seq}: it was written anew")
            if entry.event == CUT:
                raise _tampered(f"{place} says that the end before it was cut off: {entry.detail}")
    if odd.endswith(b"\n"):
        raise _tampered(f"the last line of {path} is no line of an audit: somebody else wrote it")
    if odd:
        raise AuditBroken(f"the last line of {path} is cut; if its writer died just then, its next line will say so")
    return head


def _next(place: str, head: Head, entry: Entry) -> Head:
    if entry.hash != entry.sealed():
        raise _tampered(f"{place} was changed: its hash is not that of what it says")
    if (entry.seq, entry.prev) != (head.seq + 1, head.hash):
        raise _tampered(f"{place} does not follow the one before it: lines were taken out or put in")
    return Head(entry.seq, entry.hash)


def _tampered(found: str) -> AuditBroken:
    return AuditBroken(f"{found}; {REMEDY}")


def _entry(raw: bytes) -> Entry | None:
    try:
        if not raw.endswith(b"\n"):
            return None
        entry = Entry(**json.loads(raw))
    except (ValueError, TypeError, RecursionError):
        return None
    words = (entry.at, entry.node, entry.event, entry.actor, entry.detail, entry.prev, entry.hash)
    return entry if type(entry.seq) is int and all(isinstance(word, str) for word in words) else None


def _tail(file: BinaryIO) -> tuple[Entry | None, bool]:
    """The last whole line, and whether something torn stands behind it; `AuditBroken` if no line can be found."""
    size = file.seek(0, os.SEEK_END)
    if not size:
        return None, False
    file.seek(max(0, size - 2 * LINE_BYTES_MAX))
    *whole, rest = file.read().split(b"\n")
    for raw in reversed(whole):
        if entry := _entry(raw + b"\n"):
            return entry, bool(rest)
    if size < LINE_BYTES_MAX and not whole:
        return None, True
    raise _tampered(f"the end of {file.name} is no line of an audit")


def _clean(text: str, bytes_max: int) -> str:
    """Text that any reader of the log can show, cut where it would be too long in the file."""
    kept, left = [], bytes_max
    for char in text[:bytes_max]:
        shown = char if char.isprintable() else "?"
        left -= len(json.dumps(shown)) - 2
        if left < 0:
            break
        kept.append(shown)
    return "".join(kept)
