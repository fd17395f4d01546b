"""Bare asyncio: python -m benchmarks.bare COUNT; no-op coroutines as tasks, a hundred at a time, and nothing else."""

from __future__ import annotations

import asyncio
import json
import sys

from benchmarks.timing import Stopwatch
from venom_core.event_loop import run

AT_A_TIME = 100


async def noop(n: int) -> int:
    return n


async def tasks(count: int) -> dict[str, float]:
    """Run so many no-ops; {count, seconds, cpu_s}."""
    watch = Stopwatch()
    for _ in range(0, count, AT_A_TIME):
        await asyncio.gather(*(asyncio.ensure_future(noop(1)) for _ in range(AT_A_TIME)))
    return watch.read(count)


async def main() -> None:
    await tasks(AT_A_TIME)
    print(json.dumps(await tasks(int(sys.argv[1]))))


if __name__ == "__main__":
    run(main())
