"""A look over a folder of the workspace: how much there is, of what kinds, and where a text stands in it.

Names and texts are compared as they are, not by regular expressions: an expression can be written so that it needs
years. The walk goes by descriptors and follows no link, like everything in the workspace.
"""

from __future__ import annotations

import contextlib
import heapq
import os
from collections import Counter
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from venom_core.errors import InvalidTask, VenomError
from venom_spore.builtin.workspace import FOLDER, PATH_PARTS_MAX, Workspace, readable

# Files, folders and whatever else is looked at, matching or not.
ENTRIES_MAX = 100_000
SEARCHED_BYTES_MAX = 67_108_864
MATCHES_MAX = 200
LINE_CHARS_MAX = 200
LARGEST = 20
_KINDS_SHOWN = 50


class _Found(NamedTuple):
    path: str
    size: int


class Scan:
    """The skill `scan_path` over one workspace."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def scan_path(self, path: str = ".", names: str = "*", contains: str = "") -> dict[str, Any]:
        """Look over a folder of the workspace with all below it, or over one file.

        `names` limits it to files named like that (`*.py`), `contains` lists the lines that hold this text, whatever
        its case. Gives `files` and `bytes` (numbers), `kinds` (suffix to number), the `largest`, `matches` (path, line
        number, text), `unread` (files that are too large or no text) and `more` (whether there is more than was
        looked at).
        """
        if not names:
            raise InvalidTask("names is a pattern such as *.py, or * for all files")
        parts = self._workspace.parts(path)
        walk = _Walk(names)
        alone = self._workspace.size(parts)
        if alone is None:
            with self._workspace.folder(parts) as top:
                found = list(walk.files(top, parts))
        else:
            found = [_Found("/".join(parts), alone)]
        search = _Search(self._workspace, contains.casefold())
        if contains:
            for file in sorted(found):
                search.look_into(file)
        kinds = Counter(_suffix(file.path) for file in found)
        return {
            "path": readable("/".join(parts)) or ".",
            "files": len(found),
            "bytes": sum(file.size for file in found),
            "kinds": dict(kinds.most_common(_KINDS_SHOWN)),
            "largest": [
                {"path": readable(file.path), "size": file.size}
                for file in heapq.nlargest(LARGEST, found, key=lambda file: file.size)
            ],
            "matches": search.matches,
            "unread": search.unread,
            "more": walk.stopped or search.stopped,
        }


class _Walk:
    """Goes through a folder and all below it, until enough entries were looked at.

    It goes no deeper than a path of the workspace may be: what lies there could not be read.
    """

    def __init__(self, names: str) -> None:
        self._names = names
        self._left = ENTRIES_MAX
        self.stopped = False

    def files(self, folder: int, parts: tuple[str, ...]) -> Iterator[_Found]:
        """The files that are named as wished, those of a folder before those of the folders in it."""
        below: list[str] = []
        with os.scandir(folder) as entries:
            for entry in entries:
                self._left -= 1
                if self._left < 0:
                    self.stopped = True
                    return
                if entry.is_dir(follow_symlinks=False):
                    below.append(entry.name)
                elif fnmatchcase(entry.name, self._names) and (size := _size(entry)) >= 0:
                    yield _Found("/".join((*parts, entry.name)), size)
        if below and len(parts) + 2 > PATH_PARTS_MAX:
            self.stopped = True
            return
        for name in below:
            if self._left < 0:
                return
            with _opened(name, folder) as inner:
                if inner is not None:
                    yield from self.files(inner, (*parts, name))


class _Search:
    """Looks for a text, line by line, until there are enough matches or enough was read."""

    def __init__(self, workspace: Workspace, wanted: str) -> None:
        self._workspace = workspace
        self._wanted = wanted
        self._left_bytes = SEARCHED_BYTES_MAX
        self.matches: list[dict[str, Any]] = []
        self.unread = 0
        self.stopped = False

    def look_into(self, file: _Found) -> None:
        """Note the lines of one file that hold the text."""
        if self.stopped or file.size > self._left_bytes:
            self.stopped = True
            return
        try:
            text = self._workspace.read(file.path).decode()
        except (VenomError, UnicodeDecodeError):  # too large, gone, not ours to read, no text: counted
            self.unread += 1
            return
        self._left_bytes -= file.size
        for number, line in enumerate(text.splitlines(), 1):
            if self._wanted in line.casefold():
                if len(self.matches) == MATCHES_MAX:
                    self.stopped = True
                    return
                self.matches.append(
                    {"path": readable(file.path), "line": number, "text": line.strip()[:LINE_CHARS_MAX]}
                )


@contextlib.contextmanager
def _opened(name: str, folder: int) -> Iterator[int | None]:
    """The descriptor of a folder within another; None if it is gone, a link meanwhile, or not ours to read."""
    try:
        inner = os.open(name, FOLDER, dir_fd=folder)
    except OSError:
        yield None
        return
    try:
        yield inner
    finally:
        os.close(inner)


def _size(entry: os.DirEntry[str]) -> int:
    """Bytes of a regular file; -1 for what is none, or is gone."""
    try:
        return entry.stat(follow_symlinks=False).st_size if entry.is_file(follow_symlinks=False) else -1
    except OSError:
        return -1


def _suffix(path: str) -> str:
    name = readable(path.rpartition("/")[2])
    stem, dot, suffix = name.rpartition(".")
    return f".{suffix.lower()}" if dot and stem and len(suffix) <= 16 else "(none)"
