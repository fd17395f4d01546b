"""The ratios of the gate: CPU of the hive by CPU of something bare, measured in turns on the same machine.

A second of the clock means nothing where cores are shared, and CPU time is not the same from machine to machine. CPU by
CPU of the same moment says how much work the code makes, and little else.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence

from benchmarks.lab import Lab
from benchmarks.limit import script_calls
from benchmarks.sides import ROOT

ENTRIES_A_CALL = 500
TRIES = 5
# What Redis is compared with: a hash and a sorted set filled and emptied inside a script, as those of the hive are.
BARE_SCRIPT = """
for i = 1, ARGV[1] do
  redis.call('HSET', KEYS[1], 'id-' .. i, ARGV[2])
  redis.call('ZADD', KEYS[2], i, 'id-' .. i)
end
for i = 1, ARGV[1] do redis.call('HDEL', KEYS[1], 'id-' .. i) end
redis.call('ZREMRANGEBYRANK', KEYS[2], 0, -1)
"""
WORKER = "Spore's CPU of a no-op, by a bare queue's"
REDIS = "Redis' CPU of a drained no-op, by that of a bare entry"
CALLER = "caller's CPU of a bulk-enqueued task, by packing and sealing one"
INTAKE = "Redis' CPU of a bulk-enqueued task, by that of a bare entry"
AWAITED = "caller's CPU of an awaited no-op, by a bare queue's"
CALLS = "script calls of a thousand drained no-ops"
TRIP = "script calls of a round trip"


# Each measure: what is looked at, over what it is compared with; µs of CPU, or a number of calls over 1.
RATIOS = {
    WORKER: ("worker", "bare run"),
    REDIS: ("redis", "bare entry"),
    CALLER: ("caller", "bare seal"),
    INTAKE: ("intake", "bare entry"),
    AWAITED: ("awaited", "bare run"),
    CALLS: ("calls", ""),
    TRIP: ("trip", ""),
}


def repetition(lab: Lab, tasks: int, skills: str) -> dict[str, float]:
    """Each cost, measured once."""
    lab.server.empty()
    entry_us = _entry_us(lab, tasks)
    bare = _told("bare_queue", lab.server.port, tasks) | _told("gate_reference", tasks)
    lab.server.empty()
    filled = lab.ask(lab.hive, "bulk", tasks, "noop", {"n": 1})
    lab.server.client.config_resetstat()
    drained = lab.drain_queued(lab.hive, tasks, skills)
    calls = script_calls(lab.server.info("commandstats"))
    few, trips = max(tasks // 5, 200), max(tasks // 100, 50)
    with lab.worker(lab.hive, skills):
        awaited = lab.ask(lab.hive, "awaited", few, "noop", {"n": 1})
        lab.server.client.config_resetstat()
        lab.ask(lab.hive, "urgent", trips, "noop", {"n": 1})
        trip_calls = script_calls(lab.server.info("commandstats"))
    return {
        "worker": drained.worker_us,
        "redis": drained.redis_us,
        "caller": filled["cpu_s"] / tasks * 1e6,
        "intake": filled["redis_cpu_s"] / tasks * 1e6,
        "awaited": awaited["cpu_s"] / few * 1e6,
        "calls": calls / tasks * 1_000,
        "trip": trip_calls / trips,
        "bare entry": entry_us,
        **bare,
    }


def whole(measure: Callable[[], dict[str, float]]) -> dict[str, float]:
    """A repetition whose every cost was seen: the least counts, so one that was looked at too late would hide the rest.

    Raises `SystemExit` if none of several is.
    """
    costs: dict[str, float] = {}
    for _ in range(TRIES):
        costs = measure()
        if all(costs.values()):
            return costs
    unseen = ", ".join(name for name, cost in costs.items() if not cost)
    raise SystemExit(f"{unseen}: over before it could be looked at, {TRIES} times; give --tasks a larger number")


def ratios(repetitions: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Each measure from the least that each of its costs was: whatever shares the machine only adds to CPU time."""
    least = {name: min(one[name] for one in repetitions) for name in repetitions[0]} | {"": 1.0}
    return {measure: least[cost] / least[bare] for measure, (cost, bare) in RATIOS.items()}


def _entry_us(lab: Lab, count: int) -> float:
    """Microseconds of Redis' CPU of a bare entry."""
    before, rounds = lab.server.cpu_s(), max(count // ENTRIES_A_CALL, 1)
    for _ in range(rounds):
        lab.server.client.eval(BARE_SCRIPT, 2, "bare:hash", "bare:set", ENTRIES_A_CALL, b"v" * 64)
    return (lab.server.cpu_s() - before) / (rounds * ENTRIES_A_CALL) * 1e6


def _told(module: str, *arguments: object) -> dict[str, float]:
    """What a program of the benchmarks prints."""
    command = [sys.executable, "-m", f"benchmarks.{module}", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True, timeout=300)
    told: dict[str, float] = json.loads(done.stdout)
    return told
