"""The roster chooses exactly what the plain definition chooses, over any looks, requirements and gifts."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from venom_core.domain.node import NodeLoad, NodeProfile, NodeState
from venom_core.domain.placement import Requirements, choose
from venom_core.domain.roster import Roster

NAN = math.nan
NAMES = [f"n{at}" for at in range(9)]
FEW = st.sampled_from(["x", "y", "z"])
MEASURES = st.sampled_from([-0.5, 0.0, 0.25, 0.5, 1.0, 1.5, NAN])


def node(name: str = "n", cpu: float = 0.0, active: int = 0, *, slots: int = 4, **profile: Any) -> NodeState:
    load = NodeLoad(cpu_percent=cpu, active_tasks=active, memory_available_mb=1_000.0)
    return NodeState(NodeProfile(name=name, concurrency=slots, **{"skills": ("scan",), **profile}), load, 1, 1_000)


PROFILES = st.builds(
    NodeProfile,
    name=st.sampled_from(NAMES),
    kind=st.sampled_from(["spore", "spore", "spore", "agent", "nexus"]),
    release=st.sampled_from(["", "0", "1", "1.0", "1.2.0", "1.10", "v2", "2rc1"]),
    concurrency=st.integers(-1, 4),
    skills=st.lists(st.sampled_from(["scan", "mail"]), max_size=3).map(tuple),
    tags=st.lists(FEW, max_size=3).map(tuple),
    capabilities=st.dictionaries(FEW, MEASURES, max_size=3),
    hardware=st.fixed_dictionaries({}, optional={"gpus": st.sampled_from([0, 1, 2, 8, -1, True, "3", None])}),
)
LOADS = st.builds(
    NodeLoad,
    cpu_percent=st.sampled_from([0.0, 5.0, 7.5, 100.0, NAN]),
    memory_percent=st.sampled_from([0.0, 10.0]),
    active_tasks=st.integers(-1, 5),
    memory_available_mb=st.sampled_from([0.0, -1.0, 100.0, 2_000.0, NAN, math.inf]),
    cordoned=st.sampled_from([False, False, False, True]),
)
STATES = st.builds(
    NodeState, profile=PROFILES, load=LOADS, epoch=st.just(1), lease_left_ms=st.sampled_from([0, 1_000, 1_000, 1_000])
)
LOOKS = st.lists(STATES, max_size=9, unique_by=lambda state: state.profile.name)
GIVEN = st.dictionaries(st.sampled_from(NAMES), st.integers(-1, 5))
WANTED = st.fixed_dictionaries(
    {},
    optional={
        "gpu": st.sampled_from([True, 1, 2]),
        "capabilities": st.dictionaries(FEW, st.sampled_from([0.0, 0.25, 0.5, 1.0]), max_size=2),
        "tags": st.lists(FEW, max_size=2),
        "memory_mb": st.sampled_from([0, 100, 1_000]),
        "node": st.sampled_from([*NAMES, "nobody"]),
        "code>=": st.sampled_from(["0", "1", "1.2", "1.2.0", "1.9", "2"]),
    },
)
TYPES = st.sampled_from([None, "scan", "mail", "paint"])


class RosterWalk(RuleBasedStateMachine):
    """Looks, gifts and bars one after the other, and the same question to both at any time."""

    def __init__(self) -> None:
        super().__init__()
        self.roster = Roster()
        self.look: list[NodeState] = []
        self.given: dict[str, int] = {}
        self.barred: set[str] = set()

    @rule(look=LOOKS, given=GIVEN)
    def renew(self, look: list[NodeState], given: dict[str, int]) -> None:
        self.roster.renew(look, given)
        self.look, self.given, self.barred = look, given, set()

    @rule(at=st.integers(0, 8), load=LOADS)
    def one_beats(self, at: int, load: NodeLoad) -> None:
        if at < len(self.look):
            last = self.look[at]
            self.look = [*self.look]
            self.look[at] = NodeState(last.profile, load, last.epoch, last.lease_left_ms)
            self.roster.renew(self.look, self.given)
            self.barred = set()

    @rule(given=GIVEN)
    def count(self, given: dict[str, int]) -> None:
        self.roster.count(given)
        self.given = given

    @rule(name=st.sampled_from(NAMES), got=st.integers(0, 5))
    def recount(self, name: str, got: int) -> None:
        self.roster.recount(name, got)
        self.given = {**self.given, name: got}

    @rule(name=st.sampled_from(NAMES), barred=st.booleans())
    def bar(self, name: str, barred: bool) -> None:
        self.roster.bar(name, barred)
        self.barred = self.barred | {name} if barred else self.barred - {name}

    @rule(names=st.sets(st.sampled_from(NAMES)))
    def bar_only(self, names: set[str]) -> None:
        self.roster.bar_only(names)
        self.barred = names

    @rule(wanted=WANTED, task_type=TYPES)
    def choose(self, wanted: dict[str, Any], task_type: str | None) -> None:
        needs = Requirements.parse(wanted)
        nodes = [state for state in self.look if state.profile.name not in self.barred]
        assert self.roster.best(needs, task_type) is choose(needs, task_type, nodes, self.given)

    def teardown(self) -> None:
        self.roster.renew([])
        left = (self.roster._having, self.roster._measured, self.roster._slots, self.roster._nodes)
        assert left == ({}, {}, {}, {})
        assert self.roster.best(Requirements(), None) is None


RosterWalk.TestCase.settings = settings(max_examples=200, stateful_step_count=30)
TestRosterWalk = RosterWalk.TestCase


@given(LOOKS, GIVEN, WANTED, TYPES)
def test_one_look_is_judged_by_the_plain_definition(
    look: list[NodeState], got: dict[str, int], wanted: dict[str, Any], task_type: str | None
) -> None:
    roster, needs = Roster(), Requirements.parse(wanted)
    roster.renew(look, got)
    assert roster.best(needs, task_type) is choose(needs, task_type, look, got)


def test_among_ten_thousand_nodes_it_finds_the_same_as_a_look_at_each() -> None:
    look = [
        node(
            f"n{at:05d}",
            cpu=at * 7919 % 101,
            active=at % 6,
            tags=(f"rack-{at % 100}",),
            release=f"1.{at % 7}",
            capabilities={"ocr": at % 11 / 10},
            hardware={"gpus": at % 3},
        )
        for at in range(10_000)
    ]
    roster = Roster()
    roster.renew(look)
    for wanted in (
        {}, {"tags": "rack-42"}, {"tags": ["rack-42", "rack-43"]}, {"gpu": 2}, {"capabilities": {"ocr": 0.95}},
        {"memory_mb": 1_000}, {"memory_mb": 1_001}, {"code>=": "1.6"}, {"node": "n09999"},
        {"gpu": 1, "tags": "rack-7", "code>=": "1.3", "capabilities": {"ocr": 0.5}, "memory_mb": 10},
    ):  # fmt: skip
        needs = Requirements.parse(wanted)
        assert roster.best(needs, "scan") is choose(needs, "scan", look)
    given_ = {f"n{at:05d}": 3 for at in range(0, 10_000, 50)}
    roster.count(given_)
    assert roster.best(Requirements(), None) is choose(Requirements(), None, look, given_)


def test_a_name_that_comes_back_as_another_node_is_known_by_what_it_is_now() -> None:
    roster = Roster()
    roster.renew([node("a", tags=("x",)), node("b", tags=("y",))])
    roster.renew([node("b", tags=("x",)), node("c", tags=("y",))])
    assert roster.best(Requirements.parse({"tags": "x"}), None) == node("b", tags=("x",))
    assert roster.best(Requirements.parse({"tags": "y"}), None) == node("c", tags=("y",))
    assert roster.best(Requirements.parse({"node": "a"}), None) is None
    roster.bar("a", True)
    roster.recount("a", 3)
    roster.renew([node("a"), node("b", cpu=9)])
    assert roster.best(Requirements(), None) == node("a")
