"""What goes into a package from the disk of whoever builds it: plain files, read once, bounded."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from venom_core.ota.durable import local_faults
from venom_core.ota.kept_back import check_content, check_place, is_kept_back
from venom_core.ota.layout import APP
from venom_core.ota.refusal import Code, UpdateRefused
from venom_core.ota.zip_names import check_names
from venom_core.ota.zip_reader import Limits

LEFT_OUT = frozenset({
    "__pycache__", ".git", ".hg", ".svn", ".bzr", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".DS_Store", ".env",
})  # fmt: skip
"""What no release needs; `.env` holds a machine's secrets, and a package is served to all."""
LEFT_OUT_ENDS = (".pyc", ".pyo")


@dataclass(slots=True)
class Sources:
    """Content by name in the package, and which of the names are programs (mode 0755)."""

    files: dict[str, bytes] = field(default_factory=dict)
    programs: set[str] = field(default_factory=set)
    bytes: int = 0


def collect_sources(paths: Sequence[Path], limits: Limits, home: Path | None = None) -> Sources:
    """The files and folders, each under `app/` by its own name.

    Left out are `LEFT_OUT`, compiled Python, and below a source the folders of ours; `home` is HIVE_OTA_HOME. Raises
    `UpdateRefused` PRIVATE for a private key, or a source in a folder of ours; ZIP_TYPE for a link or device,
    ZIP_DUPLICATE for two of one name, ZIP_PATH for a name that not every system keeps, TOO_BIG, LOCAL_FAULT.
    """
    found = Sources()
    with local_faults("reading the sources"):
        for given in paths:
            path = given.absolute()
            if not os.path.lexists(path):
                raise UpdateRefused(Code.LOCAL_FAULT, f"the source {given} is not there; check the path")
            check_place(given, home)
            for file in _walk(path, limits, home):
                below = file.relative_to(path).as_posix()
                name = f"{APP}/{_own_name(path)}" + (f"/{below}" if file != path else "")
                _add(found, name, file, limits)
    check_names(list(found.files))
    return found


def _own_name(path: Path) -> str:
    """`.` and `x/..` are called what their folder is called."""
    return path.name if path.name not in {"", ".."} else path.resolve().name


def _walk(path: Path, limits: Limits, home: Path | None) -> Iterator[Path]:
    """All plain files at or below; folders are opened one after the other, so that no depth breaks the stack."""
    waiting = [path]
    while waiting:
        if len(waiting) > limits.files:
            raise _too_big(limits)
        here = waiting.pop()
        mode = here.lstat().st_mode
        if stat.S_ISDIR(mode):
            waiting += [child for child in sorted(here.iterdir()) if not _left_out(child, home)]
        elif stat.S_ISREG(mode):
            yield here
        else:
            kind = "a link" if stat.S_ISLNK(mode) else "neither a file nor a folder"
            raise UpdateRefused(Code.ZIP_TYPE, f"{here} is {kind}; a package holds plain files only")


def _left_out(child: Path, home: Path | None) -> bool:
    name = child.name
    return name in LEFT_OUT or name.endswith(LEFT_OUT_ENDS) or is_kept_back(child, home)


def _add(found: Sources, name: str, file: Path, limits: Limits) -> None:
    if name in found.files:
        raise UpdateRefused(Code.ZIP_DUPLICATE, f"two of the sources are called {name!a}; rename one")
    with file.open("rb") as opened:
        content = opened.read(limits.file_bytes + 1)
    found.bytes += len(content)
    if len(content) > limits.file_bytes or found.bytes > limits.unpacked_bytes or len(found.files) >= limits.files:
        raise _too_big(limits)
    check_content(file, content)
    found.files[name] = content
    if file.stat().st_mode & 0o100:
        found.programs.add(name)


def _too_big(limits: Limits) -> UpdateRefused:
    said = f"{limits.files} files, {limits.file_bytes} bytes in one and {limits.unpacked_bytes} in all"
    return UpdateRefused(Code.TOO_BIG, f"the sources have more than {said}; leave out what no node needs")
