"""Which files are scanned, and in which order."""

from __future__ import annotations

import os
import sysconfig
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from venom_core.demo.path_text import printable
from venom_core.errors import InputError

LEFT_OUT = frozenset({
    ".eggs", ".git", ".hg", ".mypy_cache", ".nox", ".pytest_cache", ".ruff_cache", ".svn", ".tox", ".venv",
    "__pycache__", "node_modules", "venv",
})  # fmt: skip
SUFFIXES = (".py", ".pyw")


class WrongPath(InputError):
    """The path that was given holds nothing to scan."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file to scan; `size` in bytes."""

    path: Path
    size: int


@dataclass(frozen=True, slots=True)
class Sources:
    """Files in a fixed mixed order, and what was not entered."""

    root: Path
    files: tuple[SourceFile, ...]
    folders_left_out: int = 0
    folders_closed: int = 0

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    def shown(self, path: Path) -> str:
        """A path from the root, safe to print."""
        text = str(path.relative_to(self.root)) if path != self.root else path.name
        return printable(text)


def installed_packages() -> Path:
    """Where this environment keeps its packages."""
    return Path(sysconfig.get_paths()["purelib"])


def find_sources(path: Path) -> Sources:
    """Every Python file under a folder, or the one file; links to folders are not followed.

    Raises:
        WrongPath: there is nothing at `path`, or no Python file under it.
    """
    root = Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would follow links, and a looping one raises
    if not root.exists():
        raise WrongPath(f"There is nothing at {path}; give a folder or a Python file.")
    if root.is_file():
        return Sources(root, (SourceFile(root, _size(root)),))
    if not root.is_dir():
        raise WrongPath(f"{path} is neither a file nor a folder; give a folder or a Python file.")
    closed: list[OSError] = []
    found: list[Path] = []
    left_out = 0
    for folder, below, names in os.walk(root, onerror=closed.append):
        entered = [name for name in below if name not in LEFT_OUT]
        left_out += len(below) - len(entered)
        below[:] = entered
        found += [Path(folder, name) for name in names if name.endswith(SUFFIXES)]
    if not found:
        raise WrongPath(f"There is no Python file under {path}; give a folder with some, or a file.")
    return Sources(root, tuple(_mixed(root, found)), left_out, len(closed))


def _mixed(root: Path, paths: Iterable[Path]) -> list[SourceFile]:
    """An order that is the same every time and in which any stretch is a fair sample of the whole."""
    ordered = sorted(paths, key=lambda path: blake2b(os.fsencode(path.relative_to(root)), digest_size=8).digest())
    return [SourceFile(path, _size(path)) for path in ordered]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0  # it loops, or is gone: scanning it says so
