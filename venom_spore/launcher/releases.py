"""Releases on the disk: complete or worthless, `current` switched by one rename, old ones removed."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from venom_spore.launcher.layout import LOCAL_FAULT, LauncherFault, Layout
from venom_spore.launcher.state import replace_file, sync_folder

BASE = "0-base"
COMPLETE = "COMPLETE"
HASH_CHARS = 12
SMALL_FILE_BYTES_MAX = 1 << 20
RUNS_ON = f"{sys.version_info.major}.{sys.version_info.minor}"
"""The Python that a release made now needs, as its environment is one of the base's."""


@dataclass(frozen=True, slots=True)
class Complete:
    """What a complete release says of itself: its version and the interpreter that runs it."""

    version: str
    python: str


def release_name(version: str, sha256: str) -> str:
    """The folder of a release: its version and the first digits of its package's hash."""
    return f"{version}-{sha256[:HASH_CHARS]}"


def write_complete(release: Path, version: str, python: str) -> None:
    """Say that all of a release is on the disk: the last thing done to it, when everything in it is synced."""
    content = json.dumps({"version": version, "python": python, "runs_on": RUNS_ON}).encode() + b"\n"
    replace_file(release / COMPLETE, content)


def read_complete(release: Path) -> Complete | None:
    """What a release says of itself, or None if it is not complete: also if the Python it was made with is gone."""
    try:
        found = json.loads(_small(release / COMPLETE))
        version, python, runs_on = found["version"], found["python"], found.get("runs_on", RUNS_ON)
    except (OSError, ValueError, TypeError, KeyError, RecursionError, AttributeError):
        return None
    if not (isinstance(version, str) and version and isinstance(python, str) and python):
        return None
    own = Path(python).is_relative_to(release)
    if own and (runs_on != RUNS_ON or not os.access(python, os.X_OK)):
        return None
    return Complete(version, python)


def _small(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(SMALL_FILE_BYTES_MAX)


class Releases:
    """The releases of one home folder."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def current(self) -> str:
        """The release that `current` leads to, or "" if there is none or it is somebody else's link."""
        try:
            target = self._layout.current.readlink()
        except OSError:
            return ""
        ours = len(target.parts) == 2 and target.parts[0] == self._layout.releases.name and target.name != ".."
        return target.name if ours else ""

    def is_complete(self, name: str) -> bool:
        """Whether this release can be run."""
        return self.complete(name) is not None

    def complete(self, name: str) -> Complete | None:
        """What this release says of itself, or None if it is not there or not complete."""
        return read_complete(self._layout.release(name)) if name else None

    def make_base(self, python: str) -> None:
        """Make what was installed by hand a release like any other; again after it has moved."""
        base = self._layout.release(BASE)
        known = read_complete(base)
        if known is not None and known.python == python:
            return
        if not base.is_dir():
            base.mkdir(0o700)
            sync_folder(self._layout.releases)
        write_complete(base, "0", python)

    def switch(self, name: str) -> None:
        """Let `current` lead to a release, from one moment to the next; `LauncherFault` if it is not complete."""
        if not self.is_complete(name):
            raise LauncherFault(LOCAL_FAULT, f"release {name!r:.80} is not complete")
        if self.current() == name:
            return
        made = self._layout.home / "current.new"
        made.unlink(missing_ok=True)
        made.symlink_to(Path(self._layout.releases.name) / name)
        made.replace(self._layout.current)
        sync_folder(self._layout.home)

    def collect(self, keep: Iterable[str]) -> list[str]:
        """Remove all releases but these, what `current` leads to and the base; the names of those removed.

        A release stops being complete before its first file goes, so that nobody ever runs half of one.
        """
        kept = {*keep, self.current(), BASE}
        gone = []
        for entry in sorted(self._layout.releases.iterdir()):
            if entry.name not in kept:
                self.remove(entry.name)
                gone.append(entry.name)
        return gone

    def remove(self, name: str) -> None:
        """Remove one release, or what there is of it."""
        folder = self._layout.release(name)
        if folder.is_symlink() or not folder.is_dir():
            folder.unlink()  # what it leads to, if anything, is not ours
        else:
            (folder / COMPLETE).unlink(missing_ok=True)
            sync_folder(folder)
            shutil.rmtree(folder)
        sync_folder(self._layout.releases)
