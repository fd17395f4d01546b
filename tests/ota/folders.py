"""What a folder holds, byte for byte: to show that a refused update has changed nothing."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path


def snapshot(folder: Path) -> dict[str, str]:
    """Each path below the folder (and `.` for itself) -> kind, mode, and what it holds; empty if there is none."""
    if not folder.is_symlink() and not folder.exists():
        return {}
    found = {".": _told(folder)}
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(parent, name)
            found[path.relative_to(folder).as_posix()] = _told(path)
    return dict(sorted(found.items()))


def _told(path: Path) -> str:
    status = path.lstat()
    mode = f"{stat.S_IMODE(status.st_mode):04o}"
    if stat.S_ISLNK(status.st_mode):
        return f"link -> {path.readlink()}"
    if stat.S_ISDIR(status.st_mode):
        return f"folder {mode}"
    if stat.S_ISREG(status.st_mode):
        return f"file {mode} {status.st_size} {hashlib.sha256(path.read_bytes()).hexdigest()}"
    return f"other {stat.S_IFMT(status.st_mode):o} {mode}"
