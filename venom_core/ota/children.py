"""Programs that building an environment runs: nothing of ours in their surroundings, a time limit, a bounded answer."""

from __future__ import annotations

import errno
import os
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from venom_core.clock import Clock

SAID_BYTES_MAX = 8192
"""Bytes kept of what a program says, the last ones."""
# Becomes the program, which then ends with whoever started it (Linux): an installer that outlived a killed updater
# would write into the folder that the next one makes anew.
_TIED = """
import os, signal, sys
if sys.platform == "linux":
    import ctypes
    ctypes.CDLL(None).prctl(1, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != int(sys.argv[1]):
        sys.exit("who has started it is gone")
os.execv(sys.argv[2], sys.argv[2:])
"""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended: its exit code (None if it was killed for its time), and the last of what it said."""

    code: int | None
    said: str

    @property
    def last_line(self) -> str:
        """The last line that says anything, at most 300 characters."""
        lines = [line.strip() for line in self.said.splitlines() if line.strip()]
        return lines[-1][:300] if lines else "it said nothing"


def run(
    command: Sequence[str | Path], *, scratch: Path, limit_s: float, environment: Mapping[str, str] | None = None
) -> Ended:
    """Runs a program to its end, in the folder `scratch`; it and its own are killed after `limit_s` seconds.

    It is killed too when this process dies, however that comes.

    It gets no variable of ours (no proxies, no `PIP_*`, `UV_*` or `PYTHON*`, no secrets), unless it is one that is to
    have an `environment`. Raises `OSError` if it cannot be started.
    """
    clock = Clock()
    ends_s = clock.monotonic_s() + limit_s
    with subprocess.Popen(  # noqa: S603 - interpreters and installers that this package names itself
        _tied(command),
        cwd=scratch,
        env=_surroundings(scratch) if environment is None else dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    ) as child:
        try:
            assert child.stdout is not None
            said, told_all = _listen(child.stdout.fileno(), clock, ends_s)
            code = _code(child, ends_s - clock.monotonic_s()) if told_all else None
        finally:
            # The whole group, also where its leader has ended: it may have left something behind.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(child.pid, signal.SIGKILL)
    return Ended(code, said.decode(errors="replace"))


def _tied(command: Sequence[str | Path]) -> list[str]:
    name, *words = (str(word) for word in command)
    program = shutil.which(name, path=os.defpath)
    if program is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
    return [sys.executable, "-I", "-S", "-c", _TIED, str(os.getpid()), program, *words]


def _surroundings(scratch: Path) -> dict[str, str]:
    return {"PATH": os.defpath, "LANG": "C.UTF-8", "HOME": str(scratch), "TMPDIR": str(scratch)}


def _code(child: subprocess.Popen[bytes], left_s: float) -> int | None:
    try:
        return child.wait(max(0.0, left_s))
    except subprocess.TimeoutExpired:
        return None


def _listen(handle: int, clock: Clock, ends_s: float) -> tuple[bytes, bool]:
    """The last of what is said, and whether the end of it came in time."""
    said = b""
    while (left_s := ends_s - clock.monotonic_s()) > 0:
        if select.select([handle], [], [], left_s)[0]:
            piece = os.read(handle, 1 << 16)
            if not piece:
                return said, True
            said = (said + piece)[-SAID_BYTES_MAX:]
    return said, False
