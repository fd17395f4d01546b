"""The table of attacks leaves no code out, and every test that it names exists, in a file that knows the code."""

from __future__ import annotations

import ast
import re

import pytest

from tests.docs.markdown import text_of
from tests.tidy.source import ROOT
from venom_core.ota.refusal import Code

PAGE = "docs/ota.md"
HELPERS = ("tests/ota/attacks.py", "tests/ota/hand_zips.py")
ROW = re.compile(r"^\| [^|]+ \| (?P<codes>[^|]+) \| [^|]+ \| (?P<tests>`tests/[^|]+`) \|$", re.MULTILINE)
ROWS = [
    (found["codes"], file, test)
    for found in ROW.finditer(text_of(PAGE))
    for file, test in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", found["tests"])
]


def test_every_code_stands_in_one_row() -> None:
    named = [code for found in ROW.finditer(text_of(PAGE)) for code in re.findall(r"`([A-Z_]+)`", found["codes"])]
    assert sorted(named) == sorted(Code)


def test_every_row_is_read() -> None:
    lines = [line for line in text_of(PAGE).splitlines() if line.startswith("| ") and "tests/" in line]
    assert len(lines) == len(ROW.findall(text_of(PAGE)))
    assert len(ROWS) == sum(line.count("::") for line in lines)


@pytest.mark.parametrize(("file", "test"), sorted({row[1:] for row in ROWS}))
def test_the_test_of_a_row_is_there(file: str, test: str) -> None:
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    assert test in {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


@pytest.mark.parametrize("code", list(Code))
def test_the_tests_of_a_code_know_it(code: Code) -> None:
    files = {file for codes, file, _ in ROWS if f"`{code}`" in codes}
    tables = HELPERS if any(file.startswith("tests/ota/") for file in files) else ()
    assert any(str(code) in (ROOT / file).read_text(encoding="utf-8") for file in (*files, *tables))
