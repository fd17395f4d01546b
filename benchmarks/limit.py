"""The share of the limit: the hive beside Redis alone under the same scripts, and beside asyncio alone."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from typing import Any

from benchmarks.lab import Lab
from benchmarks.section import Promise, Section, middle, span, whole
from benchmarks.sides import ROOT
from benchmarks.spores import BESIDE_REDIS, with_settings
from benchmarks.store_probe import store_probe

TASKS, BARE_TASKS, REPEATS = 400_000, 1_000_000, 40
SHARE_OF_ONE, SHARE_OF_TWO = 55.0, 80.0
REDIS, ASYNCIO, ONE, TWO = "Redis alone", "asyncio alone", "the hive, one process", "the hive, two processes"
CORES = "all cores busy"
NOTE = """Redis alone: tasks a second of its CPU, when a program claims and settles them through the same scripts at the
batch size of a draining Spore, which is counted in the drains of this run ({:,.0f} tasks a call); no task runs. asyncio
alone: no-op coroutines as tasks of a uvloop, a hundred at a time, tasks a second of its CPU. Neither can be beaten by
one process that takes its tasks from one server. The hive's rates are a second of the clock, with server, Spores and
the runner on the same {} cores; two Spores give way to the server (HIVE_NICENESS=10), one does not. All cores busy:
what these {} cores would do if nothing else ran on them and none ever waited, at the CPU that server and Spores
together took for a task of the two-process drains; with few cores this, and not the server, is what two processes run
into."""


@dataclass(slots=True)
class Found:
    """One value a round: tasks a second, the mean batch of a Spore's calls, and the CPU of a task with two."""

    redis: list[float] = field(default_factory=list)
    asyncio: list[float] = field(default_factory=list)
    one: list[float] = field(default_factory=list)
    two: list[float] = field(default_factory=list)
    batch: list[float] = field(default_factory=list)
    both_us: list[float] = field(default_factory=list)


def measure(lab: Lab) -> Section:
    found = Found()
    for _ in range(lab.rounds):
        found.one.append(_drain(lab, 1, found))
        found.two.append(_drain(lab, 2, found))
        found.redis.append(asyncio.run(_redis(lab, round(middle(found.batch)))))
        found.asyncio.append(_bare(lab.count(BARE_TASKS)))
    return section_of(found, os.cpu_count() or 1)


def section_of(found: Found, cores: int) -> Section:
    """The table: shares are of the lower of the two limits."""
    section = Section(
        "limit", "The share of the limit", ["", "tasks/s", "least–most", "% of the lower limit", "% of all cores busy"]
    )
    section.notes.append(NOTE.format(middle(found.batch), cores, cores))
    lower = min(middle(found.redis), middle(found.asyncio))
    busy = [cores * 1e6 / both_us for both_us in found.both_us]
    rows = ((REDIS, found.redis), (ASYNCIO, found.asyncio), (CORES, busy), (ONE, found.one), (TWO, found.two))
    for words, rates in rows:
        shares = [f"{middle(rates) / limit * 100:.0f}" for limit in (lower, middle(busy))]
        section.rows.append([words, whole(middle(rates)), span(rates), *shares])
        section.numbers[words] = rates
    section.numbers["batch"] = found.batch
    for words, rates, least in ((ONE, found.one, SHARE_OF_ONE), (TWO, found.two, SHARE_OF_TWO)):
        share = middle(rates) / lower * 100
        section.promises.append(Promise(f"share of the lower limit, {words}", least, share, "%", at_least=True))
    return section


def _drain(lab: Lab, processes: int, found: Found) -> float:
    """Tasks a second; beside it the mean batch of one process' calls, or the CPU of a task with two, is noted."""
    count = lab.count(TASKS)
    lab.server.empty()
    lab.ask(lab.hive, "bulk", count, "noop", {"n": 1})
    lab.server.client.config_resetstat()
    side = lab.hive if processes == 1 else with_settings(lab.hive, **BESIDE_REDIS)
    drained = lab.drain_queued(side, count, processes=processes)
    if processes > 1:
        found.both_us.append(drained.worker_us + drained.redis_us)
    else:
        # Each task is claimed and settled; the few heartbeats do not move the mean.
        found.batch.append(2 * count / script_calls(lab.server.info("commandstats")))
    return drained.per_second


def script_calls(stats: dict[str, Any]) -> int:
    """How many scripts were called, out of INFO commandstats."""
    return sum(int(stats[name]["calls"]) for name in ("cmdstat_evalsha", "cmdstat_eval") if name in stats)


async def _redis(lab: Lab, batch: int) -> float:
    """Tasks that a second of Redis' CPU claims and settles."""
    async with store_probe(lab.server, batch) as probe:
        await probe.fill(lab.count(TASKS))
        await probe.cost(3)
        costs = await probe.cost(5 if lab.quick else REPEATS)
    return 1e6 / (middle(costs.claim) + middle(costs.settle))


def _bare(count: int) -> float:
    """Tasks that a second of a bare loop's CPU runs."""
    command = [sys.executable, "-m", "benchmarks.bare", str(count)]
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True, timeout=600)
    told: dict[str, float] = json.loads(done.stdout)
    return told["count"] / told["cpu_s"]
