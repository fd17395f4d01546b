"""Schedules are right on what can be reckoned by hand, and in order of what they know on everything else."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.scheduling import (
    Slot,
    all_knowing,
    at_random,
    earliest_end,
    lower_bound,
    plain_pull,
    round_robin,
)

EQUAL = [Slot(0, 1.0), Slot(1, 1.0)]
UNEQUAL = [Slot(0, 1.0), Slot(1, 4.0)]
EVERY = (all_knowing, plain_pull, round_robin, at_random)

WORK = st.floats(0.01, 10.0)
WORKS = st.lists(WORK, min_size=1, max_size=30)
SLOTS = st.lists(st.builds(Slot, st.integers(0, 3), st.floats(0.25, 8.0), st.floats(0.0, 20.0)), min_size=1, max_size=8)
FEW_SLOTS = st.lists(st.builds(Slot, st.just(0), st.floats(0.25, 8.0), st.floats(0.0, 20.0)), min_size=1, max_size=3)


def best(works: list[float], slots: list[Slot]) -> float:
    """The shortest of all schedules, by trying each."""
    ends = []
    for places in product(range(len(slots)), repeat=len(works)):
        total = [slot.free_s for slot in slots]
        for work, place in zip(works, places, strict=True):
            total[place] += work * slots[place].factor
        ends.append(max(total[place] for place in places))
    return min(ends)


def test_pulling_takes_what_comes_next_and_knows_nothing_of_speed() -> None:
    assert plain_pull([1, 1, 1, 1], EQUAL) == 2
    assert plain_pull([1, 1, 1, 1, 1], UNEQUAL) == 4
    assert plain_pull([1, 1, 4], UNEQUAL) == 5
    assert plain_pull([4, 4], UNEQUAL) == 16


def test_who_knows_all_leaves_the_slow_node_idle_where_that_is_better() -> None:
    assert all_knowing([4, 4], UNEQUAL) == 8
    assert all_knowing([1, 1, 4], UNEQUAL) == 5
    assert all_knowing([3, 3, 2, 2, 2], EQUAL) == 7  # one more than the best: it is a rule, not a search


def test_dealing_gives_the_slow_node_as_much_as_the_fast_one() -> None:
    assert round_robin([1, 1, 1, 1], UNEQUAL) == 8
    assert at_random([1.0] * 40, UNEQUAL) > 40


def test_a_loaded_slot_begins_late() -> None:
    late = [Slot(0, 1.0), Slot(1, 1.0, 10.0)]
    assert plain_pull([1, 1, 1], late) == 3
    assert round_robin([1, 1, 1], late) == 11
    assert lower_bound([1, 1, 1], late) == 3
    assert lower_bound([15, 15], late) == 20
    assert lower_bound([6] * 4, late) == 17


@pytest.mark.parametrize("scheduler", EVERY)
def test_nothing_to_do_takes_no_time(scheduler: type) -> None:
    assert scheduler([], EQUAL) == 0


def test_the_bound_of_nothing_is_nothing() -> None:
    assert lower_bound([], EQUAL) == 0


@given(WORKS, SLOTS)
def test_no_schedule_ends_before_the_bound(works: list[float], slots: list[Slot]) -> None:
    least = lower_bound(works, slots) * (1 - 1e-9)
    assert all(scheduler(works, slots) >= least for scheduler in EVERY)
    assert earliest_end(works, slots) >= least


@given(st.lists(WORK, min_size=1, max_size=5), FEW_SLOTS)
def test_the_all_knowing_one_is_near_the_best_and_the_bound_is_below_it(works: list[float], slots: list[Slot]) -> None:
    """Longest first, where it ends first, is within twice the best, whatever the speeds."""
    shortest = best(works, slots)
    assert lower_bound(works, slots) <= shortest * (1 + 1e-9)
    assert all_knowing(works, slots) <= 2 * shortest + max(slot.free_s for slot in slots) + 1e-9


@given(WORKS, SLOTS, st.sampled_from([0.25, 0.5, 2.0, 8.0]))
def test_slower_hours_stretch_every_schedule_alike(works: list[float], slots: list[Slot], by: float) -> None:
    stretched = [Slot(slot.node, slot.factor * by, slot.free_s * by) for slot in slots]
    for scheduler in (all_knowing, plain_pull, round_robin, at_random, lower_bound):
        assert scheduler(works, stretched) == pytest.approx(scheduler(works, slots) * by)


@given(WORKS, SLOTS)
def test_one_slot_leaves_no_choice(works: list[float], slots: list[Slot]) -> None:
    one = slots[:1]
    expected = one[0].free_s + sum(works) * one[0].factor
    for scheduler in EVERY:
        assert scheduler(works, one) == pytest.approx(expected)
    assert lower_bound(works, one) == pytest.approx(expected)
