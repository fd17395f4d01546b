from __future__ import annotations

from pathlib import Path

import pytest

from venom_spore.launcher.layout import LauncherFault, Layout
from venom_spore.updater.progress import WORDS_CHARS_MAX, Progress, alone


def test_the_second_is_told_what_the_first_is_doing(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    assert Progress(layout.update_lock).read() == ""
    with alone(layout) as progress:
        progress.tell("1.0.0, staging")
        with pytest.raises(LauncherFault, match=r"BUSY: .* is under way \(1\.0\.0, staging\); it is tried again"):
            alone(layout).__enter__()
    assert layout.update_lock.read_text() == ""


def test_what_stands_there_is_shown_as_text_and_not_without_end(tmp_path: Path) -> None:
    progress = Progress(tmp_path / "lock")
    progress.tell("\x1b[2J" + "x" * 500)
    assert progress.read() == "?[2J" + "x" * (WORDS_CHARS_MAX - 4)
