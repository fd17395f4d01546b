"""No example of the documents is forgotten: each has a test that runs it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.seed.documents import INSTEAD, LANGUAGES, RUN_BY, example, examples

HERE = Path(__file__).parent


def _numbers(path: Path) -> set[int]:
    """The example numbers a test module asks for: `example(language, 7)` and `run(…, 7)`."""
    calls = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    arguments = [
        call.args[1]
        for call in calls
        if isinstance(call.func, ast.Name) and call.func.id == "example" and len(call.args) == 2
    ]
    return {number.value for number in arguments if isinstance(number, ast.Constant) and isinstance(number.value, int)}


def test_every_example_has_its_place() -> None:
    assert list(range(len(examples("en")))) == sorted(RUN_BY)
    assert len(examples("pl")) == 20


@pytest.mark.parametrize("number", list(RUN_BY))
def test_the_test_of_an_example_runs_it(number: int) -> None:
    assert number in _numbers(HERE / RUN_BY[number])


def test_only_a_listed_fragment_is_replaced() -> None:
    for language in LANGUAGES:
        for number, text in enumerate(examples(language)):
            if number not in INSTEAD:
                assert example(language, number) == text
            else:
                assert example(language, number) != text
