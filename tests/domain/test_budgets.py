"""How much each node should hold: what must hold for any hive, beside a slow way to the same."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.domain.test_placement import NODES, node
from venom_core.domain.node import NodeState
from venom_core.domain.placement import POINTS_A_TASK, TOLERANCE, claim_budgets, shares_work, uneven


def test_nodes_of_like_load_have_no_budget() -> None:
    assert claim_budgets([node("a", cpu=10), node("b", cpu=10 + TOLERANCE / 0.4)], 3) == {}


def test_a_busy_node_leaves_to_idle_ones_what_they_can_hold() -> None:
    busy, idle = node("busy", cpu=95), node("idle", cpu=5)
    assert claim_budgets([busy, idle], 0) == {"busy": 0}
    assert claim_budgets([busy, idle], 4) == {"busy": 0}
    assert claim_budgets([busy, idle], 7) == {"busy": 3}
    assert claim_budgets([busy, idle], 8) == {}
    assert claim_budgets([busy, idle], 10**9) == {}


def poured(nodes: list[NodeState], waiting: int) -> dict[str, float]:
    """What each of them would hold, found slowly: the level by halving."""
    floors = {it.profile.name: it.load.floor() for it in nodes}
    slots = {it.profile.name: it.profile.concurrency for it in nodes}

    def held(level: float) -> dict[str, float]:
        return {name: min(max((level - floors[name]) / POINTS_A_TASK, 0.0), slots[name]) for name in floors}

    total = waiting + sum(max(it.load.active_tasks, 0) for it in nodes)
    low, high = min(floors.values()), max(floors[name] + POINTS_A_TASK * slots[name] for name in floors)
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if sum(held(middle).values()) < total else (low, middle)
    return held(high)


def test_one_node_alone_and_those_that_take_no_tasks_have_none() -> None:
    busy = node("busy", cpu=95)
    assert claim_budgets([], 5) == claim_budgets([busy], 5) == {}
    for other in (node("x", kind="nexus"), node("x", online=False), node("x", slots=0), node("x", slots=-3)):
        assert claim_budgets([busy, other], 1) == {}


@given(NODES, st.integers(0, 60))
def test_a_budget_is_what_a_node_would_hold_if_all_were_poured_over_the_nodes(
    nodes: list[NodeState], waiting: int
) -> None:
    sharing = [it for it in nodes if shares_work(it)]
    budgets = claim_budgets(nodes, waiting)
    shares = poured(sharing, waiting) if len(sharing) > 1 else {}
    least = min((it.load.floor() for it in sharing), default=0.0)
    for it in sharing:
        name = it.profile.name
        if name in budgets:
            assert budgets[name] - 1 < shares[name] + 1e-5
            assert shares[name] <= budgets[name] + 1e-5
        elif shares and it.load.floor() - least > TOLERANCE:
            assert shares[name] >= it.profile.concurrency - 1e-5


def test_scores_that_the_caller_knows_better_stand_for_those_of_the_last_heartbeats() -> None:
    busy, idle = node("busy", cpu=95), node("idle", cpu=5)
    assert claim_budgets([busy, idle], 0, {"busy": 2.0, "idle": 2.0}) == {}
    assert claim_budgets([busy, idle], 0, {"busy": 2.0, "idle": 40.0}) == {"idle": 0}
    assert uneven([0.0, TOLERANCE + 1])
    assert not any(uneven(floors) for floors in ([], [5.0], [5.0, 5.0 + TOLERANCE]))


@given(NODES, st.integers(0, 200))
def test_budgets_and_slots_together_cover_all_there_is_and_no_like_node_is_held_back(
    nodes: list[NodeState], waiting: int
) -> None:
    budgets = claim_budgets(nodes, waiting)
    spores = [it for it in nodes if it.online and it.profile.kind == "spore" and it.profile.concurrency > 0]
    slots = {it.profile.name: it.profile.concurrency for it in spores}
    floors = {it.profile.name: it.load.floor() for it in spores}
    assert set(budgets) <= set(slots)
    for name, budget in budgets.items():
        assert 0 <= budget <= slots[name]
        assert floors[name] - min(floors.values()) > TOLERANCE
    total = waiting + sum(it.load.active_tasks for it in spores)
    holds = sum(budgets.get(name, most) for name, most in slots.items())
    assert holds >= min(total, sum(slots.values()))
    if total >= sum(slots.values()):
        assert not any(budget < slots[name] for name, budget in budgets.items())


@given(NODES, st.integers(0, 100), st.integers(1, 100))
def test_more_work_never_lowers_a_budget(nodes: list[NodeState], waiting: int, more: int) -> None:
    before, after = claim_budgets(nodes, waiting), claim_budgets(nodes, waiting + more)
    assert set(after) <= set(before)
    assert all(after[name] >= before[name] for name in after)
