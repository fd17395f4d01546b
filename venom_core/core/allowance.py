"""So many in so many seconds: what anybody may ask for is not done as often as anybody likes."""

from __future__ import annotations

from collections import deque

from venom_core.clock import Clock


class Allowance:
    """At most `most` within any `seconds`."""

    def __init__(self, most: int, seconds: float, clock: Clock | None = None) -> None:
        self.most, self.seconds = most, seconds
        self._clock = clock or Clock()
        self._taken: deque[float] = deque()
        self._told = False

    def take(self) -> bool:
        """Whether one more is allowed now."""
        now_s = self._clock.monotonic_s()
        while self._taken and now_s - self._taken[0] >= self.seconds:
            self._taken.popleft()
        if len(self._taken) >= self.most:
            return False
        self._taken.append(now_s)
        self._told = False
        return True

    def first_refusal(self) -> bool:
        """Whether this is the first refusal since one was allowed: the only one that is worth a line."""
        told, self._told = self._told, True
        return not told
