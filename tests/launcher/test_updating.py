"""Real launchers, Spores and releases: what is healthy stays, what is not is gone back from, and work goes on."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.hives import done, ended, until, until_so
from tests.launcher.launchers import (
    CHECK,
    DIES_AFTER_READY,
    DIES_AT_IMPORT,
    HANGS,
    NEVER_BEATS,
    NO,
    YES,
    LauncherProcess,
)
from venom_core.config import Settings
from venom_core.domain.node import NodeState
from venom_core.infrastructure.message_broker import MessageBroker
from venom_spore.launcher.phases import Phase
from venom_spore.launcher.releases import BASE


async def node(broker: MessageBroker, name: str = "n1") -> NodeState | None:
    """The Spore as the hive knows it, if it is there."""
    return next((each for each in await broker.hive.nodes.all() if each.profile.name == name and each.online), None)


async def test_a_healthy_release_is_kept_and_a_withdrawn_one_is_left(
    fast: Settings, broker: MessageBroker, tmp_path: Path
) -> None:
    with LauncherProcess(fast, tmp_path) as launcher:
        await launcher.said("joined with")
        journal = str(tmp_path / "journal")
        slow = await broker.enqueue_task("work", {"journal": journal, "seconds": 1.0})
        await until(lambda: Path(journal).exists())
        name = launcher.stage("1.0", YES, CHECK)
        await launcher.rests(Phase.IDLE, name)
        assert launcher.state.app_version_floor == "1.0"
        assert launcher.state.previous == BASE
        assert f"draining {BASE}; {name} comes next" in launcher.text
        assert (await ended(broker, slow)).attempt == 1  # it was drained, not cut off
        assert await done(broker, "work", {"journal": journal, "number": 7}) == 7
        found = await node(broker)
        assert found is not None
        assert found.profile.hardware["app_release"] == name

        launcher.withdraw()
        await launcher.rests(Phase.IDLE, BASE)
        assert launcher.state.known_bad == ()
        assert await done(broker, "work", {"journal": journal, "number": 8}) == 8


@pytest.mark.parametrize(
    ("files", "check", "why"),
    [
        (DIES_AT_IMPORT, "", "exit code 9"),
        (HANGS, "", "not ready within"),
        (DIES_AFTER_READY, CHECK, "SIGKILL"),
        (NEVER_BEATS, "", "steady beats"),
        (NO, CHECK, "check failed"),
        ({}, "no_such_module:well", "check failed"),
    ],
    ids=["dies at import", "hangs", "dies after ready", "never beats", "its check says no", "its check is missing"],
)
async def test_a_sick_release_is_gone_back_from(
    fast: Settings, broker: MessageBroker, tmp_path: Path, files: Mapping[str, str], check: str, why: str
) -> None:
    with LauncherProcess(fast, tmp_path, "--patience", "1") as launcher:
        await launcher.said("joined with")
        name = launcher.stage("2.0", files, check)
        await launcher.rests(Phase.IDLE, BASE, version_bad="2.0")
        assert why in launcher.text
        assert next(note.why for note in launcher.state.notes if note.phase is Phase.ROLLING_BACK)
        assert await done(broker, "work", {"journal": str(tmp_path / "journal"), "number": 3}) == 3
        await until(lambda: not launcher.layout.release(name).exists())


async def test_when_going_back_fails_too_the_node_is_in_safe_mode_until_it_is_mended(
    fast: Settings, broker: MessageBroker, tmp_path: Path
) -> None:
    """The base cannot run either: its skills are in a folder that somebody took away."""
    (tmp_path / "mine.py").write_text("from tests.recovery.skills import skills\n")
    with LauncherProcess(fast, tmp_path, skills="mine:skills", path=tmp_path) as launcher:
        await launcher.said("joined with")
        (tmp_path / "mine.py").unlink()
        launcher.stage("2.0", DIES_AT_IMPORT)
        await launcher.rests(Phase.FAILED, BASE)

        async def in_safe_mode() -> bool:
            found = await node(broker)
            return found is not None and "safe-mode" in found.profile.tags

        await until_so(in_safe_mode)
        found = await node(broker)
        assert found is not None
        assert [skill for skill in found.profile.skills if not skill.startswith("venom.self_test")] == []

        name = launcher.stage("3.0", {"mine.py": "from tests.recovery.skills import skills\n"})
        await launcher.rests(Phase.IDLE, name)
        assert await done(broker, "work", {"journal": str(tmp_path / "journal"), "number": 5}) == 5


async def test_a_launcher_that_is_killed_during_a_trial_goes_on_with_it_and_counts(
    fast: Settings, tmp_path: Path
) -> None:
    with LauncherProcess(fast, tmp_path) as launcher:
        await launcher.said("joined with")
        launcher.stage("2.0", HANGS)
        for boots in (1, 2, 3):
            await until(lambda boots=boots: launcher.state.boots == boots)  # type: ignore[misc]  # binds now
            await until(lambda: len(launcher.workers) == 1)
            launcher.kill()
            launcher.start_again()
        await launcher.rests(Phase.IDLE, BASE, version_bad="2.0")
        assert "no verdict in 3 starts" in launcher.text
        launcher.send(signal.SIGTERM)
        assert await launcher.ended() == 0
