"""The nodes of one look, kept in such order that the best for a task is found without asking each of them.

It answers what `placement.choose` answers over the same nodes, in time that hardly grows with their number. What a
node is (skills, tags, capabilities, GPUs, release) is entered once, when it joins; how it fares (load, free memory)
with every look. Each requirement is a set of nodes, written as an int with one bit a node, so that meeting all of
them is an AND; the first in rank among those that are left is the choice.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from venom_core.domain.ladder import Ladder, bits_of
from venom_core.domain.node import NodeProfile, NodeState
from venom_core.domain.placement import Rank, Requirements, rank, release_order

# A kind of property and the name of one, such as ("tag", "cellar").
_Trait = tuple[str, str]
_GPUS, _RELEASE = ("gpus", ""), ("release", "")


class Roster:
    """Spores that take tasks, ready to be chosen from; not for use by several threads at once."""

    def __init__(self) -> None:
        self._slots: dict[str, int] = {}
        self._nodes: dict[int, NodeState] = {}
        self._vacant: list[int] = []
        self._all = self._open = 0
        self._given: dict[str, int] = {}
        self._having: dict[_Trait, int] = {}
        self._measured: dict[_Trait, Ladder[Any]] = {}
        self._ranked, self._free_mb = Ladder[Rank](), Ladder[float]()

    def renew(self, nodes: Iterable[NodeState], given: Mapping[str, int] | None = None) -> None:
        """Take a new look: every node there is now, and what each got since its last heartbeat. Nobody is barred."""
        every = {node.profile.name: node for node in nodes if node.takes_tasks and node.profile.kind == "spore"}
        for name in self._slots.keys() - every.keys():
            self._leave(name)
        for name, node in every.items():
            slot = self._slots.get(name)
            if slot is not None and self._is_still(slot, node.profile):
                self._nodes[slot] = node
            else:
                self._enter(node)
        self._all = self._open = bits_of(self._nodes)
        self._given = dict(given or {})
        loads = {slot: node.load for slot, node in self._nodes.items()}
        self._ranked.renew(
            {slot: rank(node, self._given.get(node.profile.name, 0)) for slot, node in self._nodes.items()}
        )
        self._free_mb.renew(
            {slot: mb for slot, load in loads.items() if 0 < (mb := load.memory_available_mb) < math.inf}
        )

    def count(self, given: Mapping[str, int]) -> None:
        """What nodes got since their last heartbeat is this now, and nothing for those that are not named."""
        for name in {*self._given, *given}:
            self.recount(name, given.get(name, 0))
        self._given = dict(given)

    def recount(self, name: str, given: int) -> None:
        """What one node got since its last heartbeat is another number now."""
        slot = self._slots.get(name)
        if slot is not None and self._given.get(name, 0) != given:
            self._ranked.put(slot, rank(self._nodes[slot], given))
        self._given[name] = given

    def bar(self, name: str, barred: bool) -> None:
        """Leave a node out of every choice, or let it in again; until the next look."""
        if (slot := self._slots.get(name)) is not None:
            self._open = self._open & ~(1 << slot) if barred else self._open | 1 << slot

    def bar_only(self, names: Iterable[str]) -> None:
        """Leave exactly these out of every choice, until the next look."""
        self._open = self._all & ~bits_of(slot for name in names if (slot := self._slots.get(name)) is not None)

    def best(self, needs: Requirements, task_type: str | None) -> NodeState | None:
        """The node for one task, as `placement.choose` defines it; None if none that is not barred can take it."""
        able = self._open
        if needs.node:
            slot = self._slots.get(needs.node)
            able &= 0 if slot is None else 1 << slot
        for trait in _wanted(needs, task_type):
            able &= self._having.get(trait, 0)
        for trait, least in _least(needs) if able else ():
            ladder = self._measured.get(trait)
            able &= 0 if ladder is None else ladder.at_least(least)
        if able and needs.memory_mb:
            able &= self._free_mb.at_least(needs.memory_mb)
        found = self._ranked.first(able) if able else None
        return None if found is None else self._nodes[found]

    def _is_still(self, slot: int, profile: NodeProfile) -> bool:
        known = self._nodes[slot].profile
        return known is profile or known == profile

    def _enter(self, node: NodeState) -> None:
        if node.profile.name in self._slots:
            self._leave(node.profile.name)
        slot = self._vacant.pop() if self._vacant else len(self._slots)
        self._slots[node.profile.name], self._nodes[slot] = slot, node
        for trait in _traits(node.profile):
            self._having[trait] = self._having.get(trait, 0) | 1 << slot
        for trait, measure in _measures(node.profile):
            self._measured.setdefault(trait, Ladder()).put(slot, measure)

    def _leave(self, name: str) -> None:
        slot = self._slots.pop(name)
        profile = self._nodes.pop(slot).profile
        self._vacant.append(slot)
        for trait in _traits(profile):
            self._having[trait] &= ~(1 << slot)
            if not self._having[trait]:
                del self._having[trait]
        for trait, _ in _measures(profile):
            self._measured[trait].drop(slot)
            if not len(self._measured[trait]):
                del self._measured[trait]


def _traits(profile: NodeProfile) -> set[_Trait]:
    """What it has."""
    return {*(("skill", skill) for skill in profile.skills), *(("tag", tag) for tag in profile.tags)}


def _measures(profile: NodeProfile) -> Iterator[tuple[_Trait, Any]]:
    """What it has so much of; a measure that meets no requirement whatever is left out."""
    yield _RELEASE, release_order(profile.release)
    if profile.gpus > 0:
        yield _GPUS, profile.gpus
    for name, proficiency in profile.capabilities.items():
        if 0 <= proficiency <= 1:
            yield ("capability", name), proficiency


def _wanted(needs: Requirements, task_type: str | None) -> Iterator[_Trait]:
    if task_type is not None:
        yield "skill", task_type
    for tag in needs.tags:
        yield "tag", tag


def _least(needs: Requirements) -> Iterator[tuple[_Trait, Any]]:
    for name, least in needs.capabilities:
        yield ("capability", name), least
    if needs.gpu:
        yield _GPUS, needs.gpu
    if needs.code:
        yield _RELEASE, release_order(needs.code)
