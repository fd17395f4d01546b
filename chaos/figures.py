"""Figures, not verdicts: how soon work goes on after a SIGKILL, and how soon a task has ended that is to end.

`./chaos/run --figures ROUNDS` prints the tables of docs/reliability.md. Each sample is a real process that is
killed, or a real task that is cancelled or runs out of time, in a hive on a server of its own.
"""

from __future__ import annotations

import asyncio
import math
import os
import platform
import random
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import psutil

from chaos.events import PID_SHIFT, Recorder, read
from chaos.fleet import Fleet
from chaos.server import StormServer
from chaos.storm import KEEPS, NAMESPACE
from tests.hives import until
from venom_core.config import Settings
from venom_core.infrastructure.message_broker import MessageBroker

VICTIMS = 8
PATIENCE_S = 60.0
# The thread that hears nothing keeps its slot for a minute.
SAMPLES, SAMPLES_NUMB, SLOTS = 20, 5, 8
TIMEOUT_S = 2.0
US = 1_000_000
PROFILES = {"fast": "0.3 s, 1.2 s", "default": "1 s, 6 s"}
KINDS = {
    "async": "nap",
    "thread": "threaded",
    "thread in one call into C": "numb",
    "process": "child",
    "process whose children ignore SIGTERM": "brood",
}


# Moment in µs, and process id: a token names the process whose body it is.
Start = tuple[int, int]


class Lab:
    """A hive of its own for one measure."""

    def __init__(self, folder: Path, profile: str) -> None:
        self.server = StormServer(folder / "server")
        environment = KEEPS | {"REDIS_URL": self.server.url, "HIVE_PROFILE": profile}
        self.recorder = Recorder(folder / "conductor.jsonl")
        self.fleet = Fleet(folder, environment, self.recorder, ())
        self.settings = Settings.load(redis_url=self.server.url, hive_namespace=NAMESPACE)
        self._folder = folder

    def starts(self) -> dict[str, list[Start]]:
        """Where and when bodies of each task began."""
        found: dict[str, list[Start]] = {}
        for path in self._folder.glob("*.jsonl"):
            for event in read(path):
                if event.what == "start":
                    found.setdefault(event.ids[0], []).append((event.at, event.token >> PID_SHIFT))
        return found


@contextmanager
def lab(profile: str) -> Iterator[Lab]:
    """A lab for the length of a block."""
    with tempfile.TemporaryDirectory(prefix="vf") as name:
        made = Lab(Path(name), profile)
        try:
            yield made
        finally:
            made.fleet.close()
            made.server.close()
            made.recorder.close()


async def recoveries(profile: str) -> list[float]:
    """Seconds from the SIGKILL of a Spore to the start of its task elsewhere, for eight Spores that die in turn."""
    with lab(profile) as made:
        made.fleet.spore_arguments = ("--concurrency", "1")
        victims = {node.process.pid: node for node in (made.fleet.spore() for _ in range(VICTIMS))}
        async with MessageBroker(made.settings) as broker:
            ids = await broker.enqueue_many("nap", [{"seconds": 600}] * VICTIMS)
        await until(lambda: len(made.starts()) == VICTIMS, PATIENCE_S)
        made.fleet.spore_arguments = ("--concurrency", "16")
        made.fleet.spore()
        await asyncio.sleep(3.0)  # it has joined, and has been steady for longer than half a lease of 6 s
        dead: dict[int, int] = {}
        for pid, victim in victims.items():
            await asyncio.sleep(random.uniform(0.0, 0.4))
            dead[pid] = time.time_ns() // 1000
            made.fleet.kill(victim)
        await until(lambda: all(len(begun) > 1 for begun in made.starts().values()), PATIENCE_S)
        starts = made.starts()
        return [_waited(starts[task_id], dead) for task_id in ids]


def _waited(starts: list[Start], dead: dict[int, int]) -> float:
    first, second = sorted(starts)[:2]
    return (second[0] - dead[first[1]]) / US


@asynccontextmanager
async def one_spore() -> AsyncIterator[tuple[Lab, MessageBroker]]:
    """A lab in the default profile with one Spore that has run something."""
    with lab("default") as made:
        made.fleet.spore_arguments = ("--concurrency", str(SLOTS))
        made.fleet.spore()
        async with MessageBroker(made.settings) as broker:
            for task_type in ("nap", "child"):
                await broker.wait_for(await broker.enqueue_task(task_type, {"seconds": 0}), PATIENCE_S)
            yield made, broker


async def cancels(task_type: str) -> list[float]:
    """Seconds from `cancel_task` until a caller hears that the running task was cancelled."""
    found: list[float] = []
    async with one_spore() as (made, broker):
        for _ in range(_samples(task_type)):
            task_id = await broker.enqueue_task(task_type, {"seconds": 60})
            await until(lambda begun=task_id: begun in made.starts(), PATIENCE_S)  # type: ignore[misc]  # mypy cannot infer it
            begun_s = time.monotonic()
            await broker.cancel_task(task_id)
            task = await broker.wait_for(task_id, 30)
            found.append(time.monotonic() - begun_s)
            assert task is not None
            assert task.status == "cancelled"
    return found


async def timeouts(task_type: str) -> list[float]:
    """Seconds from the moment the timeout of a running task is due until a caller hears that it failed of it."""
    found: list[float] = []
    async with one_spore() as (_, broker):
        for _ in range(_samples(task_type)):
            task_id = await broker.enqueue_task(task_type, {"seconds": 60}, timeout=TIMEOUT_S, max_retries=0)
            task = await broker.wait_for(task_id, 30)
            heard_s = time.time()
            assert task is not None
            assert task.started_at is not None
            assert (task.error or "").startswith("TaskTimeout")
            found.append(heard_s - task.started_at.timestamp() - TIMEOUT_S)
    return found


def _samples(task_type: str) -> int:
    return SAMPLES_NUMB if task_type == "numb" else SAMPLES


def show(rounds: int) -> None:
    """Print all tables."""
    cores, memory = psutil.cpu_count(), psutil.virtual_memory().total / 2**30
    print(
        f"{cores} cores, {memory:.0f} GiB, {platform.system()} {platform.release()}, Python {platform.python_version()}"
    )
    print("\n| profile | heartbeat, lease | samples | p50 | p99 | longest |\n|---|---|---|---|---|---|")
    for profile, rhythm in PROFILES.items():
        found = [seconds for _ in range(rounds) for seconds in asyncio.run(recoveries(profile))]
        print(f"| {profile} | {rhythm} | {_row(found, 's', 1)} |", flush=True)
    show_ends()


def show_ends() -> None:
    """How soon a task has ended that was cancelled, or ran out of time."""
    for measure in (cancels, timeouts):
        print(f"\n{measure.__name__}, load of the machine {os.getloadavg()[0]:.1f}:")
        print("| kind of skill | samples | p50 | p99 | longest |\n|---|---|---|---|---|")
        for kind, task_type in KINDS.items():
            print(f"| {kind} | {_row(asyncio.run(measure(task_type)), 'ms', 1000)} |", flush=True)


def _row(found: list[float], unit: str, factor: int) -> str:
    ordered = sorted(found)
    picked = (ordered[math.ceil(part * len(ordered)) - 1] * factor for part in (0.5, 0.99, 1.0))
    digits = 2 if factor == 1 else 0
    return " | ".join([str(len(ordered)), *(f"{value:.{digits}f} {unit}" for value in picked)])
