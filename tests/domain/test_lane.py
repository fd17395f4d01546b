from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from venom_core.domain.lane import WAITING, claimed_by_type, first_lane, home_lane, node_of, own_lane
from venom_core.domain.node import check_name
from venom_core.domain.task import NOTHING, TaskBody
from venom_core.domain.task_id import check_type
from venom_core.errors import InvalidSetting, InvalidTask

NAMES = st.from_regex(r"[A-Za-z0-9_.:-]{1,128}", fullmatch=True)


def body(task_type: str, requirements: dict[str, object] | None = None) -> TaskBody:
    return TaskBody(task_type, NOTHING, 1_000, 0, 1, requirements=requirements)


@given(NAMES)
def test_the_lane_of_a_node_leads_back_to_it(name: str) -> None:
    lane = own_lane(check_name(name))
    assert node_of(lane) == name
    assert home_lane(lane) == WAITING
    assert not claimed_by_type(lane)


@given(NAMES)
def test_the_lane_of_a_type_is_its_name_and_nobodys_own(name: str) -> None:
    assert first_lane(body(check_type(name))) == name
    assert node_of(name) is None
    assert home_lane(name) == name
    assert claimed_by_type(name)


def test_what_waits_to_be_placed_stays_there_until_it_is() -> None:
    assert first_lane(body("scan", {"gpu": 1})) == WAITING
    assert home_lane(WAITING) == WAITING
    assert node_of(WAITING) is None
    assert not claimed_by_type(WAITING)


def test_empty_requirements_are_none() -> None:
    assert first_lane(body("scan", {})) == "scan"


@pytest.mark.parametrize("name", [WAITING, "?scan", own_lane("a"), "@"])
def test_no_type_and_no_node_is_named_like_a_lane_of_these(name: str) -> None:
    with pytest.raises(InvalidTask):
        check_type(name)
    with pytest.raises(InvalidSetting):
        check_name(name)


def test_the_lanes_follow_from_the_body_alone() -> None:
    again = msgspec.msgpack.decode(msgspec.msgpack.encode(body("scan", {"node": "a"})), type=TaskBody)
    assert first_lane(again) == WAITING
