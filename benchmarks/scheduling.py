"""Schedulers on machines of unequal speed, pure: what a recorded run is compared with.

A slot belongs to a node; it runs a task of `work` seconds in `work * factor` seconds, one after another, from `free_s`
on (until then the node is loaded with something else). A schedule's makespan is when its last task ends.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate

Works = Sequence[float]


@dataclass(frozen=True, slots=True)
class Slot:
    """Where one task at a time can run."""

    node: int
    factor: float
    free_s: float = 0.0


Scheduler = Callable[[Works, Sequence[Slot]], float]


def earliest_end(works: Works, slots: Sequence[Slot]) -> float:
    """Makespan of giving each task in turn to the slot on which it would end first."""
    ends = [slot.free_s for slot in slots]
    last = 0.0
    for work in works:
        end, place = min((ends[number] + work * slot.factor, number) for number, slot in enumerate(slots))
        ends[place] = end
        last = max(last, end)
    return last


def all_knowing(works: Works, slots: Sequence[Slot]) -> float:
    """Knows every task's work and every slot's speed before it begins: longest first, each where it ends first."""
    return earliest_end(sorted(works, reverse=True), slots)


def plain_pull(works: Works, slots: Sequence[Slot]) -> float:
    """Whoever is free takes the next in line, and knows nothing; of two that are free at once the first in the list."""
    free = [(slot.free_s, number) for number, slot in enumerate(slots)]
    heapq.heapify(free)
    last = 0.0
    for work in works:
        begin, number = free[0]
        end = begin + work * slots[number].factor
        heapq.heapreplace(free, (end, number))
        last = max(last, end)
    return last


def round_robin(works: Works, slots: Sequence[Slot]) -> float:
    """Every node is dealt one task after another, as many as each other node; on a node whoever is free pulls."""
    nodes = sorted({slot.node for slot in slots})
    return _dealt(works, slots, [nodes[number % len(nodes)] for number in range(len(works))])


def at_random(works: Works, slots: Sequence[Slot], seed: int = 1) -> float:
    """Every task goes to any node, each as likely."""
    nodes, dice = sorted({slot.node for slot in slots}), random.Random(seed)
    return _dealt(works, slots, [dice.choice(nodes) for _ in works])


def lower_bound(works: Works, slots: Sequence[Slot]) -> float:
    """No schedule ends before this: all work over all speeds, and the k longest on the k fastest slots, if all began
    at once on slots that are free from the start; and no sooner than what loads the slots leaves room for.
    """
    if not works:
        return 0.0
    longest, speeds = sorted(works, reverse=True), sorted((1 / slot.factor for slot in slots), reverse=True)
    few = zip(accumulate(longest), accumulate(speeds), strict=False)
    return max(*(work / speed for work, speed in few), _room_bound(sum(works), slots))


def _room_bound(work: float, slots: Sequence[Slot]) -> float:
    """When all slots together have had room for so much work, each from the moment when it is free."""
    speed = room = at = 0.0
    for slot in sorted(slots, key=lambda slot: slot.free_s):
        more = speed * (slot.free_s - at)
        if speed and room + more >= work:
            break
        room, at, speed = room + more, slot.free_s, speed + 1 / slot.factor
    return at + (work - room) / speed


def _dealt(works: Works, slots: Sequence[Slot], places: Sequence[int]) -> float:
    hands: dict[int, list[float]] = {slot.node: [] for slot in slots}
    for work, node in zip(works, places, strict=True):
        hands[node].append(work)
    return max(plain_pull(hand, [slot for slot in slots if slot.node == node]) for node, hand in hands.items())
