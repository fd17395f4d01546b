"""What a worker says to its launcher: lines of JSON on a pipe. Whatever it says is bounded, and nothing is believed
that it is not asked for: a release on trial writes here too.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass
from typing import Any

LINE_BYTES_MAX = 4_096
READ_BYTES_MAX = 65_536
WORDS_CHARS_MAX = 200
GAP_S_MAX, DRAIN_S_MAX, AT_MS_MAX = 86_400.0, 86_400.0, 1e14
SAYS = frozenset({"up", "ready", "beat", "self-test", "check", "look", "staged"})


@dataclass(frozen=True, slots=True)
class Word:
    """One thing said. `gap_s` and `drain_s` come with "ready", `at_ms` of the epoch with "look"; 0 if not given."""

    say: str
    ok: bool = False
    why: str = ""
    at_ms: int = 0
    gap_s: float = 0.0
    drain_s: float = 0.0


def read_word(line: bytes) -> Word | None:
    """The word in one line, or None if it is none that a launcher knows."""
    try:
        found: Any = json.loads(line)
    except (ValueError, RecursionError):
        return None
    say = found.get("say") if isinstance(found, dict) else None
    if not isinstance(say, str) or say not in SAYS:
        return None
    return Word(
        say=say,
        ok=found.get("ok") is True,
        why=_text(found.get("why")),
        at_ms=round(_number(found.get("at_ms"), AT_MS_MAX)),
        gap_s=_number(found.get("gap_s"), GAP_S_MAX),
        drain_s=_number(found.get("drain_s"), DRAIN_S_MAX),
    )


def _text(value: Any) -> str:
    shown = value[:WORDS_CHARS_MAX] if isinstance(value, str) else ""
    return "".join(character if character.isprintable() else "?" for character in shown)


def _number(value: Any, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
        return 0.0
    return float(value)


class Link:
    """The launcher's end of the pipe; never blocks."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._rest = b""
        self._skipping = False
        self._ended = False
        os.set_blocking(descriptor, False)

    def ended(self) -> bool:
        """Whether nobody can say anything any more."""
        return self._ended

    def read(self) -> list[Word]:
        """What was said since."""
        if self._ended:
            return []
        try:
            data = os.read(self.descriptor, READ_BYTES_MAX)
        except BlockingIOError:
            return []
        if not data:
            self._ended = True
        *lines, self._rest = (self._rest + data).split(b"\n")
        if self._skipping and lines:
            lines, self._skipping = lines[1:], False
        if len(self._rest) > LINE_BYTES_MAX:
            self._rest, self._skipping = b"", True
        words = [read_word(line) for line in lines if len(line) <= LINE_BYTES_MAX]
        return [word for word in words if word is not None]

    def close(self) -> None:
        """Hear nothing more; who writes from now on gets an error."""
        self._ended = True
        with contextlib.suppress(OSError):
            os.close(self.descriptor)
