"""Slots in order of a key, found among any subset at once.

A subset is an int with one bit a slot. The slots stand in rungs of about `RUNG` in order, and each rung has its slots
as bits too, so that the first of a subset is found by one AND a rung and one look through a single rung: some ten
microseconds among 10,000 slots, whichever subset it is.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable
from typing import Generic, TypeVar

RUNG = 128
# A smaller part of all keys that is new is put one by one, a greater one is worth sorting everything.
REFILL_OF = 8

K = TypeVar("K")


class Ladder(Generic[K]):
    """Slots (small numbers) by keys that can be compared with one another; of equal keys the smaller slot first."""

    def __init__(self) -> None:
        self._keys: dict[int, K] = {}
        self._rungs: list[list[tuple[K, int]]] = []
        self._bits: list[int] = []

    def __len__(self) -> int:
        return len(self._keys)

    def renew(self, keys: dict[int, K]) -> None:
        """Have exactly these slots with these keys."""
        gone = self._keys.keys() - keys.keys()
        new = [slot for slot, key in keys.items() if slot not in self._keys or self._keys[slot] != key]
        if (len(gone) + len(new)) * REFILL_OF > len(keys):
            self._fill(keys)
            return
        for slot in gone:
            self.drop(slot)
        for slot in new:
            self.put(slot, keys[slot])

    def _fill(self, keys: dict[int, K]) -> None:
        ordered = sorted(zip(keys.values(), keys, strict=True))
        self._keys = dict(keys)
        self._rungs = [ordered[at : at + RUNG] for at in range(0, len(ordered), RUNG)]
        self._bits = [bits_of(slot for _, slot in rung) for rung in self._rungs]

    def put(self, slot: int, key: K) -> None:
        """Give a slot its key, or another one."""
        self.drop(slot)
        if not self._rungs:
            self._rungs, self._bits = [[]], [0]
        at = self._rung_of((key, slot))
        insort(self._rungs[at], (key, slot))
        self._bits[at] |= 1 << slot
        self._keys[slot] = key
        if len(self._rungs[at]) > 2 * RUNG:
            self._split(at)

    def drop(self, slot: int) -> None:
        """Take a slot out, if it stands here."""
        if slot not in self._keys:
            return
        entry = self._keys.pop(slot), slot
        at = self._rung_of(entry)
        rung = self._rungs[at]
        del rung[bisect_left(rung, entry)]
        self._bits[at] ^= 1 << slot
        if not rung:
            del self._rungs[at], self._bits[at]

    def first(self, among: int) -> int | None:
        """The slot with the least key of those that have a bit in `among`; None if none of them stands here."""
        for bits, rung in zip(self._bits, self._rungs, strict=True):
            if found := bits & among:
                return next(slot for _, slot in rung if found >> slot & 1)
        return None

    def at_least(self, key: K) -> int:
        """Bits of the slots whose key is no less than this."""
        if not self._rungs:
            return 0
        at = self._rung_of((key, -1))
        rung = self._rungs[at]
        found = bits_of(slot for _, slot in rung[bisect_left(rung, (key, -1)) :])
        for bits in self._bits[at + 1 :]:
            found |= bits
        return found

    def _rung_of(self, entry: tuple[K, int]) -> int:
        """The last rung that does not begin behind the entry, or the first one."""
        return max(bisect_right(self._rungs, entry, key=_head) - 1, 0) if self._keys else 0

    def _split(self, at: int) -> None:
        rung = self._rungs[at]
        self._rungs[at : at + 1] = [rung[:RUNG], rung[RUNG:]]
        self._bits[at : at + 1] = [bits_of(slot for _, slot in part) for part in (rung[:RUNG], rung[RUNG:])]


def _head(rung: list[tuple[K, int]]) -> tuple[K, int]:
    return rung[0]


def bits_of(slots: Iterable[int]) -> int:
    """An int with one bit a slot."""
    # In a row of bytes, because each step on an int of ten thousand bits would copy it.
    every = list(slots)
    row = bytearray(max(every, default=0) // 8 + 1)
    for slot in every:
        row[slot >> 3] |= 1 << (slot & 7)
    return int.from_bytes(row, "little")
