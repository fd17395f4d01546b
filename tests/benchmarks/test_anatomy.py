"""Samples belong to the step of their innermost known function, and the table adds up."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import anatomy, soak
from benchmarks.sampling import Sampler, read, shares, write
from benchmarks.sides import ROOT

STEPS = {"seal": ("seal.code",), "run": ("execution.run", "execution.end")}
STACKS = st.dictionaries(
    st.lists(st.sampled_from(["seal.code", "execution.run", "execution.end", "other.f"]), min_size=1, max_size=5).map(
        tuple
    ),
    st.integers(1, 1_000),
    max_size=9,
)


def burn(seconds: float) -> None:
    end_s = time.process_time() + seconds
    while time.process_time() < end_s:
        pass


def test_the_innermost_function_that_has_a_step_decides() -> None:
    stacks = {
        ("execution.run", "seal.code"): 3, ("execution.run", "seal.code", "other.f"): 1,
        ("seal.code", "execution.end"): 4, ("other.f",): 2,
    }  # fmt: skip
    assert shares(stacks, STEPS, "rest") == {"seal": 0.4, "run": 0.4, "rest": 0.2}


@given(STACKS)
def test_shares_add_up_to_all_that_was_met(stacks: dict[tuple[str, ...], int]) -> None:
    found = shares(stacks, STEPS, "rest")
    assert found.keys() == {*STEPS, "rest"}
    assert sum(found.values()) == pytest.approx(1 if stacks else 0)


def test_a_process_that_burns_is_met_where_it_burns(tmp_path: Path) -> None:
    sampler = Sampler()
    sampler.start()
    burn(0.3)
    stacks = sampler.stop()
    met = sum(count for stack, count in stacks.items() if "test_anatomy.burn" in stack)
    assert met > 5
    assert met >= 0.9 * sum(stacks.values())
    write(tmp_path / "samples", stacks)
    assert read(tmp_path / "samples") == stacks
    burn(0.05)
    assert sampler.stop() == stacks  # nothing is counted any more


def test_every_function_of_a_step_is_still_in_the_code() -> None:
    """A function that was renamed would be counted as the rest, in silence."""
    sources: dict[str, str] = {}
    for folder in ("venom_core", "venom_spore", "benchmarks"):
        for path in (ROOT / folder).rglob("*.py"):
            sources[path.stem] = sources.get(path.stem, "") + path.read_text()
    for steps in (anatomy.CALLER_STEPS, anatomy.SPORE_STEPS):
        for name in (name for names in steps.values() for name in names if not name.startswith("_weakrefset")):
            module, _, function = name.partition(".")
            assert f"def {function.rpartition('.')[2]}(" in sources[module], name


def test_the_table_adds_up() -> None:
    found = anatomy.Found([4.0], [10.0], {"enqueue": [2.0], "claim": [3.0], "settle": [1.0]})
    found.caller = Counter({("seal._Key.code",): 1, ("task_id.TaskIds.take",): 3})
    found.spore = Counter({("execution.Executor.begin",): 1})
    found.commands_us = Counter({"hset": 3.0, "zadd": 1.0})
    section = anatomy.section_of(found)
    assert section.rows[-1] == ["together", "", "20.00", "100.0"]
    told = {tuple(row[:2]): row[2:] for row in section.rows}
    assert told["caller", "authentication (blake2b)"] == ["1.00", "5.0"]
    assert told["Redis", "the claim script, its call"] == ["3.00", "15.0"]
    assert told["Spore", "the rest"] == ["0.00", "0.0"]
    assert "hset 75%, zadd 25%" in section.notes[0]


def test_memory_is_judged_by_the_last_sample_beside_the_first() -> None:
    samples = [
        soak.Sample(0, 0, 2.0, 1.0, 50.0, 0),
        soak.Sample(10, 9, 90.0, 80.0, 54.0, 9),
        soak.Sample(10, 70, 3.0, 1.5, 56.0, 0),
    ]
    section = soak.section_of(samples)
    assert [(round(promise.measured, 6), promise.met) for promise in section.promises] == [(0.5, True), (12.0, False)]
    assert section.rows[1] == ["10", "9", "90.00", "80.00", "54.0", "9"]
