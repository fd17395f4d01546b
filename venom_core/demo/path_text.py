"""Paths as text: in a message, and on a screen. Names of files are bytes; not all are UTF-8 or harmless."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import unquote_to_bytes

_SCHEME = "file://"


def to_wire(path: Path) -> str:
    """An absolute path as it is, or as a file: URI if it holds what UTF-8 cannot carry."""
    text = str(path)
    try:
        text.encode()
    except UnicodeEncodeError:
        return path.as_uri()
    return text


def from_wire(text: str) -> Path:
    """The reverse; an absolute path never begins with a scheme."""
    if text.startswith(_SCHEME):
        return Path(os.fsdecode(unquote_to_bytes(text.removeprefix(_SCHEME))))
    return Path(text)


def printable(text: str) -> str:
    """Text in one line that cannot steer a terminal: what is not printable is written as an escape."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)
