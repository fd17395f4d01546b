"""Payload keys become typed arguments; what is wrong is named, what cannot be checked is refused at start-up."""

from __future__ import annotations

import enum
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypedDict, Unpack

import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from venom_core.errors import InvalidSkill, InvalidTask
from venom_spore.arguments import bind
from venom_spore.context import TaskContext

encode = msgspec.msgpack.encode
DEFAULT = [1]


class Colour(enum.StrEnum):
    RED = "red"


class Box(pydantic.BaseModel):
    width: int
    label: str = pydantic.Field(default="box", max_length=5)


@dataclass
class Tree:
    name: str
    children: list[Tree] = field(default_factory=list)


class Pair(NamedTuple):
    left: int
    right: int


class Extras(TypedDict):
    a: int


class Picky:
    """Looks like a model, and says no without a list of findings."""

    @classmethod
    def model_validate(cls, value: object) -> Picky:
        raise ValueError(f"not {value}")


def call(function: Callable[..., Any], **arguments: Any) -> Any:
    """What the worker does with a payload."""
    args, kwargs = bind("resize", function).decode(encode(arguments))
    return function(*args, **kwargs)


def refusal(function: Callable[..., Any], payload: Any) -> str:
    with pytest.raises(InvalidTask) as caught:
        bind("resize", function).decode(payload if isinstance(payload, bytes) else encode(payload))
    return str(caught.value)


def resize(width: int, height: int = 100, *, mode: str = "fit") -> tuple[int, int, str]:
    return width, height, mode


def test_keys_become_arguments_and_defaults_stay() -> None:
    assert call(resize, width=3) == (3, 100, "fit")
    assert call(resize, mode="fill", height=1, width=2) == (2, 1, "fill")


def test_a_function_without_arguments_takes_an_empty_payload_only() -> None:
    def nothing() -> str:
        return "ran"

    assert call(nothing) == "ran"
    assert refusal(nothing, {"a": 1}) == "payload of 'resize': unexpected key 'a', expected no keys at all"


def test_an_argument_without_a_hint_takes_anything() -> None:
    def anything(value):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202 the point of the test
        return value

    for value in (None, 1, "x", [1, {"a": None}]):
        assert call(anything, value=value) == value


def test_a_default_is_shared_as_python_shares_it() -> None:
    def grow(items: list[int] = DEFAULT) -> list[int]:
        return items

    assert call(grow) is DEFAULT


def test_an_argument_may_be_called_anything() -> None:
    def odd(self: int, cls: int, __init__: int, _x: int = 1) -> int:
        return self + cls + __init__ + _x

    assert call(odd, self=1, cls=2, __init__=3) == 7


def test_the_context_stands_before_the_arguments() -> None:
    def first(ctx: TaskContext, width: int) -> int:
        return width

    def only(anything: TaskContext) -> None: ...

    binder = bind("resize", first)
    assert (binder.wants_context, binder.names) == (True, ("width",))
    assert binder.decode(encode({"width": 1})) == ((1,), {})
    assert refusal(first, {"ctx": 1, "width": 1}).endswith("unexpected key 'ctx', expected 'width'")
    assert bind("resize", only).decode(encode({})) == ((), {})
    assert not bind("resize", resize).wants_context


def test_extra_keys_go_to_a_function_that_takes_them() -> None:
    def extras(a: int, **others: int) -> dict[str, int]:
        return {"a": a, **others}

    def untyped(**others):  # type: ignore[no-untyped-def]  # noqa: ANN003, ANN202 the point of the test
        return others

    assert call(extras, a=1, b=2, field_0=3) == {"a": 1, "b": 2, "field_0": 3}
    assert call(untyped, a="x") == {"a": "x"}
    assert refusal(extras, {"a": 1, "b": "x"}) == "payload of 'resize': expected int, got str at key 'b'"
    assert refusal(extras, {"b": 1}) == "payload of 'resize': missing key 'a', expected int"


@pytest.mark.parametrize(
    ("hint", "sent", "value"),
    [
        (float, 1, 1.0),
        (int | None, None, None),
        (list[int], [1], [1]),
        (set[str], ["a"], {"a"}),
        (tuple[int, str], [1, "a"], (1, "a")),
        (dict[str, float], {"a": 1}, {"a": 1.0}),
        (Literal["a", "b"], "b", "b"),
        (Colour, "red", Colour.RED),
        (Decimal, "1.50", Decimal("1.50")),
        (Pair, [1, 2], Pair(1, 2)),
        (Tree, {"name": "a", "children": [{"name": "b"}]}, Tree("a", [Tree("b")])),
        (Box, {"width": 1}, Box(width=1)),
        (Box | None, None, None),
        (list[Box], [{"width": 1}], [Box(width=1)]),
        (Path, "a/b", Path("a/b")),
        (Path | None, "a", Path("a")),
        (object, {"a": 1}, {"a": 1}),
        (Annotated[int, msgspec.Meta(gt=0)], 1, 1),
    ],
)
def test_a_hint_is_what_the_function_gets(hint: Any, sent: Any, value: Any) -> None:
    def take(x: Any) -> Any:
        return x

    take.__annotations__["x"] = hint
    got = call(take, x=sent)
    assert got == value
    assert type(got) is type(value)


@pytest.mark.parametrize(
    ("hint", "sent", "message"),
    [
        (int, "3", "expected int, got str at key 'x'"),
        (int, 1.5, "expected int, got float at key 'x'"),
        (int, None, "expected int, got None at key 'x'"),
        (str, 1, "expected str, got int at key 'x'"),
        (list[int], [1, "a"], "expected int, got str at key 'x[1]'"),
        (dict[str, int], {"a": "b"}, "expected int, got str at key 'x[...]'"),
        (Tree, {"children": []}, "object missing required field name at key 'x'"),
        (Literal["a"], "b", "invalid enum value 'b' at key 'x'"),
        (Annotated[int, msgspec.Meta(gt=3)], 1, "expected int >= 4 at key 'x'"),
        (Path, 5, "expected str, got int at key 'x'"),
        (Box, {}, "width: Field required at key 'x'"),
        (Picky, 5, "not 5 at key 'x'"),
        (
            Box,
            {"width": "wide", "label": "too long"},
            (
                "width: Input should be a valid integer, unable to parse string as an integer; "
                "label: String should have at most 5 characters at key 'x'"
            ),
        ),
    ],
)
def test_a_bad_value_is_named_with_its_key_and_what_was_expected(hint: Any, sent: Any, message: str) -> None:
    def take(x: Any) -> None: ...

    take.__annotations__["x"] = hint
    assert refusal(take, {"x": sent}) == f"payload of 'resize': {message}"


def test_missing_and_unexpected_keys_are_named() -> None:
    assert refusal(resize, {}) == "payload of 'resize': missing key 'width', expected int"
    assert refusal(resize, {"width": 1, "depth": 1}) == (
        "payload of 'resize': unexpected key 'depth', expected 'width', 'height', 'mode'"
    )

    def generic(items: list[int], either: int | None) -> None: ...

    assert refusal(generic, {"either": 1}).endswith("missing key 'items', expected list[int]")
    assert refusal(generic, {"items": []}).endswith("missing key 'either', expected int | None")


@pytest.mark.parametrize(
    "raw", [b"", b"\x81", b"\xc1", encode([1]), encode({1: 1}), b"\x80\x80", b"\x81\xa5width\xa1\xff"]
)
def test_bytes_that_are_no_payload_are_refused(raw: bytes) -> None:
    assert refusal(resize, raw).startswith("payload of 'resize': ")


def test_a_payload_nested_too_deep_is_refused() -> None:
    def anything(x: Any) -> None: ...

    assert "recursion" in refusal(anything, b"\x81\xa1x" + b"\x91" * 100_000)


@given(st.dictionaries(st.text(max_size=8), st.none() | st.integers(-9, 9) | st.text(max_size=3), max_size=4))
def test_any_payload_is_either_bound_or_refused(payload: dict[str, Any]) -> None:
    fits = {"width"} <= set(payload) <= {"width", "height", "mode"} and all(
        type(value) is (str if key == "mode" else int) for key, value in payload.items()
    )
    if fits:
        assert call(resize, **payload)[0] == payload["width"]
    else:
        refusal(resize, payload)


def _positional(a: int, /) -> None: ...


def _variable(*a: int) -> None: ...


def _late_context(a: int, ctx: TaskContext) -> None: ...


def _unknown(a: NoSuchName) -> None: ...  # type: ignore[name-defined]  # noqa: F821 the point of the test


def _path_or_text(a: Path | str) -> None: ...


def _two_arrays(a: list[int] | set[int]) -> None: ...


def _socket(a: list[dict[str, socket.socket]]) -> None: ...


def _callable(a: Callable[[], int]) -> None: ...


def _iterable(a: Iterable[int]) -> None: ...


def _bytes(a: list[bytes]) -> None: ...


def _extras(**others: Unpack[Extras]) -> None: ...


def _extra_sockets(**others: socket.socket) -> None: ...


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (_positional, "takes 'a' by position only"),
        (_variable, r"takes \*a; use a list argument"),
        (_late_context, "takes its TaskContext as 'ctx'; make it the first argument"),
        (_unknown, "name 'NoSuchName' is not defined; import it where the module can see it"),
        (_path_or_text, "cannot check argument 'a': .*custom type"),
        (_two_arrays, "cannot check argument 'a': .*array-like"),
        (_socket, "cannot check argument 'a': socket is no JSON data"),
        (_callable, "cannot check argument 'a': Callable is no JSON data"),
        (_iterable, "cannot check argument 'a': Iterable is no JSON data"),
        (_bytes, "asks for bytes in 'a'; payloads are JSON, take base64 text"),
        (_extras, "cannot check argument 'others'"),
        (_extra_sockets, "cannot check argument 'others': socket is no JSON data"),
        (dict.update, "has no readable signature|by position only|takes \\*"),
    ],
)
def test_a_signature_that_cannot_be_served_is_refused_at_start_up(function: Callable[..., Any], message: str) -> None:
    with pytest.raises(InvalidSkill, match=message):
        bind("resize", function)


def test_a_hint_that_is_no_type_is_refused_at_start_up() -> None:
    def take(a: Any) -> None: ...

    take.__annotations__["a"] = "1 +"
    with pytest.raises(InvalidSkill, match="has a type hint that cannot be read"):
        bind("resize", take)


def test_a_signature_that_lies_is_refused_at_start_up() -> None:
    def take(a: int) -> None: ...

    vars(take)["__signature__"] = "none"
    with pytest.raises(InvalidSkill, match="has no readable signature"):
        bind("resize", take)
