"""Where the CPU of one no-op goes: in the caller, in Redis script by script, in the Spore step by step."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.lab import Lab
from benchmarks.sampling import Sampler, Stack, read, shares
from benchmarks.section import Section, middle
from benchmarks.server import Server
from benchmarks.sides import TOKEN
from benchmarks.spores import with_settings
from benchmarks.store_probe import store_probe
from benchmarks.tally import RECORD_VARIABLE
from venom_core.config import Settings
from venom_core.infrastructure.message_broker import MessageBroker

TASKS, MOST_S, REPEATS = 200_000, 300.0, 40
CALLER, REDIS, SPORE = "caller", "Redis", "Spore"
REST = "the rest"
# Innermost function -> step; a C function counts for the Python function that calls it.
CALLER_STEPS = {
    "packing the payload": ("payload.encode", "payload._is_plain"),
    "checking and the body": ("intake.Intake.many", "intake.Intake._body", "intake.Intake._encode"),
    "ids": ("task_id.TaskIds.take", "intake.Intake._ids"),
    "packing the envelope": ("task.seal_task", "seal.Seal.close", "intake.Intake._chunks"),
    "authentication (blake2b)": ("seal._Key.code",),
    "the call: arguments, packing, socket": (
        "task_store.TaskStore.enqueue", "enqueuer.Enqueuer.send", "scripts.ScriptRunner.run", "line.Line.ask",
        "line.Wire.send", "line.Wire.data_received",
    ),
}  # fmt: skip
SPORE_STEPS = {
    "socket and protocol": ("line.Line.ask", "line.Wire.send", "line.Wire.data_received", "line.Wire._take"),
    "reading a claim": ("task_store.TaskStore.read_claim", "task_store.TaskStore.claim", "claimer.Claimer.claim"),
    "authentication (blake2b), in and out": ("seal._Key.code",),
    "opening the envelope, finding the skill": (
        "execution.Executor.prepare", "task.open_task", "seal.Seal.open", "skills.SkillSet.get",
    ),
    "starting: the running table, the line, its deadline": (
        "worker.Worker._start", "attempts.Attempts.launch", "attempts.Attempts._run_line",
        "execution.Executor.seconds_allowed",
    ),
    "running: the step of the body, lease guard, verdict": ("execution.Executor.begin", "execution.Executor._end"),
    "typed arguments": ("arguments._Reader.decoder.<locals>.decode",),
    "the body, which counts itself": ("sampled_skills.noop", "tally.Tally.add", "tally.Tally.value"),
    "packing and bounding the result": ("payload.encode", "payload._is_plain"),
    "the outcome record": (
        "execution.Executor.settlement", "execution.Executor.record", "task.seal_outcome", "seal.Seal.close",
    ),
    "after the end: pace, next one, store's time": (
        "worker.Worker._ended", "worker.Worker._settle", "attempts.Attempts.ended", "pace.Pace.record",
        "lease_keeper.LeaseKeeper.store_now_ms", "clock.Clock.lasting_s",
    ),
    "gathering and sending reports": (
        "outbox.Outbox.settle", "outbox.Outbox.run", "outbox.Outbox._send_settlements", "task_store.TaskStore.settle",
        "scripts.ScriptRunner.run",
    ),
}  # fmt: skip
CALLS = ("enqueue", "claim", "settle")
# Commands of clients; all others are called by scripts.
NOT_OF_SCRIPTS = {"evalsha", "eval", "script", "config", "info", "flushall", "hello", "client", "ping", "command"}
NOTE = """µs of CPU of one no-op, from a bulk enqueue to its recorded end; nothing is switched off. Caller and Spore:
their CPU times the part of samples in which a step's functions stand innermost, taken every 2 ms of their own CPU
({} and {} samples). Redis: its CPU in calls of 100 tasks, by hand. The commands that the scripts call, by `INFO
commandstats` of fill and drain: {}."""


@dataclass(slots=True)
class Found:
    """µs of CPU a task, one value a round, and all samples."""

    caller_us: list[float] = field(default_factory=list)
    spore_us: list[float] = field(default_factory=list)
    calls_us: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in CALLS})
    commands_us: Counter[str] = field(default_factory=Counter)
    caller: Counter[Stack] = field(default_factory=Counter)
    spore: Counter[Stack] = field(default_factory=Counter)


def measure(lab: Lab) -> Section:
    found, count = Found(), lab.count(TASKS)
    for _ in range(lab.rounds):
        _fill(lab, count, found)
        _drain(lab, count, found)
        asyncio.run(_calls(lab, count, found))
    return section_of(found)


def section_of(found: Found) -> Section:
    """The table; shares are of the CPU of all three."""
    lines = [
        *_steps(CALLER, found.caller, CALLER_STEPS, middle(found.caller_us)),
        *((REDIS, f"the {name} script, its call", middle(found.calls_us[name])) for name in CALLS),
        *_steps(SPORE, found.spore, SPORE_STEPS, middle(found.spore_us)),
    ]
    total = sum(us for _, _, us in lines)
    section = Section("anatomy", "Where the CPU of one no-op goes", ["where", "step", "µs a task", "% of all"])
    for where, step, us in lines:
        section.rows.append([where, step, f"{us:.2f}", f"{us / total * 100:.1f}"])
        section.numbers[f"{where}: {step}"] = us
    section.rows.append(["together", "", f"{total:.2f}", "100.0"])
    commands_us = found.commands_us.total()
    commands = ", ".join(f"{name} {us / commands_us:.0%}" for name, us in found.commands_us.most_common(8))
    section.notes.append(NOTE.format(f"{found.caller.total():,}", f"{found.spore.total():,}", commands))
    return section


def _steps(
    where: str, stacks: Counter[Stack], steps: dict[str, tuple[str, ...]], us: float
) -> list[tuple[str, str, float]]:
    return [(where, step, share * us) for step, share in shares(stacks, steps, REST).items()]


def _fill(lab: Lab, count: int, found: Found) -> None:
    """Enqueue from here, sampled."""
    lab.server.empty()
    sampler = Sampler()
    lab.server.client.config_resetstat()
    cpu_s = asyncio.run(_bulk(lab.server.url, count, sampler))
    found.caller.update(sampler.stop())
    found.caller_us.append(cpu_s / count * 1e6)
    _note_commands(lab.server, count, found)


async def _bulk(url: str, count: int, sampler: Sampler) -> float:
    async with MessageBroker(Settings.load(redis_url=url, nexus_shared_token=TOKEN)) as broker:
        sampler.start()
        begin = time.process_time()
        await broker.enqueue_many("noop", ({"n": 1} for _ in range(count)))
        return time.process_time() - begin


def _drain(lab: Lab, count: int, found: Found) -> None:
    """Drain by a Spore that samples itself."""
    record = Path(f"{lab.tally.path}.samples")
    lab.server.client.config_resetstat()
    side = with_settings(lab.hive, **{RECORD_VARIABLE: record})
    drained = lab.drain_queued(side, count, "benchmarks.sampled_skills", MOST_S)
    found.spore.update(read(record))
    found.spore_us.append(drained.worker_us)
    _note_commands(lab.server, count, found)


def _note_commands(server: Server, count: int, found: Found) -> None:
    for name, stats in server.info("commandstats").items():
        command = name.removeprefix("cmdstat_")
        if command not in NOT_OF_SCRIPTS:
            found.commands_us[command] += stats["usec"] / count


async def _calls(lab: Lab, count: int, found: Found) -> None:
    async with store_probe(lab.server) as probe:
        await probe.fill(count)
        await probe.cost(3)
        costs = await probe.cost(5 if lab.quick else REPEATS)
    for name in CALLS:
        found.calls_us[name].append(middle(getattr(costs, name)))
