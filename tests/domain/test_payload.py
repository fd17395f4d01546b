from __future__ import annotations

from collections import OrderedDict
from datetime import UTC, datetime
from enum import Enum, IntEnum, StrEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from venom_core.domain.payload import DEPTH_MAX, INT_MAX, INT_MIN, decode, encode, encode_payload
from venom_core.errors import InvalidTask

ROOM = 1_000_000
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(INT_MIN, INT_MAX) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


class Text(str):
    __slots__ = ()


class Number(int): ...


class Real(float): ...


class Items(list[int]): ...


class Word(StrEnum):
    ONE = "one"


class Level(IntEnum):
    LOW = 1


class Colour(Enum):
    RED = "red"


def nested(levels: int) -> Any:
    value: Any = "deep"
    for _ in range(levels):
        value = [value]
    return value


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), JSON, max_size=5))
def test_what_json_can_say_arrives_as_it_was_sent(payload: dict[str, Any]) -> None:
    back = decode(encode_payload(payload, ROOM))
    assert back == payload
    assert repr(back) == repr(payload)


@pytest.mark.parametrize("text", ["Ünïcödé", "日本語", "🐍", "\x00", "\u2028"])
def test_text_outside_ascii_survives(text: str) -> None:
    assert decode(encode_payload({text: text}, ROOM)) == {text: text}


def test_no_payload_is_an_empty_one_and_a_tuple_arrives_as_a_list() -> None:
    assert decode(encode_payload(None, ROOM)) == {}
    assert decode(encode_payload({"pair": (1, (2,))}, ROOM)) == {"pair": [1, [2]]}


@pytest.mark.parametrize("wrong", [[], "text", 1, b"bytes", ("a",), OrderedDict(a=1)])
def test_a_payload_is_a_plain_dict(wrong: Any) -> None:
    with pytest.raises(InvalidTask, match=f"payload must be a dict of names to values, not {type(wrong).__name__}"):
        encode_payload(wrong, ROOM)


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        (b"x", "is of type bytes, which JSON cannot carry"),
        (bytearray(b"x"), "is of type bytearray"),
        ({1}, "is of type set"),
        (object(), "is of type object"),
        (datetime.now(UTC), "is of type datetime"),
        (Colour.RED, "is of type Colour"),
        (1j, "is of type complex"),
        (float("nan"), "is nan, which JSON cannot carry; send null or text"),
        (float("inf"), "is inf, which JSON cannot carry"),
        (float("-inf"), "is -inf, which JSON cannot carry"),
        (Real("nan"), "is nan, which JSON cannot carry"),
        (INT_MAX + 1, "is an integer over 64 bits; send it as text"),
        (INT_MIN - 1, "is an integer over 64 bits"),
        (Number(2**70), "is an integer over 64 bits"),
        ({1: "x"}, "has the key 1, and keys must be text"),
        ({None: "x"}, "has the key None, and keys must be text"),
        ({b"k": "x"}, "has the key b'k', and keys must be text"),
    ],
)
def test_what_json_cannot_say_is_refused_by_name_and_place(value: Any, fault: str) -> None:
    with pytest.raises(InvalidTask) as caught:
        encode_payload({"fine": [1, "x"], "files": ["ok", {"deep": value}]}, ROOM)
    assert str(caught.value).startswith("payload['files'][1]['deep'] " + fault)


def test_the_first_fault_is_the_one_that_is_named() -> None:
    with pytest.raises(InvalidTask, match=r"^result\[1\] is of type set"):
        encode([1, {2}, b"x"], "result", ROOM)


def test_a_lone_key_of_great_length_does_not_fill_the_sentence() -> None:
    with pytest.raises(InvalidTask) as caught:
        encode_payload({"k" * 10_000: b""}, ROOM)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("place", [{"a": "\ud800"}, {"\udfff": 1}])
def test_half_a_surrogate_pair_is_refused(place: dict[str, Any]) -> None:
    with pytest.raises(InvalidTask, match="payload holds text with half a surrogate pair"):
        encode_payload(place, ROOM)


def test_64_levels_are_the_deepest() -> None:
    deepest = {"a": nested(DEPTH_MAX - 1)}
    assert decode(encode_payload(deepest, ROOM)) == deepest
    with pytest.raises(InvalidTask, match="is nested more than 64 levels deep"):
        encode_payload({"a": nested(DEPTH_MAX)}, ROOM)


def test_a_value_that_holds_itself_is_refused_and_hangs_nobody() -> None:
    ring: list[Any] = []
    ring += [ring, ring]
    with pytest.raises(InvalidTask, match="is nested more than 64 levels deep"):
        encode_payload({"ring": ring}, ROOM)


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (Text("é"), "é"),
        (Number(7), 7),
        (Real(1.5), 1.5),
        (Items([1]), [1]),
        (Word.ONE, "one"),
        (Level.LOW, 1),
        (OrderedDict(a=1), {"a": 1}),
        ({Text("k"): 1}, {"k": 1}),
        ({Word.ONE: Text("v")}, {"one": "v"}),
    ],
)
def test_kinds_of_the_plain_types_are_carried_as_what_they_are_kinds_of(value: Any, plain: Any) -> None:
    back = decode(encode_payload({"a": [value]}, ROOM))
    assert back == {"a": [plain]}
    assert type(back["a"][0]) is type(plain)


def test_the_limit_is_in_bytes_of_the_encoded_value_and_reaching_it_is_allowed() -> None:
    size = len(encode("x" * 100, "result", ROOM))
    assert encode("x" * 100, "result", size)
    with pytest.raises(
        InvalidTask, match=rf"^result is {size} bytes, the limit is {size - 1}; store the data elsewhere"
    ):
        encode("x" * 100, "result", size - 1)
