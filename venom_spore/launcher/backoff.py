"""How long to wait before a worker that died is started again. Pure; seconds of one clock."""

from __future__ import annotations

FIRST_S = 0.5
MOST_S = 60.0
FORGIVEN_S = 60.0


class Backoff:
    """Doubles with each death; a life of `FORGIVEN_S` is a fresh beginning."""

    def __init__(self, first_s: float = FIRST_S, most_s: float = MOST_S) -> None:
        self._first_s, self._most_s = first_s, most_s
        self._pause_s = first_s

    def after(self, lived_s: float) -> float:
        """The pause after a life of so many seconds."""
        if lived_s >= FORGIVEN_S:
            self._pause_s = self._first_s
        pause_s, self._pause_s = self._pause_s, min(self._pause_s * 2, self._most_s)
        return pause_s
