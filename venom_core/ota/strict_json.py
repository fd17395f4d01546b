"""What metadata may look like before anything reads it: JSON without the corners in which two readers disagree.

python-tuf verifies a signature over what it parsed, so none of these lets a forgery through; but a number that is not
one, a name that stands twice or a million brackets is no honest signer's work, and is refused by name.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NoReturn

from venom_core.ota.refusal import Code, UpdateRefused

DEPTH_MAX = 32
INTEGER_MAX = 2**53
"""The largest whole number that every reader of JSON keeps exactly."""
_WHOLE = frozenset({"version", "threshold", "length"})


def check_metadata(name: str, data: bytes) -> None:
    """Refuse what is not plain JSON: names once, whole numbers, UTF-8; `UpdateRefused` BAD_METADATA."""
    try:
        found = json.loads(data.decode(), object_pairs_hook=_once, parse_constant=_no_number, parse_float=_no_number)
        for step in _steps(found):
            _judge(step)
    except RecursionError:
        raise _refused(name, "it is nested too deeply") from None
    except ValueError as fault:  # of which the errors of JSON, UTF-8 and of a number of 5,000 digits are kinds
        raise _refused(name, str(fault)) from None


def _refused(name: str, why: str) -> UpdateRefused:
    sentence = f"{name} is not metadata as it is signed here ({why:.200}); ask whoever serves it to publish anew"
    return UpdateRefused(Code.BAD_METADATA, sentence)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice in one object")
    return found


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text:.20} is no whole number")


def _steps(value: Any) -> Iterator[tuple[str, Any]]:
    """Every value with the name it stands under; ValueError below DEPTH_MAX levels."""
    left = [("", value, 1)]
    while left:
        name, here, depth = left.pop()
        yield name, here
        if depth > DEPTH_MAX:
            raise ValueError(f"it is nested more than {DEPTH_MAX} levels deep")
        if isinstance(here, dict):
            left += [(key, below, depth + 1) for key, below in here.items()]
        elif isinstance(here, list):
            left += [("", below, depth + 1) for below in here]


def _judge(step: tuple[str, Any]) -> None:
    name, value = step
    name.encode()  # a lone half of a surrogate pair is a ValueError
    if isinstance(value, str):
        value.encode()
    elif value is None or isinstance(value, bool):
        if name in _WHOLE:
            raise ValueError(f"{name} is {str(value).lower()}, not a number")
    elif isinstance(value, int) and abs(value) > INTEGER_MAX:
        raise ValueError(f"a number is larger than {INTEGER_MAX}")
