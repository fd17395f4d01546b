"""The part of the state machine of tasks that is about lanes: waiting to be placed, given to a node, taken from it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from tests.stores import Stores
from tests.task_model import Model, names
from venom_core.domain.lane import WAITING, node_of, own_lane
from venom_core.domain.placement import Requirements
from venom_core.infrastructure.placement_store import Assignment, Move, PlacementStore

TYPES = ["mail", "scan", "zip"]
OWN = own_lane("a")
LANES = [*TYPES, WAITING, OWN]
PICKS = st.integers(0, 10_000)


class LaneLives(RuleBasedStateMachine):
    """Rules of what a dispatcher does; the machine that has all of them makes what they work on."""

    runner: asyncio.Runner
    stores: Stores
    lanes: PlacementStore
    model: Model

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(work)

    def promote(self, partition: int, task_type: str) -> None:
        for task in self.model.delayed(partition, task_type):
            if task.due < 0:
                self.model.line_up(task)

    @rule(
        out_of=st.sampled_from(["", "", "", *LANES]), into=st.sampled_from([WAITING, OWN, OWN]),
        picks=st.lists(PICKS, min_size=1, max_size=8), again=st.booleans(),
    )  # fmt: skip
    def assign(self, out_of: str, into: str, picks: list[int], again: bool) -> None:
        """Mostly out of the lanes in which the tasks are, as far as they are pending at all."""
        for partition in range(self.stores.space.partitions):
            every = [task for task in self.model.tasks.values() if task.partition == partition]
            chosen = {every[pick % len(every)].task_id: every[pick % len(every)] for pick in picks if every}
            note = Assignment(node_of(into) or "", Requirements())
            moves = [Move(task_id, out_of or task.lane, into, note) for task_id, task in chosen.items()]
            moved = [it for it in moves if chosen[it.task_id] in self.model.line(partition, [it.source])]
            assert self.do(self.lanes.move(partition, moves)) == moved
            stays = [move for move in moved if move.source == into]
            for move in moved:
                chosen[move.task_id].lane, chosen[move.task_id].note = into, note.node
            if again:
                assert self.do(self.lanes.move(partition, moves)) == stays

    @rule()
    def recall(self) -> None:
        given = [task for number in range(self.stores.space.partitions) for task in self.model.line(number, [OWN])]
        assert self.do(self.lanes.recall("a")) == len(given)
        for task in given:
            task.lane, task.note = WAITING, ""

    @rule(lane=st.sampled_from([WAITING, OWN]), skip=st.integers(0, 3), most=st.integers(1, 5), pick=PICKS)
    def look_at_a_lane(self, lane: str, skip: int, most: int, pick: int) -> None:
        partition = pick % self.stores.space.partitions
        self.promote(partition, lane)
        page = self.do(self.lanes.waiting(partition, lane, skip, most))
        expected = self.model.line(partition, [lane])[skip : skip + most]
        assert [task.task_id for task in page.tasks] == names(expected)
        assert [task.assignment.node for task in page.tasks] == [task.note or "" for task in expected]
        assert (page.wait_ms >= 0) == bool(self.model.delayed(partition, lane))
