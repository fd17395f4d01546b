"""What a Spore has claimed and not started yet: in the order of the claims, but the urgent goes first."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from venom_core.domain.task import priority_of
from venom_spore.execution import Attempt


class ReadyLine(deque[Attempt]):
    """First in, first out, within a level.

    What comes later and is more urgent than the first here goes before all of it. It is compared with the first alone,
    so a task of a low level that was claimed so that none starves is passed once, not by each claim.
    """

    def add(self, claimed: Sequence[Attempt]) -> None:
        """Line up what one claim brought, in its order."""
        if not self or not claimed:
            self.extend(claimed)
            return
        level = priority_of(self[0].lease.envelope)
        urgent = [attempt for attempt in claimed if priority_of(attempt.lease.envelope) > level]
        if urgent:
            self.extendleft(reversed(urgent))
            claimed = [attempt for attempt in claimed if priority_of(attempt.lease.envelope) <= level]
        self.extend(claimed)
