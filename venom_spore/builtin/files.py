"""Skills that read, write and list files of the workspace. They block, so each runs in a thread."""

from __future__ import annotations

import os
from itertools import islice
from typing import Any

from venom_core.errors import InvalidTask
from venom_spore.builtin.workspace import Workspace, kind_of, readable

LISTED_MAX = 1000


class Files:
    """The file skills over one workspace; paths are relative to it, with `/`."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def read_file(self, path: str) -> str:
        """Read a text file (UTF-8) of the workspace."""
        data = self._workspace.read(path)
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError as fault:
            raise InvalidTask(f"{path!r:.80} is not UTF-8 text (byte {fault.start:,} is not)") from None

    def write_file(self, path: str, content: str) -> dict[str, Any]:
        """Write a text file (UTF-8) into the workspace, in place of what is there; missing folders are made."""
        data = content.encode()
        self._workspace.write(path, data)
        return {"path": "/".join(self._workspace.parts(path)), "bytes": len(data)}

    def list_files(self, path: str = ".") -> dict[str, Any]:
        """List a folder of the workspace: name, kind (file, folder, link or special) and size in bytes of each entry.

        At most 1,000 entries, sorted by name; `more` says whether there are others.
        """
        parts = self._workspace.parts(path)
        with self._workspace.folder(parts) as folder, os.scandir(folder) as entries:
            found = [_entry(entry) for entry in islice(entries, LISTED_MAX)]
            more = next(entries, None) is not None
        return {
            "path": "/".join(parts) or ".",
            "files": sorted((entry for entry in found if entry), key=lambda entry: str(entry["name"])),
            "more": more,
        }


def _entry(entry: os.DirEntry[str]) -> dict[str, Any]:
    """What is listed of an entry; nothing if it is gone meanwhile."""
    try:
        found = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return {}
    return {"name": readable(entry.name), "kind": kind_of(found.st_mode), "size": found.st_size}
