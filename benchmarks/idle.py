"""An idle Spore: what it asks of Redis, what it holds, how fast it is there."""

from __future__ import annotations

import time

import psutil

from benchmarks.lab import Lab
from benchmarks.section import Promise, Section, middle

WATCH_S, SETTLE_S, JOIN_S = 30.0, 2.0, 15.0
CALLS_PER_S, RESIDENT_MB, START_S = 1.5, 60.0, 1.0
STARTS = 5
NOTE = f"""Calls counted with MONITOR over {WATCH_S:g} s, from 2 s after joining; what a script calls inside the server
does not count. Memory with all child processes. Three async skills, default heartbeat and lease."""


def measure(lab: Lab) -> Section:
    starts, resident, shared = [], [], []
    calls_per_s = 0.0
    for number in range(STARTS):
        lab.server.empty()
        begin = time.perf_counter()
        with lab.worker(lab.hive) as process:
            starts.append(_seconds_to_join(lab, begin))
            if number == 0:
                time.sleep(SETTLE_S)
                watch_s = 5.0 if lab.quick else WATCH_S
                calls_per_s = lab.server.client_calls(watch_s) / watch_s
            held = _megabytes(process)
            resident.append(held[0])
            shared.append(held[1])
    return Section(
        "idle",
        "An idle Spore",
        ["client calls a second", "RSS MB", "PSS MB", "exec → joined, s"],
        [[f"{calls_per_s:.2f}", f"{middle(resident):.1f}", f"{middle(shared):.1f}", f"{middle(starts):.2f}"]],
        [NOTE],
        [
            Promise("client calls of an idle Spore", CALLS_PER_S, calls_per_s, "a second"),
            Promise("resident memory of an idle Spore", RESIDENT_MB, middle(resident), "MB"),
            Promise("start of a Spore, from exec to joined", START_S, middle(starts), "s"),
        ],
        {"calls_per_s": calls_per_s, "rss_mb": resident, "pss_mb": shared, "start_s": starts},
    )


def _seconds_to_join(lab: Lab, begin: float) -> float:
    while not lab.server.client.exists("{venom:0}:names"):
        if time.perf_counter() - begin > JOIN_S:
            raise SystemExit("the Spore did not join")
        time.sleep(0.002)
    return time.perf_counter() - begin


def _megabytes(process: psutil.Process) -> tuple[float, float]:
    """RSS and PSS of a process and its children, in MB (10^6)."""
    every = [one.memory_full_info() for one in (process, *process.children(recursive=True))]
    return sum(one.rss for one in every) / 1e6, sum(one.pss for one in every) / 1e6
