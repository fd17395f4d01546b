"""What a launcher decides when its worker ends with 2, which says that no restart mends it."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.launcher.test_faults_around import NOBODY
from venom_spore.launcher.commands import MISUSED_EXIT, updater_command
from venom_spore.launcher.gate import Gate, Terms
from venom_spore.launcher.layout import Layout
from venom_spore.launcher.life import Life
from venom_spore.launcher.link import Link, Word
from venom_spore.launcher.phases import Mode, Phase
from venom_spore.launcher.releases import BASE
from venom_spore.launcher.state import State
from venom_spore.launcher.supervisor import Options, Supervisor
from venom_spore.main import MISUSED

NOW_S = 100.0


@pytest.fixture
def supervisor(tmp_path: Path) -> Supervisor:
    """One whose worker has just ended."""
    layout = Layout(tmp_path / "home")
    layout.prepare()
    made = Supervisor(layout, Options((), {}, sys.executable, (), Terms(1.0)), lambda: NOW_S)
    made._machine.recover()
    return made


@pytest.fixture
def life() -> Iterator[Life]:
    ear, mouth = os.pipe()
    made = Life(BASE, Mode.PLAIN, NOBODY, Link(ear), NOW_S - 0.2)
    yield made
    made.link.close()
    os.close(mouth)


def test_spore_and_launcher_mean_the_same_code() -> None:
    assert MISUSED == MISUSED_EXIT == 2


def test_it_leaves_with_that_code(supervisor: Supervisor, life: Life) -> None:
    supervisor._mourn(life, 2)
    assert (supervisor._misused, supervisor._start_s) == (True, math.inf)
    supervisor._leave_or_mend(NOW_S)
    assert (supervisor._leaving, supervisor._exit) == (True, 2)


def test_a_look_that_is_under_way_is_waited_for(supervisor: Supervisor, life: Life) -> None:
    supervisor._mourn(life, 2)
    supervisor._updater = NOBODY
    supervisor._updater_until_s = math.inf
    supervisor._act(NOW_S)
    assert (supervisor._misused, supervisor._leaving, supervisor._life) == (True, False, None)


def test_what_that_look_brought_is_tried(supervisor: Supervisor, life: Life) -> None:
    supervisor._mourn(life, 2)
    supervisor._machine.state = State(Phase.PROBATION, current="1.0-abc", previous=BASE)
    supervisor._leave_or_mend(NOW_S)
    assert (supervisor._leaving, supervisor._exit, supervisor._misused) == (False, 0, False)
    assert supervisor._start_s == NOW_S + 0.5


@pytest.mark.parametrize("word", ["up", "ready"])
def test_who_was_up_before_is_started_again(supervisor: Supervisor, life: Life, word: str) -> None:
    """A task may end its Spore with any code."""
    supervisor._hear(life, Word(word))
    supervisor._mourn(life, 2)
    assert (supervisor._misused, supervisor._start_s) == (False, NOW_S + 0.5)


def test_on_trial_it_is_the_fault_of_the_release(supervisor: Supervisor, life: Life) -> None:
    life.mode, life.gate = Mode.ON_TRIAL, Gate(Terms(1.0), NOW_S)
    supervisor._mourn(life, 2)
    assert (supervisor._misused, supervisor._sick) == (False, "the worker ended with exit code 2")


def test_safe_mode_goes_on_looking_for_what_mends_it(supervisor: Supervisor, life: Life) -> None:
    life.mode = Mode.SAFE
    supervisor._mourn(life, 2)
    assert (supervisor._misused, supervisor._start_s) == (False, NOW_S + 0.5)


def test_the_updater_hears_what_the_worker_imports_and_how_long_it_may_take(tmp_path: Path) -> None:
    told = updater_command(["updater"], Layout(tmp_path), 300.0, ["--skills", "a:b"])
    assert told == ["updater", "--home", str(tmp_path), "--ready", "300", "--", "--skills", "a:b"]
