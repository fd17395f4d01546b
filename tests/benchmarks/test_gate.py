"""The regression gate passes what is as fast as recorded, and names what is not and the commits since."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.gate import RECORD
from benchmarks.gate_measures import CALLS, RATIOS, TRIES, TRIP, WORKER, ratios, whole
from benchmarks.gate_record import LEAST_ALLOWED, Record, Recorded, judge, recorded_of
from benchmarks.sides import ROOT

MEASURES = set(RATIOS)
NUMBERS = st.floats(0.01, 1e6)


def record(measures: Mapping[str, Recorded]) -> Record:
    return Record("abc123", "2026-11-21", "a machine", measures)


def gate(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks.gate", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=500)


def test_the_record_of_this_repository_has_every_measure_and_its_commit_is_in_the_history() -> None:
    kept = Record.read(RECORD)
    assert set(kept.measures) == MEASURES
    assert all(one.ratio > 0 and 0 <= one.spread < 0.2 for one in kept.measures.values())
    assert len(kept.commit) == 10
    assert set(kept.commit) <= set("0123456789abcdef")


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    made = record({"a": Recorded(2.0, 0.01), "b": Recorded(3.5, 0.2)})
    made.write(tmp_path / "gate.json")
    assert Record.read(tmp_path / "gate.json") == made


def test_without_a_record_the_command_that_makes_one_is_named(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"benchmarks\.gate --record"):
        Record.read(tmp_path / "gate.json")


def test_a_measure_that_only_one_side_knows_is_named() -> None:
    with pytest.raises(SystemExit, match="measured or recorded alone: new, old;"):
        judge(record({"old": Recorded(1.0, 0.0)}), {"new": 1.0})


def test_what_was_over_before_it_was_looked_at_is_measured_again() -> None:
    costs = iter([{"worker": 0.0, "redis": 3.0}, {"worker": 7.0, "redis": 0.0}, {"worker": 7.0, "redis": 3.0}])
    assert whole(lambda: next(costs)) == {"worker": 7.0, "redis": 3.0}


def test_what_is_never_seen_is_named_with_what_to_do() -> None:
    costs = iter([{"worker": 0.0, "redis": 3.0}] * TRIES)
    with pytest.raises(SystemExit, match=f"^worker: over before it could be looked at, {TRIES} times; give --tasks a"):
        whole(lambda: next(costs))
    assert list(costs) == []


def test_a_third_is_allowed_and_three_times_the_noise_where_that_is_more() -> None:
    kept = record({"quiet": Recorded(10.0, 0.01), "noisy": Recorded(10.0, 0.15)})
    assert [verdict.passed for verdict in judge(kept, {"quiet": 13.4, "noisy": 14.4})] == [True, True]
    assert [verdict.passed for verdict in judge(kept, {"quiet": 13.6, "noisy": 14.6})] == [False, False]
    slow = judge(kept, {"quiet": 15.0, "noisy": 5.0})
    assert slow[0].line() == "SLOW quiet: 15.00 now, 10.00 recorded, +50% (allowed +35%)"
    assert slow[1].line() == "ok   noisy: 5.00 now, 10.00 recorded, -50% (allowed +45%)"


def test_where_others_have_the_cores_twice_as_much_is_allowed() -> None:
    kept = record({"a": Recorded(10.0, 0.01)})
    assert [judge(kept, {"a": 16.9}, foreign)[0].passed for foreign in (0.0, 0.3, 0.31, 0.9)] == [
        False,
        False,
        True,
        True,
    ]
    assert not judge(kept, {"a": 17.1}, 0.9)[0].passed


@given(st.lists(NUMBERS, min_size=1, max_size=9))
def test_each_run_that_a_record_was_made_of_would_pass_it_if_the_others_lie_about_it(values: list[float]) -> None:
    runs = [{"a": ratio} for ratio in values]
    made = recorded_of(runs)["a"]
    assert min(values) <= made.ratio <= max(values)
    assert made.allowed >= LEAST_ALLOWED
    # Three times half the distance of all is more than the distance of any from their middle.
    assert all(verdict.change <= made.allowed + 1e-9 for run in runs for verdict in judge(record({"a": made}), run))


def test_the_least_of_each_cost_counts_so_that_bad_moments_do_not() -> None:
    quiet = {name: 2.0 for pair in RATIOS.values() for name in pair if name} | {"worker": 12.0, "calls": 20.0}
    found = ratios([quiet | {"worker": 40.0}, quiet | {"bare run": 9.0, "calls": 33.0}, quiet | {"bare run": 3.0}])
    assert found == dict.fromkeys(MEASURES, 1.0) | {WORKER: 6.0, CALLS: 20.0, TRIP: 2.0}


@pytest.mark.timeout(600)
def test_a_spore_that_burns_cpu_is_caught_and_the_commits_since_are_named(tmp_path: Path) -> None:
    """The burning no-op costs some fifty times the real one; nothing that shares the machine makes up for that."""
    # Of single repetitions as short as these, other measures are no better than dice.
    kept = {name: Recorded(30.0 if name == WORKER else 1e9, 0.0) for name in MEASURES}
    asked = subprocess.run(["git", "rev-list", "-2", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    commit = (asked.stdout.split() or ["unknown"])[-1][:10]
    Record(commit, "2026-11-21", "a machine", kept).write(tmp_path / "gate.json")
    few = ("--tasks", "1000", "--repeats", "1", "--file", str(tmp_path / "gate.json"))
    burnt = gate(*few, "--skills", "benchmarks.burning_skills")
    assert burnt.returncode == 1, burnt.stderr
    assert "something looks slow; measuring again" in burnt.stdout
    assert f"SLOW {WORKER}" in burnt.stdout
    assert burnt.stdout.count("SLOW") == 1
    assert f"slower than at {commit}: {WORKER}\ncommits since:\n" in burnt.stderr


@pytest.mark.timeout(600)
def test_a_record_is_made_of_several_runs(tmp_path: Path) -> None:
    path = tmp_path / "gate.json"
    made = gate("--record", "--runs", "1", "--tasks", "5000", "--repeats", "1", "--file", str(path))
    assert made.returncode == 0, made.stderr
    kept = Record.read(path)
    assert set(kept.measures) == MEASURES
    assert all(one.ratio > 0 for one in kept.measures.values())
