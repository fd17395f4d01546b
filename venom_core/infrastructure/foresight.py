"""Guesses which new tasks their caller is going to wait for, so that the wish to hear of the end travels with the task.

Whoever enqueues one task and waits for it asks twice: once to enqueue, once to be told. A process that waited for the
task before will most likely wait for the next one. A wrong guess costs one message that nobody reads.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

# Tasks that were enqueued one by one and not (yet) waited for; whoever leaves more does not mean to wait.
AHEAD_MAX = 256
ENVELOPE_BYTES_MAX = 4096


@dataclass(slots=True)
class Guess:
    """A task that was registered unasked: its envelope, and its outcome record once that came."""

    envelope: bytes
    record: bytes = b""


class Foresight:
    """The guesses of one process."""

    def __init__(self) -> None:
        self._guesses: dict[str, Guess] = {}
        self._enqueued: deque[str] = deque(maxlen=AHEAD_MAX)
        self._waits = False

    def expects(self, task_id: str, envelope: bytes, *, hears: bool) -> bool:
        """Whether a task that is about to be enqueued is to be registered at once; `hears`: messages arrive now."""
        if not (self._waits and hears):
            self._enqueued.append(task_id)
            return False
        if len(self._guesses) >= AHEAD_MAX:
            self.forget()
            return False
        if len(envelope) > ENVELOPE_BYTES_MAX:
            return False
        self._guesses[task_id] = Guess(envelope)
        return True

    def redeem(self, task_id: str) -> Guess | None:
        """Somebody waits for this task: what is known of it if it was guessed right."""
        if not self._waits and task_id in self._enqueued:
            self._waits = True
            self._enqueued.clear()
        return self._guesses.pop(task_id, None)

    def redeem_ended(self, task_id: str) -> Guess | None:
        """The same if the task has ended already; otherwise nothing is redeemed."""
        guess = self._guesses.get(task_id)
        return self._guesses.pop(task_id) if guess is not None and guess.record else None

    def land(self, task_id: str, record: bytes) -> None:
        """The task ended before anybody waited; an empty record is one to be fetched."""
        guess = self._guesses.get(task_id)
        if guess is None:
            return
        if record:
            guess.record = record
        else:
            del self._guesses[task_id]

    def forget(self) -> None:
        """Messages may have been missed, or were not wanted: from now on whoever waits asks."""
        self._guesses.clear()
        self._waits = False
