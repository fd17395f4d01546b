"""The disk: what was written lasts over a loss of power, and what the disk refuses is said in one sentence."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from venom_core.ota.refusal import Code, UpdateRefused

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@contextmanager
def local_faults(doing: str) -> Iterator[None]:
    """An `OSError` inside becomes `UpdateRefused` NO_SPACE or LOCAL_FAULT, told as what failed while `doing`."""
    try:
        yield
    except OSError as fault:
        where = f" ({fault.filename})" if fault.filename else ""
        said = f"{doing} failed: {fault.strerror or fault}{where}"
        if fault.errno in _FULL:
            raise UpdateRefused(Code.NO_SPACE, f"{said}; make room there, or raise its limit") from fault
        raise UpdateRefused(Code.LOCAL_FAULT, f"{said}; mend this machine's folder or its rights") from fault


def sync_tree(folder: Path) -> None:
    """Every file and folder below, and the folder's own name in its parent, is on the disk when this returns.

    Links are not followed. Raises `OSError`.
    """
    for parent, _, files in os.walk(folder):
        for name in files:
            path = Path(parent, name)
            if not path.is_symlink():
                sync(path)
        sync(Path(parent))
    sync(folder.parent)


def sync(path: Path) -> None:
    """One file or folder is on the disk when this returns; raises `OSError`."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
