"""Several Spores of a measure: other slots, other settings, and running before the work comes."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import psutil

from benchmarks.lab import Lab
from benchmarks.server import Server
from benchmarks.sides import ROOT, Side, environment

JOIN_S, POLL_S = 60.0, 0.01
SLOTS = "--concurrency"
# As docs/performance.md advises for several Spores on the cores of their server.
BESIDE_REDIS = {"HIVE_NICENESS": 19}


def with_slots(side: Side, slots: int) -> Side:
    """The hive with so many slots a Spore."""
    place = side.worker.index(SLOTS) + 1
    return replace(side, worker=(*side.worker[:place], str(slots), *side.worker[place + 1 :]))


def with_settings(side: Side, **settings: object) -> Side:
    """Workers with these environment variables beside the usual ones."""
    told = (f"{name}={value}" for name, value in settings.items())
    return replace(side, worker=("/usr/bin/env", *told, *side.worker))


@contextmanager
def standing(lab: Lab, sides: list[Side], skills: str = "benchmarks.skills") -> Iterator[list[psutil.Process]]:
    """An empty server with a Spore of each side on it, all joined before the block begins."""
    lab.server.empty()
    lab.tally.reset()
    with ExitStack() as stack:
        processes = [stack.enter_context(lab.worker(side, skills, number)) for number, side in enumerate(sides)]
        _await_joined(lab.server, len(sides))
        yield processes


@contextmanager
def nexus(lab: Lab) -> Iterator[psutil.Process]:
    """A Nexus at default settings for the length of a block."""
    command = [sys.executable, "-m", "venom_core.nexus", "--redis-url", lab.server.url, "--log-level", "ERROR"]
    process = subprocess.Popen(command, cwd=ROOT, env=environment(lab.tally.path), stderr=subprocess.DEVNULL)
    try:
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait()


def _await_joined(server: Server, count: int) -> None:
    deadline = time.monotonic() + JOIN_S
    while int(str(server.client.hlen("{venom:0}:names"))) < count:
        if time.monotonic() > deadline:
            raise SystemExit(f"{count} Spores did not join within {JOIN_S:g} s")
        time.sleep(POLL_S)
