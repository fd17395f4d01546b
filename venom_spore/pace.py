"""How many tasks a Spore claims: pure decisions.

It claims no more than it can start at once, plus a look-ahead worth about five milliseconds of its own
measured pace, so that the next batch is there when slots free up. Tasks of a second have no look-ahead
at all: no node hoards. What was claimed and could not start within `PATIENCE_S` is handed back.

A Spore that is busier than its peers has a budget from the Foreman (`placement.claim_budgets`). Beyond it the
Spore leaves work to them for `HESITATE_S` and takes it when nobody else did; while work waits for everybody,
the budget does not bind.
"""

from __future__ import annotations

from venom_core.infrastructure.task_store import TASKS_PER_CALL_MAX

LOOK_AHEAD_S = 0.005
AHEAD_SLOTS = 5  # sets of slots that are held ready at most
PATIENCE_S = 0.050
HESITATE_S = 0.050
QUICK_TASK_S = 0.005
_SMOOTHING = 0.05


class Pace:
    """Slots of one Spore and the smoothed time a task takes, in seconds."""

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.mean_s = 1.0
        self.budget: int | None = None
        self.insists = False

    def record(self, seconds: float) -> None:
        """One task took so long."""
        self.mean_s += (seconds - self.mean_s) * _SMOOTHING

    def look_ahead(self) -> int:
        """Tasks to hold ready beyond the slots."""
        return min(AHEAD_SLOTS * self.slots, int(self.slots * LOOK_AHEAD_S / max(self.mean_s, 1e-6)))

    def room(self, held: int) -> int:
        """Tasks to ask for when `held` are running or ready; 0 while asking is not worth a call yet.

        Quick tasks free their slots faster than a call takes, so it waits for a quarter of the room; for
        slow ones, and within a budget, every free slot is asked for at once. Never more than one call can bring:
        whoever gets less than it asked for takes the queue for empty.
        """
        capacity, least = self.slots + self.look_ahead(), 1
        if self._bound():
            capacity = min(capacity, self.budget or 0)
        elif self.mean_s < QUICK_TASK_S:
            least = min(max(capacity // 4, 1), TASKS_PER_CALL_MAX)
        free = capacity - held
        return min(free, TASKS_PER_CALL_MAX) if free >= least else 0

    def hesitates(self, held: int) -> bool:
        """Whether only the budget keeps a free slot from being filled."""
        return self._bound() and (self.budget or 0) <= held < self.slots

    def _bound(self) -> bool:
        return self.budget is not None and not self.insists
