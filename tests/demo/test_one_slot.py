from __future__ import annotations

from pathlib import Path

from tests.demo.ends import file
from venom_core.demo.one_slot import EXPECTED_EFFICIENCY, choose
from venom_core.demo.rates import OneSlot
from venom_core.demo.scene import Wishes

FILES = tuple(file(f"{number}.py", size=100) for number in range(100))
# A hundred bytes, one file, a second.
ONE = OneSlot({"0.py": 1.0, "1.py": 1.0}, seconds=2.0, size=200)


def test_a_sample_is_as_long_as_the_measured_pace_allows() -> None:
    assert len(choose(Wishes(sample_s=12), FILES, ONE, slots=2)) == 10 * 2 * EXPECTED_EFFICIENCY
    assert choose(Wishes(sample_s=1_000), FILES, ONE, slots=2) == FILES


def test_a_sample_holds_what_was_measured_and_something_more() -> None:
    assert choose(Wishes(sample_s=0.1), FILES, ONE, slots=2) == FILES[:3]


def test_what_was_asked_for_by_name_is_taken_whole() -> None:
    assert choose(Wishes(Path("src"), sample_s=1), FILES, ONE, slots=2) == FILES
    assert choose(Wishes(everything=True, sample_s=1), FILES, ONE, slots=2) == FILES
    assert choose(Wishes(sample_s=1), FILES, OneSlot(), slots=2) == FILES
