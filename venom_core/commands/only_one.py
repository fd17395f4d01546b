"""One `venom up` in a folder: a second one would take the names of the first one's nodes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from venom_core.errors import InputError

if sys.platform != "win32":
    import fcntl


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Holds the folder for the length of a block; the kernel lets it go when this process ends, however it does.

    Raises:
        InputError: another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "up.lock").open("w") as lock:
        try:
            if sys.platform != "win32":
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"A hive is up in {folder} already; use it as it is (a stopped server: venom server start), end "
                "it with Ctrl-C in its terminal, or give this one another --data and --name"
            ) from None
        yield
