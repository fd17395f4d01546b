"""The keeper: a small process between a Spore and the process that runs tasks.

    Spore ── keeper ── runner ── whatever the task starts

The runner may do anything: block in C, ignore signals, exit, fork twice and hide. The keeper does nothing but
wait, so it always answers; and all that the runner leaves behind becomes its children. It ends the tree

- at once, when the runner is gone, and then ends the same way (exit code or signal) for the Spore to see;
- with SIGTERM, a grace and SIGKILL, when the Spore says so (SIGTERM), or is itself gone (the socket hangs up,
  the kernel sends SIGTERM); a second SIGTERM cuts the grace short.

While the Spore's lease is in doubt because the Spore stands still (see `lease_board`), the tree is held with SIGSTOP:
its task may run elsewhere. It goes on when the Spore runs again and still has its lease; who is told to end while held
is killed where it stands, and no grace outlasts the lease.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import sys
from types import FrameType
from typing import NoReturn

import psutil

from venom_core.clock import Clock
from venom_spore.lease_board import LeaseBoard
from venom_spore.process_tree import descendants, end_descendants, hold, send

# So long a tree is held at most, and then ended, with this exit code: it may hold what others wait for.
HELD_MAX_S = 60.0
HELD_EXIT = 75
_HELD_LOOK_S = 0.05
_PATIENCE_S = 5.0
_WAKE_BYTES = 512

log = logging.getLogger("venom.spore")


class Keeper:
    """Watches over one runner. `lifeline` is a socket's descriptor whose other end the Spore holds."""

    def __init__(self, lifeline: int, grace_s: float, clock: Clock, board: LeaseBoard | None = None) -> None:
        self._lifeline = lifeline
        self._clock = clock
        self._grace_s = grace_s
        self._board = board
        self._held: list[psutil.Process] = []
        self._held_since_s = float("inf")
        self._held_out = False
        self._told = 0
        self._alone = False
        self._status: int | None = None
        self._deadline_s = float("inf")
        self._wake, self._wake_end = os.pipe()
        os.set_blocking(self._wake, False)
        os.set_blocking(self._wake_end, False)

    def listen(self) -> None:
        """Take SIGTERM and SIGCHLD from here on; to be called before the runner is forked."""
        signal.set_wakeup_fd(self._wake_end, warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, self._on_term)
        signal.signal(signal.SIGCHLD, _on_child)

    def leave(self) -> None:
        """Give both signals back (for the runner, right after the fork)."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.close(self._wake)
        os.close(self._wake_end)

    def keep(self, runner_pid: int) -> int:
        """Wait for the end, end all that is left, and return the runner's wait status (SIGKILL's if it stayed)."""
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        poll.register(self._lifeline, 0)
        told = 0
        while not self._is_over(runner_pid):
            if self._told > told:
                told = self._told
                self._tell(told)
                continue
            wait_s = min(self._deadline_s - self._clock.monotonic_s(), self._watch_lease())
            for descriptor, _ in poll.poll(None if wait_s == float("inf") else max(wait_s, 0) * 1000 + 1):
                self._on_event(poll, descriptor)
        if not self._alone:
            end_descendants((), _PATIENCE_S, self._clock)
        if self._held_out:
            return HELD_EXIT << 8
        return signal.SIGKILL if self._status is None else self._status

    def _watch_lease(self) -> float:
        """Hold the tree or let it go on; in how many seconds to look again."""
        if self._board is None:
            return float("inf")
        now_s = self._clock.lasting_s()
        if self._told:
            if self._board.in_doubt(now_s):
                self._deadline_s = 0.0  # no grace outlasts the lease
            return self._board.look_in_s(now_s)
        if not self._board.in_doubt(now_s):
            send(self._held, signal.SIGCONT)
            self._held = []
            return self._board.look_in_s(now_s)
        if not self._held:
            self._held, self._held_since_s = hold(), self._clock.monotonic_s()
        elif self._clock.monotonic_s() - self._held_since_s > HELD_MAX_S:
            log.warning("a Spore stood still for over %g s; what its child process ran is ended", HELD_MAX_S)
            self._told, self._held_out = 1, True
        return _HELD_LOOK_S

    def _is_over(self, runner_pid: int) -> bool:
        """Reap who is dead; over is when nobody is left, the time is up, or the runner died of its own accord."""
        with contextlib.suppress(ChildProcessError):
            while not self._alone:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == runner_pid:
                    self._status = status
                if pid == 0:
                    return self._clock.monotonic_s() >= self._deadline_s or (
                        self._status is not None and not self._told
                    )
        self._alone = True
        return True

    def _tell(self, told: int) -> None:
        grace_s = self._grace_s if told == 1 and not self._held else 0.0
        if not self._held:
            send(descendants(), signal.SIGTERM)
        self._deadline_s = self._clock.monotonic_s() + grace_s

    def _on_event(self, poll: select.poll, descriptor: int) -> None:
        if descriptor == self._lifeline:
            poll.unregister(descriptor)
            self._told = self._told or 1
            return
        with contextlib.suppress(BlockingIOError):
            os.read(self._wake, _WAKE_BYTES)

    def _on_term(self, _number: int, _frame: FrameType | None) -> None:
        self._told += 1


def _on_child(_number: int, _frame: FrameType | None) -> None:
    """Nothing to do: the descriptor of `set_wakeup_fd` wakes the poll."""


def end_like(status: int) -> NoReturn:
    """End this process as the one with this wait status ended: the same exit code or the same signal."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        if number != signal.SIGKILL:
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    sys.exit(os.WEXITSTATUS(status))
