"""The tasks of every peer, as coroutines and as plain functions: a no-op that is counted, and one that is told."""

from __future__ import annotations

import asyncio
import os
import threading
import time

from benchmarks.peers.diary import told
from benchmarks.tally import TALLY_VARIABLE, tally_of_worker

tally = tally_of_worker() if TALLY_VARIABLE in os.environ else None
_lock = threading.Lock()


async def noop(n: int) -> int:
    assert tally is not None
    tally.add()
    return n


async def telling(label: str, first_s: float, again_s: float, hold: bool) -> None:
    """With `hold` it blocks its event loop, as work does that computes or calls something that is not asynchronous."""
    with told(label, first_s, again_s) as seconds:
        if hold:
            _block(seconds)
        else:
            await asyncio.sleep(seconds)


def blocking_noop(n: int) -> int:
    """For workers with threads, of which one may be interrupted between reading and writing."""
    assert tally is not None
    with _lock:
        tally.add()
    return n


def blocking_telling(label: str, first_s: float, again_s: float, hold: bool) -> None:
    """There is no event loop to hold."""
    assert hold in {True, False}
    with told(label, first_s, again_s) as seconds:
        _block(seconds)


def _block(seconds: float) -> None:
    time.sleep(seconds)
