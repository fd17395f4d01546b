"""A package that cannot be staged is not loaded again at every look."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.updater.releasing import Home, Releaser
from venom_core.ota import versions
from venom_core.ota.refusal import Code
from venom_spore.launcher import releases
from venom_spore.updater.run import Exit
from venom_spore.updater.set_back import NAMES_MAX, SET_BACK, SetBack

BROKEN = {"our_skills.py": "VERSION = 'broken'\n", "checks.py": "raise RuntimeError('not on this machine')\n"}


def test_code_that_does_not_start_is_loaded_once_an_hour(home: Home, releaser: Releaser) -> None:
    releaser.release("1.0.0", BROKEN, check="checks:all_well")
    first = home.look(hive_ota_interval=3600.0)
    assert (first.code, first.moved > 0) == (Code.DOES_NOT_START, True)
    second = home.look(hive_ota_interval=3600.0)
    assert (second.exit, second.moved) == (Exit.NOTHING, 0)
    assert "KNOWN_BAD" in second.words
    assert home.look(hive_ota_interval=0.0).code is Code.DOES_NOT_START
    releaser.release("1.0.1")
    assert home.look(hive_ota_interval=3600.0).release.startswith("1.0.1-")


def test_what_the_network_or_the_disk_did_sets_nothing_back(tmp_path: Path) -> None:
    kept = SetBack(tmp_path)
    for code in (Code.TOO_SLOW, Code.NO_SPACE, Code.LOCAL_FAULT, Code.WRONG_HASH, Code.BUSY):
        kept.add("1.0-abc", code, 100.0)
    assert not (tmp_path / SET_BACK).exists()


def test_it_waits_for_its_time_and_what_is_kept_is_bounded(tmp_path: Path) -> None:
    kept = SetBack(tmp_path)
    for number in range(NAMES_MAX + 5):
        kept.add(f"{number}.0-abc", Code.ZIP_BOMB, 100.0 + number)
    assert len(kept.names(160.0, 1000.0)) == NAMES_MAX
    assert kept.names(104.0 + NAMES_MAX, 1.0) == {f"{NAMES_MAX + 4}.0-abc"}
    assert kept.names(10.0, 1000.0) == frozenset(), "of a clock that was ahead"


@pytest.mark.parametrize("content", ["", "[]", "nonsense", '{"1.0-abc": "soon"}', "[" * 100_000])
def test_a_spoilt_file_sets_nothing_back(tmp_path: Path, content: str) -> None:
    (tmp_path / SET_BACK).write_text(content)
    assert SetBack(tmp_path).names(1.0, 1e9) == frozenset()


def test_whoever_signs_and_whoever_installs_call_a_release_alike() -> None:
    """The launcher may import nothing of ours, so the rule stands twice."""
    for version, sha256 in (("1.0", "ab" * 32), ("2!1.0.post1", "0" * 64)):
        assert versions.release_name(version, sha256) == releases.release_name(version, sha256)
