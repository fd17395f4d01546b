"""The table of attacks leaves no code out, and every test that it names exists and is about that code."""

from __future__ import annotations

import ast
import re

import pytest

from tests.docs.markdown import text_of
from tests.tidy.source import ROOT
from venom_core.ota.refusal import Code

PAGE = "docs/ota.md"
ROW = re.compile(
    r"^\| [^|]+ \| (?P<codes>[^|]+) \| [^|]+ \| `(?P<file>tests/[\w/]+\.py)::(?P<test>\w+)` \|$", re.MULTILINE
)
ROWS = [(found["codes"], found["file"], found["test"]) for found in ROW.finditer(text_of(PAGE))]


def test_every_code_stands_in_one_row() -> None:
    named = [code for codes, _, _ in ROWS for code in re.findall(r"`([A-Z_]+)`", codes)]
    assert sorted(named) == sorted(Code)


def test_every_row_is_read() -> None:
    assert len(ROWS) == sum("tests/" in line and line.startswith("| ") for line in text_of(PAGE).splitlines())


@pytest.mark.parametrize(("codes", "file", "test"), ROWS, ids=[f"{codes} {test}" for codes, _, test in ROWS])
def test_the_test_of_a_row_is_there_and_its_file_knows_the_code(codes: str, file: str, test: str) -> None:
    text = (ROOT / file).read_text(encoding="utf-8")
    functions = {node.name for node in ast.parse(text).body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    assert test in functions
    for code in re.findall(r"`([A-Z_]+)`", codes):
        assert code in text or _in_helpers(file, code), f"{file} says nothing of {code}"


def _in_helpers(file: str, code: str) -> bool:
    """A table of attacks may stand beside the tests that go through it."""
    folder = (ROOT / file).parent
    return any(
        code in path.read_text(encoding="utf-8") for path in folder.glob("*.py") if not path.name.startswith("test_")
    )
