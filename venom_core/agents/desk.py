"""The dispatcher's desk: what the nodes have and were given, kept up to date while a tick gives away.

A desk is for one tick. What was seen of the nodes (`Look`) may serve several, and orders them only when somebody has
to choose.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from venom_core.agents.wants import Want
from venom_core.domain.lane import WAITING, node_of, own_lane
from venom_core.domain.node import NodeState
from venom_core.domain.placement import free_slots
from venom_core.domain.roster import Roster
from venom_core.infrastructure.placement_store import Assignment, Move, Unplaced


class Look:
    """The nodes as they were at one moment, and when each had last been heard, by name."""

    def __init__(self, nodes: Sequence[NodeState], roster: Roster) -> None:
        self.nodes = nodes
        # A cordoned node's line is looked through like that of one that is gone.
        self.online = {node.profile.name: node for node in nodes if node.takes_tasks}
        self.heard = {node.profile.name: node.heard_ms for node in nodes}
        self._roster, self._laid_out = roster, False

    def lay_out(self, given: Mapping[str, int], beyond: Mapping[str, int]) -> Roster:
        """These nodes to choose from, but for those that have got as much ahead as they have slots."""
        if self._laid_out:
            self._roster.count(beyond)
        else:
            self._roster.renew((node for node in self.online.values() if node.profile.concurrency > 0), beyond)
        self._laid_out = True
        slots = {name: node.profile.concurrency for name in given if (node := self.online.get(name)) is not None}
        self._roster.bar_only(name for name, number in slots.items() if given[name] >= number)
        return self._roster


class Desk:
    """One tick's view. `given` waits in the nodes' lines, `sent` is what they got since their last heartbeats."""

    def __init__(self, look: Look, given: Mapping[str, int], sent: Mapping[str, int]) -> None:
        self.given = Counter(given)
        self.sent: Counter[str] = Counter()
        self._look, self._online = look, look.online
        # What the last heartbeat does not tell of yet: waiting in the node's line, or sent there since.
        self._beyond = Counter({name: max(given.get(name, 0), sent.get(name, 0)) for name in {*given, *sent}})
        self._hopeless: set[Want] = set()
        self._roster: Roster | None = None

    def strays(self) -> list[str]:
        """Nodes whose lines are to be looked through: those that are gone, or have no slot free while another has."""
        gone = [name for name in self.given if name not in self._online]
        busy = [name for name in self.given if name in self._online and free_slots(self._online[name]) <= 0]
        idle = busy and any(node.profile.kind == "spore" and self._free(node) > 0 for node in self._online.values())
        return gone + busy if idle else gone

    def place(self, task: Unplaced, want: Want | None) -> Move | None:
        """Where a task should move from where it stands, if anywhere; without a `want` nobody understands it."""
        holder = self._online.get(node_of(task.lane) or "")
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
        if self._roster is None:  # Only now, because most ticks have nothing to place.
            self._roster = self._look.lay_out(self.given, self._beyond)
        found = self._roster.best(want.needs, want.task_type)
        if found is None:
            self._hopeless.add(want)
        return found

    def _count(self, node: NodeState, more: int) -> None:
        name = node.profile.name
        self.given[name] += more
        self._beyond[name] += more
        if self._roster is not None:
            self._roster.recount(name, self._beyond[name])
            self._roster.bar(name, self.given[name] >= node.profile.concurrency)

    def _free(self, node: NodeState) -> int:
        return free_slots(node, self._beyond[node.profile.name])
