"""Priorities 0-10, 10 most urgent, and the two words of the documents for them.

The order of the queue is one number per task: levels first, then arrival. A sequence counted by Redis
keeps first in, first out within a level exact, whatever any clock says. The number must survive a
double, which is how Redis keeps scores: 11 levels of 2**49 stay below 2**53.
"""

from __future__ import annotations

from venom_core.errors import InvalidTask

PRIORITY_MAX = 10
HIGH_FROM = 6
LEVEL_WIDTH = 2**49
WORDS = {"high_priority": 8, "background": 2}
DEFAULT_PRIORITY = WORDS["background"]

Priority = int | str


def parse_priority(priority: Priority) -> int:
    """A level 0-10 from a level or one of the two words; `InvalidTask` otherwise."""
    if type(priority) is int and 0 <= priority <= PRIORITY_MAX:
        return priority
    if isinstance(priority, str) and priority in WORDS:
        return WORDS[priority]
    raise InvalidTask(f"priority must be 0 to {PRIORITY_MAX}, 'high_priority' or 'background', not {priority!r:.60}")


def is_high(level: int) -> bool:
    """Whether the level belongs to the high-priority queue of the documents."""
    return level >= HIGH_FROM
