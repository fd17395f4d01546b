"""A look over a folder of the workspace: how much there is, of what kinds, and where a text stands in it.

Names and texts are compared as they are, not by regular expressions: an expression can be written so that it needs
years. The walk goes by descriptors and follows no link, like everything in the workspace.
"""

from __future__ import annotations

import heapq
import os
from collections import Counter
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from venom_core.errors import InvalidTask, VenomError
from venom_spore.builtin.workspace import Workspace, kind_of

FILES_MAX = 20_000
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
        number, text), `unread` (files that are too large or no text) and `more` (whether a limit ended it).
        """
        if not names:
            raise InvalidTask("names is a pattern such as *.py, or * for all files")
        found: list[_Found] = []
        more = False
        for file in self._files(path, names):
            if len(found) == FILES_MAX:
                more = True
                break
            found.append(file)
        search = _Search(self._workspace, contains.casefold())
        if contains:
            for file in sorted(found):
                search.look_into(file)
        kinds = Counter(_suffix(file.path) for file in found)
        return {
            "path": "/".join(self._workspace.parts(path)) or ".",
            "files": len(found),
            "bytes": sum(file.size for file in found),
            "kinds": dict(kinds.most_common(_KINDS_SHOWN)),
            "largest": [
                {"path": file.path, "size": file.size}
                for file in heapq.nlargest(LARGEST, found, key=lambda file: file.size)
            ],
            "matches": search.matches,
            "unread": search.unread,
            "more": more or search.stopped,
        }

    def _files(self, path: str, names: str) -> Iterator[_Found]:
        parts = self._workspace.parts(path)
        alone = self._workspace.size(parts)
        if alone is not None:
            yield _Found("/".join(parts), alone)
            return
        with self._workspace.folder(parts) as top:
            for place, _, files, folder in os.fwalk(".", dir_fd=top, follow_symlinks=False):
                inner = "/".join((*parts, *place.split("/")[1:]))
                for name in files:
                    if fnmatchcase(name, names) and (size := _size(name, folder)) >= 0:
                        yield _Found(f"{inner}/{name}".lstrip("/"), size)


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
                self.matches.append({"path": file.path, "line": number, "text": line.strip()[:LINE_CHARS_MAX]})


def _size(name: str, folder: int) -> int:
    """Bytes of a regular file; -1 for what is none, or is gone."""
    try:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except OSError:
        return -1
    return found.st_size if kind_of(found.st_mode) == "file" else -1


def _suffix(path: str) -> str:
    name = path.rpartition("/")[2]
    stem, dot, suffix = name.rpartition(".")
    return f".{suffix.lower()}" if dot and stem and len(suffix) <= 16 else "(none)"
