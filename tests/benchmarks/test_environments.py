"""An environment is made once, and anew when its lock file has changed."""

from __future__ import annotations

import subprocess
from pathlib import Path

from benchmarks.environments import STAMP, environment_of


def test_an_environment_is_made_from_a_lock_file_and_kept_until_that_changes(tmp_path: Path) -> None:
    lock, folder = tmp_path / "locked.txt", tmp_path / "queue"
    lock.write_text("# nothing\n")
    python = environment_of(folder, lock)
    prefix = subprocess.run([python, "-c", "import sys; print(sys.prefix)"], capture_output=True, text=True, check=True)
    assert Path(prefix.stdout.strip()) == folder
    (folder / "mark").touch()
    assert environment_of(folder, lock) == python
    assert (folder / "mark").exists()
    lock.write_text("# nothing, said otherwise\n")
    before = (folder / STAMP).read_text()
    environment_of(folder, lock)
    assert not (folder / "mark").exists()
    assert (folder / STAMP).read_text() != before
