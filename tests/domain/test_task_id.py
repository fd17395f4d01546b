from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from venom_core.domain.task_id import _COUNTER_MAX, TaskIds, check_id, check_type
from venom_core.errors import InvalidTask

NOW_MS = 1_800_000_000_000


def test_an_id_is_26_hexadecimal_digits_that_begin_with_the_time() -> None:
    (made,) = TaskIds().take(1, NOW_MS)
    assert len(made) == 26
    assert int(made[:11], 16) == NOW_MS
    assert int(made, 16) >= 0
    assert check_id(made) == made


@given(st.lists(st.tuples(st.integers(1, 300), st.integers(-5, 5)), max_size=20))
def test_ids_are_in_order_and_distinct_even_if_the_clock_goes_back(steps: list[tuple[int, int]]) -> None:
    ids, now_ms, made = TaskIds(), NOW_MS, []
    for count, shift in steps:
        now_ms += shift
        batch = ids.take(count, now_ms)
        assert len(batch) == count
        made += batch
    assert made == sorted(set(made))


def test_a_counter_that_is_used_up_goes_on_in_the_next_millisecond() -> None:
    ids = TaskIds()
    ids._counter, ids._last_ms = _COUNTER_MAX - 2, NOW_MS
    made = ids.take(5, NOW_MS)
    assert made == sorted(set(made))
    assert [int(task_id[:11], 16) - NOW_MS for task_id in made] == [0, 0, 1, 1, 1]


def test_two_makers_make_different_ids_at_the_same_moment() -> None:
    assert not set(TaskIds().take(1000, NOW_MS)) & set(TaskIds().take(1000, NOW_MS))


def test_a_maker_that_finds_itself_in_another_process_draws_a_new_random_part() -> None:
    ids = TaskIds()
    (first,) = ids.take(1, NOW_MS)
    ids._pid = 0
    (second,) = ids.take(1, NOW_MS)
    assert first[16:] != second[16:]


def ids_of_a_child(ids: TaskIds, count: int) -> list[str]:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, " ".join(ids.take(count, NOW_MS)).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        text = pipe.read().decode()
    assert os.waitpid(child, 0)[1] == 0
    return text.split()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_two_forked_children_and_their_parent_make_different_ids() -> None:
    ids = TaskIds()
    made = ids_of_a_child(ids, 500) + ids_of_a_child(ids, 500) + ids.take(500, NOW_MS)
    assert len(set(made)) == 1500


@pytest.mark.parametrize("task_id", ["a", "!~", "x" * 128, "job/1?a=b"])
def test_a_given_id_of_printable_ascii_is_itself(task_id: str) -> None:
    assert check_id(task_id) == task_id


@pytest.mark.parametrize("wrong", ["", " ", "a b", "a\nb", "a\n", "é", "x" * 129, "x" * 10_000, "\x7f", None, 7, b"a"])
def test_any_other_id_is_refused_in_one_short_sentence(wrong: Any) -> None:
    with pytest.raises(InvalidTask, match="a task id is 1 to 128 printable ASCII characters without spaces") as caught:
        check_id(wrong)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("task_type", ["scan", "pkg.module:run_2-b", "x" * 128])
def test_a_well_formed_type_is_itself(task_type: str) -> None:
    assert check_type(task_type) == task_type


@pytest.mark.parametrize("wrong", ["", "a b", "a\n", "*", "a|b", "é", "x" * 129, None, 7, b"a"])
def test_any_other_type_is_refused_in_one_short_sentence(wrong: Any) -> None:
    with pytest.raises(InvalidTask, match="a task type is 1 to 128 letters") as caught:
        check_type(wrong)
    assert len(str(caught.value)) < 200
