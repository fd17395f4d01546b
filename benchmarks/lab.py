"""One benchmark run: the server, the two sides, how often and how much."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import psutil

from benchmarks.server import Server
from benchmarks.sides import Side
from benchmarks.tally import Tally

START_S = 60.0
STALL_S = 30.0
POLL_S = 0.002

Part = TypeVar("Part")


@dataclass(frozen=True, slots=True)
class Drained:
    """How workers emptied a preloaded queue, from when each had completed a task to the end.

    `foreign` = share of the box others used.
    """

    tasks: int
    seconds: float
    worker_cpu_s: float
    redis_cpu_s: float
    foreign: float

    @property
    def per_second(self) -> float:
        """Tasks a second."""
        return self.tasks / self.seconds

    @property
    def worker_us(self) -> float:
        """Microseconds of worker CPU a task."""
        return self.worker_cpu_s / self.tasks * 1e6

    @property
    def redis_us(self) -> float:
        """Microseconds of Redis CPU a task."""
        return self.redis_cpu_s / self.tasks * 1e6


@dataclass
class Lab:
    """What measures work with."""

    server: Server
    hive: Side
    arq: Side
    tally: Tally
    rounds: int
    quick: bool
    foreign: list[float] = field(default_factory=list)

    def count(self, full: int) -> int:
        """A number of tasks: a twentieth of it when only trying out."""
        return max(full // 20, 200) if self.quick else full

    def turns(self) -> Iterator[Side]:
        """arq, hive, hive, arq, …: every round both, in alternating order."""
        return self.in_turns((self.arq, self.hive))

    def in_turns(self, parts: Sequence[Part]) -> Iterator[Part]:
        """All of them every round, in an order that alternates."""
        for number in range(self.rounds):
            yield from parts if number % 2 == 0 else parts[::-1]

    def ask(self, side: Side, verb: str, count: int, task: str, payload: dict[str, Any]) -> dict[str, Any]:
        """What a side's client reports of one verb."""
        return side.ask(self.server, self.tally.path, verb, count=count, task=task, payload=payload)

    @contextmanager
    def worker(self, side: Side, skills: str = "benchmarks.skills", number: int = 0) -> Iterator[psutil.Process]:
        """A worker process for the length of a block."""
        process = side.start_worker(self.server, self.tally.path, skills, number)
        try:
            yield psutil.Process(process.pid)
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def drain(
        self, side: Side, count: int, task: str = "noop", payload: dict[str, Any] | None = None, processes: int = 1
    ) -> Drained:
        """Fill an empty server with `count` tasks, start the workers, and watch them."""
        self.server.empty()
        self.ask(side, "bulk", count, task, payload or {"n": 1})
        return self.drain_queued(side, count, processes=processes)

    def drain_queued(
        self,
        side: Side,
        count: int,
        skills: str = "benchmarks.skills",
        most_s: float = 60.0,
        processes: int = 1,
    ) -> Drained:
        """Start workers on a queue of `count` tasks and watch them to the end, or for `most_s` seconds.

        The watch begins when each of them has completed its first task.
        """
        self.tally.reset()
        with ExitStack() as stack:
            started = [stack.enter_context(self.worker(side, skills, number)) for number in range(processes)]
            self._await_writers(processes, START_S)
            done, moment = self.tally.value, time.perf_counter()
            worker_s, redis_s, busy_s = _cpu_s(started), self.server.cpu_s(), _busy_s()
            self._await_end(side, count, most_s)
            tasks, seconds = self.tally.value - done, time.perf_counter() - moment
            worker_s, redis_s = _cpu_s(started) - worker_s, self.server.cpu_s() - redis_s
            foreign = max(_busy_s() - busy_s - worker_s - redis_s, 0.0) / (seconds * (os.cpu_count() or 1))
        self.foreign.append(foreign)
        return Drained(tasks, seconds, worker_s, redis_s, foreign)

    def _await_writers(self, processes: int, most_s: float) -> None:
        deadline = time.monotonic() + most_s
        while self.tally.writers < processes:
            if time.monotonic() > deadline:
                raise SystemExit(f"{self.tally.writers} of {processes} workers completed a task within {most_s:g} s")
            time.sleep(POLL_S)

    def _await_end(self, side: Side, count: int, most_s: float) -> None:
        """All ran and none is left in the store, or the time is over; raises when nothing moves any more."""
        deadline = time.monotonic() + most_s
        seen, moved = self.tally.value, time.monotonic()
        while time.monotonic() < deadline:
            value = self.tally.value
            if value >= count and side.unfinished(self.server.client) == 0:
                return
            if value != seen:
                seen, moved = value, time.monotonic()
            elif time.monotonic() - moved > STALL_S:
                raise SystemExit(f"{side.name} stalled at {value:,} of {count:,} tasks")
            time.sleep(POLL_S)


def _cpu_s(processes: Iterable[psutil.Process]) -> float:
    """Of these processes and all that they started."""
    every = (one for process in processes for one in (process, *process.children(recursive=True)))
    return sum(float(times.user + times.system) for times in (process.cpu_times() for process in every))


def _busy_s() -> float:
    times = psutil.cpu_times()
    return float(times.user + times.nice + times.system)


def tally_in(folder: Path) -> Tally:
    """The tally of a run."""
    return Tally(folder / "tally")
