"""When to look for a signed update: at start, now and then, and soon after a hint. Pure; seconds of one clock.

Anybody who can reach the hive's Redis can send hints, so they only bring a look forward, and at most one in
`hint_every_s`, whatever is sent. Polls are spread, or a fleet that was started together would ask together.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable

POLL_S = 3600.0
HINT_EVERY_S = 30.0
SPREAD = 0.2


class Looks:
    """The moments to look of one launcher."""

    def __init__(
        self,
        poll_s: float = POLL_S,
        hint_every_s: float = HINT_EVERY_S,
        draw: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._poll_s, self._hint_every_s, self._draw = poll_s, hint_every_s, draw
        self._hinted_s = -math.inf
        self.next_s = -math.inf
        """When to look next."""

    def hint(self, now_s: float) -> None:
        """Somebody says that there is something."""
        wanted = max(now_s, self._hinted_s + self._hint_every_s)
        if wanted < self.next_s:
            self.next_s = self._hinted_s = wanted

    def begun(self, now_s: float) -> None:
        """A look begins."""
        self.next_s = now_s + self._poll_s * self._draw(1 - SPREAD, 1 + SPREAD)
