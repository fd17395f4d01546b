"""Whatever the moment of dying, a complete release is current.

This is a sample; `python -m tests.launcher.kill_points --long` is all of it.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.launcher import kill_points
from tests.launcher.kill_points import Scenario
from venom_spore.launcher.layout import Layout
from venom_spore.launcher.phases import Phase
from venom_spore.launcher.releases import COMPLETE

ROOT = Path(__file__).resolve().parents[2]


def run(module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own: this one has threads, and may not fork."""
    return subprocess.run(
        [sys.executable, "-m", module, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("name", [scenario.name for scenario in kill_points.SCENARIOS])
def test_no_moment_of_dying_leaves_half_a_release(name: str) -> None:
    ended = run("tests.launcher.kill_points", name)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert " 0 wrong" in ended.stdout


def test_a_careless_switch_is_found_out() -> None:
    ended = run("tests.launcher.test_kill_points")
    assert ended.returncode == 1, ended.stderr
    assert "and no current release" in ended.stdout
    assert "which is not complete" in ended.stdout


# ------------------------------------------------------------------------------------------------- what it must find


def _in_two_steps(home: Path) -> None:
    current = Layout(home).current
    target = current.readlink()
    current.unlink()
    current.symlink_to(target)


def _into_the_running_one(home: Path) -> None:
    running = Layout(home).current.resolve()
    text = (running / COMPLETE).read_text()
    (running / COMPLETE).write_text(text)


CARELESS = [
    Scenario(
        name,
        kill_points._base_runs,
        act,
        lambda _home: None,
        kill_points._ending(base=Phase.IDLE),
    )
    for name, act in (("in two steps", _in_two_steps), ("into the running one", _into_the_running_one))
]

if __name__ == "__main__":
    sys.argv += ["--sample", "1"]
    sys.exit(kill_points.main(CARELESS))
