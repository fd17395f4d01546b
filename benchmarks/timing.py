"""Clocks and percentiles for the clients of both sides. Standard library only: arq's environment has no more."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

COROUTINES = 100
PINGS_PER_BLOCK = 50

Step = Callable[[], Awaitable[Any]]


class Stopwatch:
    """Wall and CPU seconds of this process since it was made."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def read(self, count: int) -> dict[str, float]:
        """{count, seconds, cpu_s} so far."""
        return {
            "count": count,
            "seconds": time.perf_counter() - self._wall,
            "cpu_s": time.process_time() - self._cpu,
        }


async def timed_ms(step: Step) -> float:
    """Milliseconds that one awaited step took."""
    start = time.perf_counter()
    await step()
    return (time.perf_counter() - start) * 1000


async def spread(count: int, step: Callable[[int], Awaitable[Any]]) -> None:
    """Run a step `count` times from 100 coroutines, each awaiting one before it begins the next."""

    async def some(first: int) -> None:
        for number in range(first, count, COROUTINES):
            await step(number)

    await asyncio.gather(*(some(first) for first in range(COROUTINES)))


async def round_trips(count: int, call: Step, ping: Step) -> dict[str, list[float]]:
    """`count` calls one after another, in turns with blocks of bare PINGs: {calls_ms, pings_ms}."""
    for _ in range(20):
        await ping()
        await call()
    calls: list[float] = []
    pings: list[float] = []
    while len(calls) < count:
        pings += [await timed_ms(ping) for _ in range(PINGS_PER_BLOCK)]
        calls += [await timed_ms(call) for _ in range(PINGS_PER_BLOCK)]
    return {"calls_ms": calls, "pings_ms": pings}


def percentile(values: list[float], percent: float) -> float:
    """The value below which so many percent lie (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(percent / 100 * len(ordered)))]
