"""The ratios of the gate: CPU of the hive by CPU of something bare, measured in turns on the same machine.

A second of the clock means nothing where cores are shared, and CPU time is not the same from machine to machine. CPU by
CPU of the same moment says how much work the code makes, and little else.
"""

from __future__ import annotations

import json
import subprocess
import sys

from benchmarks.lab import Lab
from benchmarks.limit import script_calls
from benchmarks.sides import ROOT

SETS_AT_ONCE = 100
WORKER = "Spore's CPU of a no-op, by a bare asyncio task's"
REDIS = "Redis' CPU of a drained no-op, by a SET's"
CALLER = "caller's CPU of a bulk-enqueued task, by packing and sealing one"
INTAKE = "Redis' CPU of a bulk-enqueued task, by a SET's"
TRIP = "caller's CPU of a round trip, by a PING's"
CALLS = "script calls of a thousand drained no-ops"


def repetition(lab: Lab, tasks: int, skills: str) -> dict[str, float]:
    """Each ratio, measured once."""
    set_us, bare = _set_us(lab, tasks // 2), _reference(tasks * 2)
    lab.server.empty()
    filled = lab.ask(lab.hive, "bulk", tasks, "noop", {"n": 1})
    lab.server.client.config_resetstat()
    drained = lab.drain_queued(lab.hive, tasks, skills)
    calls = script_calls(lab.server.info("commandstats"))
    with lab.worker(lab.hive, skills):
        lab.ask(lab.hive, "awaited", 1, "noop", {"n": 1})
        trips = lab.ask(lab.hive, "trips_cpu", max(tasks // 100, 50), "noop", {"n": 1})
    return {
        WORKER: drained.worker_us / bare["task_us"],
        REDIS: drained.redis_us / set_us,
        CALLER: filled["cpu_s"] / tasks * 1e6 / bare["seal_us"],
        INTAKE: filled["redis_cpu_s"] / tasks * 1e6 / set_us,
        TRIP: trips["call_us"] / trips["ping_us"],
        CALLS: calls / tasks * 1_000,
    }


def _set_us(lab: Lab, count: int) -> float:
    """Microseconds of Redis' CPU of a SET with a time to live, a hundred in a pipeline."""
    lab.server.empty()
    before = lab.server.cpu_s()
    for start in range(0, count, SETS_AT_ONCE):
        pipeline = lab.server.client.pipeline(transaction=False)
        for number in range(start, start + SETS_AT_ONCE):
            pipeline.set(f"key:{number}", b"v" * 64, ex=3_600)
        pipeline.execute()
    return (lab.server.cpu_s() - before) / count * 1e6


def _reference(count: int) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.gate_reference", str(count)]
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True, timeout=120)
    told: dict[str, float] = json.loads(done.stdout)
    return told
