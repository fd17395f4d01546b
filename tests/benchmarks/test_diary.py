"""Bodies of tasks write down what becomes of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.peers.diary import BEGUN, CUT, DIARY_VARIABLE, ENDED, NAME_VARIABLE, entries, told


@pytest.fixture
def diary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "diary"
    monkeypatch.setenv(DIARY_VARIABLE, str(path))
    monkeypatch.setenv(NAME_VARIABLE, "left")
    return path


def test_there_is_nothing_before_the_first_entry(diary: Path) -> None:
    assert entries(diary) == []


def test_a_body_notes_its_begin_and_end_and_is_told_how_long_to_last(diary: Path) -> None:
    with told("a", 9.0, 1.0) as seconds:
        assert seconds == 9.0
    with told("a", 9.0, 1.0) as seconds:
        assert seconds == 1.0
    with told("b", 9.0, 1.0) as seconds:
        assert seconds == 9.0
    found = entries(diary)
    assert [(entry.what, entry.key) for entry in found] == [(what, key) for key in "aab" for what in (BEGUN, ENDED)]
    assert {entry.worker for entry in found} == {"left"}
    assert [entry.at for entry in found] == sorted(entry.at for entry in found)


def test_a_body_that_is_cut_off_does_not_end(diary: Path) -> None:
    with pytest.raises(TimeoutError), told("a", 1.0, 1.0):
        raise TimeoutError
    assert [entry.what for entry in entries(diary)] == [BEGUN, CUT]
