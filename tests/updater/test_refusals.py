"""Every way a look can be refused: its code, one sentence, an entry in the audit, and the home as it was.

What TUF keeps of the metadata that it has verified (`trust/`) is judged by the tests of `venom_core.ota.trust`.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.hives import ShiftedClock
from tests.ota.folders import snapshot
from tests.updater.releasing import NODE, Home, Releaser, served
from venom_core.ota.refusal import Code
from venom_core.ota.verifying import Signed
from venom_spore.launcher.phases import Phase
from venom_spore.launcher.state import StateFile
from venom_spore.updater import room
from venom_spore.updater.facts import Node
from venom_spore.updater.run import Exit, Outcome

HOUR_S = timedelta(hours=1).total_seconds()


def without_trust(home: Home) -> dict[str, str]:
    return {path: told for path, told in snapshot(home.layout.home).items() if path.partition("/")[0] != "trust"}


def refused(home: Home, look: Callable[[], Outcome], code: Code) -> str:
    """The sentence of a look that changes nothing and is taken down."""
    before, taken_down = without_trust(home), len(home.events)
    outcome = look()
    assert (outcome.exit, outcome.code) == (Exit.REFUSED, code), outcome.words
    assert without_trust(home) == before
    [(event, detail)] = home.events[taken_down:]
    assert (event, detail["code"], detail["why"]) == ("update_refused", str(code), outcome.words)
    assert "\n" not in outcome.words
    return outcome.words


def served_file(releaser: Releaser, signed: Signed) -> Path:
    return releaser.repository.targets_folder / signed.served_as


# ------------------------------------------------------------------------------------------------ what is served


def test_a_package_that_was_altered(home: Home, releaser: Releaser) -> None:
    path = served_file(releaser, releaser.release("1.0.0"))
    path.write_bytes(bytes(path.stat().st_size))
    assert "is not what was signed" in refused(home, home.look, Code.WRONG_HASH)


def test_a_package_that_was_cut(home: Home, releaser: Releaser) -> None:
    path = served_file(releaser, releaser.release("1.0.0"))
    os.truncate(path, path.stat().st_size - 1)
    refused(home, home.look, Code.WRONG_LENGTH)


def test_a_package_that_is_not_there(home: Home, releaser: Releaser) -> None:
    served_file(releaser, releaser.release("1.0.0")).unlink()
    assert "signed, but not there (404)" in refused(home, home.look, Code.BAD_ANSWER)


def test_a_package_larger_than_this_node_takes(home: Home, releaser: Releaser) -> None:
    releaser.release("1.0.0")
    words = refused(home, lambda: home.look(hive_ota_package_bytes_max=100), Code.TOO_BIG)
    assert "HIVE_OTA_PACKAGE_BYTES_MAX" in words


def test_nobody_serves_anything(releaser: Releaser, tmp_path: Path) -> None:
    with served(releaser.folder) as url:
        home = Home(tmp_path / "spore", url, releaser.fingerprint)
    refused(home, home.look, Code.UNREACHABLE)


# ------------------------------------------------------------------------------------------------- whom it is for


def test_a_package_for_another_node_is_no_news_to_this_one(home: Home, releaser: Releaser) -> None:
    releaser.release("1.0.0", nodes=["spore-2"])
    before = without_trust(home)
    outcome = home.look()
    assert (outcome.exit, home.events) == (Exit.NOTHING, [])
    assert "NOT_FOR_THIS_NODE" in outcome.words
    assert without_trust(home) == before
    assert home.look(Node("spore-2"))


def test_a_package_for_nodes_with_a_tag(home: Home, releaser: Releaser) -> None:
    releaser.release("1.0.0", tags=["gpu"])
    assert "asks for the tags gpu" in home.look().words
    assert home.look(Node("any", ("gpu", "here")))


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("platforms", ("win_amd64",), Code.WRONG_PLATFORM),
        ("python", "<3.9", Code.WRONG_PYTHON),
        ("min_spore", "999.0", Code.SPORE_TOO_OLD),
    ],
)
def test_a_package_for_another_machine(field: str, value: Any, code: Code, home: Home, releaser: Releaser) -> None:
    releaser.release("1.0.0", **{field: value})
    refused(home, home.look, code)


def test_one_update_an_hour(home: Home, releaser: Releaser) -> None:
    releaser.release("1.0.0")
    assert home.look(hive_ota_interval=3600.0)
    home.commit()
    releaser.release("2.0.0")
    words = refused(home, lambda: home.look(hive_ota_interval=3600.0), Code.TOO_SOON)
    assert "one update in 3600 s (HIVE_OTA_INTERVAL there)" in words
    assert home.look(hive_ota_interval=3600.0, clock=ShiftedClock(HOUR_S + 5))


def test_a_version_that_failed_here_before_is_no_news(home: Home, releaser: Releaser) -> None:
    releaser.release("1.0.0")
    home.look()
    home.machine.reload()
    home.machine.drain()
    home.machine.switch()
    home.machine.roll_back("it crashed")
    home.machine.settle()
    outcome = home.look()
    assert (outcome.exit, "it failed on this node before" in outcome.words) == (Exit.NOTHING, True)
    releaser.release("1.0.1")
    assert home.look()


# ----------------------------------------------------------------------------------------------------- what it is


@pytest.mark.parametrize(
    ("text", "check"),
    [
        ("raise RuntimeError('at import')", "our_skills:healthy"),
        ("import no_such_module", "our_skills:healthy"),
        ("healthy = 5", "our_skills:healthy"),
        ("import os; os.kill(os.getpid(), 9)", "our_skills:healthy"),
    ],
)
def test_code_that_does_not_start(text: str, check: str, home: Home, releaser: Releaser) -> None:
    releaser.release("1.0.0", {"our_skills.py": text}, check=check)
    refused(home, home.look, Code.DOES_NOT_START)


# ---------------------------------------------------------------------------------------------------- this machine


def test_a_home_that_has_not_joined(tmp_path: Path, home: Home) -> None:
    shutil.rmtree(home.layout.trust)
    home.layout.trust.mkdir(mode=0o700)
    assert "venom ota join" in refused(home, home.look, Code.NOT_JOINED)


def test_a_home_that_anybody_may_write(home: Home, releaser: Releaser) -> None:
    releaser.release("1.0.0")
    home.layout.releases.chmod(0o777)
    assert "can be written by anybody" in refused(home, home.look, Code.LOCAL_FAULT)


def test_a_current_that_is_a_folder(home: Home, releaser: Releaser) -> None:
    releaser.release("1.0.0")
    home.layout.current.unlink()
    home.layout.current.mkdir()
    assert "is a folder, not a link" in refused(home, home.look, Code.LOCAL_FAULT)


def test_a_state_that_cannot_be_read(home: Home, releaser: Releaser) -> None:
    releaser.release("1.0.0")
    home.layout.state_file.write_text("{")
    assert "state.json is no state" in refused(home, home.look, Code.LOCAL_FAULT)


def test_a_disk_without_room(home: Home, releaser: Releaser, monkeypatch: pytest.MonkeyPatch) -> None:
    releaser.release("1.0.0")
    monkeypatch.setattr(room, "SPARE_BYTES", 1 << 60)
    assert "make room" in refused(home, home.look, Code.NO_SPACE)


def test_a_disk_without_room_for_more_files(home: Home, releaser: Releaser, monkeypatch: pytest.MonkeyPatch) -> None:
    releaser.release("1.0.0")
    monkeypatch.setattr(room, "VENV_FILES", 1 << 60)
    if not os.statvfs(home.layout.home).f_files:
        pytest.skip("this file system has no limit on files")
    assert "more files" in refused(home, home.look, Code.NO_SPACE)


# ------------------------------------------------------------------------------------------------------- the clock


@pytest.mark.parametrize("off_s", [-HOUR_S, HOUR_S])
def test_a_clock_that_is_an_hour_off_takes_updates(off_s: float, tmp_path: Path, releaser: Releaser, url: str) -> None:
    clock = ShiftedClock(off_s)
    home = Home(tmp_path / "elsewhere", url, releaser.fingerprint, clock=clock)
    for version in ("1.0.0", "2.0.0"):
        releaser.release(version)
        assert home.look(clock=clock), version
        home.commit()


def test_a_clock_that_is_set_back_waits(home: Home, releaser: Releaser) -> None:
    assert home.look().exit is Exit.NOTHING
    releaser.release("1.0.0")
    refused(home, lambda: home.look(clock=ShiftedClock(-HOUR_S)), Code.CLOCK_BACKWARDS)
    assert home.look()


def test_a_clock_that_jumps_ahead_while_it_waits_for_its_hour(home: Home, releaser: Releaser) -> None:
    """The stamp of an update that was accepted on a wrong clock does not hold updates up for years."""
    releaser.release("1.0.0")
    ahead = ShiftedClock(12 * HOUR_S)
    assert home.look(clock=ahead, hive_ota_interval=HOUR_S)
    home.commit()
    releaser.release("2.0.0")
    ahead.jump(2 * HOUR_S)
    assert home.look(clock=ahead, hive_ota_interval=HOUR_S)


def test_metadata_that_nobody_signed_anew(home: Home, releaser: Releaser) -> None:
    releaser.release("1.0.0")
    days_s = timedelta(days=2).total_seconds()
    assert "expired" in refused(home, lambda: home.look(clock=ShiftedClock(days_s)), Code.EXPIRED).lower()


# ---------------------------------------------------------------------------------------------------- what is left


def test_what_an_update_that_was_killed_has_left_is_cleared_away(home: Home) -> None:
    layout = home.layout
    (layout.releases / "1.0.0-0123456789ab" / "app").mkdir(parents=True)
    (layout.staging / "folder").mkdir()
    (layout.staging / "package.zip").touch()
    (layout.staging / "link.part").symlink_to(layout.state_file)
    young, old = layout.staging / f"{'a' * 64}.part", layout.staging / f"{'b' * 64}.part"
    young.touch()
    old.touch()
    long_ago = time.time() - timedelta(days=2).total_seconds()
    os.utime(old, (long_ago, long_ago))
    (layout.wheels / "unused.whl").touch()
    assert home.look(NODE).exit is Exit.NOTHING
    assert [path.name for path in layout.staging.iterdir()] == [young.name]
    assert [path.name for path in layout.releases.iterdir()] == ["0-base"]
    assert layout.state_file.exists()


def test_it_goes_on_from_safe_mode(home: Home, releaser: Releaser) -> None:
    releaser.release("1.0.0")
    home.look()
    home.machine.reload()
    home.machine.drain()
    home.machine.switch()
    home.machine.roll_back("it crashed")
    home.machine.fail("and so did what was before")
    assert StateFile(home.layout).load().phase is Phase.FAILED
    releaser.release("2.0.0")
    assert home.look()
