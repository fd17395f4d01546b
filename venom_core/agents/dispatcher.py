"""The dispatcher: gives tasks with requirements to nodes that meet them, and tells busy nodes to hold back.

It sleeps until such a task is enqueued or comes due, or a node has emptied its line, and looks around with every
heartbeat besides. Where a task goes is decided by `domain/placement`; a node gets no more ahead of time than it has
slots, and what waits there is given to another node once that one has a slot free.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from venom_core.agents.service import Service
from venom_core.domain.lane import WAITING, node_of, own_lane
from venom_core.domain.node import NodeState, finite_percent
from venom_core.domain.placement import Requirements, choose, claim_budgets, free_slots, full_if_silent
from venom_core.domain.task import open_task
from venom_core.errors import InvalidTask, SecurityError
from venom_core.infrastructure.hive import Hive
from venom_core.infrastructure.leadership import Leadership
from venom_core.infrastructure.placement_store import Assignment, Move, Unplaced
from venom_core.infrastructure.wakeup import WakeLists

PAGE, PAGES_MAX = 200, 50
BUDGET_HEARTBEATS = 3
CPU_SMOOTHING = 0.3
SILENT_HEARTBEATS = 3
WARNED_MAX = 1_000

Needs = tuple[Requirements, str | None]


class Desk:
    """One look at the nodes, kept up to date with what is given away during a tick."""

    def __init__(self, nodes: Sequence[NodeState], given: Mapping[str, int], sent: Mapping[str, int]) -> None:
        # A cordoned node's line is looked through like that of one that is gone.
        self.online = {node.profile.name: node for node in nodes if node.takes_tasks}
        self.given = Counter(given)
        # What the last heartbeat does not tell of yet: waiting in the node's line, or sent there since.
        self._beyond = Counter({name: max(given.get(name, 0), sent.get(name, 0)) for name in {*given, *sent}})
        self.sent: Counter[str] = Counter()
        self._hopeless: set[Needs] = set()

    def strays(self) -> list[str]:
        """Nodes whose lines are to be looked through: those that are gone, or have no slot free while another has."""
        idle = any(node.profile.kind == "spore" and self._free(node) > 0 for node in self.online.values())
        return [
            name for name in self.given if (node := self.online.get(name)) is None or (idle and free_slots(node) <= 0)
        ]

    def place(self, task: Unplaced, needs: Needs | None) -> Move | None:
        """Where a task should move from where it stands, if anywhere; None for `needs` is a task nobody understands."""
        holder = self.online.get(node_of(task.lane) or "")
        target = self._target(needs) if needs is not None else None
        if holder is not None and (target is None or target is holder or self._free(target) <= 0):
            return None
        beyond = task.assignment.needs
        if target is None:
            return None if task.lane == WAITING else Move(task.task_id, task.lane, WAITING, Assignment("", beyond))
        name = target.profile.name
        self.given[name] += 1
        self._beyond[name] += 1
        self.sent[name] += 1
        if holder is not None:
            self.given[holder.profile.name] -= 1
            self._beyond[holder.profile.name] -= 1
            self._hopeless.clear()
        return Move(task.task_id, task.lane, own_lane(name), Assignment(name, beyond))

    def _target(self, needs: Needs) -> NodeState | None:
        """The best node that has not got as much ahead as it has slots."""
        if needs in self._hopeless:
            return None
        with_room = [node for name, node in self.online.items() if self.given[name] < node.profile.concurrency]
        found = choose(*needs, with_room, self._beyond)
        if found is None:
            self._hopeless.add(needs)
        return found

    def _free(self, node: NodeState) -> int:
        return free_slots(node, self._beyond[node.profile.name])


class Dispatcher(Service):
    """Placement that wants one pair of eyes; tasks without requirements are pulled, with or without it."""

    name = "dispatcher"

    def __init__(self, hive: Hive, leadership: Leadership) -> None:
        super().__init__(leadership)
        self._hive, self._lanes = hive, hive.placement
        self._wake = WakeLists(hive.link)
        self._sent: dict[str, tuple[int, int]] = {}
        self._stopped_at: dict[tuple[int, str], int] = {}
        self._due_ms = math.inf
        self._warned: set[str] = set()
        self._budgeted = False
        self._cpu: dict[str, tuple[int, float]] = {}
        self.interval_s = hive.rhythm.heartbeat_s

    async def wait(self) -> None:
        """Until there is something to place, for a heartbeat at most."""
        await self._wake.pop(self._lanes.wake_keys(), min(self.interval_s, max(self._due_ms, 1) / 1000))

    async def tick(self) -> None:
        """Place what waits, take back what dead or busy nodes were given, set budgets."""
        silent_ms = round(self.interval_s * 1000 * SILENT_HEARTBEATS)
        nodes = [full_if_silent(node, silent_ms) for node in await self._hive.nodes.all()]
        heard = {node.profile.name: node.heard_ms for node in nodes}
        self._sent = {name: sent for name, sent in self._sent.items() if heard.get(name) == sent[0]}
        desk = Desk(nodes, await self._lanes.given(), {name: number for name, (_, number) in self._sent.items()})
        strays, self._due_ms = desk.strays(), math.inf
        try:
            for partition in range(self._lanes.keyspace.partitions):
                for name in strays:
                    await self._review(partition, own_lane(name), desk)
                await self._review(partition, WAITING, desk)
        finally:
            for name, number in desk.sent.items():
                self._sent[name] = (heard[name], self._sent.get(name, (0, 0))[1] + number)
        await self._set_budgets(nodes)

    async def _review(self, partition: int, lane: str, desk: Desk) -> None:
        """Page by page, so that what no node can take does not stand in the way of what comes after it.

        The first page every time; after `PAGES_MAX` pages the rest is left to the next tick.
        """
        skip = 0
        for number in range(PAGES_MAX):
            page = await self._lanes.waiting(partition, lane, skip, PAGE)
            if page.wait_ms >= 0:
                self._due_ms = min(self._due_ms, page.wait_ms)
            skip += len(page.tasks) - await self._give(partition, page.tasks, desk)
            if page.looked_at < PAGE:
                self._stopped_at.pop((partition, lane), None)
                return
            if number == 0:
                skip = max(skip, self._stopped_at.get((partition, lane), 0))
        if lane == WAITING:  # Of a node's own line there is a next tick only while the node is busy.
            self._stopped_at[partition, lane] = skip

    async def _give(self, partition: int, tasks: Sequence[Unplaced], desk: Desk) -> int:
        """Give what can be given; the number that left the line it stood in."""
        moves = []
        for task in tasks:
            if (move := desk.place(task, self._needs(task))) is not None:
                moves.append(move)
                await asyncio.sleep(0)  # With thousands of nodes a choice takes its time, and others wait for the loop.
        return len(await self._lanes.move(partition, moves)) if moves else 0

    def _needs(self, task: Unplaced) -> Needs | None:
        try:
            body = open_task(self._hive.seal, task.task_id, task.envelope)
            return Requirements.parse(body.requirements).merged(task.assignment.needs), body.task_type
        except SecurityError:
            return Requirements(), None  # whichever node claims it refuses it and says so in the audit
        except InvalidTask as fault:
            if task.task_id not in self._warned and len(self._warned) < WARNED_MAX:
                self._warned.add(task.task_id)
                self._log.warning("%s waits for a Nexus that understands it: %s", task.task_id, fault)
            return None

    async def _set_budgets(self, nodes: Sequence[NodeState]) -> None:
        nodes = [self._smoothed(node) for node in nodes if node.online]
        self._cpu = {node.profile.name: (node.heard_ms, node.load.cpu_percent) for node in nodes}
        budgets = claim_budgets(nodes, 0)
        if budgets:  # Nodes of like load have none, however much waits: then nobody need count it.
            known = {skill for node in nodes if node.online for skill in node.profile.skills}
            waiting = sum(length for lane, length in (await self._lanes.ready()).items() if lane in known)
            budgets = claim_budgets(nodes, waiting)
        if budgets or self._budgeted:
            ttl_ms = round(self.interval_s * 1000 * BUDGET_HEARTBEATS)
            await self._hive.nodes.set_budgets(budgets, ttl_ms)
        self._budgeted = bool(budgets)

    def _smoothed(self, node: NodeState) -> NodeState:
        """With its CPU over some heartbeats: Spores of one machine look at it in different moments."""
        now = finite_percent(node.load.cpu_percent)
        heard_ms, mean = self._cpu.get(node.profile.name, (0, now))
        if heard_ms != node.heard_ms:
            mean += (now - mean) * CPU_SMOOTHING
        return replace(node, load=replace(node.load, cpu_percent=mean))
