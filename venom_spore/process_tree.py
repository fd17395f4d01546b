"""Ending everything a process has started, also what hid from it.

A process that forks twice and opens its own session leaves its parent, its process group and its session.
It cannot leave the nearest "subreaper" above it (Linux): there it turns up as a child. So "no children left"
means that the whole tree is gone. Elsewhere than on Linux, those who hide this way get away.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import time
from collections.abc import Container, Iterable
from pathlib import Path

import psutil

from venom_core.clock import Clock

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_ROUND_S = 0.1
_HOLD_ROUNDS_MAX = 20
_LOOK_S = 0.05


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent dies."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent(parent_pid: int, number: int) -> None:
    """Get signal `number` when the parent dies; at once if `parent_pid` is no longer the parent."""
    _prctl(_PR_SET_PDEATHSIG, number)
    if os.getppid() != parent_pid:
        signal.raise_signal(number)


def be_first_out_of_memory() -> None:
    """Ask the kernel to end this process before others when memory runs out."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500", encoding="ascii")


def has_children() -> bool:
    """Whether this process has any child, dead ones included; reaps none."""
    if not hasattr(os, "waitid"):
        return bool(psutil.Process().children())
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def wait_unreaped(pid: int) -> None:
    """Block until a child has ended, and leave it to be reaped by whoever started it."""
    with contextlib.suppress(ChildProcessError, psutil.NoSuchProcess):  # reaped by somebody else
        if hasattr(os, "waitid"):
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
            return
        while psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
            time.sleep(_LOOK_S)


def descendants(pid: int | None = None) -> list[psutil.Process]:
    """Every process below `pid` (default: this one) that is alive or waits to be reaped."""
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def send(processes: Iterable[psutil.Process], number: int) -> None:
    """Signal each; those that are gone, or were replaced under the same id, are left alone."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            process.send_signal(number)


def hold() -> list[psutil.Process]:
    """Stop everything below this process where it is; those that were not stopped before, for SIGCONT."""
    seen: set[psutil.Process] = set()
    held: list[psutil.Process] = []
    # Who is not stopped yet may have started another meanwhile.
    for _ in range(_HOLD_ROUNDS_MAX):
        fresh = [process for process in descendants() if process not in seen]
        if not fresh:
            break
        seen.update(fresh)
        running = [process for process in fresh if _runs(process)]
        send(running, signal.SIGSTOP)
        held += running
    return held


def _runs(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        return bool(process.status() not in (psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE))
    return False


def end_descendants(spared: Container[int], patience_s: float, clock: Clock) -> bool:
    """Kill and reap everything below this process but `spared`; False if some outlived the patience.

    What dies sets its own children free, who then turn up below us, so it takes rounds.
    """
    deadline = clock.monotonic_s() + patience_s
    while has_children():
        leftovers = [process for process in descendants() if process.pid not in spared]
        if not leftovers:
            return True
        if clock.monotonic_s() > deadline:
            return False
        send(leftovers, signal.SIGKILL)
        psutil.wait_procs(leftovers, timeout=_ROUND_S)
    return True


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)
