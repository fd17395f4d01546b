from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from venom_core.domain.node import NAME_CHARS_MAX, NodeLoad, NodeProfile, NodeState, check_name, finite_percent
from venom_core.errors import InvalidSetting


def test_the_load_score_is_the_formula_of_the_documents() -> None:
    assert NodeLoad().score() == 0
    assert NodeLoad(cpu_percent=50, memory_percent=40, active_tasks=5).score() == pytest.approx(20 + 12 + 15)


def test_the_load_score_is_not_capped() -> None:
    assert NodeLoad(cpu_percent=100, memory_percent=100, active_tasks=50).score() == pytest.approx(40 + 30 + 150)


def test_a_node_is_online_as_long_as_something_of_its_lease_is_left() -> None:
    profile = NodeProfile(name="a")
    assert NodeState(profile, NodeLoad(), 1, lease_left_ms=1).online
    assert not NodeState(profile, NodeLoad(), 1, lease_left_ms=0).online


@pytest.mark.parametrize("name", ["a", "node-1.lan:8_X", "x" * NAME_CHARS_MAX])
def test_a_well_formed_name_is_itself(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize("name", ["", " ", "a b", "a\n", "ü", "x" * (NAME_CHARS_MAX + 1), "a/b", "{a}", "x" * 10_000])
def test_any_other_name_is_refused_in_one_short_sentence(name: str) -> None:
    with pytest.raises(InvalidSetting, match="a node name or tag is 1 to 128 letters") as caught:
        check_name(name)
    assert len(str(caught.value)) < 200


@given(st.floats())
def test_a_reading_is_pressed_into_percent_and_nonsense_counts_as_full(value: float) -> None:
    expected = 100.0 if not math.isfinite(value) else min(max(value, 0.0), 100.0)
    assert finite_percent(value) == expected


def test_profile_and_load_survive_the_wire() -> None:
    profile = NodeProfile("n", skills=("a", "b"), tags=("gpu",), concurrency=4, host="h", pid=7, started_ms=9)
    load = NodeLoad(cpu_percent=1.5, active_tasks=2, loop_silent_ms=3)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(profile), type=NodeProfile) == profile
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(load), type=NodeLoad) == load
