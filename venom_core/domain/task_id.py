"""Task ids: time-ordered, free of collisions across processes, and cheap enough to make 100,000 a second.

An id is 26 hexadecimal digits: 11 of milliseconds, 5 of a counter, 10 that are random for the maker. The
random part is drawn anew after a fork, or two children of one parent would make the same ids. A maker
serves one thread: two that shared one would read the same counter.
"""

from __future__ import annotations

import os
import re
import secrets

from venom_core.errors import InvalidTask

ID_CHARS_MAX = 128
TYPE_CHARS_MAX = 128
_ID = re.compile(r"[!-~]{1,%d}" % ID_CHARS_MAX)
_TYPE = re.compile(r"[A-Za-z0-9_.:-]{1,%d}" % TYPE_CHARS_MAX)
_COUNTER_MAX = 0xFFFFF


class TaskIds:
    """Makes ids for one thread; the time only ever goes forward, so ids stay in order."""

    def __init__(self) -> None:
        self._last_ms = 0
        self._counter = 0
        self._draw()

    def _draw(self) -> None:
        self._pid, self._maker = os.getpid(), secrets.token_hex(5)

    def take(self, count: int, now_ms: int) -> list[str]:
        """`count` new ids, in order, all greater than any taken before from this maker."""
        if os.getpid() != self._pid:
            self._draw()
        if now_ms > self._last_ms:
            self._last_ms, self._counter = now_ms, 0
        ids: list[str] = []
        while len(ids) < count:
            first = self._counter
            last = min(first + count - len(ids), _COUNTER_MAX)
            prefix, maker = f"{self._last_ms:011x}", self._maker
            ids += [f"{prefix}{number:05x}{maker}" for number in range(first, last)]
            self._counter = last
            if last == _COUNTER_MAX:
                self._last_ms, self._counter = self._last_ms + 1, 0
        return ids


def check_id(task_id: str) -> str:
    """The id itself if it is 1-128 printable ASCII characters without spaces; `InvalidTask` otherwise."""
    if isinstance(task_id, str) and _ID.fullmatch(task_id):
        return task_id
    raise InvalidTask(
        f"a task id is 1 to {ID_CHARS_MAX} printable ASCII characters without spaces, not {task_id!r:.60}"
    )


def check_type(task_type: str) -> str:
    """The type itself if it is 1-128 letters, digits, `_ . : -`; `InvalidTask` otherwise."""
    if isinstance(task_type, str) and _TYPE.fullmatch(task_type):
        return task_type
    raise InvalidTask(
        f"a task type is 1 to {TYPE_CHARS_MAX} letters, digits, '_', '.', ':' or '-', not {task_type!r:.60}"
    )
