"""The files that the house rules look at: what git tracks, and what is about to be added."""

from __future__ import annotations

import ast
import subprocess
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("venom_core", "venom_spore")


@dataclass(frozen=True)
class Source:
    """One text file, named by its path from the project folder."""

    path: str
    text: str

    @property
    def is_python(self) -> bool:
        return self.path.endswith(".py")

    @property
    def is_product(self) -> bool:
        return self.is_python and self.path.split("/")[0] in PACKAGES

    @property
    def module(self) -> str:
        """Dotted name; a package is named like its folder."""
        return self.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, self.path)

    def at(self, line: int, fault: str) -> str:
        """One line of a failure list; editors and terminals make it a link."""
        return f"{self.path}:{line}: {fault}"


def _listed() -> list[str]:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return sorted(name for name in done.stdout.split("\0") if name)


def _text(path: Path) -> str | None:
    """The content of a text file; nothing for a picture or a file that was just removed."""
    try:
        return path.read_text(encoding="utf-8")
    except (UnicodeDecodeError, FileNotFoundError, IsADirectoryError):
        return None


@cache
def sources() -> tuple[Source, ...]:
    """Every text file of the project."""
    found = ((name, _text(ROOT / name)) for name in _listed())
    return tuple(Source(name, text) for name, text in found if text is not None)


def python_sources() -> list[Source]:
    return [source for source in sources() if source.is_python]


def product_sources() -> list[Source]:
    return [source for source in sources() if source.is_product]
