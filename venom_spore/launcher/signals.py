"""Waiting for whatever comes first: a signal, a word of the worker, or a moment."""

from __future__ import annotations

import contextlib
import math
import os
import selectors
import signal
from types import FrameType, TracebackType
from typing import Self

LONGEST_WAIT_S = 3600.0
TAKEN = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
_BYTES = 4096


class Wakeful:
    """Takes signals for the length of a block: `told` counts SIGTERM and SIGINT, `asked` SIGHUP; SIGCHLD only wakes."""

    def __init__(self) -> None:
        self.told = self.asked = 0
        self._selector = selectors.DefaultSelector()
        self._mouth, self._ear = -1, -1

    def __enter__(self) -> Self:
        self._ear, self._mouth = os.pipe()
        for end in (self._ear, self._mouth):
            os.set_blocking(end, False)
        self._selector.register(self._ear, selectors.EVENT_READ)
        signal.set_wakeup_fd(self._mouth, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_stop)
        signal.signal(signal.SIGHUP, self._on_ask)
        signal.signal(signal.SIGCHLD, _on_child)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.set_wakeup_fd(-1)
        for number in TAKEN:
            signal.signal(number, signal.SIG_DFL)
        self._selector.close()
        os.close(self._ear)
        os.close(self._mouth)

    def hear(self, descriptor: int) -> None:
        """Wake for this descriptor too."""
        self._selector.register(descriptor, selectors.EVENT_READ)

    def ignore(self, descriptor: int) -> None:
        """Not any more."""
        with contextlib.suppress(KeyError):
            self._selector.unregister(descriptor)

    def wait(self, seconds: float) -> None:
        """Until something comes, or for so long."""
        if not math.isfinite(seconds):
            seconds = LONGEST_WAIT_S if seconds > 0 else 0.0
        ready = self._selector.select(min(max(seconds, 0.0), LONGEST_WAIT_S))
        if any(key.fd == self._ear for key, _ in ready):
            with contextlib.suppress(BlockingIOError):
                os.read(self._ear, _BYTES)

    def _on_stop(self, _number: int, _frame: FrameType | None) -> None:
        self.told += 1

    def _on_ask(self, _number: int, _frame: FrameType | None) -> None:
        self.asked += 1


def _on_child(_number: int, _frame: FrameType | None) -> None:
    """Only to be woken: a signal without a handler wakes nobody."""
