"""What is not a release's fault is not blamed on it, and what a release cannot run on is not run."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.launcher.kill_points import NEW, OLD, launch, stage
from venom_spore.launcher.gate import Gate, Terms
from venom_spore.launcher.layout import Layout
from venom_spore.launcher.life import Life
from venom_spore.launcher.machine import Machine
from venom_spore.launcher.phases import Mode, Phase
from venom_spore.launcher.releases import BASE, COMPLETE, RUNS_ON, Releases, read_complete, write_complete
from venom_spore.launcher.supervisor import _left


@pytest.fixture
def trial(tmp_path: Path) -> Machine:
    """NEW is on trial, OLD ran before it."""
    layout = Layout(tmp_path / "home")
    launch(layout.home, lambda _: True)
    stage(layout.home, OLD)
    launch(layout.home, lambda _: True)
    stage(layout.home, NEW)
    machine = Machine(layout, sys.executable, lambda: 1.0)
    machine.recover()
    machine.drain()
    machine.switch()
    assert (machine.state.phase, machine.state.current) == (Phase.PROBATION, NEW)
    return machine


def test_a_version_is_blamed_while_what_ran_before_it_is_well(trial: Machine) -> None:
    trial.roll_back("it never joined")
    trial.settle()
    assert trial.state.known_bad != ()


def test_when_what_ran_before_fails_too_the_blame_is_taken_back(trial: Machine) -> None:
    trial.roll_back("it never joined")
    trial.fail("it never joined either")
    assert trial.state.known_bad == ()
    assert trial.state.phase is Phase.FAILED


def test_while_nothing_works_and_the_disk_takes_no_change_the_base_runs(trial: Machine) -> None:
    trial.roll_back("it never joined")
    trial.fail("it never joined either")
    assert trial.runnable() == BASE


def test_a_hint_of_the_day_after_tomorrow_hides_no_other(trial: Machine) -> None:
    assert trial.is_news(1_000)
    assert not trial.is_news(99_999_999_999_999)
    trial.hear(5_000)
    assert (trial.is_news(5_000), trial.is_news(5_001)) == (False, True)


def made_with(release: Path, python: Path, runs_on: str) -> None:
    write_complete(release, "1.0", str(python))
    told = json.loads((release / COMPLETE).read_text())
    (release / COMPLETE).write_text(json.dumps({**told, "runs_on": runs_on}))


def test_a_release_whose_python_is_gone_or_another_is_not_complete(tmp_path: Path) -> None:
    release, python = tmp_path / "1.0-abc", tmp_path / "1.0-abc/venv/bin/python"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    made_with(release, python, RUNS_ON)
    assert read_complete(release) is not None
    made_with(release, python, "3.0")
    assert read_complete(release) is None
    made_with(release, python, RUNS_ON)
    python.unlink()
    python.symlink_to(tmp_path / "a Python that was updated away")
    assert read_complete(release) is None


def test_a_node_whose_python_was_updated_goes_on_with_what_still_runs(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "home")
    launch(layout.home, lambda _: True)
    stage(layout.home, OLD)
    launch(layout.home, lambda _: True)
    made_with(layout.release(OLD), layout.release(OLD) / "venv/bin/python", "3.0")
    machine = Machine(layout, sys.executable, lambda: 1.0)
    state = machine.recover()
    assert (state.phase, state.current, Releases(layout).current()) == (Phase.IDLE, BASE, BASE)
    assert state.known_bad == ()


@pytest.mark.parametrize(("joined", "code", "left"), [(True, 0, True), (False, 0, False), (True, 1, False)])
def test_who_is_told_to_leave_during_its_trial_is_not_sick(joined: bool, code: int, left: bool) -> None:
    gate = Gate(Terms(1.0), 0.0)
    if joined:
        gate.ready(0.5)
    life = Life.__new__(Life)
    life.mode, life.gate = Mode.ON_TRIAL, gate
    assert _left(life, code) is left
