"""The dispatcher: gives tasks with requirements to nodes that meet them, and tells busy nodes to hold back.

It sleeps until such a task is enqueued or comes due, or a node has emptied its line, and looks around with every
heartbeat besides. Where a task goes is decided by `domain/placement`; a node gets no more ahead of time than it has
slots, and what waits there is given to another node once that one has a slot free.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence

from venom_core.agents.desk import Desk, Look
from venom_core.agents.service import Service
from venom_core.agents.wants import Wants
from venom_core.domain.lane import WAITING, own_lane
from venom_core.domain.node import NodeState, finite_percent
from venom_core.domain.placement import claim_budgets, full_if_silent, shares_work, uneven
from venom_core.domain.roster import Roster
from venom_core.infrastructure.hive import Hive
from venom_core.infrastructure.leadership import Leadership
from venom_core.infrastructure.placement_store import Unplaced
from venom_core.infrastructure.wakeup import WakeLists

PAGE, PAGES_MAX = 200, 50
BUDGET_HEARTBEATS = 3
CPU_SMOOTHING = 0.3
SILENT_HEARTBEATS = 3
# In a hive of so many nodes ticks lie some time apart, and make do with a look made shortly before: looking costs 20 us
# a node or so with all that follows from it, and may take a twentieth of the time.
LARGE = 100
REST_S = 0.02
LOOKED_AT_A_S = 2_000


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
        self._wants, self._roster = Wants(hive.seal), Roster()
        self._look = Look([], self._roster)
        self._looked_s = self._ticked_s = -math.inf
        self._budgeted = False
        self._cpu: dict[str, tuple[int, float]] = {}
        self.interval_s = hive.rhythm.heartbeat_s

    async def wait(self) -> None:
        """Until there is something to place, for a heartbeat at most."""
        rest_s = self._ticked_s + REST_S - self._hive.clock.monotonic_s() if self._is_large() else 0.0
        await asyncio.sleep(max(rest_s, 0.0))
        await self._wake.pop(self._lanes.wake_keys(), min(self.interval_s, max(self._due_ms, 1) / 1000))

    async def tick(self) -> None:
        """Place what waits, take back what dead or busy nodes were given, set budgets."""
        self._ticked_s = self._hive.clock.monotonic_s()
        anew = await self._renew_look()
        heard = self._look.heard
        self._sent = {name: sent for name, sent in self._sent.items() if heard.get(name) == sent[0]}
        sent = {name: number for name, (_, number) in self._sent.items()}
        desk = Desk(self._look, await self._lanes.given(), sent)
        strays, self._due_ms = desk.strays(), math.inf
        try:
            for partition in range(self._lanes.keyspace.partitions):
                for name in strays:
                    await self._review(partition, own_lane(name), desk)
                await self._review(partition, WAITING, desk)
        finally:
            for name, number in desk.sent.items():
                self._sent[name] = (heard[name], self._sent.get(name, (0, 0))[1] + number)
        if anew:
            await self._set_budgets(self._look.nodes)

    async def _renew_look(self) -> bool:
        """See how the nodes fare, unless that was seen just before; whether it was seen anew."""
        good_for_s = min(len(self._look.nodes) / LOOKED_AT_A_S, self.interval_s / 2) if self._is_large() else 0.0
        if self._ticked_s - self._looked_s < good_for_s:
            return False
        silent_ms = round(self.interval_s * 1000 * SILENT_HEARTBEATS)
        nodes = [full_if_silent(node, silent_ms) for node in await self._hive.nodes.all()]
        self._look, self._looked_s = Look(nodes, self._roster), self._ticked_s
        return True

    def _is_large(self) -> bool:
        return len(self._look.nodes) >= LARGE

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
        moves = [move for task in tasks if (move := desk.place(task, self._wants.of(task))) is not None]
        return len(await self._lanes.move(partition, moves)) if moves else 0

    async def _set_budgets(self, nodes: Sequence[NodeState]) -> None:
        sharing = [node for node in nodes if shares_work(node)]
        floors, budgets = self._floors(sharing), dict[str, int]()
        if uneven(floors.values()):  # Nodes of like load have no budget, however much waits: then nobody need count it.
            known = {skill for skills in {node.profile.skills for node in sharing} for skill in skills}
            waiting = sum(length for lane, length in (await self._lanes.ready()).items() if lane in known)
            budgets = claim_budgets(sharing, waiting, floors)
        if budgets or self._budgeted:
            ttl_ms = round(self.interval_s * 1000 * BUDGET_HEARTBEATS)
            await self._hive.nodes.set_budgets(budgets, ttl_ms)
        self._budgeted = bool(budgets)

    def _floors(self, nodes: Sequence[NodeState]) -> dict[str, float]:
        """With their CPU over some heartbeats: Spores of one machine look at it in different moments."""
        means = {}
        for node in nodes:
            now = finite_percent(node.load.cpu_percent)
            heard_ms, mean = self._cpu.get(node.profile.name, (0, now))
            if heard_ms != node.heard_ms:
                mean += (now - mean) * CPU_SMOOTHING
            means[node.profile.name] = node.heard_ms, mean
        self._cpu = means
        return {node.profile.name: node.load.floor(means[node.profile.name][1]) for node in nodes}
