"""Child processes of the launcher: each in a process group of its own, ended whole, reaped by whoever is left.

Forked by hand, because the launcher may be process 1, which must reap children that it never started, and
`subprocess` would then not hear of its own. There are no threads in a launcher, so a fork is safe.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from venom_spore.launcher.signals import TAKEN

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_CANNOT_START = 127


def adopt_orphans() -> None:
    """What a worker leaves behind becomes a child of this process, where the kernel knows how (Linux)."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


class Child:
    """One running child."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], keep: Sequence[int] = ()) -> None:
        """`keep`: descriptors that stay open in it. A command that cannot be run ends with exit code 127."""
        parent = os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            _become(command, environment, keep, parent)
        with contextlib.suppress(OSError):
            os.setpgid(self.pid, self.pid)  # both do it, so that it is done whoever comes first

    def tell(self, number: signal.Signals) -> None:
        """Send a signal to the child alone, for it to end what it started itself."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def kill_group(self) -> None:
        """SIGKILL to all of its process group."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)


def _become(command: Sequence[str], environment: Mapping[str, str], keep: Sequence[int], parent: int) -> NoReturn:
    """In the forked child: a group of its own, plain signals, SIGTERM when the launcher dies, and the command."""
    try:
        os.setpgid(0, 0)
        signal.set_wakeup_fd(-1)
        for number in TAKEN:
            signal.signal(number, signal.SIG_DFL)
        _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(_CANNOT_START)
        for descriptor in keep:
            os.set_inheritable(descriptor, True)
        os.execve(command[0], list(command), dict(environment))  # noqa: S606 - a shell could only do harm here
    except BaseException as fault:  # noqa: BLE001 - the copy of the launcher must not go on, whatever happened
        os.write(2, f"venom-launcher: {command[0]} cannot be started: {fault}\n".encode(errors="replace"))
    finally:
        os._exit(_CANNOT_START)


def reap() -> dict[int, int]:
    """Exit codes by process id of all children that have ended, ours and adopted; negative: the signal that did it."""
    ended: dict[int, int] = {}
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            ended[pid] = os.waitstatus_to_exitcode(status)
    return ended


def kill_strays(spared: Sequence[int]) -> int:
    """SIGKILL to every child of this process but these and who is in their groups: what a dead worker left.

    The number that lived. Their own children become ours in turn: whoever calls again after each `reap` gets them all.
    """
    me, found = os.getpid(), 0
    for entry in Path("/proc").glob("[0-9]*"):
        parent, group = _kin(entry)
        if parent == me and group not in spared and int(entry.name) not in spared:
            found += 1
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(entry.name), signal.SIGKILL)
    return found


def _kin(entry: Path) -> tuple[int, int]:
    """Parent and process group of a process; 0 if it is gone, or dead and only waits to be reaped."""
    try:
        fields = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
        return (0, 0) if fields[0] == "Z" else (int(fields[1]), int(fields[2]))
    except (OSError, IndexError, ValueError):
        return 0, 0
