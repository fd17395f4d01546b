"""What the launcher was about to do, persisted so that any moment of dying is a good one.

Each save is a temporary file, fsync, rename and fsync of the folder; each change is read, made and saved under one
lock, because the updater is another process. What cannot be read is never guessed at: see `Damaged`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from venom_spore.launcher.layout import LOCAL_FAULT, LauncherFault, Layout, held
from venom_spore.launcher.phases import Phase, allowed

SCHEMA = 1
STATE_BYTES_MAX = 65_536
KNOWN_BAD_MAX = 100
ACCEPTED_MAX = 100
NOTES_MAX = 50
WORDS_CHARS_MAX = 300
Number = TypeVar("Number", int, float)


class Damaged(LauncherFault):
    """`state.json` is no state of a launcher, so nobody knows whether what runs has proven itself."""


@dataclass(frozen=True, slots=True)
class Note:
    """One step that was taken, for the audit: `number` grows by one each time, `at_s` is seconds since the epoch."""

    number: int
    at_s: float
    phase: Phase
    release: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class State:
    """One moment of the state machine. Releases are named as their folders are; `known_bad` are versions.

    `previous`: where a rollback goes. `older`: where a second one would. `boots`: starts on trial without a verdict.
    `accepted_at`: when updates were staged, in seconds since the epoch. `app_version_floor`: version last committed.
    `heard_ms`: when the last hint was given that was followed. `notes`: the last steps, oldest first.
    """

    phase: Phase = Phase.IDLE
    current: str = ""
    previous: str = ""
    older: str = ""
    next: str = ""
    boots: int = 0
    known_bad: tuple[str, ...] = ()
    accepted_at: tuple[float, ...] = ()
    app_version_floor: str = ""
    heard_ms: int = 0
    notes: tuple[Note, ...] = ()

    def move(self, phase: Phase, **changes: Any) -> State:
        """The state in another phase; `LauncherFault` for a move that the table does not have."""
        if not allowed(self.phase, phase):
            raise LauncherFault(LOCAL_FAULT, f"an update cannot go from {self.phase} to {phase}")
        return replace(self, phase=phase, **changes)

    def noted(self, at_s: float, release: str, why: str = "") -> State:
        """The same with a note of its phase."""
        number = self.notes[-1].number + 1 if self.notes else 1
        note = Note(number, at_s, self.phase, release, why[:WORDS_CHARS_MAX])
        return replace(self, notes=(*self.notes, note)[-NOTES_MAX:])

    def blame(self, version: str) -> State:
        """The same, knowing that this version does not work here."""
        others = tuple(known for known in self.known_bad if known != version)
        return replace(self, known_bad=(*others, version)[-KNOWN_BAD_MAX:])

    def forgive(self, version: str) -> State:
        """The same, taking that back."""
        return replace(self, known_bad=tuple(known for known in self.known_bad if known != version))

    def accept(self, at_s: float) -> State:
        """The same, knowing that an update was staged at this moment."""
        return replace(self, accepted_at=(*self.accepted_at, at_s)[-ACCEPTED_MAX:])


def write_state(state: State) -> bytes:
    """The state as the bytes of its file."""
    return json.dumps({"schema": SCHEMA, **asdict(state)}, indent=1).encode() + b"\n"


def read_state(text: bytes) -> State:
    """The state in the bytes of its file; `Damaged`."""
    try:
        found = json.loads(text)
        if found.pop("schema", None) != SCHEMA:
            raise ValueError("of another schema")
        return _state(found)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as fault:
        raise Damaged(LOCAL_FAULT, f"state.json is no state of a launcher ({fault})") from None


def _state(found: dict[str, Any]) -> State:
    names = {field.name for field in fields(State)}
    if unknown := found.keys() - names:
        raise ValueError(f"unknown: {', '.join(sorted(unknown))}")
    state = State(
        phase=Phase(found["phase"]),
        current=_text(found["current"]),
        previous=_text(found["previous"]),
        older=_text(found["older"]),
        next=_text(found["next"]),
        boots=_number(found["boots"], int),
        known_bad=tuple(_text(item) for item in found["known_bad"]),
        accepted_at=tuple(_number(item, float) for item in found["accepted_at"]),
        app_version_floor=_text(found["app_version_floor"]),
        heard_ms=_number(found["heard_ms"], int),
        notes=tuple(_note(item) for item in found["notes"]),
    )
    for name in (state.current, state.previous, state.older, state.next):
        if "/" in name or "\0" in name or name in {".", ".."}:
            raise ValueError(f"{name!r:.80} is not the name of a release")
    return state


def _note(found: dict[str, Any]) -> Note:
    return Note(
        _number(found["number"], int),
        _number(found["at_s"], float),
        Phase(found["phase"]),
        _text(found["release"]),
        _text(found["why"]),
    )


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > WORDS_CHARS_MAX:
        raise TypeError(f"{value!r:.80} is not a short text")
    return value


def _number(value: Any, kind: type[Number]) -> Number:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e15:
        raise TypeError(f"{value!r:.80} is not a number")
    return kind(value)


class StateFile:
    """The state in one home folder. `load`, and `change` under a lock."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def load(self) -> State:
        """The state as it was saved last, or a first one; `Damaged`, and `LauncherFault` if it cannot be read."""
        try:
            with self._layout.state_file.open("rb") as file:
                text = file.read(STATE_BYTES_MAX + 1)
        except FileNotFoundError:
            return State()
        except OSError as fault:
            raise LauncherFault(LOCAL_FAULT, f"{self._layout.state_file} cannot be read: {fault.strerror}") from None
        if len(text) > STATE_BYTES_MAX:
            raise Damaged(LOCAL_FAULT, f"state.json is no state of a launcher (over {STATE_BYTES_MAX:,} bytes)")
        return read_state(text)

    def change(self, make: Callable[[State], State]) -> State:
        """Save what `make` makes of the state as it is now, and return it; what is unchanged is not written.

        Raises `Damaged`, `LauncherFault` for an illegal move, and `OSError` if the disk does not take it: then the
        old state stands.
        """
        with held(self._layout.state_lock, "", wait=True):
            old = self.load()
            new = make(old)
            if new != old:
                replace_file(self._layout.state_file, write_state(new))
            return new

    def write_again(self) -> None:
        """Save the state as it is; `OSError` if the disk takes nothing."""
        with held(self._layout.state_lock, "", wait=True):
            replace_file(self._layout.state_file, write_state(self.load()))

    def set_aside(self) -> str:
        """Move a damaged file out of the way, keeping it for whoever wants to know; its new name."""
        aside = self._layout.state_file.with_suffix(".damaged")
        with held(self._layout.state_lock, "", wait=True):
            self._layout.state_file.replace(aside)
            sync_folder(aside.parent)
        return aside.name


def replace_file(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Put a file in the place of another, whole or not at all, also if the power fails."""
    made = path.with_name(f"{path.name}.new")
    descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    try:
        left = memoryview(content)
        while left:
            left = left[os.write(descriptor, left) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    made.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a power failure."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
