"""What stands in two documents is the same in both."""

from __future__ import annotations

import json
import re

import pytest

from benchmarks.copies import COPIES, copied
from benchmarks.section import Section
from benchmarks.sides import ROOT

RESULTS = ROOT / "benchmarks" / "results.json"


@pytest.mark.parametrize("name", COPIES)
def test_a_copied_table_is_the_one_that_was_measured(name: str) -> None:
    section = Section.from_dict(json.loads(RESULTS.read_text())["sections"][name])
    document = (ROOT / COPIES[name]).read_text(encoding="utf-8")
    assert copied(document, section) == document, f"run: ./benchmarks/run --only {name}"


def test_a_table_is_written_over_the_one_with_the_same_heads() -> None:
    section = Section("x", "X", ["queue", "seconds"], [["ours", "1"], ["theirs", "2"]])
    before = "a\n\n| other | seconds |\n|---|--:|\n| 1 | 2 |\n\n| queue | seconds |\n|---|---|\n| old | 0 |\n\nb\n"
    after = copied(before, section)
    assert after.startswith("a\n\n| other | seconds |\n|---|--:|\n| 1 | 2 |\n\n| queue | seconds |\n")
    assert after.endswith("| ours | 1 |\n| theirs | 2 |\n\nb\n")
    assert copied(after, section) == after


def test_a_document_without_such_a_table_is_refused_with_the_lines_to_add() -> None:
    section = Section("x", "X", ["queue", "seconds"], [["ours", "1"]])
    with pytest.raises(ValueError, match=re.escape("| queue | seconds |")):
        copied("nothing\n", section)
