"""What never enters a package: the folders in which keys and nodes of ours live, and private keys wherever they lie.

A package is served to all. Whoever builds one of the whole project folder names `.venom` with it as well.
"""

from __future__ import annotations

import re
from pathlib import Path

from venom_core.ota.refusal import Code, UpdateRefused

OWN_FOLDER = ".venom"
REPOSITORY_MARK = "repository/metadata/1.root.json"
LAUNCHER_MARKS = ("trust/joined.json", "launcher.lock", "releases/0-base/COMPLETE")
"""Of a home that has joined, and of one that has run."""
PRIVATE_KEY = re.compile(
    rb"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----"
    rb"(?:[ \t]*(?:[\r\n]|\Z)|(?:\\[rn])+[A-Za-z0-9+/])"  # the second in the strings of JSON and YAML
)


def is_kept_back(folder: Path, home: Path | None) -> bool:
    """Whether a folder, or a link to one, is of ours; `home` is that of whoever releases, by whatever name it is met.

    Raises OSError where that cannot be seen.
    """
    return _is_ours(folder, home) or (folder / REPOSITORY_MARK).exists()


def check_place(path: Path, home: Path | None) -> None:
    """Raises `UpdateRefused` PRIVATE for a source that is such a folder, or lies in one that is known to be in use."""
    whole = path.resolve()
    found = [folder for folder in (path.absolute(), whole) if is_kept_back(folder, home)]
    found += [folder for folder in whole.parents if _is_ours(folder, home)]
    if found:
        said = f"{path} lies in {found[0]}, where keys or a node of Venom Hive live"
        raise UpdateRefused(Code.PRIVATE, f"{said}; keep what you release in a folder of its own")


def _is_ours(folder: Path, home: Path | None) -> bool:
    return (
        folder.name == OWN_FOLDER
        or any((folder / mark).exists() for mark in LAUNCHER_MARKS)
        or (home is not None and home.exists() and folder.exists() and folder.samefile(home))
    )


def check_content(file: Path | str, content: bytes) -> None:
    """Raises `UpdateRefused` PRIVATE for a file that holds a private key in PEM form."""
    if PRIVATE_KEY.search(content):
        said = f"{file} holds a private key, and a package is served to all"
        raise UpdateRefused(Code.PRIVATE, f"{said}; move it out of what you release")
