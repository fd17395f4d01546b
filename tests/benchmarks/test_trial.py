"""Trials with the hive itself: real workers, a real server, a real SIGKILL."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.peers import trial
from benchmarks.peers.catalogue import HIVE
from tests.servers import SERVER_BINARY
from venom_core.infrastructure.server_binary import find_server_binary

FAST = HIVE.modes[-1]
PATIENCE_S = 60.0


@pytest.fixture(autouse=True)
def _a_server_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_SERVER", str(find_server_binary(SERVER_BINARY)))


def test_the_task_of_a_killed_worker_begins_on_the_other_and_ends_there_once() -> None:
    found = trial.recovery(HIVE, FAST, PATIENCE_S)
    assert found is not None
    assert found.seconds is not None
    assert 0 < found.seconds < PATIENCE_S
    assert (found.begun, found.ended) == (1, 1)


def test_a_task_that_nobody_rescues_is_reported_so() -> None:
    assert trial.recovery(HIVE, FAST, 0.0) == trial.Recovery(None)


@pytest.mark.parametrize("hold", [False, True])
def test_a_task_of_a_worker_that_lives_is_left_alone(hold: bool) -> None:
    assert trial.health(HIVE, HIVE.modes[0], 2.0, hold=hold) == trial.Health(2.0)


def test_a_task_that_is_cut_off_by_its_timeout_is_reported_so() -> None:
    mode = replace(HIVE.modes[0], environment={"HIVE_TASK_TIMEOUT": "1"})
    found = trial.health(HIVE, mode, 30.0, hold=False)
    assert found.cut_s is not None
    assert 0.9 < found.cut_s < 30.0


def test_a_task_that_is_always_cut_off_before_its_worker_can_be_killed_is_no_sample(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(trial, "TRIES", 1)
    monkeypatch.setattr(trial, "KILL_AFTER_S", (3.0, 3.0))
    mode = replace(HIVE.modes[0], environment={"HIVE_TASK_TIMEOUT": "1"})
    assert trial.recovery(HIVE, mode, PATIENCE_S) is None


def test_a_trial_that_cannot_begin_says_what_its_processes_said() -> None:
    mode = replace(FAST, environment={"HIVE_PROFILE": "nonsense"})
    with pytest.raises(SystemExit, match=r"(?s)^hive: .*HIVE_PROFILE is 'nonsense'"):
        trial.recovery(HIVE, mode, PATIENCE_S)
