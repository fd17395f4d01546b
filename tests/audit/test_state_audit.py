"""What a launcher did stands in its node's chain, each step once."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

import pytest

from tests.hives import until
from venom_core.audit_chain import read_entries, verify
from venom_spore.launcher.layout import Layout
from venom_spore.launcher.phases import Phase
from venom_spore.launcher.state import State, StateFile
from venom_spore.state_audit import NOTED, StateAudit


@pytest.fixture
def home(tmp_path: Path) -> Path:
    Layout(tmp_path / "home").prepare()
    return tmp_path / "home"


def moved(phase: Phase, why: str, state: State) -> State:
    return state.move(phase).noted(1_800_000_000.0, "2.0-abc", why)


def step(home: Path, *phases: Phase, why: str = "") -> None:
    """The launcher goes through these phases."""
    for phase in phases:
        StateFile(Layout(home)).change(partial(moved, phase, why))


def steps(chain: Path) -> list[tuple[str, str]]:
    return [(entry.event, entry.detail) for entry in read_entries(chain) if entry is not None]


def test_each_step_is_taken_down_once(home: Path, tmp_path: Path) -> None:
    chain = tmp_path / "audit.jsonl"
    step(home, Phase.STAGED, Phase.DRAINING)
    StateAudit(home, chain, "n1").copy()
    step(home, Phase.SWITCHING, Phase.PROBATION)
    step(home, Phase.ROLLING_BACK, why="it never joined")
    for _ in range(2):  # another Spore of the same home knows what the one before it took down
        StateAudit(home, chain, "n1").copy()
    assert [event for event, _ in steps(chain)] == [
        "release_staged", "release_draining", "release_switching", "release_probation", "release_rolling_back",
    ]  # fmt: skip
    assert steps(chain)[-1][1] == "2.0-abc at 2027-01-15T08:00:00.000+00:00: it never joined"
    assert verify(chain).seq == 5


def test_a_state_that_begins_anew_is_taken_down_from_its_start(home: Path, tmp_path: Path) -> None:
    chain = tmp_path / "audit.jsonl"
    step(home, Phase.STAGED, Phase.DRAINING)
    StateAudit(home, chain, "n1").copy()
    Layout(home).state_file.unlink()
    step(home, Phase.STAGED)
    StateAudit(home, chain, "n1").copy()
    assert [event for event, _ in steps(chain)] == ["release_staged", "release_draining", "release_staged"]


async def test_a_look_copies_only_when_the_state_has_changed(home: Path, tmp_path: Path) -> None:
    chain, loop = tmp_path / "audit.jsonl", asyncio.get_running_loop()
    audit = StateAudit(home, chain, "n1")
    audit.look(loop)  # there is no state yet
    assert not chain.exists()
    step(home, Phase.STAGED)
    audit.look(loop)
    await until((home / NOTED).exists)
    (home / NOTED).unlink()
    audit.look(loop)
    assert not (home / NOTED).exists()


def test_steps_that_nobody_saw_are_said_to_be_lost(home: Path, tmp_path: Path) -> None:
    step(home, Phase.STAGED)
    StateAudit(home, tmp_path / "audit.jsonl", "n1").copy()
    for _ in range(20):
        step(home, Phase.GO_BACK, Phase.IDLE, Phase.STAGED)
    StateAudit(home, tmp_path / "audit.jsonl", "n1").copy()
    assert steps(tmp_path / "audit.jsonl")[1] == ("release_steps_lost", "10 steps")


@pytest.mark.parametrize("noted", [b"nothing", b"\xff"])
def test_a_spoilt_mark_copies_again_rather_than_nothing(home: Path, tmp_path: Path, noted: bytes) -> None:
    (home / NOTED).write_bytes(noted)
    step(home, Phase.STAGED)
    StateAudit(home, tmp_path / "audit.jsonl", "n1").copy()
    assert len(steps(tmp_path / "audit.jsonl")) == 1


def test_what_hinders_it_is_said_and_hinders_nobody(
    home: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Layout(home).state_file.write_text("nonsense")
    StateAudit(home, tmp_path / "audit.jsonl", "n1").copy()
    assert "the steps of the launcher were not taken down" in caplog.text
