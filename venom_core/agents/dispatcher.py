"""The dispatcher: gives tasks with requirements to nodes that meet them, and tells busy nodes to hold back.

It sleeps until such a task is enqueued or a node has emptied its line, and looks around with every heartbeat
besides. Where a task goes is decided by `domain/placement`; a node gets no more ahead of time than it has slots,
and what waits there is given to another node once that one has a slot free.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from venom_core.agents.service import Service
from venom_core.domain.lane import WAITING, own_lane
from venom_core.domain.node import NodeState
from venom_core.domain.placement import Requirements, choose, claim_budgets, free_slots
from venom_core.domain.task import open_task
from venom_core.errors import SecurityError
from venom_core.infrastructure.hive import Hive
from venom_core.infrastructure.leadership import Leadership
from venom_core.infrastructure.placement_store import Assignment, Move, Unplaced
from venom_core.infrastructure.wakeup import WakeLists

PAGE, PAGES_MAX = 200, 50
BUDGET_HEARTBEATS = 3


class Dispatcher(Service):
    """Placement that wants one pair of eyes; tasks without requirements are pulled, with or without it."""

    name = "dispatcher"

    def __init__(self, hive: Hive, leadership: Leadership) -> None:
        super().__init__(leadership)
        self._hive, self._lanes = hive, hive.placement
        self._wake = WakeLists(hive.link)
        self._sent: dict[str, tuple[int, int]] = {}
        self._budgeted = False
        self.interval_s = hive.rhythm.heartbeat_s

    async def wait(self) -> None:
        """Until there is something to place, for a heartbeat at most."""
        await self._wake.pop(self._lanes.wake_keys(), self.interval_s)

    async def tick(self) -> None:
        """Place what waits, take back what dead or busy nodes were given, set budgets."""
        nodes = await self._hive.nodes.all()
        for partition in range(self._lanes.keyspace.partitions):
            given = await self._lanes.given(partition)
            counts = self._counts(nodes, given)
            await self._give(partition, await self._strays(partition, nodes, given), nodes, counts)
            await self._give_waiting(partition, nodes, counts)
        await self._set_budgets(nodes)

    def _counts(self, nodes: Iterable[NodeState], given: dict[str, int]) -> dict[str, int]:
        """What each node got that its last heartbeat does not tell: waiting in its lane, or sent since."""
        counts = dict(given)
        for node in nodes:
            name = node.profile.name
            heard_ms, sent = self._sent.get(name, (0, 0))
            if heard_ms == node.heard_ms:
                counts[name] = max(counts.get(name, 0), sent)
            else:
                self._sent.pop(name, None)
        return counts

    async def _strays(self, partition: int, nodes: Sequence[NodeState], given: dict[str, int]) -> list[Unplaced]:
        """What was given to nodes that are gone, or that have no slot free while another has."""
        by_name = {node.profile.name: node for node in nodes if node.online}
        idle = any(node.profile.kind == "spore" and free_slots(node) > 0 for node in by_name.values())
        strays: list[Unplaced] = []
        for name in given:
            node = by_name.get(name)
            if node is None or (idle and free_slots(node) <= 0):
                strays += await self._lanes.given_to(partition, name, PAGE)
        return strays

    async def _give_waiting(self, partition: int, nodes: Sequence[NodeState], counts: dict[str, int]) -> None:
        """Page by page: what no node can take does not stand in the way of what comes after it."""
        skip = 0
        for _ in range(PAGES_MAX):
            _, page = await self._lanes.waiting(partition, skip, PAGE)
            skip += len(page) - await self._give(partition, page, nodes, counts)
            if len(page) < PAGE:
                return

    async def _give(
        self, partition: int, tasks: Sequence[Unplaced], nodes: Sequence[NodeState], counts: dict[str, int]
    ) -> int:
        """Give what can be given; the number that left the line it stood in."""
        moves = [move for task in tasks if (move := self._move(task, nodes, counts)) is not None]
        return len(await self._lanes.move(partition, moves)) if moves else 0

    def _move(self, task: Unplaced, nodes: Sequence[NodeState], counts: dict[str, int]) -> Move | None:
        needs, task_type = self._needs(task)
        node = choose(needs, task_type, nodes, counts)
        beyond = task.assignment.needs
        if node is None or free_slots(node, counts.get(node.profile.name, 0)) <= -node.profile.concurrency:
            holder = next((node for node in nodes if node.profile.name == task.assignment.node), None)
            lost = task.lane != WAITING and (holder is None or not holder.online)
            return Move(task.task_id, task.lane, WAITING, Assignment("", beyond)) if lost else None
        name = node.profile.name
        if task.lane == own_lane(name):
            return None
        counts[name] = counts.get(name, 0) + 1
        self._sent[name] = (node.heard_ms, self._sent.get(name, (0, 0))[1] + 1)
        return Move(task.task_id, task.lane, own_lane(name), Assignment(name, beyond))

    def _needs(self, task: Unplaced) -> tuple[Requirements, str | None]:
        try:
            body = open_task(self._hive.seal, task.task_id, task.envelope)
        except SecurityError:
            return Requirements(), None  # whichever node claims it refuses it and says so in the audit
        return Requirements.parse(body.requirements).merged(task.assignment.needs), body.task_type

    async def _set_budgets(self, nodes: Sequence[NodeState]) -> None:
        waiting = 0
        for partition in range(self._lanes.keyspace.partitions):
            waiting += await self._lanes.ready(partition)
        budgets = claim_budgets(nodes, waiting)
        if budgets or self._budgeted:
            ttl_ms = round(self.interval_s * 1000 * BUDGET_HEARTBEATS)
            await self._hive.nodes.set_budgets(budgets, ttl_ms)
        self._budgeted = bool(budgets)
