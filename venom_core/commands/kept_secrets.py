"""Secrets that a hive of one's own makes once and keeps in its data folder, readable by this user only.

They stay the same from start to start, so that the line that was pasted on another machine goes on working.
"""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from venom_core.errors import InputError

PASSWORD, TOKEN = "password", "token"
CHARACTERS_MIN, CHARACTERS_MAX = 32, 512


def find_secret(folder: Path, name: str) -> str | None:
    """The secret kept in a folder, or None; `InputError` if others can read it or it is too short to be one."""
    path = folder / name
    try:
        found = path.lstat()
        text = path.read_text(encoding="utf-8")[: CHARACTERS_MAX + 1].strip()
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise InputError(f"{path} can be read by others; remove it, and a new {name} is made")
    if not CHARACTERS_MIN <= len(text) <= CHARACTERS_MAX:
        raise InputError(f"{path} holds no {name} of {CHARACTERS_MIN} characters or more; remove it to have one made")
    return text


def keep_secret(folder: Path, name: str) -> str:
    """The secret kept in a folder, made now if there is none."""
    if (kept := find_secret(folder, name)) is not None:
        return kept
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    made = secrets.token_urlsafe(32)
    with os.fdopen(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(made)
    return made
