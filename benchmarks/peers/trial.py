"""One trial: a worker is killed inside a task and the other one is watched, or nobody is killed and the task is."""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from benchmarks.peers.diary import BEGUN, CUT, ENDED
from benchmarks.peers.pair import Pair
from benchmarks.peers.peer import Mode, Peer
from benchmarks.server import Server

T = TypeVar("T")
# A body that no worker ends before it is killed, and one that takes over from it.
LONG_S, AGAIN_S = 900.0, 0.5
# A worker is killed so long after the body has begun: before the shortest timeout of a mode. On a busy machine that may
# be too late, and the trial is made anew, so often at most.
KILL_AFTER_S = 0.0, 0.4
TRIES = 8
# So long after a task has ended, a trial looks whether it begins yet another time.
AFTER_S = 2.0
# Two servers that look for a free port at the same time may find the same one; and this many pairs start at a time.
_one_server = threading.Lock()
_starts = threading.Semaphore(3)


@dataclass(frozen=True, slots=True)
class Recovery:
    """Seconds from the SIGKILL until the task began on the other worker, None if it did not within the patience; how
    often it began and ended after the kill.
    """

    seconds: float | None
    begun: int = 0
    ended: int = 0


@dataclass(frozen=True, slots=True)
class Health:
    """What became of a task that lasts `length_s` and whose worker nobody kills: seconds after its begin at which it
    began a second time or was cut off, None if that did not happen.
    """

    length_s: float
    doubled_s: float | None = None
    cut_s: float | None = None


@contextmanager
def pair_of(peer: Peer, mode: Mode) -> Iterator[Pair]:
    """Two workers that are up, for the length of a block."""
    with tempfile.TemporaryDirectory(prefix="peer") as name:
        folder = Path(name)
        with _one_server:
            server = Server(folder)
        try:
            pair = Pair(folder, server, peer.side(mode), mode)
            try:
                with _starts:
                    pair.start()
                yield pair
            finally:
                pair.close()
        finally:
            server.stop()


def recovery(peer: Peer, mode: Mode, patience_s: float) -> Recovery | None:
    """Kill the worker that runs a task and wait for the other to begin it; None if the task was always taken away from
    its worker, or cut off, before that could be killed.
    """
    for _ in range(TRIES):
        if (found := _twice(lambda: _killing(peer, mode, patience_s))) is not None:
            return found
    return None


def _twice(attempt: Callable[[], T]) -> T:
    """Once more if a trial could not begin, as on a machine that others keep busy; a second time that is an error."""
    try:
        return attempt()
    except (SystemExit, subprocess.TimeoutExpired) as error:
        print(f"once more, because: {error}", file=sys.stderr)
        return attempt()


def _killing(peer: Peer, mode: Mode, patience_s: float) -> Recovery | None:
    with pair_of(peer, mode) as pair:
        first = pair.begin("long", LONG_S, AGAIN_S)
        time.sleep(random.uniform(*KILL_AFTER_S))
        killed = pair.kill(first.worker)
        if any(entry.at < killed for entry in [*pair.of(BEGUN, "long")[1:], *pair.of(CUT, "long")]):
            return None
        return _rescue(pair, killed, patience_s)


def _rescue(pair: Pair, killed: float, patience_s: float) -> Recovery:
    again = pair.until(lambda: pair.of(BEGUN, "long")[1:], patience_s)
    if not again:
        return Recovery(None)
    pair.until(lambda: pair.of(ENDED, "long"), AGAIN_S * 10)
    time.sleep(AFTER_S)
    return Recovery(again[0].at - killed, len(pair.of(BEGUN, "long")) - 1, len(pair.of(ENDED, "long")))


def health(peer: Peer, mode: Mode, length_s: float, *, hold: bool) -> Health:
    """Let a task last so long on a worker that lives, with another one beside it; with `hold` it blocks its loop."""
    return _twice(lambda: _living(peer, mode, length_s, hold=hold))


def _living(peer: Peer, mode: Mode, length_s: float, *, hold: bool) -> Health:
    with pair_of(peer, mode) as pair:
        first = pair.begin("healthy", length_s, length_s, hold=hold)

        def told() -> bool:
            return bool(pair.of(BEGUN, "healthy")[1:] or pair.of(CUT, "healthy") or pair.of(ENDED, "healthy"))

        pair.until(told, length_s * 2 + AFTER_S)
        time.sleep(AFTER_S)
        doubled, cut = (
            [entry.at - first.at for entry in found]
            for found in (pair.of(BEGUN, "healthy")[1:], pair.of(CUT, "healthy"))
        )
        return Health(length_s, *(min(found, default=None) for found in (doubled, cut)))
