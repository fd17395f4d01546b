"""The share of the limit: the hive beside Redis alone under the same scripts, and beside asyncio alone."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from typing import Any

from benchmarks.held import held
from benchmarks.lab import Drained, Lab
from benchmarks.section import Promise, Section, middle, span, whole
from benchmarks.sides import ROOT
from benchmarks.spores import BESIDE_REDIS, with_settings
from benchmarks.store_probe import store_probe

TASKS, BARE_TASKS = 400_000, 1_000_000
SHARE_OF_ONE, SHARE_OF_TWO = 55.0, 80.0
HELD_TO = 2 / 3
REDIS, ASYNCIO, ONE, TWO = "Redis alone", "asyncio alone", "the hive, one process", "the hive, two processes"
CORES = "all cores busy"
HELD_REDIS, HELD_TWO = "Redis alone, held to ⅔ of a core", "the hive, two processes, Redis held to ⅔ of a core"
NOTE = """Redis alone: a program claims and settles what is queued through the same scripts, with calls enough on their
way that the server never waits, at the batch size of a draining Spore, which is counted in the drains of this run
({:,.0f} tasks a call); no task runs. asyncio alone: no-op coroutines as tasks of a uvloop, a hundred at a time, tasks a
second of its CPU. Neither can be beaten by one process that takes its tasks from one server. Two Spores give way to the
server (HIVE_NICENESS=19), one does not. All cores busy: what these {} cores would do if nothing else ran on them and
none ever waited, at the CPU that server and Spores together took for a task of the two-process drains; with few cores
this, and not the server, is what two processes run into. So both were measured again with the server stopped for a
third of the time, in turns of 2 ms: two cores are then divided between server and Spores as three would be."""


@dataclass(slots=True)
class Found:
    """One value a round: tasks a second, the mean batch of a Spore's calls, and the CPU of a task with two."""

    redis: list[float] = field(default_factory=list)
    asyncio: list[float] = field(default_factory=list)
    one: list[float] = field(default_factory=list)
    two: list[float] = field(default_factory=list)
    batch: list[float] = field(default_factory=list)
    both_us: list[float] = field(default_factory=list)
    held_redis: list[float] = field(default_factory=list)
    held_two: list[float] = field(default_factory=list)


def measure(lab: Lab) -> Section:
    found = Found()
    for _ in range(lab.rounds):
        found.one.append(_drain(lab, 1).per_second)
        # Each task is claimed and settled; the few heartbeats do not move the mean.
        found.batch.append(2 * lab.count(TASKS) / script_calls(lab.server.info("commandstats")))
        two = _drain(lab, 2)
        found.two.append(two.per_second)
        found.both_us.append(two.worker_us + two.redis_us)
        batch = round(middle(found.batch))
        found.redis.append(asyncio.run(_redis(lab, batch)))
        found.asyncio.append(_bare(lab.count(BARE_TASKS)))
        with held(lab.server.pid, HELD_TO):
            found.held_redis.append(asyncio.run(_redis(lab, batch)))
            found.held_two.append(_drain(lab, 2).per_second)
    return section_of(found, os.cpu_count() or 1)


def section_of(found: Found, cores: int) -> Section:
    """The table: shares are of the lower of the two limits, and of what Redis alone does when held likewise."""
    section = Section(
        "limit", "The share of the limit", ["", "tasks/s", "least–most", "% of the lower limit", "% of all cores busy"]
    )
    section.notes.append(NOTE.format(middle(found.batch), cores))
    lower = min(middle(found.redis), middle(found.asyncio))
    busy = [cores * 1e6 / both_us for both_us in found.both_us]
    held_lower = min(middle(found.held_redis), middle(found.asyncio))
    rows = (
        (REDIS, found.redis, lower),
        (ASYNCIO, found.asyncio, lower),
        (CORES, busy, lower),
        (ONE, found.one, lower),
        (TWO, found.two, lower),
        (HELD_REDIS, found.held_redis, held_lower),
        (HELD_TWO, found.held_two, held_lower),
    )
    for words, rates, limit in rows:
        shares = [f"{middle(rates) / whole_rate * 100:.0f}" for whole_rate in (limit, middle(busy))]
        section.rows.append([words, whole(middle(rates)), span(rates), *shares])
        section.numbers[words] = rates
    section.numbers["batch"] = found.batch
    judged = ((ONE, SHARE_OF_ONE), (TWO, SHARE_OF_TWO), (HELD_TWO, SHARE_OF_TWO))
    for (words, least), (_, rates, limit) in zip(judged, (rows[3], rows[4], rows[6]), strict=True):
        share = middle(rates) / limit * 100
        section.promises.append(Promise(f"share of the lower limit, {words}", least, share, "%", at_least=True))
    return section


def _drain(lab: Lab, processes: int) -> Drained:
    count = lab.count(TASKS)
    lab.server.empty()
    lab.ask(lab.hive, "bulk", count, "noop", {"n": 1})
    lab.server.client.config_resetstat()
    side = lab.hive if processes == 1 else with_settings(lab.hive, **BESIDE_REDIS)
    return lab.drain_queued(side, count, processes=processes)


def script_calls(stats: dict[str, Any]) -> int:
    """How many scripts were called, out of INFO commandstats."""
    return sum(int(stats[name]["calls"]) for name in ("cmdstat_evalsha", "cmdstat_eval") if name in stats)


async def _redis(lab: Lab, batch: int) -> float:
    """Tasks a second that Redis claims and settles when nothing keeps it waiting."""
    count = lab.count(TASKS)
    async with store_probe(lab.server, batch) as probe:
        await probe.fill(count)
        return 1 / await probe.drain(count // batch)


def _bare(count: int) -> float:
    """Tasks that a second of a bare loop's CPU runs."""
    command = [sys.executable, "-m", "benchmarks.bare", str(count)]
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True, timeout=600)
    told: dict[str, float] = json.loads(done.stdout)
    return told["count"] / told["cpu_s"]
