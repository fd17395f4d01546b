from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from venom_core.infrastructure.task_store import TASKS_PER_CALL_MAX
from venom_spore.pace import Pace


def paced(slots: int, mean_s: float) -> Pace:
    pace = Pace(slots)
    pace.mean_s = mean_s
    return pace


def test_at_first_it_takes_tasks_for_slow() -> None:
    assert Pace(10).look_ahead() == 0
    assert Pace(10).room(0) == 10


def test_slow_tasks_have_no_look_ahead_and_every_free_slot_is_asked_for() -> None:
    pace = paced(10, 1.0)
    assert [pace.room(held) for held in (0, 9, 10, 11)] == [10, 1, 0, 0]


def test_quick_tasks_are_fetched_ahead_up_to_five_more_sets_of_slots() -> None:
    assert paced(100, 0.0001).look_ahead() == 500
    assert paced(100, 0.002).look_ahead() == 250
    assert paced(100, 0.1).look_ahead() == 5
    assert paced(100, 0.0).look_ahead() == 500


def test_for_quick_tasks_it_waits_until_a_call_is_worth_it() -> None:
    pace = paced(100, 0.0001)
    assert pace.room(451) == 0
    assert pace.room(450) == 150
    assert pace.room(150) == 450


def test_it_asks_for_no_more_than_one_claim_brings() -> None:
    pace = paced(1_000, 60.0)
    assert [pace.room(held) for held in (0, 400, 600)] == [500, 500, 400]
    pace.budget = 900
    assert [pace.room(held) for held in (0, 400, 600)] == [500, 500, 300]


def test_of_tasks_of_ten_milliseconds_an_urgent_one_finds_a_slot_that_is_not_promised_to_another() -> None:
    """With a look-ahead as large as its slots, whatever comes waits for two tasks to end, one after the other."""
    assert paced(100, 0.010).look_ahead() <= 50


def test_the_mean_follows_what_is_measured() -> None:
    pace = Pace(4)
    for _ in range(200):
        pace.record(0.001)
    assert abs(pace.mean_s - 0.001) < 0.0005


@given(
    slots=st.integers(1, 10_000),
    seconds=st.lists(st.floats(0, 1e6), max_size=20),
    held=st.integers(0, 60_000),
)
def test_it_never_asks_for_more_than_six_times_its_slots(slots: int, seconds: list[float], held: int) -> None:
    pace = Pace(slots)
    for each in seconds:
        pace.record(each)
    assert pace.room(held) <= max(6 * slots - held, 0)
    assert pace.room(0) >= min(slots, TASKS_PER_CALL_MAX)


@given(slots=st.integers(1, 10_000), mean_s=st.floats(0, 1e6))
def test_an_idle_node_always_asks(slots: int, mean_s: float) -> None:
    assert paced(slots, mean_s).room(0) >= 1


def bound(slots: int, budget: int | None, mean_s: float = 1.0, *, insists: bool = False) -> Pace:
    pace = paced(slots, mean_s)
    pace.budget, pace.insists = budget, insists
    return pace


def test_a_budget_bounds_what_is_held_and_then_it_hesitates() -> None:
    pace = bound(10, 3)
    assert [pace.room(held) for held in (0, 2, 3, 9)] == [3, 1, 0, 0]
    assert [pace.hesitates(held) for held in (0, 2, 3, 9, 10)] == [False, False, True, True, False]


def test_without_a_budget_or_when_it_insists_it_takes_what_it_has_slots_for() -> None:
    for pace in (bound(10, None), bound(10, 3, insists=True), bound(10, 0, insists=True)):
        assert [pace.room(held) for held in (0, 3, 10)] == [10, 7, 0]
        assert not any(pace.hesitates(held) for held in range(11))


def test_within_a_budget_every_free_slot_is_worth_a_call_also_of_quick_tasks() -> None:
    """Whoever waited for a quarter of its budget would wait for a long task to end, with slots free."""
    pace = bound(100, 30, 0.0001)
    assert [pace.room(held) for held in (0, 23, 25, 29, 30)] == [30, 7, 5, 1, 0]
    assert [pace.hesitates(held) for held in (29, 30)] == [False, True]
    assert bound(100, 1, 0.0001).room(0) == 1


def test_a_budget_beyond_its_slots_binds_no_more_than_they_do() -> None:
    assert bound(10, 10_000).room(0) == 10
    assert not bound(10, 10_000).hesitates(9)


@given(
    slots=st.integers(1, 10_000),
    budget=st.none() | st.integers(-5, 20_000),
    mean_s=st.floats(0, 10),
    held=st.integers(0, 60_000),
    insists=st.booleans(),
)
def test_it_waits_for_a_slot_only_if_something_runs_that_will_free_one(
    slots: int, budget: int | None, mean_s: float, held: int, insists: bool
) -> None:
    pace = bound(slots, budget, mean_s, insists=insists)
    room = pace.room(held)
    assert room >= 0
    if room == 0 and not pace.hesitates(held):
        assert held > 0
    if budget is not None and not insists:
        assert room or pace.hesitates(held) or held >= slots
        assert room <= max(budget - held, 0)
