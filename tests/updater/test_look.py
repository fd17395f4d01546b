"""Looks of one node at a real repository over real HTTP: what is staged, and what is left as it was."""

from __future__ import annotations

import subprocess

from tests.ota.folders import snapshot
from tests.updater.releasing import Home, Releaser
from venom_core.ota.refusal import Code
from venom_spore.launcher.phases import Phase
from venom_spore.launcher.releases import BASE, read_complete
from venom_spore.launcher.state import StateFile
from venom_spore.updater.run import Exit


def run_in(home: Home, release: str, code: str) -> str:
    """What code prints that a release's interpreter runs."""
    found = read_complete(home.layout.release(release))
    assert found is not None
    return subprocess.run([found.python, "-I", "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_before_anything_is_signed_there_is_nothing_to_do(home: Home) -> None:
    outcome = home.look()
    assert (outcome.exit, bool(outcome)) == (Exit.NOTHING, False)
    assert outcome.words == f"nothing newer than {BASE} is for it"
    assert home.events == []


def test_a_signed_release_is_staged_whole(home: Home, releaser: Releaser) -> None:
    signed = releaser.release("1.0.0", {"our_skills.py": "VERSION = 'one'\n"})
    outcome = home.look()
    name = f"1.0.0-{signed.sha256[:12]}"
    assert (outcome.exit, outcome.release, outcome.moved) == (Exit.STAGED, name, signed.length)
    assert (
        outcome.words == f"{name} is staged; {signed.length:,} bytes were moved for {signed.length:,} bytes of package"
    )
    state = StateFile(home.layout).load()
    assert (state.phase, state.next, state.current, len(state.accepted_at)) == (Phase.STAGED, name, BASE, 1)
    assert home.events == [("update_staged", {"release": name, "sha256": signed.sha256, "moved_bytes": signed.length})]
    assert run_in(home, name, "import our_skills, venom_spore.main; print(our_skills.VERSION)") == "one"
    assert list(home.layout.staging.iterdir()) == []
    assert home.layout.update_lock.read_text() == ""


def test_while_one_is_staged_another_look_changes_nothing(home: Home, releaser: Releaser) -> None:
    releaser.release("1.0.0")
    assert home.look()
    releaser.release("2.0.0")
    before = snapshot(home.layout.home)
    outcome = home.look()
    assert outcome.code is Code.BUSY
    assert "is staged; it is tried again later" in outcome.words
    assert snapshot(home.layout.home) == before


def test_the_next_version_follows_and_the_highest_is_taken(home: Home, releaser: Releaser) -> None:
    releaser.release("1.0.0")
    home.look()
    home.commit()
    assert home.look().exit is Exit.NOTHING
    releaser.release("1.2.0")
    releaser.release("1.10.0")
    assert home.look().release.startswith("1.10.0-")
    home.commit()
    assert home.machine.state.app_version_floor == "1.10.0"


def test_what_was_withdrawn_is_left_and_not_taken_again(home: Home, releaser: Releaser) -> None:
    for version in ("1.0.0", "2.0.0"):
        releaser.release(version)
        assert home.look()
        home.commit()
    releaser.withdraw("2.0.0")
    outcome = home.look(hive_ota_interval=3600.0)
    assert (outcome.exit, outcome.words.endswith("was withdrawn; going back")) == (Exit.STAGED, True)
    assert StateFile(home.layout).load().phase is Phase.GO_BACK
    assert home.events[-1][0] == "update_go_back"
    home.go_back()
    assert home.machine.state.current.startswith("1.0.0-")
    assert home.look().exit is Exit.NOTHING


def test_a_release_that_is_still_there_is_not_loaded_again(home: Home, releaser: Releaser) -> None:
    for version in ("1.0.0", "2.0.0"):
        releaser.release(version)
        home.look()
        home.commit()
    package = releaser.folder / "packages" / "tasks-1.0.0.zip"
    releaser.repository.add_package(package, downgrade_from=["2.0.0"])
    releaser.withdraw("2.0.0")
    outcome = home.look()
    assert (outcome.release[:6], outcome.moved) == ("1.0.0-", 0)
