"""A recorded run becomes works and slots that schedulers can be run on, and is compared with them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import balance
from benchmarks.balance import ALL_KNOWING, FACTORS, HIVE, LONG_MS, PULL, RANDOM, SHORT_MS, SLOTS, Ran
from benchmarks.scheduling import Slot, Works, plain_pull


def pulled(works: Works, slots: list[Slot]) -> list[Ran]:
    """What would be recorded of a hive that pulls and takes no time for it."""
    free, ran = [slot.free_s for slot in slots], []
    for number, work in enumerate(works):
        begin = min(free)
        place = free.index(begin)
        free[place] = begin + work * slots[place].factor
        ran.append(Ran(number, work, slots[place].node, begin, free[place]))
    return ran


def test_what_tasks_wrote_is_read_with_what_held_slots() -> None:
    found = balance.records("3 250.0 2 100.5 101.0\n-1 4000.0 1 99.0 103.0\n")
    assert found == [Ran(3, 0.25, 2, 100.5, 101.0), Ran(-1, 4.0, 1, 99.0, 103.0)]


def test_a_held_slot_is_free_when_its_hold_ended() -> None:
    slots = balance.slots_of([Ran(-1, 4.0, 1, 99.0, 103.0), Ran(-1, 4.0, 1, 96.0, 99.5)], 100.0)
    assert len(slots) == len(FACTORS) * SLOTS
    assert [slot.free_s for slot in slots if slot.node == 1] == [3.0, *[0.0] * (SLOTS - 1)]
    assert {slot.factor for slot in slots if slot.node == 4} == {FACTORS[4]}
    assert all(slot.free_s == 0 for slot in slots if slot.node != 1)


def test_a_node_is_as_fast_as_it_was_and_not_as_it_was_told_to_be() -> None:
    ran = [Ran(1, 1.0, 0, 0.0, 2.2), Ran(0, 1.0, 0, 0.0, 1.8), Ran(2, 2.0, 1, 0.0, 2.0)]
    works, slots = balance.replayable(ran, [Slot(0, 1.0), Slot(1, 1.0, 5.0), Slot(2, 7.0)])
    assert works == pytest.approx([0.9, 1.1, 2.0])
    assert slots == [Slot(0, 2.0), Slot(1, 1.0, 5.0), Slot(2, 7.0)]


@given(st.integers(0, 1_000))
def test_durations_are_seeded_and_within_their_bounds(seed: int) -> None:
    durations = balance.uneven_ms(seed, 50)
    assert durations == balance.uneven_ms(seed, 50)
    assert all(SHORT_MS <= ms <= LONG_MS for ms in durations)


@given(st.integers(0, 50))
def test_a_hive_that_pulls_at_no_cost_is_as_good_as_plain_pull(seed: int) -> None:
    works = [ms / 1000 for ms in balance.uneven_ms(seed, 200)]
    slots = balance.slots_of([], 0.0)
    found = balance.compared(pulled(works, slots), [])
    assert found[HIVE] == pytest.approx(found[PULL]) == pytest.approx(plain_pull(works, slots))
    assert found["bound"] * (1 - 1e-9) <= found[ALL_KNOWING] <= found[PULL] * (1 + 1e-9)
    assert found[RANDOM] > found[PULL]


def test_the_run_is_judged_by_the_all_knowing_scheduler_of_its_own_round() -> None:
    rounds = [
        {HIVE: hive, ALL_KNOWING: best, PULL: 11.0, RANDOM: 30.0, "round robin": 25.0, "bound": 9.0}
        for hive, best in ((11.0, 10.0), (12.0, 10.0), (23.0, 20.0))
    ]
    section = balance.section_of(rounds)
    promise = section.promises[0]
    assert (promise.limit, promise.measured, promise.met) == (1.15, 1.15, True)
    assert section.rows[0] == [HIVE, "12.00", "1.15", "1.33"]
