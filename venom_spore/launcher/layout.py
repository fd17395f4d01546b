"""Where things lie in a Spore's home folder, and whether that folder can be trusted.

home/
    current -> releases/<version>-<hash12>     one symlink, switched by one rename
    releases/<version>-<hash12>/               app/, venv/, manifest.json and, written last, COMPLETE
    releases/0-base/                           COMPLETE only: what was installed by hand
    staging/  wheels/  trust/                  the updater's
    state.json                                 what the launcher was about to do
    launcher.lock  update.lock  state.lock     held by a launcher's life, an update, and one change of the state
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

if sys.platform != "win32":
    import fcntl

BUSY, LOCAL_FAULT = "BUSY", "LOCAL_FAULT"
FOLDER_MODE, FILE_MODE = 0o700, 0o600


class LauncherFault(Exception):
    """Something on this machine is wrong; `code` is one of those of `venom_core.ota.refusal`."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


@dataclass(frozen=True, slots=True)
class Layout:
    """Paths in one home folder."""

    home: Path

    @property
    def releases(self) -> Path:
        """Complete releases, and those that are being made."""
        return self.home / "releases"

    @property
    def current(self) -> Path:
        """The symlink to the release that runs."""
        return self.home / "current"

    @property
    def staging(self) -> Path:
        """What is being downloaded and unpacked; worthless without an update under way."""
        return self.home / "staging"

    @property
    def wheels(self) -> Path:
        """Verified wheels by their hash, shared by all releases."""
        return self.home / "wheels"

    @property
    def trust(self) -> Path:
        """Signed metadata and the floors."""
        return self.home / "trust"

    @property
    def audit(self) -> Path:
        """The hash-chained audit of this node."""
        return self.home / "audit.jsonl"

    @property
    def state_file(self) -> Path:
        """What the launcher was about to do."""
        return self.home / "state.json"

    @property
    def state_lock(self) -> Path:
        """Held for each change of the state."""
        return self.home / "state.lock"

    @property
    def lock_file(self) -> Path:
        """Held for the life of a launcher."""
        return self.home / "launcher.lock"

    @property
    def update_lock(self) -> Path:
        """Held for the length of an update, from its download to its staging."""
        return self.home / "update.lock"

    def release(self, name: str) -> Path:
        """The folder of one release; `LauncherFault` if the name could lead elsewhere."""
        if not name or name in {".", ".."} or "/" in name or "\0" in name or os.sep in name:
            raise LauncherFault(LOCAL_FAULT, f"{name!r:.80} is not the name of a release")
        return self.releases / name

    def prepare(self) -> None:
        """Make the folders that are missing and check those that are there; `LauncherFault` for what is unsafe."""
        for folder in (self.home, self.releases, self.staging, self.wheels, self.trust):
            if not folder.is_dir():
                self._make(folder)
            _check_owned(folder)
        for file in (self.state_file, self.lock_file, self.update_lock, self.state_lock):
            if os.path.lexists(file):
                _check_owned(file)
        if self.current.is_dir() and not self.current.is_symlink():
            raise LauncherFault(
                LOCAL_FAULT, f"{self.current} is a folder, not a link to a release; move it away and start again"
            )
        if os.path.lexists(self.current) and not self.current.is_symlink():
            raise LauncherFault(LOCAL_FAULT, f"{self.current} is no link to a release; move it away and start again")
        devices = {folder.stat().st_dev for folder in (self.home, self.releases, self.staging, self.wheels)}
        if len(devices) > 1:
            raise LauncherFault(
                LOCAL_FAULT, f"all of {self.home} must be on one file system, because a release is moved by renaming"
            )

    def _make(self, folder: Path) -> None:
        try:
            folder.mkdir(FOLDER_MODE, parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            fix = "give another --home" if folder == self.home else "move it away and start again"
            raise LauncherFault(LOCAL_FAULT, f"{folder} must be a folder, and a file is in its way; {fix}") from None


def _check_owned(path: Path) -> None:
    """What anybody may write, anybody may replace by code of their own."""
    found = path.lstat()
    if stat.S_ISLNK(found.st_mode):
        raise LauncherFault(LOCAL_FAULT, f"{path} is a link; put the folder or file itself in its place")
    if found.st_uid not in {os.geteuid(), 0}:
        raise LauncherFault(
            LOCAL_FAULT, f"{path} belongs to user {found.st_uid}; give it to the one who runs the Spore"
        )
    if found.st_mode & stat.S_IWOTH:
        raise LauncherFault(LOCAL_FAULT, f"{path} can be written by anybody; take that away (chmod o-w)")
    if stat.S_ISDIR(found.st_mode) and found.st_mode & stat.S_IWGRP:
        # Who may write to a folder may put files of their own in the place of those in it.
        raise LauncherFault(LOCAL_FAULT, f"{path} can be written by its group; take that away (chmod g-w)")


@contextmanager
def held(lock: Path, why_not: str, *, wait: bool = False) -> Iterator[None]:
    """Holds a lock file for the length of a block; the kernel lets it go when this process ends, however it does.

    Raises:
        LauncherFault: BUSY with `why_not` if another process holds it, unless `wait`.
    """
    # Made once and only read from then on: what is locked can be held on a disk that takes no change.
    if not lock.exists():
        lock.touch(FILE_MODE)
    with lock.open("rb") as file:
        if sys.platform != "win32":
            try:
                fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                raise LauncherFault(BUSY, why_not) from None
        yield
