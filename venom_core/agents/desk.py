"""The dispatcher's desk: what the nodes have and were given at one look, kept up to date while a tick gives away."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from venom_core.agents.wants import Want
from venom_core.domain.lane import WAITING, node_of, own_lane
from venom_core.domain.node import NodeState
from venom_core.domain.placement import free_slots
from venom_core.domain.roster import Roster
from venom_core.infrastructure.placement_store import Assignment, Move, Unplaced


class Desk:
    """One tick's view. `given` waits in the nodes' lines, `sent` is what they got since their last heartbeats."""

    def __init__(
        self, nodes: Sequence[NodeState], given: Mapping[str, int], sent: Mapping[str, int], roster: Roster
    ) -> None:
        # A cordoned node's line is looked through like that of one that is gone.
        self.online = {node.profile.name: node for node in nodes if node.takes_tasks}
        self.given = Counter(given)
        # What the last heartbeat does not tell of yet: waiting in the node's line, or sent there since.
        self._beyond = Counter({name: max(given.get(name, 0), sent.get(name, 0)) for name in {*given, *sent}})
        self.sent: Counter[str] = Counter()
        self._hopeless: set[Want] = set()
        self._roster, self._laid_out = roster, False

    def strays(self) -> list[str]:
        """Nodes whose lines are to be looked through: those that are gone, or have no slot free while another has."""
        idle = any(node.profile.kind == "spore" and self._free(node) > 0 for node in self.online.values())
        return [
            name for name in self.given if (node := self.online.get(name)) is None or (idle and free_slots(node) <= 0)
        ]

    def place(self, task: Unplaced, want: Want | None) -> Move | None:
        """Where a task should move from where it stands, if anywhere; without a `want` nobody understands it."""
        holder = self.online.get(node_of(task.lane) or "")
        target = self._target(want) if want is not None else None
        if holder is not None and (target is None or target is holder or self._free(target) <= 0):
            return None
        beyond = task.assignment.needs
        if target is None:
            return None if task.lane == WAITING else Move(task.task_id, task.lane, WAITING, Assignment("", beyond))
        self._count(target, 1)
        self.sent[target.profile.name] += 1
        if holder is not None:
            self._count(holder, -1)
            self._hopeless.clear()
        return Move(task.task_id, task.lane, own_lane(target.profile.name), Assignment(target.profile.name, beyond))

    def _target(self, want: Want) -> NodeState | None:
        """The best node that has not got as much ahead as it has slots."""
        if want in self._hopeless:
            return None
        if not self._laid_out:  # Only now, because most ticks have nothing to place.
            self._lay_out()
        found = self._roster.best(want.needs, want.task_type)
        if found is None:
            self._hopeless.add(want)
        return found

    def _lay_out(self) -> None:
        self._roster.renew(self.online.values(), self._beyond)
        for name, node in self.online.items():
            if self.given.get(name, 0) >= node.profile.concurrency:
                self._roster.bar(name, True)
        self._laid_out = True

    def _count(self, node: NodeState, more: int) -> None:
        name = node.profile.name
        self.given[name] += more
        self._beyond[name] += more
        self._roster.recount(name, self._beyond[name])
        self._roster.bar(name, self.given[name] >= node.profile.concurrency)

    def _free(self, node: NodeState) -> int:
        return free_slots(node, self._beyond[node.profile.name])
