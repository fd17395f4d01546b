"""Is there room for it? Asked before the first byte is loaded, because a full disk in the middle is worse."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from venom_core.ota.refusal import Code, UpdateRefused

SPARE_BYTES = 64 * 1_048_576
"""Bytes that an update leaves free for everything else."""
VENV_BYTES, VENV_FILES = 4 * 1_048_576, 200
UNPACKED_PER_WHEEL_BYTE, WHEEL_BYTES_PER_FILE = 6, 4_096


def check_room(home: Path, *, loaded: int = 0, unpacked: int = 0, files: int = 0, wheels: int = 0) -> None:
    """Raise NO_SPACE if the disk of `home` cannot hold it, with `SPARE_BYTES` left free.

    `loaded`: bytes yet to load. `unpacked`, `files`: of the package. `wheels`: bytes packed, unpacked is guessed.
    """
    need = loaded + unpacked + VENV_BYTES + wheels * UNPACKED_PER_WHEEL_BYTE + SPARE_BYTES
    free = shutil.disk_usage(home).free
    if free < need:
        raise UpdateRefused(Code.NO_SPACE, f"{home} has {free:,} bytes free, the update needs {need:,}; make room")
    names = files + VENV_FILES + wheels // WHEEL_BYTES_PER_FILE
    system = os.statvfs(home)
    if system.f_files and system.f_favail < names:
        raise UpdateRefused(
            Code.NO_SPACE, f"the disk of {home} has room for {system.f_favail:,} more files, the update needs {names:,}"
        )
