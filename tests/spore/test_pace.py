from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

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


def test_quick_tasks_are_fetched_ahead_up_to_another_set_of_slots() -> None:
    assert paced(100, 0.0001).look_ahead() == 100
    assert paced(100, 0.1).look_ahead() == 10
    assert paced(100, 0.0).look_ahead() == 100


def test_for_quick_tasks_it_waits_until_a_call_is_worth_it() -> None:
    pace = paced(100, 0.0001)
    assert pace.room(0) == 200
    assert pace.room(151) == 0
    assert pace.room(150) == 50


def test_the_mean_follows_what_is_measured() -> None:
    pace = Pace(4)
    for _ in range(200):
        pace.record(0.001)
    assert abs(pace.mean_s - 0.001) < 0.0005


@given(
    slots=st.integers(1, 10_000),
    seconds=st.lists(st.floats(0, 1e6), max_size=20),
    held=st.integers(0, 20_000),
)
def test_it_never_asks_for_more_than_twice_its_slots(slots: int, seconds: list[float], held: int) -> None:
    pace = Pace(slots)
    for each in seconds:
        pace.record(each)
    assert pace.room(held) <= max(2 * slots - held, 0)
    assert pace.room(0) >= slots


@given(slots=st.integers(1, 10_000), mean_s=st.floats(0, 1e6))
def test_an_idle_node_always_asks(slots: int, mean_s: float) -> None:
    assert paced(slots, mean_s).room(0) >= 1
