from __future__ import annotations

import re

import pytest

from venom_core import errors
from venom_core.errors import VenomError
from venom_core.ota.refusal import UpdateRefused

TREE = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, VenomError)]


@pytest.mark.parametrize("kind", TREE)
def test_every_error_descends_from_the_root_and_says_what_it_means(kind: type[VenomError]) -> None:
    assert kind.__doc__
    assert str(kind("one sentence")) == "one sentence"


def test_the_drawn_tree_is_the_real_one() -> None:
    assert errors.__doc__ is not None
    drawn: dict[str, str] = {}
    path: list[str] = []
    for line in errors.__doc__.splitlines():
        found = re.match(r"    ([│├└─ ]*)([A-Z]\w+)(?:\s|$)", line)
        if found:
            depth = len(found[1]) // 4
            path = [*path[:depth], found[2]]
            drawn[found[2]] = path[-2] if depth else ""
    kinds = [*TREE, UpdateRefused]
    assert drawn == {kind.__name__: "" if kind is VenomError else kind.__bases__[0].__name__ for kind in kinds}


@pytest.mark.parametrize(
    ("kind", "builtin"),
    [
        (errors.InputError, ValueError),
        (errors.UnknownTask, LookupError),
        (errors.StoreUnavailable, ConnectionError),
        (errors.TaskTimeout, TimeoutError),
    ],
)
def test_who_knows_only_the_builtin_kind_catches_it_too(kind: type[VenomError], builtin: type[Exception]) -> None:
    assert issubclass(kind, builtin)
